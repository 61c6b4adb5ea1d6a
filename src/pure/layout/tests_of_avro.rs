//! Records of Avro become rows.

use crate::pure::layout::cells::Cell;
use crate::pure::layout::schema_fields::Wanted;
use crate::pure::layout::writer_schema::WriterSchema;

fn schema(id: u32, fields: &str) -> WriterSchema {
    let text = format!(r#"{{"type":"record","name":"a.Order","fields":[{fields}]}}"#);
    WriterSchema::avro(id, &text, &[], Wanted::flat(&["dt".into()])).unwrap()
}

fn columns(of: &WriterSchema) -> Vec<String> {
    of.columns.columns().iter().map(|c| format!("{} {}", c.name, c.kind)).collect()
}

const ALL: &str = r#"
{"name":"user","type":"string"},
{"name":"n","type":["null","int"],"default":null},
{"name":"total","type":"long"},
{"name":"ratio","type":"float"},
{"name":"ok","type":"boolean"},
{"name":"raw","type":"bytes"},
{"name":"day","type":{"type":"int","logicalType":"date"}},
{"name":"at","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
{"name":"kind","type":{"type":"enum","name":"Kind","symbols":["NEW","OLD"]}},
{"name":"tags","type":{"type":"array","items":"string"}},
{"name":"choice","type":["null","string","long"]}"#;

const BODY: &[u8] = &[
    4, b'a', b'b', // user
    2, 13, // n = -7
    0x80, 1, // total = 64
    0, 0, 0x80, 0x3f, // ratio = 1
    1,    // ok
    4, 0, 0xff, // raw
    2,    // day = 1
    2, 4, // at = 2 ms
    4, 0xff, 0x85, // price = -123
    2,    // kind = OLD
    2, 2, b'x', 0, // tags
    4, 6, // choice = 3
];

#[test]
fn fields_are_columns_of_their_types() {
    let of = schema(7, ALL);
    assert_eq!(of.name, "a.Order");
    assert_eq!(
        columns(&of),
        [
            "user string",
            "n int32",
            "total int64",
            "ratio float64",
            "ok boolean",
            "raw bytes",
            "day date",
            "at timestamp_ms",
            "price decimal(9,2)",
            "kind string",
            "tags json",
            "choice json",
        ]
    );
    assert_eq!(
        of.cells(BODY).unwrap(),
        [
            Cell::Text("ab".into()),
            Cell::Int32(-7),
            Cell::Int64(64),
            Cell::Float64(1.0),
            Cell::Boolean(true),
            Cell::Bytes(vec![0, 0xff]),
            Cell::Date(1),
            Cell::Micros(2_000),
            Cell::Decimal(-123),
            Cell::Text("OLD".into()),
            Cell::Text("[\"x\"]".into()),
            Cell::Text("3".into()),
        ]
    );
    for length in 0..BODY.len() {
        assert!(of.cells(&BODY[..length]).is_err(), "{length} bytes of {}", BODY.len());
    }
    let longer = [BODY, &[0]].concat();
    assert!(of.cells(&longer).unwrap_err().contains("1 bytes are left"));
}

#[test]
fn what_a_column_cannot_hold_is_named() {
    let of = schema(7, r#"{"name":"d","type":{"type":"int","logicalType":"date"}}"#);
    let error = of.cells(&[0xfe, 0xff, 0xff, 0xff, 0x0f]).unwrap_err();
    assert!(error.contains("field d: 2147483647 days"), "{error}");
    let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":2,"scale":1}"#;
    let of = schema(7, &format!(r#"{{"name":"p","type":{decimal}}}"#));
    assert_eq!(of.cells(&[2, 99]).unwrap(), [Cell::Decimal(99)]);
    let error = of.cells(&[2, 100]).unwrap_err();
    assert!(error.contains("field p: the number is not a decimal(2,1)"), "{error}");
}

/// A fixed may have more bytes than its number needs.
#[test]
fn decimals_in_json_text_are_digits_however_long_they_are() {
    let fixed = |size| {
        format!(
            r#"{{"type":"fixed","name":"f","size":{size},"logicalType":"decimal","precision":38,
            "scale":1}}"#
        )
    };
    for size in [1, 16, 17, 40] {
        let of = fixed(size);
        let of = schema(7, &format!(r#"{{"name":"p","type":{{"type":"array","items":{of}}}}}"#));
        let body = [&[2][..], &vec![0xff; size - 1], &[133, 0]].concat();
        assert_eq!(of.cells(&body).unwrap(), [Cell::Text("[\"-12.3\"]".into())], "{size} bytes");
    }
}

/// A column of few digits is written as a number of 32 bits.
#[test]
fn a_default_that_a_column_cannot_hold_is_null() {
    let default = |of: &str, default: &str| {
        let old = schema(1, r#"{"name":"n","type":"int"}"#);
        let new = format!(
            r#"{{"name":"n","type":"int"}},{{"name":"d","type":{of},"default":"{default}"}}"#
        );
        let new = schema(2, &new);
        let taken = new.takes(&old).unwrap();
        new.row((&old, &taken), old.cells(&[2]).unwrap(), 1).unwrap().swap_remove(1)
    };
    let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":2,"scale":1}"#;
    assert_eq!(default(decimal, "c"), Cell::Decimal(99));
    assert_eq!(default(decimal, "d"), Cell::Null, "100 has three digits");
    assert_eq!(default("\"bytes\"", "d\\u00ff"), Cell::Bytes(vec![100, 255]));
}

#[test]
fn names_of_all_files_and_of_paths_are_not_taken() {
    let field = |name: &str| format!(r#"{{"name":"{name}","type":"int"}}"#);
    let names = ["timestamp", "value_timestamp", "Key", "User", "user", "DT", "error", "plain"];
    let of = schema(7, &names.map(field).join(","));
    let got: Vec<&str> = of.columns.columns().iter().map(|c| c.name.as_str()).collect();
    assert_eq!(
        got,
        [
            "value_value_timestamp",
            "value_timestamp",
            "value_Key",
            "User",
            "value_user",
            "value_DT",
            "value_error",
            "plain",
        ]
    );
}

#[test]
fn a_record_of_another_version_is_taken_if_nothing_of_it_is_lost() {
    let old = schema(1, r#"{"name":"n","type":"int"},{"name":"s","type":"string"}"#);
    let new = schema(
        2,
        r#"{"name":"x","type":"string","default":"d"},{"name":"n","type":"long"},
               {"name":"t","aliases":["s"],"type":["null","string"],"default":null},
               {"name":"y","type":["null","int"],"default":null},
               {"name":"z","type":{"type":"bytes","logicalType":"decimal","precision":4,
                "scale":1},"default":"\u0001\u0000"},
               {"name":"l","type":{"type":"array","items":"int"},"default":[1]}"#,
    );
    let taken = new.takes(&old).unwrap();
    let cells = old.cells(&[14, 2, b'q']).unwrap();
    assert_eq!(
        new.row((&old, &taken), cells, 0).unwrap(),
        [
            Cell::Text("d".into()),
            Cell::Int64(7),
            Cell::Text("q".into()),
            Cell::Null,
            Cell::Decimal(256),
            Cell::Text("[1]".into()),
        ]
    );
    assert_eq!(old.takes(&new), None, "x would be lost");
    let other = schema(3, r#"{"name":"n","type":"string"},{"name":"s","type":"string"}"#);
    assert_eq!(other.takes(&old), None, "a number is no text");
    let loses = schema(4, r#"{"name":"n","type":"double"}"#);
    assert_eq!(loses.takes(&old), None, "s would be lost");
    let old_name = schema(1, r#"{"name":"a","type":"int"},{"name":"c","type":"int"}"#);
    let twice = r#"{"name":"a","type":"int"},{"name":"b","type":"int","aliases":["a"]}"#;
    assert_eq!(schema(2, twice).takes(&old_name), None, "c would be lost, and a twice");
    let float = schema(5, r#"{"name":"n","type":"double"},{"name":"s","type":"string"}"#);
    let taken = float.takes(&old).unwrap();
    let row = float.row((&old, &taken), old.cells(&[13, 2, b'q']).unwrap(), 0).unwrap();
    assert_eq!(row, [Cell::Float64(-7.0), Cell::Text("q".into())]);
}

#[test]
fn what_has_no_columns_is_refused() {
    for (text, want) in [
        ("\"string\"", "not that of a record"),
        ("{", "not JSON"),
        (r#"{"type":"record","name":"r","fields":[{"name":"a","type":"x"}]}"#, "no type"),
    ] {
        let error = WriterSchema::avro(1, text, &[], Wanted::flat(&[])).unwrap_err();
        assert!(error.contains(want), "{text}: {error}");
    }
    let field = |n| format!(r#"{{"name":"f{n}","type":"int"}}"#);
    let fields: Vec<String> = (0..=1_000).map(field).collect();
    let text = format!(r#"{{"type":"record","name":"r","fields":[{}]}}"#, fields.join(","));
    let error = WriterSchema::avro(1, &text, &[], Wanted::flat(&[])).unwrap_err();
    assert!(error.contains("1000 are allowed"));
}
