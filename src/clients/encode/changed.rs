//! Types and arrays of which some parts are changed, however deep they lie.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{ArrayRef, ListArray, MapArray, StructArray};
use arrow_schema::{DataType, Field, Fields};

use crate::clients::encode::error::EncodeError;

/// The type, where `leaf` changes types without parts, and `field` says what a field of the old one
/// is with its new type.
pub(super) fn changed_type(
    kind: &DataType,
    leaf: &impl Fn(&DataType) -> DataType,
    field: &impl Fn(&Field, DataType) -> Field,
) -> DataType {
    let inner = |old: &Field| field(old, changed_type(old.data_type(), leaf, field));
    match kind {
        DataType::List(element) => DataType::List(Arc::new(inner(element))),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| inner(field)).collect::<Fields>())
        }
        DataType::Map(entries, sorted) => DataType::Map(Arc::new(inner(entries)), *sorted),
        kind => leaf(kind),
    }
}

/// The array as one of the changed type, where `leaf` changes arrays without parts.
///
/// # Errors
/// `leaf` fails, or the array is of another type.
pub(super) fn changed_array(
    array: ArrayRef,
    kind: &DataType,
    leaf: &impl Fn(ArrayRef, &DataType) -> Result<ArrayRef, EncodeError>,
) -> Result<ArrayRef, EncodeError> {
    Ok(match kind {
        kind if array.data_type() == kind => array,
        DataType::List(element) => {
            let (_, offsets, values, nulls) = array.as_list::<i32>().clone().into_parts();
            let values = changed_array(values, element.data_type(), leaf)?;
            Arc::new(ListArray::try_new(Arc::clone(element), offsets, values, nulls)?)
        }
        DataType::Struct(fields) => {
            Arc::new(changed_struct(array.as_struct().clone(), fields, leaf)?)
        }
        DataType::Map(entries, _) => {
            let (_, offsets, pairs, nulls, sorted) = array.as_map().clone().into_parts();
            let DataType::Struct(fields) = entries.data_type() else {
                return Err(EncodeError::Unfit);
            };
            let pairs = changed_struct(pairs, fields, leaf)?;
            Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, sorted)?)
        }
        kind => leaf(array, kind)?,
    })
}

fn changed_struct(
    of: StructArray,
    fields: &Fields,
    leaf: &impl Fn(ArrayRef, &DataType) -> Result<ArrayRef, EncodeError>,
) -> Result<StructArray, EncodeError> {
    let (_, arrays, nulls) = of.into_parts();
    let arrays = arrays.into_iter().zip(fields);
    let arrays: Result<Vec<ArrayRef>, EncodeError> =
        arrays.map(|(array, field)| changed_array(array, field.data_type(), leaf)).collect();
    Ok(StructArray::try_new(fields.clone(), arrays?, nulls)?)
}
