//! Records with everything that bytes and times may be, in every format, as a daemon writes them
//! that is killed in the middle: readers that are not ours read them row by row, and each byte is
//! compared with what a consumer of the topic reads.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::config_with_local_root;
use super::hive::hive_reads_bytes;
use super::readers::python;
use super::trino::trino_reads_bytes;
use super::unfit::{SPARK_SESSION, sparks};
use crate::support::{Cluster, Daemon, ReadBack, alluvium, assert_taken, eventually, flush};
use crate::support::{Producing, send_full};

const NAME: &str = "awkward";
const LIMIT: Duration = Duration::from_secs(90);

/// `bad` has columns of JSON that nothing fits: what has a value is in the quarantine.
const MAPPINGS: &str = r#"
[mapping.parquet]
topics = ["awkward-parquet"]
[mapping.appended]
topics = ["awkward-appended"]
archive = { path = "{topic}", page_index = true, bloom_filter = true, codec = "snappy" }
[mapping.hive]
topics = ["awkward-hive"]
archive = { path = "{topic}", compat = "hive3", codec = "gzip" }
[mapping.avro]
topics = ["awkward-avro"]
archive = { path = "{topic}", format = "avro" }
[mapping.jsonl]
topics = ["awkward-jsonl"]
archive = { path = "{topic}", format = "jsonl" }
[mapping.text]
topics = ["awkward-text"]
archive = { path = "{topic}", format = "text" }
[mapping.bad]
topics = ["awkward-bad"]
archive = { path = "{topic}", columns = { n = "int64" } }
[mapping.bad_avro]
topics = ["awkward-bad-avro"]
archive = { path = "{topic}", format = "avro", columns = { n = "int64" }, raw_value = false }
"#;

const TOPICS: [&str; 8] = [
    "awkward-parquet",
    "awkward-appended",
    "awkward-hive",
    "awkward-avro",
    "awkward-jsonl",
    "awkward-text",
    "awkward-bad",
    "awkward-bad-avro",
];

/// What each reader's rows become, and what is done with them: each is the text of a record, as
/// the expected ones are.
pub(super) const COMMON: &str = r#"
import sys, json, base64, datetime
UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)

def one_of(text, raw):
    """The bytes of a value that stands in one of two columns."""
    if raw is None:
        return None if text is None else text.encode().hex()
    raw = bytes(raw)
    try:
        raw.decode()
        raise AssertionError(f"{raw} is text")
    except UnicodeDecodeError:
        return raw.hex()

def readable(ms):
    return None if ms is None or not -2208988800000 <= ms <= 253402300799999 else ms * 1000

def micros_of(time):
    if time is None or isinstance(time, int):
        return time
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return (time - EPOCH) // datetime.timedelta(microseconds=1)

def of_columns(r):
    """A row of Parquet and Avro."""
    assert micros_of(r["timestamp"]) == readable(r["timestamp_ms"]), r
    assert r["header_keys_bytes"] is None, r
    headers = [[h["key"].encode().hex(), None if h["value"] is None else bytes(h["value"]).hex()]
               for h in r["headers"]]
    value = one_of(r["value"], r["value_bytes"]) if "value" in r else "left out"
    return [r["partition"], r["offset"], r["timestamp_ms"], r["timestamp_type"],
            one_of(r["key"], r["key_bytes"]), value, headers]

def millis_of(text):
    """The whole milliseconds of a time in JSON lines."""
    if text is None or text.lstrip("-").isdigit():
        return None if text is None else int(text)
    time = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return (time - EPOCH) // datetime.timedelta(milliseconds=1)

def of_line(r):
    """A row of JSON lines."""
    def value(of, name):
        raw = of.get(name + "_bytes")
        return one_of(of.get(name), None if raw is None else base64.b64decode(raw, validate=True))
    headers = [[h["key"].encode().hex(), value(h, "value")] for h in r["headers"] or []]
    return [r["partition"], r["offset"], millis_of(r["timestamp"]), r["timestamp_type"],
            value(r, "key"), value(r, "value"), headers]

def same(who, rows, expected):
    rows = sorted(rows, key=lambda r: r[:2])
    for got, want in zip(rows, expected):
        assert got == want, f"{who}: {got}, and not {want}"
    assert len(rows) == len(expected), f"{who}: {len(rows)} rows, and not {len(expected)}"
    return len(rows)
"#;

const SCRIPT: &str = r#"
import glob, gzip, duckdb, fastavro, pyarrow as pa, pyarrow.parquet as pq
root, expected, views = sys.argv[1], json.load(open(sys.argv[2])), json.load(open(sys.argv[3]))
out = {}

def files(directory, extension):
    return glob.glob(f"{root}/{directory}/**/*.{extension}", recursive=True)

def by_pyarrow(directory):
    for file in files(directory, "parquet"):
        table = pq.ParquetFile(file).read()
        at = table.schema.get_field_index("timestamp")
        kind = table.schema.field("timestamp").type
        assert kind == (pa.int64() if "-hive" in file else pa.timestamp("us", "UTC")), kind
        table = table.set_column(at, "timestamp", table["timestamp"].cast(pa.int64()))
        yield from table.to_pylist()

def by_fastavro(directory):
    for file in files(directory, "avro"):
        yield from fastavro.reader(open(file, "rb"))

def by_json(directory):
    for file in files(directory, "jsonl.gz"):
        yield from map(json.loads, gzip.open(file))

def by_duckdb(view):
    duckdb.execute("set timezone = 'UTC'")
    duckdb.execute(views[view])
    name, times = f'"{view}"', duckdb.sql(f'describe select timestamp from "{view}"').fetchone()[1]
    # Python has no time of the last microsecond of the year 9999 in another zone.
    time = "timestamp" if times in ("BIGINT", "VARCHAR") else "epoch_us(timestamp) as timestamp"
    found = duckdb.sql(f"select * exclude (timestamp), {time} from {name}")
    return [dict(zip(found.columns, row)) for row in found.fetchall()]

def check(who, rows, of, shape=of_columns):
    out[who] = same(who, [shape(r) for r in rows], expected[of])

for topic in ("awkward-parquet", "awkward-appended", "awkward-hive"):
    check(f"pyarrow {topic}", by_pyarrow(topic), topic)
    check(f"duckdb {topic}", by_duckdb(topic), topic)
check("fastavro", by_fastavro("awkward-avro"), "awkward-avro")
check("json", by_json("awkward-jsonl"), "awkward-jsonl", of_line)
check("duckdb jsonl", by_duckdb("awkward-jsonl"), "awkward-jsonl", of_line)

# What is no line of text is whole in the quarantine; the lines are the others.
def is_line(want):
    if want[5] is None:
        return False
    value = bytes.fromhex(want[5])
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return b"\n" not in value and b"\r" not in value
wanted = expected["awkward-text"]
lines = []
for file in files("awkward-text", "txt.gz"):
    text = gzip.open(file).read()
    assert text.endswith(b"\n")
    lines += text[:-1].split(b"\n")
good = sorted(bytes.fromhex(want[5]) for want in wanted if is_line(want))
assert sorted(lines) == good, set(lines) ^ set(good)
duckdb.execute(views["awkward-text"])
found = [row[0].encode() for row in duckdb.sql('select value from "awkward-text"').fetchall()]
assert sorted(found) == good, set(found) ^ set(good)
bad = [of_line(r) for r in by_json("_quarantine/awkward-text")]
out["text"] = same("text", bad, [want for want in wanted if not is_line(want)]) + len(lines)

# A record without a value has null columns; all others are bad, and whole.
wanted = expected["awkward-bad"]
rows = [*by_pyarrow("awkward-bad"), *by_pyarrow("_quarantine/awkward-bad")]
assert all((r["error"] or r["n"]) if "error" in r else r["n"] is None for r in rows)
check("bad", rows, "awkward-bad")
fit = [r for r in by_pyarrow("awkward-bad")]
assert all(r["value"] is None and r["value_bytes"] is None for r in fit) and fit
both = [*by_duckdb("awkward-bad"), *by_duckdb("awkward-bad-quarantine")]
check("duckdb bad", both, "awkward-bad")
# Without the raw value the quarantine alone has it.
rows = list(by_fastavro("awkward-bad-avro"))
assert rows and all("value" not in r and r["n"] is None for r in rows)
rows = [of_columns(r) for r in [*rows, *by_fastavro("_quarantine/awkward-bad-avro")]]
rows = [[*r[:5], None, r[6]] if r[5] == "left out" else r for r in rows]
out["bad avro"] = same("bad avro", rows, expected["awkward-bad-avro"])
print(json.dumps(out))
"#;

/// The rows as both versions of Spark read them, by the statements of `alluvium ddl`.
const SPARK: &str = r#"
expected, views = json.load(open(sys.argv[2])), json.load(open(sys.argv[3]))
for topic, statements in views.items():
    for statement in statements.split(";"):
        lines = [l for l in statement.splitlines() if l and not l.startswith("--")]
        if lines:
            spark.sql("\n".join(lines))
    kind = dict(spark.table("x").dtypes)["timestamp"]
    time = "unix_micros(timestamp)" if kind == "timestamp" else "timestamp"
    rows = spark.table("x").selectExpr("*", f"{time} as t").drop("timestamp")
    rows = [r.asDict(recursive=True) for r in rows.withColumnRenamed("t", "timestamp").collect()]
    shape = of_line if kind == "string" else of_columns
    same(f"spark {topic}", [shape(r) for r in rows], expected[topic])
    spark.sql("drop table x")
print("Spark", spark.version, "has read every byte of", len(views), "topics")
"#;

/// What a key or a value may be.
fn pieces() -> Vec<Option<Vec<u8>>> {
    let all_bytes: Vec<u8> = (0..=255).collect();
    let texts = [
        "plain",
        "",
        "null",
        "\u{0}",
        "a\u{0}b",
        "\u{1}\u{2}\u{8}\u{b}\u{c}\u{1b}\u{1e}\u{1f}\u{7f}",
        "tab\tquote\"back\\slash/'comma,;|",
        "\\N",
        "line\nbreak",
        "carriage\rreturn",
        "both\r\n",
        "  spaces  ",
        "schlüssel \u{1F980} \u{10ffff}",
        "\u{feff}bom",
        "\u{2028}\u{2029}\u{85}\u{fffd}\u{fffe}",
        "e\u{301} and \u{e9}",
        "{\"n\":\"no number\"}",
        "[1,2]",
        "-17.50",
    ];
    let binary: [&[u8]; 9] = [
        b"\xff",
        b"\x00\xfe\xff",
        b"cut \xc3",
        b"surrogate \xed\xa0\x80",
        b"overlong \xc0\x80",
        b"beyond \xf4\x90\x80\x80",
        b"\xff\xfeU\x00T\x00F\x00",
        b"line\n\xff",
        &all_bytes,
    ];
    let large = [vec![b'x'; 300_000], [vec![b'y'; 70_000], vec![0xff]].concat()];
    let texts = texts.into_iter().map(|text| text.as_bytes().to_vec());
    let bytes = binary.into_iter().map(<[u8]>::to_vec);
    [None].into_iter().chain(texts.chain(bytes).chain(large).map(Some)).collect()
}

type Header = (&'static str, Option<&'static [u8]>);

/// What the headers of a record may be.
const HEADERS: [&[Header]; 9] = [
    &[],
    &[("h", Some(b"v"))],
    &[("null", None)],
    &[("empty", Some(b""))],
    &[("twice", Some(b"1")), ("twice", Some(b"2")), ("twice", Some(b"1")), ("twice", None)],
    &[("binary", Some(b"\x00\xff\xfe\n")), ("text", Some("\u{1F980}".as_bytes()))],
    &[("", Some(b"without a name"))],
    &[("n\u{e4}me \u{1F980} \"\\\n", Some(b"\xed\xa0\x80")), ("key", Some(b"key"))],
    &[("a", None), ("b", Some(b"")), ("a", None), ("c", Some(b"x")), ("d", None)],
];

/// The times that a record may have, milliseconds; `None`: when it is sent. Producers write -1 for
/// none at all.
const TIMES: [Option<i64>; 17] = [
    None,
    Some(-1),
    Some(1),
    Some(-2),
    Some(-1_000),
    Some(-86_400_001),
    Some(1_735_751_000_123),
    // The first and the last one that every reader holds, and their neighbours.
    Some(-2_208_988_800_000),
    Some(-2_208_988_800_001),
    Some(253_402_300_799_999),
    Some(253_402_300_800_000),
    // The year 1; nanoseconds instead of milliseconds, twice; the most that there is.
    Some(-62_135_596_800_000),
    Some(1_795_366_982_000_000_000),
    Some(-1_795_366_982_000_000_000),
    Some(i64::MAX),
    Some(i64::MIN),
    // As microseconds it has no place in 64 bits.
    Some(9_223_372_036_854_776),
];

/// The records of one half; each of the pieces meets several others.
fn produce(producer: &Producing, topic: &str, half: usize) {
    let pieces = pieces();
    let number = pieces.len() * 5;
    for n in (half * number / 2)..((half + 1) * number / 2) {
        let round = n / pieces.len();
        let (key, value) = (&pieces[n % pieces.len()], &pieces[(n + 7 * round + 3) % pieces.len()]);
        let (headers, at) = (HEADERS[(n + round) % HEADERS.len()], TIMES[n % TIMES.len()]);
        let (key, value) = (key.as_deref(), value.as_deref());
        // A batch has the differences of its times, and 64 bits do not hold that of two such ones.
        let is_far = at.is_some_and(|ms| ms.checked_abs().is_none_or(|ms| 1 << 50 < ms));
        if is_far {
            flush(producer);
        }
        send_full(producer, topic, (n % 2) as i32, key, value, headers, at);
        if is_far {
            flush(producer);
        }
    }
}

/// What readers have to see of records, as the scripts write it.
fn expected(records: Vec<ReadBack>, topic: &str) -> Value {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut records = records;
    records.sort_by_key(|r| (r.partition, r.offset));
    let rows = records.into_iter().map(|r| {
        let headers: Vec<Value> = r
            .headers
            .iter()
            .map(|(name, value)| json!([hex(name.as_bytes()), value.as_deref().map(hex)]))
            .collect();
        let kind = if topic.ends_with("appended") { "LogAppendTime" } else { "CreateTime" };
        // The client that reads here takes -1 for no time; the archive has each time as it was.
        let millis = r.timestamp.unwrap_or(-1);
        let (key, value) = (r.key.as_deref().map(hex), r.value.as_deref().map(hex));
        json!([r.partition, r.offset, millis, kind, key, value, headers])
    });
    rows.collect()
}

pub(crate) fn every_byte_by_other_readers(cluster: &Cluster) {
    let producer = cluster.producer();
    for topic in TOPICS {
        cluster.create_topic(topic, 2);
        cluster.configure_topic(
            topic,
            &[
                ("message.timestamp.after.max.ms", "9223372036854775807"),
                ("message.timestamp.before.max.ms", "9223372036854775807"),
                (
                    "message.timestamp.type",
                    match topic {
                        "awkward-appended" => "LogAppendTime",
                        _ => "CreateTime",
                    },
                ),
            ],
        );
        produce(&producer, topic, 0);
    }
    flush(&producer);
    let home = cluster.home(NAME);
    let root = home.join("archive");
    let text = config_with_local_root(cluster, NAME, MAPPINGS, &root);
    let daemon = Daemon::start(&home, "a", &text);
    let archived = |daemon: &Daemon, topic| daemon.of_topic("alluvium_archive_position", topic);
    eventually("a part is archived", LIMIT, || 0.0 < archived(&daemon, "awkward-parquet"));
    daemon.kill();
    TOPICS.iter().for_each(|topic| produce(&producer, topic, 1));
    flush(&producer);
    assert_taken(&producer);
    let daemon = Daemon::start(&home, "a", &text);
    let records = pieces().len() * 5;
    for topic in TOPICS {
        eventually(topic, LIMIT, || records as f64 <= archived(&daemon, topic));
    }
    assert_eq!(daemon.stop(), 0);
    let file = home.join("a.toml");
    let with = |arguments: &[&str]| {
        let more = ["--config", file.to_str().unwrap()];
        let (code, said) = alluvium(&[arguments, &more].concat());
        assert_eq!(code, 0, "{arguments:?}: {said}");
        said
    };
    let _ = with(&["verify"]);

    let all = TOPICS.map(|topic| {
        let rows = expected(cluster.read_topic(topic), topic);
        assert_eq!(rows.as_array().unwrap().len(), records, "{topic}");
        (topic.to_string(), rows)
    });
    let expected = Value::Object(all.into_iter().collect());
    let expected_file = home.join("expected.json");
    std::fs::write(&expected_file, expected.to_string()).unwrap();
    let view = |engine: &str, mapping: &str, table: &str, more: &[&str]| {
        let of = ["ddl", mapping, "--engine", engine, "--table", table];
        Value::from(with(&[&of, more].concat()))
    };
    let mut views = serde_json::Map::new();
    for mapping in ["parquet", "appended", "hive", "jsonl", "text", "bad"] {
        let name = format!("awkward-{mapping}");
        let _ = views.insert(name.clone(), view("duckdb", mapping, &name, &[]));
    }
    let bad = "awkward-bad-quarantine";
    let _ = views.insert(bad.into(), view("duckdb", "bad", bad, &["--quarantine"]));
    let run = |python: &Path, script: &str, first: &str, views: serde_json::Map<String, Value>| {
        let views_file = home.join("views.json");
        std::fs::write(&views_file, Value::Object(views).to_string()).unwrap();
        let ran = Command::new(python)
            .args(["-c", &format!("{COMMON}{script}"), first])
            .args([&expected_file, &views_file])
            .output()
            .unwrap_or_else(|e| panic!("{} (testbed/setup): {e}", python.display()));
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
        said
    };
    let said = run(&python(), SCRIPT, root.to_str().unwrap(), views);
    let counts: std::collections::BTreeMap<String, usize> = serde_json::from_str(&said).unwrap();
    assert!(counts.len() == 13 && counts.values().all(|n| *n == records), "{counts:?}");

    if std::env::var_os("ALLUVIUM_SPARK").is_some() {
        let script = format!("{SPARK_SESSION}{SPARK}");
        for (version, python) in sparks() {
            let mut tables = serde_json::Map::new();
            for mapping in ["parquet", "appended", "hive", "jsonl"] {
                let _ =
                    tables.insert(format!("awkward-{mapping}"), view("spark", mapping, "x", &[]));
            }
            let warehouse = home.join(format!("warehouse-{version}"));
            println!("{}", run(&python, &script, warehouse.to_str().unwrap(), tables).trim_end());
        }
    }
    trino_reads_bytes(cluster, &home, &expected_file, &|mapping| view("trino", mapping, "x", &[]));
    hive_reads_bytes(cluster, &home, &expected_file, &|mapping| view("hive", mapping, "x", &[]));
    if std::env::var_os("ALLUVIUM_HIVE").is_some() {
        by_hive(cluster, &root.join("awkward-hive"), &expected["awkward-hive"]);
    }
}

/// The reader of Hive 3 itself, with the types that `alluvium ddl --engine hive` declares.
fn by_hive(cluster: &Cluster, directory: &Path, expected: &Value) {
    let names = "partition,offset,timestamp_ms,timestamp_type,key,key_bytes,value,value_bytes,\
                 headers,timestamp";
    let types = "int:bigint:bigint:string:string:binary:string:binary:\
                 array<struct<key:string,value:binary>>:bigint";
    let said = cluster.run(&["read-by-hive", names, types, directory.to_str().unwrap()]);
    let decode = |text: &Value| -> Vec<u8> {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap()
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let one_of = |text: &Value, bytes: &Value| match (text.as_str(), bytes) {
        (Some(text), Value::Null) => Value::from(hex(text.as_bytes())),
        (None, Value::Null) => Value::Null,
        (None, bytes) => Value::from(hex(&decode(bytes))),
        (Some(_), bytes) => panic!("{text} {bytes}"),
    };
    let mut rows: Vec<Vec<Value>> = Vec::new();
    for line in said.lines().filter(|line| line.starts_with('[')) {
        let row: Vec<Value> = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let headers: Vec<Value> = row[8]
            .as_array()
            .unwrap()
            .iter()
            .map(|h| {
                let name = hex(h[0].as_str().unwrap().as_bytes());
                json!([name, (!h[1].is_null()).then(|| hex(&decode(&h[1])))])
            })
            .collect();
        let readable = -2_208_988_800_000..=253_402_300_799_999;
        let micros = row[2].as_i64().filter(|ms| readable.contains(ms)).map(|ms| ms * 1_000);
        assert_eq!(row[9].as_i64(), micros, "{line}");
        let (key, value) = (one_of(&row[4], &row[5]), one_of(&row[6], &row[7]));
        let [partition, offset, millis, kind] = [0, 1, 2, 3].map(|n: usize| row[n].clone());
        rows.push(vec![partition, offset, millis, kind, key, value, headers.into()]);
    }
    rows.sort_by_key(|row| (row[0].as_i64(), row[1].as_i64()));
    for (got, want) in rows.iter().zip(expected.as_array().unwrap()) {
        assert_eq!(&Value::from(got.clone()), want);
    }
    assert_eq!(rows.len(), expected.as_array().unwrap().len());
    println!("the reader of Hive has read every byte of {} rows", rows.len());
}
