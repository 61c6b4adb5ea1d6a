//! Ends of times as clocks show them: of the hour or day that a directory is for, and of the parts
//! of a day by which files are rolled.

use std::fmt;
use std::time::Duration;

use jiff::civil::{DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Span, Timestamp, ToSpan as _};

use crate::pure::duration;
use crate::pure::layout::template::{Piece, Template};

const DAY_MS: i64 = 86_400_000;

/// Points of a day at which files are rolled: so long after the midnight of clocks, again and
/// again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Schedule {
    every_ms: i64,
}

impl Schedule {
    /// Reads a length that divides a day: `"1h"`, `"15m"`, `"1d"`.
    ///
    /// # Errors
    /// It is no such length.
    pub fn parse(text: &str) -> Result<Schedule, String> {
        let every = duration::parse(text)?;
        let every_ms = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
        let divides = DAY_MS.checked_rem(every_ms) == Some(0);
        if every_ms < 60_000 || !divides {
            return Err(format!(
                "{text:?} does not divide a day into equal parts of a minute or more; write \
                 \"15m\", \"1h\", \"6h\" or \"1d\""
            ));
        }
        Ok(Schedule { every_ms })
    }

    /// The points of a usual day.
    #[must_use]
    pub fn points_a_day(self) -> u64 {
        DAY_MS.checked_div(self.every_ms).unwrap_or_default().unsigned_abs()
    }

    /// The longest time between two points, where summer time ends between them.
    #[must_use]
    pub fn longest(self) -> Duration {
        Duration::from_millis(self.every_ms.unsigned_abs()).saturating_add(Duration::from_hours(1))
    }

    /// The next point after this time, milliseconds since 1970; [`None`] at the end of all times.
    #[must_use]
    pub fn next(self, now_ms: i64, zone: &TimeZone) -> Option<i64> {
        let now = Timestamp::from_millisecond(now_ms).ok()?;
        let shown = zone.to_datetime(now);
        let since_midnight = millis_of_day(shown.time());
        let part = since_midnight.checked_div(self.every_ms)?.checked_add(1)?;
        let midnight = shown.date().at(0, 0, 0, 0);
        let next = SignedDuration::from_millis(part.checked_mul(self.every_ms)?);
        let next = midnight.checked_add(next).ok()?;
        let shown_twice = zone.to_ambiguous_timestamp(next);
        let first = match shown_twice.offset() {
            AmbiguousOffset::Fold { .. } => shown_twice.earlier().ok().filter(|at| now < *at),
            AmbiguousOffset::Gap { .. } | AmbiguousOffset::Unambiguous { .. } => None,
        };
        let next = first.map_or_else(|| instant(next, zone), |at| Some(at.as_millisecond()))?;
        // Where clocks go back to such a point, it comes earlier.
        let change = zone.following(now).next().map(|change| change.timestamp());
        let is_point = |at: &Timestamp| {
            let shown = millis_of_day(zone.to_datetime(*at).time());
            shown.checked_rem(self.every_ms) == Some(0)
        };
        let change = change.filter(is_point).map(|at| at.as_millisecond());
        Some(change.map_or(next, |change| change.min(next)))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_millis(self.every_ms.unsigned_abs()))
    }
}

fn millis_of_day(time: Time) -> i64 {
    time.duration_since(Time::midnight()).as_millis().try_into().unwrap_or_default()
}

/// When clocks show this, milliseconds since 1970; for what they show twice, the second time.
fn instant(shown: DateTime, zone: &TimeZone) -> Option<i64> {
    Some(zone.to_ambiguous_timestamp(shown).later().ok()?.as_millisecond())
}

impl Template {
    /// The next point of a schedule in the zone of the path, milliseconds since 1970.
    #[must_use]
    pub fn next_point(&self, schedule: Schedule, now_ms: i64) -> Option<i64> {
        schedule.next(now_ms, &self.zone)
    }

    /// When the directory of this time has no more records to come, milliseconds since 1970:
    /// the end of its hour or day, in the zone. [`None`] for a path without times, and for a time
    /// that no directory is for.
    #[must_use]
    pub fn end_of_directory(&self, millis: i64) -> Option<i64> {
        let at = Timestamp::from_millisecond(self.usable(millis)?).ok()?;
        let shown = self.zone.to_datetime(at);
        let has = |fields: &[&str]| fields.iter().any(|f| self.has(&Piece::Time((*f).into())));
        let midnight = shown.date().at(0, 0, 0, 0);
        let (begins, length): (DateTime, Span) = if has(&["%S"]) {
            (shown.with().subsec_nanosecond(0).build().ok()?, 1.second())
        } else if has(&["%M"]) {
            (shown.with().second(0).subsec_nanosecond(0).build().ok()?, 1.minute())
        } else if has(&["%H"]) || self.has(&Piece::Offset) {
            (shown.with().minute(0).second(0).subsec_nanosecond(0).build().ok()?, 1.hour())
        } else if has(&["%F", "%d", "%j"]) {
            (midnight, 1.day())
        } else if has(&["%V"]) {
            let since_monday = i64::from(shown.weekday().to_monday_zero_offset());
            (midnight.checked_sub(since_monday.days()).ok()?, 1.week())
        } else if has(&["%m"]) {
            (midnight.first_of_month(), 1.month())
        } else if has(&["%Y", "%G"]) {
            (midnight.first_of_year(), 1.year())
        } else {
            return None;
        };
        instant(begins.checked_add(length).ok()?, &self.zone)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn iso(millis: Option<i64>) -> String {
        Timestamp::from_millisecond(millis.unwrap()).unwrap().to_string()
    }

    #[test]
    fn a_schedule_divides_a_day() {
        for good in ["1m", "15m", "1h", "6h", "24h", "1d", "90m"] {
            assert!(Schedule::parse(good).is_ok(), "{good}");
        }
        for bad in ["1s", "7m", "5h", "2d", "0s", "x", ""] {
            assert!(Schedule::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn points_are_those_of_clocks() {
        let next = |every: &str, zone_: &str, now: &str| {
            iso(Schedule::parse(every).unwrap().next(ms(now), &zone(zone_)))
        };
        assert_eq!(next("1h", "UTC", "2026-11-22T17:03:02Z"), "2026-11-22T18:00:00Z");
        assert_eq!(next("1h", "UTC", "2026-11-22T18:00:00Z"), "2026-11-22T19:00:00Z");
        assert_eq!(next("1h", "Asia/Kathmandu", "2026-11-22T17:03:02Z"), "2026-11-22T17:15:00Z");
        assert_eq!(next("1d", "Europe/Berlin", "2026-11-22T17:03:02Z"), "2026-11-22T23:00:00Z");
        assert_eq!(next("6h", "Europe/Berlin", "2026-11-22T17:03:02Z"), "2026-11-22T23:00:00Z");
        // The night in which clocks go back from three to two at one o'clock of UTC.
        for (now, hourly, daily) in [
            ("2026-10-24T23:30:00Z", "2026-10-25T00:00:00Z", "2026-10-25T23:00:00Z"),
            ("2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T23:00:00Z"),
            ("2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z", "2026-10-25T23:00:00Z"),
        ] {
            assert_eq!(next("1h", "Europe/Berlin", now), hourly);
            assert_eq!(next("1d", "Europe/Berlin", now), daily);
        }
        // The one in which they go from two to three.
        assert_eq!(next("1h", "Europe/Berlin", "2026-03-29T00:30:00Z"), "2026-03-29T01:00:00Z");
        assert_eq!(next("1d", "Europe/Berlin", "2026-03-29T00:30:00Z"), "2026-03-29T22:00:00Z");
        // A midnight that there is not.
        let chile = next("1d", "America/Santiago", "2026-09-05T12:00:00Z");
        assert_eq!(chile, "2026-09-06T04:00:00Z");
    }

    #[test]
    fn a_directory_ends_with_its_finest_time() {
        let end = |path: &str, zone_: &str, at: &str| {
            iso(Template::parse(path, zone(zone_)).unwrap().end_of_directory(ms(at)))
        };
        for (path, want) in [
            ("dt=%F/hr=%H", "2026-11-25T18:00:00Z"),
            ("dt=%F/hr=%H%M", "2026-11-25T17:04:00Z"),
            ("dt=%F-%H%M%S", "2026-11-25T17:03:03Z"),
            ("dt=%F", "2026-11-26T00:00:00Z"),
            ("y=%Y/m=%m/d=%d", "2026-11-26T00:00:00Z"),
            ("w=%G-%V", "2026-11-30T00:00:00Z"),
            ("%Y/%m", "2026-12-01T00:00:00Z"),
            ("%Y", "2027-01-01T00:00:00Z"),
        ] {
            assert_eq!(end(path, "UTC", "2026-11-25T17:03:02Z"), want, "{path}");
        }
        let plain = Template::parse("{topic}", TimeZone::UTC).unwrap();
        assert_eq!(plain.end_of_directory(0), None);
        let hourly = Template::parse("%H", TimeZone::UTC).unwrap();
        assert_eq!(hourly.end_of_directory(-1), None, "such records have no directory of a time");
        // Both hours of the night have one directory, which ends with the second one.
        for at in ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"] {
            assert_eq!(end("dt=%F/hr=%H", "Europe/Berlin", at), "2026-10-25T02:00:00Z");
        }
        assert_eq!(end("dt=%F", "Europe/Berlin", "2026-10-25T00:30:00Z"), "2026-10-25T23:00:00Z");
    }

    proptest! {
        /// What comes at the end of a directory, or later, belongs to another one.
        #[test]
        fn nothing_of_a_directory_comes_after_its_end(
            at in 0i64..4_000_000_000_000, later in 0i64..90_000_000,
            name in prop::sample::select(vec!["UTC", "Europe/Berlin", "Australia/Lord_Howe",
                "America/Santiago", "Asia/Kathmandu"]),
            path in prop::sample::select(vec!["%F", "%F-%H", "%F-%H%M", "%G-%V", "%Y-%m"]),
        ) {
            let template = Template::parse(path, zone(name)).unwrap();
            let end = template.end_of_directory(at).unwrap();
            prop_assert!(at < end);
            let after = template.render("t", 0, Some(end.saturating_add(later)));
            prop_assert_ne!(template.render("t", 0, Some(at)), after);
        }

        #[test]
        fn the_next_point_is_later_and_near(
            now in 0i64..4_000_000_000_000, every in prop::sample::select(vec!["1m", "1h", "1d"]),
            name in prop::sample::select(vec!["UTC", "Europe/Berlin", "Australia/Lord_Howe",
                "America/Santiago", "Asia/Kathmandu"]),
        ) {
            let schedule = Schedule::parse(every).unwrap();
            let next = schedule.next(now, &zone(name)).unwrap();
            let longest = schedule.longest().as_millis() as i64;
            prop_assert!(now < next && next - now <= longest, "{} {}", now, next);
        }
    }
}
