//! What a worker may do next by itself. What comes of it stands in `driver`.

use super::super::scope::Scope;
use super::super::step::{Act, Answer, Step};
use super::state::{Steps, World};
use crate::pure::protocol::append::{self, AppendFacts};
use crate::pure::protocol::machine::LedgerQuestion;
use crate::pure::protocol::{AppendVerdict, AttemptId};

impl World {
    pub(super) fn own_steps(&self, i: usize, scope: &Scope, out: &mut Steps) {
        let Some(worker) = &self.workers[i] else {
            return;
        };
        if worker.machine.is_stopped() {
            if scope.repairs {
                self.act(out, i, Act::Retries, |w| w.retry(i, scope));
            }
            // What was read is appended all the same.
            return self.archive_steps(i, scope, out);
        }
        if worker.sent {
            return self.answers(i, scope, out);
        }
        self.recovery_steps(i, scope, out);
        self.reading_steps(i, scope, out);
        self.archive_steps(i, scope, out);
        self.send_steps(i, scope, out);
    }

    fn recovery_steps(&self, i: usize, scope: &Scope, out: &mut Steps) {
        let worker = self.workers[i].as_ref().expect("looked at above");
        let stable = self.pending.iter().all(Option::is_none);
        if worker.machine.pending_positions().is_some() && stable && self.letters[i].is_none() {
            if scope.slow_answers {
                self.act(out, i, Act::AsksPositions, |w| w.answer_positions(i, scope));
            } else {
                self.act(out, i, Act::ReadsPositions, |w| {
                    w.answer_positions(i, scope);
                    w.deliver(i, scope);
                });
            }
        }
        if self.letters[i].is_some() {
            self.act(out, i, Act::ReadsPositions, |w| w.deliver(i, scope));
        }
        if worker.machine.needs_confirmation() && stable {
            self.act(out, i, Act::ConfirmsCommit, |w| w.confirm(i, scope));
        }
        match &worker.ledger {
            Some(LedgerQuestion { put: Some(put), .. }) => {
                self.act(out, i, Act::PutsGap(put.range), |w| w.put_asked_entry(i));
            }
            Some(_) => self.act(out, i, Act::ReadsLedger, |w| w.read_ledger(i, scope)),
            None => {}
        }
    }

    fn reading_steps(&self, i: usize, scope: &Scope, out: &mut Steps) {
        let worker = self.workers[i].as_ref().expect("looked at above");
        // Fetches name the topic by its id, and after an id that has changed the queue takes no
        // seek (`clients::kafka::topic_ids`): no worker reads on in another life.
        let Some(at) = worker.next_record() else { return };
        if at >= scope.records || worker.life != Some(self.life) {
            return;
        }
        if self.log.0 as usize <= at {
            // The bound on attempts alive: a branch that opens one too many is not followed.
            let alive = self.ids().count();
            let has_room = |next: &World| next.ids().count() <= alive || alive < scope.slots;
            let step = Step::Worker(i, Act::ReadsRecord(at));
            self.then_if(out, step, |w| w.read_record(i, at, scope), has_room);
        } else {
            self.act(out, i, Act::IsOvertaken, |w| w.on_out_of_range(i, scope));
        }
    }

    fn archive_steps(&self, i: usize, scope: &Scope, out: &mut Steps) {
        let worker = self.workers[i].as_ref().expect("looked at above");
        let attached = worker.machine.rules().is_some_and(|p| p.a().is_some());
        let writer_is_gone = self.open_writer_is_gone(i);
        if attached && (scope.store_fails || writer_is_gone) {
            self.act(out, i, Act::ArchiveFails, |w| w.on_archive_failed(i, scope));
        }
        // An attempt that somebody has settled may be completed all the same: its author does not
        // know.
        if worker.machine.open_attempt().is_some() {
            self.act(out, i, Act::Seals, |w| w.seal(i));
        }
        if let Some(id) = worker.machine.sealed_attempt() {
            self.act(out, i, Act::WritesManifest(id), |w| w.write_manifest(i, id, scope));
        }
        let sent = |id| worker.machine.append_was_sent(id) && worker.machine.may_append(id);
        for (id, _) in self.ids().filter(|(id, _)| sent(*id)) {
            self.append_steps(i, id, scope, out);
        }
    }

    /// Appends, with and without an answer, and looks at the ledger.
    fn append_steps(&self, i: usize, id: AttemptId, scope: &Scope, out: &mut Steps) {
        let f = self.attempts[id.0 as usize].expect("is alive");
        self.act(out, i, Act::Appends(id), |w| w.append(id, scope.overwrites));
        if scope.late_appends && !f.late && f.manifest {
            self.act(out, i, Act::AppendsUnanswered(id), |w| w.files(id).late = true);
        }
        let facts = AppendFacts { mine: id, entry: self.entry_of(&f), manifest: f.manifest };
        let verdict = append::verdict(facts);
        if verdict != AppendVerdict::Again {
            let learns = Act::LearnsVerdict(id, verdict);
            self.act(out, i, learns, |w| w.on_append(i, id, verdict, scope));
        }
    }

    /// A file that the worker writes into was deleted.
    pub(super) fn open_writer_is_gone(&self, i: usize) -> bool {
        let machine = &self.workers[i].as_ref().expect("is up").machine;
        let gone =
            |id: AttemptId| self.attempts[id.0 as usize].is_none_or(|f| !f.staged && !f.published);
        [machine.open_attempt(), machine.sealed_attempt()].into_iter().flatten().any(gone)
    }

    fn send_steps(&self, i: usize, scope: &Scope, out: &mut Steps) {
        let worker = self.workers[i].as_ref().expect("looked at above");
        if self.pending[i].is_some() {
            return;
        }
        for with_results in [true, false] {
            let Some(plan) = worker.machine.plan(with_results) else {
                continue;
            };
            if plan.results.from == plan.results.to && with_results {
                continue;
            }
            let sends = Act::Sends { results: plan.results, offset: plan.offset };
            self.act(out, i, sends, |w| w.send(i, plan, with_results, scope));
        }
    }

    fn answers(&self, i: usize, scope: &Scope, out: &mut Steps) {
        let (pending, may_lie) = (self.pending[i].is_some(), self.lies < scope.lost_ok);
        for answer in Answer::possible(pending, may_lie) {
            self.act(out, i, Act::IsAnswered(answer), |w| w.on_answer(i, answer, scope));
        }
    }
}
