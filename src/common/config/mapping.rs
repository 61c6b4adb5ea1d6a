//! `[mapping.NAME]`: which topics, and where they are archived.

use std::sync::Arc;

use regex::Regex;
use toml::{Table, Value};

use crate::common::config::archive::{ArchiveConfig, ArchiveKeys, Topics as Of, archive};
use crate::common::config::fields::{Faults, Fields, is_topic_name};
use crate::common::config::wordcount::{self, WordCount};
use crate::pure::protocol::OnGap;

/// One mapping.
#[derive(Clone, Debug)]
pub struct Mapping {
    pub name: String,
    pub topics: Topics,
    /// Where a partition starts that has neither offset nor ledger.
    pub start: Start,
    pub on_gap: OnGap,
    pub archive: Option<Arc<ArchiveConfig>>,
    pub count: Option<Arc<WordCount>>,
    /// Its table in the configuration.
    pub written: Table,
}

impl Mapping {
    /// The archives of its records and of its counts, as far as it has them.
    pub fn archives(&self) -> impl Iterator<Item = &ArchiveConfig> {
        let counts = self.count.as_ref().and_then(|c| c.archive.as_deref());
        self.archive.as_deref().into_iter().chain(counts)
    }
}

/// Which topics a mapping is for.
#[derive(Clone, Debug)]
pub enum Topics {
    Names(Vec<String>),
    /// Rust's dialect; the whole name must match.
    Regex(Regex),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    Earliest,
    Latest,
    /// The first record at or after this time, milliseconds.
    At(i64),
}

pub(super) fn read_all(
    tables: Vec<(String, Value)>,
    group: Option<&str>,
    defaults: &ArchiveKeys,
    faults: &mut Faults,
) -> Vec<Mapping> {
    let mut mappings = Vec::new();
    for (name, value) in tables {
        let path = format!("mapping.{name}");
        match value {
            Value::Table(table) => {
                mappings.extend(read(name, Fields::new(path, table), group, defaults, faults));
            }
            other => faults.add(path, format!("must be a table, not {}", other.type_str())),
        }
    }
    mappings
}

fn read(
    name: String,
    mut f: Fields,
    group: Option<&str>,
    defaults: &ArchiveKeys,
    faults: &mut Faults,
) -> Option<Mapping> {
    let written = f.table_as_written();
    let topics = topics(&mut f, faults);
    let start = f.parsed("start", faults, start).unwrap_or(Start::Earliest);
    let gaps = [("stop", OnGap::Stop), ("record", OnGap::Record)];
    let on_gap = f.choice("on_gap", &gaps, faults).unwrap_or(OnGap::Stop);
    let pattern = match &topics {
        Some(Topics::Regex(regex)) => Some(regex),
        Some(Topics::Names(_)) | None => None,
    };
    let archive = archive(&mut f, defaults, Of::Sources(pattern), faults);
    let partials = format!("{}-{name}-partials", group.unwrap_or("group"));
    let count =
        f.table("wordcount", faults).map(|w| wordcount::read(w, partials, defaults, faults));
    if written.get("archive") == Some(&Value::Boolean(false)) && count.is_none() {
        faults.add(
            f.key("archive"),
            "is false, and there is no wordcount: the mapping neither archives nor counts. \
             Remove archive = false, or add a wordcount",
        );
    }
    f.finish(faults);
    // A fault was found, and the rest of the mapping is compared with other mappings all the same.
    let topics = topics.unwrap_or_else(|| Topics::Names(Vec::new()));
    let count = match count {
        Some(None) => return None,
        Some(Some(c)) => Some(Arc::new(c)),
        None => None,
    };
    Some(Mapping { name, topics, start, on_gap, archive, count, written })
}

fn topics(f: &mut Fields, faults: &mut Faults) -> Option<Topics> {
    let names = f.texts("topics", faults);
    let regex = f.text("topics_regex", faults);
    match (names, regex) {
        (Some(_), Some(_)) => {
            faults.add(
                f.key("topics"),
                "topics and topics_regex can't both be set; make two mappings",
            );
            None
        }
        (Some(names), None) => {
            if names.is_empty() {
                faults.add(f.key("topics"), "is empty; name at least one topic");
            }
            for name in &names {
                if !is_topic_name(name) {
                    faults.add(
                        f.key("topics"),
                        format!(
                            "{name:?} is not a topic name: Kafka allows letters, digits, '.', '_' \
                             and '-'; for a pattern write topics_regex"
                        ),
                    );
                }
            }
            Some(Topics::Names(names))
        }
        (None, Some(pattern)) => match whole_names(&pattern) {
            Ok(regex) => Some(Topics::Regex(regex)),
            Err(e) => {
                faults.add(f.key("topics_regex"), format!("{pattern:?}: {e}"));
                None
            }
        },
        (None, None) => {
            f.require("topics", None, "write topics = [\"name\"] or topics_regex = \"…\"", faults)
        }
    }
}

/// A pattern of whole names; an error shows the pattern as it was written.
fn whole_names(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(pattern).and_then(|_| Regex::new(&format!("^(?:{pattern})$")))
}

fn start(text: &str) -> Result<Start, String> {
    match text {
        "earliest" => Ok(Start::Earliest),
        "latest" => Ok(Start::Latest),
        time => {
            time.parse::<jiff::Timestamp>().map(|t| Start::At(t.as_millisecond())).map_err(|_| {
                format!(
                    "{time:?} is neither \"earliest\", \"latest\" nor a time like \
                     \"2026-11-22T17:00:00Z\""
                )
            })
        }
    }
}
