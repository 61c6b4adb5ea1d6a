//! Names of files and directories beside and below the data.
//!
//! ```text
//! <root>/<path template>/part-<topic>-<incarnation>-<partition>-<first>-<last>.<ext>
//! <root>/_alluvium/identity
//! <root>/_alluvium/schemas/<id>.json
//! <root>/_alluvium/ledger/<topic>/<incarnation>/<partition>/<from, 20 digits>.entry
//! <root>/_alluvium/staging/<topic>/<incarnation>/<partition>/<from>-<attempt>.<n>.staged
//! <root>/_alluvium/staging/<topic>/<incarnation>/<partition>/<from>-<attempt>.manifest
//! ```
//! Topics stand as [`escape_segment`] writes them; in a file's name a long one is shortened, and
//! ends with `~` and the CRC-32C of the whole. `<from>` is 20 digits or `genesis`, `<attempt>` 32
//! hexadecimal digits, `<first>` and `<last>` are 20 digits each.
//!
//! *Version rule*: these names never change, because what lies there already is found by them, with
//! one exception: the first version staged the files of an attempt in a directory of its own,
//! `<from>-<attempt>/<n>.staged`. Such a directory is found and settled; none is made any more.
//! Names are written and read here alone.
//!
//! Readers (Hive, Spark, Hadoop) skip what begins with `_` or `.`, so no data may begin so.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

pub use crate::pure::formats::entry::PRIVATE;
use crate::pure::formats::entry::{AttemptId, EntryKey};
use crate::pure::record::Offset;

/// The directory of bad records.
pub const QUARANTINE: &str = "_quarantine";

/// Whether a file below the root has bad records.
#[must_use]
pub fn is_quarantined(path: &str) -> bool {
    path.strip_prefix(QUARANTINE).is_some_and(|rest| rest.starts_with('/'))
}

/// The file that contains the root id.
pub const IDENTITY: &str = "_alluvium/identity";
/// Holds a directory for each topic that has a ledger.
pub const LEDGERS: &str = "_alluvium/ledger";
/// Holds what is being written.
pub const STAGING: &str = "_alluvium/staging";
/// Holds the schemas that records in this root were written with.
pub const SCHEMAS: &str = "_alluvium/schemas";
/// The manifest's name among the files of an attempt.
pub const MANIFEST: &str = "manifest";
/// The NameNode's default limit on a name (`dfs.namenode.fs-limits.max-component-length`).
#[cfg(test)]
const MAX_NAME_BYTES: usize = 255;
/// The longest topic name in a file name. The rest of the name is for prefix, numbers, offsets and
/// extension.
const TOPIC_BYTES_IN_NAME: usize = 150;

/// The paths of one partition, relative to the root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionPaths {
    topic: String,
    incarnation: u32,
    partition: i32,
}

impl PartitionPaths {
    #[must_use]
    pub fn new(topic: &str, incarnation: u32, partition: i32) -> PartitionPaths {
        PartitionPaths { topic: escape_segment(topic), incarnation, partition }
    }

    /// The paths of the same partition in another incarnation of its topic.
    #[must_use]
    pub fn of(&self, incarnation: u32) -> PartitionPaths {
        PartitionPaths { incarnation, ..self.clone() }
    }

    #[must_use]
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// The partition's name among all that write into the root: `<topic>/<partition>`.
    #[must_use]
    pub fn in_root(&self) -> String {
        in_root(&self.topic, self.partition)
    }

    /// The directory that contains one directory for each incarnation of the topic, relative to the
    /// root.
    #[must_use]
    pub fn ledgers(&self) -> String {
        ledgers_of(&self.topic)
    }

    #[must_use]
    pub fn ledger(&self) -> String {
        ledger_at(&self.topic, self.incarnation, self.partition)
    }

    #[must_use]
    pub fn entry(&self, key: EntryKey) -> String {
        entry_in(&self.ledger(), key)
    }

    #[must_use]
    pub fn staging(&self) -> String {
        staging_at(&self.topic, self.incarnation, self.partition)
    }

    /// A file of an attempt: the manifest, or a file by the name that the entry has for it.
    #[must_use]
    pub fn staged(&self, key: EntryKey, id: AttemptId, name: &str) -> String {
        format!("{}/{key}-{id}.{name}", self.staging())
    }

    /// The directory in which the first version staged the files of an attempt.
    #[must_use]
    pub fn old_attempt(&self, key: EntryKey, id: AttemptId) -> String {
        format!("{}/{key}-{id}", self.staging())
    }

    /// The name of a published file. Both offsets are inclusive here, because people search by
    /// them.
    #[must_use]
    pub fn file(&self, first: Offset, last: Offset, extension: &str) -> String {
        let topic = shortened(&self.topic);
        let (i, p) = (self.incarnation, self.partition);
        format!("part-{topic}-{i}-{p}-{first:0>20}-{last:0>20}.{extension}")
    }

    /// Reads the name of a file of this partition, if readers see such a file at this path.
    #[must_use]
    pub fn published<'a>(&self, path: &'a str) -> Option<FileName<'a>> {
        let name = path.rsplit('/').next().and_then(parse_file)?;
        let mine = name.topic == shortened(&self.topic)
            && (name.incarnation, name.partition) == (self.incarnation, self.partition);
        (mine && !path.starts_with(PRIVATE)).then_some(name)
    }
}

/// Holds a directory for each incarnation of this topic. `topic`: as a path segment.
#[must_use]
pub fn ledgers_of(topic: &str) -> String {
    format!("{LEDGERS}/{topic}")
}

/// One partition's ledger; the parts of its path as numbers, or as the store lists them. `topic`:
/// as a path segment.
#[must_use]
pub fn ledger_at(topic: &str, incarnation: impl Display, partition: impl Display) -> String {
    format!("{LEDGERS}/{topic}/{incarnation}/{partition}")
}

/// What is staged of one partition; the parts of its path as [`ledger_at`] takes them.
#[must_use]
pub fn staging_at(topic: &str, incarnation: impl Display, partition: impl Display) -> String {
    format!("{STAGING}/{topic}/{incarnation}/{partition}")
}

/// An entry in the ledger of this path.
#[must_use]
pub fn entry_in(ledger: &str, key: EntryKey) -> String {
    format!("{ledger}/{key}.entry")
}

/// The partition that stages what lies at this path, as [`PartitionPaths::in_root`] names it.
#[must_use]
pub fn staged_by(path: &str) -> Option<String> {
    let mut segments = path.strip_prefix(STAGING)?.strip_prefix('/')?.split('/');
    let (topic, _, partition) = (segments.next()?, segments.next()?, segments.next()?);
    Some(in_root(topic, partition))
}

fn in_root(topic: &str, partition: impl Display) -> String {
    format!("{topic}/{partition}")
}

/// Where a new identity of the root is written, before it is renamed.
#[must_use]
pub fn staged_identity(id: &str) -> String {
    format!("{STAGING}/identity-{id}")
}

/// Where the schema with this id is kept.
#[must_use]
pub fn schema(id: u32) -> String {
    format!("{SCHEMAS}/{id}.json")
}

/// Whether a path is one of [`schema`].
#[must_use]
pub fn is_schema(path: &str) -> bool {
    let name = path.strip_prefix(SCHEMAS).and_then(|rest| rest.strip_prefix('/'));
    let id = name.and_then(|name| name.strip_suffix(".json")).and_then(|id| id.parse().ok());
    id.is_some_and(|id| schema(id) == path)
}

/// Where a schema is written, before it is renamed.
#[must_use]
pub fn staged_schema(name: &str) -> String {
    format!("{STAGING}/schema-{name}")
}

/// A topic, escaped, as it stands in the names of its files.
#[must_use]
pub fn shortened(topic: &str) -> Cow<'_, str> {
    if topic.len() <= TOPIC_BYTES_IN_NAME {
        return topic.into();
    }
    let hash = crc32c::crc32c(topic.as_bytes());
    let mut short = topic.to_string();
    // Kafka's topics are ASCII; the name of a directory in a store need not be.
    short.truncate(short.floor_char_boundary(TOPIC_BYTES_IN_NAME - 9));
    let _ = write!(short, "~{hash:08x}");
    short.into()
}

/// The name of a file that readers see, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileName<'a> {
    /// Escaped, and shortened where it is long.
    pub topic: &'a str,
    pub incarnation: u32,
    pub partition: i32,
    pub first: Offset,
    /// Inclusive.
    pub last: Offset,
    pub extension: &'a str,
}

/// Reads the name of a file that readers see: the last segment of its path. From the right, because
/// topics have hyphens and dots in their names, too.
#[must_use]
pub fn parse_file(name: &str) -> Option<FileName<'_>> {
    let mut fields = name.strip_prefix("part-")?.rsplitn(5, '-');
    let (last, extension) = fields.next()?.split_once('.')?;
    let (first, partition) = (fields.next()?, fields.next()?);
    let (incarnation, topic) = (fields.next()?, fields.next()?);
    let offset = |text: &str| {
        let plain = text.len() == 20 && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse().ok().map(Offset)).flatten()
    };
    Some(FileName {
        topic,
        incarnation: incarnation.parse().ok()?,
        partition: partition.parse().ok()?,
        first: offset(first)?,
        last: offset(last)?,
        extension,
    })
}

/// Reads an entry's file name.
#[must_use]
pub fn parse_entry(name: &str) -> Option<EntryKey> {
    EntryKey::parse(name.strip_suffix(".entry")?)
}

/// The name of an attempt's file number `n`, as its entry has it. Its extension comes with the
/// publishing rename: some readers look into directories that begin with `_`.
#[must_use]
pub fn staged_name(n: usize) -> String {
    format!("{n}.staged")
}

/// A name in a partition's staging directory, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StagedName<'a> {
    pub key: EntryKey,
    pub id: AttemptId,
    /// Which file of the attempt it is; [`None`] for the directory that the first version made.
    pub file: Option<&'a str>,
}

/// Reads the name of a file of an attempt, or of its directory.
#[must_use]
pub fn parse_staged(name: &str) -> Option<StagedName<'_>> {
    let (attempt, file) = match name.split_once('.') {
        Some((attempt, file)) => (attempt, Some(file)),
        None => (name, None),
    };
    let (key, id) = attempt.rsplit_once('-')?;
    Some(StagedName { key: EntryKey::parse(key)?, id: AttemptId::parse(id)?, file })
}

/// Makes any text one path segment, as Hive escapes partition values: `%XX` for what a path, a
/// shell or a reader would misread, and for a leading `_` or `.`.
#[must_use]
pub fn escape_segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (i, c) in text.char_indices() {
        let hidden = i == 0 && matches!(c, '_' | '.');
        let special = c.is_control() || "\"#%'*/:=?\\{}[]^<>|+ ".contains(c);
        if hidden || special {
            let mut bytes = [0; 4];
            for b in c.encode_utf8(&mut bytes).bytes() {
                let _ = write!(out, "%{b:02X}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/names-v2.txt"));

    #[test]
    fn a_long_name_that_is_not_ascii_is_shortened() {
        let topic = "\u{e4}".repeat(100);
        let short = shortened(&topic);
        assert!(short.len() <= TOPIC_BYTES_IN_NAME && short.contains('~'), "{short}");
    }

    #[test]
    fn names_sort_and_hide_nothing() {
        let p = PartitionPaths::new("_orders", 0, 3);
        assert_eq!(p.ledger(), "_alluvium/ledger/%5Forders/0/3");
        let name = p.file(Offset(7), Offset(12), "parquet");
        assert_eq!(name, "part-%5Forders-0-3-00000000000000000007-00000000000000000012.parquet");
    }

    #[test]
    fn what_is_staged_names_its_partition() {
        let p = PartitionPaths::new("_orders", 2, 3);
        assert_eq!(p.in_root(), "%5Forders/3");
        let (key, id) = (EntryKey::Genesis, AttemptId::parse(&"0".repeat(32)).unwrap());
        let old = p.old_attempt(key, id);
        for path in [p.staging(), p.staged(key, id, "0.staged"), format!("{old}/0.staged"), old] {
            assert_eq!(staged_by(&path).unwrap(), p.in_root(), "{path}");
        }
        for path in [IDENTITY, STAGING, &staged_identity("x"), &staged_schema("x"), &p.ledger()] {
            assert_eq!(staged_by(path), None, "{path}");
        }
    }

    #[test]
    fn the_longest_topic_fits_and_stays_unique() {
        let names: Vec<String> = ["a", "b"]
            .map(|last| format!("{}{last}", "t".repeat(248)))
            .map(|t| {
                PartitionPaths::new(&t, u32::MAX, i32::MAX).file(Offset(0), Offset(1), "jsonl.gz")
            })
            .into();
        assert!(names.iter().all(|n| n.len() <= MAX_NAME_BYTES), "{names:?}");
        assert_ne!(names[0], names[1]);
    }

    #[test]
    fn attempts_and_entries_read_back() {
        let p = PartitionPaths::new("t", 0, 0);
        for key in [EntryKey::Genesis, EntryKey::At(Offset(42))] {
            let id = AttemptId(9);
            for (path, file) in [
                (p.staged(key, id, "0.staged"), Some("0.staged")),
                (p.staged(key, id, MANIFEST), Some(MANIFEST)),
                (p.old_attempt(key, id), None),
            ] {
                let name = path.rsplit_once('/').unwrap().1;
                assert_eq!(parse_staged(name), Some(StagedName { key, id, file }));
            }
            let entry = p.entry(key);
            assert_eq!(parse_entry(entry.rsplit_once('/').unwrap().1), Some(key));
        }
        for foreign in ["x", "1-2", ".entry", "genesis", "genesis-zz", "genesis-zz.manifest"] {
            assert_eq!(parse_staged(foreign), None, "{foreign}");
            assert_eq!(parse_entry(foreign), None, "{foreign}");
        }
    }
    #[test]
    fn names_of_files_read_back() {
        for topic in ["t", "_orders", "a.b-c-1-2", "a;b"] {
            for extension in ["parquet", "jsonl.gz"] {
                let name =
                    PartitionPaths::new(topic, 7, 3).file(Offset(0), Offset(i64::MAX), extension);
                let (first, last) = (Offset(0), Offset(i64::MAX));
                let topic = &*escape_segment(topic);
                let want = FileName { topic, incarnation: 7, partition: 3, first, last, extension };
                assert_eq!(parse_file(&name), Some(want), "{name}");
            }
        }
        for foreign in [
            "x",
            "part-t-0-3-7-12.parquet",
            "part-t-0-3-00000000000000000007-00000000000000000012",
            "part-t-x-3-00000000000000000007-00000000000000000012.parquet",
            "part-0-3-00000000000000000007-00000000000000000012.parquet",
            "t-0-3-00000000000000000007-00000000000000000012.parquet",
        ] {
            assert_eq!(parse_file(foreign), None, "{foreign}");
        }
    }

    /// Every place under a root, of an ordinary topic and of an awkward one.
    #[test]
    fn the_names_are_the_golden_ones() {
        let id = AttemptId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let mut written =
            vec![PRIVATE.into(), IDENTITY.into(), staged_identity("fedcba98"), LEDGERS.into()];
        let long = "t".repeat(200);
        for paths in [
            PartitionPaths::new("orders", 0, 3),
            PartitionPaths::new("_a b/c=ä%.x", 12, 0),
            PartitionPaths::new(&long, 0, i32::MAX).of(u32::MAX),
        ] {
            written.extend([paths.ledgers(), paths.ledger(), paths.staging()]);
            for key in [EntryKey::Genesis, EntryKey::At(Offset(1_000))] {
                let staged = |name| paths.staged(key, id, name);
                written.extend([paths.entry(key), staged(MANIFEST), staged("0.staged")]);
            }
            for extension in ["parquet", "jsonl"] {
                written.push(paths.file(Offset(1_000), Offset(1_199), extension));
            }
        }
        written.extend([SCHEMAS.into(), schema(7), staged_schema("fedcba98")]);
        let written: String = written.into_iter().map(|line| line + "\n").collect();
        assert_eq!(written, GOLDEN);
    }

    /// The first version had the same names, and directories of attempts.
    #[test]
    fn the_names_of_the_first_version_are_found() {
        let first = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/names-v1.txt"));
        let mut attempts = 0;
        for line in first.lines().filter(|line| !GOLDEN.lines().any(|now| now == *line)) {
            let within = line.strip_suffix("/manifest").unwrap_or(line);
            let name = within.rsplit('/').next().and_then(parse_staged).expect(line);
            assert_eq!(name.file, None, "{line}");
            attempts += 1;
        }
        assert_eq!(attempts, 12, "two lines for each attempt");
    }
}
