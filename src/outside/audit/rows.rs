//! Rows of the archive's files, whatever their format.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{BufRead, BufReader, Cursor, Read};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{Array, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow_avro::reader::ReaderBuilder;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::common::spawn::caught_quietly;
use crate::outside::audit::blocks::Checked;
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
    pub rows: u64,
    /// In the order of the rows; [`None`] for text, whose lines are the values alone.
    pub offsets: Option<Vec<Offset>>,
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
    let (mut all, mut found) = (Places::default(), Vec::new());
    match open(path, bytes)? {
        Table::Text(text) => {
            for line in BufReader::new(text).split(b'\n') {
                let _ = line.map_err(|e| e.to_string())?;
                all.rows = all.rows.saturating_add(1);
            }
            return Ok(all);
        }
        Table::Columns(file) => {
            file.batches(&["offset", "timestamp", "timestamp_ms"], |batch| {
                let offsets = column(batch, "offset")?.as_primitive_opt::<Int64Type>();
                let offsets = offsets.ok_or("offset is not int64")?;
                found.extend(offsets.values().iter().map(|o| Offset(*o)));
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
            found.push(Offset(line.offset));
            all.is_raw |= line.window_start.is_none();
            if let Some(time) = line.timestamp.as_deref().map(millis).transpose()? {
                all.add_time(time);
            }
            Ok(())
        })?,
    }
    all.rows = found.len() as u64;
    all.offsets = Some(found);
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

const NO_VALUES: &str = "the file has no column `value` (raw_value = false), so nothing can be \
                         counted again";

/// A member that is there, and may be null.
fn present<'de, D: Deserializer<'de>>(
    member: D,
) -> Result<Option<Option<Box<RawValue>>>, D::Error> {
    Option::deserialize(member).map(Some)
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
        /// Not there at all where declared columns replace it.
        #[serde(default, deserialize_with = "present")]
        value: Option<Option<Box<RawValue>>>,
        value_bytes: Option<String>,
    }
    match open(path, bytes)? {
        Table::Text(_) => {
            Err("its lines are values alone, without keys and times, so nothing can be counted \
                 again"
                .into())
        }
        Table::Columns(file) => file.batches(&RAW, |batch| {
            let times = millis_of(batch, "timestamp")?;
            if batch.column_by_name("value").is_none() {
                return Err(NO_VALUES.into());
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
            let Some(value) = line.value else { return Err(NO_VALUES.into()) };
            let value = value.map(|raw| match string(raw.get()) {
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
        Table::Text(_) => Err("text has no counts".into()),
        Table::Columns(file) => file.batches(&COUNTS, |batch| {
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
    Columns(Columns),
    Lines(Box<dyn Read>),
    /// Values alone, one a line.
    Text(Box<dyn Read>),
}

/// A file that is read as columns.
enum Columns {
    Parquet(Bytes),
    Avro(Bytes),
}

fn open(path: &str, bytes: Bytes) -> Result<Table, String> {
    let name = path.rsplit('/').next().unwrap_or_default();
    // Topics have dots in their names, too.
    let ours = ["parquet", "avro", "jsonl", "jsonl.gz", "jsonl.zst", "txt", "txt.gz", "txt.zst"];
    let ends = |e: &&str| name.strip_suffix(e).is_some_and(|rest| rest.ends_with('.'));
    let extension = ours.into_iter().find(ends).unwrap_or(name);
    let (kind, codec) = extension.split_once('.').unwrap_or((extension, ""));
    let plain: Box<dyn Read> = match (kind, codec) {
        ("parquet", "") => return Ok(Table::Columns(Columns::Parquet(bytes))),
        ("avro", "") => return Ok(Table::Columns(Columns::Avro(bytes))),
        ("jsonl" | "txt", "") => Box::new(Cursor::new(bytes)),
        ("jsonl" | "txt", "gz") => Box::new(MultiGzDecoder::new(Cursor::new(bytes))),
        ("jsonl" | "txt", "zst") => Box::new(
            zstd::stream::read::Decoder::new(Cursor::new(bytes)).map_err(|e| e.to_string())?,
        ),
        _ => return Err(format!("{extension:?} is not the name of a file of an archive")),
    };
    Ok(if kind == "txt" { Table::Text(plain) } else { Table::Lines(plain) })
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

/// A call of a format's library, which panics at some damaged files (arrow-buffer 60.1: "offset +
/// len out of bounds").
fn quietly<T, E: Display>(library: &str, call: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match caught_quietly(call) {
        Ok(answer) => answer.map_err(|e| e.to_string()),
        Err(panic) => Err(format!("the {library} library panics at it: {panic}")),
    }
}

fn parquet<T, E: Display>(call: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    quietly("Parquet", call)
}

impl Columns {
    /// Calls `batch` with all rows in their order, which have at least those of these columns that
    /// the file has.
    fn batches(
        self,
        columns: &[&str],
        mut batch: impl FnMut(&RecordBatch) -> Result<(), String>,
    ) -> Result<(), String> {
        match self {
            Columns::Parquet(bytes) => {
                let builder = parquet(|| ParquetRecordBatchReaderBuilder::try_new(bytes))?;
                let schema = builder.parquet_schema();
                let mask = ProjectionMask::columns(schema, columns.iter().copied());
                let mut read = parquet(|| builder.with_projection(mask).build())?;
                while let Some(next) = parquet(|| read.next().transpose())? {
                    batch(&next)?;
                }
            }
            Columns::Avro(bytes) => {
                let mut file = Checked::of(&bytes)?;
                let read = batches_of_avro(&mut file, batch);
                // What was found first says more than the library, which got no more bytes then.
                file.refused.map_or(read, Err)?;
            }
        }
        Ok(())
    }
}

fn batches_of_avro(
    file: &mut Checked<'_>,
    mut batch: impl FnMut(&RecordBatch) -> Result<(), String>,
) -> Result<(), String> {
    let mut read = quietly("Avro", move || ReaderBuilder::new().build(file))?;
    while let Some(next) = quietly("Avro", || read.next().transpose())? {
        batch(&next)?;
    }
    Ok(())
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array, String> {
    let column = batch.column_by_name(name).ok_or_else(|| format!("no column named {name}"))?;
    Ok(&**column)
}
