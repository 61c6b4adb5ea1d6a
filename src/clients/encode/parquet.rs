//! Parquet, by arrow's writer. Rows are gathered in column builders and written in batches.

use ::parquet::arrow::ArrowWriter;
use ::parquet::arrow::arrow_writer::ArrowWriterOptions;
use ::parquet::basic::{Compression, GzipLevel, ZstdLevel};
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use ::parquet::schema::types::ColumnPath;
use bytes::Bytes;

use crate::clients::encode::error::EncodeError;
use crate::clients::encode::rows::{Builder, VERSION};
use crate::pure::layout::format::ParquetCodec;
use crate::pure::layout::rules::Fit;
use crate::pure::record::Record;

/// Rows in a batch: enough to spread the cost of a batch, few enough to stay in the cache.
const BATCH_ROWS: usize = 2_048;
/// What the footer will say of one column of a row group, with statistics: an estimate.
const COLUMN_METADATA: usize = 700;
const BATCH_BYTES: usize = 1 << 20;
/// Encoded bytes in a row group. Readers like them large; each open file holds one in memory.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// What the writer wrote, in chunks: one growing buffer would be moved again and again.
#[derive(Default)]
pub(super) struct Chunks {
    full: Vec<Bytes>,
    last: Vec<u8>,
    waiting: usize,
}

const CHUNK: usize = 256 << 10;
/// The file's first four bytes alone are not worth a chunk.
const SMALL: usize = 64;
/// The writer's and the builders' own buffers of one column while a row group is open, beside what
/// they say of themselves: an estimate, rather too high than too low.
const OPEN_COLUMN: usize = 8 << 10;
/// The same for each declared column, which is measured with a thousand of them; zstd has a context
/// for each column, too.
const DECLARED_COLUMN: usize = 16 << 10;
const ZSTD_OF_COLUMN: usize = 14 << 10;

impl std::io::Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.last.capacity() == 0 {
            // Much is written at once, or very little.
            self.last.reserve_exact(bytes.len().next_power_of_two().clamp(SMALL, CHUNK));
        }
        let n = bytes.len().min(self.last.capacity() - self.last.len());
        self.last.extend_from_slice(&bytes[..n]);
        self.waiting += n;
        if self.last.len() == CHUNK {
            self.full.push(std::mem::take(&mut self.last).into());
        } else if self.last.len() == self.last.capacity() {
            self.last.reserve_exact(self.last.len().min(CHUNK - self.last.len()));
        }
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(super) struct File<B> {
    writer: ArrowWriter<Chunks>,
    rows: B,
    columns: usize,
    /// Bytes of memory of an open row group, beside what the writer knows of.
    open: usize,
    taken: u64,
}

impl<B: Builder> File<B> {
    pub(super) fn new(rows: B, codec: ParquetCodec) -> Result<File<B>, EncodeError> {
        let compression = match codec {
            ParquetCodec::None => Compression::UNCOMPRESSED,
            ParquetCodec::Snappy => Compression::SNAPPY,
            ParquetCodec::Gzip => Compression::GZIP(GzipLevel::default()),
            ParquetCodec::Zstd => Compression::ZSTD(ZstdLevel::try_new(1)?),
            ParquetCodec::Lz4 => Compression::LZ4_RAW,
        };
        // Encodings that every reader knows: plain, dictionaries and runs, in pages of version 1.
        let mut properties = WriterProperties::builder()
            .set_compression(compression)
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_key_value_metadata(Some(vec![KeyValue::new(
                "alluvium.version".into(),
                VERSION.to_string(),
            )]))
            .set_created_by(format!("alluvium {}", env!("CARGO_PKG_VERSION")));
        for column in rows.plain_columns() {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(*column), false);
        }
        // Arrow's own schema in the file would make some readers see dictionaries.
        let options = ArrowWriterOptions::new()
            .with_properties(properties.build())
            .with_skip_arrow_metadata(true);
        let schema = rows.schema();
        let columns = schema.fields().len();
        let zstd = if codec == ParquetCodec::Zstd { ZSTD_OF_COLUMN } else { 0 };
        let declared = rows.declared_columns();
        let open = (columns - declared) * OPEN_COLUMN + declared * (DECLARED_COLUMN + zstd);
        let writer = ArrowWriter::try_new_with_options(Chunks::default(), schema, options)?;
        Ok(File { writer, rows, columns, open, taken: 0 })
    }

    #[inline]
    pub(super) fn append(&mut self, record: &Record<'_>, fit: &Fit<'_>) -> Result<(), EncodeError> {
        self.rows.append(record, fit)?;
        if BATCH_ROWS <= self.rows.rows() || BATCH_BYTES <= self.rows.bytes() {
            self.write_batch()?;
        }
        Ok(())
    }

    fn write_batch(&mut self) -> Result<(), EncodeError> {
        if self.rows.rows() > 0 {
            self.writer.write(&self.rows.batch()?)?;
            if ROW_GROUP_BYTES <= self.writer.in_progress_size() {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), EncodeError> {
        self.writer.flush()?;
        Ok(self.writer.sync()?)
    }

    pub(super) fn end_row_group(&mut self) -> Result<(), EncodeError> {
        self.write_batch()?;
        self.flush()
    }

    pub(super) fn drain_bytes(&mut self, give: &mut dyn FnMut(Bytes)) {
        // The writer keeps its own count of what it wrote: nobody reads this buffer back.
        let chunks = std::mem::take(self.writer.inner_mut());
        self.taken += chunks.waiting as u64;
        chunks.full.into_iter().for_each(&mut *give);
        if !chunks.last.is_empty() {
            // It may wait for the store: with its own bytes only.
            give(chunks.last.into_boxed_slice().into());
        }
    }

    /// Whether a row group has ended since the last [`File::drain_bytes`].
    #[inline]
    pub(super) fn has_bytes(&self) -> bool {
        SMALL < self.writer.inner().waiting
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let open = 0 < self.rows.rows() || 0 < self.writer.in_progress_rows();
        // Builders double their buffers.
        self.writer.memory_size()
            + self.rows.bytes() * 3 / 2
            + self.writer.inner().waiting
            + self.writer.flushed_row_groups().len() * self.columns * COLUMN_METADATA
            + self.open * usize::from(open)
    }

    pub(super) fn size(&self) -> u64 {
        let waiting = self.writer.in_progress_size() + self.writer.inner().waiting;
        self.taken + waiting as u64
    }

    /// `about`: names and values that the footer carries.
    pub(super) fn finish(
        mut self,
        about: &[(&str, String)],
        give: &mut dyn FnMut(Bytes),
    ) -> Result<(), EncodeError> {
        self.write_batch()?;
        for (name, value) in about {
            let pair = KeyValue::new(format!("alluvium.{name}"), value.clone());
            self.writer.append_key_value_metadata(pair);
        }
        let _ = self.writer.finish()?;
        self.drain_bytes(give);
        Ok(())
    }
}
