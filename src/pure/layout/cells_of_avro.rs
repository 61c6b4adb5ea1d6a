//! Values of Avro without others in them, as cells.

use crate::pure::avro::datum::{Datum, simple_type};
use crate::pure::avro::numbers::whole;
use crate::pure::avro::schema::{Field, Kind, Logical, Schema, TypeId};
use crate::pure::layout::cells::{Cell, ColumnType};

/// What a field may be known by: its name, and those that it had before.
#[must_use]
pub fn keys(field: &Field) -> Vec<String> {
    [&field.name].into_iter().chain(&field.aliases).cloned().collect()
}

/// The type of the column of a type: that of JSON text if it has others in it.
#[must_use]
pub fn column_type(schema: &Schema, of: TypeId) -> ColumnType {
    let Some(simple) = simple_type(schema, of) else { return ColumnType::Json };
    match (&simple.kind, simple.logical) {
        (_, Some(Logical::Date)) => ColumnType::Date,
        (_, Some(Logical::TimestampMillis)) => ColumnType::Time { micros: 1_000 },
        (_, Some(Logical::TimestampMicros)) => ColumnType::Time { micros: 1 },
        (_, Some(Logical::Decimal { precision, scale })) => {
            ColumnType::Decimal { precision, scale }
        }
        (Kind::Boolean, None) => ColumnType::Boolean,
        (Kind::Int, None) => ColumnType::Int32,
        (Kind::Long, None) => ColumnType::Int64,
        (Kind::Float | Kind::Double, None) => ColumnType::Float64,
        (Kind::Text | Kind::Enum(_), None) => ColumnType::Text,
        (Kind::Bytes | Kind::Fixed(_), None) => ColumnType::Bytes,
        // A field that is always null.
        _ => ColumnType::Json,
    }
}

/// The cell of a value.
///
/// # Errors
/// The column cannot hold it.
pub fn cell(kind: ColumnType, value: Datum<'_>) -> Result<Cell<'_>, String> {
    Ok(match (kind, value) {
        (_, Datum::Null) => Cell::Null,
        (_, Datum::Boolean(value)) => Cell::Boolean(value),
        (ColumnType::Date, Datum::Int(days)) => kind.date(days)?,
        (_, Datum::Int(value)) => Cell::Int32(value),
        (ColumnType::Time { .. }, Datum::Long(number)) => kind.time(number)?,
        (_, Datum::Long(value)) => Cell::Int64(value),
        (_, Datum::Double(value)) => Cell::Float64(value),
        (ColumnType::Decimal { precision, .. }, Datum::Bytes(bytes)) => {
            let number = whole(bytes).filter(|number| {
                let most = 10_u128.checked_pow(u32::from(precision));
                most.is_none_or(|most| number.unsigned_abs() < most)
            });
            Cell::Decimal(number.ok_or_else(|| format!("the number is not a {kind}"))?)
        }
        (_, Datum::Bytes(bytes)) => Cell::Bytes(bytes.into()),
        (_, Datum::Text(text)) => Cell::Text(text),
        (_, Datum::Json(json)) => Cell::Text(json.into()),
    })
}
