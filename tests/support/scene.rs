//! A load, a read_committed reader and somebody who watches the files, while whatever happens to
//! the daemons; and at the end the whole truth, computed from the input.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;

use super::secured::{self, Access};
use super::{
    Cluster, Daemon, Lines, alluvium, assert_each_once, eventually, flush, read_names, send, tree,
};

/// One topic of lines, one mapping, one group; all named alike.
pub struct Scene {
    pub cluster: Arc<Cluster>,
    name: &'static str,
    topic: String,
    counts: String,
    /// On servers that ask who somebody is.
    access: Option<Access>,
    /// Which of [`SHAPES`] the files have of daemons that are started from now on.
    shape: AtomicUsize,
}

/// What the files of records may be. Every ninth record is no JSON: it does not fit declared
/// columns, and lies in the quarantine.
pub const SHAPES: [(&str, &str); 6] = [
    ("Parquet", ""),
    ("Avro with columns and a quarantine", "format = \"avro\", columns = { n = \"int64\" }, "),
    ("JSON lines", "format = \"jsonl\", "),
    ("Parquet with columns and a quarantine", "columns = { n = \"int64\" }, "),
    ("text", "format = \"text\", "),
    ("JSON lines with JSON and a quarantine", "format = \"jsonl\", value = \"json\", "),
];

/// What the end found; nothing was lost or doubled, or there would be none.
pub struct Outcome {
    pub records: i64,
    /// Files that were seen, each after its entry.
    pub files: usize,
    /// Rows of the quarantine.
    pub bad: u64,
}

const PARTITIONS: i32 = 4;
/// One of so many records is no JSON; each partition has some.
const BAD_EVERY: i64 = 9;
const COUNT_PARTITIONS: i32 = 2;

impl Scene {
    pub fn new(cluster: &Arc<Cluster>, name: &'static str) -> Scene {
        let (topic, counts) = (format!("{name}-in"), format!("{name}-counts"));
        cluster.create_topic(&topic, PARTITIONS as u32);
        cluster.create_topic(&counts, COUNT_PARTITIONS as u32);
        let access = secured::is_wanted().then(|| Access::allow(cluster, name));
        let shape = AtomicUsize::new(0);
        Scene { cluster: Arc::clone(cluster), name, topic, counts, access, shape }
    }

    /// Daemons that are started from now on write files of this shape, counted round and round.
    pub fn shape(&self, number: usize) -> &'static str {
        self.shape.store(number % SHAPES.len(), Ordering::SeqCst);
        SHAPES[number % SHAPES.len()].0
    }

    fn root(&self) -> String {
        format!("{}/{}", self.cluster.hdfs(), self.name)
    }

    pub fn start(&self, instance: &str, variables: &[(&str, &str)]) -> Daemon {
        let Scene { name, topic, counts, .. } = self;
        let shape = SHAPES[self.shape.load(Ordering::SeqCst)].1;
        let config = format!(
            r#"{}[daemon]
workers = 2
commit_interval = "500ms"
[mapping.{name}]
topics = ["{topic}"]
archive = {{ {shape}path = "{{topic}}/dt=%Y-%m-%d/hr=%H", roll = {{ age = "2s" }} }}
[mapping.{name}.wordcount]
output_topic = "{counts}"
window = "10m"
time = "record"
split = "words"
idle_after = "1s"
partials = {{ partitions = {COUNT_PARTITIONS} }}
archive = {{ format = "parquet", roll = {{ age = "2s" }} }}
"#,
            match &self.access {
                Some(access) => access.head(&self.cluster, 6_000),
                None => self.cluster.head(name, 6_000),
            }
        );
        if let Some(access) = &self.access {
            return access.daemon(&self.cluster, instance, &config, variables);
        }
        Daemon::start_with(&self.cluster.state.join("tests"), instance, &config, variables)
    }

    /// Waits until an instance has published something.
    pub fn works(&self, daemon: &Daemon) {
        eventually("it works", Duration::from_secs(90), || {
            0.0 < daemon.metric("alluvium_files_total", &[])
        });
    }

    /// Waits until an instance owns everything.
    pub fn owns_all(&self, daemon: &Daemon) {
        let all = f64::from(PARTITIONS + 2 * COUNT_PARTITIONS);
        eventually("another one takes over", Duration::from_secs(90), || {
            all <= daemon.metric("alluvium_assigned_partitions", &[])
                && daemon.get("/readyz").is_some()
        });
    }

    /// Starts load, reader and watcher.
    pub fn begin(&self) -> Running {
        let (loading, reading) = (Arc::new(true.into()), Arc::new(true.into()));
        Running {
            load: self.load(&loading),
            reader: self.reader(&reading),
            watcher: self.watcher(&loading),
            loading,
            reading,
        }
    }

    /// Lines until told to stop; two hours of record time, so that an attempt has two files.
    fn load(&self, on: &Arc<AtomicBool>) -> JoinHandle<(Lines, i64)> {
        let (producer, topic) = (self.cluster.producer(), self.topic.clone());
        let on = Arc::clone(on);
        std::thread::spawn(move || {
            let (mut lines, mut line, mut sent) = (Lines::new(11, 300), String::new(), 0);
            // The same words as the line alone.
            let of = |line: &str, sent: i64| match sent % BAD_EVERY {
                0 => line.to_string(),
                _ => format!("{{\"\":\"{line}\"}}"),
            };
            while on.load(Ordering::SeqCst) {
                for _ in 0..20 {
                    lines.next(&mut line);
                    let millis = 1_700_000_000_000 + sent / 4 % 2 * 3_600_000;
                    let partition = (sent % i64::from(PARTITIONS)) as i32;
                    let value = of(&line, sent);
                    send(&producer, &topic, partition, value.as_bytes(), Some(millis));
                    sent += 1;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            flush(&producer);
            (lines, sent)
        })
    }

    /// What a read_committed consumer sums up while everything breaks around it.
    fn reader(&self, on: &Arc<AtomicBool>) -> JoinHandle<HashMap<String, u64>> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.cluster.bootstrap())
            .set("group.id", format!("{}-reader", self.name))
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let (on, counts) = (Arc::clone(on), self.counts.clone());
        std::thread::spawn(move || {
            consumer.subscribe(&[&counts]).unwrap();
            let (mut sums, mut last) = (HashMap::new(), Instant::now());
            while on.load(Ordering::SeqCst) || last.elapsed() < Duration::from_secs(5) {
                let Some(Ok(m)) = consumer.poll(Duration::from_millis(100)) else {
                    continue;
                };
                last = Instant::now();
                let value: serde_json::Value =
                    serde_json::from_slice(m.payload().unwrap()).unwrap();
                let word = value["word"].as_str().unwrap().to_string();
                *sums.entry(word).or_default() += value["count"].as_u64().unwrap();
            }
            sums
        })
    }

    /// Files that are visible are named by the ledger, at every moment; how many were seen.
    fn watcher(&self, on: &Arc<AtomicBool>) -> JoinHandle<usize> {
        let store = match &self.access {
            Some(access) => access.store(&self.cluster, &self.root()),
            None => self.cluster.store(&self.root()),
        };
        let (cluster, on) = (Arc::clone(&self.cluster), Arc::clone(on));
        let bad = format!("_quarantine/{}", self.topic);
        let of = |topic: &String| (topic.clone(), topic.clone());
        let topics = [of(&self.topic), (self.topic.clone(), bad), of(&self.counts)];
        std::thread::spawn(move || {
            let (mut named, mut read) = (BTreeSet::new(), BTreeSet::new());
            let mut checked = BTreeSet::new();
            while on.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(300));
                for (topic, directory) in &topics {
                    // First the files, then the ledger: an entry comes before its files.
                    let Ok(files) = cluster.runtime.block_on(tree(&*store, directory)) else {
                        continue; // The NameNode is away.
                    };
                    let new: Vec<String> =
                        files.into_iter().filter(|f| !checked.contains(f)).collect();
                    let names = read_names(&*store, topic, &mut read, &mut named);
                    if new.is_empty() || !matches!(cluster.runtime.block_on(names), Ok(true)) {
                        continue;
                    }
                    for file in new {
                        assert!(named.contains(&file), "{file} is visible, and no entry names it");
                        let _ = checked.insert(file);
                    }
                }
            }
            checked.len()
        })
    }
}

/// What goes on beside the incidents.
pub struct Running {
    loading: Arc<AtomicBool>,
    reading: Arc<AtomicBool>,
    load: JoinHandle<(Lines, i64)>,
    reader: JoinHandle<HashMap<String, u64>>,
    watcher: JoinHandle<usize>,
}

impl Running {
    /// Ends the load, lets a last instance finish, and compares everything with the input.
    pub fn finish(self, scene: &Scene) -> Outcome {
        self.loading.store(false, Ordering::SeqCst);
        let (lines, records) = self.load.join().unwrap();
        let Scene { cluster, name, topic, counts, .. } = scene;
        let last = scene.start("last", &[]);
        eventually("all counted and archived", Duration::from_secs(180), || {
            let archived = last.of_topic("alluvium_archive_position", topic);
            records as f64 <= cluster.position(name, topic) && records as f64 <= archived
        });
        cluster.all_published(counts, lines.total());
        let files = self.watcher.join().unwrap();
        self.reading.store(false, Ordering::SeqCst);
        let read = self.reader.join().unwrap();
        let published = cluster.read_topic(counts);
        last.archived_all(counts, &published);
        assert_eq!(last.stop(), 0);

        let root = match &scene.access {
            Some(_) => cluster.copied_root(name),
            None => scene.root(),
        };
        let raw = cluster.archive(&root, topic, topic);
        let each = records / i64::from(PARTITIONS);
        let want = (0..PARTITIONS).flat_map(|p| (0..each).map(move |o| (p, o)));
        let sent = cluster.read_topic(topic).into_iter();
        let sent = sent.map(|r| ((r.partition, r.offset), r.value.unwrap())).collect();
        assert_each_once(&raw.offsets_of(&sent), want);
        assert!(read == lines.expected(), "the reader's sums by word");
        assert!(cluster.published_words(counts) == lines.expected(), "published sums by word");
        let archived = cluster.archive(&root, counts, counts);
        assert!(archived.words() == lines.expected(), "archived sums by word");
        assert_eq!(archived.rows as usize, published.len());
        if scene.access.is_none() {
            let file = cluster.state.join("tests/last.toml");
            let (code, said) = alluvium(&["verify", "--config", file.to_str().unwrap()]);
            assert_eq!(code, 0, "{said}");
        }
        Outcome { records, files, bad: raw.bad }
    }
}
