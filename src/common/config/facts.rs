//! What the code that reads a configuration tells of each key: its type, its bounds, its words.
//!
//! The reference of the configuration and its JSON Schema are made of this, so that neither can say
//! anything else than the code.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a key may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A string; some are parsed further.
    Text,
    Flag,
    Number {
        least: i64,
        most: i64,
    },
    Duration {
        least: Duration,
    },
    /// Bytes.
    Size {
        least: u64,
    },
    /// One of these words.
    Choice(Vec<String>),
    Texts,
    /// A table whose keys the program knows.
    Table,
    /// A table whose keys the user chooses.
    Entries,
    /// One of several forms.
    Other,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fact {
    pub(super) kind: Kind,
    pub(super) is_required: bool,
}

/// All keys that were asked for, by their full paths.
#[derive(Clone, Default, Debug)]
pub(super) struct Facts(pub(super) BTreeMap<String, Fact>);

impl Facts {
    /// Notes a key. What was noted first is more exact.
    pub(super) fn add(&mut self, key: String, kind: Kind) {
        let _ = self.0.entry(key).or_insert(Fact { kind, is_required: false });
    }

    /// The key must be there.
    pub(super) fn require(&mut self, key: String) {
        if let Some(fact) = self.0.get_mut(&key) {
            fact.is_required = true;
        }
    }
}
