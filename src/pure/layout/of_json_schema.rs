//! JSON objects with a JSON Schema as rows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::pure::avro::datum::whole;
use crate::pure::json::string;
use crate::pure::json_schema::{Object, Property, Referred, Type};
use crate::pure::layout::cells::{Cell, ColumnType};
use crate::pure::layout::columns::JsonColumns;
use crate::pure::layout::schema_fields::{SchemaField, owned};

/// How the properties of an object are written.
#[derive(Clone, Debug)]
pub struct JsonReader(Vec<Type>);

impl JsonReader {
    /// Reads a schema: what it is called, its properties, and the reader of its objects.
    ///
    /// # Errors
    /// It is no schema, or not one of an object.
    pub fn parse(
        text: &str,
        references: &[Referred<'_>],
    ) -> Result<(String, Vec<SchemaField>, JsonReader), String> {
        let Object { name, properties } = Object::parse(text, references)?;
        let fields = properties.iter().map(field).collect();
        let types = properties.iter().map(|property| property.of).collect();
        Ok((name.unwrap_or_default(), fields, JsonReader(types)))
    }

    /// The cells of one object.
    ///
    /// # Errors
    /// The bytes are no JSON object, or a column cannot hold a property.
    pub fn cells<'a>(
        &self,
        columns: &JsonColumns,
        body: &'a [u8],
    ) -> Result<Vec<Cell<'a>>, String> {
        columns.row_by(body, |at, column, json| {
            self.0.get(at).map_or(Ok(Cell::Null), |of| cell(*of, column.kind, json))
        })
    }
}

fn field(property: &Property) -> SchemaField {
    let kind = column_type(property.of);
    let default = property.default.as_ref().map(ToString::to_string);
    let cell = default.as_deref().and_then(|json| cell(property.of, kind, json).ok());
    let missing = cell.map_or(Cell::Null, owned);
    SchemaField { name: property.name.clone(), keys: vec![property.name.clone()], kind, missing }
}

fn column_type(of: Type) -> ColumnType {
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

fn cell(of: Type, kind: ColumnType, json: &str) -> Result<Cell<'_>, String> {
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
