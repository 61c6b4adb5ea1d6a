//! The properties of an object, found through its parts and references.

use std::cell::Cell;
use std::collections::HashMap;

use serde_json::Value;

use crate::pure::json_schema::documents::{
    DEEPEST, Document, Documents, MOST_GATHERED, MOST_LOOKS, MOST_PARTS, MOST_PROPERTIES, Node,
    Type,
};
use crate::pure::json_schema::shape::{Shape, shapes};

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
    /// What it is made of, if that is asked for; [`None`] for a value without others in it, or with
    /// any.
    pub shape: Option<Shape>,
}

/// A schema that the schema refers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Referred<'a> {
    /// What `$ref` calls it.
    pub name: &'a str,
    pub text: &'a str,
}

/// The most bytes of a default, which each property copies that refers to it; a longer one is none.
const LONGEST_DEFAULT: usize = 16 << 10;

impl Object {
    /// Reads a schema.
    ///
    /// # Errors
    /// It is not one of an object; the text says why.
    pub fn parse(text: &str, referred: &[Referred<'_>]) -> Result<Object, String> {
        Object::read(text, referred, false)
    }

    /// Reads a schema, and what its properties are made of.
    ///
    /// # Errors
    /// As those of [`Object::parse`].
    pub fn parse_deep(text: &str, referred: &[Referred<'_>]) -> Result<Object, String> {
        Object::read(text, referred, true)
    }

    fn read(text: &str, referred: &[Referred<'_>], is_deep: bool) -> Result<Object, String> {
        let mut documents = vec![Document { name: String::new(), root: json(text)? }];
        for Referred { name, text } in referred {
            documents.push(Document { name: (*name).into(), root: json(text)? });
        }
        let documents = Documents {
            all: documents,
            parts_left: Cell::new(MOST_PARTS),
            gathered_left: Cell::new(MOST_GATHERED),
            looks_left: Cell::new(MOST_LOOKS),
        };
        let root = Node { document: 0, value: &documents.all[0].root };
        let mut gathered = HashMap::new();
        let is_object = documents.gather(root, DEEPEST, &mut gathered);
        if documents.parts_left.get() == 0 {
            return Err(format!("the schema has more than {MOST_PARTS} parts"));
        }
        if documents.gathered_left.get() == 0 {
            return Err(format!("its parts have more than {MOST_GATHERED} properties"));
        }
        if MOST_PROPERTIES < gathered.len() {
            return Err(format!("the schema has more than {MOST_PROPERTIES} properties"));
        }
        let nodes: HashMap<&str, Node<'_>> =
            if is_deep { gathered.clone() } else { HashMap::new() };
        let gathered = gathered.into_iter().map(|(name, node)| property(&documents, name, node));
        let mut gathered: Vec<(i64, Property)> = gathered.collect();
        if documents.looks_left.get() == 0 {
            return Err(format!("its references need more than {MOST_LOOKS} looks at definitions"));
        }
        if !is_object {
            return Err("the schema is not that of an object".into());
        }
        gathered.sort_by(|(a, one), (b, other)| (a, &one.name).cmp(&(b, &other.name)));
        let name = ["title", "$id", "id"].into_iter().find_map(|key| {
            let text = root.value.get(key).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(String::from)
        });
        let mut properties: Vec<Property> =
            gathered.into_iter().map(|(_, property)| property).collect();
        if is_deep {
            let nodes = properties.iter().filter_map(|of| nodes.get(of.name.as_str()).copied());
            let shapes = shapes(&documents, root, nodes);
            for (property, shape) in properties.iter_mut().zip(shapes) {
                property.shape = shape;
            }
        }
        Ok(Object { name, properties })
    }
}

fn json(text: &str) -> Result<Value, String> {
    // The library bounds the depth.
    serde_json::from_str(text).map_err(|e| format!("the schema is not JSON: {e}"))
}

/// A property with its index: the highest number without one.
fn property(documents: &Documents, name: &str, node: Node<'_>) -> (i64, Property) {
    let end = documents.resolved(node);
    let of = |key: &str| {
        let there = || end.and_then(|end| end.value.get(key));
        node.value.get(key).or_else(there)
    };
    let index = of("connect.index").and_then(Value::as_i64).unwrap_or(i64::MAX);
    let mut left = LONGEST_DEFAULT;
    let default = of("default").filter(|value| is_short(value, &mut left)).cloned();
    let of = documents.type_of(node, DEEPEST);
    let property = Property { name: name.into(), of, default, shape: None };
    (index, property)
}

/// Whether a value has so many bytes at most; what is left of them afterwards.
fn is_short(value: &Value, left: &mut usize) -> bool {
    let own = match value {
        Value::String(text) => text.len(),
        Value::Object(all) => all.keys().map(String::len).fold(0, usize::saturating_add),
        _ => 0,
    };
    let Some(rest) = left.checked_sub(own.saturating_add(1)) else { return false };
    *left = rest;
    match value {
        Value::Array(all) => all.iter().all(|value| is_short(value, left)),
        Value::Object(all) => all.values().all(|value| is_short(value, left)),
        _ => true,
    }
}
