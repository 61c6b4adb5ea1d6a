//! The world of the search: one partition, Kafka's offsets, the store, and two workers.

mod fair;
mod outside;
mod owner;

use std::sync::Arc;

use super::Model;
use super::engine::{Healthy, dead_end};
use crate::pure::fault::{Fault, planted};
use crate::pure::protocol::append::{self, AppendFacts, AppendVerdict};
use crate::pure::protocol::partition::{Forgotten, Plan, Roles};
use crate::pure::protocol::recovery::{Begin, Found, Identity, Ledger, OnGap, Stop};
use crate::pure::protocol::repair::{Facts, Refused, Repair};
use crate::pure::protocol::settle::{Settle, settle};
use crate::pure::protocol::{
    AttemptId, Committed, EntryKey, EntryName, Head, Kind, Marks, Metadata, Partition,
};
use crate::pure::record::{Offset, OffsetRange};

pub(super) const RECORDS: usize = 3;
const ATTEMPTS: usize = 4;
/// An attempt whose files are published, whose directory is gone, and that nobody refers to.
const DONE: AttemptId = AttemptId(99);
/// What stands in the place of a gap entry's attempt.
const GAP: AttemptId = AttemptId(98);
/// The topic's lives: it may be deleted and created again once.
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
    /// The topic is deleted and created again, once.
    pub remade: bool,
    /// Stopped partitions are repaired, by steps of which each may be the last.
    pub repairs: bool,
    pub store_fails: bool,
    /// Whether I6 is looked at.
    pub live: bool,
    /// Only what so many steps lead to, where the whole is too large.
    pub steps: Option<usize>,
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
            steps: None,
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
                Metadata { p, entry, root, topic_id, marks: Marks::default(), lost }.encode(at)
            });
            Committed::decode(c.offset, &text).expect("written by us")
        })
    }

    fn commit(&mut self, i: usize) {
        let Pending { plan, results, life, lost, .. } = self.pending[i].take().expect("was sent");
        let Plan { offset, entry, results: range, .. } = plan;
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
}

impl Scope {
    fn on_gap(&self) -> OnGap {
        if self.gaps_stop { OnGap::Stop } else { OnGap::Record }
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
