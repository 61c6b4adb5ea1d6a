//! Logs whose beginnings move: the brokers delete their oldest records because of their size.

use std::collections::{BTreeMap, VecDeque};

use crate::pure::record::{Offset, TopicPartition};

/// Speeds are measured over this time, milliseconds: brokers look at sizes every five minutes.
const WINDOW: i64 = 1_800_000;

/// How fast the beginnings of logs move.
#[derive(Debug, Default)]
pub(super) struct Moving(BTreeMap<TopicPartition, LogStarts>);

/// Where a log began, at times of the wall clock in milliseconds; the newest is last.
#[derive(Debug, Default)]
struct LogStarts {
    seen: VecDeque<(i64, Offset)>,
    /// The most records that went away between two looks.
    step: i64,
}

impl Moving {
    /// Takes a look at these logs, and forgets all others.
    pub(super) fn look(
        &mut self,
        starts: impl Iterator<Item = (TopicPartition, Offset)>,
        now_ms: i64,
    ) {
        let mut before = std::mem::take(&mut self.0);
        for (tp, start) in starts {
            let mut of = before.remove(&tp).unwrap_or_default();
            // A topic that was made again begins at zero, and so does what is known of it.
            match of.seen.back() {
                Some((_, last)) if start < *last => of = LogStarts::default(),
                Some((_, last)) => of.step = of.step.max(start.0.saturating_sub(last.0)),
                None => {}
            }
            of.seen.push_back((now_ms, start));
            while of.seen.get(1).is_some_and(|(at, _)| *at < now_ms.saturating_sub(WINDOW)) {
                let _ = of.seen.pop_front();
            }
            let _ = self.0.insert(tp, of);
        }
    }

    /// The time until the record at `needed` is deleted if the beginning moves on as it did,
    /// seconds; [`None`] while it does not move. 0 if the largest step that was seen reaches it.
    pub(super) fn left_s(&self, tp: &TopicPartition, needed: Offset) -> Option<i64> {
        let LogStarts { seen, step } = self.0.get(tp)?;
        let ((from, first), (to, last)) = (seen.front()?, seen.back()?);
        let (moved, millis) = (last.0.saturating_sub(first.0), to.saturating_sub(*from));
        if moved <= 0 || millis <= 0 {
            return None;
        }
        let left = needed.0.saturating_sub(last.0);
        if left <= *step {
            return Some(0);
        }
        let millis_left =
            i128::from(left).saturating_mul(millis.into()).checked_div(moved.into())?;
        Some(i64::try_from(millis_left / 1_000).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tp(topic: &str) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition: 0 }
    }

    /// What is left for offset 10,000 after looks every 15 s that find these beginnings.
    fn left(starts: &[i64]) -> Option<i64> {
        let mut moving = Moving::default();
        for (look, start) in starts.iter().enumerate() {
            let start = std::iter::once((tp("t"), Offset(*start)));
            moving.look(start, look as i64 * 15_000);
        }
        moving.left_s(&tp("t"), Offset(10_000))
    }

    #[test]
    fn a_beginning_that_moves_leaves_time_by_its_speed() {
        assert_eq!(left(&[]), None);
        assert_eq!(left(&[0]), None, "one look is no movement");
        assert_eq!(left(&[500, 500, 500]), None);
        // 100 records a second; 7,000 are left.
        assert_eq!(left(&[0, 1_500, 3_000]), Some(70));
        // In one step, which may come again at any time: 4,000 are left.
        assert_eq!(left(&[0, 0, 6_000]), Some(0));
        // Steps of 2,000 in 30 s; 6,000 are left.
        assert_eq!(left(&[0, 2_000, 2_000, 4_000, 4_000]), Some(90));
        assert_eq!(left(&[0, 5_000, 10_000]), Some(0));
        assert_eq!(left(&[0, 5_000, 12_000]), Some(0), "it is gone already");
        assert_eq!(left(&[9_000, 0, 0]), None, "the topic was made again");
        assert_eq!(left(&[0, i64::MAX]), Some(0));
    }

    #[test]
    fn what_moved_long_ago_does_not_count() {
        let mut starts = vec![0];
        starts.extend(vec![1_000; 200]);
        assert_eq!(left(&starts), None);
    }

    #[test]
    fn a_partition_that_is_not_asked_for_is_forgotten() {
        let mut moving = Moving::default();
        moving.look([(tp("a"), Offset(0)), (tp("b"), Offset(0))].into_iter(), 0);
        moving.look(std::iter::once((tp("a"), Offset(10))), 1_000);
        assert!(moving.left_s(&tp("a"), Offset(100)).is_some());
        assert_eq!(moving.left_s(&tp("b"), Offset(100)), None);
    }
}
