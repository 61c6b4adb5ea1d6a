//! What happens to the workers: assignments, crashes, coordinators, settling, operators, retention.

use super::super::scope::Scope;
use super::super::step::{Act, Coordinator as _, Event, Mended};
use super::state::{
    Files, GAP, RECORDS, Steps, Stored, Worker, World, Wrote, bits, identity, life_of,
};
use crate::pure::fault::{PlantedFault, planted};
use crate::pure::protocol::partition::Sinks;
use crate::pure::protocol::repair::{Facts, Refused, RepairPlan};
use crate::pure::protocol::{EntryKey, Settle, Stop, settle};
use crate::pure::record::{Offset, OffsetRange};

impl World {
    /// Assignments, generations, crashes.
    pub(super) fn group(&self, i: usize, scope: &Scope, out: &mut Steps) {
        self.act(out, i, Act::IsAssigned, |w| w.assign(i, scope));
        let Some(worker) = &self.workers[i] else {
            return;
        };
        self.act(out, i, Act::Crashes, |w| (w.workers[i], w.letters[i]) = (None, None));
        if !worker.current && !worker.finishes && !worker.machine.is_stopped() && !worker.sent {
            self.act(out, i, Act::ComesBack, |w| w.come_back(i, scope));
        }
        if worker.current && !worker.sent {
            for deletes in [true, false] {
                self.act(out, i, Act::Leaves { deletes }, |w| w.leave(i, deletes, scope));
            }
            self.act(out, i, Act::Finishes, |w| w.finish(i, scope));
        }
    }

    pub(super) fn assign(&mut self, i: usize, scope: &Scope) {
        self.end_all_sessions();
        // An answer that is still on its way was asked for in an earlier assignment.
        if let Some(letter) = &mut self.letters[i] {
            letter.ticket.number = 0;
        }
        self.workers[i] = Some(Box::new(Worker::assigned(scope)));
    }

    /// A new generation begins, or all sessions have ended.
    pub(super) fn end_all_sessions(&mut self) {
        self.workers.iter_mut().flatten().for_each(|x| x.current = false);
    }

    pub(super) fn coordinator(&self, i: usize, out: &mut Steps) {
        if let Some(pending) = &self.pending[i] {
            self.act(out, i, Act::TransactionIsAborted, |w| w.pending[i] = None);
            if pending.in_flight {
                self.act(out, i, Act::TransactionCommitsLate, |w| w.commit(i));
            }
        }
    }

    pub(super) fn settling(&self, out: &mut Steps) {
        if let Some(id) = self.doomed {
            self.event(out, Event::SettleDeletes(id), |w| {
                w.delete(id);
                w.doomed = None;
            });
            if self.attempts[id.0 as usize].is_some_and(|f| f.manifest) {
                self.event(out, Event::SettleDeletesFiles(id), |w| {
                    w.delete_files(id);
                    w.doomed = None;
                });
            }
        }
        if let Some(id) = self.discarded {
            self.event(out, Event::AuthorDeletes(id), |w| {
                w.delete_own(id);
                w.discarded = None;
            });
        }
        for (id, f) in self.ids().filter(|(_, f)| f.is_in_staging()) {
            match settle(EntryKey::At(f.from), id, self.entry_of(&f), self.tail(f.life)) {
                Settle::RollForward if f.staged => {
                    self.event(out, Event::IsPublished(id), |w| w.publish(id));
                }
                Settle::Delete if self.doomed.is_none() => {
                    self.event(out, Event::SettleDecides(id), |w| w.doomed = Some(id));
                }
                Settle::RollForward | Settle::Delete | Settle::HandsOff => {}
            }
            if planted(PlantedFault::PublishFirst) && f.manifest && f.staged {
                self.event(out, Event::IsPublishedFirst(id), |w| w.publish(id));
            }
        }
    }

    /// Whoever recovers appends what was sealed in an earlier life of the topic: no log has its
    /// records any more.
    pub(super) fn adoptions(&self, out: &mut Steps) {
        for life in 0..self.newest() {
            if let Some(tail) = self.tail(life)
                && let Some(id) = self.sealed_behind(life, tail.to)
            {
                self.event(out, Event::IsAdopted(id), |w| w.append(id, false));
            }
        }
    }

    /// Appends arrive whose authors have stopped waiting.
    pub(super) fn late_appends(&self, scope: &Scope, out: &mut Steps) {
        for (id, _) in self.ids().filter(|(_, f)| f.late) {
            self.event(out, Event::LateAppendLands(id), |w| w.append(id, scope.overwrites));
        }
    }

    pub(super) fn operator(&self, scope: &Scope, out: &mut Steps) {
        let quiet = self.workers.iter().flatten().all(|w| !w.current)
            && self.pending.iter().all(Option::is_none);
        if self.workers.iter().flatten().any(|w| w.current) && (scope.resets || scope.expiry) {
            self.event(out, Event::SessionExpires, World::end_all_sessions);
        }
        let first = self.expected == [1; RECORDS] && !self.moved;
        if !quiet || !first || self.committed.is_none() || 0 < self.life {
            return;
        }
        let p = self.p();
        for to in (0..=scope.records as i64).map(Offset).filter(|_| scope.resets) {
            for with_metadata in [false, true] {
                self.event(out, Event::OffsetIsMoved { to, with_metadata }, |w| {
                    w.move_offset(to, with_metadata);
                });
            }
        }
        // Of a partition whose only entry was removed, and whose offsets are gone as well, nothing
        // tells that it was ever read: it begins anew (docs/stopped.md says so).
        let is_forgotten = self.unnamed != 0
            && self.tail(self.life).is_none_or(|tail| tail.key == EntryKey::Genesis);
        if scope.expiry && !is_forgotten {
            self.event(out, Event::OffsetExpires, |w| {
                (w.committed, w.expired, w.moved) = (None, Some(p), true);
                // As long as the ledger is fresh, nothing but the committed offset tells that
                // anything was counted: it is counted again.
                if w.tail(w.life).is_none_or(|t| t.key == EntryKey::Genesis) {
                    w.move_results(w.genesis[0].unwrap_or(Offset(0)));
                    // The counts of open windows are made again, into the topic that there is.
                    (w.expired, w.unaccepted) = (None, false);
                }
            });
        }
    }

    fn move_offset(&mut self, to: Offset, with_metadata: bool) {
        self.move_results(to);
        let c = self.committed.as_mut().expect("looked at above");
        if c.offset == to && with_metadata {
            self.expected = [1; RECORDS];
            return;
        }
        c.offset = to;
        c.metadata = c.metadata.filter(|_| with_metadata);
        self.moved = true;
    }

    pub(super) fn topic(&self, scope: &Scope, out: &mut Steps) {
        let later = self.log.0 + 1..=scope.records as i64;
        for at in later.map(Offset).filter(|_| scope.retention) {
            self.event(out, Event::LogBegins(at), |w| w.log = at);
        }
        if scope.partials_remade && self.partials == 0 {
            self.event(out, Event::PartialsAreMadeAgain, |w| {
                (w.partials, w.unaccepted) = (1, w.committed.is_some());
            });
        }
        if scope.remade && self.life == 0 {
            for offsets_go in [true, false] {
                self.event(out, Event::TopicIsMadeAgain { offsets_go }, |w| {
                    (w.life, w.log, w.emptied) = (1, Offset(0), false);
                    (w.counted, w.expected, w.moved) = ([0; RECORDS], [1; RECORDS], false);
                    (w.expired, w.committed) = (None, w.committed.take().filter(|_| !offsets_go));
                });
            }
        }
    }

    /// While no daemon runs, somebody removes the last entry, which the committed offset names:
    /// nothing else tells that it is missing. Its files are published. (While an owner lives, what
    /// it appends lands in the place of the entry.)
    pub(super) fn damage(&self, scope: &Scope, out: &mut Steps) {
        let quiet = self.workers.iter().all(Option::is_none)
            && self.pending.iter().all(Option::is_none)
            && !self.ids().any(|(_, files)| files.late);
        let Some(tail) = self.tail(self.life).filter(|_| scope.entry_lost && quiet) else { return };
        let EntryKey::At(from) = tail.key else { return };
        let named = self.committed.as_ref().and_then(|c| c.metadata?.entry);
        let is_named = named.is_some_and(|entry| entry.key == tail.key);
        // Of a gap there are no files that readers could see twice.
        let is_visible =
            tail.attempt != GAP && self.named_by(tail).is_none_or(|files| files.published);
        if self.unnamed == 0 && self.life == 0 && is_named && is_visible {
            self.event(out, Event::EntryIsLost, |w| {
                w.unnamed = bits(OffsetRange { from, to: tail.to });
                w.ledger[0][from.0 as usize] = None;
            });
        }
    }

    fn facts(&self, scope: &Scope) -> Facts {
        let counted = (0..RECORDS).rev().find(|r| 0 < self.counted[*r]);
        Facts {
            sinks: Sinks { counts: scope.counts, archive: true, keeps_state: false },
            identity: identity(self.life),
            partials: scope.partials_remade.then(|| self.partials.to_string()),
            on_gap: scope.on_gap(),
            committed: self.read_committed(),
            ledger: self.read_ledger_of(self.newest()),
            newest: self.newest().into(),
            log: OffsetRange { from: self.log, to: Offset(scope.records as i64) },
            start: self.log,
            published: counted.map(|r| Offset(r as i64 + 1)),
            merged: Ok(None),
        }
    }

    pub(super) fn repairs(&self, scope: &Scope, out: &mut Steps) {
        // A repair is for a partition whose owner has stopped; it is not fenced by the group.
        let mut owners = self.workers.iter().flatten().filter(|w| w.current);
        let stopped = self.workers.iter().flatten().any(|w| w.machine.is_stopped());
        if !scope.repairs
            || !stopped
            || owners.any(|w| !w.machine.is_stopped())
            || self.pending.iter().any(Option::is_some)
        {
            return;
        }
        // `repair` refuses as long as readers see files that it would archive again; those of an
        // earlier life of the topic are no matter of this one.
        if self.unnamed != 0 {
            self.event(out, Event::FilesAreMovedAway, World::move_files_away);
            if self.life == 0 {
                return;
            }
        }
        let facts = self.facts(scope);
        let mut choices = vec![None];
        if matches!(facts.repair(None), Err(Refused::Choice { .. })) {
            choices = (0..=scope.records as i64).map(|o| Some(Offset(o))).collect();
        }
        if matches!(facts.diagnose(), Err(Stop::OtherPartials { .. })) {
            choices.push(Some(Offset(0)));
        }
        for choice in choices {
            let Ok(Some(repair)) = facts.repair(choice) else { continue };
            if repair.put.is_some() && repair.commit.is_some() {
                self.event(out, Event::RepairDies, |w| {
                    w.apply_repair(&RepairPlan { commit: None, ..repair.clone() });
                });
            }
            let mended = Mended {
                entry: repair.put.as_ref().map(|put| (put.kind, put.range)),
                committed: repair.commit.as_ref().map(|(offset, m)| (*offset, m.p)),
            };
            self.event(out, Event::IsRepaired(mended), |w| w.apply_repair(&repair));
        }
    }

    fn move_files_away(&mut self) {
        let of = |f: &Files| {
            f.published && bits(OffsetRange { from: f.from, to: f.to }) & self.unnamed != 0
        };
        let moved: Vec<_> = self.ids().filter(|(_, f)| of(f)).map(|(id, _)| id).collect();
        moved.into_iter().for_each(|id| self.attempts[id.0 as usize] = None);
        (self.unnamed, self.emptied) = (0, self.life == 0);
    }

    fn apply_repair(&mut self, repair: &RepairPlan) {
        if let Some(put) = &repair.put {
            // What was found instead of a hole is looked at anew.
            if !self.put(put.incarnation as u8, put.kind, put.range) {
                return;
            }
        }
        let Some((at, m)) = &repair.commit else { return };
        self.move_results(m.p);
        let (life, moved, lost) = (self.life, false, m.lost);
        let partials = life_of(m.partials.as_deref());
        (self.unaccepted, self.emptied) = (false, false);
        let metadata = Some(Wrote { at: *at, p: m.p, entry: m.entry, life, lost, partials });
        (self.committed, self.moved) = (Some(Stored { offset: *at, metadata }), moved);
        self.expired = None;
    }
}
