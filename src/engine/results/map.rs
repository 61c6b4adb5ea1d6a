//! Counts of one source partition between two commits.

use std::time::Duration;

use crate::common::clock::Now;
use crate::common::config::WordCount;
use crate::engine::results::tally::Tally;
use crate::pure::count::{Aggregate as _, CountKind, Counts, Terms, Time};
use crate::pure::formats::metadata::Marks;
use crate::pure::record::Record;

/// A record whose time is further ahead of the clock than this does not move the watermark, and
/// nobody waits for its window. Milliseconds.
pub(super) const AHEAD_MILLIS: i64 = 60_000;

/// What is counted in memory, and the highest time that was seen.
#[derive(Debug, Default)]
pub struct Map {
    pub(super) counts: Counts,
    /// Records were counted since the last commit: their time is worth a message, even if they
    /// held no word.
    pub(super) counted_any: bool,
    /// The highest time among the counted records, milliseconds.
    watermark: Option<i64>,
    /// Arrival windows that begin at or after this time are counted whole; milliseconds.
    pub(super) whole_since: i64,
}

impl Map {
    /// The counts in memory are void; the records after those with these marks are counted.
    pub(super) fn reset(&mut self, marks: Marks) {
        self.counts.clear();
        self.counted_any = false;
        self.watermark = marks.watermark;
    }

    #[inline]
    pub(super) fn on_record(
        &mut self,
        record: &Record<'_>,
        count: &WordCount,
        now: Now,
        tally: &mut Tally,
    ) {
        let (mut time, own) = count.time.of(record, now.millis);
        tally.untimed = tally.untimed.saturating_add(u64::from(!own));
        if count.time == Time::Arrival {
            // The clock may go back, and the next owner's may lag; a window that is over stays so.
            time = time.max(self.watermark.unwrap_or(time));
        } else if time <= now.millis.saturating_add(AHEAD_MILLIS) {
            self.watermark = self.watermark.max(Some(time));
        }
        self.counted_any = true;
        let window = count.window.start(time);
        let mut window_terms = self.counts.record_terms(window);
        let words = &mut tally.words;
        let terms = count.by.each_term(record, |term| {
            window_terms.add(term);
            *words = words.saturating_add(1);
        });
        tally.lossy = tally.lossy.saturating_add(u64::from(terms == Terms::Lossy));
        tally.uncounted = tally.uncounted.saturating_add(u64::from(terms == Terms::Empty));
    }

    /// Time until the counts are due; [`None`] if there are none. `interval_left`: until the next
    /// commit that is made anyway.
    pub(super) fn due_in(
        &self,
        count: &WordCount,
        now: Now,
        interval_left: Duration,
        most_bytes: usize,
    ) -> Option<Duration> {
        if self.counts.is_empty() {
            return None;
        }
        if most_bytes < self.counts.bytes() {
            return Some(Duration::ZERO);
        }
        match count.time {
            Time::Arrival => {
                let (first, _) = self.counts.iter().next()?;
                let left = count.window.end(first).saturating_sub(now.millis).max(0);
                Some(Duration::from_millis(left as u64))
            }
            Time::Record | Time::Field { .. } => Some(interval_left),
        }
    }

    /// Arrival time: all that was read arrived before now, and what comes arrives later.
    pub(super) fn note_arrival_time(&mut self, count: &WordCount, now: Now) {
        if count.time == Time::Arrival && self.counted_any {
            self.watermark = self.watermark.max(Some(now.millis));
        }
    }

    pub(super) fn marks(&self) -> Marks {
        Marks { watermark: self.watermark, in_parts_until: None }
    }

    /// The ends of the windows that are published as final, milliseconds.
    pub(super) fn final_ends(&self, count: &WordCount, now: Now) -> Vec<i64> {
        let kind = |start| count.window.kind(&count.time, start, now.millis, self.whole_since);
        let starts = self.counts.iter().map(|(start, _)| start);
        let is_final = starts.filter(|start| kind(*start) == CountKind::Final);
        is_final.map(|start| count.window.end(start)).collect()
    }

    /// The counts were published.
    pub(super) fn published(&mut self, count: &WordCount, now: Now) {
        let kind = |start| count.window.kind(&count.time, start, now.millis, i64::MIN);
        if self.counts.iter().any(|(start, _)| kind(start) == CountKind::Part) {
            self.whole_since = now.millis;
        }
        self.counts.clear();
        self.counted_any = false;
    }
}
