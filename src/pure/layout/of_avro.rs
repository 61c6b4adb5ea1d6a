//! Records of Avro as rows.

use serde_json::Value;

use crate::pure::avro::datum::{Bytes, Datum, simple_type, whole};
use crate::pure::avro::schema::{Field, Kind, Logical, Schema, Type, TypeId};
use crate::pure::layout::cells::{Cell, ColumnType};
use crate::pure::layout::columns::JsonColumns;
use crate::pure::layout::schema_fields::SchemaField;

/// A schema of Avro, and the types of its record's fields.
#[derive(Clone, Debug)]
pub struct AvroReader {
    schema: Schema,
    fields: Vec<TypeId>,
}

impl AvroReader {
    /// Reads a schema: what it is called, its fields, and the reader of its records.
    ///
    /// # Errors
    /// It is no schema, or not one of a record.
    pub fn parse(
        text: &str,
        references: &[String],
    ) -> Result<(String, Vec<SchemaField>, AvroReader), String> {
        let schema = Schema::parse(text, references)?;
        let Type { kind: Kind::Record(fields), name, .. } = schema.at(schema.root()) else {
            return Err("the schema is not that of a record".into());
        };
        let of_record = fields.iter().map(|field| {
            let kind = column_type(&schema, field);
            let keys = [&field.name].into_iter().chain(&field.aliases).cloned().collect();
            SchemaField { name: field.name.clone(), keys, kind, missing: default(field, kind) }
        });
        let (of_record, name) = (of_record.collect(), name.clone());
        let fields = fields.iter().map(|field| field.of).collect();
        Ok((name, of_record, AvroReader { schema, fields }))
    }

    /// The cells of one datum.
    ///
    /// # Errors
    /// The bytes are no datum of this schema, or a column cannot hold a field.
    pub fn cells<'a>(
        &self,
        columns: &JsonColumns,
        body: &'a [u8],
    ) -> Result<Vec<Cell<'a>>, String> {
        let mut bytes = Bytes::of(body);
        let fields = self.fields.iter().zip(columns.columns());
        let cells = fields.map(|(of, column)| {
            let value = bytes.value(&self.schema, *of);
            let cell = value.and_then(|value| cell(column.kind, value));
            cell.map_err(|e| format!("field {}: {e}", column.path))
        });
        let cells = cells.collect::<Result<Vec<Cell<'a>>, String>>()?;
        bytes.end()?;
        Ok(cells)
    }
}

fn column_type(schema: &Schema, field: &Field) -> ColumnType {
    let Some(simple) = simple_type(schema, field.of) else { return ColumnType::Json };
    match (&simple.kind, simple.logical) {
        (_, Some(Logical::Date)) => ColumnType::Date,
        (_, Some(Logical::TimestampMillis)) => ColumnType::Time { micros: 1_000 },
        (_, Some(Logical::TimestampMicros)) => ColumnType::Time { micros: 1 },
        (_, Some(Logical::Decimal { precision, scale })) => {
            ColumnType::Decimal { precision, scale }
        }
        (Kind::Boolean, None) => ColumnType::Boolean,
        (Kind::Int, None) => ColumnType::Int32,
        (Kind::Long, None) => ColumnType::Int64,
        (Kind::Float | Kind::Double, None) => ColumnType::Float64,
        (Kind::Text | Kind::Enum(_), None) => ColumnType::Text,
        (Kind::Bytes | Kind::Fixed(_), None) => ColumnType::Bytes,
        // A field that is always null.
        _ => ColumnType::Json,
    }
}

/// The cell of a value.
fn cell(kind: ColumnType, value: Datum<'_>) -> Result<Cell<'_>, String> {
    Ok(match (kind, value) {
        (_, Datum::Null) => Cell::Null,
        (_, Datum::Boolean(value)) => Cell::Boolean(value),
        (ColumnType::Date, Datum::Int(days)) => kind.date(days)?,
        (_, Datum::Int(value)) => Cell::Int32(value),
        (ColumnType::Time { .. }, Datum::Long(number)) => kind.time(number)?,
        (_, Datum::Long(value)) => Cell::Int64(value),
        (_, Datum::Double(value)) => Cell::Float64(value),
        (ColumnType::Decimal { precision, .. }, Datum::Bytes(bytes)) => {
            let number = whole(bytes).filter(|number| {
                let most = 10_u128.checked_pow(u32::from(precision));
                most.is_none_or(|most| number.unsigned_abs() < most)
            });
            Cell::Decimal(number.ok_or_else(|| format!("the number is not a {kind}"))?)
        }
        (_, Datum::Bytes(bytes)) => Cell::Bytes(bytes.into()),
        (_, Datum::Text(text)) => Cell::Text(text),
        (_, Datum::Json(json)) => Cell::Text(json.into()),
    })
}

/// What stands in a column that the writer does not know: the schema's default if it has one that
/// the column holds, or null.
fn default(field: &Field, kind: ColumnType) -> Cell<'static> {
    let Some(value) = &field.default else { return Cell::Null };
    let cell = match (kind, value) {
        (_, Value::Null) => None,
        (ColumnType::Json, value) => Some(Cell::Text(value.to_string().into())),
        (ColumnType::Date, Value::Number(days)) => {
            days.as_i64().and_then(|days| i32::try_from(days).ok()).and_then(|d| kind.date(d).ok())
        }
        (ColumnType::Time { .. }, Value::Number(n)) => n.as_i64().and_then(|n| kind.time(n).ok()),
        (ColumnType::Bytes | ColumnType::Decimal { .. }, Value::String(text)) => {
            // Each character is a byte.
            let bytes = text.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<u8>>>();
            bytes.and_then(|bytes| match kind {
                ColumnType::Decimal { .. } => whole(&bytes).map(Cell::Decimal),
                _ => Some(Cell::Bytes(bytes)),
            })
        }
        (ColumnType::Text, Value::String(text)) => Some(Cell::Text(text.clone().into())),
        (ColumnType::Boolean, Value::Bool(value)) => Some(Cell::Boolean(*value)),
        (ColumnType::Int32, value) => {
            value.as_i64().and_then(|n| i32::try_from(n).ok()).map(Cell::Int32)
        }
        (ColumnType::Int64, value) => value.as_i64().map(Cell::Int64),
        (ColumnType::Float64, value) => value.as_f64().map(Cell::Float64),
        _ => None,
    };
    cell.unwrap_or(Cell::Null)
}
