//! Messages, lists and maps of Protobuf as nested columns.

use std::borrow::Cow;

use crate::pure::layout::cells::ColumnType;
use crate::pure::layout::cells_of_protobuf::{cell, column_type};
use crate::pure::layout::nested_type::{Growth, NestedField, NestedType};
use crate::pure::layout::nested_writer::NestedWriter;
use crate::pure::layout::schema_fields::parts;
use crate::pure::protobuf::message::{element, value};
use crate::pure::protobuf::schema::{Field, Kind, Label, MessageId, Schema, WellKnown};
use crate::pure::protobuf::value::{Value, is_packed, next_packed};
use crate::pure::protobuf::wire::{Bytes, Fields, Raw};

/// The nested type of a field; [`None`] if it has too many parts.
pub fn nested_type(
    schema: &Schema,
    field: &Field,
    growth: &mut Growth<MessageId>,
) -> Option<NestedType> {
    match (field.label, field.kind) {
        (Label::Map, Kind::Message(entry)) => {
            let [_, value] = schema.message(entry).fields.as_slice() else {
                return growth.simple(ColumnType::Json);
            };
            growth.compound(None, |growth| {
                // The keys are a column, too.
                let _ = growth.simple(ColumnType::Text)?;
                Some(NestedType::Map(Box::new(type_of(schema, value.kind, growth)?)))
            })
        }
        (Label::Repeated, kind) => growth.compound(None, |growth| {
            Some(NestedType::List(Box::new(type_of(schema, kind, growth)?)))
        }),
        (_, kind) => type_of(schema, kind, growth),
    }
}

/// The type of one value.
fn type_of(schema: &Schema, kind: Kind, growth: &mut Growth<MessageId>) -> Option<NestedType> {
    let (Kind::Message(id) | Kind::Group(id)) = kind else {
        return growth.simple(column_type(kind));
    };
    let message = schema.message(id);
    match (message.known, message.fields.first()) {
        (Some(WellKnown::Wrapper), Some(field)) => growth.simple(column_type(field.kind)),
        (Some(WellKnown::Timestamp), _) => growth.simple(ColumnType::Time { micros: 1 }),
        (Some(WellKnown::Date), _) => growth.simple(ColumnType::Date),
        (Some(_), _) => growth.simple(ColumnType::Json),
        (None, _) => growth.compound(Some(id), |growth| {
            let fields = message.fields.iter().map(|field| {
                let keys = vec![field.number.to_string()];
                Some((field.name.as_str(), keys, nested_type(schema, field, growth)?))
            });
            let fields = fields.collect::<Option<Vec<_>>>()?;
            growth.structure(parts(fields))
        }),
    }
}

/// Writes a field of a message as one of its nested type.
///
/// # Errors
/// The field is broken, is missing and required, or does not fit.
pub fn write_field(
    (schema, fields): (&Schema, &Fields<'_>),
    (place, field): (usize, &Field),
    of: &NestedType,
    to: &mut NestedWriter<'_>,
) -> Result<(), String> {
    match (field.label, of) {
        (_, NestedType::Simple(kind)) => {
            let value = value(schema, fields, (place, field), to.bytes_left())?;
            to.cell(&cell(*kind, value)?)
        }
        (Label::Map, NestedType::Map(of)) => write_map((schema, fields), (place, field), of, to),
        (Label::Repeated, NestedType::List(of)) => {
            write_list((schema, fields), (place, field), of, to)
        }
        _ => match fields.merged(place) {
            Some(bytes) => write_one(schema, (field.kind, None), &bytes, of, to),
            None if field.label == Label::Required => Err("it is required, and is missing".into()),
            None => to.null(of),
        },
    }
}

fn write_list(
    (schema, fields): (&Schema, &Fields<'_>),
    (place, field): (usize, &Field),
    of: &NestedType,
    to: &mut NestedWriter<'_>,
) -> Result<(), String> {
    let mut all = fields.all(place);
    // What is left of several values that stand together.
    let mut packed: Option<Bytes<'_>> = None;
    to.list(of, |to| {
        loop {
            if let Some(bytes) = packed.as_mut().filter(|bytes| !bytes.0.is_empty()) {
                let raw = next_packed(field.kind, bytes)?;
                write_one(schema, (field.kind, Some(raw)), &[], of, to)?;
                return Ok(true);
            }
            match all.next() {
                None => return Ok(false),
                Some(raw) if is_packed(field.kind, &raw) => {
                    if let Raw::Bytes(bytes) = raw {
                        packed = Some(Bytes(bytes));
                    }
                }
                Some(raw) => {
                    write_one(schema, (field.kind, Some(raw)), bytes_of(raw), of, to)?;
                    return Ok(true);
                }
            }
        }
    })
}

fn write_map(
    (schema, fields): (&Schema, &Fields<'_>),
    (place, field): (usize, &Field),
    of: &NestedType,
    to: &mut NestedWriter<'_>,
) -> Result<(), String> {
    let Kind::Message(entry) = field.kind else { return Err("a map has no entries".into()) };
    let message = schema.message(entry);
    let [key_field, value_field] = message.fields.as_slice() else {
        return Err("an entry of a map has not two fields".into());
    };
    let mut all = fields.all(place);
    to.map(of, |to| {
        let Some(raw) = all.next() else { return Ok(false) };
        let inner = Fields::of(message, bytes_of(raw))?;
        to.key(&key(schema, key_field.kind, inner.last(0))?)?;
        let bytes = inner.merged(1).unwrap_or_default();
        write_one(schema, (value_field.kind, inner.last(1)), &bytes, of, to)?;
        Ok(true)
    })
}

/// The key of a map's entry, as text.
fn key<'a>(schema: &Schema, kind: Kind, raw: Option<Raw<'a>>) -> Result<Cow<'a, str>, String> {
    let key = raw.map(|raw| Value::of(schema, kind, raw)).transpose()?;
    Ok(match key.unwrap_or_else(|| Value::default(schema, kind)) {
        Value::Text(text) => text,
        Value::Boolean(value) => value.to_string().into(),
        Value::Int(value) => value.to_string().into(),
        Value::Long(value) => value.to_string().into(),
        Value::Unsigned(value) => value.to_string().into(),
        _ => return Err("a key of a map has a type that keys cannot have".into()),
    })
}

fn bytes_of(raw: Raw<'_>) -> &[u8] {
    match raw {
        Raw::Bytes(bytes) | Raw::Group(bytes) => bytes,
        _ => &[],
    }
}

/// Writes one value, which is the default of its type where it is not there. `bytes`: those of a
/// message.
fn write_one(
    schema: &Schema,
    (kind, raw): (Kind, Option<Raw<'_>>),
    bytes: &[u8],
    of: &NestedType,
    to: &mut NestedWriter<'_>,
) -> Result<(), String> {
    match (kind, of) {
        (Kind::Message(id) | Kind::Group(id), NestedType::Struct(parts)) => {
            write_message((schema, id), bytes, parts, to)
        }
        (Kind::Message(id) | Kind::Group(id), NestedType::Simple(kind)) => {
            to.cell(&cell(*kind, element(schema, id, bytes, to.bytes_left())?)?)
        }
        (simple, NestedType::Simple(kind)) => {
            let value = raw.map(|raw| Value::of(schema, simple, raw)).transpose()?;
            let value = value.unwrap_or_else(|| Value::default(schema, simple));
            to.cell(&cell(*kind, value)?)
        }
        _ => Err("the value has another type".into()),
    }
}

fn write_message(
    (schema, id): (&Schema, MessageId),
    bytes: &[u8],
    parts: &[NestedField],
    to: &mut NestedWriter<'_>,
) -> Result<(), String> {
    let message = schema.message(id);
    let fields = Fields::of(message, bytes)?;
    to.structure()?;
    for (at, part) in message.fields.iter().enumerate().zip(parts) {
        let written = write_field((schema, &fields), at, &part.of, to);
        written.map_err(|e| format!("{}: {e}", at.1.name))?;
    }
    Ok(())
}
