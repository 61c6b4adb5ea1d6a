//! Each rule that rolls files, on a daemon: its series, what the ledger says of it, and sizes and
//! ranges of the files themselves.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{config, config_with_local_root};
use crate::support::{
    Cluster, Daemon, Producing, TOO_LATE, alluvium, eventually, flush, send_full,
};

const NAME: &str = "rolls";
const LIMIT: Duration = Duration::from_secs(120);
/// The size that files are asked for, bytes.
const SIZE: u64 = 512 << 10;
/// Records of topics whose files end by size; they become four files or more.
const MANY: i64 = 9_000;

const MAPPINGS: &str = r#"
[mapping.parquet]
topics = ["rolls-parquet"]
[mapping.jsonl]
topics = ["rolls-jsonl"]
archive = { format = "jsonl", codec = "zstd" }
[mapping.avro]
topics = ["rolls-avro"]
archive = { format = "avro", codec = "snappy" }
[mapping.text]
topics = ["rolls-text"]
archive = { format = "text", codec = "none" }
[mapping.records]
topics = ["rolls-records"]
archive = { roll = { records = 500 } }
[mapping.hours]
topics = ["rolls-hours"]
archive = { path = "{topic}/dt=%F/hr=%H", roll = { lateness = "10m", age = "1h" } }
[mapping.minutes]
topics = ["rolls-minutes"]
archive = { roll = { schedule = "1m", age = "1h" } }
[mapping.idle]
topics = ["rolls-idle"]
archive = { roll = { idle = "2s" } }
[mapping.asked]
topics = ["rolls-asked"]
"#;

/// With 64 MiB, 27 of them are for records that no file in the store has yet.
const SMALL: &str = r#"
[mapping.memory]
topics = ["rolls-memory"]
archive = { path = "{topic}/dt=%F", roll = { open_files = 8 } }
[mapping.directories]
topics = ["rolls-directories"]
archive = { path = "{topic}/id={key}", roll = { open_files = 2 } }
"#;

const SIZED: [&str; 4] = ["rolls-parquet", "rolls-jsonl", "rolls-avro", "rolls-text"];

/// An entry with files, as the ledger has it.
struct Rolled {
    reason: String,
    /// Half open.
    range: (i64, i64),
    written_at: i64,
    files: Vec<Value>,
}

/// The entries of a topic's partition 0 that have files, in their order. The files of the newest
/// one may not be published yet.
fn entries(root: &Path, topic: &str) -> Vec<Rolled> {
    let ledger = root.join(format!("_alluvium/ledger/{topic}/0/0"));
    let Ok(names) = std::fs::read_dir(ledger) else { return Vec::new() };
    let mut paths: Vec<_> = names.map(|name| name.unwrap().path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| -> Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let of = |entry: Value| {
        let files = entry["files"].as_array().unwrap().clone();
        let number = |name: &str| entry[name].as_i64().unwrap();
        let range = (number("from"), number("to"));
        let reason = entry["roll"].as_str().unwrap().into();
        Rolled { reason, range, written_at: number("written_at"), files }
    };
    let data = paths.iter().map(read).filter(|entry| entry["kind"] == "data");
    data.map(of).collect()
}

/// Each entry begins where the one before ends, has each record once, and its files have the length
/// that it says. The daemon has stopped, and its files are published.
fn assert_whole(root: &Path, topic: &str, records: i64) {
    let mut end = 0;
    for Rolled { range, files, .. } in entries(root, topic) {
        let rows: u64 = files.iter().map(|file| file["rows"].as_u64().unwrap()).sum();
        assert_eq!((range.0, rows as i64), (end, range.1 - range.0), "{topic}");
        let first = files.iter().map(|file| file["first_offset"].as_i64().unwrap()).min();
        let last = files.iter().map(|file| file["last_offset"].as_i64().unwrap()).max();
        assert_eq!((first, last), (Some(range.0), Some(range.1 - 1)), "{topic}");
        end = range.1;
        for file in &files {
            let found = std::fs::metadata(root.join(file["final"].as_str().unwrap())).unwrap();
            assert_eq!(file["bytes"].as_u64(), Some(found.len()), "{file}");
        }
    }
    assert_eq!(end, records, "{topic}");
}

/// A half of it can be compressed, and the other half cannot.
fn value(n: i64, random: &mut fastrand::Rng) -> Vec<u8> {
    let text: String = (0..400).map(|_| random.alphanumeric()).collect();
    format!("{n} GET /index.html HTTP/1.1 200 {} {text}", "the same text ".repeat(25)).into()
}

fn write(producer: &Producing, topic: &str, number: i64, at: impl Fn(i64) -> Option<i64>) {
    let mut random = fastrand::Rng::with_seed(3);
    for n in 0..number {
        let (key, value) = (format!("key-{}", n % 200), value(n, &mut random));
        send_full(producer, topic, 0, Some(key.as_bytes()), Some(&value), &[], at(n));
    }
    flush(producer);
}

fn rolls(daemon: &Daemon, reason: &str) -> f64 {
    daemon.metric("alluvium_rolls_total", &[("reason", reason)])
}

pub(crate) fn every_rule_that_rolls_files(cluster: &Cluster) {
    let others = ["records", "hours", "minutes", "idle", "asked", "memory", "directories"];
    let others = others.map(|name| format!("rolls-{name}"));
    SIZED.iter().for_each(|topic| cluster.create_topic(topic, 1));
    others.iter().for_each(|topic| cluster.create_topic(topic, 1));
    let producer = cluster.producer();
    SIZED.iter().for_each(|topic| write(&producer, topic, MANY, |_| None));
    write(&producer, "rolls-records", 2_300, |_| None);

    let home = cluster.home(NAME);
    let root = home.join("archive");
    let text = config_with_local_root(cluster, NAME, MAPPINGS, &root);
    // One directory for all records, and nothing but the rule of each mapping ends a file.
    let text = text
        .replace("[archive]\n", "[archive]\npath = \"{topic}\"\n")
        .replace("age = \"3s\"", "age = \"1h\"\nsize = \"512KiB\"");
    let daemon = Daemon::start(&home, "a", &text);
    let archived = |topic: &str| daemon.of_topic("alluvium_archive_position", topic);
    by_hours(&daemon, &producer, &root);
    by_the_clock(&daemon, &producer, &root);
    asked_for(&daemon, &producer, &root);
    for topic in SIZED {
        eventually(topic, LIMIT, || 4 <= entries(&root, topic).len());
    }
    // A roll ends behind a batch, and up to 499 records may be left.
    eventually("by number", LIMIT, || 1_801.0 <= archived("rolls-records"));
    let mut by_size = 0;
    for topic in SIZED {
        for Rolled { reason, range, files, .. } in entries(&root, topic) {
            assert_eq!((reason.as_str(), files.len()), ("size", 1), "{topic} {range:?}");
            let bytes = files[0]["bytes"].as_u64().unwrap();
            assert!((SIZE - SIZE / 10..=SIZE + SIZE / 10).contains(&bytes), "{topic} {bytes}");
            by_size += 1;
        }
    }
    assert!(f64::from(by_size) <= rolls(&daemon, "size"), "{by_size}");
    // It is looked at after each batch.
    for Rolled { reason, range, .. } in entries(&root, "rolls-records") {
        assert_eq!(reason, "records");
        assert!((500..2_300).contains(&(range.1 - range.0)), "{range:?}");
    }
    assert!(1.0 <= rolls(&daemon, "records"));
    assert_eq!(daemon.stop(), 0);
    SIZED.iter().for_each(|topic| assert_whole(&root, topic, MANY));
    assert_whole(&root, "rolls-records", 2_300);
    for topic in SIZED.iter().copied().chain(["rolls-records"]) {
        let last = entries(&root, topic).pop().unwrap();
        assert!(last.reason == "stop" || 500 <= last.range.1 - last.range.0, "{}", last.reason);
    }
    let file = home.join("a.toml");
    let (code, said) = alluvium(&["verify", "--config", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    in_a_small_budget(cluster, &producer);
}

/// The times of records leave an hour: its file ends, and what is late has one of its own later.
fn by_hours(daemon: &Daemon, producer: &Producing, root: &Path) {
    const TEN: i64 = 1_735_725_600_000; // 2025-01-01T10:00:00Z
    let topic = "rolls-hours";
    write(producer, topic, 60, |n| Some(TEN + n * 60_000));
    // Nine minutes and 59 seconds past the hour are not late enough.
    write(producer, topic, 1, |_| Some(TEN + 3_600_000 + 599_000));
    eventually("they are read", LIMIT, || {
        61.0 <= daemon.metric("alluvium_records_total", &[("mapping", "hours")])
    });
    assert_eq!(entries(root, topic).len(), 0);
    write(producer, topic, 1, |_| Some(TEN + 3_600_000 + 600_000));
    eventually("an hour is left", LIMIT, || !entries(root, topic).is_empty());
    let first = entries(root, topic).remove(0);
    assert_eq!((first.reason.as_str(), first.range), ("event_time", (0, 62)));
    let of = |file: &Value| {
        let path = file["final"].as_str().unwrap();
        let hour = path.split("/hr=").nth(1).unwrap()[..2].to_string();
        (hour, file["rows"].as_u64().unwrap(), file["max_time"].as_i64().unwrap() - TEN)
    };
    let mut files: Vec<_> = first.files.iter().map(of).collect();
    files.sort();
    assert_eq!(files, [("10".into(), 60, 3_540_000), ("11".into(), 2, 4_200_000)]);
    assert!(1.0 <= rolls(daemon, "event_time"));
    // A late record ends nothing by itself.
    write(producer, topic, 1, |_| Some(TEN));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(entries(root, topic).len(), 1);
}

/// A full minute of the clock, and a time without records.
fn by_the_clock(daemon: &Daemon, producer: &Producing, root: &Path) {
    let (minutes, idle) = ("rolls-minutes", "rolls-idle");
    write(producer, idle, 10, |_| None);
    write(producer, minutes, 10, |_| None);
    eventually("idle", LIMIT, || !entries(root, idle).is_empty());
    eventually("a full minute", LIMIT, || !entries(root, minutes).is_empty());
    let (point, rest) = (entries(root, minutes).remove(0), entries(root, idle).remove(0));
    assert_eq!((point.reason.as_str(), point.range), ("schedule", (0, 10)));
    assert_eq!((rest.reason.as_str(), rest.range), ("idle", (0, 10)));
    // A full minute lies between the last record and the entry, which is written soon.
    let last = point.files[0]["max_time"].as_i64().unwrap();
    let minutes = [last, point.written_at].map(|ms| ms / 60_000);
    assert!(minutes[0] < minutes[1], "{last} {}", point.written_at);
    let after = point.written_at % 60_000;
    assert!(after < 30_000, "{TOO_LATE}{after} ms after the full minute");
    assert!(1.0 <= rolls(daemon, "schedule") && 1.0 <= rolls(daemon, "idle"));
}

/// `alluvium roll` ends what was read of one mapping.
fn asked_for(daemon: &Daemon, producer: &Producing, root: &Path) {
    let topic = "rolls-asked";
    write(producer, topic, 25, |_| None);
    eventually("they are read", LIMIT, || {
        25.0 <= daemon.metric("alluvium_records_total", &[("mapping", "asked")])
    });
    assert_eq!(entries(root, topic).len(), 0);
    let url = format!("http://127.0.0.1:{}", daemon.port);
    let (code, said) = alluvium(&["roll", "asked", "--url", &url]);
    assert_eq!(code, 0, "{said}");
    eventually("it is rolled", LIMIT, || !entries(root, topic).is_empty());
    let asked = entries(root, topic).remove(0);
    assert_eq!((asked.reason.as_str(), asked.range), ("asked", (0, 25)));
    assert_eq!(rolls(daemon, "asked"), 1.0);
}

/// Records of many directories wait in memory until it is short; and directories may be too many.
fn in_a_small_budget(cluster: &Cluster, producer: &Producing) {
    const DAY: i64 = 86_400_000;
    let (memory, directories, records) = ("rolls-memory", "rolls-directories", 80_000);
    write(producer, memory, records, |n| Some(n * 7 % 300 * DAY + 1_735_725_600_000 - 300 * DAY));
    write(producer, directories, 2_000, |_| None);
    let home = cluster.home("rolls-small");
    let root = home.join("archive");
    let text = config(cluster, "rolls-small", SMALL);
    let text = text
        .replace(&format!("{}/rolls-small", cluster.hdfs()), &format!("file://{}", root.display()));
    let text = text.replace("age = \"3s\"", "age = \"1h\"\nsize = \"1GiB\"");
    let text = text.replace("workers = 2", "workers = 1\nmemory = \"64MiB\"");
    let daemon = Daemon::start(&home, "a", &text);
    eventually("memory is short", LIMIT, || 1.0 <= rolls(&daemon, "memory"));
    eventually("there are too many directories", LIMIT, || 1.0 <= rolls(&daemon, "open_files"));
    eventually("all is read", LIMIT, || {
        (records + 2_000) as f64 <= daemon.metric("alluvium_records_total", &[("role", "source")])
    });
    assert_eq!(daemon.stop(), 0);
    assert_whole(&root, memory, records);
    assert_whole(&root, directories, 2_000);
    let rolled = entries(&root, memory);
    let by_memory: Vec<&Rolled> =
        rolled.iter().filter(|rolled| rolled.reason == "memory").collect();
    assert!(
        !by_memory.is_empty() && rolled.iter().all(|r| ["memory", "stop"].contains(&&*r.reason))
    );
    for Rolled { range, files, .. } in by_memory {
        // A share of the budget holds that many, and 300 days have a file each.
        assert!((5_000..80_000).contains(&(range.1 - range.0)), "{range:?}");
        assert_eq!(files.len(), 300);
    }
    let reasons: Vec<String> = entries(&root, directories).into_iter().map(|e| e.reason).collect();
    assert_eq!(reasons[0], "open_files", "{reasons:?}");
    let file = home.join("a.toml");
    let (code, said) = alluvium(&["verify", "--config", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
}
