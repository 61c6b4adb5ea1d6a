//! Records, arrays and maps of Avro as nested columns.

use crate::pure::avro::datum::{Blocks, Bytes};
use crate::pure::avro::schema::{Kind, Schema, TypeId};
use crate::pure::layout::cells::ColumnType;
use crate::pure::layout::cells_of_avro::{cell, column_type, keys};
use crate::pure::layout::nested_type::{Growth, NestedType};
use crate::pure::layout::nested_writer::NestedWriter;
use crate::pure::layout::schema_fields::parts;

/// The nested type of a type; [`None`] if it has too many parts.
pub fn nested_type(schema: &Schema, of: TypeId, growth: &mut Growth<TypeId>) -> Option<NestedType> {
    let boxed = |of: NestedType| Box::new(of);
    match &schema.at(of).kind {
        Kind::Union(branches) => {
            let mut others = branches.iter().filter(|of| schema.at(**of).kind != Kind::Null);
            match (others.next(), others.next(), branches.len()) {
                (Some(only), None, ..=2) => nested_type(schema, *only, growth),
                _ => growth.simple(column_type(schema, of)),
            }
        }
        Kind::Record(fields) => growth.compound(Some(of), |growth| {
            let fields = fields.iter().map(|field| {
                Some((field.name.as_str(), keys(field), nested_type(schema, field.of, growth)?))
            });
            let fields = fields.collect::<Option<Vec<_>>>()?;
            growth.structure(parts(fields))
        }),
        Kind::Array(of) => growth.compound(None, |growth| {
            nested_type(schema, *of, growth).map(boxed).map(NestedType::List)
        }),
        Kind::Map(of) => growth.compound(None, |growth| {
            // The keys are a column, too.
            let _ = growth.simple(ColumnType::Text)?;
            nested_type(schema, *of, growth).map(boxed).map(NestedType::Map)
        }),
        _ => growth.simple(column_type(schema, of)),
    }
}

/// Writes the next value, which is of this type, as one of its nested type.
///
/// # Errors
/// The bytes are no value of the type, or a column cannot hold it.
pub fn write(
    bytes: &mut Bytes<'_>,
    (schema, id): (&Schema, TypeId),
    of: &NestedType,
    to: &mut NestedWriter<'_>,
) -> Result<(), String> {
    if let NestedType::Simple(kind) = of {
        let value = bytes.value(schema, id)?;
        return to.cell(&cell(*kind, value)?);
    }
    let kind = &schema.at(id).kind;
    match (kind, of) {
        (Kind::Null, _) => to.null(of),
        (Kind::Union(branches), _) => {
            let branch = bytes.branch(branches)?;
            write(bytes, (schema, branch), of, to)
        }
        (Kind::Record(fields), NestedType::Struct(parts)) => {
            to.structure()?;
            fields.iter().zip(parts).try_for_each(|(field, part)| {
                let written = write(bytes, (schema, field.of), &part.of, to);
                written.map_err(|e| format!("{}: {e}", field.name))
            })
        }
        (Kind::Array(item), NestedType::List(of)) => {
            let mut blocks = Blocks::default();
            to.list(of, |to| {
                let more = blocks.more(bytes)?;
                if more {
                    write(bytes, (schema, *item), of, to)?;
                }
                Ok(more)
            })
        }
        (Kind::Map(item), NestedType::Map(of)) => {
            let mut blocks = Blocks::default();
            to.map(of, |to| {
                let more = blocks.more(bytes)?;
                if more {
                    let key = std::str::from_utf8(bytes.sized()?);
                    to.key(key.map_err(|e| format!("a key is not UTF-8: {e}"))?)?;
                    write(bytes, (schema, *item), of, to)?;
                }
                Ok(more)
            })
        }
        _ => Err("the value has another type".into()),
    }
}
