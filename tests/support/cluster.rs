//! Brokers, NameNode and DataNodes of a test, and what is sent to them and read from them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alluvium::testing::{Deadlines, HdfsOptions, Root, Store};
use parking_lot::Mutex;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::util::Timeout;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::archive::{Archived, ReadBack, read_archive};
use super::secured::program;
use super::{TOO_LATE, ports};

const TESTBED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testbed/testbed");

pub type Producing = ThreadedProducer<Deliveries>;

/// What became of the messages of a producer.
#[derive(Default)]
pub struct Deliveries {
    /// Why the first message was not taken that was not.
    refused: Mutex<Option<String>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        if let Err((error, _)) = result {
            let _ = self.refused.lock().get_or_insert_with(|| error.to_string());
        }
    }
}

/// One testbed: its brokers, NameNode and DataNodes. Stopped and wiped at the end.
pub struct Cluster {
    pub state: PathBuf,
    ports: ports::Offset,
    environment: &'static [(&'static str, &'static str)],
    pub runtime: tokio::runtime::Runtime,
}

impl Cluster {
    pub fn start(name: &str, kafka: u8, hdfs: u8) -> Cluster {
        Cluster::start_with(name, kafka, hdfs, &[])
    }

    /// Starts servers whose testbed has these variables of the environment besides.
    pub fn start_with(
        name: &str,
        kafka: u8,
        hdfs: u8,
        environment: &'static [(&'static str, &'static str)],
    ) -> Cluster {
        let state = Cluster::state_of(name);
        // What an earlier run may have left behind.
        let mut down = program(TESTBED);
        let _ = down.args(["down", "--wipe"]).env("TESTBED_STATE", &state);
        assert!(down.status().unwrap().success());
        let (ports, runtime) = (ports::Offset::choose(), tokio::runtime::Runtime::new().unwrap());
        let cluster = Cluster { state, ports, runtime, environment };
        cluster.run(&["up", &format!("kafka={kafka}"), &format!("hdfs={hdfs}")]);
        cluster
    }

    /// Where a testbed of this name has its files.
    pub fn state_of(name: &str) -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("testbed-{name}"))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut c = self.program(TESTBED);
        c.args(args);
        c
    }

    /// A program that the testbed's script, if it calls that, takes for this cluster's.
    fn program(&self, name: &str) -> Command {
        let mut c = program(name);
        c.envs(self.environment.iter().copied())
            .env("TESTBED_STATE", &self.state)
            .env("TESTBED_OFFSET", self.ports.offset.to_string());
        c.stdin(Stdio::null());
        c
    }

    /// Runs commands of a shell; `$TESTBED` is the testbed's script.
    pub fn shell(&self, commands: &str) {
        let mut shell = self.program("bash");
        shell.args(["-e", "-o", "pipefail", "-c", commands]).env("TESTBED", TESTBED);
        let ended = shell.status().unwrap();
        assert!(ended.success(), "{commands}: {ended}");
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
        self.listener(9091)
    }

    /// The brokers' addresses for one of their listeners, whose ports follow this one in a testbed
    /// at offset 0.
    pub fn listener(&self, base: u16) -> String {
        let n: u16 = std::fs::read_to_string(self.state.join("kafka/brokers"))
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        (1..=n)
            .map(|i| format!("127.0.0.1:{}", base + i + self.ports.offset))
            .collect::<Vec<_>>()
            .join(",")
    }

    /// The address of the one server whose port is this one in a testbed at offset 0.
    pub fn listener_of(&self, port: u16) -> String {
        format!("127.0.0.1:{}", port + self.ports.offset)
    }

    /// The directory of a scenario's daemons.
    pub fn home(&self, name: &str) -> PathBuf {
        self.state.join("tests").join(name)
    }

    pub fn hdfs(&self) -> String {
        let is_set = |name: &str| self.environment.contains(&(name, "yes"));
        match (is_set("TESTBED_HA"), is_set("TESTBED_KERBEROS")) {
            (true, _) => "hdfs://testbed".into(),
            // Its principal has the host's name.
            (_, true) => format!("hdfs://localhost:{}", 8020 + self.ports.offset),
            _ => format!("hdfs://127.0.0.1:{}", 8020 + self.ports.offset),
        }
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

    /// The archive of a topic below a root whose servers this process cannot ask.
    pub fn copied_archive(&self, name: &str, topic: &str) -> Archived {
        self.archive(&self.copied_root(name), topic, topic)
    }

    /// A root as Hadoop's own tool copies it.
    pub fn copied_root(&self, name: &str) -> String {
        let to = self.state.join("copied");
        std::fs::create_dir_all(&to).unwrap();
        let _ = self.run(&["dfs", "-get", &format!("/{name}"), to.to_str().unwrap()]);
        format!("file://{}/{name}", to.display())
    }

    pub fn producer(&self) -> Producing {
        self.producer_of(1_000_000)
    }

    /// A producer of messages that have at most so many bytes.
    pub fn producer_of(&self, bytes: usize) -> Producing {
        ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap())
            .set("enable.idempotence", "true")
            .set("linger.ms", "20")
            .set("queue.buffering.max.messages", "200000")
            .set("message.max.bytes", bytes.to_string())
            .create_with_context(Deliveries::default())
            .unwrap()
    }

    /// A store on a root, as the daemon would open it.
    pub fn store(&self, root: &str) -> Arc<dyn Store> {
        let root = match root.strip_prefix("file://") {
            Some(directory) => Root::Local { directory: directory.into(), umask: None },
            None => Root::Hdfs { url: root.into(), options: HdfsOptions::default() },
        };
        let _guard = self.runtime.enter();
        alluvium::testing::open(&root, Deadlines::default()).unwrap()
    }

    /// Everything that a consumer with isolation.level=read_committed sees, by partition.
    pub fn read_topic(&self, topic: &str) -> Vec<ReadBack> {
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
                Some(Ok(m)) => seen.push(ReadBack {
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
                "{TOO_LATE}{published} words of {words} are published after 90 s"
            );
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// The sum of the group's P over a topic's partitions, from the offsets' metadata.
    pub fn position(&self, group: &str, topic: &str) -> f64 {
        use alluvium::testing::Committed;
        let consumer = self.consumer(group);
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
                let c = Committed::decode(alluvium::testing::Offset(o), e.metadata()).ok()?;
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

/// Asserts that the brokers have taken everything that was sent and flushed.
pub fn assert_taken(producer: &Producing) {
    let refused = producer.context().refused.lock();
    assert_eq!(*refused, None, "a record was not taken");
}
