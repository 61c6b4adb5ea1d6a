//! Partitions that have had no record for long, in a worker with many partitions: nothing is
//! fetched for them.
//!
//! The client names every partition in each of its fetches, of which there are twenty a second for
//! each broker. With a thousand partitions without records, that is most of what the daemon does.
//! So a partition becomes dormant after a while: it is parked (see `fetching`) at the end of its
//! log. Once a second the ends of all dormant partitions are asked for together, and a partition
//! whose log has grown is fetched again.

use std::time::Duration;

use crate::common::clock::Now;
use crate::engine::worker::fetching::Dormancy;
use crate::engine::worker::partition::OwnedPartition;
use crate::engine::worker::round::Worker;
use crate::pure::protocol::machine::ReadStep;
use crate::pure::record::{Offset, TopicPartition};

/// A worker looks this often for partitions that become dormant.
const LOOK: Duration = Duration::from_secs(1);

/// So many become dormant at one look: each costs a call of the client.
const AT_ONCE: usize = 100;

impl OwnedPartition {
    /// The position where a dormant partition waits; [`None`] if it is not dormant, or has to be
    /// read from elsewhere.
    pub(super) fn dormant_at(&self, now: Now) -> Option<Offset> {
        let machine = &self.sinks.machine;
        let at = self.fetching.dormant.filter(|at| machine.position() == Some(*at));
        at.filter(|_| !matches!(machine.next_read(now.moment()), ReadStep::Seek { .. }))
    }

    /// Nothing has come for so long, and nothing is wrong with the partition.
    fn is_quiet(&self, after: Duration, now: Now) -> bool {
        let view = &self.sinks.view;
        self.fetching.is_at_end()
            && self.fetching.dormant.is_none()
            && self.fetching.gave + after <= now.instant
            && self.sinks.machine.next_read(now.moment()) == ReadStep::Read
            && !view.read_failed
            && view.may_not_read.is_none()
    }

    fn become_dormant(&mut self) {
        let Some(at) = self.sinks.machine.position() else { return };
        match self.source.park() {
            Ok(()) => self.fetching.is_dormant(at),
            Err(error) => {
                tracing::debug!(tp = %self.sinks.tp, %error, "the client refused to pause it");
            }
        }
    }
}

impl Worker {
    /// Finds partitions that become dormant, and tells the pool which ones are.
    pub(super) fn look_for_dormant(&mut self, now: Now) {
        if self.dormant_look.is_some_and(|at| now.instant < at + LOOK) {
            return;
        }
        self.dormant_look = Some(now.instant);
        let Dormancy { many, after } = self.env.dormancy;
        if many <= self.owned.len() {
            let quiet = self.owned.values_mut().filter(|p| p.is_quiet(after, now));
            quiet.take(AT_ONCE).for_each(OwnedPartition::become_dormant);
        }
        let dormant =
            |(tp, p): (&TopicPartition, &OwnedPartition)| Some((tp.clone(), p.dormant_at(now)?));
        *self.view.dormant.lock() = self.owned.iter().filter_map(dormant).collect();
    }

    /// The logs of these partitions have grown, or may have.
    pub(super) fn awaken(&mut self, partitions: &[TopicPartition]) {
        for tp in partitions {
            if let Some(owned) = self.owned.get_mut(tp) {
                owned.fetching.dormant = None;
            }
        }
    }
}
