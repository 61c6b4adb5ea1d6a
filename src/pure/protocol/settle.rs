//! Rule 7: what may be done with an attempt, by anyone, at any time.

use crate::pure::fault::{PlantedFault, planted};
use crate::pure::formats::entry::{AttemptId, EntryKey, Head};
use crate::pure::record::Offset;

/// The fate of an attempt of which something is staged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Settle {
    /// The ledger names it: rename what is left in it to the final paths (no overwrite), then
    /// delete it.
    RollForward,
    /// The ledger has passed it and names another: it can never be appended. Delete it.
    Delete,
    /// Its append may still come, or may be under way.
    HandsOff,
}

/// Decides about what is staged of `attempt`, whose range begins at `key`.
///
/// `entry` is the entry that stands at `key`; `tail` the ledger's tail, which may be older than
/// the truth: a tail never goes back, so an old one only makes this more careful.
#[must_use]
pub fn settle(
    key: EntryKey,
    attempt: AttemptId,
    entry: Option<Head>,
    tail: Option<Head>,
) -> Settle {
    let named = entry.is_some_and(|e| e.attempt == attempt);
    if named && !planted(PlantedFault::SettleIgnoresNames) {
        return Settle::RollForward;
    }
    let passed = match (key, tail) {
        (EntryKey::Genesis, tail) => tail.is_some(),
        (EntryKey::At(from), Some(tail)) => from < limit(tail),
        (EntryKey::At(_), None) => false,
    };
    if passed || planted(PlantedFault::SettleUnnamedAnywhere) {
        Settle::Delete
    } else {
        Settle::HandsOff
    }
}

fn limit(tail: Head) -> Offset {
    match tail.key {
        EntryKey::At(from) if planted(PlantedFault::SettleBelowTailFrom) => from,
        _ => tail.to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_ledger_has_passed_or_names_may_be_touched() {
        let mine = AttemptId(1);
        let head = |key, attempt, to| Head { key, attempt, to: Offset(to) };
        let at = |from| EntryKey::At(Offset(from));
        let (own, other) = (head(at(5), mine, 9), head(at(5), AttemptId(2), 9));
        let (before, genesis) =
            (head(at(0), AttemptId(3), 5), head(EntryKey::Genesis, AttemptId(4), 0));
        for (key, entry, tail, expected) in [
            (at(5), Some(own), Some(own), Settle::RollForward),
            // The tail may be older than the entry.
            (at(5), Some(own), Some(before), Settle::RollForward),
            (at(5), Some(own), None, Settle::RollForward),
            (at(5), Some(other), Some(other), Settle::Delete),
            (at(5), None, Some(other), Settle::Delete),
            // The ledger ends where the attempt begins: its append may still come.
            (at(5), None, Some(before), Settle::HandsOff),
            (at(5), None, Some(genesis), Settle::HandsOff),
            (at(5), None, None, Settle::HandsOff),
            (EntryKey::Genesis, None, None, Settle::HandsOff),
            (EntryKey::Genesis, None, Some(genesis), Settle::Delete),
        ] {
            assert_eq!(settle(key, mine, entry, tail), expected, "{key:?} {entry:?} {tail:?}");
        }
    }
}
