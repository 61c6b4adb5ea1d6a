//! Where a field lies in a JSON value: names from the outside in, with dots between them.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::fmt;

/// `event.time` is the field `time` of the object `event`. A path has at least one name, and no
/// name is empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    /// Reads a path like `event.time`; [`None`] if a name in it is empty.
    #[must_use]
    pub fn parse(text: &str) -> Option<FieldPath> {
        let names: Vec<String> = text.split('.').map(String::from).collect();
        names.iter().all(|n| !n.is_empty()).then_some(FieldPath(names))
    }

    /// The path of the field with this name, dots and all.
    #[must_use]
    pub fn of_field(name: &str) -> FieldPath {
        FieldPath(vec![name.into()])
    }

    /// The names from the outside in.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// Whether this is a field of the object at `outer`, or of an object in it.
    #[must_use]
    pub fn lies_in(&self, outer: &FieldPath) -> bool {
        outer.0.len() < self.0.len() && self.0.starts_with(&outer.0)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_and_compared() {
        let path = |text| FieldPath::parse(text).unwrap();
        for wrong in ["", ".", "a.", ".a", "a..b"] {
            assert_eq!(FieldPath::parse(wrong), None, "{wrong:?}");
        }
        assert_eq!((path("a.b").names().len(), path("a.b").to_string()), (2, "a.b".into()));
        assert!(path("a.b.c").lies_in(&path("a.b")) && path("a.b").lies_in(&path("a")));
        assert!(!path("a.b").lies_in(&path("a.b")) && !path("ab.c").lies_in(&path("a")));
    }
}
