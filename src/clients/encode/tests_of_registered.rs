//! Values of Avro that arrow-avro has written, as the project's own reader reads them, and the
//! files that they become.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array,
    Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow_avro::schema::AvroSchema;
use arrow_avro::writer::WriterBuilder;
use arrow_avro::writer::format::AvroBinaryFormat;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use crate::clients::encode::Encoder;
use crate::clients::encode::read_back::parquet_as_json;
use crate::clients::encode::tests::{of, record};
use crate::common::schemas::Schemas;
use crate::pure::layout::cells::Cell;
use crate::pure::layout::format::{
    Evolution, Format, Nested, ParquetCodec, Registered, Rows, TextPolicy,
};
use crate::pure::layout::registered::{Known, RegisteredRows};
use crate::pure::layout::rules::{Fit, OnBadRecord, RecordRules, Tombstones};
use crate::pure::layout::schema_fields::Wanted;
use crate::pure::layout::writer_schema::WriterSchema;
use crate::pure::record::Record;

/// One row of each type.
#[derive(Clone, Debug)]
struct Row {
    int: Option<i32>,
    long: i64,
    double: f64,
    boolean: Option<bool>,
    text: Option<String>,
    bytes: Vec<u8>,
    date: i32,
    time: Option<i64>,
    decimal: i128,
    list: Vec<String>,
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let numbers = (any::<Option<i32>>(), any::<i64>(), -1e300..1e300_f64, any::<Option<bool>>());
    let texts = (any::<Option<String>>(), any::<Vec<u8>>(), prop::collection::vec(".*", 0..4));
    let times = (-100_000..1_000_000_i32, prop::option::of(-1_000_000_i64..1_000_000_000_000));
    let decimal = -99_999_999_999_999_999_999_i128..=99_999_999_999_999_999_999;
    let row = (numbers, texts, times, decimal).prop_map(
        |((int, long, double, boolean), (text, bytes, list), (date, time), decimal)| Row {
            int,
            long,
            double,
            boolean,
            text,
            bytes,
            date,
            time,
            decimal,
            list,
        },
    );
    prop::collection::vec(row, 1..20)
}

/// The schema and the values, as another writer has them.
fn written(rows: &[Row]) -> (String, Vec<Bytes>) {
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(Field::new(
        "item",
        DataType::Utf8,
        false,
    ));
    for row in rows {
        row.list.iter().for_each(|text| lists.values().append_value(text));
        lists.append(true);
    }
    let decimals = Decimal128Array::from_iter_values(rows.iter().map(|r| r.decimal));
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("int", Arc::new(rows.iter().map(|r| r.int).collect::<Int32Array>()), true),
        ("long", Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.long))), false),
        ("double", Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.double))), false),
        ("boolean", Arc::new(rows.iter().map(|r| r.boolean).collect::<BooleanArray>()), true),
        ("text", Arc::new(rows.iter().map(|r| r.text.as_deref()).collect::<StringArray>()), true),
        ("bytes", Arc::new(BinaryArray::from_iter_values(rows.iter().map(|r| &r.bytes))), false),
        ("date", Arc::new(Date32Array::from_iter_values(rows.iter().map(|r| r.date))), false),
        (
            "time",
            Arc::new(
                rows.iter()
                    .map(|r| r.time)
                    .collect::<TimestampMillisecondArray>()
                    .with_timezone("UTC"),
            ),
            true,
        ),
        ("decimal", Arc::new(decimals.with_precision_and_scale(20, 3).unwrap()), false),
        ("list", Arc::new(lists.finish()), false),
    ];
    let field = |(name, array, nullable): &(&str, ArrayRef, bool)| {
        Field::new(*name, array.data_type().clone(), *nullable)
    };
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<Field>>());
    assert!(matches!(schema.field(7).data_type(), DataType::Timestamp(TimeUnit::Millisecond, _)));
    let json = AvroSchema::try_from(&schema).unwrap().json_string;
    let arrays = columns.into_iter().map(|(_, array, _)| array).collect();
    let batch = RecordBatch::try_new(Arc::new(schema.clone()), arrays).unwrap();
    let mut encoder = WriterBuilder::new(schema).build_encoder::<AvroBinaryFormat>().unwrap();
    encoder.encode(&batch).unwrap();
    (json, encoder.flush().iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_another_writer_has_written_is_read(rows in rows()) {
        let (text, values) = written(&rows);
        let schema = WriterSchema::avro(1, &text, &[], Wanted::flat(&[])).unwrap();
        prop_assert_eq!(values.len(), rows.len());
        for (row, value) in rows.iter().zip(&values) {
            let list = serde_json::to_string(&row.list).unwrap();
            let want = vec![
                row.int.map_or(Cell::Null, Cell::Int32),
                Cell::Int64(row.long),
                Cell::Float64(row.double),
                row.boolean.map_or(Cell::Null, Cell::Boolean),
                row.text.as_deref().map_or(Cell::Null, |text| Cell::Text(text.into())),
                Cell::Bytes(row.bytes.clone()),
                Cell::Date(row.date),
                row.time.map_or(Cell::Null, |ms| Cell::Micros(ms * 1_000)),
                Cell::Decimal(row.decimal),
                Cell::Text(list.into()),
            ];
            prop_assert_eq!(schema.cells(value).unwrap(), want);
        }
    }
}

fn rules(evolution: Evolution, schemas: &[(u32, &str)]) -> RecordRules {
    let of = Registered { key: TextPolicy::Auto, value: None, evolution, nested: Nested::Json };
    let known = Schemas::default();
    for (id, fields) in schemas {
        let text = format!(r#"{{"type":"record","name":"r","fields":[{fields}]}}"#);
        let schema = WriterSchema::avro(*id, &text, &[], Wanted::flat(&[])).unwrap();
        known.insert(*id, Known::Schema(Arc::new(schema)));
    }
    known.insert(9, Known::Unusable("the registry has no schema 9".into()));
    rules_of(of, known)
}

/// The rules for records whose schemas are among these.
pub(super) fn rules_of(of: Registered, known: Schemas) -> RecordRules {
    let registered = RegisteredRows { of, reserved: Vec::new(), schemas: Arc::new(known) };
    RecordRules {
        rows: Rows::Registered(of),
        tombstones: Tombstones::Keep,
        on_bad_record: OnBadRecord::Quarantine,
        registered: Some(registered),
    }
}

const OLD: &str = r#"{"name":"n","type":"int"}"#;
const NEW: &str =
    r#"{"name":"n","type":"long"},{"name":"s","type":["null","string"],"default":null}"#;

/// Records of all kinds, in one file of the newest schema.
#[test]
fn a_file_has_the_columns_of_one_schema() {
    let rules = rules(Evolution::Latest, &[(1, OLD), (2, NEW)]);
    let values: [&[u8]; 2] = [&[0, 0, 0, 0, 1, 14], &[0, 0, 0, 0, 2, 16, 2, 2, b'x']];
    let records: Vec<Record<'_>> = vec![
        record(0, None, Some(values[0]), &[]),
        record(1, None, Some(values[1]), &[]),
        record(2, None, None, &[]),
    ];
    let target = rules.target_of(&records[1]);
    assert_eq!(
        rules.target_of(&records[0]).key().map(|k| k.id),
        Some(2),
        "the newest one loses nothing of it"
    );
    let mut encoder =
        Encoder::new(Format::Parquet(ParquetCodec::Zstd), &target.rows, &of()).unwrap();
    for record in &records {
        encoder.append(record, &rules.fit_in(record, &target)).unwrap();
    }
    let mut bytes = Vec::new();
    encoder.finish(&[], &mut |b| bytes.extend_from_slice(&b)).unwrap();
    let rows = parquet_as_json(bytes);
    let cells: Vec<_> = rows.iter().map(|row| (row.get("n"), row.get("s"))).collect();
    assert_eq!(
        cells,
        [(Some(&json!(7)), None), (Some(&json!(8)), Some(&json!("x"))), (None, None)]
    );
}

#[test]
fn what_is_no_row_is_a_bad_record() {
    for evolution in [Evolution::AsWritten, Evolution::Latest] {
        let rules = rules(evolution, &[(1, OLD), (2, NEW)]);
        let own = rules.target_of(&record(0, None, Some(&[0, 0, 0, 0, 1, 14]), &[])).key();
        let own = own.map(|key| key.id);
        let newest = evolution == Evolution::Latest;
        assert_eq!(own, Some(if newest { 2 } else { 1 }));
        for (value, want) in [
            (&b"{\"n\":1}"[..], "zero byte"),
            (&[0, 0, 0, 0, 9, 14], "no schema 9"),
            (&[0, 0, 0, 0, 1], "schema 1: field n: the value ends too early"),
            (&[0, 0, 0, 0, 1, 14, 0], "schema 1: 1 bytes are left"),
        ] {
            let bad = record(0, None, Some(value), &[]);
            let Fit::Bad(why) = rules.fit(&bad) else { panic!("{value:?}") };
            assert!(why.contains(want), "{why}");
        }
        let registered = rules.registered.as_ref().unwrap();
        let unknown = record(0, None, Some(&[0, 0, 0, 1, 0, 14]), &[]);
        assert_eq!(registered.unknown(&unknown), Some(256));
        assert_eq!(registered.unknown(&record(0, None, Some(&[0, 0, 0, 0, 9]), &[])), None);
        let (dropped, quarantined) = (Tombstones::Drop, Tombstones::Quarantine);
        let tombstone = record(0, None, None, &[]);
        let of = |tombstones| RecordRules { tombstones, ..rules.clone() }.fit(&tombstone);
        assert_eq!(of(dropped), Fit::Nothing);
        assert!(matches!(of(quarantined), Fit::Bad(_)));
        assert_eq!(rules.fit(&tombstone), Fit::Cells(Vec::new()));
    }
}
