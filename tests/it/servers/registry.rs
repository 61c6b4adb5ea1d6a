//! Values of Avro whose schemas are in a real registry, which dies, comes back, and has a new
//! version of the schema.

use std::time::Duration;

use serde_json::{Value, json};

use super::config;
use super::readers::read_by_python;
use super::trino::trino_answers;
use crate::support::{
    Cluster, Daemon, alluvium, assert_line, check_live, eventually, flush, register, send_full,
};

/// One schema after the other, each of which can take the records of those before.
const FIELDS: [&str; 3] = [
    r#"{"name":"user","type":"string"},{"name":"n","type":"int"}"#,
    r#"{"name":"user","type":"string"},{"name":"n","type":"long"},
       {"name":"price","type":["null",{"type":"bytes","logicalType":"decimal","precision":9,
        "scale":2}],"default":null}"#,
    r#"{"name":"user","type":"string"},{"name":"n","type":"long"},
       {"name":"price","type":["null",{"type":"bytes","logicalType":"decimal","precision":9,
        "scale":2}],"default":null},
       {"name":"tags","type":{"type":"array","items":"string"},"default":[]},
       {"name":"timestamp","type":["null",{"type":"long","logicalType":"timestamp-millis"}],
        "default":null}"#,
];

const MAPPINGS: &str = r#"
[mapping.registered]
topics = ["registered-in"]
archive = { value = "registry" }
[mapping.latest]
topics = ["latest-in"]
archive = { value = "registry", evolution = "latest", raw_value = false, format = "avro" }
[mapping.beside]
topics = ["beside-in"]
"#;

/// What is written at a registry's own interface.
fn register_version(url: &str, version: usize) -> u32 {
    let schema =
        format!(r#"{{"type":"record","name":"shop.Order","fields":[{}]}}"#, FIELDS[version - 1]);
    register(url, "registered-in-value", &json!({ "schema": schema, "schemaType": "AVRO" }))
}

fn long(value: i64, out: &mut Vec<u8>) {
    let mut left = (value << 1 ^ value >> 63) as u64;
    while 0x7f < left {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// A record of a version, with the id before it as serializers write it.
fn value(id: u32, version: usize, n: i64) -> Vec<u8> {
    let mut out = vec![0];
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&body(version, n));
    out
}

fn body(version: usize, n: i64) -> Vec<u8> {
    let (mut out, user) = (Vec::new(), format!("u{}", n % 7));
    long(user.len() as i64, &mut out);
    out.extend_from_slice(user.as_bytes());
    long(n, &mut out);
    if 2 <= version {
        // A price of 1.50.
        long(1, &mut out);
        long(2, &mut out);
        out.extend_from_slice(&[0, 150]);
    }
    if 3 <= version {
        long(1, &mut out);
        long(1, &mut out);
        out.extend_from_slice(b"x");
        long(0, &mut out);
        long(1, &mut out);
        long(1_795_366_982_000, &mut out);
    }
    out
}

/// Of each twenty records one is bad, in one of these ways. An id that does not exist is in the
/// first batch alone: only a registry that answers can say so.
fn bad(id: u32, n: i64) -> Vec<u8> {
    let good = value(id, 1, n);
    match n / 20 % 4 {
        1 => [&good[..], b"more"].concat(),
        2 if n < BATCH => value(987_654, 1, n),
        3 => b"{\"user\":\"u1\"}".to_vec(),
        _ => good[..good.len() - 1].to_vec(),
    }
}

/// So many records are sent to a partition at a time.
const BATCH: i64 = 400;

/// Sends a batch: versions in turn, one bad record in twenty, and a tombstone in a hundred.
fn produce(cluster: &Cluster, of: (&str, i32), ids: &[u32], batch: i64) {
    let producer = cluster.producer();
    for n in batch * BATCH..(batch + 1) * BATCH {
        let version = (n as usize % ids.len()) + 1;
        let id = ids[version - 1];
        let at = Some(1_795_366_982_000 + n);
        let header = [&[0][..], &id.to_be_bytes()].concat();
        let in_header = [("__value_schema_id", Some(&header[..]))];
        let (value, headers) = match n % 100 {
            19 | 39 | 59 | 79 | 99 => (Some(bad(ids[0], n)), &[][..]),
            50 => (None, &[][..]),
            // As newer serializers write it.
            51 => (Some(body(version, n)), &in_header[..]),
            _ => (Some(value(id, version, n)), &[][..]),
        };
        send_full(&producer, of.0, of.1, Some(b"k"), value.as_deref(), headers, at);
    }
    flush(&producer);
}

const SCRIPT: &str = r#"
import sys, json, decimal, duckdb, pyarrow.dataset as ds, fastavro, glob
root = sys.argv[1]
good = f"read_parquet('{root}/registered-in/**/*.parquet', union_by_name=true)"
bad = f"read_parquet('{root}/_quarantine/registered-in/**/*.parquet')"
ids = "(partition, \"offset\")"
out = {}
out["good"] = duckdb.sql(f"select count(*), count(distinct {ids}), count(\"user\"), count(n), "
    f"count(price), max(price)::varchar, count(tags), epoch_ms(max(value_timestamp)), "
    f"count(value_bytes), sum(n)::bigint from {good}").fetchone()
out["bad"] = duckdb.sql(f"select count(*), count(distinct {ids}), count(value) + "
    f"count(value_bytes) from {bad}").fetchone()
out["errors"] = dict(duckdb.sql(f"select regexp_replace(error, '[0-9]+', '#', 'g') as e, "
    f"count(*) from {bad} group by e").fetchall())
files = glob.glob(f"{root}/registered-in/**/*.parquet", recursive=True)
# A tombstone before any value stands in a file without the columns of a schema.
out["columns"] = sorted({len(ds.dataset(f).schema) for f in files} - {12})
out["arrow"] = sum(ds.dataset(f).count_rows() for f in files)
rows = []
for f in glob.glob(f"{root}/latest-in/**/*.avro", recursive=True):
    rows += list(fastavro.reader(open(f, "rb")))
out["latest"] = [len(rows), len({(r["partition"], r["offset"]) for r in rows}),
    sum(r["n"] or 0 for r in rows), str(max(r.get("price") or decimal.Decimal(0) for r in rows))]
print(json.dumps(out))
"#;

/// The registry dies before a new version is read, and comes back.
pub(crate) fn a_registry_that_dies_and_comes_back(cluster: &Cluster) {
    let name = "registry";
    let _ = cluster.run(&["up", "registry=1"]);
    let url = cluster.registry();
    cluster.create_topic("registered-in", 2);
    cluster.create_topic("latest-in", 1);
    cluster.create_topic("beside-in", 1);
    let old = [register_version(&url, 1), register_version(&url, 2)];
    let table = format!("[registry]\nurl = \"{url}\"\ntimeout = \"2s\"\n");
    let text = format!("{table}{}", config(cluster, name, MAPPINGS));
    let (code, said) = check_live(&cluster.home(name), &text, &[]);
    assert_eq!(code, 0, "{said}");
    let _ = assert_line(&said, "ok", &["registry http://", "schemas of AVRO, JSON, PROTOBUF"]);

    // Two versions in turn, and a kill in the middle.
    let produce_all = |batch| {
        for of in [("registered-in", 0), ("registered-in", 1), ("latest-in", 0)] {
            produce(cluster, of, &old, batch);
        }
    };
    produce_all(0);
    let daemon = Daemon::start(&cluster.home(name), "a", &text);
    let position = |daemon: &Daemon, topic: &str, partition: &str| {
        let labels = [("topic", topic), ("partition", partition)];
        daemon.metric("alluvium_archive_position", &labels)
    };
    let archived = |daemon: &Daemon, batches: i64| {
        let all = [("registered-in", "0"), ("registered-in", "1"), ("latest-in", "0")];
        let ends = (batches * BATCH) as f64;
        all.iter().all(|(topic, partition)| ends <= position(daemon, topic, partition))
    };
    eventually("a batch is archived", Duration::from_secs(60), || archived(&daemon, 1));
    produce_all(1);
    eventually("a part is archived", Duration::from_secs(60), || {
        2.0 * (BATCH as f64) < daemon.of_topic("alluvium_archive_position", "registered-in")
    });
    daemon.kill();

    // The registry dies. What it has told before is in the root, and a new version is not.
    let all = [old[0], old[1], register_version(&url, 3)];
    let _ = cluster.run(&["kill", "registry"]);
    let daemon = Daemon::start(&cluster.home(name), "a", &text);
    eventually("the old versions are archived", Duration::from_secs(60), || archived(&daemon, 2));
    for of in [("registered-in", 0), ("latest-in", 0)] {
        produce(cluster, of, &all, 2);
    }
    waits_alone(cluster, &daemon, &|topic, partition| position(&daemon, topic, partition), &old);
    let (code, said) = check_live(&cluster.home(name), &text, &[]);
    assert_ne!(code, 0, "{said}");
    let _ = assert_line(&said, "WRONG", &["registry http://"]);

    let _ = cluster.run(&["start", "registry"]);
    eventually("what waited is archived", Duration::from_secs(60), || archived(&daemon, 3));
    let log = daemon.log_text();
    assert!(log.contains("the schemas of mapping.registered are known again after"), "{log}");
    assert!(daemon.get("/readyz").is_some(), "it is ready again");
    assert_eq!(daemon.stop(), 0);
    let _ = cluster.run(&["kill", "registry"]);
    assert_files(cluster, name);
    // A column has become larger with the second version, and the files of the first one have it.
    let file = cluster.home(name).join("a.toml");
    let id = all[2].to_string();
    let table = ["registered", "--schema", &id];
    let select = "select count(n), sum(n), cast(max(price) as varchar), cast(max(value_timestamp) \
                  as varchar) from hive.default.x";
    let sum = 2 * sum_of(0..3);
    let rows = 6 * BATCH - 6 * BATCH / 20 - 6 * BATCH / 100;
    let want = format!("{rows}|{sum}|1.50|2026-11-22 17:03:02.000000");
    trino_answers(cluster, file.to_str().unwrap(), &[(&table, select, want)]);
}

/// Whether the record with this number becomes a row with a value.
fn has_value(n: i64) -> bool {
    n % 20 != 19 && n % 100 != 50
}

/// The sum of the numbers of rows with a value in these batches of one partition.
fn sum_of(batches: std::ops::Range<i64>) -> i64 {
    (batches.start * BATCH..batches.end * BATCH).filter(|n| has_value(*n)).sum()
}

/// One partition waits for a schema; its neighbour and another mapping do not.
fn waits_alone(
    cluster: &Cluster,
    daemon: &Daemon,
    position: &dyn Fn(&str, &str) -> f64,
    old: &[u32],
) {
    eventually("the outage is told", Duration::from_secs(30), || {
        daemon.log_text().contains("a schema of mapping.registered can't be had (schema ")
    });
    produce(cluster, ("registered-in", 1), old, 2);
    produce(cluster, ("beside-in", 0), old, 0);
    eventually("all others go on", Duration::from_secs(30), || {
        3.0 * BATCH as f64 <= position("registered-in", "1")
            && BATCH as f64 <= position("beside-in", "0")
    });
    assert!(position("registered-in", "0") < 3.0 * BATCH as f64, "it has no schema for these");
    let failed = [("mapping", "registered"), ("outcome", "failed")];
    assert!(0.0 < daemon.metric("alluvium_schemas_total", &failed));
    let status = daemon.get("/status.json").unwrap();
    let status: Value = serde_json::from_str(&status).unwrap();
    let outage = |of: &Value| of["of"] == "registry" && of["mapping"] == "registered";
    assert!(status["outages"].as_array().unwrap().iter().any(outage), "{status}");
    let reasons = status["not_ready"].to_string();
    assert!(reasons.contains("a schema of mapping.registered can't be had, for "), "{reasons}");
}

/// Every record is a row or in the quarantine, once, with the columns of its schema.
fn assert_files(cluster: &Cluster, name: &str) {
    let root = cluster.copied_root(name);
    let root = root.trim_start_matches("file://");
    let got = read_by_python(SCRIPT, &[root]);
    // Three batches in two partitions.
    let (all, wrong) = (6 * BATCH, 6 * BATCH / 20);
    let tombstones = 6 * BATCH / 100;
    let good = all - wrong;
    let is_row = |n: &i64| has_value(*n);
    // Which records have the third version, or one with a price.
    let third = (2 * BATCH..3 * BATCH).filter(is_row).filter(|n| n % 3 == 2).count();
    let priced = |n: &i64, versions: i64| n % versions != 0;
    let two = (0..2 * BATCH).filter(is_row).filter(|n| priced(n, 2)).count() * 2;
    let last = (2 * BATCH..3 * BATCH).filter(is_row);
    let last =
        last.clone().filter(|n| priced(n, 3)).count() + last.filter(|n| priced(n, 2)).count();
    let of_rows = good - tombstones;
    assert_eq!(
        got["good"],
        json!([
            good,
            good,
            of_rows,
            of_rows,
            two + last,
            "1.50",
            third,
            1_795_366_982_000_i64,
            of_rows,
            2 * sum_of(0..3)
        ]),
        "{got}"
    );
    assert_eq!(got["bad"], json!([wrong, wrong, wrong]), "{got}");
    assert_eq!(got["arrow"], json!(good));
    let (of_each, of_first) = (wrong / 4, wrong / 12);
    let errors = json!({
        "schema #: field n: the value ends too early": 2 * of_each - of_first,
        "schema #: # bytes are left behind the last field": of_each,
        "the registry has no schema #": of_first,
        "the value does not begin with a zero byte and a schema's id of four bytes": of_each,
    });
    assert_eq!(got["errors"], errors, "{got}");
    assert_eq!(got["columns"], json!([14, 15, 17]), "files have the columns of one schema each");
    let half = good / 2;
    assert_eq!(got["latest"], json!([half, half, sum_of(0..3), "1.50"]), "{got}");

    let file = cluster.home(name).join("a.toml");
    let (code, said) = alluvium(&["verify", "--config", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
}
