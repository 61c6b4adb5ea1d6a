//! The world of the search: one partition, Kafka's offsets, the store, and two workers.

use std::sync::Arc;

use super::Model;
use super::engine::{Healthy, dead_end};
use crate::protocol::append::{self, AppendFacts, AppendVerdict};
use crate::protocol::fault::{Fault, planted};
use crate::protocol::partition::{Forgotten, Plan, Roles};
use crate::protocol::recovery::{Begin, Found, Identity, Ledger, OnGap, Stop};
use crate::protocol::repair::{Facts, Refused, Repair};
use crate::protocol::settle::{Settle, settle};
use crate::protocol::{AttemptId, Committed, EntryKey, EntryName, Head, Kind, Metadata, Partition};
use crate::record::{Offset, OffsetRange};

pub(super) const RECORDS: usize = 3;
const ATTEMPTS: usize = 4;
/// An attempt whose files are published, whose directory is gone, and that nobody refers to.
const DONE: AttemptId = AttemptId(99);
/// What stands in the place of a gap entry's attempt.
const GAP: AttemptId = AttemptId(98);
/// The topic's lives: it may be deleted and made again once.
const LIVES: usize = 2;

/// What may happen, and how much of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    pub records: usize,
    /// Attempts alive at once.
    pub slots: usize,
    pub workers: usize,
    pub counts: bool,
    pub late_appends: bool,
    /// How often a commit is answered Ok that did not happen (KAFKA-17754).
    pub lost_ok: u8,
    pub resets: bool,
    pub expiry: bool,
    /// Retention deletes records, whether they were read or not.
    pub retention: bool,
    /// The mapping's policy for what retention took: stop, or write it down and go on.
    pub gaps_stop: bool,
    /// The topic is deleted and made again, once.
    pub remade: bool,
    /// Stopped partitions are repaired, by steps of which each may be the last.
    pub repairs: bool,
    pub store_fails: bool,
    /// Whether I6 is looked at.
    pub live: bool,
}

impl Default for Scope {
    fn default() -> Scope {
        Scope {
            records: 2,
            slots: 3,
            workers: 2,
            counts: true,
            late_appends: false,
            lost_ok: 0,
            resets: false,
            expiry: false,
            retention: false,
            gaps_stop: false,
            remade: false,
            repairs: false,
            store_fails: true,
            live: true,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct World {
    committed: Option<Stored>,
    /// P when the committed offset was lost.
    expired: Option<Offset>,
    /// How often each record stands in committed results.
    counted: [u8; RECORDS],
    /// How often it should, once P has passed it: an operator's reset changes that.
    expected: [i8; RECORDS],
    moved: bool,
    lies: u8,
    pending: [Option<Pending>; 2],
    /// The topic's life, which is its id too.
    life: u8,
    /// Where the log begins.
    log: Offset,
    /// By life: where the ledger begins.
    genesis: [Option<Offset>; LIVES],
    ledger: [[Option<Head>; RECORDS]; LIVES],
    attempts: [Option<Files>; ATTEMPTS],
    workers: [Option<Worker>; 2],
    /// A janitor has decided to delete this directory, and has not done so yet.
    doomed: Option<AttemptId>,
    alarm: Option<&'static str>,
}

/// The committed offset as the broker keeps it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Stored {
    offset: Offset,
    metadata: Option<Wrote>,
}

/// The metadata, and the offset that it was written for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Wrote {
    at: Offset,
    p: Offset,
    entry: Option<EntryName>,
    life: u8,
    lost: Option<OffsetRange>,
}

/// A transaction whose offsets were sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Pending {
    plan: Plan,
    results: u8,
    life: u8,
    lost: Option<OffsetRange>,
    /// The end was sent and its author has given up on the answer: it may still commit.
    in_flight: bool,
}

/// What one attempt has in the store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Files {
    life: u8,
    from: Offset,
    to: Offset,
    content: u8,
    directory: bool,
    manifest: bool,
    staged: bool,
    published: bool,
    /// An append is under way whose author has stopped waiting.
    late: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Worker {
    /// Its captured group metadata is of the present generation.
    current: bool,
    part: Partition,
    /// The topic's id as it was when the partition was assigned.
    life: u8,
    /// Where the log began when the positions were read.
    log: Offset,
    /// A gap entry that is to be put.
    gap: Option<OffsetRange>,
    /// Records that are counted in memory.
    counts: u8,
    position: Option<usize>,
    sent: bool,
    stopped: bool,
}

pub(super) type Step = (String, World);

fn identity(life: u8) -> Arc<Identity> {
    thread_local! {
        static ALL: [Arc<Identity>; LIVES] = ["0", "1"]
            .map(|id| Arc::new(Identity { root: "r".into(), topic_id: id.into() }));
    }
    ALL.with(|all| Arc::clone(&all[usize::from(life)]))
}

fn bits(range: OffsetRange) -> u8 {
    (range.from.0..range.to.0).fold(0, |mask, r| mask | 1 << r)
}

impl World {
    pub(super) fn new() -> World {
        World {
            committed: None,
            expired: None,
            counted: [0; RECORDS],
            expected: [1; RECORDS],
            moved: false,
            lies: 0,
            pending: [None; 2],
            life: 0,
            log: Offset(0),
            genesis: [None; LIVES],
            ledger: [[None; RECORDS]; LIVES],
            attempts: [None; ATTEMPTS],
            workers: [None, None],
            doomed: None,
            alarm: None,
        }
    }

    fn tail(&self, life: u8) -> Option<Head> {
        let life = usize::from(life);
        let last = self.ledger[life].iter().rev().flatten().next().copied();
        let genesis = |to| Head { key: EntryKey::Genesis, attempt: DONE, to };
        last.or(self.genesis[life].map(genesis))
    }

    /// The newest incarnation that has a ledger; 0 if none has.
    fn newest(&self) -> u8 {
        (0..LIVES as u8).rev().find(|l| self.genesis[usize::from(*l)].is_some()).unwrap_or(0)
    }

    fn read_ledger_of(&self, life: u8) -> Option<Ledger> {
        let tail = self.tail(life)?;
        Some(Ledger { tail, of: identity(life), incarnation: life.into() })
    }

    fn entry_at(&self, life: u8, from: Offset) -> Option<Head> {
        let ledger = &self.ledger[usize::from(life)];
        ledger.get(usize::try_from(from.0).unwrap_or(RECORDS)).copied().flatten()
    }

    /// The entry that stands where this attempt's would.
    fn entry_of(&self, f: &Files) -> Option<Head> {
        self.entry_at(f.life, f.from)
    }

    fn files(&mut self, id: AttemptId) -> &mut Files {
        self.attempts[id.0 as usize].as_mut().expect("referred to, so alive")
    }

    fn ids(&self) -> impl Iterator<Item = (AttemptId, Files)> + '_ {
        let all = self.attempts.iter().enumerate();
        all.filter_map(|(i, f)| f.map(|f| (AttemptId(i as u128), f)))
    }

    /// Whether the committed offset is of the topic as it is now.
    fn of_this_life(&self) -> bool {
        let wrote = self.committed.as_ref().and_then(|c| c.metadata);
        wrote.is_none_or(|m| m.life == self.life)
    }

    fn p(&self) -> Offset {
        let read = self.committed.as_ref().filter(|_| self.of_this_life());
        let genesis = self.genesis[usize::from(self.life)];
        let none = self.expired.or(genesis).unwrap_or(Offset(0));
        read.map_or(none, |c| match c.metadata {
            Some(m) if m.at == c.offset => m.p,
            _ => c.offset,
        })
    }

    fn read_committed(&self) -> Option<Committed> {
        self.committed.as_ref().map(|c| {
            let text = c.metadata.map_or(String::new(), |Wrote { at, p, entry, life, lost }| {
                let Identity { root, topic_id } = (*identity(life)).clone();
                Metadata { p, entry, root, topic_id, watermark: None, lost }.encode(at)
            });
            Committed::decode(c.offset, &text).expect("written by us")
        })
    }

    fn commit(&mut self, i: usize) {
        let Pending { plan, results, life, lost, .. } = self.pending[i].take().expect("was sent");
        let Plan { offset, entry, results: range } = plan;
        let mine = life == self.life;
        for r in (0..RECORDS).filter(|r| mine && results >> r & 1 == 1) {
            self.counted[r] += 1;
        }
        for r in lost.into_iter().flat_map(|l| l.from.0.max(range.from.0)..l.to.0.min(range.to.0)) {
            if self.log.0 <= r && mine {
                self.alarm = Some("results of a record that is there are named as lost");
            }
            if mine {
                self.expected[r as usize] -= 1;
            }
        }
        let metadata = Some(Wrote { at: offset, p: range.to, entry, life, lost });
        self.committed = Some(Stored { offset, metadata });
        (self.moved, self.expired) = (false, None);
    }

    fn append(&mut self, id: AttemptId) {
        let f = *self.files(id);
        self.files(id).late = false;
        let slot = &mut self.ledger[usize::from(f.life)][f.from.0 as usize];
        if f.directory && f.manifest && slot.is_none() {
            *slot = Some(Head { key: EntryKey::At(f.from), attempt: id, to: f.to });
            self.files(id).manifest = false;
        }
    }

    fn delete(&mut self, id: AttemptId) {
        if let Some(f) = &mut self.attempts[id.0 as usize] {
            (f.directory, f.manifest, f.staged) = (false, false, false);
        }
    }

    fn discard(&mut self, forgotten: Forgotten, deletes: bool) {
        for id in forgotten.discard.into_iter().filter(|_| deletes) {
            self.delete(id);
        }
    }

    /// Frees the ids of attempts that left nothing behind and that nobody knows any more.
    fn tidy(mut self) -> World {
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
        self.relabel()
    }

    /// Which attempt has which id does not matter: the ids are given out anew, by what they name.
    fn relabel(mut self) -> World {
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
            return self;
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
        self
    }

    // ---- what is promised -----------------------------------------------------------------

    fn broken_ledger(&self, life: usize) -> Option<&'static str> {
        let mut end = self.genesis[life].unwrap_or(Offset(0));
        for (from, entry) in self.ledger[life].iter().enumerate() {
            let Some(e) = entry else { continue };
            if Offset(from as i64) != end {
                return Some("I2: ledger entries do not tile");
            }
            end = e.to;
            if e.attempt == GAP && self.log < e.to && life == usize::from(self.life) {
                return Some("I2: a gap entry names a record that is there");
            }
            let Some(f) = self.attempts.get(e.attempt.0 as usize).copied().flatten() else {
                continue;
            };
            if f.content != bits(OffsetRange { from: f.from, to: f.to }) {
                return Some("I2: an entry's files do not hold its range");
            }
            if !(f.published || f.directory && f.staged) {
                return Some("I5: a file that an entry names is gone unpublished");
            }
        }
        None
    }

    /// How many records have results that are committed.
    pub(super) fn results(&self) -> usize {
        self.counted.iter().filter(|n| 0 < **n).count()
    }

    pub(super) fn in_transaction(&self, i: usize) -> bool {
        self.pending[i].is_some() || self.workers[i].as_ref().is_some_and(|w| w.sent)
    }

    pub(super) fn is_member(&self, i: usize) -> bool {
        self.workers[i].as_ref().is_some_and(|w| w.current)
    }

    pub(super) fn goal(&self, scope: &Scope) -> bool {
        let n = Offset(scope.records as i64);
        self.tail(self.life).is_some_and(|t| t.to == n)
            && self.of_this_life()
            && self.p() == n
            && self.committed.as_ref().is_some_and(|c| c.offset == n)
            && self.ids().all(|(_, f)| !f.directory || f.life != self.life && !self.is_named(&f))
            && self.ledger.iter().flatten().flatten().all(|e| {
                self.attempts
                    .get(e.attempt.0 as usize)
                    .copied()
                    .flatten()
                    .is_none_or(|f| f.published)
            })
    }

    // ---- what may happen ------------------------------------------------------------------

    fn is_named(&self, f: &Files) -> bool {
        let id = |e: Head| self.attempts.get(e.attempt.0 as usize).copied().flatten();
        self.entry_of(f).and_then(id).as_ref() == Some(f)
    }

    fn then(&self, out: &mut Vec<Step>, label: String, change: impl FnOnce(&mut World)) {
        let mut next = self.clone();
        change(&mut next);
        out.push((label, next.tidy()));
    }

    /// Assignments, generations, crashes.
    fn group(&self, i: usize, scope: &Scope, out: &mut Vec<Step>) {
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

    fn assign(&mut self, i: usize, scope: &Scope) {
        self.workers.iter_mut().flatten().for_each(|x| x.current = false);
        let roles = Roles { counts: scope.counts, archive: true };
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

    fn coordinator(&self, i: usize, out: &mut Vec<Step>) {
        if let Some(pending) = &self.pending[i] {
            self.then(out, format!("w{i}'s transaction is aborted"), |w| w.pending[i] = None);
            if pending.in_flight {
                self.then(out, format!("w{i}'s transaction commits late"), |w| w.commit(i));
            }
        }
    }

    fn janitor(&self, out: &mut Vec<Step>) {
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

    fn publish(&mut self, id: AttemptId) {
        let f = self.files(id);
        (f.staged, f.published) = (false, true);
    }

    fn operator(&self, scope: &Scope, out: &mut Vec<Step>) {
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
    fn move_results(&mut self, to: Offset) {
        let p = self.p();
        for r in 0..RECORDS as i64 {
            let (again, skipped) = (to.0 <= r && r < p.0, p.0 <= r && r < to.0);
            self.expected[r as usize] += i8::from(again) - i8::from(skipped);
        }
    }

    // ---- a worker's own steps -------------------------------------------------------------

    fn own_steps(&self, i: usize, scope: &Scope, out: &mut Vec<Step>) {
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

    fn read_positions(&mut self, i: usize, scope: &Scope) {
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

    fn compare_with_log(&mut self, i: usize, scope: &Scope) {
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
    fn put(&mut self, life: u8, kind: Kind, range: OffsetRange) {
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

    fn read_ledger(&mut self, i: usize, scope: &Scope) {
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

    fn stop(&mut self, i: usize, stop: &Stop, scope: &Scope) {
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

    fn read_record(&self, i: usize, at: usize, scope: &Scope, out: &mut Vec<Step>) {
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

    fn archive_steps(&self, i: usize, scope: &Scope, out: &mut Vec<Step>) {
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

    fn commit_answers(&self, i: usize, scope: &Scope, out: &mut Vec<Step>) {
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

    // ---- I6 -------------------------------------------------------------------------------

    /// One faultless step towards the goal. `restart`: everybody has died before.
    pub(super) fn fair(&self, scope: &Scope, restart: bool) -> Option<World> {
        if restart {
            let mut w = self.clone();
            w.workers = [None, None];
            w.pending = [None; 2];
            w.doomed = None;
            w.attempts.iter_mut().flatten().for_each(|f| f.late = false);
            w.assign(0, scope);
            return Some(w.tidy());
        }
        let i = self.workers.iter().position(|w| self.owns(w))?;
        let waits = self.workers[i].as_ref().is_some_and(|w| w.sent);
        let stale = (0..2).find(|j| self.pending[*j].is_some() && !(*j == i && waits));
        if let Some(j) = stale {
            let mut w = self.clone();
            w.pending[j] = None;
            return Some(w.tidy());
        }
        let mut steps = Vec::new();
        // The bound on attempts is the search's, not the owner's.
        self.own_steps(i, &Scope { slots: ATTEMPTS, ..*scope }, &mut steps);
        self.janitor(&mut steps);
        self.repairs(scope, &mut steps);
        let wanted = [
            "answered Ok",
            "learns",
            "repaired",
            "looks again",
            "puts the gap",
            "reads",
            "is overtaken",
            "janitor deletes",
            "is published",
            "directory is",
            "janitor picks",
            "archive fails",
            "seals",
            "appends",
            "sends [",
            "reads record",
        ];
        let good = |l: &str, k: &str| match k {
            "archive fails" => l.contains(k) && l.ends_with("true") && self.open_writer_is_gone(i),
            _ => l.contains(k),
        };
        for want in wanted {
            let found = steps.iter().find(|(l, w)| good(l, want) && w != self);
            if let Some((_, w)) = found {
                return Some(w.clone());
            }
        }
        None
    }

    fn open_writer_is_gone(&self, i: usize) -> bool {
        let part = &self.workers[i].as_ref().expect("is up").part;
        part.open_attempt()
            .is_some_and(|id| self.attempts[id.0 as usize].is_none_or(|f| !f.directory))
    }

    pub(super) fn has_owner(&self) -> bool {
        self.workers.iter().any(|w| self.owns(w))
    }

    /// A topic that is gone takes its assignments along.
    fn owns(&self, worker: &Option<Worker>) -> bool {
        worker.as_ref().is_some_and(|w| w.current && w.life == self.life)
    }

    /// A stopped partition is excused from progress: a person has to decide.
    pub(super) fn excused(&self, scope: &Scope) -> bool {
        !scope.repairs && self.workers.iter().flatten().any(|w| w.stopped)
    }

    // ---- retention, a topic that is made again, repairs ------------------------------------

    fn topic(&self, scope: &Scope, out: &mut Vec<Step>) {
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

    fn facts(&self, scope: &Scope) -> Facts {
        let counted = (0..RECORDS).rev().find(|r| 0 < self.counted[*r]);
        Facts {
            roles: Roles { counts: scope.counts, archive: true },
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

    fn repairs(&self, scope: &Scope, out: &mut Vec<Step>) {
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

    fn carry_out(&mut self, repair: &Repair) {
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

impl Scope {
    fn on_gap(&self) -> OnGap {
        if self.gaps_stop { OnGap::Stop } else { OnGap::Record }
    }
}

impl Worker {
    /// Doubt about the results: what was counted in memory is thrown away.
    fn recount(&mut self) {
        self.part.doubt();
        self.counts = 0;
        self.position = None;
    }
}

impl Model for World {
    fn next(&self, scope: &Scope) -> Vec<Step> {
        let mut out = Vec::with_capacity(32);
        for i in 0..scope.workers {
            self.group(i, scope, &mut out);
            self.coordinator(i, &mut out);
            self.own_steps(i, scope, &mut out);
        }
        self.janitor(&mut out);
        for (id, _) in self.ids().filter(|(_, f)| f.late) {
            self.then(&mut out, format!("late append of {id:?} lands"), |w| w.append(id));
        }
        self.operator(scope, &mut out);
        self.topic(scope, &mut out);
        self.repairs(scope, &mut out);
        out
    }

    fn broken(&self, scope: &Scope) -> Option<&'static str> {
        let p = self.p();
        for r in (0..scope.records).filter(|_| scope.counts) {
            let below = Offset(r as i64) < p;
            let want = self.expected[r] - i8::from(!below);
            match (self.counted[r] as i8).cmp(&want) {
                std::cmp::Ordering::Less if below => {
                    return Some("I1: a record below P is not counted");
                }
                std::cmp::Ordering::Greater => return Some("I1: a record is counted twice"),
                _ => {}
            }
        }
        for life in 0..LIVES {
            if let Some(what) = self.broken_ledger(life) {
                return Some(what);
            }
        }
        for (id, f) in self.ids() {
            if f.published && self.entry_of(&f).is_none_or(|e| e.attempt != id) {
                return Some("I3: a final file that the ledger does not name");
            }
        }
        let end = self.tail(self.life).map_or(Offset(0), |t| t.to);
        if let (Some(c), false) = (&self.committed, self.moved)
            && self.of_this_life()
            && (end < c.offset || p < c.offset)
        {
            return Some("I4: F > min(A, P)");
        }
        if scope.slots < self.ids().count() + 1 && self.ids().count() == ATTEMPTS {
            return Some("the search ran out of attempt ids");
        }
        self.alarm
    }

    fn mirrored(&self) -> World {
        let mut w = self.clone();
        w.workers.swap(0, 1);
        w.pending.swap(0, 1);
        w.relabel()
    }

    fn stuck(&self, scope: &Scope, healthy: &mut Healthy) -> Option<&'static str> {
        dead_end(self, scope, healthy)
    }
}
