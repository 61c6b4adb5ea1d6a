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

/// An empty queue is looked at this often, whether the client has announced records or not.
const LOOK: Duration = Duration::from_secs(1);

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

    /// Whether the client has had nothing since the last look, which was a moment ago.
    pub(super) fn is_empty(&self, now: Instant) -> bool {
        let woken = self.woken.swap(false, Ordering::SeqCst);
        !woken && self.empty.is_some_and(|at| now < at + LOOK)
    }

    /// It is not read now, so that what comes stays in memory.
    pub(super) fn is_not_read(&mut self) {
        self.at_end = false;
    }

    /// Everything in the log was read, and what comes next is fetched.
    pub(super) fn is_at_end(&self) -> bool {
        !self.parked && self.at_end
    }

    pub(super) fn needs_slot(&self) -> bool {
        !self.parked && !self.at_end
    }
}
