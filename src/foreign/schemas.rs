//! What strangers write into a registry, and into topics whose records name its schemas.

use std::sync::OnceLock;

use crate::pure::formats::schema::KeptSchema;
use crate::pure::json_schema::Referred;
use crate::pure::layout::cells::{Cell, ColumnType};
use crate::pure::layout::format::Nested;
use crate::pure::layout::frame::framed;
use crate::pure::layout::messages::Messages;
use crate::pure::layout::schema_fields::Wanted;
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
const AVRO_NESTED: &str = r#"{"type":"record","name":"W","fields":[{"name":"a","type":
    {"type":"array","items":["null",{"type":"record","name":"I","fields":[
    {"name":"m","type":{"type":"map","values":"int"}},{"name":"n","type":"null"}]}]}}]}"#;
pub(super) const AVRO_VALUE: &[u8] =
    b"\0\0\0\0\x01\x02\x02x\x04\x01\x00\x06\0\x0e\x02\0\0\0\0\0\0\xf8\x7f\x04\0\
      \x01\x04\x02k\xff\x01\0\x02\x0e";

/// With nested fields as JSON text, and as nested columns.
const BOTH: [Nested; 2] = [Nested::Json, Nested::Columns];

/// The id before a value, and the value of each of a few schemas.
pub(super) fn avro(bytes: &[u8]) {
    let record = record(bytes);
    let Ok(Some(framed)) = framed(&record) else { return };
    let nulls = r#"{"type":"record","name":"N","fields":[{"name":"a","type":
        {"type":"array","items":"null"}}]}"#;
    for (id, text) in [(1, AVRO), (2, AVRO_LIST), (3, nulls), (4, AVRO_NESTED)] {
        let [flat, with_parts] = BOTH.map(|nested| {
            let schema = WriterSchema::avro(id, text, &[], Wanted { reserved: &[], nested });
            let Ok(schema) = schema else { panic!("{text}") };
            let cells = schema.cells(framed.body);
            if let Ok(cells) = &cells {
                assert_eq!(cells.len(), schema.columns.columns().len());
            }
            cells.map(|_| ())
        });
        // Columns need less room than their JSON: a list of nulls may be too long there alone.
        if let (Err(why), Ok(())) = (flat, with_parts) {
            assert!(why.contains("too long as JSON"), "what is no value is no nested one: {why}");
        }
    }
}

/// Columns have names of their own, and a schema takes its own records.
pub(super) fn avro_schema(text: &str) {
    let (list, reserved) = ([AVRO_LIST.into()], ["dt".into()]);
    for nested in BOTH {
        let Ok(schema) = WriterSchema::avro(1, text, &list, Wanted { reserved: &reserved, nested })
        else {
            return;
        };
        own_columns(&schema);
        if let Ok(other) = WriterSchema::avro(2, text, &list, Wanted { reserved: &[], nested }) {
            assert!(other.takes(&schema).is_some());
        }
        let _ = schema.cells(&[2, 2, 120, 0, 0, 0]);
    }
}

pub(super) const JSON: &str = r##"{"$id":"http://x/r.json","title":"R","type":"object",
"properties":{"s":{"type":["string","null"],
"format":"date-time"},"n":{"connect.index":1,"type":"number",
"title":"org.apache.kafka.connect.data.Decimal","connect.parameters":{"scale":"2"},"default":1.5},
"l":{"$ref":"#/definitions/l"},"o":{"$ref":"other.json#/$defs/a~1b"},"d":{"type":"integer",
"title":"org.apache.kafka.connect.data.Date"},"b":{"type":"string","connect.type":"bytes"},
"a":{"type":"array","items":{"type":"object","properties":{"x":{"type":"integer"},
"y":{"type":"object","additionalProperties":{"type":"number"}},"z":{"$ref":"#"}}}}},
"allOf":[{"$ref":"#/definitions/l"}],"definitions":{"l":{"oneOf":[{"type":"null"},
{"type":"array"}],"properties":{"p":{"enum":["a"]}}}}}"##;
pub(super) const JSON_OTHER: &str = r#"{"$defs":{"a/b":{"type":"boolean"}}}"#;
pub(super) const JSON_VALUE: &[u8] =
    b"\0\0\0\0\x01{\"s\":\"2026-11-22T17:03:02.5Z\",\"n\":\"AJY=\",\"l\":[1],\"o\":true,\"d\":7,\
      \"a\":[null,{\"x\":1,\"y\":{\"k\":2,\"k\":3}}]}";

/// The properties of a schema have columns, and a schema takes its own records.
pub(super) fn json_schema(text: &str) {
    let other = [Referred { name: "other.json", text: JSON_OTHER }];
    let reserved = ["dt".into()];
    for nested in BOTH {
        let Ok(schema) =
            WriterSchema::json(1, text, &other, Wanted { reserved: &reserved, nested })
        else {
            return;
        };
        own_columns(&schema);
        if let Ok(newer) =
            WriterSchema::json(2, text, &other, Wanted { reserved: &reserved, nested })
        {
            assert!(newer.takes(&schema).is_some());
        }
        let _ = schema.cells(b"{\"s\":1,\"n\":2.5,\"l\":[]}");
    }
}

pub(super) fn json_object(bytes: &[u8]) {
    let record = record(bytes);
    let Ok(Some(framed)) = framed(&record) else { return };
    let other = [Referred { name: "other.json", text: JSON_OTHER }];
    for nested in BOTH {
        let Ok(schema) = WriterSchema::json(1, JSON, &other, Wanted { reserved: &[], nested })
        else {
            panic!("{JSON}")
        };
        if let Ok(cells) = schema.cells(framed.body) {
            assert_eq!(cells.len(), schema.columns.columns().len());
        }
    }
}

pub(super) const PROTOBUF: &str = r#"syntax = "proto3";
package a.b;
import "google/protobuf/timestamp.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/wrappers.proto";
import "confluent/meta.proto";
message R {
  string s = 1; repeated sint32 l = 2 [packed = true]; map<string, R> m = 3; R r = 4;
  oneof o { fixed64 f = 5; google.protobuf.Timestamp t = 6; bytes b = 7; }
  optional E e = 8 [(confluent.field_meta) = { doc: "e", params: [{ key: "k", value: "v" }] }];
  google.protobuf.Struct j = 9; google.protobuf.StringValue w = 10; repeated R all = 11;
  repeated Inner i = 12; map<sint32, Inner> k = 13;
  message Inner { reserved 2 to 5; reserved "x"; double d = 1; }
}
enum E { option allow_alias = true; A = 0; B = 1; C = 1; }
service S { rpc Call(R) returns (stream R); }
"#;
pub(super) const PROTO2: &str = "syntax = \"proto2\"; message G { required group A = 1 \
    { optional int32 n = 2 [default = -5]; extensions 100 to max; } } \
    extend G.A { optional string x = 100; }";
pub(super) const PROTOBUF_VALUE: &[u8] =
    b"\0\0\0\0\x01\0\x0a\x01a\x12\x02\x01\x02\x1a\x07\x0a\x01k\x12\x02\x10\x01\
    \x22\x03\x0a\x01b\x29\0\0\0\0\0\0\0\x01\x32\x04\x08\x01\x10\x02\x3a\x01\xff\x40\x01\
    \x4a\x09\x0a\x07\x0a\x01k\x12\x02\x20\x01\x52\x03\x0a\x01w\x5a\0\x5a\x02\x40\x02";

/// A schema that compiles has messages whose columns have names of their own.
pub(super) fn protobuf_schema(text: &str) {
    let reserved = ["dt".into()];
    for nested in BOTH {
        let Ok(messages) = Messages::parse(1, text, &[], Wanted { reserved: &reserved, nested })
        else {
            return;
        };
        let Ok(schema) = messages.first() else { return };
        own_columns(&schema);
        let newer = Messages::parse(2, text, &[], Wanted { reserved: &[], nested });
        if let Ok(newer) = newer.and_then(|messages| messages.first()) {
            assert!(newer.takes(&schema).is_some());
        }
        let _ = schema.cells(b"\x0a\x01a\x10\x02");
    }
}

/// The message that a record names, and the values of its fields.
pub(super) fn protobuf(bytes: &[u8]) {
    static MESSAGES: OnceLock<Vec<Messages>> = OnceLock::new();
    let all = MESSAGES.get_or_init(|| {
        let both =
            BOTH.into_iter().flat_map(|nested| [PROTOBUF, PROTO2].map(|text| (nested, text)));
        both.map(|(nested, text)| {
            match Messages::parse(1, text, &[], Wanted { reserved: &[], nested }) {
                Ok(messages) => messages,
                Err(e) => panic!("{text}: {e}"),
            }
        })
        .collect()
    });
    let record = record(bytes);
    let Ok(Some(framed)) = framed(&record) else { return };
    for messages in all {
        let Ok((schema, body)) = messages.find(&framed) else { continue };
        let Ok(cells) = schema.cells(body) else { continue };
        assert_eq!(cells.len(), schema.columns.columns().len());
        for (cell, column) in cells.iter().zip(schema.columns.columns()) {
            if let (Cell::Text(text), ColumnType::Json) = (cell, column.kind) {
                let json = serde_json::from_str::<&serde_json::value::RawValue>(text);
                assert!(json.is_ok(), "{text}: {json:?}");
            }
        }
    }
}

fn own_columns(schema: &WriterSchema) {
    let columns = schema.columns.columns();
    let mut names: Vec<String> = columns.iter().map(|c| c.name.to_lowercase()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), columns.len(), "{names:?}");
    assert!(!names.contains(&"offset".into()) && !names.contains(&"dt".into()), "{names:?}");
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
