//! What a record becomes in the archive: a row, or a row of the quarantine, or nothing.
//!
//! *Rule*: whether a record fits depends on its bytes and on the mapping's settings alone, so that
//! each attempt at the same records makes the same rows.

use crate::pure::json::{JsonText, unreadable};
use crate::pure::layout::cells::Cell;
use crate::pure::layout::format::Rows;
use crate::pure::layout::registered::{RegisteredRows, Target};
use crate::pure::record::Record;

/// What becomes of a record that does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnBadRecord {
    /// It becomes a row in a file of the quarantine, in the same append.
    Quarantine,
    /// It is counted in a metric, and is not archived.
    Skip,
    /// Its partition stops.
    Stop,
}

/// What becomes of a record without a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tombstones {
    Keep,
    /// They are not archived.
    Drop,
    Quarantine,
}

/// The settings that decide about one record.
#[derive(Clone, Debug)]
pub struct RecordRules {
    pub rows: Rows,
    pub tombstones: Tombstones,
    pub on_bad_record: OnBadRecord,
    /// The schemas of [`Rows::Registered`], and of no others.
    pub registered: Option<RegisteredRows>,
}

/// What a record is, by the rules.
#[derive(Clone, PartialEq, Debug)]
pub enum Fit<'a> {
    /// A row of its key, value and headers as they are.
    Raw,
    /// A row with these cells of the declared columns.
    Cells(Vec<Cell<'a>>),
    /// A row with this JSON object or array, which has no line break.
    Json(JsonText<'a>),
    /// No row.
    Nothing,
    /// It does not fit, for this reason.
    Bad(String),
}

impl RecordRules {
    /// The record as the rules have it.
    #[inline]
    #[must_use]
    pub fn fit<'a>(&self, record: &Record<'a>) -> Fit<'a> {
        match (&self.rows, record.value, self.tombstones) {
            (Rows::Counts, _, _) | (Rows::Raw { .. }, Some(_), _) => Fit::Raw,
            (_, None, Tombstones::Drop) => Fit::Nothing,
            (_, None, Tombstones::Quarantine) => Fit::Bad("the record has no value".into()),
            (Rows::Values, None, _) => {
                Fit::Bad("the record has no value, which no line of text says".into())
            }
            (Rows::Values, Some(value), _) => match line(value) {
                Ok(()) => Fit::Raw,
                Err(why) => Fit::Bad(why.into()),
            },
            (Rows::Raw { .. } | Rows::Quarantine | Rows::Json { .. }, None, _) => Fit::Raw,
            (Rows::Quarantine, Some(_), _) => Fit::Raw,
            (Rows::Registered(_), _, _) => self.fit_in(record, &self.target_of(record)),
            (Rows::Columns(of), None, _) => Fit::Cells(of.columns.no_row()),
            (Rows::Columns(of), Some(value), _) => match of.columns.row(value) {
                Ok(cells) => Fit::Cells(cells),
                Err(why) => Fit::Bad(why),
            },
            (Rows::Json { .. }, Some(value), _) => match nested(value) {
                Ok(json) => Fit::Json(json),
                Err(why) => Fit::Bad(why),
            },
        }
    }

    /// The columns of a file that the record may stand in, where files have columns of their own.
    #[must_use]
    pub fn target_of(&self, record: &Record<'_>) -> Target {
        let of = self.registered.as_ref();
        let target = of.map(|of| of.target(of.target_of(record)));
        target.unwrap_or_else(|| Target { schema: None, rows: self.rows.clone() })
    }

    /// The record as the rules have it, in a file with these columns.
    #[inline]
    #[must_use]
    pub fn fit_in<'a>(&self, record: &Record<'a>, target: &Target) -> Fit<'a> {
        let Some(of) = &self.registered else { return self.fit(record) };
        match (record.value, self.tombstones) {
            (None, Tombstones::Drop) => Fit::Nothing,
            (None, Tombstones::Quarantine) => Fit::Bad("the record has no value".into()),
            _ => match of.cells(record, target) {
                Ok(cells) => Fit::Cells(cells),
                Err(why) => Fit::Bad(why),
            },
        }
    }
}

/// A value that can stand in a file of text as one line. Readers end lines at each of the two
/// characters.
fn line(value: &[u8]) -> Result<(), &'static str> {
    if memchr::memchr2(b'\n', b'\r', value).is_some() {
        return Err("the value has a line break, and would be several lines of text");
    }
    std::str::from_utf8(value).map(drop).map_err(|_| "the value is not UTF-8")
}

/// A value that can stand in a line of JSON as it is. Strings and numbers alone would look like
/// values of another mode.
fn nested(value: &[u8]) -> Result<JsonText<'_>, String> {
    let json = JsonText::parse(value).map_err(|e| format!("the value is not JSON: {e}"))?;
    if !json.text().starts_with(['{', '[']) {
        return Err("the value is neither a JSON object nor an array".into());
    }
    match unreadable(json.text()) {
        Some(why) => Err(format!("the value {why}, and readers would fail at the whole file")),
        None => json.on_one_line().map_err(|e| format!("the value is not JSON: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pure::layout::cells::ColumnType;
    use crate::pure::layout::columns::{Column, JsonColumns};
    use crate::pure::layout::format::{ColumnRows, TextPolicy};
    use crate::pure::record::{Offset, Timestamp};

    fn record(value: Option<&[u8]>) -> Record<'_> {
        let timestamp = Timestamp::Create(1_500);
        Record { offset: Offset(3), timestamp, key: None, value, headers: &[] }
    }

    fn rules(rows: &Rows, tombstones: Tombstones) -> RecordRules {
        let on_bad_record = OnBadRecord::Quarantine;
        RecordRules { rows: rows.clone(), tombstones, on_bad_record, registered: None }
    }

    fn all_rows() -> [Rows; 5] {
        let column = Column::new("n", None, ColumnType::Int32).unwrap();
        let columns = JsonColumns::new(vec![column]);
        let (key, value) = (TextPolicy::Auto, Some(TextPolicy::Auto));
        [
            Rows::Raw { key, value: TextPolicy::Auto },
            Rows::Columns(Arc::new(ColumnRows { key, value, columns })),
            Rows::Json { key },
            Rows::Quarantine,
            Rows::Values,
        ]
    }

    /// Every kind of rows, with every rule for tombstones.
    #[test]
    fn a_tombstone_is_what_the_configuration_says() {
        let [others @ .., values] = all_rows();
        let kept = rules(&values, Tombstones::Keep).fit(&record(None));
        assert!(matches!(kept, Fit::Bad(_)), "an empty line is an empty value: {kept:?}");
        assert_eq!(rules(&values, Tombstones::Drop).fit(&record(None)), Fit::Nothing);
        for rows in others {
            let kept = rules(&rows, Tombstones::Keep).fit(&record(None));
            let want = match rows {
                Rows::Columns(_) => Fit::Cells(vec![Cell::Null]),
                _ => Fit::Raw,
            };
            assert_eq!(kept, want, "{rows:?}");
            assert_eq!(rules(&rows, Tombstones::Drop).fit(&record(None)), Fit::Nothing);
            let bad = rules(&rows, Tombstones::Quarantine).fit(&record(None));
            assert!(matches!(bad, Fit::Bad(_)), "{bad:?}");
        }
        // Of counts, nothing is ever left out: their sums would be wrong.
        for tombstones in [Tombstones::Keep, Tombstones::Drop, Tombstones::Quarantine] {
            assert_eq!(rules(&Rows::Counts, tombstones).fit(&record(None)), Fit::Raw);
        }
    }

    #[test]
    fn a_value_is_a_row_or_a_bad_record() {
        let [raw, columns, json, quarantine, values] = all_rows();
        let fit = |rows: &Rows, value: &'static [u8]| {
            rules(rows, Tombstones::Drop).fit(&record(Some(value)))
        };
        for any in [&b""[..], b"\xff", b"{}"] {
            assert_eq!(fit(&raw, any), Fit::Raw);
            assert_eq!(fit(&quarantine, any), Fit::Raw);
        }
        for good in [&b""[..], b"a line", "ä\t\u{85}\u{2028}\0".as_bytes()] {
            assert_eq!(fit(&values, good), Fit::Raw);
        }
        assert_eq!(fit(&columns, b"{\"n\":7}"), Fit::Cells(vec![Cell::Int32(7)]));
        let text = |json: &'static str| Fit::Json(JsonText::parse(json.as_bytes()).unwrap());
        assert_eq!(fit(&json, b" {\"a\":\n \"b\\n\"}\r\n"), text("{\"a\":  \"b\\n\"}"));
        assert_eq!(fit(&json, b" []\n"), text("[]"));
        for (rows, value) in [
            (&columns, &b"{\"n\":7.5}"[..]),
            (&columns, b""),
            (&json, b""),
            (&json, b"\"text\""),
            (&json, b"7"),
            (&json, b"{\"a\":\xff}"),
            (&json, b"{} {}"),
            (&json, b"{\"a\":\"\\ud800\"}"),
            (&json, b"{\"a\":01}"),
            (&values, b"a\nb"),
            (&values, b"a\r"),
            (&values, b"\xff"),
        ] {
            assert!(matches!(fit(rows, value), Fit::Bad(_)), "{}", String::from_utf8_lossy(value));
        }
    }
}
