//! Lines that go on while something breaks, and what has to be there in the end.

use std::time::Duration;

use super::{Cluster, Daemon, Lines, assert_each_once, eventually, flush, send};

/// One that counts and archives what [`load`] sends.
pub fn mapping(name: &str) -> String {
    format!(
        "[mapping.{name}]\ntopics = [\"{name}-in\"]\n[mapping.{name}.wordcount]\noutput_topic = \"{name}-counts\"\ntime = \"arrival\""
    )
}

/// A load that goes on while something breaks; what it should count to.
pub fn load(cluster: &Cluster, topic: &str, seconds: u64) -> std::thread::JoinHandle<Lines> {
    let (producer, topic) = (cluster.producer(), topic.to_string());
    std::thread::spawn(move || {
        let mut lines = Lines::new(5, 500);
        let mut line = String::new();
        for i in 0..seconds * 1_000 {
            lines.next(&mut line);
            send(&producer, &topic, (i % 4) as i32, line.as_bytes(), None);
            if i % 100 == 0 {
                std::thread::sleep(Duration::from_millis(95));
            }
        }
        flush(&producer);
        lines
    })
}

/// Waits until everything is counted, and archived with its counts; then stops and compares. A stop
/// while the archive still waits for the store would leave the rest to the next start.
pub fn check(cluster: &Cluster, daemon: Daemon, name: &str, records: u64, lines: &Lines) {
    let (topic, counts) = (&*format!("{name}-in"), &*format!("{name}-counts"));
    let at = |position: &str, topic: &str| {
        daemon.metric(&format!("alluvium_{position}_position"), &format!("topic=\"{topic}\""))
    };
    eventually("counted and archived", Duration::from_secs(120), || {
        let done = records as f64;
        done <= at("results", topic) && done <= at("archive", topic)
    });
    daemon.archived_all(counts, &cluster.read_topic(counts));
    assert_eq!(daemon.stop(), 0);
    let root = format!("{}/{name}", cluster.hdfs());
    let raw = cluster.archive(&root, topic, topic);
    let want = (0..4).flat_map(|p| (0..records as i64 / 4).map(move |o| (p, o)));
    assert_each_once(&raw.offsets(), want);
    assert!(cluster.published_words(counts) == lines.expected(), "published sums by word");
    assert!(cluster.archive(&root, counts, counts).words() == lines.expected(), "archived sums");
}
