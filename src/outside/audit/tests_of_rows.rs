//! Files of every format, read back as [`rows`](super::rows) reads them.

use bytes::Bytes;

use super::rows::{Count, counts, places, raw};
use crate::clients::encode::Encoder;
use crate::pure::count::output::WindowWriter;
use crate::pure::count::{CountKind, OutputFormat};
use crate::pure::formats::header::NAME;
use crate::pure::layout::format::{AvroCodec, Format, ParquetCodec, Rows, TextCodec, TextPolicy};
use crate::pure::layout::rules::Fit;
use crate::pure::record::{Offset, OffsetRange, Record, Timestamp, TopicPartition};

/// The bytes of a file under tests/golden.
macro_rules! golden {
    ($name:literal) => {
        Bytes::from_static(include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/golden/",
            $name
        )))
    };
}

const FORMATS: [Format; 8] = [
    Format::Parquet(ParquetCodec::Snappy),
    Format::JsonLines(TextCodec::None),
    Format::JsonLines(TextCodec::Gzip),
    Format::JsonLines(TextCodec::Zstd),
    Format::Avro(AvroCodec::Null),
    Format::Avro(AvroCodec::Deflate),
    Format::Avro(AvroCodec::Snappy),
    Format::Avro(AvroCodec::Zstandard),
];

fn of() -> TopicPartition {
    TopicPartition { topic: "t".into(), partition: 0 }
}

fn encode(format: Format, rows: Rows, records: &[Record<'_>]) -> (String, Bytes) {
    let mut encoder = Encoder::new(format, &rows, &of()).unwrap();
    records.iter().for_each(|r| encoder.append(r, &Fit::Raw).unwrap());
    let mut bytes = Vec::new();
    encoder.finish(&[], &mut |b| bytes.extend_from_slice(&b)).unwrap();
    (format!("a.b/part-t.of.dots.{}", format.extension()), bytes.into())
}

fn record<'a>(offset: i64, time: Timestamp, value: Option<&'a [u8]>) -> Record<'a> {
    Record { offset: Offset(offset), timestamp: time, key: None, value, headers: &[] }
}

/// Offsets in the order of the rows.
fn offsets(path: &str, bytes: Bytes) -> Result<Vec<Offset>, String> {
    let offsets = places(path, bytes)?.offsets;
    offsets.ok_or_else(|| "its lines are values alone, without their offsets".into())
}

#[test]
fn raw_rows_read_back() {
    let want = [
        (Some(5), Some(&b"two words"[..])),
        (None, Some(b"\xff\x00")),
        (Some(-1), None),
        (Some(i64::MAX), Some(b"")),
    ];
    let records: Vec<Record<'_>> = (7..)
        .zip(want)
        .map(|(i, (time, value))| {
            let key = value.map(|_| &b"key\xfe"[..]);
            let time = time.map_or(Timestamp::Missing, Timestamp::Create);
            Record { key, ..record(i, time, value) }
        })
        .collect();
    for format in FORMATS {
        let rows = Rows::Raw { key: TextPolicy::Auto, value: TextPolicy::Auto };
        let (path, bytes) = encode(format, rows, &records);
        let mut got = Vec::new();
        raw(&path, bytes.clone(), |r| {
            got.push((r.timestamp.millis(), r.value.map(<[u8]>::to_vec)));
            assert_eq!(r.key, r.value.map(|_| &b"key\xfe"[..]));
        })
        .unwrap();
        assert_eq!(got, want.map(|(time, value)| (time, value.map(<[u8]>::to_vec))));
        let offsets = offsets(&path, bytes.clone()).unwrap();
        assert_eq!(offsets, (7..11).map(Offset).collect::<Vec<_>>());
        assert!(raw("x.csv", bytes.clone(), |_| ()).is_err());
        assert!(counts(&path, bytes, |_| ()).is_err() || path.contains("jsonl"));
    }
}

#[test]
fn counts_read_back_without_what_is_foreign() {
    let range = OffsetRange { from: Offset(0), to: Offset(9) };
    let mut writer =
        WindowWriter::new(OutputFormat::Json, (2_000, 4_000), CountKind::Part, &of(), range, None);
    let value = writer.value("word", 3).to_string();
    let headers = [(NAME.as_bytes(), Some(writer.header().as_bytes()))];
    let time = Timestamp::Create(1);
    let count =
        Record { key: Some(b"word"), headers: &headers, ..record(0, time, Some(value.as_bytes())) };
    for format in FORMATS {
        let records = [count, record(1, time, Some(b"foreign"))];
        let (path, bytes) = encode(format, Rows::Counts, &records);
        let mut got = Vec::new();
        let row =
            |c: Count<'_>| got.push((c.start, c.kind.to_string(), c.word.to_string(), c.count));
        counts(&path, bytes, row).unwrap();
        assert_eq!(got, [(2_000, "part".to_string(), "word".to_string(), 3)]);
    }
}

#[test]
fn lines_of_text_are_counted_and_say_no_more() {
    for codec in [TextCodec::None, TextCodec::Gzip, TextCodec::Zstd] {
        let values = [&b"two words"[..], b"", b"\xc3\xa4 "];
        let records: Vec<Record<'_>> = (7..)
            .zip(values)
            .map(|(offset, value)| record(offset, Timestamp::Create(5), Some(value)))
            .collect();
        let (path, bytes) = encode(Format::Text(codec), Rows::Values, &records);
        let places = places(&path, bytes.clone()).unwrap();
        assert_eq!((places.rows, places.offsets, places.is_raw), (3, None, false));
        for e in [
            offsets(&path, bytes.clone()).unwrap_err(),
            raw(&path, bytes.clone(), |_| ()).unwrap_err(),
        ] {
            assert!(e.contains("values alone"), "{e}");
        }
        assert!(counts(&path, bytes, |_| ()).is_err());
    }
}

/// Files of version 1, which a daemon wrote: times in milliseconds, in no column of their own.
#[test]
fn files_of_version_1_read_back() {
    let mut records = Vec::new();
    raw("a.parquet", golden!("raw-v1.parquet"), |r| {
        let value = String::from_utf8(r.value.unwrap().to_vec()).unwrap();
        records.push((r.timestamp.millis().unwrap(), value));
    })
    .unwrap();
    assert_eq!(records.len(), 19);
    let first = "nanananad ere8 obob2 jwjwjwj5 tgtgt49 uhuhuhuh3e qdqdqdqd6".to_string();
    assert_eq!(records[0], (1_735_751_120_000, first));
    assert_eq!(offsets("a.parquet", golden!("raw-v1.parquet")).unwrap().len(), 19);
    let mut sums = Vec::new();
    let row = |c: Count<'_>| sums.push((c.start, c.word.to_string(), c.count));
    counts("a.parquet", golden!("counts-v1.parquet"), row).unwrap();
    assert_eq!(sums.len(), 2);
    assert_eq!(sums[0], (1_735_930_940_000, "gtgtgtgc".to_string(), 1));
}

/// As the first daemon that knew Avro wrote it.
#[test]
fn the_golden_files_of_avro_read_back() {
    let mut records = Vec::new();
    raw("a.avro", golden!("raw-v2.avro"), |r| {
        let bytes = |b: Option<&[u8]>| b.map(<[u8]>::to_vec);
        records.push((r.timestamp.millis(), bytes(r.key), bytes(r.value)));
    })
    .unwrap();
    let want = [
        (Some(1_500), None, None),
        (Some(1_500), Some(vec![]), Some("line 1\n\"ä\"".as_bytes().to_vec())),
        (Some(1_500), Some(b"k\xff".to_vec()), Some(b"\x00\xfe".to_vec())),
    ];
    assert_eq!(records, want);
    let mut sums = Vec::new();
    let row = |c: Count<'_>| sums.push((c.start, c.word.to_string(), c.count));
    counts("a.avro", golden!("counts-v2.avro"), row).unwrap();
    assert_eq!(sums, [(1_795_368_000_000, "hello".to_string(), 2)]);
    let of = |golden| offsets("a.avro", golden).unwrap();
    assert_eq!(of(golden!("raw-v2.avro")), [3, 5, 9].map(Offset));
    assert_eq!(of(golden!("counts-v2.avro")), [7, 10].map(Offset));
    // The library itself takes a block that is cut for the end of the file.
    let whole = golden!("raw-v2.avro");
    let is_read = |at: &usize| offsets("a.avro", whole.slice(..*at)).is_ok();
    let read: Vec<usize> = (0..whole.len()).filter(is_read).collect();
    assert_eq!(read.len(), 1, "the header alone is a file without rows: {read:?}");
    assert_eq!(offsets("a.avro", whole.slice(..read[0])).unwrap(), []);
}

/// The lines that `encode` is compared with, read back.
#[test]
fn the_golden_lines_read_back() {
    let mut records = Vec::new();
    raw("a.jsonl", golden!("rows-raw.jsonl"), |r| {
        let bytes = |b: Option<&[u8]>| b.map(<[u8]>::to_vec);
        records.push((r.timestamp.millis(), bytes(r.key), bytes(r.value)));
    })
    .unwrap();
    let want = [
        (None, None, None),
        (Some(1_500), Some(vec![]), Some("line 1\n\"ä\"".as_bytes().to_vec())),
        (Some(1_795_368_000_123), Some(b"k\xff".to_vec()), Some(b"\x00\xfe".to_vec())),
    ];
    assert_eq!(records, want);
    let mut sums = Vec::new();
    let row = |c: Count<'_>| sums.push((c.start, c.word.to_string(), c.count));
    counts("a.jsonl", golden!("rows-counts.jsonl"), row).unwrap();
    let start = 1_795_368_000_000;
    let want = [("hello", 2), ("ä\"", i64::MAX), ("", 1)];
    assert_eq!(sums, want.map(|(word, n)| (start, word.to_string(), n)));
    let of = |golden| offsets("a.jsonl", golden).unwrap();
    assert_eq!(of(golden!("rows-raw.jsonl")), [3, 5, 9].map(Offset));
    assert_eq!(of(golden!("rows-counts.jsonl")), [7, 8, 9, 10, 11].map(Offset));
}

/// Each bit of a small file is turned: an answer comes, whatever it is. A count that is too small
/// would keep the library busy for ever.
#[test]
fn a_file_of_avro_with_a_bit_turned_is_read_to_an_end() {
    let time = Timestamp::Create(5);
    let records: Vec<_> = (0..3).map(|n| record(n, time, Some(b"value"))).collect();
    for codec in [AvroCodec::Null, AvroCodec::Deflate, AvroCodec::Snappy, AvroCodec::Zstandard] {
        let (name, bytes) = encode(
            Format::Avro(codec),
            Rows::Raw { key: TextPolicy::Auto, value: TextPolicy::Auto },
            &records,
        );
        assert_eq!(offsets(&name, bytes.clone()).unwrap(), [0, 1, 2].map(Offset));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut turned = bytes.to_vec();
                turned[at] ^= 1 << bit;
                let _ = offsets(&name, turned.into());
            }
        }
    }
}

/// The bits of a count may be turned so that it is negative, and the next byte is a size then: the
/// library reads the items all the same, and would never end at the byte that is left.
#[test]
fn a_list_that_names_a_false_size_is_read_to_an_end() {
    let schema = br#"{"type":"record","name":"R","fields":[{"name":"offset","type":"long"},
        {"name":"list","type":{"type":"array","items":"long"}}]}"#;
    let mark = [7_u8; 16];
    let length = u8::try_from(schema.len()).unwrap();
    // Both bytes of the length, which is doubled because numbers have signs.
    let length = [(length << 1) | 0x80, length >> 6];
    let header = [&b"Obj\x01\x02\x16avro.schema"[..], &length, schema, &[0], &mark].concat();
    let file = |rows: &[u8]| {
        let size = u8::try_from(rows.len() * 2).unwrap();
        Bytes::from([&header[..], &[2, size], rows, &mark].concat())
    };
    // The offset, a block of one item with its size, the item, and the end of the list.
    assert_eq!(offsets("a.avro", file(&[6, 1, 2, 2, 0])).unwrap(), [Offset(3)]);
    let left = offsets("a.avro", file(&[6, 1, 4, 2, 0, 0])).unwrap_err();
    assert!(left.contains("a block of 1 rows has 1 bytes behind them"), "{left}");
}
