//! Lines that go on while something breaks, and what has to be there in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Cluster, Daemon, Lines, assert_each_once, eventually, flush, send};

/// One that counts and archives what a [`Load`] of four partitions sends.
pub fn mapping(name: &str) -> String {
    format!(
        "[mapping.{name}]\ntopics = [\"{name}-in\"]\n\
         [mapping.{name}.wordcount]\noutput_topic = \"{name}-counts\"\n\
         time = \"arrival\""
    )
}

/// A load that goes on until it is ended: it lasts as long as what it is there for.
pub struct Load {
    on: Arc<AtomicBool>,
    thread: JoinHandle<Sent>,
}

/// What a load has sent, and what it should count to.
pub struct Sent {
    /// As many in each partition: a multiple of their number.
    pub records: u64,
    pub lines: Lines,
}

impl Load {
    /// `rate` records a second, one partition after the other.
    pub fn begin(cluster: &Cluster, topic: &str, partitions: u64, rate: u64) -> Load {
        let (producer, topic) = (cluster.producer(), topic.to_string());
        let on = Arc::new(AtomicBool::new(true));
        let going = Arc::clone(&on);
        let thread = std::thread::spawn(move || {
            let (mut records, mut lines, mut line) = (0, Lines::new(5, 500), String::new());
            while going.load(Ordering::SeqCst) {
                for _ in 0..(rate / 10).next_multiple_of(partitions) {
                    lines.next(&mut line);
                    let partition = (records % partitions) as i32;
                    send(&producer, &topic, partition, line.as_bytes(), None);
                    records += 1;
                }
                std::thread::sleep(Duration::from_millis(95));
            }
            flush(&producer);
            Sent { records, lines }
        });
        Load { on, thread }
    }

    pub fn end(self) -> Sent {
        self.on.store(false, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

/// Waits until everything is counted, published, and archived with its counts; then stops and
/// compares. A stop while the archive still waits for the store, or while the merge has not yet
/// published the last windows, would leave the rest to the next start.
pub fn check(cluster: &Cluster, daemon: Daemon, name: &str, sent: &Sent) {
    check_below(cluster, daemon, name, &format!("{}/{name}", cluster.hdfs()), sent);
}

/// As [`check`], of an archive below another root.
pub fn check_below(cluster: &Cluster, daemon: Daemon, name: &str, root: &str, sent: &Sent) {
    let (topic, counts) = (&*format!("{name}-in"), &*format!("{name}-counts"));
    let done = sent.records as f64;
    eventually("counted and archived", Duration::from_secs(120), || {
        done <= daemon.of_topic("alluvium_results_position", topic)
            && done <= daemon.of_topic("alluvium_archive_position", topic)
    });
    let expected = sent.lines.expected();
    eventually("every word is published", Duration::from_secs(120), || {
        cluster.published_words(counts) == expected
    });
    daemon.archived_all(counts, &cluster.read_topic(counts));
    assert_eq!(daemon.stop(), 0);
    let raw = cluster.archive(root, topic, topic);
    let want = (0..4).flat_map(|p| (0..sent.records as i64 / 4).map(move |o| (p, o)));
    assert_each_once(&raw.offsets(), want);
    assert!(cluster.published_words(counts) == expected, "published sums by word");
    assert!(cluster.archive(root, counts, counts).words() == expected, "archived sums");
}
