//! Directories of values, times of fields and rolls by event time, as a daemon makes them that is
//! killed in the middle: read by DuckDB, and by the program itself.

use std::time::Duration;

use serde_json::json;

use super::config_with_local_root;
use super::readers::read_by_python;
use crate::support::{Cluster, Daemon, alluvium, eventually, flush, send_full};

const NAME: &str = "paths";
/// Records of each topic.
const RECORDS: i64 = 12_000;
const LIMIT: Duration = Duration::from_secs(90);

const MAPPINGS: &str = r#"
[mapping.values]
topics_regex = "paths-(?<what>in)"
[mapping.values.archive]
path = "{topic}/{capture:what}/country={field:user.country}/kind={header:kind}/dt=%F"
time = { field = "at", unit = "ms" }
[mapping.values.archive.roll]
size = "64KiB"
lateness = "1h"
schedule = "1h"
[mapping.few]
topics = ["few-in"]
archive = { path = "few/id={key}", max_values = 3, format = "avro" }
"#;

const SCRIPT: &str = r#"
import sys, json, os, glob, duckdb, fastavro
root, out = sys.argv[1], {}
rows = f"read_parquet('{root}/paths-in/in/**/*.parquet', hive_partitioning = true)"
def ask(select, then=""):
    return [list(row) for row in duckdb.sql(f"select {select} from {rows} {then}").fetchall()]
out["rows"] = ask('count(*), count(distinct ("partition", "offset"))')[0]
out["countries"] = ask("country, count(*)", "group by all order by all")
out["kinds"] = ask("kind, count(*)", "group by all order by all")
out["days"] = [str(row[0]) for row in ask("distinct dt", "order by 1")]
out["directories"] = sorted(os.listdir(f"{root}/paths-in/in"))
few = {}
for file in glob.glob(f"{root}/few/**/*.avro", recursive=True):
    few.setdefault(file.split("/id=")[1].split("/")[0], []).extend(
        (row["partition"], row["offset"], row["key"]) for row in fastavro.reader(open(file, "rb")))
out["few"] = len({row[:2] for rows in few.values() for row in rows})
out["few_rows"] = sum(len(rows) for rows in few.values())
of_one = {d: rows for d, rows in few.items() if d != "__OVERFLOW__"}
out["misplaced"] = [d for d, rows in of_one.items() if {row[2] for row in rows} != {d}]
out["overflow"] = 0 < len(few.get("__OVERFLOW__", []))
print(json.dumps(out))
"#;

/// Every sixth record has no country, every fourth no kind; days are three.
fn produce(cluster: &Cluster, range: std::ops::Range<i64>) {
    let producer = cluster.producer();
    for n in range {
        let country = match n % 6 {
            0 => String::new(),
            1 => r#""user":{"country":"a/b=c"},"#.into(),
            _ => r#""user":{"country":"de"},"#.into(),
        };
        let at = 1_735_751_000_000 + n % 3 * 86_400_000;
        let value = format!("{{{country}\"at\":{at},\"n\":{n}}}");
        let kind: [(&str, Option<&[u8]>); 1] = [("kind", Some(b"sale"))];
        let headers = if n % 4 == 0 { &kind[..0] } else { &kind };
        let key = format!("key-{}", n % 9);
        for topic in ["paths-in", "few-in"] {
            let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
            send_full(&producer, topic, (n % 2) as i32, key, value, headers, None);
        }
    }
    flush(&producer);
}

pub(crate) fn directories_of_values(cluster: &Cluster) {
    let topics = ["paths-in", "few-in"];
    topics.iter().for_each(|topic| cluster.create_topic(topic, 2));
    let home = cluster.home(NAME);
    let root = home.join("archive");
    let text = config_with_local_root(cluster, NAME, MAPPINGS, &root);
    let daemon = Daemon::start(&home, "a", &text);
    produce(cluster, 0..RECORDS / 2);
    eventually("something is archived", LIMIT, || {
        0.0 < daemon.of_topic("alluvium_archive_position", "paths-in")
    });
    daemon.kill();
    produce(cluster, RECORDS / 2..RECORDS);
    let daemon = Daemon::start(&home, "a", &text);
    for topic in topics {
        eventually(topic, LIMIT, || {
            RECORDS as f64 <= daemon.of_topic("alluvium_archive_position", topic)
        });
    }
    // Each record is of years ago, so its directory is left at once.
    let rolls = |reason: &str| daemon.metric("alluvium_rolls_total", &[("reason", reason)]);
    assert!(0.0 < rolls("event_time") + rolls("size"), "{} {}", rolls("event_time"), rolls("size"));
    assert_eq!(daemon.stop(), 0);
    let file = home.join("a.toml");
    let with =
        |arguments: &[&str]| alluvium(&[arguments, &["--config", file.to_str().unwrap()]].concat());
    let (code, said) = with(&["verify"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = with(&["where", "paths-in", "1", "1"]);
    assert!(code == 0 && said.contains("country=de/kind=sale/dt=2025-01-01"), "{said}");
    let (code, said) = with(&["where", "paths-in", "1", "0"]);
    assert!(code == 0 && said.contains("country=a%2Fb%3Dc"), "{said}");
    read_by_others(&root.display().to_string());
}

fn read_by_others(root: &str) {
    let read = read_by_python(SCRIPT, &[root]);
    let sixth = RECORDS / 6;
    // DuckDB shows the partition of records without the value as it is; Hive and Spark say null.
    let none = "__HIVE_DEFAULT_PARTITION__";
    let want = json!({
        "rows": [RECORDS, RECORDS],
        "countries": [[none, sixth], ["a/b=c", sixth], ["de", 4 * sixth]],
        "kinds": [[none, RECORDS / 4], ["sale", RECORDS * 3 / 4]],
        "days": ["2025-01-01", "2025-01-02", "2025-01-03"],
        "directories": [
            "country=__HIVE_DEFAULT_PARTITION__", "country=a%2Fb%3Dc", "country=de"
        ],
        "few": RECORDS,
        "few_rows": RECORDS,
        "misplaced": [],
        "overflow": true,
    });
    assert_eq!(read, want);
}
