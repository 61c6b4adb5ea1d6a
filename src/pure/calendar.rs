//! Milliseconds since 1970 (UTC) as text and back, over all of the years 0 to 9999.
//!
//! A timestamp of the library ends a day before the year 9999 does, so that every zone can show it;
//! records know no such limit, so what is shown is computed as civil time.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use jiff::civil::DateTime;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::fmt::temporal::Pieces;
use jiff::{SignedDuration, Timestamp};

/// The times that a calendar of four digits can show, milliseconds: the years 0 to 9999.
pub const YEARS: (i64, i64) = (-62_167_219_200_000, 253_402_300_799_999);

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// The date and time of day at this time, in UTC; [`None`] outside of the years that the library
/// knows (−9999 to 9999).
#[must_use]
pub fn civil(millis: i64) -> Option<DateTime> {
    EPOCH.checked_add(SignedDuration::from_millis(millis)).ok()
}

/// RFC 3339 with milliseconds; times outside of the years 0–9999 as a number of milliseconds.
#[must_use]
pub fn iso_millis(millis: i64) -> String {
    let shown = civil(millis).filter(|_| (YEARS.0..=YEARS.1).contains(&millis));
    shown.map_or_else(|| millis.to_string(), |time| format!("{time:.3}Z"))
}

/// RFC 3339 with microseconds, up to the last one of the year 9999; [`None`] outside of the years
/// that the library knows (−9999 to 9999).
#[must_use]
pub fn iso_micros(micros: i64) -> Option<String> {
    let time = EPOCH.checked_add(SignedDuration::from_micros(micros)).ok()?;
    Some(format!("{time:.6}Z"))
}

/// RFC 3339 with as many digits of the second as it needs; [`None`] if the nanoseconds are none,
/// from 0 to 999,999,999, or outside of the years that the library knows (−9999 to 9999).
#[must_use]
pub fn iso_nanos(seconds: i64, nanos: i32) -> Option<String> {
    let in_range = (0..1_000_000_000).contains(&nanos);
    let since = in_range.then(|| {
        SignedDuration::from_secs(seconds).checked_add(SignedDuration::from_nanos(nanos.into()))
    })??;
    EPOCH.checked_add(since).ok().map(|time| format!("{time}Z"))
}

/// Reads what [`iso_millis`] writes, as milliseconds since the epoch.
#[must_use]
pub fn parse_iso_millis(text: &str) -> Option<i64> {
    parse_rfc3339(text).or_else(|| text.parse().ok())
}

/// Reads a time as in RFC 3339, as milliseconds since the epoch. What is shorter than a millisecond
/// is cut towards the past, before 1970 too.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    nanos_of(text).map(floor_millis)
}

/// Reads a time of exactly the form that RFC 3339 has, as microseconds since the epoch; [`None`]
/// for other forms of ISO 8601, and for leap seconds, which no number has. What is shorter than a
/// microsecond is cut towards the past.
#[must_use]
pub fn parse_strict_rfc3339(text: &str) -> Option<i64> {
    let form = |text: &str, form: &str| {
        let fits = |(b, f): (u8, u8)| if f == b'0' { b.is_ascii_digit() } else { b == f };
        text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits)
    };
    let (date, rest) = text.split_at_checked(10)?;
    let time = rest.strip_prefix(['T', 't', ' '])?;
    let at = time.find(['Z', 'z', '+', '-'])?;
    let (time, offset) = time.split_at_checked(at)?;
    let (time, digits) = time.split_once('.').unwrap_or((time, "0"));
    let is_utc = offset.eq_ignore_ascii_case("z");
    let signed = offset.strip_prefix(['+', '-']).is_some_and(|offset| form(offset, "00:00"));
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let fits = form(date, "0000-00-00") && form(time, "00:00:00") && (is_utc || signed);
    if !(fits && is_number) || time.ends_with("60") {
        return None;
    }
    let offset = if is_utc { "Z" } else { offset };
    let digits = digits.get(..9).unwrap_or(digits);
    let nanos = nanos_of(&format!("{date}T{time}.{digits}{offset}"))?;
    i64::try_from(nanos.div_euclid(1_000)).ok()
}

fn nanos_of(text: &str) -> Option<i128> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_nanosecond());
    }
    // The last day of the year 9999.
    let pieces = Pieces::parse(text).ok()?;
    let (time, offset) = (pieces.time()?, pieces.to_numeric_offset()?);
    let local = pieces.date().to_datetime(time).duration_since(EPOCH).as_nanos();
    let ahead = i128::from(offset.seconds()).saturating_mul(1_000_000_000);
    Some(local.saturating_sub(ahead))
}

/// Reads the time of a message of HTTP (RFC 9110, 5.6.7), as milliseconds since the epoch.
#[must_use]
pub fn parse_http_date(text: &str) -> Option<i64> {
    let parsed = DateTimeParser::new().parse_timestamp(text).ok();
    parsed.map(|time| floor_millis(time.as_nanosecond()))
}

fn floor_millis(nanos: i128) -> i64 {
    nanos.div_euclid(1_000_000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back() {
        let ends = [YEARS.0 - 1, YEARS.0, YEARS.1, YEARS.1 + 1, 253_402_214_400_000];
        for millis in [0, -1, 1_763_900_000_123, i64::MIN, i64::MAX].into_iter().chain(ends) {
            assert_eq!(parse_iso_millis(&iso_millis(millis)), Some(millis));
        }
        assert_eq!(parse_iso_millis("today"), None);
        assert_eq!(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        assert_eq!(parse_http_date("yesterday"), None);
    }

    #[test]
    fn the_last_day_is_a_day() {
        assert_eq!(iso_millis(253_402_214_400_000), "9999-12-31T00:00:00.000Z");
        assert_eq!(iso_millis(YEARS.1), "9999-12-31T23:59:59.999Z");
        assert_eq!(iso_millis(YEARS.0), "0000-01-01T00:00:00.000Z");
        assert_eq!(iso_millis(YEARS.1 + 1), "253402300800000");
        assert_eq!(parse_rfc3339("9999-12-31T23:59:59.9999Z"), Some(YEARS.1));
        assert_eq!(parse_rfc3339("9999-12-31T23:59:59-01:00"), Some(YEARS.1 + 3_599_001));
    }

    #[test]
    fn every_second_of_the_last_day_is_a_time() {
        let last = 253_402_300_799;
        assert_eq!(iso_micros(last * 1_000_000 + 999_999).unwrap(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(iso_micros(-1).unwrap(), "1969-12-31T23:59:59.999999Z");
        assert_eq!(iso_micros(i64::MAX), None);
        assert_eq!(iso_nanos(last, 999_999_999).unwrap(), "9999-12-31T23:59:59.999999999Z");
        assert_eq!(iso_nanos(-1, 500_000_000).unwrap(), "1969-12-31T23:59:59.5Z");
        assert_eq!(iso_nanos(0, 0).unwrap(), "1970-01-01T00:00:00Z");
        for (seconds, nanos) in [(0, -1), (0, 1_000_000_000), (last + 1, 0), (i64::MAX, 0)] {
            assert_eq!(iso_nanos(seconds, nanos), None, "{seconds} {nanos}");
        }
    }

    #[test]
    fn times_before_1970_are_cut_towards_the_past() {
        assert_eq!(parse_rfc3339("1969-12-31T23:59:59.9995Z"), Some(-1));
        assert_eq!(parse_rfc3339("1970-01-01T00:00:00.0005Z"), Some(0));
        for text in ["1970-01-01", "1970-01-01T00:00:00", "", "5"] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
