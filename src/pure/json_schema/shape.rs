//! What the values of a schema are made of: objects, lists and maps in each other.

use std::collections::HashMap;

use serde_json::Value;

use crate::pure::json_schema::documents::{DEEPEST, Documents, MOST_PARTS, Node, Type};

/// What a value is made of.
#[derive(Clone, PartialEq, Debug)]
pub enum Shape {
    /// A value without others in it, or any JSON.
    Simple(Type),
    /// The properties by `connect.index` where the schema has it, and then by their names.
    Object(Vec<(String, Shape)>),
    List(Box<Shape>),
    /// An object whose properties all have one type, whatever their names are.
    Map(Box<Shape>),
}

/// Values lie this deep in each other at most; those that lie deeper are any JSON.
const DEEPEST_SHAPE: usize = 20;
/// The most parts of all shapes of a schema.
const MOST_SHAPES: usize = 4_000;

/// The shapes of these properties of an object, in their order; [`None`] for a value without
/// others in it, for any JSON, and where a shape has too many parts.
pub(super) fn shapes<'a>(
    documents: &'a Documents,
    root: Node<'a>,
    properties: impl Iterator<Item = Node<'a>>,
) -> Vec<Option<Shape>> {
    let root = documents.resolved(root).unwrap_or(root);
    let mut left = MOST_SHAPES;
    let shape = |node| {
        let before = left;
        let mut of = Shapes { documents, inside: vec![root.value], left };
        let shape = of.shape(node);
        let shape = shape.filter(|shape| !matches!(shape, Shape::Simple(_)));
        left = if shape.is_some() { of.left } else { before };
        shape
    };
    properties.map(shape).collect()
}

struct Shapes<'a> {
    documents: &'a Documents,
    /// The objects that the next value lies in.
    inside: Vec<&'a Value>,
    /// How many parts there may still be.
    left: usize,
}

impl<'a> Shapes<'a> {
    /// The shape of a value; [`None`] if there are too many parts.
    fn shape(&mut self, node: Node<'a>) -> Option<Shape> {
        self.left = self.left.checked_sub(1)?;
        let simple = self.documents.type_of(node, DEEPEST);
        let any = Some(Shape::Simple(simple));
        let Some(node) = self.documents.resolved(node).filter(|_| simple == Type::Json) else {
            return any;
        };
        let in_itself = self.inside.iter().any(|outer| std::ptr::eq(*outer, node.value));
        if in_itself || DEEPEST_SHAPE < self.inside.len() {
            return any;
        }
        self.inside.push(node.value);
        let shape = self.compound(node);
        let _ = self.inside.pop();
        shape
    }

    fn compound(&mut self, node: Node<'a>) -> Option<Shape> {
        let any = Some(Shape::Simple(Type::Json));
        let names: Vec<&str> = match node.value.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => {
                let names = names.iter().filter_map(Value::as_str);
                names.filter(|name| *name != "null").collect()
            }
            _ => Vec::new(),
        };
        for key in ["oneOf", "anyOf", "allOf"] {
            match node.branches(key).as_deref() {
                Some([branch]) if names.is_empty() => return self.shape(*branch),
                Some(_) if key != "allOf" => return any,
                _ => {}
            }
        }
        match names.as_slice() {
            ["array"] => match node.value.get("items") {
                Some(items @ Value::Object(_)) => {
                    Some(Shape::List(Box::new(self.shape(node.at(items))?)))
                }
                _ => any,
            },
            ["object"] | [] => self.object(node),
            _ => any,
        }
    }

    fn object(&mut self, node: Node<'a>) -> Option<Shape> {
        let any = Some(Shape::Simple(Type::Json));
        let (documents, mut gathered) = (self.documents, HashMap::new());
        documents.parts_left.set(MOST_PARTS);
        let is_object = documents.gather(node, DEEPEST, &mut gathered);
        let others = node.value.get("additionalProperties").filter(|of| of.is_object());
        let by_pattern = node.value.get("patternProperties").is_some();
        match others {
            // Some parts are missing, perhaps.
            _ if documents.parts_left.get() == 0 || documents.gathered_left.get() == 0 => any,
            _ if !is_object || by_pattern => any,
            Some(of) if gathered.is_empty() => Some(Shape::Map(Box::new(self.shape(node.at(of))?))),
            None if !gathered.is_empty() => {
                let index = |node: &Node<'_>| {
                    let there = || documents.resolved(*node)?.value.get("connect.index");
                    let own = node.value.get("connect.index").or_else(there);
                    own.and_then(Value::as_i64).unwrap_or(i64::MAX)
                };
                let mut all: Vec<(&str, Node<'a>)> = gathered.into_iter().collect();
                all.sort_by(|(one, a), (other, b)| (index(a), one).cmp(&(index(b), other)));
                let all =
                    all.into_iter().map(|(name, node)| Some((name.into(), self.shape(node)?)));
                Some(Shape::Object(all.collect::<Option<Vec<(String, Shape)>>>()?))
            }
            // Values of both kinds, or of none that is known.
            _ => any,
        }
    }
}
