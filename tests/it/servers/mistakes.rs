//! What operators do, each loud and lossless; and input that has holes, which are no loss.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

use super::config;
use super::merge::windows;
use crate::support::{Cluster, Daemon, alluvium, eventually, flush, send};

const LIMIT: Duration = Duration::from_secs(60);

fn mapping(name: &str, topic: &str) -> String {
    format!("[mapping.{name}]\ntopics = [\"{topic}\"]")
}

/// Writes `n` records and lets a daemon archive them.
fn begin(cluster: &Cluster, name: &str, topic: &str, n: i64) {
    let producer = cluster.producer();
    for _ in 0..n {
        send(&producer, topic, 0, b"record", None);
    }
    flush(&producer);
    let config = config(cluster, name, &mapping(name, topic));
    let daemon = Daemon::start(&cluster.home(name), "a", &config);
    // A stop archives what was read.
    eventually("read", LIMIT, || {
        n as f64 <= daemon.metric("alluvium_records_total", &[("mapping", name)])
    });
    assert_eq!(daemon.stop(), 0);
}

/// Starts a daemon that must stop its partition for this reason; its log.
fn stops(cluster: &Cluster, name: &str, config: &str, reason: &str) -> String {
    let daemon = Daemon::start(&cluster.home(name), "a", config);
    eventually(reason, LIMIT, || {
        1.0 <= daemon.metric("alluvium_partition_stopped", &[("reason", reason)])
    });
    let log = daemon.log_text();
    assert_eq!(daemon.stop(), 0);
    log
}

/// `alluvium repair` beside a running daemon, of which one partition has stopped for this reason:
/// first it only says what it would do, then it does it, and the daemon goes on by itself.
pub(crate) fn repaired(
    cluster: &Cluster,
    daemon: &Daemon,
    of: (&str, &str),
    reason: &str,
    would: &str,
) {
    let (name, topic) = of;
    eventually(reason, LIMIT, || {
        1.0 <= daemon.metric("alluvium_partition_stopped", &[("reason", reason)])
    });
    let log = daemon.log_text();
    let stopped =
        |l: &&str| l.contains("partition stopped") && l.contains(&format!("tp={topic}/0"));
    let line = log.lines().rfind(stopped).unwrap();
    let command = line.split_once("repair=\"alluvium ").unwrap().1.split_once('"').unwrap().0;
    let arguments: Vec<&str> = command.split(' ').collect();
    let (code, text) = alluvium(&arguments);
    assert!(code == 0 && text.contains(would) && text.contains("--apply"), "{text}");
    let (code, again) = alluvium(&arguments);
    assert!(code == 0 && again == text, "nothing was changed by looking: {again}");
    let (code, text) = alluvium(&[&arguments[..], &["--apply"]].concat());
    assert!(code == 0 && text.contains("repaired") && text.contains("looks at once"), "{text}");
    // It was told: by itself it may look 20 s later.
    eventually("goes on", Duration::from_secs(15), || {
        daemon.metric("alluvium_partition_stopped", &[("reason", reason)]) < 1.0
    });
    eventually("ready", LIMIT, || daemon.get("/readyz").is_some());
    let file = cluster.home(name).join("a.toml").display().to_string();
    let (code, text) = alluvium(&["repair", "--config", &file]);
    assert!(code == 0 && text.contains("need no repair"), "{text}");
}

/// Kafka forgets the committed offsets with the topic: the ledger knows that it is another one.
/// A repair begins the topic's next life beside the first one's archive.
pub(crate) fn a_topic_that_was_made_again(cluster: &Cluster) {
    let (name, topic) = ("again", "again-in");
    cluster.create_topic(topic, 1);
    begin(cluster, name, topic, 10);
    cluster.delete_topic(topic);
    cluster.create_topic(topic, 1);
    let producer = cluster.producer();
    for _ in 0..20 {
        send(&producer, topic, 0, b"of another topic", None);
    }
    flush(&producer);
    let config = config(cluster, name, &mapping(name, topic));
    let daemon = Daemon::start(&cluster.home(name), "a", &config);
    repaired(
        cluster,
        &daemon,
        (name, topic),
        "other_topic",
        "would put the genesis entry of incarnation 1",
    );
    assert!(daemon.log_text().contains("deleted and created again"), "{}", daemon.log_text());
    eventually("read", LIMIT, || {
        20.0 <= daemon.metric("alluvium_records_total", &[("mapping", name)])
    });
    assert_eq!(daemon.stop(), 0);
    let raw = cluster.archive(&format!("{}/{name}", cluster.hdfs()), topic, topic);
    let mut want: Vec<_> = (0..10).chain(0..20).map(|o| (0, o)).collect();
    want.sort_unstable();
    assert_eq!(raw.offsets(), want, "the old archive is unchanged, and the new one is beside it");
    let file = cluster.home(name).join("a.toml").display().to_string();
    let (code, text) = alluvium(&["verify", "--config", &file]);
    assert!(code == 0 && text.contains("log [0, 20), committed 20"), "{text}");
    let (code, text) = alluvium(&["where", topic, "0", "12", "--config", &file]);
    assert!(code == 0 && text.contains(&format!("part-{topic}-1-0-")), "{text}");
}

/// The same while a daemon reads it: it notices, and archives nothing of the new topic as if it
/// were of the old one.
pub(crate) fn a_topic_that_is_made_again_under_a_daemon(cluster: &Cluster) {
    let (name, topic) = ("under", "under-in");
    cluster.create_topic(topic, 1);
    let producer = cluster.producer();
    let write = |text: &str, n: usize| {
        (0..n).for_each(|_| send(&producer, topic, 0, text.as_bytes(), None));
        flush(&producer);
    };
    write("old", 10);
    let config = config(cluster, name, &mapping(name, topic))
        .replace("[daemon]\n", "[daemon]\ntopics_refresh = \"2s\"\n");
    let daemon = Daemon::start(&cluster.home(name), "a", &config);
    eventually("archived", LIMIT, || 10.0 <= daemon.of_topic("alluvium_archive_position", topic));
    // The daemon does not ask meanwhile: when its client learns of the new topic, that one has
    // records at the offsets that come next in the old one.
    daemon.signal("-STOP");
    cluster.delete_topic(topic);
    cluster.create_topic(topic, 1);
    write("new", 30);
    daemon.signal("-CONT");
    repaired(cluster, &daemon, (name, topic), "other_topic", "entry of incarnation 1");
    eventually("archived", LIMIT, || 30.0 <= daemon.of_topic("alluvium_archive_position", topic));
    assert_eq!(daemon.stop(), 0);
    let raw = cluster.archive(&format!("{}/{name}", cluster.hdfs()), topic, topic);
    let mut want: Vec<_> = (0..10).chain(0..30).map(|o| (0, o)).collect();
    want.sort_unstable();
    assert_eq!(raw.offsets(), want);
}

/// The topic of partial counts is deleted while windows are open: under a daemon, and while none
/// runs. What the windows had counted is gone, and nobody goes on until a person has accepted that.
pub(crate) fn partial_counts_that_were_deleted(cluster: &Cluster) {
    const HOUR: i64 = 3_600_000;
    const START: i64 = 1_735_689_600_000;
    let (name, topic, counts) = ("partials", "partials-in", "partials-counts");
    let internal = "partials-partials-partials";
    cluster.create_topic(topic, 1);
    let producer = cluster.producer();
    let say = |word: &str, n: i64, hour: i64| {
        let time = Some(START + hour * HOUR);
        (0..n).for_each(|_| send(&producer, topic, 0, word.as_bytes(), time));
        flush(&producer);
    };
    let counted = |below: i64| {
        eventually("counted", LIMIT, || {
            cluster.committed(name, (topic, 0)).1.contains(&format!(";p={below};"))
        });
    };
    let mapping = format!(
        "{}\n[mapping.{name}.wordcount]\noutput_topic = \"{counts}\"\nwindow = \"1h\"\n\
         time = \"record\"\nidle_after = \"10m\"\narchive = false\n",
        mapping(name, topic)
    );
    let config = config(cluster, name, &mapping)
        .replace("[daemon]\n", "[daemon]\ntopics_refresh = \"2s\"\n");
    let (dir, file) = (cluster.home(name), cluster.home(name).join("a.toml"));
    let file = file.display().to_string();
    say("lost", 5, 0);
    let daemon = Daemon::start(&dir, "a", &config);
    counted(5);
    let is_stopped = |daemon: &Daemon| {
        eventually("stopped", LIMIT, || {
            let labels = [("topic", topic), ("reason", "other_partials")];
            1.0 <= daemon.metric("alluvium_partition_stopped", &labels)
        });
        assert_eq!(daemon.get("/readyz"), None);
    };
    cluster.begin_to_delete_topic(internal);
    is_stopped(&daemon);
    let (code, text) = alluvium(&["verify", "--config", &file]);
    assert!(code == 65 && text.contains("below offset 5"), "{text}");
    let (code, text) = alluvium(&["repair", topic, "0", "--config", &file]);
    assert!(code == 0 && text.contains("results continue at 5"), "{text}");
    // The merge may have stopped too, for the same topic.
    eventually("repaired", LIMIT, || {
        let _ = alluvium(&["repair", "--apply", "--config", &file]);
        alluvium(&["repair", "--config", &file]).1.contains("need no repair")
    });
    eventually("ready", LIMIT, || daemon.get("/readyz").is_some());
    say("kept", 3, 0);
    say("again", 1, 3);
    cluster.all_published(counts, 3);
    counted(9);
    assert_eq!(daemon.stop(), 0);

    cluster.delete_topic(internal);
    let daemon = Daemon::start(&dir, "a", &config);
    is_stopped(&daemon);
    let from = ["repair", topic, "0", "--count-from", "8", "--apply", "--config", &file];
    let (code, text) = alluvium(&from);
    assert!(code == 0 && text.contains("repaired"), "{text}");
    say("last", 1, 6);
    cluster.all_published(counts, 4);
    assert_eq!(daemon.stop(), 0);
    let want = [("kept", 3), ("again", 1)].map(|(word, n)| (word.to_string(), n));
    assert_eq!(cluster.published_words(counts), want.into_iter().collect());
}

/// The root was wiped, or another one was configured for the same group; put back, it goes on.
pub(crate) fn roots_that_were_wiped_or_changed(cluster: &Cluster) {
    let (name, topic) = ("roots", "roots-in");
    cluster.create_topic(topic, 1);
    begin(cluster, name, topic, 10);
    let right = config(cluster, name, &mapping(name, topic));
    let other = right.replace("/roots\"", "/roots-other\"");
    let log = stops(cluster, name, &other, "other_root");
    assert!(log.contains("Use another group_id"), "{log}");
    let files = cluster.files();
    files.rename("/roots", "/roots-away");
    let log = stops(cluster, name, &right, "other_root");
    assert!(log.contains("another root"), "{log}");
    // The identity alone was kept, as by somebody who cleans up too well.
    files.delete("/roots");
    files.make_dirs("/roots/_alluvium");
    files.write("/roots/_alluvium/identity", &files.read("/roots-away/_alluvium/identity"));
    let log = stops(cluster, name, &right, "no_ledger");
    assert!(log.contains("the root was wiped") && log.contains("Restore the root"), "{log}");
    let file = cluster.home(name).join("a.toml").display().to_string();
    let (code, text) = alluvium(&["verify", "--config", &file]);
    assert!(code == 65 && text.contains("stopped partition: roots-in/0"), "{text}");
    files.delete("/roots");
    files.rename("/roots-away", "/roots");
    begin(cluster, name, topic, 5);
    let offsets = |root: &str| {
        let raw = cluster.archive(&format!("{}/{root}", cluster.hdfs()), topic, topic);
        raw.offsets().into_iter().map(|(_, offset)| offset).collect::<Vec<_>>()
    };
    assert_eq!(offsets(name), (0..15).collect::<Vec<_>>());

    // An older backup was restored: the last entry and its file are missing. Kafka has the rest.
    files.delete(&format!("/{name}/_alluvium/ledger/{topic}/0/0/{:020}.entry", 10));
    let of_entry = |path: &String| path.rsplit('/').next().unwrap().contains("0010-");
    let parts = files.walk(&format!("/{name}/{topic}")).into_iter().map(|(path, _)| path);
    let parts: Vec<String> = parts.filter(of_entry).collect();
    assert_eq!(parts.len(), 1, "{parts:?}");
    files.delete(&parts[0]);
    let daemon = Daemon::start(&cluster.home(name), "a", &right);
    repaired(cluster, &daemon, (name, topic), "committed_beyond_ledger", "would commit offset 10");
    eventually("read", LIMIT, || {
        5.0 <= daemon.metric("alluvium_records_total", &[("mapping", name)])
    });
    assert_eq!(daemon.stop(), 0);
    assert_eq!(offsets(name), (0..15).collect::<Vec<_>>());

    // The archive moves to another root for good: it begins there where this one ends.
    let daemon = Daemon::start(&cluster.home(name), "a", &other);
    repaired(cluster, &daemon, (name, topic), "other_root", "the archive begins at offset 15");
    let producer = cluster.producer();
    send(&producer, topic, 0, b"record", None);
    flush(&producer);
    eventually("read", LIMIT, || {
        1.0 <= daemon.metric("alluvium_records_total", &[("mapping", name)])
    });
    assert_eq!(daemon.stop(), 0);
    assert_eq!((offsets("roots-other"), offsets(name).len()), (vec![15], 15));
}

/// Two instances of one name use one transactional id: the older one says so and ends; nothing is
/// counted twice.
pub(crate) fn two_instances_of_one_name(cluster: &Cluster) {
    let (name, topic, counts) = ("twins", "twins-in", "twins-counts");
    cluster.create_topic(topic, 4);
    let mapping = format!(
        "{}\narchive = false\n[mapping.twins.wordcount]\noutput_topic = \"{counts}\"\narchive = \
         false",
        mapping(name, topic)
    );
    let config = config(cluster, name, &mapping);
    let producer = cluster.producer();
    let write = |n: i32| {
        for i in 0..n {
            send(&producer, topic, i % 4, b"word", None);
        }
        flush(&producer);
    };
    write(100);
    let mut first = Daemon::start(&cluster.home(name), "a", &config);
    eventually("counted", LIMIT, || 100.0 <= cluster.position(name, topic));
    let mut second = Daemon::start(&cluster.home(name).join("2"), "a", &config);
    eventually("one of them ends", LIMIT, || {
        write(40);
        !first.is_running() || !second.is_running()
    });
    assert!(second.is_running(), "the newer one has ended:\n{}", second.log_text());
    let (code, log) = first.wait(LIMIT);
    assert_eq!(code, 1);
    assert!(log.contains("two instances run under one name"), "{log}");
    assert!(log.contains("daemon.instance"), "{log}");
    assert!(log.contains("joined later"), "{log}");
    let (sent, going) = (cluster.read_topic(topic).len() as f64, second);
    eventually("the other counts on", LIMIT, || sent <= cluster.position(name, topic));
    cluster.all_published(counts, sent as u64);
    assert_eq!(going.stop(), 0);
    assert_eq!(cluster.published_words(counts)["word"] as f64, sent);
}

/// Aborted transactions and compaction leave holes in the log: the archive has exactly what a
/// read_committed consumer sees, and `verify` calls it whole. A transaction that does not end is
/// seen.
pub(crate) fn aborted_and_compacted_input(cluster: &Cluster) {
    let (name, topic) = ("holes", "holes-in");
    cluster.create_topic(topic, 1);
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("transactional.id", name)
        .create()
        .unwrap();
    producer.init_transactions(LIMIT).unwrap();
    for transaction in 0..10 {
        producer.begin_transaction().unwrap();
        for i in 0..5 {
            let (key, value) = (i.to_string(), format!("{transaction}"));
            producer.send(BaseRecord::to(topic).key(&key).payload(&value)).unwrap();
        }
        producer.flush(LIMIT).unwrap();
        if transaction % 3 == 1 {
            producer.abort_transaction(LIMIT).unwrap();
        } else {
            producer.commit_transaction(LIMIT).unwrap();
        }
    }
    let wordcount = format!("\n[mapping.{name}.wordcount]\noutput_topic = \"holes-counts\"\n");
    let config = config(cluster, name, &(mapping(name, topic) + &wordcount));
    let daemon = Daemon::start(&cluster.home(name), "a", &config);
    let seen = cluster.read_topic(topic);
    assert_eq!(seen.len(), 35);
    eventually("archived", LIMIT, || {
        seen.len() as f64 <= daemon.metric("alluvium_records_total", &[("role", "source")])
    });
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::to(topic).key("hangs").payload("hangs")).unwrap();
    producer.flush(LIMIT).unwrap();
    // Its alert comes after a quarter of an hour, which is as many seconds in a recording.
    eventually("the open transaction is seen", LIMIT, || {
        17.0 <= daemon.of_topic("alluvium_open_transaction_seconds", topic)
    });
    producer.abort_transaction(LIMIT).unwrap();
    // Markers and aborted records are nothing that waits to be counted.
    eventually("nothing waits", LIMIT, || {
        daemon.of_topic("alluvium_open_transaction_seconds", topic) == 0.0
            && daemon.of_topic("alluvium_results_lag_records", topic) == 0.0
            && 62.0 <= daemon.of_topic("alluvium_results_position", topic)
    });
    assert_eq!(daemon.stop(), 0);
    let raw = cluster.archive(&format!("{}/{name}", cluster.hdfs()), topic, topic).records();
    assert!(raw == seen, "the archive is what a read_committed consumer sees");
    let file = cluster.home(name).join("a.toml").display().to_string();
    let (code, text) = alluvium(&["verify", "--config", &file]);
    assert!(code == 0 && text.contains("offsets without a record"), "{text}");
}

/// A topic that grows while the daemon runs: the new partitions are read from their beginnings, and
/// join the merge. From then on its windows wait for them.
pub(crate) fn partitions_that_were_added(cluster: &Cluster) {
    const FIRST: i64 = 1_735_689_600_000;
    const WINDOW: i64 = 600_000;
    let (name, topic, counts) = ("added", "added-in", "added-counts");
    cluster.create_topic(topic, 1);
    let wordcount = format!(
        r#"
[mapping.{name}.wordcount]
output_topic = "{counts}"
time = "record"
window = "10m"
out_of_order = "1s"
idle_after = "10s"
"#
    );
    let config = config(cluster, name, &(mapping(name, topic) + &wordcount))
        .replace("[archive]\n", "\"metadata.max.age.ms\" = \"2000\"\n[archive]\n");
    let daemon = Daemon::start(&cluster.home(name), "a", &config);
    eventually("ready", LIMIT, || daemon.get("/readyz").is_some());
    let producer = cluster.producer();
    cluster.add_partitions(topic, 4);
    let mut sent = Vec::new();
    let mut add = |partition: i32, window: i64| {
        send(&producer, topic, partition, b"record", Some(FIRST + window * WINDOW));
        let next = sent.iter().filter(|(p, _)| *p == partition).count() as i64;
        sent.push((partition, next));
    };
    let mut rounds = 0;
    eventually("every partition is archived", LIMIT, || {
        // Some records are older than the assignment of their partition.
        (0..4).for_each(|p| add(p, 0));
        rounds += 1;
        flush(&producer);
        let at = |p: &str| {
            let labels = [("topic", topic), ("partition", p)];
            daemon.metric("alluvium_archive_position", &labels)
        };
        ["0", "1", "2", "3"].iter().all(|p| 1.0 <= at(p))
    });
    // None of the new ones is idle yet when the first goes ahead of them.
    (0..4).for_each(|p| add(p, 0));
    (1..=2).for_each(|window| add(0, window));
    flush(&producer);
    std::thread::sleep(Duration::from_secs(4));
    (1..=3).for_each(|p| (1..=2).for_each(|window| add(p, window)));
    flush(&producer);
    eventually("archived", LIMIT, || {
        sent.len() as f64 <= daemon.of_topic("alluvium_archive_position", topic)
    });
    cluster.all_published(counts, sent.len() as u64);
    assert_eq!(daemon.stop(), 0);
    sent.sort_unstable();
    let raw = cluster.archive(&format!("{}/{name}", cluster.hdfs()), topic, topic);
    assert_eq!(raw.offsets(), sent);
    let published = windows(cluster.read_topic(counts));
    let of = |window: i64| &published[&(FIRST + window * WINDOW, "record".to_string())];
    assert_eq!(of(0).0, 4 * (rounds + 1), "{published:?}");
    for window in 1..=2 {
        assert_eq!(*of(window), (4, vec!["final".to_string()]), "{published:?}");
    }
}

/// Metadata or a ledger entry that this build does not know stops the partition and nothing else:
/// neither is touched, and put back, it goes on.
pub(crate) fn what_another_version_wrote(cluster: &Cluster) {
    let (name, topic) = ("newer", "newer-in");
    cluster.create_topic(topic, 1);
    begin(cluster, name, topic, 10);
    let config = config(cluster, name, &mapping(name, topic));

    let committed = || cluster.committed(name, (topic, 0)).1;
    let commit = |metadata: &str| cluster.commit(name, (topic, 0), 10, metadata);
    let ours = committed();
    let theirs = ours.replace("alluvium1;", "alluvium2;");
    commit(&theirs);
    let log = stops(cluster, name, &config, "unreadable");
    assert!(log.contains("alluvium2;") && log.contains("nothing was changed"), "{log}");
    assert_eq!(committed(), theirs, "left as it was");
    commit(&ours);

    let entry = format!("/{name}/_alluvium/ledger/{topic}/0/0/{:020}.entry", 0);
    let files = cluster.files();
    let read = || String::from_utf8(files.read(&entry)).unwrap();
    let put = |text: &str| files.write(&entry, text.as_bytes());
    let text = read();
    let newer = text.replace("\"version\": 1", "\"version\": 2");
    assert_ne!(newer, text);
    put(&newer);
    let log = stops(cluster, name, &config, "unreadable");
    assert!(log.contains(&entry[name.len() + 2..]) && log.contains("version 2"), "{log}");
    assert_eq!(read(), newer, "left as it was");
    put(&text);
    begin(cluster, name, topic, 5);
    let raw = cluster.archive(&format!("{}/{name}", cluster.hdfs()), topic, topic);
    assert_eq!(raw.offsets(), (0..15).map(|o| (0, o)).collect::<Vec<_>>());
}
