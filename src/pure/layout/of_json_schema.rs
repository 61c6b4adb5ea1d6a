//! JSON objects with a JSON Schema as rows.

use crate::pure::json_schema::{Object, Property, Referred, Shape, Type};
use crate::pure::layout::cells::Cell;
use crate::pure::layout::cells_of_json::{cell, column_type};
use crate::pure::layout::columns::JsonColumns;
use crate::pure::layout::format::Nested;
use crate::pure::layout::nested_of_json::{nested_type, write};
use crate::pure::layout::nested_type::Growth;
use crate::pure::layout::nested_value::NestedBudget;
use crate::pure::layout::nested_writer::NestedWriter;
use crate::pure::layout::schema_fields::{SchemaField, Wanted, owned};

/// How the properties of an object are written.
#[derive(Clone, PartialEq, Debug)]
pub struct JsonReader(Vec<(Type, Option<Shape>)>);

impl JsonReader {
    /// Reads a schema: what it is called, its properties, and the reader of its objects.
    ///
    /// # Errors
    /// It is no schema, or not one of an object.
    pub fn parse(
        text: &str,
        references: &[Referred<'_>],
        wanted: Wanted<'_>,
    ) -> Result<(String, Vec<SchemaField>, JsonReader), String> {
        let Object { name, properties } = match wanted.nested {
            Nested::Json => Object::parse(text, references)?,
            Nested::Columns => Object::parse_deep(text, references)?,
        };
        let mut growth = wanted.leaves(properties.len()).map(Growth::new);
        let fields = properties.iter().map(|property| {
            let shape = property.shape.as_ref().zip(growth.as_mut());
            let of = shape
                .and_then(|(shape, growth)| growth.field((), |growth| nested_type(shape, growth)));
            field(property).nested(of)
        });
        let fields = fields.collect();
        let types = properties.into_iter().map(|property| (property.of, property.shape)).collect();
        Ok((name.unwrap_or_default(), fields, JsonReader(types)))
    }

    /// The cells of one object.
    ///
    /// # Errors
    /// The bytes are no JSON object, or a column cannot hold a property.
    pub fn cells<'a>(
        &self,
        columns: &JsonColumns,
        body: &'a [u8],
    ) -> Result<Vec<Cell<'a>>, String> {
        let mut budget = NestedBudget::of(body.len());
        columns.row_by(body, |at, column, json, cells| {
            cells.push(match (self.0.get(at), &column.nested) {
                (Some((_, Some(shape))), Some(of)) if json.trim() != "null" => {
                    let mut to = NestedWriter::new(&mut budget);
                    write(json, shape, of, &mut to).map(|()| to.cell_of_all())?
                }
                (Some((_, Some(_))), Some(_)) | (None, _) => Cell::Null,
                (Some((of, _)), _) => cell(*of, column.kind, json)?,
            });
            Ok(())
        })
    }
}

fn field(property: &Property) -> SchemaField {
    let kind = column_type(property.of);
    let default = property.default.as_ref().map(ToString::to_string);
    let cell = default.as_deref().and_then(|json| cell(property.of, kind, json).ok());
    let missing = cell.map_or(Cell::Null, owned);
    let (name, keys) = (property.name.clone(), vec![property.name.clone()]);
    SchemaField { name, keys, kind, nested: None, missing }
}
