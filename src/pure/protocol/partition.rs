//! One partition's positions and attempts while it is owned.
//!
//! Two halves, each known or unknown by itself:
//!
//! ```text
//!              stable read                       any doubt
//!   results:   unknown ───────────► P known ─────────────────► unknown
//!              ledger read                 lost, or store down
//!   archive:   unknown ───────────► A known ─────────────────► unknown
//! ```
//! Records are read from the lower of the two halves' next offsets, and each half takes only what
//! it has not taken yet. While the archive half is unknown the results go on by themselves, and F
//! stays where it is. Doubt about the results leaves the attempts alone: put-if-absent decides
//! about those.
//!
//! Results may need state that outlives a commit: the merge's open windows. F stays at the first
//! record that the state still needs, and after any doubt [F, P) is replayed: those records rebuild
//! the state, and publish nothing.

mod seen;

use std::sync::Arc;

use crate::pure::fault::{Fault, planted};
use crate::pure::formats::entry::{AttemptId, EntryKey, EntryName};
use crate::pure::formats::metadata::{Marks, Metadata};
use crate::pure::protocol::append::AppendVerdict;
use crate::pure::protocol::committed::Committed;
use crate::pure::protocol::recovery::{Begin, Found, Identity, Ledger, OnGap, Stop};
use crate::pure::record::{Offset, OffsetRange};

/// Which sinks the records of a partition feed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Roles {
    pub counts: bool,
    pub archive: bool,
    /// The results need state that outlives a commit.
    pub holds: bool,
}

/// See the module's page.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Partition {
    roles: Roles,
    identity: Arc<Identity>,
    on_gap: OnGap,
    committed: CommittedView,
    results: Option<Results>,
    archive: Option<Archive>,
    /// Results below this were lost to retention; named with every later commit.
    lost: Option<OffsetRange>,
    /// More than genesis was seen in the ledger while nothing was committed. Another owner may
    /// have begun between the two reads: only a second look tells.
    ledger_without_offset: bool,
}

/// What is known of the committed offset.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum CommittedView {
    /// Not read yet in this assignment.
    Unread,
    /// Read, and there was none.
    Nothing,
    /// Read, or written by us. `trusted`: the metadata belongs to the offset.
    At { offset: Offset, p: Offset, entry: Option<EntryName>, marks: Marks, trusted: bool },
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Results {
    /// P: known to be committed.
    p: Offset,
    /// Next offset that is not yet counted in memory; ≥ p.
    counted: Offset,
    /// The last commit was answered Ok, and no stable read has confirmed it (KAFKA-17754).
    unverified: bool,
    /// Next offset to be replayed into the state, while it is below `p`.
    replayed: Offset,
    /// The first offset that the state needs, of those below `counted`.
    held: Option<Offset>,
    /// What belongs to `p`, and what belongs to `counted`.
    marks: Marks,
    seen: Marks,
}

impl Results {
    /// As they are committed: nothing is in memory.
    fn at(p: Offset, replayed: Offset, marks: Marks) -> Results {
        Results { p, counted: p, unverified: false, replayed, held: None, marks, seen: marks }
    }

    fn replays(&self) -> bool {
        self.replayed < self.p
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Archive {
    /// A: the tail's end.
    a: Offset,
    tail: EntryName,
    /// Next offset that no attempt has; ≥ a.
    fed: Offset,
    /// A stable read has shown a committed offset: an Ok alone may be lost (KAFKA-17754). Nothing
    /// is read or appended before (rule 0).
    begun: bool,
    /// In order of their ranges, which tile from `a` to `fed`; only the last may be open.
    attempts: Vec<Attempt>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Attempt {
    id: AttemptId,
    from: Offset,
    state: State,
}

/// An open attempt's end is the archive's `fed`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    Open,
    Sealed {
        to: Offset,
    },
    /// The append was sent at least once: from now on only settle may delete it (rule 8).
    Tried {
        to: Offset,
    },
}

/// What is known of a partition's results without a committed offset.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Past {
    pub p: Offset,
    /// F: from here to P the state is rebuilt.
    pub replay: Offset,
    pub marks: Marks,
}

impl Past {
    /// There was nothing before.
    #[must_use]
    pub fn none(start: Offset) -> Past {
        Past { p: start, replay: start, marks: Marks::default() }
    }
}

/// Which halves take a record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Accept {
    pub count: bool,
    pub archive: bool,
    /// Below P: it rebuilds the state, and no more.
    pub replay: bool,
    /// The record opened this attempt; its range begins at the offset.
    pub opened: Option<(AttemptId, Offset)>,
}

/// One partition's share of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Plan {
    /// The results of [p, to) belong into it; empty where only the offset moves.
    pub results: OffsetRange,
    /// F.
    pub offset: Offset,
    pub entry: Option<EntryName>,
    pub marks: Marks,
}

/// Attempts that were given up. Only the author may delete these, and only these: the others'
/// appends may still land.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Forgotten {
    /// Never tried: delete the directory.
    pub discard: Vec<AttemptId>,
    /// Tried: settle decides.
    pub leave: Vec<AttemptId>,
}

impl Archive {
    fn is_open(&self) -> bool {
        self.attempts.last().is_some_and(|a| a.state == State::Open)
    }
}

impl Partition {
    /// A partition at the moment of its assignment: nothing is known.
    #[must_use]
    pub fn assigned(roles: Roles, identity: Arc<Identity>, on_gap: OnGap) -> Partition {
        assert!(roles.counts || roles.archive, "a partition feeds at least one sink");
        Partition {
            roles,
            identity,
            on_gap,
            committed: CommittedView::Unread,
            results: None,
            archive: None,
            lost: None,
            ledger_without_offset: false,
        }
    }

    // ---- recovery -------------------------------------------------------------------------

    /// Whether a stable read is due: P is unknown, or the last Ok has to be confirmed.
    #[must_use]
    pub fn needs_committed(&self) -> bool {
        let unread = self.committed == CommittedView::Unread;
        self.results.as_ref().map_or(unread, |r| r.unverified)
    }

    /// Whether the ledger is to be read now.
    #[must_use]
    pub fn needs_ledger(&self) -> bool {
        self.roles.archive && self.archive.is_none() && self.committed != CommittedView::Unread
    }

    /// Takes the answer of a stable read (`isolation.level=read_committed`; every transaction of
    /// our own that holds the partition has ended). Anything but [`Found::Verified`] throws away
    /// what was counted in memory.
    ///
    /// # Errors
    /// The positions can't be trusted: the partition stops.
    pub fn on_committed(&mut self, read: Option<Committed>) -> Result<Found, Stop> {
        let Some(read) = read else {
            return self.on_nothing_committed();
        };
        let (metadata, p) = (read.metadata.as_ref(), read.p());
        let marks = metadata.map_or(Marks::default(), |m| m.marks);
        let view = CommittedView::At {
            offset: read.offset,
            p,
            entry: metadata.and_then(|m| m.entry),
            marks,
            trusted: metadata.is_some(),
        };
        if let Some(results) = &mut self.results
            && view == self.committed
        {
            results.unverified = false;
            if let Some(archive) = &mut self.archive {
                archive.begun = true;
            }
            return Ok(Found::Verified);
        }
        if let Some(m) = read.metadata {
            self.check_identity(&m.root, &m.topic_id)?;
            self.lost = m.lost;
        }
        self.ledger_without_offset = false;
        self.committed = view;
        let replayed = if self.roles.holds { read.offset } else { p };
        self.results = Some(Results::at(p, replayed, marks));
        if let Some(archive) = &mut self.archive {
            archive.begun = true;
            return Ok(Found::Ready);
        }
        Ok(if self.roles.archive { Found::NeedsLedger } else { Found::Ready })
    }

    fn on_nothing_committed(&mut self) -> Result<Found, Stop> {
        self.committed = CommittedView::Nothing;
        self.results = None;
        match &self.archive {
            Some(archive) if archive.begun => Err(Stop::NothingCommitted { tail: archive.a }),
            Some(archive) if planted(Fault::FreshForever) => {
                self.results = Some(Results::at(archive.a, archive.a, Marks::default()));
                Ok(Found::Ready)
            }
            // Our own first commit did not happen, or somebody else has begun meanwhile, and
            // that is gone again: the ledger tells. There is no attempt yet.
            _ if self.roles.archive => {
                self.archive = None;
                Ok(Found::NeedsLedger)
            }
            _ => Ok(Found::Fresh(Begin::CommitStart)),
        }
    }

    fn check_identity(&self, root: &str, topic_id: &str) -> Result<(), Stop> {
        let ours = &self.identity;
        if topic_id != ours.topic_id && !planted(Fault::TopicIdUnchecked) {
            let (found, ours) = (topic_id.to_string(), ours.topic_id.clone());
            return Err(Stop::OtherTopic { found, ours });
        }
        if self.roles.archive && root != ours.root {
            let (found, ours) = (root.to_string(), ours.root.clone());
            return Err(Stop::OtherRoot { found, ours });
        }
        Ok(())
    }

    /// Takes what the store holds of the ledger (`None`: nothing at all).
    ///
    /// # Errors
    /// The ledger and the committed offset contradict each other: the partition stops.
    pub fn on_ledger(&mut self, ledger: Option<Ledger>) -> Result<Found, Stop> {
        assert!(self.needs_ledger(), "the committed offset is read first");
        let Some(ledger) = ledger else {
            return match self.committed {
                CommittedView::At { offset, .. } => Err(Stop::NoLedger { offset }),
                _ => Ok(Found::Fresh(Begin::PutGenesis)),
            };
        };
        // Kafka forgets a topic's committed offsets with the topic: then the ledger alone knows.
        self.check_identity(&ledger.of.root, &ledger.of.topic_id)?;
        let a = ledger.tail.to;
        let begun = match self.committed {
            CommittedView::At { entry: Some(e), trusted: true, .. }
                if e.incarnation != ledger.incarnation =>
            {
                let (committed, ledger) = (e.incarnation, ledger.incarnation);
                return Err(Stop::OtherIncarnation { committed, ledger });
            }
            CommittedView::At { offset, trusted, .. } => {
                if trusted && a < offset {
                    return Err(Stop::CommittedBeyondLedger { offset, tail: a });
                }
                self.results.as_ref().is_some_and(|r| !r.unverified)
            }
            _ if ledger.is_fresh() || planted(Fault::ExpiredBeginsAgain) => {
                self.results = Some(Results::at(a, a, Marks::default()));
                false
            }
            _ if self.ledger_without_offset => return Err(Stop::NothingCommitted { tail: a }),
            _ => {
                self.ledger_without_offset = true;
                self.doubt();
                return Ok(Found::NeedsCommitted);
            }
        };
        let tail = EntryName { incarnation: ledger.incarnation, key: ledger.tail.key };
        self.archive = Some(Archive { a, tail, fed: a, begun, attempts: Vec::new() });
        Ok(Found::Ready)
    }

    /// The start of a partition that has neither offset nor archive; commit it next. One that holds
    /// state may have a past, by what it has published.
    pub fn begin_at(&mut self, start: Past) {
        assert!(!self.roles.archive && self.committed == CommittedView::Nothing);
        assert!(start.replay <= start.p && (self.roles.holds || start.replay == start.p));
        self.results = Some(Results::at(start.p, start.replay, start.marks));
    }

    /// Compares the positions with the log's start.
    ///
    /// Returns the range that a gap entry must name before reading can begin; results that are
    /// lost are noted, and named with the next commit.
    ///
    /// A gap waits for the first commit to be known (rule 0), and for the entries before it: an
    /// attempt that is still to be appended ends where it begins. Whoever reads on meanwhile finds
    /// the position out of range, and comes back here.
    ///
    /// # Errors
    /// Retention has overtaken a position, and the policy is to stop.
    pub fn on_log_start(&mut self, log_start: Offset) -> Result<Option<OffsetRange>, Stop> {
        let begun = |a: &&Archive| a.begun || planted(Fault::GapBeforeBegun);
        let settled = |a: &&Archive| a.attempts.is_empty() || planted(Fault::GapAheadOfAttempts);
        if let Some(archive) = self.archive.as_ref().filter(begun).filter(settled)
            && archive.fed < log_start
        {
            let range = OffsetRange { from: archive.fed, to: log_start };
            return match self.on_gap {
                OnGap::Stop => Err(Stop::ArchiveGap { range }),
                OnGap::Record => Ok(Some(range)),
            };
        }
        if let Some(results) = &mut self.results
            && self.roles.counts
            && results.counted.min(results.replayed) < log_start
        {
            let next = results.counted.min(results.replayed);
            // What was found lost before, and is not passed yet, is named together with it.
            let before = self.lost.filter(|l| l.to == next);
            let before = before.filter(|_| !planted(Fault::LostForgotten));
            let from = before.map_or(next, |l| l.from);
            let range = OffsetRange { from, to: log_start };
            if self.on_gap == OnGap::Stop {
                return Err(Stop::ResultsGap { range });
            }
            self.lost = Some(range);
            results.counted = results.counted.max(log_start);
            results.replayed = log_start;
        }
        Ok(None)
    }

    // ---- reading --------------------------------------------------------------------------

    /// Where reading must begin now; `None` while nothing may be read.
    #[must_use]
    pub fn start(&self) -> Option<Offset> {
        let begun = |a: &&Archive| a.begun || planted(Fault::AppendBeforeBegun);
        let fed = self.archive.as_ref().filter(begun).map(|a| a.fed);
        let next = |r: &Results| if r.replays() { r.replayed } else { r.counted };
        let counted = self.results.as_ref().map(next);
        match (self.roles.counts, self.roles.archive) {
            (false, _) => fed,
            (true, false) => counted,
            (true, true) if self.archive.is_some() => {
                let (counted, fed) = (counted?, fed?);
                if planted(Fault::StartAtP) {
                    return Some(counted);
                }
                Some(if planted(Fault::StartAtA) { fed } else { counted.min(fed) })
            }
            // The store is down: results alone, if what F must stay is known for certain.
            (true, true) => match self.committed {
                CommittedView::At { trusted: true, .. } => counted,
                _ => None,
            },
        }
    }

    /// Takes one record: rising offsets, holes allowed. `id` names the attempt, if one must open.
    #[inline]
    pub fn accept(&mut self, offset: Offset, id: impl FnOnce() -> AttemptId) -> Accept {
        let mut accept = Accept { count: false, archive: false, replay: false, opened: None };
        if self.roles.counts
            && let Some(results) = &mut self.results
        {
            if results.counted <= offset || planted(Fault::CountBelowP) {
                results.counted = offset.next().max(results.counted);
                accept.count = true;
            } else {
                accept.replay = results.replays() && results.replayed <= offset;
            }
            results.replayed = results.replayed.max(offset.next());
        }
        if let Some(archive) = &mut self.archive
            && (archive.fed <= offset || archive.is_open() && planted(Fault::ArchiveBelowA))
        {
            accept.archive = true;
            if !archive.is_open() {
                let id = id();
                archive.attempts.push(Attempt { id, from: archive.fed, state: State::Open });
                accept.opened = Some((id, archive.fed));
            }
            archive.fed = offset.next().max(archive.fed);
        }
        accept
    }

    /// There is no record below `position` any more (transaction markers, compaction).
    pub fn skip_to(&mut self, position: Offset) {
        if let Some(results) = &mut self.results {
            results.counted = results.counted.max(position);
            results.replayed = results.replayed.max(position);
        }
        if let Some(archive) = self.archive.as_mut().filter(|a| a.is_open()) {
            archive.fed = archive.fed.max(position);
        }
    }

    /// The highest time among the counted records so far, milliseconds.
    pub fn saw_time(&mut self, millis: i64) {
        if let Some(results) = &mut self.results {
            results.seen.watermark = results.seen.watermark.max(Some(millis));
        }
    }

    /// The state of the results as of `counted`: the first offset that it still needs, and its
    /// marks. To be told before each [`Partition::plan`].
    pub fn hold(&mut self, first: Option<Offset>, marks: Marks) {
        if let Some(results) = &mut self.results {
            (results.held, results.seen) = (first, marks);
        }
    }

    // ---- archive --------------------------------------------------------------------------

    /// Ends the open attempt; its files are to be closed and its manifest written.
    pub fn seal(&mut self) -> Option<(AttemptId, OffsetRange)> {
        let archive = self.archive.as_mut()?;
        let last = archive.attempts.last_mut().filter(|a| a.state == State::Open)?;
        let (from, to) = (last.from, archive.fed);
        assert!(from < to, "an attempt holds at least one record");
        last.state = State::Sealed { to };
        Some((last.id, OffsetRange { from, to }))
    }

    /// Whether this attempt's append may be sent: an entry that ends at its `from` exists.
    #[must_use]
    pub fn may_append(&self, id: AttemptId) -> bool {
        let Some(archive) = &self.archive else {
            return false;
        };
        let begun = archive.begun || planted(Fault::AppendBeforeBegun);
        let Some(attempt) = archive.attempts.iter().find(|a| a.id == id) else {
            return false;
        };
        let tiles = attempt.from == archive.a || planted(Fault::AppendOutOfOrder);
        begun && tiles && attempt.state != State::Open
    }

    /// The append is sent now.
    pub fn tried(&mut self, id: AttemptId) {
        assert!(self.may_append(id), "rule 6: only behind an entry that is known to exist");
        let archive = self.archive.as_mut().expect("checked above");
        let attempt = archive.attempts.iter_mut().find(|a| a.id == id).expect("checked above");
        if let State::Sealed { to } = attempt.state {
            attempt.state = State::Tried { to };
            if planted(Fault::AdvanceOnTry) {
                archive.a = to;
                archive.tail.key = EntryKey::At(attempt.from);
            }
        }
    }

    /// What the append came to (see [`crate::pure::protocol::append::verdict`]). An attempt that was
    /// forgotten meanwhile changes nothing.
    pub fn on_append(&mut self, id: AttemptId, verdict: AppendVerdict) -> Forgotten {
        let Some(archive) = &mut self.archive else {
            return Forgotten::default();
        };
        let Some(at) = archive.attempts.iter().position(|a| a.id == id) else {
            return Forgotten::default();
        };
        match (verdict, archive.attempts[at].state) {
            (AppendVerdict::Again, _) => Forgotten::default(),
            (AppendVerdict::Lost, _) => self.forget_archive(),
            (AppendVerdict::Appended, State::Sealed { to } | State::Tried { to }) => {
                archive.a = to;
                archive.tail.key = EntryKey::At(archive.attempts[at].from);
                let _ = archive.attempts.remove(at);
                Forgotten::default()
            }
            (AppendVerdict::Appended, State::Open) => {
                unreachable!("an open attempt has no manifest")
            }
        }
    }

    /// Another's gap entry or our own was appended: the archive goes on behind it.
    pub fn forget_archive(&mut self) -> Forgotten {
        let mut forgotten = Forgotten::default();
        for attempt in self.archive.take().into_iter().flat_map(|a| a.attempts) {
            match attempt.state {
                State::Tried { .. } if !planted(Fault::DiscardTried) => {
                    forgotten.leave.push(attempt.id);
                }
                _ => forgotten.discard.push(attempt.id),
            }
        }
        forgotten
    }

    // ---- results --------------------------------------------------------------------------

    /// What a transaction would carry for this partition now; `None` if there is nothing to say
    /// or nothing may be said. With `with_results` false only the offset moves.
    #[must_use]
    pub fn plan(&self, with_results: bool) -> Option<Plan> {
        let replayed = |r: &&Results| !r.replays() || planted(Fault::CommitInReplay);
        let results = self.results.as_ref().filter(|r| !r.unverified).filter(replayed)?;
        let (p, mut to, marks) = match with_results {
            true => (results.p, results.counted, results.seen),
            false => (results.p, results.p, results.marks),
        };
        let attached = self.archive.as_ref();
        if !self.roles.counts {
            to = attached?.a;
        }
        let (offset, entry) = match (attached, &self.committed) {
            _ if !self.roles.archive => (to, None),
            (Some(archive), _) => (archive.a.min(to), Some(archive.tail)),
            (None, CommittedView::At { entry, .. }) if planted(Fault::DetachedCommitsP) => {
                (to, *entry)
            }
            (None, CommittedView::At { offset, entry, trusted: true, .. }) => (*offset, *entry),
            (None, _) => return None,
        };
        let held = results.held.filter(|_| self.roles.holds && !planted(Fault::CommitAheadOfState));
        let offset = held.map_or(offset, |held| offset.min(held));
        let offset = if planted(Fault::CommitP) { to } else { offset };
        let next = CommittedView::At { offset, p: to, entry, marks, trusted: true };
        let plan = Plan { results: OffsetRange { from: p, to }, offset, entry, marks };
        (self.committed != next).then_some(plan)
    }

    /// The metadata that rides with a plan.
    #[must_use]
    pub fn metadata(&self, plan: &Plan) -> Metadata {
        Metadata {
            p: plan.results.to,
            entry: plan.entry,
            root: if self.roles.archive { self.identity.root.clone() } else { String::new() },
            topic_id: self.identity.topic_id.clone(),
            marks: plan.marks,
            lost: self.lost,
        }
    }

    /// The transaction was answered with a plain Ok. One stable read is due before the next.
    pub fn on_commit_ok(&mut self, plan: &Plan) {
        let Plan { offset, entry, marks, results: OffsetRange { to: p, .. } } = *plan;
        self.committed = CommittedView::At { offset, p, entry, marks, trusted: true };
        if let Some(results) = &mut self.results {
            (results.p, results.marks) = (p, marks);
            results.replayed = results.replayed.max(p);
            results.counted = results.counted.max(p);
            results.unverified = !planted(Fault::NoVerify);
        }
    }

    /// Any other answer, or generations that were missed: P is unknown until the next stable
    /// read. What was counted in memory is to be thrown away. Attempts live on.
    pub fn doubt(&mut self) {
        self.results = None;
        self.committed = CommittedView::Unread;
    }
}
