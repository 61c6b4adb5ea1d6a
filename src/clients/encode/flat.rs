//! Columns without parts: a builder for each type.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int32Builder,
    Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_schema::{DataType, TimeUnit};

use crate::clients::encode::error::EncodeError;
use crate::pure::layout::cells::{Cell, ColumnType};

/// The values of a column without parts, gathered until they make a batch.
pub(super) enum Values {
    Text(StringBuilder),
    Boolean(BooleanBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder),
    Date(Date32Builder),
    Micros(TimestampMicrosecondBuilder),
    Bytes(BinaryBuilder),
}

/// The type of a column without parts.
///
/// # Errors
/// The type has parts, which is a fault of the caller.
pub(super) fn data_type(kind: ColumnType) -> Result<DataType, EncodeError> {
    Ok(match kind {
        ColumnType::Text | ColumnType::Json => DataType::Utf8,
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Int32 => DataType::Int32,
        ColumnType::Int64 => DataType::Int64,
        ColumnType::Float64 => DataType::Float64,
        ColumnType::Decimal { precision, scale } => DataType::Decimal128(precision, scale as i8),
        ColumnType::Date => DataType::Date32,
        ColumnType::TimeText | ColumnType::Time { .. } => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        ColumnType::Bytes => DataType::Binary,
        ColumnType::Nested => return Err(EncodeError::Unfit),
    })
}

impl Values {
    /// Without room at first: a mapping may have a thousand columns, and files of a few rows.
    ///
    /// # Errors
    /// The type has parts, which is a fault of the caller.
    pub(super) fn new(kind: ColumnType) -> Result<Values, EncodeError> {
        Ok(match kind {
            ColumnType::Text | ColumnType::Json => Values::Text(StringBuilder::with_capacity(0, 0)),
            ColumnType::Boolean => Values::Boolean(BooleanBuilder::with_capacity(0)),
            ColumnType::Int32 => Values::Int32(Int32Builder::with_capacity(0)),
            ColumnType::Int64 => Values::Int64(Int64Builder::with_capacity(0)),
            ColumnType::Float64 => Values::Float64(Float64Builder::with_capacity(0)),
            ColumnType::Decimal { .. } => {
                let all = Decimal128Builder::with_capacity(0);
                Values::Decimal(all.with_data_type(data_type(kind)?))
            }
            ColumnType::Date => Values::Date(Date32Builder::with_capacity(0)),
            ColumnType::TimeText | ColumnType::Time { .. } => {
                Values::Micros(TimestampMicrosecondBuilder::with_capacity(0).with_timezone("UTC"))
            }
            ColumnType::Bytes => Values::Bytes(BinaryBuilder::with_capacity(0, 0)),
            ColumnType::Nested => return Err(EncodeError::Unfit),
        })
    }

    /// Adds a cell of the column's type, or null.
    pub(super) fn append(&mut self, cell: &Cell<'_>) {
        match (self, cell) {
            (Values::Text(all), Cell::Text(text)) => all.append_value(text),
            (Values::Text(all), _) => all.append_null(),
            (Values::Boolean(all), Cell::Boolean(value)) => all.append_value(*value),
            (Values::Boolean(all), _) => all.append_null(),
            (Values::Int32(all), Cell::Int32(value)) => all.append_value(*value),
            (Values::Int32(all), _) => all.append_null(),
            (Values::Int64(all), Cell::Int64(value)) => all.append_value(*value),
            (Values::Int64(all), _) => all.append_null(),
            (Values::Float64(all), Cell::Float64(value)) => all.append_value(*value),
            (Values::Float64(all), _) => all.append_null(),
            (Values::Decimal(all), Cell::Decimal(value)) => all.append_value(*value),
            (Values::Decimal(all), _) => all.append_null(),
            (Values::Date(all), Cell::Date(value)) => all.append_value(*value),
            (Values::Date(all), _) => all.append_null(),
            (Values::Micros(all), Cell::Micros(value)) => all.append_value(*value),
            (Values::Micros(all), _) => all.append_null(),
            (Values::Bytes(all), Cell::Bytes(bytes)) => all.append_value(bytes),
            (Values::Bytes(all), _) => all.append_null(),
        }
    }

    /// The column, which is empty then.
    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Values::Text(all) => Arc::new(all.finish()),
            Values::Boolean(all) => Arc::new(all.finish()),
            Values::Int32(all) => Arc::new(all.finish()),
            Values::Int64(all) => Arc::new(all.finish()),
            Values::Float64(all) => Arc::new(all.finish()),
            Values::Decimal(all) => Arc::new(all.finish()),
            Values::Date(all) => Arc::new(all.finish()),
            Values::Micros(all) => Arc::new(all.finish()),
            Values::Bytes(all) => Arc::new(all.finish()),
        }
    }
}
