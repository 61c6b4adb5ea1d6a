//! Values of a record that may stand in a path.
//!
//! *Rule*: a value is escaped as Hive does it, and is never longer than [`LONGEST`]. So no record
//! leads out of the root, hides a file from readers, or makes a name that a store refuses.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use crate::pure::field::Field;
use crate::pure::field_path::FieldPath;
use crate::pure::layout::names::escape_segment;
use crate::pure::record::Record;

/// The most bytes of a value as it stands in a path; a longer one ends with `~` and its CRC-32C.
pub const LONGEST: usize = 150;
/// The most bytes of the name before a value: together they are a name that HDFS takes.
pub(super) const LONGEST_NAME: usize = 100;
/// The most values in one path: HDFS takes 8,000 characters, and Linux 4,096 bytes.
pub(super) const MOST: usize = 8;

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    Key,
    /// The last header of this name.
    Header(String),
    /// A field of a JSON value.
    Field(FieldPath),
}

impl Source {
    /// Reads what stands between the braces; [`None`] for what names no source.
    pub(super) fn parse(text: &str) -> Option<Source> {
        match text.split_once(':') {
            None if text == "key" => Some(Source::Key),
            Some(("header", name)) if !name.is_empty() => Some(Source::Header(name.into())),
            Some(("field", path)) => FieldPath::parse(path).map(Source::Field),
            _ => None,
        }
    }

    /// The value of a record; [`None`] where it has none: it is missing, null or empty, or an
    /// object or an array.
    pub(super) fn value<'a>(&self, record: &Record<'a>) -> Option<Cow<'a, [u8]>> {
        let value: Cow<'a, [u8]> = match self {
            Source::Key => record.key?.into(),
            Source::Header(name) => {
                let named = |(key, _): &&(&[u8], Option<&[u8]>)| *key == name.as_bytes();
                let (_, value) = record.headers.iter().rev().find(named)?;
                (*value)?.into()
            }
            Source::Field(path) => match path.find(record.value?)? {
                Field::Text(Cow::Borrowed(text)) => text.as_bytes().into(),
                Field::Text(Cow::Owned(text)) => text.into_bytes().into(),
                Field::Number(text) => text.as_bytes().into(),
                Field::Other(text) if matches!(&*text, "true" | "false") => {
                    text.into_owned().into_bytes().into()
                }
                Field::Null | Field::Other(_) => return None,
            },
        };
        (!value.is_empty()).then_some(value)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Key => f.write_str("key"),
            Source::Header(name) => write!(f, "header:{name}"),
            Source::Field(path) => write!(f, "field:{path}"),
        }
    }
}

/// Any bytes as one segment: what is not UTF-8 is escaped byte by byte.
pub(super) fn segment_of(value: &[u8]) -> String {
    // What lies behind the longest name that is kept decides about the checksum alone.
    let kept = value.get(..LONGEST).unwrap_or(value);
    let mut out = String::new();
    for chunk in kept.utf8_chunks() {
        match out.is_empty() {
            true => out.push_str(&escape_segment(chunk.valid())),
            // A dot in the midst of a value hides nothing.
            false => out.push_str(escape_segment(&format!("x{}", chunk.valid())).split_at(1).1),
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    if out.len() <= LONGEST && kept.len() == value.len() {
        return out;
    }
    let mut end = out.floor_char_boundary(LONGEST.saturating_sub(9));
    // No half of an escape.
    if let Some(at) = out[..end].rfind('%').filter(|at| end < at.saturating_add(3)) {
        end = at;
    }
    out.truncate(end);
    let _ = write!(out, "~{:08x}", crc32c::crc32c(value));
    out
}
