//! The statements of Hive, and what its versions differ in.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::outside::cli::ddl::columns::{ColumnKind, Kind};
use crate::outside::cli::ddl::engines::{Engine, Table, literal};
use crate::pure::layout::format::Format;

impl Table {
    pub(super) fn hive(&self, partitions: &[String]) -> String {
        let engine = Engine::Hive;
        let name = engine.quoted(&self.name);
        let mut text = format!("{}{}", self.about_codec(engine), self.about_decimals());
        let columns = if self.has_json() {
            text.push_str(
                "-- No reader of JSON lines that Hive has can read a value that is an object, so \
                 a row has its\n-- whole line: get_json_object(`line`, '$.value') is the value, \
                 '$.offset' the offset.\n",
            );
            String::from("  `line` STRING")
        } else {
            self.columns(engine, &[])
        };
        let _ = writeln!(text, "CREATE EXTERNAL TABLE {name} (\n{columns}\n)");
        if !partitions.is_empty() {
            let all = partitions.iter().map(|p| format!("{} STRING", engine.quoted(p)));
            let _ = writeln!(text, "PARTITIONED BY ({})", all.collect::<Vec<_>>().join(", "));
        }
        text.push_str(match self.format {
            Format::Parquet(_) => "STORED AS PARQUET\n",
            Format::Avro(_) => "STORED AS AVRO\n",
            Format::JsonLines(_) if !self.has_json() => {
                "ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'\nSTORED AS TEXTFILE\n"
            }
            // Hive's own format of lines would end a value at a control character, and has a word
            // for null.
            Format::JsonLines(_) | Format::Text(_) => {
                "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.RegexSerDe'\n\
                 WITH SERDEPROPERTIES ('input.regex' = '(?s)^(.*)$')\nSTORED AS TEXTFILE\n"
            }
        });
        let _ = write!(text, "LOCATION {}", literal(engine, &self.location()));
        if let Some(schema) = self.schema_of_avro() {
            let schema = literal(engine, &schema);
            let _ = write!(text, "\nTBLPROPERTIES ('avro.schema.literal' = {schema})");
        }
        text.push_str(";\n");
        if !partitions.is_empty() {
            text.push_str(self.about_directories(partitions));
            let _ = writeln!(text, "-- Again whenever there are new directories:");
            let _ = writeln!(text, "MSCK REPAIR TABLE {name};");
        }
        text
    }

    /// Which decimals a version does not read, or not as they are.
    fn about_decimals(&self) -> &'static str {
        let has = |is: &dyn Fn(u8) -> bool| {
            let is_one = |kind: Kind| match kind {
                Kind::Decimal { precision, .. } => is(precision),
                _ => false,
            };
            self.columns.iter().any(|c| c.kind.any(&is_one))
        };
        match self.format {
            Format::Parquet(_) if has(&|digits| digits <= 18) => {
                "-- Hive 3 fails at decimals of up to 18 digits in Parquet, which Hive 4 reads.\n"
            }
            Format::JsonLines(_) if !self.has_json() && has(&|digits| 15 < digits) => {
                "-- Hive 4 reads decimals in JSON lines as numbers of 64 bits, and loses the \
                 digits behind the 15th.\n-- Hive 3 reads all digits.\n"
            }
            _ => "",
        }
    }

    /// What has to be known before `MSCK REPAIR TABLE`.
    fn about_directories(&self, partitions: &[String]) -> &'static str {
        if self.has_values {
            return "-- Without this setting, Hive refuses directories whose values have escaped \
                    characters. Hive 3 does\n-- not find the rows of values with a space, and \
                    makes empty directories for them.\n\
                    SET hive.msck.path.validation=ignore;\n";
        }
        if partitions.iter().any(|name| has_upper_case(name)) {
            return "-- Hive 3 finds no rows, because it looks for directories of lower case. Hive \
                    4 finds them.\n";
        }
        ""
    }

    /// The schema of Avro, where a name has upper case: Hive writes its columns in lower case, and
    /// would find no value for such a name.
    fn schema_of_avro(&self) -> Option<String> {
        let is_needed = matches!(self.format, Format::Avro(_))
            && (self.columns.iter())
                .any(|c| has_upper_case(&c.name) || c.kind.has_name(&has_upper_case));
        let mut records = 0;
        is_needed.then(|| {
            let fields = self.columns.iter().map(|c| (c.name.as_str(), &c.kind));
            record(fields, &mut records).to_string()
        })
    }
}

fn has_upper_case(name: &str) -> bool {
    name.chars().any(char::is_uppercase)
}

/// A record of Avro; each has another name.
fn record<'a>(fields: impl Iterator<Item = (&'a str, &'a ColumnKind)>, records: &mut u32) -> Value {
    *records = records.saturating_add(1);
    let name = format!("r{records}");
    let fields = fields.map(|(name, kind)| {
        json!({ "name": name, "type": ["null", avro_type(kind, records)], "default": null })
    });
    let fields: Vec<Value> = fields.collect();
    json!({ "type": "record", "name": name, "fields": fields })
}

fn avro_type(kind: &ColumnKind, records: &mut u32) -> Value {
    match kind {
        ColumnKind::Flat(kind) => flat_avro_type(*kind, records),
        ColumnKind::Struct(fields) => {
            record(fields.iter().map(|(name, of)| (name.as_str(), of)), records)
        }
        ColumnKind::List(of) => {
            json!({ "type": "array", "items": ["null", avro_type(of, records)] })
        }
        ColumnKind::Map(of) => json!({ "type": "map", "values": ["null", avro_type(of, records)] }),
    }
}

fn flat_avro_type(kind: Kind, records: &mut u32) -> Value {
    match kind {
        // Hive 3 knows no times of microseconds in Avro, and reads the number.
        Kind::Int64 | Kind::Micros | Kind::Time => json!("long"),
        Kind::Int32 => json!("int"),
        Kind::Boolean => json!("boolean"),
        Kind::Float64 => json!("double"),
        Kind::Bytes => json!("bytes"),
        Kind::Date => json!({ "type": "int", "logicalType": "date" }),
        Kind::Decimal { precision, scale } => json!({
            "type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale,
        }),
        Kind::Headers => {
            let [text, bytes] = [Kind::Text, Kind::Bytes].map(ColumnKind::Flat);
            let header = record([("key", &text), ("value", &bytes)].into_iter(), records);
            json!({ "type": "array", "items": ["null", header] })
        }
        Kind::HeaderNames => json!({ "type": "array", "items": ["null", "bytes"] }),
        // The others are of JSON lines.
        Kind::Text | Kind::IsoTime | Kind::HeaderObjects | Kind::Json => json!("string"),
    }
}
