//! The results half: what is counted, and what is known to be committed.

use super::share::Use;
use crate::pure::fault::{PlantedFault, planted};
use crate::pure::formats::metadata::Marks;
use crate::pure::record::Offset;

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

/// What the published counts of a partition say of its position; [`None`] if there are none.
pub type Published = Result<Option<KnownPosition>, Unsure>;

/// Counts of the partition may have been published that nobody can read any more.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Unsure {
    /// What those say that can be read; [`None`] if there are none.
    pub known: Option<KnownPosition>,
    /// What can't be read, for people.
    pub why: String,
}

impl KnownPosition {
    /// There was nothing before: the results begin at `start`.
    #[must_use]
    pub fn none(start: Offset) -> KnownPosition {
        KnownPosition { p: start, replay: start, marks: Marks::default() }
    }
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
