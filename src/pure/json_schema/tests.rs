//! What becomes of schemas.

use super::{Object, Referred, Shape, Type};

fn types(text: &str, referred: &[Referred<'_>]) -> Vec<(String, Type)> {
    let object = Object::parse(text, referred).unwrap();
    object.properties.into_iter().map(|p| (p.name, p.of)).collect()
}

/// One type a line.
#[test]
fn properties_have_the_types_of_their_values() {
    let decimal = r#"{"type":"number","title":"org.apache.kafka.connect.data.Decimal",
            "connect.type":"bytes","connect.parameters":{"scale":"2"}}"#;
    let exact = r#"{"type":"number","title":"org.apache.kafka.connect.data.Decimal",
            "connect.parameters":{"scale":"2","connect.decimal.precision":"9"}}"#;
    let logical = |name: &str, of: &str| {
        format!(
            r#"{{"type":"integer","title":"org.apache.kafka.connect.data.{name}",
                        "connect.type":"{of}"}}"#
        )
    };
    for (text, want) in [
        (r#"{"type":"string"}"#, Type::Text),
        (r#"{"type":["string","null"]}"#, Type::Text),
        (r#"{"type":"string","format":"date"}"#, Type::Date),
        (r#"{"type":"string","format":"date-time"}"#, Type::Time),
        (r#"{"type":"string","format":"email"}"#, Type::Text),
        (r#"{"type":"string","contentEncoding":"base64"}"#, Type::Bytes),
        (r#"{"type":"string","connect.type":"bytes"}"#, Type::Bytes),
        (r#"{"type":"integer"}"#, Type::Int64),
        (r#"{"type":"integer","connect.type":"int8"}"#, Type::Int32),
        (r#"{"type":"integer","connect.type":"int32"}"#, Type::Int32),
        (r#"{"type":"integer","connect.type":"int64"}"#, Type::Int64),
        (r#"{"type":"number"}"#, Type::Float64),
        (r#"{"type":"number","connect.type":"float32"}"#, Type::Float64),
        (r#"{"type":"boolean"}"#, Type::Boolean),
        (r#"{"type":"array","items":{}}"#, Type::Json),
        (r#"{"type":"object","properties":{}}"#, Type::Json),
        (r#"{"type":"object","connect.type":"map"}"#, Type::Json),
        (r#"{"type":["integer","string"]}"#, Type::Json),
        (r#"{"enum":["a","b",null]}"#, Type::Text),
        (r#"{"enum":["a",1]}"#, Type::Json),
        (r#"{"const":"a"}"#, Type::Text),
        (r#"{"oneOf":[{"type":"null"},{"type":"integer"}]}"#, Type::Int64),
        (r#"{"anyOf":[{"type":"number"},{"type":"null"}]}"#, Type::Float64),
        (r#"{"allOf":[{"type":"boolean"}]}"#, Type::Boolean),
        (r#"{"oneOf":[{"type":"string"},{"type":"integer"}]}"#, Type::Json),
        (&logical("Timestamp", "int64"), Type::Millis),
        (&logical("Date", "int32"), Type::Days),
        (&logical("Time", "int32"), Type::Int32),
        (decimal, Type::Decimal { precision: 38, scale: 2 }),
        (exact, Type::Decimal { precision: 9, scale: 2 }),
        ("true", Type::Json),
        ("{}", Type::Json),
    ] {
        let schema = format!(r#"{{"type":"object","properties":{{"p":{text}}}}}"#);
        assert_eq!(types(&schema, &[]), [("p".to_string(), want)], "{text}");
    }
}

#[test]
fn references_lead_to_schemas() {
    let other = Referred {
        name: "other.json",
        text: r##"{"$id":"http://x/y/other.json","type":"integer",
                "definitions":{"flag":{"$ref":"#/definitions/b"},"b":{"type":"boolean"}}}"##,
    };
    let schema = r##"{"$id":"http://x/y/root.json","properties":{
            "a":{"$ref":"#/definitions/t"}, "b":{"$ref":"#/$defs/a~1b%20c"},
            "c":{"$ref":"other.json"}, "d":{"$ref":"other.json#/definitions/flag"},
            "e":{"$ref":"http://x/y/other.json"}, "f":{"$ref":"#anchor"},
            "g":{"$ref":"#/nowhere"}, "h":{"$ref":"gone.json"}, "i":{"$ref":"#/properties/i"},
            "j":{"oneOf":[{"type":"null"},{"$ref":"inner"}]}, "k":{"$ref":"#"}},
            "definitions":{"t":{"type":"string"}},
            "$defs":{"a/b c":{"type":"number"},"x":{"$anchor":"anchor","type":"string",
                "format":"date"},"y":{"$id":"inner","type":"integer"}}}"##;
    let types: Vec<Type> = types(schema, &[other]).into_iter().map(|(_, of)| of).collect();
    let want = [
        Type::Text,
        Type::Float64,
        Type::Int64,
        Type::Boolean,
        Type::Int64,
        Type::Date,
        Type::Json,
        Type::Json,
        Type::Json,
        Type::Int64,
        Type::Json,
    ];
    assert_eq!(types, want);
}

#[test]
fn an_object_may_have_parts_and_an_order() {
    let schema = r##"{"title":"Order","oneOf":[{"type":"null"},{"$ref":"#/$defs/o"}],
            "$defs":{"base":{"properties":{"id":{"type":"string"},"z":{"connect.index":0}}},
            "o":{"allOf":[{"$ref":"#/$defs/base"}],"properties":{"id":{"type":"integer"},
                "b":{"connect.index":1,"type":"string","default":"x"}}}}}"##;
    let object = Object::parse(schema, &[]).unwrap();
    assert_eq!(object.name.as_deref(), Some("Order"));
    let names: Vec<&str> = object.properties.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["z", "b", "id"]);
    assert_eq!(object.properties[1].default, Some("x".into()));
    assert_eq!(object.properties[2].of, Type::Int64, "the nearer one counts");
}

/// As `anyOf` with one list of properties that are required.
#[test]
fn a_choice_of_one_adds_to_the_properties_beside_it() {
    let a = ("a".to_string(), Type::Int64);
    let required = r#"{"type":"object","properties":{"a":{"type":"integer"}},
        "anyOf":[{"required":["a"]}]}"#;
    assert_eq!(types(required, &[]), std::slice::from_ref(&a));
    let both = r#"{"properties":{"a":{"type":"integer"}},"oneOf":[{"type":"null"},
        {"properties":{"a":{"type":"string"},"b":{"type":"boolean"}}}]}"#;
    assert_eq!(types(both, &[]), [a, ("b".to_string(), Type::Boolean)]);
}

#[test]
fn what_is_no_object_is_refused() {
    for (text, want) in [
        ("{", "not JSON"),
        ("true", "not that of an object"),
        (r#"{"type":"string"}"#, "not that of an object"),
        (r##"{"$ref":"#"}"##, "not that of an object"),
        (r#"{"oneOf":[{"properties":{}},{"properties":{}}]}"#, "not that of an object"),
        (r#"{"$ref":"other"}"#, "not that of an object"),
    ] {
        let error = Object::parse(text, &[]).unwrap_err();
        assert!(error.contains(want), "{text}: {error}");
    }
    let part = |n: u32| {
        format!(
            "\"{n}\":{{\"allOf\":[{{\"$ref\":\"#/$defs/{}\"}},\
            {{\"$ref\":\"#/$defs/{}\"}}]}}",
            n + 1,
            n + 1
        )
    };
    let parts: Vec<String> = (0..30).map(part).collect();
    let many = format!("{{\"$ref\":\"#/$defs/0\",\"$defs\":{{{}}}}}", parts.join(","));
    assert!(Object::parse(&many, &[]).unwrap_err().contains("more than 1000 parts"));
    let deep = format!("{}{}", "{\"allOf\":[".repeat(50), "]}".repeat(50));
    assert!(Object::parse(&deep, &[]).is_err());
    assert!(Object::parse(&"[".repeat(100_000), &[]).is_err());
}

#[test]
fn the_work_on_a_schema_is_bounded() {
    let with = |properties: usize, of: &str, definitions: &str| {
        let all: Vec<String> = (0..properties).map(|n| format!("\"p{n}\":{of}")).collect();
        let all = all.join(",");
        Object::parse(&format!(r#"{{"properties":{{{all}}},"$defs":{{{definitions}}}}}"#), &[])
    };
    assert_eq!(with(1_000, "{}", "").unwrap().properties.len(), 1_000);
    assert!(with(1_001, "{}", "").unwrap_err().contains("more than 1000 properties"));
    // Each property would copy the default.
    for (length, is_kept) in [(16_000, true), (17_000, false)] {
        let text = format!(r#""d":{{"default":["{}"]}}"#, "x".repeat(length));
        let object = with(1_000, r##"{"$ref":"#/$defs/d"}"##, &text).unwrap();
        assert!(object.properties.iter().all(|p| p.default.is_some() == is_kept), "{length}");
    }
    // And each would look at all definitions.
    let many: Vec<String> = (0..2_000).map(|n| format!("\"d{n}\":{{}}")).collect();
    let error = with(1_000, r##"{"$ref":"#gone"}"##, &many.join(",")).unwrap_err();
    assert!(error.contains("looks at definitions"), "{error}");
    // Each property is an object of the same parts, which have too many columns.
    let all: Vec<String> = (0..1_000).map(|n| format!("\"f{n}\":{{}}")).collect();
    let parts = vec![r##"{"$ref":"#/$defs/wide"}"##; 990].join(",");
    let text = format!(
        r##"{{"properties":{{{}}},"$defs":{{"wide":{{"properties":{{{}}}}},
        "of":{{"allOf":[{parts}]}}}}}}"##,
        all.join(",").replace("{}", r##"{"$ref":"#/$defs/of"}"##),
        all.join(",")
    );
    let begun = std::time::Instant::now();
    let object = Object::parse_deep(&text, &[]).unwrap();
    assert!(object.properties.iter().all(|p| p.of == Type::Json));
    // No object lacks a part: it has all of its properties, or is text.
    let parts = object.properties.iter().map(|p| match &p.shape {
        Some(Shape::Object(all)) => all.len(),
        Some(shape) => panic!("{shape:?}"),
        None => 0,
    });
    let parts: Vec<usize> = parts.collect();
    assert!(parts.contains(&0) && parts.iter().all(|of| [0, 1_000].contains(of)), "{parts:?}");
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}
