//! Who may fetch: the budget has room for so many slots, and partitions with a backlog share them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::clock::Now;
use crate::engine::worker::partition::OwnedPartition;
use crate::pure::protocol::machine::ReadStep;
use crate::pure::record::TopicPartition;

/// A slot in which nothing comes for this time goes to a partition that waits for one.
const DRY: Duration = Duration::from_secs(1);

/// Gives and takes the slots of one worker.
#[derive(Debug, Default)]
pub(super) struct Slots {
    parked: u64,
}

impl Slots {
    /// Takes slots from those that do not use them, and gives them to those that wait. `turn`: the
    /// partition with a backlog that is read now.
    pub(super) fn share(
        &mut self,
        slots: usize,
        owned: &mut BTreeMap<TopicPartition, OwnedPartition>,
        turn: Option<&TopicPartition>,
        now: Now,
    ) {
        let waits = |p: &OwnedPartition| {
            let step = p.sinks.machine.next_read(now.moment());
            p.fetching.parked && step != ReadStep::Wait && !p.sinks.is_clogged()
        };
        let waiting = owned.values().filter(|p| waits(p)).count();
        let mut taken = owned.values().filter(|p| p.fetching.needs_slot()).count();
        if waiting == 0 && taken <= slots {
            return;
        }
        for (tp, p) in owned.iter_mut().filter(|(_, p)| p.fetching.needs_slot()) {
            let has_turn = turn == Some(tp);
            let waits_for_turn = p.sinks.backlog && !p.sinks.is_clogged();
            let dry = !waits_for_turn && p.fetching.gave + DRY < now.instant;
            let passed = waits_for_turn && p.fetching.had_turn;
            let unused = 0 < waiting && (dry || passed);
            if !has_turn && (slots < taken || unused) && self.park(p) {
                taken -= 1;
            }
        }
        while taken < slots {
            let parked = owned.values_mut().filter(|p| waits(p));
            let Some(p) = parked.min_by_key(|p| p.fetching.parked_as) else { break };
            p.fetching.parked = false;
            p.fetching.gave = now.instant;
            p.fetching.had_turn = false;
            taken += 1;
        }
    }

    /// Whether nothing is fetched for this partition from now on.
    fn park(&mut self, p: &mut OwnedPartition) -> bool {
        if let Err(error) = p.source.park() {
            tracing::debug!(tp = %p.sinks.tp, %error, "the client refused to pause a partition");
            return false;
        }
        self.parked += 1;
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
