//! What is published: one record a word, window and commit.
//!
//! The key is the word. The value is JSON, or the tutorial's `(hello,2)`. The header `alluvium`
//! ([`crate::pure::formats::header`]) says in either format which window and which records the
//! count is of, so that a reader can tell a duplicate (KAFKA-17754). *Always to be summed, never
//! upserted*: a `part` adds to what came before.

use std::fmt::Write as _;

use serde::Deserialize;

use crate::pure::calendar::iso_millis;
use crate::pure::formats::header::{AlluviumHeader, Content};
pub use crate::pure::formats::header::{CountKind, Merged};
use crate::pure::record::{OffsetRange, Record, TopicPartition};

/// The format of a count's value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutputFormat {
    Json,
    /// Text: `(hello,2)`.
    Text,
}

/// Writes the records of one window of one commit. The parts that all records share are written
/// once.
#[derive(Debug)]
pub struct WindowWriter {
    format: OutputFormat,
    prefix: String,
    kind: CountKind,
    header: String,
    value: String,
}

impl WindowWriter {
    #[must_use]
    pub fn new(
        format: OutputFormat,
        window: (i64, i64),
        kind: CountKind,
        source: &TopicPartition,
        range: OffsetRange,
        merged: Option<Merged>,
    ) -> WindowWriter {
        let (start, end) = window;
        let prefix = format!(
            r#"{{"window_start":"{}","window_end":"{}","word":"#,
            iso_millis(start),
            iso_millis(end)
        );
        let content = Content::Count { start, end, kind, merged };
        let TopicPartition { topic, partition } = source;
        let header = AlluviumHeader { content, topic, partition: *partition, range }.encode();
        WindowWriter { format, prefix, kind, header, value: String::new() }
    }

    #[must_use]
    pub fn header(&self) -> &str {
        &self.header
    }

    /// The value of one word.
    pub fn value(&mut self, word: &str, count: u64) -> &str {
        self.value.clear();
        match self.format {
            OutputFormat::Text => {
                let _ = write!(self.value, "({word},{count})");
            }
            OutputFormat::Json => {
                self.value.push_str(&self.prefix);
                push_json(&mut self.value, word);
                let _ = write!(self.value, r#","count":{count},"kind":"{}"}}"#, self.kind.label());
            }
        }
        &self.value
    }
}

/// A JSON string; most words need no escape.
fn push_json(out: &mut String, word: &str) {
    if word.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\') {
        out.push('"');
        out.push_str(word);
        out.push('"');
    } else {
        out.push_str(&serde_json::to_string(word).expect("a string is JSON"));
    }
}

/// The count in a value as [`WindowWriter`] writes it: the last field but one.
fn count_at_end(value: &[u8], kind: CountKind) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let text = text.strip_suffix("\"}")?.strip_suffix(kind.label())?;
    let text = text.strip_suffix(",\"kind\":\"")?;
    let digits = text.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (head, number) = text.split_at(text.len().saturating_sub(digits));
    head.ends_with("\",\"count\":").then(|| number.parse().ok()).flatten()
}

/// A published count as it is read back from the output topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Count<'a> {
    pub window_start: i64,
    pub window_end: i64,
    pub word: &'a str,
    pub count: i64,
    pub kind: CountKind,
    /// The source partition; [`None`] where counts were merged over partitions.
    pub source_partition: Option<i32>,
}

#[derive(Deserialize)]
struct JsonCount {
    count: i64,
}

impl<'a> Count<'a> {
    /// Reads a record of the output topic; [`None`] for a record of another program.
    #[must_use]
    pub fn parse(record: &Record<'a>) -> Option<Count<'a>> {
        let header = AlluviumHeader::of(record)?.ok()?;
        let Content::Count { start: window_start, end: window_end, kind, merged } = header.content
        else {
            return None;
        };
        let source_partition = merged.is_none().then_some(header.partition);
        let word = std::str::from_utf8(record.key?).ok()?;
        let value = record.value?;
        let count = if value.first() == Some(&b'(') {
            let text = std::str::from_utf8(value).ok()?.strip_suffix(')')?;
            text.rsplit_once(',')?.1.parse().ok()?
        } else if let Some(count) = count_at_end(value, kind) {
            count
        } else {
            serde_json::from_slice::<JsonCount>(value).ok()?.count
        };
        Some(Count { window_start, window_end, word, count, kind, source_partition })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::formats::header::NAME;
    use crate::pure::formats::metadata::Marks;
    use crate::pure::record::{Offset, Timestamp as RecordTime};

    fn round_trip(format: OutputFormat, word: &str) -> String {
        for watermark in [None, Some(-5)] {
            let marks = Marks { watermark, in_parts_until: watermark };
            let merged = Merged { offset: Offset(3), marks };
            let _ = round_trip_of(format, word, Some(merged));
        }
        round_trip_of(format, word, None)
    }

    fn round_trip_of(format: OutputFormat, word: &str, merged: Option<Merged>) -> String {
        let source = TopicPartition { topic: "Hello;Kafka".into(), partition: 3 };
        let range = OffsetRange { from: Offset(4), to: Offset(9) };
        let mut w =
            WindowWriter::new(format, (2_000, 4_000), CountKind::Part, &source, range, merged);
        let value = w.value(word, 2).to_string();
        let headers = [(NAME.as_bytes(), Some(w.header().as_bytes()))];
        let record = Record {
            offset: Offset(0),
            timestamp: RecordTime::Missing,
            key: Some(word.as_bytes()),
            value: Some(value.as_bytes()),
            headers: &headers,
        };
        let header = AlluviumHeader::of(&record).unwrap().unwrap();
        assert_eq!((header.source(), header.range), (source, range));
        let want = Count {
            window_start: 2_000,
            window_end: 4_000,
            word,
            count: 2,
            kind: CountKind::Part,
            source_partition: merged.is_none().then_some(3),
        };
        assert_eq!(Count::parse(&record), Some(want));
        assert!(w.header().ends_with(";3;4;9;Hello;Kafka"), "{}", w.header());
        value
    }

    #[test]
    fn counts_read_back() {
        assert_eq!(round_trip(OutputFormat::Text, "hello"), "(hello,2)");
        let window =
            r#""window_start":"1970-01-01T00:00:02.000Z","window_end":"1970-01-01T00:00:04.000Z""#;
        let json = format!(r#"{{{window},"word":"hello","count":2,"kind":"part"}}"#);
        assert_eq!(round_trip(OutputFormat::Json, "hello"), json);
        for word in ["", "a,b)", "\"\\\n", "ärger"] {
            let _ = round_trip(OutputFormat::Text, word);
            let _ = round_trip(OutputFormat::Json, word);
        }
    }

    /// Text and JSON of words that need no escape, and of some that do.
    #[test]
    fn the_values_of_counts_are_the_golden_ones() {
        let golden =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/values-v1.txt"));
        let source = TopicPartition { topic: "t".into(), partition: 0 };
        let range = OffsetRange { from: Offset(0), to: Offset(1) };
        let mut written = String::new();
        for (format, kind, window) in [
            (OutputFormat::Text, CountKind::Final, (0, 2_000)),
            (OutputFormat::Json, CountKind::Final, (1_795_368_000_000, 1_795_368_600_000)),
            (OutputFormat::Json, CountKind::Part, (-1, 1)),
            (OutputFormat::Json, CountKind::Late, (i64::MIN, i64::MAX)),
        ] {
            let mut writer = WindowWriter::new(format, window, kind, &source, range, None);
            for word in ["hello", "", "a,b)", "\"\\\t\u{1}", "ärger"] {
                written += writer.value(word, 12);
                written.push('\n');
            }
        }
        assert_eq!(written, golden);
    }

    #[test]
    fn what_is_not_ours_is_no_count() {
        let record = |headers: &'static [(&'static [u8], Option<&'static [u8]>)], value| Record {
            offset: Offset(0),
            timestamp: RecordTime::Missing,
            key: Some(b"k"),
            value,
            headers,
        };
        let ours: &[(&[u8], Option<&[u8]>)] = &[(b"alluvium", Some(b"1;0;2;part;0;1;2;t"))];
        assert!(Count::parse(&record(&[], Some(b"(a,1)"))).is_none());
        assert!(Count::parse(&record(ours, None)).is_none());
        assert!(Count::parse(&record(ours, Some(b"(a,x)"))).is_none());
        assert!(Count::parse(&record(ours, Some(b"(a,1)"))).is_some());
        let spaced = br#"{ "count": 7, "word": "k" }"#;
        assert_eq!(Count::parse(&record(ours, Some(spaced))).map(|c| c.count), Some(7));
    }
}
