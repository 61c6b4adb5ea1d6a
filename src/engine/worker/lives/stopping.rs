//! A stop archives what was read, although a call fails meanwhile.

use std::time::Duration;

use crate::engine::worker::lives::oracle::{archived, staged};
use crate::engine::worker::lives::topics::{MERGED, all, tp};
use crate::engine::worker::lives::world::{World, feed, in_paused_time};
use crate::fakes::network::{Failure, Network};

/// When a call goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum When {
    /// Records are read, and no file of them has ended.
    BeforeStop,
    DuringStop,
    /// As before, and records come all the time.
    UnderLoad,
}

/// Whether a stop with this failure says that all is archived; archived rows; how many calls there
/// were before the failing time, and at its end.
fn stop(when: When, plan: Option<(usize, Failure)>) -> (bool, usize, usize, usize) {
    in_paused_time(async {
        let mut world = World::new(None);
        let network = plan.map_or_else(Network::default, |(k, how)| Network::failing(k, how));
        let first = world.start_over(network);
        let generation = world.next_generation();
        world.give(first, &generation, &all());
        world.steps(Duration::from_millis(3_000)).await;
        let calls = |world: &World| world.processes[first].network.calls();
        let mut from = calls(&world);
        feed(&world, 0);
        world.steps(Duration::from_millis(600)).await;
        let mut to = calls(&world);
        let wait = world.drain(first);
        if when != When::BeforeStop {
            from = to;
        }
        let mut whole = None;
        for step in 0..1_000 {
            world.step().await;
            if when == When::UnderLoad && step < 10 {
                feed(&world, step + 1);
            }
            whole = wait.try_recv().ok();
            if whole.is_some() {
                break;
            }
        }
        if when != When::BeforeStop {
            to = calls(&world);
        }
        let rows = (0..2).map(|p| archived(&world.store, &tp("in", p)).len()).sum();
        // A call that has failed may leave something to the next owner's look at the directory.
        assert!(plan.is_some() || staged(&world.store).is_empty(), "something is left in staging");
        let hit = world.processes[first].network.hit();
        let broken = plan.is_some() && whole != Some(true);
        assert!(!broken, "{plan:?} {hit:?}: {whole:?}, {rows} rows");
        (whole == Some(true), rows, from, to)
    })
}

/// Each call of a stop fails once, and each call shortly before it.
#[test]
fn a_stop_repeats_what_has_failed_once() {
    for merged in [false, true] {
        MERGED.set(merged);
        for when in [When::BeforeStop, When::DuringStop, When::UnderLoad] {
            let (whole, rows, from, to) = stop(when, None);
            assert!(whole && rows == 6 && from < to, "{when:?}: {whole} {rows} {from}..{to}");
            for how in [Failure::Before, Failure::After, Failure::Denied, Failure::Full] {
                for k in from + 1..=to {
                    let (whole, rows, ..) = stop(when, Some((k, how)));
                    // What is read again is read in batches, which may have newer records, too.
                    let enough = if when == When::UnderLoad { 6..=66 } else { 6..=6 };
                    let told = format!("{when:?}: call {k} went {how:?}: {rows} rows");
                    assert!(whole && enough.contains(&rows), "{told}");
                }
            }
        }
        MERGED.set(false);
    }
}
