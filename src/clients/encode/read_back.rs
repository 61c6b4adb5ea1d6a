//! Files as their readers find them, for tests.

use std::io::{Cursor, Read as _};
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use arrow_avro::reader::ReaderBuilder;
use arrow_schema::ArrowError;
use bytes::Bytes;
use serde_json::Value;

/// Rows as JSON, without nulls.
fn as_json(batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>) -> Vec<Value> {
    let mut out = arrow_json::ArrayWriter::new(Vec::new());
    for batch in batches {
        let (schema, mut columns, _) = batch.unwrap().into_parts();
        // Names of zones need their table, which nothing else needs.
        for column in &mut columns {
            if let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>() {
                *column = Arc::new(times.clone().with_timezone("+00:00"));
            }
        }
        let named = schema.fields().iter().map(|field| field.name()).zip(columns);
        out.write(&RecordBatch::try_from_iter(named).unwrap()).unwrap();
    }
    out.finish().unwrap();
    serde_json::from_slice(&out.into_inner()).unwrap_or_default()
}

pub(super) fn parquet_as_json(bytes: Vec<u8>) -> Vec<Value> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap();
    as_json(reader.build().unwrap())
}

pub(super) fn avro_as_json(bytes: Vec<u8>) -> Vec<Value> {
    as_json(ReaderBuilder::new().build(Cursor::new(bytes)).unwrap())
}

/// The rows of a file of this name; a line of text is a string.
pub(crate) fn rows_as_json(path: &str, bytes: &[u8]) -> Vec<Value> {
    let mut text = String::new();
    if path.ends_with(".parquet") {
        return parquet_as_json(bytes.to_vec());
    }
    if path.ends_with(".avro") {
        return avro_as_json(bytes.to_vec());
    }
    if path.ends_with(".gz") {
        let _ = flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    } else if path.ends_with(".zst") {
        text = String::from_utf8(zstd::decode_all(bytes).unwrap()).unwrap();
    } else {
        text = String::from_utf8(bytes.to_vec()).unwrap();
    }
    let is_text = path.contains(".txt");
    text.split_terminator('\n')
        .map(|line| if is_text { line.into() } else { serde_json::from_str(line).unwrap() })
        .collect()
}
