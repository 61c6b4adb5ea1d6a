//! Paths that depend on records, and attempts that end by times, over a store in memory.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::common::clock::Now;
use crate::common::config::{ArchiveConfig, Config};
use crate::engine::archive::commands::ArchiveCommand;
use crate::engine::archive::files::Files;
use crate::engine::archive::ledger::{EntryTemplate, LedgerStore};
use crate::engine::archive::open::OpenFiles;
use crate::engine::archive::task::{Archiver, Event};
use crate::engine::topics::Role;
use crate::fakes::store::Memory;
use crate::pure::formats::entry::EntryKind;
use crate::pure::layout::RollReason;
use crate::pure::layout::names::PartitionPaths;
use crate::pure::layout::roll::EventTimes;
use crate::pure::protocol::AttemptId;
use crate::pure::record::{Offset, Record, Timestamp, TopicPartition};

struct Scene {
    role: Role,
    archive: Arc<ArchiveConfig>,
    of: TopicPartition,
    archiver: Archiver,
    open: OpenFiles,
}

impl Scene {
    /// A partition of the topic `app-red-orders` with these keys of its archive.
    fn new(keys: &str) -> Scene {
        let text = format!(
            "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\nroot = \
             \"file:///x\"\nformat = \"jsonl\"\ncodec = \"none\"\n{keys}\n[mapping.m]\n\
             topics_regex = \"app-(?<team>[a-z]+)-.+\""
        );
        let config = Config::parse(&text, Some("i")).expect("a good configuration");
        let of = TopicPartition { topic: "app-red-orders".into(), partition: 0 };
        let store = Arc::new(Memory::default());
        let ledger =
            LedgerStore::new(Arc::<Memory>::clone(&store), PartitionPaths::new(&of.topic, 0, 0));
        let role = Role::of(&config, &of.topic, |_| Some((store, "id".into()))).unwrap();
        let archive = role.archive.clone().unwrap();
        let open = OpenFiles::default().at_most("m", 8);
        let archiver = Archiver::spawn(ledger, open.clone(), |_| {});
        Scene { role, archive, of, archiver, open }
    }

    fn files(&self, now: Now, times: EventTimes) -> Files {
        let files = Files::new(AttemptId(7), Offset(0), &self.of, &self.open, &self.archiver, now);
        files.beginning(&self.archive, now, times)
    }

    fn add(&self, files: &mut Files, offset: i64, at: i64, value: &str, now: Now) {
        let (timestamp, value) = (Timestamp::Create(at), Some(value.as_bytes()));
        let record = Record { offset: Offset(offset), timestamp, key: None, value, headers: &[] };
        let _ = files.append(&record, &self.archive, &self.archiver, now).unwrap();
    }

    /// The directories and their rows.
    fn finish(&self, files: Files) -> Vec<(String, u64)> {
        let template = EntryTemplate::new(&self.of, 0, &self.role, "");
        let paths = PartitionPaths::new(&self.of.topic, 0, 0);
        let refs = files.finish(&template, &paths, &self.archive, &self.archiver).unwrap();
        let directory = |path: &str| path.rsplit_once('/').unwrap().0.to_string();
        refs.iter().map(|f| (directory(&f.path), f.rows)).collect()
    }
}

fn clock(millis: i64) -> Now {
    Now { millis, ..Now::read() }
}

const HOUR: i64 = 3_600_000;

/// Every record is in exactly one file, wherever its values lead, and there are no more of them
/// than are allowed.
#[tokio::test]
async fn records_lie_by_their_values_and_none_is_lost() {
    let scene = Scene::new(
        "path = \"{capture:team}/{topic}/c={field:c}/dt=%F\"\nmax_values = 2\n\
         columns = {}\ntime = { field = \"at\", unit = \"s\" }",
    );
    let now = clock(1_795_366_982_000);
    let mut files = scene.files(now, EventTimes::default());
    for (offset, value) in (0..).zip([
        r#"{"c":"de","at":86400}"#,
        r#"{"c":"fr","at":86400}"#,
        r#"{"c":"it","at":86400}"#,
        r#"{"c":"de","at":172800}"#,
        r#"{"c":"es"}"#,
        r#"{"c":"de","at":"soon"}"#,
        r#"{"c":"de","at":86401}"#,
        "no JSON",
    ]) {
        scene.add(&mut files, offset, 0, value, now);
    }
    let null = "__HIVE_DEFAULT_PARTITION__";
    let of = |rest: &str, rows| (format!("red/app-red-orders/{rest}"), rows);
    let want = [
        of("c=de/dt=1970-01-02", 2),
        of("c=fr/dt=1970-01-02", 1),
        of("c=__OVERFLOW__/dt=1970-01-02", 1),
        of("c=de/dt=1970-01-03", 1),
        of(&format!("c=__OVERFLOW__/dt={null}"), 2),
        of(&format!("c=de/dt={null}"), 1),
    ];
    assert_eq!(scene.finish(files), want);
}

/// The clock's time is that of the batch; Kafka's is in the file all the same.
#[tokio::test]
async fn a_path_has_the_time_of_arrival() {
    let scene = Scene::new("path = \"{topic}/dt=%F\"\ntime = \"arrival\"");
    let now = clock(1_795_366_982_000);
    let mut files = scene.files(now, EventTimes::default());
    scene.add(&mut files, 0, 5, "x", now);
    assert_eq!(scene.finish(files), [("app-red-orders/dt=2026-11-22".to_string(), 1)]);
}

#[tokio::test]
async fn an_attempt_ends_at_the_next_point_of_the_clocks() {
    let scene = Scene::new("timezone = \"Asia/Kathmandu\"\n[archive.roll]\nschedule = \"1h\"");
    // A quarter past each full hour of UTC.
    let now = clock(10 * HOUR);
    let mut files = scene.files(now, EventTimes::default());
    scene.add(&mut files, 0, 0, "x", now);
    let left = Duration::from_secs(1_800);
    // Until 1986, clocks were half an hour ahead of a full hour there.
    assert_eq!(scene.archive.roll.due_in(files.open(now.instant)), left);
    let roll = |after| scene.archive.roll.due(files.open(now.instant + after));
    assert_eq!(roll(left - Duration::from_millis(1)), None);
    assert_eq!(roll(left), Some(RollReason::Schedule));
}

#[tokio::test]
async fn an_attempt_ends_when_times_have_left_its_directory() {
    let scene = Scene::new("path = \"{topic}/%F-%H\"\n[archive.roll]\nlateness = \"5m\"");
    let now = clock(100 * HOUR);
    let due = |files: &Files| scene.archive.roll.due(files.open(now.instant));
    let mut files = scene.files(now, EventTimes::default());
    for (offset, at, want) in [
        (0, 5 * HOUR, None),
        (1, 6 * HOUR, None),
        (2, 6 * HOUR + 299_999, None),
        (3, 6 * HOUR + 300_000, Some(RollReason::EventTime)),
    ] {
        scene.add(&mut files, offset, at, "x", now);
        assert_eq!(due(&files), want, "{offset}");
    }
    let times = files.times();
    assert_eq!(scene.finish(files).len(), 2);
    // Late records have a file in the next attempt, and do not end it.
    let mut files = scene.files(now, times);
    scene.add(&mut files, 4, 5 * HOUR, "x", now);
    scene.add(&mut files, 5, 6 * HOUR + 300_000, "x", now);
    assert_eq!(due(&files), None);
}

/// The role of the topic `in`, whose files grow in four directories at most.
fn role(store: &Memory) -> Role {
    let text = r#"
[kafka]
bootstrap_servers = "b:9092"
group_id = "g"
[archive]
root = "file:///nowhere"
format = "jsonl"
codec = "none"
roll = { open_files = 4 }
[mapping.m]
topics = ["in"]
"#;
    let config = Config::parse(text, Some("i")).expect("a good configuration");
    let store = Arc::new(store.clone());
    Role::of(&config, "in", |_| Some((store, "id".into()))).expect("a mapping names it")
}

#[tokio::test]
async fn a_thousand_directories_are_a_thousand_files_and_few_of_them_are_open() {
    let memory = Memory::default();
    let (role, of) = (role(&memory), TopicPartition { topic: "in".into(), partition: 0 });
    let archive = role.archive.clone().expect("it is archived");
    let paths = PartitionPaths::new("in", 0, 0);
    let ledger = LedgerStore::new(Arc::new(memory.clone()), paths.clone());
    let (sender, events) = channel();
    let open = OpenFiles::default().at_most("m", 4);
    let tell = move |event| sender.send(event).expect("it is listened to");
    let archiver = Archiver::spawn(ledger, open.clone(), tell);
    let (id, now) = (AttemptId(7), Now::read());
    let mut files = Files::new(id, Offset(0), &of, &open, &archiver, now);
    let mut random = fastrand::Rng::with_seed(1);
    for n in 0..5_000 {
        // Hours of forty days, in no order.
        let timestamp = Timestamp::Create(random.i64(0..1_000) * 3_600_000);
        let value = Some(&b"value"[..]);
        let record = Record { offset: Offset(n), timestamp, key: None, value, headers: &[] };
        files.append(&record, &archive, &archiver, now).unwrap();
    }
    let template = EntryTemplate::new(&of, 0, &role, "");
    let refs = files.finish(&template, &paths, &archive, &archiver).unwrap();
    let mut entry = template.entry(EntryKind::Data, (Offset(0), Offset(5_000)), 0);
    entry.attempt = id;
    entry.files = refs.clone();
    archiver.send(ArchiveCommand::Seal(Box::new(entry)));
    let event = loop {
        match events.try_recv() {
            Ok(event) => break event,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert!(matches!(event, Event::Sealed(sealed) if sealed == id), "{event:?}");
    assert_eq!(archiver.under_way(), 0);
    let rows: u64 = refs.iter().map(|f| f.rows).sum();
    let memory = memory.lock();
    assert_eq!((rows, refs.len()), (5_000, memory.files.len() - 1), "and the manifest");
    assert!(980 < refs.len(), "{} directories", refs.len());
    // Three that grow, and a complete one on its way; or the manifest.
    assert!(memory.most_open <= 4, "{} files were open", memory.most_open);
    assert_eq!(open.growing(), 0, "nothing grows any more");
}

/// Each value is known, has a directory whose name has it, and a record that waits: the budget
/// counts all three of them.
#[tokio::test]
async fn values_and_their_directories_are_counted_as_memory() {
    const VALUES: i64 = 1_000;
    let needed = |length: usize| {
        let scene = Scene::new("path = \"{topic}/c={field:c}\"\nmax_values = 5000");
        let now = clock(1_795_366_982_000);
        let mut files = scene.files(now, EventTimes::default());
        for n in 0..VALUES {
            scene.add(&mut files, n, 0, &format!("{{\"c\":\"{n:0>length$}\"}}"), now);
        }
        assert_eq!(files.open(now.instant).files as i64, VALUES);
        files.memory_bytes() as i64
    };
    // Records of so few bytes wait, and have no encoders.
    let (short, long) = (needed(4), needed(22));
    // Eighteen bytes more: of the value, of the directory and of the record.
    assert!(VALUES * 18 * 3 <= long - short, "{short} {long}");
    // Beside what differs: a place in each of two tables, and the file itself.
    assert!(VALUES * 200 <= short, "{short}");
}
