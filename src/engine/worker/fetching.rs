//! Which partitions fetch: what the client has fetched and nobody has read yet costs memory.
//!
//! A partition that is read to the end of its log costs little: what comes is taken at once. All
//! others need a slot, and there are so many slots as the budget has room for. Who has none is
//! parked: the client fetches nothing for it, and its machine seeks when it gets one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::clients::kafka::Read;
use crate::common::clock::Now;
use crate::engine::worker::partition::OwnedPartition;
use crate::pure::protocol::machine::ReadStep;
use crate::pure::record::TopicPartition;

/// A slot in which nothing comes for this time goes to a partition that waits for one.
const DRY: Duration = Duration::from_secs(1);

/// An empty queue is looked at this often, whether the client has told of something or not.
const LOOK: Duration = Duration::from_secs(1);

/// What a worker knows of the fetching of one partition.
#[derive(Debug)]
pub(super) struct Fetching {
    /// Nothing is fetched.
    parked: bool,
    /// The end of the log was seen after the last record.
    at_end: bool,
    /// When it last gave something, or got its slot.
    gave: Instant,
    /// Who waits longer comes first.
    parked_as: u64,
    /// It was its [`super::turns::BacklogTurn`] since it got its slot.
    pub(super) had_turn: bool,
    /// Set by the client when its queue is not empty any more.
    pub(super) woken: Arc<AtomicBool>,
    /// There was nothing in the queue at this time.
    empty: Option<Instant>,
}

impl Fetching {
    /// At the assignment nothing is fetched.
    pub(super) fn parked(now: Instant) -> Fetching {
        Fetching {
            parked: true,
            at_end: false,
            gave: now,
            parked_as: 0,
            had_turn: false,
            woken: Arc::default(),
            empty: None,
        }
    }

    /// A read gave this.
    pub(super) fn gave(&mut self, read: &Read, now: Instant) {
        let any = 0 < read.records || read.end.is_some();
        if any {
            self.at_end = read.end.is_some();
            self.gave = now;
        }
        self.empty = (!any && !read.moved && read.trouble.is_none()).then_some(now);
    }

    /// Whether the client has had nothing since the last look, which was a moment ago.
    fn is_empty(&self, now: Instant) -> bool {
        let woken = self.woken.swap(false, Ordering::SeqCst);
        !woken && self.empty.is_some_and(|at| now < at + LOOK)
    }

    /// It is not read now, so that what comes stays in memory.
    pub(super) fn is_not_read(&mut self) {
        self.at_end = false;
    }

    /// Everything in the log was read, and what comes next is fetched.
    pub(super) fn is_at_end(&self) -> bool {
        !self.parked && self.at_end
    }

    fn needs_slot(&self) -> bool {
        !self.parked && !self.at_end
    }
}

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
    /// Whether there is nothing to read for certain: it is parked, or the client has told of
    /// nothing since its queue was found empty.
    pub(super) fn rests(&self, now: Now) -> bool {
        let goes_on = || self.sinks.machine.next_read(now.moment()) == ReadStep::Read;
        self.fetching.parked || goes_on() && self.fetching.is_empty(now.instant)
    }
}
