//! What lies in a root where readers don't look: entries, what is staged, and what is neither.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::archive::listing::{Finding, FindingKind, LedgerListing, LedgerPath, staged_at};
use crate::pure::layout::names::{self, IDENTITY, LEDGERS, PRIVATE, STAGING, StagedName};
use crate::pure::protocol::EntryKey;

/// The files below [`PRIVATE`].
#[derive(Default)]
pub struct Private {
    pub findings: Vec<Finding>,
    /// How many staged files no entry names, by partition: those of an attempt that is under way,
    /// or was left over.
    pub staged: BTreeMap<LedgerPath, usize>,
}

impl Private {
    /// Sorts what lies there. `files`: all files of the root, listed before its ledgers.
    #[must_use]
    pub fn of(files: &[String], ledgers: &[(LedgerPath, LedgerListing)]) -> Private {
        let places: BTreeSet<&LedgerPath> = ledgers.iter().map(|(place, _)| place).collect();
        let entries = || ledgers.iter().flat_map(|(_, listing)| &listing.entries);
        let named = entries().flat_map(|entry| entry.files.iter().map(move |file| (entry, file)));
        let named: BTreeSet<String> =
            named.flat_map(|(entry, file)| staged_at(entry, file)).collect();
        let mut private = Private::default();
        for path in files.iter().filter(|path| path.starts_with(PRIVATE)) {
            match Place::of(path) {
                Place::Ours => {}
                Place::Staged(_) if named.contains(path) => {}
                // A genesis entry is staged before the ledger is there.
                Place::Staged((_, EntryKey::Genesis)) => {}
                Place::Staged((place, _)) if places.contains(&place) => {
                    let count = private.staged.entry(place).or_default();
                    *count = count.saturating_add(1);
                }
                Place::Staged(_) => private.find(
                    path,
                    "the file is staged for a partition that has no ledger, so nobody will settle \
                     it; readers don't see it",
                ),
                Place::Foreign => private.find(
                    path,
                    "the file lies where alluvium keeps what is its own, and does not have the \
                     name of such a file; readers don't see it",
                ),
            }
        }
        private
    }

    fn find(&mut self, path: &str, detail: &str) {
        let (kind, path, detail) = (FindingKind::ForeignFile, path.into(), detail.into());
        self.findings.push(Finding { kind, path, detail });
    }
}

/// What a path below [`PRIVATE`] is, by its name.
enum Place {
    /// The identity, a file of a ledger's directory (the ledgers' listing reads these), a schema,
    /// or a new identity or schema before it is renamed.
    Ours,
    /// Of an attempt of this partition.
    Staged((LedgerPath, EntryKey)),
    Foreign,
}

impl Place {
    fn of(path: &str) -> Place {
        let below = |directory: &str| path.strip_prefix(directory)?.strip_prefix('/');
        if path == IDENTITY || names::is_schema(path) {
            return Place::Ours;
        }
        if let Some(inside) = below(LEDGERS) {
            return if inside.split('/').count() == 4 { Place::Ours } else { Place::Foreign };
        }
        let Some(inside) = below(STAGING) else { return Place::Foreign };
        let is_before = |name: &str| inside.starts_with(name) && !inside.contains('/');
        if is_before("identity-") || is_before("schema-") {
            return Place::Ours;
        }
        let segments: Vec<&str> = inside.split('/').collect();
        // The first version made a directory for each attempt.
        let (topic, incarnation, partition, name, in_old) = match *segments.as_slice() {
            [topic, incarnation, partition, name] => (topic, incarnation, partition, name, false),
            [topic, incarnation, partition, old, _] => (topic, incarnation, partition, old, true),
            _ => return Place::Foreign,
        };
        match names::parse_staged(name) {
            Some(StagedName { key, file, .. }) if file.is_none() == in_old => {
                let of = LedgerPath {
                    topic: topic.into(),
                    incarnation: incarnation.into(),
                    partition: partition.into(),
                };
                Place::Staged((of, key))
            }
            _ => Place::Foreign,
        }
    }
}
