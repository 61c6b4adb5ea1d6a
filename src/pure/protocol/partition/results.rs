//! What a transaction carries for a partition, and what its answer means.

use super::results_half::Results;
use super::rules::{CommittedView, Partition};
use crate::pure::fault::{PlantedFault, planted};
use crate::pure::formats::entry::EntryName;
use crate::pure::formats::metadata::{Marks, Metadata};
use crate::pure::protocol::invariants;
use crate::pure::record::{Offset, OffsetRange};

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
