//! The slots for fetching of a whole instance (see `slots`): its workers take them and give them
//! back, and those that wait get them in the order in which they asked.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// One partition is read, and the next one is fetched, whatever the budget.
const LEAST: usize = 2;

/// A worker that waits asks again at least once a second. One that has not asked for so long is
/// busy with something else, such as a transaction that does not end, and nobody waits for it.
const ASKS: Duration = Duration::from_secs(3);

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
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    holder: u64,
    thread: Thread,
    asked: Instant,
}

impl State {
    /// The workers that wait and would take a slot now, in order.
    fn ready(&self, now: Instant) -> impl Iterator<Item = &Waiter> {
        self.waiting.iter().filter(move |w| now < w.asked + ASKS)
    }
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
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let mut state = self.pool.state.lock();
        let place = state.waiting.iter().position(|w| w.holder == self.holder);
        let free = self.pool.slots.saturating_sub(state.taken);
        let ahead = state.ready(now).take_while(|w| w.holder != self.holder).count();
        if ahead < free {
            place.and_then(|place| state.waiting.remove(place));
            state.taken += 1;
            self.held += 1;
            self.waits = false;
            return true;
        }
        match place {
            Some(place) => state.waiting[place].asked = now,
            None => {
                let (holder, thread) = (self.holder, std::thread::current());
                state.waiting.push_back(Waiter { holder, thread, asked: now });
            }
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
        // One of them may be busy: all see whether it is their turn.
        state.waiting.iter().for_each(|w| w.thread.unpark());
    }

    /// This worker waits for none.
    pub(super) fn wait_no_more(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.pool.state.lock().waiting.retain(|w| w.holder != self.holder);
        }
    }

    /// Whether another worker waits for one.
    pub(super) fn are_wanted(&self, now: Instant) -> bool {
        self.pool.state.lock().ready(now).any(|w| w.holder != self.holder)
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
        let (pool, now) = (Arc::new(SlotPool::new(3_000, 1_000)), Instant::now());
        let [mut a, mut b, mut c] = [(); 3].map(|()| HeldSlots::none_of(Arc::clone(&pool)));
        assert!(a.take(now) && a.take(now) && b.take(now));
        assert!(!c.take(now) && !b.take(now), "all are taken");
        assert!(a.are_wanted(now) && b.are_wanted(now));
        a.keep(1);
        assert!(!a.take(now) && !b.take(now), "the third has waited longer");
        assert!(c.take(now));
        a.keep(0);
        assert!(b.take(now), "it came second, and asked before the first did");
        assert_eq!([&a, &b, &c].map(|of| of.count()), [0, 2, 1]);
        a.wait_no_more();
        assert!(!b.are_wanted(now) && !c.are_wanted(now));
        drop(b);
        assert!(c.take(now) && c.take(now), "a worker that ends gives back what it had");
        drop(c);
        assert!(a.take(now));
    }

    #[test]
    fn who_waits_and_ends_is_waited_for_by_nobody() {
        let (pool, now) = (Arc::new(SlotPool::new(0, 1_000)), Instant::now());
        let [mut a, mut b, mut c] = [(); 3].map(|()| HeldSlots::none_of(Arc::clone(&pool)));
        assert!(
            a.take(now) && a.take(now) && !b.take(now) && !c.take(now),
            "there are two at least"
        );
        drop(b);
        a.keep(1);
        assert!(c.take(now));
    }

    /// Its thread is in a transaction that does not end.
    #[test]
    fn who_waits_and_does_not_ask_any_more_holds_up_nobody() {
        let (pool, now) = (Arc::new(SlotPool::new(0, 1_000)), Instant::now());
        let [mut a, mut b, mut c] = [(); 3].map(|()| HeldSlots::none_of(Arc::clone(&pool)));
        assert!(a.take(now) && a.take(now) && !b.take(now) && !c.take(now));
        a.keep(1);
        assert!(!c.take(now), "the second has waited longer");
        let later = now + ASKS;
        assert!(!a.are_wanted(later), "neither has asked for long");
        assert!(c.take(later));
        a.keep(0);
        assert!(b.take(later), "it is back");
    }
}
