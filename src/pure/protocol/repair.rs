//! What puts a stopped partition right again, where a person has decided that it may.
//!
//! A repair goes on from what stands in Kafka and in the store, by the two kinds of step that an
//! owner takes too: an entry is put unless one stands there, then an offset is committed. Each
//! step may be lost or come twice: after any of them the partition is stopped for the same or for
//! another reason, or goes on, and a repair that is run again ends the work.
//!
//! The group does not fence a repair: it is for a partition whose owner has stopped, or that has
//! none. The search says so: an owner that goes on counts what a repair names as lost.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::pure::formats::entry::{EntryKey, EntryKind, EntryName};
use crate::pure::formats::metadata::{Marks, Metadata};
use crate::pure::protocol::committed::Committed;
use crate::pure::protocol::machine::{
    Effect, Input, LedgerQuestion, Machine, Moment, PositionsAnswer, ReadStep, Setup, StopReason,
    Ticket,
};
use crate::pure::protocol::partition::{KnownPosition, Published, Sinks};
use crate::pure::protocol::recovery::{Identity, LedgerTail, OnGap, Stop};
use crate::pure::record::{Offset, OffsetRange};

/// Longer than any pause of the machine.
const LONG: Duration = Duration::from_secs(60);

/// Recovery needs far fewer steps.
const MOST_STEPS: u32 = 100;

/// Stands for the id of a topic of partial counts that does not exist.
pub const ABSENT: &str = "absent";

/// Everything that recovery decides by, read while nothing changes in the partition: the committed
/// offset first, then the ledger.
#[derive(Clone, Debug)]
pub struct Facts {
    pub sinks: Sinks,
    pub identity: Arc<Identity>,
    /// The id of the partials topic that counts go to, or [`ABSENT`]; [`None`] if they go to none.
    pub partials: Option<String>,
    pub on_gap: OnGap,
    pub committed: Option<Committed>,
    /// The end of the ledger, in the newest incarnation that has one for this partition.
    pub ledger: Option<LedgerTail>,
    /// The newest incarnation of the topic in the store; 0 if it has none.
    pub newest: u32,
    pub log: OffsetRange,
    /// Where the mapping lets a partition start that has nothing yet.
    pub start: Offset,
    /// P as the published counts themselves tell it, if they could be read.
    pub published: Option<Offset>,
    /// The same of a partition of partial counts, where nothing is committed.
    pub merged: Published,
}

/// What is to be done, in this order.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct RepairPlan {
    pub put: Option<Put>,
    pub commit: Option<(Offset, Metadata)>,
}

/// An entry without files, put unless one stands there.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Put {
    pub incarnation: u32,
    pub kind: EntryKind,
    pub range: OffsetRange,
    pub cause: &'static str,
}

/// Nothing is done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    #[error(
        "what is left does not say which records were counted: give the offset from which records \
         are to be counted with --count-from OFFSET; {archived} skips the records that are \
         archived, and a lower offset counts records again"
    )]
    Choice { archived: Offset },
    #[error(
        "the ledger in this root was written for root {found}: this root is a copy. Restore the \
         root with its identity, or use another archive.root"
    )]
    Copy { found: String },
    #[error(
        "the ledger here ends in incarnation {ledger}, and offsets are committed for {committed}: \
         this root is an old backup. Restore the newer one"
    )]
    OldBackup { committed: u32, ledger: u32 },
    #[error(
        "the topic of partial counts is missing: a daemon creates it when it starts, and within \
         daemon.topics_refresh while it runs; repair again then"
    )]
    NoPartials,
    #[error(
        "what is left does not say which partial counts were published: give the offset at which \
         the merge continues with --count-from OFFSET. With {end} nothing is published twice, and \
         what was not published of the records below {end} is left out; with {known} nothing is \
         left out, and what the counts that can't be read have published is published again"
    )]
    Merged { known: Offset, end: Offset },
    #[error("this build can't read what is written there: use the version that wrote it")]
    Unreadable,
}

impl fmt::Display for RepairPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Put { incarnation, kind, range, cause }) = &self.put {
            match kind {
                EntryKind::Genesis => write!(
                    f,
                    "put the genesis entry of incarnation {incarnation}: the archive begins at \
                     offset {} ({cause})",
                    range.to
                )?,
                _ => write!(f, "put a gap entry for offsets {range} ({cause})")?,
            }
        }
        if let Some((offset, metadata)) = &self.commit {
            let then = if self.put.is_some() { ", then " } else { "" };
            write!(f, "{then}commit offset {offset}: results continue at {}", metadata.p)?;
            if let Some(lost) = metadata.lost {
                write!(f, ", and the results of {lost} are named as lost")?;
            }
        }
        Ok(())
    }
}

impl Facts {
    /// Goes through recovery as an owner would: the machine that an owner runs gets its answers
    /// from these facts, until it reads, stops, or would put an entry of its own.
    ///
    /// # Errors
    /// Why an owner stops here.
    pub fn diagnose(&self) -> Result<Machine, Stop> {
        let setup = Setup {
            sinks: self.sinks,
            on_gap: self.on_gap,
            root: self.identity.root.as_str().into(),
            epoch: 0,
            jitter: 0,
        };
        let (mut machine, mut effects) = (Machine::assigned(setup), Vec::new());
        let (mut inputs, mut now) = (VecDeque::from([Input::Tick]), Moment::ZERO);
        while let Some(input) = inputs.pop_front() {
            now = now.saturating_add(LONG);
            let was_tick = input == Input::Tick;
            machine.handle(input, now, &mut effects);
            if let Some(StopReason::Rules(stop)) = machine.stopped() {
                return Err(stop.clone());
            }
            for effect in effects.drain(..) {
                match effect {
                    Effect::AskPositions(ticket) => inputs.push_back(self.positions(ticket)),
                    // An owner that puts an entry goes on behind it.
                    Effect::AskLedger(LedgerQuestion { put: Some(_), .. }) => return Ok(machine),
                    Effect::AskLedger(question) => inputs.push_back(self.ledger(question.ticket)),
                    _ => {}
                }
            }
            let reads =
                matches!(machine.next_read(now.saturating_add(LONG)), ReadStep::Seek { .. });
            let beyond = reads && machine.start().is_some_and(|at| self.log.to < at);
            if inputs.is_empty() && !was_tick {
                inputs.push_back(Input::Tick);
            } else if inputs.is_empty() && beyond {
                inputs.push_back(Input::OutOfRange);
            }
            assert!(now < LONG.saturating_mul(MOST_STEPS), "recovery comes to no end: {machine:?}");
        }
        Ok(machine)
    }

    fn positions(&self, ticket: Ticket) -> Input {
        let answer = PositionsAnswer {
            topic_id: self.identity.topic_id.clone(),
            partials: self.partials.clone(),
            committed: Ok(self.committed.clone()),
            log: self.log,
            first: self.start,
            published: self.merged.clone(),
        };
        Input::Positions(ticket, Some(answer))
    }

    fn ledger(&self, ticket: Ticket) -> Input {
        let incarnation = self.ledger.as_ref().map_or(self.newest, |l| l.incarnation);
        Input::Ledger(ticket, incarnation, self.ledger.clone())
    }

    /// What an owner needs to go on; [`None`] if it does not stop.
    ///
    /// `count_from`: where the results go on, for a person who knows better than what is left.
    ///
    /// # Errors
    /// No repair is possible, or a person has to choose one.
    pub fn repair(&self, count_from: Option<Offset>) -> Result<Option<RepairPlan>, Refused> {
        let Err(stop) = self.diagnose() else { return Ok(None) };
        let tail = self.ledger.as_ref().map(|l| l.tail.to);
        let p = self.committed.as_ref().map(Committed::p);
        let commit = |to: Offset| Some(self.commit(tail.unwrap_or(to), to, self.entry()));
        Ok(Some(match stop {
            Stop::Unreadable(_) => return Err(Refused::Unreadable),
            Stop::NothingCommitted { tail } => {
                let p = count_from.or((!self.sinks.counts).then_some(tail)).or(self.published);
                let p = p.ok_or(Refused::Choice { archived: tail })?;
                RepairPlan { put: None, commit: commit(p) }
            }
            Stop::ResultsUnknown { known, end, .. } => {
                self.go_on_merging(count_from, Refused::Merged { known, end })?
            }
            Stop::CommittedBeyondLedger { tail, .. } => {
                RepairPlan { put: None, commit: commit(p.unwrap_or(tail)) }
            }
            Stop::NoLedger { offset } => self.begin(self.newest, offset, p),
            Stop::OtherRoot { found, .. } => match &self.ledger {
                Some(ledger) if ledger.of.root != self.identity.root => {
                    return Err(Refused::Copy { found });
                }
                Some(ledger) => {
                    RepairPlan { put: None, commit: commit(p.unwrap_or(ledger.tail.to)) }
                }
                None => {
                    let offset = self.committed.as_ref().map_or(self.start, |c| c.offset);
                    self.begin(self.newest, offset, p)
                }
            },
            Stop::OtherTopic { .. } => match &self.ledger {
                // Opened before, and not committed.
                Some(ledger) if ledger.of.topic_id == self.identity.topic_id => {
                    RepairPlan { put: None, commit: commit(ledger.tail.to) }
                }
                _ => self.begin(
                    self.next(),
                    self.start,
                    self.committed.is_some().then_some(self.start),
                ),
            },
            Stop::OtherPartials { .. } if self.partials.as_deref() == Some(ABSENT) => {
                return Err(Refused::NoPartials);
            }
            Stop::OtherPartials { p, .. } => self.accept_other_partials(count_from, p),
            Stop::OtherIncarnation { committed, ledger } if ledger < committed => {
                return Err(Refused::OldBackup { committed, ledger });
            }
            Stop::OtherIncarnation { .. } => {
                RepairPlan { put: None, commit: commit(tail.unwrap_or(self.start)) }
            }
            Stop::BeyondLog { end, .. } => self.begin(self.next(), end, Some(end)),
            Stop::ArchiveGap { range } => {
                let incarnation = self.ledger.as_ref().map_or(self.newest, |l| l.incarnation);
                let cause = "retention: deleted before it was archived, recorded by repair";
                RepairPlan {
                    put: Some(Put { incarnation, kind: EntryKind::Gap, range, cause }),
                    commit: None,
                }
            }
            Stop::ResultsGap { range } => {
                let (offset, mut metadata) =
                    self.commit(tail.unwrap_or(range.to), range.to, self.entry());
                metadata.lost = Some(range);
                RepairPlan { put: None, commit: Some((offset, metadata)) }
            }
        }))
    }

    /// The results go on at P, without what the open windows had counted below it; or the records
    /// from an earlier offset on are counted again, for windows that wait for them.
    fn accept_other_partials(&self, count_from: Option<Offset>, p: Offset) -> RepairPlan {
        let tail = self.ledger.as_ref().map(|l| l.tail.to);
        let to = count_from.unwrap_or(p);
        let (offset, mut metadata) = self.commit(tail.unwrap_or(to), to, self.entry());
        if to < p {
            metadata.marks = Marks::default();
        }
        let before = self.committed.as_ref().and_then(|c| c.metadata.as_ref());
        metadata.lost = before.and_then(|m| m.lost);
        RepairPlan { put: None, commit: Some((offset, metadata)) }
    }

    /// The merge goes on at this offset: with the open windows of the newest count that can be
    /// read, if that one was published just before.
    fn go_on_merging(&self, to: Option<Offset>, unless: Refused) -> Result<RepairPlan, Refused> {
        let to = to.ok_or(unless)?;
        let known = self.merged.as_ref().err().and_then(|unsure| unsure.known);
        let known = known.filter(|known| known.p == to).unwrap_or(KnownPosition::none(to));
        let (_, mut metadata) = self.commit(to, to, None);
        metadata.marks = known.marks;
        Ok(RepairPlan { put: None, commit: Some((known.replay, metadata)) })
    }

    /// The incarnation after this partition's, or the one that other partitions are in already.
    fn next(&self) -> u32 {
        self.ledger
            .as_ref()
            .map_or(self.newest, |l| self.newest.max(l.incarnation.saturating_add(1)))
    }

    fn entry(&self) -> Option<EntryName> {
        let ledger = self.ledger.as_ref().filter(|_| self.sinks.archive)?;
        Some(EntryName { incarnation: ledger.incarnation, key: ledger.tail.key })
    }

    /// A new ledger from `start` on, and, if `p` is given, the offset that belongs to it.
    fn begin(&self, incarnation: u32, start: Offset, p: Option<Offset>) -> RepairPlan {
        let range = OffsetRange { from: start, to: start };
        let cause = "repair: the ledger begins anew";
        let put = Put { incarnation, kind: EntryKind::Genesis, range, cause };
        let entry = EntryName { incarnation, key: EntryKey::Genesis };
        RepairPlan {
            put: self.sinks.archive.then_some(put),
            commit: p.map(|p| self.commit(start, p, self.sinks.archive.then_some(entry))),
        }
    }

    /// F is the lower of both positions.
    fn commit(&self, a: Offset, p: Offset, entry: Option<EntryName>) -> (Offset, Metadata) {
        let archive = self.sinks.archive;
        let before = self.committed.as_ref().and_then(|c| c.metadata.as_ref());
        let before = before.filter(|m| m.topic_id == self.identity.topic_id);
        let metadata = Metadata {
            p,
            entry,
            root: if archive { self.identity.root.clone() } else { String::new() },
            topic_id: self.identity.topic_id.clone(),
            marks: before.map_or(Marks::default(), |m| m.marks),
            lost: None,
            partials: self.partials.clone(),
        };
        (if archive { a.min(p) } else { p }, metadata)
    }
}
