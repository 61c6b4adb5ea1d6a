//! `alluvium verify`

use std::io::IsTerminal as _;
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::common::config::Config;
use crate::engine::archive::listing::Finding;
use crate::outside::audit::brokers::{Brokers, LookError, check, unlooked};
use crate::outside::audit::recount::{Ledgers, RecountReport};
use crate::outside::audit::report::{PartitionReport, RootReport};
use crate::outside::audit::verify::verify;
use crate::outside::cli::arguments::ConfigArgs;
use crate::outside::cli::exit::{EX_DATAERR, EX_UNAVAILABLE};
use crate::outside::cli::output::{complain, say, say_json};
use crate::outside::cli::recount;
use crate::outside::cli::shared::{Roots, on_stores, partitions};

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
        on_stores(&self.config, async |config, roots| {
            let (mut reports, mut stopped) = (Vec::new(), Vec::new());
            for store in &roots.open {
                let bar = bar();
                let progress = |done, total| {
                    bar.set_length(total);
                    bar.set_position(done);
                };
                let now = jiff::Timestamp::now().as_millisecond();
                let verified = verify(&**store, config, now, &progress).await;
                bar.finish_and_clear();
                reports.push(verified.unwrap_or_else(|e| not_looked_at(store.url(), &e)));
            }
            // What was read until now is told, whatever happens afterwards.
            let (mut unasked, mut asked) = (Vec::new(), true);
            if !self.offline {
                let asking = async {
                    let brokers = Brokers::new(config, &roots.open).await?;
                    let partitions = partitions(config, &brokers).await?;
                    check(config, &brokers, &partitions, &mut reports).await
                };
                match asking.await {
                    Ok(found) => stopped = found,
                    Err(e) => {
                        asked = false;
                        unasked.push(format!("not all was asked of the brokers: {e}"));
                    }
                }
            }
            let mut counts = Vec::new();
            if self.recount {
                match recounted(config, roots).await {
                    Ok(all) => counts = all,
                    Err(e) => unasked.push(format!("not all was recounted: {e}")),
                }
            }
            unasked.iter().for_each(|why| complain(why));
            let is_sound = stopped.is_empty()
                && reports.iter().all(|r| r.findings() == 0)
                && counts.iter().all(RecountReport::is_equal);
            reports.extend(roots.closed.iter().map(|(url, why)| not_looked_at(url, why)));
            if self.json {
                let whole = is_sound && roots.closed.is_empty() && unasked.is_empty();
                say_json(&json(whole, &reports, &stopped, &counts));
            } else {
                reports.iter().flat_map(|r| lines(r, asked)).for_each(|line| say(&line));
                stopped.iter().for_each(|f| say(&finding(f)));
                counts.iter().flat_map(recount::lines).for_each(|line| say(&line));
            }
            Ok(match (is_sound, unasked.is_empty()) {
                (false, _) => EX_DATAERR,
                (true, false) => EX_UNAVAILABLE,
                (true, true) => roots.code_of_all(0),
            })
        })
    }
}

/// Recounts every mapping all of whose roots answer.
async fn recounted(config: &Arc<Config>, roots: &Roots) -> Result<Vec<RecountReport>, LookError> {
    let ledgers = Ledgers::read(&roots.open, config).await?;
    let mut counts = Vec::new();
    for (mapping, count) in recount::recountable(config) {
        if roots.has_all_of(mapping) {
            counts.push(ledgers.recount(config, mapping, count, i64::MIN..i64::MAX).await?);
        }
    }
    Ok(counts)
}

/// The report of a root that does not answer.
fn not_looked_at(url: &str, why: &dyn std::fmt::Display) -> RootReport {
    let findings = vec![unlooked(url, why)];
    RootReport { root: url.into(), findings, ..RootReport::default() }
}

/// What `--json` prints. Scripts read it: a field may be added, none may be renamed or removed.
fn json(
    whole: bool,
    roots: &[RootReport],
    stopped: &[Finding],
    counts: &[RecountReport],
) -> serde_json::Value {
    serde_json::json!({ "whole": whole, "roots": roots, "stopped": stopped, "counts": counts })
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

/// The lines of a report. `asked`: the brokers have answered, or were not to be asked.
pub(super) fn lines(report: &RootReport, asked: bool) -> Vec<String> {
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
        0 if asked => format!("whole: {rows} rows in {partitions} partitions, each offset once"),
        0 => format!(
            "whole as far as its ledger goes: {rows} rows in {partitions} partitions, each offset \
             once; what the brokers know was not compared with it"
        ),
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
        "  {}/{} {range}: {} {}, {} {}, {} {}, {} {}",
        p.topic,
        p.partition,
        p.entries,
        if p.entries == 1 { "entry" } else { "entries" },
        p.files,
        if p.files == 1 { "file" } else { "files" },
        p.rows,
        if p.rows == 1 { "row" } else { "rows" },
        p.bytes,
        if p.bytes == 1 { "byte" } else { "bytes" },
    );
    if 0 < p.holes {
        line += &format!(", {} offsets without a record", p.holes);
    }
    if 0 < p.unpublished {
        line += &format!(", {} files not yet published", p.unpublished);
    }
    if 0 < p.staged {
        line += &format!(
            ", {} staged files of attempts that are under way or were left over",
            p.staged
        );
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::archive::listing::FindingKind;
    use crate::outside::audit::recount::Difference;
    use crate::outside::audit::report::{AtBrokers, Gap};
    use crate::pure::record::{Offset, OffsetRange};

    fn finding(kind: FindingKind) -> Finding {
        Finding { kind, path: format!("a/{}", kind.label()), detail: "why".into() }
    }

    /// A program that looks for "whole:" must not find it where the exit code is 69.
    #[test]
    fn what_was_not_asked_of_the_brokers_is_not_whole() {
        let report = RootReport { root: "file:///x".into(), ..RootReport::default() };
        let last = |asked| lines(&report, asked).pop().unwrap();
        assert_eq!(last(true), "whole: 0 rows in 0 partitions, each offset once");
        let told = last(false);
        assert!(told.starts_with("whole as far as its ledger goes: 0 rows"), "{told}");
        assert!(told.ends_with("what the brokers know was not compared with it"), "{told}");
    }

    #[test]
    fn the_report_as_json_is_the_golden_one() {
        use FindingKind as Kind;
        let kinds = [
            Kind::MissingEntry,
            Kind::OverlappingEntry,
            Kind::UnreadableEntry,
            Kind::WrongEntry,
            Kind::MissingIdentity,
            Kind::WrongIdentity,
            Kind::UnpublishedFile,
            Kind::MissingFile,
            Kind::ForeignFile,
            Kind::TruncatedFile,
            Kind::ChangedFile,
            Kind::WrongRows,
        ];
        let range = |from, to| OffsetRange { from: Offset(from), to: Offset(to) };
        let brokers = |committed, results| AtBrokers { log: range(2, 40), committed, results };
        let partition = |partition: &str, brokers| PartitionReport {
            topic: "orders".into(),
            incarnation: "0".into(),
            partition: partition.into(),
            range: Some(range(0, 30)),
            entries: 3,
            files: 2,
            rows: 20,
            bytes: 1_000,
            gaps: vec![Gap { range: range(10, 15), cause: "retention".into() }],
            holes: 5,
            unpublished: 1,
            staged: 0,
            brokers,
            findings: vec![finding(Kind::MissingFile)],
        };
        let bare = PartitionReport { range: None, gaps: Vec::new(), ..partition("1", None) };
        let report = RootReport {
            root: "hdfs://nn/lake".into(),
            partitions: vec![
                partition("0", Some(brokers(Some(Offset(25)), Some(Offset(28))))),
                bare,
            ],
            findings: kinds.map(finding).into(),
        };
        let difference = |window_start: Option<&str>| Difference {
            window_start: window_start.map(str::to_string),
            word: "word".into(),
            published: 2,
            recounted: 3,
        };
        let recount = RecountReport {
            mapping: "orders".into(),
            records: 20,
            untimed: 1,
            words: 60,
            windows: 2,
            differences: vec![difference(None)],
            open_from: Some("2026-11-22T17:00:00.000Z".into()),
            open: vec![difference(Some("2026-11-22T17:00:00.000Z"))],
            findings: vec![finding(Kind::ChangedFile)],
        };
        let told = json(false, &[report], &[finding(Kind::StoppedPartition)], &[recount]);
        let text = serde_json::to_string_pretty(&told).expect("string keys");
        let golden =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/verify-v1.json"));
        assert_eq!(text, golden.trim_end());
    }
}
