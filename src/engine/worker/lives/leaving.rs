//! An assignment ends before what was read is rolled: it is archived wherever no other owner could
//! read it again.

use std::time::Duration;

use crate::engine::worker::lives::oracle::{archived, staged};
use crate::engine::worker::lives::topics::{all, tp};
use crate::engine::worker::lives::world::{World, feed, in_paused_time};
use crate::fakes::network::Failure;

/// What has become of the records' log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Log {
    /// It has them still.
    Kept,
    /// Retention has deleted the first of them.
    Shortened,
    /// The topic was deleted.
    Deleted,
    /// The brokers do not answer.
    Unknown,
    /// It has them, and no mapping names the topic any more.
    Unmapped,
}

/// Archived rows of both partitions, of three records each, after the assignment has ended.
fn archived_after(log: Log) -> usize {
    in_paused_time(async {
        let mut world = World::new(None);
        let first = world.start();
        let generation = world.next_generation();
        world.give(first, &generation, &all());
        // The first commits.
        world.steps(Duration::from_millis(3_000)).await;
        feed(&world, 0);
        world.steps(Duration::from_millis(600)).await;
        assert_eq!(rows(&world), 0, "it was rolled before");
        match log {
            Log::Kept | Log::Unmapped => {}
            Log::Shortened => (0..2).for_each(|p| world.brokers.keep_from(&tp("in", p), 1)),
            Log::Deleted => drop(world.brokers.lock().deleted.insert("in".into())),
            Log::Unknown => {
                let is_asked = |call: &str| call == "log start";
                world.processes[first].network.always(Some((is_asked, Failure::Before)));
            }
        }
        world.end(first, &all(), true, log == Log::Unmapped);
        world.steps(Duration::from_millis(1_000)).await;
        let left = staged(&world.store);
        assert!(left.is_empty(), "{log:?}: left in staging: {left:?}");
        rows(&world)
    })
}

fn rows(world: &World) -> usize {
    (0..2).map(|p| archived(&world.store, &tp("in", p)).len()).sum()
}

#[test]
fn what_the_log_still_has_is_left_to_the_next_owner() {
    assert_eq!(archived_after(Log::Kept), 0);
}

#[test]
fn what_no_log_has_any_more_is_archived_by_the_owner_that_leaves() {
    for log in [Log::Shortened, Log::Deleted, Log::Unknown, Log::Unmapped] {
        assert_eq!(archived_after(log), 6, "{log:?}");
    }
}
