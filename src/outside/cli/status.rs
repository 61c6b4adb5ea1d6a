//! `alluvium status`

use std::time::Duration;

use clap::Args;
use comfy_table::CellAlignment;

use crate::common::health::spell;
use crate::common::status::{Condition, InstanceStatus, OutageOf, PartitionStatus, Wait};
use crate::outside::cli::arguments::DaemonArgs;
use crate::outside::cli::exit::{EX_DATAERR, EX_UNAVAILABLE};
use crate::outside::cli::output::{complain, plain_table, say, say_anew, say_json_text};
use crate::outside::web::Asked;

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
        let daemon = match self.daemon.asked() {
            Ok(daemon) => daemon,
            Err(code) => return code,
        };
        loop {
            let code = self.once(&daemon);
            if !self.watch {
                return code;
            }
            std::thread::sleep(Duration::from_secs(2));
        }
    }

    fn once(&self, daemon: &Asked) -> u8 {
        let url = &daemon.url;
        let asked = daemon.agent.get(format!("{url}/status.json")).call();
        let text = asked.and_then(|mut answer| answer.body_mut().read_to_string());
        let text = match text {
            Ok(text) => text,
            Err(e) => {
                complain(&daemon.silent(&e));
                return EX_UNAVAILABLE;
            }
        };
        let status: InstanceStatus = match serde_json::from_str(&text) {
            Ok(status) => status,
            Err(e) => {
                complain(&format!(
                    "the program that answers at {url} is not an Alluvium of this version: {e}"
                ));
                return EX_UNAVAILABLE;
            }
        };
        if self.json {
            say_json_text(&text);
        } else {
            let say = if self.watch { say_anew } else { say };
            say(&text_of(&status));
        }
        let stopped = status.count(|c| matches!(c, Condition::Stopped(_)));
        if stopped != 0 || !status.topic_troubles().is_empty() {
            EX_DATAERR
        } else if status.outages.iter().any(|o| o.of == OutageOf::Brokers) || status.left() {
            EX_UNAVAILABLE
        } else {
            0
        }
    }
}

fn text_of(s: &InstanceStatus) -> String {
    let mut text =
        format!("{} of group {}, version {}: {}\n", s.instance, s.group, s.version, s.line());
    let mut table = plain_table();
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
    for p in &s.not_owned {
        let _ = table.add_row(lost_row(p));
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
    }
    for w in Wait::worth_saying(&s.partitions) {
        let (topic, partition, seconds) = (&w.topic, w.partition, w.held_s);
        text += &format!("\nwindows have waited for {topic}/{partition} for {seconds} s\n");
    }
    for o in &s.outages {
        let lasts = spell(s.now.saturating_sub(o.since));
        text += &format!("\n{} for {lasts}: {}\n", o.says, o.cause);
    }
    let said = [s.topic_troubles(), s.notes()].concat();
    said.iter().for_each(|trouble| text += &format!("\n{trouble}\n"));
    s.stuck.iter().for_each(|t| text += &format!("\n{t} has made no progress for two minutes\n"));
    text
}

/// A partition that was taken away.
fn lost_row(p: &PartitionStatus) -> [String; 9] {
    let mut row = row(p);
    row[2] = "not owned".into();
    row
}

fn row(p: &PartitionStatus) -> [String; 9] {
    let show = |n: Option<i64>| n.map_or("-".into(), |n| n.to_string());
    let [results, archive] = p.lags().map(show);
    let open = match p.open_windows {
        Some(n) => format!("{n} window{}", if n == 1 { "" } else { "s" }),
        None if p.open_files == 0 => "-".into(),
        None => {
            let files =
                format!("{} file{}", p.open_files, if p.open_files == 1 { "" } else { "s" });
            match p.open_bytes {
                // What is in an encoder has no size yet.
                0 => files,
                bytes => format!("{files}, {}", bytesize::ByteSize(bytes)),
            }
        }
    };
    let state = match &p.state {
        Condition::Running => "running",
        Condition::Recovering => "recovering",
        Condition::Detached => "root unavailable",
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
