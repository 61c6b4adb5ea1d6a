//! The slots for fetching of a whole instance (see `slots`): its workers take them and give them
//! back, and those that wait get them in the order in which they asked.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// One partition is read, and the next one is fetched, whatever the budget.
const LEAST: usize = 2;

/// A worker that waits asks again at least once a second. One that has not asked for so long is
/// busy with something else, such as a transaction that does not end, and nobody waits for it.
const ASKS: Duration = Duration::from_secs(3);

/// As [`LEAST`], where not even two such records fit: partitions take the one slot in turns.
const LEAST_OF_LARGE: usize = 1;

/// The client has at most so many records of a partition: one that is read, and the next.
const RECORDS: usize = 2;

/// A large record is remembered for this time at least, and at most for twice as long.
const REMEMBERED: Duration = Duration::from_secs(60);

/// How many slots there are, and who waits for one.
#[derive(Debug)]
pub struct SlotPool {
    bytes: usize,
    bytes_of_one: usize,
    /// Batches that were read, of any size; not counted further than the slots need.
    batches: AtomicUsize,
    state: Mutex<State>,
}

/// The largest records of this minute and of the last, in bytes; 0 where a slot has room for two.
#[derive(Debug, Default)]
struct Largest {
    since: Option<Instant>,
    of_minutes: [usize; 2],
}

impl Largest {
    fn now(&mut self, now: Instant) -> usize {
        if self.since.is_some_and(|since| since + REMEMBERED < now) {
            self.of_minutes = [0, self.of_minutes[0]];
            self.since = (self.of_minutes != [0; 2]).then_some(now);
        }
        self.of_minutes[0].max(self.of_minutes[1])
    }

    fn note(&mut self, bytes: usize, now: Instant) {
        let _ = self.now(now);
        self.of_minutes[0] = self.of_minutes[0].max(bytes);
        let _ = self.since.get_or_insert(now);
    }
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    largest: Largest,
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
        let (bytes_of_one, batches) = (bytes_of_one.max(1), AtomicUsize::new(usize::MAX / 2));
        SlotPool { bytes, bytes_of_one, batches, state: Mutex::default() }
    }

    /// The same, whose slots are given one after the other as batches are read: until then nobody
    /// knows how large the records are.
    #[must_use]
    pub fn carefully(self) -> SlotPool {
        SlotPool { batches: AtomicUsize::new(0), ..self }
    }

    /// How many slots there are now. A record may be larger than what a slot was meant for.
    fn slots(&self, state: &mut State, now: Instant) -> usize {
        let large = RECORDS.saturating_mul(state.largest.now(now));
        let least = if self.bytes < large { LEAST_OF_LARGE } else { LEAST };
        let careful = LEAST_OF_LARGE.saturating_add(self.batches.load(Ordering::Relaxed));
        let fit = self.bytes.checked_div(self.bytes_of_one.max(large)).unwrap_or_default();
        fit.max(least).min(careful)
    }

    /// A batch was read, whose largest record has so many bytes.
    pub(super) fn read(&self, largest: usize, now: Instant) {
        let fit = self.bytes.checked_div(self.bytes_of_one).unwrap_or_default();
        if self.batches.load(Ordering::Relaxed) < fit {
            let _ = self.batches.fetch_add(1, Ordering::Relaxed);
        }
        if self.bytes_of_one < RECORDS.saturating_mul(largest) {
            self.state.lock().largest.note(largest, now);
        }
    }

    /// Whether partitions take the only slot in turns.
    pub(super) fn has_one(&self, now: Instant) -> bool {
        self.slots(&mut self.state.lock(), now) == 1
    }

    /// The bytes of the largest record of the last minute; 0 if none was so large that it matters.
    pub(super) fn largest(&self, now: Instant) -> usize {
        self.state.lock().largest.now(now)
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
            state.next_holder = state.next_holder.saturating_add(1);
            state.next_holder
        };
        HeldSlots { pool, holder, held: 0, waits: false }
    }

    pub(super) fn count(&self) -> usize {
        self.held
    }

    pub(super) fn pool(&self) -> &SlotPool {
        &self.pool
    }

    /// Takes one more, unless all are taken or others have waited longer for those that are free;
    /// then this worker waits. Its thread, which must be the caller, is woken when it may try
    /// again.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let mut state = self.pool.state.lock();
        let slots = self.pool.slots(&mut state, now);
        let place = state.waiting.iter().position(|w| w.holder == self.holder);
        let free = slots.saturating_sub(state.taken);
        let ahead = state.ready(now).take_while(|w| w.holder != self.holder).count();
        if ahead < free {
            place.and_then(|place| state.waiting.remove(place));
            state.taken = state.taken.saturating_add(1);
            self.held = self.held.saturating_add(1);
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

    /// How many of them are too many, because there are fewer than there were.
    pub(super) fn surplus(&self, now: Instant) -> usize {
        if self.held == 0 {
            return 0;
        }
        let mut state = self.pool.state.lock();
        let slots = self.pool.slots(&mut state, now);
        state.taken.saturating_sub(slots).min(self.held)
    }

    /// Gives back all but `kept`.
    pub(super) fn keep(&mut self, kept: usize) {
        let given = self.held.saturating_sub(kept);
        if given == 0 {
            return;
        }
        self.held = kept;
        let mut state = self.pool.state.lock();
        state.taken = state.taken.saturating_sub(given);
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
    fn large_records_leave_fewer_slots_until_they_are_forgotten() {
        let (pool, now) = (Arc::new(SlotPool::new(8_000, 1_000)), Instant::now());
        let [mut a, mut b] = [(); 2].map(|()| HeldSlots::none_of(Arc::clone(&pool)));
        (0..5).for_each(|_| assert!(a.take(now)));
        (0..3).for_each(|_| assert!(b.take(now)));
        pool.read(500, now);
        assert_eq!((a.surplus(now), pool.largest(now)), (0, 0), "a slot has room for two of these");
        pool.read(1_000, now);
        assert_eq!((a.surplus(now), b.surplus(now), pool.largest(now)), (4, 3, 1_000));
        a.keep(1);
        assert_eq!((a.surplus(now), b.surplus(now)), (0, 0), "four of 2,000 bytes");
        assert!(!a.take(now));
        pool.read(100_000, now);
        assert_eq!((a.surplus(now), b.surplus(now)), (1, 3), "one slot is left");
        assert!(pool.has_one(now));
        let later = now + REMEMBERED + Duration::from_millis(1);
        assert_eq!(pool.largest(later), 100_000);
        let forgotten = later + REMEMBERED + Duration::from_millis(1);
        assert_eq!((b.surplus(forgotten), pool.largest(forgotten)), (0, 0));
        assert!(!pool.has_one(forgotten));
        assert!(a.take(forgotten));
    }

    #[test]
    fn slots_are_given_as_records_are_seen() {
        let pool = Arc::new(SlotPool::new(8_000, 1_000).carefully());
        let (mut a, now) = (HeldSlots::none_of(Arc::clone(&pool)), Instant::now());
        for had in 1..8 {
            while a.take(now) {}
            assert_eq!(a.count(), had);
            pool.read(10, now);
        }
        (0..20).for_each(|_| pool.read(10, now));
        while a.take(now) {}
        assert_eq!(a.count(), 8);
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
