//! The cells of declared columns in JSON lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::Date;

use crate::pure::avro::numbers::digits;
use crate::pure::calendar::iso_micros;
use crate::pure::layout::cells::{Cell, ColumnType};

/// Adds a cell of a column of this type as a JSON value: numbers with all of their digits, days and
/// times as in RFC 3339, bytes in Base64, and JSON as the text that it has in other formats.
pub fn write_json(cell: &Cell<'_>, kind: ColumnType, to: &mut Vec<u8>) {
    match cell {
        // Lines have no columns of a registry.
        Cell::Null | Cell::Nested(_) => to.extend_from_slice(b"null"),
        Cell::Text(text) => write_value(text, to),
        Cell::Boolean(value) => write_value(value, to),
        Cell::Int32(value) => write_value(value, to),
        Cell::Int64(value) => write_value(value, to),
        Cell::Float64(value) => write_value(value, to),
        Cell::Decimal(value) => {
            let ColumnType::Decimal { scale, .. } = kind else { return write_value(&(), to) };
            to.extend_from_slice(digits(*value, scale).as_bytes());
        }
        Cell::Date(days) => {
            let day = jiff::Span::new().try_days(*days).ok();
            let date = day.and_then(|day| Date::constant(1970, 1, 1).checked_add(day).ok());
            write_value(&date.map(|date| date.to_string()), to);
        }
        Cell::Micros(micros) => {
            write_value(&iso_micros(*micros), to);
        }
        Cell::Bytes(bytes) => write_value(&STANDARD.encode(bytes), to),
    }
}

fn write_value<T: serde::Serialize + ?Sized>(value: &T, to: &mut Vec<u8>) {
    serde_json::to_writer(&mut *to, value).expect("memory takes whatever has no keys");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::layout::cells::READABLE;

    /// What a column reads of a value, it reads of what was written, too.
    #[test]
    fn cells_are_written_so_that_the_column_reads_them_again() {
        for (kind, json, want) in [
            ("string", r#""a\nä\"\u0000""#, r#""a\nä\"\u0000""#),
            ("boolean", "false", "false"),
            ("int32", "-2147483648", "-2147483648"),
            ("int64", "9223372036854775807", "9223372036854775807"),
            ("float64", "1e300", "1e+300"),
            ("float64", "-0.0", "-0.0"),
            ("decimal(12,2)", "1.5", "1.50"),
            ("decimal(12,2)", "-0.05", "-0.05"),
            ("decimal(12,2)", "0", "0.00"),
            ("decimal(3,0)", "-7", "-7"),
            ("decimal(3,3)", "\"0.125\"", "0.125"),
            (
                "decimal(38,1)",
                "-9999999999999999999999999999999999999.9",
                "-9999999999999999999999999999999999999.9",
            ),
            ("date", "\"1582-10-15\"", "\"1582-10-15\""),
            ("date", "\"9999-12-31\"", "\"9999-12-31\""),
            ("timestamp", "\"2026-11-22T18:03:02.5+01:00\"", "\"2026-11-22T17:03:02.500000Z\""),
            ("timestamp", "\"1900-01-01T00:00:00Z\"", "\"1900-01-01T00:00:00.000000Z\""),
            ("timestamp", "\"9999-12-31T23:59:59.999999Z\"", "\"9999-12-31T23:59:59.999999Z\""),
            ("bytes", "\"AP4=\"", "\"AP4=\""),
            ("json", "{\"a\": [1, null]}", r#""{\"a\":[1,null]}""#),
            ("string", "null", "null"),
        ] {
            let kind = ColumnType::parse(kind).unwrap();
            let cell = kind.cell(json).unwrap();
            let mut written = Vec::new();
            write_json(&cell, kind, &mut written);
            let written = String::from_utf8(written).unwrap();
            assert_eq!(written, want, "{kind} {json}");
            if kind != ColumnType::Json {
                assert_eq!(kind.cell(&written).unwrap(), cell, "{kind} {json}");
            }
        }
        // Each end of what a column takes, and its neighbours within.
        let kind = ColumnType::Time { micros: 1 };
        for edge in [*READABLE.start(), 0, *READABLE.end()] {
            for millis in (-2..=2).map(|step| edge + step).filter(|ms| READABLE.contains(ms)) {
                let cell = kind.time(millis * 1_000 + 999).unwrap();
                let mut written = Vec::new();
                write_json(&cell, kind, &mut written);
                let again = ColumnType::TimeText.cell(std::str::from_utf8(&written).unwrap());
                assert_eq!(again.as_ref(), Ok(&cell), "{millis}");
            }
        }
        let mut written = Vec::new();
        write_json(&Cell::Micros(-1), ColumnType::Time { micros: 1 }, &mut written);
        assert_eq!(written, b"\"1969-12-31T23:59:59.999999Z\"");
    }
}
