//! A schema of a registry as it is kept in the store: `_alluvium/schemas/<id>.json`. Format
//! versions 1 and 2.
//!
//! *Bytes*: one JSON object in UTF-8, without spaces and without a line feed. Of Avro it is of
//! version 1: `{"version":1,"id":7,"type":"AVRO","schema":"<text>","references":["<text>"]}`. Of
//! other languages it is of version 2, because their references have names:
//! `{"version":2,"id":7,"type":"PROTOBUF","schema":"<text>","references":[{"name":"<name>",
//! "schema":"<text>"}]}`. `references` are the schemas that the schema needs, each behind those
//! that it needs itself.
//!
//! *Version rule*: a reader refuses any other version: then the registry is not asked, and the
//! records wait. A field that the reader does not know is ignored. A build that knows version 1
//! alone has no reader for other languages either.
//!
//! *Written by* the first daemon that needs the schema, once, by a rename that refuses to
//! overwrite; it is never changed. *Read by* daemons before they ask the registry: they go on
//! without it, and what an id means does not change under an archive.

use serde::{Deserialize, Serialize};

/// The version of schemas whose references have no names.
const OF_AVRO: u32 = 1;
/// The version of all others.
const WITH_NAMES: u32 = 2;
/// The language that names no references.
const AVRO: &str = "AVRO";

/// The content of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptSchema {
    pub id: u32,
    /// `AVRO`, or what else the registry says.
    pub kind: String,
    pub schema: String,
    pub references: Vec<KeptReference>,
}

/// A schema that another one needs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeptReference {
    /// What the other one calls it; empty in Avro, whose types have names of their own.
    pub name: String,
    pub schema: String,
}

/// A file, as its bytes are read and written.
#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    id: u32,
    #[serde(rename = "type")]
    kind: String,
    schema: String,
    references: Vec<Reference>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Reference {
    Text(String),
    Named(KeptReference),
}

/// A file that this build must not use.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("{0}")]
    Malformed(String),
    #[error("is of version {0}; this build reads versions {OF_AVRO} and {WITH_NAMES}")]
    Version(u32),
}

/// Only the version is the same in all versions.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl KeptSchema {
    #[must_use]
    pub fn new(
        id: u32,
        kind: String,
        schema: String,
        mut references: Vec<KeptReference>,
    ) -> KeptSchema {
        if kind == AVRO {
            references.iter_mut().for_each(|reference| reference.name.clear());
        }
        KeptSchema { id, kind, schema, references }
    }

    /// The bytes of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let KeptSchema { id, kind, schema, references } = self.clone();
        let has_names = kind != AVRO;
        let references = references.into_iter().map(|reference| match has_names {
            true => Reference::Named(reference),
            false => Reference::Text(reference.schema),
        });
        let references = references.collect();
        let version = if has_names { WITH_NAMES } else { OF_AVRO };
        let file = File { version, id, kind, schema, references };
        serde_json::to_vec(&file).expect("a schema has string keys only")
    }

    /// Reads the file of the schema with this id.
    ///
    /// # Errors
    /// The text is no schema, or one of another id or version.
    pub fn decode(id: u32, text: &[u8]) -> Result<KeptSchema, SchemaError> {
        let malformed = |e: serde_json::Error| SchemaError::Malformed(e.to_string());
        let Version { version } = serde_json::from_slice(text).map_err(malformed)?;
        if ![OF_AVRO, WITH_NAMES].contains(&version) {
            return Err(SchemaError::Version(version));
        }
        let file: File = serde_json::from_slice(text).map_err(malformed)?;
        if file.id != id {
            return Err(SchemaError::Malformed(format!("it is schema {}, not {id}", file.id)));
        }
        let references = file.references.into_iter().map(|reference| match reference {
            Reference::Text(schema) => KeptReference { name: String::new(), schema },
            Reference::Named(reference) => reference,
        });
        Ok(KeptSchema::new(id, file.kind, file.schema, references.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! golden {
        ($name:literal) => {
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/", $name))
        };
    }

    fn reference(name: &str, schema: &str) -> KeptReference {
        KeptReference { name: name.into(), schema: schema.into() }
    }

    #[test]
    fn the_bytes_of_a_schema_are_the_golden_ones() {
        let of_avro = vec![reference("", "\"int\"")];
        let of_avro = KeptSchema::new(7, AVRO.into(), r#"{"type":"record"}"#.into(), of_avro);
        let named = vec![reference("a/b.proto", "syntax = \"proto3\";")];
        let text = "syntax = \"proto3\";\nimport \"a/b.proto\";\nmessage A { }\n";
        let named = KeptSchema::new(7, "PROTOBUF".into(), text.into(), named);
        for (golden, sample) in
            [(&golden!("schema-v1.json")[..], of_avro), (golden!("schema-v2.json"), named)]
        {
            assert_eq!(String::from_utf8(sample.encode()), String::from_utf8(golden.to_vec()));
            assert_eq!(KeptSchema::decode(7, golden), Ok(sample));
            assert!(KeptSchema::decode(8, golden).is_err());
        }
    }

    #[test]
    fn another_version_is_refused() {
        let text = br#"{"version":3,"id":7,"type":"AVRO","schema":"","references":{}}"#;
        assert_eq!(KeptSchema::decode(7, text), Err(SchemaError::Version(3)));
        assert!(KeptSchema::decode(7, b"{}").is_err());
    }

    /// The types of Avro have names of their own, and the bytes are those of version 1.
    #[test]
    fn avro_has_no_names_of_references() {
        let named = KeptSchema::new(7, AVRO.into(), "A".into(), vec![reference("b", "B")]);
        assert_eq!(KeptSchema::decode(7, &named.encode()), Ok(named));
    }
}
