//! The oracle: what lies in a store, read by ledger and by listing, and whether it is everything
//! once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use alluvium::testing::Entry;
use alluvium::testing::{Store, StoreError};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// One record, as anybody sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadBack {
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Where these records end, by partition.
pub fn ends_of(records: &[ReadBack]) -> BTreeMap<i32, i64> {
    let mut ends = BTreeMap::new();
    for r in records {
        let end: &mut i64 = ends.entry(r.partition).or_default();
        *end = (*end).max(r.offset + 1);
    }
    ends
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
    /// (partition, offset) of every line of JSON lines.
    pub lines: Vec<(i32, i64)>,
    /// Entries whose files are text.
    pub texts: Vec<Text>,
    /// Rows of the quarantine, in every format.
    pub bad: u64,
}

/// An entry whose files are text: lines do not say their offsets.
#[derive(Default)]
pub struct Text {
    pub partition: i32,
    pub from: i64,
    pub to: i64,
    /// Of all files of the entry.
    pub lines: Vec<Vec<u8>>,
}

impl Text {
    /// The offsets, if the lines are the values of the records that have them.
    ///
    /// # Panics
    /// A record is missing, or doubled.
    fn offsets(&self, records: &HashMap<(i32, i64), Vec<u8>>) -> Vec<(i32, i64)> {
        let offsets: Vec<_> = (self.from..self.to).map(|o| (self.partition, o)).collect();
        let mut want: Vec<&[u8]> = offsets.iter().map(|at| records[at].as_slice()).collect();
        let mut lines: Vec<&[u8]> = self.lines.iter().map(Vec::as_slice).collect();
        want.sort_unstable();
        lines.sort_unstable();
        let Text { partition, from, to, .. } = self;
        assert!(lines == want, "the lines of [{from}, {to}) of partition {partition}");
        offsets
    }
}

/// Every line of a file, without what ends it.
fn lines_of(path: &str, bytes: &[u8]) -> Vec<Vec<u8>> {
    let text = match path.rsplit('.').next().unwrap() {
        "gz" => {
            let mut text = Vec::new();
            let mut decoder = flate2::read::MultiGzDecoder::new(bytes);
            let _ = std::io::Read::read_to_end(&mut decoder, &mut text).unwrap();
            text
        }
        "zst" => zstd::stream::decode_all(bytes).unwrap(),
        _ => bytes.to_vec(),
    };
    text.split_inclusive(|b| *b == b'\n').map(|l| l.strip_suffix(b"\n").unwrap().into()).collect()
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
        all.extend(&self.lines);
        all.sort_unstable();
        all
    }

    /// As [`Archived::offsets`], with those of text, whose lines are compared with the records.
    pub fn offsets_of(&self, records: &HashMap<(i32, i64), Vec<u8>>) -> Vec<(i32, i64)> {
        let mut all = self.offsets();
        all.extend(self.texts.iter().flat_map(|text| text.offsets(records)));
        all.sort_unstable();
        all
    }

    fn read_file(&mut self, path: &str, bytes: bytes::Bytes, text: &mut Text) {
        match path.rsplit_once('/').unwrap().1 {
            name if name.ends_with(".parquet") => {
                let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build();
                self.batches.extend(reader.unwrap().map(Result::unwrap));
            }
            name if name.ends_with(".avro") => {
                let reader = arrow_avro::reader::ReaderBuilder::new().build(&*bytes).unwrap();
                self.batches.extend(reader.map(Result::unwrap));
            }
            name if name.contains(".jsonl") => {
                for line in lines_of(path, &bytes) {
                    let row: serde_json::Value = serde_json::from_slice(&line).unwrap();
                    let number = |name: &str| row[name].as_i64().unwrap();
                    self.lines.push((number("partition") as i32, number("offset")));
                }
            }
            name if name.contains(".txt") => text.lines.extend(lines_of(path, &bytes)),
            name => panic!("{name}"),
        }
    }

    /// Raw rows as records; sorted.
    pub fn records(&self) -> Vec<ReadBack> {
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
            let times = column("timestamp_ms").as_primitive::<Int64Type>();
            let lists = column("headers").as_list::<i32>();
            for i in 0..b.num_rows() {
                let list = lists.value(i);
                let pairs = list.as_struct();
                let (keys, values) =
                    (pairs.column(0).as_string::<i32>(), pairs.column(1).as_binary::<i32>());
                all.push(ReadBack {
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
/// read before. Returns whether each listed entry could be read: a NameNode that was replaced while
/// it stood still answers from the time before that, until it notices. An entry that is really gone
/// is missing when all rows are compared at the end.
pub async fn read_names(
    store: &dyn Store,
    topic: &str,
    read: &mut BTreeSet<String>,
    named: &mut BTreeSet<String>,
) -> Result<bool, StoreError> {
    let base = format!("_alluvium/ledger/{topic}");
    let mut all_read = true;
    for (path, _) in store.walk(&base).await?.files {
        if read.contains(&path) {
            continue;
        }
        let key = alluvium::testing::parse_entry(path.rsplit('/').next().unwrap()).unwrap();
        let Some(bytes) = store.read(&path).await? else {
            all_read = false;
            continue;
        };
        let entry = Entry::decode(key, &bytes).unwrap();
        named.extend(entry.files.into_iter().map(|f| f.path));
        let _ = read.insert(path);
    }
    Ok(all_read)
}

/// Every data file below a directory; sorted.
pub async fn tree(store: &dyn Store, top: &str) -> Result<Vec<String>, StoreError> {
    let walked = store.walk(top).await?.files;
    let mut files: Vec<String> = walked.into_iter().map(|(path, _)| path).collect();
    files.sort();
    Ok(files)
}

pub async fn read_archive(store: &dyn Store, topic: &str, directory: &str) -> Archived {
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
            let key = alluvium::testing::parse_entry(&name).unwrap();
            let text = store.read(&format!("{ledger}/{name}")).await.unwrap().unwrap();
            entries.push(Entry::decode(key, &text).unwrap());
        }
        entries.sort_by_key(Entry::key);
        let mut end = entries[0].to;
        for e in &entries[1..] {
            assert_eq!(e.from, end, "{topic}/{partition}: entries don't tile");
            end = e.to;
            let (partition, from, to) = (e.partition, e.from.0, e.to.0);
            let mut text = Text { partition, from, to, lines: Vec::new() };
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
                if f.path.starts_with("_quarantine/") {
                    archived.bad += f.rows;
                }
                archived.read_file(&f.path, bytes, &mut text);
                named.push(f.path.clone());
            }
            if !text.lines.is_empty() {
                archived.texts.push(text);
            }
        }
        let _ = archived.ends.insert(partition.parse().unwrap(), end.0);
        let staged = format!("_alluvium/staging/{topic}/{incarnation}/{partition}");
        for name in store.list(&staged).await.unwrap() {
            // A call that was not answered in time may create its file after the outage: an empty
            // file, or the empty manifest of a probe. A later look deletes it. Whatever has bytes
            // is settled.
            let bytes = store.length(&format!("{staged}/{name}")).await.unwrap();
            let is_empty = bytes.is_none_or(|n| n == 0);
            assert!(is_empty, "{topic}/{partition}: {bytes:?} bytes left in {name}");
        }
    }
    named.sort();
    let mut found = tree(store, directory).await.unwrap();
    found.extend(tree(store, &format!("_quarantine/{topic}")).await.unwrap());
    found.sort();
    assert_eq!(found, named, "files under {directory} against the ledger");
    archived.files = found;
    archived
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
