//! `alluvium verify`

use std::io::IsTerminal as _;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::engine::archive::listing::Finding;
use crate::outside::audit::brokers::{Brokers, check};
use crate::outside::audit::recount::{Ledgers, Recount};
use crate::outside::audit::report::{PartitionReport, Report};
use crate::outside::audit::verify::verify;
use crate::outside::cli::arguments::ConfigArgs;
use crate::outside::cli::exit::EX_DATAERR;
use crate::outside::cli::output::say;
use crate::outside::cli::recount;
use crate::outside::cli::shared::{on_stores, partitions};

/// Arguments of `verify`.
#[derive(Args, Debug)]
pub(super) struct Verify {
    #[command(flatten)]
    config: ConfigArgs,
    /// Don't ask the brokers; compare only the archive with the ledger.
    #[arg(long)]
    offline: bool,
    /// Also count the raw files again, and compare with the published counts in the archive. Beside
    /// a running daemon the newest windows differ: `alluvium recount --until` excludes them.
    #[arg(long)]
    recount: bool,
    /// Print the whole report as JSON.
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn main(&self) -> u8 {
        on_stores(&self.config, async |config, stores| {
            let (mut reports, mut stopped) = (Vec::new(), Vec::new());
            for store in stores {
                let bar = bar();
                let progress = |done, total| {
                    bar.set_length(total);
                    bar.set_position(done);
                };
                let now = jiff::Timestamp::now().as_millisecond();
                reports.push(verify(&**store, config, now, &progress).await?);
                bar.finish_and_clear();
            }
            if !self.offline {
                let brokers = Brokers::new(config, stores).await?;
                let partitions = partitions(config, &brokers).await?;
                stopped = check(config, &brokers, &partitions, &mut reports).await?;
            }
            let mut counts = Vec::new();
            if self.recount {
                let ledgers = Ledgers::read(stores, config).await?;
                for (mapping, count) in recount::recountable(config) {
                    counts.push(ledgers.recount(config, mapping, count, i64::MIN..i64::MAX).await?);
                }
            }
            let whole = stopped.is_empty()
                && reports.iter().all(|r| r.findings() == 0)
                && counts.iter().all(Recount::is_equal);
            if self.json {
                let all = serde_json::json!({
                    "whole": whole, "roots": reports, "stopped": stopped, "counts": counts
                });
                say(&serde_json::to_string_pretty(&all).expect("a report has string keys"));
            } else {
                reports.iter().flat_map(lines).for_each(|line| say(&line));
                stopped.iter().for_each(|f| say(&finding(f)));
                counts.iter().flat_map(recount::lines).for_each(|line| say(&line));
            }
            Ok(if whole { 0 } else { EX_DATAERR })
        })
    }
}

/// Quiet without a terminal.
fn bar() -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left")
        .expect("a template of known fields");
    ProgressBar::with_draw_target(None, target).with_style(style)
}

/// The lines of a report.
pub(super) fn lines(report: &Report) -> Vec<String> {
    let mut lines = vec![format!("root {}", report.root)];
    for p in &report.partitions {
        lines.push(line(p));
        lines.extend(p.gaps.iter().map(|gap| format!("    gap {}: {}", gap.range, gap.cause)));
        lines.extend(p.findings.iter().map(finding));
    }
    lines.extend(report.findings.iter().map(finding));
    let (n, rows) = (report.findings(), report.partitions.iter().map(|p| p.rows).sum::<u64>());
    let partitions = report.partitions.len();
    lines.push(match n {
        0 => format!("whole: {rows} rows in {partitions} partitions, each offset once"),
        1 => format!("1 finding in {partitions} partitions"),
        n => format!("{n} findings in {partitions} partitions"),
    });
    lines
}

fn finding(f: &Finding) -> String {
    format!("    {}: {}: {}", f.kind.label(), f.path, f.detail)
}

fn line(p: &PartitionReport) -> String {
    let range = p.range.map_or_else(|| "no range".into(), |r| r.to_string());
    let mut line = format!(
        "  {}/{} {range}: {} entries, {} files, {} rows, {} bytes",
        p.topic, p.partition, p.entries, p.files, p.rows, p.bytes
    );
    if 0 < p.holes {
        line += &format!(", {} offsets without a record", p.holes);
    }
    if 0 < p.unpublished {
        line += &format!(", {} files not yet published", p.unpublished);
    }
    if let Some(b) = &p.brokers {
        let committed = b.committed.map_or("nothing".into(), |o| o.to_string());
        line += &format!("; log {}, committed {committed}", b.log);
        if let Some(p) = b.results {
            line += &format!(", results {p}");
        }
    }
    line
}
