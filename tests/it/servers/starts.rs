//! Where partitions begin, which topics a pattern takes, and files of topics that fell silent.

use std::time::Duration;

use super::config;
use crate::support::{Cluster, Daemon, Producing, eventually, flush, send};

const FIRST_MS: i64 = 1_700_000_000_000;

fn write(producer: &Producing, topic: &str, n: i64) {
    for i in 0..n {
        send(producer, topic, 0, i.to_string().as_bytes(), Some(FIRST_MS + i * 1_000));
    }
    flush(producer);
}

/// `latest`, a timestamp, and a pattern that takes in topics as they are made; files appear when
/// a topic has been idle, without a stop.
pub(crate) fn starts_patterns_and_idle_rolls(cluster: &Cluster) {
    let name = "starts";
    for topic in ["starts-latest", "starts-time", "pattern-one"] {
        cluster.create_topic(topic, 1);
    }
    // 2023-11-14T22:13:23Z is the time of record 3.
    let mapping = r#"
[mapping.latest]
topics = ["starts-latest"]
start = "latest"
[mapping.time]
topics = ["starts-time"]
start = "2023-11-14T22:13:23Z"
[mapping.pattern]
topics_regex = "pattern-.+"
"#;
    let config = config(cluster, name, mapping)
        .replace("age = \"3s\"", "age = \"10m\"\nidle = \"1s\"")
        .replace("workers = 2", "workers = 2\ntopics_refresh = \"1s\"");
    let producer = cluster.producer();
    for topic in ["starts-latest", "starts-time", "pattern-one"] {
        write(&producer, topic, 5);
    }
    let daemon = Daemon::start(&cluster.home(name), "a", &config);
    let archived = |topic: &str, position: f64| {
        eventually(topic, Duration::from_secs(60), || {
            position <= daemon.of_topic("alluvium_archive_position", topic)
        });
    };
    archived("starts-latest", 5.0);
    write(&producer, "starts-latest", 3);
    cluster.create_topic("pattern-two", 1);
    cluster.create_topic("no-pattern-two", 1);
    write(&producer, "pattern-two", 4);
    write(&producer, "no-pattern-two", 4);
    for (topic, position) in
        [("starts-latest", 8.0), ("starts-time", 5.0), ("pattern-one", 5.0), ("pattern-two", 4.0)]
    {
        archived(topic, position);
    }
    assert!(4.0 <= daemon.metric("alluvium_rolls_total", &[("reason", "idle")]));
    assert_eq!(daemon.metric("alluvium_rolls_total", &[("reason", "age")]), 0.0);
    let root = format!("{}/{name}", cluster.hdfs());
    let offsets = |topic: &str| -> Vec<i64> {
        cluster.archive(&root, topic, topic).offsets().iter().map(|(_, o)| *o).collect()
    };
    assert_eq!(offsets("starts-latest"), [5, 6, 7]);
    assert_eq!(offsets("starts-time"), [3, 4]);
    assert_eq!(offsets("pattern-one"), [0, 1, 2, 3, 4]);
    assert_eq!(offsets("pattern-two"), [0, 1, 2, 3]);
    assert_eq!(daemon.of_topic("alluvium_archive_position", "no-pattern"), 0.0);
    assert_eq!(daemon.stop(), 0);
}
