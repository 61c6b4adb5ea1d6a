//! What only the search looks at.

use super::archive_half::{Attempt, AttemptStage};
use super::results_half::Results;
use super::rules::{CommittedView, Partition};
use crate::pure::formats::entry::AttemptId;
use crate::pure::formats::metadata::Marks;
use crate::pure::record::Offset;

impl Partition {
    pub(crate) fn knows(&self, id: AttemptId) -> bool {
        self.archive.as_ref().is_some_and(|a| a.attempts.iter().any(|x| x.id == id))
    }

    pub(crate) fn append_was_sent(&self, id: AttemptId) -> bool {
        let sent = |a: &Attempt| a.id == id && matches!(a.stage, AttemptStage::AppendSent { .. });
        self.archive.iter().flat_map(|a| &a.attempts).any(sent)
    }

    pub(crate) fn open_attempt(&self) -> Option<AttemptId> {
        let last = self.archive.as_ref()?.attempts.last()?;
        (last.stage == AttemptStage::Writing).then_some(last.id)
    }

    /// The attempt whose files are being closed: the first one without a manifest.
    pub(crate) fn sealed_attempt(&self) -> Option<AttemptId> {
        let attempts = self.archive.iter().flat_map(|a| &a.attempts);
        let sealed = |a: &&Attempt| matches!(a.stage, AttemptStage::Sealed { .. });
        attempts.filter(sealed).map(|a| a.id).next()
    }

    /// Attempts by place; their stage is part of the place.
    pub(crate) fn place_of(&self, id: AttemptId) -> Option<(usize, u8)> {
        let attempts = &self.archive.as_ref()?.attempts;
        let at = attempts.iter().position(|a| a.id == id)?;
        let stage = match attempts[at].stage {
            AttemptStage::Writing => 0,
            AttemptStage::Sealed { .. } => 1,
            AttemptStage::ManifestWritten { .. } => 2,
            AttemptStage::AppendSent { .. } => 3,
            AttemptStage::Appended { .. } => 4,
        };
        Some((at, stage))
    }

    pub(crate) fn relabel(&mut self, name: impl Fn(AttemptId) -> AttemptId) {
        for attempt in self.archive.iter_mut().flat_map(|a| &mut a.attempts) {
            attempt.id = name(attempt.id);
        }
    }

    /// A member of a past generation can't commit: what it believes about P no longer matters.
    /// Worlds that differ in nothing else are one.
    pub(crate) fn forget_beliefs(&mut self) {
        self.doubt();
        if let Some(archive) = self.archive.as_ref().filter(|a| a.confirmed) {
            let (p, marks) = (Offset(0), Marks::default());
            let counted = archive.next_unassigned;
            self.results = Some(Results { counted, ..Results::at(p, p, marks) });
            let offset = Offset(0);
            self.committed = CommittedView::At { offset, p, entry: None, marks, trusted: true };
        }
    }
}
