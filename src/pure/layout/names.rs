//! Names of files and directories beside and below the data.
//!
//! ```text
//! <root>/<path template>/part-<topic>-<incarnation>-<partition>-<first>-<last>.<ext>
//! <root>/_alluvium/identity
//! <root>/_alluvium/ledger/<topic>/<incarnation>/<partition>/<from, 20 digits>.entry
//! <root>/_alluvium/staging/<topic>/<incarnation>/<partition>/<from>-<attempt>/<n>.staged
//! ```
//! Readers (Hive, Spark, Hadoop) skip what begins with `_` or `.`, so no data may begin so.

use std::fmt::Write as _;

use crate::pure::protocol::{AttemptId, EntryKey};
use crate::pure::record::Offset;

/// The directory below a root that belongs to Alluvium alone.
pub const PRIVATE: &str = "_alluvium";
/// The file that contains the root id.
pub const IDENTITY: &str = "_alluvium/identity";
/// The manifest's name inside an attempt's directory.
pub const MANIFEST: &str = "manifest";
/// The NameNode's default limit on a name (`dfs.namenode.fs-limits.max-component-length`).
#[cfg(test)]
const MAX_NAME_BYTES: usize = 255;
/// The longest topic name in a file name. The rest of the name is for prefix, numbers, offsets and
/// extension.
const TOPIC_BYTES_IN_NAME: usize = 150;

/// The paths of one partition, relative to the root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Places {
    topic: String,
    incarnation: u32,
    partition: i32,
}

impl Places {
    #[must_use]
    pub fn new(topic: &str, incarnation: u32, partition: i32) -> Places {
        Places { topic: escape_segment(topic), incarnation, partition }
    }

    /// The paths of the same partition in another incarnation of its topic.
    #[must_use]
    pub fn of(&self, incarnation: u32) -> Places {
        Places { incarnation, ..self.clone() }
    }

    #[must_use]
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// The directory that contains one directory for each incarnation of the topic, relative to the
    /// root.
    #[must_use]
    pub fn ledgers(&self) -> String {
        format!("{PRIVATE}/ledger/{}", self.topic)
    }

    #[must_use]
    pub fn ledger(&self) -> String {
        format!("{PRIVATE}/ledger/{}/{}/{}", self.topic, self.incarnation, self.partition)
    }

    #[must_use]
    pub fn entry(&self, key: EntryKey) -> String {
        format!("{}/{key}.entry", self.ledger())
    }

    #[must_use]
    pub fn staging(&self) -> String {
        format!("{PRIVATE}/staging/{}/{}/{}", self.topic, self.incarnation, self.partition)
    }

    #[must_use]
    pub fn attempt(&self, key: EntryKey, id: AttemptId) -> String {
        format!("{}/{key}-{id}", self.staging())
    }

    /// The name of a published file. Both offsets are inclusive here, because people search by
    /// them.
    #[must_use]
    pub fn file(&self, first: Offset, last: Offset, extension: &str) -> String {
        let mut topic = self.topic.clone();
        if topic.len() > TOPIC_BYTES_IN_NAME {
            let hash = crc32c::crc32c(topic.as_bytes());
            topic.truncate(TOPIC_BYTES_IN_NAME - 9);
            let _ = write!(topic, "~{hash:08x}");
        }
        let (i, p) = (self.incarnation, self.partition);
        format!("part-{topic}-{i}-{p}-{first:0>20}-{last:0>20}.{extension}")
    }
}

/// Reads an entry's file name.
#[must_use]
pub fn parse_entry(name: &str) -> Option<EntryKey> {
    EntryKey::parse(name.strip_suffix(".entry")?)
}

/// Reads an attempt directory's name.
#[must_use]
pub fn parse_attempt(name: &str) -> Option<(EntryKey, AttemptId)> {
    let (key, id) = name.rsplit_once('-')?;
    Some((EntryKey::parse(key)?, AttemptId::parse(id)?))
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

    #[test]
    fn names_sort_and_hide_nothing() {
        let p = Places::new("_orders", 0, 3);
        assert_eq!(p.ledger(), "_alluvium/ledger/%5Forders/0/3");
        let name = p.file(Offset(7), Offset(12), "parquet");
        assert_eq!(name, "part-%5Forders-0-3-00000000000000000007-00000000000000000012.parquet");
    }

    #[test]
    fn the_longest_topic_fits_and_stays_unique() {
        let names: Vec<String> = ["a", "b"]
            .map(|last| format!("{}{last}", "t".repeat(248)))
            .map(|t| Places::new(&t, u32::MAX, i32::MAX).file(Offset(0), Offset(1), "jsonl.gz"))
            .into();
        assert!(names.iter().all(|n| n.len() <= MAX_NAME_BYTES), "{names:?}");
        assert_ne!(names[0], names[1]);
    }

    #[test]
    fn attempts_and_entries_read_back() {
        let p = Places::new("t", 0, 0);
        for key in [EntryKey::Genesis, EntryKey::At(Offset(42))] {
            let dir = p.attempt(key, AttemptId(9));
            let name = dir.rsplit_once('/').unwrap().1;
            assert_eq!(parse_attempt(name), Some((key, AttemptId(9))));
            let entry = p.entry(key);
            assert_eq!(parse_entry(entry.rsplit_once('/').unwrap().1), Some(key));
        }
        for foreign in ["x", "1-2", ".entry", "genesis", "genesis-zz"] {
            assert_eq!(parse_attempt(foreign), None, "{foreign}");
            assert_eq!(parse_entry(foreign), None, "{foreign}");
        }
    }
}
