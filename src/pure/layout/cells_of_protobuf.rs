//! Values of Protobuf without others in them, as cells.

use jiff::civil::Date;

use crate::pure::layout::cells::{Cell, ColumnType};
use crate::pure::protobuf::schema::Kind;
use crate::pure::protobuf::value::Value;

/// The type of the column of a value without others in it.
#[must_use]
pub fn column_type(kind: Kind) -> ColumnType {
    match kind {
        Kind::Bool => ColumnType::Boolean,
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => ColumnType::Int32,
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint32 | Kind::Fixed32 => {
            ColumnType::Int64
        }
        // No reader has numbers of 64 bits without a sign.
        Kind::Uint64 | Kind::Fixed64 => ColumnType::Decimal { precision: 20, scale: 0 },
        Kind::Double | Kind::Float => ColumnType::Float64,
        Kind::Text | Kind::Enum(_) => ColumnType::Text,
        Kind::Bytes => ColumnType::Bytes,
        Kind::Message(_) | Kind::Group(_) => ColumnType::Json,
    }
}

/// The cell of a value.
///
/// # Errors
/// The column cannot hold it.
pub fn cell(kind: ColumnType, value: Value<'_>) -> Result<Cell<'_>, String> {
    Ok(match value {
        Value::Null => Cell::Null,
        Value::Boolean(value) => Cell::Boolean(value),
        Value::Int(value) => Cell::Int32(value),
        Value::Long(value) => Cell::Int64(value),
        Value::Unsigned(value) => Cell::Decimal(value.into()),
        Value::Double(value) => Cell::Float64(value),
        Value::Bytes(bytes) => Cell::Bytes(bytes.into_owned()),
        Value::Text(text) => Cell::Text(text),
        Value::Time { seconds, nanos } => {
            let part = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
            let micros = part.and_then(|nanos| {
                seconds.checked_mul(1_000_000)?.checked_add(i64::from(nanos / 1_000))
            });
            let micros = micros.ok_or_else(|| format!("{seconds} s and {nanos} ns are no time"))?;
            kind.time(micros)?
        }
        Value::Date { year, month, day } => {
            let days = days(year, month, day);
            kind.date(days.ok_or_else(|| format!("{year}-{month}-{day} is no date"))?)?
        }
        Value::Json(text) => Cell::Text(text.into()),
    })
}

/// Days since 1970.
fn days(year: i32, month: i32, day: i32) -> Option<i32> {
    let (year, month) = (i16::try_from(year).ok()?, i8::try_from(month).ok()?);
    let date = Date::new(year, month, i8::try_from(day).ok()?).ok()?;
    let hours = date.duration_since(Date::constant(1970, 1, 1)).as_hours();
    i32::try_from(hours.checked_div(24)?).ok()
}
