//! What there is, and every step from it.

use super::super::scope::Scope;
use super::super::step::{Answer, Coordinator};
use super::step::{MergeAct, MergeStep, Message, Sums, WINDOWS};
use crate::pure::count::merge::{Merge, Patience};
use crate::pure::formats::partials::Span;
use crate::pure::protocol::{KnownPosition, Machine, Marks, Plan};
use crate::pure::record::{Offset, TopicPartition};

/// What may happen, beside what the engine's scope says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(in super::super) struct Bounds {
    pub messages: usize,
    /// Sources may fall silent; what they send later is late, and is counted all the same.
    pub silence: bool,
    /// Memory may be short.
    pub parts: bool,
    /// The group's offsets are deleted once, while no owner is up.
    pub expiry: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in super::super) struct Merging {
    pub(super) bounds: Bounds,
    pub(super) log: Vec<Message>,
    pub(super) committed: Option<(Offset, String)>,
    /// What the published counts tell, if nothing is committed any more.
    pub(super) past: KnownPosition,
    pub(super) expired: bool,
    pub(super) published: [Sums; WINDOWS],
    pub(super) pending: [Option<Pending>; 2],
    pub(super) owners: [Option<Owner>; 2],
    pub(super) lies: u8,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Pending {
    pub plan: Plan,
    pub metadata: String,
    pub sums: [Sums; WINDOWS],
    pub in_flight: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Owner {
    pub current: bool,
    /// The code that ships.
    pub machine: Machine,
    pub merge: Merge<u8>,
    pub sent: bool,
}

/// Steps, and the worlds that they lead to.
pub(super) type Steps = Vec<(MergeStep, Merging)>;

pub(super) fn source(n: usize) -> TopicPartition {
    TopicPartition { topic: "in".into(), partition: n as i32 }
}

pub(super) fn span(window: usize) -> Span {
    Span { end: window as i64 + 1, start: window as i64 }
}

pub(super) fn merge(marks: Marks) -> Merge<u8> {
    let mut merge = Merge::new(Patience { out_of_order: 0, idle: 0, lost: i64::MAX }, marks);
    merge.list(&[source(0), source(1)], 0);
    merge
}

impl Merging {
    pub(in super::super) fn new(bounds: Bounds) -> Merging {
        Merging {
            bounds,
            log: Vec::new(),
            committed: None,
            past: KnownPosition::none(Offset(0)),
            expired: false,
            published: Default::default(),
            pending: [None, None],
            owners: [None, None],
            lies: 0,
        }
    }

    /// The owner of this index, which is up.
    pub(super) fn owner(&mut self, i: usize) -> &mut Owner {
        self.owners[i].as_mut().expect("is up")
    }

    pub(super) fn act(
        &self,
        out: &mut Steps,
        i: usize,
        act: MergeAct,
        change: impl FnOnce(&mut Merging),
    ) {
        self.then(out, MergeStep::Owner(i, act), change);
    }

    pub(super) fn then(&self, out: &mut Steps, step: MergeStep, change: impl FnOnce(&mut Merging)) {
        let mut next = self.clone();
        change(&mut next);
        out.push((step, next));
    }

    pub(super) fn send_messages(&self, out: &mut Steps) {
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
                    self.then(out, MergeStep::SourceSends(message), |w| w.log.push(message));
                }
            }
        }
    }

    pub(super) fn owner_steps(&self, i: usize, scope: &Scope, out: &mut Steps) {
        let Some(owner) = &self.owners[i] else { return };
        self.act(out, i, MergeAct::Crashes, |w| w.owners[i] = None);
        if owner.sent {
            return self.answers(i, scope, out);
        }
        let stable = self.pending.iter().all(Option::is_none);
        if owner.asks() && stable {
            self.act(out, i, MergeAct::ReadsPositions, |w| w.read_positions(i));
        }
        if owner.machine.rules().is_none_or(|p| p.p().is_none()) {
            return;
        }
        if let Some(at) = owner.next_message().filter(|at| *at < self.log.len()) {
            self.act(out, i, MergeAct::ReadsMessage(at), |w| w.read_message(i, at));
        }
        if !owner.replays() {
            self.state_steps(i, out);
        }
        out.extend(self.transaction(i).map(|(act, w)| (MergeStep::Owner(i, act), w)));
    }

    /// What changes the merge's state alone.
    fn state_steps(&self, i: usize, out: &mut Steps) {
        let mut changes = Steps::new();
        self.act(&mut changes, i, MergeAct::ClosesWindows, |w| {
            let _ = w.owner(i).merge.close(0);
        });
        if self.bounds.parts {
            self.act(&mut changes, i, MergeAct::IsShortOfMemory, |w| {
                w.owner(i).merge.publish_open();
            });
        }
        for source in (0..2).filter(|_| self.bounds.silence) {
            for at in 1..=WINDOWS as i64 {
                self.act(&mut changes, i, MergeAct::FindsSilent { source, at }, |w| {
                    w.owner(i).find_silent(source, at);
                });
            }
        }
        out.extend(changes.into_iter().filter(|(_, w)| w != self));
    }

    fn answers(&self, i: usize, scope: &Scope, out: &mut Steps) {
        let (pending, may_lie) = (self.pending[i].is_some(), self.lies < scope.lost_ok);
        for answer in Answer::possible(pending, may_lie) {
            self.act(out, i, MergeAct::IsAnswered(answer), |w| w.on_answer(i, answer));
        }
    }
}

impl Coordinator for Merging {
    fn sent(&self, i: usize) -> Option<Plan> {
        self.pending[i].as_ref().map(|p| p.plan)
    }

    fn abort_unseen(&mut self, i: usize) {
        self.pending[i] = None;
        self.lies += 1;
    }

    fn stay_in_flight(&mut self, i: usize) {
        self.pending[i].as_mut().expect("was sent").in_flight = true;
    }

    fn commit(&mut self, i: usize) {
        let Pending { plan, metadata, sums, .. } = self.pending[i].take().expect("was sent");
        self.committed = Some((plan.offset, metadata));
        if sums.iter().any(|s| 0 < s.sum) {
            let (replay, marks) = (plan.offset, plan.marks);
            self.past = KnownPosition { p: plan.results.to, replay, marks };
        }
        for (all, more) in self.published.iter_mut().zip(sums) {
            all.sum += more.sum;
            all.finals += more.finals;
            all.late += more.late;
        }
    }
}
