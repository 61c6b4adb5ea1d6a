//! The columns of Parquet and Avro files, version 2. Their names, types and ids are a promise to
//! readers: docs/files.md.
//!
//! *Version rule*: the metadata of a file (of Parquet in its footer, of Avro in its header) names
//! the version under `alluvium.version`; files of version 1 have no such key. A new version only
//! adds columns behind the others, or changes a type to one that readers take together with the old
//! one; the ids never change.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, Int64Builder, ListBuilder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Int32Array, ListArray, RecordBatch, StringArray, StructArray,
};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};

use crate::clients::encode::error::EncodeError;
use crate::clients::encode::field_ids::with_id;
use crate::clients::encode::large::Column;
use crate::clients::encode::typed::{TypedColumns, field};
use crate::pure::layout::cells::{Cell, READABLE};
use crate::pure::layout::format::{ColumnRows, Rows, TextPolicy};
use crate::pure::layout::rules::Fit;
use crate::pure::record::{Record, Timestamp, TopicPartition};

/// The version of the columns.
pub(super) const VERSION: &str = "2";

/// A cell of more bytes is not copied where its row is written alone.
const SMALL_CELL: usize = 4 << 10;

/// Rows of one file, gathered until they make a batch.
pub(super) trait Builder {
    fn schema(&self) -> Arc<Schema>;
    /// Adds a row of the record, as the rules have it.
    fn append(&mut self, record: &Record<'_>, fit: &Fit<'_>) -> Result<(), EncodeError>;
    fn rows(&self) -> usize;
    /// Bytes of the values gathered, about.
    fn bytes(&self) -> usize;
    fn batch(&mut self) -> Result<RecordBatch, EncodeError>;
    /// Bytes of the values of one record, about.
    fn bytes_of(&self, record: &Record<'_>, fit: &Fit<'_>) -> usize;
    /// The columns of this row alone, while there is no other: large values are not copied yet.
    fn alone<'a>(
        &mut self,
        record: &Record<'a>,
        fit: &'a Fit<'a>,
    ) -> Result<Vec<Column<'a>>, EncodeError>;
    /// How many of the columns the mapping has declared.
    fn declared_columns(&self) -> usize {
        0
    }
    /// How many columns the parts of nested columns are, beside the first one of each.
    fn more_leaves(&self) -> usize {
        0
    }
    /// Columns of which most values differ: a dictionary is work for nothing.
    fn plain_columns(&self) -> &'static [&'static str];
    /// Columns of which readers look for single values.
    fn searched_columns(&self) -> &'static [&'static str];
}

/// A time in microseconds; [`None`] where a reader could not hold it, and would fail at the whole
/// file. A column beside it has the number as it was.
pub(super) fn readable_micros(millis: Option<i64>) -> Option<i64> {
    millis.filter(|ms| READABLE.contains(ms))?.checked_mul(1_000)
}

pub(super) fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Text that repeats in every row. Parquet's dictionary is made once, not looked up a row at a
/// time; in the file the column is plain text.
pub(super) fn constant() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

pub(super) fn labels(keys: Vec<Option<i32>>, values: &[&str]) -> Result<ArrayRef, EncodeError> {
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

    /// What stands in the two columns of a value; [`None`] for null.
    fn split(mode: TextPolicy, value: &[u8]) -> [Option<Column<'_>>; 2] {
        match (mode, std::str::from_utf8(value)) {
            (TextPolicy::Auto, Ok(text)) => [Some(Column::Text(text)), None],
            _ => [None, Some(Column::Bytes(value))],
        }
    }

    #[inline]
    fn append(&mut self, value: Option<&[u8]>) {
        self.size = self.size.saturating_add(value.map_or(0, <[u8]>::len));
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

/// The raw envelope, with what stands beside it: declared columns, or the error of the quarantine.
pub(super) struct RawRows {
    of: TopicPartition,
    schema: Arc<Schema>,
    offset: Int64Builder,
    time: TimestampMicrosecondBuilder,
    time_type: Vec<Option<i32>>,
    key: TextOrBytes,
    /// [`None`] where the declared columns replace it.
    value: Option<TextOrBytes>,
    header_ends: Vec<i32>,
    header_keys: StringBuilder,
    header_values: BinaryBuilder,
    header_bytes: usize,
    time_ms: Int64Builder,
    /// A list only where a name is not UTF-8.
    name_bytes: ListBuilder<BinaryBuilder>,
    beside: Beside,
}

/// What stands beside the envelope.
enum Beside {
    Nothing,
    Typed(TypedColumns),
    Error(StringBuilder),
}

impl Beside {
    fn append(&mut self, fit: &Fit<'_>) -> Result<(), EncodeError> {
        match (self, fit) {
            (Beside::Nothing, Fit::Raw) => Ok(()),
            (Beside::Typed(columns), Fit::Cells(cells)) => columns.append(cells),
            (Beside::Error(errors), Fit::Bad(why)) => {
                errors.append_value(why);
                Ok(())
            }
            _ => Err(EncodeError::Unfit),
        }
    }

    fn columns(&mut self) -> Result<Vec<ArrayRef>, EncodeError> {
        Ok(match self {
            Beside::Nothing => Vec::new(),
            Beside::Typed(columns) => columns.finish()?,
            Beside::Error(errors) => vec![Arc::new(errors.finish())],
        })
    }
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

/// The fields of the envelope, with their ids; without the value's where it is left out.
fn envelope(with_value: bool) -> Vec<Field> {
    let nullable = |name, kind| Field::new(name, kind, true);
    let fields = [
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
    ];
    let fields = (1..).zip(fields).map(|(id, field)| with_id(id, field));
    fields.filter(|f| with_value || !f.name().starts_with("value")).collect()
}

/// The id of the quarantine's column `error`.
const ERROR_ID: i32 = 13;

impl RawRows {
    /// The builder for such rows.
    ///
    /// # Errors
    /// The rows have a format of their own.
    pub(super) fn of(of: TopicPartition, rows: &Rows) -> Result<RawRows, EncodeError> {
        match rows {
            Rows::Raw { key, value } => Ok(RawRows::new(of, *key, *value)),
            Rows::Columns(columns) => RawRows::typed(of, columns),
            Rows::Quarantine => Ok(RawRows::quarantined(of)),
            // A file of a registered schema has its columns, and is told them.
            Rows::Registered(_) | Rows::Json { .. } | Rows::Values | Rows::Counts => {
                Err(EncodeError::Unfit)
            }
        }
    }

    fn new(of: TopicPartition, key: TextPolicy, value: TextPolicy) -> RawRows {
        RawRows::with(of, key, Some(value), envelope(true), Beside::Nothing)
    }

    /// Rows with declared columns behind the envelope.
    fn typed(of: TopicPartition, rows: &ColumnRows) -> Result<RawRows, EncodeError> {
        let columns = rows.columns.columns();
        let mut fields = envelope(rows.value.is_some());
        for column in columns {
            fields.push(with_id(column.id(), field(column)?));
        }
        let beside = Beside::Typed(TypedColumns::new(columns)?);
        Ok(RawRows::with(of, rows.key, rows.value, fields, beside))
    }

    /// Rows of the quarantine.
    fn quarantined(of: TopicPartition) -> RawRows {
        let mut fields = envelope(true);
        fields.push(with_id(ERROR_ID, Field::new("error", DataType::Utf8, false)));
        let beside = Beside::Error(StringBuilder::new());
        RawRows::with(of, TextPolicy::Auto, Some(TextPolicy::Auto), fields, beside)
    }

    fn with(
        of: TopicPartition,
        key: TextPolicy,
        value: Option<TextPolicy>,
        fields: Vec<Field>,
        beside: Beside,
    ) -> RawRows {
        RawRows {
            of,
            schema: Arc::new(Schema::new(fields)),
            offset: Int64Builder::new(),
            time: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            time_type: Vec::new(),
            key: TextOrBytes::new(key),
            value: value.map(TextOrBytes::new),
            header_ends: vec![0],
            header_keys: StringBuilder::new(),
            header_values: BinaryBuilder::new(),
            header_bytes: 0,
            time_ms: Int64Builder::new(),
            name_bytes: ListBuilder::new(BinaryBuilder::new()).with_field(name_element()),
            beside,
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
            let bytes = name.len().saturating_add(value.map_or(0, <[u8]>::len));
            self.header_bytes = self.header_bytes.saturating_add(bytes);
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
    fn append(&mut self, record: &Record<'_>, fit: &Fit<'_>) -> Result<(), EncodeError> {
        self.beside.append(fit)?;
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
        if let Some(value) = &mut self.value {
            value.append(record.value);
        }
        self.append_names(record);
        let last = *self.header_ends.last().expect("begins with 0");
        let headers = i32::try_from(record.headers.len()).ok();
        let end = headers.and_then(|headers| last.checked_add(headers));
        self.header_ends.push(end.expect("a batch has fewer headers than memory has bytes"));
        Ok(())
    }

    fn rows(&self) -> usize {
        self.time_type.len()
    }

    fn bytes(&self) -> usize {
        let value = self.value.as_ref().map_or(0, |value| value.size);
        let beside = match &self.beside {
            Beside::Typed(columns) => columns.bytes(),
            Beside::Error(errors) => errors.values_slice().len(),
            Beside::Nothing => 0,
        };
        let rest = self.rows().saturating_mul(40);
        [self.key.size, value, self.header_bytes, beside, rest]
            .into_iter()
            .fold(0, usize::saturating_add)
    }

    fn batch(&mut self) -> Result<RecordBatch, EncodeError> {
        let rows = self.rows();
        let topic = labels(vec![Some(0); rows], &[&self.of.topic])?;
        let partition: ArrayRef = Arc::new(Int32Array::from(vec![self.of.partition; rows]));
        let time_type = labels(std::mem::take(&mut self.time_type), &TIME_TYPES)?;
        let [key, key_bytes] = self.key.columns();
        let mut columns: Vec<ArrayRef> = vec![
            topic,
            partition,
            Arc::new(self.offset.finish()),
            Arc::new(self.time.finish()),
            time_type,
            key,
            key_bytes,
        ];
        columns.extend(self.value.as_mut().into_iter().flat_map(TextOrBytes::columns));
        columns.extend([
            self.headers()?,
            Arc::new(self.time_ms.finish()),
            Arc::new(self.name_bytes.finish()),
        ]);
        columns.extend(self.beside.columns()?);
        Ok(RecordBatch::try_new(self.schema(), columns)?)
    }

    fn bytes_of(&self, record: &Record<'_>, fit: &Fit<'_>) -> usize {
        let value = record.value.filter(|_| self.value.is_some()).map_or(0, <[u8]>::len);
        let cells = match fit {
            Fit::Cells(cells) => cells.iter().map(Cell::size).sum(),
            _ => 0,
        };
        let key = record.key.map_or(0, <[u8]>::len);
        [value, cells, key].into_iter().fold(0, usize::saturating_add)
    }

    fn alone<'a>(
        &mut self,
        record: &Record<'a>,
        fit: &'a Fit<'a>,
    ) -> Result<Vec<Column<'a>>, EncodeError> {
        let small = |cell: &Cell<'a>| match cell {
            Cell::Text(_) | Cell::Bytes(_) if SMALL_CELL < cell.size() => Cell::Null,
            cell => cell.clone(),
        };
        let without = match fit {
            Fit::Cells(cells) => &Fit::Cells(cells.iter().map(small).collect()),
            fit => fit,
        };
        self.append(&Record { value: None, ..*record }, without)?;
        let (schema, arrays, _) = self.batch()?.into_parts();
        let mut columns: Vec<Column<'a>> = arrays.into_iter().map(Column::Made).collect();
        if let Some((value, of)) = self.value.as_ref().zip(record.value) {
            let at = schema.index_of("value")?;
            for (at, column) in (at..).zip(TextOrBytes::split(value.mode, of)) {
                column.into_iter().for_each(|column| columns[at] = column);
            }
        }
        if let Fit::Cells(cells) = fit {
            let first = columns.len().saturating_sub(cells.len());
            for (at, cell) in (first..).zip(cells).filter(|(_, c)| SMALL_CELL < c.size()) {
                match cell {
                    Cell::Text(text) => columns[at] = Column::Text(text),
                    Cell::Bytes(bytes) => columns[at] = Column::Bytes(bytes),
                    _ => {}
                }
            }
        }
        Ok(columns)
    }

    fn declared_columns(&self) -> usize {
        match &self.beside {
            Beside::Typed(columns) => columns.len(),
            Beside::Nothing | Beside::Error(_) => 0,
        }
    }

    fn more_leaves(&self) -> usize {
        match &self.beside {
            Beside::Typed(columns) => columns.more_leaves(),
            Beside::Nothing | Beside::Error(_) => 0,
        }
    }

    fn plain_columns(&self) -> &'static [&'static str] {
        &["offset", "timestamp", "timestamp_ms", "value", "value_bytes"]
    }

    fn searched_columns(&self) -> &'static [&'static str] {
        &["key", "key_bytes"]
    }
}
