//! What declared columns of JSON values cost, beside the values as they are.

use std::time::Duration;

use crate::support::{Cluster, Daemon, alluvium, eventually, flush, send};
use crate::{FIRST_MS, SPAN_MS, TOPIC, children_cpu};

const COLUMNS: &str = r#"
[archive.columns]
user = "string"
session = "string"
"http.method" = "string"
"http.path" = "string"
"http.status" = "int32"
bytes = "int64"
seconds = "float64"
at = "timestamp_ms"
"#;

/// The most that rows of a kind may cost, in raw rows of the same run.
const MOST: f64 = 2.0;

/// The kinds of rows, and their keys. The first is what the others are compared with.
const KINDS: [(&str, &str); 4] = [
    ("raw", "format = \"parquet\"\ncodec = \"snappy\""),
    ("columns and value", "format = \"parquet\"\ncodec = \"snappy\"\n@"),
    ("columns alone", "format = \"parquet\"\ncodec = \"snappy\"\nraw_value = false\n@"),
    ("nested JSON", "format = \"jsonl\"\ncodec = \"none\"\nvalue = \"json\""),
];

fn fill(cluster: &Cluster, records: i64, partitions: i32) {
    let producer = cluster.producer();
    let filler = "x".repeat(200);
    for n in 0..records {
        let time = FIRST_MS + n * SPAN_MS / records;
        let value = format!(
            "{{\"user\":\"user-{}\",\"session\":\"{:032x}\",\"http\":{{\"method\":\"GET\",\
             \"path\":\"/catalogue/items/{}\",\"status\":{},\"agent\":\"{filler}\"}},\
             \"bytes\":{},\"seconds\":{}.{:03},\"at\":{time},\"tags\":[\"a\",\
             \"b\",{{\"c\":null}}]}}",
            n % 10_007,
            u128::from(n.unsigned_abs()).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
            n % 997,
            if n % 50 == 0 { 404 } else { 200 },
            n * 31 % 1_000_003,
            n % 3,
            n % 1_000,
        );
        send(&producer, TOPIC, (n % i64::from(partitions)) as i32, value.as_bytes(), Some(time));
    }
    flush(&producer);
}

pub(crate) fn run(cluster: &Cluster, records: i64, partitions: i32) {
    fill(cluster, records, partitions);
    let (mut raw, mut dear) = (None, Vec::new());
    for (number, (kind, keys)) in KINDS.into_iter().enumerate() {
        let keys = keys.replace('@', COLUMNS);
        let config = format!(
            "[kafka]\nbootstrap_servers = \"{}\"\ngroup_id = \"columns-{number}\"\n\
             [archive]\nroot = \"{}/columns-{number}\"\n{keys}\n\
             [daemon]\nworkers = 2\nmemory = \"256MiB\"\n\
             [mapping.lines]\ntopics = [\"{TOPIC}\"]\n",
            cluster.bootstrap(),
            cluster.hdfs(),
        );
        let directory = cluster.state.join("bench");
        let before = children_cpu();
        let daemon = Daemon::start(&directory, &format!("columns-{number}"), &config);
        eventually("everything is read", Duration::from_secs(600), || {
            records as f64 <= daemon.metric("alluvium_records_total", &[("role", "source")])
        });
        // The last files: a stop seals, appends and publishes them.
        assert_eq!(daemon.stop(), 0, "the drain was not whole");
        let cpu = (children_cpu() - before) / (records as f64 / 1e6);
        let file = directory.join(format!("columns-{number}.toml"));
        let (code, said) = alluvium(&["verify", "--config", file.to_str().unwrap()]);
        assert!(code == 0 && said.contains(&records.to_string()), "{said}");
        let raw = *raw.get_or_insert(cpu);
        let times = cpu / raw;
        println!("{kind}: cpu_s_per_million={cpu:.2}, {times:.2} times raw");
        if MOST < times {
            dear.push(kind);
        }
    }
    assert!(dear.is_empty(), "more than {MOST} times what raw rows cost: {}", dear.join(", "));
}
