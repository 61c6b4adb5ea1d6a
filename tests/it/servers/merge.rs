//! One count of a word and window, over all partitions and instances.

use std::collections::HashMap;
use std::time::Duration;

use super::config;
use crate::support::{
    Cluster, Daemon, Lines, ReadBack, alluvium, eventually, flush, send, send_full,
};

/// (start of the window, word) → published sum, and the kinds it came in.
pub(crate) type Windows = HashMap<(i64, String), (u64, Vec<String>)>;

pub(crate) fn windows(records: Vec<ReadBack>) -> Windows {
    let mut all = Windows::new();
    for r in records {
        let value: serde_json::Value = serde_json::from_slice(&r.value.unwrap()).unwrap();
        let header = r.headers[0].1.clone().unwrap();
        let header = String::from_utf8(header).unwrap();
        let fields: Vec<&str> = header.split(';').collect();
        assert!(fields[0].starts_with("2,"), "not merged: {header}");
        let key = (fields[1].parse().unwrap(), value["word"].as_str().unwrap().to_string());
        let (sum, kinds) = all.entry(key).or_default();
        *sum += value["count"].as_u64().unwrap();
        kinds.push(value["kind"].as_str().unwrap().to_string());
    }
    all
}

/// Lines of six hours, shuffled within a minute, in 12 partitions; three instances, of which two
/// are killed on the way, and a fourth that joins. LINES=5000000 for as many as the benchmark has.
pub(crate) fn one_count_over_all_instances(cluster: &Cluster) {
    const WINDOW: i64 = 600_000;
    const FIRST: i64 = 1_735_689_600_000;
    let (name, topic, counts) = ("merged", "merged.in", "merged.counts.10m");
    let records: i64 = std::env::var("LINES").ok().and_then(|v| v.parse().ok()).unwrap_or(400_000);
    cluster.create_topic(topic, 12);
    let mapping = format!(
        r#"
memory = "1GiB"
[mapping.merged]
topics = ["{topic}"]
archive = {{ roll = {{ age = "10s" }} }}
[mapping.merged.wordcount]
output_topic = "{counts}"
output_partitions = 4
window = "10m"
time = "record"
out_of_order = "1m"
split = "space"
"#
    );
    let (dir, config) = (cluster.home(name), config(cluster, name, &mapping));
    let producer = cluster.producer();
    let (mut lines, mut line) = (Lines::new(5, 50_000), String::new());
    let mut want: HashMap<(i64, String), u64> = HashMap::new();
    let mut random = fastrand::Rng::with_seed(5);
    for i in 0..records {
        lines.next(&mut line);
        let time = FIRST + i * 6 * 3_600_000 / records - random.i64(0..60_000);
        send(&producer, topic, random.i32(0..12), line.as_bytes(), Some(time));
        for word in line.split(' ') {
            *want.entry((time - time % WINDOW, word.to_string())).or_default() += 1;
        }
    }
    flush(&producer);
    let start = |instance: &str| Daemon::start(&dir, instance, &config);
    let (a, b, c) = (start("a"), start("b"), start("c"));
    // Whichever of the topics the assignor gave them.
    let read = |d: &Daemon| d.metric("alluvium_records_total", &[]);
    eventually("all three read", Duration::from_secs(90), || {
        [&a, &b, &c].iter().all(|d| 0.0 < read(d))
    });
    a.kill();
    let d = start("d");
    eventually("the fourth reads", Duration::from_secs(90), || 0.0 < read(&d));
    b.kill();
    let limit = Duration::from_secs(180 + records as u64 / 10_000);
    eventually("all counted", limit, || records as f64 <= cluster.position(name, topic));
    cluster.all_published(counts, lines.total());
    for daemon in [c, d] {
        assert_eq!(daemon.stop(), 0);
    }
    let got = windows(cluster.read_topic(counts));
    assert_eq!(got.len(), want.len(), "windows and words");
    for (key, n) in &want {
        let (sum, kinds) = &got[key];
        assert_eq!(sum, n, "{key:?}");
        assert_eq!(kinds[..], ["final"], "{key:?}: nothing was late, and each comes once");
    }
    let last = start("last");
    eventually("ready", Duration::from_secs(60), || last.get("/readyz").is_some());
    let (file, end) = (dir.join("last.toml").display().to_string(), got.len());
    eventually("counts archived", Duration::from_secs(90), || {
        let archive = cluster.archive(&format!("{}/{name}", cluster.hdfs()), counts, counts);
        end as u64 == archive.rows
    });
    assert_eq!(last.stop(), 0);
    let archive = cluster.archive(&format!("{}/{name}", cluster.hdfs()), counts, counts);
    assert!(archive.words() == lines.expected(), "archived sums by word");
    let (code, text) = alluvium(&["verify", "--recount", "--config", &file]);
    assert!(code == 0 && text.contains("equal"), "{text}");
}

/// Counts by a JSON field and by key; times in the value, of 1970, of the far future, and missing.
/// Only one of three partitions gets records: the others are silent.
pub(crate) fn fields_keys_and_odd_times(cluster: &Cluster) {
    let (name, fields, keys) = ("aggregates", "fields-in", "keys-in");
    cluster.create_topic(fields, 3);
    cluster.create_topic(keys, 3);
    let mapping = r#"
[mapping.fields]
topics = ["fields-in"]
[mapping.fields.wordcount]
output_topic = "fields-counts"
by = { field = "http.status" }
time = { field = "ts", unit = "s" }
window = "10s"
out_of_order = "5s"
idle_after = "1s"
[mapping.keys]
topics = ["keys-in"]
archive = { format = "jsonl" }
[mapping.keys.wordcount]
output_topic = "keys-counts"
by = "key"
time = "arrival"
window = "1s"
"#;
    let (dir, config) = (cluster.home(name), config(cluster, name, mapping));
    let producer = cluster.producer();
    let daemon = Daemon::start(&dir, "a", &config);
    const DAY: i64 = 20_000 * 86_400;
    let json = |ts: &str, status: &str| format!("{{\"ts\":{ts},\"http\":{{\"status\":{status}}}}}");
    let mut sent = 0;
    let mut field = |ts: &str, status: &str| {
        send(&producer, fields, 1, json(ts, status).as_bytes(), Some(DAY * 1_000));
        sent += 1;
    };
    for i in 0..1_000_i64 {
        field(&(DAY + i / 10).to_string(), if i % 10 == 0 { "404" } else { "\"ok\"" });
    }
    field("4102444800", "\"future\"");
    field("\"2100-01-01T00:00:01Z\"", "\"future\"");
    field("0", "\"past\"");
    field("null", "\"untimed\"");
    field("\"soon\"", "\"untimed\"");
    field(&DAY.to_string(), "null");
    let send_key = |key: Option<&str>| {
        send_full(&producer, keys, 2, key.map(str::as_bytes), Some(b"v"), &[], None);
    };
    (0..30).for_each(|i| send_key(Some(["a", "b", "c"][i % 3])));
    send_key(None);
    flush(&producer);
    cluster.all_published("fields-counts", 1_005);
    cluster.all_published("keys-counts", 30);
    let open = |mapping: &str| {
        let partials = format!("{name}-{mapping}-partials");
        daemon.of_topic("alluvium_merge_open_windows", &partials)
    };
    eventually("no window is held open", Duration::from_secs(10), || {
        open("fields") == 0.0 && open("keys") == 0.0
    });
    assert_eq!(daemon.metric("alluvium_uncounted_records_total", &[("mapping", "fields")]), 1.0);
    assert_eq!(daemon.metric("alluvium_uncounted_records_total", &[("mapping", "keys")]), 1.0);
    assert_eq!(daemon.metric("alluvium_untimed_records_total", &[("mapping", "fields")]), 2.0);
    // All of it is passed: nothing holds F back.
    let partials = format!("{name}-fields-partials");
    eventually("F is at the end", Duration::from_secs(10), || {
        daemon.of_topic("alluvium_committed_offset", &partials)
            == daemon.of_topic("alluvium_log_end_offset", &partials)
    });
    assert_eq!(daemon.stop(), 0);
    let got = windows(cluster.read_topic("fields-counts"));
    let of = |start: i64, word: &str| got.get(&(start, word.to_string())).cloned();
    for window in 0..10 {
        let start = (DAY + window * 10) * 1_000;
        assert_eq!(of(start, "ok"), Some((90, vec!["final".into()])));
        assert_eq!(of(start, "404"), Some((10, vec!["final".into()])));
    }
    assert_eq!(of(4_102_444_800_000, "future"), Some((2, vec!["part".into()])));
    assert_eq!(of(DAY * 1_000, "untimed").map(|(n, _)| n), Some(2), "Kafka's own time");
    assert_eq!(of(0, "past").map(|(n, _)| n), Some(1));
    let by_key = cluster.published_words("keys-counts");
    assert_eq!(by_key, HashMap::from(["a", "b", "c"].map(|k| (k.to_string(), 10))));
    let file = dir.join("a.toml").display().to_string();
    let last = Daemon::start(&dir, "a", &config);
    eventually("ready", Duration::from_secs(60), || last.get("/readyz").is_some());
    eventually("counts archived", Duration::from_secs(60), || {
        alluvium(&["recount", "--config", &file]).0 == 0
    });
    assert_eq!(last.stop(), 0);
}

/// A source partition that stands still holds windows back, is named, and is given up after the
/// mapping's patience; what it has comes late.
pub(crate) fn a_source_that_nobody_reads(cluster: &Cluster) {
    let (name, topic, counts) = ("patience", "patience-in", "patience-counts");
    cluster.create_topic(topic, 2);
    let mapping = format!(
        r#"
[mapping.patience]
topics = ["{topic}"]
archive = false
[mapping.patience.wordcount]
output_topic = "{counts}"
window = "1s"
time = "arrival"
patience = "10s"
archive = false
"#
    );
    let (dir, config) = (cluster.home(name), config(cluster, name, &mapping));
    let producer = cluster.producer();
    let say = |partition: i32, line: &str| {
        send(&producer, topic, partition, line.as_bytes(), None);
        flush(&producer);
    };
    let daemon = Daemon::start(&dir, "a", &config);
    say(0, "both");
    say(1, "both");
    cluster.all_published(counts, 2);
    assert_eq!(daemon.stop(), 0);

    let limit = Duration::from_secs(30);
    let ours = cluster.committed(name, (topic, 1)).1;
    let commit = |metadata: &str| cluster.commit(name, (topic, 1), 1, metadata);
    commit("somebody else's");
    let daemon = Daemon::start(&dir, "a", &config);
    eventually("stopped", limit, || {
        0.0 < daemon.metric("alluvium_partition_stopped", &[("topic", topic), ("partition", "1")])
    });
    say(1, "late");
    say(0, "waits");
    eventually("it is named", Duration::from_secs(8), || {
        let held = |partition: &str| {
            let labels = [("topic", topic), ("partition", partition)];
            daemon.metric("alluvium_merge_held_back_seconds", &labels)
        };
        3.0 <= held("1") && held("0") == 0.0
    });
    assert_eq!(cluster.published_words(counts).get("waits"), None, "it is held back");
    cluster.all_published(counts, 3);
    assert_eq!(cluster.published_words(counts).get("late"), None);
    assert_eq!(daemon.stop(), 0);
    commit(&ours);
    let daemon = Daemon::start(&dir, "a", &config);
    cluster.all_published(counts, 4);
    eventually("nothing is held back", limit, || {
        daemon.metric("alluvium_merge_open_windows", &[]) == 0.0
    });
    assert_eq!(daemon.stop(), 0);
    let got = cluster.published_words(counts);
    let want = [("both", 2), ("waits", 1), ("late", 1)];
    assert_eq!(got, want.into_iter().map(|(w, n)| (w.to_string(), n)).collect());
}

/// More distinct words in one window than there is memory for: they go out in parts. WORDS=10000000
/// for as many as a large vocabulary has.
pub(crate) fn more_words_than_memory(cluster: &Cluster) {
    let (name, topic, counts) = ("vocabulary", "vocabulary-in", "vocabulary-counts");
    cluster.create_topic(topic, 2);
    let mapping = format!(
        r#"
memory = "64MiB"
[mapping.vocabulary]
topics = ["{topic}"]
archive = false
[mapping.vocabulary.wordcount]
output_topic = "{counts}"
window = "1h"
time = "record"
idle_after = "1s"
archive = false
"#
    );
    let (dir, config) = (cluster.home(name), config(cluster, name, &mapping));
    let producer = cluster.producer();
    let words: u64 = std::env::var("WORDS").ok().and_then(|v| v.parse().ok()).unwrap_or(1_500_000);
    let mut line = String::new();
    for i in 0..words {
        line += &format!("word-{i} ");
        if i % 10 == 9 {
            send(&producer, topic, (i / 10 % 2) as i32, line.as_bytes(), Some(1_735_689_600_000));
            line.clear();
        }
    }
    flush(&producer);
    let daemon = Daemon::start(&dir, "a", &config);
    let limit = Duration::from_secs(90 + words / 50_000);
    eventually("published", limit, || {
        words as f64 <= daemon.metric("alluvium_results_total", &[("mapping", "vocabulary")])
    });
    assert_eq!(daemon.stop(), 0);
    let got = windows(cluster.read_topic(counts));
    assert_eq!(got.len() as u64, words);
    assert!(got.values().all(|(n, _)| *n == 1));
    let parts = got.values().filter(|(_, kinds)| kinds[0] == "part").count();
    println!("{parts} of {words} words went out in part");
    assert!(0 < parts, "memory for all of them: the test tests nothing");
}
