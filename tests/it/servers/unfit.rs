//! Records that do not fit the archive's columns: the quarantine, and what else may become of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::config;
use super::hive::hive_reads_columns;
use super::readers::{python, read_by_python, recount_on_an_engine};
use super::trino::trino_reads_columns;
use crate::support::{Cluster, Daemon, alluvium, eventually, flush, send_full};

const COLUMNS: &str = r#"
[mapping.unfit]
topics = ["unfit-in"]
[mapping.unfit.archive]
codec = "gzip"
[mapping.unfit.archive.columns]
user = "string"
n = "int64"
"http.status" = "int32"
ratio = "float64"
price = "decimal(12,2)"
day = "date"
at = "timestamp_ms"
tags = "json"
[mapping.unfit.wordcount]
output_topic = "unfit-counts"
window = "2s"
idle_after = "1s"
[mapping.typed]
topics = ["unfit-typed"]
[mapping.typed.archive]
format = "jsonl"
raw_value = false
[mapping.typed.archive.columns]
user = "string"
n = "int64"
"http.status" = "int32"
price = "decimal(12,2)"
day = "date"
at = "timestamp_ms"
tags = "json"
[mapping.nested]
topics = ["nested-in"]
[mapping.nested.archive]
format = "jsonl"
codec = "none"
value = "json"
tombstones = "drop"
on_bad_record = "skip"
"#;

/// Ten kinds of records that do not fit, and a part of what is said of each.
const BAD: [(Option<&[u8]>, &str); 10] = [
    (Some(b"not JSON at all"), "the value is not a JSON object"),
    (Some(b""), "the value is not a JSON object"),
    (Some(b"{\"user\":\"\xff\"}"), "the value is not UTF-8"),
    (Some(b"[1,2,3]"), "the value is not a JSON object"),
    (Some(b"{\"user\":\"cut"), "the value is not a JSON object"),
    (Some(b"{\"n\":9223372036854775808}"), "field n: 9223372036854775808 is not a int64"),
    (Some(b"{\"http\":{\"status\":\"404\"}}"), "field http.status: \"404\" is not a int32"),
    (Some(b"{\"price\":1.005}"), "field price: 1.005 is not a decimal(12,2)"),
    (Some(b"{\"day\":\"2026-02-30\"}"), "field day: \"2026-02-30\" is not a date"),
    (Some(b"{\"at\":99999999999999999}"), "field at: 99999999999999999 is not a timestamp_ms"),
];

const SCRIPT: &str = r#"
import sys, json, duckdb, pyarrow.dataset as ds
root = sys.argv[1]
good = f"read_parquet('{root}/unfit-in/**/*.parquet')"
bad = f"read_parquet('{root}/_quarantine/unfit-in/**/*.parquet')"
ids = "(partition, \"offset\")"
out = {}
out["good"] = duckdb.sql(f"select count(*), count(distinct {ids}), count(user), sum(n)::bigint, "
    f"sum(price)::varchar, max(http_status), min(day)::varchar, epoch_ms(max(\"at\")), "
    f"count(tags->>'$[0]'), count(value) from {good}").fetchone()
out["bad"] = duckdb.sql(f"select count(*), count(distinct {ids}), "
    f"count(coalesce(value::blob, value_bytes)) from {bad}").fetchone()
errors = duckdb.sql(f"select error, count(*) from {bad} group by error")
out["errors"] = dict(errors.fetchall())
both = " union all ".join(f"select partition, \"offset\" from {rows}" for rows in (good, bad))
out["both"] = duckdb.sql(f"select count(distinct {ids}) from ({both})").fetchone()[0]
types = ds.dataset(f"{root}/unfit-in", partitioning="hive").schema
out["types"] = {f.name: str(f.type) for f in types}
print(json.dumps(out))
"#;

/// Each partition gets so many records, and every 20th is a bad one.
pub(super) const RECORDS: i64 = 2_000;

fn produce(cluster: &Cluster, half: i64) {
    let producer = cluster.producer();
    for n in (half * RECORDS / 2)..((half + 1) * RECORDS / 2) {
        for partition in 0..2 {
            let good = format!(
                "{{\"user\":\"u{}\",\"n\":{n},\"http\":{{\"status\":200}},\"price\":{}.25,\
                 \"ratio\":0.5,\"day\":\"2026-11-{:02}\",\"at\":{},\"tags\":[\"a\"],\
                 \"more\":null}}",
                n % 7,
                n % 100,
                n % 28 + 1,
                1_795_366_982_000 + n
            );
            let value = match n % 20 {
                19 => BAD[(n / 20 % 10) as usize].0,
                _ => Some(good.as_bytes()),
            };
            let at = Some(1_795_366_982_000 + n);
            for topic in ["unfit-in", "unfit-typed"] {
                send_full(&producer, topic, partition, Some(b"k"), value, &[], at);
            }
        }
        let value = match n % 20 {
            19 => Some(&b"{\"n\":"[..]),
            18 => None,
            _ => Some(&b"{\"n\":\n1}"[..]),
        };
        send_full(&producer, "nested-in", 0, None, value, &[], None);
    }
    flush(&producer);
}

/// Typed columns and a quarantine, with a kill on the way: every record is in exactly one of them,
/// is counted, and is read by foreign readers.
pub(crate) fn records_that_do_not_fit(cluster: &Cluster) {
    let name = "unfit";
    cluster.create_topic("unfit-in", 2);
    cluster.create_topic("unfit-typed", 2);
    cluster.create_topic("nested-in", 1);
    produce(cluster, 0);
    let text = config(cluster, name, COLUMNS);
    let file = cluster.home(name).join("a.toml");
    let daemon = Daemon::start(&cluster.home(name), "a", &text);
    let archived = |daemon: &Daemon, topic| daemon.of_topic("alluvium_archive_position", topic);
    eventually("a part is archived", Duration::from_secs(60), || {
        0.0 < archived(&daemon, "unfit-in")
    });
    daemon.kill();
    produce(cluster, 1);
    let daemon = Daemon::start(&cluster.home(name), "a", &text);
    eventually("counted and archived", Duration::from_secs(90), || {
        let done = 2.0 * RECORDS as f64;
        done <= archived(&daemon, "unfit-in")
            && done <= daemon.of_topic("alluvium_results_position", "unfit-in")
            && done <= archived(&daemon, "unfit-typed")
            && RECORDS as f64 <= archived(&daemon, "nested-in")
    });
    eventually("the counts are archived", Duration::from_secs(60), || {
        let counts = cluster.read_topic("unfit-counts");
        daemon.archived_all("unfit-counts", &counts);
        2 * RECORDS as u64 <= cluster.published_words("unfit-counts").values().sum()
    });
    // The rest is counted in the process that was killed.
    let unfit = |mapping, outcome| {
        let labels = [("mapping", mapping), ("outcome", outcome)];
        daemon.metric("alluvium_unfit_records_total", &labels)
    };
    assert!(50.0 <= unfit("unfit", "quarantined"), "{}", unfit("unfit", "quarantined"));
    assert!(25.0 <= unfit("nested", "skipped") && 25.0 <= unfit("nested", "dropped"));
    let log = daemon.log_text();
    assert!(log.contains("records do not fit the archive's columns or format"), "{log}");
    assert_eq!(daemon.stop(), 0);

    let root = cluster.copied_root(name);
    let root = root.trim_start_matches("file://");
    let got = read_by_python(SCRIPT, &[root]);
    assert_columns(&got);
    assert_nested(&std::path::Path::new(root).join("nested-in"));

    let config = file.to_str().unwrap();
    assert_views(config, root);
    let of_copy = ["--mapping", "unfit", "--root", &format!("file://{root}"), "--config", config];
    recount_on_an_engine(&of_copy, 2 * RECORDS as u64);
    if std::env::var_os("ALLUVIUM_SPARK").is_some() {
        assert_tables_of_spark(config, root);
    }
    trino_reads_columns(cluster, config);
    hive_reads_columns(cluster, &cluster.home(name));
    for command in [
        &["verify", "--config", config][..],
        &["recount", "--config", config, "--mapping", "unfit"],
    ] {
        let (code, said) = alluvium(command);
        assert_eq!(code, 0, "{command:?}: {said}");
    }
    let (code, said) = alluvium(&["where", "unfit-in", "0", "19", "--config", config]);
    assert!(code == 0 && said.contains("/_quarantine/unfit-in/dt=2026-11-"), "{said}");
    assert!(said.contains("the row's column `error` says why"), "{said}");
    let (code, said) = alluvium(&["where", "nested-in", "0", "18", "--config", config]);
    assert!(code == 0 && said.contains("tombstones = \"drop\""), "{said}");
}

/// The views of `alluvium ddl` have every row, and a column for each directory.
fn assert_views(config: &str, root: &str) {
    let root = format!("file://{root}");
    let (sum, price) = (of_good(|n| n), of_good(|n| n % 100 * 100 + 25));
    let price = format!("{}.{:02}", price / 100, price % 100);
    let typed = format!(
        "3800, 3800, {sum}, '{price}', 200, '2026-11-01', {}, 3800",
        1_795_366_982_000 + RECORDS - 2
    );
    for (arguments, select, want) in [
        (&["unfit"][..], "select count(n), count(distinct dt || hr) from x", "1900 * 2, 1"),
        (&["unfit", "--quarantine"], "select count(error), min(dt) from x", "200, '2026-11-22'"),
        (&["typed", "--quarantine"], "select count(error), min(dt) from x", "200, '2026-11-22'"),
        // The sums are those of the columns of Parquet.
        (
            &["typed"],
            "select count(*), count(distinct (partition, \"offset\")), sum(n)::bigint, \
             sum(price)::varchar, max(http_status), min(day)::varchar, epoch_ms(max(\"at\")), \
             count(tags->>'$[0]') from x",
            &typed,
        ),
        (&["unfit", "--counts"], "select sum(count) > 4000, count(dt) > 0 from x", "True, True"),
        (
            &["nested"],
            "select count(*), sum((value->>'$.n')::int)::int from x where hr is not null",
            "1800, 1800",
        ),
    ] {
        let more = ["--engine", "duckdb", "--table", "x", "--root", &root, "--config", config];
        let (code, view) = alluvium(&[&["ddl"], arguments, &more[..]].concat());
        assert_eq!(code, 0, "{view}");
        let script = "import sys, duckdb\nduckdb.sql(sys.argv[1])\n\
                      got = duckdb.sql(sys.argv[2]).fetchone()\n\
                      assert got == (eval(sys.argv[3])), got";
        let ran = Command::new(python()).args(["-c", script, &view, select, want]).output();
        let ran = ran.unwrap();
        assert!(ran.status.success(), "{view}\n{}", String::from_utf8_lossy(&ran.stderr));
    }
}

/// A sum over the records that fit.
pub(super) fn of_good(f: fn(i64) -> i64) -> i64 {
    2 * (0..RECORDS).filter(|n| n % 20 != 19).map(f).sum::<i64>()
}

fn assert_columns(got: &Value) {
    let (all, bad) = (2 * RECORDS, 2 * RECORDS / 20);
    let good = all - bad;
    let price = of_good(|n| n % 100 * 100 + 25);
    assert_eq!(
        got["good"],
        json!([
            good,
            good,
            good,
            of_good(|n| n),
            format!("{}.{:02}", price / 100, price % 100),
            200,
            "2026-11-01",
            1_795_366_982_000 + RECORDS - 2,
            good,
            good
        ])
    );
    assert_eq!(got["bad"], json!([bad, bad, bad]));
    assert_eq!(got["both"], json!(all));
    let errors: BTreeMap<String, i64> = serde_json::from_value(got["errors"].clone()).unwrap();
    for (_, want) in BAD {
        assert!(errors.keys().any(|error| error.starts_with(want)), "{want}: {errors:?}");
    }
    for (column, kind) in [
        ("user", "string"),
        ("n", "int64"),
        ("http_status", "int32"),
        ("price", "decimal128(12, 2)"),
        ("day", "date32[day]"),
        ("at", "timestamp[us, tz=UTC]"),
        ("tags", "string"),
        ("value", "string"),
    ] {
        assert_eq!(got["types"][column], kind, "{column}");
    }
}

/// A session of Spark, whose warehouse is the first argument.
pub(super) const SPARK_SESSION: &str = r#"
import os, sys
packages = "java.lang java.lang.invoke java.lang.reflect java.io java.net java.nio java.util " \
    "java.util.concurrent java.util.concurrent.atomic sun.nio.ch sun.nio.cs sun.util.calendar"
opened = " ".join(f"--add-opens=java.base/{p}=ALL-UNNAMED" for p in packages.split())
# Spark 3.2 knows no Java 17.
os.environ["JAVA_TOOL_OPTIONS"] = opened
os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false") \
    .config("spark.sql.session.timeZone", "UTC") \
    .config("spark.sql.warehouse.dir", sys.argv[1]).getOrCreate()
"#;

const SPARK: &str = r#"
for statements, select, want in zip(sys.argv[2::3], sys.argv[3::3], sys.argv[4::3]):
    for statement in statements.split(";"):
        lines = [l for l in statement.splitlines() if l and not l.startswith("--")]
        if lines:
            spark.sql("\n".join(lines))
    got = "|".join(str(v) for v in spark.sql(select).first())
    assert got == want, f"{select}: {got}"
    spark.sql("drop table if exists x")
print("Spark", spark.version, "has read all")
"#;

/// The tables of `alluvium ddl` in the oldest and in the newest Spark that the documents name.
fn assert_tables_of_spark(config: &str, root: &str) {
    let url = format!("file://{root}");
    let mut asked = Vec::new();
    for (arguments, select, want) in [
        (
            &["unfit"][..],
            "select count(n), sum(http_status), max(day), unix_millis(max(at)), count(value), \
             count(distinct dt, hr) from x",
            format!("3800|760000|2026-11-28|{}|3800|1", 1_795_366_982_000 + RECORDS - 2),
        ),
        (
            &["typed"],
            "select count(n), sum(http_status), max(day), unix_millis(max(at)), sum(price), \
             count(get_json_object(tags, '$[0]')) from x",
            format!(
                "3800|760000|2026-11-28|{}|{}.{:02}|3800",
                1_795_366_982_000 + RECORDS - 2,
                of_good(|n| n % 100 * 100 + 25) / 100,
                of_good(|n| n % 100 * 100 + 25) % 100
            ),
        ),
        (
            &["unfit", "--quarantine"],
            "select count(error), min(dt) from x",
            "200|2026-11-22".into(),
        ),
        (
            &["unfit", "--counts"],
            "select sum(count) > 4000, count(dt) > 0 from x",
            "True|True".into(),
        ),
        (
            &["nested"],
            "select count(*), sum(cast(get_json_object(value, '$.n') as int)) from x",
            "1800|1800".into(),
        ),
    ] {
        let more = ["--engine", "spark", "--table", "x", "--root", &url, "--config", config];
        let (code, statements) = alluvium(&[&["ddl"], arguments, &more[..]].concat());
        assert_eq!(code, 0, "{statements}");
        asked.extend([statements, select.to_string(), want]);
    }
    let of_copy = ["--mapping", "unfit", "--root", &url, "--config", config];
    let (code, recount) = alluvium(&[&["recount", "--sql", "spark"], &of_copy[..]].concat());
    let (views, differences) = recount.rsplit_once("SELECT window_start_ms, word, coal").unwrap();
    let differences = differences.trim_end().trim_end_matches(';');
    let differences = format!("SELECT window_start_ms, word, coal{differences}");
    let select = "select min(window_start_ms) > 0, sum(words) > 4000 from recounted";
    asked.extend([views.into(), format!("select count(*) from ({differences})"), "0".into()]);
    asked.extend([views.into(), select.into(), "True|True".into()]);
    assert_eq!(code, 0, "{recount}");
    spark_answers(root, &asked);
}

/// The versions of Spark that `testbed/setup spark` has installed, each with its Python.
pub(super) fn sparks() -> [(&'static str, PathBuf); 2] {
    let of = |version| python().parent().unwrap().join("../..").join(version).join("bin/python");
    ["spark-3.2", "spark-4"].map(|version| (version, of(version)))
}

/// Both versions of Spark run statements, and then give these answers: of each three texts, the
/// statements, the question, and the answer.
pub(super) fn spark_answers(root: &str, asked: &[String]) {
    for (version, python) in sparks() {
        let warehouse = format!("{root}/../warehouse-{version}");
        let script = format!("{SPARK_SESSION}{SPARK}");
        let ran = Command::new(&python).args(["-c", &script, &warehouse]).args(asked).output();
        let ran = ran.unwrap_or_else(|e| panic!("{} (testbed/setup spark): {e}", python.display()));
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
        println!("{}", said.lines().last().unwrap_or_default());
    }
}

/// A line a record that fits, with its value as JSON; the others are left out.
fn assert_nested(directory: &std::path::Path) {
    let mut offsets = Vec::new();
    let mut directories = vec![directory.to_path_buf()];
    while let Some(at) = directories.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                let row: Value = serde_json::from_str(line).unwrap();
                assert_eq!(row["value"], json!({"n": 1}), "{line}");
                offsets.push(row["offset"].as_i64().unwrap());
            }
        }
    }
    offsets.sort_unstable();
    let want: Vec<i64> = (0..RECORDS).filter(|n| n % 20 < 18).collect();
    assert_eq!(offsets, want);
}

const STOPS: &str = r#"
[mapping.strict]
topics = ["strict-in"]
archive = { columns = { n = "int64" }, on_bad_record = "stop" }
[mapping.limited]
topics = ["limited-in"]
archive = { columns = { n = "int64" }, max_bad = "5% of 10m" }
[mapping.looped]
topics = ["looped-in"]
archive = { columns = { n = "int64" }, max_bad = "100 of 1h" }
"#;

/// A bad record, or too many, stop one partition alone; a reload that takes them lets it go on.
pub(crate) fn bad_records_that_stop(cluster: &Cluster) {
    let name = "stops";
    let producer = cluster.producer();
    for topic in ["strict-in", "limited-in"] {
        cluster.create_topic(topic, 2);
        // Partition 1 has good records only.
        for n in 0..400 {
            let bad = if topic == "strict-in" { n == 300 } else { 200 <= n && n % 2 == 0 };
            let first = if bad { &b"{\"n\":1.5}"[..] } else { b"{\"n\":1}" };
            send_full(&producer, topic, 0, None, Some(first), &[], None);
            send_full(&producer, topic, 1, None, Some(b"{\"n\":1}"), &[], None);
        }
    }
    flush(&producer);
    let text = config(cluster, name, STOPS);
    cluster.create_topic("looped-in", 1);
    let send_bad = |number: usize| {
        let send = || send_full(&producer, "looped-in", 0, None, Some(b"{"), &[], None);
        (0..number).for_each(|_| send());
        flush(&producer);
    };
    send_bad(60);
    let daemon = Daemon::start(&cluster.home(name), "a", &text);
    eventually("bad records are archived", Duration::from_secs(60), || {
        60.0 <= daemon.of_topic("alluvium_archive_position", "looped-in")
    });
    daemon.kill();
    let daemon = Daemon::start(&cluster.home(name), "a", &text);
    let at = |topic, partition| {
        daemon.metric("alluvium_archive_position", &[("topic", topic), ("partition", partition)])
    };
    let stopped = |topic| {
        let labels = [("topic", topic), ("partition", "0"), ("reason", "encode")];
        daemon.metric("alluvium_partition_stopped", &labels)
    };
    // What was bad before the daemon died counts.
    send_bad(50);
    eventually("what goes on badly stops", Duration::from_secs(60), || stopped("looped-in") == 1.0);
    let archived = at("looped-in", "0");
    assert!((60.0..110.0).contains(&archived), "{archived}");
    for topic in ["strict-in", "limited-in"] {
        eventually("the partition with bad records stops", Duration::from_secs(60), || {
            stopped(topic) == 1.0
        });
        eventually("the other one goes on", Duration::from_secs(60), || at(topic, "1") == 400.0);
        assert!(at(topic, "0") < 400.0);
    }
    let log = daemon.log_text();
    for part in [
        "offset 300 can't be archived: it does not fit (field n: 1.5 is not a int64), and \
         on_bad_record is \\\"stop\\\"",
        "and with it more than max_bad (5% of 600s) do not",
    ] {
        assert!(log.contains(part) || log.contains(&part.replace("\\\"", "\"")), "{part}: {log}");
    }
    let open = text.replace("\"stop\"", "\"quarantine\"").replace(", max_bad = \"5% of 10m\"", "");
    let open = open.replace("100 of 1h", "1000 of 1h");
    daemon.reconfigure(&open);
    for topic in ["strict-in", "limited-in"] {
        eventually("all is archived", Duration::from_secs(60), || at(topic, "0") == 400.0);
        assert_eq!(stopped(topic), 0.0);
    }
    eventually("all is archived", Duration::from_secs(60), || at("looped-in", "0") == 110.0);
    assert_eq!(daemon.stop(), 0);
    let config = cluster.home(name).join("a.toml");
    let (code, said) = alluvium(&["verify", "--config", config.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
}
