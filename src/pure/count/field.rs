//! One field of a JSON value, without building the rest of it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// Names from the outside in: `event.time` is the field `time` of the object `event`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    /// Reads a path like `event.time`; [`None`] if a name in it is empty.
    #[must_use]
    pub fn parse(text: &str) -> Option<FieldPath> {
        let names: Vec<String> = text.split('.').map(String::from).collect();
        names.iter().all(|n| !n.is_empty()).then_some(FieldPath(names))
    }

    /// The value at this path; [`None`] if there is none, or if `json` is not valid JSON.
    #[must_use]
    pub fn find(&self, json: &[u8]) -> Option<Value> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let found = Pick(&self.0).deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        found
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

struct Pick<'p>(&'p [String]);

impl<'de> DeserializeSeed<'de> for Pick<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<Value>, D::Error> {
        if self.0.is_empty() {
            serde::Deserialize::deserialize(from).map(Some)
        } else {
            from.deserialize_map(self)
        }
    }
}

impl<'de> Visitor<'de> for Pick<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<Value>, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if name == self.0[0].as_str() {
                found = map.next_value_seed(Pick(&self.0[1..]))?;
            } else {
                let _: IgnoredAny = map.next_value()?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let find = |path: &str, json: &str| FieldPath::parse(path).unwrap().find(json.as_bytes());
        let json = r#"{"a":{"b":[1],"c":"x\n"},"n":-3,"d":1,"d":2,"z":null}"#;
        assert_eq!(find("a.c", json), Some("x\n".into()));
        assert_eq!(find("n", json), Some((-3).into()));
        assert_eq!(find("d", json), Some(2.into()), "the last one, as most readers have it");
        assert_eq!(find("z", json), Some(Value::Null));
        for (path, json) in [
            ("a.x", json),
            ("n.x", json),
            ("a", "[1]"),
            ("a", "{\"a\":1"),
            ("a", "{\"a\":1} x"),
            ("a", ""),
        ] {
            assert_eq!(find(path, json), None, "{path} in {json}");
        }
        assert_eq!(FieldPath::parse("a..b"), None);
    }
}
