//! The slots for fetching of a whole instance (see `slots`): its workers take them and give them
//! back, and those that wait get them in the order in which they asked.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::Thread;

use parking_lot::Mutex;

/// One partition is read, and the next one is fetched, whatever the budget.
const LEAST: usize = 2;

/// How many slots there are, and who waits for one.
#[derive(Debug)]
pub struct SlotPool {
    slots: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    next_holder: u64,
    /// Each once; who has waited longest is first.
    waiting: VecDeque<(u64, Thread)>,
}

impl SlotPool {
    /// Slots of which each costs `bytes_of_one`, in a part of the budget that has `bytes`.
    #[must_use]
    pub fn new(bytes: usize, bytes_of_one: usize) -> SlotPool {
        let slots = (bytes / bytes_of_one.max(1)).max(LEAST);
        SlotPool { slots, state: Mutex::default() }
    }
}

/// The slots that one worker has. Dropped, it has none.
#[derive(Debug)]
pub(super) struct HeldSlots {
    pool: Arc<SlotPool>,
    holder: u64,
    held: usize,
    /// Whether it is among those that wait, so that nothing has to be looked up.
    waits: bool,
}

impl HeldSlots {
    pub(super) fn none_of(pool: Arc<SlotPool>) -> HeldSlots {
        let holder = {
            let mut state = pool.state.lock();
            state.next_holder += 1;
            state.next_holder
        };
        HeldSlots { pool, holder, held: 0, waits: false }
    }

    pub(super) fn count(&self) -> usize {
        self.held
    }

    /// Takes one more, unless all are taken or others have waited longer for those that are free;
    /// then this worker waits. Its thread, which must be the caller, is woken when it may try
    /// again.
    pub(super) fn take(&mut self) -> bool {
        let mut state = self.pool.state.lock();
        let place = state.waiting.iter().position(|(holder, _)| *holder == self.holder);
        let free = self.pool.slots.saturating_sub(state.taken);
        if place.unwrap_or(state.waiting.len()) < free {
            place.and_then(|place| state.waiting.remove(place));
            state.taken += 1;
            self.held += 1;
            self.waits = false;
            return true;
        }
        if place.is_none() {
            state.waiting.push_back((self.holder, std::thread::current()));
        }
        self.waits = true;
        false
    }

    /// Gives back all but `kept`.
    pub(super) fn keep(&mut self, kept: usize) {
        let given = self.held.saturating_sub(kept);
        if given == 0 {
            return;
        }
        self.held = kept;
        let mut state = self.pool.state.lock();
        state.taken -= given;
        let free = self.pool.slots.saturating_sub(state.taken);
        state.waiting.iter().take(free).for_each(|(_, thread)| thread.unpark());
    }

    /// This worker waits for none.
    pub(super) fn wait_no_more(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.pool.state.lock().waiting.retain(|(holder, _)| *holder != self.holder);
        }
    }

    /// Whether another worker waits for one.
    pub(super) fn are_wanted(&self) -> bool {
        self.pool.state.lock().waiting.iter().any(|(holder, _)| *holder != self.holder)
    }
}

impl Drop for HeldSlots {
    fn drop(&mut self) {
        self.wait_no_more();
        self.keep(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_than_the_budget_has_and_who_waits_longest_comes_first() {
        let pool = Arc::new(SlotPool::new(3_000, 1_000));
        let [mut a, mut b, mut c] = [(); 3].map(|()| HeldSlots::none_of(Arc::clone(&pool)));
        assert!(a.take() && a.take() && b.take());
        assert!(!c.take() && !b.take(), "all are taken");
        assert!(a.are_wanted() && b.are_wanted());
        a.keep(1);
        assert!(!a.take() && !b.take(), "the third has waited longer");
        assert!(c.take());
        a.keep(0);
        assert!(b.take(), "it came second, and asked before the first did");
        assert_eq!([&a, &b, &c].map(|of| of.count()), [0, 2, 1]);
        a.wait_no_more();
        assert!(!b.are_wanted() && !c.are_wanted());
        drop(b);
        assert!(c.take() && c.take(), "a worker that ends gives back what it had");
        drop(c);
        assert!(a.take());
    }

    #[test]
    fn who_waits_and_ends_is_waited_for_by_nobody() {
        let pool = Arc::new(SlotPool::new(0, 1_000));
        let [mut a, mut b, mut c] = [(); 3].map(|()| HeldSlots::none_of(Arc::clone(&pool)));
        assert!(a.take() && a.take() && !b.take() && !c.take(), "there are two at least");
        drop(b);
        a.keep(1);
        assert!(c.take());
    }
}
