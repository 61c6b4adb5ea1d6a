//! Whether a file of Avro is whole: each block has as many rows as it says, and nothing behind
//! them.
//!
//! arrow-avro (60.1) asks for no more rows than a block names, and never ends at a block that has
//! bytes behind these: one bit that has changed in a count would keep `verify` busy for ever. It
//! also takes a block that is cut for the end of the file.

use std::borrow::Cow;
use std::io::Read;

use crate::pure::avro::datum::{Blocks, Bytes};
use crate::pure::avro::schema::Schema;

/// What snappy makes of a byte at most: a copy of 64 bytes has three.
const SNAPPY_OF_BYTE: usize = 64;

/// How many types a row may have beside those of its bytes: columns that are null.
const TYPES_OF_ROW: usize = 20_000;
/// The most bytes that a block may become: one record may be one, and none is as large as this.
const MOST_OF_BLOCK: u64 = 2 << 30;

/// Reads an object container file to its end.
///
/// # Errors
/// What is not as it should be.
pub(super) fn check(file: &[u8]) -> Result<(), String> {
    let rest = file.strip_prefix(b"Obj\x01").ok_or("the file does not begin as one of Avro")?;
    let mut bytes = Bytes::of(rest);
    let (mut schema, mut codec) = (None, &b"null"[..]);
    let mut entries = Blocks::default();
    while entries.more(&mut bytes)? {
        match (bytes.sized()?, bytes.sized()?) {
            (b"avro.schema", text) => schema = Some(text),
            (b"avro.codec", name) => codec = name,
            _ => {}
        }
    }
    let text = std::str::from_utf8(schema.ok_or("the file has no schema")?);
    let schema = Schema::parse(text.map_err(|e| format!("the schema is no text: {e}"))?, &[])?;
    let sync = bytes.take(16)?;
    while 0 < bytes.left() {
        block(&mut bytes, &schema, codec, sync)
            .map_err(|e| format!("the file does not end with a whole block: {e}"))?;
    }
    Ok(())
}

fn block(bytes: &mut Bytes<'_>, schema: &Schema, codec: &[u8], sync: &[u8]) -> Result<(), String> {
    let count = bytes.long()?;
    let packed = bytes.sized()?;
    if bytes.take(16)? != sync {
        return Err("a block is not followed by the file's mark".into());
    }
    let plain = unpacked(codec, packed)?;
    let mut rows = Bytes::of(&plain);
    for _ in 0..count {
        let before = rows.left();
        // Each byte is of a value that lies in a few others at most.
        let mut types_left = TYPES_OF_ROW.saturating_add(before.saturating_mul(4));
        rows.skip(schema, schema.root(), 0, &mut types_left)?;
        if before == rows.left() {
            return Err("rows have no bytes".into());
        }
    }
    match rows.left() {
        0 => Ok(()),
        left => Err(format!("a block of {count} rows has {left} bytes behind them")),
    }
}

fn unpacked<'a>(codec: &[u8], packed: &'a [u8]) -> Result<Cow<'a, [u8]>, String> {
    let mut plain = Vec::new();
    match codec {
        b"null" => return Ok(packed.into()),
        b"deflate" => {
            bounded(flate2::read::DeflateDecoder::new(packed), &mut plain)?;
        }
        b"snappy" => {
            // Behind the data is Avro's own checksum, which arrow-avro compares.
            let (packed, _) = packed.split_last_chunk::<4>().ok_or("a block is too short")?;
            let length = snap::raw::decompress_len(packed).map_err(|e| e.to_string())?;
            if packed.len().saturating_mul(SNAPPY_OF_BYTE) < length {
                return Err(format!("a block of {} bytes claims to be {length}", packed.len()));
            }
            let read = snap::raw::Decoder::new().decompress_vec(packed);
            plain = read.map_err(|e| e.to_string())?;
        }
        b"zstandard" => {
            let decoder = zstd::stream::read::Decoder::new(packed).map_err(|e| e.to_string())?;
            bounded(decoder, &mut plain)?;
        }
        other => return Err(format!("no such codec: {}", String::from_utf8_lossy(other))),
    }
    Ok(plain.into())
}

fn bounded(read: impl Read, into: &mut Vec<u8>) -> Result<(), String> {
    let read = read.take(MOST_OF_BLOCK).read_to_end(into).map_err(|e| e.to_string())?;
    match MOST_OF_BLOCK <= read as u64 {
        true => Err(format!("a block becomes {MOST_OF_BLOCK} bytes or more")),
        false => Ok(()),
    }
}
