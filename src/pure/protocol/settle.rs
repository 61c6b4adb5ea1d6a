//! Rule 7: what may be done with an attempt's directory, by anyone, at any time.

use crate::pure::fault::{PlantedFault, planted};
use crate::pure::formats::entry::{AttemptId, EntryKey, Head};
use crate::pure::record::Offset;

/// The fate of one directory under `staging/`.
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

/// Decides about the directory of `attempt`, whose range begins at `key`.
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
