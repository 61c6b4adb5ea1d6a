//! Messages of Protobuf become rows.

use std::sync::Arc;

use crate::pure::layout::cells::Cell;
use crate::pure::layout::frame::Framed;
use crate::pure::layout::messages::Messages;
use crate::pure::layout::schema_fields::Wanted;
use crate::pure::layout::writer_schema::WriterSchema;
use crate::pure::protobuf::schema::Import;

fn messages(id: u32, text: &str) -> Messages {
    let text = format!("syntax = \"proto3\"; {text}");
    Messages::parse(id, &text, &[], Wanted::flat(&["dt".into()])).unwrap()
}

fn first(text: &str) -> Arc<WriterSchema> {
    messages(7, text).first().unwrap()
}

fn columns(of: &WriterSchema) -> Vec<String> {
    of.columns.columns().iter().map(|c| format!("{} {}", c.name, c.kind)).collect()
}

fn text(text: &str) -> Cell<'_> {
    Cell::Text(text.into())
}

/// A field of a length, and what it has.
fn sized(tag: u8, bytes: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
}

/// The examples of the page "Encoding" of Protobuf's own documentation.
#[test]
fn the_examples_of_the_documentation_are_read() {
    let of = first(
        "message Test1 { optional int32 a = 1; optional string b = 2; Test1 c = 3;
         string d = 4; repeated int32 e = 5; repeated int32 f = 6; }",
    );
    let cells = |bytes: &[&[u8]]| {
        let bytes = bytes.concat();
        let cells = of.cells(&bytes).unwrap();
        cells.into_iter().map(super::schema_fields::owned).collect::<Vec<Cell<'static>>>()
    };
    let empty = [Cell::Null, Cell::Null, Cell::Null, text(""), text("[]"), text("[]")]
        .map(super::schema_fields::owned);
    assert_eq!(cells(&[]), empty);
    assert_eq!(cells(&[&[0x08, 0x96, 0x01]])[0], Cell::Int32(150));
    assert_eq!(cells(&[b"\x12\x07testing"])[1], text("testing"));
    assert_eq!(cells(&[&[0x1a, 0x03, 0x08, 0x96, 0x01]])[2], text(r#"{"a":150}"#));
    let all: &[u8] = b"\x22\x05hello\x28\x01\x28\x02\x28\x03";
    assert_eq!(cells(&[all])[3..5], [text("hello"), text("[1,2,3]")]);
    let packed = b"\x32\x06\x03\x8e\x02\x9e\xa7\x05";
    assert_eq!(cells(&[packed])[5], text("[3,270,86942]"));
    assert_eq!(cells(&[packed, &[0x30, 5], packed])[5], text("[3,270,86942,5,3,270,86942]"));
}

/// A field, its column, its bytes, its cell, and that of a message without the field.
type Row<'a> = (&'a str, &'a str, Vec<u8>, Cell<'a>, Cell<'a>);

const DEFINED: &str = "enum Kind { NONE = 0; SOME = 1; } message Inner { int64 n = 1; }";
const IMPORTS: &str = "import \"google/protobuf/timestamp.proto\";
    import \"google/protobuf/wrappers.proto\"; import \"google/protobuf/duration.proto\";
    import \"google/protobuf/struct.proto\"; import \"google/type/date.proto\";";

fn check((declared, kind, bytes, want, without): &Row<'_>) {
    let of = first(&format!("{IMPORTS} message M {{ {declared}; }} {DEFINED}"));
    assert_eq!(columns(&of), [format!("x {kind}")], "{declared}");
    assert_eq!(of.cells(&[]).unwrap(), std::slice::from_ref(without), "{declared}");
    assert_eq!(of.cells(bytes).unwrap(), std::slice::from_ref(want), "{declared}");
}

/// One type a line: its column, a value, and what a message without the field has.
#[test]
fn fields_are_columns_of_their_types() {
    let double = [&[9][..], &1.5_f64.to_le_bytes()].concat();
    let float = [&[13][..], &1.5_f32.to_le_bytes()].concat();
    let max = [&[8][..], &[0xff; 9], &[1]].concat();
    let fixed = |tag: u8, length: usize| [&[tag][..], &vec![0xff; length]].concat();
    let rows: Vec<Row<'_>> = vec![
        ("double x = 1", "float64", double.clone(), Cell::Float64(1.5), Cell::Float64(0.0)),
        ("float x = 1", "float64", float, Cell::Float64(1.5), Cell::Float64(0.0)),
        ("int32 x = 1", "int32", max.clone(), Cell::Int32(-1), Cell::Int32(0)),
        ("int64 x = 1", "int64", max.clone(), Cell::Int64(-1), Cell::Int64(0)),
        ("uint32 x = 1", "int64", max.clone(), Cell::Int64(u32::MAX.into()), Cell::Int64(0)),
        ("uint64 x = 1", "decimal(20,0)", max, Cell::Decimal(u64::MAX.into()), Cell::Decimal(0)),
        ("sint32 x = 1", "int32", vec![8, 13], Cell::Int32(-7), Cell::Int32(0)),
        ("sint64 x = 1", "int64", vec![8, 13], Cell::Int64(-7), Cell::Int64(0)),
        ("fixed32 x = 1", "int64", fixed(13, 4), Cell::Int64(u32::MAX.into()), Cell::Int64(0)),
        (
            "fixed64 x = 1",
            "decimal(20,0)",
            fixed(9, 8),
            Cell::Decimal(u64::MAX.into()),
            Cell::Decimal(0),
        ),
        ("sfixed32 x = 1", "int32", fixed(13, 4), Cell::Int32(-1), Cell::Int32(0)),
        ("sfixed64 x = 1", "int64", fixed(9, 8), Cell::Int64(-1), Cell::Int64(0)),
        ("bool x = 1", "boolean", vec![8, 1], Cell::Boolean(true), Cell::Boolean(false)),
        ("string x = 1", "string", sized(10, b"a"), text("a"), text("")),
        ("bytes x = 1", "bytes", sized(10, &[255]), Cell::Bytes(vec![255]), Cell::Bytes(vec![])),
        ("Kind x = 1", "string", vec![8, 1], text("SOME"), text("NONE")),
        ("Kind x = 1", "string", vec![8, 9], text("9"), text("NONE")),
        ("optional int32 x = 1", "int32", vec![8, 0], Cell::Int32(0), Cell::Null),
        ("oneof o { int32 x = 1; }", "int32", vec![8, 0], Cell::Int32(0), Cell::Null),
    ];
    rows.iter().for_each(check);
}

/// As above.
#[test]
fn messages_and_lists_are_columns() {
    let rows: Vec<Row<'_>> = vec![
        ("Inner x = 1", "json", sized(10, &[8, 5]), text("{\"n\":5}"), Cell::Null),
        ("repeated Inner x = 1", "json", sized(10, &[8, 5]), text("[{\"n\":5}]"), text("[]")),
        ("repeated string x = 1", "json", sized(10, b"a"), text("[\"a\"]"), text("[]")),
        (
            "map<string, Inner> x = 1",
            "json",
            sized(10, &[10, 1, b'k', 18, 2, 8, 5]),
            text("{\"k\":{\"n\":5}}"),
            text("{}"),
        ),
        // Of two values of one key the last one counts.
        (
            "map<string, int32> x = 1",
            "json",
            [
                sized(10, &[10, 1, b'k', 16, 5]),
                sized(10, &[10, 1, b'j', 16, 1]),
                sized(10, &[16, 6, 10, 1, b'k']),
            ]
            .concat(),
            text("{\"k\":6,\"j\":1}"),
            text("{}"),
        ),
        ("map<int32, Inner> x = 1", "json", sized(10, &[8, 3]), text("{\"3\":{}}"), text("{}")),
        ("map<bool, int32> x = 1", "json", sized(10, &[]), text("{\"false\":0}"), text("{}")),
        (
            "google.protobuf.Timestamp x = 1",
            "timestamp_us",
            sized(10, &[8, 1, 16, 0xe8, 7]),
            Cell::Micros(1_000_001),
            Cell::Null,
        ),
        (
            "google.protobuf.Int64Value x = 1",
            "int64",
            sized(10, &[8, 5]),
            Cell::Int64(5),
            Cell::Null,
        ),
        ("google.protobuf.StringValue x = 1", "string", sized(10, &[]), text(""), Cell::Null),
        (
            "google.protobuf.Duration x = 1",
            "json",
            sized(10, &[8, 1, 16, 0x80, 0xca, 0xb5, 0xee, 1]),
            text("\"1.5s\""),
            Cell::Null,
        ),
        (
            "google.type.Date x = 1",
            "date",
            sized(10, &[8, 0xb2, 15, 16, 1, 24, 2]),
            Cell::Date(1),
            Cell::Null,
        ),
    ];
    rows.iter().for_each(check);
}

/// Values of JSON as messages are that JSON again.
#[test]
fn json_in_messages_is_json() {
    let of = first(
        "import \"google/protobuf/struct.proto\"; message M {
        google.protobuf.Struct s = 1; google.protobuf.Value v = 2;
        google.protobuf.ListValue l = 3; }",
    );
    let number = [&[17][..], &2.5_f64.to_le_bytes()].concat();
    let yes = [32, 1];
    let null = [8, 0];
    let entry = |value: &[u8]| sized(10, &[&sized(10, b"k")[..], &sized(18, value)].concat());
    let list = [sized(10, &number), sized(10, &yes), sized(10, &null), sized(10, &[])].concat();
    let body =
        [sized(10, &entry(&number)), sized(18, &sized(50, &list)), sized(26, &list)].concat();
    let list = "[2.5,true,null,null]";
    assert_eq!(of.cells(&body).unwrap(), [text("{\"k\":2.5}"), text(list), text(list)]);
}

#[test]
fn values_are_merged_as_readers_merge_them() {
    let of = first(
        "message Inner { int32 a = 1; int32 b = 2; repeated int32 c = 3; }
         message Outer { int32 n = 1; Inner m = 2;
           oneof o { int32 x = 3; string y = 4; Inner z = 5; } }",
    );
    // The first message of the file is Inner.
    assert_eq!(of.name, "Inner");
    let all = messages(
        1,
        "message Inner { int32 a = 1; int32 b = 2; repeated int32 c = 3; }
         message Outer { int32 n = 1; Inner m = 2;
           oneof o { int32 x = 3; string y = 4; Inner z = 5; } }",
    );
    let of = all.by_name("Outer").unwrap().unwrap();
    let (one, two) = (sized(18, &[8, 1, 24, 7]), sized(18, &[16, 2, 24, 8]));
    let bytes = [&[8, 1][..], &one, &[8, 2], &two].concat();
    let merged = text("{\"a\":1,\"b\":2,\"c\":[7,8]}");
    let nothing = [Cell::Null, Cell::Null, Cell::Null];
    assert_eq!(of.cells(&bytes).unwrap(), [&[Cell::Int32(2), merged][..], &nothing].concat());
    // Of a oneof the last field counts, and what it had before another one was set does not.
    let z = |bytes: &[u8]| sized(42, bytes);
    let bytes = [z(&[8, 1]), vec![24, 5], z(&[16, 2]), z(&[24, 3])].concat();
    let cells = of.cells(&bytes).unwrap();
    assert_eq!(cells[2..], [Cell::Null, Cell::Null, text("{\"b\":2,\"c\":[3]}")]);
    // A field that is not known, and one of another wire type, are left out.
    let bytes = [&[8, 1, 0x78, 5, 13, 1, 2, 3, 4][..], &sized(0x7a, b"??")].concat();
    assert_eq!(of.cells(&bytes).unwrap()[0], Cell::Int32(1));
}

#[test]
fn proto2_has_groups_and_required_fields() {
    let text_of =
        "syntax = \"proto2\"; message M { required int32 r = 1; optional int32 d = 2 [default = 5];
        repeated group G = 3 { optional int32 a = 4; } repeated int32 p = 5 [packed = true]; }";
    let messages = Messages::parse(1, text_of, &[], Wanted::flat(&[])).unwrap();
    let of = messages.first().unwrap();
    let group = [0x1b, 0x20, 6, 0x1c];
    let bytes = [&[8, 1][..], &group, &[0x1b, 0x1c], &sized(42, &[1, 2])].concat();
    assert_eq!(
        of.cells(&bytes).unwrap(),
        [Cell::Int32(1), Cell::Null, text("[{\"a\":6},{}]"), text("[1,2]")]
    );
    let error = of.cells(&[16, 1]).unwrap_err();
    assert!(error.contains("field r: it is required, and is missing"), "{error}");
}

#[test]
fn broken_messages_are_refused() {
    let of = first(
        "message M { int32 n = 1; string s = 2; M m = 3; repeated M l = 4;
         repeated fixed64 f = 5; repeated bool b = 6; }",
    );
    let deep = |n: usize| {
        let mut bytes = Vec::new();
        for _ in 0..n {
            let length = u16::try_from(bytes.len()).unwrap();
            let [low, high] = [(length & 0x7f) as u8 | 0x80, (length >> 7) as u8];
            bytes = [&[26, low, high][..], &bytes].concat();
        }
        bytes
    };
    assert!(of.cells(&deep(60)).is_ok());
    for (bytes, want) in [
        (vec![8], "too early"),
        ([&[8][..], &[0xff; 11]].concat(), "more than ten bytes"),
        (vec![18, 200, 1, 0], "too early"),
        (sized(18, &[0xff]), "field s: a string is not UTF-8"),
        (vec![0, 1], "number 0"),
        (vec![0x0e, 1], "wire type 6"),
        (vec![0x0c], "group 1 ends"),
        (vec![0x0b, 0x14], "group 2 ends"),
        (vec![0x0b; 100], "groups lie more than 64 deep"),
        (vec![0x0b, 8, 1], "too early"),
        (deep(100), "more than 64 deep"),
        (sized(42, &[1; 9]), "field f: the message ends too early"),
        (sized(26, &[8]), "field m: the message ends too early"),
    ] {
        let error = of.cells(&bytes).unwrap_err();
        assert!(error.contains(want), "{bytes:?}: {error}");
    }
    // Two bytes of a message are ten of JSON, whose number is bounded.
    let long = "x".repeat(100);
    let of = first(&format!("message M {{ repeated N n = 1; }} message N {{ bool {long} = 1; }}"));
    let bytes = sized(10, &[8, 1]).repeat(100_000);
    assert!(of.cells(&bytes[..4 * 100]).is_ok());
    let of_empty = first("message M { repeated N n = 1; } message N { }");
    assert!(of_empty.cells(&sized(10, &[]).repeat(100_000)).is_ok());
    // Four bytes of a message are a hundred of JSON, though no field in it is a simple one.
    let of = first(&format!(
        "message M {{ repeated N n = 1; }} message N {{ E {long} = 1; }} message E {{ }}"
    ));
    let bytes = sized(10, &[10, 0]).repeat(400_000);
    assert!(of.cells(&bytes[..4 * 100]).is_ok());
    assert!(of.cells(&bytes).unwrap_err().contains("too long as JSON"));
    let name = "V".repeat(120);
    let of = first(&format!("message M {{ repeated E e = 1; }} enum E {{ {name} = 0; }}"));
    let bytes = [&[10, 0xa0, 0x8d, 6][..], &[0; 100_000]].concat();
    assert!(of.cells(&bytes).unwrap_err().contains("too long as JSON"));
}

#[test]
fn a_record_names_its_message() {
    let all = messages(
        3,
        "message A { message B { int32 b = 1; } int32 a = 1; } message C { int32 c = 1; }",
    );
    for (prefix, want) in [(&[0][..], "a"), (&[2, 0], "a"), (&[2, 2], "c"), (&[4, 0, 0], "b")] {
        let body = [prefix, &[8, 7]].concat();
        let framed = |body, behind| Framed { id: 3, body, behind };
        let (writer, left) = all.find(&framed(&body, &[])).unwrap();
        assert_eq!((writer.columns.columns()[0].name.as_str(), left), (want, &[8, 7][..]));
        let (in_header, left) = all.find(&framed(&[8, 7], prefix)).unwrap();
        assert!(Arc::ptr_eq(&in_header, &writer) && left == [8, 7]);
    }
    for (bytes, want) in [
        (&[][..], "end too early"),
        (&[2, 8], "has no message [4]"),
        (&[2, 1], "has index -1"),
        (&[1], "has -1 indexes"),
        (&[0xfe, 0xff, 3], "indexes; 64 are allowed"),
        (&[4, 0], "end too early"),
    ] {
        let error = all.find(&Framed { id: 3, body: bytes, behind: &[] }).unwrap_err();
        assert!(error.contains(want), "{bytes:?}: {error}");
    }
    let error = all.find(&Framed { id: 3, body: &[], behind: &[0, 0] }).unwrap_err();
    assert!(error.contains("1 bytes behind the indexes"), "{error}");
}

#[test]
fn another_version_is_taken_by_the_numbers_of_its_fields() {
    let old = messages(1, "message M { int32 n = 1; string s = 2; }").first().unwrap();
    let new = "message M { int64 n = 1; string renamed = 2; int32 more = 3;
        optional int32 o = 4; repeated int32 l = 5; }";
    let new = messages(2, new).first().unwrap();
    let taken = new.takes(&old).unwrap();
    let cells = old.cells(&[8, 7, 18, 1, b'q']).unwrap();
    assert_eq!(
        new.row((&old, &taken), cells, 0).unwrap(),
        [Cell::Int64(7), text("q"), Cell::Int32(0), Cell::Null, text("[]")]
    );
    assert_eq!(old.takes(&new), None, "fields would be lost");
    let reused = messages(3, "message M { string n = 1; string s = 2; }").first().unwrap();
    assert_eq!(reused.takes(&old), None, "a number is no text");
    let avro = r#"{"type":"record","name":"M","fields":[]}"#;
    let avro = WriterSchema::avro(4, avro, &[], Wanted::flat(&[])).unwrap();
    let none = messages(5, "message M { }").first().unwrap();
    assert_eq!(avro.takes(&none), None, "another language");
}

#[test]
fn imports_and_names() {
    let import = Import {
        name: "x/y.proto",
        text: "syntax = \"proto3\"; package p; message Y { int32 timestamp = 1; }",
    };
    let text =
        "syntax = \"proto3\"; import \"x/y.proto\"; message M { p.Y timestamp = 1; int32 dt = 2; }";
    let reserved = ["dt".into()];
    let of = Messages::parse(1, text, &[import], Wanted::flat(&reserved)).unwrap();
    let of = of.first().unwrap();
    assert_eq!(columns(&of), ["value_timestamp json", "value_dt int32"]);
    assert!(Messages::parse(1, text, &[], Wanted::flat(&[])).unwrap_err().contains("x/y.proto"));
    let none = Messages::parse(1, "syntax = \"proto3\"; enum E { A = 0; }", &[], Wanted::flat(&[]));
    assert!(none.unwrap_err().contains("no message"));
    let fields: Vec<String> = (1..=1_001).map(|n| format!("int32 f{n} = {n};")).collect();
    let many = messages(1, &format!("message M {{ {} }}", fields.join(" ")));
    assert!(many.first().unwrap_err().contains("1000 are allowed"));
    assert!(many.by_name("M").unwrap().unwrap_err().contains("1000 are allowed"));
    assert!(many.by_name("N").is_none());
}

/// The bytes are those of Protobuf's own library for Python (7.36.2), with protoc (grpcio-tools
/// 1.85.1).
#[test]
fn what_another_writer_has_written_is_read() {
    const BYTES: &str = "0a0275331099031a100a0345555210e7fcffffffffffffff01220e0a016210ffffffffff\
        ffffffff0122060a0161109903300038e6fcffffffffffffff0140014a0c08c6c08cd80610c0b083c30152\
        01745203c3a4225a00650000003f7a060a017810b106";
    let money = Import {
        name: "shop/money.proto",
        text: "syntax = \"proto3\"; package shop;
               message Money { string currency = 1; int64 units = 2; }",
    };
    let schema = "syntax = \"proto3\"; package shop; import \"shop/money.proto\";
        import \"google/protobuf/timestamp.proto\"; import \"google/protobuf/wrappers.proto\";
        message Order {
          message Line { string sku = 1; sint32 change = 2; }
          string user = 1; int64 n = 2; Money price = 3; map<string, int64> counts = 4;
          oneof how { string card = 5; bool cash = 6; }
          uint64 big = 7; Kind kind = 8; google.protobuf.Timestamp at = 9;
          repeated string tags = 10; google.protobuf.StringValue note = 11;
          optional float ratio = 12; repeated Line lines = 15;
        }
        enum Kind { NEW = 0; OLD = 1; }";
    let of = Messages::parse(1, schema, &[money], Wanted::flat(&[])).unwrap().first().unwrap();
    let byte = |at: usize| u8::from_str_radix(&BYTES[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..BYTES.len()).step_by(2).map(byte).collect();
    assert_eq!(
        of.cells(&bytes).unwrap(),
        [
            text("u3"),
            Cell::Int64(409),
            text("{\"currency\":\"EUR\",\"units\":-409}"),
            text("{\"b\":-1,\"a\":409}"),
            Cell::Null,
            Cell::Boolean(false),
            Cell::Decimal(i128::from(u64::MAX) - 409),
            text("OLD"),
            Cell::Micros(1_795_366_982_409_000),
            text("[\"t\",\"ä\\\"\"]"),
            text(""),
            Cell::Float64(0.5),
            text("[{\"sku\":\"x\",\"change\":-409}]"),
        ]
    );
    for length in 0..bytes.len() {
        // What is cut between two fields is a message.
        let _ = of.cells(&bytes[..length]);
    }
}

/// The bound on brackets protects the compiler's stack, and comments need none of it.
#[test]
fn signs_in_comments_are_no_brackets_and_hide_none() {
    let parse = |text: &str| {
        let text = format!("syntax = \"proto3\"; {text}");
        Messages::parse(1, &text, &[], Wanted::flat(&[])).map(|_| ())
    };
    let line = |n: u32| format!("int32 a{n} = {n}; // less than (<) what comes next is 1 <\n");
    let fields: String = (1..=150).map(line).collect();
    assert_eq!(parse(&format!("message M {{\n {fields} }}")), Ok(()));
    let deep = format!("{}{}", "message A {".repeat(200), "}".repeat(200));
    for before in ["", "option java_package = \"//\"; ", "/*\n// */ ", "// <\n"] {
        let error = parse(&format!("{before}{deep}")).unwrap_err();
        assert!(error.contains("deep in each other"), "{before}: {error}");
    }
}
