//! `make bench`: the whole daemon on a real broker and a real HDFS.
//!
//! Fills a topic with seeded lines (about 80 bytes, Zipf words, 4 partitions, 6 hours of record
//! time), then lets the daemon archive and count all of it, the counts' own archive included, and
//! checks rows and sums. Twice: with arrival windows of 2 s, and with record-time windows of 10
//! minutes. CPU seconds are of the daemon alone, start and stop included.
//!
//! RUNS=columns archives JSON objects of 500 bytes instead, without counting them: as they are,
//! with eight declared columns beside the value, with the columns alone, and as nested JSON; and
//! prints what each costs against the first.
//!
//! RECORDS, RUNS=arrival|record|both|columns, PARTITIONS.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "columns/mod.rs"]
mod columns;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use support::{Cluster, Daemon, Lines, eventually, flush, send};

const TOPIC: &str = "lines";
/// Partitions of the topic; the counts' topic always has four.
const PARTITIONS: i32 = 4;
const SPAN_MS: i64 = 6 * 3_600_000;
const FIRST_MS: i64 = 1_735_689_600_000; // 2025-01-01T00:00:00Z

fn main() {
    if std::env::args().any(|a| a == "--test" || a == "--list") {
        return; // `cargo test --all-targets` asks; benchmarks are run by `make bench`.
    }
    let records: i64 =
        std::env::var("RECORDS").ok().and_then(|v| v.parse().ok()).unwrap_or(5_000_000);
    let partitions: i32 =
        std::env::var("PARTITIONS").ok().and_then(|v| v.parse().ok()).unwrap_or(PARTITIONS);
    let runs = std::env::var("RUNS").unwrap_or_else(|_| "both".into());
    // A broker that was compiled only half would make the daemon wait, and windows more.
    let cluster = Cluster::start_with("bench", 1, 1, &[("TESTBED_JIT", "full")]);
    cluster.create_topic(TOPIC, partitions as u32);
    if runs == "columns" {
        return columns::run(&cluster, records, partitions);
    }
    let filled = Instant::now();
    let lines = fill(&cluster, records, partitions);
    println!(
        "filled {records} lines, {} words, in {:.1} s",
        lines.total(),
        filled.elapsed().as_secs_f64()
    );
    if runs != "record" {
        run(&cluster, records, &lines, "arrival", "2s");
    }
    if runs != "arrival" {
        run(&cluster, records, &lines, "record", "10m");
    }
}

fn fill(cluster: &Cluster, records: i64, partitions: i32) -> Lines {
    let producer = cluster.producer();
    let mut lines = Lines::new(1, 50_000);
    let mut line = String::new();
    for i in 0..records {
        lines.next(&mut line);
        let time = FIRST_MS + i * SPAN_MS / records;
        send(&producer, TOPIC, (i % i64::from(partitions)) as i32, line.as_bytes(), Some(time));
    }
    flush(&producer);
    lines
}

/// CPU seconds of children that have ended (clock ticks are 1/100 s on Linux).
fn children_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[13].parse::<f64>().unwrap() + fields[14].parse::<f64>().unwrap()) / 100.0
}

fn peak_mib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

fn run(cluster: &Cluster, records: i64, lines: &Lines, time: &str, window: &str) {
    let root = format!("{}/bench-{time}", cluster.hdfs());
    let output = format!("counts-{time}");
    let config = format!(
        r#"
[kafka]
bootstrap_servers = "{}"
group_id = "bench-{time}"
[archive]
root = "{root}"
codec = "snappy"
[daemon]
workers = 2
memory = "256MiB"
[mapping.lines]
topics = ["{TOPIC}"]
[mapping.lines.wordcount]
output_topic = "{output}"
output_partitions = {PARTITIONS}
window = "{window}"
time = "{time}"
split = "space"
{}
"#,
        cluster.bootstrap(),
        // The end of the run waits for it.
        if time == "record" { "idle_after = \"1s\"" } else { "" }
    );
    println!("running: {time} windows of {window}");
    let before = children_cpu();
    let started = Instant::now();
    let daemon = Daemon::start(&cluster.state.join("bench"), "bench", &config);
    let mut peak = 0;
    eventually("everything counted and read back", Duration::from_secs(600), || {
        peak = peak.max(peak_mib(daemon.pid()).unwrap_or(0));
        let counted: f64 = daemon.of_topic("alluvium_results_position", TOPIC);
        let published = daemon.metric("alluvium_results_total", &[("mapping", "lines")]);
        let archived = daemon.metric("alluvium_records_total", &[("role", "output")]);
        let sent = daemon.metric("alluvium_partials_total", &[("mapping", "lines")]);
        let merged = daemon.metric("alluvium_records_total", &[("role", "partials")]);
        let open = daemon.metric("alluvium_merge_open_windows", &[]);
        records as f64 <= counted && sent <= merged && open == 0.0 && published <= archived
    });
    let metrics = daemon.get("/metrics").unwrap();
    peak = peak.max(peak_mib(daemon.pid()).unwrap_or(0));
    let published = daemon.metric("alluvium_results_total", &[("mapping", "lines")]);
    // The last files: a stop seals, appends and publishes them.
    let pid = daemon.pid();
    let watcher = std::thread::spawn(move || {
        let mut peak = 0;
        while let Some(now) = peak_mib(pid) {
            peak = peak.max(now);
            std::thread::sleep(Duration::from_millis(20));
        }
        peak
    });
    assert_eq!(daemon.stop(), 0, "the drain was not whole");
    let wall = started.elapsed().as_secs_f64();
    peak = peak.max(watcher.join().unwrap());
    // Before the checks start children of their own.
    let cpu = children_cpu() - before;

    let raw = cluster.archive(&root, TOPIC, TOPIC);
    let counts = cluster.archive(&root, &output, &output);
    assert_eq!(raw.rows, records as u64, "rows of the raw files");
    let offsets = raw.offsets();
    assert_eq!(offsets.len(), records as usize);
    assert!(offsets.windows(2).all(|w| w[0] < w[1]), "an offset is archived twice");
    assert!(counts.words() == lines.expected(), "sums of the archived counts by word");
    assert_eq!(counts.rows as f64, published, "each published count is archived once");
    for name in
        ["alluvium_commits_total", "alluvium_rolls_total", "alluvium_commit_duration_seconds_sum"]
    {
        for line in metrics.lines().filter(|l| l.starts_with(name) && !l.ends_with(" 0")) {
            println!("  {line}");
        }
    }
    println!("checked: rows, offsets, sums by word; output records: {published}");
    println!(
        "records={records} wall_s={wall:.1} cpu_s_per_million={:.2} peak_mib={peak} files={} \
         bytes={}",
        cpu / (records as f64 / 1e6),
        raw.files.len() + counts.files.len(),
        raw.bytes + counts.bytes
    );
}
