//! Which time of a record counts: Kafka's, the clock's, or that of a field.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::pure::calendar::{YEARS, parse_rfc3339};
use crate::pure::field::Field;
use crate::pure::field_path::FieldPath;
use crate::pure::record::Record;

/// Which time of a record decides its window, or its directory.
#[derive(Clone, PartialEq, Debug)]
pub enum Time {
    /// The timestamp of the Kafka record.
    Record,
    /// The wall clock when the record is read.
    Arrival,
    /// A field of a JSON value: a number in this unit, or a time as in RFC 3339.
    Field { path: FieldPath, unit: Unit },
}

/// The unit of a time that is a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    /// A unit is ten to this power milliseconds.
    fn power(self) -> i64 {
        match self {
            Unit::Seconds => 3,
            Unit::Millis => 0,
            Unit::Micros => -3,
            Unit::Nanos => -6,
        }
    }
}

impl Time {
    /// The time of a record that is read at `now`, and whether it is the wanted time: a record
    /// without a usable time gets Kafka's timestamp, or the clock's time. All times are in
    /// milliseconds.
    #[inline]
    #[must_use]
    pub fn of(&self, record: &Record<'_>, now: i64) -> (i64, bool) {
        let own = self.own(record, now);
        let time = own.or(record.timestamp.millis()).unwrap_or(now);
        (time.clamp(YEARS.0, YEARS.1), own.is_some())
    }

    /// The wanted time alone; [`None`] where a record has none that can be used.
    #[inline]
    #[must_use]
    pub fn own(&self, record: &Record<'_>, now: i64) -> Option<i64> {
        match self {
            Time::Arrival => Some(now),
            Time::Record => record.timestamp.millis(),
            Time::Field { path, unit } => {
                record.value.and_then(|v| path.find(v)).and_then(|v| millis(&v, *unit))
            }
        }
    }
}

fn millis(value: &Field<'_>, unit: Unit) -> Option<i64> {
    match value {
        Field::Number(text) => scaled(text, unit.power()),
        Field::Text(text) => parse_rfc3339(text.trim()),
        Field::Null | Field::Other(_) => None,
    }
}

/// A number of JSON times ten to this power, cut towards the past; saturates. Only whole numbers
/// are computed with: a floating point number holds 53 bits, and a time in nanoseconds needs 61.
fn scaled(number: &str, power: i64) -> Option<i64> {
    let (negative, rest) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
    let (digits, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    // An exponent that is too long for a number leads beyond all times, or to nothing.
    let exponent = exponent.parse().unwrap_or(match exponent.as_bytes().first()? {
        b'-' => i64::MIN,
        _ => i64::MAX,
    });
    let point = i64::try_from(whole.len()).ok()?.saturating_add(exponent).saturating_add(power);
    let (mut sum, mut rest) = (0_i64, false);
    for (at, digit) in (0_i64..).zip(whole.bytes().chain(fraction.bytes())) {
        if !digit.is_ascii_digit() {
            return None;
        }
        let digit = i64::from(digit & 0x0f);
        if at < point {
            sum = sum.saturating_mul(10).saturating_add(digit);
        } else {
            rest |= digit != 0;
        }
    }
    let digits = i64::try_from(whole.len().saturating_add(fraction.len())).ok()?;
    for _ in digits..point {
        if sum == 0 || sum == i64::MAX {
            break;
        }
        sum = sum.saturating_mul(10);
    }
    Some(if negative { sum.saturating_neg().saturating_sub(rest.into()) } else { sum })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::record::{Offset, Timestamp as RecordTime};

    fn of_field(unit: Unit, value: &str, timestamp: RecordTime) -> (i64, bool) {
        let time = Time::Field { path: FieldPath::parse("ts").unwrap(), unit };
        let value = Some(value.as_bytes());
        let (offset, key, headers) = (Offset(0), None, &[][..]);
        time.of(&Record { offset, timestamp, key, value, headers }, 99)
    }

    #[test]
    fn a_field_is_a_time() {
        let missing = RecordTime::Missing;
        let of = |unit, value: &str| of_field(unit, value, missing);
        assert_eq!(of(Unit::Millis, r#"{"ts":5}"#), (5, true));
        assert_eq!(of(Unit::Seconds, r#"{"ts":5}"#), (5_000, true));
        assert_eq!(of(Unit::Seconds, r#"{"ts":-1.5}"#), (-1_500, true));
        assert_eq!(of(Unit::Micros, r#"{"ts":5999}"#), (5, true));
        assert_eq!(of(Unit::Millis, r#"{"ts":"1970-01-01T00:00:01Z"}"#), (1_000, true));
        assert_eq!(of(Unit::Millis, r#"{"ts":"9999-12-31T23:59:59.999Z"}"#), (YEARS.1, true));
        assert_eq!(of(Unit::Millis, r#"{"ts":1e300}"#), (YEARS.1, true));
        assert_eq!(of(Unit::Millis, r#"{"ts":-9223372036854775808}"#), (YEARS.0, true));
        for value in ["", "{}", r#"{"ts":"soon"}"#, r#"{"ts":null}"#, r#"{"ts":[5]}"#] {
            assert_eq!(of_field(Unit::Millis, value, RecordTime::Create(7)), (7, false), "{value}");
            assert_eq!(of(Unit::Millis, value), (99, false), "{value}");
        }
    }

    #[test]
    fn a_number_is_scaled_exactly() {
        for (number, power, want) in [
            ("1795365999999999999", -6, 1_795_365_999_999),
            ("1795365999999999999.5", -6, 1_795_365_999_999),
            ("-1", -6, -1),
            ("-1000000", -6, -1),
            ("-1000001", -6, -2),
            ("-0.0", 3, 0),
            ("0.0009999", 3, 0),
            ("1795365999.999", 3, 1_795_365_999_999),
            ("1.795365999999999999e18", -6, 1_795_365_999_999),
            ("17953659999999999990000E-4", -6, 1_795_365_999_999),
            ("5e+2", 0, 500),
            ("123e-3", 0, 0),
            ("0e99999999999999999999", 0, 0),
            ("1e99999999999999999999", 0, i64::MAX),
            ("1e-99999999999999999999", 0, 0),
            ("-1e-99999999999999999999", 0, -1),
            ("9223372036854775807", 0, i64::MAX),
            ("18446744073709551616", 0, i64::MAX),
            ("-18446744073709551616", 0, -i64::MAX),
        ] {
            assert_eq!(scaled(number, power), Some(want), "{number} times 10^{power}");
        }
    }
}
