//! Values of JSON without others in them, as cells.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::pure::avro::numbers::whole;
use crate::pure::json::string;
use crate::pure::json_schema::Type;
use crate::pure::layout::cells::{Cell, ColumnType};

/// The type of the column of a value without others in it.
#[must_use]
pub fn column_type(of: Type) -> ColumnType {
    match of {
        Type::Text => ColumnType::Text,
        Type::Boolean => ColumnType::Boolean,
        Type::Int32 => ColumnType::Int32,
        Type::Int64 => ColumnType::Int64,
        Type::Float64 => ColumnType::Float64,
        Type::Bytes => ColumnType::Bytes,
        Type::Date | Type::Days => ColumnType::Date,
        Type::Time => ColumnType::TimeText,
        Type::Millis => ColumnType::Time { micros: 1_000 },
        Type::Decimal { precision, scale } => ColumnType::Decimal { precision, scale },
        Type::Json => ColumnType::Json,
    }
}

/// The cell of a value that is this JSON text, which is valid.
///
/// # Errors
/// The column cannot hold it.
pub fn cell(of: Type, kind: ColumnType, json: &str) -> Result<Cell<'_>, String> {
    let text = json.trim();
    match of {
        Type::Days if text != "null" => {
            let days = text.parse().map_err(|_| ());
            // The error of the whole number says what was written.
            days.map_or_else(|()| ColumnType::Int32.cell(text), |days| kind.date(days))
        }
        Type::Decimal { precision, .. } if text.starts_with('"') => {
            let bytes = string(text).and_then(|text| STANDARD.decode(&*text).ok());
            let number = bytes.filter(|bytes| !bytes.is_empty()).and_then(|bytes| whole(&bytes));
            let number = number.filter(|number| {
                let most = 10_u128.checked_pow(u32::from(precision));
                most.is_none_or(|most| number.unsigned_abs() < most)
            });
            number.map(Cell::Decimal).ok_or_else(|| format!("the text is not a {kind} in Base64"))
        }
        _ => kind.cell(json),
    }
}
