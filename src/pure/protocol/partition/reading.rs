//! Where reading begins, and which halves take a record.

use super::archive_half::Archive;
use super::results_half::Results;
use super::rules::{CommittedView, Partition};
use super::share::Share;
use crate::pure::fault::{PlantedFault, planted};
use crate::pure::formats::entry::AttemptId;
use crate::pure::formats::metadata::Marks;
use crate::pure::record::Offset;

impl Partition {
    /// Where reading must begin now; `None` while nothing may be read.
    #[must_use]
    pub fn start(&self) -> Option<Offset> {
        let confirmed = |a: &&Archive| a.confirmed || planted(PlantedFault::AppendBeforeConfirmed);
        let next_unassigned = self.archive.as_ref().filter(confirmed).map(|a| a.next_unassigned);
        let next = |r: &Results| if r.replays() { r.replayed } else { r.counted };
        let counted = self.results.as_ref().map(next);
        match (self.sinks.counts, self.sinks.archive) {
            (false, _) => next_unassigned,
            (true, false) => counted,
            (true, true) if self.archive.is_some() => {
                let (counted, next_unassigned) = (counted?, next_unassigned?);
                if planted(PlantedFault::StartAtP) {
                    return Some(counted);
                }
                Some(if planted(PlantedFault::StartAtA) {
                    next_unassigned
                } else {
                    counted.min(next_unassigned)
                })
            }
            // The store is down: results alone, if what F must stay is known for certain.
            (true, true) => match self.committed {
                CommittedView::At { trusted: true, .. } => counted,
                _ => None,
            },
        }
    }

    /// Takes one record: rising offsets, holes allowed. `id` names the attempt, if one must open.
    #[inline]
    pub fn accept(&mut self, offset: Offset, id: impl FnOnce() -> AttemptId) -> Share {
        let results = match &mut self.results {
            Some(results) if self.sinks.counts => results.accept(offset),
            _ => None,
        };
        let archive = self.archive.as_mut().and_then(|archive| archive.accept(offset, id));
        Share { archive, results }
    }

    /// There is no record below `position` any more (transaction markers, compaction).
    pub fn skip_to(&mut self, position: Offset) {
        if let Some(results) = &mut self.results {
            results.counted = results.counted.max(position);
            results.replayed = results.replayed.max(position);
        }
        if let Some(archive) = self.archive.as_mut().filter(|a| a.is_open()) {
            archive.next_unassigned = archive.next_unassigned.max(position);
        }
    }

    /// Takes the state of the results as of the last counted record: the first offset that the
    /// state still needs (`needed_from`), and its marks. The caller tells it before each
    /// [`Partition::plan`].
    pub fn note_results_state(&mut self, needed_from: Option<Offset>, marks: Marks) {
        if let Some(results) = &mut self.results {
            (results.needed_from, results.marks_in_memory) = (needed_from, marks);
        }
    }
}
