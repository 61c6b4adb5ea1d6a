//! Nested columns in files, as readers find them: the JSON text of the same records says what they
//! must have.

use std::sync::Arc;

use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::clients::encode::read_back::{avro_as_json, parquet_as_json};
use crate::clients::encode::tests::{of, record};
use crate::clients::encode::tests_of_avro::metadata;
use crate::clients::encode::tests_of_registered::rules_of;
use crate::clients::encode::{EncodeError, Encoder};
use crate::common::schemas::Schemas;
use crate::pure::layout::cells::Cell;
use crate::pure::layout::format::{
    AvroCodec, Evolution, Format, FormatOptions, Nested, ParquetCodec, Registered, TextPolicy,
};
use crate::pure::layout::registered::Known;
use crate::pure::layout::rules::{Fit, RecordRules};
use crate::pure::layout::schema_fields::Wanted;
use crate::pure::layout::writer_schema::WriterSchema;
use crate::pure::record::Record;

const PARQUET: Format = Format::Parquet(ParquetCodec::Zstd);

fn rules(nested: Nested, schema: &str) -> RecordRules {
    let evolution = Evolution::Latest;
    let of = Registered { key: TextPolicy::Auto, value: None, evolution, nested };
    let known = Schemas::default();
    let schema = WriterSchema::avro(1, schema, &[], Wanted { reserved: &[], nested }).unwrap();
    known.insert(1, Known::Schema(Arc::new(schema)));
    rules_of(of, known)
}

/// The file of these bodies, and how many of them are bad ones.
fn file(
    rules: &RecordRules,
    (format, options): (Format, FormatOptions),
    bodies: &[Vec<u8>],
) -> (Vec<u8>, usize) {
    let framed: Vec<Vec<u8>> =
        bodies.iter().map(|body| [&[0, 0, 0, 0, 1], &body[..]].concat()).collect();
    let records: Vec<Record<'_>> =
        (0..).zip(&framed).map(|(n, value)| record(n, None, Some(value), &[])).collect();
    let schemas = &rules.registered.as_ref().unwrap().schemas;
    let Some(Known::Schema(schema)) = schemas.get(1) else { panic!("it is known") };
    let target = rules.registered.as_ref().unwrap().target(Some(schema));
    let mut encoder = Encoder::with(format, options, &target.rows, &of()).unwrap();
    let mut bad = 0;
    for record in &records {
        match rules.fit_in(record, &target) {
            Fit::Bad(_) => bad += 1,
            fit => encoder.append(record, &fit).unwrap(),
        }
    }
    let mut bytes = Vec::new();
    encoder.finish(&[], &mut |b| bytes.extend_from_slice(&b)).unwrap();
    (bytes, bad)
}

/// A type that tests make.
enum Kind {
    Int,
    Long,
    Double,
    Boolean,
    Text,
    Maybe(Box<Kind>),
    List(Box<Kind>),
    Map(Box<Kind>),
    Record(Vec<Kind>),
}

fn long(value: i64, out: &mut Vec<u8>) {
    let mut left = ((value << 1) ^ (value >> 63)) as u64;
    while 0x7f < left {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

fn text(value: &str, out: &mut Vec<u8>) {
    long(value.len() as i64, out);
    out.extend_from_slice(value.as_bytes());
}

impl Kind {
    fn any(random: &mut fastrand::Rng, deep: usize) -> Kind {
        let inner = |random: &mut fastrand::Rng| Box::new(Kind::any(random, deep - 1));
        match random.usize(..if deep == 0 { 5 } else { 9 }) {
            0 => Kind::Int,
            1 => Kind::Long,
            2 => Kind::Double,
            3 => Kind::Boolean,
            4 => Kind::Text,
            5 => match inner(random) {
                of if matches!(*of, Kind::Maybe(_)) => *of,
                of => Kind::Maybe(of),
            },
            6 => Kind::List(inner(random)),
            7 => Kind::Map(inner(random)),
            _ => Kind::Record((0..random.usize(1..4)).map(|_| *inner(random)).collect()),
        }
    }

    fn schema(&self, names: &mut usize) -> Value {
        match self {
            Kind::Int => "int".into(),
            Kind::Long => "long".into(),
            Kind::Double => "double".into(),
            Kind::Boolean => "boolean".into(),
            Kind::Text => "string".into(),
            Kind::Maybe(of) => json!(["null", of.schema(names)]),
            Kind::List(of) => json!({"type": "array", "items": of.schema(names)}),
            Kind::Map(of) => json!({"type": "map", "values": of.schema(names)}),
            Kind::Record(fields) => {
                *names += 1;
                let name = format!("R{names}");
                let field = |(n, of): (usize, &Kind)| {
                    let of = of.schema(names);
                    json!({"name": format!("f{n}"), "type": of})
                };
                let fields: Vec<Value> = fields.iter().enumerate().map(field).collect();
                json!({"type": "record", "name": name, "fields": fields})
            }
        }
    }

    /// Writes a value as Avro has it.
    fn put(&self, random: &mut fastrand::Rng, out: &mut Vec<u8>) {
        match self {
            Kind::Int => long(random.i32(..).into(), out),
            Kind::Long => long(random.i64(..) >> random.u32(..64), out),
            Kind::Double => out.extend_from_slice(&(random.f64() * 1e9).to_le_bytes()),
            Kind::Boolean => out.push(random.u8(..2)),
            Kind::Text => text(["", "a", "ä\"\n", "null"][random.usize(..4)], out),
            Kind::Maybe(of) => match random.bool() {
                true => out.push(0),
                false => {
                    out.push(2);
                    of.put(random, out);
                }
            },
            Kind::List(of) => {
                let items = random.usize(..4);
                if 0 < items {
                    long(items as i64, out);
                    (0..items).for_each(|_| of.put(random, out));
                }
                out.push(0);
            }
            Kind::Map(of) => {
                for _ in 0..random.usize(..4) {
                    out.push(2);
                    text(["k", "j", "", "ä"][random.usize(..4)], out);
                    of.put(random, out);
                }
                out.push(0);
            }
            Kind::Record(fields) => fields.iter().for_each(|of| of.put(random, out)),
        }
    }
}

/// Without members that are null: some readers leave them out, others do not.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(all) => {
            let kept = all.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(all) => all.into_iter().map(without_nulls).collect(),
        value => value,
    }
}

/// The columns of a schema in a row.
fn own(row: &Value) -> Map<String, Value> {
    let all = row.as_object().unwrap().iter();
    all.filter(|(name, _)| name.starts_with('c')).map(|(n, v)| (n.clone(), v.clone())).collect()
}

/// Schemas and values as chance has them; one record in three is broken at some byte.
#[test]
fn nested_columns_have_what_the_json_text_has() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut nested_values = 0;
    for round in 0..150 {
        let kinds: Vec<Kind> = (0..4).map(|_| Kind::any(&mut random, round % 5)).collect();
        let mut names = 0;
        let field = |(n, of): (usize, &Kind)| {
            let of = of.schema(&mut names);
            json!({"name": format!("c{n}"), "type": of})
        };
        let fields: Vec<Value> = kinds.iter().enumerate().map(field).collect();
        let schema = json!({"type": "record", "name": "Root", "fields": fields}).to_string();
        let mut body = || {
            let mut out = Vec::new();
            kinds.iter().for_each(|of| of.put(&mut random, &mut out));
            if random.u8(..3) == 0 {
                out.truncate(random.usize(..out.len()));
            }
            out
        };
        let bodies: Vec<Vec<u8>> = (0..40).map(|_| body()).collect();
        let options = FormatOptions::default();
        let plain = rules(Nested::Json, &schema);
        let (flat, bad) = file(&plain, (PARQUET, options), &bodies);
        let parted = rules(Nested::Columns, &schema);
        let (parts, also_bad) = file(&parted, (PARQUET, options), &bodies);
        assert_eq!(bad, also_bad, "{schema}");
        let flat = parquet_as_json(flat);
        let rows = parquet_as_json(parts);
        assert_eq!((rows.len(), rows.len() + bad), (flat.len(), 40));
        for (row, flat) in rows.iter().zip(&flat) {
            let mut want = own(flat);
            for (n, kind) in kinds.iter().enumerate() {
                let inner = if let Kind::Maybe(of) = kind { of } else { kind };
                let is_nested = matches!(inner, Kind::List(_) | Kind::Map(_) | Kind::Record(_));
                nested_values += usize::from(is_nested);
                // A null has no text.
                if let (true, Some(text)) = (is_nested, want.get_mut(&format!("c{n}"))) {
                    *text = serde_json::from_str(text.as_str().unwrap()).unwrap();
                }
            }
            assert_eq!(without_nulls(own(row).into()), without_nulls(want.into()), "{schema}");
        }
        let avro = (Format::Avro(AvroCodec::Deflate), options);
        let (avro, _) = file(&parted, avro, &bodies);
        let as_avro: Vec<Value> = avro_as_json(avro).into_iter().map(without_nulls).collect();
        let as_parquet: Vec<Value> = rows.into_iter().map(without_nulls).collect();
        assert_eq!(as_avro, as_parquet, "{schema}");
    }
    assert!(3_000 < nested_values, "{nested_values} values of types with parts");
}

fn names_of_records(schema: &Value, to: &mut Vec<String>) {
    match schema {
        Value::Object(all) => {
            if all.get("type") == Some(&json!("record")) {
                to.push(all["name"].as_str().unwrap().into());
            }
            all.values().for_each(|value| names_of_records(value, to));
        }
        Value::Array(all) => all.iter().for_each(|value| names_of_records(value, to)),
        _ => {}
    }
}

/// Readers refuse a schema that defines a name twice, or a type of Avro itself.
#[test]
fn records_in_files_of_avro_have_names_of_their_own() {
    let field = |name: &str, of: &str, fields: &str| {
        format!(
            r#"{{"name":"{name}","type":{{"type":"record","name":"{of}","fields":[{fields}]}}}}"#
        )
    };
    let n = r#"{"name":"n","type":"int"}"#;
    let fields = [
        field("topLevelRecord", "A", n),
        field("int", "B", &field("string", "C", n)),
        field("record1_int", "D", &field("int", "E", n)),
        field("map", "F", &field("string", "G", n)),
    ];
    let schema = format!(r#"{{"type":"record","name":"Root","fields":[{}]}}"#, fields.join(","));
    let (rules, options) = (rules(Nested::Columns, &schema), FormatOptions::default());
    let body = vec![2, 4, 6, 8];
    let (avro, bad) =
        file(&rules, (Format::Avro(AvroCodec::Null), options), std::slice::from_ref(&body));
    let (parquet, also_bad) = file(&rules, (PARQUET, options), &[body]);
    assert_eq!((bad, also_bad), (0, 0));
    let schema = metadata(&avro).into_iter().find(|(name, _)| name == "avro.schema").unwrap().1;
    let mut names = Vec::new();
    names_of_records(&serde_json::from_str(&schema).unwrap(), &mut names);
    // The file's own, that of headers, and seven in columns.
    assert_eq!(names.len(), 9, "{schema}");
    names.sort();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    assert!(
        !["int", "string", "map"].iter().any(|of| names.contains(&of.to_string())),
        "{names:?}"
    );
    let without = |rows: Vec<Value>| rows.into_iter().map(without_nulls).collect::<Vec<Value>>();
    assert_eq!(without(avro_as_json(avro)), without(parquet_as_json(parquet)));
}

const DEEP: &str = r#"{"type":"record","name":"Root","fields":[
    {"name":"c","type":["null",{"type":"record","name":"P","fields":[
        {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"l","type":{"type":"array","items":["null","int"]}},
        {"name":"m","type":{"type":"map","values":["null",{"type":"record","name":"Q","fields":[
            {"name":"key","type":"string"}]}]}}]}]},
    {"name":"element","type":{"type":"array","items":"string"}}]}"#;

/// Groups as all readers know them, and ids that do not change.
#[test]
fn the_groups_in_parquet_are_those_of_its_specification() {
    let rules = rules(Nested::Columns, DEEP);
    let (bytes, _) = file(&rules, (PARQUET, FormatOptions::default()), &[]);
    let file = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
    let root = file.metadata().file_metadata().schema().clone();
    let mut text = Vec::new();
    ::parquet::schema::printer::print_schema(&mut text, &root);
    let text = String::from_utf8(text).unwrap();
    let begin = text.find("  OPTIONAL group c ").unwrap();
    let golden =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/schema-nested.txt"));
    assert_eq!(&text[begin..], golden);
}

#[test]
fn times_are_plain_numbers_in_parts_too() {
    let rules = rules(Nested::Columns, DEEP);
    let options = FormatOptions { plain_times: true, ..FormatOptions::default() };
    let body = vec![2, 2, 2, 0, 0, 2, 2, b'k', 2, 2, b'v', 0, 0];
    let (bytes, bad) = file(&rules, (PARQUET, options), &[body, vec![0, 0]]);
    let rows = parquet_as_json(bytes);
    assert_eq!(bad, 0);
    let want = json!({"at": 1_000, "l": [null], "m": {"k": {"key": "v"}}});
    assert_eq!((&rows[0]["c"], rows[1].get("c")), (&want, None));
    assert_eq!((&rows[0]["element"], &rows[1]["element"]), (&json!([]), &json!([])));
}

/// A record of many MiB has a row group of its own, whose parts are not lost.
#[test]
fn large_records_have_their_parts() {
    let schema = DEEP.replace(r#"{"type":"long","logicalType":"timestamp-millis"}"#, "\"long\"");
    let rules = rules(Nested::Columns, &schema);
    let mut body = vec![0];
    long(3, &mut body);
    for letter in ["a", "b", "c"] {
        text(&letter.repeat(2 << 20), &mut body);
    }
    body.push(0);
    let small = vec![0, 0];
    let bodies = [small.clone(), body, small];
    let (bytes, bad) = file(&rules, (PARQUET, FormatOptions::default()), &bodies);
    let rows = parquet_as_json(bytes);
    let lengths: Vec<Vec<usize>> = rows
        .iter()
        .map(|row| row["element"].as_array().unwrap().iter())
        .map(|all| all.map(|text| text.as_str().unwrap().len()).collect())
        .collect();
    assert_eq!((bad, lengths), (0, vec![vec![], vec![2 << 20; 3], vec![]]));
}

/// What an open file says of its memory grows with the parts of its rows, and its columns.
#[test]
fn parts_are_counted() {
    let memory = |nested, items: usize| {
        let rules = rules(nested, DEEP);
        let mut body = vec![2, 0];
        long(items as i64, &mut body);
        body.extend(std::iter::repeat_n([2, 2], items).flatten());
        body.extend([0, 0, 0]);
        let value = [&[0, 0, 0, 0, 1], &body[..]].concat();
        let record = record(0, None, Some(&value), &[]);
        let target = rules.target_of(&record);
        let fit = rules.fit_in(&record, &target);
        assert!(matches!(fit, Fit::Cells(_)), "{fit:?}");
        let mut encoder = Encoder::new(PARQUET, &target.rows, &of()).unwrap();
        encoder.append(&record, &fit).unwrap();
        encoder.memory_bytes()
    };
    let (few, many) = (memory(Nested::Columns, 1), memory(Nested::Columns, 10_000));
    assert!(few + 10_000 * 8 < many, "{few} and {many}");
    assert!(memory(Nested::Json, 1) < few, "each part is a column");
}

#[test]
fn a_cell_of_another_column_is_refused() {
    let rules = rules(Nested::Columns, DEEP);
    let value = [0, 0, 0, 0, 1, 0, 0];
    let record = record(0, None, Some(&value), &[]);
    let target = rules.target_of(&record);
    let mut encoder = Encoder::new(PARQUET, &target.rows, &of()).unwrap();
    let Fit::Cells(cells) = rules.fit_in(&record, &target) else { panic!("it fits") };
    let swapped = Fit::Cells(vec![cells[1].clone(), Cell::Null]);
    assert!(matches!(encoder.append(&record, &swapped), Err(EncodeError::Unfit)));
}
