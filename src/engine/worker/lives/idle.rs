//! A worker that sleeps as long as it says does in time what the clock makes due, and looks seldom
//! when nothing is due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::topics::Role;
use crate::engine::worker::idle::QUIET;
use crate::engine::worker::inbox::{Added, Message};
use crate::engine::worker::lives::topics::{all, tp};
use crate::engine::worker::lives::world::{World, clock, feed, in_paused_time, role};
use crate::engine::worker::slot_pool::{HeldSlots, SlotPool};
use crate::engine::worker::slots::Slots;

const AGE: Duration = Duration::from_millis(2_300);
/// Of the environment of these lives.
const COMMIT: Duration = Duration::from_secs(2);
/// The clocks of worker and test count milliseconds.
const EXACT: Duration = Duration::from_millis(5);

/// After a round.
struct Seen {
    at: Instant,
    slept: Duration,
    rolls: u64,
    /// Counts that are published.
    counts: usize,
}

/// A process with all partitions, whose attempts end at this age.
fn process(age: Duration) -> World {
    let mut world = World::new(None);
    let first = world.start();
    let generation = world.next_generation();
    let p = &world.processes[first];
    let added = all().into_iter().map(|tp| {
        let role = role(&tp.topic, &world.store);
        let mut archive = (*role.archive.clone().expect("it is archived")).clone();
        archive.roll.age = age;
        Added {
            role: Role { archive: Some(Arc::new(archive)), ..role },
            source: Box::new(world.brokers.source(&tp)),
            alive: Arc::new(true.into()),
            gauges: Arc::new(p.worker.env.metrics.partition(&tp)),
            tp,
        }
    });
    p.wake.send(Message::Assigned { generation, added: added.collect() });
    world
}

/// The worker lives for this time, and nothing wakes it.
async fn sleeps(world: &mut World, time: Duration) -> Vec<Seen> {
    let end = clock().instant + time;
    let mut seen = Vec::new();
    while clock().instant < end {
        let worker = &mut world.processes[0].worker;
        let slept = worker.round().expect("it goes on").min(end - clock().instant);
        let rolls = worker.env.metrics.rolls.with_label_values(&["age"]).get();
        let counts = world.brokers.lock().logs[&tp("out", 0)].rows.len();
        seen.push(Seen { at: clock().instant, slept, rolls, counts });
        tokio::time::sleep(slept).await;
    }
    seen
}

/// When this was so first.
fn first(seen: &[Seen], is: impl Fn(&Seen) -> bool) -> Instant {
    seen.iter().find(|s| is(s)).expect("it never happened").at
}

#[test]
fn what_the_clock_makes_due_is_done_in_time_and_nothing_else_is_looked_at_often() {
    in_paused_time(async {
        let mut world = process(AGE);
        let _ = sleeps(&mut world, Duration::from_secs(10)).await;
        let idle = sleeps(&mut world, Duration::from_secs(60)).await;
        assert!(idle.len() <= 60, "{} rounds a minute", idle.len());
        assert!(idle[..59].iter().all(|s| s.slept == QUIET));

        feed(&world, 0);
        let read = clock().instant;
        let seen = sleeps(&mut world, Duration::from_secs(30)).await;
        let published = first(&seen, |s| 0 < s.counts);
        assert!(published - read < EXACT, "the interval was over: {:?}", published - read);
        let rolled = first(&seen, |s| 2 <= s.rolls) - read;
        assert!(AGE <= rolled && rolled < AGE + EXACT, "both sources rolled after {rolled:?}");
        let last = &seen[seen.len() - 11..seen.len() - 1];
        assert!(last.iter().all(|s| s.slept == QUIET), "all is done");

        // Counted in the middle of an interval.
        feed(&world, 1);
        let started = clock().instant;
        let seen = sleeps(&mut world, COMMIT / 4).await;
        let before = seen[seen.len() - 1].counts;
        feed(&world, 2);
        let seen = sleeps(&mut world, Duration::from_secs(30)).await;
        let published = first(&seen, |s| before < s.counts) - started;
        assert!(COMMIT <= published && published < COMMIT + EXACT, "{published:?}");
        world.finish().await;
    });
}

/// Two workers have a partition with a backlog each, and there is one slot for both.
#[test]
fn workers_whose_slots_do_not_suffice_take_turns() {
    in_paused_time(async {
        let mut world = World::new(None);
        let pool = Arc::new(SlotPool::new(2 << 20, 1 << 20));
        let mut other = HeldSlots::none_of(Arc::clone(&pool));
        assert!(other.take(clock().instant));
        let generation = world.next_generation();
        let both = [tp("in", 0), tp("in", 1)];
        for tp in &both {
            (0..1_000).for_each(|_| world.brokers.produce(tp, 1_700_000_000_000, "a line"));
            let who = world.start();
            world.processes[who].worker.slots = Slots::of(Arc::clone(&pool));
            world.give(who, &generation, std::slice::from_ref(tp));
        }
        world.steps(Duration::from_secs(8)).await;
        let read = |who: usize| {
            let metrics = &world.processes[who].worker.env.metrics;
            metrics.records.with_label_values(&["m", "source"]).get()
        };
        let [first, second] = [0, 1].map(read);
        assert!(0 < first && 0 < second, "{first} and {second} of 1,000 records are read");
        assert!(first + second <= 4 * 8 * 5, "both fetched at the same time");
    });
}
