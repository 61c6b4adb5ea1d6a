//! The ledger entry: what is written down about one appended range. Format version 1.
//!
//! An entry is a JSON object in a file of its own, `<from, 20 digits>.entry` (`genesis.entry` for
//! the first). It is never changed, moved or deleted once it stands. The same text, while it is
//! staged, is the attempt's *manifest*: appending is renaming it.
//!
//! *Bytes*: the fields of [`Entry`] in the order of their declaration, as indented JSON (two
//! spaces) in UTF-8, and a line feed. Optional fields are written as `null`. Offsets and times are
//! numbers.
//!
//! *Version rule*: `version` is 1. A reader refuses any other version, an unknown `kind` and an
//! unknown field, and the partition stops: an entry that is understood by half could lose records.
//! A new field is therefore a new version.
//!
//! *Written by* the archiver (data), by recovery (genesis, and gaps that retention made) and by
//! `alluvium repair`. *Read by* recovery, `verify`, `recount`, `where`, `explain` and `repair`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::pure::record::{Offset, OffsetRange};

/// The format that this build writes. Other versions stop the partition.
pub const VERSION: u32 = 1;
/// The directory below a root that belongs to Alluvium alone.
pub const PRIVATE: &str = "_alluvium";

/// Names one attempt at writing files; random, so that no two attempts ever share one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AttemptId(pub u128);

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl AttemptId {
    /// Reads 32 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<AttemptId> {
        let plain = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        plain.then(|| u128::from_str_radix(text, 16).ok().map(AttemptId)).flatten()
    }
}

impl Serialize for AttemptId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AttemptId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<AttemptId, D::Error> {
        let text = String::deserialize(d)?;
        AttemptId::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("an attempt id is 32 hexadecimal digits"))
    }
}

/// Where an entry stands in the ledger: its file name without `.entry`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EntryKey {
    /// Roots the ledger; below every other key.
    Genesis,
    /// The entry whose range begins here.
    At(Offset),
}

impl fmt::Display for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EntryKey::Genesis => f.write_str("genesis"),
            EntryKey::At(from) => write!(f, "{:020}", from.0),
        }
    }
}

impl EntryKey {
    /// Reads what `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<EntryKey> {
        if text == "genesis" {
            return Some(EntryKey::Genesis);
        }
        let plain = text.len() == 20 && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse().ok().map(|from| EntryKey::At(Offset(from)))).flatten()
    }
}

/// An entry of one incarnation of a topic; what the committed offset's metadata names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EntryName {
    /// The incarnation of the topic, 0 for its first life.
    pub incarnation: u32,
    pub key: EntryKey,
}

/// What an entry says about its range.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// The root: `to` is where the partition starts, `cause` says why there.
    Genesis,
    /// Every record of the range is in one of `files`.
    Data,
    /// The range cannot be read any more, and `cause` says why. The entry has no files.
    Gap,
}

/// One file that an entry names; paths are relative to the mapping's root.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    /// Name among the staged files of the attempt.
    pub staged: String,
    /// Path that readers see.
    #[serde(rename = "final")]
    pub path: String,
    pub rows: u64,
    pub bytes: u64,
    /// CRC-32C of the whole file, eight hexadecimal digits.
    pub checksum: String,
    pub first_offset: Offset,
    pub last_offset: Offset,
    /// Smallest and largest record time, milliseconds; absent where no record has one.
    pub min_time: Option<i64>,
    pub max_time: Option<i64>,
}

/// One appended range of offsets, with the files that contain its records.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub version: u32,
    pub kind: EntryKind,
    pub topic: String,
    /// 0 for a topic's first life; the next one when it was deleted and created again.
    pub incarnation: u32,
    pub partition: i32,
    pub attempt: AttemptId,
    pub from: Offset,
    /// The end of the range, exclusive; the next entry's `from`.
    pub to: Offset,
    pub files: Vec<FileRef>,
    /// The root that this ledger belongs to (`_alluvium/identity`).
    pub root: String,
    /// Kafka's own id of the topic, so that a topic that was made again is noticed.
    pub topic_id: String,
    /// P at the time when the attempt was sealed; `alluvium repair` uses it. Only data entries have
    /// it; in genesis and gap entries it is the same as `to`.
    pub p: Offset,
    /// Why the range is a gap, or why the partition starts where it does.
    pub cause: Option<String>,
    /// Which of the roll rules ended the attempt.
    pub roll: Option<String>,
    /// CRC-32C of the mapping's settings that shape files.
    pub config: String,
    /// Wall clock when the manifest was written, milliseconds.
    pub written_at: i64,
}

/// The part of an entry that the protocol's decisions depend on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Head {
    pub key: EntryKey,
    pub attempt: AttemptId,
    pub to: Offset,
}

/// An entry that this build must not act on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EntryError {
    #[error("not a ledger entry: {0}")]
    Malformed(String),
    #[error("ledger entry of version {0}; this build reads version {VERSION}")]
    Version(u64),
    #[error("ledger entry of unknown kind {0:?}")]
    EntryKind(String),
    #[error("ledger entry {key} says that it covers {range}")]
    Range { key: String, range: OffsetRange },
}

impl Entry {
    /// Where this entry stands.
    #[must_use]
    pub fn key(&self) -> EntryKey {
        match self.kind {
            EntryKind::Genesis => EntryKey::Genesis,
            EntryKind::Data | EntryKind::Gap => EntryKey::At(self.from),
        }
    }

    #[must_use]
    pub fn head(&self) -> Head {
        Head { key: self.key(), attempt: self.attempt, to: self.to }
    }

    /// The text of the entry's file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("an entry has string keys only");
        text.push(b'\n');
        text
    }

    /// Reads the file that stands at `key`.
    ///
    /// # Errors
    /// Another version, another kind, or text that is no entry of this place: the partition stops.
    pub fn decode(key: EntryKey, text: &[u8]) -> Result<Entry, EntryError> {
        let malformed = |e: serde_json::Error| EntryError::Malformed(e.to_string());
        let value: serde_json::Value = serde_json::from_slice(text).map_err(malformed)?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(v) if v == u64::from(VERSION) => {}
            Some(v) => return Err(EntryError::Version(v)),
            None => return Err(EntryError::Malformed("no version".into())),
        }
        let kind = value.get("kind").and_then(serde_json::Value::as_str).unwrap_or_default();
        if !matches!(kind, "genesis" | "data" | "gap") {
            return Err(EntryError::EntryKind(kind.into()));
        }
        let entry: Entry = serde_json::from_value(value).map_err(malformed)?;
        entry.check_paths()?;
        let tiles = entry.kind == EntryKind::Genesis || entry.from < entry.to;
        let possible = [entry.from, entry.to, entry.p].iter().all(|offset| 0 <= offset.0);
        if entry.key() != key || !tiles || !possible {
            let range = OffsetRange { from: entry.from, to: entry.to };
            return Err(EntryError::Range { key: key.to_string(), range });
        }
        Ok(entry)
    }
}

impl Entry {
    /// Files are renamed from and to what an entry says: no path may leave its directory.
    fn check_paths(&self) -> Result<(), EntryError> {
        for FileRef { staged, path, .. } in &self.files {
            if staged.contains('/') || !is_below(staged) {
                return Err(EntryError::Malformed(format!("{staged:?} is not a staged file")));
            }
            let private = path.split('/').next() == Some(PRIVATE);
            if private || !is_below(path) {
                let text = format!("{path:?} is not a path below the root's data");
                return Err(EntryError::Malformed(text));
            }
        }
        Ok(())
    }
}

/// Whether a path names something below the directory that it is relative to, and nothing else.
fn is_below(path: &str) -> bool {
    let named = |segment: &str| !matches!(segment, "" | "." | "..");
    path.split('/').all(named) && !path.contains(|c: char| c.is_control() || c == '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            version: VERSION,
            kind: EntryKind::Data,
            topic: "t".into(),
            incarnation: 0,
            partition: 3,
            attempt: AttemptId(7),
            from: Offset(10),
            to: Offset(20),
            files: vec![FileRef {
                staged: "0.staged".into(),
                path: "t/dt=2026-11-22/x.parquet".into(),
                rows: 10,
                bytes: 99,
                checksum: "00000000".into(),
                first_offset: Offset(10),
                last_offset: Offset(19),
                min_time: Some(1),
                max_time: None,
            }],
            root: "r".into(),
            topic_id: "i".into(),
            p: Offset(12),
            cause: None,
            roll: Some("size".into()),
            config: "c".into(),
            written_at: 5,
        }
    }

    #[test]
    fn an_entry_reads_back() {
        let e = entry();
        assert_eq!(Entry::decode(e.key(), &e.encode()), Ok(e));
    }

    #[test]
    fn what_is_unknown_is_refused() {
        let check = |change: &dyn Fn(&mut serde_json::Value), want: &str| {
            let mut v = serde_json::to_value(entry()).unwrap();
            change(&mut v);
            let got = Entry::decode(EntryKey::At(Offset(10)), v.to_string().as_bytes());
            assert!(got.as_ref().is_err_and(|e| e.to_string().contains(want)), "{got:?}");
        };
        check(&|v| v["version"] = 2.into(), "version 2");
        check(&|v| v["kind"] = "fold".into(), "unknown kind \"fold\"");
        check(&|v| v["from"] = 11.into(), "covers [11, 20)");
        check(&|v| v["to"] = 10.into(), "covers [10, 10)");
        check(&|v| v["surprise"] = 1.into(), "surprise");
        check(&|v| *v = serde_json::json!([]), "no version");
        for path in [
            "../escaped.txt",
            "t/../../escaped.txt",
            "/etc/passwd",
            "",
            "t//x",
            "t/./x",
            "t/x/",
            "t/x\0y",
            "_alluvium/identity",
            "t/..",
        ] {
            check(&|v| v["files"][0]["final"] = path.into(), "is not a path below");
            check(&|v| v["files"][0]["staged"] = path.into(), "is not a staged file");
        }
    }

    #[test]
    fn keys_read_back_and_sort_as_their_names() {
        for key in [EntryKey::Genesis, EntryKey::At(Offset(0)), EntryKey::At(Offset(i64::MAX))] {
            assert_eq!(EntryKey::parse(&key.to_string()), Some(key));
        }
        assert!(EntryKey::Genesis < EntryKey::At(Offset(0)));
        for bad in ["", "12", "0000000000000000001x", "Genesis", "+0000000000000000001"] {
            assert_eq!(EntryKey::parse(bad), None, "{bad}");
        }
    }
    /// Every kind and every optional field, present and absent.
    fn samples() -> [Entry; 4] {
        let data = Entry {
            topic: "orders".into(),
            incarnation: 1,
            attempt: AttemptId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
            from: Offset(1_000),
            to: Offset(1_250),
            files: vec![
                FileRef {
                    staged: "0.staged".into(),
                    path: "orders/dt=2026-11-22/hr=17/part-a.parquet".into(),
                    rows: 200,
                    bytes: 123_456,
                    checksum: "0a1b2c3d".into(),
                    first_offset: Offset(1_000),
                    last_offset: Offset(1_199),
                    min_time: Some(1_795_368_000_123),
                    max_time: Some(1_795_368_059_999),
                },
                FileRef {
                    staged: "1.staged".into(),
                    path: "orders/dt=unknown/part-b.parquet".into(),
                    rows: 49,
                    bytes: 9_876,
                    checksum: "ffffffff".into(),
                    first_offset: Offset(1_200),
                    last_offset: Offset(1_249),
                    min_time: None,
                    max_time: None,
                },
            ],
            root: "fedcba9876543210fedcba9876543210".into(),
            topic_id: "Yk3b0XH8RbWq5c0E9m2d1w".into(),
            p: Offset(1_300),
            roll: Some("size".into()),
            config: "89abcdef".into(),
            written_at: 1_795_368_060_500,
            ..entry()
        };
        let bare = Entry { files: Vec::new(), roll: None, ..data.clone() };
        let (start, gap) = (Offset(1_000), Offset(5_000));
        let genesis = Entry {
            kind: EntryKind::Genesis,
            to: start,
            p: start,
            cause: Some("start = Earliest".into()),
            ..bare.clone()
        };
        let gap = Entry {
            kind: EntryKind::Gap,
            from: data.to,
            to: gap,
            p: gap,
            cause: Some("retention: the log started at 5000 when it was read".into()),
            ..bare.clone()
        };
        let empty = Entry { from: gap.to, to: Offset(5_001), p: Offset(0), ..bare };
        [genesis, data, gap, empty]
    }

    /// The golden file holds the texts of four entries, one after the other. It changes by hand
    /// alone: whoever changes it changes what is on disk.
    #[test]
    fn the_bytes_of_an_entry_are_the_golden_ones() {
        let golden =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/entry-v1.json"));
        let written: Vec<u8> = samples().iter().flat_map(Entry::encode).collect();
        assert_eq!(String::from_utf8(written).unwrap(), golden);
        let texts: Vec<&str> = golden.split_inclusive("\n}\n").collect();
        assert_eq!(texts.len(), samples().len());
        for (sample, text) in samples().into_iter().zip(texts) {
            assert_eq!(Entry::decode(sample.key(), text.as_bytes()), Ok(sample));
        }
    }
}
