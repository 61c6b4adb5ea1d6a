//! How old the oldest record is that is not archived: when which offset was read first.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::record::Offset;

/// Samples of the position, in order; thinned out when they grow many.
#[derive(Debug, Default)]
pub(super) struct Delay(VecDeque<(Offset, Instant)>);

const EVERY: Duration = Duration::from_secs(1);
const MOST: usize = 512;

impl Delay {
    /// Everything below `position` was read by now; everything below `archived` is in the ledger.
    /// A position that was there before says nothing new.
    pub(super) fn read(&mut self, position: Offset, archived: Option<Offset>, now: Instant) {
        if let Some(archived) = archived {
            while self.0.front().is_some_and(|(end, _)| *end <= archived) {
                let _ = self.0.pop_front();
            }
        }
        match self.0.back_mut() {
            Some((end, _)) if position <= *end => {}
            // The older time stands for both.
            Some((end, at)) if now.saturating_duration_since(*at) < EVERY => *end = position,
            None if archived.is_some_and(|archived| position <= archived) => {}
            _ => self.0.push_back((position, now)),
        }
        if MOST < self.0.len() {
            let mut nth = 0;
            let thinned: VecDeque<_> = self
                .0
                .make_contiguous()
                .chunks(2)
                .map(|two| {
                    nth += two.len();
                    (two[two.len() - 1].0, two[0].1)
                })
                .collect();
            debug_assert_eq!(nth, self.0.len());
            self.0 = thinned;
        }
    }

    /// When the oldest of them was read.
    pub(super) fn since(&self) -> Option<Instant> {
        self.0.front().map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_record_that_is_not_archived() {
        let began = Instant::now();
        let at = |s: u64| began + Duration::from_secs(s);
        let mut delay = Delay::default();
        delay.read(Offset(5), Some(Offset(5)), at(0));
        assert_eq!(delay.since(), None, "all of it is archived");
        delay.read(Offset(8), Some(Offset(5)), at(10));
        delay.read(Offset(9), Some(Offset(5)), at(20));
        assert_eq!(delay.since(), Some(at(10)));
        // The store is away, and what was read is read again.
        delay.read(Offset(6), None, at(30));
        assert_eq!(delay.since(), Some(at(10)));
        delay.read(Offset(9), Some(Offset(8)), at(40));
        assert_eq!(delay.since(), Some(at(20)), "offset 8 was read then");
        for s in 0..10_000 {
            delay.read(Offset(10 + s), None, at(100 + s as u64));
        }
        assert!(delay.0.len() <= MOST);
        assert_eq!(delay.since(), Some(at(20)));
        delay.read(Offset(10_009), Some(Offset(10_009)), at(20_000));
        assert_eq!(delay.since(), None);
    }
}
