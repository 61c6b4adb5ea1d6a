//! What a worker does with the answers that it gets. The [`Machine`] that ships decides; here its
//! effects are carried out on the world, and the world's answers are handed over.

use super::super::scope::Scope;
use super::super::step::Answer;
use super::state::{Files, Letter, Pending, Worker, World, identity, life_of};
use crate::pure::protocol::machine::{
    Effect, Input, LedgerQuestion, LogAnswer, Moment, NewEntry, PositionsAnswer, ReadStep, Report,
    Setup, StopReason,
};
use crate::pure::protocol::partition::{Append, Plan, Share, Sinks, Use};
use crate::pure::protocol::{AppendVerdict, AttemptId, EntryKind, Machine, Stop, invariants};
use crate::pure::record::{Offset, OffsetRange};

/// The clock does not move; pauses are over at each step ([`Machine::let_time_pass`]).
const NOW: Moment = Moment::ZERO;

impl Worker {
    pub(super) fn assigned(scope: &Scope) -> Worker {
        let setup = Setup {
            sinks: Sinks { counts: scope.counts, archive: true, keeps_state: false },
            on_gap: scope.on_gap(),
            root: identity(0).root.as_str().into(),
            epoch: 0,
            jitter: 0,
        };
        Worker {
            current: true,
            machine: Machine::assigned(setup),
            life: None,
            counts: 0,
            finishes: false,
            sent: false,
            ledger: None,
        }
    }

    /// Where the worker reads its next record, if it reads now.
    pub(super) fn next_record(&self) -> Option<usize> {
        match self.machine.next_read(NOW) {
            ReadStep::Wait => None,
            ReadStep::Seek { to, .. } => Some(to.0 as usize),
            ReadStep::Read => self.machine.position().map(|at| at.0 as usize),
        }
    }

    /// Hands one input to the machine.
    fn handle(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.machine.handle(input, NOW, &mut effects);
        effects
    }
}

/// Inputs and effects.
impl World {
    fn input(&mut self, i: usize, input: Input, scope: &Scope) {
        let was_stopped = self.worker(i).machine.is_stopped();
        let effects = self.worker(i).handle(input);
        for effect in effects {
            let recovered = matches!(effect, Effect::Report(Report::Recovered { .. }));
            if recovered && self.worker(i).finishes {
                self.alarm = Some("an owner acts after its assignment has ended");
            }
            self.carry_out(i, effect);
        }
        if !was_stopped && self.worker(i).machine.is_stopped() {
            self.check_stop(i, scope);
        }
    }

    fn carry_out(&mut self, i: usize, effect: Effect) {
        match effect {
            Effect::AskLedger(question) => self.ask_ledger(i, question),
            Effect::EndAttempt(_) => self.seal(i),
            Effect::Recount => self.worker(i).counts = 0,
            // Asked, and appended, by steps of their own.
            Effect::AskPositions(_) | Effect::Append(_) => {}
            Effect::AskLog(_) => unreachable!("answered by whoever takes the assignment away"),
            Effect::DropFiles | Effect::Report(_) => {}
            Effect::FetchAnew => unreachable!("no seek is refused"),
        }
    }

    /// The archive task takes its commands in order: deletions at once, entries in their turn.
    fn ask_ledger(&mut self, i: usize, mut question: LedgerQuestion) {
        self.put_asked_entry(i);
        for (_, id) in std::mem::take(&mut question.discard) {
            if self.files(id).manifest {
                self.check_i8(id);
            }
            self.delete_own(id);
        }
        question.hint = None;
        let genesis = question.put.is_some_and(|put| put.kind == EntryKind::Genesis);
        self.worker(i).ledger = Some(question);
        if genesis {
            self.put_asked_entry(i);
        }
    }

    /// Puts the entry that the pending question to the ledger begins with.
    pub(super) fn put_asked_entry(&mut self, i: usize) {
        let newest = self.newest();
        let me = self.worker(i);
        let life = me.life.unwrap_or(newest);
        if let Some(NewEntry { kind, range }) = me.ledger.as_mut().and_then(|q| q.put.take()) {
            let life = if kind == EntryKind::Genesis { newest } else { life };
            let _ = self.put(life, kind, range);
        }
    }

    /// Time passes for all workers, and their machines ask for what they need.
    pub(super) fn tick(&mut self) {
        for i in 0..self.workers.len() {
            let Some(me) = self.workers[i].as_mut().filter(|w| !w.sent) else { continue };
            me.machine.let_time_pass();
            let pending = [me.machine.pending_positions(), me.machine.pending_ledger()];
            for effect in me.handle(Input::Tick) {
                let again = match &effect {
                    Effect::AskPositions(_) => pending[0].is_some(),
                    Effect::AskLedger(_) => pending[1].is_some(),
                    _ => false,
                };
                if again {
                    self.alarm = Some("a question is asked although it is pending");
                }
                self.carry_out(i, effect);
            }
        }
    }

    fn check_stop(&mut self, i: usize, scope: &Scope) {
        let Some(StopReason::Rules(stop)) = self.worker(i).machine.stopped().cloned() else {
            self.alarm = Some("a partition stops for its encoding");
            return;
        };
        let allowed = match stop {
            Stop::NothingCommitted { .. } => scope.expiry || scope.remade,
            Stop::OtherTopic { .. } | Stop::OtherIncarnation { .. } | Stop::NoLedger { .. } => {
                scope.remade
            }
            Stop::OtherPartials { .. } => scope.partials_remade,
            Stop::CommittedBeyondLedger { .. } => self.unnamed != 0 || self.emptied,
            Stop::ArchiveGap { range } if self.sealed_behind(self.life, range.from).is_some() => {
                self.alarm = Some("an owner stops for records that a sealed attempt has");
                return;
            }
            Stop::ArchiveGap { .. } | Stop::ResultsGap { .. } => scope.retention,
            _ => false,
        };
        if !allowed {
            self.alarm = Some("a partition stops for no reason");
        }
    }
}

/// Recovery.
impl World {
    /// What the brokers answer now.
    fn positions_answer(&self, scope: &Scope) -> PositionsAnswer {
        PositionsAnswer {
            topic_id: identity(self.life).topic_id.clone(),
            partials: scope.partials_remade.then(|| self.partials.to_string()),
            committed: Ok(self.read_committed()),
            log: OffsetRange { from: self.log, to: Offset(scope.records as i64) },
            first: self.log,
            published: Ok(None),
        }
    }

    /// The brokers answer; the answer is on its way to worker `i`.
    pub(super) fn answer_positions(&mut self, i: usize, scope: &Scope) {
        let answer = self.positions_answer(scope);
        let ticket = self.worker(i).machine.pending_positions().expect("was asked");
        self.letters[i] = Some(Box::new(Letter { ticket, answer, life: self.life }));
    }

    /// The answer of the brokers reaches worker `i`, or whoever has taken its place.
    pub(super) fn deliver(&mut self, i: usize, scope: &Scope) {
        let Some(letter) = self.letters[i].take() else { return };
        let Letter { ticket, answer, life } = *letter;
        let me = self.worker(i);
        let known = me.life;
        me.life = known.or(Some(life));
        self.input(i, Input::Positions(ticket, Some(answer)), scope);
        let me = self.worker(i);
        if me.machine.rules().is_none() {
            me.life = known;
        }
    }

    /// The stable read before a transaction.
    pub(super) fn confirm(&mut self, i: usize, scope: &Scope) {
        let read = self.read_committed();
        self.input(i, Input::Confirmed(Ok(read)), scope);
    }

    pub(super) fn read_ledger(&mut self, i: usize, scope: &Scope) {
        let newest = self.newest();
        let question = self.worker(i).ledger.take().expect("was asked");
        if question.adopt {
            self.adopt(newest);
        }
        let ledger = self.read_ledger_of(newest);
        self.input(i, Input::Ledger(question.ticket, newest.into(), ledger), scope);
    }

    /// A stopped partition recovers anew: somebody may have repaired it.
    pub(super) fn retry(&mut self, i: usize, scope: &Scope) {
        self.input(i, Input::Retry, scope);
        if self.worker(i).machine.rules().is_none() {
            self.worker(i).life = None;
        }
    }
}

/// Reading, and the archive.
impl World {
    pub(super) fn read_record(&mut self, i: usize, at: usize, scope: &Scope) {
        let new = self.free_id();
        if let ReadStep::Seek { to, .. } = self.worker(i).machine.next_read(NOW) {
            self.input(i, Input::SeekTaken(to), scope);
        }
        let me = self.worker(i);
        let life = me.life.expect("positions are known");
        let Share { archive, results } = me.machine.accept(Offset(at as i64), || new);
        if results == Some(Use::Count) {
            me.counts |= 1 << at;
        }
        let open = me.machine.open_attempt();
        if let Some(Append::ToNew { from, .. }) = archive {
            self.attempts[new.0 as usize] = Some(Files::writing(life, from));
        }
        if archive.is_some() {
            self.write(open.expect("accepted into an open attempt"), at);
        }
    }

    /// The log no longer has the position; the client says so until the machine believes it.
    pub(super) fn on_out_of_range(&mut self, i: usize, scope: &Scope) {
        let any = |me: &Worker| me.machine.rules().is_some_and(|p| !p.has_no_attempts());
        let before = any(self.worker(i));
        for _ in 0..2 {
            self.input(i, Input::OutOfRange, scope);
        }
        if before && !any(self.worker(i)) {
            self.alarm = Some("what was read is thrown away, and can't be read again");
        }
    }

    pub(super) fn on_archive_failed(&mut self, i: usize, scope: &Scope) {
        self.input(i, Input::ArchiveFailed, scope);
    }

    pub(super) fn seal(&mut self, i: usize) {
        if let Some((id, range)) = self.worker(i).machine.seal() {
            self.files(id).to = range.to;
        }
    }

    pub(super) fn write_manifest(&mut self, i: usize, id: AttemptId, scope: &Scope) {
        self.files(id).manifest = true;
        self.input(i, Input::ManifestWritten(id), scope);
    }

    pub(super) fn on_append(
        &mut self,
        i: usize,
        id: AttemptId,
        verdict: AppendVerdict,
        scope: &Scope,
    ) {
        self.input(i, Input::Append(id, verdict), scope);
        if verdict == AppendVerdict::Appended {
            // Publishing is anybody's business.
            self.input(i, Input::Published(id), scope);
        }
    }
}

/// Membership and commits.
impl World {
    pub(super) fn come_back(&mut self, i: usize, scope: &Scope) {
        self.end_all_sessions();
        self.worker(i).current = true;
        self.input(i, Input::GenerationMissed, scope);
    }

    /// The assignment ends; what the owner asked for is answered afterwards, and must not matter.
    pub(super) fn leave(&mut self, i: usize, deletes: bool, scope: &Scope) {
        let me = self.worker(i);
        let pending = me.machine.pending_positions();
        let mut effects = me.handle(Input::Revoke);
        if let Some(ticket) = self.worker(i).machine.pending_handover() {
            let topic_id = identity(self.life).topic_id.clone();
            let log = LogAnswer { topic_id, start: self.log };
            effects.extend(self.worker(i).handle(Input::Log(ticket, Some(log))));
        }
        if self.worker(i).machine.is_leaving() {
            self.seal(i);
            let me = self.worker(i);
            (me.current, me.finishes) = (false, true);
            return;
        }
        for effect in effects {
            if let Effect::AskLedger(question) = effect {
                for (_, id) in question.discard {
                    self.discard(id, deletes, scope);
                }
            }
        }
        let mut me = self.workers[i].take().expect("is up");
        let mut late = Vec::new();
        if let Some(ticket) = pending {
            late.extend(me.handle(Input::Positions(ticket, Some(self.positions_answer(scope)))));
        }
        late.extend(me.handle(Input::Tick));
        let plans = [true, false].iter().any(|with| me.machine.plan(*with).is_some());
        if !late.is_empty() || plans {
            self.alarm = Some("an owner acts after its assignment has ended");
        }
    }

    fn check_i8(&mut self, id: AttemptId) {
        let f = *self.files(id);
        let log_start = (f.life == self.life).then_some(self.log);
        let archived = self.tail(f.life).is_some_and(|tail| f.from < tail.to);
        if !archived && !invariants::can_be_read_again(f.from, log_start) {
            self.alarm = Some("I8: the only copy of a record is thrown away");
        }
    }

    /// The author deletes an attempt at the end of its assignment, or dies before. Where somebody
    /// may append it, that takes a while.
    fn discard(&mut self, id: AttemptId, deletes: bool, scope: &Scope) {
        self.check_i8(id);
        if deletes && scope.retention && self.discarded.is_none() {
            self.discarded = Some(id);
        } else if deletes {
            self.delete_own(id);
        }
    }

    /// The process stops: the assignment ends, and attempts are completed.
    pub(super) fn finish(&mut self, i: usize, scope: &Scope) {
        self.seal(i);
        let me = self.worker(i);
        (me.current, me.finishes) = (false, true);
        self.input(i, Input::Finish, scope);
    }

    /// A worker whose assignment has ended completes its attempts, and does nothing else; then its
    /// process ends.
    pub(super) fn end_finished(&mut self) {
        for worker in &mut self.workers {
            let Some(me) = worker.as_ref().filter(|w| w.finishes) else { continue };
            let machine = &me.machine;
            let plans = [true, false].iter().any(|with| machine.plan(*with).is_some());
            let asks = machine.pending_positions().is_some();
            let stops = machine.is_stopped();
            if plans || asks || stops || machine.next_read(NOW) != ReadStep::Wait {
                self.alarm = Some("an owner acts after its assignment has ended");
            } else if machine.is_drained() && me.ledger.is_none() {
                *worker = None;
            }
        }
    }

    pub(super) fn send(&mut self, i: usize, plan: Plan, with_results: bool, scope: &Scope) {
        let me = self.worker(i);
        if !me.current {
            return self.input(i, Input::CommitDoubt, scope);
        }
        me.sent = true;
        let results = if with_results { me.counts } else { 0 };
        let metadata = me.machine.metadata(&plan).expect("planned");
        let (lost, partials) = (metadata.lost, life_of(metadata.partials.as_deref()));
        let life = me.life.expect("positions are known");
        self.pending[i] = Some(Pending { plan, results, life, lost, partials, in_flight: false });
    }

    pub(super) fn on_answer(&mut self, i: usize, answer: Answer, scope: &Scope) {
        let committed = answer.apply(self, i);
        self.worker(i).sent = false;
        let input = match committed {
            Some(plan) => {
                if plan.results.from < plan.results.to {
                    self.worker(i).counts = 0;
                }
                Input::CommitOk(plan)
            }
            None => Input::CommitDoubt,
        };
        self.input(i, input, scope);
    }
}
