//! A schema that records are written with: its columns, and its rows.
//!
//! A field of a simple type is a column of the same name; of any other type it is a column of JSON
//! text. A name that every file has, or that another field has in other letters, gets `value_`
//! before it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::pure::json_schema::Referred;
use crate::pure::layout::cells::Cell;
use crate::pure::layout::columns::JsonColumns;
use crate::pure::layout::nested_value::NestedBudget;
use crate::pure::layout::nested_versions::{converted, promoted};
use crate::pure::layout::of_avro::AvroReader;
use crate::pure::layout::of_json_schema::JsonReader;
use crate::pure::layout::of_protobuf::MessageReader;
use crate::pure::layout::schema_fields::{SchemaField, Wanted, columns};
use crate::pure::protobuf::schema::{MessageId, Schema};

/// A schema by its id, or one message of it.
#[derive(Clone, Debug)]
pub struct WriterSchema {
    pub key: SchemaKey,
    /// What versions of the schema have in common: the full name of its record or message, or the
    /// title of its object; empty for an object without one.
    pub name: String,
    pub columns: JsonColumns,
    fields: Vec<SchemaField>,
    /// Where a field stands, by the first of its keys.
    by_key: HashMap<String, usize>,
    reader: Reader,
}

/// What a record names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SchemaKey {
    pub id: u32,
    /// Which message of a schema with several; 0 where there is one record alone.
    pub message: u32,
}

/// How the records of a language are read.
#[derive(Clone, PartialEq, Debug)]
enum Reader {
    Avro(AvroReader),
    Json(JsonReader),
    Protobuf(MessageReader),
}

/// Where the cell of a column comes from when a record has another schema.
#[derive(Clone, PartialEq, Debug)]
pub enum Origin {
    /// The writer's field, whose number is of the column's type or becomes one.
    Field(usize),
    /// The writer has no such field.
    Default,
}

impl WriterSchema {
    /// Reads a schema of Avro. `references`: those that it needs, in order.
    ///
    /// # Errors
    /// It is no schema, or not one of a record with columns; the text says why.
    pub fn avro(
        id: u32,
        text: &str,
        references: &[String],
        wanted: Wanted<'_>,
    ) -> Result<WriterSchema, String> {
        let (name, fields, reader) = AvroReader::parse(text, references, wanted)?;
        let key = SchemaKey { id, message: 0 };
        WriterSchema::of(key, name, fields, Reader::Avro(reader), wanted)
    }

    /// Reads a JSON Schema, as [`WriterSchema::avro`] reads one of Avro.
    ///
    /// # Errors
    /// It is no schema, or not one of an object with columns; the text says why.
    pub fn json(
        id: u32,
        text: &str,
        references: &[Referred<'_>],
        wanted: Wanted<'_>,
    ) -> Result<WriterSchema, String> {
        let (name, fields, reader) = JsonReader::parse(text, references, wanted)?;
        let key = SchemaKey { id, message: 0 };
        WriterSchema::of(key, name, fields, Reader::Json(reader), wanted)
    }

    /// One message of a schema of Protobuf.
    ///
    /// # Errors
    /// It cannot have columns; the text says why.
    pub fn protobuf(
        key: SchemaKey,
        schema: &Arc<Schema>,
        message: MessageId,
        wanted: Wanted<'_>,
    ) -> Result<WriterSchema, String> {
        let name = schema.message(message).name.clone();
        let (fields, reader) = MessageReader::of(schema, message, wanted);
        WriterSchema::of(key, name, fields, Reader::Protobuf(reader), wanted)
    }

    fn of(
        key: SchemaKey,
        name: String,
        fields: Vec<SchemaField>,
        reader: Reader,
        wanted: Wanted<'_>,
    ) -> Result<WriterSchema, String> {
        let columns = columns(&fields, wanted)?;
        let first = fields.iter().filter_map(|field| field.keys.first().cloned());
        let by_key = first.zip(0..).collect();
        Ok(WriterSchema { key, name, columns, fields, by_key, reader })
    }

    /// Whether both read every value into the same cells, and the same values.
    #[must_use]
    pub fn reads_alike(&self, other: &WriterSchema) -> bool {
        self.name == other.name && self.fields == other.fields && self.reader == other.reader
    }

    /// The cells of one value.
    ///
    /// # Errors
    /// The bytes are no value of this schema, or a column cannot hold a field.
    pub fn cells<'a>(&self, body: &'a [u8]) -> Result<Vec<Cell<'a>>, String> {
        match &self.reader {
            Reader::Avro(reader) => reader.cells(&self.columns, body),
            Reader::Json(reader) => reader.cells(&self.columns, body),
            Reader::Protobuf(reader) => reader.cells(&self.columns, body),
        }
    }

    /// Where each of these columns has its cell from, in a record of the writer's schema; [`None`]
    /// if something of the record would be lost.
    #[must_use]
    pub fn takes(&self, writer: &WriterSchema) -> Option<Vec<Origin>> {
        if writer.key == self.key {
            return Some((0..self.fields.len()).map(Origin::Field).collect());
        }
        let language = |of: &WriterSchema| std::mem::discriminant(&of.reader);
        if language(self) != language(writer) {
            return None;
        }
        // A field of the writer goes to one column: a new name may have the old one as its alias,
        // and the old one may have been given to another field.
        let mut used = vec![false; writer.fields.len()];
        let mut from = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            let found = field.keys.iter().find_map(|key| writer.by_key.get(key).copied());
            from.push(match found {
                Some(at) if !used[at] && becomes(&writer.fields[at], field) => {
                    used[at] = true;
                    Origin::Field(at)
                }
                Some(_) => return None,
                None => Origin::Default,
            });
        }
        used.iter().all(|used| *used).then_some(from)
    }

    /// The row of a record whose cells are the writer's; of so many bytes is its value.
    ///
    /// # Errors
    /// A nested field would be too long.
    pub fn row<'a>(
        &self,
        (writer, from): (&WriterSchema, &[Origin]),
        mut cells: Vec<Cell<'a>>,
        bytes: usize,
    ) -> Result<Vec<Cell<'a>>, String> {
        let mut budget = NestedBudget::of(bytes);
        let row = self.fields.iter().zip(from).map(|(field, from)| {
            let Origin::Field(at) = from else { return Ok(field.missing.clone()) };
            let cell = cells.get_mut(*at).map(|cell| std::mem::replace(cell, Cell::Null));
            let own = writer.fields.get(*at).and_then(|field| field.nested.as_deref());
            match (cell.unwrap_or(Cell::Null), own, field.nested.as_deref()) {
                (Cell::Nested(value), Some(own), Some(of)) if own != of => {
                    let value = converted(&value, own, of, &mut budget);
                    let value = value.map_err(|e| format!("field {}: {e}", field.name))?;
                    Ok(Cell::Nested(Arc::new(value)))
                }
                (cell, ..) => Ok(promoted(field.kind, cell)),
            }
        });
        row.collect()
    }
}

/// Whether every value of one field is one of the other.
fn becomes(writer: &SchemaField, column: &SchemaField) -> bool {
    match (&writer.nested, &column.nested) {
        (Some(own), Some(of)) => own.becomes(of),
        _ => writer.kind.becomes(column.kind),
    }
}
