//! Schemas that refer to each other, and the types of their values.

use std::cell::Cell;
use std::collections::HashMap;

use serde_json::{Map, Value};

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

/// So many references lead to each other at most, and schemas lie so deep in each other.
pub(super) const DEEPEST: usize = 32;
/// The most digits of a decimal: what 128 bits hold.
const MOST_DIGITS: u8 = 38;
/// The most parts of an object: parts may have the same parts again, twice each time.
pub(super) const MOST_PARTS: usize = 1_000;
/// The most properties of an object: a file has so many columns at most.
pub(super) const MOST_PROPERTIES: usize = 1_000;
/// So many parts of objects, and properties of them, are met in all: each property of a schema may
/// be an object that has the same thousand parts.
pub(super) const MOST_GATHERED: usize = 1_000_000;
/// So many schemas that a document defines are looked at for names that are references.
pub(super) const MOST_LOOKS: usize = 1_000_000;
/// Where a schema has those that it names itself.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];

/// One schema, and what `$ref` calls it.
pub(super) struct Document {
    pub(super) name: String,
    pub(super) root: Value,
}

/// A schema with those that it refers to.
pub(super) struct Documents {
    /// The schema's own is the first.
    pub(super) all: Vec<Document>,
    /// How many parts may still be met.
    pub(super) parts_left: Cell<usize>,
    /// How many parts of all objects, and properties of them, may still be met.
    pub(super) gathered_left: Cell<usize>,
    /// How many definitions may still be looked at.
    pub(super) looks_left: Cell<usize>,
}

/// A schema, and the document that it stands in.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) document: usize,
    pub(super) value: &'a Value,
}

impl<'a> Node<'a> {
    /// A part of the schema.
    pub(super) fn at(self, value: &'a Value) -> Node<'a> {
        Node { document: self.document, value }
    }

    /// A keyword with a text.
    pub(super) fn text(self, key: &str) -> Option<&'a str> {
        self.value.get(key).and_then(Value::as_str)
    }

    /// The schemas of a list, but for the one that allows null alone.
    pub(super) fn branches(self, key: &str) -> Option<Vec<Node<'a>>> {
        let all = self.value.get(key)?.as_array()?;
        let is_null = |value: &Value| value.get("type").and_then(Value::as_str) == Some("null");
        Some(all.iter().filter(|value| !is_null(value)).map(|value| self.at(value)).collect())
    }
}

/// The schemas of properties, by name.
pub(super) type Gathered<'a> = HashMap<&'a str, Node<'a>>;

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
        self.defined(root, |value| {
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
        let inner = self.defined(own, |value| id_of(value).is_some_and(|id| is_it(&id)))?;
        Some((from, inner))
    }

    /// The first schema that a document defines and that is such a one.
    fn defined<'a>(&self, root: &'a Value, is_it: impl Fn(&Value) -> bool) -> Option<&'a Value> {
        let all = DEFINITIONS.iter().filter_map(|key| root.get(key)?.as_object());
        let may_look = |_: &&Value| {
            self.looks_left.set(self.looks_left.get().saturating_sub(1));
            0 < self.looks_left.get()
        };
        all.flat_map(Map::values).take_while(may_look).find(|value| is_it(value))
    }

    /// What stands at the end of references; [`None`] if one leads nowhere.
    pub(super) fn resolved<'a>(&'a self, mut node: Node<'a>) -> Option<Node<'a>> {
        for _ in 0..DEEPEST {
            let Some(reference) = node.text("$ref") else { return Some(node) };
            node = self.find(node, reference)?;
        }
        None
    }

    /// Whether one more part or property may be met.
    fn may_gather(&self) -> bool {
        self.gathered_left.set(self.gathered_left.get().saturating_sub(1));
        0 < self.gathered_left.get()
    }

    /// Adds the properties of an object; whether it is one.
    pub(super) fn gather<'a>(
        &'a self,
        node: Node<'a>,
        left: usize,
        all: &mut Gathered<'a>,
    ) -> bool {
        self.parts_left.set(self.parts_left.get().saturating_sub(1));
        if self.parts_left.get() == 0 || !self.may_gather() {
            return false;
        }
        let (Some(node), Some(left)) = (self.resolved(node), left.checked_sub(1)) else {
            return false;
        };
        let mut parts = node.branches("allOf").unwrap_or_default();
        // What is beside null in a choice is no choice; and one that says only which properties
        // are required adds none.
        for key in ["oneOf", "anyOf"] {
            if let Some([branch]) = node.branches(key).as_deref() {
                parts.push(*branch);
            }
        }
        // All of them, though one is enough.
        let parts = parts.into_iter().filter(|part| self.gather(*part, left, all)).count();
        let properties = node.value.get("properties").and_then(Value::as_object);
        for (name, value) in properties.into_iter().flatten() {
            if MOST_PROPERTIES < all.len() || !self.may_gather() {
                return false;
            }
            let _ = all.insert(name, node.at(value));
        }
        let is_object = match node.value.get("type") {
            Some(Value::String(name)) => name == "object",
            Some(Value::Array(names)) => names.iter().any(|name| name == "object"),
            _ => false,
        };
        is_object || properties.is_some() || 0 < parts
    }

    /// The type of a value without others in it, or JSON.
    pub(super) fn type_of(&self, node: Node<'_>, left: usize) -> Type {
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
