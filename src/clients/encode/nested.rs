//! Nested columns: structs, lists and maps as readers of Parquet have them, with an id for each
//! field, element, key and value. Every part may be null, but for the keys of maps.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, ListArray, MapArray, StructArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, FieldRef, Fields};

use crate::clients::encode::error::EncodeError;
use crate::clients::encode::field_ids::with_id;
use crate::clients::encode::flat::{Values, data_type};
use crate::pure::layout::cells::{Cell, ColumnType};
use crate::pure::layout::columns::field_id;
use crate::pure::layout::nested_reader::NestedReader;
use crate::pure::layout::nested_type::{NestedType, element_path, entry_paths, field_path};

/// The values of a nested column or of a part of one, gathered until they make a batch.
pub(super) enum Parts {
    Simple(ColumnType, Values),
    Struct { fields: Fields, parts: Vec<Parts>, validity: NullBufferBuilder },
    List { element: FieldRef, items: Box<Parts>, lists: Lists },
    Map { entries: FieldRef, keys: StringBuilder, values: Box<Parts>, maps: Lists },
}

/// Where lists or maps end among their items.
pub(super) struct Lists {
    ends: Vec<i32>,
    /// How many items there are.
    items: i32,
    validity: NullBufferBuilder,
}

impl Lists {
    fn new() -> Lists {
        Lists { ends: vec![0], items: 0, validity: NullBufferBuilder::new(0) }
    }

    fn add_item(&mut self) -> Option<()> {
        self.items = self.items.checked_add(1)?;
        Some(())
    }

    fn end(&mut self, is_there: bool) {
        self.ends.push(self.items);
        self.validity.append(is_there);
    }

    fn finish(&mut self) -> OffsetBuffer<i32> {
        self.items = 0;
        OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.ends, vec![0])))
    }
}

/// The field of a part. `path`: where it lies in its column.
fn part(name: &str, path: &str, of: &NestedType) -> Result<Field, EncodeError> {
    Ok(with_id(field_id(path), Field::new(name, nested_type(of, path)?, true)))
}

fn fields(of: &NestedType, path: &str) -> Result<Fields, EncodeError> {
    let NestedType::Struct(fields) = of else { return Err(EncodeError::Unfit) };
    let parts = fields.iter().map(|field| {
        let path = field_path(path, &field.name);
        part(&field.name, &path, &field.of)
    });
    Ok(Fields::from(parts.collect::<Result<Vec<Field>, EncodeError>>()?))
}

fn element(of: &NestedType, path: &str) -> Result<FieldRef, EncodeError> {
    part("element", &element_path(path), of).map(Arc::new)
}

fn entries(of: &NestedType, path: &str) -> Result<FieldRef, EncodeError> {
    let [key, value] = entry_paths(path);
    let key = with_id(field_id(&key), Field::new("key", DataType::Utf8, false));
    let pair = Fields::from(vec![key, part("value", &value, of)?]);
    Ok(Arc::new(Field::new("key_value", DataType::Struct(pair), false)))
}

/// The type of a nested column or of a part of one. `path`: where it lies in its column, the
/// column's own name first.
///
/// # Errors
/// A part has no type, which is a fault of the caller.
pub(super) fn nested_type(of: &NestedType, path: &str) -> Result<DataType, EncodeError> {
    Ok(match of {
        NestedType::Simple(kind) => data_type(*kind)?,
        NestedType::Struct(_) => DataType::Struct(fields(of, path)?),
        NestedType::List(of) => DataType::List(element(of, path)?),
        NestedType::Map(of) => DataType::Map(entries(of, path)?, false),
    })
}

impl Parts {
    /// The builders of a column or of a part of one.
    ///
    /// # Errors
    /// As those of [`nested_type`].
    pub(super) fn new(of: &NestedType, path: &str) -> Result<Parts, EncodeError> {
        Ok(match of {
            NestedType::Simple(kind) => Parts::Simple(*kind, Values::new(*kind)?),
            NestedType::Struct(all) => {
                let parts = all.iter().map(|f| Parts::new(&f.of, &field_path(path, &f.name)));
                Parts::Struct {
                    fields: fields(of, path)?,
                    parts: parts.collect::<Result<Vec<Parts>, EncodeError>>()?,
                    validity: NullBufferBuilder::new(0),
                }
            }
            NestedType::List(of) => Parts::List {
                element: element(of, path)?,
                items: Box::new(Parts::new(of, &element_path(path))?),
                lists: Lists::new(),
            },
            NestedType::Map(of) => {
                let [_, value] = entry_paths(path);
                Parts::Map {
                    entries: entries(of, path)?,
                    keys: StringBuilder::with_capacity(0, 0),
                    values: Box::new(Parts::new(of, &value)?),
                    maps: Lists::new(),
                }
            }
        })
    }

    /// Adds the next part of a value; [`None`] if it is none of this type, which is a fault of the
    /// caller.
    pub(super) fn append(&mut self, value: &mut NestedReader<'_>) -> Option<()> {
        if let Parts::Simple(kind, values) = self {
            values.append(&value.cell(*kind)?);
            return Some(());
        }
        if !value.is_there()? {
            self.append_null();
            return Some(());
        }
        match self {
            Parts::Simple(..) => {}
            Parts::Struct { parts, validity, .. } => {
                parts.iter_mut().try_for_each(|part| part.append(value))?;
                validity.append_non_null();
            }
            Parts::List { items, lists, .. } => {
                while !value.ends()? {
                    items.append(value)?;
                    lists.add_item()?;
                }
                lists.end(true);
            }
            Parts::Map { keys, values, maps, .. } => {
                while !value.ends()? {
                    keys.append_value(value.key()?);
                    values.append(value)?;
                    maps.add_item()?;
                }
                maps.end(true);
            }
        }
        Some(())
    }

    pub(super) fn append_null(&mut self) {
        match self {
            Parts::Simple(_, values) => values.append(&Cell::Null),
            Parts::Struct { parts, validity, .. } => {
                parts.iter_mut().for_each(Parts::append_null);
                validity.append_null();
            }
            Parts::List { lists, .. } | Parts::Map { maps: lists, .. } => lists.end(false),
        }
    }

    /// The column, which is empty then.
    ///
    /// # Errors
    /// The parts do not suit each other, which is a fault of this file.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, EncodeError> {
        Ok(match self {
            Parts::Simple(_, values) => values.finish(),
            Parts::Struct { fields, parts, validity } => {
                let arrays: Result<Vec<ArrayRef>, EncodeError> =
                    parts.iter_mut().map(Parts::finish).collect();
                Arc::new(StructArray::try_new(fields.clone(), arrays?, validity.finish())?)
            }
            Parts::List { element, items, lists } => {
                let (ends, nulls) = (lists.finish(), lists.validity.finish());
                Arc::new(ListArray::try_new(Arc::clone(element), ends, items.finish()?, nulls)?)
            }
            Parts::Map { entries, keys, values, maps } => {
                let DataType::Struct(pair) = entries.data_type() else {
                    return Err(EncodeError::Unfit);
                };
                let arrays: Vec<ArrayRef> = vec![Arc::new(keys.finish()), values.finish()?];
                let pairs = StructArray::try_new(pair.clone(), arrays, None)?;
                let (ends, nulls) = (maps.finish(), maps.validity.finish());
                Arc::new(MapArray::try_new(Arc::clone(entries), ends, pairs, nulls, false)?)
            }
        })
    }
}
