//! A schema of a registry as it is kept in the store: `_alluvium/schemas/<id>.json`. Format
//! version 1.
//!
//! *Bytes*: one JSON object in UTF-8, without spaces and without a line feed:
//! `{"version":1,"id":7,"type":"AVRO","schema":"<text>","references":["<text>"]}`. `references` are
//! the schemas that the schema needs, each behind those that it needs itself.
//!
//! *Version rule*: a reader refuses any other version: then the registry is not asked, and the
//! records wait. A field that the reader does not know is ignored.
//!
//! *Written by* the first daemon that needs the schema, once, by a rename that refuses to
//! overwrite; it is never changed. *Read by* daemons before they ask the registry: they go on
//! without it, and what an id means does not change under an archive.

use serde::{Deserialize, Serialize};

/// The version that this build writes and reads.
const VERSION: u32 = 1;

/// The content of a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeptSchema {
    version: u32,
    pub id: u32,
    /// `AVRO`, or what else the registry says.
    #[serde(rename = "type")]
    pub kind: String,
    pub schema: String,
    pub references: Vec<String>,
}

/// A file that this build must not use.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("{0}")]
    Malformed(String),
    #[error("is of version {0}; this build reads version {VERSION}")]
    Version(u32),
}

impl KeptSchema {
    #[must_use]
    pub fn new(id: u32, kind: String, schema: String, references: Vec<String>) -> KeptSchema {
        KeptSchema { version: VERSION, id, kind, schema, references }
    }

    /// The bytes of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a schema has string keys only")
    }

    /// Reads the file of the schema with this id.
    ///
    /// # Errors
    /// The text is no schema, or one of another id or version.
    pub fn decode(id: u32, text: &[u8]) -> Result<KeptSchema, SchemaError> {
        let kept: KeptSchema =
            serde_json::from_slice(text).map_err(|e| SchemaError::Malformed(e.to_string()))?;
        if kept.version != VERSION {
            return Err(SchemaError::Version(kept.version));
        }
        if kept.id != id {
            return Err(SchemaError::Malformed(format!("it is schema {}, not {id}", kept.id)));
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_schema_are_the_golden_ones() {
        let golden =
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/schema-v1.json"));
        let (text, other) = (r#"{"type":"record"}"#.to_string(), "\"int\"".to_string());
        let sample = KeptSchema::new(7, "AVRO".into(), text, vec![other]);
        assert_eq!(sample.encode(), golden);
        assert_eq!(KeptSchema::decode(7, golden), Ok(sample));
        assert!(KeptSchema::decode(8, golden).is_err());
    }

    #[test]
    fn another_version_is_refused() {
        let text = br#"{"version":2,"id":7,"type":"AVRO","schema":"","references":[]}"#;
        assert_eq!(KeptSchema::decode(7, text), Err(SchemaError::Version(2)));
        assert!(KeptSchema::decode(7, b"{}").is_err());
    }
}
