//! State that outlives a commit: two owners of one partition of the partials topic, over the real
//! [`Merge`] and [`Partition`]. Two source partitions send partial counts of two windows, in any
//! order and with any watermark; each message counts one.

use std::sync::Arc;

use super::world::Scope;
use super::{Model, engine};
use crate::pure::count::Kind;
use crate::pure::count::merge::{Asked, Merge, Patience};
use crate::pure::count::partials::Span;
use crate::pure::protocol::partition::Roles;
use crate::pure::protocol::{
    Begin, Committed, Found, Identity, Marks, OnGap, Partition, Past, Plan,
};
use crate::pure::record::{Offset, TopicPartition};

const WINDOWS: usize = 2;

/// What may happen, beside what the engine's scope says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Bounds {
    pub messages: usize,
    /// Sources may fall silent; what they send later is late, and is counted all the same.
    pub silence: bool,
    /// Memory may be short.
    pub parts: bool,
    /// The group's offsets are deleted once, while nobody is up.
    pub expiry: bool,
}

/// One message: a word of a window, and the source's watermark after it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Message {
    source: usize,
    window: usize,
    watermark: i64,
    /// Before it the source had not yet passed the window's end.
    on_time: bool,
}

/// Publications of one window.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Sums {
    sum: u8,
    finals: u8,
    late: u8,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Merging {
    bounds: Bounds,
    log: Vec<Message>,
    committed: Option<(Offset, String)>,
    /// What the published counts tell, if nothing is committed any more.
    past: Past,
    expired: bool,
    published: [Sums; WINDOWS],
    pending: [Option<Pending>; 2],
    owners: [Option<Owner>; 2],
    lies: u8,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Pending {
    plan: Plan,
    metadata: String,
    sums: [Sums; WINDOWS],
    in_flight: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Owner {
    current: bool,
    part: Partition,
    merge: Merge<u8>,
    /// Where the next record is read; [`None`] until the next seek.
    position: Option<usize>,
    sent: bool,
}

type Step = (String, Merging);

fn source(n: usize) -> TopicPartition {
    TopicPartition { topic: "in".into(), partition: n as i32 }
}

fn span(window: usize) -> Span {
    Span { end: window as i64 + 1, start: window as i64 }
}

fn merge(marks: Marks) -> Merge<u8> {
    let mut merge = Merge::new(Patience { out_of_order: 0, idle: 0, lost: i64::MAX }, marks);
    merge.list(&[source(0), source(1)], 0);
    merge
}

impl Merging {
    pub(super) fn new(bounds: Bounds) -> Merging {
        Merging {
            bounds,
            log: Vec::new(),
            committed: None,
            past: Past::none(Offset(0)),
            expired: false,
            published: Default::default(),
            pending: [None, None],
            owners: [None, None],
            lies: 0,
        }
    }

    fn then(&self, out: &mut Vec<Step>, label: String, change: impl FnOnce(&mut Merging)) {
        let mut next = self.clone();
        change(&mut next);
        out.push((label, next));
    }

    fn send_messages(&self, out: &mut Vec<Step>) {
        if self.log.len() == self.bounds.messages {
            return;
        }
        for from in 0..2 {
            let before = self.log.iter().filter(|m| m.source == from).map(|m| m.watermark).max();
            let before = before.unwrap_or(0);
            for window in 0..WINDOWS {
                for watermark in before..=WINDOWS as i64 {
                    let on_time = before < span(window).end;
                    let message = Message { source: from, window, watermark, on_time };
                    self.then(out, format!("source {from} sends {message:?}"), |w| {
                        w.log.push(message);
                    });
                }
            }
        }
    }

    fn assign(&mut self, i: usize) {
        self.owners.iter_mut().flatten().for_each(|o| o.current = false);
        let roles = Roles { counts: true, archive: false, holds: true };
        let identity = Identity { root: String::new(), topic_id: "t".into() };
        self.owners[i] = Some(Owner {
            current: true,
            part: Partition::assigned(roles, Arc::new(identity), OnGap::Stop),
            merge: merge(Marks::default()),
            position: None,
            sent: false,
        });
    }

    fn commit(&mut self, i: usize) {
        let Pending { plan, metadata, sums, .. } = self.pending[i].take().expect("was sent");
        self.committed = Some((plan.offset, metadata));
        if sums.iter().any(|s| 0 < s.sum) {
            let (replay, marks) = (plan.offset, plan.marks);
            self.past = Past { p: plan.results.to, replay, marks };
        }
        for (all, more) in self.published.iter_mut().zip(sums) {
            all.sum += more.sum;
            all.finals += more.finals;
            all.late += more.late;
        }
    }

    fn owner_steps(&self, i: usize, scope: &Scope, out: &mut Vec<Step>) {
        let Some(owner) = &self.owners[i] else { return };
        self.then(out, format!("w{i} crashes"), |w| w.owners[i] = None);
        if owner.sent {
            return self.commit_answers(i, scope, out);
        }
        let stable = self.pending.iter().all(Option::is_none);
        if owner.part.needs_committed() && stable {
            self.then(out, format!("w{i} reads what is committed"), |w| w.read_committed(i));
        }
        if owner.part.p().is_none() {
            return;
        }
        self.read_record(i, out);
        if !owner.part.replays() {
            self.state_steps(i, out);
        }
        self.send(i, out);
    }

    fn read_committed(&mut self, i: usize) {
        let read = self.committed.as_ref();
        let read = read.map(|(offset, text)| Committed::decode(*offset, text).expect("ours"));
        let owner = self.owners[i].as_mut().expect("is up");
        match owner.part.on_committed(read).expect("nothing stops it") {
            Found::Verified => return,
            Found::Fresh(Begin::CommitStart) => owner.part.begin_at(self.past),
            Found::Ready => {}
            other => panic!("{other:?}"),
        }
        owner.merge = merge(owner.part.marks());
        owner.position = None;
    }

    fn read_record(&self, i: usize, out: &mut Vec<Step>) {
        let owner = self.owners[i].as_ref().expect("is up");
        let start = owner.part.start().expect("P is known").0 as usize;
        let at = owner.position.unwrap_or(start);
        let Some(message) = self.log.get(at).copied() else { return };
        self.then(out, format!("w{i} reads message {at}"), |w| {
            let owner = w.owners[i].as_mut().expect("is up");
            owner.position = Some(at + 1);
            let accept = owner.part.accept(Offset(at as i64), || unreachable!("no archive"));
            if accept.count || accept.replay {
                let (span, offset) = (span(message.window), Offset(at as i64));
                if let Some(sum) = owner.merge.sums(span, false, offset, accept.replay) {
                    *sum += 1;
                }
                owner.merge.heard(&source(message.source), Some(message.watermark), 0);
            }
        });
    }

    fn state_steps(&self, i: usize, out: &mut Vec<Step>) {
        let mut changes: Vec<(String, Merging)> = Vec::new();
        self.then(&mut changes, format!("w{i} closes windows"), |w| {
            let _ = w.owners[i].as_mut().expect("is up").merge.close(0);
        });
        if self.bounds.parts {
            self.then(&mut changes, format!("w{i} is short of memory"), |w| {
                w.owners[i].as_mut().expect("is up").merge.part();
            });
        }
        for from in (0..2).filter(|_| self.bounds.silence) {
            for at in 1..=WINDOWS as i64 {
                self.then(&mut changes, format!("source {from} is silent at {at}"), |w| {
                    let merge = &mut w.owners[i].as_mut().expect("is up").merge;
                    let asked = Asked { p: Some(Offset(0)), end: Offset(0) };
                    merge.silent(&source(from), asked, at);
                });
            }
        }
        out.extend(changes.into_iter().filter(|(_, w)| w != self));
    }

    fn send(&self, i: usize, out: &mut Vec<Step>) {
        let mut owner = self.owners[i].clone().expect("is up");
        owner.part.hold(owner.merge.needed(), owner.merge.marks());
        if !owner.current || self.pending[i].is_some() {
            return;
        }
        let Some(plan) = owner.part.plan(true) else { return };
        let mut sums: [Sums; WINDOWS] = Default::default();
        for (span, kind, sum) in owner.merge.due() {
            let of = &mut sums[span.start as usize];
            of.sum += sum;
            of.finals += u8::from(kind == Kind::Final);
            of.late += if kind == Kind::Late { *sum } else { 0 };
        }
        let metadata = owner.part.metadata(&plan).encode(plan.offset);
        let label = format!("w{i} sends P = {}, F = {}, {sums:?}", plan.results.to, plan.offset);
        owner.sent = true;
        self.then(out, label, |w| {
            w.pending[i] = Some(Pending { plan, metadata, sums, in_flight: false });
            w.owners[i] = Some(owner);
        });
    }

    fn commit_answers(&self, i: usize, scope: &Scope, out: &mut Vec<Step>) {
        let doubt = |w: &mut Merging| {
            let owner = w.owners[i].as_mut().expect("is up");
            owner.sent = false;
            owner.part.doubt();
        };
        let Some(Pending { plan, .. }) = self.pending[i].clone() else {
            return self.then(out, format!("w{i} learns of an abort"), doubt);
        };
        let told_ok = |w: &mut Merging| {
            let owner = w.owners[i].as_mut().expect("is up");
            owner.sent = false;
            owner.part.on_commit_ok(&plan);
            owner.merge.published();
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

    fn p(&self) -> (usize, Marks) {
        let Some((offset, text)) = &self.committed else {
            return (self.past.p.0 as usize, self.past.marks);
        };
        let read = Committed::decode(*offset, text).expect("ours");
        let marks = read.metadata.as_ref().map_or(Marks::default(), |m| m.marks);
        (read.p().0 as usize, marks)
    }

    /// Everything was counted, and published.
    fn is_whole(&self) -> bool {
        let of = |k| self.log.iter().filter(|m| m.window == k).count();
        (0..WINDOWS).all(|k| usize::from(self.published[k].sum) == of(k))
    }
}

impl Model for Merging {
    fn next(&self, scope: &Scope) -> Vec<Step> {
        let mut out = Vec::new();
        self.send_messages(&mut out);
        let quiet =
            self.owners.iter().all(Option::is_none) && self.pending.iter().all(Option::is_none);
        if self.bounds.expiry && quiet && !self.expired && self.committed.is_some() {
            self.then(&mut out, "the offsets expire".into(), |w| {
                (w.committed, w.expired) = (None, true);
            });
        }
        for i in 0..scope.workers {
            let unassigned = self.owners[i].as_ref().is_none_or(|o| !o.current);
            if unassigned {
                self.then(&mut out, format!("w{i} gets the partition"), |w| w.assign(i));
            }
            if let Some(pending) = &self.pending[i] {
                self.then(&mut out, format!("w{i}'s transaction is aborted"), |w| {
                    w.pending[i] = None;
                });
                if pending.in_flight {
                    self.then(&mut out, format!("w{i}'s transaction commits late"), |w| {
                        w.commit(i);
                    });
                }
            }
            self.owner_steps(i, scope, &mut out);
        }
        out
    }

    fn broken(&self, _: &Scope) -> Option<&'static str> {
        let (p, marks) = self.p();
        if self.committed.as_ref().is_some_and(|(f, _)| p < f.0 as usize) {
            return Some("I4: F is above P");
        }
        for (k, published) in self.published.iter().enumerate() {
            let below = self.log.iter().take(p).filter(|m| m.window == k);
            let late = below.clone().filter(|m| !m.on_time).count();
            let below = below.count();
            let sum = usize::from(published.sum);
            if below < sum {
                return Some("I1: a partial count is published twice");
            }
            let closed = marks.watermark.is_some_and(|w| span(k).end <= w);
            if closed && sum < below {
                return Some("I1: a closed window lacks a partial count");
            }
            if 1 < published.finals {
                return Some("a window has two final counts");
            }
            if !self.bounds.silence && late < usize::from(published.late) {
                return Some("a partial count that came in time is published as late");
            }
        }
        None
    }

    fn mirrored(&self) -> Merging {
        let mut other = self.clone();
        other.pending.swap(0, 1);
        other.owners.swap(0, 1);
        other
    }

    /// I6: a new owner, left alone with silent sources, publishes everything.
    fn stuck(&self, scope: &Scope, healthy: &mut engine::Healthy) -> Option<&'static str> {
        let _ = healthy;
        let mut at = self.clone();
        (at.owners, at.pending) = ([None, None], [None, None]);
        at.assign(0);
        at.read_committed(0);
        let patience = 4 * (self.log.len() + WINDOWS) + 8;
        for _ in 0..patience {
            if at.is_whole() && at.p().0 == at.log.len() {
                return None;
            }
            let owner = at.owners[0].as_mut().expect("alone");
            if owner.part.needs_committed() {
                at.read_committed(0);
                continue;
            }
            let mut steps = Vec::new();
            at.read_record(0, &mut steps);
            if steps.is_empty() {
                let owner = at.owners[0].as_mut().expect("alone");
                for from in 0..2 {
                    let asked = Asked { p: Some(Offset(0)), end: Offset(0) };
                    owner.merge.silent(&source(from), asked, WINDOWS as i64);
                }
                let _ = owner.merge.close(0);
                at.send(0, &mut steps);
                if let Some((_, next)) = steps.pop() {
                    at = next;
                    at.commit_answers(0, scope, &mut steps);
                    steps.truncate(1);
                }
            }
            let Some((_, next)) = steps.pop() else { break };
            at = next;
        }
        Some("I6: an owner gets stuck")
    }
}
