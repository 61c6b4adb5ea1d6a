//! The state of one partition, and its recovery: rules 0 and 2.

use std::sync::Arc;

use super::archive_half::Archive;
use super::results_half::{KnownPosition, Results};
use crate::pure::fault::{PlantedFault, planted};
use crate::pure::formats::entry::EntryName;
use crate::pure::formats::metadata::Marks;
use crate::pure::protocol::committed::Committed;
use crate::pure::protocol::recovery::{Begin, Found, Identity, LedgerTail, OnGap, Stop};
use crate::pure::record::{Offset, OffsetRange};

/// Which sinks the records of a partition feed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Sinks {
    /// Results are computed and published.
    pub counts: bool,
    /// Records become files.
    pub archive: bool,
    /// The results need state that outlives a commit.
    pub keeps_state: bool,
}

/// The positions and attempts of one assigned partition, each half known or unknown.
///
/// The caller asks for what [`Partition::needs_committed`] and [`Partition::needs_ledger`] name,
/// and hands the answers over; [`crate::pure::protocol::Machine`] does so in the right order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Partition {
    pub(super) sinks: Sinks,
    pub(super) identity: Arc<Identity>,
    /// Kafka's id of the partials topic that counts go to, if they go to one.
    pub(super) partials: Option<Arc<str>>,
    pub(super) on_gap: OnGap,
    pub(super) committed: CommittedView,
    pub(super) results: Option<Results>,
    pub(super) archive: Option<Archive>,
    /// Results below this were lost to retention; named with every later commit.
    pub(super) lost: Option<OffsetRange>,
    /// More than genesis was seen in the ledger while nothing was committed. Another owner may
    /// have begun between the two reads: only a second look tells.
    pub(super) ledger_without_offset: bool,
}

/// What is known of the committed offset.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum CommittedView {
    /// Not read yet in this assignment.
    Unread,
    /// Read, and there was none.
    Nothing,
    /// Read, or written by us. `trusted`: the metadata belongs to the offset.
    At { offset: Offset, p: Offset, entry: Option<EntryName>, marks: Marks, trusted: bool },
}

impl Partition {
    /// A partition at the moment of its assignment: nothing is known.
    #[must_use]
    pub fn assigned(sinks: Sinks, identity: Arc<Identity>, on_gap: OnGap) -> Partition {
        assert!(sinks.counts || sinks.archive, "a partition feeds at least one sink");
        Partition {
            sinks,
            identity,
            partials: None,
            on_gap,
            committed: CommittedView::Unread,
            results: None,
            archive: None,
            lost: None,
            ledger_without_offset: false,
        }
    }

    /// The partials topic that counts go to has this id now. To be said before each answer of
    /// [`Partition::on_committed`] that comes with it.
    pub fn counts_into(&mut self, partials: Option<Arc<str>>) {
        self.partials = partials;
    }

    /// Whether a stable read is due: P is unknown, or the last Ok has to be confirmed.
    #[must_use]
    pub fn needs_committed(&self) -> bool {
        let unread = self.committed == CommittedView::Unread;
        self.results.as_ref().map_or(unread, |r| r.unverified)
    }

    /// Whether P is unknown.
    #[must_use]
    pub fn needs_results(&self) -> bool {
        self.needs_committed() && self.results.is_none()
    }

    /// Whether the ledger is to be read now.
    #[must_use]
    pub fn needs_ledger(&self) -> bool {
        self.sinks.archive && self.archive.is_none() && self.committed != CommittedView::Unread
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
                archive.confirmed = true;
            }
            return Ok(Found::Verified);
        }
        if let Some(m) = read.metadata {
            self.check_identity(&m.root, &m.topic_id)?;
            self.check_partials(m.partials.as_deref(), m.p)?;
            self.lost = m.lost;
        }
        self.ledger_without_offset = false;
        self.committed = view;
        let replayed = if self.sinks.keeps_state { read.offset } else { p };
        self.results = Some(Results::at(p, replayed, marks));
        if let Some(archive) = &mut self.archive {
            archive.confirmed = true;
            return Ok(Found::Ready);
        }
        Ok(if self.sinks.archive { Found::NeedsLedger } else { Found::Ready })
    }

    fn on_nothing_committed(&mut self) -> Result<Found, Stop> {
        self.committed = CommittedView::Nothing;
        self.results = None;
        match &self.archive {
            Some(archive) if archive.confirmed => Err(Stop::NothingCommitted { tail: archive.a }),
            Some(archive) if planted(PlantedFault::FreshForever) => {
                self.results = Some(Results::at(archive.a, archive.a, Marks::default()));
                Ok(Found::Ready)
            }
            // Our own first commit did not happen, or another instance has committed meanwhile, and
            // that offset is gone again; the ledger shows which. There is no attempt yet.
            _ if self.sinks.archive => {
                self.archive = None;
                Ok(Found::NeedsLedger)
            }
            _ => Ok(Found::Fresh(Begin::CommitStart)),
        }
    }

    fn check_identity(&self, root: &str, topic_id: &str) -> Result<(), Stop> {
        let ours = &self.identity;
        if topic_id != ours.topic_id && !planted(PlantedFault::TopicIdUnchecked) {
            let (found, ours) = (topic_id.to_string(), ours.topic_id.clone());
            return Err(Stop::OtherTopic { found, ours });
        }
        if self.sinks.archive && root != ours.root {
            let (found, ours) = (root.to_string(), ours.root.clone());
            return Err(Stop::OtherRoot { found, ours });
        }
        Ok(())
    }

    /// What open windows had counted of the records below P stands in one partials topic alone.
    fn check_partials(&self, found: Option<&str>, p: Offset) -> Result<(), Stop> {
        match (found, self.partials.as_deref()) {
            (Some(found), Some(ours))
                if found != ours && !planted(PlantedFault::PartialsUnchecked) =>
            {
                Err(Stop::OtherPartials { found: found.into(), ours: ours.into(), p })
            }
            _ => Ok(()),
        }
    }

    /// Takes what the store holds of the ledger (`None`: nothing at all).
    ///
    /// # Errors
    /// The ledger and the committed offset contradict each other: the partition stops.
    pub fn on_ledger(&mut self, ledger: Option<LedgerTail>) -> Result<Found, Stop> {
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
        let confirmed = match self.committed {
            CommittedView::At { entry: Some(e), trusted: true, .. }
                if e.incarnation != ledger.incarnation =>
            {
                let (committed, ledger) = (e.incarnation, ledger.incarnation);
                return Err(Stop::OtherIncarnation { committed, ledger });
            }
            CommittedView::At { offset, entry, trusted, .. } => {
                // A tail never decreases (I7): the entry that was the tail at the commit is there.
                let is_missing = entry.is_some_and(|e| ledger.tail.key < e.key)
                    && !planted(PlantedFault::EntryUnchecked);
                if trusted && (a < offset || is_missing) {
                    return Err(Stop::CommittedBeyondLedger { offset, tail: a });
                }
                self.results.as_ref().is_some_and(|r| !r.unverified)
            }
            _ if ledger.is_fresh() || planted(PlantedFault::ExpiredBeginsAgain) => {
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
        self.archive = Some(Archive::at(a, tail, confirmed));
        Ok(Found::Ready)
    }

    /// The start of a partition that has neither offset nor archive; commit it next. One that holds
    /// state may have a past, by what it has published.
    pub fn set_start(&mut self, start: KnownPosition) {
        assert!(!self.sinks.archive && self.committed == CommittedView::Nothing);
        assert!(start.replay <= start.p && (self.sinks.keeps_state || start.replay == start.p));
        self.results = Some(Results::at(start.p, start.replay, start.marks));
    }

    /// What the archive lacks, and a log that begins here does not have any more.
    ///
    /// A gap waits for the first commit to be known (rule 0), and for the entries before it: an
    /// attempt that is still to be appended ends where it begins. Whoever reads on meanwhile finds
    /// the position out of range, and comes back here.
    #[must_use]
    pub fn gap_before(&self, log_start: Offset) -> Option<OffsetRange> {
        let confirmed = |a: &&Archive| a.confirmed || planted(PlantedFault::GapBeforeConfirmed);
        let appended = |a: &&Archive| a.all_appended() || planted(PlantedFault::GapAheadOfAttempts);
        let archive = self.archive.as_ref().filter(confirmed).filter(appended)?;
        let range = OffsetRange { from: archive.next_unassigned, to: log_start };
        (range.from < range.to).then_some(range)
    }

    /// Compares the positions with the log's start.
    ///
    /// Returns the range that a gap entry must name before reading can begin; results that are
    /// lost are noted, and named with the next commit.
    ///
    /// # Errors
    /// Retention has overtaken a position, and the policy is to stop.
    pub fn on_log_start(&mut self, log_start: Offset) -> Result<Option<OffsetRange>, Stop> {
        if let Some(range) = self.gap_before(log_start) {
            return match self.on_gap {
                OnGap::Stop => Err(Stop::ArchiveGap { range }),
                OnGap::Record => Ok(Some(range)),
            };
        }
        if let Some(results) = &mut self.results
            && self.sinks.counts
            && results.counted.min(results.replayed) < log_start
        {
            let next = results.counted.min(results.replayed);
            // What was found lost before, and is not passed yet, is named together with it.
            let before = self.lost.filter(|l| l.to == next);
            let before = before.filter(|_| !planted(PlantedFault::LostForgotten));
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
}
