//! How old the oldest record is that is not archived, or whose results are not committed: when
//! which offset was read first.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::pure::record::Offset;

/// Samples of the position, in order; thinned out when they grow many.
#[derive(Debug, Default)]
pub(super) struct Delay(VecDeque<Sample>);

/// Records that were read at about the same time.
#[derive(Clone, Copy, Debug)]
struct Sample {
    end: Offset,
    read: Instant,
    /// The first one's timestamp, milliseconds.
    time: Option<i64>,
}

const EVERY: Duration = Duration::from_secs(1);
const MOST: usize = 512;

impl Delay {
    /// Everything below `position` was read by now, the first of it with this timestamp; everything
    /// below `archived` is in the ledger. A position that was there before says nothing new.
    /// `done` is told the timestamps of the samples that are in the ledger now.
    pub(super) fn read(
        &mut self,
        position: Offset,
        time: Option<i64>,
        archived: Option<Offset>,
        now: Instant,
        mut done: impl FnMut(i64),
    ) {
        if let Some(archived) = archived {
            while let Some(sample) = self.0.front().filter(|s| s.end <= archived) {
                sample.time.into_iter().for_each(&mut done);
                let _ = self.0.pop_front();
            }
        }
        match self.0.back_mut() {
            Some(last) if position <= last.end => {}
            // The older time stands for both.
            Some(last) if now.saturating_duration_since(last.read) < EVERY => last.end = position,
            None if archived.is_some_and(|archived| position <= archived) => {}
            _ => self.0.push_back(Sample { end: position, read: now, time }),
        }
        if MOST < self.0.len() {
            let pairs = self.0.make_contiguous().chunks(2);
            self.0 = pairs
                .map(|two| Sample { end: two[two.len().saturating_sub(1)].end, ..two[0] })
                .collect();
        }
    }

    /// When the oldest of them was read.
    pub(super) fn since(&self) -> Option<Instant> {
        self.0.front().map(|s| s.read)
    }

    /// The end of what was read and was not archived when it was read.
    pub(super) fn end(&self) -> Option<Offset> {
        self.0.back().map(|s| s.end)
    }

    /// The oldest one's own timestamp, milliseconds.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.0.front().and_then(|s| s.time)
    }
}

/// From one time to a later one, both in milliseconds; clocks may differ, so it is never negative.
pub(super) fn seconds_between(earlier: i64, later: i64) -> f64 {
    later.saturating_sub(earlier).max(0) as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_record_that_is_not_archived() {
        let started = Instant::now();
        let at = |s: u64| started + Duration::from_secs(s);
        let mut delay = Delay::default();
        let mut times = Vec::new();
        let mut done = |time| times.push(time);
        delay.read(Offset(5), None, Some(Offset(5)), at(0), &mut done);
        assert_eq!(delay.since(), None, "all of it is archived");
        delay.read(Offset(8), Some(7), Some(Offset(5)), at(10), &mut done);
        delay.read(Offset(9), Some(9), Some(Offset(5)), at(20), &mut done);
        assert_eq!((delay.since(), delay.oldest()), (Some(at(10)), Some(7)));
        // The store is away, and what was read is read again.
        delay.read(Offset(6), Some(1), None, at(30), &mut done);
        assert_eq!(delay.since(), Some(at(10)));
        delay.read(Offset(9), Some(3), Some(Offset(8)), at(40), &mut done);
        assert_eq!(delay.since(), Some(at(20)), "offset 8 was read then");
        assert_eq!(delay.oldest(), Some(9));
        for s in 0..10_000 {
            delay.read(Offset(10 + s), None, None, at(100 + s as u64), &mut done);
        }
        assert!(delay.0.len() <= MOST);
        assert_eq!(delay.since(), Some(at(20)));
        delay.read(Offset(10_009), None, Some(Offset(10_009)), at(20_000), &mut done);
        assert_eq!(delay.since(), None);
        assert_eq!(times, [7, 9], "each time once, and none that was read again");
    }
}
