//! `cargo bench --bench assignors`: what a join and a leave cost with each assignor. Two instances
//! with two workers each on 8 partitions under a steady load; a third joins, and leaves again.
//!
//! Printed for each: the longest time in which no result of the whole group was committed, files
//! that were made in that time, and records that were read again.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::{Cluster, Daemon, eventually, flush, send};

const RATE: u64 = 4_000;

fn main() {
    if std::env::args().any(|a| a == "--test" || a == "--list") {
        return;
    }
    let cluster = Cluster::start("assignors", 3, 1);
    for assignor in ["range", "cooperative-sticky"] {
        measure(&cluster, assignor);
    }
}

fn measure(cluster: &Cluster, assignor: &str) {
    let topic = format!("in-{assignor}");
    cluster.create_topic(&topic, 8);
    let config = format!(
        r#"
[kafka]
bootstrap_servers = "{}"
group_id = "{assignor}"
assignor = "{assignor}"
[archive]
root = "{}/{assignor}"
[daemon]
workers = 2
commit_interval = "500ms"
[mapping.m]
topics = ["{topic}"]
[mapping.m.wordcount]
output_topic = "out-{assignor}"
archive = false
"#,
        cluster.bootstrap(),
        cluster.hdfs()
    );
    let dir = cluster.state.join("assignors");
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load = {
        let (stop, sent, producer, topic) =
            (Arc::clone(&stop), Arc::clone(&sent), cluster.producer(), topic.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                for i in 0..RATE / 20 {
                    send(&producer, &topic, (i % 8) as i32, b"a line of the load", None);
                }
                let _ = sent.fetch_add(RATE / 20, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
            flush(&producer);
        })
    };
    let a = Daemon::start(&dir, "a", &config);
    let b = Daemon::start(&dir, "b", &config);
    // A fresh cluster makes its transaction log first.
    eventually("under way", Duration::from_secs(60), || {
        8.0 * RATE as f64 <= cluster.position(assignor, &topic)
    });
    std::thread::sleep(Duration::from_secs(2));
    let read = |all: &[&Daemon]| {
        all.iter().map(|d| d.metric("alluvium_records_total", &[("role", "source")])).sum::<f64>()
    };
    let files = |all: &[&Daemon]| {
        all.iter().map(|d| d.metric("alluvium_files_total", &[("mapping", "m")])).sum::<f64>()
    };

    let (sent0, read0, files0) = (sent.load(Ordering::Relaxed), read(&[&a, &b]), files(&[&a, &b]));
    let c = Daemon::start(&dir, "c", &config);
    let pause = longest_pause(cluster, assignor, &topic, Duration::from_secs(12));
    let all = [&a, &b, &c];
    let again = read(&all) - read0 - (sent.load(Ordering::Relaxed) - sent0) as f64;
    println!(
        "{assignor}: join: pause {:.1} s, {} files, about {again:.0} records read again",
        pause.as_secs_f64(),
        files(&all) - files0
    );

    let (sent0, read0, files0) = (sent.load(Ordering::Relaxed), read(&[&a, &b]), files(&[&a, &b]));
    let leaving = std::thread::spawn(move || c.stop());
    let pause = longest_pause(cluster, assignor, &topic, Duration::from_secs(12));
    assert_eq!(leaving.join().unwrap(), 0);
    let stayed = [&a, &b];
    println!(
        "{assignor}: leave: pause {:.1} s, {} files of those that stay; they read {:.0} \
         records, {} were sent",
        pause.as_secs_f64(),
        files(&stayed) - files0,
        read(&stayed) - read0,
        sent.load(Ordering::Relaxed) - sent0
    );
    stop.store(true, Ordering::Relaxed);
    load.join().unwrap();
    let total = sent.load(Ordering::Relaxed) as f64;
    eventually("all counted", Duration::from_secs(60), || {
        total <= cluster.position(assignor, &topic)
    });
    assert_eq!(a.stop(), 0);
    // A stop in the middle of that rebalance would leave what is not appended to the next start.
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(b.stop(), 0);
    let archived = cluster.archive(&format!("{}/{assignor}", cluster.hdfs()), &topic, &topic);
    println!(
        "{assignor}: {} records in {} files, once each: {}",
        archived.rows,
        archived.files.len(),
        archived.rows as f64 == total
    );
}

/// The longest time in which the group's P did not move.
fn longest_pause(cluster: &Cluster, group: &str, topic: &str, within: Duration) -> Duration {
    let (deadline, mut last, mut since) = (Instant::now() + within, 0.0, Instant::now());
    let mut longest = Duration::ZERO;
    while Instant::now() < deadline {
        let now = cluster.position(group, topic);
        if last < now {
            (last, since) = (now, Instant::now());
        }
        longest = longest.max(since.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
    longest
}
