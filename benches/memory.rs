//! `make bench-memory`: the daemon's memory, threads and idle CPU, against its budget.
//!
//! Fills topics of 1, 100 and 1,000 partitions with records of 1 kB that hardly compress, then lets
//! the daemon archive each topic as Parquet and as JSON lines, once with all of it as a backlog and
//! once while the records arrive. Prints the peak of the resident set size beside the budget, and
//! fails if a run needed more than the promise: 1.25 times the budget and four of the records.
//! With COUNTS the daemon counts the words of the records too, which are of 1,000 words then; with
//! MAPPINGS it has so many mappings, which share the partitions. With DAYS the records are of so
//! many days, in no order, and each day has a directory. The format `columns` is Parquet with
//! declared columns, of records that are JSON then; the store `slow` is HDFS whose DataNode is
//! stopped for four fifths of the time. With the arrival `burst` the daemon is stopped by a signal
//! while the records come, so that partitions that were read to their ends find all at once.
//!
//! A run also fails if it makes more than FILES files, needs more threads than THREADS or than
//! docs/benchmark.md says, takes more than CPU percent of a core while it is idle, or stops later
//! than the daemon's own limit.
//!
//! PARTITIONS=1,100,1000  FORMATS=parquet,jsonl (columns)  ARRIVALS=backlog,live (burst)
//! STORES=local (hdfs, slow)  MEMORY=256 (MiB)  RECORDS=300000  RECORD_BYTES=1000
//! IDLE=5 (seconds)  MAPPINGS=1  COUNTS=no (or partition, merged)  DAYS=0
//! FILES, THREADS (no limit, but that of the docs), CPU=10 (percent of a core while idle)
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::{Cluster, Daemon, assert_taken, eventually, flush, send, tree};

/// What each run has in common.
struct Size {
    records: i64,
    record_bytes: usize,
    budget_mib: u64,
    idle: Duration,
    mappings: i32,
    /// The scope of the counts, or `no`.
    counts: String,
    /// The record times of so many days; 0: the times at which the records are sent.
    days: i64,
    /// The records are JSON objects.
    json: bool,
    most_files: usize,
    most_threads: u64,
    /// Percent of a core.
    most_idle: f64,
}

/// `daemon.drain_timeout`, and the time that the last commit may take.
const MOST_STOP: Duration = Duration::from_secs(35);

/// `daemon.workers` of each run.
const WORKERS: u64 = 2;

/// A record of a topic with the brokers' own limit has at most so many bytes.
const USUAL: usize = 900_000;

/// Threads of a worker that has something to commit: its own and those of its producer.
const COMMITTING: u64 = 8;
/// Threads of a worker whose producer was ended, because it has had no transaction for a minute.
const RESTING: u64 = 1;

impl Size {
    /// The most memory that a daemon may need, KiB.
    fn promised_kib(&self) -> u64 {
        self.budget_mib * 1_280 + 4 * self.record_bytes as u64 / 1_024
    }

    /// The most threads of a daemon, as docs/benchmark.md has them: with one broker, one address,
    /// and so many for each worker.
    fn threads(&self, run: &Run<'_>, of_worker: u64) -> u64 {
        const PROCESS: u64 = 70;
        const HDFS: u64 = 8;
        const CLIENT: u64 = 2;
        let mappings = self.mappings as u64;
        let workers = (WORKERS * 2).div_ceil(mappings).clamp(1, WORKERS);
        let workers = workers.min((run.partitions / self.mappings).max(1) as u64);
        let hdfs = if run.store == "local" { 0 } else { HDFS };
        PROCESS + hdfs + CLIENT + of_worker * workers * mappings
    }

    /// The topics of a run: one for each mapping, with so many partitions each.
    fn topics(&self, name: &str, partitions: i32) -> (Vec<String>, i32) {
        let each = (partitions / self.mappings).max(1);
        ((0..self.mappings).map(|i| format!("{name}-{i}")).collect(), each)
    }
}

/// One row of the table.
struct Run<'a> {
    partitions: i32,
    format: &'a str,
    arrival: &'a str,
    store: &'a str,
}

/// What was seen of a process until it ended.
#[derive(Clone, Copy, Default)]
struct Peak {
    rss_kib: u64,
    threads: u64,
    descriptors: usize,
}

/// What a run needed.
struct Needed {
    peak: Peak,
    files: usize,
    stopped: Duration,
    idle_percent: f64,
    whole: bool,
}

impl Needed {
    /// What of it is more than was promised, in words.
    fn faults(&self, size: &Size, run: &Run<'_>) -> Vec<String> {
        let mut faults = Vec::new();
        let promised = size.promised_kib();
        if promised < self.peak.rss_kib {
            let (peak, promised) = (self.peak.rss_kib / 1_024, promised / 1_024);
            faults.push(format!("{peak} MiB, and the budget promises {promised}"));
        }
        if size.most_files < self.files {
            faults.push(format!("{} files, and not {}", self.files, size.most_files));
        }
        let threads = size.most_threads.min(size.threads(run, COMMITTING));
        if threads < self.peak.threads {
            faults.push(format!("{} threads, and not {threads}", self.peak.threads));
        }
        if size.most_idle < self.idle_percent {
            let (idle, most) = (self.idle_percent, size.most_idle);
            faults.push(format!("{idle:.2} % of a core while it was idle, and not {most}"));
        }
        if MOST_STOP < self.stopped {
            faults.push(format!("a stop of {:?}", self.stopped));
        }
        if !self.whole {
            faults.push("a stop that was not whole".into());
        }
        faults
    }
}

fn main() -> ExitCode {
    if std::env::args().any(|a| a == "--test" || a == "--list") {
        // `cargo test --all-targets` asks; benchmarks are run by `make bench-memory`.
        return ExitCode::SUCCESS;
    }
    let size = Size {
        records: number("RECORDS", 300_000) as i64,
        record_bytes: number("RECORD_BYTES", 1_000) as usize,
        budget_mib: number("MEMORY", 256),
        idle: Duration::from_secs(number("IDLE", 5)),
        mappings: number("MAPPINGS", 1) as i32,
        counts: std::env::var("COUNTS").unwrap_or_else(|_| "no".into()),
        days: number("DAYS", 0) as i64,
        json: list("FORMATS", "").contains(&"columns".into()),
        most_files: number("FILES", u64::MAX) as usize,
        most_threads: number("THREADS", u64::MAX),
        most_idle: number("CPU", 10) as f64,
    };
    let stores = list("STORES", "local");
    let nodes = u8::from(stores.iter().any(|s| s != "local"));
    let settings = &[
        ("TESTBED_JIT", "full"),
        ("TESTBED_BLOCK_SIZE", "8388608"),
        // For thousands of partitions that are written at the same time.
        ("TESTBED_KAFKA_HEAP", "1g"),
        // Each thread of a broker keeps a buffer of the largest record that it has written.
        ("TESTBED_KAFKA_DIRECT", "1g"),
    ];
    let cluster = Cluster::start_with("memory", 1, nodes, settings);
    let mut filled = BTreeSet::new();
    println!(
        "{} records of {} bytes, memory = {} MiB, mappings: {}, counts: {}, days: {}",
        size.records, size.record_bytes, size.budget_mib, size.mappings, size.counts, size.days
    );
    println!(
        "| partitions | format | records | store | peak MiB | of the budget | threads | \
         descriptors | files | idle CPU % | stop s |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut exceeded = 0;
    for partitions in list("PARTITIONS", "1,100,1000") {
        let partitions: i32 = partitions.parse().unwrap();
        for arrival in list("ARRIVALS", "backlog,live") {
            for format in list("FORMATS", "parquet,jsonl") {
                for store in &stores {
                    let run = Run { partitions, format: &format, arrival: &arrival, store };
                    let needed = measure(&cluster, &size, &run, &mut filled);
                    show(&size, &run, &needed);
                    let faults = needed.faults(&size, &run);
                    faults.iter().for_each(|fault| println!("too much: {fault}"));
                    exceeded += u32::from(!faults.is_empty());
                }
            }
        }
    }
    let promised = size.promised_kib() / 1_024;
    println!("{exceeded} runs needed more than the {promised} MiB, files, threads or time");
    if exceeded == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |v| v.parse().unwrap())
}

fn list(variable: &str, default: &str) -> Vec<String> {
    let text = std::env::var(variable).unwrap_or_else(|_| default.into());
    text.split(',').map(String::from).collect()
}

/// Random letters, or random words of 1,000 where words are counted.
fn text(random: &mut fastrand::Rng, bytes: usize, words: bool) -> Vec<u8> {
    if !words {
        return (0..bytes).map(|_| random.alphanumeric() as u8).collect();
    }
    let mut text = Vec::with_capacity(bytes + 8);
    while text.len() < bytes {
        text.extend_from_slice(format!("word{} ", random.u32(0..1_000)).as_bytes());
    }
    text
}

/// 2016-01-01T00:00:00Z
/// A member of the group that says nothing for so long is left out (librdkafka's default).
const SESSION: Duration = Duration::from_secs(45);

const FIRST_DAY: i64 = 1_451_606_400_000;
const DAY: i64 = 86_400_000;

/// Records that are spread over all partitions.
fn fill(cluster: &Cluster, topics: &[String], partitions: i32, size: &Size) {
    let producer = cluster.producer_of(USUAL.max(size.record_bytes) + 100_000);
    let mut random = fastrand::Rng::with_seed(7);
    let text = text(&mut random, (1 << 20) + size.record_bytes, size.counts != "no");
    for i in 0..size.records as usize {
        let at = random.usize(0..1 << 20);
        let mut value = text[at..at + size.record_bytes].to_vec();
        if size.json {
            let (begin, end) = (br#"{"n":12,"text":""#, br#""}"#);
            value[..begin.len()].copy_from_slice(begin);
            let rest = value.len() - end.len();
            value[rest..].copy_from_slice(end);
        }
        let partition = (i / topics.len() % partitions as usize) as i32;
        let time = (0 < size.days).then(|| FIRST_DAY + random.i64(0..size.days * DAY));
        send(&producer, &topics[i % topics.len()], partition, &value, time);
    }
    flush(&producer);
    assert_taken(&producer);
}

/// The configuration of a run, and its root.
fn configuration(
    cluster: &Cluster,
    size: &Size,
    run: &Run<'_>,
    name: &str,
    topics: &[String],
) -> (String, String) {
    let name = format!("{name}-{}-{}", run.format, run.store);
    let root = match run.store {
        "local" => format!("file://{}", cluster.state.join("roots").join(&name).display()),
        _ => format!("{}/{name}", cluster.hdfs()),
    };
    if let Some(directory) = root.strip_prefix("file://") {
        std::fs::create_dir_all(directory).unwrap();
    }
    let mappings = topics.iter().map(|topic| {
        let counts = format!(
            "[mapping.{topic}.wordcount]\noutput_topic = \"{topic}-{}-counts\"\nscope = \"{}\"\n\
             time = \"arrival\"\n",
            run.format, size.counts
        );
        let counts = if size.counts == "no" { String::new() } else { counts };
        format!("[mapping.{topic}]\ntopics = [\"{topic}\"]\n{counts}")
    });
    let (format, columns) = match run.format {
        "columns" => ("parquet", "columns = { n = \"int64\", text = \"string\" }"),
        format => (format, ""),
    };
    let path = if size.days == 0 { "" } else { "path = \"{topic}/dt=%Y-%m-%d\"" };
    let config = format!(
        r#"
[kafka]
bootstrap_servers = "{}"
group_id = "{name}"
[archive]
root = "{root}"
format = "{format}"
{columns}
{path}
[daemon]
workers = {WORKERS}
memory = "{}MiB"
{}"#,
        cluster.bootstrap(),
        size.budget_mib,
        mappings.collect::<String>()
    );
    (config, root)
}

fn measure(cluster: &Cluster, size: &Size, run: &Run<'_>, filled: &mut BTreeSet<String>) -> Needed {
    let live = run.arrival != "backlog";
    let kind = match run.arrival {
        "backlog" => "backlog".into(),
        arrival => format!("{arrival}-{}-{}", run.format, run.store),
    };
    let name = format!("t{}-{kind}", run.partitions);
    let (topics, each) = size.topics(&name, run.partitions);
    if filled.insert(name.clone()) {
        for topic in &topics {
            let limit = (USUAL.max(size.record_bytes) + 100_000).to_string();
            cluster.create_topic_with(topic, each as u32, &[("max.message.bytes", &limit)]);
        }
        if !live {
            fill(cluster, &topics, each, size);
        }
    }
    let (config, root) = configuration(cluster, size, run, &name, &topics);
    let daemon = Daemon::start(&cluster.state.join("memory"), "memory", &config);
    let (watching, pid) = (Arc::new(AtomicBool::new(true)), daemon.pid());
    let slow = (run.store == "slow").then(|| SlowStore::of(cluster));
    let goes_on = Arc::clone(&watching);
    let watcher = std::thread::spawn(move || watch(pid, &goes_on));
    let owned = || daemon.metric("alluvium_assigned_partitions", &[]);
    let all = f64::from(each * size.mappings);
    eventually("an assignment", Duration::from_secs(120), || all <= owned());
    if live {
        let is_burst = run.arrival == "burst";
        if is_burst {
            signal(pid, "-STOP");
        }
        let began = Instant::now();
        fill(cluster, &topics, each, size);
        if is_burst {
            assert_eq!(state_of(pid), 'T', "the daemon did not stand still");
            assert!(began.elapsed() < SESSION, "the records took longer than a session");
            signal(pid, "-CONT");
        }
    }
    eventually("everything read", Duration::from_secs(300), || {
        let read = daemon.metric("alluvium_records_total", &[("role", "source")]);
        size.records as f64 <= read
    });
    // What is still on its way into the store: of many files some seconds; and the pages that the
    // allocator keeps for a moment.
    let asked = || daemon.metric("alluvium_store_operation_duration_seconds_count", &[]);
    let mut known = 0.0;
    eventually("nothing is on its way into the store", Duration::from_secs(120), || {
        std::thread::sleep(Duration::from_secs(3));
        let now = asked();
        // Whether the root answers is asked now and then.
        now - std::mem::replace(&mut known, now) < 10.0
    });
    // A worker has half of the partitions of a mapping.
    if 200 <= each {
        let dormant = || daemon.metric("alluvium_dormant_partitions", &[]);
        eventually("all are dormant", Duration::from_secs(120), || all <= dormant());
    }
    if 1 < size.mappings {
        let resting = size.threads(run, RESTING);
        eventually("the producers rest", Duration::from_secs(180), || threads(pid) <= resting);
    }
    let before = cpu_seconds(pid);
    std::thread::sleep(size.idle);
    let idle = (cpu_seconds(pid) - before) / size.idle.as_secs_f64() * 100.0;
    let stopping = Instant::now();
    let whole = daemon.stop() == 0;
    let stopped = stopping.elapsed();
    drop(slow);
    if live {
        topics.iter().for_each(|topic| cluster.delete_topic(topic));
    }
    watching.store(false, Ordering::SeqCst);
    let peak = watcher.join().unwrap();
    let store = cluster.store(&root);
    let files = topics.iter().map(|topic| cluster.runtime.block_on(tree(&*store, topic)));
    let files = files.map(|files| files.unwrap().len()).sum();
    Needed { peak, files, stopped, idle_percent: idle, whole }
}

fn show(size: &Size, run: &Run<'_>, needed: &Needed) {
    let Needed { peak, files, stopped, idle_percent, whole } = needed;
    println!(
        "| {} | {} | {} | {} | {} | {:.2} | {} | {} | {files} | {idle_percent:.1} | {:.1}{} |",
        run.partitions,
        run.format,
        run.arrival,
        run.store,
        peak.rss_kib / 1024,
        peak.rss_kib as f64 / (size.budget_mib * 1024) as f64,
        peak.threads,
        peak.descriptors,
        stopped.as_secs_f64(),
        if *whole { "" } else { " (not whole)" }
    );
}

/// The letter of a process's state, as proc(5) has it.
fn state_of(pid: u32) -> char {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    text.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('?')
}

fn signal(pid: impl std::fmt::Display, signal: &str) {
    let _ = std::process::Command::new("kill").args([signal, &pid.to_string()]).status();
}

/// A DataNode that is stopped for four fifths of the time, until this is dropped.
struct SlowStore {
    goes_on: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl SlowStore {
    fn of(cluster: &Cluster) -> SlowStore {
        let goes_on = Arc::new(AtomicBool::new(true));
        let pid = std::fs::read_to_string(cluster.state.join("run/dn1.pid")).unwrap();
        let watched = Arc::clone(&goes_on);
        let thread = std::thread::spawn(move || {
            while watched.load(Ordering::SeqCst) {
                for (name, millis) in [("-STOP", 800), ("-CONT", 200)] {
                    signal(pid.trim(), name);
                    std::thread::sleep(Duration::from_millis(millis));
                }
            }
        });
        SlowStore { goes_on, thread: Some(thread) }
    }
}

impl Drop for SlowStore {
    fn drop(&mut self) {
        self.goes_on.store(false, Ordering::SeqCst);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// The number that `/proc` has under this name for a process; 0 if there is none.
fn status(pid: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

fn threads(pid: u32) -> u64 {
    status(pid, "Threads:")
}

/// Samples a process until it has ended. The kernel keeps the peak of its memory.
fn watch(pid: u32, goes_on: &AtomicBool) -> Peak {
    let mut peak = Peak::default();
    while goes_on.load(Ordering::SeqCst) {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        peak.rss_kib = peak.rss_kib.max(status(pid, "VmHWM:"));
        peak.threads = peak.threads.max(threads(pid));
        peak.descriptors = peak.descriptors.max(files);
        std::thread::sleep(Duration::from_millis(20));
    }
    peak
}

/// CPU seconds of a process that runs (clock ticks are 1/100 s on Linux).
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
