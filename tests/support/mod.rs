//! Real servers, the real daemon, and an oracle that recomputes everything from the input.
//! Shared by the server tests and the benchmark.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::print_stderr)]

pub mod scene;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use alluvium::protocol::Entry;
use alluvium::store::{Deadlines, HdfsOptions, Root, Store, StoreError};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMillisecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};

pub type Producing = ThreadedProducer<DefaultProducerContext>;

/// One testbed: its brokers, NameNode and DataNodes. Stopped and wiped at the end.
pub struct Cluster {
    pub state: PathBuf,
    offset: u16,
    pub runtime: tokio::runtime::Runtime,
}

impl Cluster {
    pub fn start(name: &str, offset: u16, kafka: u8, hdfs: u8) -> Cluster {
        let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("testbed-{name}"));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let cluster = Cluster { state, offset, runtime };
        // What an earlier run may have left behind.
        cluster.run(&["down", "--wipe"]);
        cluster.run(&["up", &format!("kafka={kafka}"), &format!("hdfs={hdfs}")]);
        cluster
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut c = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/testbed/testbed"));
        c.args(args)
            .env("TESTBED_STATE", &self.state)
            .env("TESTBED_OFFSET", self.offset.to_string());
        c.stdin(Stdio::null());
        c
    }

    /// Runs a testbed command; its standard output.
    pub fn run(&self, args: &[&str]) -> String {
        let out = self.command(args).stderr(Stdio::inherit()).output().unwrap();
        assert!(out.status.success(), "testbed {args:?}: {}", out.status);
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// As [`Cluster::run`], with a standard input, and whatever exit code.
    pub fn pipe(&self, args: &[&str], input: &str) -> String {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
    }

    pub fn bootstrap(&self) -> String {
        let n: u16 = std::fs::read_to_string(self.state.join("kafka/brokers"))
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        (1..=n)
            .map(|i| format!("127.0.0.1:{}", 9091 + i + self.offset))
            .collect::<Vec<_>>()
            .join(",")
    }

    pub fn hdfs(&self) -> String {
        format!("hdfs://127.0.0.1:{}", 8020 + self.offset)
    }

    /// The head of a configuration for this cluster: group and root have the same name, and a dead
    /// member is missed after six seconds.
    pub fn head(&self, name: &str, transaction_timeout_ms: u32) -> String {
        format!(
            r#"
[kafka]
bootstrap_servers = "{}"
group_id = "{name}"
[kafka.properties]
"session.timeout.ms" = 6000
"heartbeat.interval.ms" = 1000
"transaction.timeout.ms" = {transaction_timeout_ms}
[archive]
root = "{}/{name}"
"#,
            self.bootstrap(),
            self.hdfs()
        )
    }

    pub fn create_topic(&self, topic: &str, partitions: u32) {
        let p = partitions.to_string();
        let _ = self.run(&["kafka", "topics", "--create", "--topic", topic, "--partitions", &p]);
    }

    pub fn producer(&self) -> Producing {
        ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap())
            .set("enable.idempotence", "true")
            .set("linger.ms", "20")
            .set("queue.buffering.max.messages", "200000")
            .create()
            .unwrap()
    }

    /// A store on a root, as the daemon would open it.
    pub fn store(&self, root: &str) -> Arc<dyn Store> {
        let root = match root.strip_prefix("file://") {
            Some(directory) => Root::Local { directory: directory.into() },
            None => Root::Hdfs { url: root.into(), options: HdfsOptions::default() },
        };
        let _guard = self.runtime.enter();
        alluvium::store::open(&root, Deadlines::default()).unwrap()
    }

    /// Everything that a consumer with isolation.level=read_committed sees, by partition.
    pub fn read_topic(&self, topic: &str) -> Vec<Seen> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap())
            .set("group.id", "oracle")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()
            .unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(30)).unwrap();
        let partitions = metadata.topics()[0].partitions().len();
        let mut list = TopicPartitionList::new();
        for p in 0..partitions {
            list.add_partition_offset(topic, p as i32, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let (mut seen, mut ends) = (Vec::new(), 0);
        let deadline = Instant::now() + Duration::from_secs(120);
        while ends < partitions && Instant::now() < deadline {
            match consumer.poll(Duration::from_millis(200)) {
                Some(Ok(m)) => seen.push(Seen {
                    partition: m.partition(),
                    offset: m.offset(),
                    timestamp: m.timestamp().to_millis(),
                    key: m.key().map(<[u8]>::to_vec),
                    value: m.payload().map(<[u8]>::to_vec),
                    headers: m.headers().map_or_else(Vec::new, |h| {
                        h.iter().map(|h| (h.key.to_string(), h.value.map(<[u8]>::to_vec))).collect()
                    }),
                }),
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => ends += 1,
                _ => {}
            }
        }
        assert_eq!(ends, partitions, "{topic} could not be read to its end");
        seen
    }

    /// Sums of published counts by word (kind and window aside).
    pub fn published_words(&self, topic: &str) -> HashMap<String, u64> {
        let mut sums = HashMap::new();
        for r in self.read_topic(topic) {
            let value: serde_json::Value = serde_json::from_slice(&r.value.unwrap()).unwrap();
            let word = value["word"].as_str().unwrap().to_string();
            assert_eq!(r.key.as_deref(), Some(word.as_bytes()));
            *sums.entry(word).or_default() += value["count"].as_u64().unwrap();
        }
        sums
    }

    /// Waits until this many words are published, whatever the windows.
    pub fn all_published(&self, topic: &str, words: u64) {
        let limit = Instant::now() + Duration::from_secs(90);
        loop {
            let published = self.published_words(topic).values().sum::<u64>();
            if words <= published {
                return;
            }
            assert!(
                Instant::now() < limit,
                "{published} words of {words} are published after 90 s"
            );
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Moves the group's offset of every partition, as an operator would.
    pub fn reset_offset(&self, group: &str, topic: &str, to: i64) {
        let to = to.to_string();
        let what = ["--group", group, "--topic", topic];
        let how = ["--reset-offsets", "--to-offset", &to, "--execute"];
        let _ = self.run(&[&["kafka", "consumer-groups"][..], &what, &how].concat());
    }

    /// The sum of the group's P over a topic's partitions, from the offsets' metadata.
    pub fn position(&self, group: &str, topic: &str) -> f64 {
        use alluvium::protocol::Committed;
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap())
            .set("group.id", group)
            .set("isolation.level", "read_committed")
            .create()
            .unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10)).unwrap();
        let mut list = TopicPartitionList::new();
        for p in metadata.topics()[0].partitions() {
            let _ = list.add_partition(topic, p.id());
        }
        let Ok(read) = consumer.committed_offsets(list, Duration::from_secs(10)) else {
            return 0.0;
        };
        let p = |e: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match e.offset() {
            Offset::Offset(o) => {
                let c = Committed::decode(alluvium::record::Offset(o), e.metadata()).ok()?;
                Some(c.metadata.map_or(o, |m| m.p.0))
            }
            _ => None,
        };
        read.elements().iter().filter_map(p).sum::<i64>() as f64
    }

    /// Reads the whole archive of one topic under a root, by ledger *and* by listing, and checks
    /// that they agree: entries tile, files are where entries say, no other file is there, each
    /// has the length and checksum that was written down.
    pub fn archive(&self, root: &str, topic: &str, directory: &str) -> Archived {
        self.runtime.block_on(read_archive(&*self.store(root), topic, directory))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the testbed's logs: {}", self.state.join("log").display());
        }
        let _ = self.command(&["down"]).status();
    }
}

/// One record, as anybody sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// The sum over partitions of where these records end.
pub fn end_of(records: &[Seen]) -> i64 {
    let mut ends = BTreeMap::new();
    for r in records {
        let end: &mut i64 = ends.entry(r.partition).or_default();
        *end = (*end).max(r.offset + 1);
    }
    ends.values().sum()
}

/// What lies in the store for one topic.
#[derive(Default)]
pub struct Archived {
    pub batches: Vec<RecordBatch>,
    pub files: Vec<String>,
    pub bytes: u64,
    pub rows: u64,
    /// A, by partition.
    pub ends: BTreeMap<i32, i64>,
}

impl Archived {
    /// (partition, offset) of every row; sorted.
    pub fn offsets(&self) -> Vec<(i32, i64)> {
        let mut all = Vec::new();
        for b in &self.batches {
            let p = b.column_by_name("partition").unwrap().as_primitive::<Int32Type>();
            let o = b.column_by_name("offset").unwrap().as_primitive::<Int64Type>();
            all.extend(p.values().iter().copied().zip(o.values().iter().copied()));
        }
        all.sort_unstable();
        all
    }

    /// Raw rows as records; sorted.
    pub fn records(&self) -> Vec<Seen> {
        let mut all = Vec::new();
        for b in &self.batches {
            let column = |name: &str| b.column_by_name(name).unwrap();
            let text_or_bytes = |name: &str, i: usize| {
                let (text, bytes) = (
                    column(name).as_string::<i32>(),
                    column(&format!("{name}_bytes")).as_binary::<i32>(),
                );
                let text = text.is_valid(i).then(|| text.value(i).as_bytes().to_vec());
                text.or_else(|| bytes.is_valid(i).then(|| bytes.value(i).to_vec()))
            };
            let times = column("timestamp").as_primitive::<TimestampMillisecondType>();
            let lists = column("headers").as_list::<i32>();
            for i in 0..b.num_rows() {
                let list = lists.value(i);
                let pairs = list.as_struct();
                let (keys, values) =
                    (pairs.column(0).as_string::<i32>(), pairs.column(1).as_binary::<i32>());
                all.push(Seen {
                    partition: column("partition").as_primitive::<Int32Type>().value(i),
                    offset: column("offset").as_primitive::<Int64Type>().value(i),
                    timestamp: times.is_valid(i).then(|| times.value(i)),
                    key: text_or_bytes("key", i),
                    value: text_or_bytes("value", i),
                    headers: (0..list.len())
                        .map(|h| {
                            (
                                keys.value(h).to_string(),
                                values.is_valid(h).then(|| values.value(h).to_vec()),
                            )
                        })
                        .collect(),
                });
            }
        }
        all.sort_by_key(|r| (r.partition, r.offset));
        all
    }

    /// Sums of the archived counts by word.
    pub fn words(&self) -> HashMap<String, u64> {
        let mut sums = HashMap::new();
        for b in &self.batches {
            let words = b.column_by_name("word").unwrap().as_string::<i32>();
            let counts = b.column_by_name("count").unwrap().as_primitive::<Int64Type>();
            for (word, n) in words.iter().zip(counts.values()) {
                *sums.entry(word.unwrap().to_string()).or_default() += u64::try_from(*n).unwrap();
            }
        }
        sums
    }
}

/// Adds the paths of all files that the ledger names to `named`; `read` are the entries that were
/// read before.
pub async fn read_names(
    store: &dyn Store,
    topic: &str,
    read: &mut BTreeSet<String>,
    named: &mut BTreeSet<String>,
) -> Result<(), StoreError> {
    let base = format!("_alluvium/ledger/{topic}");
    for (path, _) in store.walk(&base).await? {
        if read.contains(&path) {
            continue;
        }
        let key = alluvium::layout::names::parse_entry(path.rsplit('/').next().unwrap()).unwrap();
        let entry = Entry::decode(key, &store.read(&path).await?.unwrap()).unwrap();
        named.extend(entry.files.into_iter().map(|f| f.path));
        let _ = read.insert(path);
    }
    Ok(())
}

/// Every data file below a directory; sorted.
pub async fn tree(store: &dyn Store, top: &str) -> Result<Vec<String>, StoreError> {
    let mut files: Vec<String> = store.walk(top).await?.into_iter().map(|(path, _)| path).collect();
    files.sort();
    Ok(files)
}

async fn read_archive(store: &dyn Store, topic: &str, directory: &str) -> Archived {
    let mut archived = Archived::default();
    let mut named = Vec::new();
    let base = format!("_alluvium/ledger/{topic}");
    let mut ledgers = Vec::new();
    for incarnation in store.list(&base).await.unwrap() {
        for partition in store.list(&format!("{base}/{incarnation}")).await.unwrap() {
            ledgers.push((incarnation.clone(), partition));
        }
    }
    for (incarnation, partition) in ledgers {
        let mut entries = Vec::new();
        let ledger = format!("{base}/{incarnation}/{partition}");
        for name in store.list(&ledger).await.unwrap() {
            let key = alluvium::layout::names::parse_entry(&name).unwrap();
            let text = store.read(&format!("{ledger}/{name}")).await.unwrap().unwrap();
            entries.push(Entry::decode(key, &text).unwrap());
        }
        entries.sort_by_key(Entry::key);
        let mut end = entries[0].to;
        for e in &entries[1..] {
            assert_eq!(e.from, end, "{topic}/{partition}: entries don't tile");
            end = e.to;
            for f in &e.files {
                let bytes = store
                    .read(&f.path)
                    .await
                    .unwrap()
                    .unwrap_or_else(|| panic!("{} is missing", f.path));
                assert_eq!(bytes.len() as u64, f.bytes, "{}", f.path);
                assert_eq!(format!("{:08x}", crc32c::crc32c(&bytes)), f.checksum, "{}", f.path);
                archived.bytes += f.bytes;
                archived.rows += f.rows;
                if f.path.ends_with(".parquet") {
                    let reader =
                        ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
                    archived.batches.extend(reader.map(Result::unwrap));
                }
                named.push(f.path.clone());
            }
        }
        let _ = archived.ends.insert(partition.parse().unwrap(), end.0);
        let staged = format!("_alluvium/staging/{topic}/{incarnation}/{partition}");
        let staged = store.list(&staged).await.unwrap();
        assert!(staged.is_empty(), "{topic}/{partition}: left in staging: {staged:?}");
    }
    named.sort();
    let found = tree(store, directory).await.unwrap();
    assert_eq!(found, named, "files under {directory} against the ledger");
    archived.files = found;
    archived
}

static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// The real daemon as a process.
pub struct Daemon {
    child: Child,
    pub log: PathBuf,
    pub port: u16,
}

impl Daemon {
    /// Writes the configuration and starts. `listen` is added here.
    pub fn start(dir: &Path, instance: &str, config: &str) -> Daemon {
        Daemon::start_with(dir, instance, config, &[])
    }

    /// As [`Daemon::start`], with environment variables.
    pub fn start_with(
        dir: &Path,
        instance: &str,
        config: &str,
        variables: &[(&str, &str)],
    ) -> Daemon {
        let port =
            21_000 + (std::process::id() % 5_000) as u16 + NEXT_PORT.fetch_add(1, Ordering::SeqCst);
        std::fs::create_dir_all(dir).unwrap();
        let file = dir.join(format!("{instance}.toml"));
        let config =
            config.replace("[daemon]", &format!("[daemon]\nlisten = \"127.0.0.1:{port}\""));
        std::fs::write(&file, config).unwrap();
        let log = dir.join(format!("{instance}-{port}.log"));
        let child = Command::new(env!("CARGO_BIN_EXE_alluvium"))
            .args(["run", "--instance", instance, "--config"])
            .arg(&file)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Daemon { child, log, port }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn get(&self, path: &str) -> Option<String> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(5)))
            .build()
            .into();
        agent
            .get(format!("http://127.0.0.1:{}{path}", self.port))
            .call()
            .ok()?
            .body_mut()
            .read_to_string()
            .ok()
    }

    /// The sum of all series of this name whose labels contain the text.
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let text = self.get("/metrics").unwrap_or_default();
        let mine = text.lines().filter(|l| {
            l.strip_prefix(name).is_some_and(|r| r.starts_with(['{', ' '])) && l.contains(label)
        });
        mine.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        let _ = self.child.wait().unwrap();
    }

    /// SIGTERM; the exit code.
    pub fn stop(mut self) -> i32 {
        self.signal("-TERM");
        self.ended(Duration::from_secs(60));
        self.child.wait().unwrap().code().unwrap_or(-1)
    }

    /// Waits until it has ended.
    pub fn ended(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.is_running() {
            assert!(Instant::now() < deadline, "still running; log: {}", self.log.display());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for an end that comes by itself; exit code and log.
    pub fn wait(mut self, limit: Duration) -> (i32, String) {
        self.ended(limit);
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        (code, std::fs::read_to_string(&self.log).unwrap())
    }

    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            let log = self.log_text();
            let tail: Vec<&str> = log.lines().rev().take(25).collect();
            eprintln!("--- {} ---", self.log.display());
            tail.iter().rev().for_each(|l| eprintln!("{l}"));
        }
    }
}

/// Runs a command of the program; its exit code, and all that it printed.
pub fn alluvium(arguments: &[&str]) -> (i32, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_alluvium")).args(arguments).output().unwrap();
    let text = [out.stdout, out.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat();
    (out.status.code().unwrap_or(-1), text)
}

/// Every (partition, offset) of `want` exactly once; what is wrong is named.
pub fn assert_each_once(got: &[(i32, i64)], want: impl Iterator<Item = (i32, i64)>) {
    let mut counts: BTreeMap<(i32, i64), i32> = BTreeMap::new();
    for tp in got {
        *counts.entry(*tp).or_default() += 1;
    }
    for tp in want {
        *counts.entry(tp).or_default() -= 1;
    }
    let wrong: Vec<_> = counts.iter().filter(|(_, n)| **n != 0).collect();
    let (lost, doubled) = (wrong.iter().filter(|w| *w.1 < 0), wrong.iter().filter(|w| 0 < *w.1));
    let (lost, doubled): (Vec<_>, Vec<_>) = (lost.collect(), doubled.collect());
    assert!(
        wrong.is_empty(),
        "lost {}: {:?} …; doubled or foreign {}: {:?} …",
        lost.len(),
        &lost[..lost.len().min(5)],
        doubled.len(),
        &doubled[..doubled.len().min(5)]
    );
}

/// Waits until `done` holds.
pub fn eventually(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Seeded lines of Zipf words, and what they should count to.
pub struct Lines {
    random: fastrand::Rng,
    vocabulary: Vec<String>,
    cumulated: Vec<f64>,
    pub counts: Vec<u64>,
}

impl Lines {
    pub fn new(seed: u64, distinct: usize) -> Lines {
        let letters = |i: usize| -> String {
            let len = 2 + i % 7;
            let word: String = (0..len)
                .map(|k| char::from(b'a' + ((i * 7 + k * 13 + i / 26) % 26) as u8))
                .collect();
            format!("{word}{i:x}")
        };
        let mut sum = 0.0;
        let cumulated = (0..distinct)
            .map(|i| {
                sum += 1.0 / (i + 1) as f64;
                sum
            })
            .collect();
        Lines {
            random: fastrand::Rng::with_seed(seed),
            vocabulary: (0..distinct).map(letters).collect(),
            cumulated,
            counts: vec![0; distinct],
        }
    }

    /// The next line, into a buffer.
    pub fn next(&mut self, line: &mut String) {
        line.clear();
        let total = self.cumulated[self.cumulated.len() - 1];
        for k in 0..self.random.usize(5..=15) {
            let x = self.random.f64() * total;
            let word = self.cumulated.partition_point(|c| *c < x).min(self.vocabulary.len() - 1);
            self.counts[word] += 1;
            if k > 0 {
                line.push(' ');
            }
            line.push_str(&self.vocabulary[word]);
        }
    }

    pub fn expected(&self) -> HashMap<String, u64> {
        let counted = self.vocabulary.iter().zip(&self.counts).filter(|(_, n)| **n > 0);
        counted.map(|(w, n)| (w.clone(), *n)).collect()
    }

    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Sends one record, waiting while the queue is full.
pub fn send(producer: &Producing, topic: &str, partition: i32, value: &[u8], millis: Option<i64>) {
    send_full(producer, topic, partition, None, Some(value), &[], millis);
}

pub fn send_full(
    producer: &Producing,
    topic: &str,
    partition: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&str, Option<&[u8]>)],
    millis: Option<i64>,
) {
    let mut all = OwnedHeaders::new();
    for (key, value) in headers {
        all = all.insert(Header { key, value: *value });
    }
    let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
    if !headers.is_empty() {
        record = record.headers(all);
    }
    record.key = key;
    record.payload = value;
    record.timestamp = millis;
    loop {
        match producer.send(record) {
            Ok(()) => return,
            Err((_, back)) => {
                record = back;
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

pub fn flush(producer: &Producing) {
    producer.flush(Timeout::After(Duration::from_secs(120))).unwrap();
}
