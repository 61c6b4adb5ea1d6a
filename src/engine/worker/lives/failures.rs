//! Every call of a life goes wrong in every way; broken rules are found.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::worker::lives::topics::{MERGED, SHAPE, Shape, UNFIT, all};
use crate::engine::worker::lives::world::{Plot, SLOTS, World, feed, in_paused_time};
use crate::fakes::network::Failure;
use crate::pure::fault::{PLANTED, PlantedFault};
use crate::pure::layout::rules::OnBadRecord;

/// A whole life with one failure; how many calls the first process made, and what call k was.
fn live(plot: Plot, plan: Option<(usize, Failure)>) -> (usize, Option<String>) {
    in_paused_time(async {
        let mut world = World::new(plan);
        let first = world.start();
        let generation = world.next_generation();
        world.give(first, &generation, &all());
        feed(&world, 0);
        world.steps(Duration::from_millis(1_500)).await;
        feed(&world, 1);
        world.steps(Duration::from_millis(700)).await;
        feed(&world, 2);
        world.steps(Duration::from_millis(1_300)).await;
        world.act(plot).await;
        feed(&world, 3);
        world.finish().await;
        (world.processes[first].network.calls(), world.processes[first].network.hit())
    })
}

/// Breaks a rule on purpose: some life must show it.
fn finds(fault: PlantedFault, plot: Plot, ways: &[Failure]) -> bool {
    let (calls, _) = live(plot, None);
    PLANTED.set(Some(fault));
    let silence = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let broken = [(0, Failure::Before)]
        .into_iter()
        .chain(ways.iter().flat_map(|how| (1..=calls).map(move |k| (k, *how))));
    let found =
        broken.map(Some).find(|plan| std::panic::catch_unwind(|| live(plot, *plan)).is_err());
    std::panic::set_hook(silence);
    PLANTED.set(None);
    found.is_some()
}

/// Every call of a life, in every way of going wrong.
fn every_call(plot: Plot) {
    let (calls, _) = live(plot, None);
    assert!(100 < calls, "a life of {calls} calls tests nothing");
    let mut hits: BTreeMap<String, usize> = BTreeMap::new();
    for how in Failure::ALL {
        for k in 1..=calls {
            let lived = std::panic::catch_unwind(|| live(plot, Some((k, how))));
            let (_, hit) = lived.unwrap_or_else(|_| panic!("{plot:?}: call {k} went {how:?}"));
            let what = hit.unwrap_or_default();
            let operation = what.split(' ').next().unwrap_or_default().to_string();
            *hits.entry(operation).or_default() += 1;
        }
    }
    for operation in ["commit", "begin", "stable", "rename", "create", "close", "list"] {
        assert!(hits.contains_key(operation), "{operation} never went wrong: {hits:?}");
    }
}

/// The same lives with the merge, which also reads what it has published itself.
#[test]
fn every_call_of_one_process_that_merges_goes_wrong() {
    MERGED.set(true);
    every_call(Plot::Alone);
}

#[test]
fn every_call_before_and_after_a_stop_of_a_merge_goes_wrong() {
    MERGED.set(true);
    every_call(Plot::Stop);
}

#[test]
fn every_call_before_and_after_a_join_with_a_merge_goes_wrong() {
    MERGED.set(true);
    every_call(Plot::JoinSticky);
}

#[test]
fn every_call_of_one_process_goes_wrong() {
    every_call(Plot::Alone);
}

#[test]
fn every_call_before_and_after_a_stop_goes_wrong() {
    every_call(Plot::Stop);
}

#[test]
fn every_call_around_a_stop_in_a_rebalance_goes_wrong() {
    every_call(Plot::StopAndLose);
}

#[test]
fn every_call_before_and_after_a_join_goes_wrong() {
    every_call(Plot::Join);
}

#[test]
fn every_call_before_and_after_a_cooperative_join_goes_wrong() {
    every_call(Plot::JoinSticky);
}

/// Bad records are rows of other files in the same append.
#[test]
fn every_call_with_a_quarantine_goes_wrong() {
    UNFIT.set(Some(OnBadRecord::Quarantine));
    every_call(Plot::Alone);
    every_call(Plot::JoinSticky);
}

/// Attempts without any row are appended like others.
#[test]
fn every_call_goes_wrong_where_bad_records_are_left_out() {
    UNFIT.set(Some(OnBadRecord::Skip));
    every_call(Plot::Alone);
    every_call(Plot::JoinSticky);
}

/// The same lives with each format, with declared columns, bad records beside them, and paths of
/// values. Files are the same calls of a store, so one of three calls goes wrong, another one for
/// each format.
#[test]
fn calls_with_other_formats_go_wrong() {
    for (first, shape) in Shape::OTHERS.into_iter().enumerate() {
        SHAPE.set(shape);
        let (calls, _) = live(Plot::JoinSticky, None);
        for how in Failure::ALL {
            for k in (1..=calls).skip(first % 3).step_by(3) {
                let lived = std::panic::catch_unwind(|| live(Plot::JoinSticky, Some((k, how))));
                let _ = lived.unwrap_or_else(|_| panic!("{shape:?}: call {k} went {how:?}"));
            }
        }
    }
    SHAPE.set(Shape::Lines);
}

/// Faults whose harm needs two processes at odds at the same moment are the search's business.
#[test]
fn broken_rules_are_found() {
    use Failure::{After, Before, KillBefore, Late, Lied, PauseBefore};
    // Where partitions wait for each other, A is never ahead of P.
    SLOTS.set(8);
    let missed: Vec<PlantedFault> = [
        (PlantedFault::StartAtP, Plot::Alone, &[KillBefore][..]),
        (PlantedFault::StartAtA, Plot::Alone, &[KillBefore]),
        (PlantedFault::CountBelowP, Plot::Alone, &[KillBefore]),
        (PlantedFault::ArchiveBelowA, Plot::Alone, &[Before]),
        (PlantedFault::CommitP, Plot::Alone, &[KillBefore]),
        (PlantedFault::ExistsIsMine, Plot::Alone, &[PauseBefore]),
        (PlantedFault::AdvanceOnTry, Plot::Alone, &[KillBefore, Late]),
        (PlantedFault::SettleIgnoresNames, Plot::Alone, &[KillBefore]),
        (PlantedFault::SettleBelowTailFrom, Plot::Alone, &[PauseBefore, KillBefore]),
        (PlantedFault::NoVerify, Plot::Alone, &[Lied]),
        (PlantedFault::ErrorIsAbort, Plot::Alone, &[After, Late]),
        (PlantedFault::PublishFirst, Plot::Alone, &[KillBefore]),
        (PlantedFault::TrustMovedPosition, Plot::JoinSticky, &[]),
    ]
    .into_iter()
    .filter(|(fault, plot, ways)| !finds(*fault, *plot, ways))
    .map(|(fault, ..)| fault)
    .collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
