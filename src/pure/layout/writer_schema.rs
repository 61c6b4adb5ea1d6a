//! A schema that records are written with: its columns, and its rows.
//!
//! A field of a simple type is a column of the same name; of any other type it is a column of JSON
//! text. A name that every file has, or that another field has in other letters, gets `value_`
//! before it.

use std::collections::HashMap;

use serde_json::Value;

use crate::pure::avro::datum::{Bytes, Datum, simple_type, whole};
use crate::pure::avro::schema::{Field, Kind, Logical, Schema, Type};
use crate::pure::layout::cells::{Cell, ColumnType};
use crate::pure::layout::columns::{Column, JsonColumns};
use crate::pure::layout::format::Rows;

/// A schema by its id.
#[derive(Clone, Debug)]
pub struct WriterSchema {
    pub id: u32,
    /// The full name of its record.
    pub name: String,
    pub columns: JsonColumns,
    schema: Schema,
    fields: Vec<Field>,
    /// Where a field stands.
    by_name: HashMap<String, usize>,
}

/// Where the cell of a column comes from when a record has another schema.
#[derive(Clone, PartialEq, Debug)]
pub enum Origin {
    /// The writer's field, whose number is of the column's type or becomes one.
    Field(usize),
    /// The writer has no such field.
    Default,
}

/// The most fields of a record that become columns: each one costs memory in each open file.
const MOST_COLUMNS: usize = 1_000;
/// What is put before a name that is taken.
const PREFIX: &str = "value_";

impl WriterSchema {
    /// Reads a schema of Avro. `references`: those that it needs, in order. `reserved`: names that
    /// columns may not have, beside those of every file.
    ///
    /// # Errors
    /// It is no schema, or not one of a record with columns; the text says why.
    pub fn avro(
        id: u32,
        text: &str,
        references: &[String],
        reserved: &[String],
    ) -> Result<WriterSchema, String> {
        let schema = Schema::parse(text, references)?;
        let Type { kind: Kind::Record(fields), name, .. } = schema.at(schema.root()) else {
            return Err("the schema is not that of a record".into());
        };
        let (fields, name) = (fields.clone(), name.clone());
        if MOST_COLUMNS < fields.len() {
            return Err(format!("has {} fields; {MOST_COLUMNS} are allowed", fields.len()));
        }
        let names = column_names(&fields, reserved);
        let mut columns: Vec<Column> = Vec::with_capacity(fields.len());
        for (field, name) in fields.iter().zip(names) {
            let kind = column_type(&schema, field);
            let column = Column::new(&field.name, Some(&name), kind)?;
            if let Some(other) = columns.iter().find(|other| other.id() == column.id()) {
                // One schema in a million with a thousand columns.
                return Err(format!("columns {} and {} have the same id", other.name, column.name));
            }
            columns.push(column);
        }
        let by_name = fields.iter().map(|f| f.name.clone()).zip(0..).collect();
        Ok(WriterSchema { id, name, columns: JsonColumns::new(columns), schema, fields, by_name })
    }

    /// The cells of one datum.
    ///
    /// # Errors
    /// The bytes are no datum of this schema, or a column cannot hold a field.
    pub fn cells<'a>(&self, body: &'a [u8]) -> Result<Vec<Cell<'a>>, String> {
        let mut bytes = Bytes::of(body);
        let fields = self.fields.iter().zip(self.columns.columns());
        let cells = fields.map(|(field, column)| {
            let value = bytes.value(&self.schema, field.of);
            let cell = value.and_then(|value| cell(column.kind, value));
            cell.map_err(|e| format!("field {}: {e}", field.name))
        });
        let cells = cells.collect::<Result<Vec<Cell<'a>>, String>>()?;
        bytes.end()?;
        Ok(cells)
    }

    /// Where each of these columns has its cell from, in a record of the writer's schema; [`None`]
    /// if something of the record would be lost.
    #[must_use]
    pub fn takes(&self, writer: &WriterSchema) -> Option<Vec<Origin>> {
        if writer.id == self.id {
            return Some((0..self.fields.len()).map(Origin::Field).collect());
        }
        // A field of the writer goes to one column: a new name may have the old one as its alias,
        // and the old one may have been given to another field.
        let mut used = vec![false; writer.fields.len()];
        let mut from = Vec::with_capacity(self.fields.len());
        for (field, column) in self.fields.iter().zip(self.columns.columns()) {
            let by_name = |name: &String| writer.by_name.get(name).copied();
            let found = by_name(&field.name).or_else(|| field.aliases.iter().find_map(by_name));
            from.push(match found {
                Some(at)
                    if !used[at] && becomes(writer.columns.columns()[at].kind, column.kind) =>
                {
                    used[at] = true;
                    Origin::Field(at)
                }
                Some(_) => return None,
                None => Origin::Default,
            });
        }
        used.iter().all(|used| *used).then_some(from)
    }

    /// The row of a record whose cells are the writer's.
    #[must_use]
    pub fn row<'a>(&self, from: &[Origin], mut cells: Vec<Cell<'a>>) -> Vec<Cell<'a>> {
        let columns = self.columns.columns().iter().zip(&self.fields).zip(from);
        let row = columns.map(|((column, field), from)| match from {
            Origin::Field(at) => {
                let cell = cells.get_mut(*at).map(|cell| std::mem::replace(cell, Cell::Null));
                promoted(column.kind, cell.unwrap_or(Cell::Null))
            }
            Origin::Default => default(field, column.kind),
        });
        row.collect()
    }
}

/// The names of the columns, in the order of the fields.
fn column_names(fields: &[Field], reserved: &[String]) -> Vec<String> {
    let envelope = Rows::Quarantine;
    let mut taken: HashMap<String, usize> = HashMap::new();
    let of_files = envelope.columns().into_iter().map(str::to_ascii_lowercase);
    let reserved = reserved.iter().map(|name| name.to_ascii_lowercase());
    taken.extend(of_files.chain(reserved).map(|name| (name, usize::MAX)));
    // A field keeps its name if it can, whatever others are called to make room.
    for (at, field) in fields.iter().enumerate() {
        let _ = taken.entry(field.name.to_ascii_lowercase()).or_insert(at);
    }
    let mut names = Vec::with_capacity(fields.len());
    for (at, field) in fields.iter().enumerate() {
        let mut name = field.name.clone();
        while taken.get(&name.to_ascii_lowercase()).is_some_and(|owner| *owner != at) {
            name.insert_str(0, PREFIX);
        }
        let _ = taken.insert(name.to_ascii_lowercase(), at);
        names.push(name);
    }
    names
}

fn column_type(schema: &Schema, field: &Field) -> ColumnType {
    let Some(simple) = simple_type(schema, field.of) else { return ColumnType::Json };
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
fn cell(kind: ColumnType, value: Datum<'_>) -> Result<Cell<'_>, String> {
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

/// Whether every value of one type is one of the other.
fn becomes(writer: ColumnType, column: ColumnType) -> bool {
    use ColumnType::{Float64, Int32, Int64};
    writer == column || matches!((writer, column), (Int32, Int64 | Float64))
}

fn promoted(kind: ColumnType, cell: Cell<'_>) -> Cell<'_> {
    match (kind, cell) {
        (ColumnType::Int64, Cell::Int32(value)) => Cell::Int64(value.into()),
        (ColumnType::Float64, Cell::Int32(value)) => Cell::Float64(value.into()),
        (_, cell) => cell,
    }
}

/// What stands in a column that the writer does not know: the schema's default if it has one that
/// the column holds, or null.
fn default<'a>(field: &Field, kind: ColumnType) -> Cell<'a> {
    let Some(value) = &field.default else { return Cell::Null };
    let cell = match (kind, value) {
        (_, Value::Null) => None,
        (ColumnType::Json, value) => Some(Cell::Text(value.to_string().into())),
        (ColumnType::Date, Value::Number(days)) => {
            days.as_i64().and_then(|days| i32::try_from(days).ok()).and_then(|d| kind.date(d).ok())
        }
        (ColumnType::Time { .. }, Value::Number(n)) => n.as_i64().and_then(|n| kind.time(n).ok()),
        (ColumnType::Bytes | ColumnType::Decimal { .. }, Value::String(text)) => {
            // Each character is a byte.
            let bytes = text.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<u8>>>();
            bytes.and_then(|bytes| match kind {
                ColumnType::Decimal { .. } => whole(&bytes).map(Cell::Decimal),
                _ => Some(Cell::Bytes(bytes)),
            })
        }
        (ColumnType::Text, Value::String(text)) => Some(Cell::Text(text.clone().into())),
        (ColumnType::Boolean, Value::Bool(value)) => Some(Cell::Boolean(*value)),
        (ColumnType::Int32, value) => {
            value.as_i64().and_then(|n| i32::try_from(n).ok()).map(Cell::Int32)
        }
        (ColumnType::Int64, value) => value.as_i64().map(Cell::Int64),
        (ColumnType::Float64, value) => value.as_f64().map(Cell::Float64),
        _ => None,
    };
    cell.unwrap_or(Cell::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(id: u32, fields: &str) -> WriterSchema {
        let text = format!(r#"{{"type":"record","name":"a.Order","fields":[{fields}]}}"#);
        WriterSchema::avro(id, &text, &[], &["dt".into()]).unwrap()
    }

    fn columns(of: &WriterSchema) -> Vec<String> {
        of.columns.columns().iter().map(|c| format!("{} {}", c.name, c.kind)).collect()
    }

    const ALL: &str = r#"
{"name":"user","type":"string"},
{"name":"n","type":["null","int"],"default":null},
{"name":"total","type":"long"},
{"name":"ratio","type":"float"},
{"name":"ok","type":"boolean"},
{"name":"raw","type":"bytes"},
{"name":"day","type":{"type":"int","logicalType":"date"}},
{"name":"at","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
{"name":"kind","type":{"type":"enum","name":"Kind","symbols":["NEW","OLD"]}},
{"name":"tags","type":{"type":"array","items":"string"}},
{"name":"choice","type":["null","string","long"]}"#;

    const BODY: &[u8] = &[
        4, b'a', b'b', // user
        2, 13, // n = -7
        0x80, 1, // total = 64
        0, 0, 0x80, 0x3f, // ratio = 1
        1,    // ok
        4, 0, 0xff, // raw
        2,    // day = 1
        2, 4, // at = 2 ms
        4, 0xff, 0x85, // price = -123
        2,    // kind = OLD
        2, 2, b'x', 0, // tags
        4, 6, // choice = 3
    ];

    #[test]
    fn fields_are_columns_of_their_types() {
        let of = schema(7, ALL);
        assert_eq!(of.name, "a.Order");
        assert_eq!(
            columns(&of),
            [
                "user string",
                "n int32",
                "total int64",
                "ratio float64",
                "ok boolean",
                "raw bytes",
                "day date",
                "at timestamp_ms",
                "price decimal(9,2)",
                "kind string",
                "tags json",
                "choice json",
            ]
        );
        assert_eq!(
            of.cells(BODY).unwrap(),
            [
                Cell::Text("ab".into()),
                Cell::Int32(-7),
                Cell::Int64(64),
                Cell::Float64(1.0),
                Cell::Boolean(true),
                Cell::Bytes(vec![0, 0xff]),
                Cell::Date(1),
                Cell::Micros(2_000),
                Cell::Decimal(-123),
                Cell::Text("OLD".into()),
                Cell::Text("[\"x\"]".into()),
                Cell::Text("3".into()),
            ]
        );
        for length in 0..BODY.len() {
            assert!(of.cells(&BODY[..length]).is_err(), "{length} bytes of {}", BODY.len());
        }
        let longer = [BODY, &[0]].concat();
        assert!(of.cells(&longer).unwrap_err().contains("1 bytes are left"));
    }

    #[test]
    fn what_a_column_cannot_hold_is_named() {
        let of = schema(7, r#"{"name":"d","type":{"type":"int","logicalType":"date"}}"#);
        let error = of.cells(&[0xfe, 0xff, 0xff, 0xff, 0x0f]).unwrap_err();
        assert!(error.contains("field d: 2147483647 days"), "{error}");
        let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":2,"scale":1}"#;
        let of = schema(7, &format!(r#"{{"name":"p","type":{decimal}}}"#));
        assert_eq!(of.cells(&[2, 99]).unwrap(), [Cell::Decimal(99)]);
        let error = of.cells(&[2, 100]).unwrap_err();
        assert!(error.contains("field p: the number is not a decimal(2,1)"), "{error}");
    }

    #[test]
    fn names_of_all_files_and_of_paths_are_not_taken() {
        let field = |name: &str| format!(r#"{{"name":"{name}","type":"int"}}"#);
        let names = ["timestamp", "value_timestamp", "Key", "User", "user", "DT", "error", "plain"];
        let of = schema(7, &names.map(field).join(","));
        let got: Vec<&str> = of.columns.columns().iter().map(|c| c.name.as_str()).collect();
        assert_eq!(
            got,
            [
                "value_value_timestamp",
                "value_timestamp",
                "value_Key",
                "User",
                "value_user",
                "value_DT",
                "value_error",
                "plain",
            ]
        );
    }

    #[test]
    fn a_record_of_another_version_is_taken_if_nothing_of_it_is_lost() {
        let old = schema(1, r#"{"name":"n","type":"int"},{"name":"s","type":"string"}"#);
        let new = schema(
            2,
            r#"{"name":"x","type":"string","default":"d"},{"name":"n","type":"long"},
               {"name":"t","aliases":["s"],"type":["null","string"],"default":null},
               {"name":"y","type":["null","int"],"default":null},
               {"name":"z","type":{"type":"bytes","logicalType":"decimal","precision":4,
                "scale":1},"default":"\u0001\u0000"},
               {"name":"l","type":{"type":"array","items":"int"},"default":[1]}"#,
        );
        let taken = new.takes(&old).unwrap();
        let cells = old.cells(&[14, 2, b'q']).unwrap();
        assert_eq!(
            new.row(&taken, cells),
            [
                Cell::Text("d".into()),
                Cell::Int64(7),
                Cell::Text("q".into()),
                Cell::Null,
                Cell::Decimal(256),
                Cell::Text("[1]".into()),
            ]
        );
        assert_eq!(old.takes(&new), None, "x would be lost");
        let other = schema(3, r#"{"name":"n","type":"string"},{"name":"s","type":"string"}"#);
        assert_eq!(other.takes(&old), None, "a number is no text");
        let loses = schema(4, r#"{"name":"n","type":"double"}"#);
        assert_eq!(loses.takes(&old), None, "s would be lost");
        let old_name = schema(1, r#"{"name":"a","type":"int"},{"name":"c","type":"int"}"#);
        let twice = r#"{"name":"a","type":"int"},{"name":"b","type":"int","aliases":["a"]}"#;
        assert_eq!(schema(2, twice).takes(&old_name), None, "c would be lost, and a twice");
        let float = schema(5, r#"{"name":"n","type":"double"},{"name":"s","type":"string"}"#);
        let taken = float.takes(&old).unwrap();
        let row = float.row(&taken, old.cells(&[13, 2, b'q']).unwrap());
        assert_eq!(row, [Cell::Float64(-7.0), Cell::Text("q".into())]);
    }

    #[test]
    fn what_has_no_columns_is_refused() {
        for (text, want) in [
            ("\"string\"", "not that of a record"),
            ("{", "not JSON"),
            (r#"{"type":"record","name":"r","fields":[{"name":"a","type":"x"}]}"#, "no type"),
        ] {
            let error = WriterSchema::avro(1, text, &[], &[]).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
        let field = |n| format!(r#"{{"name":"f{n}","type":"int"}}"#);
        let fields: Vec<String> = (0..=MOST_COLUMNS).map(field).collect();
        let text = format!(r#"{{"type":"record","name":"r","fields":[{}]}}"#, fields.join(","));
        assert!(WriterSchema::avro(1, &text, &[], &[]).unwrap_err().contains("1000 are allowed"));
    }
}
