//! What strangers write into a registry, and into topics whose records name its schemas.

use crate::pure::formats::schema::KeptSchema;
use crate::pure::layout::frame::framed;
use crate::pure::layout::writer_schema::WriterSchema;
use crate::pure::record::{Offset, Record, Timestamp};

pub(super) const AVRO: &str = r#"{"type":"record","name":"a.R","fields":[
{"name":"s","type":["null","string"],"aliases":["t"],"default":null},
{"name":"n","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
{"name":"l","type":{"type":"array","items":["long","double","null","a.R"]}},
{"name":"m","type":{"type":"map","values":{"type":"fixed","name":"F","size":2}}},
{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},
{"name":"d","type":{"type":"int","logicalType":"date"},"default":7}]}"#;
pub(super) const AVRO_LIST: &str =
    r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
pub(super) const AVRO_VALUE: &[u8] =
    b"\0\0\0\0\x01\x02\x02x\x04\x01\x00\x06\0\x0e\x02\0\0\0\0\0\0\xf8\x7f\x04\0\
      \x01\x04\x02k\xff\x01\0\x02\x0e";

/// The id before a value, and the value of each of a few schemas.
pub(super) fn avro(bytes: &[u8]) {
    let record = record(bytes);
    let Ok(Some(framed)) = framed(&record) else { return };
    let nulls = r#"{"type":"record","name":"N","fields":[{"name":"a","type":
        {"type":"array","items":"null"}}]}"#;
    for (id, text) in [(1, AVRO), (2, AVRO_LIST), (3, nulls)] {
        let Ok(schema) = WriterSchema::avro(id, text, &[], &[]) else { panic!("{text}") };
        if let Ok(cells) = schema.cells(framed.body) {
            assert_eq!(cells.len(), schema.columns.columns().len());
        }
    }
}

/// Columns have names of their own, and a schema takes its own records.
pub(super) fn avro_schema(text: &str) {
    let Ok(schema) = WriterSchema::avro(1, text, &[AVRO_LIST.into()], &["dt".into()]) else {
        return;
    };
    let columns = schema.columns.columns();
    let mut names: Vec<String> = columns.iter().map(|c| c.name.to_lowercase()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), columns.len(), "{names:?}");
    assert!(!names.contains(&"offset".into()) && !names.contains(&"dt".into()), "{names:?}");
    if let Ok(other) = WriterSchema::avro(2, text, &[AVRO_LIST.into()], &[]) {
        assert!(other.takes(&schema).is_some());
    }
    let _ = schema.cells(&[2, 2, 120, 0, 0, 0]);
}

pub(super) fn kept_schema(bytes: &[u8]) {
    if let Ok(kept) = KeptSchema::decode(7, bytes) {
        assert_eq!(KeptSchema::decode(7, &kept.encode()), Ok(kept));
    }
}

fn record(value: &[u8]) -> Record<'_> {
    let (offset, timestamp) = (Offset(0), Timestamp::Missing);
    Record { offset, timestamp, key: None, value: Some(value), headers: &[] }
}
