//! Rule 6: what the answer to an append means.
//!
//! An append is the rename of the manifest onto the entry's name, without overwrite. Its answer
//! may be lost, or be late. So whatever it was, the ledger is read, and decides.

use crate::pure::fault::{PlantedFault, planted};
use crate::pure::formats::entry::{AttemptId, Head};

/// The facts that are read from the store after an append was sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AppendFacts {
    /// The attempt whose append it was.
    pub mine: AttemptId,
    /// The entry that stands at the attempt's `from` now.
    pub entry: Option<Head>,
    /// Whether the manifest is still staged. This is read *before* the entry: a rename that happens
    /// between the two reads must not be taken for a deletion.
    pub manifest: bool,
}

/// What the owner does after an append.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AppendVerdict {
    /// The entry stands and is mine: A is the attempt's end.
    Appended,
    /// The entry is another's, or my manifest is gone: forget this attempt and all stacked on
    /// it, read the ledger again. P stays.
    Lost,
    /// Nothing is known to have happened: send it again.
    Again,
}

/// Decides what came of an append.
#[must_use]
pub fn verdict(facts: AppendFacts) -> AppendVerdict {
    match facts.entry {
        Some(e) if e.attempt == facts.mine || planted(PlantedFault::ExistsIsMine) => {
            AppendVerdict::Appended
        }
        Some(_) => AppendVerdict::Lost,
        None if facts.manifest => AppendVerdict::Again,
        None => AppendVerdict::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::formats::entry::EntryKey;
    use crate::pure::record::Offset;

    #[test]
    fn the_entry_decides_and_where_there_is_none_the_manifest() {
        let mine = AttemptId(1);
        let entry = |attempt| Some(Head { key: EntryKey::At(Offset(5)), attempt, to: Offset(9) });
        for (entry, manifest, expected) in [
            (entry(mine), true, AppendVerdict::Appended),
            (entry(mine), false, AppendVerdict::Appended),
            (entry(AttemptId(2)), true, AppendVerdict::Lost),
            (entry(AttemptId(2)), false, AppendVerdict::Lost),
            (None, true, AppendVerdict::Again),
            // Somebody has deleted the manifest: nothing can be sent again.
            (None, false, AppendVerdict::Lost),
        ] {
            let facts = AppendFacts { mine, entry, manifest };
            assert_eq!(verdict(facts), expected, "{facts:?}");
        }
    }
}
