//! One datum of Avro, read value by value.
//!
//! *Rule*: whatever the bytes are, the memory is bounded by their number and by the schema, and the
//! depth by [`DEEPEST`]. Values without bytes (an array of a billion nulls) are bounded by the text
//! that they would make.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::pure::avro::numbers::{digits, whole};
use crate::pure::avro::schema::{Kind, Logical, Schema, Type, TypeId};
use crate::pure::json::{push_bytes, push_double, push_text};

/// Values lie this deep in each other at most.
const DEEPEST: usize = 64;
/// The JSON of a datum has so many bytes at most, and so many more for each byte of the datum.
const TEXT: usize = 16 << 10;
const TEXT_OF_BYTE: usize = 48;
/// And so many more than the datum at most, whatever its size.
const MOST_TEXT: usize = 32 << 20;

/// A value that a column may hold as it is.
#[derive(Clone, PartialEq, Debug)]
pub enum Datum<'a> {
    Null,
    Boolean(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Bytes(&'a [u8]),
    Text(Cow<'a, str>),
    /// The JSON of everything else.
    Json(String),
}

/// The bytes of one datum that are not read yet.
pub struct Bytes<'a> {
    rest: &'a [u8],
    /// How much JSON may still be made of them.
    text_left: usize,
}

/// How a value is broken, in words.
type Broken = String;

impl<'a> Bytes<'a> {
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Bytes<'a> {
        let by_size = TEXT.saturating_add(bytes.len().saturating_mul(TEXT_OF_BYTE));
        let most = MOST_TEXT.saturating_add(bytes.len());
        Bytes { rest: bytes, text_left: by_size.min(most) }
    }

    /// Everything was read.
    ///
    /// # Errors
    /// There are bytes behind the last value.
    pub fn end(&self) -> Result<(), Broken> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(format!("{left} bytes are left behind the last field")),
        }
    }

    /// The next value: as it is if it is null, or of a type that is simple, or null or simple; else
    /// as JSON.
    ///
    /// # Errors
    /// The bytes are no value of this type.
    pub fn value(&mut self, schema: &Schema, id: TypeId) -> Result<Datum<'a>, Broken> {
        match &schema.at(id).kind {
            Kind::Union(branches) => match simple_branches(schema, branches) {
                true => {
                    let branch = self.branch(branches)?;
                    self.value(schema, branch)
                }
                false => self.as_json(schema, id),
            },
            Kind::Array(_) | Kind::Map(_) | Kind::Record(_) => self.as_json(schema, id),
            kind => self.simple(kind),
        }
    }

    fn as_json(&mut self, schema: &Schema, id: TypeId) -> Result<Datum<'a>, Broken> {
        let mut text = String::new();
        let before = self.text_left;
        self.json(schema, id, 0, &mut text)?;
        self.text_left = before.saturating_sub(text.len());
        // Nothing but a null has this text: strings have quotation marks.
        Ok(if text == "null" { Datum::Null } else { Datum::Json(text) })
    }

    /// A value without others in it.
    fn simple(&mut self, kind: &Kind) -> Result<Datum<'a>, Broken> {
        Ok(match kind {
            Kind::Null => Datum::Null,
            Kind::Boolean => match self.take(1)? {
                [0] => Datum::Boolean(false),
                [1] => Datum::Boolean(true),
                other => return Err(format!("a boolean is {}", other[0])),
            },
            Kind::Int => {
                Datum::Int(i32::try_from(self.long()?).map_err(|_| "an int has more than 32 bits")?)
            }
            Kind::Long => Datum::Long(self.long()?),
            Kind::Float => {
                let bytes = self.take(4)?.try_into().map_err(|_| "the value ends too early")?;
                Datum::Double(f64::from(f32::from_le_bytes(bytes)))
            }
            Kind::Double => {
                let bytes = self.take(8)?.try_into().map_err(|_| "the value ends too early")?;
                Datum::Double(f64::from_le_bytes(bytes))
            }
            Kind::Bytes => Datum::Bytes(self.sized()?),
            Kind::Text => {
                let text = std::str::from_utf8(self.sized()?);
                Datum::Text(text.map_err(|e| format!("a string is not UTF-8: {e}"))?.into())
            }
            Kind::Fixed(size) => Datum::Bytes(self.take(*size)?),
            Kind::Enum(symbols) => {
                let at = self.long()?;
                let symbol = usize::try_from(at).ok().and_then(|at| symbols.get(at));
                let symbol = symbol.ok_or_else(|| format!("an enum has no symbol {at}"))?;
                Datum::Text(symbol.clone().into())
            }
            Kind::Array(_) | Kind::Map(_) | Kind::Record(_) | Kind::Union(_) => {
                return Err("the value is not a simple one".into());
            }
        })
    }

    /// The branch of a union that comes next.
    ///
    /// # Errors
    /// The union has no such branch.
    pub fn branch(&mut self, branches: &[TypeId]) -> Result<TypeId, Broken> {
        let at = self.long()?;
        let branch = usize::try_from(at).ok().and_then(|at| branches.get(at));
        branch.copied().ok_or_else(|| format!("a union has no branch {at}"))
    }

    /// Passes over the next value, each item of its lists and maps included: a reader that reads
    /// all items ends at the same byte, whatever size a block names. So many types may still be
    /// looked at: values without bytes cost time, too.
    ///
    /// # Errors
    /// The bytes are no value of this type, the items of a list have no bytes, or there are more
    /// types.
    pub fn skip(
        &mut self,
        schema: &Schema,
        id: TypeId,
        depth: usize,
        types_left: &mut usize,
    ) -> Result<(), Broken> {
        if DEEPEST < depth {
            return Err(format!("values lie more than {DEEPEST} deep in each other"));
        }
        *types_left = types_left.checked_sub(1).ok_or("there are too many values without bytes")?;
        let deeper = depth.saturating_add(1);
        match &schema.at(id).kind {
            Kind::Union(branches) => {
                let branch = self.branch(branches)?;
                self.skip(schema, branch, deeper, types_left)
            }
            Kind::Record(fields) => {
                fields.iter().try_for_each(|f| self.skip(schema, f.of, deeper, types_left))
            }
            Kind::Array(of) | Kind::Map(of) => {
                let is_map = matches!(schema.at(id).kind, Kind::Map(_));
                let mut blocks = Blocks::default();
                while blocks.more(self)? {
                    let before = self.rest.len();
                    if is_map {
                        let _ = self.sized()?;
                    }
                    self.skip(schema, *of, deeper, types_left)?;
                    if before == self.rest.len() {
                        return Err("items of a list have no bytes".into());
                    }
                }
                Ok(())
            }
            simple => self.simple(simple).map(|_| ()),
        }
    }

    /// How many bytes are not read yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next bytes, so many of them.
    ///
    /// # Errors
    /// There are fewer.
    pub fn take(&mut self, bytes: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or("the value ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next value of the type `bytes`.
    ///
    /// # Errors
    /// Its length is none, or there are fewer bytes.
    pub fn sized(&mut self) -> Result<&'a [u8], Broken> {
        let length = self.long()?;
        let length = usize::try_from(length).map_err(|_| format!("a length is {length}"))?;
        self.take(length)
    }

    /// A number in seven bits a byte, the lowest first.
    ///
    /// # Errors
    /// It does not end, or has more than 64 bits.
    pub fn long(&mut self) -> Result<i64, Broken> {
        let (mut number, mut shift) = (0_u64, 0_u32);
        loop {
            let [byte] = self.take(1)? else { return Err("the value ends too early".into()) };
            let bits = u64::from(byte & 0x7f);
            if 63 < shift || shift == 63 && 1 < bits {
                return Err("a number has more than 64 bits".into());
            }
            number |= bits.wrapping_shl(shift);
            if byte & 0x80 == 0 {
                return Ok((number >> 1).cast_signed() ^ (number & 1).cast_signed().wrapping_neg());
            }
            shift = shift.saturating_add(7);
        }
    }

    /// Adds the next value to the text. Unions are what they contain, bytes are in Base64, decimals
    /// are strings of digits, and numbers that JSON has not are strings.
    fn json(
        &mut self,
        schema: &Schema,
        id: TypeId,
        depth: usize,
        out: &mut String,
    ) -> Result<(), Broken> {
        if DEEPEST < depth {
            return Err(format!("values lie more than {DEEPEST} deep in each other"));
        }
        if self.text_left < out.len() {
            return Err("the value would be too long as JSON for so few bytes".into());
        }
        let deeper = depth.saturating_add(1);
        match schema.at(id) {
            Type { kind: Kind::Union(branches), .. } => {
                let branch = self.branch(branches)?;
                return self.json(schema, branch, deeper, out);
            }
            Type { kind: Kind::Record(fields), .. } => {
                out.push('{');
                for (at, field) in fields.iter().enumerate() {
                    if 0 < at {
                        out.push(',');
                    }
                    // Names have no character that JSON escapes.
                    let _ = write!(out, "\"{}\":", field.name);
                    let inner = self.json(schema, field.of, deeper, out);
                    inner.map_err(|e| format!("{}: {e}", field.name))?;
                }
                out.push('}');
            }
            Type { kind: Kind::Array(of), .. } => {
                out.push('[');
                self.items(out, |bytes, out| bytes.json(schema, *of, deeper, out))?;
                out.push(']');
            }
            Type { kind: Kind::Map(of), .. } => {
                out.push('{');
                self.items(out, |bytes, out| {
                    let Datum::Text(name) = bytes.simple(&Kind::Text)? else { return Ok(()) };
                    push_text(&name, out);
                    out.push(':');
                    bytes.json(schema, *of, deeper, out)
                })?;
                out.push('}');
            }
            simple => {
                let value = self.simple(&simple.kind)?;
                push_simple(&value, simple.logical, out)?;
            }
        }
        Ok(())
    }

    /// Adds the items of an array or a map, with commas between them.
    fn items(
        &mut self,
        out: &mut String,
        mut item: impl FnMut(&mut Self, &mut String) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let (mut blocks, mut first) = (Blocks::default(), true);
        while blocks.more(self)? {
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            item(self, out)?;
        }
        Ok(())
    }
}

/// Where the reading of an array or a map is: its items come in blocks, each behind its number, and
/// a block of none ends them.
#[derive(Default, Debug)]
pub struct Blocks {
    /// How many items of this block are not read yet.
    left: u64,
}

impl Blocks {
    /// Whether an item comes next in the bytes, which the caller reads then.
    ///
    /// # Errors
    /// The number of items, or the size behind it, does not end or has more than 64 bits.
    pub fn more(&mut self, bytes: &mut Bytes<'_>) -> Result<bool, Broken> {
        if self.left == 0 {
            let count = bytes.long()?;
            if count < 0 {
                // Its size in bytes, for readers that skip it.
                let _ = bytes.long()?;
            }
            self.left = count.unsigned_abs();
        }
        let more = 0 < self.left;
        self.left = self.left.saturating_sub(1);
        Ok(more)
    }
}

/// The simple type that all values of a type are of, but for null; [`None`] where they are given
/// as JSON.
#[must_use]
pub fn simple_type(schema: &Schema, id: TypeId) -> Option<&Type> {
    match &schema.at(id).kind {
        Kind::Union(branches) if simple_branches(schema, branches) => {
            let mut types = branches.iter().map(|branch| schema.at(*branch));
            types.clone().find(|of| of.kind != Kind::Null).or_else(|| types.next())
        }
        kind if is_compound(kind) => None,
        _ => Some(schema.at(id)),
    }
}

/// Whether a union is null and one simple type, or one simple type.
fn simple_branches(schema: &Schema, branches: &[TypeId]) -> bool {
    let kinds = || branches.iter().map(|branch| &schema.at(*branch).kind);
    let others = kinds().filter(|kind| **kind != Kind::Null).count();
    others <= 1 && branches.len() <= 2 && kinds().all(|kind| !is_compound(kind))
}

/// Whether a type has others in it.
fn is_compound(kind: &Kind) -> bool {
    matches!(kind, Kind::Array(_) | Kind::Map(_) | Kind::Record(_) | Kind::Union(_))
}

fn push_simple(
    value: &Datum<'_>,
    logical: Option<Logical>,
    out: &mut String,
) -> Result<(), Broken> {
    match value {
        Datum::Null => out.push_str("null"),
        Datum::Boolean(value) => drop(write!(out, "{value}")),
        Datum::Int(value) => drop(write!(out, "{value}")),
        Datum::Long(value) => drop(write!(out, "{value}")),
        Datum::Double(value) => push_double(*value, out),
        Datum::Text(text) => push_text(text, out),
        Datum::Bytes(bytes) => match (logical, whole(bytes)) {
            (Some(Logical::Decimal { scale, .. }), Some(number)) => {
                let _ = write!(out, "\"{}\"", digits(number, scale));
            }
            _ => push_bytes(bytes, out),
        },
        Datum::Json(json) => out.push_str(json),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::avro::numbers::push_long;

    fn read(schema: &str, bytes: &[u8]) -> Result<String, String> {
        let schema = Schema::parse(schema, &[]).unwrap();
        let mut rest = Bytes::of(bytes);
        let value = rest.value(&schema, schema.root())?;
        rest.end()?;
        Ok(match value {
            Datum::Json(json) => json,
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn values_are_those_of_the_specification() {
        let map = r#"{"type":"map","values":["null",{"type":"array","items":"long"}]}"#;
        // One block with its size, a key, a branch, two numbers.
        let bytes = [1, 14, 2, b'a', 2, 4, 53, 0x80, 1, 0, 0];
        assert_eq!(read(map, &bytes).unwrap(), "{\"a\":[-27,64]}");
        for (schema, bytes, want) in [
            ("\"int\"", &[1_u8][..], "Int(-1)"),
            ("\"long\"", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "Long(-92233"),
            ("\"string\"", &[6, b'f', b'o', b'o'], "Text(\"foo\")"),
            ("[\"null\",\"double\"]", &[2, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f], "Double(1.0)"),
            ("[\"null\",\"double\"]", &[0], "Null"),
            ("[\"null\",\"string\",\"double\"]", &[0], "Null"),
            (r#"["null",{"type":"map","values":"int"}]"#, &[0], "Null"),
            ("[\"null\",\"string\",\"double\"]", &[2, 8, b'n', b'u', b'l', b'l'], "\"null\""),
            (r#"{"type":"fixed","name":"f","size":2}"#, &[1, 2], "Bytes([1, 2])"),
            ("[\"string\",\"double\"]", &[2, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f], "\"NaN\""),
            (
                r#"{"type":"array","items":{"type":"bytes","logicalType":"decimal",
                 "precision":4,"scale":2}}"#,
                &[4, 2, 0xff, 4, 0x01, 0x00, 0],
                r#"["-0.01","2.56"]"#,
            ),
        ] {
            let got = read(schema, bytes).unwrap();
            assert!(got.starts_with(want), "{schema}: {got}");
        }
    }

    #[test]
    fn broken_values_are_refused() {
        let list = r#"{"type":"record","name":"L","fields":[{"name":"n","type":["null","L"]}]}"#;
        for (schema, bytes, want) in [
            ("\"int\"", vec![], "too early"),
            ("\"int\"", vec![0x80, 0x80, 0x80, 0x80, 0x20], "32 bits"),
            ("\"long\"", vec![0xff; 11], "64 bits"),
            ("\"int\"", vec![0, 0], "1 bytes are left"),
            ("\"boolean\"", vec![2], "a boolean is 2"),
            ("\"string\"", vec![4, 0xff, 0xff], "UTF-8"),
            ("\"bytes\"", vec![1], "a length is -1"),
            ("[\"null\",\"int\"]", vec![4], "no branch 2"),
            (r#"{"type":"enum","name":"e","symbols":["a"]}"#, vec![2], "no symbol 1"),
            (list, vec![2; 1_000_000], "deep"),
            (r#"{"type":"record","name":"L","fields":[{"name":"n","type":"L"}]}"#, vec![], "deep"),
            // A billion nulls in six bytes.
            (r#"{"type":"array","items":"null"}"#, vec![0x80, 0xa8, 0xd6, 0xb9, 7, 0], "too long"),
        ] {
            let error = read(schema, &bytes).unwrap_err();
            assert!(error.contains(want), "{schema}: {error}");
        }
    }

    #[test]
    fn a_block_is_passed_over_item_by_item_whatever_size_it_names() {
        let list = r#"{"type":"array","items":"long"}"#;
        let left = |schema: &str, bytes: &[u8]| {
            let schema = Schema::parse(schema, &[]).unwrap();
            let mut rest = Bytes::of(bytes);
            rest.skip(&schema, schema.root(), 0, &mut 100).map(|()| rest.left())
        };
        assert_eq!(left(list, &[4, 2, 4, 0]), Ok(0));
        // A block of one item that names one byte, or two: the item is the same, and a byte stays.
        assert_eq!(left(list, &[1, 2, 2, 0]), Ok(0));
        assert_eq!(left(list, &[1, 4, 2, 0, 0]), Ok(1));
        let map = r#"{"type":"map","values":"long"}"#;
        assert_eq!(left(map, &[1, 6, 2, b'a', 6, 2, 2, b'b', 8, 0]), Ok(0));
        let nulls = r#"{"type":"array","items":"null"}"#;
        for bytes in [&[2, 0][..], &[1, 0, 0]] {
            assert!(left(nulls, bytes).unwrap_err().contains("have no bytes"));
        }
    }

    #[test]
    fn lengths_read_back() {
        for number in [0, 1, 63, 64, 8_191, 8_192, 1 << 40, i64::MAX as usize] {
            let mut out = Vec::new();
            push_long(number, &mut out);
            let mut rest = Bytes::of(&out);
            assert_eq!(rest.long(), Ok(number as i64));
            assert_eq!(rest.left(), 0, "{number}");
        }
    }
}
