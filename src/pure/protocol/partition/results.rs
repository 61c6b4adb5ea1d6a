//! The results half: what is counted, and what a transaction carries.

use super::rules::{CommittedView, Partition};
use crate::pure::fault::{PlantedFault, planted};
use crate::pure::formats::entry::EntryName;
use crate::pure::formats::metadata::{Marks, Metadata};
use crate::pure::protocol::invariants;
use crate::pure::protocol::partition::reading::Use;
use crate::pure::record::{Offset, OffsetRange};

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Results {
    /// P: known to be committed.
    pub(super) p: Offset,
    /// Next offset that is not yet counted in memory; at least `p`.
    pub(super) counted: Offset,
    /// The last commit was answered Ok, and no stable read has confirmed it (KAFKA-17754).
    pub(super) unverified: bool,
    /// Next offset to be replayed into the state, while it is below `p`.
    pub(super) replayed: Offset,
    /// The first offset that the state needs, of those below `counted`.
    pub(super) needed_from: Option<Offset>,
    /// The marks that were committed with `p`.
    pub(super) marks: Marks,
    /// The marks that belong to `counted`.
    pub(super) marks_in_memory: Marks,
}

/// What is known of a partition's results without a committed offset.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct KnownPosition {
    pub p: Offset,
    /// F: from here to P the state is rebuilt.
    pub replay: Offset,
    pub marks: Marks,
}

impl KnownPosition {
    /// There was nothing before: the results begin at `start`.
    #[must_use]
    pub fn none(start: Offset) -> KnownPosition {
        KnownPosition { p: start, replay: start, marks: Marks::default() }
    }
}

/// One partition's share of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Plan {
    /// The transaction publishes the results of [p, to); empty where only the offset moves.
    pub results: OffsetRange,
    /// F.
    pub offset: Offset,
    pub entry: Option<EntryName>,
    pub marks: Marks,
}

impl Results {
    /// The half as it is committed: nothing is in memory.
    pub(super) fn at(p: Offset, replayed: Offset, marks: Marks) -> Results {
        Results {
            p,
            counted: p,
            unverified: false,
            replayed,
            needed_from: None,
            marks,
            marks_in_memory: marks,
        }
    }

    pub(super) fn replays(&self) -> bool {
        self.replayed < self.p
    }

    /// A record that was counted before is not counted again: rule 4.
    fn is_uncounted(&self, offset: Offset) -> bool {
        self.counted <= offset || planted(PlantedFault::CountBelowP)
    }

    #[inline]
    pub(super) fn accept(&mut self, offset: Offset) -> Option<Use> {
        let taken = if self.is_uncounted(offset) {
            self.counted = offset.next().max(self.counted);
            Some(Use::Count)
        } else if self.replays() && self.replayed <= offset {
            Some(Use::Replay)
        } else {
            None
        };
        self.replayed = self.replayed.max(offset.next());
        taken
    }
}

impl Partition {
    /// What a transaction would carry for this partition now; `None` if there is nothing to say
    /// or nothing may be said. With `with_results` false only the offset moves.
    #[must_use]
    pub fn plan(&self, with_results: bool) -> Option<Plan> {
        let replayed = |r: &&Results| !r.replays() || planted(PlantedFault::CommitInReplay);
        let results = self.results.as_ref().filter(|r| !r.unverified).filter(replayed)?;
        let (p, mut to, marks) = match with_results {
            true => (results.p, results.counted, results.marks_in_memory),
            false => (results.p, results.p, results.marks),
        };
        let attached = self.archive.as_ref();
        if !self.sinks.counts {
            to = attached?.a;
        }
        let (offset, entry) = match (attached, &self.committed) {
            _ if !self.sinks.archive => (to, None),
            (Some(archive), _) => (archive.a.min(to), Some(archive.tail)),
            (None, CommittedView::At { entry, .. }) if planted(PlantedFault::DetachedCommitsP) => {
                (to, *entry)
            }
            (None, CommittedView::At { offset, entry, trusted: true, .. }) => (*offset, *entry),
            (None, _) => return None,
        };
        let waits_for_state = self.sinks.keeps_state && !planted(PlantedFault::CommitAheadOfState);
        let needed = results.needed_from.filter(|_| waits_for_state);
        let offset = needed.map_or(offset, |needed| offset.min(needed));
        let offset = if planted(PlantedFault::CommitP) { to } else { offset };
        if let (Some(archive), true) = (attached, self.sinks.archive) {
            invariants::assert_i4(offset, archive.a, to);
        }
        let next = CommittedView::At { offset, p: to, entry, marks, trusted: true };
        let plan = Plan { results: OffsetRange { from: p, to }, offset, entry, marks };
        (self.committed != next).then_some(plan)
    }

    /// The metadata that rides with a plan.
    #[must_use]
    pub fn metadata(&self, plan: &Plan) -> Metadata {
        Metadata {
            p: plan.results.to,
            entry: plan.entry,
            root: if self.sinks.archive { self.identity.root.clone() } else { String::new() },
            topic_id: self.identity.topic_id.clone(),
            marks: plan.marks,
            lost: self.lost,
            partials: self.partials.as_deref().map(String::from),
        }
    }

    /// The transaction was answered with a plain Ok. One stable read is due before the next.
    pub fn on_commit_ok(&mut self, plan: &Plan) {
        let Plan { offset, entry, marks, results: OffsetRange { to: p, .. } } = *plan;
        self.committed = CommittedView::At { offset, p, entry, marks, trusted: true };
        if let Some(results) = &mut self.results {
            (results.p, results.marks) = (p, marks);
            results.replayed = results.replayed.max(p);
            results.counted = results.counted.max(p);
            results.unverified = !planted(PlantedFault::NoVerify);
        }
    }

    /// Any other answer, or generations that were missed: P is unknown until the next stable
    /// read. What was counted in memory is to be thrown away. Attempts live on.
    pub fn doubt(&mut self) {
        self.results = None;
        self.committed = CommittedView::Unread;
    }
}
