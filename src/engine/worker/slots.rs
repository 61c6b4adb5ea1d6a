//! Who may fetch: the budget has room for so many slots, and partitions with a backlog share them,
//! those of one worker and those of all workers ([`super::slot_pool`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::common::clock::Now;
use crate::engine::worker::partition::OwnedPartition;
use crate::engine::worker::slot_pool::{HeldSlots, SlotPool};
use crate::pure::protocol::machine::ReadStep;
use crate::pure::record::TopicPartition;

/// A slot in which nothing comes for this time goes to a partition that waits for one.
const DRY: Duration = Duration::from_secs(1);

/// For so long a partition has its slot where other workers wait for one, or other partitions for
/// the only one.
const QUANTUM: Duration = Duration::from_secs(2);

/// Gives and takes the slots of one worker.
#[derive(Debug)]
pub(super) struct Slots {
    held: HeldSlots,
    parked: u64,
}

impl Slots {
    pub(super) fn of(pool: Arc<SlotPool>) -> Slots {
        Slots { held: HeldSlots::none_of(pool), parked: 0 }
    }

    /// Takes slots from those that do not use them, and gives them to those that wait. `turn`: the
    /// partition with a backlog that is read now; `is_read`: whether a partition may be read now.
    pub(super) fn share(
        &mut self,
        owned: &mut BTreeMap<TopicPartition, OwnedPartition>,
        turn: Option<&TopicPartition>,
        now: Now,
        is_read: &dyn Fn(&OwnedPartition) -> bool,
    ) {
        let waits = |p: &OwnedPartition| {
            let step = p.sinks.machine.next_read(now.moment());
            let reads =
                p.fetching.parked && step != ReadStep::Wait && !p.sinks.is_clogged() && is_read(p);
            reads && p.dormant_at(now).is_none()
        };
        let waiting = owned.values().filter(|p| waits(p)).count();
        let mut taken = owned.values().filter(|p| p.fetching.needs_slot()).count();
        while self.held.count() < taken && self.held.take(now.instant) {}
        self.held.keep(taken);
        let most = self.held.count().saturating_sub(self.held.surplus(now.instant));
        let elsewhere = 0 < taken && self.held.are_wanted(now.instant);
        if waiting == 0 && !elsewhere && taken == most {
            return self.held.wait_no_more();
        }
        let in_turns = elsewhere || 0 < waiting && self.held.pool().has_one(now.instant);
        for (tp, p) in owned.iter_mut().filter(|(_, p)| p.fetching.needs_slot()) {
            let has_turn = turn == Some(tp);
            let waits_for_turn = p.sinks.backlog && !p.sinks.is_clogged();
            let dry = !waits_for_turn && p.fetching.gave + DRY < now.instant;
            let passed = waits_for_turn && p.fetching.had_turn;
            let unused = (0 < waiting || elsewhere) && (dry || passed);
            let too_many = most < taken;
            let long = in_turns && p.fetching.slot_since + QUANTUM <= now.instant;
            if (long || !has_turn && (too_many || unused)) && self.park(p) {
                taken = taken.saturating_sub(1);
            }
        }
        self.held.keep(taken);
        loop {
            let parked = owned.values_mut().filter(|p| waits(p));
            let Some(p) = parked.min_by_key(|p| p.fetching.parked_as) else {
                return self.held.wait_no_more();
            };
            if !self.held.take(now.instant) {
                return;
            }
            (p.fetching.parked, p.fetching.dormant) = (false, None);
            p.fetching.gave = now.instant;
            p.fetching.slot_since = now.instant;
            p.fetching.had_turn = false;
        }
    }

    /// Parks the partitions that are not read any more; others may have their slots.
    pub(super) fn leave(
        &mut self,
        owned: &mut BTreeMap<TopicPartition, OwnedPartition>,
        is_read: impl Fn(&OwnedPartition) -> bool,
    ) {
        for p in owned.values_mut().filter(|p| p.fetching.needs_slot() && !is_read(p)) {
            let _ = self.park(p);
        }
        self.held.keep(owned.values().filter(|p| p.fetching.needs_slot()).count());
    }

    /// Whether nothing is fetched for this partition from now on.
    fn park(&mut self, p: &mut OwnedPartition) -> bool {
        if let Err(error) = p.source.park() {
            tracing::debug!(tp = %p.sinks.tp, %error, "the client refused to pause a partition");
            return false;
        }
        self.parked = self.parked.saturating_add(1);
        p.fetching.parked = true;
        p.fetching.parked_as = self.parked;
        // Its next records are asked for as soon as it has a slot again, not when it has a turn.
        p.sinks.backlog = false;
        true
    }
}

impl OwnedPartition {
    /// Whether there is nothing to read for certain: it is parked, or the client has announced no
    /// record since its queue was found empty.
    pub(super) fn rests(&self, now: Now) -> bool {
        let goes_on = || self.sinks.machine.next_read(now.moment()) == ReadStep::Read;
        self.fetching.parked || goes_on() && self.fetching.is_empty(now.instant)
    }
}
