//! The ids of fields in Parquet.

use ::parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use arrow_schema::Field;

/// The field with its id: by that, tables with evolving schemas (Iceberg) know a column.
pub(super) fn with_id(id: i32, field: Field) -> Field {
    let key = PARQUET_FIELD_ID_META_KEY.to_string();
    field.with_metadata([(key, id.to_string())])
}
