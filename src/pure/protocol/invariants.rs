//! Invariants of one owner as plain functions. The search checks them in every state, and the
//! rules assert them in release builds too: they cost nothing there.

use crate::pure::fault::{PlantedFault, planted};
use crate::pure::record::Offset;

/// I4: the committed offset F is not above min(A, P), so that nothing is forgotten that a sink
/// still needs.
#[must_use]
pub fn i4_holds(committed: Offset, archive: Offset, results: Offset) -> bool {
    committed <= archive && committed <= results
}

/// I2: an entry begins where the entry before it ends, and holds at least one offset.
#[must_use]
pub fn tiles(tail_end: Offset, from: Offset, to: Offset) -> bool {
    from == tail_end && from < to
}

/// I8: what the daemon deletes, it must be able to read again. `first` is the first offset of what
/// is to be deleted, and `log_start` the start of the log of the same topic; [`None`] if there is
/// no such log any more.
#[must_use]
pub fn can_be_read_again(first: Offset, log_start: Option<Offset>) -> bool {
    log_start.is_some_and(|start| start <= first)
}

/// Asserts [`i4_holds`] for a commit that is about to be sent.
///
/// # Panics
/// The commit would forget what a sink still needs: the process ends before it does harm.
pub(super) fn assert_i4(committed: Offset, archive: Offset, results: Offset) {
    let broken_on_purpose = planted(PlantedFault::CommitP) || planted(PlantedFault::AdvanceOnTry);
    assert!(
        i4_holds(committed, archive, results) || broken_on_purpose,
        "I4: F = {committed} would be above min(A = {archive}, P = {results})"
    );
}

/// Asserts [`tiles`] for an entry that was appended.
///
/// # Panics
/// The ledger has a hole, or two entries overlap.
pub(super) fn assert_tiles(tail_end: Offset, from: Offset, to: Offset) {
    let broken_on_purpose =
        planted(PlantedFault::AppendOutOfOrder) || planted(PlantedFault::AdvanceOnTry);
    assert!(
        tiles(tail_end, from, to) || broken_on_purpose,
        "I2: the entry [{from}, {to}) does not begin at the tail's end {tail_end}"
    );
}
