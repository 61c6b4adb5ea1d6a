//! Tumbling windows, aligned to the epoch, and the time that decides about them.

use jiff::Timestamp;
use serde_json::Value;

use crate::pure::count::field::FieldPath;
use crate::pure::count::output::CountKind;
use crate::pure::record::Record;

/// Which time of a record decides its window.
#[derive(Clone, PartialEq, Debug)]
pub enum Time {
    /// The timestamp of the Kafka record.
    Record,
    /// The wall clock when the record is read.
    Arrival,
    /// A field of a JSON value: a number in units of `unit_millis` milliseconds, or a time as in
    /// RFC 3339.
    Field { path: FieldPath, unit_millis: f64 },
}

/// Times that a calendar can show, milliseconds: the years 0 to 9999.
const YEARS: (i64, i64) = (-62_167_219_200_000, 253_402_300_799_999);

impl Time {
    /// The time of a record that is read at `now`, and whether it is the wanted time: a record
    /// without a usable time gets Kafka's timestamp, or the clock's time. All times are in
    /// milliseconds.
    #[inline]
    #[must_use]
    pub fn of(&self, record: &Record<'_>, now: i64) -> (i64, bool) {
        let kafkas = record.timestamp.millis();
        let own = match self {
            Time::Arrival => Some(now),
            Time::Record => kafkas,
            Time::Field { path, unit_millis } => {
                record.value.and_then(|v| path.find(v)).and_then(|v| millis(&v, *unit_millis))
            }
        };
        let time = own.or(kafkas).unwrap_or(now);
        (time.clamp(YEARS.0, YEARS.1), own.is_some())
    }
}

fn millis(value: &Value, unit_millis: f64) -> Option<i64> {
    match value {
        Value::Number(n) if unit_millis == 1.0 && n.is_i64() => n.as_i64(),
        // Saturates; whatever lies outside of the calendar is cut back later.
        Value::Number(n) => n.as_f64().map(|n| (n * unit_millis).floor() as i64),
        Value::String(text) => text.trim().parse::<Timestamp>().ok().map(Timestamp::as_millisecond),
        _ => None,
    }
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
    use crate::pure::record::{Offset, Timestamp as RecordTime};

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

    #[test]
    fn a_field_is_a_time() {
        let path = FieldPath::parse("ts").unwrap();
        let of = |unit_millis, value: &str, kafkas| {
            let time = Time::Field { path: path.clone(), unit_millis };
            let value = Some(value.as_bytes());
            let (offset, key, headers) = (Offset(0), None, &[][..]);
            time.of(&Record { offset, timestamp: kafkas, key, value, headers }, 99)
        };
        let missing = RecordTime::Missing;
        assert_eq!(of(1.0, r#"{"ts":5}"#, missing), (5, true));
        assert_eq!(of(1_000.0, r#"{"ts":5}"#, missing), (5_000, true));
        assert_eq!(of(1_000.0, r#"{"ts":-1.5}"#, missing), (-1_500, true));
        assert_eq!(of(0.001, r#"{"ts":5999}"#, missing), (5, true));
        assert_eq!(of(1.0, r#"{"ts":"1970-01-01T00:00:01Z"}"#, missing), (1_000, true));
        assert_eq!(of(1.0, r#"{"ts":1e300}"#, missing), (YEARS.1, true));
        assert_eq!(of(1.0, r#"{"ts":-9223372036854775808}"#, missing), (YEARS.0, true));
        for value in ["", "{}", r#"{"ts":"soon"}"#, r#"{"ts":null}"#] {
            assert_eq!(of(1.0, value, RecordTime::Create(7)), (7, false), "{value}");
            assert_eq!(of(1.0, value, missing), (99, false), "{value}");
        }
    }
}
