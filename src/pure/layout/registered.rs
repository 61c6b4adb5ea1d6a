//! Rows whose columns are those of a schema in a registry: `value = "registry"`.
//!
//! *Rule*: what a record becomes depends on its bytes, on the mapping's settings, and on schemas,
//! which never change. Which of them a file has the columns of is decided when the file begins.

use std::fmt;
use std::sync::Arc;

use crate::pure::layout::cells::Cell;
use crate::pure::layout::format::{ColumnRows, Evolution, Registered, Rows};
use crate::pure::layout::frame::framed;
use crate::pure::layout::writer_schema::WriterSchema;
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
    /// There is no such schema, or none that can be used, for this reason.
    Unusable(Arc<str>),
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
    /// The id of the schema; [`None`] without one.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.schema.as_ref().map(|schema| schema.id)
    }

    fn columns(&self) -> usize {
        self.schema.as_ref().map_or(0, |schema| schema.columns.columns().len())
    }
}

impl RegisteredRows {
    /// The id that has to be known before the record can be archived; [`None`] if it is known, or
    /// if there is none.
    #[inline]
    #[must_use]
    pub fn unknown(&self, record: &Record<'_>) -> Option<u32> {
        let framed = framed(record).ok().flatten()?;
        self.schemas.get(framed.id).is_none().then_some(framed.id)
    }

    /// The schema whose columns the record's file has; [`None`] for a record that has none, which
    /// may stand in any file, or is a bad one.
    #[must_use]
    pub fn target_of(&self, record: &Record<'_>) -> Option<Arc<WriterSchema>> {
        let framed = framed(record).ok().flatten()?;
        let Some(Known::Schema(writer)) = self.schemas.get(framed.id) else { return None };
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
        let writer = match self.schemas.get(framed.id) {
            Some(Known::Schema(writer)) => writer,
            Some(Known::Unusable(why)) => return Err(why.to_string()),
            // It was known to be unusable when the record was read.
            None => return Err(no_schema(framed.id)),
        };
        let cells = writer.cells(framed.body).map_err(|e| format!("schema {}: {e}", writer.id))?;
        match &target.schema {
            Some(schema) if schema.id == writer.id => Ok(cells),
            Some(schema) => match schema.takes(&writer) {
                Some(taken) => Ok(schema.row(&taken, cells)),
                None => Err(format!("schema {} is not one of its file", writer.id)),
            },
            None => Err(format!("schema {} has no file", writer.id)),
        }
    }
}

/// Why a record with such an id is a bad one.
#[must_use]
pub fn no_schema(id: u32) -> String {
    format!("the registry has no schema {id}")
}
