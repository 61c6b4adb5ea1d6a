//! Messages of Protobuf as rows.

use std::sync::Arc;

use crate::pure::layout::cells::{Cell, ColumnType};
use crate::pure::layout::cells_of_protobuf::{cell, column_type};
use crate::pure::layout::columns::JsonColumns;
use crate::pure::layout::nested_of_protobuf::{nested_type, write_field};
use crate::pure::layout::nested_type::Growth;
use crate::pure::layout::nested_value::NestedBudget;
use crate::pure::layout::nested_writer::NestedWriter;
use crate::pure::layout::schema_fields::{SchemaField, Wanted, owned};
use crate::pure::protobuf::message::{Shape, missing, room, value};
use crate::pure::protobuf::schema::{Field, MessageId, Schema};
use crate::pure::protobuf::value::Value;
use crate::pure::protobuf::wire::Fields;

/// One message of a schema.
#[derive(Clone, PartialEq, Debug)]
pub struct MessageReader {
    schema: Arc<Schema>,
    message: MessageId,
}

impl MessageReader {
    /// The fields of a message, and its reader.
    #[must_use]
    pub fn of(
        schema: &Arc<Schema>,
        message: MessageId,
        wanted: Wanted<'_>,
    ) -> (Vec<SchemaField>, MessageReader) {
        let fields = &schema.message(message).fields;
        let mut growth = wanted.leaves(fields.len()).map(Growth::new);
        let fields = fields.iter().map(|of| {
            let make = |growth: &mut Growth<MessageId>| nested_type(schema, of, growth);
            let nested = growth.as_mut().and_then(|growth| growth.field(message, make));
            field(schema, of).nested(nested)
        });
        let fields = fields.collect();
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
        let (schema, mut budget) = (&self.schema, NestedBudget::of(body.len()));
        let message = schema.message(self.message);
        let fields = Fields::of(message, body)?;
        let mut text_left = room(body);
        let all = message.fields.iter().zip(columns.columns()).enumerate();
        let cells = all.map(|(place, (field, column))| {
            let cell = match column.nested.as_deref() {
                None => {
                    let value = value(schema, &fields, (place, field), text_left);
                    if let Ok(Value::Json(text)) = &value {
                        text_left = text_left.saturating_sub(text.len());
                    }
                    value.and_then(|value| cell(column.kind, value))
                }
                Some(of) => {
                    let mut to = NestedWriter::new(&mut budget);
                    let written = write_field((schema, &fields), (place, field), of, &mut to);
                    written.map(|()| to.cell_of_all())
                }
            };
            cell.map_err(|e| format!("field {}: {e}", column.path))
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
    let (name, keys) = (of.name.clone(), vec![of.number.to_string()]);
    SchemaField { name, keys, kind, nested: None, missing }
}
