//! The table of decoders: which function reads which bytes of others, and in how much memory.

use std::path::{Component, Path};
use std::sync::Arc;

use regex::Regex;

use crate::common::config::{Config, ErasureCoding};
use crate::common::status::InstanceStatus;
use crate::foreign::outside::{HADOOP, SINK, SINK_JSON, WEB, WEB_ANCHORS, hadoop, sink, web};
use crate::foreign::schemas::{
    AVRO, AVRO_LIST, AVRO_VALUE, JSON, JSON_VALUE, PROTO2, PROTOBUF, PROTOBUF_VALUE, avro,
    avro_schema, json_object, json_schema, kept_schema, protobuf, protobuf_schema,
};
use crate::pure::calendar::{iso_millis, parse_http_date, parse_iso_millis, parse_rfc3339};
use crate::pure::count::{Count, Split, Tokenizer};
use crate::pure::field_path::FieldPath;
use crate::pure::formats::entry::{AttemptId, Entry, EntryKey, EntryName, PRIVATE};
use crate::pure::formats::header::{AlluviumHeader, NAME};
use crate::pure::formats::identity::RootIdentity;
use crate::pure::formats::metadata::Metadata;
use crate::pure::formats::partials::Partials;
use crate::pure::layout::Template;
use crate::pure::layout::bad::MaxBad;
use crate::pure::layout::cells::ColumnType;
use crate::pure::layout::columns::{Column, FIRST_ID, JsonColumns};
use crate::pure::layout::format::{Rows, TextPolicy};
use crate::pure::layout::names::{self, PartitionPaths};
use crate::pure::layout::rules::{Fit, OnBadRecord, RecordRules, Tombstones};
use crate::pure::layout::values::Values;
use crate::pure::protocol::{Committed, Identity, LedgerTail, OnGap, Partition, Sinks};
use crate::pure::record::{Offset, Record, Timestamp};
use crate::pure::record_time::{Time, Unit};

/// One decoder.
#[derive(Clone, Copy)]
pub struct Decoder {
    pub name: &'static str,
    /// Bytes that it accepts, or nearly does: what is changed to find others.
    pub samples: &'static [&'static [u8]],
    /// Gives it these bytes, and asserts what it promises.
    pub decode: fn(&[u8]),
    /// The memory that it may use beside a few times the length of the bytes.
    #[allow(dead_code, reason = "the property tests'")]
    pub memory: usize,
}

/// Most decoders have nothing but what they return.
const LITTLE: usize = 64 << 10;
/// A few times what is bounded otherwise: the JSON of a value, the types of a schema.
const SOME: usize = 8 << 20;
/// The regexes of a configuration, and the library's own automata.
const MUCH: usize = 64 << 20;

macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/golden/", $name))
    };
}

const HEADER_OF_PARTIALS: &[u8] = b"1;10;-4;partial;7;3;5;a;b";
const HEADER_OF_COUNT: &[u8] = b"1;2000;4000;final;3;4;9;Hello;Kafka";

pub const DECODERS: &[Decoder] = &[
    Decoder {
        name: "metadata",
        samples: &[golden!("metadata-v1.txt"), b"alluvium1;o=5;p=9;e=g;r=a;t=b;l=1-4;c=x"],
        decode: |bytes| with_text(bytes, metadata),
        memory: LITTLE,
    },
    Decoder {
        name: "positions",
        samples: &[golden!("metadata-v1.txt"), b"alluvium1;o=5;p=9;e=g;r=a;t=b;l=1-4;c=x"],
        decode: |bytes| with_text(bytes, positions),
        memory: LITTLE,
    },
    Decoder { name: "entry", samples: &[golden!("entry-v1.json")], decode: entry, memory: LITTLE },
    Decoder {
        name: "identity",
        samples: &[golden!("identity-v1.json")],
        decode: identity,
        memory: LITTLE,
    },
    Decoder {
        name: "header",
        samples: &[
            golden!("header-count-v1.txt"),
            golden!("header-merged-v2.txt"),
            golden!("header-partials-v1.txt"),
            HEADER_OF_PARTIALS,
            HEADER_OF_COUNT,
        ],
        decode: header,
        memory: LITTLE,
    },
    Decoder {
        name: "partials",
        samples: &[golden!("partials-v1.bin")],
        decode: partials,
        memory: LITTLE,
    },
    Decoder {
        name: "count",
        samples: &[golden!("values-v1.txt"), b"(hello,2)", b"{\"word\":\"a\",\"count\":3}"],
        decode: count,
        memory: LITTLE,
    },
    Decoder {
        name: "field",
        samples: &[b"{\"a\":{\"b\":17.5e3},\"t\":\"2026-11-22T17:03:02.5Z\"}", b"{\"a\":[1]}"],
        decode: field,
        memory: LITTLE,
    },
    Decoder {
        name: "columns",
        samples: &[
            b"{\"a\":{\"b\":17.5e3},\"t\":\"2026-11-22T17:03:02.5Z\",\"d\":\"2026-11-22\"}",
            b"{\"a\":[1],\"d\":null,\"x\":\"/w==\",\"n\":-7,\"a\":{\"b\":1}}",
        ],
        decode: columns,
        memory: LITTLE,
    },
    Decoder {
        name: "avro",
        samples: &[AVRO_VALUE, b"\0\0\0\0\x07\x02\x03", b"\0\0\0\x04\0\xd6\xff\0\0"],
        decode: avro,
        memory: SOME,
    },
    Decoder {
        name: "avro_schema",
        samples: &[AVRO.as_bytes(), AVRO_LIST.as_bytes()],
        decode: |bytes| with_text(bytes, avro_schema),
        memory: SOME,
    },
    Decoder {
        name: "json_object",
        samples: &[JSON_VALUE, b"\0\0\0\0\x07{}"],
        decode: json_object,
        memory: SOME,
    },
    Decoder {
        name: "json_schema",
        samples: &[JSON.as_bytes()],
        decode: |bytes| with_text(bytes, json_schema),
        memory: SOME,
    },
    Decoder {
        name: "protobuf",
        samples: &[PROTOBUF_VALUE, b"\0\0\0\0\x01\x02\0\x0b\x10\x01\x0c"],
        decode: protobuf,
        memory: SOME,
    },
    Decoder {
        name: "protobuf_schema",
        samples: &[PROTOBUF.as_bytes(), PROTO2.as_bytes()],
        decode: |bytes| with_text(bytes, protobuf_schema),
        memory: MUCH,
    },
    Decoder {
        name: "kept_schema",
        samples: &[golden!("schema-v1.json"), golden!("schema-v2.json")],
        decode: kept_schema,
        memory: LITTLE,
    },
    Decoder {
        name: "column_types",
        samples: &[b"decimal(38,12)", b"a.b=timestamp_ms", b"5% of 10m", b"1000 of 1h"],
        decode: |bytes| with_text(bytes, column_types),
        memory: LITTLE,
    },
    Decoder {
        name: "time",
        samples: &[
            b"2026-11-22T17:03:02.5+05:45",
            b"9999-12-31T23:59:59-01:00",
            b"-1",
            b"Sun, 06 Nov 1994 08:49:37 GMT",
        ],
        decode: |bytes| with_text(bytes, time),
        memory: LITTLE,
    },
    Decoder {
        name: "words",
        samples: &["Hello w\u{f6}rld, hello  \u{1f600}!\n".as_bytes(), b"a,b;c\xff\xfe d"],
        decode: words,
        memory: MUCH,
    },
    Decoder {
        name: "template",
        samples: &[
            b"{topic}/dt=%Y-%m-%d/hr=%H",
            b"x-{topic}/p={partition}/w=%G-%V",
            b"dt=202611221703021/f",
        ],
        decode: |bytes| with_text(bytes, template),
        memory: LITTLE,
    },
    Decoder {
        name: "names",
        samples: &[golden!("names-v1.txt"), golden!("partitions-v1.txt")],
        decode: |bytes| with_text(bytes, names),
        memory: LITTLE,
    },
    Decoder {
        name: "configuration",
        samples: &[
            include_bytes!("../../config/tutorial.toml"),
            include_bytes!("../../config/alluvium.toml"),
        ],
        decode: |bytes| with_text(bytes, configuration),
        memory: MUCH,
    },
    Decoder {
        name: "hadoop",
        samples: &[HADOOP],
        decode: |bytes| with_text(bytes, hadoop),
        memory: LITTLE,
    },
    Decoder {
        name: "web",
        samples: &[WEB, WEB_ANCHORS],
        decode: |bytes| with_text(bytes, web),
        memory: SOME,
    },
    Decoder { name: "sink", samples: &[SINK, SINK_JSON, b"\xff"], decode: sink, memory: MUCH },
    Decoder {
        name: "status",
        samples: &[
            golden!("status-v1.json"),
            golden!("status-v2.json"),
            golden!("status-v3.json"),
            golden!("status-v4.json"),
        ],
        decode: status,
        memory: LITTLE,
    },
];

/// For formats that are text: Kafka's and the store's clients refuse other bytes before.
fn with_text(bytes: &[u8], decode: fn(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        decode(text);
    }
}

fn metadata(text: &str) {
    for line in text.lines() {
        if let Ok((offset, read)) = Metadata::decode(line) {
            let again = Metadata::decode(&read.encode(offset));
            assert_eq!(again, Ok((offset, read)), "what it reads can be written");
        }
    }
}

/// What the rules make of positions that others have committed: each question about a partition
/// has an answer, and each answer of servers is taken.
fn positions(text: &str) {
    for line in text.lines() {
        let Ok((offset, read)) = Metadata::decode(line) else { continue };
        let Ok(committed) = Committed::decode(offset, line) else { continue };
        let of = Identity { root: read.root.clone(), topic_id: read.topic_id.clone() };
        let of = Arc::new(of);
        for keeps_state in [false, true] {
            for (counts, archive) in [(true, true), (true, false), (false, true)] {
                let sinks = Sinks { counts, archive, keeps_state };
                for on_gap in [OnGap::Stop, OnGap::Record] {
                    let partition = Partition::assigned(sinks, Arc::clone(&of), on_gap);
                    walk(partition, &committed, &read, &of);
                }
            }
        }
    }
}

fn walk(mut partition: Partition, committed: &Committed, read: &Metadata, of: &Arc<Identity>) {
    if partition.on_committed(Some(committed.clone())).is_err() {
        return;
    }
    let EntryName { incarnation, key } =
        read.entry.unwrap_or(EntryName { incarnation: 0, key: EntryKey::Genesis });
    let head = crate::pure::protocol::Head { key, attempt: AttemptId(7), to: committed.offset };
    let tail = LedgerTail { tail: head, of: Arc::clone(of), incarnation };
    if partition.needs_ledger() && partition.on_ledger(Some(tail)).is_err() {
        return;
    }
    for log_start in [0, committed.offset.0, committed.p().0, i64::MAX] {
        let mut partition = partition.clone();
        let _ = partition.on_log_start(Offset(log_start));
        let _ = (partition.plan(true), partition.plan(false), partition.not_in_ledger());
    }
    let _ = partition.on_committed(Some(committed.clone()));
}

/// Whether a path names something in the directory that it is relative to.
fn stays_below(path: &str) -> bool {
    let mut components = Path::new(path).components();
    !path.is_empty() && components.all(|part| matches!(part, Component::Normal(_)))
}

fn entry(bytes: &[u8]) {
    let from = serde_json::from_slice::<serde_json::Value>(bytes).ok();
    let from = from.and_then(|value| value.get("from")?.as_i64()).unwrap_or_default();
    for key in [EntryKey::Genesis, EntryKey::At(Offset(from))] {
        let Ok(read) = Entry::decode(key, bytes) else { continue };
        assert!(0 <= read.from.0 && 0 <= read.to.0 && 0 <= read.p.0);
        for file in &read.files {
            assert!(stays_below(&file.path) && !file.path.starts_with(PRIVATE), "{}", file.path);
            let staged = Path::new(&file.staged).components().count();
            assert!(stays_below(&file.staged) && staged == 1, "{}", file.staged);
        }
        assert_eq!(Entry::decode(key, &read.encode()), Ok(read), "what it reads can be written");
    }
}

fn identity(bytes: &[u8]) {
    if let Ok(read) = RootIdentity::decode(bytes) {
        assert!(read.root.len() == 32 && stays_below(&read.root));
        assert!(stays_below(&names::staged_identity(&read.root)));
        assert_eq!(RootIdentity::decode(&read.encode()), Ok(read));
    }
}

fn header(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(read) = AlluviumHeader::decode(line) {
            assert_eq!(AlluviumHeader::decode(read.encode().as_bytes()), Ok(read));
        }
    }
}

fn record<'a>(headers: &'a [(&'a [u8], Option<&'a [u8]>)], value: &'a [u8]) -> Record<'a> {
    let (key, timestamp) = (Some(value), Timestamp::Create(value.len() as i64));
    Record { offset: Offset(0), timestamp, key, value: Some(value), headers }
}

fn partials(bytes: &[u8]) {
    let headers = [(NAME.as_bytes(), Some(HEADER_OF_PARTIALS))];
    let read = Partials::parse(&record(&headers, bytes));
    let Ok(Some(read)) = read else { panic!("the header is right: {read:?}") };
    let (mut cursor, mut words) = (read.cursor(), 0);
    while let Ok(Some((span, _))) = cursor.window() {
        assert!(span.start <= span.end);
        while let Ok(Some((word, _))) = cursor.word() {
            words += word.len();
        }
    }
    assert!(words <= bytes.len());
}

fn count(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        let headers = [(NAME.as_bytes(), Some(HEADER_OF_COUNT))];
        let _ = Count::parse(&record(&headers, line));
        let foreign = [(NAME.as_bytes(), Some(line))];
        let _ = Count::parse(&record(&foreign, line));
    }
}

/// Every type, of fields that are there and of such that are not.
fn columns(bytes: &[u8]) {
    let types = ["string", "int32", "int64", "float64", "decimal(20,3)", "date", "timestamp"];
    let more = ["timestamp_s", "timestamp_ms", "timestamp_us", "bytes", "json", "boolean"];
    for kind in types.into_iter().chain(more) {
        let Ok(kind) = ColumnType::parse(kind) else { panic!("{kind} is a type") };
        let column = |path: &str| match Column::new(path, Some(&path.replace('.', "_")), kind) {
            Ok(column) => column,
            Err(e) => panic!("{path}: {e}"),
        };
        let all = ["a", "a.b", "t", "d", "x", "n"].map(column);
        if let Ok(cells) = JsonColumns::new(all.to_vec()).row(bytes) {
            assert_eq!(cells.len(), all.len());
        }
    }
    let (key, rows) = (TextPolicy::Auto, |key| Rows::Json { key });
    let (tombstones, on_bad_record) = (Tombstones::Keep, OnBadRecord::Quarantine);
    let rules = RecordRules { rows: rows(key), tombstones, on_bad_record, registered: None };
    let record = Record {
        offset: Offset(0),
        timestamp: Timestamp::Missing,
        key: None,
        value: Some(bytes),
        headers: &[],
    };
    if let Fit::Json(json) = rules.fit(&record) {
        assert!(!json.text().contains(['\n', '\r']), "{json:?}");
    }
}

fn column_types(text: &str) {
    if let Ok(kind) = ColumnType::parse(text) {
        assert_eq!(ColumnType::parse(&kind.to_string()), Ok(kind));
    }
    let (path, kind) = text.split_once('=').unwrap_or((text, "json"));
    if let Ok(column) = Column::new(path, None, ColumnType::parse(kind).unwrap_or(ColumnType::Json))
    {
        assert!((FIRST_ID..).contains(&column.id()));
    }
    if let Ok(limit) = MaxBad::parse(text) {
        let _ = limit.to_string();
    }
}

fn field(bytes: &[u8]) {
    for path in ["a", "a.b", "t"] {
        let Some(path) = FieldPath::parse(path) else { panic!("{path} is a path") };
        let _ = path.find(bytes);
        for unit in [Unit::Seconds, Unit::Millis, Unit::Micros, Unit::Nanos] {
            let time = Time::Field { path: path.clone(), unit };
            let (millis, _) = time.of(&record(&[], bytes), i64::MAX);
            assert!(parse_iso_millis(&iso_millis(millis)) == Some(millis), "{millis}");
        }
    }
}

fn time(text: &str) {
    let _ = (parse_rfc3339(text), parse_http_date(text));
    if let Some(millis) = parse_iso_millis(text) {
        assert_eq!(parse_iso_millis(&iso_millis(millis)), Some(millis));
    }
}

fn words(bytes: &[u8]) {
    let Ok(regex) = Regex::new("[,;]+") else { panic!("it is a regex") };
    for split in [Split::Whitespace, Split::Space, Split::Words, Split::Regex(regex)] {
        let tokenizer = Tokenizer { split, max_word_bytes: 16, ..Tokenizer::default() };
        let _ = tokenizer.each_word(bytes, |word| assert!(word.len() <= 16, "{word}"));
        let lower = Tokenizer { lowercase: true, ..tokenizer };
        let _ = lower.each_word(bytes, |_| {});
    }
}

fn template(text: &str) {
    let topic = names::escape_segment(text);
    assert!(text.is_empty() || stays_below(&topic) && !topic.contains('/'), "{topic}");
    let known = Template::parse("dt=%Y%m%d%H%M%S{partition}/{topic}", jiff::tz::TimeZone::UTC);
    let Ok(known) = known else { panic!("{known:?}") };
    let _ = known.may_contain(text, ["t"].into_iter());
    let Ok(template) = Template::parse(text, jiff::tz::TimeZone::UTC) else { return };
    for millis in [None, Some(0), Some(i64::MAX), Some(i64::MIN)] {
        let path = template.render("..", i32::MIN, millis);
        assert!(stays_below(&path) && path.split('/').next() != Some(PRIVATE), "{path}");
        let _ = template.bucket(millis);
        let _ = millis.map(|ms| template.end_of_directory(ms));
        let headers = [("h".as_bytes(), Some(text.as_bytes()))];
        let (key, value, timestamp) = (Some(text.as_bytes()), None, Timestamp::Missing);
        let record = Record { offset: Offset(0), timestamp, key, value, headers: &headers };
        let mut values = Values::default();
        let _ = values.number(&template, &record, 1);
        let of_record = template.render_with("..", i32::MIN, millis, values.text());
        assert!(stays_below(&of_record), "{of_record}");
        let _ = template.may_contain(&format!("{path}/f"), ["%2E."].into_iter());
    }
}

fn names(text: &str) {
    for name in text.lines() {
        let file = names::parse_file(name);
        assert!(file.is_none_or(|f| 0 <= f.first.0 && 0 <= f.last.0), "{name}");
        let _ = (names::parse_entry(name), names::parse_staged(name), names::staged_by(name));
        assert!(names::shortened(name).len() <= 150);
        let _ = ErasureCoding::parse(name);
        if !name.is_empty() {
            let paths = PartitionPaths::new(name, u32::MAX, i32::MAX);
            let all = [
                paths.ledger(),
                paths.staging(),
                paths.entry(EntryKey::Genesis),
                paths.old_attempt(EntryKey::Genesis, AttemptId(1)),
                paths.file(Offset(0), Offset(i64::MAX), "parquet"),
            ];
            assert!(all.iter().all(|path| stays_below(path)), "{all:?}");
            let _ = paths.published(name);
        }
    }
}

fn configuration(text: &str) {
    match Config::parse(text, Some("i")) {
        Ok(config) => {
            for archive in config.archives() {
                let path = archive.template.render("t", 0, Some(0));
                assert!(stays_below(&path), "{path}");
            }
        }
        Err(faults) => assert!(!faults.0.is_empty() && !faults.to_string().is_empty()),
    }
}

fn status(bytes: &[u8]) {
    if let Ok(status) = serde_json::from_slice::<InstanceStatus>(bytes) {
        let _ = (status.line(), status.left(), status.topic_troubles(), status.notes());
        let _: Vec<_> = status.partitions.iter().map(|p| p.lags()).collect();
    }
}
