//! The fields of a registered schema, whichever language it is of, and the columns that they are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::pure::layout::cells::{Cell, ColumnType};
use crate::pure::layout::columns::{Column, JsonColumns, field_id};
use crate::pure::layout::format::{Nested, Rows};
use crate::pure::layout::nested_type::{LONGEST_NAME, NestedField, NestedType};
use crate::pure::layout::nested_value::NestedBudget;
use crate::pure::layout::nested_writer::NestedWriter;

/// What a mapping wants of the columns of its schemas.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Names that columns may not have, beside those of every file.
    pub reserved: &'a [String],
    pub nested: Nested,
}

impl<'a> Wanted<'a> {
    /// As it is where nothing is chosen.
    #[cfg(test)]
    #[must_use]
    pub fn flat(reserved: &'a [String]) -> Wanted<'a> {
        Wanted { reserved, nested: Nested::Json }
    }

    /// With nested columns.
    #[cfg(test)]
    #[must_use]
    pub fn nested(reserved: &'a [String]) -> Wanted<'a> {
        Wanted { reserved, nested: Nested::Columns }
    }

    /// How many columns nested fields may make beside their first ones, of a schema with so many
    /// fields; [`None`] where they are JSON text.
    #[must_use]
    pub fn leaves(self, fields: usize) -> Option<usize> {
        (self.nested == Nested::Columns).then(|| MOST_COLUMNS.saturating_sub(fields))
    }
}

/// One field.
#[derive(Clone, PartialEq, Debug)]
pub struct SchemaField {
    pub name: String,
    /// What another version of the schema may know the field by: its name and those that it had
    /// before, or its number.
    pub keys: Vec<String>,
    pub kind: ColumnType,
    /// The type of the parts of a [`ColumnType::Nested`]; [`None`] for all others.
    pub nested: Option<Arc<NestedType>>,
    /// What stands in the column where a writer does not know the field.
    pub missing: Cell<'static>,
}

/// The most fields of a record that become columns: each one costs memory in each open file.
const MOST_COLUMNS: usize = 1_000;
/// What is put before a name that is taken.
const PREFIX: &str = "value_";

impl SchemaField {
    /// The field as a nested one, unless it has no such type. A list or a map that is not there is
    /// an empty one where its JSON text would say so, and everything else is null.
    #[must_use]
    pub fn nested(self, of: Option<NestedType>) -> SchemaField {
        let Some(of) = of else { return self };
        let is_empty = |text| self.missing == Cell::Text(text);
        let empty = match &of {
            NestedType::List(_) => is_empty("[]".into()),
            NestedType::Map(_) => is_empty("{}".into()),
            NestedType::Simple(_) | NestedType::Struct(_) => false,
        };
        let missing = if empty { nothing(&of) } else { Cell::Null };
        SchemaField { kind: ColumnType::Nested, nested: Some(Arc::new(of)), missing, ..self }
    }
}

/// A list or a map without anything in it.
fn nothing(of: &NestedType) -> Cell<'static> {
    let mut budget = NestedBudget::of(0);
    let mut writer = NestedWriter::new(&mut budget);
    match writer.list(of, |_| Ok(false)) {
        Ok(()) => Cell::Nested(Arc::new(writer.finish())),
        Err(_) => Cell::Null,
    }
}

/// The columns of the fields, in their order.
///
/// # Errors
/// There are too many fields, or one cannot be a column; the text says why.
pub fn columns(fields: &[SchemaField], wanted: Wanted<'_>) -> Result<JsonColumns, String> {
    if MOST_COLUMNS < fields.len() {
        return Err(format!("has {} fields; {MOST_COLUMNS} are allowed", fields.len()));
    }
    let envelope = Rows::Quarantine;
    let of_files = envelope.columns().into_iter().map(str::to_ascii_lowercase);
    let reserved = wanted.reserved.iter().map(|name| name.to_ascii_lowercase());
    let of_fields: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let names = names(&of_fields, of_files.chain(reserved));
    let mut columns: Vec<Column> = Vec::with_capacity(fields.len());
    let mut ids = HashSet::new();
    for (field, name) in fields.iter().zip(names) {
        let column = Column::of_field(&field.name, &name, field.kind)?;
        let column = Column { nested: field.nested.clone(), ..column };
        let mut paths = vec![column.name.clone()];
        if let Some(of) = &column.nested {
            of.paths(&column.name, &mut paths);
        }
        if let Some(path) = paths.iter().find(|path| !ids.insert(field_id(path))) {
            // One schema in four thousand with a thousand columns, and in a million with sixty.
            return Err(format!("{path} has the id of another column or of a part of one"));
        }
        columns.push(column);
    }
    Ok(JsonColumns::new(columns))
}

/// The names of columns, or of parts of one, in the order of the fields. `taken`: names in small
/// letters that are taken already.
pub fn names(fields: &[&str], taken: impl Iterator<Item = String>) -> Vec<String> {
    let mut taken: HashMap<String, usize> = taken.map(|name| (name, usize::MAX)).collect();
    let plain: Vec<String> = fields.iter().map(|field| plain(field)).collect();
    // A field keeps its name if it can, whatever others are called to make room.
    for (at, (field, plain)) in fields.iter().zip(&plain).enumerate() {
        if field == plain {
            let _ = taken.entry(plain.to_ascii_lowercase()).or_insert(at);
        }
    }
    let mut names = Vec::with_capacity(fields.len());
    for (at, mut name) in plain.into_iter().enumerate() {
        // A name that is too long is refused in any case, or its struct becomes text.
        while name.len() <= LONGEST_NAME
            && taken.get(&name.to_ascii_lowercase()).is_some_and(|owner| *owner != at)
        {
            name.insert_str(0, PREFIX);
        }
        let _ = taken.insert(name.to_ascii_lowercase(), at);
        names.push(name);
    }
    names
}

/// The fields of a struct: each has its name in the schema, what it is known by, and its type.
#[must_use]
pub fn parts(fields: Vec<(&str, Vec<String>, NestedType)>) -> Vec<NestedField> {
    let of_schema: Vec<&str> = fields.iter().map(|(name, ..)| *name).collect();
    let names = names(&of_schema, std::iter::empty());
    let part = |(name, (_, keys, of))| NestedField { name, keys, of };
    names.into_iter().zip(fields).map(part).collect()
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
        Cell::Nested(value) => Cell::Nested(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::layout::nested_type::Growth;

    fn names_of(fields: &[&str]) -> Vec<String> {
        let field = |name: &&str| SchemaField {
            name: (*name).into(),
            keys: vec![(*name).into()],
            kind: ColumnType::Json,
            nested: None,
            missing: Cell::Null,
        };
        let fields: Vec<SchemaField> = fields.iter().map(field).collect();
        let columns = columns(&fields, Wanted::flat(&["dt".into()])).unwrap();
        columns.columns().iter().map(|column| column.name.clone()).collect()
    }

    #[test]
    fn every_name_becomes_one_that_readers_take() {
        assert_eq!(
            names_of(&["user-id", "user_id", "größe", "1st", "", "a.b", "Key", "DT"]),
            ["value_user_id", "user_id", "gr__e", "_1st", "_", "a_b", "value_Key", "value_DT"]
        );
    }

    /// Each further name would have one `value_` more, and cost more than the one before.
    #[test]
    fn names_that_clash_do_not_grow_without_end() {
        let variants = (0..512_u32).map(|n| {
            let letter = |at: u32| if (n >> at) & 1 == 0 { 'a' } else { 'A' };
            (0..9).map(letter).collect::<String>()
        });
        let fields: Vec<String> = variants.collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let names = names(&fields, std::iter::empty());
        let longest = names.iter().map(String::len).max();
        assert!(longest.is_some_and(|of| of <= LONGEST_NAME + PREFIX.len()), "{longest:?}");
        let all = fields.iter().map(|name| (*name, vec![], NestedType::Simple(ColumnType::Date)));
        let of = Growth::new(1_000).field(0_u8, |growth| growth.structure(parts(all.collect())));
        assert_eq!(of, None, "it is text");
    }
}
