//! Avro and text, as readers find them.

use std::sync::Arc;

use serde_json::Value;

use crate::clients::encode::read_back::{avro_as_json, parquet_as_json};
use crate::clients::encode::tests::{RAW, encode, of, record};
use crate::clients::encode::{EncodeError, Encoder};
use crate::pure::layout::cells::ColumnType;
use crate::pure::layout::columns::{Column, JsonColumns};
use crate::pure::layout::format::{
    AvroCodec, ColumnRows, Format, FormatOptions, ParquetCodec, Rows, TextCodec, TextPolicy,
};
use crate::pure::layout::rules::Fit;
use crate::pure::record::{Header, Record, Timestamp};

const CODECS: [AvroCodec; 4] =
    [AvroCodec::Null, AvroCodec::Deflate, AvroCodec::Snappy, AvroCodec::Zstandard];

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/", $name))
    };
}

fn typed() -> Rows {
    let kinds = ["string", "boolean", "int32", "int64", "float64", "decimal(20,3)", "date"];
    let more = ["timestamp", "bytes", "json"];
    let column = |(n, kind): (usize, &str)| {
        Column::new(&format!("c{n}"), None, ColumnType::parse(kind).unwrap()).unwrap()
    };
    let all = kinds.into_iter().chain(more).enumerate().map(column).collect();
    let (key, value) = (TextPolicy::Auto, Some(TextPolicy::Auto));
    Rows::Columns(Arc::new(ColumnRows { key, value, columns: JsonColumns::new(all) }))
}

const VALUE: &[u8] = br#"{"c0":"a","c1":true,"c2":-7,"c3":9007199254740993,"c4":0.5,"c5":-1.25,
"c6":"2026-11-22","c7":"2026-11-22T18:03:02.5+01:00","c8":"AP4=","c9":[1]}"#;

/// Whatever stands in Parquet stands in Avro, in columns of the same names.
#[test]
fn avro_has_the_rows_of_parquet() {
    let headers: [Header<'_>; 3] =
        [(b"a", Some(b"1")), (b"a", None), (b"stra\xdfe", Some(b"\xff"))];
    let records = [
        record(3, None, None, &[]),
        record(5, Some(b""), Some(b""), &headers),
        Record { timestamp: Timestamp::LogAppend(7), ..record(6, Some(b"k"), Some(VALUE), &[]) },
        Record { timestamp: Timestamp::Missing, ..record(9, Some(b"k\xff"), Some(b"{}"), &[]) },
        Record { timestamp: Timestamp::Create(i64::MAX), ..record(10, None, None, &[]) },
    ];
    // Those that are objects, or have no value.
    let objects = [records[0], records[2], records[3], records[4]];
    for codec in CODECS {
        for (rows, records) in [(RAW, &records[..]), (typed(), &objects), (Rows::Counts, &records)]
        {
            let as_parquet = encode(Format::Parquet(ParquetCodec::None), &rows, records);
            let as_avro = encode(Format::Avro(codec), &rows, records);
            assert_eq!(avro_as_json(as_avro), parquet_as_json(as_parquet), "{codec:?} {rows:?}");
        }
    }
}

/// What stands in a file before its blocks: the names and values of its metadata.
pub(super) fn metadata(file: &[u8]) -> Vec<(String, String)> {
    let mut rest = file.strip_prefix(b"Obj\x01").expect("an object container file");
    let pairs = long(&mut rest);
    let mut text = || {
        let length = long(&mut rest);
        let (text, others) = rest.split_at(length);
        rest = others;
        String::from_utf8(text.to_vec()).unwrap()
    };
    (0..pairs).map(|_| (text(), text())).collect()
}

/// A number as Avro writes it.
fn long(rest: &mut &[u8]) -> usize {
    let (mut number, mut shift) = (0_u64, 0);
    loop {
        let (first, others) = rest.split_first().unwrap();
        *rest = others;
        number |= u64::from(first & 0x7f) << shift;
        shift += 7;
        if first & 0x80 == 0 {
            return (number >> 1) as usize;
        }
    }
}

/// Names and types, which tables rely on.
#[test]
fn the_schemas_of_avro_are_the_golden_ones() {
    let mut all = String::new();
    for rows in [RAW, typed(), Rows::Quarantine, Rows::Counts] {
        let file = encode(Format::Avro(AvroCodec::Zstandard), &rows, &[]);
        for (name, value) in metadata(&file) {
            let value = match name.as_str() {
                "avro.schema" => {
                    let json: Value = serde_json::from_str(&value).unwrap();
                    serde_json::to_string_pretty(&json).unwrap()
                }
                _ => value,
            };
            all.push_str(&format!("{name} = {value}\n"));
        }
    }
    assert_eq!(all, golden!("schemas-avro-v2.txt"));
}

#[test]
fn an_open_file_holds_its_columns_and_no_context_of_zstd() {
    let of_level = |level| {
        let options = FormatOptions { level: Some(level), ..FormatOptions::default() };
        let format = Format::Avro(AvroCodec::Zstandard);
        Encoder::with(format, options, &typed(), &of()).unwrap().memory_bytes()
    };
    assert_eq!(of_level(1), of_level(9));
    let raw = Encoder::new(Format::Avro(AvroCodec::Zstandard), &RAW, &of()).unwrap();
    assert!(raw.memory_bytes() < of_level(1), "declared columns have a cost each");
}

#[test]
fn blocks_come_as_they_are_full() {
    let rows = Rows::Raw { key: TextPolicy::Auto, value: TextPolicy::Bytes };
    let mut encoder = Encoder::new(Format::Avro(AvroCodec::Null), &rows, &of()).unwrap();
    let (mut all, mut pieces) = (Vec::new(), 0);
    let value = vec![b'x'; 1_000];
    for n in 0..5_000 {
        encoder.append(&record(n, None, Some(&value), &[]), &Fit::Raw).unwrap();
        assert!(encoder.memory_bytes() < 6 << 20, "{}", encoder.memory_bytes());
        if encoder.has_bytes() {
            encoder.drain_bytes(&mut |b| {
                pieces += 1;
                all.extend_from_slice(&b);
            });
        }
    }
    assert!(3 < pieces, "{pieces} pieces");
    encoder.shrink().unwrap();
    encoder.drain_all(&mut |b| all.extend_from_slice(&b));
    assert_eq!(encoder.size(), all.len() as u64);
    encoder.finish(&[], &mut |b| all.extend_from_slice(&b)).unwrap();
    let offsets: Vec<i64> =
        avro_as_json(all).iter().map(|row| row["offset"].as_i64().unwrap()).collect();
    assert_eq!(offsets, (0..5_000).collect::<Vec<_>>());
}

#[test]
fn a_higher_level_makes_no_larger_file() {
    let value: Vec<u8> =
        (0..200_000_u32).flat_map(|n| (n % 1_009).to_string().into_bytes()).collect();
    for codec in [AvroCodec::Deflate, AvroCodec::Zstandard] {
        let of = |level| {
            let options = FormatOptions { level: Some(level), ..FormatOptions::default() };
            let mut encoder = Encoder::with(Format::Avro(codec), options, &RAW, &of()).unwrap();
            encoder.append(&record(0, None, Some(&value), &[]), &Fit::Raw).unwrap();
            let mut all = Vec::new();
            encoder.finish(&[], &mut |b| all.extend_from_slice(&b)).unwrap();
            assert_eq!(avro_as_json(all.clone()).len(), 1);
            all.len()
        };
        assert!(of(9) <= of(1), "{codec:?}: {} and {}", of(1), of(9));
    }
}

#[test]
fn lines_of_text_are_the_values() {
    let values = [&b"two words"[..], b"", "ä ".as_bytes()];
    let records: Vec<Record<'_>> =
        (0..).zip(values).map(|(n, value)| record(n, Some(b"k"), Some(value), &[])).collect();
    let file = encode(Format::Text(TextCodec::None), &Rows::Values, &records);
    assert_eq!(String::from_utf8(file).unwrap(), golden!("rows-values.txt"));
    let text = Format::Text(TextCodec::None);
    let mut encoder = Encoder::new(text, &Rows::Values, &of()).unwrap();
    let bad = Fit::Bad("it has a line break".into());
    for (record, fit) in [(record(0, None, None, &[]), &Fit::Raw), (records[0], &bad)] {
        assert!(matches!(encoder.append(&record, fit), Err(EncodeError::Unfit)));
    }
    // Each has rows of its own.
    for (format, rows) in [
        (text, RAW),
        (text, Rows::Quarantine),
        (Format::JsonLines(TextCodec::None), Rows::Values),
        (Format::Parquet(ParquetCodec::None), Rows::Values),
        (Format::Avro(AvroCodec::Null), Rows::Values),
        (Format::Avro(AvroCodec::Null), Rows::Json { key: TextPolicy::Auto }),
    ] {
        assert!(Encoder::new(format, &rows, &of()).is_err(), "{format:?} {rows:?}");
    }
}
