//! One field of a JSON value, without building the rest of it.
//!
//! A field is given as it is written: numbers of JSON have as many digits as they like, and no
//! number of the machine holds them all.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::pure::field_path::FieldPath;
use crate::pure::json::{compact, string};

/// The value of a field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Field<'a> {
    Null,
    Text(Cow<'a, str>),
    /// A number as it is written.
    Number(&'a str),
    /// Everything else as it is written, but for white space between its parts.
    Other(Cow<'a, str>),
}

impl FieldPath {
    /// The value at this path; [`None`] if there is none, or if `json` is not valid JSON.
    #[must_use]
    pub fn find<'a>(&self, json: &'a [u8]) -> Option<Field<'a>> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let found = Pick(self.names()).deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        let text = found?.get().trim();
        Some(match text.as_bytes().first()? {
            b'n' => Field::Null,
            b'"' => Field::Text(string(text)?),
            b'-' | b'0'..=b'9' => Field::Number(text),
            _ => Field::Other(compact(text)),
        })
    }
}

struct Pick<'p>(&'p [String]);

impl<'de> DeserializeSeed<'de> for Pick<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            serde::Deserialize::deserialize(from).map(Some)
        } else {
            from.deserialize_map(self)
        }
    }
}

impl<'de> Visitor<'de> for Pick<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
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

    fn find<'a>(path: &str, json: &'a str) -> Option<Field<'a>> {
        FieldPath::parse(path).unwrap().find(json.as_bytes())
    }

    #[test]
    fn fields_are_found() {
        let json = r#"{"a":{"b":[1],"c":"x\n"},"n":-3,"d":1,"d":2,"z":null}"#;
        assert_eq!(find("a.c", json), Some(Field::Text("x\n".into())));
        assert_eq!(find("n", json), Some(Field::Number("-3")));
        let last = Some(Field::Number("2"));
        assert_eq!(find("d", json), last, "the last one, as most readers have it");
        assert_eq!(find("z", json), Some(Field::Null));
        for (path, json) in [
            ("a.x", json),
            ("n.x", json),
            ("a", "[1]"),
            ("a", "{\"a\":1"),
            ("a", "{\"a\":1} x"),
            ("a", "{\"a\":\"\\ud800\"}"),
            ("a", "{\"a\":01}"),
            ("a", ""),
        ] {
            assert_eq!(find(path, json), None, "{path} in {json}");
        }
    }

    #[test]
    fn every_digit_is_kept() {
        for number in [
            "327267367867168100000",
            "327267367867168100001",
            "-0",
            "0.10000000000000000001",
            "1e400",
            "1.0",
        ] {
            assert_eq!(find("n", &format!("{{\"n\": {number} }}")), Some(Field::Number(number)));
        }
        let other = |json| find("n", json).unwrap();
        assert_eq!(
            other("{\"n\": [ 18446744073709551616 , {\"a b\": \"c \\\" d\\\\\" }\n] }"),
            Field::Other("[18446744073709551616,{\"a b\":\"c \\\" d\\\\\"}]".into())
        );
        assert_eq!(other("{\"n\": true}"), Field::Other("true".into()));
    }

    /// A stranger may nest as deep as a message is long.
    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        let json = format!("{{\"a\": {deep}}}");
        assert_eq!(find("a", &json), Some(Field::Other(deep.into())));
    }
}
