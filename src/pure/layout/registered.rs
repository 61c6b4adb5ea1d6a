//! Rows whose columns are those of a schema in a registry: `value = "registry"`.
//!
//! *Rule*: what a record becomes depends on its bytes, on the mapping's settings, and on schemas,
//! which never change. Which of them a file has the columns of is decided when the file begins.

use std::fmt;
use std::sync::Arc;

use crate::pure::formats::schema::KeptSchema;
use crate::pure::json_schema::Referred;
use crate::pure::layout::cells::Cell;
use crate::pure::layout::format::{ColumnRows, Evolution, Registered, Rows};
use crate::pure::layout::frame::{Framed, NO_ID, framed};
use crate::pure::layout::messages::Messages;
use crate::pure::layout::schema_fields::Wanted;
use crate::pure::layout::writer_schema::{SchemaKey, WriterSchema};
use crate::pure::protobuf::schema::Import;
use crate::pure::record::Record;

/// Rows with the columns of a registered schema.
#[derive(Clone, Debug)]
pub struct RegisteredRows {
    pub of: Registered,
    /// Names in paths, which no column may have.
    pub reserved: Vec<String>,
    pub schemas: Arc<dyn KnownSchemas>,
}

/// What is known of an id.
#[derive(Clone, Debug)]
pub enum Known {
    Schema(Arc<WriterSchema>),
    /// One of several messages, which the record names.
    Messages(Arc<Messages>),
    /// There is no such schema, or none that can be used, for this reason.
    Unusable(Arc<str>),
}

impl Known {
    /// Reads a schema.
    #[must_use]
    pub fn of(schema: &KeptSchema, wanted: Wanted<'_>) -> Known {
        let KeptSchema { id, kind, schema: text, references } = schema;
        let names = references.iter().map(|of| (of.name.as_str(), of.schema.as_str()));
        let read = match kind.as_str() {
            "AVRO" => {
                let texts: Vec<String> = names.map(|(_, text)| text.into()).collect();
                WriterSchema::avro(*id, text, &texts, wanted).map(Arc::new).map(Known::Schema)
            }
            "JSON" => {
                let referred: Vec<Referred<'_>> =
                    names.map(|(name, text)| Referred { name, text }).collect();
                WriterSchema::json(*id, text, &referred, wanted).map(Arc::new).map(Known::Schema)
            }
            "PROTOBUF" => {
                let imports: Vec<Import<'_>> =
                    names.map(|(name, text)| Import { name, text }).collect();
                Messages::parse(*id, text, &imports, wanted).map(Arc::new).map(Known::Messages)
            }
            _ => {
                let why = format!(
                    "schema {id} is of the type {kind}, and AVRO, JSON and PROTOBUF can be read"
                );
                return Known::Unusable(why.into());
            }
        };
        let unusable = |why| Known::Unusable(format!("schema {id} cannot be used: {why}").into());
        read.unwrap_or_else(unusable)
    }

    /// Whether both read every value alike, however their schemas are written.
    #[must_use]
    pub fn reads_alike(&self, other: &Known) -> bool {
        match (self, other) {
            (Known::Schema(one), Known::Schema(other)) => one.reads_alike(other),
            (Known::Messages(one), Known::Messages(other)) => one.reads_alike(other),
            (Known::Unusable(_), Known::Unusable(_)) => true,
            _ => false,
        }
    }
}

/// The schemas that are known. What is known of an id that has a schema never changes.
pub trait KnownSchemas: fmt::Debug + Send + Sync {
    /// What is known of an id; [`None`] if it has not been asked for yet.
    fn get(&self, id: u32) -> Option<Known>;

    /// Schemas of the same name with higher ids, the highest first.
    fn newer(&self, of: &WriterSchema) -> Vec<Arc<WriterSchema>>;

    /// How often something was added: what was chosen before may be chosen anew.
    fn changes(&self) -> u64;
}

/// The columns of one file.
#[derive(Debug)]
pub struct Target {
    /// The schema that has them; [`None`] for a file of records without a value alone.
    pub schema: Option<Arc<WriterSchema>>,
    /// What the encoder is told.
    pub rows: Rows,
}

impl Target {
    /// The schema, as records name it; [`None`] without one.
    #[must_use]
    pub fn key(&self) -> Option<SchemaKey> {
        self.schema.as_ref().map(|schema| schema.key)
    }

    fn columns(&self) -> usize {
        self.schema.as_ref().map_or(0, |schema| schema.columns.columns().len())
    }
}

impl RegisteredRows {
    /// What the mapping wants of columns.
    #[must_use]
    pub fn wanted(&self) -> Wanted<'_> {
        Wanted { reserved: &self.reserved, nested: self.of.nested }
    }

    /// The id that has to be known before the record can be archived; [`None`] if it is known, or
    /// if there is none.
    #[inline]
    #[must_use]
    pub fn unknown(&self, record: &Record<'_>) -> Option<u32> {
        let framed = framed(record).ok().flatten()?;
        self.schemas.get(framed.id).is_none().then_some(framed.id)
    }

    /// The schema that a record was written with, and the bytes of its value.
    fn writer<'a>(&self, framed: &Framed<'a>) -> Result<(Arc<WriterSchema>, &'a [u8]), String> {
        match self.schemas.get(framed.id) {
            Some(Known::Schema(writer)) if framed.behind.is_empty() => Ok((writer, framed.body)),
            Some(Known::Schema(_)) => Err(NO_ID.into()),
            Some(Known::Messages(messages)) => messages.find(framed),
            Some(Known::Unusable(why)) => Err(why.to_string()),
            // It was known to be unusable when the record was read.
            None => Err(no_schema(framed.id)),
        }
    }

    /// What a record names; [`None`] if that is no schema that is known.
    #[must_use]
    pub fn key_of(&self, record: &Record<'_>) -> Option<SchemaKey> {
        let framed = framed(record).ok().flatten()?;
        self.writer(&framed).ok().map(|(writer, _)| writer.key)
    }

    /// The schema whose columns the record's file has; [`None`] for a record that has none, which
    /// may stand in any file, or is a bad one.
    #[must_use]
    pub fn target_of(&self, record: &Record<'_>) -> Option<Arc<WriterSchema>> {
        let (writer, _) = self.writer(&framed(record).ok().flatten()?).ok()?;
        if self.of.evolution == Evolution::AsWritten {
            return Some(writer);
        }
        let newer = self.schemas.newer(&writer).into_iter();
        Some(newer.into_iter().find(|newer| newer.takes(&writer).is_some()).unwrap_or(writer))
    }

    /// A file's columns.
    #[must_use]
    pub fn target(&self, schema: Option<Arc<WriterSchema>>) -> Target {
        let columns = schema.as_ref().map(|schema| schema.columns.clone()).unwrap_or_default();
        let rows = ColumnRows { key: self.of.key, value: self.of.value, columns };
        Target { schema, rows: Rows::Columns(Arc::new(rows)) }
    }

    /// The cells of a record in a file with these columns.
    ///
    /// # Errors
    /// It is a bad record, for this reason.
    pub fn cells<'a>(&self, record: &Record<'a>, target: &Target) -> Result<Vec<Cell<'a>>, String> {
        let Some(framed) = framed(record)? else {
            return Ok(vec![Cell::Null; target.columns()]);
        };
        let (writer, body) = self.writer(&framed)?;
        let id = writer.key.id;
        let cells = writer.cells(body).map_err(|e| format!("schema {id}: {e}"))?;
        match &target.schema {
            Some(schema) if schema.key == writer.key => Ok(cells),
            Some(schema) => match schema.takes(&writer) {
                Some(taken) => {
                    let row = schema.row((&writer, &taken), cells, body.len());
                    row.map_err(|e| format!("schema {id}: {e}"))
                }
                None => Err(format!("schema {id} is not one of its file")),
            },
            None => Err(format!("schema {id} has no file")),
        }
    }
}

/// Why a record with such an id is a bad one.
#[must_use]
pub fn no_schema(id: u32) -> String {
    format!("the registry has no schema {id}")
}
