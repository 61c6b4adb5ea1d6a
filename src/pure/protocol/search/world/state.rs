//! What there is, and every step from it.

use std::sync::Arc;

use super::super::step::{Act, Event, Step};
use super::rank::rank;
use crate::pure::protocol::machine::{LedgerQuestion, PositionsAnswer, Ticket};
use crate::pure::protocol::partition::Plan;
use crate::pure::protocol::{AttemptId, EntryName, Head, Identity, Machine};
use crate::pure::record::{Offset, OffsetRange};

pub(super) const RECORDS: usize = 3;
pub(super) const ATTEMPTS: usize = 4;
/// An attempt whose files are published, and that nothing refers to.
pub(super) const DONE: AttemptId = AttemptId(99);
/// What stands in the place of a gap entry's attempt.
pub(super) const GAP: AttemptId = AttemptId(98);
/// The topic's lives: it may be deleted and created again once.
pub(super) const LIVES: usize = 2;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in super::super) struct World {
    pub(super) committed: Option<Stored>,
    /// P when the committed offset was lost.
    pub(super) expired: Option<Offset>,
    /// How often each record stands in committed results.
    pub(super) counted: [u8; RECORDS],
    /// How often it should, once P has passed it: an operator's reset changes that.
    pub(super) expected: [i8; RECORDS],
    pub(super) moved: bool,
    pub(super) lies: u8,
    pub(super) pending: [Option<Pending>; 2],
    /// The topic's life, which is its id too.
    pub(super) life: u8,
    /// The life of the topic of partial counts, which is its id too.
    pub(super) partials: u8,
    /// Open windows have lost counts of records below P, and nobody has accepted that yet.
    pub(super) unaccepted: bool,
    /// Records, as bits, of an entry that was removed: readers see them in files without an entry.
    pub(super) unnamed: u8,
    /// These files were moved out of the root, and the committed offset still names their entry.
    pub(super) emptied: bool,
    /// Where the log begins.
    pub(super) log: Offset,
    /// By life: where the ledger begins.
    pub(super) genesis: [Option<Offset>; LIVES],
    pub(super) ledger: [[Option<Head>; RECORDS]; LIVES],
    pub(super) attempts: [Option<Files>; ATTEMPTS],
    pub(super) workers: [Option<Box<Worker>>; 2],
    /// Answers of the brokers on their way to a worker: they may come after the worker's
    /// assignment.
    pub(super) letters: [Option<Box<Letter>>; 2],
    /// Somebody who settles has decided to delete this attempt, and has not done so yet.
    pub(super) doomed: Option<AttemptId>,
    /// The author of this attempt has decided to delete it, and has not done so yet.
    pub(super) discarded: Option<AttemptId>,
    pub(super) alarm: Option<&'static str>,
}

/// The committed offset as the broker keeps it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Stored {
    pub offset: Offset,
    pub metadata: Option<Wrote>,
}

/// The metadata, and the offset that it was written for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Wrote {
    pub at: Offset,
    pub p: Offset,
    pub entry: Option<EntryName>,
    pub life: u8,
    pub lost: Option<OffsetRange>,
    /// Of the topic of partial counts, where the scope has one.
    pub partials: Option<u8>,
}

/// A transaction whose offsets were sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Pending {
    pub plan: Plan,
    pub results: u8,
    pub life: u8,
    pub lost: Option<OffsetRange>,
    pub partials: Option<u8>,
    /// The end was sent and its author has given up on the answer: it may still commit.
    pub in_flight: bool,
}

/// What one attempt has in the store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Files {
    pub life: u8,
    pub from: Offset,
    pub to: Offset,
    pub content: u8,
    pub manifest: bool,
    pub staged: bool,
    pub published: bool,
    /// An append is under way whose author has stopped waiting.
    pub late: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Worker {
    /// Its captured group metadata is of the present generation.
    pub current: bool,
    /// The code that ships.
    pub machine: Machine,
    /// The topic's life that the machine knows; [`None`] before.
    pub life: Option<u8>,
    /// Records that are counted in memory.
    pub counts: u8,
    /// The assignment has ended, and attempts are completed.
    pub finishes: bool,
    /// A transaction was sent, and its end is not known yet.
    pub sent: bool,
    /// The question that the archive task has not answered yet.
    pub ledger: Option<LedgerQuestion>,
}

/// An answer to a question about positions, read in this life of the topic.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Letter {
    pub ticket: Ticket,
    pub answer: PositionsAnswer,
    pub life: u8,
}

/// Steps, and the worlds that they lead to.
pub(super) enum Steps {
    /// All that are possible.
    All(Vec<(Step, World)>),
    /// The one that a lone owner takes first, of those that change anything. The others' worlds
    /// are never made.
    Fairest { writer_is_gone: bool, best: Option<(u8, Box<World>)> },
}

impl Steps {
    /// Whether a world is to be made for this step.
    fn wants(&self, step: Step) -> bool {
        match self {
            Steps::All(_) => true,
            Steps::Fairest { writer_is_gone, best } => {
                let rank = rank(step, *writer_is_gone);
                rank.is_some_and(|rank| best.as_ref().is_none_or(|(best, _)| rank < *best))
            }
        }
    }

    fn take(&mut self, step: Step, from: &World, next: World) {
        match self {
            Steps::All(all) => all.push((step, next)),
            Steps::Fairest { writer_is_gone, best } => {
                let rank = rank(step, *writer_is_gone);
                if let Some(rank) = rank.filter(|_| next != *from) {
                    *best = Some((rank, Box::new(next)));
                }
            }
        }
    }
}

/// The archive root's identity, with the topic's id in this life.
pub(super) fn identity(life: u8) -> Arc<Identity> {
    thread_local! {
        static ALL: [Arc<Identity>; LIVES] = ["0", "1"]
            .map(|id| Arc::new(Identity { root: "r".into(), topic_id: id.into() }));
    }
    ALL.with(|all| Arc::clone(&all[usize::from(life)]))
}

/// The life of a topic of partial counts that has this id.
pub(super) fn life_of(id: Option<&str>) -> Option<u8> {
    id.map(|id| id.parse().expect("the life is the id"))
}

/// A set of records as bits.
pub(super) fn bits(range: OffsetRange) -> u8 {
    (range.from.0..range.to.0).fold(0, |mask, r| mask | 1 << r)
}

impl World {
    pub(in super::super) fn new() -> World {
        World {
            committed: None,
            expired: None,
            counted: [0; RECORDS],
            expected: [1; RECORDS],
            moved: false,
            lies: 0,
            pending: [None; 2],
            life: 0,
            partials: 0,
            unaccepted: false,
            unnamed: 0,
            emptied: false,
            log: Offset(0),
            genesis: [None; LIVES],
            ledger: [[None; RECORDS]; LIVES],
            attempts: [None; ATTEMPTS],
            workers: [None, None],
            letters: [None, None],
            doomed: None,
            discarded: None,
            alarm: None,
        }
    }

    /// The worker of this index, which is up.
    pub(super) fn worker(&mut self, i: usize) -> &mut Worker {
        self.workers[i].as_mut().expect("is up")
    }

    /// Worker `i` may do this next, and this is what it changes.
    pub(super) fn act(&self, out: &mut Steps, i: usize, act: Act, change: impl FnOnce(&mut World)) {
        self.then(out, Step::Worker(i, act), change);
    }

    /// This may happen next, and this is what it changes.
    pub(super) fn event(&self, out: &mut Steps, event: Event, change: impl FnOnce(&mut World)) {
        self.then(out, Step::Outside(event), change);
    }

    fn then(&self, out: &mut Steps, step: Step, change: impl FnOnce(&mut World)) {
        self.then_if(out, step, change, |_| true);
    }

    /// As [`World::then`], for a step that some worlds have no room for.
    pub(super) fn then_if(
        &self,
        out: &mut Steps,
        step: Step,
        change: impl FnOnce(&mut World),
        has_room: impl FnOnce(&World) -> bool,
    ) {
        if !out.wants(step) {
            return;
        }
        let mut next = self.clone();
        change(&mut next);
        next.tidy();
        if has_room(&next) {
            out.take(step, self, next);
        }
    }

    /// How many records have results that are committed.
    pub(in super::super) fn results(&self) -> usize {
        self.counted.iter().filter(|n| 0 < **n).count()
    }

    pub(in super::super) fn in_transaction(&self, i: usize) -> bool {
        self.pending[i].is_some() || self.workers[i].as_ref().is_some_and(|w| w.sent)
    }

    pub(in super::super) fn is_member(&self, i: usize) -> bool {
        self.workers[i].as_ref().is_some_and(|w| w.current)
    }
}
