//! Objects and arrays of JSON as nested columns.

use std::collections::HashMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::pure::json_schema::Shape;
use crate::pure::layout::cells::ColumnType;
use crate::pure::layout::cells_of_json::{cell, column_type};
use crate::pure::layout::nested_type::{Growth, NestedType};
use crate::pure::layout::nested_writer::NestedWriter;
use crate::pure::layout::schema_fields::parts;

/// The nested type of a shape; [`None`] if it has too many parts. A shape does not lie in itself.
pub fn nested_type(shape: &Shape, growth: &mut Growth<()>) -> Option<NestedType> {
    match shape {
        Shape::Simple(of) => growth.simple(column_type(*of)),
        Shape::Object(properties) => growth.compound(None, |growth| {
            let fields = properties.iter().map(|(name, of)| {
                Some((name.as_str(), vec![name.clone()], nested_type(of, growth)?))
            });
            let fields = fields.collect::<Option<Vec<_>>>()?;
            growth.structure(parts(fields))
        }),
        Shape::List(of) => growth
            .compound(None, |growth| Some(NestedType::List(Box::new(nested_type(of, growth)?)))),
        Shape::Map(of) => growth.compound(None, |growth| {
            // The keys are a column, too.
            let _ = growth.simple(ColumnType::Text)?;
            Some(NestedType::Map(Box::new(nested_type(of, growth)?)))
        }),
    }
}

/// Writes a value that is this JSON text, which is valid.
///
/// # Errors
/// It is no value of this shape, or a column cannot hold it.
pub fn write(
    json: &str,
    shape: &Shape,
    of: &NestedType,
    to: &mut NestedWriter<'_>,
) -> Result<(), String> {
    let json = json.trim();
    match (shape, of) {
        (Shape::Simple(own), NestedType::Simple(kind)) => to.cell(&cell(*own, *kind, json)?),
        // It lies too deep, or has no fields that can be parts.
        (_, NestedType::Simple(kind)) => to.cell(&kind.cell(json)?),
        _ if json == "null" => to.null(of),
        (Shape::Object(properties), NestedType::Struct(parts)) => {
            let members = members(json)?;
            let by_name: HashMap<&str, &RawValue> =
                members.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            to.structure()?;
            properties.iter().zip(parts).try_for_each(|((name, shape), part)| {
                let written = match by_name.get(name.as_str()) {
                    Some(value) => write(value.get(), shape, &part.of, to),
                    None => to.null(&part.of),
                };
                written.map_err(|e| format!("{name}: {e}"))
            })
        }
        (Shape::List(shape), NestedType::List(of)) => {
            let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| not("an array"))?;
            let mut items = items.into_iter();
            to.list(of, |to| match items.next() {
                Some(item) => write(item.get(), shape, of, to).map(|()| true),
                None => Ok(false),
            })
        }
        (Shape::Map(shape), NestedType::Map(of)) => {
            let mut members = members(json)?.into_iter();
            to.map(of, |to| match members.next() {
                Some((name, value)) => {
                    to.key(&name)?;
                    write(value.get(), shape, of, to).map(|()| true)
                }
                None => Ok(false),
            })
        }
        _ => Err("the value has another type".into()),
    }
}

fn not(what: &str) -> String {
    format!("the value is not {what}")
}

fn members(json: &str) -> Result<Vec<(String, &RawValue)>, String> {
    let Members(all) = serde_json::from_str(json).map_err(|_| not("an object"))?;
    Ok(all)
}

/// The members of an object, in their order; names may be there again.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(All)
    }
}

struct All;

impl<'de> Visitor<'de> for All {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut all = Vec::new();
        while let Some(member) = map.next_entry()? {
            all.push(member);
        }
        Ok(Members(all))
    }
}
