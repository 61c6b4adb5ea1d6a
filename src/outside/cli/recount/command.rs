//! `alluvium recount`

use std::collections::BTreeSet;
use std::ops::Range;

use clap::Args;
use jiff::Timestamp;

use crate::common::config::Mapping;
use crate::outside::audit::recount::{self, Difference, Ledgers};
use crate::outside::cli::arguments::ConfigArgs;
use crate::outside::cli::exit::{EX_DATAERR, EX_USAGE};
use crate::outside::cli::output::{complain, say, say_json};
use crate::outside::cli::recount::mappings::recountable;
use crate::outside::cli::recount::sql::{RecountOf, SqlEngine};
use crate::outside::cli::shared::on_stores;
use crate::pure::count::Time;

/// Arguments of `recount`.
#[derive(Args, Debug)]
pub(in crate::outside::cli) struct Recount {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only this mapping; by default every mapping that archives its counts.
    #[arg(long, value_name = "NAME")]
    mapping: Option<String>,
    /// Only windows that start at this time or later (RFC 3339).
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Only windows that start before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Print everything as JSON, including every difference.
    #[arg(long)]
    json: bool,
    /// Print SQL that does the same on an engine, for an archive that is too large for one machine.
    /// The rows of its result are the differences.
    #[arg(long, value_enum, value_name = "ENGINE", conflicts_with = "json", requires = "mapping")]
    sql: Option<SqlEngine>,
    /// With --sql: the topics to recount, where the mapping reads those of a regex.
    #[arg(long, value_name = "TOPIC", requires = "sql")]
    topic: Vec<String>,
    /// With --sql: the URL under which the engine finds the root, if it is not archive.root.
    #[arg(long, value_name = "URL", requires = "sql")]
    root: Option<String>,
}

/// How many differences are shown; `--json` shows all.
const SHOWN: usize = 20;

impl Recount {
    pub(in crate::outside::cli) fn main(&self) -> u8 {
        if let Some(engine) = self.sql {
            return self.print_sql(engine);
        }
        on_stores(&self.config, async |config, roots| {
            let range = self.range();
            let named = |m: &Mapping| self.mapping.as_ref().is_none_or(|name| *name == m.name);
            if let Some(name) = self.mapping.as_ref().filter(|_| !config.mappings.iter().any(named))
            {
                let all: Vec<_> = config.mappings.iter().map(|m| m.name.as_str()).collect();
                complain(&format!(
                    "the configuration has no mapping named {name:?}; its mappings are: {}",
                    all.join(", ")
                ));
                return Ok(EX_USAGE);
            }
            let wanted: Vec<_> = recountable(config).filter(|(m, _)| named(m)).collect();
            if wanted.is_empty() {
                let what = match &self.mapping {
                    Some(name) => format!("mapping {name:?} can't be recounted"),
                    None => "no mapping can be recounted".into(),
                };
                complain(&format!(
                    "{what}: a mapping must archive both its records, with their values \
                     (raw_value = true) and not as text, and its counts \
                     ([mapping.NAME.wordcount])"
                ));
                return Ok(EX_USAGE);
            }
            let ranged = self.from.is_some() || self.until.is_some();
            if let Some((m, _)) = wanted.iter().find(|(_, c)| ranged && c.time == Time::Arrival) {
                complain(&format!(
                    "mapping {:?} counts by arrival time, which raw files do not contain: the \
                     mapping can only be compared as a whole, without --from and --until",
                    m.name
                ));
                return Ok(EX_USAGE);
            }
            let ledgers = Ledgers::read(&roots.open, config).await?;
            let mut done = Vec::new();
            for (mapping, count) in wanted.into_iter().filter(|(m, _)| roots.has_all_of(m)) {
                done.push(ledgers.recount(config, mapping, count, range.clone()).await?);
            }
            if self.json {
                say_json(&done);
            } else {
                done.iter().flat_map(lines).for_each(|line| say(&line));
            }
            let is_equal = done.iter().all(recount::RecountReport::is_equal);
            Ok(roots.code_of_all(if is_equal { 0 } else { EX_DATAERR }))
        })
    }
}

impl Recount {
    /// Milliseconds; the whole of time without --from and --until.
    fn range(&self) -> Range<i64> {
        self.from.map_or(i64::MIN, Timestamp::as_millisecond)
            ..self.until.map_or(i64::MAX, Timestamp::as_millisecond)
    }

    fn print_sql(&self, engine: SqlEngine) -> u8 {
        let config = match self.config.load() {
            Ok(config) => config,
            Err(code) => return code,
        };
        let wanted = self.mapping.as_deref().unwrap_or_default();
        let of = RecountOf { topics: &self.topic, root: self.root.as_deref(), range: self.range() };
        match of.statements(&config, wanted, engine) {
            Ok(text) => {
                say(text.trim_end());
                0
            }
            Err(e) => {
                complain(&e);
                EX_USAGE
            }
        }
    }
}

/// The lines of a recount.
pub(in crate::outside::cli) fn lines(r: &recount::RecountReport) -> Vec<String> {
    let numbers = [(r.records as i64, "record"), (r.words, "word"), (r.windows as i64, "window")];
    let numbers = numbers.map(|(n, what)| plural(n, what)).join(", ");
    let mut lines = vec![format!("mapping {}: {numbers}", r.mapping)];
    for f in &r.findings {
        lines.push(format!("    {}: {}: {}", f.kind.label(), f.path, f.detail));
    }
    if !r.findings.is_empty() {
        lines.push("    the archive is damaged, so counts can't be compared whole".into());
    }
    if 0 < r.untimed {
        let n = r.untimed;
        let records = plural(n as i64, "record");
        lines.push(format!("    without a timestamp, so that the window is unknown: {records}"));
    }
    let difference = |d: &Difference| {
        let window = d.window_start.as_deref().unwrap_or("all windows");
        format!(
            "    {window} {:?}: {} published, {} in the raw files",
            d.word, d.published, d.recounted
        )
    };
    lines.extend(r.differences.iter().take(SHOWN).map(difference));
    let open = r.open_from.as_deref().filter(|_| !r.open.is_empty());
    if let Some(from) = open {
        let windows: BTreeSet<_> = r.open.iter().map(|d| &d.window_start).collect();
        lines.push(format!(
            "    open: {} from {from} on can't be compared yet: they are open, or newer than what \
             is archived; {} of words differ there until they are closed and archived",
            plural(windows.len() as i64, "window"),
            plural(r.open.len() as i64, "count")
        ));
    }
    lines.push(match (r.differences.len(), open) {
        (0, None) if r.findings.is_empty() => {
            "    equal: every word's counts add up to the words in the raw files".into()
        }
        (0, Some(_)) if r.findings.is_empty() => {
            "    equal as far as windows are closed and archived".into()
        }
        (0, _) => "    no word differs in what could be read".into(),
        (1, _) => "    1 word differs".into(),
        (n, _) => format!("    {n} words differ; --json shows all"),
    });
    if r.differences.iter().any(|d| d.window_start.is_some()) {
        lines.push(
            "    where the mapping's window, time or words were changed since, what was counted \
             before differs: --from TIME leaves that out"
                .into(),
        );
    }
    if r.differences.iter().any(|d| d.window_start.is_none() && d.published < d.recounted) {
        lines.push(
            "    windows are of arrival time, which the raw files don't contain: counts of windows \
             that are still open are among the differences"
                .into(),
        );
    }
    lines
}

fn plural(n: i64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(difference: Option<&str>) -> recount::RecountReport {
        let difference = difference.map(|start| Difference {
            window_start: Some(start.into()),
            word: "word".into(),
            published: 2,
            recounted: 3,
        });
        recount::RecountReport {
            mapping: "orders".into(),
            records: 1,
            untimed: 1,
            words: 1,
            windows: 1,
            differences: difference.into_iter().collect(),
            open_from: None,
            open: Vec::new(),
            findings: Vec::new(),
        }
    }

    #[test]
    fn one_is_not_told_as_many() {
        let told = lines(&report(None)).join("\n");
        assert!(told.contains("mapping orders: 1 record, 1 word, 1 window\n"), "{told}");
        assert!(told.contains("unknown: 1 record\n") && !told.contains("--from"), "{told}");
    }

    /// Another window counts what was there before in other windows.
    #[test]
    fn differences_lead_to_from() {
        let told = lines(&report(Some("2026-11-22T17:00:00.000Z"))).join("\n");
        assert!(told.contains("1 word differs") && told.contains("--from TIME"), "{told}");
    }
}
