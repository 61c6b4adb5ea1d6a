//! What the search does not see: it knows neither time nor records that do not fit the format.

use super::handover::LOG_AGAIN;
use super::message::{
    Cause, Effect, Input, LedgerQuestion, LogAnswer, Moment, PositionsAnswer, Report, StopReason,
    Ticket,
};
use super::reading::ReadStep;
use super::state::{Machine, Setup};
use crate::pure::formats::entry::{AttemptId, EntryKey, Head};
use crate::pure::formats::metadata::{Marks, Metadata};
use crate::pure::protocol::append::AppendVerdict;
use crate::pure::protocol::committed::Committed;
use crate::pure::protocol::partition::{Partition, Share, Sinks};
use crate::pure::protocol::recovery::{Identity, LedgerTail, OnGap};
use crate::pure::record::{Offset, OffsetRange};

const NOW: Moment = Moment::from_secs(1_000);

/// A partition with an archive and with counts, and what it wants done.
struct Driven {
    machine: Machine,
    effects: Vec<Effect>,
}

impl Driven {
    fn assigned(archive: bool) -> Driven {
        let sinks = Sinks { counts: true, archive, keeps_state: false };
        let (root, on_gap) = ("r".into(), OnGap::Stop);
        let machine = Machine::assigned(Setup { sinks, on_gap, root, epoch: 1, jitter: 0 });
        let mut driven = Driven { machine, effects: Vec::new() };
        driven.input(Input::Tick, NOW);
        driven
    }

    /// Recovered at offset 5, which is committed, and where the ledger ends.
    fn running() -> Driven {
        let mut driven = Driven::assigned(true);
        driven.answer_positions();
        driven.input(Input::Tick, NOW);
        driven.answer_ledger(NOW);
        assert_eq!(driven.machine.start(), Some(Offset(5)), "{:?}", driven.machine);
        driven
    }

    /// Has read the record of offset 5 into attempt 1, which is open.
    fn reading() -> Driven {
        let mut driven = Driven::running();
        driven.input(Input::SeekTaken(Offset(5)), NOW);
        let _ = driven.machine.accept(Offset(5), || AttemptId(1));
        driven
    }

    fn input(&mut self, input: Input, now: Moment) {
        self.effects.clear();
        self.machine.handle(input, now, &mut self.effects);
    }

    fn answer_positions(&mut self) {
        self.answer_positions_of("t");
    }

    fn answer_positions_of(&mut self, now_is: &str) {
        let (root, topic_id) = ("r".into(), "t".into());
        let (p, entry, marks, lost) = (Offset(5), None, Marks::default(), None);
        let metadata = Metadata { p, entry, root, topic_id, marks, lost, partials: None }.encode(p);
        self.answer(now_is, Some(Committed::decode(p, &metadata).expect("ours")));
    }

    fn answer_committed(&mut self, committed: Option<Committed>) {
        self.answer("t", committed);
    }

    fn answer(&mut self, topic_id: &str, committed: Option<Committed>) {
        let log = OffsetRange { from: Offset(0), to: Offset(9) };
        self.answer_of_log(topic_id, Ok(committed), log);
    }

    fn answer_of_log(
        &mut self,
        topic_id: &str,
        committed: Result<Option<Committed>, String>,
        log: OffsetRange,
    ) {
        let ticket = self.machine.pending_positions().expect("the positions are asked for");
        let (topic_id, first, published) = (topic_id.into(), Offset(0), Ok(None));
        let partials = None;
        let answer = PositionsAnswer { topic_id, partials, committed, log, first, published };
        self.input(Input::Positions(ticket, Some(answer)), NOW);
    }

    /// The pause after a failure.
    fn fail(&mut self, now: Moment) -> Moment {
        self.input(Input::ArchiveFailed, now);
        let pause = self.effects.iter().find_map(|effect| match effect {
            Effect::Report(Report::ArchiveWaits { retry_in }) => Some(*retry_in),
            _ => None,
        });
        pause.expect("the archive waits")
    }

    /// Reads a record, and brings it into the ledger.
    fn archive(&mut self, offset: i64, now: Moment) {
        self.input(Input::SeekTaken(Offset(offset)), now);
        let id = AttemptId(offset as u128);
        let share = self.machine.accept(Offset(offset), || id);
        assert!(share.archive.is_some(), "{:?}", self.machine);
        assert_eq!(self.machine.seal().map(|(id, _)| id), Some(id));
        self.input(Input::ManifestWritten(id), now);
        assert_eq!(self.effects, [Effect::Append(id)]);
        self.input(Input::Append(id, AppendVerdict::Appended), now);
        assert!(self.machine.is_detached() || !self.machine.is_failing());
        self.input(Input::Published(id), now);
    }

    /// The brokers say what the log has; whether the record of offset 5 is `named` as one that is
    /// not archived.
    fn leaves(&mut self, ticket: Ticket, answer: Option<LogAnswer>, named: bool) {
        self.input(Input::Log(ticket, answer), NOW);
        let range = OffsetRange { from: Offset(5), to: Offset(6) };
        let report = Effect::Report(Report::LeftUnarchived(range));
        assert_eq!(self.effects.contains(&report), named, "{:?}", self.effects);
        assert!(self.machine.is_drained());
    }

    fn answer_ledger(&mut self, now: Moment) {
        let ticket = self.machine.pending_ledger().expect("the ledger is asked for");
        self.input(Input::Ledger(ticket, 0, Some(ledger())), now);
    }
}

fn ledger() -> LedgerTail {
    let tail = Head { key: EntryKey::At(Offset(0)), attempt: AttemptId(7), to: Offset(5) };
    let of = Identity { root: "r".into(), topic_id: "t".into() };
    LedgerTail { tail, of: of.into(), incarnation: 0 }
}

#[test]
fn a_record_that_does_not_fit_the_format_stops_whatever_is_asked_meanwhile() {
    let mut driven = Driven::running();
    driven.input(Input::GenerationMissed, NOW);
    driven.input(Input::Tick, NOW);
    let pending = driven.machine.pending_positions().expect("a doubt asks for the positions");
    driven.input(Input::NotEncoded("no".into()), NOW);
    let stopped = driven.machine.clone();
    assert_eq!(driven.machine.stopped().map(ToString::to_string), Some("no".into()));
    assert_eq!(driven.machine.pending_positions(), None, "the question is still waited for");
    for ticket in [pending, Ticket { epoch: 1, number: 99 }] {
        driven.input(Input::Positions(ticket, None), NOW);
        assert_eq!((&driven.machine, driven.effects.len()), (&stopped, 0));
    }
}

#[test]
fn a_partition_that_completes_its_attempts_stops_for_nothing() {
    let mut driven = Driven::running();
    let _ = driven.machine.accept(Offset(5), || AttemptId(1));
    driven.input(Input::Finish, NOW);
    for input in [Input::NotEncoded("no".into()), Input::Unreadable("no".into())] {
        driven.input(input, NOW);
        assert_eq!(driven.machine.stopped(), None);
        driven.input(Input::Tick, NOW + Moment::from_secs(3_600));
        assert_eq!(driven.effects, []);
        assert_eq!(driven.machine.pending_positions(), None);
        assert_eq!(driven.machine.plan(true), None);
    }
}

/// A store that answers reads, and refuses writes: each time the ledger is read, and nothing else
/// works.
#[test]
fn pauses_grow_until_something_was_archived() {
    let mut driven = Driven::running();
    let (mut now, mut pauses) = (NOW, Vec::new());
    for _ in 0..7 {
        let pause = driven.fail(now);
        pauses.push(pause.as_millis());
        now += pause;
        driven.input(Input::Tick, now);
        let probes =
            |e: &Effect| matches!(e, Effect::AskLedger(LedgerQuestion { probe: true, .. }));
        assert!(driven.effects.iter().any(probes), "{:?}", driven.effects);
        driven.answer_ledger(now);
        assert_eq!(driven.effects, [], "it has not recovered before something was archived");
        assert!(driven.machine.is_detached());
    }
    assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 7_500, 7_500, 7_500]);

    driven.archive(5, now);
    let after = now - NOW;
    assert_eq!(driven.effects, [Effect::Report(Report::ArchiveContinues { after })]);
    assert!(!driven.machine.is_detached());
    assert_eq!(driven.fail(now).as_millis(), 500);
}

/// Nothing is appended where nothing is read: time tells, and only that much of it without a
/// failure.
#[test]
fn an_idle_partition_is_not_detached_for_ever() {
    let mut driven = Driven::running();
    let minute = Moment::from_secs(60);
    let back = NOW + driven.fail(NOW);
    driven.input(Input::Tick, back);
    driven.answer_ledger(back);
    driven.input(Input::Tick, back + minute - Moment::from_millis(1));
    assert_eq!(driven.effects, []);
    driven.input(Input::Tick, back + minute);
    let after = back + minute - NOW;
    assert_eq!(driven.effects, [Effect::Report(Report::ArchiveContinues { after })]);
    assert!(!driven.machine.is_detached());
}

/// A record was read at offset 5, and the assignment ends.
fn revoked() -> (Driven, Ticket) {
    let mut driven = Driven::reading();
    driven.input(Input::Revoke, NOW);
    let ticket = driven.machine.pending_handover().expect("the log is asked for");
    assert_eq!(driven.effects, [Effect::AskLog(ticket)]);
    (driven, ticket)
}

fn log(topic_id: &str, start: i64) -> Option<LogAnswer> {
    Some(LogAnswer { topic_id: topic_id.into(), start: Offset(start) })
}

#[test]
fn an_owner_that_leaves_deletes_what_the_log_still_has() {
    let (mut driven, ticket) = revoked();
    driven.input(Input::Log(Ticket { number: 99, ..ticket }, log("t", 5)), NOW);
    assert_eq!(driven.effects, [], "the answer to another question");
    driven.input(Input::Log(ticket, log("t", 5)), NOW);
    let discards = |e: &Effect| matches!(e, Effect::AskLedger(q) if q.discard.len() == 1);
    assert!(driven.effects.iter().any(discards), "{:?}", driven.effects);
    assert!(driven.machine.is_drained());
}

#[test]
fn an_owner_that_leaves_appends_what_no_log_has() {
    for answer in [log("t", 6), log("another", 0), None] {
        let (mut driven, ticket) = revoked();
        driven.input(Input::Log(ticket, answer.clone()), NOW);
        let named = answer.is_some().then(uncounted);
        let expected: Vec<_> =
            named.into_iter().chain([Effect::EndAttempt(Cause::Revoked)]).collect();
        assert_eq!(driven.effects, expected, "{answer:?}");
        let (id, range) = driven.machine.seal().expect("it is open");
        assert_eq!(range, OffsetRange { from: Offset(5), to: Offset(6) });
        driven.input(Input::ManifestWritten(id), NOW);
        assert_eq!(driven.effects, [Effect::Append(id)], "{answer:?}");
        assert!(!driven.machine.is_drained());
        driven.input(Input::Append(id, AppendVerdict::Appended), NOW);
        driven.input(Input::Published(id), NOW);
        assert!(driven.machine.is_drained());
    }
}

/// The record of offset 5 was counted, and its count was not published.
fn uncounted() -> Effect {
    Effect::Report(Report::LeftUncounted(OffsetRange { from: Offset(5), to: Offset(6) }))
}

/// With an archive that has everything, and without one.
#[test]
fn counts_that_no_log_has_the_records_of_are_named() {
    for archive in [true, false] {
        for (answer, named) in
            [(log("t", 5), false), (log("t", 6), true), (log("another", 0), true), (None, false)]
        {
            let mut driven = Driven::assigned(archive);
            driven.answer_positions();
            driven.input(Input::Tick, NOW);
            if archive {
                driven.answer_ledger(NOW);
                driven.archive(5, NOW);
            } else {
                driven.input(Input::SeekTaken(Offset(5)), NOW);
                let _ = driven.machine.accept(Offset(5), || unreachable!("nothing is archived"));
            }
            driven.input(Input::Revoke, NOW);
            let ticket = driven.machine.pending_handover().expect("the log is asked for");
            driven.input(Input::Log(ticket, answer.clone()), NOW);
            driven.effects.retain(|effect| matches!(effect, Effect::Report(_)));
            assert_eq!(driven.effects, Vec::from_iter(named.then(uncounted)), "{answer:?}");
            assert!(driven.machine.is_drained());
        }
    }
}

#[test]
fn what_a_failing_store_does_not_take_at_the_end_is_named() {
    let (mut driven, ticket) = revoked();
    driven.input(Input::Log(ticket, log("t", 6)), NOW);
    driven.input(Input::ArchiveFailed, NOW);
    let range = OffsetRange { from: Offset(5), to: Offset(6) };
    assert!(driven.effects.contains(&Effect::Report(Report::LeftUnarchived(range))));
    assert!(driven.machine.is_drained());
}

/// Another owner was faster, or the store has failed, before the brokers have said what the log
/// has.
#[test]
fn an_archive_that_fails_before_the_log_is_known_is_judged_by_the_log() {
    for (answer, named) in [(log("t", 5), false), (log("t", 6), true)] {
        let (mut driven, ticket) = revoked();
        driven.input(Input::ArchiveFailed, NOW);
        let left = |e: &Effect| matches!(e, Effect::Report(Report::LeftUnarchived(_)));
        assert!(!driven.effects.iter().any(left), "{:?}", driven.effects);
        driven.leaves(ticket, answer, named);
    }
}

/// The network is away: neither the store nor the brokers answer an owner that leaves.
#[test]
fn the_log_is_asked_for_until_the_brokers_answer() {
    for (answer, named) in [(log("t", 5), false), (log("t", 6), true)] {
        for store_fails_first in [false, true] {
            let (mut driven, ticket) = revoked();
            if store_fails_first {
                driven.input(Input::ArchiveFailed, NOW);
                driven.input(Input::Log(ticket, None), NOW);
            } else {
                driven.input(Input::Log(ticket, None), NOW);
                assert_eq!(driven.effects, [Effect::EndAttempt(Cause::Revoked)]);
                driven.input(Input::ArchiveFailed, NOW);
            }
            let left = |e: &Effect| matches!(e, Effect::Report(Report::LeftUnarchived(_)));
            assert!(!driven.effects.iter().any(left), "{:?}", driven.effects);
            assert!(!driven.machine.is_drained(), "the brokers have not answered");
            let later = NOW + LOG_AGAIN;
            driven.input(Input::Tick, later - Moment::from_millis(1));
            assert_eq!(driven.effects, []);
            driven.input(Input::Tick, later);
            let again = driven.machine.pending_handover().expect("it is asked again");
            assert_eq!(driven.effects, [Effect::AskLog(again)]);
            driven.input(Input::Log(again, answer.clone()), later);
            assert_eq!(driven.effects.iter().any(left), named, "{:?}", driven.effects);
            assert!(driven.machine.is_drained());
        }
    }
}

/// A store that does not answer, and results that continue alone: nothing is there to be appended.
#[test]
fn what_was_counted_alone_and_no_log_has_is_named_at_the_end() {
    for (answer, named) in [(log("t", 6), true), (log("t", 5), false)] {
        let mut driven = Driven::reading();
        driven.input(Input::ArchiveFailed, NOW);
        let plan = driven.machine.plan(true).expect("results continue");
        driven.input(Input::CommitOk(plan), NOW);
        driven.input(Input::Revoke, NOW);
        let ticket = driven.machine.pending_handover().expect("the log is asked for");
        assert!(!driven.machine.is_drained());
        driven.leaves(ticket, answer, named);
    }
}

/// What a partition has read before it stopped is under way; a stop of the process waits for it.
#[test]
fn a_partition_that_has_stopped_is_drained_when_its_attempts_are() {
    let mut driven = Driven::reading();
    driven.input(Input::Unreadable("another version".into()), NOW);
    assert_eq!(driven.effects, [Effect::EndAttempt(Cause::Stopped)]);
    let (id, _) = driven.machine.seal().expect("it is open");
    driven.input(Input::ManifestWritten(id), NOW);
    assert!(driven.machine.stopped().is_some() && !driven.machine.is_drained());
    driven.input(Input::Append(id, AppendVerdict::Appended), NOW);
    driven.input(Input::Published(id), NOW);
    assert!(driven.machine.is_drained());
}

/// Offsets that were committed are gone: the partition stops before it asks for the ledger, which
/// says nothing of results if it has no data yet.
#[test]
fn offsets_that_vanish_under_an_owner_stop_the_partition_at_once() {
    let mut driven = Driven::running();
    driven.input(Input::CommitDoubt, NOW);
    driven.input(Input::Tick, NOW);
    driven.answer_committed(None);
    assert_eq!(driven.machine.stopped().map(StopReason::label), Some("nothing_committed"));
    assert!(driven.machine.pending_ledger().is_none(), "{:?}", driven.machine);
}

/// The attempt lacks the record that has no place in the format: what it would have held is to be
/// read again, from its first record on.
#[test]
fn an_attempt_that_is_given_up_gives_its_offsets_back() {
    let mut driven = Driven::reading();
    let (sealed, _) = driven.machine.seal().expect("it is open");
    let _ = driven.machine.accept(Offset(6), || AttemptId(2));
    driven.input(Input::NotEncoded("no".into()), NOW);
    let not_archived =
        |driven: &Driven| driven.machine.rules.as_ref().and_then(Partition::unarchived);
    let attempt = OffsetRange { from: Offset(5), to: Offset(6) };
    assert_eq!(not_archived(&driven), Some(attempt), "the sealed attempt goes on");
    driven.input(Input::ManifestWritten(sealed), NOW);
    driven.input(Input::Append(sealed, AppendVerdict::Appended), NOW);
    assert_eq!(not_archived(&driven), None);
    assert_eq!(driven.machine.rules.as_ref().and_then(Partition::start), Some(Offset(6)));
}

/// While the store is away, results continue alone from a committed offset whose metadata says what
/// is archived; an offset that somebody has moved says nothing of that.
#[test]
fn results_continue_alone_only_from_an_offset_with_its_own_metadata() {
    let mut driven = Driven::assigned(true);
    driven.answer_positions();
    driven.input(Input::ArchiveFailed, NOW);
    assert_eq!(driven.machine.start(), Some(Offset(5)), "{:?}", driven.machine);

    let mut moved = Driven::assigned(true);
    moved.answer_committed(Some(Committed { offset: Offset(5), metadata: None }));
    moved.input(Input::ArchiveFailed, NOW);
    assert_eq!(moved.machine.start(), None, "{:?}", moved.machine);
}

/// The client has stopped fetching, and takes no seek: of a topic that was made again it would
/// fetch the records that have the same offsets.
#[test]
fn fetching_begins_anew_only_in_the_same_topic() {
    for (topic_id, expected) in [("t", None), ("another", Some("other_topic"))] {
        let mut driven = Driven::running();
        driven.input(Input::SeekTaken(Offset(5)), NOW);
        driven.input(Input::OutOfRange, NOW);
        driven.input(Input::SeekRefused, NOW);
        assert_eq!(driven.effects, [Effect::EndAttempt(Cause::OutOfRange)]);
        driven.input(Input::Tick, NOW);
        assert!(!driven.effects.contains(&Effect::FetchAnew), "{:?}", driven.effects);
        driven.input(Input::Tick, NOW);
        driven.answer_positions_of(topic_id);
        driven.input(Input::Tick, NOW);
        assert_eq!(driven.machine.stopped().map(StopReason::label), expected);
        let begins = driven.effects.contains(&Effect::FetchAnew);
        assert_eq!(begins, expected.is_none(), "{:?}", driven.effects);
        driven.input(Input::Tick, NOW);
        assert!(!driven.effects.contains(&Effect::FetchAnew), "{:?}", driven.effects);
    }
}

#[test]
fn a_partition_that_has_stopped_reads_and_commits_nothing() {
    let mut driven = Driven::reading();
    assert!(driven.machine.plan(true).is_some());
    driven.input(Input::Unreadable("another version".into()), NOW);
    assert_eq!(driven.machine.plan(true), None);
    assert_eq!(driven.machine.accept(Offset(6), || AttemptId(2)), Share::NONE);
    assert_eq!(driven.machine.next_read(NOW), ReadStep::Wait);
}

/// The reason that is found first is the one that is told: the log is not compared with positions
/// that nobody trusts.
#[test]
fn a_partition_that_stops_for_its_offset_is_not_compared_with_the_log() {
    let mut driven = Driven::running();
    driven.input(Input::CommitDoubt, NOW);
    driven.input(Input::Tick, NOW);
    let log = OffsetRange { from: Offset(8), to: Offset(9) };
    driven.answer_of_log("t", Err("another version".into()), log);
    assert_eq!(driven.machine.stopped().map(StopReason::label), Some("unreadable"));
}

/// A leader that moves or lags makes a position out of range for a moment.
#[test]
fn the_first_position_out_of_range_is_tried_again() {
    let mut driven = Driven::running();
    driven.input(Input::SeekTaken(Offset(5)), NOW);
    driven.input(Input::OutOfRange, NOW);
    assert_eq!(driven.effects, []);
    assert_eq!(driven.machine.next_read(NOW), ReadStep::Wait);
    let later = NOW + Moment::from_secs(1);
    assert_eq!(driven.machine.next_read(later), ReadStep::Seek { to: Offset(5), recount: false });
    driven.input(Input::OutOfRange, later);
    assert!(driven.effects.contains(&Effect::Report(Report::Overtaken)), "{:?}", driven.effects);
}

/// The log may have been asked for a moment before it grew.
#[test]
fn a_position_beyond_the_log_counts_when_the_client_has_refused_it_three_times() {
    let (mut driven, mut refused) = (Driven::assigned(true), 0);
    let short = OffsetRange { from: Offset(0), to: Offset(3) };
    let committed = Committed { offset: Offset(5), metadata: None };
    driven.answer_of_log("t", Ok(Some(committed.clone())), short);
    let mut now = NOW;
    while driven.machine.stopped().is_none() {
        now += Moment::from_secs(60);
        driven.input(Input::Tick, now);
        if driven.machine.pending_ledger().is_some() {
            driven.answer_ledger(now);
        } else if driven.machine.pending_positions().is_some() {
            driven.answer_of_log("t", Ok(Some(committed.clone())), short);
        } else {
            refused += 1;
            driven.input(Input::OutOfRange, now);
        }
    }
    assert_eq!(refused, 3);
    assert_eq!(driven.machine.stopped().map(StopReason::label), Some("beyond_log"));
}
