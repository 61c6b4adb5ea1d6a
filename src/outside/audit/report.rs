//! What `verify` finds, as `verify --json` prints it.

use serde::Serialize;

use crate::engine::archive::listing::Finding;
use crate::pure::record::{Offset, OffsetRange};

/// What was found under one root.
#[derive(Debug, Default, Serialize)]
pub struct RootReport {
    pub root: String,
    pub partitions: Vec<PartitionReport>,
    /// What belongs to no partition.
    pub findings: Vec<Finding>,
}

/// One partition in numbers.
#[derive(Debug, Serialize)]
pub struct PartitionReport {
    pub topic: String,
    pub incarnation: String,
    pub partition: String,
    /// From genesis on, to A.
    pub range: Option<OffsetRange>,
    pub entries: usize,
    pub files: usize,
    pub rows: u64,
    pub bytes: u64,
    pub gaps: Vec<Gap>,
    /// Offsets inside of entries that have no row: transaction markers, compaction.
    pub holes: u64,
    /// Files that are appended and not yet published: their owner, or the next one, does it.
    pub unpublished: usize,
    /// Staged files that no entry names: of an attempt that is under way, or was left over. Not in
    /// the JSON, whose fields are fixed.
    #[serde(skip)]
    pub staged: usize,
    /// Absent where the brokers were not asked, or don't know the topic.
    pub brokers: Option<AtBrokers>,
    pub findings: Vec<Finding>,
}

/// A range that could not be archived, and why.
#[derive(Debug, Serialize)]
pub struct Gap {
    pub range: OffsetRange,
    pub cause: String,
}

impl RootReport {
    /// How much does not fit together.
    #[must_use]
    pub fn findings(&self) -> usize {
        let of_partitions = self.partitions.iter().map(|p| p.findings.len());
        of_partitions.fold(self.findings.len(), usize::saturating_add)
    }
}

/// What the brokers know of a partition of the archive.
#[derive(Debug, Serialize)]
pub struct AtBrokers {
    pub log: OffsetRange,
    /// The committed offset F.
    pub committed: Option<Offset>,
    /// P; absent where the partition counts nothing.
    pub results: Option<Offset>,
}
