//! A search that can't fail proves nothing: each fault is planted into the rules and must be found.

use std::sync::Arc;

use super::engine::{SearchReport, explore_whole};
use super::merging::{Bounds, Merging};
use super::model::Model;
use super::pair::Pair;
use super::scope::Scope;
use super::silence::{Asking, Silence};
use super::world::World;
use crate::pure::fault::{PLANTED, PlantedFault};
use crate::pure::protocol::recovery::{Begin, Found};
use crate::pure::protocol::{Identity, KnownPosition, OnGap, Partition, Sinks};
use crate::pure::record::{Offset, OffsetRange};

fn finds(fault: PlantedFault, scope: Scope, want: &str) {
    finds_in(&World::new(), fault, scope, want);
}

/// Both partitions of a transaction are in doubt together.
#[test]
fn error_is_abort_for_two_partitions() {
    finds_in(&Pair::new(), PlantedFault::ErrorIsAbort, Scope::pair(), "I1");
}

/// What one owner does to the other, in either partition of a transaction.
#[test]
fn faults_of_two_owners_of_two_partitions() {
    for (fault, want) in [
        (PlantedFault::ErrorIsAbort, "I1"),
        (PlantedFault::KeepPOverMissedGeneration, "I1"),
        (PlantedFault::PublishFirst, "I3"),
    ] {
        finds_in(&Pair::new(), fault, Scope::pair_of_owners(), want);
    }
}

fn finds_in(first: &impl Model, fault: PlantedFault, scope: Scope, want: &str) {
    // A lone owner that gets stuck would hide the worse things that the fault does.
    let scope = Scope { live: want == "I6", ..scope };
    PLANTED.with(|p| p.set(Some(fault)));
    let report = explore_whole(first, &scope);
    PLANTED.with(|p| p.set(None));
    assert_found(&format!("{fault:?}"), report, want);
}

fn assert_found(fault: &str, report: SearchReport, want: &str) {
    let SearchReport { states, broken } = report;
    let Some((what, trace)) = broken else {
        panic!("{fault} was not found in {states} states");
    };
    let (steps, trace) = (trace.len(), trace.join("\n  "));
    println!("{fault}: {what}, after {steps} steps, in {states} states:\n  {trace}");
    assert!(what.contains(want), "{fault}: found {what:?}, expected {want:?}");
}

/// I7 rests on the store's promise that an append never replaces an entry.
#[test]
fn appends_that_replace_an_entry() {
    let scope = Scope { overwrites: true, live: false, ..base() };
    assert_found("Overwrites", explore_whole(&World::new(), &scope), "I7");
}

/// The machine compares with the log anew only after it has read the positions back, so no walk
/// reaches two comparisons in a row: the rule is asked itself.
#[test]
fn lost_forgotten() {
    let named_as_lost = || {
        let sinks = Sinks { counts: true, archive: false, keeps_state: false };
        let identity = Identity { root: String::new(), topic_id: "t".into() };
        let mut rules = Partition::assigned(sinks, Arc::new(identity), OnGap::Record);
        assert_eq!(rules.on_committed(None), Ok(Found::Fresh(Begin::CommitStart)));
        rules.set_start(KnownPosition::none(Offset(0)));
        for log_start in [1, 2] {
            assert_eq!(rules.on_log_start(Offset(log_start)), Ok(None));
        }
        let plan = rules.plan(true).expect("the results go on at the log's start");
        rules.metadata(&plan).lost
    };
    let both = OffsetRange { from: Offset(0), to: Offset(2) };
    assert_eq!(named_as_lost(), Some(both));
    PLANTED.with(|p| p.set(Some(PlantedFault::LostForgotten)));
    let found = named_as_lost();
    PLANTED.with(|p| p.set(None));
    assert_ne!(found, Some(both), "the first of the two ranges is forgotten");
}

macro_rules! plants {
    ($($name:ident: $fault:ident, $scope:expr => $want:expr;)*) => {$(
        #[test]
        fn $name() {
            finds(PlantedFault::$fault, $scope, $want);
        }
    )*};
}

fn base() -> Scope {
    Scope { slots: 2, store_fails: false, ..Scope::default() }
}

fn archive_alone() -> Scope {
    Scope { counts: false, ..one() }
}

fn remade() -> Scope {
    Scope { remade: true, repairs: true, ..one() }
}

fn partials_remade() -> Scope {
    Scope { partials_remade: true, repairs: true, ..one() }
}

/// Retention, and a policy to stop for what it takes.
fn gaps_stop() -> Scope {
    Scope { gaps_stop: true, retention: true, ..one() }
}

fn one() -> Scope {
    Scope { records: 1, ..base() }
}

/// What the merge's own rules are for.
fn finds_in_merge(fault: PlantedFault, silence: bool, want: &str) {
    let bounds = Bounds { messages: 3, silence, parts: true, expiry: false };
    finds_in(&Merging::new(bounds), fault, Scope { workers: 1, ..Scope::small() }, want);
}

#[test]
fn commit_ahead_of_state() {
    finds_in_merge(PlantedFault::CommitAheadOfState, false, "I1: a closed window lacks");
}

#[test]
fn commit_in_replay() {
    finds_in_merge(PlantedFault::CommitInReplay, false, "I1");
}

#[test]
fn late_again() {
    finds_in_merge(PlantedFault::LateAgain, false, "I1");
}

#[test]
fn highest_watermark() {
    finds_in_merge(PlantedFault::HighestWatermark, false, "published as late");
}

#[test]
fn lag_is_silence() {
    finds_in(
        &Silence::new(Asking::Right),
        PlantedFault::LagIsSilence,
        Scope::small(),
        "before a record",
    );
}

#[test]
fn part_alone() {
    finds_in_merge(PlantedFault::PartAlone, false, "I1: a partial count is published twice");
}

plants! {
    start_at_p: StartAtP, base() => "I2";
    start_at_a: StartAtA, base() => "I1";
    count_below_p: CountBelowP, base() => "I1";
    archive_below_a: ArchiveBelowA, base() => "I2";
    commit_p: CommitP, one() => "I4";
    error_is_abort: ErrorIsAbort, one() => "I1";
    no_verify: NoVerify, Scope { lost_ok: 1, ..base() } => "I1";
    exists_is_mine: ExistsIsMine, base() => "I4";
    advance_on_try: AdvanceOnTry, Scope { late_appends: true, ..base() } => "I4";
    discard_tried: DiscardTried, Scope { late_appends: true, store_fails: true, ..one() } => "I5";
    settle_unnamed_anywhere: SettleUnnamedAnywhere, one() => "I5";
    settle_ignores_names: SettleIgnoresNames, one() => "I5";
    settle_below_tail_from: SettleBelowTailFrom, one() => "I6";
    publish_first: PublishFirst, one() => "I3";
    append_out_of_order: AppendOutOfOrder, base() => "I2";
    append_before_confirmed: AppendBeforeConfirmed, one() => "no reason";
    detached_commits_p: DetachedCommitsP, Scope { store_fails: true, ..one() } => "I4";
    metadata_unchecked: MetadataUnchecked, Scope { resets: true, ..base() } => "no reason";
    expired_begins_again: ExpiredBeginsAgain, Scope { expiry: true, ..one() } => "I1";
    gap_before_confirmed: GapBeforeConfirmed, Scope { retention: true, ..one() } => "no reason";
    gap_ahead_of_attempts: GapAheadOfAttempts, Scope { retention: true, ..base() } => "I2";
    fresh_forever: FreshForever, Scope { expiry: true, repairs: true, ..one() } => "I1";
    topic_id_unchecked: TopicIdUnchecked, remade() => "I4";
    entry_unchecked: EntryUnchecked, Scope { entry_lost: true, ..one() } => "twice";
    partials_unchecked: PartialsUnchecked, partials_remade() => "open windows have lost counts";
    keep_p: KeepPOverMissedGeneration, base() => "I1";
    ask_twice: AskTwice, one() => "asked although it is pending";
    take_old_answer: TakeOldAnswer, Scope { slow_answers: true, ..one() } => "I1";
    forget_overtaken: ForgetOvertaken, Scope { retention: true, ..base() } => "thrown away";
    recover_while_leaving: RecoverWhileLeaving, archive_alone() => "after its assignment has ended";
    discard_only_copy: DiscardOnlyCopy, Scope { retention: true, ..one() } => "I8";
    discard_only_copy_of_a_topic_made_again: DiscardOnlyCopy, remade() => "I8";
    gap_over_sealed: GapOverSealed, Scope { retention: true, ..one() } => "sealed attempt has";
    stop_over_sealed: GapOverSealed, gaps_stop() => "stops for";
    discard_adopted: DiscardAdopted, Scope { counts: false, retention: true, ..base() } => "I5";
    answer_after_revoke: AnswerAfterRevoke, one() => "after its assignment has ended";
}
