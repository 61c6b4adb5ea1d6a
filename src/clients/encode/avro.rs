//! Avro's object container files. arrow-avro makes rows and the schema, of the same columns as
//! Parquet has; blocks are put together here, because its own writer has no levels of compression
//! and no metadata.

use std::cell::Cell;
use std::io::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_avro::schema::{AVRO_NAME_METADATA_KEY, AVRO_ROOT_RECORD_DEFAULT_NAME, AvroSchema};
use arrow_avro::writer::format::AvroBinaryFormat;
use arrow_avro::writer::{Encoder, WriterBuilder};
use arrow_schema::{DataType, Field, Fields, Schema};
use arrow_select::take::take;
use bytes::Bytes;

use crate::clients::encode::changed::{changed_array, changed_type};
use crate::clients::encode::chunks::{Chunks, SMALL};
use crate::clients::encode::error::EncodeError;
use crate::clients::encode::learned::Learned;
use crate::clients::encode::rows::{Builder, VERSION};
use crate::clients::encode::zstd_levels::level_of;
use crate::pure::avro::numbers::push_long;
use crate::pure::layout::format::AvroCodec;
use crate::pure::layout::rules::Fit;
use crate::pure::record::{Record, TopicPartition};

/// Rows in a block: enough to compress well, few enough for a reader's memory.
const BLOCK_ROWS: usize = 2_048;
const BLOCK_BYTES: usize = 1 << 20;

/// The memory of one file beside its rows, bytes: an estimate.
const OPEN: usize = 16 << 10;
/// The empty builder of one column, with room for a thousand offsets, and its encoder.
const COLUMN: usize = 8 << 10;

pub(super) struct File<B> {
    rows: B,
    schema: Arc<Schema>,
    encoder: Encoder,
    codec: Codec,
    sync: [u8; 16],
    out: Chunks,
    taken: u64,
    learned: Learned,
}

/// How blocks are compressed.
enum Codec {
    Null,
    Deflate(flate2::Compression),
    Snappy,
    Zstandard(i32),
}

impl Codec {
    fn new(codec: AvroCodec, level: Option<i32>) -> Codec {
        match codec {
            AvroCodec::Null => Codec::Null,
            AvroCodec::Deflate => Codec::Deflate(match level {
                Some(level) => flate2::Compression::new(level.unsigned_abs()),
                None => flate2::Compression::fast(),
            }),
            AvroCodec::Snappy => Codec::Snappy,
            AvroCodec::Zstandard => Codec::Zstandard(level_of(level)),
        }
    }

    /// The name in the file's metadata.
    fn name(&self) -> &'static str {
        match self {
            Codec::Null => "null",
            Codec::Deflate(_) => "deflate",
            Codec::Snappy => "snappy",
            Codec::Zstandard(_) => "zstandard",
        }
    }

    fn compress(&self, block: Bytes) -> Result<Bytes, EncodeError> {
        Ok(match self {
            Codec::Null => block,
            Codec::Deflate(level) => {
                let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), *level);
                encoder.write_all(&block)?;
                encoder.finish()?.into()
            }
            Codec::Snappy => {
                let packed = snap::raw::Encoder::new().compress_vec(&block);
                let mut packed = packed.map_err(std::io::Error::from)?;
                // Avro's own addition to snappy.
                let mut sum = flate2::Crc::new();
                sum.update(&block);
                packed.extend_from_slice(&sum.sum().to_be_bytes());
                packed.into()
            }
            Codec::Zstandard(level) => zstd::bulk::compress(&block, *level)?.into(),
        })
    }
}

/// A length or a count.
fn long(out: &mut impl Write, number: usize) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(10);
    push_long(number, &mut bytes);
    out.write_all(&bytes)
}

fn bytes(out: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    long(out, bytes.len())?;
    out.write_all(bytes)
}

/// Names that readers refuse for a record, beside that of the file's own: what Avro calls types.
const TYPES: [&str; 17] = [
    "null",
    "boolean",
    "int",
    "long",
    "float",
    "double",
    "bytes",
    "string",
    "array",
    "map",
    "union",
    "enum",
    "fixed",
    "record",
    "error",
    "error_union",
    "request",
];

/// Names for records that lie in others. The library names a record by its field, with a number
/// behind it if another one has the name.
struct Records {
    /// No field's name begins so, and thus no name that the library makes.
    prefix: String,
    given: Cell<u32>,
}

impl Records {
    fn of(fields: &Fields) -> Records {
        let (mut all, mut prefix) = (Vec::new(), String::from("record"));
        fields.iter().for_each(|field| names(field, &mut all));
        while all.iter().any(|name| name.starts_with(&prefix)) {
            prefix.push('_');
        }
        Records { prefix, given: Cell::new(0) }
    }

    /// The field, with a name for its record if its own cannot be one.
    fn named(&self, field: Field) -> Field {
        let name = field.name().as_str();
        let is_taken = name == AVRO_ROOT_RECORD_DEFAULT_NAME || TYPES.contains(&name);
        if !is_taken || !matches!(field.data_type(), DataType::Struct(_)) {
            return field;
        }
        let number = self.given.get().saturating_add(1);
        self.given.set(number);
        let name = format!("{}{number}_{name}", self.prefix);
        field.with_metadata([(AVRO_NAME_METADATA_KEY.to_string(), name)])
    }
}

/// The names of a field and of those in it.
fn names<'a>(field: &'a Field, to: &mut Vec<&'a str>) {
    to.push(field.name());
    match field.data_type() {
        DataType::List(inner) | DataType::Map(inner, _) => names(inner, to),
        DataType::Struct(fields) => fields.iter().for_each(|field| names(field, to)),
        _ => {}
    }
}

/// The field without what only Parquet has: dictionaries, and ids as Parquet names them.
fn plain(field: &Field, records: &Records) -> Field {
    let leaf = |kind: &DataType| match kind {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        kind => kind.clone(),
    };
    let without_id =
        |old: &Field, kind| records.named(Field::new(old.name(), kind, old.is_nullable()));
    without_id(field, changed_type(field.data_type(), &leaf, &without_id))
}

/// The array as [`plain`] describes its field. Bytes are copied where a dictionary was, and nowhere
/// else.
fn plain_array(array: ArrayRef, kind: &DataType) -> Result<ArrayRef, EncodeError> {
    changed_array(array, kind, &|array, _| {
        let dictionary = array.as_any_dictionary();
        Ok(take(dictionary.values(), dictionary.keys(), None)?)
    })
}

impl<B: Builder> File<B> {
    pub(super) fn new(
        rows: B,
        codec: AvroCodec,
        level: Option<i32>,
        of: &TopicPartition,
    ) -> Result<File<B>, EncodeError> {
        let schema = rows.schema();
        let records = Records::of(schema.fields());
        let fields: Fields = schema.fields().iter().map(|field| plain(field, &records)).collect();
        let schema = Arc::new(Schema::new(fields));
        let encoder = WriterBuilder::new((*schema).clone()).build_encoder::<AvroBinaryFormat>()?;
        let json = AvroSchema::try_from(&*schema)?.json_string;
        let (codec, sync) = (Codec::new(codec, level), uuid::Uuid::new_v4().into_bytes());
        let (mut out, partition) = (Chunks::default(), of.partition.to_string());
        let metadata = [
            ("avro.schema", json.as_str()),
            ("avro.codec", codec.name()),
            ("alluvium.version", VERSION),
            ("alluvium.topic", &*of.topic),
            ("alluvium.partition", &partition),
        ];
        out.write_all(b"Obj\x01")?;
        long(&mut out, metadata.len())?;
        for (name, value) in metadata {
            bytes(&mut out, name.as_bytes())?;
            bytes(&mut out, value.as_bytes())?;
        }
        long(&mut out, 0)?;
        out.write_all(&sync)?;
        let learned = Learned::default();
        Ok(File { rows, schema, encoder, codec, sync, out, taken: 0, learned })
    }

    #[inline]
    pub(super) fn append(&mut self, record: &Record<'_>, fit: &Fit<'_>) -> Result<(), EncodeError> {
        self.rows.append(record, fit)?;
        if BLOCK_ROWS <= self.rows.rows() || BLOCK_BYTES <= self.rows.bytes() {
            self.write_block()?;
        }
        Ok(())
    }

    pub(super) fn write_block(&mut self) -> Result<(), EncodeError> {
        let rows = self.rows.rows();
        if rows == 0 {
            return Ok(());
        }
        let (values, before) = (self.rows.bytes() as u64, self.exact_size());
        let (_, arrays, _) = self.rows.batch()?.into_parts();
        let fields = self.schema.fields().iter();
        let arrays: Result<Vec<ArrayRef>, EncodeError> = fields
            .zip(arrays)
            .map(|(field, array)| plain_array(array, field.data_type()))
            .collect();
        // The encoder compares the schema, which has its own metadata.
        self.encoder.encode(&RecordBatch::try_new(Arc::clone(&self.schema), arrays?)?)?;
        let block = self.codec.compress(self.encoder.flush().bytes().clone())?;
        long(&mut self.out, rows)?;
        bytes(&mut self.out, &block)?;
        self.out.write_all(&self.sync)?;
        self.learned.add(values, self.exact_size().saturating_sub(before));
        Ok(())
    }

    #[inline]
    pub(super) fn has_bytes(&self) -> bool {
        SMALL < self.out.waiting()
    }

    pub(super) fn drain_bytes(&mut self, give: &mut dyn FnMut(Bytes)) {
        let given = self.out.give_full(give) as u64;
        self.taken = self.taken.saturating_add(given);
    }

    pub(super) fn drain_all(&mut self, give: &mut dyn FnMut(Bytes)) {
        let given = self.out.give_all(give) as u64;
        self.taken = self.taken.saturating_add(given);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        // A codec has its memory while one block is compressed, and not for each open file.
        let columns = self.schema.fields().len().saturating_add(self.rows.more_leaves());
        let columns = columns.saturating_mul(COLUMN);
        // Builders double their buffers.
        let rows = self.rows.bytes().saturating_mul(3) / 2;
        [OPEN, columns, rows, self.out.memory_bytes()].into_iter().fold(0, usize::saturating_add)
    }

    /// Bytes of the blocks that are written.
    pub(super) fn exact_size(&self) -> u64 {
        self.taken.saturating_add(self.out.waiting() as u64)
    }

    pub(super) fn size(&self) -> u64 {
        let values = self.rows.bytes() as u64;
        self.exact_size().saturating_add(self.learned.expected(values, values))
    }

    pub(super) fn finish(mut self, give: &mut dyn FnMut(Bytes)) -> Result<(), EncodeError> {
        self.write_block()?;
        let _ = self.out.give_all(give);
        Ok(())
    }
}
