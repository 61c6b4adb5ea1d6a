//! A file of Avro as arrow-avro may read it: each block is unpacked once, and walked before the
//! library gets it.
//!
//! arrow-avro (60.1) asks for no more rows than a block names, and never ends at a block that has
//! bytes behind these: one bit that has changed in a count would keep `verify` busy for ever. It
//! also takes a block that is cut for the end of the file, and panics at one that is shorter than
//! its checksum.

use std::borrow::Cow;
use std::io::{self, BufRead, Chain, Cursor, Read};

use crate::pure::avro::datum::{Blocks, Bytes};
use crate::pure::avro::numbers::push_long;
use crate::pure::avro::schema::Schema;

/// What snappy makes of a byte at most: a copy of 64 bytes has three.
const SNAPPY_OF_BYTE: usize = 64;

/// How many types a row may have beside those of its bytes: columns that are null.
const TYPES_OF_ROW: usize = 20_000;
/// The most bytes that a block may become: one record may be one, and none is as large as this.
const MOST_OF_BLOCK: u64 = 2 << 30;

/// Bytes that are given to the library: numbers, what they describe, and the file's mark.
type Piece<'a> = Chain<Chain<Cursor<Vec<u8>>, Cursor<Cow<'a, [u8]>>>, &'a [u8]>;

/// An object container file, to be read as one whose blocks are not compressed. Each of its blocks
/// has as many rows as it says, and nothing behind them; at the first one that has not, reading
/// fails.
pub(super) struct Checked<'a> {
    /// The blocks that are not looked at yet.
    rest: Bytes<'a>,
    schema: Schema,
    codec: &'a [u8],
    /// What follows each block.
    mark: &'a [u8],
    /// The header or a block, of which a part may be read already.
    piece: Piece<'a>,
    /// Why reading has failed; [`None`] while it has not.
    pub(super) refused: Option<String>,
}

impl<'a> Checked<'a> {
    /// The file, of which only the header is read now.
    ///
    /// # Errors
    /// The header is not one of Avro, or its schema is none.
    pub(super) fn of(file: &'a [u8]) -> Result<Checked<'a>, String> {
        let rest = file.strip_prefix(b"Obj\x01").ok_or("the file does not begin as one of Avro")?;
        let mut rest = Bytes::of(rest);
        let (mut schema, mut codec) = (None, &b"null"[..]);
        let mut entries = Blocks::default();
        while entries.more(&mut rest)? {
            match (rest.sized()?, rest.sized()?) {
                (b"avro.schema", text) => schema = Some(text),
                (b"avro.codec", name) => codec = name,
                _ => {}
            }
        }
        let text = schema.ok_or("the file has no schema")?;
        let schema = std::str::from_utf8(text).map_err(|e| format!("the schema is no text: {e}"));
        let (schema, mark) = (Schema::parse(schema?, &[])?, rest.take(16)?);
        // The same schema alone, in a map of one entry.
        let mut header = b"Obj\x01\x02\x16avro.schema".to_vec();
        push_long(text.len(), &mut header);
        header.extend_from_slice(text);
        header.push(0);
        let piece = piece(header, Cow::default(), mark);
        Ok(Checked { rest, schema, codec, mark, piece, refused: None })
    }

    /// The next block, unpacked.
    fn block(&mut self) -> Result<Piece<'a>, String> {
        let count = self.rest.long()?;
        let rows = usize::try_from(count).map_err(|_| format!("a block has {count} rows"))?;
        let packed = self.rest.sized()?;
        if self.rest.take(16)? != self.mark {
            return Err("a block is not followed by the file's mark".into());
        }
        let plain = unpacked(self.codec, packed)?;
        walk(&self.schema, rows, &plain)?;
        let mut numbers = Vec::new();
        push_long(rows, &mut numbers);
        push_long(plain.len(), &mut numbers);
        Ok(piece(numbers, plain, self.mark))
    }
}

fn piece<'a>(numbers: Vec<u8>, plain: Cow<'a, [u8]>, mark: &'a [u8]) -> Piece<'a> {
    Cursor::new(numbers).chain(Cursor::new(plain)).chain(mark)
}

impl BufRead for Checked<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece.fill_buf()?.is_empty() && 0 < self.rest.left() {
            match self.block() {
                Ok(block) => self.piece = block,
                Err(why) => {
                    self.refused = Some(format!("the file does not end with a whole block: {why}"));
                    return Err(io::Error::other(why));
                }
            }
        }
        self.piece.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.piece.consume(bytes);
    }
}

impl Read for Checked<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut some = self.fill_buf()?;
        let read = some.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

/// Passes over the rows of a block.
///
/// # Errors
/// They are no rows of the schema, have no bytes, or there are bytes behind them.
fn walk(schema: &Schema, rows: usize, plain: &[u8]) -> Result<(), String> {
    let mut rest = Bytes::of(plain);
    for _ in 0..rows {
        let before = rest.left();
        // Each byte is of a value that lies in a few others at most.
        let mut types_left = TYPES_OF_ROW.saturating_add(before.saturating_mul(4));
        rest.skip(schema, schema.root(), 0, &mut types_left)?;
        if before == rest.left() {
            return Err("rows have no bytes".into());
        }
    }
    match rest.left() {
        0 => Ok(()),
        left => Err(format!("a block of {rows} rows has {left} bytes behind them")),
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
            // Behind the data is Avro's own checksum.
            let (packed, sum) = packed.split_last_chunk::<4>().ok_or("a block is too short")?;
            let length = snap::raw::decompress_len(packed).map_err(|e| e.to_string())?;
            if packed.len().saturating_mul(SNAPPY_OF_BYTE) < length {
                return Err(format!("a block of {} bytes claims to be {length}", packed.len()));
            }
            let read = snap::raw::Decoder::new().decompress_vec(packed);
            plain = read.map_err(|e| e.to_string())?;
            let mut own = flate2::Crc::new();
            own.update(&plain);
            if own.sum() != u32::from_be_bytes(*sum) {
                return Err("the checksum of a block is that of other bytes".into());
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of one block, whose rows are numbers; `sum` is what its checksum is changed by.
    fn file(codec: &str, sum: u32) -> Vec<u8> {
        let rows = [2, 4, 6];
        let packed = match codec {
            "snappy" => {
                let mut packed = snap::raw::Encoder::new().compress_vec(&rows).unwrap();
                let mut own = flate2::Crc::new();
                own.update(&rows);
                packed.extend_from_slice(&(own.sum() ^ sum).to_be_bytes());
                packed
            }
            "zstandard" => zstd::bulk::compress(&rows, 1).unwrap(),
            _ => rows.to_vec(),
        };
        let mut out = b"Obj\x01\x04\x16avro.schema\x0c\"long\"\x14avro.codec".to_vec();
        push_long(codec.len(), &mut out);
        out.extend_from_slice(codec.as_bytes());
        out.push(0);
        out.extend_from_slice(&[7; 16]);
        push_long(rows.len(), &mut out);
        push_long(packed.len(), &mut out);
        out.extend_from_slice(&packed);
        out.extend_from_slice(&[7; 16]);
        out
    }

    #[test]
    fn whatever_the_codec_is_the_library_gets_the_same_plain_file() {
        let want = [&b"Obj\x01\x02\x16avro.schema\x0c\"long\"\0"[..], &[7; 16]].concat();
        let want = [&want[..], &[6, 6, 2, 4, 6], &[7; 16]].concat();
        for codec in ["null", "snappy", "zstandard"] {
            let packed = file(codec, 0);
            let (mut checked, mut plain) = (Checked::of(&packed).unwrap(), Vec::new());
            let _ = checked.read_to_end(&mut plain).unwrap();
            assert_eq!((plain, checked.refused), (want.clone(), None), "{codec}");
        }
    }

    #[test]
    fn a_block_that_is_not_whole_is_never_given() {
        let header = file("null", 0).len() - 5 - 16;
        let changed = |at: usize, to: u8| {
            let mut file = file("null", 0);
            file[header + at] = to;
            file
        };
        let refused = |file: &[u8]| {
            let (mut checked, mut plain) = (Checked::of(file).unwrap(), Vec::new());
            assert!(checked.read_to_end(&mut plain).is_err());
            assert!(plain.ends_with(&[7; 16]), "the header alone");
            checked.refused.unwrap()
        };
        for (file, want) in [
            (changed(0, 4), "a block of 2 rows has 1 bytes behind them"),
            (changed(0, 8), "too early"),
            (changed(0, 5), "a block has -3 rows"),
            (changed(1, 4), "the file's mark"),
            (changed(5, 8), "the file's mark"),
            (file("null", 0)[..header + 9].to_vec(), "too early"),
            (file("snappy", 1), "checksum"),
            (file("lzma", 0), "no such codec: lzma"),
        ] {
            let why = refused(&file);
            assert!(why.contains(want), "{why}");
        }
    }
}
