//! Where partitions begin, which topics a pattern takes, and files of topics that fell silent.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::config;
use crate::support::{
    Cluster, Daemon, Producing, alluvium, assert_each_once, eventually, flush, send,
};

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
    for topic in ["starts-latest", "starts-time", "pattern-one", "asked-in", "late-one"] {
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
[mapping.late]
topics_regex = "late-.+"
start = "latest"
[mapping.other]
topics_regex = ".+-both"
[mapping.asked]
topics = ["asked-in"]
archive = { roll = { idle = "9m", records = 5 } }
"#;
    let config = config(cluster, name, mapping)
        .replace("age = \"3s\"", "age = \"10m\"\nidle = \"1s\"")
        .replace("workers = 2", "workers = 2\ntopics_refresh = \"1s\"");
    let producer = cluster.producer();
    for topic in ["starts-latest", "starts-time", "pattern-one", "late-one"] {
        write(&producer, topic, 5);
    }
    let daemon = Daemon::start(&cluster.home(name), "a", &config);
    let archived = |topic: &str, position: f64| {
        eventually(topic, Duration::from_secs(60), || {
            position <= daemon.of_topic("alluvium_archive_position", topic)
        });
    };
    archived("starts-latest", 5.0);
    archived("late-one", 5.0);
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
    // What appears while the group runs begins at its beginning, `latest` or not.
    cluster.create_topic("late-two", 1);
    write(&producer, "late-two", 4);
    cluster.add_partitions("starts-latest", 2);
    // The other producer does not know of the partition yet.
    let another = cluster.producer();
    (0..3).for_each(|_| send(&another, "starts-latest", 1, b"at once", None));
    flush(&another);
    write(&producer, "late-one", 2);
    for (topic, position) in [("starts-latest", 8.0 + 3.0), ("late-two", 4.0), ("late-one", 7.0)] {
        archived(topic, position);
    }
    write(&producer, "asked-in", 5);
    archived("asked-in", 5.0);
    assert_eq!(daemon.metric("alluvium_rolls_total", &[("reason", "records")]), 1.0);
    write(&producer, "asked-in", 2);
    eventually("they are read", Duration::from_secs(30), || {
        7.0 <= daemon.metric("alluvium_records_total", &[("mapping", "asked")])
    });
    assert_eq!(daemon.of_topic("alluvium_archive_position", "asked-in"), 5.0);
    let url = format!("http://127.0.0.1:{}", daemon.port);
    let (code, text) = alluvium(&["roll", "asked", "--url", &url]);
    assert!(code == 0 && text.contains("the files of asked"), "{code} {text}");
    archived("asked-in", 7.0);
    assert_eq!(daemon.metric("alluvium_rolls_total", &[("reason", "asked")]), 1.0);
    a_topic_of_two_patterns(cluster, &daemon);
    assert_eq!(daemon.metric("alluvium_rolls_total", &[("reason", "age")]), 0.0);
    let root = format!("{}/{name}", cluster.hdfs());
    let offsets = |topic: &str| -> Vec<i64> {
        cluster.archive(&root, topic, topic).offsets().iter().map(|(_, o)| *o).collect()
    };
    let latest = cluster.archive(&root, "starts-latest", "starts-latest").offsets();
    assert_eq!(latest, [(0, 5), (0, 6), (0, 7), (1, 0), (1, 1), (1, 2)]);
    assert_eq!(offsets("late-one"), [5, 6]);
    assert_eq!(offsets("late-two"), [0, 1, 2, 3]);
    assert_eq!(offsets("starts-time"), [3, 4]);
    assert_eq!(offsets("pattern-one"), [0, 1, 2, 3, 4]);
    assert_eq!(offsets("pattern-two"), [0, 1, 2, 3]);
    assert_eq!(daemon.of_topic("alluvium_archive_position", "no-pattern"), 0.0);
    assert_eq!(daemon.stop(), 0);
}

/// Nobody reads it, and everything that an operator looks at says so.
fn a_topic_of_two_patterns(cluster: &Cluster, daemon: &Daemon) {
    let topic = "pattern-both";
    assert!(daemon.get("/readyz").is_some());
    cluster.create_topic(topic, 1);
    let says = |path: &str| daemon.get(path).is_some_and(|text| text.contains(topic));
    for path in ["/status.json", "/"] {
        eventually(path, Duration::from_secs(30), || says(path));
    }
    // Another instance could not read it either, so this one stays ready.
    assert!(says("/readyz"), "the body names the topic");
    assert_eq!(daemon.metric("alluvium_ambiguous_topics", &[]), 1.0);
    assert!(daemon.log_text().contains("topics_regex of two mappings match this topic"));
    cluster.delete_topic(topic);
    eventually("it is gone", Duration::from_secs(30), || !says("/readyz"));
}

/// A root that can't be opened, and a topic of counts that would lose them: these mappings do not
/// run until that is mended, and a third one does. A daemon without any other mapping does not
/// start.
pub(crate) fn mappings_that_cannot_run(cluster: &Cluster) {
    let (name, dir) = ("held", cluster.home("held"));
    for topic in ["held-root", "held-compacted", "held-steady", "held-counts"] {
        cluster.create_topic(topic, 1);
    }
    cluster.configure_topic("held-counts", &[("cleanup.policy", "compact")]);
    // A file stands where the directory of the root belongs.
    let blocked = dir.join("blocked");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(&blocked, "").unwrap();
    let root = format!("file://{}/root", blocked.display());
    let broken = format!(
        r#"
[mapping.root]
topics = ["held-root"]
archive = {{ root = "{root}" }}
[mapping.compacted]
topics = ["held-compacted"]
[mapping.compacted.wordcount]
output_topic = "held-counts"
"#
    );
    let alone = Daemon::start(&dir, "alone", &config(cluster, name, &broken));
    let (code, log) = alone.wait(Duration::from_secs(60));
    assert!(code == 78 && log.contains("compact"), "{code}: {log}");
    let all = format!("{broken}[mapping.steady]\ntopics = [\"held-steady\"]\n");
    let producer = cluster.producer();
    for topic in ["held-root", "held-compacted", "held-steady"] {
        write(&producer, topic, 5);
    }
    let daemon = Daemon::start(&dir, "a", &config(cluster, name, &all));
    let archived = |topic: &str| {
        eventually(topic, Duration::from_secs(60), || {
            5.0 <= daemon.of_topic("alluvium_archive_position", topic)
        });
    };
    archived("held-steady");
    assert!(daemon.get("/readyz").is_none(), "two of three mappings do not run");
    let status = daemon.get("/status.json").unwrap();
    let says = |what: &str| assert!(status.contains(what), "no {what:?} in {status}");
    for what in ["mapping.root does not run", "mapping.compacted does not run"] {
        says(what);
    }
    says("cleanup.policy=compact");
    says("Not a directory");
    std::fs::remove_file(&blocked).unwrap();
    archived("held-root");
    cluster.configure_topic("held-counts", &[("cleanup.policy", "delete")]);
    archived("held-compacted");
    eventually("ready", Duration::from_secs(60), || daemon.get("/readyz").is_some());
    assert!(daemon.log_text().contains("mapping.root runs again after"));
    assert_eq!(daemon.stop(), 0);
    let at = [("held-root", &root), ("held-steady", &format!("{}/{name}", cluster.hdfs()))];
    for (topic, root) in at {
        let offsets = cluster.archive(root, topic, topic).offsets();
        assert_eq!(offsets, (0..5).map(|o| (0, o)).collect::<Vec<_>>(), "{topic}");
    }
}

/// Partitions without a record for a minute are not fetched any more, where there are many; a
/// record that comes later is read all the same, and the others go on to rest.
pub(crate) fn partitions_without_records_for_long(cluster: &Cluster) {
    let (name, topic, partitions) = ("rest", "rest-in", 240_u32);
    cluster.create_topic(topic, partitions);
    let config = config(cluster, name, &format!("[mapping.rest]\ntopics = [\"{topic}\"]"));
    let daemon = Daemon::start(&cluster.home(name), "a", &config);
    let dormant = || daemon.metric("alluvium_dormant_partitions", &[]);
    eventually("all rest", Duration::from_secs(150), || dormant() == f64::from(partitions));
    let producer = cluster.producer();
    let mut expected = Vec::new();
    for (round, some) in [vec![0, 7, 100, 239], vec![7, 8, 238]].into_iter().enumerate() {
        for p in &some {
            let before = expected.iter().filter(|(of, _)| of == p).count() as i64;
            send(&producer, topic, *p, b"late words", None);
            expected.push((*p, before));
        }
        flush(&producer);
        let sent = Instant::now();
        eventually("read", Duration::from_secs(20), || {
            expected.len() as f64 <= daemon.metric("alluvium_records_total", &[("mapping", name)])
        });
        println!("round {round}: read after {:.1} s", sent.elapsed().as_secs_f32());
        // Those that have had none rest still.
        assert!(f64::from(partitions) - 20.0 < dormant(), "{} rest", dormant());
    }
    let lags = daemon.metric("alluvium_archive_lag_records", &[("topic", topic)]);
    assert!(lags <= expected.len() as f64, "the lags are known: {lags}");
    assert_eq!(daemon.stop(), 0);
    let root = format!("{}/{name}", cluster.hdfs());
    assert_each_once(&cluster.archive(&root, topic, topic).offsets(), expected.into_iter());
}

/// The names of a process's threads.
fn threads(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    // A thread may end meanwhile.
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
    tasks.flatten().filter_map(name).map(|name| name.trim().to_string()).collect()
}

/// Three mappings that count and archive in HDFS, each with more partitions than workers, while
/// records arrive: docs/benchmark.md has the formula.
pub(crate) fn threads_are_as_many_as_the_docs_say(cluster: &Cluster) {
    const MAPPINGS: usize = 3;
    const WORKERS: usize = 2;
    /// The consumer, the client that asks for the ends of logs, and the one that makes topics.
    const CLIENTS: usize = 3;
    let name = "threads";
    let topics: Vec<String> = (0..MAPPINGS).map(|i| format!("threads-{i}-in")).collect();
    let mapping = |(i, topic): (usize, &String)| {
        cluster.create_topic(topic, 6);
        format!(
            "[mapping.threads-{i}]\ntopics = [\"{topic}\"]\n[mapping.threads-{i}.wordcount]\n\
             output_topic = \"threads-{i}-counts\"\nidle_after = \"1s\"\n"
        )
    };
    let mappings: String = topics.iter().enumerate().map(mapping).collect();
    let daemon = Daemon::start(&cluster.home(name), "a", &config(cluster, name, &mappings));
    let producer = cluster.producer();
    let (mut most, mut workers) = (Vec::new(), BTreeSet::new());
    for round in 1..=20 {
        for i in 0..60 {
            send(&producer, &topics[i % MAPPINGS], (i % 6) as i32, b"one two three", None);
        }
        flush(&producer);
        let read = || daemon.metric("alluvium_records_total", &[("role", "source")]);
        eventually("read", Duration::from_secs(60), || f64::from(60 * round) <= read());
        let now = threads(daemon.pid());
        // A thread has the name of the one that has started it, until it has its own.
        workers.extend(now.iter().filter(|name| name.starts_with("worker-")).cloned());
        if most.len() < now.len() {
            most = now;
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    let producers = daemon.metric("alluvium_commits_total", &[("outcome", "ok")]);
    assert!(1.0 <= producers, "nothing was committed, so no worker had a producer");
    assert!((MAPPINGS..=MAPPINGS * WORKERS).contains(&workers.len()), "{workers:?}");
    let of_a_client = 3 + cluster.bootstrap().split(',').count();
    let limit = 70 + 8 + CLIENTS * of_a_client + workers.len() * (1 + 5 + of_a_client);
    most.sort();
    assert!(most.len() <= limit, "{} threads, and not {limit}: {most:?}", most.len());
    println!("{} threads with {} workers; at most {limit}", most.len(), workers.len());
    assert_eq!(daemon.stop(), 0);
}
