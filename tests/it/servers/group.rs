//! The consumer group: instances come, go and die; an operator moves offsets; retention bites.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::config;
use super::mistakes::repaired;
use crate::support::load::{Load, Sent};
use crate::support::{Cluster, Daemon, alluvium, assert_each_once, eventually, flush, send};

const LIMIT: Duration = Duration::from_secs(60);

/// Two instances with two workers each on eight partitions: one joins, one stops, one is killed,
/// in the middle of a load.
pub(crate) fn join_stop_and_kill_under_load(cluster: &Cluster) {
    let (name, topic, counts) = ("group", "group-in", "group-counts");
    cluster.create_topic(topic, 8);
    let mapping = format!(
        r#"
[mapping.group]
topics = ["{topic}"]
[mapping.group.wordcount]
output_topic = "{counts}"
output_partitions = 4
window = "2s"
time = "arrival"
"#
    );
    let (dir, config) = (cluster.home(name), config(cluster, name, &mapping));
    let a = Daemon::start(&dir, "a", &config);
    let b = Daemon::start(&dir, "b", &config);
    let load = Load::begin(cluster, topic, 8, 8_000);
    // Whichever of the topics the assignor gave it.
    let works = |daemon: &Daemon| {
        let read = || daemon.metric("alluvium_records_total", &[]);
        let before = read();
        eventually("it reads", LIMIT, || before + 1_000.0 <= read());
    };
    works(&a);
    works(&b);
    let c = Daemon::start(&dir, "c", &config);
    works(&c);
    b.kill();
    // The others share out what the dead one had, once its session has ended.
    let assigned = |daemon: &Daemon| daemon.metric("alluvium_assigned_partitions", &[]);
    let partials = format!("{name}-{name}-partials");
    let all = 8 + cluster.partitions(counts) + cluster.partitions(&partials);
    eventually("the dead one is replaced", LIMIT, || assigned(&a) + assigned(&c) == all as f64);
    works(&a);
    works(&c);
    assert_eq!(a.stop(), 0);
    works(&c);
    let Sent { records, lines } = load.end();
    let b = Daemon::start(&dir, "b", &config);
    eventually("all counted", Duration::from_secs(120), || {
        records as f64 <= cluster.position(name, topic)
    });
    cluster.all_published(counts, lines.total());
    // The group moves as standard tools see it: F reaches the log's end with the last roll.
    eventually("no lag", Duration::from_secs(60), || {
        (0..8).all(|p| cluster.committed(name, (topic, p)).0 == Some(cluster.log_end((topic, p))))
    });
    assert_eq!(c.stop(), 0);
    assert_eq!(b.stop(), 0);
    let root = format!("{}/{name}", cluster.hdfs());
    let raw = cluster.archive(&root, topic, topic);
    let want = (0..8).flat_map(|p| (0..records as i64 / 8).map(move |o| (p, o)));
    assert_each_once(&raw.offsets(), want);
    // What the last owners published while they stopped is archived by the next.
    let published = cluster.read_topic(counts);
    let d = Daemon::start(&dir, "d", &config);
    d.archived_all(counts, &published);
    assert_eq!(d.stop(), 0);
    assert!(cluster.published_words(counts) == lines.expected(), "published sums by word");
    let archived = cluster.archive(&root, counts, counts);
    assert!(archived.words() == lines.expected(), "archived sums by word");
    assert_eq!(archived.rows as usize, published.len());
    let file = dir.join("d.toml").display().to_string();
    let (code, text) = alluvium(&["verify", "--config", &file]);
    assert!(code == 0 && text.contains("whole"), "{text}");
}

/// Somebody joins and leaves again and again, and takes nothing, while transactions come, some of
/// them aborted. The client library may then believe that records were read which it threw away
/// (docs/decisions/0010-moved-positions.md).
pub(crate) fn a_group_that_never_rests(cluster: &Cluster) {
    const LASTS: Duration = Duration::from_secs(40);
    /// More than half an hour allows; a second counts as twenty.
    const REBALANCES: f64 = 25.0;
    const AT_MOST: Duration = Duration::from_secs(85);
    let (name, topic, counts) = ("restless", "restless-in", "restless-counts");
    cluster.create_topic(topic, 4);
    cluster.create_topic("restless-other", 1);
    let mapping = format!(
        r#"
[mapping.restless]
topics = ["{topic}"]
[mapping.restless.wordcount]
output_topic = "{counts}"
output_partitions = 4
window = "1s"
time = "arrival"
"#
    );
    let (dir, config) = (cluster.home(name), config(cluster, name, &mapping));
    let daemon = Daemon::start(&dir, "a", &config);
    eventually("joined", Duration::from_secs(60), || {
        4.0 <= daemon.metric("alluvium_assigned_partitions", &[])
    });
    let (started, on) = (Instant::now(), Arc::new(AtomicBool::new(true)));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (bootstrap, topic) = (cluster.bootstrap(), topic.to_string());
            let on = Arc::clone(&on);
            std::thread::spawn(move || {
                let producer: BaseProducer = ClientConfig::new()
                    .set("bootstrap.servers", bootstrap)
                    .set("transactional.id", format!("restless-{writer}"))
                    .set("linger.ms", "0")
                    .create()
                    .unwrap();
                let limit = Duration::from_secs(30);
                producer.init_transactions(limit).unwrap();
                let mut n = 0;
                while on.load(Ordering::SeqCst) {
                    producer.begin_transaction().unwrap();
                    for partition in (0..4).flat_map(|p| [p; 25]) {
                        n += 1;
                        let value = format!("word-{}", n % 97);
                        let record = BaseRecord::<(), str>::to(&topic).payload(&value);
                        producer.send(record.partition(partition)).unwrap();
                    }
                    if n % 300 == 0 {
                        producer.flush(limit).unwrap();
                        producer.abort_transaction(limit).unwrap();
                    } else {
                        producer.commit_transaction(limit).unwrap();
                    }
                }
            })
        })
        .collect();
    let guest: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", name)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .create()
        .unwrap();
    let (mut joins, poll) = (0, |millis| {
        let until = Instant::now() + Duration::from_millis(millis);
        while Instant::now() < until {
            let _ = guest.poll(Duration::from_millis(20));
        }
    });
    let rebalances = || daemon.metric("alluvium_rebalances_total", &[]);
    while started.elapsed() < LASTS || rebalances() < REBALANCES && started.elapsed() < AT_MOST {
        guest.subscribe(&["restless-other"]).unwrap();
        poll(700);
        guest.unsubscribe();
        poll(300);
        joins += 1;
    }
    on.store(false, Ordering::SeqCst);
    writers.into_iter().for_each(|w| w.join().unwrap());
    let want = cluster.read_topic(topic);
    let mut words: HashMap<String, u64> = HashMap::new();
    for r in &want {
        *words.entry(String::from_utf8(r.value.clone().unwrap()).unwrap()).or_default() += 1;
    }
    println!("{} records, {joins} joins", want.len());
    cluster.all_published(counts, want.len() as u64);
    daemon.archived_all(topic, &want);
    assert_eq!(daemon.stop(), 0);
    let raw = cluster.archive(&format!("{}/{name}", cluster.hdfs()), topic, topic);
    assert_each_once(&raw.offsets(), want.iter().map(|r| (r.partition, r.offset)));
    assert!(cluster.published_words(counts) == words, "published sums by word");
}

/// Another program uses the transactional id of a worker now and then: each time a commit gets no
/// plain answer, and in the end everything is counted once.
pub(crate) fn a_transactional_id_that_is_taken(cluster: &Cluster) {
    /// Longer than the half hour that the alert looks at, where a second counts as ten.
    const LASTS: Duration = Duration::from_secs(200);
    const SOON: Duration = Duration::from_secs(30);
    let (name, topic, counts) = ("taken", "taken-in", "taken-counts");
    cluster.create_topic(topic, 4);
    let mapping = format!(
        "[mapping.{name}]\ntopics = [\"{topic}\"]\narchive = false\n\
         [mapping.{name}.wordcount]\noutput_topic = \"{counts}\"\nscope = \"partition\"\n\
         window = \"1s\"\ntime = \"arrival\"\narchive = false"
    );
    let config = config(cluster, name, &mapping)
        .replace("workers = 2", "workers = 1")
        .replace("commit_interval = \"500ms\"", "commit_interval = \"100ms\"");
    let daemon = Daemon::start(&cluster.home(name), "a", &config);
    let commits = |outcome| daemon.metric("alluvium_commits_total", &[("outcome", outcome)]);
    let load = Load::begin(cluster, topic, 4, 200);
    eventually("it commits", Duration::from_secs(60), || 1.0 <= commits("ok"));
    let (started, mut times) = (Instant::now(), 0);
    while started.elapsed() < LASTS {
        let doubts = commits("doubt");
        let other: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap())
            .set("transactional.id", format!("{name}-a/{name}/0"))
            .create()
            .unwrap();
        other.init_transactions(SOON).unwrap();
        times += 1;
        eventually("a doubt", SOON, || doubts < commits("doubt"));
        let good = commits("ok");
        eventually("a commit", SOON, || good < commits("ok"));
    }
    println!("the transactional id was taken {times} times");
    let sent = load.end();
    let done = sent.records as f64;
    eventually("counted", Duration::from_secs(120), || {
        done <= daemon.of_topic("alluvium_results_position", topic)
    });
    assert_eq!(daemon.stop(), 0);
    assert!(cluster.published_words(counts) == sent.lines.expected(), "published sums by word");
}

/// An operator moves the committed offset with the standard tool, back and forward: records are
/// counted again, or not at all, as asked and with a word in the log; the archive has each once.
pub(crate) fn an_offset_that_was_moved(cluster: &Cluster) {
    let (name, topic, counts) = ("moved", "moved-in", "moved-counts");
    cluster.create_topic(topic, 1);
    let mapping = format!(
        "[mapping.moved]\ntopics = [\"{topic}\"]\n\
         [mapping.moved.wordcount]\noutput_topic = \"{counts}\""
    );
    let (dir, config) = (cluster.home(name), config(cluster, name, &mapping));
    let producer = cluster.producer();
    let write = |n: i64| {
        for _ in 0..n {
            send(&producer, topic, 0, b"word", None);
        }
        flush(&producer);
    };
    write(100);
    let daemon = Daemon::start(&dir, "a", &config);
    eventually("counted", Duration::from_secs(60), || 100.0 <= cluster.position(name, topic));
    assert_eq!(daemon.stop(), 0);
    cluster.reset_offset(name, topic, 40);
    write(10);
    let daemon = Daemon::start(&dir, "a", &config);
    eventually("counted again", Duration::from_secs(60), || 110.0 <= cluster.position(name, topic));
    assert!(
        daemon.log_text().contains("another program has committed an offset"),
        "{}",
        daemon.log_text()
    );
    cluster.all_published(counts, 100 + 60 + 10);
    assert_eq!(daemon.stop(), 0);
    write(10);
    cluster.reset_offset(name, topic, 115);
    let daemon = Daemon::start(&dir, "a", &config);
    eventually("went on", Duration::from_secs(60), || 120.0 <= cluster.position(name, topic));
    assert!(
        daemon.log_text().contains("another program has committed an offset"),
        "{}",
        daemon.log_text()
    );
    cluster.all_published(counts, 100 + 60 + 10 + 5);
    assert_eq!(daemon.stop(), 0);
    assert_eq!(cluster.published_words(counts)["word"], 100 + 60 + 10 + 5);
    let raw = cluster.archive(&format!("{}/{name}", cluster.hdfs()), topic, topic);
    assert_eq!(raw.offsets(), (0..120).map(|o| (0, o)).collect::<Vec<_>>());
}

/// The group's offsets were deleted, the ledger is there: the partition stops. A repair reads in
/// the published counts where they end, and nothing is counted twice.
pub(crate) fn offsets_that_were_deleted(cluster: &Cluster) {
    let (name, topic) = ("deleted", "deleted-in");
    cluster.create_topic(topic, 1);
    let mapping = format!(
        "[mapping.deleted]\ntopics = [\"{topic}\"]\n\
         [mapping.deleted.wordcount]\noutput_topic = \"deleted-counts\""
    );
    let (dir, config) = (cluster.home(name), config(cluster, name, &mapping));
    let producer = cluster.producer();
    send(&producer, topic, 0, b"zero", None);
    flush(&producer);
    let daemon = Daemon::start(&dir, "a", &config);
    cluster.all_published("deleted-counts", 1);
    send(&producer, topic, 0, b"one", None);
    flush(&producer);
    eventually("counted", Duration::from_secs(60), || 2.0 <= cluster.position(name, topic));
    assert_eq!(daemon.stop(), 0);
    cluster.delete_group(name);
    let daemon = Daemon::start(&dir, "a", &config);
    eventually("stopped", Duration::from_secs(60), || {
        1.0 <= daemon.metric("alluvium_partition_stopped", &[("reason", "nothing_committed")])
    });
    assert!(daemon.get("/readyz").is_none(), "not ready while a partition is stopped");
    let file = dir.join("a.toml").display().to_string();
    let (code, text) = alluvium(&["repair", "--config", &file, topic, "0", "--count-from", "0"]);
    assert!(code == 0 && text.contains("results continue at 0"), "{text}");
    // The counts' own archive has stopped as well, if a file of it was rolled before.
    let (code, text) = alluvium(&["repair", "--config", &file, "deleted-counts", "--apply"]);
    assert_eq!(code, 0, "{text}");
    let would = "would commit offset 2: results continue at 2";
    repaired(cluster, &daemon, (name, topic), "nothing_committed", would);
    send(&producer, topic, 0, b"two", None);
    flush(&producer);
    eventually("goes on", Duration::from_secs(60), || 3.0 <= cluster.position(name, topic));
    // The merge found out by itself how far it was, windows that were open included.
    cluster.all_published("deleted-counts", 3);
    assert_eq!(daemon.stop(), 0);
    let words = cluster.published_words("deleted-counts");
    assert_eq!(words, [("zero".into(), 1), ("one".into(), 1), ("two".into(), 1)].into());
}

/// The log begins beyond the placeholder that partitions are assigned at: nothing may be fetched
/// from there, ever, or the client gives the partition up.
pub(crate) fn joins_after_retention(cluster: &Cluster) {
    let (name, topic, partitions) = ("old", "old-in", 48_i32);
    cluster.create_topic(topic, partitions.unsigned_abs());
    let config = config(cluster, name, &format!("[mapping.old]\ntopics = [\"{topic}\"]"));
    let dir = cluster.home(name);
    let producer = cluster.producer();
    let write = || {
        (0..partitions).for_each(|p| send(&producer, topic, p, b"one", None));
        flush(&producer);
    };
    write();
    cluster.delete_records(topic, partitions, 1);
    for round in 1..=4 {
        let daemon = Daemon::start(&dir, "a", &config);
        write();
        eventually("read", Duration::from_secs(60), || {
            f64::from(partitions) <= daemon.metric("alluvium_records_total", &[("mapping", "old")])
        });
        let log = daemon.log_text();
        assert!(!log.contains("joining the group again"), "round {round}: {log}");
        assert_eq!(daemon.stop(), 0);
    }
}

/// Retention took records before they were archived: by default the partition stops and names
/// them; with on_gap = "record" a gap entry names them and the daemon goes on.
pub(crate) fn retention_that_overtook(cluster: &Cluster) {
    let (name, topic) = ("gap", "gap-in");
    cluster.create_topic(topic, 1);
    let mapping =
        |on_gap: &str| format!("[mapping.gap]\ntopics = [\"{topic}\"]\non_gap = \"{on_gap}\"");
    let dir = cluster.home(name);
    let producer = cluster.producer();
    let write = |n: i64| {
        for i in 0..n {
            send(&producer, topic, 0, i.to_string().as_bytes(), None);
        }
        flush(&producer);
    };
    write(10);
    let daemon = Daemon::start(&dir, "a", &config(cluster, name, &mapping("stop")));
    eventually("read", Duration::from_secs(60), || {
        10.0 <= daemon.metric("alluvium_records_total", &[("mapping", "gap")])
    });
    assert_eq!(daemon.stop(), 0);
    write(20);
    cluster.delete_records(topic, 1, 25);
    let daemon = Daemon::start(&dir, "a", &config(cluster, name, &mapping("stop")));
    eventually("stopped", Duration::from_secs(60), || {
        1.0 <= daemon.metric("alluvium_partition_stopped", &[("reason", "archive_gap")])
    });
    assert!(daemon.log_text().contains("[10, 25)"), "{}", daemon.log_text());
    let would = "would put a gap entry for offsets [10, 25)";
    repaired(cluster, &daemon, (name, topic), "archive_gap", would);
    assert_eq!(daemon.stop(), 0);
    let daemon = Daemon::start(&dir, "a", &config(cluster, name, &mapping("record")));
    // The same while it runs: it stood still for long enough, but not so long as to be missed.
    eventually("archived", Duration::from_secs(60), || {
        30.0 <= daemon.of_topic("alluvium_archive_position", topic)
    });
    let stand_still = |daemon: &Daemon, records: i64, deleted: i64| {
        daemon.signal("-STOP");
        // The broker answers the fetch that is under way: with nothing.
        std::thread::sleep(Duration::from_secs(1));
        write(records);
        cluster.delete_records(topic, 1, deleted);
        daemon.signal("-CONT");
    };
    stand_still(&daemon, 20, 40);
    eventually("goes on after the gap", Duration::from_secs(90), || {
        50.0 <= daemon.of_topic("alluvium_archive_position", topic)
    });
    assert_eq!(daemon.metric("alluvium_gap_offsets_total", &[]), 10.0, "[30, 40)");
    let log = daemon.log_text();
    assert!(log.contains("it begins anew") && !log.contains("joining the group again"), "{log}");
    assert_eq!(log.matches("assignment: ").count(), 1, "no rebalance is needed:\n{log}");
    assert_eq!(daemon.stop(), 0);
    let file = dir.join("a.toml").display().to_string();
    let (code, text) = alluvium(&["where", topic, "0", "12", "--config", &file]);
    assert!(code == 0 && text.contains("gap") && text.contains("retention"), "{text}");
    // Once more, with an open file: what was read is kept, although the log has it no more.
    let slow = format!("{}\narchive = {{ roll = {{ age = \"10m\" }} }}", mapping("record"));
    let daemon = Daemon::start(&dir, "a", &config(cluster, name, &slow));
    write(5);
    eventually("read, not archived", Duration::from_secs(60), || {
        5.0 <= daemon.metric("alluvium_records_total", &[("mapping", "gap")])
    });
    // Nothing is archived; the gauge itself comes a moment after the records.
    let archived = || daemon.of_topic("alluvium_archive_position", topic);
    eventually("a position", Duration::from_secs(10), || 50.0 <= archived());
    assert_eq!(archived(), 50.0);
    stand_still(&daemon, 15, 60);
    eventually("reads on after the gap", Duration::from_secs(90), || {
        15.0 <= daemon.metric("alluvium_records_total", &[("mapping", "gap")])
    });
    assert_eq!(daemon.stop(), 0);
    let raw = cluster.archive(&format!("{}/{name}", cluster.hdfs()), topic, topic);
    let want = (0..10).chain(25..30).chain(40..55).chain(60..70);
    let want: Vec<(i32, i64)> = want.map(|o| (0, o)).collect();
    assert_eq!(raw.offsets(), want);
}
