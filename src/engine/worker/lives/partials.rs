//! The topic of partial counts is deleted, or deleted and made again, while windows are open: its
//! source partitions stop, and nothing is counted as if the open windows were whole.

use std::time::Duration;

use crate::engine::worker::lives::topics::{MERGED, all, tp};
use crate::engine::worker::lives::world::{World, feed, in_paused_time};
use crate::pure::record::Offset;

const PARTIALS: &str = "g-m-partials";

impl World {
    /// A process that has counted the first batch, whose windows are open.
    async fn with_open_windows() -> World {
        MERGED.set(true);
        let mut world = World::new(None);
        let _ = world.own_all();
        feed(&world, 0);
        world.steps(Duration::from_secs(5)).await;
        assert!(world.counted().iter().all(|p| *p == 3), "{:?}", world.counted());
        world
    }

    /// A new process with all partitions.
    fn own_all(&mut self) -> usize {
        let who = self.start();
        let generation = self.next_generation();
        self.give(who, &generation, &all());
        who
    }

    /// P of both source partitions.
    fn counted(&self) -> [i64; 2] {
        let state = self.brokers.lock();
        [0, 1].map(|partition| {
            let committed = state.committed.get(&tp("in", partition)).expect("was committed");
            let p = committed.1.split(";p=").nth(1).and_then(|rest| rest.split(';').next());
            p.and_then(|p| p.parse().ok()).expect("our metadata")
        })
    }

    /// How many source partitions have stopped for the topic of partial counts.
    fn stopped(&self, who: usize) -> i64 {
        let stopped = &self.processes[who].worker.env.metrics.stopped;
        let of = |partition| stopped.with_label_values(&["in", partition, "other_partials"]).get();
        of("0") + of("1")
    }

    /// They have stopped, and nothing of the next batch is counted; the merge goes on.
    async fn is_stopped(&mut self, who: usize) {
        let before = self.counted();
        feed(self, 2);
        self.steps(Duration::from_secs(30)).await;
        assert_eq!(self.stopped(who), 2);
        assert_eq!(self.counted(), before);
        let merge = self.brokers.lock().committed.get(&tp(PARTIALS, 0)).map(|(o, _)| *o);
        assert!(merge.is_some_and(|at| Offset(0) <= at), "the merge has no position: {merge:?}");
    }

    async fn dies(&mut self, who: usize) {
        self.processes[who].network.kill();
        self.processes[who].ended = true;
        self.step().await;
    }
}

#[test]
fn it_is_made_again_while_no_process_lives() {
    in_paused_time(async {
        let mut world = World::with_open_windows().await;
        world.dies(0).await;
        world.brokers.delete(PARTIALS);
        world.brokers.create_again(PARTIALS);
        let next = world.own_all();
        world.is_stopped(next).await;
    });
}

/// As long as nobody makes it again, no position is known, and nothing is committed.
#[test]
fn it_is_absent_when_a_process_starts() {
    in_paused_time(async {
        let mut world = World::with_open_windows().await;
        world.dies(0).await;
        world.brokers.delete(PARTIALS);
        let next = world.own_all();
        feed(&world, 1);
        world.steps(Duration::from_secs(30)).await;
        assert_eq!((world.counted(), world.stopped(next)), ([3, 3], 0));
        assert!(!world.brokers.lock().logs.contains_key(&tp(PARTIALS, 0)));
        world.brokers.create_again(PARTIALS);
        world.is_stopped(next).await;
    });
}

/// The transactions fail, so the positions are read again.
#[test]
fn it_is_deleted_while_a_process_counts_and_made_again_later() {
    in_paused_time(async {
        let mut world = World::with_open_windows().await;
        world.brokers.delete(PARTIALS);
        feed(&world, 1);
        world.steps(Duration::from_secs(10)).await;
        assert_eq!((world.counted(), world.stopped(0)), ([3, 3], 0));
        world.brokers.create_again(PARTIALS);
        world.is_stopped(0).await;
    });
}

/// No transaction fails: the daemon sees that the id is another one, and lets the mapping begin
/// again, in the same generation. Under an eager protocol the group rebalances.
#[test]
fn it_is_made_again_between_two_transactions() {
    for eager in [false, true] {
        made_again_between_two_transactions(eager);
    }
}

fn made_again_between_two_transactions(eager: bool) {
    in_paused_time(async {
        let mut world = World::with_open_windows().await;
        world.brokers.delete(PARTIALS);
        world.brokers.create_again(PARTIALS);
        feed(&world, 1);
        world.steps(Duration::from_secs(5)).await;
        assert_eq!(world.counted(), [6, 6], "the metadata names the old topic");
        world.take(0, &all(), eager);
        world.step().await;
        let generation = if eager { world.next_generation() } else { world.generation() };
        world.give(0, &generation, &all());
        world.is_stopped(0).await;
    });
}
