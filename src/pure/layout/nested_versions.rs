//! A nested value of one version of a schema as one of another.

use std::collections::HashMap;
use std::rc::Rc;

use crate::pure::layout::cells::{Cell, ColumnType};
use crate::pure::layout::nested_reader::NestedReader;
use crate::pure::layout::nested_type::{NestedField, NestedType, places};
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
    let mut known = Known::default();
    convert(&mut NestedReader::of(&value.bytes), (from, to), &mut writer, &mut known)?;
    Ok(writer.finish())
}

/// Where structs of one version have the fields of the other: a list may have thousands of structs,
/// and their type has a thousand fields. Its keys are the addresses of both lists of fields.
#[derive(Default)]
struct Known(HashMap<[usize; 2], Rc<[Option<usize>]>>);

impl Known {
    fn places(&mut self, fields: &[NestedField], own: &[NestedField]) -> Rc<[Option<usize>]> {
        let both = [fields, own].map(|of| of.as_ptr().addr());
        Rc::clone(self.0.entry(both).or_insert_with(|| places(fields, own).into()))
    }
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
    known: &mut Known,
) -> Result<(), String> {
    if let (NestedType::Simple(from), NestedType::Simple(kind)) = types {
        let cell = value.cell(*from).ok_or(BROKEN)?;
        return to.cell(&promoted(*kind, cell));
    }
    if !value.is_there().ok_or(BROKEN)? {
        return to.null(types.1);
    }
    match types {
        (NestedType::Struct(own), NestedType::Struct(fields)) => {
            structure(value, (own, fields), to, known)
        }
        (NestedType::List(own), NestedType::List(of)) => to.list(of, |to| {
            let more = !value.ends().ok_or(BROKEN)?;
            if more {
                convert(value, (own, of), to, known)?;
            }
            Ok(more)
        }),
        (NestedType::Map(own), NestedType::Map(of)) => to.map(of, |to| {
            let more = !value.ends().ok_or(BROKEN)?;
            if more {
                to.key(value.key().ok_or(BROKEN)?)?;
                convert(value, (own, of), to, known)?;
            }
            Ok(more)
        }),
        _ => Err(BROKEN.into()),
    }
}

fn structure(
    value: &mut NestedReader<'_>,
    (own, fields): (&[NestedField], &[NestedField]),
    to: &mut NestedWriter<'_>,
    known: &mut Known,
) -> Result<(), String> {
    // Fields may stand in another order: each is found by passing over those before it.
    let mut begins = Vec::with_capacity(own.len());
    for field in own {
        begins.push(*value);
        pass(value, &field.of).ok_or(BROKEN)?;
    }
    to.structure()?;
    for (field, place) in fields.iter().zip(&*known.places(fields, own)) {
        match *place {
            Some(at) => convert(&mut begins[at], (&own[at].of, &field.of), to, known)?,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(names: impl Iterator<Item = usize>) -> NestedType {
        let of = || NestedType::Simple(ColumnType::Int32);
        let field =
            |n: usize| NestedField { name: n.to_string(), keys: vec![n.to_string()], of: of() };
        NestedType::List(Box::new(NestedType::Struct(names.map(field).collect())))
    }

    /// Each struct would cost a search for each of its fields otherwise: minutes for this one.
    #[test]
    fn a_list_of_wide_structs_is_converted_in_time_for_its_places() {
        let (own, of) = (wide(0..990), wide((0..991).rev()));
        let mut budget = NestedBudget::of(10_000_000);
        let mut writer = NestedWriter::new(&mut budget);
        let mut left = 4_000_usize;
        let NestedType::List(inner) = &own else { panic!("{own:?}") };
        let NestedType::Struct(fields) = &**inner else { panic!("{inner:?}") };
        writer
            .list(inner, |to| {
                if left == 0 {
                    return Ok(false);
                }
                left -= 1;
                to.structure()?;
                fields.iter().try_for_each(|field| to.null(&field.of))?;
                Ok(true)
            })
            .unwrap();
        let value = writer.finish();
        let begun = std::time::Instant::now();
        let converted = converted(&value, &own, &of, &mut NestedBudget::of(10_000_000)).unwrap();
        assert_eq!(converted.places, 4_000 * 991);
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }
}
