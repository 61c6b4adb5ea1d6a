//! Reads a TOML table key by key and gathers *every* fault, instead of stopping at the first as
//! serde does: whoever writes a configuration wants the whole list.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use toml::{Table, Value};

use crate::common::config::facts::{Facts, Kind};
use crate::common::config::places::TextPlace;
use crate::pure::duration;

/// The largest size that a key may have, bytes: the library takes a number that it can't hold for
/// the largest that it can.
const LARGEST: u64 = 1 << 50;

/// The longest time that a key may have: sums of times and points in time hold it.
const LONGEST: Duration = Duration::from_hours(24 * 36_500);

/// How the message of a key begins that is not there.
const MISSING: &str = "is missing";

/// How the message of a key begins that is like no key of its table.
const UNKNOWN: &str = "unknown key; the keys here are";

/// One thing that is wrong, with the key it is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigFault {
    pub key: String,
    pub message: String,
    /// Where the key stands in the file, or its table where the key is missing; [`None`] if
    /// neither is there.
    pub place: Option<TextPlace>,
    /// The key that asks for the missing one. It has a place where the missing one has none.
    pub(super) asked_by: Option<String>,
}

impl ConfigFault {
    /// A fault whose place in the file is not looked up yet.
    pub fn new(key: impl Into<String>, message: impl fmt::Display) -> ConfigFault {
        ConfigFault { key: key.into(), message: message.to_string(), place: None, asked_by: None }
    }

    /// Whether the fault is that the key is not there.
    pub(super) fn is_missing(&self) -> bool {
        self.message.starts_with(MISSING)
    }

    /// Whether the fault is that the table has no such key, nor one that is written alike.
    pub(super) fn is_unknown(&self) -> bool {
        self.message.starts_with(UNKNOWN)
    }
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// All faults of one configuration, each of them once; and what its reading tells of the keys.
#[derive(Default, Debug)]
pub(super) struct Faults(pub Vec<ConfigFault>, pub Facts);

impl Faults {
    pub(super) fn add(&mut self, key: impl Into<String>, message: impl fmt::Display) {
        self.push(ConfigFault::new(key, message));
    }

    /// Adds the fault of a key that is missing, and that another key asks for.
    pub(super) fn add_asked(&mut self, key: &str, asked_by: String, message: impl fmt::Display) {
        let asked_by = Some(asked_by);
        self.push(ConfigFault { asked_by, ..ConfigFault::new(key, message) });
    }

    fn push(&mut self, fault: ConfigFault) {
        if !self.0.contains(&fault) {
            self.0.push(fault);
        }
    }
}

/// A table that is being read; what nobody asked for is unknown.
pub(super) struct Fields {
    path: String,
    table: Table,
    known: Vec<&'static str>,
}

impl Fields {
    pub(super) fn new(path: impl Into<String>, table: Table) -> Fields {
        Fields { path: path.into(), table, known: Vec::new() }
    }

    /// What nobody has taken yet.
    pub(super) fn table_as_written(&self) -> Table {
        self.table.clone()
    }

    /// The full path of a key.
    pub(super) fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.table.remove(name)
    }

    pub(super) fn text(&mut self, name: &'static str, faults: &mut Faults) -> Option<String> {
        self.text_such_as(name, "a string", faults)
    }

    /// A string; `want` says with an example what it must be, where something else is written.
    pub(super) fn text_such_as(
        &mut self,
        name: &'static str,
        want: &str,
        faults: &mut Faults,
    ) -> Option<String> {
        faults.1.add(self.key(name), Kind::Text);
        match self.take(name)? {
            Value::String(s) => Some(s),
            other => self.wrong_type(name, want, &other, faults),
        }
    }

    /// A string, of which these words are known; whoever reads it says what is wrong with others.
    pub(super) fn word(
        &mut self,
        name: &'static str,
        words: Vec<String>,
        faults: &mut Faults,
    ) -> Option<String> {
        faults.1.add(self.key(name), Kind::Choice(words));
        self.text(name, faults)
    }

    /// A string that something reads; the reader's own error is shown.
    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        faults: &mut Faults,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.parsed_such_as(name, "a string", faults, parse)
    }

    fn parsed_such_as<T>(
        &mut self,
        name: &'static str,
        want: &str,
        faults: &mut Faults,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text_such_as(name, want, faults)?;
        parse(&text).map_err(|e| faults.add(self.key(name), e)).ok()
    }

    pub(super) fn flag(&mut self, name: &'static str, faults: &mut Faults) -> Option<bool> {
        faults.1.add(self.key(name), Kind::Flag);
        match self.take(name)? {
            Value::Boolean(b) => Some(b),
            other => self.wrong_type(name, "true or false", &other, faults),
        }
    }

    pub(super) fn number<T: TryFrom<i64>>(
        &mut self,
        name: &'static str,
        range: std::ops::RangeInclusive<i64>,
        faults: &mut Faults,
    ) -> Option<T> {
        faults.1.add(self.key(name), Kind::Number { least: *range.start(), most: *range.end() });
        match self.take(name)? {
            Value::Integer(n) if range.contains(&n) => T::try_from(n).ok(),
            Value::Integer(n) => {
                let (lo, hi) = range.into_inner();
                faults.add(self.key(name), format!("{n} is not between {lo} and {hi}"));
                None
            }
            other => self.wrong_type(name, "a whole number", &other, faults),
        }
    }

    /// `"2s"`, `"10m"`, `"1h 30m"`, `"7d"`; at least so long.
    pub(super) fn duration(
        &mut self,
        name: &'static str,
        at_least: Duration,
        faults: &mut Faults,
    ) -> Option<Duration> {
        faults.1.add(self.key(name), Kind::Duration { least: at_least });
        self.parsed_such_as(name, "a string such as \"2s\"", faults, |text| {
            let duration = duration::parse(text)?;
            if duration < at_least {
                return Err(format!("{text:?} is too short; the least is {at_least:?}"));
            }
            if LONGEST < duration {
                return Err(format!("{text:?} is too long; the most is 36500d"));
            }
            Ok(duration)
        })
    }

    /// `"128MiB"`, `"1GB"`; at least `at_least` bytes.
    pub(super) fn size(
        &mut self,
        name: &'static str,
        at_least: u64,
        faults: &mut Faults,
    ) -> Option<u64> {
        faults.1.add(self.key(name), Kind::Size { least: at_least });
        self.parsed_such_as(name, "a string such as \"128MiB\"", faults, |text| {
            let size = bytesize::ByteSize::from_str(text)
                .map_err(|_| format!("{text:?} is not a size; write \"128MiB\" or \"1GB\""))?;
            if size.as_u64() < at_least {
                let least = bytesize::ByteSize(at_least);
                return Err(format!("{text:?} is too small; the least is {least}"));
            }
            if LARGEST < size.as_u64() {
                let most = bytesize::ByteSize(LARGEST);
                return Err(format!("{text:?} is too large; the most is {most}"));
            }
            Ok(size.as_u64())
        })
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&str, T)],
        faults: &mut Faults,
    ) -> Option<T> {
        let words = choices.iter().map(|(word, _)| (*word).to_string()).collect();
        faults.1.add(self.key(name), Kind::Choice(words));
        self.parsed(name, faults, |text| {
            choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(
                || {
                    let words: Vec<String> =
                        choices.iter().map(|(w, _)| format!("{w:?}")).collect();
                    format!("{text:?} is none of {}", words.join(", "))
                },
            )
        })
    }

    pub(super) fn texts(&mut self, name: &'static str, faults: &mut Faults) -> Option<Vec<String>> {
        faults.1.add(self.key(name), Kind::Texts);
        let list = match self.take(name)? {
            Value::Array(list) => list,
            other => return self.wrong_type(name, "a list of strings", &other, faults),
        };
        let mut texts = Vec::new();
        for value in list {
            match value {
                Value::String(s) => texts.push(s),
                other => return self.wrong_type(name, "a list of strings", &other, faults),
            }
        }
        Some(texts)
    }

    pub(super) fn table(&mut self, name: &'static str, faults: &mut Faults) -> Option<Fields> {
        faults.1.add(self.key(name), Kind::Table);
        match self.take(name)? {
            Value::Table(table) => Some(Fields::new(self.key(name), table)),
            other => self.wrong_type(name, "a table", &other, faults),
        }
    }

    /// A table whose keys the user chooses.
    pub(super) fn entries(
        &mut self,
        name: &'static str,
        faults: &mut Faults,
    ) -> Vec<(String, Value)> {
        faults.1.add(self.key(name), Kind::Entries);
        match self.take(name) {
            None => Vec::new(),
            Some(Value::Table(table)) => table.into_iter().collect(),
            Some(other) => {
                let _: Option<()> = self.wrong_type(name, "a table", &other, faults);
                Vec::new()
            }
        }
    }

    /// A key that must be there; says what it is for.
    pub(super) fn require<T>(
        &self,
        name: &str,
        value: Option<T>,
        hint: &str,
        faults: &mut Faults,
    ) -> Option<T> {
        faults.1.require(self.key(name));
        let reported = faults.0.iter().any(|f| f.key == self.key(name));
        if value.is_none() && !reported {
            faults.add(self.key(name), format!("{MISSING}; {hint}"));
        }
        value
    }

    pub(super) fn wrong_type<T>(
        &self,
        name: &str,
        want: &str,
        got: &Value,
        faults: &mut Faults,
    ) -> Option<T> {
        let got = got.type_str();
        faults.add(self.key(name), format!("must be {want}, not {got}"));
        None
    }

    /// Everything that is left is unknown.
    pub(super) fn finish(self, faults: &mut Faults) {
        for name in &self.known {
            faults.1.add(self.key(name), Kind::Other);
        }
        for name in self.table.keys() {
            let near = self
                .known
                .iter()
                .map(|k| (strsim::damerau_levenshtein(k, name), k))
                .filter(|(distance, k)| *distance <= 3.min(k.len() / 2))
                .min();
            let hint = match near {
                Some((_, k)) => format!("unknown key; did you mean {k:?}?"),
                None => format!("{UNKNOWN} {}", self.known.join(", ")),
            };
            faults.add(self.key(name), hint);
        }
    }
}

/// Whether Kafka allows a topic of this name.
pub(super) fn is_topic_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=249).contains(&name.len()) && name.chars().all(plain) && name != "." && name != ".."
}
