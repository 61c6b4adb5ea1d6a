//! What a worker may do next by itself. What comes of it stands in `driver`.

use super::super::scope::Scope;
use super::super::step::{Act, Answer};
use super::state::{Steps, World};
use crate::pure::protocol::append::{self, AppendFacts};
use crate::pure::protocol::{AppendVerdict, AttemptId};

impl World {
    pub(super) fn own_steps(&self, i: usize, scope: &Scope, out: &mut Steps) {
        let Some(worker) = &self.workers[i] else {
            return;
        };
        if worker.stopped {
            if scope.repairs {
                self.act(out, i, Act::LooksAgain, |w| w.look_again(i, scope));
            }
            return;
        }
        if worker.sent {
            return self.answers(i, scope, out);
        }
        if let Some(gap) = worker.gap {
            return self.act(out, i, Act::PutsGap(gap), |w| w.put_gap(i, gap));
        }
        self.recovery_steps(i, scope, out);
        self.reading_steps(i, scope, out);
        self.archive_steps(i, scope, out);
        self.send_steps(i, out);
    }

    fn recovery_steps(&self, i: usize, scope: &Scope, out: &mut Steps) {
        let worker = self.workers[i].as_ref().expect("looked at above");
        let stable = self.pending.iter().all(Option::is_none);
        if worker.part.needs_committed() && stable {
            self.act(out, i, Act::ReadsPositions, |w| w.read_positions(i, scope));
        } else if worker.part.needs_ledger() {
            self.act(out, i, Act::ReadsLedger, |w| w.read_ledger(i, scope));
        }
    }

    fn reading_steps(&self, i: usize, scope: &Scope, out: &mut Steps) {
        let worker = self.workers[i].as_ref().expect("looked at above");
        // Fetches name the topic by its id: nobody reads on in another life.
        let Some(at) = worker.next_record() else { return };
        if at >= scope.records || worker.life != self.life {
            return;
        }
        if self.log.0 as usize <= at {
            self.act(out, i, Act::ReadsRecord(at), |w| w.read_record(i, at));
            // The bound on attempts alive: a branch that opens one too many is not followed.
            let alive = self.ids().count();
            let (_, last) = out.last().expect("pushed above");
            if last.ids().count() > alive && alive >= scope.slots {
                let _ = out.pop();
            }
        } else if worker.part.attempts() == (false, 0) {
            self.act(out, i, Act::IsOvertaken, |w| w.on_overtaken(i));
        }
    }

    fn archive_steps(&self, i: usize, scope: &Scope, out: &mut Steps) {
        let worker = self.workers[i].as_ref().expect("looked at above");
        let attached = worker.part.a().is_some();
        let writer_is_gone = self.open_writer_is_gone(i);
        if attached && (scope.store_fails || writer_is_gone) {
            for deletes in [true, false] {
                let fails = Act::ArchiveFails { deletes };
                self.act(out, i, fails, |w| w.on_archive_failed(i, deletes));
            }
        }
        if worker.part.attempts().0 && !writer_is_gone {
            self.act(out, i, Act::Seals, |w| w.seal(i));
        }
        for (id, _) in self.ids().filter(|(id, _)| worker.part.may_append(*id)) {
            self.append_steps(i, id, scope, out);
        }
    }

    /// Appends, with and without an answer, and looks at the ledger.
    fn append_steps(&self, i: usize, id: AttemptId, scope: &Scope, out: &mut Steps) {
        let f = self.attempts[id.0 as usize].expect("is alive");
        self.act(out, i, Act::Appends(id), |w| {
            w.worker(i).part.tried(id);
            w.append(id, scope.overwrites);
        });
        if scope.late_appends && !f.late && f.manifest {
            self.act(out, i, Act::AppendsUnanswered(id), |w| {
                w.worker(i).part.tried(id);
                w.files(id).late = true;
            });
        }
        let worker = self.workers[i].as_ref().expect("looked at above");
        let facts = AppendFacts { mine: id, entry: self.entry_of(&f), manifest: f.manifest };
        let verdict = append::verdict(facts);
        if worker.part.was_tried(id) && verdict != AppendVerdict::Again {
            let learns = Act::LearnsVerdict(id, verdict);
            self.act(out, i, learns, |w| w.on_append(i, id, verdict));
        }
    }

    /// The directory that the worker writes into was deleted.
    pub(super) fn open_writer_is_gone(&self, i: usize) -> bool {
        let part = &self.workers[i].as_ref().expect("is up").part;
        part.open_attempt()
            .is_some_and(|id| self.attempts[id.0 as usize].is_none_or(|f| !f.directory))
    }

    fn send_steps(&self, i: usize, out: &mut Steps) {
        let worker = self.workers[i].as_ref().expect("looked at above");
        if self.pending[i].is_some() {
            return;
        }
        for with_results in [true, false] {
            let Some(plan) = worker.part.plan(with_results) else {
                continue;
            };
            if plan.results.from == plan.results.to && with_results {
                continue;
            }
            let sends = Act::Sends { results: plan.results, offset: plan.offset };
            self.act(out, i, sends, |w| w.send(i, plan, with_results));
        }
    }

    fn answers(&self, i: usize, scope: &Scope, out: &mut Steps) {
        let (pending, may_lie) = (self.pending[i].is_some(), self.lies < scope.lost_ok);
        for answer in Answer::possible(pending, may_lie) {
            self.act(out, i, Act::IsAnswered(answer), |w| w.on_answer(i, answer));
        }
    }
}
