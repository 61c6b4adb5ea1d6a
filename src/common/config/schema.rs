//! The JSON Schema of a configuration file, for editors: TOML has the same values.
//!
//! <https://json-schema.org/draft/2020-12/schema>; what it can't say (relations between keys, names
//! of zones) `alluvium check` says.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::common::config::example::Example;
use crate::common::config::facts::{Fact, Facts, Kind};
use crate::common::config::kafka::{ALLOWED, SECRETS};
use crate::common::config::whole::Config;

/// A key in the table of all mappings.
const NAME: &str = "NAME";

/// The JSON Schema of configuration files.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = Schema { facts: Config::facts(), example: Example::shipped() }.table("");
    if let Some(object) = schema.as_object_mut() {
        let _ =
            object.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
        let _ = object.insert("title".into(), "A configuration of Alluvium".into());
    }
    schema
}

struct Schema {
    facts: Facts,
    example: Example,
}

/// The keys of one table: their names and facts.
type Children<'a> = BTreeMap<&'a str, (String, &'a Fact)>;

/// Numbers and units of a duration, as `pure::duration` reads them; editors show what is none.
const DURATION: &str = "^[0-9][0-9.,: ]*((years?|yrs?|y|months?|mos?|weeks?|wks?|w|days?|d|hours?\
    |hrs?|h|minutes?|mins?|m|seconds?|secs?|s|milliseconds?|millis?|msecs?|ms|microseconds?|micros?\
    |usecs?|us|µs|nanoseconds?|nanos?|nsecs?|ns)[0-9.,: ]*)*$";

/// A size, as the library `bytesize` reads it; editors show what is none.
const SIZE: &str = "^[0-9.]+ *([kKmMgGtTpPeE][iI]?[bB]?|[bB])?$";

const ROOT: &str = "^((hdfs|viewfs)://[^/]|file:///)";

const UMASK: &str = "^ *(0?0[0-7]{2}|[ugoa]+=[rwx-]*(, *[ugoa]+=[rwx-]*)*)[ \n]*$";

const COLUMN_TYPE: &str = "^(string|boolean|int32|int64|float64|date|timestamp|timestamp_s\
    |timestamp_ms|timestamp_us|bytes|json|decimal\\([0-9 ]+,[0-9 ]+\\))$";

impl Schema {
    fn children(&self, path: &str) -> Children<'_> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
        let below = self.facts.0.iter().filter_map(|(key, fact)| {
            let name = key.strip_prefix(&prefix)?;
            (!name.contains('.')).then(|| (name, (key.clone(), fact)))
        });
        below.collect()
    }

    /// A table whose keys the program knows.
    fn table(&self, path: &str) -> Value {
        let children = self.children(path);
        let required: Vec<&str> = children
            .iter()
            .filter(|(_, (_, fact))| fact.is_required)
            .map(|(name, _)| *name)
            .collect();
        let properties: Map<String, Value> = children
            .iter()
            .map(|(name, (key, fact))| ((*name).to_string(), self.described(name, key, fact)))
            .collect();
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }

    fn described(&self, name: &str, key: &str, fact: &Fact) -> Value {
        let mut value = self.value(name, key, fact);
        let text = self.example.description(key);
        if let (Some(object), false) = (value.as_object_mut(), text.is_empty()) {
            let _ = object.insert("description".into(), text.into());
        }
        value
    }

    fn value(&self, name: &str, key: &str, fact: &Fact) -> Value {
        match &fact.kind {
            Kind::Text => text(name, fact),
            Kind::Flag => json!({ "type": "boolean" }),
            Kind::Number { least, most } => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            Kind::Duration { .. } => json!({ "type": "string", "pattern": DURATION }),
            Kind::Size { .. } => json!({ "type": "string", "pattern": SIZE }),
            Kind::Choice(words) => json!({ "enum": words }),
            Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Kind::Table => self.table(key),
            Kind::Entries => self.entries(key),
            Kind::Other => self.other(name, key),
        }
    }

    /// A table whose keys the user chooses.
    fn entries(&self, key: &str) -> Value {
        let (names, value) = match key {
            "mapping" => (None, self.table(&format!("mapping.{NAME}"))),
            "kafka.properties" => {
                let scalar = json!({ "type": ["string", "integer", "boolean"] });
                (Some(ALLOWED), json!({ "anyOf": [scalar, credential()] }))
            }
            "kafka.secrets" => (Some(SECRETS), secret()),
            _ => (None, json!({ "type": "string" })),
        };
        let mut table = json!({ "type": "object", "additionalProperties": value });
        if let (Some(names), Some(object)) = (names, table.as_object_mut()) {
            let _ = object.insert("propertyNames".into(), json!({ "enum": names }));
        }
        if key == "mapping" {
            table["minProperties"] = json!(1);
        }
        table
    }

    /// A key of several forms.
    fn other(&self, name: &str, key: &str) -> Value {
        match name {
            "archive" => json!({ "anyOf": [{ "type": "boolean" }, self.table(key)] }),
            "keytab" => json!({ "anyOf": [{ "type": "string" }, credential()] }),
            "password" => secret(),
            "columns" => {
                let kind = json!({ "type": "string", "pattern": COLUMN_TYPE });
                let named = object(
                    &[("type", kind.clone()), ("name", json!({ "type": "string" }))],
                    &["type"],
                );
                let column = json!({ "anyOf": [kind, named] });
                json!({ "type": "object", "additionalProperties": column })
            }
            "by" => {
                let field = object(&[("field", json!({ "type": "string" }))], &["field"]);
                json!({ "anyOf": [{ "enum": ["word", "key"] }, field] })
            }
            "time" => {
                let unit = json!({ "enum": ["s", "ms", "us", "ns"] });
                let field =
                    object(&[("field", json!({ "type": "string" })), ("unit", unit)], &["field"]);
                json!({ "anyOf": [{ "enum": ["record", "arrival"] }, field] })
            }
            "split" => {
                let regex = object(&[("regex", json!({ "type": "string" }))], &["regex"]);
                json!({ "anyOf": [{ "enum": ["whitespace", "space", "words"] }, regex] })
            }
            // A test finds a key that is not here.
            _ => Value::Bool(true),
        }
    }
}

/// A string; of some, editors can show more than that.
fn text(name: &str, fact: &Fact) -> Value {
    let mut text = json!({ "type": "string" });
    if fact.is_required {
        text["minLength"] = json!(1);
    }
    let pattern = match name {
        "root" => ROOT,
        "umask" => UMASK,
        _ => return text,
    };
    text["pattern"] = json!(pattern);
    text
}

fn object(properties: &[(&str, Value)], required: &[&str]) -> Value {
    let properties: Map<String, Value> =
        properties.iter().map(|(name, value)| ((*name).to_string(), value.clone())).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn credential() -> Value {
    object(&[("credential", json!({ "type": "string" }))], &["credential"])
}

fn secret() -> Value {
    let file = object(&[("file", json!({ "type": "string" }))], &["file"]);
    json!({ "anyOf": [file, credential()] })
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;
    use crate::common::config::umask::Umask;
    use crate::pure::layout::cells::ColumnType;

    /// What `check` takes, editors take.
    #[test]
    fn patterns_agree_with_the_program() {
        let fits = |pattern: &str, text: &str| Regex::new(pattern).unwrap().is_match(text);
        for text in ["022", " 0027\n", "u=rwx,g=rx,o=", "u=rwx, g=r-x", "999", "22", "u=q"] {
            assert_eq!(fits(UMASK, text), Umask::parse(text).is_ok(), "{text:?}");
        }
        for text in ["string", "timestamp_us", "decimal(9,2)", "json", "strin", "decimal"] {
            assert_eq!(fits(COLUMN_TYPE, text), ColumnType::parse(text).is_ok(), "{text:?}");
        }
        for text in ["128MiB", "1GB", "64 kb", "5", "1 GByte", "much"] {
            let is_size = text.parse::<bytesize::ByteSize>().is_ok();
            assert_eq!(fits(SIZE, text), is_size, "{text:?}");
        }
    }

    #[test]
    fn each_key_and_each_table_has_a_form() {
        let schema = Schema { facts: Config::facts(), example: Example::shipped() };
        for (key, fact) in &schema.facts.0 {
            let name = key.rsplit('.').next().unwrap();
            let value = schema.value(name, key, fact);
            assert_ne!(value, Value::Bool(true), "{key} has no form in the schema");
            if fact.kind == Kind::Table {
                assert!(!schema.children(key).is_empty(), "{key}: EACH_TABLE lacks this table");
            }
        }
    }
}
