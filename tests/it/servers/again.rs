//! What an operator deletes and makes again under a daemon, and who else uses its group: the daemon
//! stops or says so, and counts nothing twice.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};

use super::config;
use crate::support::{Cluster, Daemon, Producing, alluvium, eventually, flush, send, send_full};

const LIMIT: Duration = Duration::from_secs(60);

fn write(producer: &Producing, topic: &str, partitions: i32, n: i32) {
    (0..n).for_each(|i| send(producer, topic, i % partitions, b"word", None));
    flush(producer);
}

/// A configuration whose topics are looked at every second.
fn watchful(cluster: &Cluster, name: &str, mappings: &str) -> String {
    config(cluster, name, mappings).replace("[daemon]\n", "[daemon]\ntopics_refresh = \"1s\"\n")
}

/// Applies repairs until none is needed; what was said of the first look.
fn repair_all(cluster: &Cluster, name: &str) -> String {
    let file = cluster.home(name).join("a.toml").display().to_string();
    let (_, first) = alluvium(&["repair", "--config", &file]);
    eventually("repaired", LIMIT, || {
        let _ = alluvium(&["repair", "--apply", "--config", &file]);
        alluvium(&["repair", "--config", &file]).1.contains("need no repair")
    });
    first
}

fn sum(cluster: &Cluster, counts: &str) -> u64 {
    cluster.published_words(counts).values().sum()
}

/// Three topics that the daemon writes to are deleted and created again while it stands still, with
/// another number of partitions: one whose counts are archived, one whose counts are not, and one
/// of partial counts.
pub(crate) fn topics_of_counts_that_an_operator_made_again(cluster: &Cluster) {
    const READ: i32 = 2;
    let name = "remade";
    let of = |mapping: &str, more: &str| {
        cluster.create_topic(&format!("remade-{mapping}-in"), READ as u32);
        cluster.create_topic(&format!("remade-{mapping}-counts"), 3);
        format!(
            "[mapping.{mapping}]\ntopics = [\"remade-{mapping}-in\"]\n\
             [mapping.{mapping}.wordcount]\noutput_topic = \"remade-{mapping}-counts\"\n\
             partials = {{ partitions = 3 }}\n{more}\n"
        )
    };
    let mappings = [
        of("kept", "window = \"1s\"\ntime = \"arrival\""),
        of("bare", "window = \"1s\"\ntime = \"arrival\"\narchive = false"),
        of("parts", "window = \"1h\"\ntime = \"record\"\nidle_after = \"10m\"\narchive = false"),
    ];
    let producer = cluster.producer();
    let all = |n: i32| {
        for mapping in ["kept", "bare", "parts"] {
            write(&producer, &format!("remade-{mapping}-in"), READ, n);
        }
    };
    all(20);
    let config = watchful(cluster, name, &mappings.concat());
    let daemon = Daemon::start(&cluster.home(name), "a", &config);
    for mapping in ["kept", "bare", "parts"] {
        let topic = format!("remade-{mapping}-in");
        eventually("counted", LIMIT, || 20.0 <= cluster.position(name, &topic));
    }
    for counts in ["remade-kept-counts", "remade-bare-counts"] {
        cluster.all_published(counts, 20);
    }
    daemon.archived_all("remade-kept-counts", &cluster.read_topic("remade-kept-counts"));
    // Until the topics were looked at.
    std::thread::sleep(Duration::from_secs(3));
    daemon.signal("-STOP");
    for (topic, partitions) in
        [("remade-kept-counts", 5), ("remade-bare-counts", 2), ("remade-parts-partials", 2)]
    {
        cluster.delete_topic(topic);
        cluster.create_topic(topic, partitions);
    }
    all(10);
    daemon.signal("-CONT");
    let says = |text: &str| eventually(text, LIMIT, || daemon.log_text().contains(text));
    says("code=\"AL412\" topic=\"remade-bare-counts\"");
    says("topic \"remade-parts-partials\" has 2 partitions");
    is_stopped(&daemon, "remade-parts-in", "other_partials");
    assert!(daemon.get("/readyz").is_none(), "it is not ready while partitions are stopped");
    let said = repair_all(cluster, name);
    assert!(said.contains("results continue at"), "{said}");
    eventually("it goes on, as far as two partitions let it", LIMIT, || {
        stopped(&daemon, "remade-parts-in", "other_partials") < 1.0
    });
    // The daemon creates it again, with as many partitions as there were.
    cluster.begin_to_delete_topic("remade-parts-partials");
    eventually("the partials topic is as it was", LIMIT, || {
        cluster.has_topic("remade-parts-partials")
            && cluster.partitions("remade-parts-partials") == 3
    });
    is_stopped(&daemon, "remade-parts-in", "other_partials");
    let _ = repair_all(cluster, name);
    all(4);
    for mapping in ["kept", "bare", "parts"] {
        let topic = format!("remade-{mapping}-in");
        eventually("counted", LIMIT, || 34.0 <= cluster.position(name, &topic));
    }
    for counts in ["remade-kept-counts", "remade-bare-counts"] {
        cluster.all_published(counts, 14);
    }
    daemon.archived_all("remade-kept-counts", &cluster.read_topic("remade-kept-counts"));
    assert_eq!(daemon.stop(), 0);
    for counts in ["remade-kept-counts", "remade-bare-counts"] {
        assert_eq!(sum(cluster, counts), 14, "{counts}: what came since, and nothing else");
    }
    let root = format!("{}/{name}", cluster.hdfs());
    let archived = cluster.archive(&root, "remade-kept-counts", "remade-kept-counts");
    assert_eq!(archived.words()["word"], 34, "counts of both topics, each once");
    for mapping in ["kept", "bare", "parts"] {
        let topic = format!("remade-{mapping}-in");
        let want: Vec<_> = (0..READ).flat_map(|p| (0..17).map(move |o| (p, o))).collect();
        assert_eq!(cluster.archive(&root, &topic, &topic).offsets(), want, "{mapping}");
    }
}

/// The group is deleted while its only member stands still: the partition stops. A header that
/// nobody can read lies among the published counts: a repair that relied on them is refused.
pub(crate) fn offsets_that_are_deleted_under_a_daemon(cluster: &Cluster) {
    let (name, topic, counts) = ("unnoted", "unnoted-in", "unnoted-counts");
    cluster.create_topic(topic, 1);
    let mapping = format!(
        "[mapping.{name}]\ntopics = [\"{topic}\"]\n[mapping.{name}.wordcount]\noutput_topic = \
         \"{counts}\"\nwindow = \"1s\"\ntime = \"arrival\"\nscope = \"partition\"\narchive = \
         false\n"
    );
    let producer = cluster.producer();
    write(&producer, topic, 1, 10);
    let daemon = Daemon::start(&cluster.home(name), "a", &watchful(cluster, name, &mapping));
    cluster.all_published(counts, 10);
    let archived = |n: f64| {
        eventually("archived", LIMIT, || n <= daemon.of_topic("alluvium_archive_position", topic));
    };
    archived(10.0);
    eventually("committed", LIMIT, || 10.0 <= cluster.position(name, topic));
    daemon.signal("-STOP");
    cluster.delete_group(name);
    let damaged: [(&str, Option<&[u8]>); 1] = [("alluvium", Some(b"1;0;1000;final;0;10"))];
    send_full(&producer, counts, 0, Some(b"word"), Some(b"{}"), &damaged, None);
    write(&producer, topic, 1, 5);
    daemon.signal("-CONT");
    is_stopped(&daemon, topic, "nothing_committed");
    assert!(daemon.get("/readyz").is_none());
    let file = cluster.home(name).join("a.toml").display().to_string();
    let repair =
        |more: &[&str]| alluvium(&[&["repair", topic, "0", "--config", &file], more].concat());
    let (code, said) = repair(&["--apply"]);
    let at = format!("at {counts}/0, offset ");
    assert!(code == 65 && said.contains(&at) && said.contains("--count-from"), "{code} {said}");
    assert_eq!(cluster.committed(name, (topic, 0)).0, None, "nothing was committed");
    let (code, said) = repair(&["--count-from", "10", "--apply"]);
    assert!(code == 0 && said.contains("repaired"), "{code} {said}");
    archived(15.0);
    eventually("counted", LIMIT, || 15.0 <= cluster.position(name, topic));
    eventually("published", LIMIT, || {
        let all = cluster.read_topic(counts);
        let ours = all.iter().filter(|r| r.value.as_deref() != Some(b"{}"));
        let count = |r: &crate::support::ReadBack| -> u64 {
            let value: serde_json::Value =
                serde_json::from_slice(r.value.as_deref().unwrap()).unwrap();
            value["count"].as_u64().unwrap()
        };
        let published: u64 = ours.map(count).sum();
        assert!(published <= 15, "{published} of 15 are published");
        published == 15
    });
    assert_eq!(daemon.stop(), 0);
    let raw = cluster.archive(&format!("{}/{name}", cluster.hdfs()), topic, topic);
    assert_eq!(raw.offsets(), (0..15).map(|o| (0, o)).collect::<Vec<_>>());
}

/// The group of a merge is deleted. Of its published counts the last one can't be read, then one
/// that others follow, then all are gone: it stops where nobody knows what was published, and
/// publishes nothing twice.
pub(crate) fn counts_that_nobody_can_read(cluster: &Cluster) {
    let (name, topic, counts, partials) =
        ("unread", "unread-in", "unread-counts", "unread-unread-partials");
    cluster.create_topic(topic, 1);
    cluster.create_topic(counts, 1);
    let mapping = format!(
        "[mapping.{name}]\ntopics = [\"{topic}\"]\n[mapping.{name}.wordcount]\noutput_topic = \
         \"{counts}\"\nwindow = \"1s\"\ntime = \"arrival\"\narchive = false\npartials = {{ \
         partitions = 1 }}\n"
    );
    let config = watchful(cluster, name, &mapping);
    let producer = cluster.producer();
    let file = cluster.home(name).join("a.toml").display().to_string();
    let repair = |more: &[&str]| alluvium(&[&["repair", "--config", &file], more].concat());
    // What was published for sure, before the topic of counts lost its records.
    let (mut written, mut gone) = (0, 0);
    for round in ["damaged", "followed", "gone"] {
        write(&producer, topic, 1, 10);
        written += 10;
        let daemon = Daemon::start(&cluster.home(name), "a", &config);
        if written != 10 {
            is_stopped(&daemon, topic, "nothing_committed");
            // After the first round the damaged count is the last one; after the second, others
            // follow it.
            let is_followed = round == "gone";
            if !is_followed {
                is_stopped(&daemon, partials, "results_unknown");
                let (code, said) = repair(&[partials, "0", "--apply"]);
                let wanted = ["the header \"alluvium\" of the record at", "--count-from OFFSET"];
                assert!(code == 65 && wanted.iter().all(|w| said.contains(w)), "{code} {said}");
                publish_from_the_end(cluster, &file, partials);
            }
            let (code, said) = repair(&[topic, "0", "--apply"]);
            assert!(code == 0 && said.contains("repaired"), "{code} {said}");
            assert_eq!(stopped(&daemon, partials, "results_unknown"), 0.0, "{round}");
        }
        exactly(cluster, counts, written - gone);
        eventually("archived", LIMIT, || {
            f64::from(written) <= daemon.of_topic("alluvium_archive_position", topic)
        });
        assert_eq!(daemon.stop(), 0);
        cluster.delete_group(name);
        if round == "damaged" {
            let damaged: [(&str, Option<&[u8]>); 1] = [("alluvium", Some(b"2,9"))];
            let value = b"{\"word\":\"odd\",\"count\":0}";
            send_full(&producer, counts, 0, Some(b"odd"), Some(value), &damaged, None);
            flush(&producer);
        }
    }
    cluster.delete_records(counts, 1, cluster.log_end((counts, 0)));
    gone = written;
    write(&producer, topic, 1, 10);
    written += 10;
    let daemon = Daemon::start(&cluster.home(name), "a", &config);
    is_stopped(&daemon, partials, "results_unknown");
    let (_, said) = repair(&[partials, "0"]);
    assert!(said.contains("begins at offset") && said.contains("are gone"), "{said}");
    let (code, said) = alluvium(&["verify", "--config", &file]);
    assert!(code == 65 && said.contains(&format!("repair {partials} 0")), "{code} {said}");
    publish_from_the_end(cluster, &file, partials);
    let (code, said) = repair(&["--apply"]);
    assert!(code == 0 && said.contains("need no repair"), "{code} {said}");
    exactly(cluster, counts, written - gone);
    assert_eq!(daemon.stop(), 0);
    let raw = cluster.archive(&format!("{}/{name}", cluster.hdfs()), topic, topic);
    let want: Vec<_> = (0..i64::from(written)).map(|o| (0, o)).collect();
    assert_eq!(raw.offsets(), want);
}

/// How many partitions of a topic are stopped for a reason.
fn stopped(daemon: &Daemon, topic: &str, reason: &str) -> f64 {
    daemon.metric("alluvium_partition_stopped", &[("topic", topic), ("reason", reason)])
}

/// Waits until at least one is.
fn is_stopped(daemon: &Daemon, topic: &str, reason: &str) {
    eventually(reason, LIMIT, || 1.0 <= stopped(daemon, topic, reason));
}

/// The merge of the only partition goes on behind all partial counts that there are.
fn publish_from_the_end(cluster: &Cluster, file: &str, partials: &str) {
    let end = cluster.log_end((partials, 0)).to_string();
    let arguments = ["repair", partials, "0", "--count-from", &end, "--apply", "--config", file];
    let (code, said) = alluvium(&arguments);
    assert!(code == 0 && said.contains("repaired"), "{code} {said}");
}

/// So many words are published, and no more come.
fn exactly(cluster: &Cluster, counts: &str, words: i32) {
    cluster.all_published(counts, words as u64);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(sum(cluster, counts), words as u64);
}

/// A pattern matches nothing: at the start, after its topics were deleted, and by a reload. Nothing
/// is wrong with the instance, and every place that a person looks at says so.
pub(crate) fn patterns_that_match_nothing(cluster: &Cluster) {
    let name = "patterned";
    cluster.create_topic("patterned-also", 1);
    let config = watchful(
        cluster,
        name,
        "[mapping.patterned]\ntopics_regex = \"patterned-.+-in\"\n\
         [mapping.also]\ntopics = [\"patterned-also\"]\n",
    );
    let daemon = Daemon::start(&cluster.home(name), "a", &config);
    let url = format!("http://127.0.0.1:{}", daemon.port);
    let named = |yes: bool| {
        let text = "topics_regex of mapping.patterned matches no topic";
        for path in ["/readyz", "/"] {
            eventually(path, LIMIT, || {
                daemon.get(path).is_some_and(|said| said.contains(text) == yes)
            });
        }
        let metric = daemon.metric("alluvium_unmatched_mappings", &[]);
        assert_eq!(metric, f64::from(u8::from(yes)));
        let (code, said) = alluvium(&["status", "--url", &url]);
        assert!(code == 0 && said.contains(text) == yes, "{code} {said}");
        let status = daemon.get("/status.json").unwrap();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let mappings = status["unmatched_mappings"].as_array().unwrap();
        assert_eq!(mappings.len(), usize::from(yes), "{mappings:?}");
    };
    named(true);
    let file = cluster.home(name).join("a.toml").display().to_string();
    let (code, said) = alluvium(&["check", "--live", "--config", &file]);
    assert!(code == 0 && said.contains("matches no topic"), "{code} {said}");
    let producer = cluster.producer();
    cluster.create_topic("patterned-one-in", 1);
    write(&producer, "patterned-one-in", 1, 3);
    eventually("archived", LIMIT, || {
        3.0 <= daemon.of_topic("alluvium_archive_position", "patterned-one-in")
    });
    named(false);
    cluster.delete_topic("patterned-one-in");
    named(true);
    let lines = |text: &str| daemon.log_text().matches(text).count();
    assert_eq!(lines("matches no topic that this client may see"), 1);
    // Brokers learn of a topic at different times, so it may seem to be gone twice.
    assert!(1 <= lines("matches no topic any more"));
    cluster.create_topic("patterned-two-in", 1);
    named(false);
    daemon.reconfigure(&config.replace("patterned-.+-in", "nothing-of-patterned-.+"));
    named(true);
    assert_eq!(lines("matches no topic that this client may see"), 2);
    assert_eq!(daemon.stop(), 0);
}

/// Another consumer joins the daemon's group, reads records of its partitions, and commits its
/// offsets: the daemon names the offsets, and archives what the stranger has read, too.
pub(crate) fn a_stranger_in_the_group(cluster: &Cluster) {
    const EACH: i64 = 50;
    let (name, topic, counts) = ("shared", "shared-in", "shared-counts");
    cluster.create_topic(topic, 2);
    let mapping = format!(
        "[mapping.{name}]\ntopics = [\"{topic}\"]\n[mapping.{name}.wordcount]\noutput_topic = \
         \"{counts}\"\nwindow = \"1s\"\ntime = \"arrival\"\narchive = false\n"
    );
    let producer = cluster.producer();
    write(&producer, topic, 2, 2 * EACH as i32);
    let daemon = Daemon::start(&cluster.home(name), "a", &watchful(cluster, name, &mapping));
    let archived = |n: i64| {
        eventually("archived", LIMIT, || {
            n as f64 <= daemon.of_topic("alluvium_archive_position", topic)
        });
    };
    archived(2 * EACH);
    cluster.all_published(counts, 2 * EACH as u64);
    // The stranger begins at the committed offsets.
    eventually("committed", LIMIT, || {
        2 * EACH == (0..2).map(|p| cluster.committed(name, (topic, p)).0.unwrap_or(0)).sum::<i64>()
    });
    let stranger: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", name)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    stranger.subscribe(&[topic]).unwrap();
    let (mut read, mut is_assigned, began) = (0, false, Instant::now());
    while read < EACH {
        if !is_assigned && stranger.assignment().is_ok_and(|all| 0 < all.count()) {
            is_assigned = true;
            // What it reads has not been read by anybody before.
            write(&producer, topic, 2, 2 * EACH as i32);
        }
        if let Some(Ok(_)) = stranger.poll(Duration::from_millis(100)) {
            read += 1;
        }
        assert!(began.elapsed() < LIMIT, "the stranger has read {read} records");
    }
    stranger.commit_consumer_state(CommitMode::Sync).unwrap();
    drop(stranger);
    eventually("the offset is named", LIMIT, || {
        daemon.log_text().contains("another program has committed an offset in this group")
    });
    assert!(1.0 <= daemon.metric("alluvium_offsets_moved_total", &[]));
    let end: i64 = (0..2).map(|p| cluster.log_end((topic, p))).sum();
    archived(end);
    assert_eq!(daemon.stop(), 0);
    let raw = cluster.archive(&format!("{}/{name}", cluster.hdfs()), topic, topic).offsets();
    assert_eq!(raw.len() as i64, end, "what the stranger has read is archived, too");
    let published = sum(cluster, counts) as i64;
    // By what was named: records that the stranger has read are not counted.
    assert!(end - read <= published && published <= end, "{published} of {end} are counted");
}
