//! Records of Avro as rows.

use serde_json::Value;

use crate::pure::avro::datum::{Bytes, Datum};
use crate::pure::avro::schema::{Field, Kind, Schema, Type, TypeId};
use crate::pure::layout::cells::{Cell, ColumnType};
use crate::pure::layout::cells_of_avro::{cell, column_type, keys};
use crate::pure::layout::columns::JsonColumns;
use crate::pure::layout::nested_of_avro::{nested_type, write};
use crate::pure::layout::nested_type::Growth;
use crate::pure::layout::nested_value::NestedBudget;
use crate::pure::layout::nested_writer::NestedWriter;
use crate::pure::layout::schema_fields::{SchemaField, Wanted, owned};

/// A schema of Avro, and the types of its record's fields.
#[derive(Clone, PartialEq, Debug)]
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
        wanted: Wanted<'_>,
    ) -> Result<(String, Vec<SchemaField>, AvroReader), String> {
        let schema = Schema::parse(text, references)?;
        let Type { kind: Kind::Record(fields), name, .. } = schema.at(schema.root()) else {
            return Err("the schema is not that of a record".into());
        };
        let mut growth = wanted.leaves(fields.len()).map(Growth::new);
        let of_record = fields.iter().map(|field| {
            let (kind, name) = (column_type(&schema, field.of), field.name.clone());
            let missing = default(field, kind);
            let of = SchemaField { name, keys: keys(field), kind, nested: None, missing };
            let make = |growth: &mut Growth<TypeId>| nested_type(&schema, field.of, growth);
            of.nested(growth.as_mut().and_then(|growth| growth.field(schema.root(), make)))
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
        let (mut bytes, mut budget) = (Bytes::of(body), NestedBudget::of(body.len()));
        let fields = self.fields.iter().zip(columns.columns());
        let cells = fields.map(|(of, column)| {
            let cell = match column.nested.as_deref() {
                None => {
                    let value = bytes.value(&self.schema, *of);
                    value.and_then(|value| cell(column.kind, value))
                }
                Some(nested) => {
                    let mut to = NestedWriter::new(&mut budget);
                    let written = write(&mut bytes, (&self.schema, *of), nested, &mut to);
                    written.map(|()| to.cell_of_all())
                }
            };
            cell.map_err(|e| format!("field {}: {e}", column.path))
        });
        let cells = cells.collect::<Result<Vec<Cell<'a>>, String>>()?;
        bytes.end()?;
        Ok(cells)
    }
}

/// What stands in a column that the writer does not know: the schema's default if it has one that
/// the column holds, or null.
fn default(field: &Field, kind: ColumnType) -> Cell<'static> {
    let Some(value) = &field.default else { return Cell::Null };
    let default = match (kind, value) {
        (_, Value::Null) => None,
        (ColumnType::Json, value) => Some(Cell::Text(value.to_string().into())),
        (ColumnType::Date, Value::Number(days)) => {
            days.as_i64().and_then(|days| i32::try_from(days).ok()).and_then(|d| kind.date(d).ok())
        }
        (ColumnType::Time { .. }, Value::Number(n)) => n.as_i64().and_then(|n| kind.time(n).ok()),
        (ColumnType::Bytes | ColumnType::Decimal { .. }, Value::String(text)) => {
            // Each character is a byte.
            let bytes = text.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<u8>>>();
            bytes.and_then(|bytes| cell(kind, Datum::Bytes(&bytes)).map(owned).ok())
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
    default.unwrap_or(Cell::Null)
}
