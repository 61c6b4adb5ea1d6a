//! What must hold, computed from the input alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;

use crate::clients::encode::read_back::rows_as_json;
use crate::engine::archive::ledger::LedgerStore;
use crate::engine::worker::lives::topics::{SHAPE, Shape, UNFIT, all};
use crate::fakes::brokers::Brokers;
use crate::fakes::store::Memory;
use crate::pure::layout::names::PartitionPaths;
use crate::pure::layout::rules::OnBadRecord;
use crate::pure::protocol::{Entry, EntryKey, EntryKind};
use crate::pure::record::{Offset, TopicPartition};

/// The entries of one partition, from genesis on, as they tile.
fn ledger(store: &Memory, tp: &TopicPartition) -> Vec<Entry> {
    let paths = PartitionPaths::new(&tp.topic, 0, tp.partition);
    let contents = store.lock();
    let read = |key: EntryKey| {
        let text = contents.files.get(&paths.entry(key))?;
        Some(Entry::decode(key, text).expect("an entry of ours"))
    };
    let mut entries: Vec<Entry> = Vec::new();
    let mut key = EntryKey::Genesis;
    while let Some(entry) = read(key) {
        key = EntryKey::At(entry.to);
        entries.push(entry);
    }
    let prefix = format!("{}/", paths.ledger());
    let names = contents.files.keys().filter(|p| p.starts_with(&prefix)).count();
    assert_eq!(names, entries.len(), "{tp}: an entry stands outside of the chain");
    entries
}

fn files(store: &Memory) -> BTreeMap<String, Vec<u8>> {
    let contents = store.lock();
    let data = contents.files.iter().filter(|(p, _)| !p.starts_with("_alluvium/"));
    data.map(|(p, b)| (p.clone(), b.clone())).collect()
}

/// I3, at every moment: readers see nothing that the ledger does not name.
#[derive(Default)]
pub(super) struct Visible {
    checked: BTreeSet<String>,
}

impl Visible {
    pub(super) fn check(&mut self, store: &Memory) {
        let visible = {
            let contents = store.lock();
            let data = contents.files.keys().filter(|p| !p.starts_with("_alluvium/"));
            data.filter(|p| !self.checked.contains(*p)).cloned().collect::<Vec<String>>()
        };
        if visible.is_empty() {
            return;
        }
        let entries = archives().into_iter().flat_map(|tp| ledger(store, &tp));
        let named: BTreeSet<String> =
            entries.flat_map(|e| e.files.into_iter().map(|f| f.path)).collect();
        for path in visible {
            assert!(named.contains(&path), "{path} is visible, and no entry names it");
            let _ = self.checked.insert(path);
        }
    }
}

/// A line of text does not say its offset; that of a line of input is its number.
fn with_offset(row: Value) -> Value {
    let Some(line) = row.as_str() else { return row };
    let number = line.rsplit_once(" n").and_then(|(_, n)| n.parse().ok()).expect("a line of ours");
    let offset: i64 = number;
    serde_json::json!({ "offset": offset, "value": line })
}

/// Rows of the published files of one partition: offset to value, and how often each came.
pub(super) fn archived(store: &Memory, tp: &TopicPartition) -> BTreeMap<i64, Vec<Value>> {
    let files = files(store);
    let mut rows: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
    for entry in ledger(store, tp).iter().filter(|e| e.kind == EntryKind::Data) {
        for file in &entry.files {
            let Some(bytes) = files.get(&file.path) else {
                continue;
            };
            assert_eq!(bytes.len() as u64, file.bytes, "{}", file.path);
            let found = rows_as_json(&file.path, bytes);
            assert_eq!(found.len() as u64, file.rows, "{}", file.path);
            assert_eq!(format!("{:08x}", crc32c::crc32c(bytes)), file.checksum, "{}", file.path);
            for row in found {
                let row = with_offset(row);
                let offset = row["offset"].as_i64().expect("an offset");
                assert!(entry.from <= Offset(offset) && Offset(offset) < entry.to, "{row}");
                rows.entry(offset).or_default().push(row);
            }
        }
    }
    rows
}

pub(super) type Sums = BTreeMap<(i64, String), i64>;

fn counted(brokers: &Brokers) -> Sums {
    let mut sums = Sums::new();
    for row in &brokers.lock().logs[&all()[2]].rows {
        let (_, header) = row.header.as_ref().expect("a count has a header");
        let start = header.split(';').nth(1).and_then(|s| s.parse().ok()).expect("a window");
        let value: Value = serde_json::from_slice(&row.value).expect("JSON");
        let word = value["word"].as_str().expect("a word").to_string();
        *sums.entry((start, word)).or_default() += value["count"].as_i64().expect("a count");
    }
    sums
}

/// A window and word whose merged count was published as final more than once.
fn twice_final(brokers: &Brokers) -> Option<String> {
    let mut seen = BTreeSet::new();
    let state = brokers.lock();
    let merged = state.logs[&all()[2]].rows.iter().filter_map(|row| {
        let (_, header) = row.header.as_ref()?;
        let fields: Vec<&str> = header.split(';').collect();
        (fields[0] == "2" && fields[3] == "final").then(|| format!("{} {:?}", fields[1], row.key))
    });
    merged.into_iter().find(|name| !seen.insert(name.clone()))
}

/// Files that lie in the staging directory of any topic.
pub(super) fn staged(store: &Memory) -> Vec<String> {
    let contents = store.lock();
    let staging = |path: &&String| path.starts_with("_alluvium/staging/");
    contents.files.keys().filter(staging).cloned().collect()
}

/// What is archived; the partials topic is not.
fn archives() -> Vec<TopicPartition> {
    all().into_iter().take(3).collect()
}

pub(super) fn expected(brokers: &Brokers) -> Sums {
    let mut sums = Sums::new();
    let state = brokers.lock();
    for tp in &all()[..2] {
        for row in &state.logs[tp].rows {
            let line = std::str::from_utf8(&row.value).expect("a line");
            for word in line.split_whitespace() {
                let start = row.millis - row.millis % 10_000;
                *sums.entry((start, word.to_string())).or_default() += 1;
            }
        }
    }
    sums
}

/// Whether everything is counted and archived; more than once is [`check`]'s business.
pub(super) fn is_whole(brokers: &Brokers, store: &Memory) -> bool {
    let total = |sums: &Sums| sums.values().sum::<i64>();
    let counted = total(&expected(brokers)) <= total(&counted(brokers));
    let rows = |tp| brokers.lock().logs[tp].rows.iter().filter(|r| is_a_row(tp, &r.value)).count();
    counted && archives().iter().all(|tp| rows(tp) <= archived(store, tp).len())
}

/// Whether a record becomes a row, of the archive or of the quarantine.
fn is_a_row(tp: &TopicPartition, value: &[u8]) -> bool {
    tp.topic.as_ref() != "in" || UNFIT.get() != Some(OnBadRecord::Skip) || value.starts_with(b"[")
}

/// What the next owners do with what is left in staging.
pub(super) async fn settle_all(store: &Memory) {
    for tp in archives() {
        let tail = ledger(store, &tp).last().map(Entry::head);
        let paths = PartitionPaths::new(&tp.topic, 0, tp.partition);
        let left = LedgerStore::new(Arc::new(store.clone()), paths).settle_all(tail).await;
        assert_eq!(left.expect("settled"), [], "{tp}: an attempt that may still be appended");
    }
}

/// Everything, exactly once.
pub(super) fn check(brokers: &Brokers, store: &Memory) {
    assert_eq!(counted(brokers), expected(brokers), "sums by window and word");
    assert_eq!(twice_final(brokers), None, "two final counts");
    for tp in archives() {
        let rows = archived(store, &tp);
        for row in &brokers.lock().logs[&tp].rows {
            let found = rows.get(&row.offset).map_or(&[][..], Vec::as_slice);
            let times = usize::from(is_a_row(&tp, &row.value));
            assert_eq!(found.len(), times, "{tp}: offset {} is archived so often", row.offset);
            if times == 0 {
                continue;
            }
            if tp.topic.as_ref() == "in" {
                let line = std::str::from_utf8(&row.value).expect("a line");
                if SHAPE.get() != Shape::Lines {
                    check_shaped(&found[0], line);
                    continue;
                }
                let json = serde_json::from_str(line).ok();
                let error = found[0].get("error").is_some();
                assert_eq!(error, UNFIT.get().is_some() && json.is_none(), "{tp}: {line}");
                let value: Value = json.unwrap_or_else(|| line.into());
                assert_eq!(found[0]["value"], value, "{tp}: offset {}", row.offset);
            } else {
                assert_eq!(found[0]["word"].as_str(), row.key.as_deref(), "{tp}");
            }
        }
        let staging = PartitionPaths::new(&tp.topic, 0, tp.partition).staging();
        let contents = store.lock();
        let left: Vec<&String> =
            contents.files.keys().filter(|p| p.starts_with(&staging)).collect();
        assert!(left.is_empty(), "left in staging: {left:?}");
    }
}

/// A row of another format than plain JSON lines has its record, whole.
fn check_shaped(row: &Value, line: &str) {
    let shape = SHAPE.get();
    assert_eq!(row.get("error").is_some(), !shape.fits(line), "{shape:?}: {line}");
    assert_eq!(row["value"], line, "{shape:?}");
    let is_typed = matches!(shape, Shape::Columns | Shape::AvroColumns | Shape::LineColumns);
    if is_typed && shape.fits(line) {
        let json: Value = serde_json::from_str(line).expect("a JSON object");
        assert_eq!(row["line"], json["line"], "{shape:?}");
    }
}

/// What there is, for whoever has to find out what is missing.
pub(super) fn explain(brokers: &Brokers, store: &Memory) -> String {
    let mut text = String::new();
    for tp in all() {
        let log = brokers.lock().logs[&tp].end;
        let committed = brokers.lock().committed.get(&tp).cloned();
        let _ = writeln!(text, "{tp}: log to {log}, committed {committed:?}");
        for e in ledger(store, &tp) {
            let _ = writeln!(text, "  {:?} [{}, {}) {} files", e.kind, e.from, e.to, e.files.len());
        }
    }
    let _ = writeln!(text, "counted {:?}\nexpected {:?}", counted(brokers), expected(brokers));
    text.extend(store.lock().files.keys().map(|path| format!("  {path}\n")));
    text
}
