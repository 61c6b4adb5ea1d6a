//! Parquet, by arrow's writer. Rows are gathered in column builders and written in batches.

use std::io::Write;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::arrow::arrow_writer::{
    ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves,
};
use ::parquet::basic::{Compression, GzipLevel, ZstdLevel};
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::ColumnPath;
use arrow_array::ArrayRef;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::clients::encode::changed::{changed_array, changed_type};
use crate::clients::encode::chunks::{Chunks, LARGE, SMALL};
use crate::clients::encode::dictionaries::columns_without_repeats;
use crate::clients::encode::error::EncodeError;
use crate::clients::encode::large::Column;
use crate::clients::encode::learned::Learned;
use crate::clients::encode::orders::with_orders_of_types;
use crate::clients::encode::rows::{Builder, VERSION};
use crate::clients::encode::zstd_levels::{extra_bytes, level_of};
use crate::pure::layout::format::{FormatOptions, ParquetCodec};
use crate::pure::layout::rules::Fit;
use crate::pure::record::Record;

/// Rows in a batch: enough to spread the cost of a batch, few enough to stay in the cache.
const BATCH_ROWS: usize = 2_048;
const BATCH_BYTES: usize = 1 << 20;
/// What the footer will say of one column of a row group, with statistics: an estimate.
const COLUMN_METADATA: usize = 700;
/// The same as it is written: rather too little than too much.
const COLUMN_IN_FOOTER: usize = 80;
/// Encoded bytes in a row group. Readers like them large; each open file holds one in memory.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// The writer's and the builders' own buffers of one column while a row group is open, beside what
/// they say of themselves: an estimate, rather too high than too low.
const OPEN_COLUMN: usize = 8 << 10;
/// The same for each declared column, which is measured with a thousand of them; zstd has a context
/// for each column, too.
const DECLARED_COLUMN: usize = 16 << 10;
const ZSTD_OF_COLUMN: usize = 14 << 10;
/// Columns whose pages are large: of these, zstd has large tables at higher levels.
const LARGE_COLUMNS: usize = 3;
/// Values of a row group that a Bloom filter is made for; with more of them it becomes less sharp.
/// Bytes of memory while the row group is open: about as many as this, for each filter.
const SEARCHED: u64 = 200_000;

pub(super) struct File<B> {
    writer: SerializedFileWriter<Chunks>,
    row_groups: ArrowRowGroupWriterFactory,
    /// The columns of the row group that is open; none between two of them.
    open_columns: Vec<ArrowColumnWriter>,
    rows: B,
    compression: Compression,
    options: FormatOptions,
    /// The schema of the file, if its times are plain numbers.
    plain: Option<Arc<Schema>>,
    /// Bytes of memory of an open row group, beside what the writer knows of.
    open: usize,
    taken: u64,
    /// Of the row groups that have ended.
    learned: Learned,
    /// Bytes of the values in the open row group, without the rows that are gathered.
    values: u64,
}

/// Held by the worker that writes a large record: two of them at the same time would need the
/// memory of both records.
static LARGE_ONE: Mutex<()> = Mutex::new(());

/// What all row groups have in common. Encodings that every reader knows: plain, dictionaries and
/// runs, in pages of version 1.
fn properties(compression: Compression) -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(compression)
        .set_writer_version(WriterVersion::PARQUET_1_0)
}

fn begin<W: Write + Send>(
    to: W,
    schema: Arc<Schema>,
    properties: WriterPropertiesBuilder,
) -> Result<(SerializedFileWriter<W>, ArrowRowGroupWriterFactory), EncodeError> {
    // Arrow's own schema in the file would make some readers see dictionaries.
    let options = ArrowWriterOptions::new()
        .with_properties(properties.build())
        .with_skip_arrow_metadata(true);
    Ok(ArrowWriter::try_new_with_options(to, schema, options)?.into_serialized_writer()?)
}

fn compression(codec: ParquetCodec, level: Option<i32>) -> Result<Compression, EncodeError> {
    Ok(match codec {
        ParquetCodec::None => Compression::UNCOMPRESSED,
        ParquetCodec::Snappy => Compression::SNAPPY,
        ParquetCodec::Gzip => Compression::GZIP(match level {
            Some(level) => GzipLevel::try_new(level.unsigned_abs())?,
            None => GzipLevel::default(),
        }),
        ParquetCodec::Zstd => Compression::ZSTD(ZstdLevel::try_new(level_of(level))?),
        ParquetCodec::Lz4 => Compression::LZ4_RAW,
    })
}

/// The Bloom filters that are asked for: each is as large as it must be for the values of its row
/// group, so that one of a hundred lookups in vain reads a row group.
fn with_filters(
    mut properties: WriterPropertiesBuilder,
    rows: &impl Builder,
    options: FormatOptions,
) -> WriterPropertiesBuilder {
    for column in rows.searched_columns().iter().filter(|_| options.bloom_filter) {
        properties = properties
            .set_column_bloom_filter_enabled(ColumnPath::from(*column), true)
            .set_column_bloom_filter_fpp(ColumnPath::from(*column), 0.01)
            .set_column_bloom_filter_max_ndv(ColumnPath::from(*column), SEARCHED);
    }
    properties
}

/// The same columns, with times as plain numbers of microseconds.
fn plain_times(schema: &Schema) -> Arc<Schema> {
    let leaf = |kind: &DataType| match kind {
        DataType::Timestamp(..) => DataType::Int64,
        kind => kind.clone(),
    };
    let with_type = |old: &Field, kind| old.clone().with_data_type(kind);
    let plain =
        |field: &Arc<Field>| with_type(field, changed_type(field.data_type(), &leaf, &with_type));
    Arc::new(Schema::new(schema.fields().iter().map(plain).collect::<Vec<_>>()))
}

/// The array as [`plain_times`] describes its column.
fn plain_array(array: ArrayRef, kind: &DataType) -> Result<ArrayRef, EncodeError> {
    changed_array(array, kind, &|array, _| {
        let times = array.as_primitive_opt::<TimestampMicrosecondType>();
        Ok(Arc::new(times.ok_or(EncodeError::Unfit)?.reinterpret_cast::<Int64Type>()))
    })
}

impl<B: Builder> File<B> {
    pub(super) fn new(
        rows: B,
        codec: ParquetCodec,
        options: FormatOptions,
    ) -> Result<File<B>, EncodeError> {
        let compression = compression(codec, options.level)?;
        let statistics = match options.page_index {
            true => EnabledStatistics::Page,
            false => EnabledStatistics::Chunk,
        };
        let mut properties = properties(compression)
            .set_statistics_enabled(statistics)
            .set_key_value_metadata(Some(vec![KeyValue::new(
                "alluvium.version".into(),
                VERSION.to_string(),
            )]))
            .set_created_by(format!("alluvium {}", env!("CARGO_PKG_VERSION")));
        for column in rows.plain_columns() {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(*column), false);
        }
        properties = with_filters(properties, &rows, options);
        let plain = options.plain_times.then(|| plain_times(&rows.schema()));
        let schema = plain.clone().unwrap_or_else(|| rows.schema());
        let columns = schema.fields().len();
        let zstd = if codec == ParquetCodec::Zstd { ZSTD_OF_COLUMN } else { 0 };
        let declared = rows.declared_columns();
        let of_all = columns.saturating_sub(declared);
        let declared = declared.saturating_add(rows.more_leaves());
        let open = of_all
            .saturating_mul(OPEN_COLUMN)
            .saturating_add(declared.saturating_mul(zstd.saturating_add(DECLARED_COLUMN)));
        let open = match codec {
            ParquetCodec::Zstd => open
                .saturating_add(LARGE_COLUMNS.saturating_mul(extra_bytes(level_of(options.level)))),
            _ => open,
        };
        let (writer, row_groups) = begin(Chunks::default(), schema, properties)?;
        let open_columns = Vec::new();
        Ok(File {
            writer,
            row_groups,
            open_columns,
            rows,
            compression,
            options,
            plain,
            open,
            taken: 0,
            learned: Learned::default(),
            values: 0,
        })
    }

    /// The columns of the file.
    fn schema(&self) -> Arc<Schema> {
        self.plain.clone().unwrap_or_else(|| self.rows.schema())
    }

    /// The rows that were gathered, as the file has them.
    fn batch(&mut self) -> Result<(Arc<Schema>, Vec<ArrayRef>), EncodeError> {
        let (schema, arrays, _) = self.rows.batch()?.into_parts();
        match &self.plain {
            Some(plain) => {
                let arrays = arrays.into_iter().zip(plain.fields());
                let arrays: Result<Vec<ArrayRef>, EncodeError> =
                    arrays.map(|(array, field)| plain_array(array, field.data_type())).collect();
                Ok((Arc::clone(plain), arrays?))
            }
            None => Ok((schema, arrays)),
        }
    }

    #[inline]
    pub(super) fn append(&mut self, record: &Record<'_>, fit: &Fit<'_>) -> Result<(), EncodeError> {
        if LARGE <= record.value.map_or(0, <[u8]>::len) && LARGE <= self.rows.bytes_of(record, fit)
        {
            self.end_row_group()?;
            let columns = self.rows.alone(record, fit)?;
            return self.write_large(columns);
        }
        self.rows.append(record, fit)?;
        if BATCH_ROWS <= self.rows.rows() || BATCH_BYTES <= self.rows.bytes() {
            self.write_batch()?;
        }
        Ok(())
    }

    fn write_batch(&mut self) -> Result<(), EncodeError> {
        if self.rows.rows() == 0 {
            return Ok(());
        }
        if LARGE <= self.rows.bytes() {
            self.flush()?;
            let (_, arrays, _) = self.rows.batch()?.into_parts();
            return self.write_large(arrays.into_iter().map(Column::Made).collect());
        }
        self.values = self.values.saturating_add(self.rows.bytes() as u64);
        let (schema, arrays) = self.batch()?;
        if self.open_columns.is_empty() {
            self.open_columns = self.begin_row_group(&schema, &arrays)?;
        }
        let mut columns = self.open_columns.iter_mut();
        for (field, array) in schema.fields().iter().zip(&arrays) {
            for (leaf, column) in compute_leaves(field, array)?.iter().zip(&mut columns) {
                column.write(leaf)?;
            }
        }
        if ROW_GROUP_BYTES <= self.in_progress_size() {
            self.flush()?;
        }
        Ok(())
    }

    /// The columns of the next row group, whose first rows are these.
    fn begin_row_group(
        &self,
        schema: &Arc<Schema>,
        arrays: &[ArrayRef],
    ) -> Result<Vec<ArrowColumnWriter>, EncodeError> {
        let number = self.writer.flushed_row_groups().len();
        let plain = columns_without_repeats(schema, arrays);
        if plain.is_empty() {
            return Ok(self.row_groups.create_column_writers(number)?);
        }
        let mut properties = WriterProperties::clone(self.writer.properties()).into_builder();
        for column in plain {
            properties = properties.set_column_dictionary_enabled(column, false);
        }
        let (_, row_groups) = begin(std::io::sink(), Arc::clone(schema), properties)?;
        Ok(row_groups.create_column_writers(number)?)
    }

    /// Writes a row group, column by column: of a record of many MiB, there are no more copies at a
    /// time than there must be. For that the large columns are one page each, and have neither
    /// dictionaries nor statistics.
    fn write_large(&mut self, all: Vec<Column<'_>>) -> Result<(), EncodeError> {
        let _alone = LARGE_ONE.lock();
        let schema = self.schema();
        let mut properties = properties(self.compression)
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_data_page_size_limit(i32::MAX as usize);
        for field in schema.fields().iter().filter(|f| f.data_type().is_primitive()) {
            let column = ColumnPath::from(field.name().as_str());
            let chunk = EnabledStatistics::Chunk;
            properties = properties.set_column_statistics_enabled(column, chunk);
        }
        properties = with_filters(properties, &self.rows, self.options);
        let (_, row_groups) = begin(std::io::sink(), Arc::clone(&schema), properties)?;
        let number = self.writer.flushed_row_groups().len();
        let mut columns = row_groups.create_column_writers(number)?.into_iter();
        self.writer.inner_mut().expect(all.iter().map(Column::bytes).sum());
        let mut row_group = self.writer.next_row_group()?;
        for (field, column) in schema.fields().iter().zip(all) {
            let array = match self.plain {
                Some(_) => plain_array(column.array(), field.data_type())?,
                None => column.array(),
            };
            let leaves = compute_leaves(field, &array)?;
            drop(array);
            for (leaf, mut column) in leaves.into_iter().zip(&mut columns) {
                column.write(&leaf)?;
                // The values are in the column's buffer now, and the array is dropped.
                drop(leaf);
                column.close()?.append_to_row_group(&mut row_group)?;
            }
        }
        let _ = row_group.close()?;
        Ok(self.writer.flush()?)
    }

    /// Ends the row group that is open.
    fn flush(&mut self) -> Result<(), EncodeError> {
        let before = self.exact_size();
        if !self.open_columns.is_empty() {
            let mut row_group = self.writer.next_row_group()?;
            for column in std::mem::take(&mut self.open_columns) {
                column.close()?.append_to_row_group(&mut row_group)?;
            }
            let _ = row_group.close()?;
        }
        self.writer.flush()?;
        let written = self.exact_size().saturating_sub(before);
        self.learned.add(std::mem::take(&mut self.values), written);
        Ok(())
    }

    /// The size of the open row group as it will be written, about, bytes.
    fn in_progress_size(&self) -> usize {
        self.open_columns.iter().map(ArrowColumnWriter::get_estimated_total_bytes).sum()
    }

    pub(super) fn end_row_group(&mut self) -> Result<(), EncodeError> {
        self.write_batch()?;
        self.flush()
    }

    pub(super) fn drain_bytes(&mut self, give: &mut dyn FnMut(Bytes)) {
        // The writer keeps its own count of what it wrote: nobody reads this buffer back.
        let given = self.writer.inner_mut().give_all(give) as u64;
        self.taken = self.taken.saturating_add(given);
    }

    /// All that is written is worth a write.
    pub(super) fn drain_all(&mut self, give: &mut dyn FnMut(Bytes)) {
        self.drain_bytes(give);
    }

    /// Whether more than the first bytes of the file waits for [`File::drain_bytes`]: the writer
    /// gives bytes when a row group ends.
    #[inline]
    pub(super) fn has_bytes(&self) -> bool {
        SMALL < self.writer.inner().waiting()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let open = 0 < self.rows.rows() || !self.open_columns.is_empty();
        let columns = self.rows.schema().fields().len().saturating_add(self.rows.more_leaves());
        // Builders double their buffers.
        let groups = self.writer.flushed_row_groups().len();
        let parts = [
            self.open_columns.iter().map(ArrowColumnWriter::memory_size).sum(),
            self.rows.bytes().saturating_mul(3) / 2,
            self.writer.inner().waiting(),
            groups.saturating_mul(columns).saturating_mul(COLUMN_METADATA),
            if open { self.open } else { 0 },
        ];
        parts.into_iter().fold(0, usize::saturating_add)
    }

    /// Bytes of the row groups that have ended.
    pub(super) fn exact_size(&self) -> u64 {
        self.taken.saturating_add(self.writer.inner().waiting() as u64)
    }

    /// What is in the open row group is not compressed yet, in part, so it says too much of itself.
    pub(super) fn size(&self) -> u64 {
        let gathered = self.rows.bytes();
        let values = self.values.saturating_add(gathered as u64);
        let unknown = self.in_progress_size().saturating_add(gathered) as u64;
        let open = usize::from(0 < values);
        let groups = self.writer.flushed_row_groups().len().saturating_add(open);
        let leaves = self.writer.schema_descr().num_columns();
        let footer = groups.saturating_mul(leaves).saturating_mul(COLUMN_IN_FOOTER) as u64;
        [self.exact_size(), self.learned.expected(values, unknown), footer]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// `about`: names and values that the footer carries.
    pub(super) fn finish(
        mut self,
        about: &[(&str, String)],
        give: &mut dyn FnMut(Bytes),
    ) -> Result<(), EncodeError> {
        self.write_batch()?;
        self.flush()?;
        for (name, value) in about {
            let pair = KeyValue::new(format!("alluvium.{name}"), value.clone());
            self.writer.append_key_value_metadata(pair);
        }
        self.drain_bytes(give);
        let _ = self.writer.finish()?;
        let columns = self.writer.schema_descr().num_columns();
        let mut footer = Vec::new();
        self.drain_bytes(&mut |piece| footer.push(piece));
        with_orders_of_types(footer, columns).into_iter().for_each(give);
        Ok(())
    }
}
