//! A small archive, and what may happen to its files.

use std::sync::{Arc, LazyLock};

use serde_json::Value;

use crate::clients::encode::Encoder;
use crate::clients::store::{SMALL, Store};
use crate::common::config::{Config, HdfsOptions, Root};
use crate::engine::archive::files::footer;
use crate::engine::archive::ledger::{EntryTemplate, LedgerStore, new_attempt};
use crate::engine::archive::root::identity;
use crate::fakes::store::{Contents, Memory};
use crate::outside::audit::recount::Ledgers;
use crate::outside::audit::verify::verify;
use crate::outside::cli::locate::{explain, locate};
use crate::outside::cli::output::Answer;
use crate::outside::cli::{recount, verify as verify_command};
use crate::pure::count::output::WindowWriter;
use crate::pure::count::{CountKind, OutputFormat};
use crate::pure::formats::header::NAME;
use crate::pure::layout::cells::ColumnType;
use crate::pure::layout::columns::{Column, JsonColumns};
use crate::pure::layout::format::{
    AvroCodec, ColumnRows, Format, ParquetCodec, Rows, TextCodec, TextPolicy,
};
use crate::pure::layout::names::PartitionPaths;
use crate::pure::layout::rules::Fit;
use crate::pure::protocol::{AttemptId, Entry, EntryKind, FileRef};
use crate::pure::record::{Offset, OffsetRange, Record, Timestamp, TopicPartition};

const CONFIG: &str = r#"
[kafka]
bootstrap_servers = "b:9092"
group_id = "g"
[archive]
root = "file:///nowhere"
[mapping.m]
topics = ["or.ders"]
[mapping.m.wordcount]
output_topic = "counts"
"#;

/// When the archive was written: by the clock, because a repair writes entries by it, too.
pub(super) static NOW: LazyLock<i64> = LazyLock::new(|| jiff::Timestamp::now().as_millisecond());

const RAW: Rows = Rows::Raw { key: TextPolicy::Auto, value: TextPolicy::Auto };
pub(super) const PARQUET: Format = Format::Parquet(ParquetCodec::Zstd);

/// What the files of records are.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) format: Format,
    pub(super) rows: Rows,
}

impl Shape {
    pub(super) fn usual() -> Shape {
        Shape { format: PARQUET, rows: RAW }
    }

    /// Other formats whose rows say their offsets; declared columns stand in the place of the
    /// whole value, or beside it.
    pub(super) fn others() -> Vec<Shape> {
        let columns = |value| {
            let column = Column::new("n", None, ColumnType::Int64).unwrap();
            let columns = JsonColumns::new(vec![column]);
            Rows::Columns(Arc::new(ColumnRows { key: TextPolicy::Auto, value, columns }))
        };
        let beside = columns(Some(TextPolicy::Auto));
        let avro = Format::Avro(AvroCodec::Deflate);
        vec![
            Shape { format: avro, rows: RAW },
            Shape { format: LINES, rows: RAW },
            Shape { format: PARQUET, rows: beside.clone() },
            Shape { format: avro, rows: beside },
        ]
    }

    /// Whether its files say more of themselves than their rows do.
    pub(super) fn has_footer(&self) -> bool {
        matches!(self.format, Format::Parquet(_))
    }
}
pub(super) const LINES: Format = Format::JsonLines(TextCodec::Gzip);

pub(super) fn config() -> Config {
    let mut config = Config::parse(CONFIG, Some("i")).unwrap();
    let root = Root::Hdfs { url: "memory:".into(), options: HdfsOptions::default() };
    for mapping in &mut config.mappings {
        Arc::make_mut(mapping.archive.as_mut().unwrap()).root = root.clone();
        let count = Arc::get_mut(mapping.count.as_mut().unwrap()).unwrap();
        Arc::make_mut(count.archive.as_mut().unwrap()).root = root.clone();
    }
    config
}

/// The file of the first four records of partition 0, as a daemon wrote it that knew version 1 of
/// the columns: an archive has files of both versions, side by side.
const VERSION_1: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/words-v1.parquet"));

fn bytes_of(encoder: Encoder, about: &[(&'static str, String)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoder.finish(about, &mut |b| bytes.extend_from_slice(&b)).unwrap();
    bytes
}

/// Files by the names that the table has for them.
pub(super) const FILES: [(&str, &str); 10] = [
    ("data", "or.ders/hr=0/part-or.ders-0-0-00000000000000000004-00000000000000000008."),
    ("other", "or.ders/hr=0/part-or.ders-0-0-00000000000000000000-00000000000000000003."),
    ("staged", "_alluvium/staging/or.ders/0/1/00000000000000000002-"),
    ("counts", "counts/hr=0/part-counts-0-0-00000000000000000000-00000000000000000003.jsonl.gz"),
    ("entry", "_alluvium/ledger/or.ders/0/0/00000000000000000000.entry"),
    ("tail", "_alluvium/ledger/or.ders/0/0/00000000000000000004.entry"),
    ("second", "_alluvium/ledger/or.ders/0/1/00000000000000000000.entry"),
    ("genesis", "_alluvium/ledger/or.ders/0/0/genesis.entry"),
    ("counts-entry", "_alluvium/ledger/counts/0/0/00000000000000000000.entry"),
    ("identity", "_alluvium/identity"),
];

/// Two partitions of records, each with five windows of two seconds, of which four are closed; and
/// the counts of those.
pub(super) struct SampleArchive {
    pub(super) store: Memory,
    root: String,
    shape: Shape,
}

impl SampleArchive {
    pub(super) async fn new() -> SampleArchive {
        SampleArchive::of(&Shape::usual()).await
    }

    pub(super) async fn of(shape: &Shape) -> SampleArchive {
        let store = Memory::default();
        let root = identity(&store).await.unwrap();
        let archive = SampleArchive { store, root, shape: shape.clone() };
        let raw = |p| TopicPartition { topic: "or.ders".into(), partition: p };
        for partition in [0, 1] {
            archive.entry(&raw(partition), EntryKind::Genesis, (0, 0), Vec::new()).await;
        }
        let old = VERSION_1.to_vec();
        match (shape.format, &shape.rows) {
            (Format::Parquet(_), Rows::Raw { .. }) => {
                archive.file(&raw(0), PARQUET, old, 0..4, Some((0, 3_000)), true).await;
            }
            _ => archive.records(&raw(0), 0..4, 1_000, true).await,
        }
        archive.records(&raw(0), 4..9, 1_000, true).await;
        archive.records(&raw(1), 0..2, 2_000, true).await;
        archive.records(&raw(1), 2..5, 2_000, false).await;
        archive.counts().await;
        archive
    }

    pub(super) async fn records(
        &self,
        tp: &TopicPartition,
        offsets: std::ops::Range<i64>,
        step: i64,
        publish: bool,
    ) {
        let mut encoder = Encoder::new(self.shape.format, &self.shape.rows, tp).unwrap();
        for offset in offsets.clone() {
            let timestamp = Timestamp::Create(offset * step);
            // A record without its columns has the same word as the others.
            let fit = match &self.shape.rows {
                Rows::Columns(of) => Fit::Cells(of.columns.no_row()),
                _ => Fit::Raw,
            };
            let value = Some(&b"word"[..]);
            let (offset, key) = (Offset(offset), None);
            encoder.append(&Record { offset, timestamp, key, value, headers: &[] }, &fit).unwrap();
        }
        let times = (offsets.start * step, (offsets.end - 1) * step);
        let (from, last) = (Offset(offsets.start), Offset(offsets.end - 1));
        let attempt = new_attempt();
        let about = footer(&self.template(tp), attempt, from, (from, last));
        let bytes = bytes_of(encoder, &about);
        let format = self.shape.format;
        self.attempt(attempt, tp, format, bytes, offsets, Some(times), publish).await;
    }

    async fn counts(&self) {
        let tp = TopicPartition { topic: "counts".into(), partition: 0 };
        self.entry(&tp, EntryKind::Genesis, (0, 0), Vec::new()).await;
        let mut encoder = Encoder::new(LINES, &Rows::Counts, &tp).unwrap();
        for i in 0..4 {
            let range = OffsetRange { from: Offset(0), to: Offset(9) };
            let (window, range) = ((i * 2_000, i * 2_000 + 2_000), range);
            let kind = CountKind::Final;
            let mut writer = WindowWriter::new(OutputFormat::Json, window, kind, &tp, range, None);
            let value = writer.value("word", 3).to_string();
            let headers = [(NAME.as_bytes(), Some(writer.header().as_bytes()))];
            encoder
                .append(
                    &Record {
                        offset: Offset(i),
                        timestamp: Timestamp::Create(window.1),
                        key: Some(b"word"),
                        value: Some(value.as_bytes()),
                        headers: &headers,
                    },
                    &Fit::Raw,
                )
                .unwrap();
        }
        self.file(&tp, LINES, bytes_of(encoder, &[]), 0..4, None, true).await;
    }

    async fn file(
        &self,
        tp: &TopicPartition,
        format: Format,
        bytes: Vec<u8>,
        offsets: std::ops::Range<i64>,
        times: Option<(i64, i64)>,
        publish: bool,
    ) {
        self.attempt(new_attempt(), tp, format, bytes, offsets, times, publish).await;
    }

    #[allow(clippy::too_many_arguments, reason = "what an attempt consists of")]
    async fn attempt(
        &self,
        attempt: AttemptId,
        tp: &TopicPartition,
        format: Format,
        bytes: Vec<u8>,
        offsets: std::ops::Range<i64>,
        times: Option<(i64, i64)>,
        publish: bool,
    ) {
        let paths = PartitionPaths::new(&tp.topic, 0, tp.partition);
        let (first, last) = (Offset(offsets.start), Offset(offsets.end - 1));
        let name = paths.file(first, last, format.extension());
        let file = FileRef {
            staged: "0.staged".into(),
            path: format!("{}/hr=0/{name}", tp.topic),
            rows: (offsets.end - offsets.start) as u64,
            bytes: bytes.len() as u64,
            checksum: format!("{:08x}", crc32c::crc32c(&bytes)),
            first_offset: first,
            last_offset: last,
            min_time: times.map(|t| t.0),
            max_time: times.map(|t| t.1),
        };
        let range = (offsets.start, offsets.end);
        let (kind, files) = (EntryKind::Data, vec![(file, bytes)]);
        let (ledger, entry) = self.entry_of(attempt, tp, kind, range, files).await;
        if publish {
            ledger.publish(&entry).await.unwrap();
        }
    }

    /// Stages an attempt of a partition, sealed and not appended, as an owner leaves it that has
    /// died.
    pub(super) async fn seal(&self, tp: &TopicPartition, offsets: std::ops::Range<i64>) -> String {
        let paths = PartitionPaths::new(&tp.topic, 0, tp.partition);
        let ledger = LedgerStore::new(Arc::new(self.store.clone()), paths);
        let (from, to) = (Offset(offsets.start), Offset(offsets.end));
        let mut entry = self.template(tp).entry(EntryKind::Data, (from, to), *NOW);
        entry.roll = Some("size".into());
        let (first, last) = (from, Offset(offsets.end - 1));
        let name = ledger.paths.file(first, last, PARQUET.extension());
        let path = format!("{}/hr=0/{name}", tp.topic);
        entry.files.push(FileRef {
            staged: "0.staged".into(),
            path: path.clone(),
            rows: 1,
            bytes: 4,
            checksum: String::new(),
            first_offset: first,
            last_offset: last,
            min_time: None,
            max_time: None,
        });
        let mut file = ledger.stage(entry.key(), entry.attempt, "0.staged").await.unwrap();
        file.write(b"rows"[..].into()).await.unwrap();
        file.close().await.unwrap();
        ledger.write_manifest(&entry).await.unwrap();
        path
    }

    fn template(&self, tp: &TopicPartition) -> EntryTemplate {
        EntryTemplate {
            topic: tp.topic.to_string(),
            incarnation: 0,
            partition: tp.partition,
            root: self.root.clone(),
            topic_id: "id".into(),
            config: "89abcdef".into(),
        }
    }

    pub(super) async fn entry(
        &self,
        tp: &TopicPartition,
        kind: EntryKind,
        range: (i64, i64),
        files: Vec<(FileRef, Vec<u8>)>,
    ) -> (LedgerStore, Entry) {
        self.entry_of(new_attempt(), tp, kind, range, files).await
    }

    async fn entry_of(
        &self,
        attempt: AttemptId,
        tp: &TopicPartition,
        kind: EntryKind,
        range: (i64, i64),
        files: Vec<(FileRef, Vec<u8>)>,
    ) -> (LedgerStore, Entry) {
        let mut entry = self.template(tp).entry(kind, (Offset(range.0), Offset(range.1)), *NOW);
        entry.attempt = attempt;
        match kind {
            EntryKind::Data => entry.roll = Some("size".into()),
            _ => entry.cause = Some("start = Earliest".into()),
        }
        let paths = PartitionPaths::new(&tp.topic, 0, tp.partition);
        let ledger = LedgerStore::new(Arc::new(self.store.clone()), paths);
        ledger.store.make_dirs(&ledger.paths.ledger()).await.unwrap();
        for (file, bytes) in files {
            let staged = ledger.paths.staged(entry.key(), entry.attempt, &file.staged);
            let _ = self.store.lock().files.insert(staged, bytes);
            entry.files.push(file);
        }
        ledger.write_manifest(&entry).await.unwrap();
        let _ = ledger.append(entry.key(), entry.attempt).await.unwrap();
        (ledger, entry)
    }

    /// The path of one of [`FILES`], or the path itself.
    pub(super) fn path(&self, name: &str) -> String {
        let Some((_, path)) = FILES.iter().find(|(n, _)| *n == name) else { return name.into() };
        let store = self.store.lock();
        let mut paths = store.files.keys().filter(|p| p.starts_with(path));
        paths.next().expect(name).clone()
    }

    /// What the four commands say, asked for this record and this file.
    pub(super) async fn ask(
        &self,
        now: i64,
        (topic, partition, offset): Of,
        path: &str,
    ) -> [Answer; 4] {
        let (config, store) = (config(), &self.store);
        let report = verify(store, &config, now, &|_, _| ()).await.unwrap();
        let code = if report.findings() == 0 { 0 } else { 65 };
        let lines = verify_command::lines(&report, true);
        let verified = Answer { lines, code, ..Answer::default() };
        let located = locate(store, topic, partition, offset).await.unwrap().unwrap_or_else(|| {
            Answer { lines: vec!["no root has a ledger".into()], code: 64, ..Answer::default() }
        });
        let explained = explain(store, path).await.unwrap();
        let stores: [Arc<dyn Store>; 1] = [Arc::new(store.clone())];
        let ledgers = Ledgers::read(&stores, &config).await.unwrap();
        let (mapping, count) = recount::recountable(&config).next().unwrap();
        let all = i64::MIN..i64::MAX;
        let counted = ledgers.recount(&config, mapping, count, all).await.unwrap();
        let code = if counted.is_equal() { 0 } else { 65 };
        let recounted = Answer { lines: recount::lines(&counted), code, ..Answer::default() };
        [verified, located, explained, recounted]
    }
}

pub(super) type Of = (&'static str, i32, i64);

/// What is done to a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Damage {
    Delete,
    /// The store has the file, and does not give its bytes.
    Lose,
    /// It has more bytes than any file of a ledger.
    Bloat,
    /// Nothing of this directory may be listed or read.
    Close(&'static str),
    /// The names in this directory may not be listed.
    Unlist(&'static str),
    /// Everything whose path begins so.
    DeleteAll(&'static str),
    Truncate,
    Empty,
    Grow,
    Flip,
    Swap(&'static str),
    CopyTo(&'static str),
    MoveTo(&'static str),
    /// A directory stands in its place.
    Replace,
    Edit(&'static str, &'static str),
}
pub(super) use Damage::{
    Bloat, Close, CopyTo, Delete, DeleteAll, Edit, Empty, Flip, Grow, Lose, MoveTo, Replace, Swap,
    Truncate, Unlist,
};

impl Damage {
    /// Returns the path that is then to be explained.
    pub(super) fn of(self, path: &str, archive: &SampleArchive) -> String {
        let with = if let Swap(other) = self { archive.path(other) } else { String::new() };
        let mut contents = archive.store.lock();
        let Contents { files, directories, unreadable, closed, unlisted, .. } = &mut *contents;
        let bytes = files.get_mut(path).unwrap();
        match self {
            Delete => drop(files.remove(path)),
            Lose => drop(unreadable.insert(path.into())),
            Close(directory) => drop(closed.insert(directory.into())),
            Unlist(directory) => drop(unlisted.insert(directory.into())),
            Bloat => *bytes = vec![0; usize::try_from(SMALL).unwrap() + 1],
            Replace => {
                let _ = (files.remove(path), directories.insert(path.into()));
            }
            DeleteAll(begins) => {
                files.retain(|path, _| !path.starts_with(begins));
                directories.retain(|path| !path.starts_with(begins));
            }
            Truncate => bytes.truncate(bytes.len() - 2),
            Empty => bytes.clear(),
            Grow => bytes.push(0),
            Flip => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x20;
            }
            Swap(_) => {
                let one = bytes.clone();
                let other = files.insert(with, one).unwrap();
                let _ = files.insert(path.into(), other);
            }
            CopyTo(to) | MoveTo(to) => {
                let to = to.replace("parquet", archive.shape.format.extension());
                let copy = bytes.clone();
                if let MoveTo(_) = self {
                    let _ = files.remove(path);
                }
                let _ = files.insert(to.clone(), copy);
                let ends = to.match_indices('/').map(|(at, _)| to[..at].to_string());
                directories.extend(ends);
                return to;
            }
            Edit(field, value) => {
                let mut entry: Value = serde_json::from_slice(bytes).unwrap();
                let value = serde_json::from_str(value).unwrap();
                match entry.pointer_mut(field) {
                    Some(at) => *at = value,
                    None => panic!("no {field}"),
                }
                *bytes = serde_json::to_vec(&entry).unwrap();
            }
        }
        path.into()
    }
}
