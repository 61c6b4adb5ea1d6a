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
                complain(
                    "no mapping can be recounted: a mapping must archive both its records, with \
                     their values (raw_value = true) and not as text, and its counts \
                     ([mapping.NAME.wordcount])",
                );
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
    let (records, words, windows) = (r.records, r.words, r.windows);
    let mut lines =
        vec![format!("mapping {}: {records} records, {words} words, {windows} windows", r.mapping)];
    for f in &r.findings {
        lines.push(format!("    {}: {}: {}", f.kind.label(), f.path, f.detail));
    }
    if !r.findings.is_empty() {
        lines.push("    the archive is damaged, so counts can't be compared whole".into());
    }
    if 0 < r.untimed {
        let n = r.untimed;
        lines.push(format!("    {n} records have no timestamp, so their windows are unknown"));
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
            plural(windows.len(), "window"),
            plural(r.open.len(), "count")
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
        (n, _) => format!("    {n} words differ; --json shows all"),
    });
    if r.differences.iter().any(|d| d.window_start.is_none() && d.published < d.recounted) {
        lines.push(
            "    windows are of arrival time, which the raw files don't contain: counts of windows \
             that are still open are among the differences"
                .into(),
        );
    }
    lines
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
