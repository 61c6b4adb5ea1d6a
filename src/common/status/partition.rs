//! What an operator sees of a partition: `/status.json`, the status page, `alluvium status`.

use serde::{Deserialize, Serialize};

/// Where a partition stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartitionStatus {
    pub topic: String,
    pub partition: i32,
    pub mapping: String,
    /// `source`, `partials` or `output`.
    pub role: String,
    pub worker: usize,
    /// Whether its records become files.
    pub archives: bool,
    pub state: Condition,
    /// P, A and F, as far as they are known.
    pub results: Option<i64>,
    pub archive: Option<i64>,
    pub committed: Option<i64>,
    /// The log's last stable offset, when it was asked for last.
    pub end: Option<i64>,
    /// Since the oldest record was read that is not in the ledger.
    pub archive_delay_s: u64,
    /// That record's own timestamp, milliseconds.
    pub oldest_ms: Option<i64>,
    /// For a merge: the timestamp of the oldest partial counts that an open window needs after a
    /// restart, milliseconds.
    #[serde(default)]
    pub needed_ms: Option<i64>,
    /// What is open, and not rolled yet.
    pub open_files: usize,
    pub open_bytes: u64,
    pub open_age_s: u64,
    pub last_roll: Option<Roll>,
    /// For a merge: the number of windows that are not whole yet. `waits_for` has the source
    /// partitions that they wait for.
    pub open_windows: Option<usize>,
    pub waits_for: Vec<Wait>,
    /// The time up to which windows are closed, or the highest that was seen; milliseconds.
    pub watermark: Option<i64>,
    /// Whether its records are counted or merged.
    #[serde(default = "yes")]
    pub counts: bool,
    /// The root of its archive.
    #[serde(default)]
    pub root: Option<String>,
    /// P and A when they were known last: while it recovers, they are not below these.
    #[serde(default)]
    pub last_results: Option<i64>,
    #[serde(default)]
    pub last_archive: Option<i64>,
}

/// Before format 2, nothing said that a partition counts nothing.
fn yes() -> bool {
    true
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "is", content = "why", rename_all = "snake_case")]
pub enum Condition {
    Running,
    Recovering,
    /// The store does not answer: results go on alone.
    Detached,
    /// A person has paused its mapping.
    Paused,
    /// A person has to decide.
    Stopped(String),
}

/// The last attempt that was published.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Roll {
    pub reason: String,
    /// Wall clock, milliseconds.
    pub at: i64,
    pub files: usize,
    pub bytes: u64,
}

/// A source partition that windows wait for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wait {
    pub topic: String,
    pub partition: i32,
    /// Seconds since the merge last had a message of this source partition.
    pub silent_s: u64,
    /// Seconds for which a window that is over has waited for this source partition.
    #[serde(default)]
    pub held_s: u64,
}

impl Wait {
    /// The source partitions that windows have waited for longer than for a healthy one: each
    /// once, with the longest wait.
    pub fn worth_saying<'a>(
        partitions: impl IntoIterator<Item = &'a PartitionStatus>,
    ) -> Vec<&'a Wait> {
        /// Shorter waits come and go with every line that somebody types.
        const SECONDS: u64 = 5;
        let all = partitions.into_iter().flat_map(|p| &p.waits_for);
        let mut all: Vec<&Wait> = all.filter(|w| SECONDS <= w.held_s).collect();
        all.sort_unstable_by_key(|w| (&w.topic, w.partition, std::cmp::Reverse(w.held_s)));
        all.dedup_by_key(|w| (&w.topic, w.partition));
        all
    }
}

impl PartitionStatus {
    /// Offsets from P and A to the log's end, as it was asked for or as far as was read since. A
    /// position that is not known now is the one that was known last; [`None`]: it never was, and
    /// the lag is not known, or there is no such position.
    #[must_use]
    pub fn lags(&self) -> [Option<i64>; 2] {
        let positions = [
            self.results.or(self.last_results).filter(|_| self.counts),
            self.archive.or(self.last_archive).filter(|_| self.archives),
        ];
        let end = self.end.map(|end| positions[0].max(positions[1]).map_or(end, |at| at.max(end)));
        positions.map(|at| Some(end?.saturating_sub(at?)))
    }
}
