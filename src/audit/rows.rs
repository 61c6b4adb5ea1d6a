//! The offsets in a file of the archive, whatever its format.

use std::io::{BufRead, BufReader, Read};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;

use crate::record::Offset;

#[derive(Deserialize)]
struct Line {
    offset: i64,
}

/// Offsets in the order of the rows.
///
/// # Errors
/// The bytes are no file of this name's format, or a row has no offset.
pub fn offsets(path: &str, bytes: Bytes) -> Result<Vec<Offset>, String> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let extension = name.split_once('.').map_or("", |(_, e)| e);
    let plain: Box<dyn Read> = match extension {
        "parquet" => return parquet(bytes),
        "jsonl" => Box::new(std::io::Cursor::new(bytes)),
        "jsonl.gz" => Box::new(MultiGzDecoder::new(std::io::Cursor::new(bytes))),
        "jsonl.zst" => Box::new(
            zstd::stream::read::Decoder::new(std::io::Cursor::new(bytes))
                .map_err(|e| e.to_string())?,
        ),
        other => return Err(format!("no file of ours ends in {other:?}")),
    };
    let mut all = Vec::new();
    for line in BufReader::new(plain).lines() {
        let line = line.map_err(|e| e.to_string())?;
        let row: Line =
            serde_json::from_str(&line).map_err(|e| format!("line {}: {e}", all.len() + 1))?;
        all.push(Offset(row.offset));
    }
    Ok(all)
}

fn parquet(bytes: Bytes) -> Result<Vec<Offset>, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| text(&e))?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["offset"]);
    let mut all = Vec::new();
    for batch in builder.with_projection(mask).build().map_err(|e| text(&e))? {
        let batch = batch.map_err(|e| text(&e))?;
        let column = batch.column_by_name("offset").ok_or("no column named offset")?;
        let values = column.as_primitive_opt::<Int64Type>().ok_or("offset is not int64")?;
        all.extend(values.values().iter().map(|o| Offset(*o)));
    }
    Ok(all)
}
