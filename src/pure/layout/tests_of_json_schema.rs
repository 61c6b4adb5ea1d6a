//! JSON objects with a JSON Schema become rows.

use crate::pure::json_schema::Referred;
use crate::pure::layout::cells::Cell;
use crate::pure::layout::schema_fields::Wanted;
use crate::pure::layout::writer_schema::WriterSchema;

fn schema(id: u32, properties: &str) -> WriterSchema {
    let text = format!(r#"{{"title":"Order","type":"object","properties":{{{properties}}}}}"#);
    WriterSchema::json(id, &text, &[], Wanted::flat(&["dt".into()])).unwrap()
}

fn columns(of: &WriterSchema) -> Vec<String> {
    of.columns.columns().iter().map(|c| format!("{} {}", c.name, c.kind)).collect()
}

fn text(text: &str) -> Cell<'_> {
    Cell::Text(text.into())
}

const LOGICAL: &str = "org.apache.kafka.connect.data";

/// One type a line: its column, a value, its cell, and a value that does not fit.
#[test]
fn properties_are_columns_of_their_types() {
    let decimal = format!(
        r#"{{"type":"number","title":"{LOGICAL}.Decimal","connect.type":"bytes",
            "connect.parameters":{{"scale":"2","connect.decimal.precision":"9"}}}}"#
    );
    let time = format!(r#"{{"type":"integer","title":"{LOGICAL}.Timestamp"}}"#);
    let date = format!(r#"{{"type":"integer","title":"{LOGICAL}.Date"}}"#);
    for (declared, kind, json, want, unfit) in [
        (r#"{"type":"string"}"#, "string", "\"a\\n\"", text("a\n"), "1"),
        (r#"{"type":"boolean"}"#, "boolean", "true", Cell::Boolean(true), "0"),
        (r#"{"type":"integer"}"#, "int64", "-9223372036854775808", Cell::Int64(i64::MIN), "1.5"),
        (r#"{"type":"integer"}"#, "int64", "1", Cell::Int64(1), "9223372036854775808"),
        (r#"{"type":"integer","connect.type":"int16"}"#, "int32", "7", Cell::Int32(7), "\"7\""),
        (r#"{"type":"number"}"#, "float64", "1.5e3", Cell::Float64(1_500.0), "\"1\""),
        (
            r#"{"type":"string","connect.type":"bytes"}"#,
            "bytes",
            "\"/w==\"",
            Cell::Bytes(vec![255]),
            "\"?\"",
        ),
        (r#"{"type":"string","format":"date"}"#, "date", "\"1970-01-02\"", Cell::Date(1), "1"),
        (
            r#"{"type":"string","format":"date-time"}"#,
            "timestamp",
            "\"1970-01-01T00:00:00.5Z\"",
            Cell::Micros(500_000),
            "\"yesterday\"",
        ),
        (&time, "timestamp_ms", "5", Cell::Micros(5_000), "\"5\""),
        (&date, "date", "1", Cell::Date(1), "\"1970-01-02\""),
        (&decimal, "decimal(9,2)", "1.5", Cell::Decimal(150), "1.555"),
        (&decimal, "decimal(9,2)", "\"AJY=\"", Cell::Decimal(150), "\"1.5\""),
        (&decimal, "decimal(9,2)", "\"/w==\"", Cell::Decimal(-1), "\"f////////w==\""),
        (r#"{"type":"array"}"#, "json", "[ 1 , {} ]", text("[1,{}]"), ""),
        (r#"{"type":"object"}"#, "json", "18446744073709551616", text("18446744073709551616"), ""),
        (r#"{"oneOf":[{"type":"null"},{"type":"integer"}]}"#, "int64", "null", Cell::Null, "{}"),
    ] {
        let of = schema(1, &format!(r#""p":{declared}"#));
        assert_eq!(columns(&of), [format!("p {kind}")], "{declared}");
        let body = format!("{{\"p\": {json} , \"other\": {{}}}}");
        assert_eq!(of.cells(body.as_bytes()).unwrap(), [want], "{declared} {json}");
        for nothing in ["{}", "{\"p\":null}"] {
            assert_eq!(of.cells(nothing.as_bytes()).unwrap(), [Cell::Null], "{declared}");
        }
        if !unfit.is_empty() {
            let body = format!("{{\"p\":{unfit}}}");
            let error = of.cells(body.as_bytes()).unwrap_err();
            assert!(error.starts_with("field p: "), "{declared} {unfit}: {error}");
        }
    }
}

#[test]
fn names_are_those_that_readers_take() {
    let of = schema(1, r#""http.status":{"type":"integer"},"key":{},"a-b":{},"dt":{}"#);
    let body = br#"{"http.status":7,"http":{"status":8}}"#;
    assert_eq!(columns(&of), ["a_b json", "value_dt json", "http_status int64", "value_key json"]);
    assert_eq!(of.cells(body).unwrap()[2], Cell::Int64(7));
}

#[test]
fn what_is_no_object_is_refused() {
    let of = schema(1, r#""a":{}"#);
    for body in [&b""[..], b"[]", b"{", b"{} {}", b"\xff", b"null"] {
        assert!(of.cells(body).is_err(), "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn another_version_is_taken_if_nothing_of_it_is_lost() {
    let old = schema(1, r#""n":{"type":"integer","connect.type":"int32"},"s":{"type":"string"}"#);
    let new = schema(
        2,
        r#""n":{"type":"integer"},"s":{"type":"string"},"d":{"type":"string","default":"x"},
           "l":{"type":"array","default":[1, 2]},"w":{"type":"integer","default":"wrong"}"#,
    );
    let taken = new.takes(&old).unwrap();
    let cells = old.cells(br#"{"n":7,"s":"q"}"#).unwrap();
    let want = [text("x"), text("[1,2]"), Cell::Int64(7), text("q"), Cell::Null];
    assert_eq!(new.row((&old, &taken), cells, 0).unwrap(), want);
    assert_eq!(old.takes(&new), None);
}

#[test]
fn references_are_read() {
    let text_of = r#"{"properties":{"a":{"$ref":"other.json"}}}"#;
    let other = Referred { name: "other.json", text: r#"{"type":"integer"}"# };
    let of = WriterSchema::json(1, text_of, &[other], Wanted::flat(&[])).unwrap();
    assert_eq!((columns(&of), of.name.as_str()), (vec!["a int64".to_string()], ""));
}
