//! The columns of Parquet files, version 2. Their names, types and ids are a promise to readers:
//! docs/files.md.
//!
//! *Version rule*: the footer names the version under `alluvium.version`; files of version 1 have
//! no such key. A new version only adds columns behind the others, or changes a type to one that
//! readers take together with the old one; the ids never change.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ::parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use arrow::array::{
    ArrayRef, BinaryBuilder, DictionaryArray, Int32Array, Int32Builder, Int64Builder, ListArray,
    ListBuilder, RecordBatch, StringArray, StringBuilder, StructArray, TimestampMicrosecondBuilder,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema, TimeUnit};

use crate::clients::encode::error::EncodeError;
use crate::clients::encode::foreign::count_or_foreign;
use crate::pure::calendar::YEARS;
use crate::pure::layout::format::TextPolicy;
use crate::pure::record::{Record, Timestamp, TopicPartition};

/// The version of the columns.
pub(super) const VERSION: &str = "2";

/// Rows of one file, gathered until they make a batch.
pub(super) trait Builder {
    fn schema(&self) -> Arc<Schema>;
    fn append(&mut self, record: &Record<'_>);
    fn rows(&self) -> usize;
    /// Bytes of the values gathered, about.
    fn bytes(&self) -> usize;
    fn batch(&mut self) -> Result<RecordBatch, EncodeError>;
    /// Columns of which most values differ: a dictionary is work for nothing.
    fn plain_columns(&self) -> &'static [&'static str];
}

/// The times that every reader holds, milliseconds: Spark refuses what lies before 1900 (it was
/// written by another calendar, perhaps), and pyarrow what lies behind the year 9999.
const READABLE: RangeInclusive<i64> = -2_208_988_800_000..=YEARS.1;

/// A time in microseconds; [`None`] where a reader could not hold it, and would fail at the whole
/// file. A column beside it has the number as it was.
fn readable_micros(millis: Option<i64>) -> Option<i64> {
    Some(millis.filter(|ms| READABLE.contains(ms))? * 1_000)
}

/// The field with its id: by that, tables with evolving schemas (Iceberg) know a column.
fn with_id(id: u32, field: Field) -> Field {
    let key = PARQUET_FIELD_ID_META_KEY.to_string();
    field.with_metadata([(key, id.to_string())])
}

/// Columns have the ids from 1 on, in their order; those inside of others have ids of their own.
fn schema_of(fields: Vec<Field>) -> Arc<Schema> {
    let fields: Vec<Field> = (1..).zip(fields).map(|(id, field)| with_id(id, field)).collect();
    Arc::new(Schema::new(fields))
}

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Text that repeats in every row. Parquet's dictionary is made once, not looked up a row at a
/// time; in the file the column is plain text.
fn constant() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn labels(keys: Vec<Option<i32>>, values: &[&str]) -> Result<ArrayRef, EncodeError> {
    let values = Arc::new(StringArray::from(values.to_vec()));
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(Int32Array::from(keys), values)?))
}

/// Bytes as text where they are UTF-8, and as bytes where they are not.
struct TextOrBytes {
    mode: TextPolicy,
    text: StringBuilder,
    bytes: BinaryBuilder,
    size: usize,
}

impl TextOrBytes {
    fn new(mode: TextPolicy) -> TextOrBytes {
        let (text, bytes) = (StringBuilder::new(), BinaryBuilder::new());
        TextOrBytes { mode, text, bytes, size: 0 }
    }

    #[inline]
    fn append(&mut self, value: Option<&[u8]>) {
        self.size += value.map_or(0, <[u8]>::len);
        match (self.mode, value, value.map(std::str::from_utf8)) {
            (TextPolicy::Auto, _, Some(Ok(text))) => {
                self.text.append_value(text);
                self.bytes.append_null();
            }
            (_, Some(bytes), _) => {
                self.text.append_null();
                self.bytes.append_value(bytes);
            }
            (_, None, _) => {
                self.text.append_null();
                self.bytes.append_null();
            }
        }
    }

    fn columns(&mut self) -> [ArrayRef; 2] {
        self.size = 0;
        [Arc::new(self.text.finish()), Arc::new(self.bytes.finish())]
    }
}

/// The raw envelope.
pub(super) struct RawRows {
    of: TopicPartition,
    schema: Arc<Schema>,
    offset: Int64Builder,
    time: TimestampMicrosecondBuilder,
    time_type: Vec<Option<i32>>,
    key: TextOrBytes,
    value: TextOrBytes,
    header_ends: Vec<i32>,
    header_keys: StringBuilder,
    header_values: BinaryBuilder,
    header_bytes: usize,
    time_ms: Int64Builder,
    /// A list only where a name is not UTF-8.
    name_bytes: ListBuilder<BinaryBuilder>,
}

const TIME_TYPES: [&str; 2] = ["CreateTime", "LogAppendTime"];

fn header_fields() -> Fields {
    let key = with_id(102, Field::new("key", DataType::Utf8, false));
    Fields::from(vec![key, with_id(103, Field::new("value", DataType::Binary, true))])
}

fn header_element() -> Arc<Field> {
    Arc::new(with_id(101, Field::new("element", DataType::Struct(header_fields()), false)))
}

fn name_element() -> Arc<Field> {
    Arc::new(with_id(104, Field::new("element", DataType::Binary, true)))
}

impl RawRows {
    pub(super) fn new(of: TopicPartition, key: TextPolicy, value: TextPolicy) -> RawRows {
        let nullable = |name, kind| Field::new(name, kind, true);
        let schema = schema_of(vec![
            Field::new("topic", constant(), false),
            Field::new("partition", DataType::Int32, false),
            Field::new("offset", DataType::Int64, false),
            nullable("timestamp", utc()),
            nullable("timestamp_type", constant()),
            nullable("key", DataType::Utf8),
            nullable("key_bytes", DataType::Binary),
            nullable("value", DataType::Utf8),
            nullable("value_bytes", DataType::Binary),
            Field::new("headers", DataType::List(header_element()), false),
            nullable("timestamp_ms", DataType::Int64),
            nullable("header_keys_bytes", DataType::List(name_element())),
        ]);
        RawRows {
            of,
            schema,
            offset: Int64Builder::new(),
            time: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            time_type: Vec::new(),
            key: TextOrBytes::new(key),
            value: TextOrBytes::new(value),
            header_ends: vec![0],
            header_keys: StringBuilder::new(),
            header_values: BinaryBuilder::new(),
            header_bytes: 0,
            time_ms: Int64Builder::new(),
            name_bytes: ListBuilder::new(BinaryBuilder::new()).with_field(name_element()),
        }
    }

    /// Names that are not UTF-8 would become one where their bytes are replaced.
    #[inline]
    fn append_names(&mut self, record: &Record<'_>) {
        let mut lossy = false;
        for (name, value) in record.headers {
            let text = String::from_utf8_lossy(name);
            lossy |= matches!(text, Cow::Owned(_));
            self.header_keys.append_value(text);
            self.header_values.append_option(*value);
            self.header_bytes += name.len() + value.map_or(0, <[u8]>::len);
        }
        for (name, _) in record.headers.iter().filter(|_| lossy) {
            let replaced = std::str::from_utf8(name).is_err();
            self.name_bytes.values().append_option(replaced.then_some(name));
        }
        self.name_bytes.append(lossy);
    }

    fn headers(&mut self) -> Result<ArrayRef, EncodeError> {
        let keys: ArrayRef = Arc::new(self.header_keys.finish());
        let values: ArrayRef = Arc::new(self.header_values.finish());
        let pairs = StructArray::try_new(header_fields(), vec![keys, values], None)?;
        let ends = std::mem::replace(&mut self.header_ends, vec![0]);
        self.header_bytes = 0;
        let ends = OffsetBuffer::new(ScalarBuffer::from(ends));
        Ok(Arc::new(ListArray::try_new(header_element(), ends, Arc::new(pairs), None)?))
    }
}

impl Builder for RawRows {
    fn schema(&self) -> Arc<Schema> {
        Arc::clone(&self.schema)
    }

    #[inline]
    fn append(&mut self, record: &Record<'_>) {
        self.offset.append_value(record.offset.0);
        let millis = record.timestamp.millis();
        self.time.append_option(readable_micros(millis));
        self.time_ms.append_option(millis);
        self.time_type.push(match record.timestamp {
            Timestamp::Create(_) => Some(0),
            Timestamp::LogAppend(_) => Some(1),
            Timestamp::Missing => None,
        });
        self.key.append(record.key);
        self.value.append(record.value);
        self.append_names(record);
        let last = *self.header_ends.last().expect("begins with 0");
        self.header_ends.push(last + record.headers.len() as i32);
    }

    fn rows(&self) -> usize {
        self.time_type.len()
    }

    fn bytes(&self) -> usize {
        self.key.size + self.value.size + self.header_bytes + self.rows() * 40
    }

    fn batch(&mut self) -> Result<RecordBatch, EncodeError> {
        let rows = self.rows();
        let topic = labels(vec![Some(0); rows], &[&self.of.topic])?;
        let partition: ArrayRef = Arc::new(Int32Array::from(vec![self.of.partition; rows]));
        let time_type = labels(std::mem::take(&mut self.time_type), &TIME_TYPES)?;
        let [key, key_bytes] = self.key.columns();
        let [value, value_bytes] = self.value.columns();
        let columns: Vec<ArrayRef> = vec![
            topic,
            partition,
            Arc::new(self.offset.finish()),
            Arc::new(self.time.finish()),
            time_type,
            key,
            key_bytes,
            value,
            value_bytes,
            self.headers()?,
            Arc::new(self.time_ms.finish()),
            Arc::new(self.name_bytes.finish()),
        ];
        Ok(RecordBatch::try_new(self.schema(), columns)?)
    }

    fn plain_columns(&self) -> &'static [&'static str] {
        &["offset", "timestamp", "timestamp_ms", "value", "value_bytes"]
    }
}

/// Published counts. Always to be summed, never upserted.
pub(super) struct CountRows {
    of: TopicPartition,
    schema: Arc<Schema>,
    start: TimestampMicrosecondBuilder,
    end: TimestampMicrosecondBuilder,
    word: StringBuilder,
    count: Int64Builder,
    kind: Vec<Option<i32>>,
    source: Int32Builder,
    offset: Int64Builder,
    foreign: BinaryBuilder,
    start_ms: Int64Builder,
    end_ms: Int64Builder,
    size: usize,
}

const KINDS: [&str; 3] = ["final", "part", "late"];

impl CountRows {
    pub(super) fn new(of: TopicPartition) -> CountRows {
        let nullable = |name, kind| Field::new(name, kind, true);
        let schema = schema_of(vec![
            nullable("window_start", utc()),
            nullable("window_end", utc()),
            nullable("word", DataType::Utf8),
            nullable("count", DataType::Int64),
            nullable("kind", constant()),
            nullable("source_partition", DataType::Int32),
            Field::new("topic", constant(), false),
            Field::new("partition", DataType::Int32, false),
            Field::new("offset", DataType::Int64, false),
            nullable("foreign_value", DataType::Binary),
            nullable("window_start_ms", DataType::Int64),
            nullable("window_end_ms", DataType::Int64),
        ]);
        let time = || TimestampMicrosecondBuilder::new().with_timezone("UTC");
        CountRows {
            of,
            schema,
            start: time(),
            end: time(),
            word: StringBuilder::new(),
            count: Int64Builder::new(),
            kind: Vec::new(),
            source: Int32Builder::new(),
            offset: Int64Builder::new(),
            foreign: BinaryBuilder::new(),
            start_ms: Int64Builder::new(),
            end_ms: Int64Builder::new(),
            size: 0,
        }
    }
}

impl Builder for CountRows {
    fn schema(&self) -> Arc<Schema> {
        Arc::clone(&self.schema)
    }

    #[inline]
    fn append(&mut self, record: &Record<'_>) {
        let parsed = count_or_foreign(record);
        let count = parsed.ok();
        let (start, end) = (count.map(|c| c.window_start), count.map(|c| c.window_end));
        self.start.append_option(readable_micros(start));
        self.end.append_option(readable_micros(end));
        self.start_ms.append_option(start);
        self.end_ms.append_option(end);
        self.word.append_option(count.map(|c| c.word));
        self.count.append_option(count.map(|c| c.count));
        let kind = count.and_then(|c| KINDS.iter().position(|k| *k == c.kind.label()));
        self.kind.push(kind.map(|k| k as i32));
        self.source.append_option(count.and_then(|c| c.source_partition));
        self.offset.append_value(record.offset.0);
        let foreign = parsed.err().map(|value| value.unwrap_or_default());
        self.foreign.append_option(foreign);
        self.size += count.map_or(0, |c| c.word.len()) + foreign.map_or(0, <[u8]>::len) + 64;
    }

    fn rows(&self) -> usize {
        self.kind.len()
    }

    fn bytes(&self) -> usize {
        self.size
    }

    fn batch(&mut self) -> Result<RecordBatch, EncodeError> {
        let rows = self.rows();
        self.size = 0;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.start.finish()),
            Arc::new(self.end.finish()),
            Arc::new(self.word.finish()),
            Arc::new(self.count.finish()),
            labels(std::mem::take(&mut self.kind), &KINDS)?,
            Arc::new(self.source.finish()),
            labels(vec![Some(0); rows], &[&self.of.topic])?,
            Arc::new(Int32Array::from(vec![self.of.partition; rows])),
            Arc::new(self.offset.finish()),
            Arc::new(self.foreign.finish()),
            Arc::new(self.start_ms.finish()),
            Arc::new(self.end_ms.finish()),
        ];
        Ok(RecordBatch::try_new(self.schema(), columns)?)
    }

    fn plain_columns(&self) -> &'static [&'static str] {
        &["offset", "foreign_value"]
    }
}
