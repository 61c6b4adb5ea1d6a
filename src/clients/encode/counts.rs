//! Published counts as typed columns: their names, types and ids are a promise, as those of `rows`.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, Int32Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};

use crate::clients::encode::error::EncodeError;
use crate::clients::encode::field_ids::with_id;
use crate::clients::encode::foreign::count_or_foreign;
use crate::clients::encode::large::Column;
use crate::clients::encode::rows::{Builder, constant, labels, readable_micros, utc};
use crate::pure::layout::rules::Fit;
use crate::pure::record::{Record, TopicPartition};

/// Columns have the ids from 1 on, in their order; those inside of others have ids of their own.
fn schema_of(fields: Vec<Field>) -> Arc<Schema> {
    let fields: Vec<Field> = (1..).zip(fields).map(|(id, field)| with_id(id, field)).collect();
    Arc::new(Schema::new(fields))
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
    fn append(&mut self, record: &Record<'_>, _: &Fit<'_>) -> Result<(), EncodeError> {
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
        let bytes = [count.map_or(0, |c| c.word.len()), foreign.map_or(0, <[u8]>::len), 64];
        self.size = bytes.into_iter().fold(self.size, usize::saturating_add);
        Ok(())
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

    fn bytes_of(&self, record: &Record<'_>, _: &Fit<'_>) -> usize {
        record.value.map_or(0, <[u8]>::len)
    }

    fn alone<'a>(
        &mut self,
        record: &Record<'a>,
        fit: &'a Fit<'a>,
    ) -> Result<Vec<Column<'a>>, EncodeError> {
        self.append(record, fit)?;
        let (_, arrays, _) = self.batch()?.into_parts();
        Ok(arrays.into_iter().map(Column::Made).collect())
    }

    fn plain_columns(&self) -> &'static [&'static str] {
        &["offset", "foreign_value"]
    }

    fn searched_columns(&self) -> &'static [&'static str] {
        &["word"]
    }
}
