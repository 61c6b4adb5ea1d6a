//! What others may look at.

use super::*;

impl Partition {
    /// P, if it is known.
    #[must_use]
    pub fn p(&self) -> Option<Offset> {
        let a = self.archive.as_ref().map(|a| a.a);
        if self.roles.counts { self.results.as_ref().map(|r| r.p) } else { a }
    }

    /// A, if it is known.
    #[must_use]
    pub fn a(&self) -> Option<Offset> {
        self.archive.as_ref().map(|a| a.a)
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

    /// What belongs to the records that are counted so far.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.results.as_ref().map_or(Marks::default(), |r| r.seen)
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
    pub fn is_begun(&self) -> bool {
        self.archive.as_ref().is_some_and(|a| a.begun)
    }

    /// Attempts in memory: whether one is open, and how many wait for their append.
    #[cfg(test)]
    #[must_use]
    pub fn attempts(&self) -> (bool, usize) {
        let attempts = self.archive.as_ref().map_or(&[][..], |a| &a.attempts);
        let open = attempts.iter().filter(|a| a.state == State::Open).count();
        (open > 0, attempts.len() - open)
    }

    #[cfg(test)]
    #[must_use]
    pub fn roles(&self) -> Roles {
        self.roles
    }
}

/// What only the search looks at.
#[cfg(test)]
impl Partition {
    pub(crate) fn knows(&self, id: AttemptId) -> bool {
        self.archive.as_ref().is_some_and(|a| a.attempts.iter().any(|x| x.id == id))
    }

    pub(crate) fn was_tried(&self, id: AttemptId) -> bool {
        let attempts = self.archive.iter().flat_map(|a| &a.attempts);
        attempts.into_iter().any(|x| x.id == id && matches!(x.state, State::Tried { .. }))
    }

    pub(crate) fn open_attempt(&self) -> Option<AttemptId> {
        let last = self.archive.as_ref()?.attempts.last()?;
        (last.state == State::Open).then_some(last.id)
    }

    /// Attempts by place; their state is part of the place.
    pub(crate) fn place_of(&self, id: AttemptId) -> Option<(usize, bool)> {
        let at = self.archive.as_ref()?.attempts.iter().position(|a| a.id == id)?;
        Some((at, self.was_tried(id)))
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
        if let Some(archive) = self.archive.as_ref().filter(|a| a.begun) {
            let (p, marks) = (Offset(0), Marks::default());
            self.results = Some(Results { counted: archive.fed, ..Results::at(p, p, marks) });
            let offset = Offset(0);
            self.committed = CommittedView::At { offset, p, entry: None, marks, trusted: true };
        }
    }
}
