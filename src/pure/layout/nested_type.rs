//! The types of nested columns: a field that is a record, a list or a map, as a column with parts.
//!
//! Every part may be null. What has no such type is a part of JSON text: a type that lies in
//! itself, one without fields, a union of several types, and what lies more than [`DEEPEST`] deep.

use std::collections::HashMap;

use crate::pure::layout::cells::ColumnType;

/// The type of a nested column, or of a part of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NestedType {
    /// A value without parts, or JSON text.
    Simple(ColumnType),
    /// At least one field.
    Struct(Vec<NestedField>),
    List(Box<NestedType>),
    /// The keys are texts.
    Map(Box<NestedType>),
}

/// A field of a struct.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NestedField {
    /// The field's name in the files.
    pub name: String,
    /// What another version of the schema may know the field by; the first is its own.
    pub keys: Vec<String>,
    pub of: NestedType,
}

/// Types lie this deep in each other at most.
const DEEPEST: usize = 16;
/// The longest name of a field, as that of a column.
pub(super) const LONGEST_NAME: usize = 128;

impl NestedType {
    /// How many columns the type is in a file.
    #[must_use]
    pub fn leaves(&self) -> usize {
        match self {
            NestedType::Simple(_) => 1,
            NestedType::Struct(fields) => {
                fields.iter().map(|field| field.of.leaves()).fold(0, usize::saturating_add)
            }
            NestedType::List(of) => of.leaves(),
            NestedType::Map(of) => of.leaves().saturating_add(1),
        }
    }

    /// Whether every value of this type is one of the other, and none of its fields is lost.
    #[must_use]
    pub fn becomes(&self, other: &NestedType) -> bool {
        match (self, other) {
            (NestedType::Simple(one), NestedType::Simple(other)) => one.becomes(*other),
            (NestedType::List(one), NestedType::List(other))
            | (NestedType::Map(one), NestedType::Map(other)) => one.becomes(other),
            (NestedType::Struct(own), NestedType::Struct(fields)) => {
                let mut used = vec![false; own.len()];
                let mut places = fields.iter().zip(places(fields, own));
                let takes = places.all(|(field, place)| match place {
                    Some(at) => {
                        !std::mem::replace(&mut used[at], true) && own[at].of.becomes(&field.of)
                    }
                    None => true,
                });
                takes && used.iter().all(|used| *used)
            }
            _ => false,
        }
    }

    /// The paths of the parts, with the column's own before them, for the ids of fields. Names of
    /// fields have no brackets, so no two parts have one path.
    pub fn paths(&self, own: &str, to: &mut Vec<String>) {
        match self {
            NestedType::Simple(_) => {}
            NestedType::Struct(fields) => {
                for field in fields {
                    let path = field_path(own, &field.name);
                    field.of.paths(&path, to);
                    to.push(path);
                }
            }
            NestedType::List(of) => {
                let path = element_path(own);
                of.paths(&path, to);
                to.push(path);
            }
            NestedType::Map(of) => {
                let [key, value] = entry_paths(own);
                of.paths(&value, to);
                to.extend([key, value]);
            }
        }
    }
}

/// The path of a struct's field.
#[must_use]
pub fn field_path(own: &str, name: &str) -> String {
    format!("{own}.{name}")
}

/// The path of a list's elements.
#[must_use]
pub fn element_path(own: &str) -> String {
    format!("{own}.[]")
}

/// The paths of a map's keys and values.
#[must_use]
pub fn entry_paths(own: &str) -> [String; 2] {
    [format!("{own}.{{key}}"), format!("{own}.{{value}}")]
}

/// Where another version of a struct has each of these fields.
#[must_use]
pub fn places(fields: &[NestedField], others: &[NestedField]) -> Vec<Option<usize>> {
    let mut firsts = HashMap::with_capacity(others.len());
    for (at, other) in others.iter().enumerate() {
        if let Some(key) = other.keys.first() {
            let _ = firsts.entry(key).or_insert(at);
        }
    }
    let place = |field: &NestedField| field.keys.iter().find_map(|key| firsts.get(key).copied());
    fields.iter().map(place).collect()
}

/// What bounds the types of one schema while they are made: types that others have written may
/// name each other so that few of them are millions of parts.
#[derive(Debug)]
pub struct Growth<Id> {
    /// How many columns may still be made, beside the first one of each field.
    leaves_left: usize,
    /// The types that the next one lies in; [`None`] for those that cannot lie in themselves.
    inside: Vec<Option<Id>>,
}

impl<Id: PartialEq> Growth<Id> {
    #[must_use]
    pub fn new(leaves: usize) -> Growth<Id> {
        Growth { leaves_left: leaves, inside: Vec::new() }
    }

    /// The type of one field of the schema, if it is a nested one and is small enough. `make`
    /// answers [`None`] where [`Growth::simple`] did. `root`: the type that has the field.
    pub fn field(
        &mut self,
        root: Id,
        make: impl FnOnce(&mut Growth<Id>) -> Option<NestedType>,
    ) -> Option<NestedType> {
        let before = self.leaves_left;
        // The field is a column in any case.
        self.leaves_left = before.saturating_add(1);
        self.inside = vec![Some(root)];
        let made = make(self).filter(|of| !matches!(of, NestedType::Simple(_)));
        if made.is_none() {
            self.leaves_left = before;
        }
        made
    }

    /// A part without others in it; [`None`] if there are too many.
    pub fn simple(&mut self, kind: ColumnType) -> Option<NestedType> {
        self.leaves_left = self.leaves_left.checked_sub(1)?;
        Some(NestedType::Simple(kind))
    }

    /// A part with others in it, or JSON text where it would lie in itself or too deep. `make`
    /// answers [`None`] where [`Growth::simple`] did.
    pub fn compound(
        &mut self,
        id: Option<Id>,
        make: impl FnOnce(&mut Growth<Id>) -> Option<NestedType>,
    ) -> Option<NestedType> {
        if DEEPEST < self.inside.len() || (id.is_some() && self.inside.contains(&id)) {
            return self.simple(ColumnType::Json);
        }
        self.inside.push(id);
        let made = make(self);
        let _ = self.inside.pop();
        made
    }

    /// A struct, or JSON text if it has no fields, or names that are too long for columns.
    pub fn structure(&mut self, fields: Vec<NestedField>) -> Option<NestedType> {
        let is_long = |field: &NestedField| LONGEST_NAME < field.name.len();
        match fields.is_empty() || fields.iter().any(is_long) {
            true => self.simple(ColumnType::Json),
            false => Some(NestedType::Struct(fields)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, keys: &[&str], of: NestedType) -> NestedField {
        let keys = keys.iter().map(|key| (*key).into()).collect();
        NestedField { name: name.into(), keys, of }
    }

    fn int() -> NestedType {
        NestedType::Simple(ColumnType::Int32)
    }

    #[test]
    fn a_type_becomes_one_that_loses_nothing() {
        let of = |fields: Vec<NestedField>| NestedType::Struct(fields);
        let old = of(vec![field("a", &["a"], int()), field("b", &["b"], int())]);
        let wide = NestedType::Simple(ColumnType::Float64);
        let new = of(vec![
            field("x", &["x"], int()),
            field("b", &["b"], wide),
            field("c", &["c", "a"], int()),
        ]);
        assert!(old.becomes(&new) && old.becomes(&old) && !new.becomes(&old));
        let list = |of| NestedType::List(Box::new(of));
        assert!(list(old.clone()).becomes(&list(new.clone())));
        assert!(!list(old.clone()).becomes(&NestedType::Map(Box::new(new))));
        let twice = of(vec![field("a", &["a"], int()), field("c", &["c", "a"], int())]);
        assert!(!old.becomes(&twice), "a would be there twice, and b lost");
        assert!(!old.becomes(&NestedType::Simple(ColumnType::Json)));
    }

    #[test]
    fn parts_are_bounded_and_a_field_that_has_too_many_is_none() {
        let mut growth: Growth<u8> = Growth::new(2);
        let three = |growth: &mut Growth<u8>| {
            let all = ["a", "b", "c"]
                .map(|name| Some(field(name, &[name], growth.simple(ColumnType::Int32)?)));
            let all = all.into_iter().collect::<Option<Vec<NestedField>>>()?;
            growth.structure(all)
        };
        assert_eq!(growth.field(0, three).map(|of| of.leaves()), Some(3));
        assert_eq!(growth.field(0, three), None, "the first field has taken what was left");
        let one = |growth: &mut Growth<u8>| {
            growth.compound(None, |g| Some(NestedType::List(Box::new(g.simple(ColumnType::Date)?))))
        };
        assert!(growth.field(0, one).is_some(), "each field has a column of its own");
    }

    #[test]
    fn what_lies_in_itself_or_too_deep_is_text() {
        fn list(growth: &mut Growth<u8>, left: usize) -> Option<NestedType> {
            growth.compound(None, |growth| {
                let of = if left == 0 {
                    growth.simple(ColumnType::Int32)
                } else {
                    list(growth, left - 1)
                };
                Some(NestedType::List(Box::new(of?)))
            })
        }
        let mut growth = Growth::new(10);
        let mut of = growth.field(0, |growth| list(growth, 99)).unwrap();
        for _ in 0..DEEPEST {
            let NestedType::List(inner) = of else { panic!("{of:?}") };
            of = *inner;
        }
        assert_eq!(of, NestedType::Simple(ColumnType::Json));
        let own = |growth: &mut Growth<u8>| growth.compound(Some(7), |_| unreachable!());
        let nothing = growth.field(7, own);
        assert_eq!(nothing, None, "a column of text needs no nested type");
    }

    #[test]
    fn no_two_parts_have_one_path() {
        let map = NestedType::Map(Box::new(NestedType::List(Box::new(int()))));
        let of = NestedType::Struct(vec![
            field("element", &["e"], int()),
            field("key", &["k"], map.clone()),
        ]);
        let (mut paths, mut of_map) = (Vec::new(), Vec::new());
        of.paths("a", &mut paths);
        map.paths("a", &mut of_map);
        assert_eq!(
            paths,
            ["a.element", "a.key.{value}.[]", "a.key.{key}", "a.key.{value}", "a.key"]
        );
        assert_eq!(of_map, ["a.{value}.[]", "a.{key}", "a.{value}"]);
    }
}
