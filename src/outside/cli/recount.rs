//! `alluvium recount`

use clap::Args;
use jiff::Timestamp;

use crate::common::config::{Config, Mapping, WordCount};
use crate::outside::audit::recount::{self, Ledgers};
use crate::outside::cli::arguments::ConfigArgs;
use crate::outside::cli::exit::{EX_DATAERR, EX_USAGE};
use crate::outside::cli::output::{complain, say};
use crate::outside::cli::shared::on_stores;
use crate::pure::count::Time;

/// Arguments of `recount`.
#[derive(Args, Debug)]
pub(super) struct Recount {
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
}

/// How many differences are shown; `--json` shows all.
const SHOWN: usize = 20;

impl Recount {
    pub(super) fn main(&self) -> u8 {
        on_stores(&self.config, async |config, stores| {
            let range = self.from.map_or(i64::MIN, Timestamp::as_millisecond)
                ..self.until.map_or(i64::MAX, Timestamp::as_millisecond);
            let named = |m: &Mapping| self.mapping.as_ref().is_none_or(|name| *name == m.name);
            let wanted: Vec<_> = recountable(config).filter(|(m, _)| named(m)).collect();
            if wanted.is_empty() {
                complain(
                    "no mapping can be recounted: a mapping must archive both its records and its \
                     counts ([mapping.NAME.wordcount])",
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
            let ledgers = Ledgers::read(stores).await?;
            let mut done = Vec::new();
            for (mapping, count) in wanted {
                done.push(ledgers.recount(config, mapping, count, range.clone()).await?);
            }
            if self.json {
                say(&serde_json::to_string_pretty(&done).expect("a report has string keys"));
            } else {
                done.iter().for_each(print);
            }
            Ok(if done.iter().all(recount::Recount::is_equal) { 0 } else { EX_DATAERR })
        })
    }
}

/// Mappings that archive both sides.
pub(super) fn recountable(config: &Config) -> impl Iterator<Item = (&Mapping, &WordCount)> {
    config.mappings.iter().filter_map(|m| {
        let count = m.count.as_deref().filter(|c| c.archive.is_some())?;
        m.archive.is_some().then_some((m, count))
    })
}

pub(super) fn print(r: &recount::Recount) {
    let (records, words, windows) = (r.records, r.words, r.windows);
    say(&format!("mapping {}: {records} records, {words} words, {windows} windows", r.mapping));
    r.unreadable.iter().for_each(|file| say(&format!("    unreadable file: {file}")));
    if 0 < r.untimed {
        say(&format!("    {} records have no timestamp, so their windows are unknown", r.untimed));
    }
    for d in r.differences.iter().take(SHOWN) {
        let window = d.window_start.as_deref().unwrap_or("all windows");
        say(&format!(
            "    {window} {:?}: {} published, {} in the raw files",
            d.word, d.published, d.recounted
        ));
    }
    match r.differences.len() {
        0 => say("    equal: every word's counts add up to the words in the raw files"),
        n => say(&format!("    {n} words differ; --json shows all")),
    }
}
