//! JSON lines: one object a record, the same names as the Parquet columns. Bytes that are not
//! UTF-8 stand in Base64 under `…_bytes`; columns without a value are left out, except `key` and
//! `value`, whose null is a fact.

use std::borrow::Cow;
use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::clients::encode::error::EncodeError;
use crate::clients::encode::foreign::count_or_foreign;
use crate::pure::calendar::iso_millis;
use crate::pure::layout::format::{Rows, TextCodec, TextPolicy};
use crate::pure::layout::rules::Fit;
use crate::pure::record::{Record, TopicPartition};

enum Sink {
    Plain(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

/// What a codec holds for one stream, bytes: an estimate, by the sizes of its tables.
const GZIP: usize = 300 << 10;
/// As GZIP: the window of level 1, its tables and buffers.
const ZSTD: usize = 1_100 << 10;

pub(super) struct File {
    sink: Sink,
    rows: Rows,
    of: TopicPartition,
    line: Vec<u8>,
    taken: u64,
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
    value: Option<Value<'a>>,
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
        of: TopicPartition,
    ) -> Result<File, EncodeError> {
        let sink = match codec {
            TextCodec::None => Sink::Plain(Vec::new()),
            TextCodec::Gzip => Sink::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::fast())),
            TextCodec::Zstd => Sink::Zstd(zstd::stream::write::Encoder::new(Vec::new(), 1)?),
        };
        Ok(File { sink, rows, of, line: Vec::new(), taken: 0 })
    }

    pub(super) fn append(&mut self, record: &Record<'_>, fit: &Fit<'_>) -> Result<(), EncodeError> {
        self.line.clear();
        match self.rows {
            Rows::Raw { key, value } => self.raw_line(record, fit, key, value),
            Rows::Json { key } => self.raw_line(record, fit, key, TextPolicy::Auto),
            Rows::Quarantine => self.raw_line(record, fit, TextPolicy::Auto, TextPolicy::Auto),
            Rows::Counts => {
                self.count_line(record);
                Ok(())
            }
            Rows::Columns(_) => Err(EncodeError::Unfit),
        }?;
        self.line.push(b'\n');
        match &mut self.sink {
            Sink::Plain(out) => out.extend_from_slice(&self.line),
            Sink::Gzip(out) => out.write_all(&self.line)?,
            Sink::Zstd(out) => out.write_all(&self.line)?,
        }
        Ok(())
    }

    fn raw_line(
        &mut self,
        record: &Record<'_>,
        fit: &Fit<'_>,
        key_mode: TextPolicy,
        value_mode: TextPolicy,
    ) -> Result<(), EncodeError> {
        let (key, key_bytes) = text_or_base64(record.key, key_mode);
        let (value, value_bytes) = match fit {
            Fit::Json(json) => {
                // The rules have parsed it.
                let raw =
                    serde_json::from_str::<&RawValue>(json).map_err(|_| EncodeError::Unfit)?;
                (Some(Value::Json(raw)), None)
            }
            _ => {
                let (text, bytes) = text_or_base64(record.value, value_mode);
                (text.map(Value::Text), bytes)
            }
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

    fn buffer(&mut self) -> &mut Vec<u8> {
        match &mut self.sink {
            Sink::Plain(out) => out,
            Sink::Gzip(out) => out.get_mut(),
            Sink::Zstd(out) => out.get_mut(),
        }
    }

    fn waiting(&self) -> usize {
        match &self.sink {
            Sink::Plain(out) => out.len(),
            Sink::Gzip(out) => out.get_ref().len(),
            Sink::Zstd(out) => out.get_ref().len(),
        }
    }

    /// Small writes cost a packet each.
    #[inline]
    pub(super) fn has_bytes(&self) -> bool {
        const CHUNK: usize = 256 << 10;
        CHUNK <= self.waiting()
    }

    pub(super) fn drain_bytes(&mut self, give: &mut dyn FnMut(Bytes)) {
        let bytes = std::mem::take(self.buffer());
        self.taken += bytes.len() as u64;
        if !bytes.is_empty() {
            // It may wait for the store: with its own bytes only.
            give(bytes.into_boxed_slice().into());
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let (out, codec) = match &self.sink {
            Sink::Plain(out) => (out, 0),
            Sink::Gzip(out) => (out.get_ref(), GZIP),
            Sink::Zstd(out) => (out.get_ref(), ZSTD),
        };
        out.capacity() + self.line.capacity() + codec
    }

    pub(super) fn size(&self) -> u64 {
        self.taken + self.waiting() as u64
    }

    pub(super) fn finish(self, give: &mut dyn FnMut(Bytes)) -> Result<(), EncodeError> {
        let bytes = match self.sink {
            Sink::Plain(out) => out,
            Sink::Gzip(out) => out.finish()?,
            Sink::Zstd(out) => out.finish()?,
        };
        if !bytes.is_empty() {
            give(bytes.into());
        }
        Ok(())
    }
}
