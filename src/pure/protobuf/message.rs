//! One message, read field by field into the values of columns.
//!
//! Fields that the schema does not have are left out, of two values of one field the last one
//! counts, and pieces of one message are put together, as the specification has it.

use std::borrow::Cow;

use crate::pure::protobuf::json::{Text, date, pair};
use crate::pure::protobuf::schema::{Field, Kind, Label, MessageId, Schema, WellKnown};
use crate::pure::protobuf::value::Value;
use crate::pure::protobuf::wire::{Broken, Bytes, Fields};

/// The JSON of a record has so many bytes at most, and so many more for each byte of the message.
const TEXT: usize = 16 << 10;
const TEXT_OF_BYTE: usize = 48;
/// And so many more than the message at most, whatever its size.
const MOST_TEXT: usize = 32 << 20;
/// The most indexes before a message: as deep as the compiler lets messages be declared.
const MOST_INDEXES: i64 = 64;

/// What the column of a field has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    Simple(Kind),
    /// A message of one such value.
    Wrapped(MessageId, Kind),
    Time(MessageId),
    Date(MessageId),
    Json,
}

impl Shape {
    #[must_use]
    pub fn of(schema: &Schema, field: &Field) -> Shape {
        match (field.label, field.kind) {
            (Label::Repeated | Label::Map, _) | (_, Kind::Group(_)) => Shape::Json,
            (_, Kind::Message(id)) => {
                let message = schema.message(id);
                match (message.known, message.fields.first()) {
                    (Some(WellKnown::Wrapper), Some(field)) => Shape::Wrapped(id, field.kind),
                    (Some(WellKnown::Timestamp), _) => Shape::Time(id),
                    (Some(WellKnown::Date), _) => Shape::Date(id),
                    _ => Shape::Json,
                }
            }
            (_, kind) => Shape::Simple(kind),
        }
    }
}

/// The indexes before a message, and the message. A zero byte alone means the first message.
///
/// # Errors
/// The bytes do not begin so.
pub fn indexed(bytes: &[u8]) -> Result<(Vec<u32>, &[u8]), String> {
    let mut rest = Bytes(bytes);
    let mut next = || -> Result<i64, Broken> {
        let number = rest.varint().map_err(|_| "the indexes of the message end too early")?;
        Ok((number >> 1).cast_signed() ^ (number & 1).cast_signed().wrapping_neg())
    };
    let count = next()?;
    if !(0..=MOST_INDEXES).contains(&count) {
        return Err(format!("the message has {count} indexes; {MOST_INDEXES} are allowed"));
    }
    let mut indexes = Vec::new();
    for _ in 0..count {
        let index = next()?;
        let index = u32::try_from(index).map_err(|_| format!("the message has index {index}"))?;
        indexes.push(index);
    }
    if indexes.is_empty() {
        indexes.push(0);
    }
    Ok((indexes, rest.0))
}

/// A message that is one value, in a list or a map: as the column of a field that is such a message
/// has it. `most`: how many bytes of JSON it may become.
///
/// # Errors
/// It is broken.
pub fn element<'a>(
    schema: &Schema,
    id: MessageId,
    bytes: &'a [u8],
    most: usize,
) -> Result<Value<'a>, Broken> {
    let message = schema.message(id);
    match (message.known, message.fields.first()) {
        (Some(WellKnown::Wrapper), Some(field)) => wrapped(schema, (id, field.kind), bytes),
        (Some(WellKnown::Timestamp), _) => {
            let (seconds, nanos) = pair(&Fields::of(message, bytes)?)?;
            Ok(Value::Time { seconds, nanos })
        }
        (Some(WellKnown::Date), _) => date(&Fields::of(message, bytes)?),
        _ => {
            let mut text = Text { schema, out: String::new(), most };
            text.message(id, bytes, 1)?;
            Ok(Value::Json(text.out))
        }
    }
}

/// What a field is in a message that does not have it.
#[must_use]
pub fn missing<'a>(schema: &Schema, field: &Field) -> Value<'a> {
    match field.label {
        Label::Required | Label::Optional => Value::Null,
        Label::Implicit => Value::default(schema, field.kind),
        Label::Repeated => Value::Json("[]".into()),
        Label::Map => Value::Json("{}".into()),
    }
}

/// How many bytes of JSON the fields of a message may become.
#[must_use]
pub fn room(message: &[u8]) -> usize {
    let by_size = TEXT.saturating_add(message.len().saturating_mul(TEXT_OF_BYTE));
    by_size.min(MOST_TEXT.saturating_add(message.len()))
}

/// The value of a field, as its column has it. `most`: how many bytes of JSON it may become.
///
/// # Errors
/// It is broken, or is missing and required.
pub fn value<'a>(
    schema: &Schema,
    fields: &Fields<'a>,
    (place, field): (usize, &Field),
    most: usize,
) -> Result<Value<'a>, Broken> {
    let Some(raw) = fields.last(place) else {
        return match field.label {
            Label::Required => Err("it is required, and is missing".into()),
            _ => Ok(missing(schema, field)),
        };
    };
    let inner = || fields.merged(place).unwrap_or_default();
    match Shape::of(schema, field) {
        Shape::Simple(kind) => Value::of(schema, kind, raw),
        Shape::Wrapped(id, kind) => match inner() {
            Cow::Borrowed(bytes) => wrapped(schema, (id, kind), bytes),
            Cow::Owned(bytes) => wrapped(schema, (id, kind), &bytes).map(Value::owned),
        },
        Shape::Time(id) => {
            let (seconds, nanos) = pair(&Fields::of(schema.message(id), &inner())?)?;
            Ok(Value::Time { seconds, nanos })
        }
        Shape::Date(id) => date(&Fields::of(schema.message(id), &inner())?),
        Shape::Json => as_json(schema, fields, (place, field), most),
    }
}

fn wrapped<'a>(
    schema: &Schema,
    (id, kind): (MessageId, Kind),
    bytes: &'a [u8],
) -> Result<Value<'a>, Broken> {
    match Fields::of(schema.message(id), bytes)?.last(0) {
        Some(raw) => Value::of(schema, kind, raw),
        None => Ok(Value::default(schema, kind)),
    }
}

fn as_json<'a>(
    schema: &Schema,
    fields: &Fields<'_>,
    field: (usize, &Field),
    most: usize,
) -> Result<Value<'a>, Broken> {
    let mut text = Text { schema, out: String::new(), most };
    text.field(fields, field, 0)?;
    Ok(Value::Json(text.out))
}
