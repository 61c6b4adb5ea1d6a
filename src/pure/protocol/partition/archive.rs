//! How a partition's attempts come into the ledger, or are given up.

use super::archive_half::{Attempt, AttemptStage};
use super::rules::Partition;
use crate::pure::fault::{PlantedFault, planted};
use crate::pure::formats::entry::{AttemptId, EntryKey};
use crate::pure::protocol::append::AppendVerdict;
use crate::pure::protocol::invariants;
use crate::pure::record::OffsetRange;

/// Attempts that were given up. Only the author may delete the first kind, and nobody but settle
/// the second: their appends may still land.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Forgotten {
    /// The append was never sent: the directory is to be deleted.
    pub discard: Vec<(EntryKey, AttemptId)>,
    /// The append was sent: settle decides.
    pub leave: Vec<AttemptId>,
}

impl Partition {
    /// Ends the open attempt; its files are to be closed and its manifest written.
    pub fn seal(&mut self) -> Option<(AttemptId, OffsetRange)> {
        let archive = self.archive.as_mut()?;
        let to = archive.next_unassigned;
        let last = archive.attempts.last_mut().filter(|a| a.stage == AttemptStage::Writing)?;
        let range = OffsetRange { from: last.from, to };
        assert!(range.from < to, "an attempt holds at least one record");
        last.stage = AttemptStage::Sealed { to };
        Some((last.id, range))
    }

    /// The files of a sealed attempt are closed, and its manifest is written.
    pub fn on_manifest(&mut self, id: AttemptId) {
        if let Some(attempt) = self.archive.as_mut().and_then(|a| a.attempt(id))
            && let AttemptStage::Sealed { to } = attempt.stage
        {
            attempt.stage = AttemptStage::ManifestWritten { to };
        }
    }

    /// Whether this attempt's append may be sent: an entry that ends at its `from` exists.
    #[must_use]
    pub fn may_append(&self, id: AttemptId) -> bool {
        let Some(archive) = &self.archive else {
            return false;
        };
        let confirmed = archive.confirmed || planted(PlantedFault::AppendBeforeConfirmed);
        let Some(attempt) = archive.attempts.iter().find(|a| a.id == id) else {
            return false;
        };
        let tiles = attempt.from == archive.a || planted(PlantedFault::AppendOutOfOrder);
        confirmed && tiles && attempt.stage.may_be_appended()
    }

    /// The attempt whose append is to be sent next, if there is one.
    #[must_use]
    pub fn next_append(&self) -> Option<AttemptId> {
        let attempts = self.archive.iter().flat_map(|a| &a.attempts);
        let ready = |a: &&Attempt| matches!(a.stage, AttemptStage::ManifestWritten { .. });
        attempts.filter(ready).map(|a| a.id).find(|id| self.may_append(*id))
    }

    /// The append is sent now.
    pub fn append_sent(&mut self, id: AttemptId) {
        assert!(self.may_append(id), "rule 6: only behind an entry that is known to exist");
        let archive = self.archive.as_mut().expect("checked above");
        let attempt = archive.attempt(id).expect("checked above");
        if let AttemptStage::ManifestWritten { to } = attempt.stage {
            attempt.stage = AttemptStage::AppendSent { to };
            let from = attempt.from;
            if planted(PlantedFault::AdvanceOnTry) {
                archive.a = to;
                archive.tail.key = EntryKey::At(from);
            }
        }
    }

    /// Takes what the append came to (see [`crate::pure::protocol::append::verdict`]). The answer
    /// for an attempt that was forgotten meanwhile changes nothing.
    pub fn on_append(&mut self, id: AttemptId, verdict: AppendVerdict) -> Forgotten {
        let Some(archive) = &mut self.archive else {
            return Forgotten::default();
        };
        let tail_end = archive.a;
        let Some(attempt) = archive.attempt(id) else {
            return Forgotten::default();
        };
        match (verdict, attempt.stage) {
            (AppendVerdict::Again, _) => Forgotten::default(),
            (AppendVerdict::Lost, _) => self.forget_lost(),
            (
                AppendVerdict::Appended,
                AttemptStage::ManifestWritten { to } | AttemptStage::AppendSent { to },
            ) => {
                attempt.stage = AttemptStage::Appended { to };
                let from = attempt.from;
                invariants::assert_tiles(tail_end, from, to);
                archive.a = to;
                archive.tail.key = EntryKey::At(from);
                Forgotten::default()
            }
            (AppendVerdict::Appended, stage) => {
                unreachable!("an attempt in stage {stage:?} has no append under way")
            }
        }
    }

    /// The files of an appended attempt are at their final paths.
    pub fn on_published(&mut self, id: AttemptId) {
        if let Some(archive) = &mut self.archive {
            archive.attempts.retain(|a| a.id != id);
        }
    }

    /// Gives the open attempt up: its files can't be completed. What comes before it goes on.
    pub fn abandon_open(&mut self) -> Option<(EntryKey, AttemptId)> {
        let archive = self.archive.as_mut().filter(|a| a.is_open())?;
        let open = archive.attempts.pop()?;
        archive.next_unassigned = open.from;
        Some((EntryKey::At(open.from), open.id))
    }

    /// Another entry stands where an attempt's would. What is sealed behind it is not deleted: the
    /// log may have lost its records meanwhile, and then whoever recovers appends it (rule 11).
    fn forget_lost(&mut self) -> Forgotten {
        let attempts = self.archive.iter().flat_map(|a| &a.attempts);
        let sealed = attempts.filter(|a| matches!(a.stage, AttemptStage::ManifestWritten { .. }));
        let sealed: Vec<AttemptId> = sealed.map(|a| a.id).collect();
        let mut forgotten = self.forget_archive();
        forgotten.discard.retain(|(_, id)| !sealed.contains(id));
        forgotten.leave.extend(sealed);
        forgotten
    }

    /// The archive half is unknown from now on: an append was lost, the store has failed, or the
    /// assignment ends. The ledger tells how the archive goes on.
    pub fn forget_archive(&mut self) -> Forgotten {
        let mut forgotten = Forgotten::default();
        for attempt in self.archive.take().into_iter().flat_map(|a| a.attempts) {
            if attempt.stage.belongs_to_settle() {
                forgotten.leave.push(attempt.id);
            } else {
                forgotten.discard.push((EntryKey::At(attempt.from), attempt.id));
            }
        }
        forgotten
    }
}
