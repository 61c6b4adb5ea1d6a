//! Questions about a partition; none changes it.

use super::results_half::Results;
use super::rules::{CommittedView, Partition};
use crate::pure::formats::entry::EntryName;
use crate::pure::formats::metadata::Marks;
use crate::pure::protocol::recovery::Identity;
use crate::pure::record::{Offset, OffsetRange};

impl Partition {
    /// P, if it is known.
    #[must_use]
    pub fn p(&self) -> Option<Offset> {
        let a = self.archive.as_ref().map(|a| a.a);
        if self.sinks.counts { self.results.as_ref().map(|r| r.p) } else { a }
    }

    /// A, if it is known.
    #[must_use]
    pub fn a(&self) -> Option<Offset> {
        self.archive.as_ref().map(|a| a.a)
    }

    /// The offsets that were read for the archive, and that no entry names yet.
    #[must_use]
    pub fn unarchived(&self) -> Option<OffsetRange> {
        let archive = self.archive.as_ref()?;
        let range = OffsetRange { from: archive.a, to: archive.next_unassigned };
        (range.from < range.to).then_some(range)
    }

    /// The offsets that were read, for the archive or for the results, and that no entry is known
    /// to name.
    #[must_use]
    pub fn not_in_ledger(&self) -> Option<OffsetRange> {
        let alone = || {
            let range = OffsetRange { from: self.committed_offset()?, to: self.p()? };
            (self.sinks.archive && self.archive.is_none() && range.from < range.to).then_some(range)
        };
        self.unarchived().or_else(alone)
    }

    /// The offsets that are counted, and whose counts were not published.
    #[must_use]
    pub fn unpublished(&self) -> Option<OffsetRange> {
        let results = self.results.as_ref().filter(|_| self.sinks.counts)?;
        let range = OffsetRange { from: results.p, to: results.counted };
        (range.from < range.to).then_some(range)
    }

    /// The next offset to be counted, if P is known.
    #[must_use]
    pub fn counted(&self) -> Option<Offset> {
        self.results.as_ref().map(|r| r.counted)
    }

    /// Whether what is read now rebuilds state, and counts nothing.
    #[must_use]
    pub fn replays(&self) -> bool {
        self.results.as_ref().is_some_and(Results::replays)
    }

    /// The marks that belong to the records that are counted so far.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.results.as_ref().map_or(Marks::default(), |r| r.marks_in_memory)
    }

    /// The committed offset F, as far as it is known.
    #[must_use]
    pub fn committed_offset(&self) -> Option<Offset> {
        match self.committed {
            CommittedView::At { offset, .. } => Some(offset),
            _ => None,
        }
    }

    /// An entry that is known to exist.
    #[must_use]
    pub fn entry_hint(&self) -> Option<EntryName> {
        match self.committed {
            CommittedView::At { entry, trusted: true, .. } => entry,
            _ => None,
        }
    }

    /// Whether the committed offset's metadata does not belong to it: an operator moved it.
    #[must_use]
    pub fn was_moved(&self) -> bool {
        matches!(self.committed, CommittedView::At { trusted: false, .. })
    }

    /// Whether the ledger is known, and a committed offset too.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.archive.as_ref().is_some_and(|a| a.confirmed)
    }

    /// Whether no attempt is open or under way.
    #[must_use]
    pub fn has_no_attempts(&self) -> bool {
        self.archive.as_ref().is_none_or(|a| a.attempts.is_empty())
    }

    /// What entries and metadata are written for.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}
