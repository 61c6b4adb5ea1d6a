//! What HDFS is told of the files and directories of a mapping: `replication`, `block_size`,
//! `owner` and `group`.

use crate::common::config::fields::{Faults, Fields};

/// What HDFS is told of files when they are made, and of the directories that they are in.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct FileProperties {
    /// How many copies each block of a file has; [`None`] for as many as the NameNode says.
    pub replication: Option<u32>,
    /// The size of a file's blocks, bytes; [`None`] for the one that the NameNode says.
    pub block_size: Option<u64>,
    /// The owner of files and directories; [`None`] for the user of the daemon.
    pub owner: Option<String>,
    /// The group of files and directories; [`None`] for the one of the directory above.
    pub group: Option<String>,
}

/// The keys, in the order of the fields.
pub(super) const KEYS: [&str; 4] = ["replication", "block_size", "owner", "group"];

/// HDFS sums up every so many bytes, and blocks end where sums do.
const SUMMED: u64 = 512;

/// The smallest block that a NameNode allows by default, bytes.
const SMALLEST: u64 = 1 << 20;

impl FileProperties {
    pub(super) fn read(f: &mut Fields, faults: &mut Faults) -> FileProperties {
        let block_size = f.size("block_size", SMALLEST, faults);
        if block_size.is_some_and(|size| size % SUMMED != 0) {
            faults.add(f.key("block_size"), format!("is no multiple of {SUMMED} bytes"));
        }
        FileProperties {
            // The most that a NameNode allows by default.
            replication: f.number("replication", 1..=512, faults),
            block_size,
            owner: f.parsed("owner", faults, name),
            group: f.parsed("group", faults, name),
        }
    }

    pub(super) fn or(self, d: &FileProperties) -> FileProperties {
        FileProperties {
            replication: self.replication.or(d.replication),
            block_size: self.block_size.or(d.block_size),
            owner: self.owner.or_else(|| d.owner.clone()),
            group: self.group.or_else(|| d.group.clone()),
        }
    }

    /// The keys that are given.
    pub(super) fn given(&self) -> impl Iterator<Item = &'static str> {
        let given = [
            self.replication.is_some(),
            self.block_size.is_some(),
            self.owner.is_some(),
            self.group.is_some(),
        ];
        KEYS.into_iter().zip(given).filter_map(|(key, is_given)| is_given.then_some(key))
    }

    /// Whether files or directories get another owner or group than they would have.
    #[must_use]
    pub fn owns(&self) -> bool {
        self.owner.is_some() || self.group.is_some()
    }
}

/// The name of a user or a group: HDFS takes every text.
fn name(text: &str) -> Result<String, String> {
    let is_one = !text.is_empty() && text.trim() == text && !text.contains(char::is_control);
    is_one.then(|| text.to_string()).ok_or_else(|| format!("{text:?} is no name"))
}
