//! Tumbling windows, aligned to the epoch.

use crate::pure::count::output::CountKind;
use crate::pure::record_time::Time;

/// A window's length in milliseconds; at least one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    pub millis: i64,
}

impl Window {
    /// The start of the window that holds this time, milliseconds.
    #[inline]
    #[must_use]
    pub fn start(self, millis: i64) -> i64 {
        millis.saturating_sub(millis.rem_euclid(self.millis))
    }

    #[must_use]
    pub fn end(self, start: i64) -> i64 {
        start.saturating_add(self.millis)
    }

    /// The kind of the count that a commit at `now` publishes. An arrival window is whole (`Final`)
    /// if it is over, and if this owner has counted since a time (`since`) before the window began,
    /// without a commit in its midst. All times are in milliseconds.
    #[must_use]
    pub fn kind(self, time: &Time, start: i64, now: i64, since: i64) -> CountKind {
        let whole = *time == Time::Arrival && since <= start && self.end(start) <= now;
        if whole { CountKind::Final } else { CountKind::Part }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::field_path::FieldPath;
    use crate::pure::record::{Offset, Record, Timestamp as RecordTime};
    use crate::pure::record_time::Unit;

    #[test]
    fn windows_tile_before_and_after_the_epoch() {
        let w = Window { millis: 2_000 };
        for (t, start) in [(0, 0), (1_999, 0), (2_000, 2_000), (-1, -2_000), (-2_000, -2_000)] {
            assert_eq!(w.start(t), start, "{t}");
        }
    }

    #[test]
    fn final_is_a_whole_arrival_window() {
        let w = Window { millis: 10 };
        assert_eq!(w.kind(&Time::Arrival, 20, 30, 20), CountKind::Final);
        assert_eq!(w.kind(&Time::Arrival, 20, 29, 0), CountKind::Part, "not over");
        assert_eq!(w.kind(&Time::Arrival, 20, 30, 21), CountKind::Part, "began in its midst");
        assert_eq!(w.kind(&Time::Record, 20, 30, 0), CountKind::Part, "more may come");
    }

    /// Against division of whole numbers: the ends of windows of a second, in nanoseconds.
    #[test]
    fn the_end_of_a_second_belongs_to_it() {
        for second in 1_795_365_000..1_795_366_200_i64 {
            let value = format!("{{\"ts\":{}}}", second * 1_000_000_000 + 999_999_999);
            let (timestamp, key, headers) = (RecordTime::Missing, None, &[][..]);
            let path = FieldPath::parse("ts").unwrap();
            let value = Some(value.as_bytes());
            let record = Record { offset: Offset(0), timestamp, key, value, headers };
            let (time, own) = Time::Field { path, unit: Unit::Nanos }.of(&record, 99);
            assert!(own);
            assert_eq!(Window { millis: 1_000 }.start(time), second * 1_000);
        }
    }
}
