//! The archive half: A, and the attempts between A and what was read.

use super::share::Append;
use crate::pure::fault::{PlantedFault, planted};
use crate::pure::formats::entry::{AttemptId, EntryName};
use crate::pure::record::Offset;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Archive {
    /// A: the tail's end.
    pub(super) a: Offset,
    pub(super) tail: EntryName,
    /// Next offset that no attempt has; at least `a`.
    pub(super) next_unassigned: Offset,
    /// A stable read has shown a committed offset: an Ok alone may be lost (KAFKA-17754). Nothing
    /// is read or appended before (rule 0).
    pub(super) confirmed: bool,
    /// In order of their ranges, which tile from `a` to `next_unassigned`, behind those that are
    /// appended and not published yet; only the last may be open.
    pub(super) attempts: Vec<Attempt>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Attempt {
    pub(super) id: AttemptId,
    pub(super) from: Offset,
    pub(super) stage: AttemptStage,
}

/// How far an attempt is on its way into the ledger.
///
/// ```text
/// Writing ─► Sealed ─► ManifestWritten ─► AppendSent ─► Appended ─► (published, forgotten)
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AttemptStage {
    /// Records are written; the range ends at the archive's next unassigned offset.
    Writing,
    /// The range has ended; the files are being closed.
    Sealed { to: Offset },
    /// The files and the manifest are complete: the attempt may be appended.
    ManifestWritten { to: Offset },
    /// The append was sent at least once: from now on only settle may delete it (rule 8).
    AppendSent { to: Offset },
    /// The ledger names the attempt; its files are on their way to the final paths.
    Appended { to: Offset },
}

impl AttemptStage {
    pub(super) fn may_be_appended(self) -> bool {
        matches!(self, AttemptStage::ManifestWritten { .. } | AttemptStage::AppendSent { .. })
    }

    /// An attempt whose append was sent is never deleted by its author: rule 8.
    pub(super) fn belongs_to_settle(self) -> bool {
        match self {
            AttemptStage::AppendSent { .. } => !planted(PlantedFault::DiscardTried),
            AttemptStage::Appended { .. } => true,
            _ => false,
        }
    }
}

impl Archive {
    pub(super) fn at(a: Offset, tail: EntryName, confirmed: bool) -> Archive {
        Archive { a, tail, next_unassigned: a, confirmed, attempts: Vec::new() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.attempts.last().is_some_and(|a| a.stage == AttemptStage::Writing)
    }

    /// Whether every attempt is in the ledger.
    pub(super) fn all_appended(&self) -> bool {
        self.attempts.iter().all(|a| matches!(a.stage, AttemptStage::Appended { .. }))
    }

    /// A record that an attempt has already is not archived again.
    fn is_unassigned(&self, offset: Offset) -> bool {
        self.next_unassigned <= offset || self.is_open() && planted(PlantedFault::ArchiveBelowA)
    }

    #[inline]
    pub(super) fn accept(
        &mut self,
        offset: Offset,
        id: impl FnOnce() -> AttemptId,
    ) -> Option<Append> {
        if !self.is_unassigned(offset) {
            return None;
        }
        let mut append = Append::ToOpen;
        if !self.is_open() {
            let (id, from) = (id(), self.next_unassigned);
            self.attempts.push(Attempt { id, from, stage: AttemptStage::Writing });
            append = Append::ToNew { id, from };
        }
        self.next_unassigned = offset.next().max(self.next_unassigned);
        Some(append)
    }

    pub(super) fn attempt(&mut self, id: AttemptId) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|a| a.id == id)
    }
}
