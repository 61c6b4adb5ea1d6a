//! What an owner does with the answers that it gets: recovery, messages, commits.
//!
//! As in `world/driver.rs`, the [`Machine`] that ships decides.

use super::super::step::Answer;
use super::state::{Merging, Owner, Pending, merge, source, span};
use super::step::{MergeAct, Sums, WINDOWS};
use crate::pure::count::CountKind;
use crate::pure::count::merge::Asked;
use crate::pure::protocol::machine::{Effect, Input, Moment, PositionsAnswer, ReadStep, Setup};
use crate::pure::protocol::partition::{Sinks, Use};
use crate::pure::protocol::{Committed, Machine, Marks, OnGap};
use crate::pure::record::{Offset, OffsetRange};

/// The clock does not move; pauses are over at each step.
const NOW: Moment = Moment::ZERO;

impl Owner {
    pub(super) fn assigned() -> Owner {
        let setup = Setup {
            sinks: Sinks { counts: true, archive: false, keeps_state: true },
            on_gap: OnGap::Stop,
            root: "".into(),
            epoch: 0,
            jitter: 0,
        };
        let (machine, merge) = (Machine::assigned(setup), merge(Marks::default()));
        let mut owner = Owner { current: true, machine, merge, sent: false };
        owner.tick();
        owner
    }

    /// Hands one input to the machine, and lets it ask for what it needs.
    fn input(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.machine.handle(input, NOW, &mut effects);
        if effects.contains(&Effect::Recount) {
            self.merge = merge(self.machine.marks());
        }
        self.tick();
    }

    fn tick(&mut self) {
        self.machine.let_time_pass();
        self.machine.handle(Input::Tick, NOW, &mut Vec::new());
        self.machine.settle_cursor();
        self.machine.forget_brokers_answer();
        self.machine.rename_questions();
    }

    /// The next message to be read, if one may be read.
    pub(super) fn next_message(&self) -> Option<usize> {
        match self.machine.next_read(NOW) {
            ReadStep::Wait => None,
            ReadStep::Seek { to, .. } => Some(to.0 as usize),
            ReadStep::Read => self.machine.position().map(|at| at.0 as usize),
        }
    }

    /// Whether the brokers have to answer: a question is pending, or a commit is to be confirmed.
    pub(super) fn asks(&self) -> bool {
        self.machine.pending_positions().is_some() || self.machine.needs_confirmation()
    }

    pub(super) fn replays(&self) -> bool {
        self.machine.rules().is_none_or(|p| p.replays())
    }

    pub(super) fn find_silent(&mut self, from: usize, at: i64) {
        let asked = Asked { p: Some(Offset(0)), end: Offset(0) };
        self.merge.silent(&source(from), asked, at);
    }

    /// What is due by window.
    fn due(&self) -> [Sums; WINDOWS] {
        let mut sums: [Sums; WINDOWS] = Default::default();
        for (span, kind, sum) in self.merge.due() {
            let of = &mut sums[span.start as usize];
            of.sum += sum;
            of.finals += u8::from(kind == CountKind::Final);
            of.late += if kind == CountKind::Late { *sum } else { 0 };
        }
        sums
    }
}

impl Merging {
    pub(super) fn assign(&mut self, i: usize) {
        self.owners.iter_mut().flatten().for_each(|o| o.current = false);
        self.owners[i] = Some(Owner::assigned());
    }

    /// The brokers answer what the machine asked, or what is to be confirmed.
    pub(super) fn read_positions(&mut self, i: usize) {
        let read = self.committed.as_ref();
        let read = read.map(|(offset, text)| Committed::decode(*offset, text).expect("ours"));
        let published = Ok(read.is_none().then_some(self.past));
        let log = OffsetRange { from: Offset(0), to: Offset(self.bounds.messages as i64) };
        let owner = self.owner(i);
        owner.input(match owner.machine.pending_positions() {
            None => Input::Confirmed(Ok(read)),
            Some(ticket) => {
                let (topic_id, first) = ("t".into(), Offset(0));
                let (partials, committed) = (None, Ok(read));
                Input::Positions(
                    ticket,
                    Some(PositionsAnswer { topic_id, partials, committed, log, first, published }),
                )
            }
        });
        assert!(owner.machine.stopped().is_none(), "nothing stops it");
    }

    pub(super) fn read_message(&mut self, i: usize, at: usize) {
        let message = self.log[at];
        let owner = self.owner(i);
        if let ReadStep::Seek { to, .. } = owner.machine.next_read(NOW) {
            owner.input(Input::SeekTaken(to));
        }
        let share = owner.machine.accept(Offset(at as i64), || unreachable!("no archive"));
        if let Some(use_) = share.results {
            let (span, offset) = (span(message.window), Offset(at as i64));
            if let Some(sum) = owner.merge.sums(span, false, offset, use_ == Use::Replay) {
                *sum += 1;
            }
            owner.merge.heard(&source(message.source), Some(message.watermark), 0);
        }
    }

    /// The transaction that owner `i` would send now, and the world after it.
    pub(super) fn transaction(&self, i: usize) -> Option<(MergeAct, Merging)> {
        let mut owner = self.owners[i].clone().expect("is up");
        owner.machine.note_results_state(owner.merge.needed(), owner.merge.marks());
        if !owner.current || self.pending[i].is_some() {
            return None;
        }
        let plan = owner.machine.plan(true)?;
        let sums = owner.due();
        let metadata = owner.machine.metadata(&plan)?.encode(plan.offset);
        let act = MergeAct::Sends { p: plan.results.to, offset: plan.offset, sums };
        owner.sent = true;
        let mut next = self.clone();
        next.pending[i] = Some(Pending { plan, metadata, sums, in_flight: false });
        next.owners[i] = Some(owner);
        Some((act, next))
    }

    pub(super) fn on_answer(&mut self, i: usize, answer: Answer) {
        let committed = answer.apply(self, i);
        let owner = self.owner(i);
        owner.sent = false;
        match committed {
            Some(plan) => {
                owner.input(Input::CommitOk(plan));
                owner.merge.published();
            }
            None => owner.input(Input::CommitDoubt),
        }
    }
}
