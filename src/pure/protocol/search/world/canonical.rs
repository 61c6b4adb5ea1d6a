//! Worlds that differ in nothing that matters are made the same.

use super::state::{ATTEMPTS, DONE, Worker, World, bits};
use crate::pure::fault::{Fault, planted};
use crate::pure::protocol::{AttemptId, Head};
use crate::pure::record::OffsetRange;

impl World {
    /// Frees the ids of attempts that left nothing behind and that nobody knows any more.
    pub(super) fn tidy(&mut self) {
        for i in 0..ATTEMPTS {
            let id = AttemptId(i as u128);
            let Some(f) = self.attempts[i] else { continue };
            let known = self.workers.iter().flatten().any(|w| w.part.knows(id));
            if known || self.doomed == Some(id) || f.directory {
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
        for w in self.workers.iter_mut().flatten().filter(|w| !w.current && !w.sent) {
            if planted(Fault::KeepPOverMissedGeneration) {
                continue;
            }
            w.part.forget_beliefs();
            w.counts = 0;
            w.position = w.part.start().map(|s| s.0 as usize);
        }
        self.relabel();
    }

    /// Which attempt has which id does not matter: the ids are given out anew, by what they name.
    pub(super) fn relabel(&mut self) {
        let place = |w: &Option<Worker>, id| w.as_ref().and_then(|w| w.part.place_of(id));
        let mut order: Vec<_> = self
            .ids()
            .map(|(id, f)| {
                let named = self.entry_of(&f).is_some_and(|e| e.attempt == id);
                let doomed = self.doomed == Some(id);
                let [a, b] = &self.workers;
                let known = [place(a, id), place(b, id)];
                let bits = [f.directory, f.manifest, f.staged, f.published, f.late, named, doomed];
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
        for e in self.ledger.iter_mut().flatten().flatten() {
            e.attempt = name(e.attempt);
        }
        for w in self.workers.iter_mut().flatten() {
            w.part.relabel(name);
        }
    }
}
