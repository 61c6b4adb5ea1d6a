//! Readers that are not ours: pyarrow and DuckDB read the files as they are.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::config;
use crate::support::{Cluster, Daemon, Lines, alluvium, eventually, flush, send};

/// What engines of SQL answer that print bytes in Base64, compared; it stands behind
/// [`super::awkward::COMMON`].
pub(super) const OF_ENGINES: &str = r#"
def raw(text):
    return None if text is None else base64.b64decode(text, validate=True)

def with_bytes(row):
    """A row of Parquet or Avro, with the bytes that come in Base64."""
    for name in ("key_bytes", "value_bytes"):
        row[name] = raw(row[name])
    row["headers"] = [{"key": key, "value": raw(value)} for key, value in row["headers"]]
    return row

def is_line(want):
    try:
        text = bytes.fromhex("ff" if want[5] is None else want[5]).decode()
    except UnicodeDecodeError:
        return False
    return "\n" not in text and "\r" not in text

def same_lines(rows, expected):
    """Files of text have the values that are lines, and nothing else."""
    got = sorted(row["value"].encode().hex() for row in rows)
    want = sorted(want[5] for want in expected if is_line(want))
    assert got == want, set(got) ^ set(want)
"#;

const SCRIPT: &str = r#"
import sys, json, pyarrow as pa, pyarrow.dataset as ds, duckdb
root, topic, counts = sys.argv[1:]
# As docs/files.md says of directories with files of several versions of the columns.
first = ds.dataset(f"{root}/{topic}", partitioning="hive")
schemas = [first.schema, *(f.physical_schema for f in first.get_fragments())]
schema = pa.unify_schemas(schemas, promote_options="permissive")
raw = ds.dataset(f"{root}/{topic}", partitioning="hive", schema=schema)
table = raw.to_table()
out = {"schema": {f.name: str(f.type) for f in raw.schema}, "rows": table.num_rows,
       "rows_by_first": first.to_table().num_rows,
       "partitions": sorted(set(table["dt"].to_pylist()))}
rows = f"read_parquet('{root}/{topic}/**/*.parquet', union_by_name=true)"
ids = '("partition", "offset")'
ms = "coalesce(timestamp_ms, epoch_ms(timestamp))"
same = "(timestamp_ms is null or timestamp_ms = epoch_ms(timestamp))"
columns = f"count(*), count(distinct {ids}), min({ms}), max({ms})"
columns += f", count(timestamp_ms), bool_and({same})"
out["duckdb"] = list(duckdb.sql(f"select {columns} from {rows}").fetchone())
rows = f"read_parquet('{root}/**/*.parquet', union_by_name=true)"
everything = duckdb.sql(f"select count(*) from {rows}").fetchone()
out["everything"] = everything[0]
rows = f"read_parquet('{root}/{counts}/**/*.parquet')"
words = duckdb.sql(f"select word, sum(count)::bigint from {rows} group by word").fetchall()
out["words"] = dict(words)
print(json.dumps(out))
"#;

/// What a script prints, as JSON; readers that are not ours run in it.
pub(super) fn read_by_python(script: &str, arguments: &[&str]) -> Value {
    let ran = Command::new(python())
        .args(["-c", script])
        .args(arguments)
        .output()
        .unwrap_or_else(|e| panic!("{} (make python sets it up): {e}", python().display()));
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).unwrap()
}

/// The Python that `make` set up.
pub(super) fn python() -> PathBuf {
    match std::env::var_os("ALLUVIUM_PYTHON") {
        Some(path) => path.into(),
        None => {
            let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
                || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache"),
                PathBuf::from,
            );
            cache.join("alluvium/python/bin/python")
        }
    }
}

/// The SQL of a recount, and the same with one count too many.
const RECOUNT: &str = r#"
import sys, json, duckdb
*views, differences = duckdb.extract_statements(sys.argv[1])
for view in views: duckdb.execute(view)
# DuckDB has no function for the text of bytes that are no UTF-8.
rows = [row for row in duckdb.execute(differences).fetchall() if "\ufffd" not in row[1]]
out = {"differences": rows}
out["recounted"] = duckdb.sql("select sum(words)::bigint from recounted").fetchone()[0]
word = duckdb.sql("select max(word) from published").fetchone()[0]
wrong = f"(select window_start_ms, word, words + (word = '{word}')::int as words from published)"
duckdb.sql(f"create table wrong as from {wrong}")
planted = differences.query.replace("FROM published AS p", "FROM wrong AS p")
out["planted"] = sorted({row[1] for row in duckdb.execute(planted).fetchall()}) == [word]
print(json.dumps(out))
"#;

/// The SQL of a recount finds no difference, and counts at least so many words.
pub(super) fn recount_on_an_engine(arguments: &[&str], words: u64) {
    let (code, sql) = alluvium(&[&["recount", "--sql", "duckdb"], arguments].concat());
    assert_eq!(code, 0, "{sql}");
    let ran = Command::new(python()).args(["-c", RECOUNT, &sql]).output().unwrap();
    assert!(ran.status.success(), "{}\n{sql}", String::from_utf8_lossy(&ran.stderr));
    let got: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((&got["differences"], &got["planted"]), (&json!([]), &json!(true)), "{got} {sql}");
    assert!(words <= got["recounted"].as_u64().unwrap(), "{got} {sql}");
}

pub(crate) fn foreign_readers(cluster: &Cluster) {
    let (name, topic, counts) = ("readers", "readers-in", "readers-counts");
    cluster.create_topic(topic, 3);
    let root = cluster.home(name).join("archive");
    let mapping = format!(
        r#"
[mapping.readers]
topics = ["{topic}"]
archive = {{ root = "file://{0}" }}
[mapping.readers.wordcount]
output_topic = "{counts}"
archive = {{ root = "file://{0}", path = "{{topic}}/dt=%F" }}
"#,
        root.display()
    );
    let producer = cluster.producer();
    let mut lines = Lines::new(7, 100);
    let mut line = String::new();
    for i in 0..3_000 {
        lines.next(&mut line);
        send(
            &producer,
            topic,
            i % 3,
            line.as_bytes(),
            Some(1_735_751_000_000 + i64::from(i) * 60_000),
        );
    }
    flush(&producer);
    let daemon = Daemon::start(&cluster.home(name), "a", &config(cluster, name, &mapping));
    cluster.all_published(counts, lines.total());
    eventually("all counted and read back", Duration::from_secs(60), || {
        let published = daemon.metric("alluvium_results_total", &[("mapping", "readers")]);
        3_000.0 <= daemon.of_topic("alluvium_results_position", topic)
            && published <= daemon.metric("alluvium_records_total", &[("role", "output")])
    });
    assert_eq!(daemon.stop(), 0);
    let file = cluster.home(name).join("a.toml");
    let of_mapping = ["--mapping", "readers", "--config", file.to_str().unwrap()];
    recount_on_an_engine(&of_mapping, lines.total());
    // A file that a daemon of version 1 of the columns wrote is read with the others.
    let old = root.join(topic).join("dt=2025-01-01/hr=17/part-of-version-1.parquet");
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/raw-v1.parquet");
    let _ = std::fs::copy(golden, old).unwrap();
    let got = read_by_python(SCRIPT, &[root.to_str().unwrap(), topic, counts]);
    // The old file has 19 rows, of offsets that the new ones have, too.
    assert_eq!(got["rows"], 3_019);
    assert_eq!(got["rows_by_first"], 3_019);
    let times = (1_735_751_000_000_i64, 1_735_751_000_000_i64 + 2_999 * 60_000);
    let wanted = serde_json::json!([3_019, 3_000, times.0, times.1, 3_000, true]);
    assert_eq!(got["duckdb"], wanted);
    let schema = &got["schema"];
    for (column, kind) in [
        ("topic", "string"),
        ("partition", "int32"),
        ("offset", "int64"),
        ("timestamp", "timestamp[us, tz=UTC]"),
        ("timestamp_ms", "int64"),
        ("timestamp_type", "string"),
        ("key", "string"),
        ("value", "string"),
        ("value_bytes", "binary"),
        ("headers", "list<element: struct<key: string not null, value: binary> not null>"),
    ] {
        assert_eq!(schema[column], kind, "{column}: {schema}");
    }
    assert_eq!(got["partitions"], serde_json::json!(["2025-01-01", "2025-01-02", "2025-01-03"]));
    let words: std::collections::HashMap<String, u64> =
        serde_json::from_value(got["words"].clone()).unwrap();
    assert_eq!(words, lines.expected());
    assert_eq!(
        got["everything"].as_u64(),
        Some(3_019 + cluster.archive(&format!("file://{}", root.display()), counts, counts).rows)
    );
}
