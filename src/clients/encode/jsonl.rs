//! JSON lines: one object a record, the same names as the Parquet columns. Bytes that are not
//! UTF-8 stand in Base64 under `…_bytes`; columns without a value are left out, except `key` and
//! `value`, whose null is a fact. Declared columns are members behind these.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::clients::encode::chunks::LARGE;
use crate::clients::encode::error::EncodeError;
use crate::clients::encode::foreign::count_or_foreign;
use crate::clients::encode::lines::Lines;
use crate::pure::calendar::iso_millis;
use crate::pure::layout::cell_json::write_json;
use crate::pure::layout::columns::JsonColumns;
use crate::pure::layout::format::{Rows, TextCodec, TextPolicy};
use crate::pure::layout::rules::Fit;
use crate::pure::record::{Record, TopicPartition};

pub(super) struct File {
    lines: Lines,
    rows: Rows,
    of: TopicPartition,
    line: Vec<u8>,
}

#[derive(Serialize)]
struct RawLine<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: Option<String>,
    timestamp_type: Option<&'static str>,
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_bytes: Option<String>,
    /// Not there where declared columns replace it.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Option<Value<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_bytes: Option<String>,
    headers: Vec<HeaderLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// A value as text, or as JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Text(&'a str),
    Json(&'a RawValue),
}

#[derive(Serialize)]
struct HeaderLine<'a> {
    key: Cow<'a, str>,
    /// Where the name is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_bytes: Option<String>,
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_bytes: Option<String>,
}

#[derive(Serialize)]
struct CountLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    window_start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_end: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    word: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_partition: Option<i32>,
    topic: &'a str,
    partition: i32,
    offset: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    foreign_value: Option<String>,
}

fn text_or_base64(value: Option<&[u8]>, mode: TextPolicy) -> (Option<&str>, Option<String>) {
    let Some(bytes) = value else {
        return (None, None);
    };
    match std::str::from_utf8(bytes) {
        Ok(text) if mode == TextPolicy::Auto => (Some(text), None),
        _ => (None, Some(STANDARD.encode(bytes))),
    }
}

impl File {
    pub(super) fn new(
        rows: Rows,
        codec: TextCodec,
        level: Option<i32>,
        of: TopicPartition,
    ) -> Result<File, EncodeError> {
        Ok(File { lines: Lines::new(codec, level)?, rows, of, line: Vec::new() })
    }

    pub(super) fn append(&mut self, record: &Record<'_>, fit: &Fit<'_>) -> Result<(), EncodeError> {
        self.line.clear();
        let length = record.value.map_or(0, <[u8]>::len);
        if LARGE <= length {
            // Not doubled while it is written; some characters get longer.
            self.line.reserve_exact(length.saturating_add(length / 8));
        }
        match &self.rows {
            Rows::Raw { key, value } => self.raw_line(record, fit, *key, Some(*value)),
            Rows::Json { key } => self.raw_line(record, fit, *key, Some(TextPolicy::Auto)),
            Rows::Quarantine => {
                self.raw_line(record, fit, TextPolicy::Auto, Some(TextPolicy::Auto))
            }
            Rows::Columns(of) => {
                let of = Arc::clone(of);
                self.raw_line(record, fit, of.key, of.value)?;
                self.add_columns(&of.columns, fit)
            }
            Rows::Counts => {
                self.count_line(record);
                Ok(())
            }
            Rows::Registered(_) | Rows::Values => Err(EncodeError::Unfit),
        }?;
        self.line.push(b'\n');
        self.lines.write(&self.line)?;
        if LARGE <= self.line.capacity() {
            self.line = Vec::new();
        }
        Ok(())
    }

    fn raw_line(
        &mut self,
        record: &Record<'_>,
        fit: &Fit<'_>,
        key_mode: TextPolicy,
        value_mode: Option<TextPolicy>,
    ) -> Result<(), EncodeError> {
        let (key, key_bytes) = text_or_base64(record.key, key_mode);
        let (value, value_bytes) = match fit {
            Fit::Json(json) => (Some(Some(Value::Json(json.raw()))), None),
            _ => match value_mode {
                Some(mode) => {
                    let (text, bytes) = text_or_base64(record.value, mode);
                    (Some(text.map(Value::Text)), bytes)
                }
                None => (None, None),
            },
        };
        let headers = record.headers.iter().map(|(name, bytes)| {
            let (value, value_bytes) = text_or_base64(*bytes, TextPolicy::Auto);
            let key = String::from_utf8_lossy(name);
            let key_bytes = matches!(key, Cow::Owned(_)).then(|| STANDARD.encode(name));
            HeaderLine { key, key_bytes, value, value_bytes }
        });
        let line = RawLine {
            topic: &self.of.topic,
            partition: self.of.partition,
            offset: record.offset.0,
            timestamp: record.timestamp.millis().map(iso_millis),
            timestamp_type: record.timestamp.type_name(),
            key,
            key_bytes,
            value,
            value_bytes,
            headers: headers.collect(),
            error: match fit {
                Fit::Bad(why) => Some(why),
                _ => None,
            },
        };
        serde_json::to_writer(&mut self.line, &line).expect("a line has string keys only");
        Ok(())
    }

    /// Adds the declared columns to the line, as members behind the others.
    ///
    /// # Errors
    /// The record is no row of these columns.
    fn add_columns(&mut self, columns: &JsonColumns, fit: &Fit<'_>) -> Result<(), EncodeError> {
        let Fit::Cells(cells) = fit else { return Err(EncodeError::Unfit) };
        if cells.len() != columns.columns().len() || self.line.pop() != Some(b'}') {
            return Err(EncodeError::Unfit);
        }
        for (column, cell) in columns.columns().iter().zip(cells) {
            // A name has nothing that JSON would escape.
            self.line.extend_from_slice(b",\"");
            self.line.extend_from_slice(column.name.as_bytes());
            self.line.extend_from_slice(b"\":");
            write_json(cell, column.kind, &mut self.line);
        }
        self.line.push(b'}');
        Ok(())
    }

    fn count_line(&mut self, record: &Record<'_>) {
        let parsed = count_or_foreign(record);
        let count = parsed.ok();
        let line = CountLine {
            window_start: count.map(|c| iso_millis(c.window_start)),
            window_end: count.map(|c| iso_millis(c.window_end)),
            word: count.map(|c| c.word),
            count: count.map(|c| c.count),
            kind: count.map(|c| c.kind.label()),
            source_partition: count.and_then(|c| c.source_partition),
            topic: &self.of.topic,
            partition: self.of.partition,
            offset: record.offset.0,
            foreign_value: parsed.err().map(|v| STANDARD.encode(v.unwrap_or_default())),
        };
        serde_json::to_writer(&mut self.line, &line).expect("a line has string keys only");
    }

    #[inline]
    pub(super) fn has_bytes(&self) -> bool {
        self.lines.has_bytes()
    }

    pub(super) fn drain_bytes(&mut self, give: &mut dyn FnMut(Bytes)) {
        self.lines.drain_bytes(give);
    }

    pub(super) fn drain_all(&mut self, give: &mut dyn FnMut(Bytes)) {
        self.lines.drain_all(give);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.lines.memory_bytes().saturating_add(self.line.capacity())
    }

    pub(super) fn size(&self) -> u64 {
        self.lines.size()
    }

    pub(super) fn exact_size(&self) -> u64 {
        self.lines.exact_size()
    }

    pub(super) fn settle(&mut self) -> Result<(), EncodeError> {
        self.lines.settle()
    }

    pub(super) fn finish(self, give: &mut dyn FnMut(Bytes)) -> Result<(), EncodeError> {
        self.lines.finish(give)
    }
}
