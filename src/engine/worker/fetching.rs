//! What a worker knows of the fetching of a partition.
//!
//! What the client has fetched and nobody has read yet costs memory. A partition that is read to
//! the end of its log costs little: what comes is read at once. All others need a slot (see
//! `slots`), and the budget has room for a number of slots. A partition without a slot is parked:
//! the client fetches nothing for it, and its machine seeks when it gets one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::clients::kafka::Read;
use crate::pure::record::Offset;

/// An empty queue is read this often, whether the client has announced records or not.
const LOOK: Duration = Duration::from_secs(1);

/// When partitions become dormant.
#[derive(Clone, Copy, Debug)]
pub struct Dormancy {
    /// A worker with fewer partitions has none that is dormant.
    pub many: usize,
    /// The time without a record.
    pub after: Duration,
}

impl Dormancy {
    /// The first record after a long time comes up to a second later, which only pays where there
    /// are many partitions.
    pub const USUAL: Dormancy = Dormancy { many: 100, after: Duration::from_secs(60) };
}

/// What a worker knows of the fetching of one partition.
#[derive(Debug)]
pub(super) struct Fetching {
    /// Nothing is fetched.
    pub(super) parked: bool,
    /// The end of the log was seen after the last record.
    at_end: bool,
    /// When it last gave something, or got its slot.
    pub(super) gave: Instant,
    /// When it last got its slot.
    pub(super) slot_since: Instant,
    /// Who waits longer comes first.
    pub(super) parked_as: u64,
    /// The end of the log, where it waits without being fetched because nothing has come for long
    /// (see `dormant`).
    pub(super) dormant: Option<Offset>,
    /// It was its [`super::turns::BacklogTurn`] since it got its slot.
    pub(super) had_turn: bool,
    /// Set by the client when its queue is not empty any more.
    pub(super) woken: Arc<AtomicBool>,
    /// There was nothing in the queue at this time.
    empty: Option<Instant>,
}

impl Fetching {
    /// At the assignment nothing is fetched.
    pub(super) fn parked(now: Instant) -> Fetching {
        Fetching {
            parked: true,
            at_end: false,
            gave: now,
            slot_since: now,
            parked_as: 0,
            dormant: None,
            had_turn: false,
            woken: Arc::default(),
            empty: None,
        }
    }

    /// A read gave this.
    pub(super) fn gave(&mut self, read: &Read, now: Instant) {
        let any = 0 < read.records || read.end.is_some();
        if any {
            self.at_end = read.end.is_some();
            self.gave = now;
        }
        self.empty = (!any && !read.moved && read.trouble.is_none()).then_some(now);
    }

    /// Whether the client has had nothing since the last read, which was a moment ago.
    pub(super) fn is_empty(&self, now: Instant) -> bool {
        let woken = self.woken.swap(false, Ordering::SeqCst);
        !woken && self.empty.is_some_and(|at| now < at + LOOK)
    }

    /// It is not read now, so that what comes stays in memory.
    pub(super) fn is_not_read(&mut self) {
        // Nothing comes for a partition that is dormant.
        self.at_end &= self.dormant.is_some();
    }

    /// Nothing is fetched from now on, although it has everything up to `end`.
    pub(super) fn is_dormant(&mut self, end: Offset) {
        (self.parked, self.parked_as, self.dormant) = (true, 0, Some(end));
    }

    /// Everything in the log was read, and what comes next is fetched, or asked for.
    pub(super) fn is_at_end(&self) -> bool {
        (!self.parked || self.dormant.is_some()) && self.at_end
    }

    pub(super) fn needs_slot(&self) -> bool {
        !self.parked && !self.at_end
    }
}
