//! A JSON Schema as the properties of one object, with the types that columns can have.
//!
//! Nothing is validated: what decides is whether a property's column holds its value. The hints of
//! Confluent's converters (`connect.type`, `connect.index`, titles of logical types) are read.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::cell::Cell;
use std::collections::HashMap;

use serde_json::{Map, Value};

/// An object's schema.
#[derive(Clone, PartialEq, Debug)]
pub struct Object {
    /// Its title, or else its `$id`; [`None`] without both.
    pub name: Option<String>,
    /// By `connect.index` where the schema has it, and then by their names.
    pub properties: Vec<Property>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Property {
    pub name: String,
    pub of: Type,
    pub default: Option<Value>,
}

/// How a property is written, and what it means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    Text,
    Boolean,
    Int32,
    Int64,
    Float64,
    /// Text in Base64.
    Bytes,
    /// Text as in RFC 3339.
    Date,
    Time,
    /// A number of days since 1970.
    Days,
    /// A number of milliseconds since 1970.
    Millis,
    /// A number, or Base64 of one in two's complement without its point.
    Decimal {
        precision: u8,
        scale: u8,
    },
    /// Everything else.
    Json,
}

/// A schema that the schema refers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Referred<'a> {
    /// What `$ref` calls it.
    pub name: &'a str,
    pub text: &'a str,
}

/// So many references lead to each other at most, and schemas lie so deep in each other.
const DEEPEST: usize = 32;
/// The most digits of a decimal: what 128 bits hold.
const MOST_DIGITS: u8 = 38;
/// The most parts of an object: parts may have the same parts again, twice each time.
const MOST_PARTS: usize = 1_000;
/// Where a schema has those that it names itself.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];

impl Object {
    /// Reads a schema.
    ///
    /// # Errors
    /// It is not one of an object; the text says why.
    pub fn parse(text: &str, referred: &[Referred<'_>]) -> Result<Object, String> {
        let mut documents = vec![Document { name: String::new(), root: json(text)? }];
        for Referred { name, text } in referred {
            documents.push(Document { name: (*name).into(), root: json(text)? });
        }
        let documents = Documents { all: documents, parts_left: Cell::new(MOST_PARTS) };
        let root = Node { document: 0, value: &documents.all[0].root };
        let mut gathered = HashMap::new();
        let is_object = documents.gather(root, DEEPEST, &mut gathered);
        if documents.parts_left.get() == 0 {
            return Err(format!("the schema has more than {MOST_PARTS} parts"));
        }
        if !is_object {
            return Err("the schema is not that of an object".into());
        }
        let mut gathered: Vec<(i64, Property)> = gathered.into_values().collect();
        gathered.sort_by(|(a, one), (b, other)| (a, &one.name).cmp(&(b, &other.name)));
        let name = ["title", "$id", "id"].into_iter().find_map(|key| {
            let text = root.value.get(key).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(String::from)
        });
        let properties = gathered.into_iter().map(|(_, property)| property).collect();
        Ok(Object { name, properties })
    }
}

fn json(text: &str) -> Result<Value, String> {
    // The library bounds the depth.
    serde_json::from_str(text).map_err(|e| format!("the schema is not JSON: {e}"))
}

struct Document {
    name: String,
    root: Value,
}

struct Documents {
    /// The schema's own is the first.
    all: Vec<Document>,
    /// How many parts may still be met.
    parts_left: Cell<usize>,
}

/// A schema, and the document that it stands in.
#[derive(Clone, Copy)]
struct Node<'a> {
    document: usize,
    value: &'a Value,
}

impl<'a> Node<'a> {
    fn at(self, value: &'a Value) -> Node<'a> {
        Node { document: self.document, value }
    }

    fn text(self, key: &str) -> Option<&'a str> {
        self.value.get(key).and_then(Value::as_str)
    }

    /// The schemas of a list, but for the one that allows null alone.
    fn branches(self, key: &str) -> Option<Vec<Node<'a>>> {
        let all = self.value.get(key)?.as_array()?;
        let is_null = |value: &Value| value.get("type").and_then(Value::as_str) == Some("null");
        Some(all.iter().filter(|value| !is_null(value)).map(|value| self.at(value)).collect())
    }
}

/// Properties by name, each with its index: the highest number without one.
type Gathered = HashMap<String, (i64, Property)>;

impl Documents {
    /// The schema that a reference names.
    fn find<'a>(&'a self, from: Node<'a>, reference: &str) -> Option<Node<'a>> {
        let (file, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let (document, root) = self.document(from.document, file)?;
        let node = |value| Node { document, value };
        if fragment.is_empty() {
            return Some(node(root));
        }
        if fragment.starts_with('/') {
            return root.pointer(&unescaped(fragment)?).map(node);
        }
        let anchor = format!("#{fragment}");
        defined(root, |value| {
            value.get("$anchor").and_then(Value::as_str) == Some(fragment)
                || value.get("$id").and_then(Value::as_str) == Some(anchor.as_str())
        })
        .map(node)
    }

    /// The schema that a reference names before its `#`, and the document that has it.
    fn document(&self, from: usize, name: &str) -> Option<(usize, &Value)> {
        let own = &self.all.get(from)?.root;
        if name.is_empty() {
            return Some((from, own));
        }
        let id_of = |value: &Value| {
            let id = value.get("$id").or_else(|| value.get("id")).and_then(Value::as_str);
            id.map(|id| id.trim_end_matches('#').to_string())
        };
        // A name is relative to the one of the document that says it.
        let base = id_of(own).unwrap_or_default();
        let directory = base.rsplit_once('/').map_or("", |(directory, _)| directory);
        let full = format!("{directory}/{}", name.trim_start_matches("./"));
        let is_it = |text: &str| text == name || text == full;
        let by_name = self.all.iter().position(|other| is_it(&other.name));
        let found = by_name.or_else(|| {
            self.all.iter().position(|other| id_of(&other.root).is_some_and(|id| is_it(&id)))
        });
        if let Some(at) = found {
            return self.all.get(at).map(|document| (at, &document.root));
        }
        let inner = defined(own, |value| id_of(value).is_some_and(|id| is_it(&id)))?;
        Some((from, inner))
    }

    /// What stands at the end of references; [`None`] if one leads nowhere.
    fn resolved<'a>(&'a self, mut node: Node<'a>) -> Option<Node<'a>> {
        for _ in 0..DEEPEST {
            let Some(reference) = node.text("$ref") else { return Some(node) };
            node = self.find(node, reference)?;
        }
        None
    }

    /// Adds the properties of an object; whether it is one.
    fn gather(&self, node: Node<'_>, left: usize, all: &mut Gathered) -> bool {
        self.parts_left.set(self.parts_left.get().saturating_sub(1));
        if self.parts_left.get() == 0 {
            return false;
        }
        let (Some(node), Some(left)) = (self.resolved(node), left.checked_sub(1)) else {
            return false;
        };
        for key in ["oneOf", "anyOf"] {
            if let Some([branch]) = node.branches(key).as_deref() {
                return self.gather(*branch, left, all);
            }
        }
        let parts = node.branches("allOf").unwrap_or_default();
        // All of them, though one is enough.
        let parts = parts.into_iter().filter(|part| self.gather(*part, left, all)).count();
        let properties = node.value.get("properties").and_then(Value::as_object);
        for (name, value) in properties.into_iter().flatten() {
            let _ = all.insert(name.clone(), self.property(name, node.at(value)));
        }
        let is_object = match node.value.get("type") {
            Some(Value::String(name)) => name == "object",
            Some(Value::Array(names)) => names.iter().any(|name| name == "object"),
            _ => false,
        };
        is_object || properties.is_some() || 0 < parts
    }

    fn property(&self, name: &str, node: Node<'_>) -> (i64, Property) {
        let end = self.resolved(node);
        let of = |key: &str| {
            let there = || end.and_then(|end| end.value.get(key));
            node.value.get(key).or_else(there)
        };
        let index = of("connect.index").and_then(Value::as_i64).unwrap_or(i64::MAX);
        let default = of("default").cloned();
        let property = Property { name: name.into(), of: self.type_of(node, DEEPEST), default };
        (index, property)
    }

    fn type_of(&self, node: Node<'_>, left: usize) -> Type {
        let (Some(node), Some(left)) = (self.resolved(node), left.checked_sub(1)) else {
            return Type::Json;
        };
        let Some(object) = node.value.as_object() else { return Type::Json };
        if let Some(hinted) = hinted(object) {
            return hinted;
        }
        for key in ["oneOf", "anyOf", "allOf"] {
            let Some(branches) = node.branches(key) else { continue };
            // A list of parts may add to a type of its own.
            return match branches.as_slice() {
                [branch] if !object.contains_key("type") => self.type_of(*branch, left),
                _ => Type::Json,
            };
        }
        let names: Vec<&str> = match object.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => {
                let names = names.iter().filter_map(Value::as_str);
                names.filter(|name| *name != "null").collect()
            }
            _ => return without_type(object),
        };
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        match names.as_slice() {
            ["string"] => match (text("contentEncoding"), text("format")) {
                (Some("base64"), _) => Type::Bytes,
                (None, Some("date")) => Type::Date,
                (None, Some("date-time")) => Type::Time,
                _ => Type::Text,
            },
            ["boolean"] => Type::Boolean,
            ["integer"] => Type::Int64,
            ["number"] => Type::Float64,
            _ => Type::Json,
        }
    }
}

/// The first schema that a document defines and that is such a one.
fn defined(root: &Value, is_it: impl Fn(&Value) -> bool) -> Option<&Value> {
    let all = DEFINITIONS.iter().filter_map(|key| root.get(key)?.as_object());
    all.flat_map(Map::values).find(|value| is_it(value))
}

/// A fragment without the escapes of URLs.
fn unescaped(fragment: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(fragment.len()), fragment.as_bytes());
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = behind.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

/// What Confluent's converters say beside the type.
fn hinted(object: &Map<String, Value>) -> Option<Type> {
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    let logical = text("title").and_then(|t| t.strip_prefix("org.apache.kafka.connect.data."));
    match logical {
        Some("Timestamp") => return Some(Type::Millis),
        Some("Date") => return Some(Type::Days),
        Some("Decimal") => return Some(decimal(object).unwrap_or(Type::Json)),
        _ => {}
    }
    Some(match text("connect.type")? {
        "int8" | "int16" | "int32" => Type::Int32,
        "int64" => Type::Int64,
        "float32" | "float64" => Type::Float64,
        "boolean" => Type::Boolean,
        "string" => Type::Text,
        "bytes" => Type::Bytes,
        "map" | "array" | "struct" => Type::Json,
        _ => return None,
    })
}

/// A decimal whose scale is known.
fn decimal(object: &Map<String, Value>) -> Option<Type> {
    let parameters = object.get("connect.parameters")?;
    let number = |key: &str| match parameters.get(key)? {
        Value::String(text) => text.parse::<u8>().ok(),
        value => value.as_u64().and_then(|number| u8::try_from(number).ok()),
    };
    let precision = number("connect.decimal.precision").unwrap_or(MOST_DIGITS);
    let scale = number("scale")?;
    let fits = (1..=MOST_DIGITS).contains(&precision) && scale <= precision;
    fits.then_some(Type::Decimal { precision, scale })
}

/// Values that are listed are of a type, too.
fn without_type(object: &Map<String, Value>) -> Type {
    let all: Vec<&Value> = match (object.get("enum"), object.get("const")) {
        (Some(Value::Array(values)), _) => values.iter().filter(|v| !v.is_null()).collect(),
        (_, Some(value)) => vec![value],
        _ => Vec::new(),
    };
    match !all.is_empty() && all.iter().all(|value| value.is_string()) {
        true => Type::Text,
        false => Type::Json,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(text: &str, referred: &[Referred<'_>]) -> Vec<(String, Type)> {
        let object = Object::parse(text, referred).unwrap();
        object.properties.into_iter().map(|p| (p.name, p.of)).collect()
    }

    /// One type a line.
    #[test]
    fn properties_have_the_types_of_their_values() {
        let decimal = r#"{"type":"number","title":"org.apache.kafka.connect.data.Decimal",
            "connect.type":"bytes","connect.parameters":{"scale":"2"}}"#;
        let exact = r#"{"type":"number","title":"org.apache.kafka.connect.data.Decimal",
            "connect.parameters":{"scale":"2","connect.decimal.precision":"9"}}"#;
        let logical = |name: &str, of: &str| {
            format!(
                r#"{{"type":"integer","title":"org.apache.kafka.connect.data.{name}",
                        "connect.type":"{of}"}}"#
            )
        };
        for (text, want) in [
            (r#"{"type":"string"}"#, Type::Text),
            (r#"{"type":["string","null"]}"#, Type::Text),
            (r#"{"type":"string","format":"date"}"#, Type::Date),
            (r#"{"type":"string","format":"date-time"}"#, Type::Time),
            (r#"{"type":"string","format":"email"}"#, Type::Text),
            (r#"{"type":"string","contentEncoding":"base64"}"#, Type::Bytes),
            (r#"{"type":"string","connect.type":"bytes"}"#, Type::Bytes),
            (r#"{"type":"integer"}"#, Type::Int64),
            (r#"{"type":"integer","connect.type":"int8"}"#, Type::Int32),
            (r#"{"type":"integer","connect.type":"int32"}"#, Type::Int32),
            (r#"{"type":"integer","connect.type":"int64"}"#, Type::Int64),
            (r#"{"type":"number"}"#, Type::Float64),
            (r#"{"type":"number","connect.type":"float32"}"#, Type::Float64),
            (r#"{"type":"boolean"}"#, Type::Boolean),
            (r#"{"type":"array","items":{}}"#, Type::Json),
            (r#"{"type":"object","properties":{}}"#, Type::Json),
            (r#"{"type":"object","connect.type":"map"}"#, Type::Json),
            (r#"{"type":["integer","string"]}"#, Type::Json),
            (r#"{"enum":["a","b",null]}"#, Type::Text),
            (r#"{"enum":["a",1]}"#, Type::Json),
            (r#"{"const":"a"}"#, Type::Text),
            (r#"{"oneOf":[{"type":"null"},{"type":"integer"}]}"#, Type::Int64),
            (r#"{"anyOf":[{"type":"number"},{"type":"null"}]}"#, Type::Float64),
            (r#"{"allOf":[{"type":"boolean"}]}"#, Type::Boolean),
            (r#"{"oneOf":[{"type":"string"},{"type":"integer"}]}"#, Type::Json),
            (&logical("Timestamp", "int64"), Type::Millis),
            (&logical("Date", "int32"), Type::Days),
            (&logical("Time", "int32"), Type::Int32),
            (decimal, Type::Decimal { precision: 38, scale: 2 }),
            (exact, Type::Decimal { precision: 9, scale: 2 }),
            ("true", Type::Json),
            ("{}", Type::Json),
        ] {
            let schema = format!(r#"{{"type":"object","properties":{{"p":{text}}}}}"#);
            assert_eq!(types(&schema, &[]), [("p".to_string(), want)], "{text}");
        }
    }

    #[test]
    fn references_lead_to_schemas() {
        let other = Referred {
            name: "other.json",
            text: r##"{"$id":"http://x/y/other.json","type":"integer",
                "definitions":{"flag":{"$ref":"#/definitions/b"},"b":{"type":"boolean"}}}"##,
        };
        let schema = r##"{"$id":"http://x/y/root.json","properties":{
            "a":{"$ref":"#/definitions/t"}, "b":{"$ref":"#/$defs/a~1b%20c"},
            "c":{"$ref":"other.json"}, "d":{"$ref":"other.json#/definitions/flag"},
            "e":{"$ref":"http://x/y/other.json"}, "f":{"$ref":"#anchor"},
            "g":{"$ref":"#/nowhere"}, "h":{"$ref":"gone.json"}, "i":{"$ref":"#/properties/i"},
            "j":{"oneOf":[{"type":"null"},{"$ref":"inner"}]}, "k":{"$ref":"#"}},
            "definitions":{"t":{"type":"string"}},
            "$defs":{"a/b c":{"type":"number"},"x":{"$anchor":"anchor","type":"string",
                "format":"date"},"y":{"$id":"inner","type":"integer"}}}"##;
        let types: Vec<Type> = types(schema, &[other]).into_iter().map(|(_, of)| of).collect();
        let want = [
            Type::Text,
            Type::Float64,
            Type::Int64,
            Type::Boolean,
            Type::Int64,
            Type::Date,
            Type::Json,
            Type::Json,
            Type::Json,
            Type::Int64,
            Type::Json,
        ];
        assert_eq!(types, want);
    }

    #[test]
    fn an_object_may_have_parts_and_an_order() {
        let schema = r##"{"title":"Order","oneOf":[{"type":"null"},{"$ref":"#/$defs/o"}],
            "$defs":{"base":{"properties":{"id":{"type":"string"},"z":{"connect.index":0}}},
            "o":{"allOf":[{"$ref":"#/$defs/base"}],"properties":{"id":{"type":"integer"},
                "b":{"connect.index":1,"type":"string","default":"x"}}}}}"##;
        let object = Object::parse(schema, &[]).unwrap();
        assert_eq!(object.name.as_deref(), Some("Order"));
        let names: Vec<&str> = object.properties.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["z", "b", "id"]);
        assert_eq!(object.properties[1].default, Some("x".into()));
        assert_eq!(object.properties[2].of, Type::Int64, "the nearer one counts");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for (text, want) in [
            ("{", "not JSON"),
            ("true", "not that of an object"),
            (r#"{"type":"string"}"#, "not that of an object"),
            (r##"{"$ref":"#"}"##, "not that of an object"),
            (r#"{"oneOf":[{"properties":{}},{"properties":{}}]}"#, "not that of an object"),
            (r#"{"$ref":"other"}"#, "not that of an object"),
        ] {
            let error = Object::parse(text, &[]).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
        let part = |n: u32| {
            format!(
                "\"{n}\":{{\"allOf\":[{{\"$ref\":\"#/$defs/{}\"}},\
            {{\"$ref\":\"#/$defs/{}\"}}]}}",
                n + 1,
                n + 1
            )
        };
        let parts: Vec<String> = (0..30).map(part).collect();
        let many = format!("{{\"$ref\":\"#/$defs/0\",\"$defs\":{{{}}}}}", parts.join(","));
        assert!(Object::parse(&many, &[]).unwrap_err().contains("more than 1000 parts"));
        let deep = format!("{}{}", "{\"allOf\":[".repeat(50), "]}".repeat(50));
        assert!(Object::parse(&deep, &[]).is_err());
        assert!(Object::parse(&"[".repeat(100_000), &[]).is_err());
    }
}
