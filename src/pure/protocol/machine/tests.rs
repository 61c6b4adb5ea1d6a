//! What the search does not see: it knows neither time nor records that do not fit the format.

use super::message::{Effect, Input, PositionsAnswer, Ticket};
use super::state::{Machine, Moment, Setup};
use crate::pure::formats::entry::{AttemptId, EntryKey, Head};
use crate::pure::formats::metadata::{Marks, Metadata};
use crate::pure::protocol::committed::Committed;
use crate::pure::protocol::partition::Sinks;
use crate::pure::protocol::recovery::{Identity, LedgerTail, OnGap};
use crate::pure::record::{Offset, OffsetRange};

const NOW: Moment = Moment::from_secs(1_000);

/// A partition with an archive and with counts, and what it wants done.
struct Driven {
    machine: Machine,
    effects: Vec<Effect>,
}

impl Driven {
    fn assigned() -> Driven {
        let sinks = Sinks { counts: true, archive: true, keeps_state: false };
        let (root, on_gap) = ("r".into(), OnGap::Stop);
        let machine = Machine::assigned(Setup { sinks, on_gap, root, epoch: 1, jitter: 0 });
        let mut driven = Driven { machine, effects: Vec::new() };
        driven.input(Input::Tick, NOW);
        driven
    }

    /// Recovered at offset 5, which is committed, and where the ledger ends.
    fn running() -> Driven {
        let mut driven = Driven::assigned();
        driven.answer_positions();
        driven.input(Input::Tick, NOW);
        driven.answer_ledger(NOW);
        assert_eq!(driven.machine.start(), Some(Offset(5)), "{:?}", driven.machine);
        driven
    }

    fn input(&mut self, input: Input, now: Moment) {
        self.effects.clear();
        self.machine.handle(input, now, &mut self.effects);
    }

    fn answer_positions(&mut self) {
        let ticket = self.machine.pending_positions().expect("the positions are asked for");
        let (root, topic_id) = ("r".into(), "t".into());
        let (p, entry, marks, lost) = (Offset(5), None, Marks::default(), None);
        let metadata = Metadata { p, entry, root, topic_id, marks, lost }.encode(p);
        let answer = PositionsAnswer {
            topic_id: "t".into(),
            committed: Ok(Some(Committed::decode(p, &metadata).expect("ours"))),
            log: OffsetRange { from: Offset(0), to: Offset(9) },
            first: Offset(0),
            published: None,
        };
        self.input(Input::Positions(ticket, Some(answer)), NOW);
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
