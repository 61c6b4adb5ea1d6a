//! The fields of a registered schema, whichever language it is of, and the columns that they are.

use std::collections::HashMap;

use crate::pure::layout::cells::{Cell, ColumnType};
use crate::pure::layout::columns::{Column, JsonColumns};
use crate::pure::layout::format::Rows;

/// One field.
#[derive(Clone, PartialEq, Debug)]
pub struct SchemaField {
    pub name: String,
    /// What another version of the schema may know the field by: its name and those that it had
    /// before, or its number.
    pub keys: Vec<String>,
    pub kind: ColumnType,
    /// What stands in the column where a writer does not know the field.
    pub missing: Cell<'static>,
}

/// The most fields of a record that become columns: each one costs memory in each open file.
const MOST_COLUMNS: usize = 1_000;
/// What is put before a name that is taken.
const PREFIX: &str = "value_";

/// The columns of the fields, in their order. `reserved`: names that columns may not have, beside
/// those of every file.
///
/// # Errors
/// There are too many fields, or one cannot be a column; the text says why.
pub fn columns(fields: &[SchemaField], reserved: &[String]) -> Result<JsonColumns, String> {
    if MOST_COLUMNS < fields.len() {
        return Err(format!("has {} fields; {MOST_COLUMNS} are allowed", fields.len()));
    }
    let names = names(fields, reserved);
    let mut columns: Vec<Column> = Vec::with_capacity(fields.len());
    for (field, name) in fields.iter().zip(names) {
        let column = Column::of_field(&field.name, &name, field.kind)?;
        if let Some(other) = columns.iter().find(|other| other.id() == column.id()) {
            // One schema in a million with a thousand columns.
            return Err(format!("columns {} and {} have the same id", other.name, column.name));
        }
        columns.push(column);
    }
    Ok(JsonColumns::new(columns))
}

/// The names of the columns, in the order of the fields.
fn names(fields: &[SchemaField], reserved: &[String]) -> Vec<String> {
    let envelope = Rows::Quarantine;
    let mut taken: HashMap<String, usize> = HashMap::new();
    let of_files = envelope.columns().into_iter().map(str::to_ascii_lowercase);
    let reserved = reserved.iter().map(|name| name.to_ascii_lowercase());
    taken.extend(of_files.chain(reserved).map(|name| (name, usize::MAX)));
    let plain: Vec<String> = fields.iter().map(|field| plain(&field.name)).collect();
    // A field keeps its name if it can, whatever others are called to make room.
    for (at, (field, plain)) in fields.iter().zip(&plain).enumerate() {
        if field.name == *plain {
            let _ = taken.entry(plain.to_ascii_lowercase()).or_insert(at);
        }
    }
    let mut names = Vec::with_capacity(fields.len());
    for (at, mut name) in plain.into_iter().enumerate() {
        while taken.get(&name.to_ascii_lowercase()).is_some_and(|owner| *owner != at) {
            name.insert_str(0, PREFIX);
        }
        let _ = taken.insert(name.to_ascii_lowercase(), at);
        names.push(name);
    }
    names
}

/// A name that every reader takes: other characters become `_`.
fn plain(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut text: String = name.chars().map(plain).collect();
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        text.insert(0, '_');
    }
    text
}

/// A cell with bytes of its own.
#[must_use]
pub fn owned(cell: Cell<'_>) -> Cell<'static> {
    match cell {
        Cell::Null => Cell::Null,
        Cell::Text(text) => Cell::Text(text.into_owned().into()),
        Cell::Boolean(value) => Cell::Boolean(value),
        Cell::Int32(value) => Cell::Int32(value),
        Cell::Int64(value) => Cell::Int64(value),
        Cell::Float64(value) => Cell::Float64(value),
        Cell::Decimal(value) => Cell::Decimal(value),
        Cell::Date(value) => Cell::Date(value),
        Cell::Micros(value) => Cell::Micros(value),
        Cell::Bytes(bytes) => Cell::Bytes(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(fields: &[&str]) -> Vec<String> {
        let field = |name: &&str| SchemaField {
            name: (*name).into(),
            keys: vec![(*name).into()],
            kind: ColumnType::Json,
            missing: Cell::Null,
        };
        let fields: Vec<SchemaField> = fields.iter().map(field).collect();
        let columns = columns(&fields, &["dt".into()]).unwrap();
        columns.columns().iter().map(|column| column.name.clone()).collect()
    }

    #[test]
    fn every_name_becomes_one_that_readers_take() {
        assert_eq!(
            names_of(&["user-id", "user_id", "größe", "1st", "", "a.b", "Key", "DT"]),
            ["value_user_id", "user_id", "gr__e", "_1st", "_", "a_b", "value_Key", "value_DT"]
        );
    }
}
