//! A worker's own steps: each is a call into the rules.

use super::*;

impl World {
    pub(super) fn own_steps(&self, i: usize, scope: &Scope, out: &mut Vec<Step>) {
        let Some(worker) = &self.workers[i] else {
            return;
        };
        if worker.stopped {
            if scope.repairs {
                self.then(out, format!("w{i} looks again"), |w| {
                    let me = w.workers[i].as_mut().expect("is up");
                    let forgotten = me.part.forget_archive();
                    let roles = me.part.roles();
                    me.part = Partition::assigned(roles, identity(w.life), scope.on_gap());
                    (me.life, me.stopped, me.gap) = (w.life, false, None);
                    me.recount();
                    w.discard(forgotten, true);
                });
            }
            return;
        }
        if worker.sent {
            return self.commit_answers(i, scope, out);
        }
        if let Some(gap) = worker.gap {
            return self.then(out, format!("w{i} puts the gap {gap}"), |w| {
                let me = w.workers[i].as_mut().expect("is up");
                (me.gap, me.position) = (None, None);
                let life = me.life;
                w.put(life, Kind::Gap, gap);
            });
        }
        let stable = self.pending.iter().all(Option::is_none);
        if worker.part.needs_committed() && stable {
            self.then(out, format!("w{i} reads committed"), |w| w.read_positions(i, scope));
        } else if worker.part.needs_ledger() {
            self.then(out, format!("w{i} reads the ledger"), |w| w.read_ledger(i, scope));
        }
        // Fetches name the topic by its id: nobody reads on in another life.
        if let Some(at) = worker.position.or(worker.part.start().map(|s| s.0 as usize))
            && at < scope.records
            && worker.life == self.life
        {
            if self.log.0 as usize <= at {
                self.read_record(i, at, scope, out);
            } else if worker.part.attempts() == (false, 0) {
                self.then(out, format!("w{i} is overtaken by retention"), |w| {
                    let me = w.workers[i].as_mut().expect("is up");
                    let _ = me.part.forget_archive();
                    me.recount();
                });
            }
        }
        self.archive_steps(i, scope, out);
        for with_results in [true, false] {
            let Some(plan) = worker.part.plan(with_results) else {
                continue;
            };
            if plan.results.from == plan.results.to && with_results {
                continue;
            }
            if self.pending[i].is_some() {
                continue;
            }
            let label = format!("w{i} sends {} F={}", plan.results, plan.offset);
            self.then(out, label, |w| {
                let me = w.workers[i].as_mut().expect("is up");
                if me.current {
                    me.sent = true;
                    let results = if with_results { me.counts } else { 0 };
                    let lost = me.part.metadata(&plan).lost;
                    let life = me.life;
                    w.pending[i] = Some(Pending { plan, results, life, lost, in_flight: false });
                } else {
                    me.recount();
                }
            });
        }
    }

    pub(super) fn read_positions(&mut self, i: usize, scope: &Scope) {
        let (read, log) = (self.read_committed(), self.log);
        let me = self.workers[i].as_mut().expect("is up");
        me.log = log;
        match me.part.on_committed(read) {
            Ok(Found::Verified) => {}
            Ok(Found::Ready | Found::NeedsLedger) => {
                me.counts = 0;
                me.position = None;
            }
            Ok(Found::Fresh(_) | Found::NeedsCommitted) => unreachable!("there is an archive"),
            Err(stop) => return self.stop(i, &stop, scope),
        }
        self.compare_with_log(i, scope);
    }

    pub(super) fn compare_with_log(&mut self, i: usize, scope: &Scope) {
        let me = self.workers[i].as_mut().expect("is up");
        if me.part.needs_ledger() || me.part.a().is_none() {
            return;
        }
        match me.part.on_log_start(me.log) {
            Ok(None) => {}
            Ok(Some(gap)) => {
                me.gap = Some(gap);
                let forgotten = me.part.forget_archive();
                self.discard(forgotten, true);
            }
            Err(stop) => self.stop(i, &stop, scope),
        }
    }

    /// Puts an entry without files, unless one stands there.
    pub(super) fn put(&mut self, life: u8, kind: Kind, range: OffsetRange) {
        let at = usize::from(life);
        if kind == Kind::Genesis {
            if self.genesis[at].is_none() {
                self.genesis[at] = Some(range.to);
                (0..range.to.0).for_each(|r| self.expected[r as usize] = 0);
            }
            return;
        }
        let entry = Head { key: EntryKey::At(range.from), attempt: GAP, to: range.to };
        let _ = self.ledger[at][range.from.0 as usize].get_or_insert(entry);
    }

    pub(super) fn read_ledger(&mut self, i: usize, scope: &Scope) {
        let ledger = self.read_ledger_of(self.newest());
        let newest = self.newest();
        let me = self.workers[i].as_mut().expect("is up");
        match me.part.on_ledger(ledger) {
            Ok(Found::Fresh(Begin::PutGenesis)) => {
                let range = OffsetRange { from: me.log, to: me.log };
                return self.put(newest, Kind::Genesis, range);
            }
            Ok(_) => me.position = None,
            Err(stop) => return self.stop(i, &stop, scope),
        }
        self.compare_with_log(i, scope);
    }

    pub(super) fn stop(&mut self, i: usize, stop: &Stop, scope: &Scope) {
        self.workers[i].as_mut().expect("is up").stopped = true;
        let allowed = match stop {
            Stop::NothingCommitted { .. } => scope.expiry || scope.remade,
            Stop::OtherTopic { .. } | Stop::OtherIncarnation { .. } | Stop::NoLedger { .. } => {
                scope.remade
            }
            Stop::ArchiveGap { .. } | Stop::ResultsGap { .. } => scope.retention,
            _ => false,
        };
        if !allowed {
            self.alarm = Some("a partition stops for no reason");
        }
    }

    pub(super) fn read_record(&self, i: usize, at: usize, scope: &Scope, out: &mut Vec<Step>) {
        let free = (0..ATTEMPTS).find(|k| self.attempts[*k].is_none());
        let worker_life = self.workers[i].as_ref().expect("is up").life;
        let alive = self.ids().count();
        self.then(out, format!("w{i} reads record {at}"), |w| {
            let me = w.workers[i].as_mut().expect("is up");
            let id = AttemptId(free.unwrap_or(ATTEMPTS) as u128);
            let accept = me.part.accept(Offset(at as i64), || id);
            me.position = Some(at + 1);
            if accept.count {
                me.counts |= 1 << at;
            }
            if let Some((_, from)) = accept.opened {
                w.attempts[id.0 as usize] = Some(Files {
                    life: worker_life,
                    from,
                    to: from,
                    content: 0,
                    directory: true,
                    manifest: false,
                    staged: true,
                    published: false,
                    late: false,
                });
            }
            if accept.archive {
                let me = w.workers[i].as_ref().expect("is up");
                let id = me.part.open_attempt().expect("accepted into an open attempt");
                let f = w.files(id);
                let doubled = f.content >> at & 1 == 1;
                f.content |= if doubled { 0x80 } else { 1 << at };
                f.to = Offset(at as i64 + 1);
            }
        });
        // The bound on attempts alive: the branch that would open one too many is not followed.
        let last = &out.last().expect("pushed above").1;
        if last.ids().count() > alive && alive >= scope.slots {
            let _ = out.pop();
        }
    }

    pub(super) fn archive_steps(&self, i: usize, scope: &Scope, out: &mut Vec<Step>) {
        let worker = self.workers[i].as_ref().expect("looked at above");
        let attached = worker.part.a().is_some();
        let writes_into_nothing = worker
            .part
            .open_attempt()
            .is_some_and(|id| self.attempts[id.0 as usize].is_none_or(|f| !f.directory));
        if attached && (scope.store_fails || writes_into_nothing) {
            for deletes in [true, false] {
                self.then(out, format!("w{i}'s archive fails, discards: {deletes}"), |w| {
                    let me = w.workers[i].as_mut().expect("is up");
                    let forgotten = me.part.forget_archive();
                    me.position = None;
                    w.discard(forgotten, deletes);
                });
            }
        }
        if worker.part.attempts().0 && !writes_into_nothing {
            self.then(out, format!("w{i} seals"), |w| {
                let me = w.workers[i].as_mut().expect("is up");
                let (id, range) = me.part.seal().expect("one is open");
                let f = w.files(id);
                (f.manifest, f.to) = (true, range.to);
            });
        }
        for (id, f) in self.ids() {
            if !worker.part.may_append(id) {
                continue;
            }
            self.then(out, format!("w{i} appends {id:?}"), |w| {
                w.workers[i].as_mut().expect("is up").part.tried(id);
                w.append(id);
            });
            if scope.late_appends && !f.late && f.manifest {
                self.then(out, format!("w{i} sends append of {id:?}, no answer"), |w| {
                    w.workers[i].as_mut().expect("is up").part.tried(id);
                    w.files(id).late = true;
                });
            }
            let was_tried = worker.part.was_tried(id);
            let facts = AppendFacts { mine: id, entry: self.entry_of(&f), manifest: f.manifest };
            let verdict = append::verdict(facts);
            if was_tried && verdict != AppendVerdict::Again {
                self.then(out, format!("w{i} learns {verdict:?} of {id:?}"), |w| {
                    let me = w.workers[i].as_mut().expect("is up");
                    let forgotten = me.part.on_append(id, verdict);
                    if verdict == AppendVerdict::Lost {
                        me.position = None;
                    }
                    w.discard(forgotten, true);
                });
            }
        }
    }

    pub(super) fn commit_answers(&self, i: usize, scope: &Scope, out: &mut Vec<Step>) {
        let doubt = |w: &mut World| {
            let me = w.workers[i].as_mut().expect("is up");
            me.sent = false;
            if planted(Fault::ErrorIsAbort) {
                return;
            }
            me.recount();
        };
        let Some(Pending { plan, .. }) = self.pending[i] else {
            return self.then(out, format!("w{i} learns of an abort"), doubt);
        };
        let told_ok = |w: &mut World| {
            let me = w.workers[i].as_mut().expect("is up");
            me.sent = false;
            me.part.on_commit_ok(&plan);
            if plan.results.from < plan.results.to {
                me.counts = 0;
            }
        };
        self.then(out, format!("w{i}'s commit is answered Ok"), |w| {
            w.commit(i);
            told_ok(w);
        });
        self.then(out, format!("w{i} commits, the answer is lost"), |w| {
            w.commit(i);
            doubt(w);
        });
        self.then(out, format!("w{i}'s commit is under way, no answer"), |w| {
            w.pending[i].as_mut().expect("was sent").in_flight = true;
            doubt(w);
        });
        if self.lies < scope.lost_ok {
            self.then(out, format!("w{i} is told Ok, in truth it was aborted"), |w| {
                w.pending[i] = None;
                w.lies += 1;
                told_ok(w);
            });
        }
    }
}

impl Worker {
    /// Doubt about the results: what was counted in memory is thrown away.
    pub(super) fn recount(&mut self) {
        self.part.doubt();
        self.counts = 0;
        self.position = None;
    }
}
