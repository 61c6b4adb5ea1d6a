//! The searches that find nothing: no invariant is ever broken.

use super::engine::explore;
use super::merging::{Bounds, Merging};
use super::pair::Pair;
use super::scope::{Scope, is_full};
use super::silence::{Asking, Silence};
use super::world::World;

fn holds(scope: Scope) {
    explore(&World::new(), &scope).assert_holds();
}

#[test]
fn two_workers() {
    holds(Scope::small());
}

/// An answer that was read before another owner, or before a doubt, is never believed.
#[test]
fn answers_that_come_late() {
    holds(Scope { slow_answers: true, store_fails: false, ..Scope::small() });
}

/// Four minutes with counts; `make search` walks that, `make test` only the archive's half.
#[test]
fn two_workers_two_records() {
    holds(Scope { records: 2, store_fails: false, counts: is_full(), ..Scope::small() });
}

#[test]
fn appends_that_land_late() {
    holds(Scope { late_appends: true, ..Scope::small() });
}

#[test]
fn a_commit_that_was_answered_ok_and_lost() {
    holds(Scope { lost_ok: 1, ..Scope::small() });
}

#[test]
fn an_operator_moves_the_offset() {
    holds(Scope { resets: true, ..Scope::small() });
}

#[test]
fn the_offset_expires() {
    holds(Scope { expiry: true, ..Scope::small() });
}

/// An older choice counts again, as asked; what the published counts tell is exact.
#[test]
fn the_offset_expires_and_is_repaired() {
    holds(Scope { expiry: true, repairs: true, ..Scope::small() });
}

/// Two records, so that retention can bite between an attempt and what follows it. `make search`
/// walks it for two workers.
#[test]
fn retention_overtakes() {
    let workers = if is_full() { 2 } else { 1 };
    holds(Scope { records: 2, workers, retention: true, store_fails: false, ..Scope::small() });
}

#[test]
fn retention_overtakes_a_failing_store() {
    holds(Scope { retention: true, ..Scope::small() });
}

#[test]
fn retention_overtakes_and_is_repaired() {
    holds(Scope {
        retention: true,
        gaps_stop: true,
        repairs: true,
        store_fails: false,
        ..Scope::small()
    });
}

/// The committed offset names the entry, so the next owner stops, also where records up to the
/// entry's beginning alone are counted; `alluvium repair` refuses to go on while files are there
/// that no entry names.
#[test]
fn the_last_entry_is_removed() {
    holds(Scope { entry_lost: true, store_fails: false, ..Scope::small() });
}

#[test]
fn the_topic_is_made_again() {
    holds(Scope { remade: true, repairs: true, store_fails: false, ..Scope::small() });
}

#[test]
fn the_topic_of_partial_counts_is_made_again() {
    let scope =
        Scope { partials_remade: true, repairs: true, store_fails: false, ..Scope::small() };
    holds(scope);
}

/// As `repair` asks for: the files that no entry names are moved away first.
#[test]
fn the_last_entry_is_removed_and_repaired() {
    holds(Scope { entry_lost: true, repairs: true, store_fails: false, ..Scope::small() });
}

/// Offsets that expire and another of the damages that a person repairs, in any order in which the
/// model has them, with each repair of either. Other pairs are not searched: of a topic that is
/// made again the model takes the records of both lives for the same ones, and an entry that is
/// removed when its records are gone from the log leaves nothing that a repair could archive.
#[test]
fn two_damages_are_repaired() {
    let one = Scope { repairs: true, store_fails: false, workers: 1, ..Scope::small() };
    let expiry = Scope { expiry: true, ..one };
    for (name, scope) in [
        ("the offset expires, retention", Scope { retention: true, gaps_stop: true, ..expiry }),
        ("the offset expires, the entry is lost", Scope { entry_lost: true, ..expiry }),
        ("the offset expires, the topic is made again", Scope { remade: true, ..expiry }),
        ("the offset expires, other partial counts", Scope { partials_remade: true, ..expiry }),
    ] {
        println!("{name}");
        holds(scope);
    }
}

#[test]
fn archive_only() {
    holds(Scope { counts: false, ..Scope::small() });
}

/// One worker and its earlier lives: what a transaction holds is one producer's.
#[test]
fn two_partitions_in_one_transaction() {
    explore(&Pair::new(), &Scope::pair()).assert_holds();
}

/// Two producers, each with transactions of both partitions: all that 22 steps lead to
/// (`make search`: 27). The faults that are planted into it are found within 16.
#[test]
fn two_partitions_of_two_owners() {
    explore(&Pair::new(), &Scope::pair_of_owners()).assert_holds();
}

/// Everything at once, for one worker and its own earlier lives.
#[test]
fn one_worker_everything() {
    holds(Scope { records: 2, workers: 1, late_appends: true, lost_ok: 1, ..Scope::small() });
}

fn merging(messages: usize) -> Merging {
    Merging::new(Bounds { messages, silence: false, parts: true, expiry: false })
}

#[test]
fn open_windows_of_two_owners() {
    explore(&merging(2), &Scope { lost_ok: is_full().into(), ..Scope::small() }).assert_holds();
}

#[test]
fn open_windows_of_one_owner() {
    let messages = if is_full() { 4 } else { 3 };
    explore(&merging(messages), &Scope { workers: 1, ..Scope::small() }).assert_holds();
}

#[test]
fn open_windows_whose_offsets_expire() {
    let bounds = Bounds { messages: 2, silence: false, parts: true, expiry: true };
    explore(&Merging::new(bounds), &Scope { workers: 1, ..Scope::small() }).assert_holds();
}

/// Whoever is thought to be silent has nothing left to count.
#[test]
fn silence_is_true() {
    explore(&Silence::new(Asking::Right), &Scope::small()).assert_holds();
}

/// Each question has its place.
#[test]
fn silence_that_is_asked_for_in_the_wrong_way_is_false() {
    for asking in [Asking::PartialsFirst, Asking::EndFirst, Asking::Stable, Asking::ClockLast] {
        let report = explore(&Silence::new(asking), &Scope::small());
        let Some((what, trace)) = report.broken else {
            panic!("{asking:?}: nothing was found in {} states", report.states);
        };
        println!("{asking:?}: {what}, after {} steps:\n  {}", trace.len(), trace.join("\n  "));
    }
}

#[test]
fn sources_fall_silent_at_any_time() {
    let silent = Merging::new(Bounds { messages: 2, silence: true, parts: false, expiry: false });
    explore(&silent, &Scope { workers: 1, lost_ok: 1, ..Scope::small() }).assert_holds();
}
