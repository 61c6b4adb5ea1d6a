//! One value without others in it.

use std::borrow::Cow;

use crate::pure::protobuf::schema::{Kind, Schema};
use crate::pure::protobuf::wire::{Broken, Bytes, Raw};

/// A value that a column may hold as it is.
#[derive(Clone, PartialEq, Debug)]
pub enum Value<'a> {
    /// The field is not there.
    Null,
    Boolean(bool),
    Int(i32),
    Long(i64),
    Unsigned(u64),
    Double(f64),
    Bytes(Cow<'a, [u8]>),
    Text(Cow<'a, str>),
    /// Since 1970.
    Time {
        seconds: i64,
        nanos: i32,
    },
    Date {
        year: i32,
        month: i32,
        day: i32,
    },
    /// The JSON of everything else.
    Json(String),
}

impl<'a> Value<'a> {
    /// Reads a value of a simple type.
    pub fn of(schema: &Schema, kind: Kind, raw: Raw<'a>) -> Result<Value<'a>, Broken> {
        Ok(match (kind, raw) {
            (Kind::Bool, Raw::Varint(number)) => Value::Boolean(number != 0),
            // What a wider number leaves in 32 bits, as readers do.
            (Kind::Int32, Raw::Varint(number)) => Value::Int(low(number).cast_signed()),
            (Kind::Int64, Raw::Varint(number)) => Value::Long(number.cast_signed()),
            (Kind::Uint32, Raw::Varint(number)) => Value::Long(low(number).into()),
            (Kind::Uint64, Raw::Varint(number)) => Value::Unsigned(number),
            (Kind::Sint32, Raw::Varint(number)) => {
                let number = low(number);
                Value::Int((number >> 1).cast_signed() ^ (number & 1).cast_signed().wrapping_neg())
            }
            (Kind::Sint64, Raw::Varint(number)) => {
                Value::Long((number >> 1).cast_signed() ^ (number & 1).cast_signed().wrapping_neg())
            }
            (Kind::Enum(of), Raw::Varint(number)) => {
                let number = low(number).cast_signed();
                // A number without a name may be one of a newer schema.
                let name = schema.name_of(of, number).map(String::from);
                Value::Text(name.unwrap_or_else(|| number.to_string()).into())
            }
            (Kind::Double, Raw::Fixed64(bytes)) => Value::Double(f64::from_le_bytes(bytes)),
            (Kind::Fixed64, Raw::Fixed64(bytes)) => Value::Unsigned(u64::from_le_bytes(bytes)),
            (Kind::Sfixed64, Raw::Fixed64(bytes)) => Value::Long(i64::from_le_bytes(bytes)),
            (Kind::Float, Raw::Fixed32(bytes)) => Value::Double(f32::from_le_bytes(bytes).into()),
            (Kind::Fixed32, Raw::Fixed32(bytes)) => Value::Long(u32::from_le_bytes(bytes).into()),
            (Kind::Sfixed32, Raw::Fixed32(bytes)) => Value::Int(i32::from_le_bytes(bytes)),
            (Kind::Bytes, Raw::Bytes(bytes)) => Value::Bytes(bytes.into()),
            (Kind::Text, Raw::Bytes(bytes)) => {
                let text = std::str::from_utf8(bytes);
                Value::Text(text.map_err(|e| format!("a string is not UTF-8: {e}"))?.into())
            }
            _ => return Err("the value is not a simple one".into()),
        })
    }

    /// What a field is that is not there, where that is not known to be so.
    pub fn default(schema: &Schema, kind: Kind) -> Value<'a> {
        match kind {
            Kind::Double | Kind::Float => Value::Double(0.0),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::Int(0),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint32 | Kind::Fixed32 => {
                Value::Long(0)
            }
            Kind::Uint64 | Kind::Fixed64 => Value::Unsigned(0),
            Kind::Bool => Value::Boolean(false),
            Kind::Text => Value::Text("".into()),
            Kind::Bytes => Value::Bytes((&[]).into()),
            Kind::Enum(of) => Value::Text(schema.name_of(of, 0).unwrap_or("0").to_string().into()),
            Kind::Message(_) | Kind::Group(_) => Value::Null,
        }
    }

    /// The value with bytes of its own.
    pub fn owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Boolean(value) => Value::Boolean(value),
            Value::Int(value) => Value::Int(value),
            Value::Long(value) => Value::Long(value),
            Value::Unsigned(value) => Value::Unsigned(value),
            Value::Double(value) => Value::Double(value),
            Value::Bytes(bytes) => Value::Bytes(bytes.into_owned().into()),
            Value::Text(text) => Value::Text(text.into_owned().into()),
            Value::Time { seconds, nanos } => Value::Time { seconds, nanos },
            Value::Date { year, month, day } => Value::Date { year, month, day },
            Value::Json(text) => Value::Json(text),
        }
    }
}

/// The lower half of a number.
fn low(number: u64) -> u32 {
    u32::try_from(number & 0xffff_ffff).unwrap_or_default()
}

/// The next of several values that stand in one field without tags.
pub fn next_packed<'a>(kind: Kind, bytes: &mut Bytes<'a>) -> Result<Raw<'a>, Broken> {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => bytes.array().map(Raw::Fixed64),
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => bytes.array().map(Raw::Fixed32),
        _ => bytes.varint().map(Raw::Varint),
    }
}

/// Whether several values of a type may stand in one field without tags.
pub fn is_packed(kind: Kind, raw: &Raw<'_>) -> bool {
    let is_sized = matches!(kind, Kind::Text | Kind::Bytes | Kind::Message(_) | Kind::Group(_));
    !is_sized && matches!(raw, Raw::Bytes(_))
}
