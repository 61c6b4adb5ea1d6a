//! A nested value of one version of a schema as one of another.

use crate::pure::layout::cells::{Cell, ColumnType};
use crate::pure::layout::nested_reader::NestedReader;
use crate::pure::layout::nested_type::{NestedField, NestedType};
use crate::pure::layout::nested_value::{NestedBudget, NestedValue};
use crate::pure::layout::nested_writer::NestedWriter;

/// Why a value has no form in the other version.
const BROKEN: &str = "a nested value is broken";

/// The value as one of the type that its own type becomes ([`NestedType::becomes`]). Fields that
/// its own type does not have are null.
///
/// # Errors
/// There is no room for it.
pub fn converted(
    value: &NestedValue,
    from: &NestedType,
    to: &NestedType,
    budget: &mut NestedBudget,
) -> Result<NestedValue, String> {
    let mut writer = NestedWriter::new(budget);
    convert(&mut NestedReader::of(&value.bytes), (from, to), &mut writer)?;
    Ok(writer.finish())
}

/// The cell as one of the wider type.
pub fn promoted(kind: ColumnType, cell: Cell<'_>) -> Cell<'_> {
    match (kind, cell) {
        (ColumnType::Int64, Cell::Int32(value)) => Cell::Int64(value.into()),
        (ColumnType::Float64, Cell::Int32(value)) => Cell::Float64(value.into()),
        (_, cell) => cell,
    }
}

fn convert(
    value: &mut NestedReader<'_>,
    types: (&NestedType, &NestedType),
    to: &mut NestedWriter<'_>,
) -> Result<(), String> {
    if let (NestedType::Simple(from), NestedType::Simple(kind)) = types {
        let cell = value.cell(*from).ok_or(BROKEN)?;
        return to.cell(&promoted(*kind, cell));
    }
    if !value.is_there().ok_or(BROKEN)? {
        return to.null(types.1);
    }
    match types {
        (NestedType::Struct(own), NestedType::Struct(fields)) => structure(value, own, fields, to),
        (NestedType::List(own), NestedType::List(of)) => to.list(of, |to| {
            let more = !value.ends().ok_or(BROKEN)?;
            if more {
                convert(value, (own, of), to)?;
            }
            Ok(more)
        }),
        (NestedType::Map(own), NestedType::Map(of)) => to.map(of, |to| {
            let more = !value.ends().ok_or(BROKEN)?;
            if more {
                to.key(value.key().ok_or(BROKEN)?)?;
                convert(value, (own, of), to)?;
            }
            Ok(more)
        }),
        _ => Err(BROKEN.into()),
    }
}

fn structure(
    value: &mut NestedReader<'_>,
    own: &[NestedField],
    fields: &[NestedField],
    to: &mut NestedWriter<'_>,
) -> Result<(), String> {
    // Fields may stand in another order: each is found by passing over those before it.
    let mut begins = Vec::with_capacity(own.len());
    for field in own {
        begins.push(*value);
        pass(value, &field.of).ok_or(BROKEN)?;
    }
    to.structure()?;
    for field in fields {
        match field.place_in(own) {
            Some(at) => convert(&mut begins[at], (&own[at].of, &field.of), to)?,
            None => to.null(&field.of)?,
        }
    }
    Ok(())
}

/// Passes over a part.
fn pass(value: &mut NestedReader<'_>, of: &NestedType) -> Option<()> {
    if let NestedType::Simple(kind) = of {
        return value.cell(*kind).map(drop);
    }
    if !value.is_there()? {
        return Some(());
    }
    match of {
        NestedType::Simple(_) => {}
        NestedType::Struct(fields) => {
            fields.iter().try_for_each(|field| pass(value, &field.of))?;
        }
        NestedType::List(of) => {
            while !value.ends()? {
                pass(value, of)?;
            }
        }
        NestedType::Map(of) => {
            while !value.ends()? {
                let _ = value.key()?;
                pass(value, of)?;
            }
        }
    }
    Some(())
}
