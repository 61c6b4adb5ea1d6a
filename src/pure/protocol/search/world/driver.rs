//! What a worker makes of what it is told: recovery, its log, appends, commits.
//!
//! This is the search's only copy of the control flow around the rules. Each function takes one
//! answer of Kafka or of the store; none of them looks at what else may happen.

use super::super::scope::Scope;
use super::super::step::Answer;
use super::state::{Files, Pending, Worker, World, identity};
use crate::pure::fault::{Fault, planted};
use crate::pure::protocol::partition::{Plan, Roles};
use crate::pure::protocol::{AppendVerdict, AttemptId, Begin, Found, Kind, Partition, Stop};
use crate::pure::record::{Offset, OffsetRange};

impl Worker {
    pub(super) fn assigned(life: u8, scope: &Scope) -> Worker {
        let roles = Roles { counts: scope.counts, archive: true, holds: false };
        Worker {
            current: true,
            part: Partition::assigned(roles, identity(life), scope.on_gap()),
            life,
            log: Offset(0),
            gap: None,
            counts: 0,
            position: None,
            sent: false,
            stopped: false,
        }
    }

    /// The next record to be read, as far as that is known.
    pub(super) fn next_record(&self) -> Option<usize> {
        self.position.or(self.part.start().map(|s| s.0 as usize))
    }

    /// Doubt about the results: what was counted in memory is thrown away.
    pub(super) fn recount(&mut self) {
        self.part.doubt();
        self.counts = 0;
        self.position = None;
    }
}

/// Recovery.
impl World {
    pub(super) fn read_positions(&mut self, i: usize, scope: &Scope) {
        let (read, log) = (self.read_committed(), self.log);
        let me = self.worker(i);
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

    pub(super) fn read_ledger(&mut self, i: usize, scope: &Scope) {
        let newest = self.newest();
        let ledger = self.read_ledger_of(newest);
        let me = self.worker(i);
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

    fn compare_with_log(&mut self, i: usize, scope: &Scope) {
        let me = self.worker(i);
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

    pub(super) fn put_gap(&mut self, i: usize, gap: OffsetRange) {
        let me = self.worker(i);
        (me.gap, me.position) = (None, None);
        let life = me.life;
        self.put(life, Kind::Gap, gap);
    }

    fn stop(&mut self, i: usize, stop: &Stop, scope: &Scope) {
        self.worker(i).stopped = true;
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

    /// A stopped partition is begun anew: somebody may have repaired it.
    pub(super) fn look_again(&mut self, i: usize, scope: &Scope) {
        let life = self.life;
        let me = self.worker(i);
        let forgotten = me.part.forget_archive();
        let roles = me.part.roles();
        me.part = Partition::assigned(roles, identity(life), scope.on_gap());
        (me.life, me.stopped, me.gap) = (life, false, None);
        me.recount();
        self.discard(forgotten, true);
    }
}

/// Reading, and the archive.
impl World {
    pub(super) fn read_record(&mut self, i: usize, at: usize) {
        let new = self.free_id();
        let me = self.worker(i);
        let life = me.life;
        let accept = me.part.accept(Offset(at as i64), || new);
        me.position = Some(at + 1);
        if accept.count {
            me.counts |= 1 << at;
        }
        let open = me.part.open_attempt();
        if let Some((_, from)) = accept.opened {
            self.attempts[new.0 as usize] = Some(Files::begun(life, from));
        }
        if accept.archive {
            self.write(open.expect("accepted into an open attempt"), at);
        }
    }

    /// The log no longer has the position. Nothing is sealed or open.
    pub(super) fn on_overtaken(&mut self, i: usize) {
        let me = self.worker(i);
        let _ = me.part.forget_archive();
        me.recount();
    }

    pub(super) fn on_archive_failed(&mut self, i: usize, deletes: bool) {
        let me = self.worker(i);
        let forgotten = me.part.forget_archive();
        me.position = None;
        self.discard(forgotten, deletes);
    }

    pub(super) fn seal(&mut self, i: usize) {
        let (id, range) = self.worker(i).part.seal().expect("one is open");
        let f = self.files(id);
        (f.manifest, f.to) = (true, range.to);
    }

    pub(super) fn on_append(&mut self, i: usize, id: AttemptId, verdict: AppendVerdict) {
        let me = self.worker(i);
        let forgotten = me.part.on_append(id, verdict);
        if verdict == AppendVerdict::Lost {
            me.position = None;
        }
        self.discard(forgotten, true);
    }
}

/// Membership and commits.
impl World {
    pub(super) fn come_back(&mut self, i: usize) {
        self.nobody_is_current();
        let me = self.worker(i);
        me.current = true;
        if !planted(Fault::KeepPOverMissedGeneration) {
            me.recount();
        }
    }

    pub(super) fn leave(&mut self, i: usize, deletes: bool) {
        let mut me = self.workers[i].take().expect("is up");
        self.discard(me.part.forget_archive(), deletes);
    }

    pub(super) fn send(&mut self, i: usize, plan: Plan, with_results: bool) {
        let me = self.worker(i);
        if !me.current {
            return me.recount();
        }
        me.sent = true;
        let results = if with_results { me.counts } else { 0 };
        let lost = me.part.metadata(&plan).lost;
        let life = me.life;
        self.pending[i] = Some(Pending { plan, results, life, lost, in_flight: false });
    }

    pub(super) fn on_answer(&mut self, i: usize, answer: Answer) {
        let sent = self.pending[i].map(|p| p.plan);
        match answer {
            Answer::Ok | Answer::Lost => self.commit(i),
            Answer::UnderWay => self.pending[i].as_mut().expect("was sent").in_flight = true,
            Answer::FalseOk => {
                self.pending[i] = None;
                self.lies += 1;
            }
            Answer::Aborted => {}
        }
        let me = self.worker(i);
        me.sent = false;
        match sent {
            Some(plan) if answer.says_ok() => me.on_ok(&plan),
            _ if planted(Fault::ErrorIsAbort) => {}
            _ => me.recount(),
        }
    }
}

impl Worker {
    fn on_ok(&mut self, plan: &Plan) {
        self.part.on_commit_ok(plan);
        if plan.results.from < plan.results.to {
            self.counts = 0;
        }
    }
}
