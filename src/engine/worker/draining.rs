//! A stop: what was read is archived before the worker ends.
//!
//! What is in files is sealed and appended, and nothing new is read. Where the store gives that up
//! meanwhile, the records are read again, as long as the stop may take: a single call that fails
//! leaves nothing to the next owner.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::clock::Now;
use crate::common::crash::{self, Step};
use crate::engine::worker::partition::{OwnedPartition, PartitionSinks};
use crate::engine::worker::round::{Drain, Worker};
use crate::pure::layout::RollReason;
use crate::pure::protocol::Partition;
use crate::pure::protocol::machine::{ReadStep, Report};
use crate::pure::record::{Offset, TopicPartition};

/// A stop does not wait for an archive that has failed for longer, because its root is away.
const SHORT_OUTAGE: Duration = Duration::from_secs(10);

/// What a drain does not archive, offsets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LeftBehind {
    /// They were in files, or should have been: the store did not take them.
    pub(super) due: u64,
    /// They are counted, and the archive was about to read them again after a takeover.
    pub(super) later: u64,
}

impl PartitionSinks {
    /// The drain begins: what is in files now has to be in the ledger when it ends.
    pub(super) fn begin_drain(&mut self, now: Now) {
        let range = self.machine.rules().and_then(Partition::unarchived);
        let given_up = self.view.archive_delay.end().filter(|_| self.view.root_failed);
        self.view.drain_to = range.map(|range| range.to).or(given_up);
        let failing = self.machine.failing_for(now.moment());
        self.view.drain_waits = failing.is_none_or(|time| time < SHORT_OUTAGE);
    }

    /// The offsets that a drain leaves, as far as that is known. Those of a stopped partition do
    /// not count: a person decides about them.
    pub(super) fn left_behind(&self) -> LeftBehind {
        let archives = self.role.archive.is_some() && self.machine.stopped().is_none();
        let Some(end) = self.view.archive_delay.end().filter(|_| archives) else {
            return LeftBehind::default();
        };
        let known = self.machine.rules().and_then(Partition::a);
        let archived = known.or(self.view.last_a);
        let beyond = |to: Offset| match archived {
            Some(a) => to.0.saturating_sub(a.0).max(0).unsigned_abs(),
            None => 1,
        };
        // While the root refuses files, what was counted should have been archived, too.
        let refused = self.view.root_failed && !self.view.drain_waits;
        let due = if refused { Some(end) } else { self.view.drain_to };
        let due = due.map_or(0, beyond);
        LeftBehind { due, later: beyond(end).saturating_sub(due) }
    }
}

impl OwnedPartition {
    /// The stop waits for records that are not archived, or have to be read again for it.
    pub(super) fn is_short_of_drain(&self, now: Now) -> bool {
        let sinks = &self.sinks;
        let view = &sinks.view;
        let Some(to) = view.drain_to.filter(|_| view.drain_waits && sinks.owned()) else {
            return false;
        };
        if sinks.machine.stopped().is_some() || sinks.machine.is_paused() {
            return false;
        }
        match sinks.machine.rules().and_then(Partition::a) {
            // The log ends below: the rest are offsets without records.
            Some(a) => a < to && !(self.has_met_end(to, now) && sinks.machine.is_drained()),
            None => true,
        }
    }

    /// The stop reads records again, because the store has given up what was read.
    pub(super) fn reads_for_drain(&self, now: Now) -> bool {
        self.is_short_of_drain(now) && !self.has_read_for_drain(now)
    }

    /// What the stop waits for has been read, and perhaps no file of it is complete.
    fn has_read_for_drain(&self, now: Now) -> bool {
        let Some(to) = self.sinks.view.drain_to.filter(|_| self.is_short_of_drain(now)) else {
            return false;
        };
        let read = self.sinks.machine.rules().and_then(Partition::unarchived);
        read.is_some_and(|read| to <= read.to || self.has_met_end(to, now))
    }

    fn has_met_end(&self, to: Offset, now: Now) -> bool {
        let reads = self.sinks.machine.next_read(now.moment()) == ReadStep::Read;
        reads && self.sinks.view.met_end.is_some_and(|end| to <= end)
    }
}

impl Worker {
    /// Gives the slots back of partitions that a stop does not read again; whether it reads any.
    pub(super) fn leave_slots(&mut self, now: Now) -> bool {
        self.slots.leave(&mut self.owned, |p| p.reads_for_drain(now));
        self.owned.values().any(|p| p.reads_for_drain(now))
    }

    pub(super) fn drained(&mut self, now: Now) {
        let Drain::Until { deadline, .. } = &self.drain else {
            return;
        };
        let is_whole =
            |p: &OwnedPartition| p.sinks.machine.is_drained() && !p.is_short_of_drain(now);
        let whole = self.handovers.is_empty() && self.owned.values().all(is_whole);
        if !whole && now.instant < *deadline {
            let again = self.owned.values_mut().filter(|p| p.has_read_for_drain(now));
            again.for_each(|p| p.sinks.roll(RollReason::Stop, now, &self.env));
            return;
        }
        let mine = self.owned.iter().filter(|(_, p)| p.sinks.owned());
        let mine: Vec<TopicPartition> = mine.map(|(tp, _)| tp.clone()).collect();
        self.commit_leaving(&mine, now);
        crash::at(Step::DrainCommitted);
        for owned in self.owned.values() {
            owned.sinks.alive.store(false, Ordering::SeqCst);
        }
        if let Drain::Until { done, .. } = std::mem::replace(&mut self.drain, Drain::Done) {
            let left = self.owned.values().map(|p| p.sinks.left_behind());
            let (due, later) = left.fold((0_u64, 0_u64), |(due, later), left| {
                (due.saturating_add(left.due), later.saturating_add(left.later))
            });
            if 0 < due {
                let mut causes =
                    self.owned.values().filter_map(|p| p.sinks.view.root_error.as_ref());
                let cause = causes.next().map_or("the time for a stop has ended", String::as_str);
                tracing::warn!(
                    code = "AL212",
                    records = due,
                    cause,
                    "{}: {due} offsets that were read are not archived; their next owner reads \
                     them again, and nothing is lost",
                    self.name()
                );
            }
            if 0 < later {
                tracing::info!(
                    records = later,
                    "{}: the archive was behind the counts by {later} offsets; the next owner \
                     archives them",
                    self.name()
                );
            }
            for sinks in self.handovers.iter().flat_map(|h| &h.leaving) {
                let range = sinks.machine.rules().and_then(Partition::unarchived);
                range.inspect(|range| sinks.tell(&Report::LeftUnarchived(*range), &self.env));
            }
            let _ = done.send(whole && due == 0);
        }
    }
}
