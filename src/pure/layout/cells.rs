//! The types of declared columns, and the one way from a field as it is written to a value of its
//! type. Numbers of JSON have as many digits as they like: a field that a type cannot hold exactly
//! is refused, except that `float64` is the nearest number, and that a time in text is cut after
//! its microseconds.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::Date;

use crate::pure::calendar::{YEARS, parse_strict_rfc3339};
use crate::pure::json::{compact, string};
use crate::pure::layout::nested_value::NestedValue;

/// The times that every reader holds, milliseconds: Spark refuses what lies before 1900 (it was
/// written by another calendar, perhaps), and pyarrow what lies behind the year 9999.
pub const READABLE: RangeInclusive<i64> = -2_208_988_800_000..=YEARS.1;

/// The first day that all calendars of readers agree on (the Gregorian one begins), and the last
/// one with a year of four digits; days since 1970.
const READABLE_DAYS: RangeInclusive<i32> = -141_427..=2_932_896;

/// The type of a declared column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ColumnType {
    /// `string`: a JSON string.
    Text,
    /// `boolean`
    Boolean,
    /// `int32`: a whole number without fraction and exponent.
    Int32,
    /// `int64`
    Int64,
    /// `float64`: a number, as the nearest one of 64 bits.
    Float64,
    /// `decimal(precision, scale)`: a number, or a string with one.
    Decimal { precision: u8, scale: u8 },
    /// `date`: a string, `2026-11-22`.
    Date,
    /// `timestamp`: a string as in RFC 3339, with its offset.
    TimeText,
    /// `timestamp_s`, `timestamp_ms`, `timestamp_us`: a whole number of such units since 1970.
    Time { micros: i64 },
    /// `bytes`: a string in Base64.
    Bytes,
    /// `json`: whatever it is, as JSON text without white space between its parts.
    Json,
    /// A record, a list or a map of a schema in a registry; the column has the type of its parts.
    Nested,
}

/// What the configuration may say.
const NAMES: [(&str, ColumnType); 12] = [
    ("string", ColumnType::Text),
    ("boolean", ColumnType::Boolean),
    ("int32", ColumnType::Int32),
    ("int64", ColumnType::Int64),
    ("float64", ColumnType::Float64),
    ("date", ColumnType::Date),
    ("timestamp", ColumnType::TimeText),
    ("timestamp_s", ColumnType::Time { micros: 1_000_000 }),
    ("timestamp_ms", ColumnType::Time { micros: 1_000 }),
    ("timestamp_us", ColumnType::Time { micros: 1 }),
    ("bytes", ColumnType::Bytes),
    ("json", ColumnType::Json),
];

/// The most digits of a decimal: what 128 bits hold.
const MOST_DIGITS: u8 = 38;

impl ColumnType {
    /// Reads a type's name.
    ///
    /// # Errors
    /// There is no such type; the text names all.
    pub fn parse(text: &str) -> Result<ColumnType, String> {
        if let Some((_, kind)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(*kind);
        }
        let inner = text.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')'));
        let digits = inner.and_then(|inner| {
            let (precision, scale) = inner.split_once(',')?;
            Some((precision.trim().parse().ok()?, scale.trim().parse().ok()?))
        });
        match digits {
            Some((precision, scale)) if (1..=MOST_DIGITS).contains(&precision) => {
                if scale <= precision {
                    return Ok(ColumnType::Decimal { precision, scale });
                }
                Err(format!("{text:?}: the scale is larger than the precision"))
            }
            Some(_) => Err(format!("{text:?}: the precision is not between 1 and {MOST_DIGITS}")),
            None => {
                let names: Vec<String> =
                    NAMES.iter().map(|(name, _)| format!("{name:?}")).collect();
                Err(format!("{text:?} is none of {}, \"decimal(18,4)\"", names.join(", ")))
            }
        }
    }

    /// The value of a field that is written as this JSON text, which is valid.
    ///
    /// # Errors
    /// The type cannot hold it.
    pub fn cell(self, json: &str) -> Result<Cell<'_>, String> {
        self.read(json, |cell| cell)
    }

    /// Adds the value of a field to the cells of its row. The cell is made in its place in the
    /// list, because each move of a cell takes time.
    ///
    /// # Errors
    /// As those of [`ColumnType::cell`]; nothing was added then.
    #[inline]
    pub fn push_cell<'a>(self, json: &'a str, cells: &mut Vec<Cell<'a>>) -> Result<(), String> {
        self.read(json, |cell| cells.push(cell))
    }

    #[inline]
    fn read<'a, T>(self, json: &'a str, take: impl FnOnce(Cell<'a>) -> T) -> Result<T, String> {
        let json = json.trim_ascii();
        if json == "null" {
            return Ok(take(Cell::Null));
        }
        self.value(json, take).ok_or_else(|| self.refused(json))
    }

    #[cold]
    fn refused(self, json: &str) -> String {
        let mut shown: String = json.chars().take(SHOWN).collect();
        if shown.len() < json.len() {
            shown.push('…');
        }
        format!("{shown} is not a {self}")
    }

    /// The cell of a date, in days since 1970.
    ///
    /// # Errors
    /// Some readers cannot hold it.
    pub fn date<'a>(self, days: i32) -> Result<Cell<'a>, String> {
        match READABLE_DAYS.contains(&days) {
            true => Ok(Cell::Date(days)),
            false => Err(format!("{days} days since 1970 are not a {self}")),
        }
    }

    /// The cell of a time, in units of this type since 1970.
    ///
    /// # Errors
    /// Some readers cannot hold it.
    pub fn time<'a>(self, number: i64) -> Result<Cell<'a>, String> {
        let ColumnType::Time { micros } = self else { return Err(format!("{self} is no time")) };
        let micros = number.checked_mul(micros).and_then(readable);
        micros.map(Cell::Micros).ok_or_else(|| format!("{number} is not a {self}"))
    }

    #[inline]
    fn value<'a, T>(self, json: &'a str, take: impl FnOnce(Cell<'a>) -> T) -> Option<T> {
        let is_number = json.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        Some(match self {
            ColumnType::Text => take(Cell::Text(string(json)?)),
            ColumnType::Boolean => take(Cell::Boolean(json.parse().ok()?)),
            ColumnType::Int32 => take(Cell::Int32(json.parse().ok()?)),
            ColumnType::Int64 => take(Cell::Int64(json.parse().ok()?)),
            ColumnType::Float64 => {
                let number: f64 = is_number.then(|| json.parse().ok())??;
                take(Cell::Float64(number.is_finite().then_some(number)?))
            }
            ColumnType::Decimal { precision, scale } => {
                let text = if is_number { json.into() } else { string(json)? };
                take(Cell::Decimal(decimal(&text, precision, scale)?))
            }
            ColumnType::Date => {
                let text = string(json)?;
                // Nothing but the date: the library would take a time behind it, too.
                let date: Date = (text.len() == 10).then(|| text.parse().ok())??;
                let days = date.duration_since(Date::constant(1970, 1, 1)).as_hours();
                let days = i32::try_from(days.checked_div(24)?).ok()?;
                take(self.date(days).ok()?)
            }
            ColumnType::TimeText => {
                let micros = parse_strict_rfc3339(&string(json)?)?;
                take(Cell::Micros(readable(micros)?))
            }
            ColumnType::Time { micros } => {
                let number: i64 = json.parse().ok()?;
                take(Cell::Micros(number.checked_mul(micros).and_then(readable)?))
            }
            ColumnType::Bytes => take(Cell::Bytes(STANDARD.decode(&*string(json)?).ok()?)),
            ColumnType::Json => take(Cell::Text(compact(json))),
            // Its reader is the schema's.
            ColumnType::Nested => return None,
        })
    }

    /// Whether every value of this type is one of the other.
    #[must_use]
    pub fn becomes(self, other: ColumnType) -> bool {
        use ColumnType::{Float64, Int32, Int64};
        self == other || matches!((self, other), (Int32, Int64 | Float64))
    }
}

/// How many characters of a field an error repeats.
const SHOWN: usize = 40;

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ColumnType::Decimal { precision, scale } = self {
            return write!(f, "decimal({precision},{scale})");
        }
        let name = NAMES.iter().find(|(_, kind)| kind == self).map_or("nested", |(name, _)| name);
        f.write_str(name)
    }
}

/// One value of a declared column.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell<'a> {
    Null,
    Text(Cow<'a, str>),
    Boolean(bool),
    Int32(i32),
    Int64(i64),
    Float64(f64),
    /// The number without its point; the column's type has the scale.
    Decimal(i128),
    /// Days since 1970.
    Date(i32),
    /// Microseconds since 1970.
    Micros(i64),
    Bytes(Vec<u8>),
    Nested(Arc<NestedValue>),
}

impl Cell<'_> {
    /// Bytes of memory beside a fixed number for each cell.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Cell::Text(text) => text.len(),
            Cell::Bytes(bytes) => bytes.len(),
            Cell::Nested(value) => value.size(),
            _ => 0,
        }
    }
}

fn readable(micros: i64) -> Option<i64> {
    READABLE.contains(&micros.div_euclid(1_000)).then_some(micros)
}

/// A number in decimal digits, with or without a point and an exponent, times ten to the power of
/// the scale; [`None`] if that is no whole number, or has more digits than the precision.
fn decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (digits, ""),
    };
    let all = || whole.bytes().chain(fraction.bytes());
    if whole.is_empty() || !all().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // The power of ten of the last digit, in units of the scale.
    let last = i32::try_from(fraction.len()).ok()?;
    let mut power = exponent.checked_sub(last)?.checked_add(i32::from(scale))?;
    let significant: Vec<u8> = all().skip_while(|b| *b == b'0').collect();
    let mut significant = significant.as_slice();
    while let ([rest @ .., b'0'], ..0) = (significant, power) {
        significant = rest;
        power = power.saturating_add(1);
    }
    if significant.is_empty() {
        return Some(0);
    }
    let zeros = usize::try_from(power).ok()?;
    if usize::from(precision) < significant.len().checked_add(zeros)? {
        return None;
    }
    let zeros = std::iter::repeat_n(b'0', zeros);
    let number = significant.iter().copied().chain(zeros).try_fold(0_i128, |n, digit| {
        n.checked_mul(10)?.checked_add(i128::from(digit.checked_sub(b'0')?))
    })?;
    if negative { number.checked_neg() } else { Some(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell<'a>(kind: &str, json: &'a str) -> Result<Cell<'a>, String> {
        ColumnType::parse(kind).unwrap().cell(json)
    }

    #[test]
    fn each_type_takes_what_it_holds() {
        let text = |t: &'static str| Cell::Text(t.into());
        for (kind, json, want) in [
            ("string", "\"a\\u00e4\\n\"", text("aä\n")),
            ("string", "\"\"", text("")),
            ("boolean", "true", Cell::Boolean(true)),
            ("int32", "-2147483648", Cell::Int32(i32::MIN)),
            ("int64", "9223372036854775807", Cell::Int64(i64::MAX)),
            ("float64", "1", Cell::Float64(1.0)),
            ("float64", "-1.5e3", Cell::Float64(-1_500.0)),
            (
                "decimal(38,0)",
                "99999999999999999999999999999999999999",
                Cell::Decimal(10_i128.pow(38) - 1),
            ),
            ("decimal(10,2)", "-1.5", Cell::Decimal(-150)),
            ("decimal(10,2)", "\"12345678.90\"", Cell::Decimal(1_234_567_890)),
            ("decimal(10,2)", "1.500", Cell::Decimal(150)),
            ("decimal(10,2)", "1e3", Cell::Decimal(100_000)),
            ("decimal(10,2)", "12E-1", Cell::Decimal(120)),
            ("decimal(10,2)", "-0.00", Cell::Decimal(0)),
            ("decimal(2,2)", "0.99", Cell::Decimal(99)),
            ("date", "\"1970-01-02\"", Cell::Date(1)),
            ("date", "\"1582-10-15\"", Cell::Date(-141_427)),
            ("date", "\"9999-12-31\"", Cell::Date(2_932_896)),
            ("timestamp", "\"1970-01-01T01:00:00.0000019+01:00\"", Cell::Micros(1)),
            (
                "timestamp",
                "\"9999-12-31T23:59:59.9999999Z\"",
                Cell::Micros(253_402_300_799_999_999),
            ),
            ("timestamp", "\"9999-12-31t23:00:00-00:59\"", Cell::Micros(253_402_300_740_000_000)),
            ("timestamp", "\"1969-12-31 23:59:59.999999999999z\"", Cell::Micros(-1)),
            ("timestamp_s", "-1", Cell::Micros(-1_000_000)),
            ("timestamp_ms", "1795366982001", Cell::Micros(1_795_366_982_001_000)),
            ("timestamp_us", "5", Cell::Micros(5)),
            ("bytes", "\"/w==\"", Cell::Bytes(vec![0xff])),
            ("json", "[ 1.0 , \"a b\" ]", text("[1.0,\"a b\"]")),
            ("json", "18446744073709551616", text("18446744073709551616")),
        ] {
            assert_eq!(cell(kind, json).as_ref(), Ok(&want), "{kind} {json}");
            assert_eq!(cell(kind, "null"), Ok(Cell::Null));
            assert_eq!(ColumnType::parse(kind).unwrap().to_string(), kind);
        }
    }

    #[test]
    fn nothing_is_rounded_cut_or_guessed() {
        for (kind, json) in [
            ("string", "1"),
            ("string", "{}"),
            ("string", "\"\\ud800\""),
            ("boolean", "1"),
            ("boolean", "\"true\""),
            ("int32", "2147483648"),
            ("int64", "9223372036854775808"),
            ("int64", "1.0"),
            ("int64", "1e3"),
            ("int64", "\"1\""),
            ("float64", "1e400"),
            ("float64", "\"1\""),
            ("float64", "true"),
            ("decimal(10,2)", "1.555"),
            ("decimal(10,2)", "123456789"),
            ("decimal(10,2)", "1e99999999999"),
            ("decimal(10,2)", "1e2147483647"),
            ("decimal(10,2)", "\"\""),
            ("decimal(10,2)", "\"-\""),
            ("decimal(10,2)", "\"1,5\""),
            ("decimal(10,2)", "\"+1\""),
            ("decimal(10,2)", "true"),
            ("date", "\"2026-02-30\""),
            ("date", "\"1582-10-14\""),
            ("date", "\"2026-02-03T00:00:00\""),
            ("date", "20260203"),
            ("timestamp", "\"2026-02-03T00:00:00\""),
            ("timestamp", "\"1899-12-31T23:59:59Z\""),
            ("timestamp", "1"),
            ("timestamp", "\"1899-12-31T23:59:59.9999999Z\""),
            ("timestamp", "\"9999-12-31T23:59:59-00:01\""),
            ("timestamp", "\"2016-12-31T23:59:60Z\""),
            ("timestamp", "\"2026-01-01T00Z\""),
            ("timestamp", "\"20260101T000000Z\""),
            ("timestamp", "\"2026-01-01T00:00:00,5Z\""),
            ("timestamp", "\"2026-01-01T00:00:00.Z\""),
            ("timestamp", "\"2026-01-01T00:00:00+01\""),
            ("timestamp", "\"2026-01-01T00:00:00+01:00:30\""),
            ("timestamp", "\"+002026-01-01T00:00:00Z\""),
            ("timestamp", "\"2026-06-01T00:00:00+05:00[America/New_York]\""),
            ("timestamp", "\"2026-13-01T00:00:00Z\""),
            ("timestamp", "\"2026-06-01T24:00:00Z\""),
            ("decimal(10,2)", "\"1.\""),
            ("timestamp_s", "9223372036854775807"),
            ("timestamp_ms", "1795366982000000000"),
            ("timestamp_ms", "1.5"),
            ("timestamp_ms", "\"1\""),
            ("bytes", "\"a\""),
            ("bytes", "1"),
        ] {
            assert!(cell(kind, json).is_err(), "{kind} {json}: {:?}", cell(kind, json));
        }
        let long = format!("\"{}\"", "ä".repeat(1_000));
        assert!(cell("int64", &long).unwrap_err().len() < 120);
    }

    #[test]
    fn types_that_are_none_are_refused() {
        for text in [
            "",
            "int",
            "String",
            "decimal",
            "decimal(0,0)",
            "decimal(39,0)",
            "decimal(2,3)",
            "decimal(-1,0)",
            "decimal(300,2)",
            "decimal(2)",
        ] {
            assert!(ColumnType::parse(text).is_err(), "{text}");
        }
    }
}
