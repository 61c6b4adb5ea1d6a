//! Tumbling windows, aligned to the epoch.

use crate::count::output::Kind;

/// Which time of a record decides its window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Time {
    /// Kafka's timestamp.
    Record,
    /// The wall clock when the record is read.
    Arrival,
}

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

    /// Whether a commit at `now` publishes the whole of an arrival window: it is over, and this
    /// owner has counted since `since`, before it began, without a commit in its midst.
    #[must_use]
    pub fn kind(self, time: Time, start: i64, now: i64, since: i64) -> Kind {
        let whole = time == Time::Arrival && since <= start && self.end(start) <= now;
        if whole { Kind::Final } else { Kind::Part }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(w.kind(Time::Arrival, 20, 30, 20), Kind::Final);
        assert_eq!(w.kind(Time::Arrival, 20, 29, 0), Kind::Part, "not over");
        assert_eq!(w.kind(Time::Arrival, 20, 30, 21), Kind::Part, "began in its midst");
        assert_eq!(w.kind(Time::Record, 20, 30, 0), Kind::Part, "more may come");
    }
}
