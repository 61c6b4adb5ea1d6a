//! Declared columns, nested values and the quarantine, as their files have them.

use std::sync::Arc;

use ::parquet::basic::ColumnOrder;
use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
use serde_json::json;

use crate::clients::encode::chunks::LARGE;
use crate::clients::encode::read_back::parquet_as_json;
use crate::clients::encode::tests::{encode, json_lines, lines, record, schema};
use crate::clients::encode::{EncodeError, Encoder};
use crate::pure::json::JsonText;
use crate::pure::layout::cells::ColumnType;
use crate::pure::layout::columns::{Column, JsonColumns};
use crate::pure::layout::format::{ColumnRows, Format, ParquetCodec, Rows, TextCodec, TextPolicy};
use crate::pure::layout::rules::Fit;
use crate::pure::record::{Header, Record, TopicPartition};

const TYPES: [&str; 12] = [
    "string",
    "boolean",
    "int32",
    "int64",
    "float64",
    "decimal(20,3)",
    "date",
    "timestamp",
    "timestamp_ms",
    "bytes",
    "json",
    "timestamp_us",
];

fn typed(value: Option<TextPolicy>) -> Rows {
    let column = |(n, kind): (usize, &str)| {
        Column::new(&format!("c{n}"), None, ColumnType::parse(kind).unwrap()).unwrap()
    };
    let columns = JsonColumns::new(TYPES.into_iter().enumerate().map(column).collect());
    Rows::Columns(Arc::new(ColumnRows { key: TextPolicy::Auto, value, columns }))
}

const VALUE: &str = r#"{"c0":"ä","c1":true,"c2":-7,"c3":9007199254740993,"c4":0.5,"c5":-1.25,
"c6":"2026-11-22","c7":"2026-11-22T18:03:02.5+01:00","c8":1795366982001,"c9":"AP4=",
"c10":[1, {"a": null}],"c11":-1,"c12":"not declared"}"#;

#[test]
fn every_type_stands_in_parquet_as_it_was() {
    let records = [record(3, None, Some(VALUE.as_bytes()), &[]), record(4, None, Some(b"{}"), &[])];
    for value in [Some(TextPolicy::Auto), None] {
        let rows = typed(value);
        let got = parquet_as_json(encode(Format::Parquet(ParquetCodec::Zstd), &rows, &records));
        assert_eq!(got.len(), 2);
        for (name, want) in [
            ("c0", json!("ä")),
            ("c1", json!(true)),
            ("c2", json!(-7)),
            ("c3", json!(9_007_199_254_740_993_i64)),
            ("c4", json!(0.5)),
            ("c5", json!(-1.250)),
            ("c6", json!("2026-11-22")),
            ("c7", json!("2026-11-22T17:03:02.500Z")),
            ("c8", json!("2026-11-22T17:03:02.001Z")),
            ("c9", json!("00fe")),
            ("c10", json!("[1,{\"a\":null}]")),
            ("c11", json!("1969-12-31T23:59:59.999999Z")),
            ("offset", json!(3)),
        ] {
            assert_eq!(got[0][name], want, "{name}");
        }
        assert!(got[1].get("c0").is_none() && got[1].get("c11").is_none());
        let kept = got[0].get("value").and_then(|v| v.as_str());
        assert_eq!(kept, value.map(|_| VALUE));
    }
}

/// Hive fails at a date behind a number of another order.
#[test]
fn each_column_of_parquet_has_the_order_of_its_type() {
    let records = [record(3, None, Some(VALUE.as_bytes()), &[])];
    let file = encode(Format::Parquet(ParquetCodec::Zstd), &typed(None), &records);
    let reader = SerializedFileReader::new(bytes::Bytes::from(file)).unwrap();
    let file = reader.metadata().file_metadata();
    let orders = file.column_orders().unwrap();
    assert_eq!(orders.len(), file.schema_descr().num_columns());
    let of_type = |order: &ColumnOrder| matches!(order, ColumnOrder::TYPE_DEFINED_ORDER(_));
    assert!(orders.iter().all(of_type), "{orders:?}");
}

/// Whoever reads lines finds the columns beside the coordinates, each with its type.
#[test]
fn every_type_is_a_member_of_json_lines() {
    let records = [record(3, None, Some(VALUE.as_bytes()), &[]), record(4, None, Some(b"{}"), &[])];
    for value in [Some(TextPolicy::Auto), Some(TextPolicy::Bytes), None] {
        let text = json_lines(&typed(value), &records);
        let all: Vec<&str> = text.lines().collect();
        assert_eq!(all.len(), 2, "{text}");
        let behind = "\"c0\":\"ä\",\"c1\":true,\"c2\":-7,\"c3\":9007199254740993,\"c4\":0.5,\
                      \"c5\":-1.250,\"c6\":\"2026-11-22\",\"c7\":\"2026-11-22T17:03:02.500000Z\",\
                      \"c8\":\"2026-11-22T17:03:02.001000Z\",\"c9\":\"AP4=\",\
                      \"c10\":\"[1,{\\\"a\\\":null}]\",\"c11\":\"1969-12-31T23:59:59.999999Z\"}";
        assert!(all[0].ends_with(behind), "{text}");
        let rows = lines(text.as_bytes());
        assert_eq!((&rows[1]["offset"], &rows[1]["c0"]), (&json!(4), &json!(null)));
        let row = rows[0].as_object().unwrap();
        let has = ["value", "value_bytes"].map(|name| row.contains_key(name));
        match value {
            Some(TextPolicy::Auto) => {
                assert_eq!((&row["value"], has), (&json!(VALUE), [true, false]))
            }
            Some(TextPolicy::Bytes) => assert_eq!(has, [true, true]),
            None => assert_eq!(has, [false, false]),
        }
    }
}

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/", $name))
    };
}

/// Names, types and ids: a table that has taken these files in relies on them.
#[test]
fn the_schemas_are_the_golden_ones() {
    let all = [
        (typed(Some(TextPolicy::Auto)), golden!("schema-columns-v2.txt")),
        (Rows::Quarantine, golden!("schema-quarantine-v2.txt")),
    ];
    for (rows, want) in all {
        assert_eq!(schema(&rows), want);
        let names: Vec<String> =
            want.lines().filter(|l| l.starts_with("  ")).map(Into::into).collect();
        assert!(!names.is_empty());
    }
    // The envelope without the value keeps its ids.
    let without = schema(&typed(None));
    let with = golden!("schema-columns-v2.txt");
    let left = with.lines().filter(|line| !without.contains(line));
    let left: Vec<&str> = left.map(str::trim).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.iter().all(|line| line.contains(" value")), "{left:?}");
}

#[test]
fn the_quarantine_keeps_every_byte_and_says_why() {
    let headers: [Header<'_>; 1] = [(b"stra\xdfe", Some(b"\xff"))];
    let records =
        [record(5, Some(b"k"), Some(b"{\"c2\":\xff"), &headers), record(6, None, None, &[])];
    let bad = Fit::Bad("not JSON".into());
    for format in [Format::Parquet(ParquetCodec::Snappy), Format::JsonLines(TextCodec::None)] {
        let of = TopicPartition { topic: "t".into(), partition: 2 };
        let mut encoder = Encoder::new(format, &Rows::Quarantine, &of).unwrap();
        records.iter().for_each(|r| encoder.append(r, &bad).unwrap());
        let mut bytes = Vec::new();
        encoder.finish(&[], &mut |b| bytes.extend_from_slice(&b)).unwrap();
        let is_parquet = matches!(format, Format::Parquet(_));
        let rows = if is_parquet { parquet_as_json(bytes) } else { lines(&bytes) };
        assert_eq!(rows[0]["error"], "not JSON");
        assert_eq!((&rows[0]["key"], &rows[0]["offset"]), (&json!("k"), &json!(5)));
        let value = if is_parquet { "7b226332223aff" } else { "eyJjMiI6/w==" };
        assert_eq!(rows[0]["value_bytes"], value);
        assert_eq!(rows[1]["error"], "not JSON");
        assert!(rows[1].get("value_bytes").is_none());
    }
}

#[test]
fn a_value_stands_in_json_lines_as_json() {
    let rows = Rows::Json { key: TextPolicy::Auto };
    let value = b"{\"n\": 18446744073709551616,\r\n \"a\":[1.0]}";
    let text = json_lines(&rows, &[record(1, None, Some(value), &[]), record(2, None, None, &[])]);
    let all: Vec<&str> = text.lines().collect();
    assert_eq!(all.len(), 2, "{text}");
    assert!(all[0].contains("\"value\":{\"n\": 18446744073709551616,   \"a\":[1.0]}"), "{text}");
    assert!(all[1].contains("\"value\":null"), "{text}");
}

/// A file never has rows of two kinds: nobody could read it.
#[test]
fn a_row_of_another_kind_is_refused() {
    let of = TopicPartition { topic: "t".into(), partition: 2 };
    let kinds = [
        Fit::Raw,
        Fit::Cells(Vec::new()),
        Fit::Bad("x".into()),
        Fit::Json(JsonText::parse(b"{}").unwrap()),
    ];
    let raw = Rows::Raw { key: TextPolicy::Auto, value: TextPolicy::Auto };
    for (rows, good) in [(raw, 0), (typed(None), 9), (Rows::Quarantine, 2)] {
        for (n, fit) in kinds.iter().enumerate() {
            let parquet = Format::Parquet(ParquetCodec::None);
            let mut encoder = Encoder::new(parquet, &rows, &of).unwrap();
            let took: Result<(), EncodeError> = encoder.append(&any_record(), fit);
            assert_eq!(took.is_ok(), n == good, "{rows:?} {fit:?}");
            if matches!(rows, Rows::Columns(_)) {
                let lines = Format::JsonLines(TextCodec::None);
                let mut encoder = Encoder::new(lines, &rows, &of).unwrap();
                assert!(encoder.append(&any_record(), fit).is_err(), "{fit:?}");
            }
        }
    }
}

fn any_record() -> Record<'static> {
    record(0, None, Some(b"{}"), &[])
}

/// A record of many MiB is a row group of its own, with whatever stands beside it: between small
/// ones, as text, as bytes and as both, with escapes and without its value.
#[test]
fn a_large_record_is_a_row_like_any_other() {
    let headers: [Header<'_>; 1] = [(b"h", Some(b"v"))];
    let long = "x".repeat(LARGE);
    let object = format!(r#"{{"c0":"{long}","c2":7,"c9":"AP4=","c10":["{long}"]}}"#);
    let escaped = format!(r#"{{"c0":"\n{long}","c3":5}}"#);
    let small = br#"{"c0":"small"}"#;
    let records = [
        record(0, Some(b"k"), Some(small), &[]),
        record(1, Some(b"k"), Some(object.as_bytes()), &headers),
        record(2, None, Some(small), &[]),
        record(3, None, Some(escaped.as_bytes()), &[]),
        record(4, Some(b"\xff"), Some(small), &headers),
    ];
    for mode in [Some(TextPolicy::Auto), Some(TextPolicy::Bytes), None] {
        let rows = typed(mode);
        let bytes = encode(Format::Parquet(ParquetCodec::Snappy), &rows, &records);
        let got = parquet_as_json(bytes);
        let offsets: Vec<_> = got.iter().map(|row| row["offset"].clone()).collect();
        assert_eq!(offsets, [0, 1, 2, 3, 4]);
        assert_eq!((&got[1]["key"], &got[4]["key_bytes"]), (&json!("k"), &json!("ff")));
        assert!(got[1]["headers"][0]["key"] == "h" && got[3]["headers"].as_array().is_some());
        assert!(got[1]["c0"] == long && got[1]["c10"] == format!("[\"{long}\"]"));
        assert_eq!((&got[1]["c2"], &got[1]["c9"]), (&json!(7), &json!("00fe")));
        assert!(got[3]["c0"] == format!("\n{long}") && got[3]["c3"] == 5);
        assert!(got[0]["c0"] == "small" && got[2]["c0"] == "small" && got[4]["c0"] == "small");
        assert!(got[3].get("c2").is_none(), "null");
        match mode {
            Some(TextPolicy::Auto) => assert!(got[1]["value"] == object),
            Some(_) => {
                let hex = got[3]["value_bytes"].as_str().unwrap().len();
                assert_eq!(hex, 2 * escaped.len());
            }
            None => assert!(got[1].get("value").is_none()),
        }
    }
}
