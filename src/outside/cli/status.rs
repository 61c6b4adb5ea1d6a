//! `alluvium status`

use std::time::Duration;

use clap::Args;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::common::status::{Condition, PartitionStatus, Status as Told};
use crate::outside::cli::arguments::DaemonArgs;
use crate::outside::cli::exit::{EX_DATAERR, EX_UNAVAILABLE};
use crate::outside::cli::output::{complain, say};

/// Arguments of `status`.
#[derive(Args, Debug)]
pub(super) struct Status {
    #[command(flatten)]
    daemon: DaemonArgs,
    /// Print the daemon's answer as JSON.
    #[arg(long)]
    json: bool,
    /// Print the state again every few seconds.
    #[arg(long)]
    watch: bool,
}

impl Status {
    pub(super) fn main(&self) -> u8 {
        let url = match self.daemon.url() {
            Ok(url) => url,
            Err(code) => return code,
        };
        loop {
            let code = self.once(&url);
            if !self.watch {
                return code;
            }
            std::thread::sleep(Duration::from_secs(2));
        }
    }

    fn once(&self, url: &str) -> u8 {
        let asked = self.daemon.agent().get(format!("{url}/status.json")).call();
        let text = asked.and_then(|mut answer| answer.body_mut().read_to_string());
        let text = match text {
            Ok(text) => text,
            Err(e) => {
                complain(&self.daemon.silent(url, &e));
                return EX_UNAVAILABLE;
            }
        };
        let told: Told = match serde_json::from_str(&text) {
            Ok(told) => told,
            Err(e) => {
                complain(&format!(
                    "the program that answers at {url} is not an Alluvium of this version: {e}"
                ));
                return EX_UNAVAILABLE;
            }
        };
        if self.json {
            say(&text);
        } else {
            let clear = if self.watch { "\x1b[2J\x1b[H" } else { "" };
            say(&format!("{clear}{}", text_of(&told)));
        }
        let bad = told.count(|c| matches!(c, Condition::Stopped(_))) + told.missing_topics.len();
        if bad == 0 { 0 } else { EX_DATAERR }
    }
}

fn text_of(s: &Told) -> String {
    let mut text =
        format!("{} of group {}, version {}: {}\n", s.instance, s.group, s.version, s.line());
    let mut table = Table::new();
    let _ =
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let head = ["partition", "role", "state", "results", "lag", "archive", "lag", "oldest", "open"];
    let _ = table.set_header(head);
    for i in [3, 4, 5, 6, 7] {
        if let Some(column) = table.column_mut(i) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for p in &s.partitions {
        let _ = table.add_row(row(p));
    }
    text += &format!("{table}\n");
    for p in &s.partitions {
        if let Condition::Stopped(why) = &p.state {
            let (topic, partition) = (&p.topic, p.partition);
            text += &format!(
                "\n{topic}/{partition} stopped: {why}\n    see: alluvium repair {topic} \
                 {partition}\n"
            );
        }
        for w in &p.waits_for {
            let (topic, partition) = (&p.topic, p.partition);
            text += &format!(
                "\n{topic}/{partition}: windows wait for {}/{}, which was last heard of {} s ago\n",
                w.topic, w.partition, w.silent_s
            );
        }
    }
    s.missing_topics.iter().for_each(|t| text += &format!("\ntopic {t} does not exist\n"));
    s.stuck.iter().for_each(|t| text += &format!("\n{t} has made no progress for two minutes\n"));
    text
}

fn row(p: &PartitionStatus) -> [String; 9] {
    let show = |n: Option<i64>| n.map_or("-".into(), |n| n.to_string());
    let [results, archive] = p.lags().map(show);
    let open = match p.open_windows {
        Some(n) => format!("{n} windows"),
        None if p.open_files == 0 => "-".into(),
        None => format!("{} files, {}", p.open_files, bytesize::ByteSize(p.open_bytes)),
    };
    let state = match &p.state {
        Condition::Running => "running",
        Condition::Recovering => "recovering",
        Condition::Detached => "store unavailable",
        Condition::Paused => "paused",
        Condition::Stopped(_) => "STOPPED",
    };
    [
        format!("{}/{}", p.topic, p.partition),
        p.role.clone(),
        state.into(),
        show(p.results),
        results,
        show(p.archive),
        archive,
        if p.archive_delay_s == 0 { "-".into() } else { format!("{} s", p.archive_delay_s) },
        open,
    ]
}
