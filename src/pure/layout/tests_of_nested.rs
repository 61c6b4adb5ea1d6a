//! Records, lists and maps of each language become nested columns.

use serde_json::{Map, Value, json};

use crate::pure::layout::cells::{Cell, ColumnType};
use crate::pure::layout::messages::Messages;
use crate::pure::layout::nested_reader::NestedReader;
use crate::pure::layout::nested_type::NestedType;
use crate::pure::layout::schema_fields::Wanted;
use crate::pure::layout::writer_schema::WriterSchema;

fn avro(id: u32, fields: &str) -> WriterSchema {
    let text = format!(r#"{{"type":"record","name":"a.Order","fields":[{fields}]}}"#);
    WriterSchema::avro(id, &text, &[], Wanted::nested(&[])).unwrap()
}

fn protobuf(id: u32, text: &str) -> std::sync::Arc<WriterSchema> {
    let text = format!("syntax = \"proto3\"; {text}");
    Messages::parse(id, &text, &[], Wanted::nested(&[])).unwrap().first().unwrap()
}

fn objects(id: u32, properties: &str) -> WriterSchema {
    let text = format!(r#"{{"title":"Order","type":"object","properties":{{{properties}}}}}"#);
    WriterSchema::json(id, &text, &[], Wanted::nested(&[])).unwrap()
}

/// A type in words.
fn said(of: &NestedType) -> String {
    match of {
        NestedType::Simple(kind) => kind.to_string(),
        NestedType::Struct(fields) => {
            let fields = fields.iter().map(|f| format!("{}: {}", f.name, said(&f.of)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        NestedType::List(of) => format!("[{}]", said(of)),
        NestedType::Map(of) => format!("<{}>", said(of)),
    }
}

fn columns(of: &WriterSchema) -> Vec<String> {
    let column = |c: &crate::pure::layout::columns::Column| match &c.nested {
        Some(nested) => format!("{} {}", c.name, said(nested)),
        None => format!("{} {}", c.name, c.kind),
    };
    of.columns.columns().iter().map(column).collect()
}

fn part(value: &mut NestedReader<'_>, of: &NestedType) -> Value {
    if let NestedType::Simple(kind) = of {
        return match value.cell(*kind).unwrap() {
            Cell::Null => Value::Null,
            Cell::Text(text) => json!(text),
            Cell::Boolean(value) => json!(value),
            Cell::Int32(value) | Cell::Date(value) => json!(value),
            Cell::Int64(value) | Cell::Micros(value) => json!(value),
            Cell::Float64(value) => json!(value.to_string()),
            Cell::Decimal(value) => json!(value.to_string()),
            Cell::Bytes(bytes) => json!(bytes),
            Cell::Nested(_) => unreachable!(),
        };
    }
    if !value.is_there().unwrap() {
        return Value::Null;
    }
    match of {
        NestedType::Simple(_) => unreachable!(),
        NestedType::Struct(fields) => {
            fields.iter().map(|f| (f.name.clone(), part(value, &f.of))).collect()
        }
        NestedType::List(of) => {
            let mut all = Vec::new();
            while !value.ends().unwrap() {
                all.push(part(value, of));
            }
            all.into()
        }
        NestedType::Map(of) => {
            let mut all = Map::new();
            while !value.ends().unwrap() {
                let key = value.key().unwrap().to_string();
                assert!(all.insert(key, part(value, of)).is_none(), "no key is there twice");
            }
            all.into()
        }
    }
}

/// The cells as JSON; nested ones to their last byte.
fn shown(of: &WriterSchema, cells: &[Cell<'_>]) -> Vec<Value> {
    let columns = of.columns.columns().iter().zip(cells);
    columns
        .map(|(column, cell)| match (cell, &column.nested) {
            (Cell::Nested(value), Some(of)) => {
                let mut rest = NestedReader::of(&value.bytes);
                let shown = part(&mut rest, of);
                assert_eq!(rest.ends(), None, "nothing is left");
                shown
            }
            (Cell::Null, _) => Value::Null,
            (Cell::Text(text), _) => json!(text),
            (Cell::Int32(value), _) => json!(value),
            (other, _) => panic!("{other:?}"),
        })
        .collect()
}

fn read(of: &WriterSchema, body: &[u8]) -> Result<Vec<Value>, String> {
    of.cells(body).map(|cells| shown(of, &cells))
}

const POINT: &str = r#"{"type":"record","name":"Point","fields":[
    {"name":"x","type":"int"},{"name":"y","type":["null","string"]}]}"#;

/// Each kind, as null, empty, and in each other.
#[test]
fn records_arrays_and_maps_of_avro_have_parts() {
    let of = avro(
        1,
        &format!(
            r#"{{"name":"p","type":{POINT}}},
            {{"name":"q","type":["null","Point"]}},
            {{"name":"l","type":{{"type":"array","items":["Point","null"]}}}},
            {{"name":"m","type":["null",{{"type":"map","values":{{"type":"array","items":"long"}}
             }}]}},
            {{"name":"n","type":"int"}}"#
        ),
    );
    assert_eq!(
        columns(&of),
        [
            "p {x: int32, y: string}",
            "q {x: int32, y: string}",
            "l [{x: int32, y: string}]",
            "m <[int64]>",
            "n int32"
        ]
    );
    let empty: &[u8] = &[2, 0, 0, 0, 0, 4];
    let nothing = [json!({"x": 1, "y": null}), Value::Null, json!([]), Value::Null, json!(2)];
    assert_eq!(read(&of, empty).unwrap(), nothing);
    let full: &[u8] = &[
        1, 2, 2, b'a', // p
        2, 4, 0, // q
        4, 0, 6, 0, 2, // l: a point and null
        1, 6, 0, 8, 2, 2, b'b', 0, // and a block with its size
        2, 3, 0, 2, b'k', 4, 1, 127, 0, 2, b'e', 0, // m, a block whose size is wrong
        0, 0,
    ];
    let full: Vec<u8> = [&full[..full.len() - 2], &[2, 2, b'k', 2, 9, 0, 0, 4]].concat();
    // The key k is there twice, and the last one counts.
    let m = json!({"k": [-5], "e": []});
    let want = [
        json!({"x": -1, "y": "a"}),
        json!({"x": 2, "y": null}),
        json!([{"x": 3, "y": null}, null, {"x": 4, "y": "b"}]),
        m,
        json!(2),
    ];
    let got = read(&of, &full);
    assert_eq!(got.unwrap(), want);
    for length in 0..full.len() {
        assert!(of.cells(&full[..length]).is_err(), "{length} bytes of {}", full.len());
    }
    let longer = [&full[..], &[0]].concat();
    assert!(of.cells(&longer).unwrap_err().contains("1 bytes are left"));
}

#[test]
fn values_of_avro_are_exact_however_deep_they_lie() {
    let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":38,"scale":2}"#;
    let of = avro(
        1,
        &format!(
            r#"{{"name":"p","type":{{"type":"record","name":"P","fields":[
            {{"name":"d","type":{decimal}}},
            {{"name":"b","type":"bytes"}},
            {{"name":"t","type":{{"type":"long","logicalType":"timestamp-millis"}}}},
            {{"name":"day","type":{{"type":"int","logicalType":"date"}}}},
            {{"name":"f","type":"double"}},
            {{"name":"l","type":"long"}},
            {{"name":"u","type":["null","int","string"]}},
            {{"name":"z","type":"null"}}]}}}}"#
        ),
    );
    let all = "p {d: decimal(38,2), b: bytes, t: timestamp_ms, day: date, f: float64, l: int64, \
               u: json, z: json}";
    assert_eq!(columns(&of), [all]);
    let long = |n: i64| {
        let (mut out, mut left) = (Vec::new(), ((n << 1) ^ (n >> 63)) as u64);
        while 0x7f < left {
            out.push(left as u8 | 0x80);
            left >>= 7;
        }
        out.push(left as u8);
        out
    };
    let most = (10_i128.pow(38) - 1).to_be_bytes();
    let value = |decimal: &[u8], time: i64| {
        [
            &long(decimal.len() as i64)[..],
            decimal,
            &[4, 0, 0xff],
            &long(time),
            &[1],
            &f64::NAN.to_le_bytes(),
            &long(i64::MIN),
            &[4, 2, b'x'],
        ]
        .concat()
    };
    let want = json!({
        "d": (10_i128.pow(38) - 1).to_string(), "b": [0, 255], "t": -1_000, "day": -1, "f": "NaN",
        "l": i64::MIN, "u": "\"x\"", "z": null
    });
    assert_eq!(read(&of, &value(&most, -1)).unwrap(), [want]);
    // Seventeen bytes of which the first says nothing.
    let longer = [&[0][..], &most].concat();
    assert!(read(&of, &value(&longer, -1)).is_ok());
    for (value, why) in [
        (value(&10_i128.pow(38).to_be_bytes(), 0), "field p: d: the number is not a decimal(38,2)"),
        (value(&most, i64::MAX), "field p: t: 9223372036854775807 is not a timestamp_ms"),
    ] {
        assert_eq!(read(&of, &value).unwrap_err(), why);
    }
}

#[test]
fn what_has_no_nested_type_is_json_text() {
    let of = avro(
        1,
        r#"{"name":"own","type":["null","Order"]},
        {"name":"none","type":{"type":"record","name":"E","fields":[]}},
        {"name":"either","type":["null","string",{"type":"array","items":"int"}]},
        {"name":"tree","type":{"type":"record","name":"T","fields":[
            {"name":"v","type":"int"},{"name":"next","type":["null","T"]},
            {"name":"all","type":{"type":"array","items":"T"}},
            {"name":"e","type":"E"}]}}"#,
    );
    assert_eq!(
        columns(&of),
        [
            "own json",
            "none json",
            "either json",
            "tree {v: int32, next: json, all: [json], e: json}"
        ]
    );
    let body = [&[0, 2, 2, b's'][..], &[2, 2, 4, 0, 0, 2, 6, 0, 0, 0]].concat();
    let tree = json!({"v": 1, "next": "{\"v\":2,\"next\":null,\"all\":[],\"e\":{}}",
        "all": ["{\"v\":3,\"next\":null,\"all\":[],\"e\":{}}"], "e": "{}"});
    assert_eq!(read(&of, &body).unwrap()[3], tree);
    let deep =
        (0..40).fold("\"int\"".to_string(), |of, _| format!(r#"{{"type":"array","items":{of}}}"#));
    let of = avro(1, &format!(r#"{{"name":"d","type":{deep}}}"#));
    let want = format!("d {}json{}", "[".repeat(16), "]".repeat(16));
    assert_eq!(columns(&of), [want]);
    // Two types of a thousand fields, of which one alone can be columns.
    let wide = |name: &str| {
        let field = |n| format!(r#"{{"name":"f{n}","type":"int"}}"#);
        let fields: Vec<String> = (0..600).map(field).collect();
        let fields = fields.join(",");
        format!(
            r#"{{"name":"{name}","type":{{"type":"record","name":"{name}","fields":[{fields}]}}}}"#
        )
    };
    let of = avro(1, &[wide("a"), wide("b")].join(","));
    let kinds: Vec<ColumnType> = of.columns.columns().iter().map(|c| c.kind).collect();
    assert_eq!(kinds, [ColumnType::Nested, ColumnType::Json]);
    // Each type has the one before twice: a million parts in a few lines.
    let twice = (1..40).fold(r#"{"type":"record","name":"R0","fields":[]}"#.into(), |of, n| {
        format!(
            r#"{{"type":"record","name":"R{n}","fields":[{{"name":"a","type":{of}}},
            {{"name":"b","type":"R{}"}}]}}"#,
            n - 1
        )
    });
    let of = avro(1, &format!(r#"{{"name":"d","type":{twice}}}"#));
    assert_eq!(columns(&of), ["d json"]);
}

#[test]
fn parts_without_bytes_are_bounded() {
    let of = avro(1, r#"{"name":"a","type":{"type":"array","items":"null"}}"#);
    assert_eq!(columns(&of), ["a [json]"]);
    let billion = [0x80, 0xa8, 0xd6, 0xb9, 7, 0];
    assert!(of.cells(&billion).unwrap_err().contains("too long in columns"));
    let fields: Vec<String> = (1..=900).map(|n| format!("optional int32 f{n} = {n};")).collect();
    let text = format!("message M {{ repeated W w = 1; }} message W {{ {} }}", fields.join(" "));
    let of = protobuf(1, &text);
    let list = |n: usize| [0x0a, 0].repeat(n);
    assert!(of.cells(&list(10)).is_ok());
    assert!(of.cells(&list(1_000)).unwrap_err().contains("too long in columns"));
}

#[test]
fn messages_lists_and_maps_of_protobuf_have_parts() {
    let of = protobuf(
        1,
        r#"import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto";
        import "google/protobuf/struct.proto";
        message M { P p = 1; repeated P l = 2; map<sint32, P> m = 3; repeated int32 n = 4;
          repeated google.protobuf.Timestamp t = 5; map<string, google.protobuf.Int64Value> w = 6;
          repeated google.protobuf.Value v = 7; M own = 8; Empty e = 9; }
        message P { int32 x = 1; optional string y = 2; repeated uint64 z = 3; P p = 4;
          google.protobuf.Timestamp at = 5; oneof o { bool c = 6; bytes b = 7; } }
        message Empty {}"#,
    );
    let point = "{x: int32, y: string, z: [decimal(20,0)], p: json, at: timestamp_us, c: boolean, \
                 b: bytes}";
    assert_eq!(
        columns(&of),
        [
            format!("p {point}"),
            format!("l [{point}]"),
            format!("m <{point}>"),
            "n [int32]".into(),
            "t [timestamp_us]".into(),
            "w <int64>".into(),
            "v [json]".into(),
            "own json".into(),
            "e json".into(),
        ]
    );
    let empty = json!({"x": 0, "y": null, "z": [], "p": null, "at": null, "c": null, "b": null});
    let got = read(&of, &[]).unwrap();
    let nothing = [
        Value::Null,
        json!([]),
        json!({}),
        json!([]),
        json!([]),
        json!({}),
        json!([]),
        Value::Null,
        Value::Null,
    ];
    assert_eq!(got, nothing);
    let body: &[u8] = b"\x0a\x02\x08\x07\x0a\x03\x12\x01a\x12\x00\x12\x02\x30\x01\
        \x1a\x04\x08\x03\x12\x00\x1a\x00\x1a\x06\x08\x03\x12\x02\x08\x05\x20\x01\x22\x02\x02\x03\
        \x20\x04\x2a\x04\x08\x01\x10\x01\x2a\x00\x32\x07\x0a\x01k\x12\x02\x08\x02\x32\x03\x0a\x01j\
        \x3a\x02\x20\x01";
    let with = |more: Value| {
        let mut all = empty.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let want = [
        // Its two pieces are one message.
        with(json!({"x": 7, "y": "a"})),
        json!([empty, with(json!({"c": true}))]),
        json!({"-2": with(json!({"x": 5})), "0": empty}),
        json!([1, 2, 3, 4]),
        json!([1_000_000, 0]),
        json!({"k": 2, "j": 0}),
        json!(["true"]),
        Value::Null,
        Value::Null,
    ];
    assert_eq!(read(&of, body).unwrap(), want);
    assert!(of.cells(&body[..body.len() - 1]).is_err());
    let inner = b"\x12\x08\x2a\x06\x10\xff\xff\xff\xff\x07";
    assert!(of.cells(inner).unwrap_err().starts_with("field l: at: "), "a time of no nanoseconds");
}

#[test]
fn objects_and_arrays_of_json_have_parts() {
    let of = objects(
        1,
        r##""p":{"oneOf":[{"type":"null"},{"type":"object","properties":{
            "x":{"type":"integer"},"größe":{"type":"string","connect.index":1},
            "at":{"type":"string","format":"date-time"}}}]},
        "l":{"type":["array","null"],"items":{"$ref":"#/properties/p"}},
        "m":{"type":"object","additionalProperties":{"type":"array","items":{"type":"number"}}},
        "any":{"type":"array"},"open":{"type":"object"},
        "both":{"type":"object","properties":{"a":{"type":"integer"}},
            "additionalProperties":{"type":"string"}},
        "tuple":{"type":"array","items":[{"type":"integer"}]},
        "own":{"type":"array","items":{"$ref":"#"}}"##,
    );
    let point = "{gr__e: string, at: timestamp, x: int64}";
    assert_eq!(
        columns(&of),
        [
            "any json".to_string(),
            "both json".into(),
            format!("l [{point}]"),
            "m <[float64]>".into(),
            "open json".into(),
            "own [json]".into(),
            format!("p {point}"),
            "tuple json".into(),
        ]
    );
    let body = r#"{"p":{"x":9223372036854775807,"größe":"a\n","more":[1],"x":-1},
        "l":[null,{},{"at":"1970-01-01T00:00:01Z"}],"m":{"k":[1],"ä":null,"k":[ 2.5 , null]},
        "own":[{"a": 1}],"any":[ 1 ]}"#;
    let got = read(&of, body.as_bytes()).unwrap();
    let nothing = json!({"gr__e": null, "at": null, "x": null});
    let want = [
        json!("[1]"),
        Value::Null,
        json!([null, nothing, {"gr__e": null, "at": 1_000_000, "x": null}]),
        json!({"k": ["2.5", null], "ä": null}),
        Value::Null,
        json!(["{\"a\":1}"]),
        json!({"gr__e": "a\n", "at": null, "x": -1}),
        Value::Null,
    ];
    assert_eq!(got, want);
    assert_eq!(
        read(&of, b"{\"p\":null,\"m\":{}}").unwrap()[3..7],
        [json!({}), Value::Null, Value::Null, Value::Null]
    );
    for (value, why) in [
        (r#"{"p":[]}"#, "field p: the value is not an object"),
        (r#"{"l":{}}"#, "field l: the value is not an array"),
        (r#"{"p":{"x":1.5}}"#, "field p: x: 1.5 is not a int64"),
        (r#"{"l":[1]}"#, "field l: the value is not an object"),
        (r#"{"m":{"k":["1"]}}"#, "field m: \"1\" is not a float64"),
    ] {
        assert_eq!(of.cells(value.as_bytes()).unwrap_err(), why);
    }
}

#[test]
fn a_nested_value_of_another_version_is_taken_if_nothing_of_it_is_lost() {
    let old = avro(
        1,
        r#"{"name":"l","type":{"type":"array","items":{"type":"record","name":"P",
        "fields":[{"name":"x","type":"int"},{"name":"y","type":{"type":"map","values":"int"}}]}}}"#,
    );
    let new = avro(
        2,
        r#"{"name":"l","type":["null",{"type":"array","items":{"type":"record",
        "name":"P","fields":[{"name":"n","type":["null",{"type":"array","items":"int"}]},
        {"name":"z","aliases":["y"],"type":{"type":"map","values":"double"}},
        {"name":"x","type":"long"}]}}]},
        {"name":"m","type":{"type":"map","values":"int"},"default":{}},
        {"name":"s","type":{"type":"record","name":"S","fields":[{"name":"a","type":"int"}]}}"#,
    );
    assert_eq!(old.takes(&new), None, "n would be lost");
    let taken = new.takes(&old).unwrap();
    let body = [4, 13, 2, 2, b'k', 14, 0, 16, 0, 0];
    let row = new.row((&old, &taken), old.cells(&body).unwrap(), body.len()).unwrap();
    let want = [
        json!([{"n": null, "z": {"k": "7"}, "x": -7}, {"n": null, "z": {}, "x": 8}]),
        json!({}),
        Value::Null,
    ];
    assert_eq!(shown(&new, &row), want);
    let text = avro(3, r#"{"name":"l","type":["null","string","int"]}"#);
    assert_eq!(text.takes(&old), None, "a list is no text");

    // A field of Protobuf is known by its number, in messages, too.
    let old = protobuf(1, "message M { repeated P l = 1; } message P { int32 x = 1; }");
    let new = protobuf(
        2,
        "message M { repeated P l = 1; map<string, int32> m = 2; }
         message P { string s = 2; int64 renamed = 1; }",
    );
    let taken = new.takes(&old).unwrap();
    let body = [0x0a, 2, 8, 5, 0x0a, 0];
    let row = new.row((&old, &taken), old.cells(&body).unwrap(), body.len()).unwrap();
    let want = [json!([{"renamed": 5, "s": null}, {"renamed": 0, "s": null}]), json!({})];
    assert_eq!(shown(&new, &row), want);

    let old = objects(1, r#""p":{"type":"object","properties":{"x":{"type":"integer"}}}"#);
    let new = objects(
        2,
        r#""p":{"type":"object","properties":{"x":{"type":"integer"},
        "a":{"type":"array","items":{"type":"string"}}}}"#,
    );
    let taken = new.takes(&old).unwrap();
    let row = new.row((&old, &taken), old.cells(b"{\"p\":{\"x\":5}}").unwrap(), 13).unwrap();
    assert_eq!(shown(&new, &row), [json!({"a": null, "x": 5})]);
}
