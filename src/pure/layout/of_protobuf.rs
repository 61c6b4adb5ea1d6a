//! Messages of Protobuf as rows.

use std::sync::Arc;

use jiff::civil::Date;

use crate::pure::layout::cells::{Cell, ColumnType};
use crate::pure::layout::columns::JsonColumns;
use crate::pure::layout::schema_fields::{SchemaField, owned};
use crate::pure::protobuf::message::{Shape, missing, values};
use crate::pure::protobuf::schema::{Field, Kind, MessageId, Schema};
use crate::pure::protobuf::value::Value;

/// One message of a schema.
#[derive(Clone, Debug)]
pub struct MessageReader {
    schema: Arc<Schema>,
    message: MessageId,
}

impl MessageReader {
    /// The fields of a message, and its reader.
    #[must_use]
    pub fn of(schema: &Arc<Schema>, message: MessageId) -> (Vec<SchemaField>, MessageReader) {
        let fields = &schema.message(message).fields;
        let fields = fields.iter().map(|of| field(schema, of)).collect();
        (fields, MessageReader { schema: Arc::clone(schema), message })
    }

    /// The cells of one message.
    ///
    /// # Errors
    /// The bytes are no such message, or a column cannot hold a field.
    pub fn cells<'a>(
        &self,
        columns: &JsonColumns,
        body: &'a [u8],
    ) -> Result<Vec<Cell<'a>>, String> {
        let values = values(&self.schema, self.message, body)?;
        let cells = values.into_iter().zip(columns.columns());
        let cells = cells.map(|(value, column)| {
            cell(column.kind, value).map_err(|e| format!("field {}: {e}", column.path))
        });
        cells.collect()
    }
}

/// A field is known by its number: its name may change.
fn field(schema: &Schema, of: &Field) -> SchemaField {
    let kind = match Shape::of(schema, of) {
        Shape::Simple(kind) | Shape::Wrapped(_, kind) => column_type(kind),
        Shape::Time(_) => ColumnType::Time { micros: 1 },
        Shape::Date(_) => ColumnType::Date,
        Shape::Json => ColumnType::Json,
    };
    let missing = cell(kind, missing(schema, of)).map_or(Cell::Null, owned);
    SchemaField { name: of.name.clone(), keys: vec![of.number.to_string()], kind, missing }
}

fn column_type(kind: Kind) -> ColumnType {
    match kind {
        Kind::Bool => ColumnType::Boolean,
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => ColumnType::Int32,
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint32 | Kind::Fixed32 => {
            ColumnType::Int64
        }
        // No reader has numbers of 64 bits without a sign.
        Kind::Uint64 | Kind::Fixed64 => ColumnType::Decimal { precision: 20, scale: 0 },
        Kind::Double | Kind::Float => ColumnType::Float64,
        Kind::Text | Kind::Enum(_) => ColumnType::Text,
        Kind::Bytes => ColumnType::Bytes,
        Kind::Message(_) | Kind::Group(_) => ColumnType::Json,
    }
}

fn cell(kind: ColumnType, value: Value<'_>) -> Result<Cell<'_>, String> {
    Ok(match value {
        Value::Null => Cell::Null,
        Value::Boolean(value) => Cell::Boolean(value),
        Value::Int(value) => Cell::Int32(value),
        Value::Long(value) => Cell::Int64(value),
        Value::Unsigned(value) => Cell::Decimal(value.into()),
        Value::Double(value) => Cell::Float64(value),
        Value::Bytes(bytes) => Cell::Bytes(bytes.into_owned()),
        Value::Text(text) => Cell::Text(text),
        Value::Time { seconds, nanos } => {
            let part = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
            let micros = part.and_then(|nanos| {
                seconds.checked_mul(1_000_000)?.checked_add(i64::from(nanos / 1_000))
            });
            let micros = micros.ok_or_else(|| format!("{seconds} s and {nanos} ns are no time"))?;
            kind.time(micros)?
        }
        Value::Date { year, month, day } => {
            let days = days(year, month, day);
            kind.date(days.ok_or_else(|| format!("{year}-{month}-{day} is no date"))?)?
        }
        Value::Json(text) => Cell::Text(text.into()),
    })
}

/// Days since 1970.
fn days(year: i32, month: i32, day: i32) -> Option<i32> {
    let (year, month) = (i16::try_from(year).ok()?, i8::try_from(month).ok()?);
    let date = Date::new(year, month, i8::try_from(day).ok()?).ok()?;
    let hours = date.duration_since(Date::constant(1970, 1, 1)).as_hours();
    i32::try_from(hours.checked_div(24)?).ok()
}
