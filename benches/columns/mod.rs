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

/// CPU seconds for a million records of this kind, start and stop included.
fn measure(cluster: &Cluster, records: i64, (name, keys): (&str, &str)) -> f64 {
    let keys = keys.replace('@', COLUMNS);
    let config = format!(
        "[kafka]\nbootstrap_servers = \"{}\"\ngroup_id = \"{name}\"\n\
         [archive]\nroot = \"{}/{name}\"\n{keys}\n\
         [daemon]\nworkers = 2\nmemory = \"256MiB\"\n\
         [mapping.lines]\ntopics = [\"{TOPIC}\"]\n",
        cluster.bootstrap(),
        cluster.hdfs(),
    );
    let directory = cluster.state.join("bench");
    let before = children_cpu();
    let daemon = Daemon::start(&directory, name, &config);
    eventually("everything is read", Duration::from_secs(600), || {
        records as f64 <= daemon.metric("alluvium_records_total", &[("role", "source")])
    });
    // The last files: a stop seals, appends and publishes them.
    assert_eq!(daemon.stop(), 0, "the drain was not whole");
    let cpu = (children_cpu() - before) / (records as f64 / 1e6);
    let file = directory.join(format!("{name}.toml"));
    let (code, said) = alluvium(&["verify", "--config", file.to_str().unwrap()]);
    assert!(code == 0 && said.contains(&records.to_string()), "{said}");
    cpu
}

/// The better one of two runs counts, in each kind: what disturbs a run makes it dearer.
pub(crate) fn run(cluster: &Cluster, records: i64, partitions: i32) {
    fill(cluster, records, partitions);
    let mut costs = [f64::INFINITY; KINDS.len()];
    for round in 0..2 {
        for (number, ((_, keys), cost)) in KINDS.into_iter().zip(&mut costs).enumerate() {
            let name = format!("columns-{number}-{round}");
            *cost = cost.min(measure(cluster, records, (&name, keys)));
        }
    }
    let times = costs.map(|cost| cost / costs[0]);
    for (((kind, _), cost), times) in KINDS.iter().zip(costs).zip(times) {
        println!("{kind}: cpu_s_per_million={cost:.2}, {times:.2} times raw");
    }
    let most = times.into_iter().fold(0.0, f64::max);
    println!("the dearest rows cost {most:.2} times raw");
    assert!(most <= MOST, "more than {MOST} times what raw rows cost");
}
