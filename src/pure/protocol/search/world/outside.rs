//! What happens to the workers: assignments, crashes, coordinators, janitors, operators, retention.

use super::*;

impl World {
    /// Assignments, generations, crashes.
    pub(super) fn group(&self, i: usize, scope: &Scope, out: &mut Vec<Step>) {
        self.then(out, format!("w{i} gets the partition"), |w| w.assign(i, scope));
        let Some(worker) = &self.workers[i] else {
            return;
        };
        self.then(out, format!("w{i} crashes"), |w| w.workers[i] = None);
        if !worker.current && !worker.stopped && !worker.sent {
            self.then(out, format!("w{i} comes back after missed generations"), |w| {
                w.workers.iter_mut().flatten().for_each(|x| x.current = false);
                let me = w.workers[i].as_mut().expect("is up");
                me.current = true;
                if !planted(Fault::KeepPOverMissedGeneration) {
                    me.recount();
                }
            });
        }
        if worker.current && !worker.sent {
            for deletes in [true, false] {
                self.then(out, format!("w{i} leaves, discards: {deletes}"), |w| {
                    let mut me = w.workers[i].take().expect("is up");
                    w.discard(me.part.forget_archive(), deletes);
                });
            }
        }
    }

    pub(super) fn assign(&mut self, i: usize, scope: &Scope) {
        self.workers.iter_mut().flatten().for_each(|x| x.current = false);
        let roles = Roles { counts: scope.counts, archive: true, holds: false };
        self.workers[i] = Some(Worker {
            current: true,
            part: Partition::assigned(roles, identity(self.life), scope.on_gap()),
            life: self.life,
            log: Offset(0),
            gap: None,
            counts: 0,
            position: None,
            sent: false,
            stopped: false,
        });
    }

    pub(super) fn coordinator(&self, i: usize, out: &mut Vec<Step>) {
        if let Some(pending) = &self.pending[i] {
            self.then(out, format!("w{i}'s transaction is aborted"), |w| w.pending[i] = None);
            if pending.in_flight {
                self.then(out, format!("w{i}'s transaction commits late"), |w| w.commit(i));
            }
        }
    }

    pub(super) fn janitor(&self, out: &mut Vec<Step>) {
        if let Some(id) = self.doomed {
            self.then(out, format!("janitor deletes {id:?}"), |w| {
                w.delete(id);
                w.doomed = None;
            });
        }
        for (id, f) in self.ids().filter(|(_, f)| f.directory) {
            match settle(EntryKey::At(f.from), id, self.entry_of(&f), self.tail(f.life)) {
                Settle::RollForward if f.staged => {
                    self.then(out, format!("{id:?} is published"), |w| w.publish(id));
                }
                Settle::RollForward => {
                    self.then(out, format!("{id:?}'s directory is removed"), |w| w.delete(id));
                }
                Settle::Delete if self.doomed.is_none() => {
                    self.then(out, format!("janitor picks {id:?}"), |w| w.doomed = Some(id));
                }
                Settle::Delete | Settle::HandsOff => {}
            }
            if planted(Fault::PublishFirst) && f.manifest && f.staged {
                self.then(out, format!("{id:?} is published first"), |w| w.publish(id));
            }
        }
    }

    pub(super) fn publish(&mut self, id: AttemptId) {
        let f = self.files(id);
        (f.staged, f.published) = (false, true);
    }

    pub(super) fn operator(&self, scope: &Scope, out: &mut Vec<Step>) {
        let quiet = self.workers.iter().flatten().all(|w| !w.current)
            && self.pending.iter().all(Option::is_none);
        if self.workers.iter().flatten().any(|w| w.current) && (scope.resets || scope.expiry) {
            self.then(out, "the session expires".into(), |w| {
                w.workers.iter_mut().flatten().for_each(|x| x.current = false);
            });
        }
        let first = self.expected == [1; RECORDS] && !self.moved;
        if !quiet || !first || self.committed.is_none() || 0 < self.life {
            return;
        }
        let p = self.p();
        for to in (0..=scope.records as i64).map(Offset).filter(|_| scope.resets) {
            for copied in [false, true] {
                self.then(out, format!("operator moves the offset to {to}, {copied}"), |w| {
                    w.move_results(to);
                    let c = w.committed.as_mut().expect("looked at above");
                    if c.offset == to && copied {
                        w.expected = [1; RECORDS];
                        return;
                    }
                    c.offset = to;
                    c.metadata = c.metadata.filter(|_| copied);
                    w.moved = true;
                });
            }
        }
        if scope.expiry {
            self.then(out, "the committed offset expires".into(), |w| {
                (w.committed, w.expired, w.moved) = (None, Some(p), true);
                // As long as the ledger is fresh, nothing but the committed offset tells that
                // anything was counted: it is counted again.
                if w.tail(w.life).is_none_or(|t| t.key == EntryKey::Genesis) {
                    w.move_results(w.genesis[0].unwrap_or(Offset(0)));
                    w.expired = None;
                }
            });
        }
    }

    /// Somebody who may says that results go on from here.
    pub(super) fn move_results(&mut self, to: Offset) {
        let p = self.p();
        for r in 0..RECORDS as i64 {
            let (again, skipped) = (to.0 <= r && r < p.0, p.0 <= r && r < to.0);
            self.expected[r as usize] += i8::from(again) - i8::from(skipped);
        }
    }

    pub(super) fn topic(&self, scope: &Scope, out: &mut Vec<Step>) {
        for to in self.log.0 + 1..=scope.records as i64 {
            if scope.retention {
                self.then(out, format!("retention: the log begins at {to}"), |w| {
                    w.log = Offset(to)
                });
            }
        }
        if scope.remade && self.life == 0 {
            for forgets in [true, false] {
                self.then(out, format!("the topic is made again, offsets go: {forgets}"), |w| {
                    (w.life, w.log) = (1, Offset(0));
                    (w.counted, w.expected, w.moved) = ([0; RECORDS], [1; RECORDS], false);
                    (w.expired, w.committed) = (None, w.committed.take().filter(|_| !forgets));
                });
            }
        }
    }

    pub(super) fn facts(&self, scope: &Scope) -> Facts {
        let counted = (0..RECORDS).rev().find(|r| 0 < self.counted[*r]);
        Facts {
            roles: Roles { counts: scope.counts, archive: true, holds: false },
            identity: identity(self.life),
            on_gap: scope.on_gap(),
            committed: self.read_committed(),
            ledger: self.read_ledger_of(self.newest()),
            newest: self.newest().into(),
            log: OffsetRange { from: self.log, to: Offset(scope.records as i64) },
            start: self.log,
            published: counted.map(|r| Offset(r as i64 + 1)),
        }
    }

    pub(super) fn repairs(&self, scope: &Scope, out: &mut Vec<Step>) {
        // A repair is for a partition whose owner has stopped; it is not fenced by the group.
        let mut owners = self.workers.iter().flatten().filter(|w| w.current);
        let stopped = self.workers.iter().flatten().any(|w| w.stopped);
        if !scope.repairs
            || !stopped
            || owners.any(|w| !w.stopped)
            || self.pending.iter().any(Option::is_some)
        {
            return;
        }
        let facts = self.facts(scope);
        let mut choices = vec![None];
        if matches!(facts.repair(None), Err(Refused::Choice { .. })) {
            choices = (0..=scope.records as i64).map(|o| Some(Offset(o))).collect();
        }
        for choice in choices {
            let Ok(Some(repair)) = facts.repair(choice) else { continue };
            if repair.put.is_some() && repair.commit.is_some() {
                self.then(out, "a repair puts its entry and dies".into(), |w| {
                    w.carry_out(&Repair { commit: None, ..repair.clone() });
                });
            }
            self.then(out, format!("repaired: {repair}"), |w| w.carry_out(&repair));
        }
    }

    pub(super) fn carry_out(&mut self, repair: &Repair) {
        if let Some(put) = &repair.put {
            self.put(put.incarnation as u8, put.kind, put.range);
        }
        let Some((at, m)) = &repair.commit else { return };
        self.move_results(m.p);
        let (life, moved) = (self.life, false);
        let metadata = Some(Wrote { at: *at, p: m.p, entry: m.entry, life, lost: m.lost });
        (self.committed, self.moved) = (Some(Stored { offset: *at, metadata }), moved);
        self.expired = None;
    }
}
