//! Worlds that differ in nothing that matters are made the same.

use super::state::{ATTEMPTS, DONE, Worker, World, bits};
use crate::pure::fault::{PlantedFault, planted};
use crate::pure::protocol::{AttemptId, Head};
use crate::pure::record::OffsetRange;

impl World {
    /// Lets the machines ask, and frees the ids of attempts that left nothing behind and that
    /// no machine knows any more.
    pub(super) fn tidy(&mut self) {
        self.tick();
        self.end_finished();
        for i in 0..ATTEMPTS {
            let id = AttemptId(i as u128);
            let Some(f) = self.attempts[i] else { continue };
            let known = self.workers.iter().flatten().any(|w| w.machine.knows(id));
            let doomed = [self.doomed, self.discarded].contains(&Some(id));
            if known || doomed || f.is_in_staging() {
                continue;
            }
            match self.entry_of(&f) {
                Some(e) if e.attempt == id => {
                    let whole = f.content == bits(OffsetRange { from: f.from, to: f.to });
                    if f.published && whole {
                        let done = Head { attempt: DONE, ..e };
                        self.ledger[usize::from(f.life)][f.from.0 as usize] = Some(done);
                        self.attempts[i] = None;
                    }
                }
                _ if !f.published => self.attempts[i] = None,
                _ => {}
            }
        }
        let beliefs_matter = planted(PlantedFault::KeepPOverMissedGeneration)
            || planted(PlantedFault::TakeOldAnswer);
        for w in self.workers.iter_mut().flatten().filter(|w| !w.current && !w.sent && !w.finishes)
        {
            if !beliefs_matter {
                w.machine.forget_beliefs();
                w.counts = 0;
            }
        }
        for w in self.workers.iter_mut().flatten() {
            w.machine.settle_cursor();
            w.machine.forget_brokers_answer();
        }
        self.rename_questions();
        self.relabel();
    }

    /// How many questions were asked before does not matter. An answer that is not waited for by
    /// the worker that it was for stays: whether it is believed is the machine's decision.
    fn rename_questions(&mut self) {
        for (worker, letter) in self.workers.iter_mut().zip(&mut self.letters) {
            let Some(worker) = worker else {
                continue;
            };
            if let Some(letter) = letter {
                letter.ticket = worker.machine.new_name(letter.ticket);
            }
            if let Some(question) = &mut worker.ledger {
                question.ticket = worker.machine.new_name(question.ticket);
            }
            worker.machine.rename_questions();
        }
    }

    /// Which attempt has which id does not matter: the ids are given out anew, by what they name.
    pub(super) fn relabel(&mut self) {
        let place = |w: &Option<Box<Worker>>, id| w.as_ref().and_then(|w| w.machine.place_of(id));
        let mut order: Vec<_> = self
            .ids()
            .map(|(id, f)| {
                let named = self.entry_of(&f).is_some_and(|e| e.attempt == id);
                let doomed = self.doomed == Some(id);
                let discarded = self.discarded == Some(id);
                let [a, b] = &self.workers;
                let known = [place(a, id), place(b, id)];
                let bits = [f.manifest, f.staged, f.published, f.late, named, doomed, discarded];
                ((f.life, f.from, f.to, f.content, bits, known), id)
            })
            .collect();
        order.sort();
        if order.iter().enumerate().all(|(i, (_, id))| id.0 == i as u128) {
            return;
        }
        let name = |id: AttemptId| {
            let at = order.iter().position(|(_, old)| *old == id);
            at.map_or(id, |i| AttemptId(i as u128))
        };
        let mut attempts = [None; ATTEMPTS];
        for (i, (_, old)) in order.iter().enumerate() {
            attempts[i] = self.attempts[old.0 as usize];
        }
        self.attempts = attempts;
        self.doomed = self.doomed.map(name);
        self.discarded = self.discarded.map(name);
        for e in self.ledger.iter_mut().flatten().flatten() {
            e.attempt = name(e.attempt);
        }
        for w in self.workers.iter_mut().flatten() {
            w.machine.relabel(name);
        }
    }
}
