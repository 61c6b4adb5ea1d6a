//! Text, Avro, and what may be chosen about Parquet, as a daemon writes them that is killed in the
//! middle: read by readers that are not ours, and by the program itself.

use std::time::Duration;

use serde_json::{Value, json};

use super::config_with_local_root;
use super::hive::{AskedOfHive, hive_answers};
use super::readers::read_by_python;
use super::trino::{Asked, trino_answers};
use super::unfit::spark_answers;
use crate::support::{Cluster, Daemon, alluvium, eventually, flush, send_full};

const NAME: &str = "encodings";
/// Records of each topic, without the bad ones.
const RECORDS: i64 = 20_000;
const LIMIT: Duration = Duration::from_secs(90);

const MAPPINGS: &str = r#"
[mapping.lines]
topics = ["lines-in"]
archive = { format = "text", level = 6, path = "{topic}/dt=%F" }
[mapping.plain]
topics = ["plain-in"]
archive = { format = "text", codec = "none", path = "{topic}/Day=%F" }
[mapping.rows]
topics = ["rows-in"]
[mapping.rows.archive]
format = "avro"
codec = "zstandard"
level = 5
path = "{topic}/dt=%F"
columns = { n = "int64", at = "timestamp_ms" }
[mapping.rows.wordcount]
output_topic = "rows-counts"
window = "10m"
by = "key"
idle_after = "1s"
archive = { format = "avro", path = "{topic}/dt=%F" }
[mapping.old]
topics = ["hive-in"]
[mapping.old.archive]
compat = "hive3"
page_index = true
bloom_filter = true
codec = "gzip"
level = 9
path = "{topic}"
"#;

const SCRIPT: &str = r#"
import sys, json, glob, gzip, duckdb, fastavro, pyarrow.parquet as pq
root, duck = sys.argv[1], json.loads(sys.argv[2])
out = {}
lines = []
for file in glob.glob(f"{root}/lines-in/**/*.txt.gz", recursive=True):
    text = gzip.open(file).read().decode()
    assert text.endswith("\n"), file
    lines += text[:-1].split("\n")
out["text"] = [len(lines), len(set(lines)), sum(line == "" for line in lines)]
for name, view in duck.items():
    duckdb.execute(view)
    out[name] = list(duckdb.sql(f"select count(*), count(distinct value) from {name}").fetchone())
rows = []
for file in glob.glob(f"{root}/rows-in/**/*.avro", recursive=True):
    reader = fastavro.reader(open(file, "rb"))
    assert reader.metadata["alluvium.topic"] == "rows-in" and reader.codec == "zstandard"
    rows += list(reader)
ids = {(row["partition"], row["offset"]) for row in rows}
out["avro"] = [len(rows), len(ids), sum(row["n"] for row in rows),
    all(row["timestamp"].timestamp() * 1000 == row["timestamp_ms"] for row in rows),
    rows[0]["at"].isoformat(), *[str(v) for v in rows[0]["headers"][0].values()]]
bad = []
for file in glob.glob(f"{root}/_quarantine/rows-in/**/*.avro", recursive=True):
    bad += [(row["error"][:12], row["value"]) for row in fastavro.reader(open(file, "rb"))]
out["bad"] = sorted(bad)
counts = []
for file in glob.glob(f"{root}/rows-counts/**/*.avro", recursive=True):
    counts += list(fastavro.reader(open(file, "rb")))
out["counts"] = sum(row["count"] for row in counts)
old = glob.glob(f"{root}/hive-in/*.parquet")
out["old"] = []
found = 0
for file in old:
    metadata = pq.ParquetFile(file).metadata
    schema = pq.read_schema(file)
    group = metadata.row_group(0)
    key = [i for i in range(metadata.num_columns) if group.column(i).path_in_schema == "key"][0]
    kind, column = str(schema.field("timestamp").type), group.column(2)
    out["old"].append([kind, column.has_column_index, column.has_offset_index])
    found += duckdb.sql(f"select count(*) from parquet_metadata('{file}') "
        f"where path_in_schema = 'key' and bloom_filter_offset is not null").fetchone()[0]
out["old"] = sorted(set(map(tuple, out["old"])))
out["filters"] = 0 < found
everything = f"read_parquet('{root}/hive-in/*.parquet')"
columns = "count(*), max(value), max(timestamp) = 1000 * max(timestamp_ms)"
out["key"] = list(duckdb.sql(f"select {columns} from {everything} where key = 'key-77'").fetchone())
print(json.dumps(out))
"#;

fn produce(cluster: &Cluster, range: std::ops::Range<i64>) {
    let producer = cluster.producer();
    let millis = |n: i64| Some(1_735_751_000_000 + n * 100);
    for n in range {
        let (partition, line) = ((n % 3) as i32, format!("a line of {n} \u{1} \\N \"x\""));
        for topic in ["lines-in", "plain-in"] {
            send_full(&producer, topic, partition, None, Some(line.as_bytes()), &[], millis(n));
        }
        let key = format!("key-{}", n % 100);
        let value = format!("{{\"n\":{n},\"at\":{}}}", 1_735_751_000_000_i64);
        let headers: [(&str, Option<&[u8]>); 1] = [("h", Some(b"v"))];
        for topic in ["rows-in", "hive-in"] {
            let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
            send_full(&producer, topic, partition, key, value, &headers, millis(n));
        }
    }
    flush(&producer);
}

/// Records that are no lines of text, and no rows; and lines that are empty.
fn produce_what_is_odd(cluster: &Cluster) {
    let producer = cluster.producer();
    let at = Some(1_735_751_000_000);
    for value in [Some(&b"two\nlines"[..]), Some(b"\xff"), None, Some(b"cr\r")] {
        send_full(&producer, "lines-in", 1, None, value, &[], at);
    }
    for _ in 0..2 {
        send_full(&producer, "lines-in", 2, None, Some(b""), &[], at);
    }
    for value in [&b"not JSON"[..], b"{\"n\":\"7\"}"] {
        send_full(&producer, "rows-in", 0, Some(b"k"), Some(value), &[], at);
    }
    flush(&producer);
}

pub(crate) fn every_encoding_is_read(cluster: &Cluster) {
    let topics = ["lines-in", "plain-in", "rows-in", "hive-in"];
    topics.iter().for_each(|topic| cluster.create_topic(topic, 3));
    let home = cluster.home(NAME);
    let root = home.join("archive");
    let text = config_with_local_root(cluster, NAME, MAPPINGS, &root);
    let daemon = Daemon::start(&home, "a", &text);
    produce(cluster, 0..RECORDS / 2);
    produce_what_is_odd(cluster);
    eventually("something is archived", LIMIT, || {
        0.0 < daemon.of_topic("alluvium_archive_position", "rows-in")
    });
    daemon.kill();
    produce(cluster, RECORDS / 2..RECORDS);
    let daemon = Daemon::start(&home, "a", &text);
    let records = RECORDS as f64;
    let more = [("lines-in", 6.0), ("plain-in", 0.0), ("rows-in", 2.0), ("hive-in", 0.0)];
    for (topic, odd) in more {
        eventually(topic, LIMIT, || {
            records + odd <= daemon.of_topic("alluvium_archive_position", topic)
        });
    }
    cluster.all_published("rows-counts", RECORDS as u64 + 2);
    eventually("the counts are archived", LIMIT, || {
        let published = daemon.metric("alluvium_results_total", &[("mapping", "rows")]);
        published <= daemon.metric("alluvium_records_total", &[("role", "output")])
    });
    assert_eq!(daemon.stop(), 0);
    let file = home.join("a.toml");
    let with =
        |arguments: &[&str]| alluvium(&[arguments, &["--config", file.to_str().unwrap()]].concat());
    let (code, said) = with(&["verify"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = with(&["recount", "--mapping", "rows"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = with(&["where", "rows-in", "1", "5"]);
    assert!(code == 0 && said.contains(".avro"), "{said}");
    let (code, said) = with(&["where", "lines-in", "1", "5"]);
    assert!(code == 0 && said.contains("do not say their offsets"), "{said}");
    let views = ["lines", "plain"].map(|name| {
        let (code, view) = with(&["ddl", name, "--engine", "duckdb", "--table", name]);
        assert_eq!(code, 0, "{view}");
        (name.to_string(), Value::from(view))
    });
    read_by_others(&root.display().to_string(), &Value::Object(views.into_iter().collect()));
    bad_lines(&root);
    if std::env::var_os("ALLUVIUM_SPARK").is_some() {
        read_by_spark(&with, root.to_str().unwrap());
    }
    read_by_trino(cluster, file.to_str().unwrap());
    run_by_hive(cluster, &home);
    if std::env::var_os("ALLUVIUM_HIVE").is_some() {
        read_by_hive(cluster, &root.join("hive-in"));
        statements_are_parsed(cluster);
    }
}

/// Hive and Trino run the statements of some tables; their parsers take every statement that
/// `alluvium ddl` prints for them, and would refuse a wrong one.
fn statements_are_parsed(cluster: &Cluster) {
    let golden = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/ddl.sql"));
    for engine in ["hive", "trino"] {
        let (mut text, mut tables, mut is_its) = (String::new(), 0, false);
        for line in golden.lines() {
            if line.starts_with("-- ") && line.contains(" --engine ") {
                is_its = line.contains(&format!(" --engine {engine}"));
                tables += usize::from(is_its);
            }
            if is_its {
                text += &format!("{line}\n");
            }
        }
        let wanted = text.lines().filter(|line| line.ends_with(';')).count();
        let parse = |text: &str| cluster.pipe(&[&format!("parse-by-{engine}")], text);
        let said = parse(&text);
        let parsed = said.lines().filter(|line| line.starts_with("parsed ")).count();
        assert!(parsed == wanted && !said.contains("refused"), "{parsed} of {wanted}: {said}");
        assert!(tables <= parsed && 5 <= tables, "{said}");
        let wrong = parse(&text.replace("CREATE ", "CREATED "));
        assert!(wrong.contains("refused"), "{wrong}");
        println!("the parser of {engine} takes {parsed} statements of {tables} tables");
    }
}

/// The tables of `alluvium ddl --engine spark`. Avro is left out: Spark has a package of its own
/// for it.
fn read_by_spark(with: &dyn Fn(&[&str]) -> (i32, String), root: &str) {
    let mut asked = Vec::new();
    for (arguments, select, want) in [
        (
            &["lines"][..],
            "select count(*), count(distinct value), sum(int(value = '')), min(dt) from x",
            format!("{}|{}|2|2025-01-01", RECORDS + 2, RECORDS + 1),
        ),
        (
            &["lines", "--quarantine"],
            "select count(error), count(value_bytes) from x",
            "4|1".into(),
        ),
        (
            &["old"],
            "select count(*), sum(int(timestamp = 1000 * timestamp_ms)) from x where key >= 'key-'",
            format!("{RECORDS}|{RECORDS}"),
        ),
    ] {
        let (code, said) =
            with(&[&["ddl"], arguments, &["--engine", "spark", "--table", "x"]].concat());
        assert_eq!(code, 0, "{said}");
        asked.extend([said, select.to_string(), want]);
    }
    spark_answers(root, &asked);
}

/// The tables of `alluvium ddl --engine trino`, if it is there.
fn read_by_trino(cluster: &Cluster, config: &str) {
    let sum = RECORDS * (RECORDS - 1) / 2;
    let all: [Asked<'_>; 7] = [
        (
            &["lines"],
            "select count(*), count(distinct value), count_if(value = ''), min(dt) from \
             hive.default.x",
            format!("{}|{}|2|2025-01-01", RECORDS + 2, RECORDS + 1),
        ),
        (
            &["lines", "--quarantine"],
            "select count(error), count(value_bytes) from hive.default.x",
            "4|1".into(),
        ),
        (
            &["plain"],
            "select count(*), count(distinct value), min(day) from hive.default.x",
            format!("{RECORDS}|{RECORDS}|2025-01-01"),
        ),
        (
            &["rows"],
            "select count(distinct \"offset\" * 3 + \"partition\"), sum(n), \
             count_if(\"timestamp\" = 1000 * timestamp_ms), min(at), \
             count_if(headers[1].key = 'h' and headers[1].value = to_utf8('v')) \
             from hive.default.x",
            format!("{RECORDS}|{sum}|{RECORDS}|1735751000000000|{RECORDS}"),
        ),
        (
            &["rows", "--quarantine"],
            "select count(error), min(value), max(value) from hive.default.x",
            "2|not JSON|{\"n\":\"7\"}".into(),
        ),
        (
            &["rows", "--counts"],
            "select sum(\"count\"), count_if(window_end = window_start + 600000000) = count(*) \
             from hive.default.x",
            format!("{}|True", RECORDS + 2),
        ),
        (
            &["old"],
            "select count(*), count_if(\"timestamp\" = 1000 * timestamp_ms), count_if(key = \
             'key-77') from hive.default.x",
            format!("{RECORDS}|{RECORDS}|{}", RECORDS / 100),
        ),
    ];
    trino_answers(cluster, config, &all);
}

/// The tables of `alluvium ddl --engine hive`, if it is there.
fn run_by_hive(cluster: &Cluster, home: &std::path::Path) {
    let sum = RECORDS * (RECORDS - 1) / 2;
    let all: [AskedOfHive<'_>; 7] = [
        (
            &["lines"],
            "SELECT value, dt FROM x",
            "len(rows), len({r[0] for r in rows}), sum(r[0] == '' for r in rows), rows[0][1]",
            format!("{}|{}|2|2025-01-01", RECORDS + 2, RECORDS + 1),
        ),
        (
            &["lines", "--quarantine"],
            "SELECT error, value_bytes FROM x",
            "sum(r[0] is not None for r in rows), sum(r[1] is not None for r in rows)",
            "4|1".into(),
        ),
        (
            &["plain"],
            "SELECT value, `day` FROM x",
            "len(rows), len({r[0] for r in rows}), *{r[1] for r in rows}",
            format!("{RECORDS}|{RECORDS}|2025-01-01"),
        ),
        (
            &["rows"],
            "SELECT `partition`, `offset`, n, `timestamp`, timestamp_ms, `at`, headers FROM x",
            "len({tuple(r[:2]) for r in rows}), sum(r[2] for r in rows), \
             sum(r[3] == 1000 * r[4] for r in rows), rows[0][5], \
             sum(r[6] == [['h', 'dg==']] for r in rows)",
            format!("{RECORDS}|{sum}|{RECORDS}|1735751000000000|{RECORDS}"),
        ),
        (
            &["rows", "--quarantine"],
            "SELECT error, value FROM x",
            "len(rows), min(r[1] for r in rows), max(r[1] for r in rows)",
            "2|not JSON|{\"n\":\"7\"}".into(),
        ),
        (
            &["rows", "--counts"],
            "SELECT `count`, window_start, window_end FROM x",
            "sum(r[0] for r in rows), all(r[2] == r[1] + 600000000 for r in rows)",
            format!("{}|True", RECORDS + 2),
        ),
        (
            &["old"],
            "SELECT `timestamp`, timestamp_ms, key FROM x",
            "len(rows), sum(r[0] == 1000 * r[1] for r in rows), \
             sum(r[2] == 'key-77' for r in rows)",
            format!("{RECORDS}|{RECORDS}|{}", RECORDS / 100),
        ),
    ];
    hive_answers(cluster, home, &all);
}

/// The reader of Hive 3 itself, with the types that `alluvium ddl --engine hive` declares.
fn read_by_hive(cluster: &Cluster, directory: &std::path::Path) {
    let names = "partition,offset,timestamp,timestamp_ms,key,value,headers,key_bytes";
    let types = "int:bigint:bigint:bigint:string:string:array<struct<key:string,value:binary>>:\
                 binary";
    let said = cluster.run(&["read-by-hive", names, types, directory.to_str().unwrap()]);
    let mut rows: Vec<&str> = said.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(rows.len() as i64, RECORDS, "{said}");
    let first = "[0,0,1735751000000000,1735751000000,\"key-0\",";
    let found = rows.iter().find(|row| row.starts_with(first)).unwrap_or_else(|| panic!("{said}"));
    let found: Value = serde_json::from_str(found).unwrap();
    let headers = json!([["h", "dg=="]]);
    assert_eq!(found[5], "{\"n\":0,\"at\":1735751000000}");
    assert_eq!((&found[6], &found[7]), (&headers, &Value::Null));
    rows.sort_unstable();
    rows.dedup();
    assert_eq!(rows.len() as i64, RECORDS, "each row is there once");
}

fn read_by_others(root: &str, views: &Value) {
    let got = read_by_python(SCRIPT, &[root, &views.to_string()]);
    assert_eq!(got["text"], json!([RECORDS + 2, RECORDS + 1, 2]), "{got}");
    assert_eq!(got["lines"], json!([RECORDS + 2, RECORDS + 1]), "{got}");
    assert_eq!(got["plain"], json!([RECORDS, RECORDS]), "{got}");
    let sum = RECORDS * (RECORDS - 1) / 2;
    let avro = json!([RECORDS, RECORDS, sum, true, "2025-01-01T17:03:20+00:00", "h", "b'v'"]);
    assert_eq!(got["avro"], avro, "{got}");
    let bad = json!([["field n: \"7\"", "{\"n\":\"7\"}"], ["the value is", "not JSON"]]);
    assert_eq!(got["bad"], bad, "{got}");
    assert_eq!(got["counts"], RECORDS + 2, "{got}");
    assert_eq!((&got["old"], &got["filters"]), (&json!([["int64", true, true]]), &json!(true)));
    let last = json!([RECORDS / 100, "{\"n\":9977,\"at\":1735751000000}", true]);
    assert_eq!(got["key"], last, "{got}");
}

/// What is no line of text is whole in the quarantine, in JSON lines.
fn bad_lines(root: &std::path::Path) {
    let mut bad = Vec::new();
    let days = std::fs::read_dir(root.join("_quarantine/lines-in")).unwrap();
    for day in days {
        for file in std::fs::read_dir(day.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            assert!(path.to_str().unwrap().ends_with(".jsonl.gz"), "{}", path.display());
            let mut text = String::new();
            let file = std::fs::File::open(path).unwrap();
            let mut lines = flate2::read::MultiGzDecoder::new(file);
            let _ = std::io::Read::read_to_string(&mut lines, &mut text).unwrap();
            bad.extend(text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()));
        }
    }
    let mut said: Vec<String> = bad
        .iter()
        .map(|row| format!("{} {} {}", row["error"], row["value"], row["value_bytes"]))
        .collect();
    said.sort();
    assert_eq!(said.len(), 4, "{said:?}");
    for (row, parts) in said.iter().zip([
        ["no value", "null"],
        ["a line break", "\"cr\\r\""],
        ["a line break", "\"two\\nlines\""],
        ["not UTF-8", "\"/w==\""],
    ]) {
        assert!(parts.iter().all(|part| row.contains(part)), "{row} {parts:?}");
    }
}
