//! When an attempt ends.

use std::fmt;
use std::time::Duration;

/// The limits of an attempt. An attempt ends when it reaches one of them, on an idle partition too.
/// All files of a partition roll together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RollPolicy {
    /// Bytes as written, over all open files of the partition.
    pub size_bytes: u64,
    /// Records that were read, in all files of the partition; [`None`] for no limit.
    pub records: Option<u64>,
    /// The longest time since the attempt's first record was read, unless the store still closes
    /// the files of an earlier one.
    pub age: Duration,
    /// The longest time since the attempt's last record was read, likewise; [`None`] for no limit.
    pub idle: Option<Duration>,
    /// The largest number of files that are open in stores at the same time, over all partitions
    /// and mappings of the process. Records of other directories are kept in memory until the
    /// attempt ends.
    pub open_files: usize,
}

/// An attempt ends when it has this many directories for each file that may grow: its manifest
/// names each file, and publishing them takes time.
const DIRECTORIES_A_FILE: usize = 64;

/// Why an attempt ended; the closed set of a metric's label.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RollReason {
    Size,
    Records,
    Age,
    Idle,
    OpenFiles,
    Memory,
    /// `alluvium roll`.
    Asked,
    /// Retention has overtaken the partition: what was read is kept, then the gap is named.
    Gap,
    /// The mapping was paused.
    Pause,
    /// The assignment has ended.
    Revoke,
    /// The root had no space, and a published file shows that it has some again.
    Outage,
    /// Little time is left until retention deletes the oldest record.
    Retention,
    /// The daemon, or the partition, stops.
    Stop,
}

impl RollReason {
    pub const ALL: [RollReason; 13] = [
        RollReason::Size,
        RollReason::Records,
        RollReason::Age,
        RollReason::Idle,
        RollReason::OpenFiles,
        RollReason::Memory,
        RollReason::Asked,
        RollReason::Gap,
        RollReason::Pause,
        RollReason::Revoke,
        RollReason::Outage,
        RollReason::Retention,
        RollReason::Stop,
    ];

    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            RollReason::Size => "size",
            RollReason::Records => "records",
            RollReason::Age => "age",
            RollReason::Idle => "idle",
            RollReason::OpenFiles => "open_files",
            RollReason::Memory => "memory",
            RollReason::Asked => "asked",
            RollReason::Gap => "gap",
            RollReason::Pause => "pause",
            RollReason::Revoke => "revoke",
            RollReason::Outage => "outage",
            RollReason::Retention => "retention",
            RollReason::Stop => "stop",
        }
    }

    /// Whether time alone has ended the attempt: nothing is full.
    #[must_use]
    pub fn is_by_clock(self) -> bool {
        matches!(self, RollReason::Age | RollReason::Idle)
    }
}

impl fmt::Display for RollReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// The open files of one partition, as the roll rules see them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenTotals {
    pub bytes: u64,
    pub records: u64,
    pub files: usize,
    pub since_first: Duration,
    pub since_last: Duration,
}

impl RollPolicy {
    /// The first limit that is reached; [`None`] if there is none.
    #[must_use]
    pub fn due(&self, open: OpenTotals) -> Option<RollReason> {
        if self.size_bytes <= open.bytes {
            return Some(RollReason::Size);
        }
        if self.records.is_some_and(|most| most <= open.records) {
            return Some(RollReason::Records);
        }
        if self.open_files.saturating_mul(DIRECTORIES_A_FILE) < open.files {
            return Some(RollReason::OpenFiles);
        }
        if self.age <= open.since_first {
            return Some(RollReason::Age);
        }
        self.idle.filter(|idle| *idle <= open.since_last).map(|_| RollReason::Idle)
    }

    /// Time until the clock alone reaches a limit: nothing is added meanwhile.
    #[must_use]
    pub fn due_in(&self, open: OpenTotals) -> Duration {
        let by_age = self.age.saturating_sub(open.since_first);
        let by_idleness = self.idle.map(|idle| idle.saturating_sub(open.since_last));
        by_idleness.map_or(by_age, |left| left.min(by_age))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A metric's label, and `last_roll.reason` in `/status.json`.
    #[test]
    fn reasons_have_the_same_labels_in_every_version() {
        let labels = RollReason::ALL.map(RollReason::label).join(" ");
        assert_eq!(
            labels,
            "size records age idle open_files memory asked gap pause revoke outage retention stop"
        );
    }

    #[test]
    fn each_rule_rolls_alone() {
        let s = Duration::from_secs;
        let policy = RollPolicy {
            size_bytes: 100,
            records: Some(50),
            age: s(60),
            idle: Some(s(5)),
            open_files: 3,
        };
        let (bytes, records, files) = (99, 49, 192);
        let quiet = OpenTotals { bytes, records, files, since_first: s(59), since_last: s(4) };
        assert_eq!(policy.due(quiet), None);
        assert_eq!(policy.due(OpenTotals { bytes: 100, ..quiet }), Some(RollReason::Size));
        assert_eq!(policy.due(OpenTotals { records: 50, ..quiet }), Some(RollReason::Records));
        assert_eq!(policy.due(OpenTotals { files: 193, ..quiet }), Some(RollReason::OpenFiles));
        assert_eq!(policy.due(OpenTotals { since_first: s(60), ..quiet }), Some(RollReason::Age));
        assert_eq!(policy.due(OpenTotals { since_last: s(5), ..quiet }), Some(RollReason::Idle));
        let off = RollPolicy { idle: None, records: None, ..policy };
        assert_eq!(off.due(OpenTotals { since_last: s(50), records: 1 << 40, ..quiet }), None);
    }

    /// A worker sleeps for so long: a limit is reached then, and not a millisecond before.
    #[test]
    fn the_clock_alone_reaches_a_limit_when_it_is_said() {
        let s = Duration::from_secs;
        for idle in [None, Some(s(5)), Some(s(90))] {
            let policy =
                RollPolicy { size_bytes: 100, records: None, age: s(60), idle, open_files: 3 };
            for (first, last) in [(0, 0), (58, 1), (50, 50), (59, 4)] {
                let at = |later| OpenTotals {
                    bytes: 1,
                    records: 1,
                    files: 1,
                    since_first: s(first) + later,
                    since_last: s(last) + later,
                };
                let left = policy.due_in(at(Duration::ZERO));
                assert!(policy.due(at(left)).is_some(), "{idle:?} {first} {last}");
                let before = left.checked_sub(Duration::from_millis(1));
                assert_eq!(before.and_then(|before| policy.due(at(before))), None);
            }
        }
    }
}
