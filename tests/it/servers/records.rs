//! What goes in comes out: console tools, awkward records, windows, a local directory.

use std::io::Read as _;
use std::time::{Duration, Instant};

use super::config;
use crate::support::{Cluster, Daemon, ReadBack, alluvium, eventually, flush, send, send_full};

/// Lines typed into Kafka's own console producer come out of the output topic in Kafka's own
/// console consumer; a simple consumer in another group is not disturbed.
pub(crate) fn the_tutorial_by_console_tools(cluster: &Cluster) {
    let (name, topic) = ("tutorial", "Hello-Kafka");
    cluster.create_topic(topic, 1);
    let mapping = r#"
[mapping.hello]
topics = ["Hello-Kafka"]
[mapping.hello.wordcount]
output_topic = "Hello-Kafka.wordcount"
window = "2s"
time = "arrival"
split = "space"
format = "text"
archive = { path = "{topic}/dt=%Y-%m-%d" }
"#;
    let daemon = Daemon::start(&cluster.home(name), "a", &config(cluster, name, mapping));
    eventually("ready", Duration::from_secs(60), || daemon.get("/readyz").is_some());
    // It has made two topics itself, which the client did not know when it subscribed.
    let log = daemon.log_text();
    let of_a_topic = |l: &&str| l.contains(" WARN ") && l.contains("Hello-Kafka");
    assert_eq!(log.lines().find(of_a_topic), None);
    let typed = "bonjour Kafka!\nhello hello kafka and zookeeper!\n\n";
    let _ = cluster.pipe(&["kafka", "console-producer", "--topic", topic], typed);
    let seen = Instant::now();
    eventually("seven counts", Duration::from_secs(10), || {
        7 <= daemon.metric("alluvium_results_total", &[("mapping", "hello")]) as i64
    });
    println!("typed lines were counted after {:?}", seen.elapsed());
    let read = cluster.run(&[
        "kafka",
        "console-consumer",
        "--topic",
        "Hello-Kafka.wordcount",
        "--from-beginning",
        "--max-messages",
        "7",
        "--timeout-ms",
        "20000",
        "--isolation-level",
        "read_committed",
    ]);
    let mut counts: Vec<&str> = read.lines().filter(|l| l.starts_with('(')).collect();
    counts.sort_unstable();
    let mut want = [
        "(,1)",
        "(Kafka!,1)",
        "(and,1)",
        "(bonjour,1)",
        "(hello,2)",
        "(kafka,1)",
        "(zookeeper!,1)",
    ];
    want.sort_unstable();
    assert_eq!(counts, want);

    // The simple producer's ten messages, and the simple consumer of the tutorial.
    let producer = cluster.producer();
    for i in 0..10 {
        let text = i.to_string();
        send_full(&producer, topic, 0, Some(text.as_bytes()), Some(text.as_bytes()), &[], None);
    }
    flush(&producer);
    let simple = cluster.run(&[
        "kafka",
        "console-consumer",
        "--topic",
        topic,
        "--group",
        "test",
        "--from-beginning",
        "--max-messages",
        "13",
        "--timeout-ms",
        "20000",
    ]);
    assert_eq!(simple.lines().count(), 13);
    latencies_are_known(&daemon);
    assert_eq!(daemon.stop(), 0);
    let root = format!("{}/{name}", cluster.hdfs());
    let raw = cluster.archive(&root, topic, topic).records();
    assert_eq!(raw.len(), 13);
    for (i, r) in raw[3..].iter().enumerate() {
        let text = Some(i.to_string().into_bytes());
        assert_eq!((r.offset, &r.key, &r.value), (i as i64 + 3, &text, &text));
    }
    let output = "Hello-Kafka.wordcount";
    assert_eq!(cluster.archive(&root, output, output).words()["hello"], 2);
}

/// How long records took is a histogram for each step of their way.
fn latencies_are_known(daemon: &Daemon) {
    let known = |series: &str| {
        let text = daemon.get("/metrics").unwrap_or_default();
        let values = text.lines().filter_map(|line| line.strip_prefix(series)?.rsplit_once(' '));
        let sum: f64 = values.map(|(_, value)| value.parse::<f64>().unwrap()).sum();
        0.0 < sum
    };
    for series in [
        "alluvium_archive_latency_seconds_count{mapping=\"hello\",role=\"source\"}",
        "alluvium_archive_latency_seconds_count{mapping=\"hello\",role=\"output\"}",
        "alluvium_results_latency_seconds_count{mapping=\"hello\",role=\"source\"}",
        "alluvium_count_latency_seconds_count{mapping=\"hello\"}",
        "alluvium_transaction_records_sum{mapping=\"hello\"}",
        // The name of the release before.
        "alluvium_commit_seconds_count{step=\"end\"}",
        "alluvium_commit_duration_seconds_count{step=\"end\"}",
    ] {
        eventually(series, Duration::from_secs(60), || known(series));
    }
}

/// Null and empty keys and values, binary, repeated and null headers, 1 MB, odd timestamps:
/// the archive's rows equal what a consumer reads, once each; in Parquet and in JSON lines.
pub(crate) fn every_byte_of_every_record(cluster: &Cluster) {
    let name = "bytes";
    for topic in ["bytes-parquet", "bytes-jsonl"] {
        cluster.create_topic(topic, 2);
        let settings = [
            ("max.message.bytes", "2000000"),
            ("message.timestamp.after.max.ms", "9223372036854775807"),
        ];
        cluster.configure_topic(topic, &settings);
    }
    let mapping = r#"
[mapping.parquet]
topics = ["bytes-parquet"]
[mapping.jsonl]
topics = ["bytes-jsonl"]
archive = { format = "jsonl" }
"#;
    let producer = cluster.producer();
    let big = vec![b'x'; 900_000];
    for topic in ["bytes-parquet", "bytes-jsonl"] {
        let send = |p, key, value, headers, millis| {
            send_full(&producer, topic, p, key, value, headers, millis);
        };
        send(0, None, None, &[], Some(1_000));
        send(0, Some(b"".as_slice()), Some(b"".as_slice()), &[], None);
        send(
            0,
            Some(b"k\xff\x00"),
            Some(b"\x00\xfe\xff"),
            &[("h", Some(b"\xff")), ("h", None), ("e", Some(b""))],
            Some(0),
        );
        send(
            1,
            Some("schlüssel".as_bytes()),
            Some("wert \u{1F980}\n\"".as_bytes()),
            &[],
            Some(4_102_444_800_000),
        );
        send(1, None, Some(&big), &[], Some(253_402_300_800_000));
        let many: Vec<(String, Option<&[u8]>)> =
            (0..20).map(|i| (format!("h{i}"), Some(b"v".as_slice()))).collect();
        let many: Vec<(&str, Option<&[u8]>)> = many.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        send(1, None, Some(b"many headers"), &many, Some(1_795_366_982_000));
    }
    flush(&producer);
    let daemon = Daemon::start(&cluster.home(name), "a", &config(cluster, name, mapping));
    eventually("all read", Duration::from_secs(60), || {
        12 <= daemon.metric("alluvium_records_total", &[("role", "source")]) as i64
    });
    assert_eq!(daemon.stop(), 0);
    let root = format!("{}/{name}", cluster.hdfs());
    let mut want: Vec<ReadBack> = cluster.read_topic("bytes-parquet");
    want.sort_by_key(|r| (r.partition, r.offset));
    let got = cluster.archive(&root, "bytes-parquet", "bytes-parquet");
    assert!(got.records() == want, "rows differ from records");
    for directory in [
        "bytes-parquet/dt=1970-01-01/hr=00",
        "bytes-parquet/dt=2100-01-01/hr=00",
        "bytes-parquet/dt=2026-11-22/hr=17",
        "bytes-parquet/dt=__HIVE_DEFAULT_PARTITION__/hr=__HIVE_DEFAULT_PARTITION__",
    ] {
        assert!(
            got.files.iter().any(|f| f.starts_with(directory)),
            "{directory} in {:?}",
            got.files
        );
    }
    let jsonl = cluster.archive(&root, "bytes-jsonl", "bytes-jsonl");
    assert_eq!(jsonl.rows, 6);
    let files = cluster.files();
    let mut text = String::new();
    for (path, _) in files.walk(&format!("/{name}/bytes-jsonl")) {
        assert!(path.ends_with(".jsonl.gz"), "{path}");
        let bytes = files.read(&path);
        let _ = flate2::read::MultiGzDecoder::new(&*bytes).read_to_string(&mut text).unwrap();
    }
    let lines: Vec<serde_json::Value> =
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 6);
    let line =
        |o: i64, p: i64| lines.iter().find(|l| l["offset"] == o && l["partition"] == p).unwrap();
    assert!(line(0, 0)["key"].is_null() && line(0, 0)["value"].is_null());
    assert_eq!((line(1, 0)["key"].as_str(), line(1, 0)["value"].as_str()), (Some(""), Some("")));
    assert_eq!(line(2, 0)["value_bytes"], "AP7/");
    assert_eq!(line(0, 1)["value"], "wert \u{1F980}\n\"");
    assert_eq!(line(2, 1)["headers"].as_array().unwrap().len(), 20);
}

/// Windows by the record's own time: parts whose sums are exact, in the right windows.
pub(crate) fn record_time_windows(cluster: &Cluster) {
    let (name, topic) = ("windows", "windows-in");
    cluster.create_topic(topic, 2);
    let mapping = r#"
[mapping.windows]
topics = ["windows-in"]
archive = { format = "jsonl", codec = "gzip" }
[mapping.windows.wordcount]
output_topic = "windows-out"
window = "10s"
time = "record"
scope = "partition"
"#;
    let producer = cluster.producer();
    let daemon = Daemon::start(&cluster.home(name), "a", &config(cluster, name, mapping));
    for i in 0..1_000 {
        let line = format!("even{} all", i % 2);
        send(
            &producer,
            topic,
            i % 2,
            line.as_bytes(),
            Some(1_000_000_000_000 + i64::from(i) * 100),
        );
    }
    flush(&producer);
    let mut sums = std::collections::BTreeMap::new();
    eventually("all counted", Duration::from_secs(60), || {
        let position = daemon.of_topic("alluvium_results_position", "windows-in");
        let published = daemon.metric("alluvium_results_total", &[("mapping", "windows")]);
        let archived = daemon.metric("alluvium_records_total", &[("role", "output")]);
        1_000.0 <= position && published <= archived
    });
    assert_eq!(daemon.stop(), 0);
    for r in cluster.read_topic("windows-out") {
        let v: serde_json::Value = serde_json::from_slice(&r.value.unwrap()).unwrap();
        assert_eq!(v["kind"], "part");
        *sums
            .entry((
                v["window_start"].as_str().unwrap().to_string(),
                v["word"].as_str().unwrap().to_string(),
            ))
            .or_insert(0) += v["count"].as_i64().unwrap();
    }
    assert_eq!(sums.len(), 10 * 3, "{sums:?}");
    for ((_, word), n) in &sums {
        assert_eq!(*n, if word == "all" { 100 } else { 50 });
    }
    let archived =
        cluster.archive(&format!("{}/{name}", cluster.hdfs()), "windows-out", "windows-out");
    assert_eq!(archived.words()["all"], 1_000);

    let file = cluster.home(name).join("a.toml");
    let recount = |file: &std::path::Path, more: &[&str]| {
        let shown = file.display().to_string();
        alluvium(&[&["recount", "--config", &shown][..], more].concat())
    };
    let (code, text) = recount(&file, &[]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("1000 records, 2000 words, 10 windows") && text.contains("equal"),
        "{text}"
    );
    let half = ["--from", "2001-09-09T01:46:50Z", "--until", "2001-09-09T01:47:20Z"];
    let (code, text) = recount(&file, &half);
    assert!(code == 0 && text.contains("300 records, 600 words, 3 windows"), "{text}");
    // Counted by other rules than they were published by, each window's word differs. The newest
    // window may still grow, and is named by itself.
    let other = cluster.home(name).join("other.toml");
    let rules = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &other,
        rules.replace("time = \"record\"", "time = \"record\"\nstop_words = [\"all\"]"),
    )
    .unwrap();
    let (code, text) = recount(&other, &[]);
    assert!(
        code == 65 && text.contains("9 words differ") && text.contains("open: 1 window from"),
        "{text}"
    );
    let verify = |file: &std::path::Path| {
        alluvium(&["verify", "--recount", "--config", &file.display().to_string()])
    };
    let (code, whole) = verify(&file);
    assert!(code == 0 && whole.contains("whole: ") && whole.contains("equal"), "{whole}");
    let (code, differs) = verify(&other);
    assert!(code == 65 && differs.contains("9 words differ"), "{differs}");
    assert!(
        text.contains("2001-09-09T01:46:40.000Z \"all\": 100 published, 0 in the raw"),
        "{text}"
    );
    std::fs::write(&other, rules.replace("time = \"record\"", "time = \"arrival\"")).unwrap();
    let (code, text) = recount(&other, &[]);
    assert!(
        code == 0 && text.contains("2000 words, 1 window\n") && text.contains("equal"),
        "{text}"
    );
    assert_eq!(recount(&other, &half).0, 64);
    assert_eq!(recount(&file, &["--mapping", "nobody"]).0, 64);
}

/// The same archive in a local directory, with no HDFS.
pub(crate) fn a_local_directory(cluster: &Cluster) {
    let (name, topic) = ("local", "local-in");
    cluster.create_topic(topic, 2);
    let root = cluster.home(name).join("archive");
    let mapping = format!(
        "[mapping.local]\ntopics = [\"{topic}\"]\n\
         archive = {{ root = \"file://{}\", path = \"{{topic}}/dt=%F\" }}",
        root.display()
    );
    let producer = cluster.producer();
    for i in 0..5_000 {
        send(&producer, topic, i % 2, format!("line {i}").as_bytes(), None);
    }
    flush(&producer);
    let daemon = Daemon::start(&cluster.home(name), "a", &config(cluster, name, &mapping));
    eventually("a roll by age", Duration::from_secs(60), || {
        1.0 <= daemon.metric("alluvium_rolls_total", &[("reason", "age")])
            && daemon.metric("alluvium_files_total", &[("mapping", "local")]) >= 2.0
    });
    assert_eq!(daemon.stop(), 0);
    let archived = cluster.archive(&format!("file://{}", root.display()), topic, topic);
    assert_eq!(archived.rows, 5_000);
    assert_eq!(archived.offsets().len(), 5_000);
}
