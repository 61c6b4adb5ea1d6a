//! Rows of the archive's files, whatever their format.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{BufRead, BufReader, Cursor, Read};

use arrow::array::{Array, AsArray, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;

use crate::common::spawn::caught_quietly;
use crate::pure::calendar::parse_iso_millis;
use crate::pure::json::string;
use crate::pure::record::{Offset, Record, Timestamp};

/// What the footer of a Parquet file says of the file (docs/files.md), by names without their
/// prefix. The map is empty for files of version 1 of the columns, and for files that another
/// program wrote.
///
/// # Errors
/// The bytes are no Parquet file.
pub fn footer(bytes: Bytes) -> Result<BTreeMap<String, String>, String> {
    let file = parquet(|| SerializedFileReader::new(bytes))?;
    let pairs = file.metadata().file_metadata().key_value_metadata();
    let ours = pairs.into_iter().flatten().filter_map(|pair| {
        let name = pair.key.strip_prefix("alluvium.")?;
        Some((name.to_string(), pair.value.clone()?))
    });
    Ok(ours.collect())
}

/// What the rows of a file say of themselves.
#[derive(Default)]
pub struct Places {
    /// In the order of the rows.
    pub offsets: Vec<Offset>,
    /// Smallest and largest time of a record, milliseconds; [`None`] where no row has a time, as in
    /// files of counts.
    pub times: Option<(i64, i64)>,
    /// Whether the file has records, and not counts: only these have times.
    pub is_raw: bool,
}

impl Places {
    fn add_time(&mut self, time: i64) {
        let (min, max) = self.times.unwrap_or((time, time));
        self.times = Some((min.min(time), max.max(time)));
    }
}

/// Offsets in the order of the rows.
///
/// # Errors
/// The bytes are no file of this name's format, or a row has no offset.
pub fn offsets(path: &str, bytes: Bytes) -> Result<Vec<Offset>, String> {
    places(path, bytes).map(|places| places.offsets)
}

/// Offsets and times of the rows.
///
/// # Errors
/// The bytes are no file of this name's format, or a row has no offset.
pub fn places(path: &str, bytes: Bytes) -> Result<Places, String> {
    #[derive(Deserialize)]
    struct PlacedLine {
        offset: i64,
        timestamp: Option<String>,
        window_start: Option<IgnoredAny>,
    }
    let mut all = Places::default();
    match open(path, bytes)? {
        Table::Parquet(bytes) => {
            batches(bytes, &["offset", "timestamp", "timestamp_ms"], |batch| {
                let offsets = column(batch, "offset")?.as_primitive_opt::<Int64Type>();
                let offsets = offsets.ok_or("offset is not int64")?;
                all.offsets.extend(offsets.values().iter().map(|o| Offset(*o)));
                if batch.column_by_name("timestamp").is_some() {
                    all.is_raw = true;
                    millis_of(batch, "timestamp")?
                        .iter()
                        .flatten()
                        .for_each(|time| all.add_time(time));
                }
                Ok(())
            })?;
        }
        Table::Lines(text) => lines(text, |line: PlacedLine| {
            all.offsets.push(Offset(line.offset));
            all.is_raw |= line.window_start.is_none();
            if let Some(time) = line.timestamp.as_deref().map(millis).transpose()? {
                all.add_time(time);
            }
            Ok(())
        })?,
    }
    Ok(all)
}

const RAW: [&str; 6] = ["timestamp", "timestamp_ms", "key", "key_bytes", "value", "value_bytes"];

/// Times as they were, milliseconds. Files of version 2 have them in a column of their own, because
/// readers hold fewer times than records have.
fn millis_of(batch: &RecordBatch, name: &str) -> Result<Int64Array, String> {
    if let Some(own) = batch.column_by_name(&format!("{name}_ms")) {
        let own = own.as_primitive_opt::<Int64Type>();
        return own.cloned().ok_or_else(|| format!("{name}_ms is not int64"));
    }
    let times = column(batch, name)?.as_primitive_opt::<TimestampMillisecondType>();
    let times = times.ok_or_else(|| format!("{name} is not in milliseconds"))?;
    Ok(times.reinterpret_cast())
}

/// A column of text, with the column of those values that are not text.
struct Either<'a>(&'a StringArray, &'a BinaryArray);

impl<'a> Either<'a> {
    fn of(batch: &'a RecordBatch, name: &str) -> Result<Either<'a>, String> {
        let bytes = format!("{name}_bytes");
        let text = column(batch, name)?.as_string_opt::<i32>();
        let plain = column(batch, &bytes)?.as_binary_opt::<i32>();
        let text = text.ok_or_else(|| format!("{name} is not text"))?;
        Ok(Either(text, plain.ok_or_else(|| format!("{bytes} is not binary"))?))
    }

    fn at(&self, i: usize) -> Option<&'a [u8]> {
        if self.0.is_valid(i) {
            return Some(self.0.value(i).as_bytes());
        }
        self.1.is_valid(i).then(|| self.1.value(i))
    }
}

/// Calls `row` for each record in a raw file, or in one of the quarantine, with its timestamp, key
/// and value.
///
/// # Errors
/// The bytes are no raw file of this name's format, or the file does not have the values
/// (`raw_value = false`).
pub fn raw(path: &str, bytes: Bytes, mut row: impl FnMut(&Record<'_>)) -> Result<(), String> {
    let mut row = |time: Option<i64>, key: Option<&[u8]>, value: Option<&[u8]>| {
        let timestamp = time.map_or(Timestamp::Missing, Timestamp::Create);
        row(&Record { offset: Offset(0), timestamp, key, value, headers: &[] });
    };
    #[derive(Deserialize)]
    struct RawLine {
        timestamp: Option<String>,
        key: Option<String>,
        key_bytes: Option<String>,
        value: Option<Box<RawValue>>,
        value_bytes: Option<String>,
    }
    match open(path, bytes)? {
        Table::Parquet(bytes) => batches(bytes, &RAW, |batch| {
            let times = millis_of(batch, "timestamp")?;
            if batch.column_by_name("value").is_none() {
                return Err(
                    "the file has no column `value` (raw_value = false), so nothing can be \
                            counted again"
                        .into(),
                );
            }
            let (key, value) = (Either::of(batch, "key")?, Either::of(batch, "value")?);
            for i in 0..batch.num_rows() {
                row(times.is_valid(i).then(|| times.value(i)), key.at(i), value.at(i));
            }
            Ok(())
        }),
        Table::Lines(text) => lines(text, |line: RawLine| {
            let time = line.timestamp.as_deref().map(millis).transpose()?;
            let either = |text: Option<String>, bytes: Option<String>| match bytes {
                Some(bytes) => STANDARD.decode(bytes).map(Some).map_err(|e| e.to_string()),
                None => Ok(text.map(String::into_bytes)),
            };
            let key = either(line.key, line.key_bytes)?;
            // A value that is no string is JSON as it was (`value = "json"`).
            let value = line.value.map(|raw| match string(raw.get()) {
                Some(text) => text.into_owned(),
                None => raw.get().to_string(),
            });
            let value = either(value, line.value_bytes)?;
            row(time, key.as_deref(), value.as_deref());
            Ok(())
        }),
    }
}

const COUNTS: [&str; 5] = ["window_start", "window_start_ms", "kind", "word", "count"];

/// One row of a file of counts.
pub struct Count<'a> {
    /// The window's start, milliseconds.
    pub start: i64,
    /// `final`, `part` or `late`.
    pub kind: &'a str,
    pub word: &'a str,
    pub count: i64,
}

/// Calls `row` for each row of a file of counts; rows that somebody else's records became are left
/// out.
///
/// # Errors
/// The bytes are no file of counts of this name's format.
pub fn counts(path: &str, bytes: Bytes, mut row: impl FnMut(Count<'_>)) -> Result<(), String> {
    #[derive(Deserialize)]
    struct CountLine {
        window_start: Option<String>,
        kind: Option<String>,
        word: Option<String>,
        count: Option<i64>,
    }
    match open(path, bytes)? {
        Table::Parquet(bytes) => batches(bytes, &COUNTS, |batch| {
            let starts = millis_of(batch, "window_start")?;
            let words = column(batch, "word")?.as_string_opt::<i32>().ok_or("word is not text")?;
            let kinds = column(batch, "kind")?.as_string_opt::<i32>().ok_or("kind is not text")?;
            let counts = column(batch, "count")?;
            let counts = counts.as_primitive_opt::<Int64Type>().ok_or("count is not int64")?;
            for i in (0..batch.num_rows()).filter(|i| words.is_valid(*i)) {
                row(Count {
                    start: starts.value(i),
                    kind: kinds.value(i),
                    word: words.value(i),
                    count: counts.value(i),
                });
            }
            Ok(())
        }),
        Table::Lines(text) => lines(text, |line: CountLine| {
            if let (Some(start), Some(word), Some(count)) =
                (line.window_start, line.word, line.count)
            {
                let kind = line.kind.as_deref().unwrap_or_default();
                row(Count { start: millis(&start)?, kind, word: &word, count });
            }
            Ok(())
        }),
    }
}

fn millis(text: &str) -> Result<i64, String> {
    parse_iso_millis(text).ok_or_else(|| format!("{text:?} is no time"))
}

enum Table {
    Parquet(Bytes),
    Lines(Box<dyn Read>),
}

fn open(path: &str, bytes: Bytes) -> Result<Table, String> {
    let name = path.rsplit('/').next().unwrap_or_default();
    // Topics have dots in their names, too.
    let ours = ["parquet", "jsonl", "jsonl.gz", "jsonl.zst"];
    let ends = |e: &&str| name.strip_suffix(e).is_some_and(|rest| rest.ends_with('.'));
    Ok(Table::Lines(match ours.into_iter().find(ends).unwrap_or(name) {
        "parquet" => return Ok(Table::Parquet(bytes)),
        "jsonl" => Box::new(Cursor::new(bytes)),
        "jsonl.gz" => Box::new(MultiGzDecoder::new(Cursor::new(bytes))),
        "jsonl.zst" => Box::new(
            zstd::stream::read::Decoder::new(Cursor::new(bytes)).map_err(|e| e.to_string())?,
        ),
        other => return Err(format!("{other:?} is not the name of a file of an archive")),
    }))
}

fn lines<T: DeserializeOwned>(
    text: Box<dyn Read>,
    mut row: impl FnMut(T) -> Result<(), String>,
) -> Result<(), String> {
    for (number, line) in (1_u64..).zip(BufReader::new(text).lines()) {
        let line = line.map_err(|e| e.to_string())?;
        let parsed = serde_json::from_str(&line).map_err(|e| e.to_string());
        parsed.and_then(&mut row).map_err(|e| format!("line {number}: {e}"))?;
    }
    Ok(())
}

/// A call of the Parquet library, which panics at some damaged files (arrow-buffer 60.1: "offset +
/// len out of bounds").
fn parquet<T, E: Display>(call: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match caught_quietly(call) {
        Ok(answer) => answer.map_err(|e| e.to_string()),
        Err(panic) => Err(format!("the Parquet library panics at it: {panic}")),
    }
}

fn batches(
    bytes: Bytes,
    columns: &[&str],
    mut batch: impl FnMut(&RecordBatch) -> Result<(), String>,
) -> Result<(), String> {
    let builder = parquet(|| ParquetRecordBatchReaderBuilder::try_new(bytes))?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let mut read = parquet(|| builder.with_projection(mask).build())?;
    while let Some(next) = parquet(|| read.next().transpose())? {
        batch(&next)?;
    }
    Ok(())
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array, String> {
    let column = batch.column_by_name(name).ok_or_else(|| format!("no column named {name}"))?;
    Ok(&**column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::encode::Encoder;
    use crate::pure::count::output::WindowWriter;
    use crate::pure::count::{CountKind, OutputFormat};
    use crate::pure::formats::header::NAME;
    use crate::pure::layout::format::{Format, ParquetCodec, Rows, TextCodec, TextPolicy};
    use crate::pure::layout::rules::Fit;
    use crate::pure::record::{OffsetRange, Record, Timestamp, TopicPartition};

    /// The bytes of a file under tests/golden.
    macro_rules! golden {
        ($name:literal) => {
            Bytes::from_static(include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/golden/",
                $name
            )))
        };
    }

    const FORMATS: [Format; 4] = [
        Format::Parquet(ParquetCodec::Snappy),
        Format::JsonLines(TextCodec::None),
        Format::JsonLines(TextCodec::Gzip),
        Format::JsonLines(TextCodec::Zstd),
    ];

    fn of() -> TopicPartition {
        TopicPartition { topic: "t".into(), partition: 0 }
    }

    fn encode(format: Format, rows: Rows, records: &[Record<'_>]) -> (String, Bytes) {
        let mut encoder = Encoder::new(format, &rows, &of()).unwrap();
        records.iter().for_each(|r| encoder.append(r, &Fit::Raw).unwrap());
        let mut bytes = Vec::new();
        encoder.finish(&[], &mut |b| bytes.extend_from_slice(&b)).unwrap();
        (format!("a.b/part-t.of.dots.{}", format.extension()), bytes.into())
    }

    fn record<'a>(offset: i64, time: Timestamp, value: Option<&'a [u8]>) -> Record<'a> {
        Record { offset: Offset(offset), timestamp: time, key: None, value, headers: &[] }
    }

    #[test]
    fn raw_rows_read_back() {
        let want = [
            (Some(5), Some(&b"two words"[..])),
            (None, Some(b"\xff\x00")),
            (Some(-1), None),
            (Some(i64::MAX), Some(b"")),
        ];
        let records: Vec<Record<'_>> = (7..)
            .zip(want)
            .map(|(i, (time, value))| {
                let key = value.map(|_| &b"key\xfe"[..]);
                let time = time.map_or(Timestamp::Missing, Timestamp::Create);
                Record { key, ..record(i, time, value) }
            })
            .collect();
        for format in FORMATS {
            let rows = Rows::Raw { key: TextPolicy::Auto, value: TextPolicy::Auto };
            let (path, bytes) = encode(format, rows, &records);
            let mut got = Vec::new();
            raw(&path, bytes.clone(), |r| {
                got.push((r.timestamp.millis(), r.value.map(<[u8]>::to_vec)));
                assert_eq!(r.key, r.value.map(|_| &b"key\xfe"[..]));
            })
            .unwrap();
            assert_eq!(got, want.map(|(time, value)| (time, value.map(<[u8]>::to_vec))));
            let offsets = offsets(&path, bytes.clone()).unwrap();
            assert_eq!(offsets, (7..11).map(Offset).collect::<Vec<_>>());
            assert!(raw("x.csv", bytes.clone(), |_| ()).is_err());
            assert!(counts(&path, bytes, |_| ()).is_err() || path.contains("jsonl"));
        }
    }

    #[test]
    fn counts_read_back_without_what_is_foreign() {
        let range = OffsetRange { from: Offset(0), to: Offset(9) };
        let mut writer = WindowWriter::new(
            OutputFormat::Json,
            (2_000, 4_000),
            CountKind::Part,
            &of(),
            range,
            None,
        );
        let value = writer.value("word", 3).to_string();
        let headers = [(NAME.as_bytes(), Some(writer.header().as_bytes()))];
        let time = Timestamp::Create(1);
        let count = Record {
            key: Some(b"word"),
            headers: &headers,
            ..record(0, time, Some(value.as_bytes()))
        };
        for format in FORMATS {
            let records = [count, record(1, time, Some(b"foreign"))];
            let (path, bytes) = encode(format, Rows::Counts, &records);
            let mut got = Vec::new();
            let row =
                |c: Count<'_>| got.push((c.start, c.kind.to_string(), c.word.to_string(), c.count));
            counts(&path, bytes, row).unwrap();
            assert_eq!(got, [(2_000, "part".to_string(), "word".to_string(), 3)]);
        }
    }

    /// Files of version 1, which a daemon wrote: times in milliseconds, in no column of their own.
    #[test]
    fn files_of_version_1_read_back() {
        let mut records = Vec::new();
        raw("a.parquet", golden!("raw-v1.parquet"), |r| {
            let value = String::from_utf8(r.value.unwrap().to_vec()).unwrap();
            records.push((r.timestamp.millis().unwrap(), value));
        })
        .unwrap();
        assert_eq!(records.len(), 19);
        let first = "nanananad ere8 obob2 jwjwjwj5 tgtgt49 uhuhuhuh3e qdqdqdqd6".to_string();
        assert_eq!(records[0], (1_735_751_120_000, first));
        assert_eq!(offsets("a.parquet", golden!("raw-v1.parquet")).unwrap().len(), 19);
        let mut sums = Vec::new();
        let row = |c: Count<'_>| sums.push((c.start, c.word.to_string(), c.count));
        counts("a.parquet", golden!("counts-v1.parquet"), row).unwrap();
        assert_eq!(sums.len(), 2);
        assert_eq!(sums[0], (1_735_930_940_000, "gtgtgtgc".to_string(), 1));
    }

    /// The lines that `encode` is compared with, read back.
    #[test]
    fn the_golden_lines_read_back() {
        let mut records = Vec::new();
        raw("a.jsonl", golden!("rows-raw.jsonl"), |r| {
            let bytes = |b: Option<&[u8]>| b.map(<[u8]>::to_vec);
            records.push((r.timestamp.millis(), bytes(r.key), bytes(r.value)));
        })
        .unwrap();
        let want = [
            (None, None, None),
            (Some(1_500), Some(vec![]), Some("line 1\n\"ä\"".as_bytes().to_vec())),
            (Some(1_795_368_000_123), Some(b"k\xff".to_vec()), Some(b"\x00\xfe".to_vec())),
        ];
        assert_eq!(records, want);
        let mut sums = Vec::new();
        let row = |c: Count<'_>| sums.push((c.start, c.word.to_string(), c.count));
        counts("a.jsonl", golden!("rows-counts.jsonl"), row).unwrap();
        let start = 1_795_368_000_000;
        let want = [("hello", 2), ("ä\"", i64::MAX), ("", 1)];
        assert_eq!(sums, want.map(|(word, n)| (start, word.to_string(), n)));
        let of = |golden| offsets("a.jsonl", golden).unwrap();
        assert_eq!(of(golden!("rows-raw.jsonl")), [3, 5, 9].map(Offset));
        assert_eq!(of(golden!("rows-counts.jsonl")), [7, 8, 9, 10, 11].map(Offset));
    }
}
