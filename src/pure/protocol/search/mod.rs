//! Every reachable state of two workers, Kafka and the store, over the real rules.
//!
//! `world` says what may happen next: a worker's own steps (each is a call into
//! [`crate::pure::protocol`]), and what the outside does to it at any moment: rebalances, crashes,
//! pauses (a step that simply comes late, after another owner has worked), lost and late replies,
//! the store going away, an operator moving the offset. Nothing bounds how often these come;
//! attempts and records are few, so the number of states is finite. `engine` walks them
//! breadth-first and prints the shortest trace to a broken invariant.

#![allow(clippy::print_stdout)]

mod engine;
mod merging;
mod pair;
mod plants;
mod silence;
mod world;

use std::hash::Hash;

use engine::explore;
use merging::{Bounds, Merging};
use pair::Pair;
use silence::{Asking, Silence};
use world::{Scope, World};

/// What the engine walks.
trait Model: Clone + Hash {
    /// Every world that one step leads to, and what the step is.
    fn next(&self, scope: &Scope) -> Vec<(String, Self)>;
    /// The invariant that does not hold here.
    fn broken(&self, scope: &Scope) -> Option<&'static str>;
    /// The same world with the workers' names exchanged.
    fn mirrored(&self) -> Self;
    /// I6: whether somebody who is left alone gets nowhere.
    fn stuck(&self, scope: &Scope, healthy: &mut engine::Healthy) -> Option<&'static str>;
}

fn holds(scope: Scope) {
    explore(&World::new(), &scope).assert_holds();
}

fn pair() -> Scope {
    let full = full();
    Scope { workers: 1, late_appends: full, lost_ok: full.into(), ..small() }
}

fn pair_of_owners() -> Scope {
    let steps = Some(if full() { 32 } else { 24 });
    Scope { store_fails: false, live: false, steps, ..small() }
}

/// `make search`, which has more patience than `make test`.
fn full() -> bool {
    std::env::var_os("ALLUVIUM_SEARCH").is_some_and(|v| v == "full")
}

fn small() -> Scope {
    Scope { records: 1, slots: 2, ..Scope::default() }
}

#[test]
fn two_workers() {
    holds(small());
}

/// Four minutes with counts; `make search` walks that, `make test` only the archive's half.
#[test]
fn two_workers_two_records() {
    holds(Scope { records: 2, store_fails: false, counts: full(), ..small() });
}

#[test]
fn appends_that_land_late() {
    holds(Scope { late_appends: true, ..small() });
}

#[test]
fn a_commit_that_was_answered_ok_and_lost() {
    holds(Scope { lost_ok: 1, ..small() });
}

#[test]
fn an_operator_moves_the_offset() {
    holds(Scope { resets: true, ..small() });
}

#[test]
fn the_offset_expires() {
    holds(Scope { expiry: true, ..small() });
}

/// An older choice counts again, as asked; what the published counts tell is exact.
#[test]
fn the_offset_expires_and_is_repaired() {
    holds(Scope { expiry: true, repairs: true, ..small() });
}

/// Two records, so that retention can bite between an attempt and what follows it. `make search`
/// walks it for two workers.
#[test]
fn retention_overtakes() {
    let workers = if full() { 2 } else { 1 };
    holds(Scope { records: 2, workers, retention: true, store_fails: false, ..small() });
}

#[test]
fn retention_overtakes_a_failing_store() {
    holds(Scope { retention: true, ..small() });
}

#[test]
fn retention_overtakes_and_is_repaired() {
    holds(Scope { retention: true, gaps_stop: true, repairs: true, store_fails: false, ..small() });
}

#[test]
fn the_topic_is_made_again() {
    holds(Scope { remade: true, repairs: true, store_fails: false, ..small() });
}

#[test]
fn archive_only() {
    holds(Scope { counts: false, ..small() });
}

/// One worker and its earlier lives: what a transaction holds is one producer's.
#[test]
fn two_partitions_in_one_transaction() {
    explore(&Pair::new(), &pair()).assert_holds();
}

/// Two producers, each with transactions of both partitions: all that 24 steps lead to (`make search`: 32).
/// The faults that are planted into it are found within 16.
#[test]
fn two_partitions_of_two_owners() {
    explore(&Pair::new(), &pair_of_owners()).assert_holds();
}

/// Everything at once, for one worker and its own earlier lives.
#[test]
fn one_worker_everything() {
    holds(Scope { records: 2, workers: 1, late_appends: true, lost_ok: 1, ..small() });
}

fn merging(messages: usize) -> Merging {
    Merging::new(Bounds { messages, silence: false, parts: true, expiry: false })
}

#[test]
fn open_windows_of_two_owners() {
    explore(&merging(2), &Scope { lost_ok: full().into(), ..small() }).assert_holds();
}

#[test]
fn open_windows_of_one_owner() {
    let messages = if full() { 4 } else { 3 };
    explore(&merging(messages), &Scope { workers: 1, ..small() }).assert_holds();
}

#[test]
fn open_windows_whose_offsets_expire() {
    let bounds = Bounds { messages: 2, silence: false, parts: true, expiry: true };
    explore(&Merging::new(bounds), &Scope { workers: 1, ..small() }).assert_holds();
}

/// Whoever is thought to be silent has nothing left to count.
#[test]
fn silence_is_true() {
    explore(&Silence::new(Asking::Right), &small()).assert_holds();
}

/// Each question has its place.
#[test]
fn silence_that_is_asked_for_in_the_wrong_way_is_false() {
    for asking in [Asking::PartialsFirst, Asking::EndFirst, Asking::Stable, Asking::ClockLast] {
        let report = explore(&Silence::new(asking), &small());
        let Some((what, trace)) = report.broken else {
            panic!("{asking:?}: nothing was found in {} states", report.states);
        };
        println!("{asking:?}: {what}, after {} steps:\n  {}", trace.len(), trace.join("\n  "));
    }
}

#[test]
fn sources_fall_silent_at_any_time() {
    let silent = Merging::new(Bounds { messages: 2, silence: true, parts: false, expiry: false });
    explore(&silent, &Scope { workers: 1, lost_ok: 1, ..small() }).assert_holds();
}
