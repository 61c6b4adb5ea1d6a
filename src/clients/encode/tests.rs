use bytes::Bytes;

use super::*;
use crate::clients::encode::read_back::parquet_as_json;
use crate::pure::count::output::{Merged, OutputFormat, WindowWriter};
use crate::pure::formats::header::NAME;
use crate::pure::formats::metadata::Marks;
use crate::pure::layout::format::{Format, ParquetCodec, Rows, TextCodec, TextPolicy};
use crate::pure::layout::rules::{Fit, OnBadRecord, RecordRules, Tombstones};
use crate::pure::record::{Header, Offset, OffsetRange, Record, Timestamp, TopicPartition};
use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
use ::parquet::schema::printer::print_schema;
use std::io::Read;

pub(super) const RAW: Rows = Rows::Raw { key: TextPolicy::Auto, value: TextPolicy::Auto };

pub(super) fn of() -> TopicPartition {
    TopicPartition { topic: "t".into(), partition: 2 }
}

pub(super) fn record<'a>(
    offset: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: &'a [Header<'a>],
) -> Record<'a> {
    Record { offset: Offset(offset), timestamp: Timestamp::Create(1_500), key, value, headers }
}

/// What the rules make of a record; tombstones are kept.
fn fit<'a>(rows: &Rows, record: &Record<'a>) -> Fit<'a> {
    let (tombstones, on_bad_record) = (Tombstones::Keep, OnBadRecord::Quarantine);
    RecordRules { rows: rows.clone(), tombstones, on_bad_record, registered: None }.fit(record)
}

/// Every awkward record, encoded, as text lines; pieces are taken as they come.
pub(super) fn encode(format: Format, rows: &Rows, records: &[Record<'_>]) -> Vec<u8> {
    let mut encoder = Encoder::new(format, rows, &of()).unwrap();
    let mut out = Vec::new();
    for r in records {
        encoder.append(r, &fit(rows, r)).unwrap();
        encoder.drain_bytes(&mut |b| out.extend_from_slice(&b));
    }
    encoder.settle().unwrap();
    let size = encoder.size();
    encoder.finish(&[], &mut |b| out.extend_from_slice(&b)).unwrap();
    assert!(size <= out.len() as u64 + 100, "size {size} of {}", out.len());
    out
}

pub(super) fn lines(bytes: &[u8]) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn raw_rows_keep_every_byte() {
    let big = vec![b'x'; 1 << 20];
    let headers: [Header<'_>; 3] = [(b"a", Some(b"1")), (b"a", None), (b"b", Some(b"\xff"))];
    let records = [
        record(3, None, None, &[]),
        record(5, Some(b""), Some(b""), &headers),
        record(9, Some(b"k\xff"), Some(b"\x00\xfe"), &[]),
        record(10, Some(b"k"), Some(&big), &[]),
    ];
    for codec in [
        ParquetCodec::None,
        ParquetCodec::Snappy,
        ParquetCodec::Gzip,
        ParquetCodec::Zstd,
        ParquetCodec::Lz4,
    ] {
        let rows = parquet_as_json(encode(Format::Parquet(codec), &RAW, &records));
        assert_eq!(rows.len(), 4);
        let offsets: Vec<_> = rows.iter().map(|r| r["offset"].as_i64().unwrap()).collect();
        assert_eq!(offsets, [3, 5, 9, 10]);
        assert_eq!(rows[0]["topic"], "t");
        assert_eq!(rows[0]["partition"], 2);
        assert_eq!(rows[0]["timestamp"], "1970-01-01T00:00:01.500Z");
        assert_eq!(rows[0]["timestamp_ms"], 1_500);
        assert_eq!(rows[0]["timestamp_type"], "CreateTime");
        assert!(rows[0].get("key").is_none() && rows[0].get("value_bytes").is_none());
        assert_eq!((rows[1]["key"].as_str(), rows[1]["value"].as_str()), (Some(""), Some("")));
        assert_eq!(rows[1]["headers"][0]["key"], "a");
        assert_eq!(rows[1]["headers"].as_array().unwrap().len(), 3);
        assert_eq!(rows[2]["value_bytes"], "00fe");
        assert_eq!(rows[2]["key_bytes"], "6bff");
        assert_eq!(rows[3]["value"].as_str().unwrap().len(), 1 << 20);
    }
    let plain = lines(&encode(Format::JsonLines(TextCodec::None), &RAW, &records));
    assert!(plain[0]["key"].is_null() && plain[0]["value"].is_null());
    assert_eq!(plain[1]["headers"][2]["value_bytes"], "/w==");
    assert_eq!(plain[2]["value_bytes"], "AP4=");
    let mut unzipped = Vec::new();
    let gz = encode(Format::JsonLines(TextCodec::Gzip), &RAW, &records);
    let _ = flate2::read::GzDecoder::new(&gz[..]).read_to_end(&mut unzipped).unwrap();
    assert_eq!(lines(&unzipped), plain);
    let zst = encode(Format::JsonLines(TextCodec::Zstd), &RAW, &records);
    assert_eq!(lines(&zstd::decode_all(&zst[..]).unwrap()), plain);
}

#[test]
fn bytes_mode_never_makes_text() {
    let rows = Rows::Raw { key: TextPolicy::Bytes, value: TextPolicy::Bytes };
    let got = parquet_as_json(encode(
        Format::Parquet(ParquetCodec::None),
        &rows,
        &[record(0, Some(b"k"), Some(b"v"), &[])],
    ));
    assert_eq!((got[0]["key_bytes"].as_str(), got[0].get("value")), (Some("6b"), None));
}

#[test]
fn counts_become_typed_rows_and_foreign_values_stay() {
    let range = OffsetRange { from: Offset(0), to: Offset(4) };
    let kind = crate::pure::count::CountKind::Final;
    let mut w = WindowWriter::new(OutputFormat::Json, (0, 2_000), kind, &of(), range, None);
    let value = w.value("hello", 2).to_string();
    let headers: [Header<'_>; 1] = [(NAME.as_bytes(), Some(w.header().as_bytes()))];
    let records = [
        record(7, Some(b"hello"), Some(value.as_bytes()), &headers),
        record(8, None, Some(b"not ours"), &[]),
    ];
    let parquet =
        parquet_as_json(encode(Format::Parquet(ParquetCodec::Snappy), &Rows::Counts, &records));
    let json = lines(&encode(Format::JsonLines(TextCodec::None), &Rows::Counts, &records));
    for rows in [&parquet, &json] {
        assert_eq!(rows[0]["word"], "hello");
        assert_eq!(rows[0]["count"], 2);
        assert_eq!(rows[0]["kind"], "final");
        assert_eq!(rows[0]["source_partition"], 2);
        assert_eq!(rows[0]["offset"], 7);
        assert!(rows[1].get("word").is_none());
    }
    assert_eq!(parquet[0]["window_end"], "1970-01-01T00:00:02Z");
    assert_eq!(parquet[1]["foreign_value"], "6e6f74206f757273");
}

#[test]
fn many_rows_survive_batches_and_row_groups() {
    let n = 5_000;
    let mut encoder = Encoder::new(Format::Parquet(ParquetCodec::Snappy), &RAW, &of()).unwrap();
    let mut out = Vec::new();
    for i in 0..n {
        let value = format!("line {i}");
        encoder.append(&record(i, None, Some(value.as_bytes()), &[]), &Fit::Raw).unwrap();
        if i % 1_500 == 0 {
            encoder.shrink().unwrap();
            assert!(encoder.has_bytes());
            encoder.drain_bytes(&mut |b| out.extend_from_slice(&b));
        }
    }
    encoder.finish(&[], &mut |b| out.extend_from_slice(&b)).unwrap();
    let rows = parquet_as_json(out);
    assert_eq!(rows.len(), n as usize);
    assert!(rows.iter().enumerate().all(|(i, r)| r["value"] == format!("line {i}")));
}

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/", $name))
    };
}

/// The schema that a file carries, as Parquet's own text.
pub(super) fn schema(rows: &Rows) -> String {
    let bytes = encode(Format::Parquet(ParquetCodec::Snappy), rows, &[]);
    let file = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
    let mut text = Vec::new();
    print_schema(&mut text, file.metadata().file_metadata().schema());
    String::from_utf8(text).unwrap()
}

/// Names, types and nullability of the columns: what readers of the archive rely on. They do not
/// depend on how keys and values are told from bytes.
#[test]
fn the_parquet_schemas_are_the_golden_ones() {
    let bytes = Rows::Raw { key: TextPolicy::Bytes, value: TextPolicy::Bytes };
    assert_eq!(schema(&RAW), golden!("schema-raw-v2.txt"));
    assert_eq!(schema(&bytes), golden!("schema-raw-v2.txt"));
    assert_eq!(schema(&Rows::Counts), golden!("schema-counts-v2.txt"));
}

/// One record must not make a file unreadable: a broker takes every number as a time.
#[test]
fn a_time_that_no_reader_holds_is_null_beside_its_number() {
    let times = [
        (-1_795_366_982_000_000_000, None),
        (1_795_366_982_000_000_000, None),
        (i64::MIN, None),
        (i64::MAX, None),
        (-2_208_988_800_001, None),
        (253_402_300_800_000, None),
        (-2_208_988_800_000, Some("1900-01-01T00:00:00Z")),
        (253_402_300_799_999, Some("9999-12-31T23:59:59.999Z")),
    ];
    let records = times.map(|(ms, _)| {
        let timestamp = Timestamp::Create(ms);
        Record { timestamp, ..record(0, None, None, &[]) }
    });
    let rows = parquet_as_json(encode(Format::Parquet(ParquetCodec::Snappy), &RAW, &records));
    for (row, (ms, shown)) in rows.iter().zip(times) {
        assert_eq!(row["timestamp_ms"], ms);
        assert_eq!(row.get("timestamp").and_then(|t| t.as_str()), shown, "{ms}");
    }
}

#[test]
fn the_bytes_of_header_names_stand_in_parquet() {
    let headers: [Header<'_>; 2] = [(b"stra\xdfe", None), (b"a", None)];
    let records = [record(0, None, None, &headers), record(1, None, None, &headers[1..])];
    let rows = parquet_as_json(encode(Format::Parquet(ParquetCodec::Snappy), &RAW, &records));
    assert_eq!(rows[0]["headers"][0]["key"], "stra\u{fffd}e");
    assert_eq!(rows[0]["header_keys_bytes"], serde_json::json!(["73747261df65", null]));
    assert!(rows[1].get("header_keys_bytes").is_none());
}

/// Hive 2, Impala and old readers of Parquet know no others.
#[test]
fn encodings_are_those_that_every_reader_knows() {
    use ::parquet::basic::Encoding;
    let records: Vec<_> = (0..3_000).map(|i| record(i, None, Some(b"x"), &[])).collect();
    for rows in &[RAW, Rows::Counts] {
        let bytes = encode(Format::Parquet(ParquetCodec::None), rows, &records);
        let file = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
        for column in file.metadata().row_group(0).columns() {
            for encoding in column.encodings() {
                let known = [Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY];
                let old = encoding == Encoding::PLAIN_DICTIONARY;
                assert!(old || known.contains(&encoding), "{encoding} of {}", column.column_path());
            }
        }
    }
}

#[test]
fn the_footer_says_where_the_file_belongs() {
    let encoder = Encoder::new(Format::Parquet(ParquetCodec::Snappy), &RAW, &of()).unwrap();
    let mut out = Vec::new();
    let about = [("topic", "t".to_string()), ("first_offset", "7".to_string())];
    encoder.finish(&about, &mut |b| out.extend_from_slice(&b)).unwrap();
    let file = SerializedFileReader::new(Bytes::from(out)).unwrap();
    let pairs = file.metadata().file_metadata().key_value_metadata().unwrap();
    let value = |name: &str| {
        pairs.iter().find(|pair| pair.key == name).and_then(|pair| pair.value.as_deref())
    };
    assert_eq!(value("alluvium.version"), Some("2"));
    assert_eq!(value("alluvium.topic"), Some("t"));
    assert_eq!(value("alluvium.first_offset"), Some("7"));
}

/// Paths are checked against these names.
#[test]
fn the_columns_have_the_names_that_the_layout_says() {
    for rows in &[RAW, Rows::Counts] {
        let bytes = encode(Format::Parquet(ParquetCodec::Snappy), rows, &[]);
        let file = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
        let schema = file.metadata().file_metadata().schema();
        let names: Vec<&str> = schema.get_fields().iter().map(|f| f.name()).collect();
        assert_eq!(names, rows.columns());
    }
}

/// Two names never become one.
#[test]
fn the_bytes_of_header_names_stand_in_json_lines() {
    let headers: [Header<'_>; 3] =
        [(b"trace\0id", None), (b"stra\xdfe", None), (b"stra\xfee", None)];
    let line = json_lines(&RAW, &[record(0, None, None, &headers)]);
    let got = &lines(line.as_bytes())[0]["headers"];
    assert_eq!(got[0]["key"], "trace\0id");
    assert!(got[0].get("key_bytes").is_none());
    assert_eq!(
        (&got[1]["key"], &got[2]["key"]),
        (&"stra\u{fffd}e".into(), &"stra\u{fffd}e".into())
    );
    assert_eq!(
        (&got[1]["key_bytes"], &got[2]["key_bytes"]),
        (&"c3RyYd9l".into(), &"c3RyYf5l".into())
    );
}

pub(super) fn json_lines(rows: &Rows, records: &[Record<'_>]) -> String {
    String::from_utf8(encode(Format::JsonLines(TextCodec::None), rows, records)).unwrap()
}

#[test]
fn the_json_lines_of_raw_records_are_the_golden_ones() {
    let headers: [Header<'_>; 3] = [(b"a", Some(b"1")), (b"a", None), (b"b", Some(b"\xff"))];
    let bare = Record { timestamp: Timestamp::Missing, ..record(3, None, None, &[]) };
    let text = record(5, Some(b""), Some("line 1\n\"ä\"".as_bytes()), &headers);
    let timestamp = Timestamp::LogAppend(1_795_368_000_123);
    let bytes = Record { timestamp, ..record(9, Some(b"k\xff"), Some(b"\x00\xfe"), &[]) };
    assert_eq!(json_lines(&RAW, &[bare, text, bytes]), golden!("rows-raw.jsonl"));
}

#[test]
fn the_json_lines_of_counts_are_the_golden_ones() {
    use crate::pure::count::CountKind;
    let range = OffsetRange { from: Offset(0), to: Offset(4) };
    let window = (1_795_368_000_000, 1_795_368_600_000);
    let merged = Some(Merged { offset: Offset(1), marks: Marks::default() });
    let samples = [
        (OutputFormat::Json, "hello", 2, CountKind::Final, None),
        (OutputFormat::Text, "ä\"", i64::MAX as u64, CountKind::Part, merged),
        (OutputFormat::Json, "", 1, CountKind::Late, None),
    ];
    let published: Vec<(&str, String, String)> = samples
        .map(|(format, word, n, kind, merged)| {
            let mut writer = WindowWriter::new(format, window, kind, &of(), range, merged);
            let value = writer.value(word, n).to_string();
            (word, writer.header().to_string(), value)
        })
        .into();
    let headers: Vec<[Header<'_>; 1]> = published
        .iter()
        .map(|(_, header, _)| [(NAME.as_bytes(), Some(header.as_bytes()))])
        .collect();
    let mut records: Vec<Record<'_>> = (7..)
        .zip(published.iter().zip(&headers))
        .map(|(offset, ((word, _, value), headers))| {
            record(offset, Some(word.as_bytes()), Some(value.as_bytes()), headers)
        })
        .collect();
    records.push(record(10, None, Some(b"not ours"), &[]));
    records.push(record(11, Some(b"k"), None, &[]));
    assert_eq!(json_lines(&Rows::Counts, &records), golden!("rows-counts.jsonl"));
}
