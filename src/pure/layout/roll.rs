//! When an attempt ends.

use std::fmt;
use std::time::Duration;

use crate::pure::layout::ends::Schedule;

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
    /// Points of the day, by the clocks of the archive's zone.
    pub schedule: Option<Schedule>,
    /// How late records of a directory may come: the attempt ends when the partition's times have
    /// left the directory by so much. [`None`] for no such rule.
    pub lateness: Option<Duration>,
}

impl RollPolicy {
    /// How often the attempts of a partition that always receives records end in a day, at least.
    #[must_use]
    pub fn rolls_a_day(&self) -> u64 {
        let by_age = 86_400_u64.div_ceil(self.age.as_secs().max(1));
        by_age.max(self.schedule.map_or(0, Schedule::points_a_day))
    }
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
    /// The clocks of the zone have reached a point of the schedule.
    Schedule,
    /// The times of the records have left a directory of the attempt.
    EventTime,
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
    pub const ALL: [RollReason; 15] = [
        RollReason::Size,
        RollReason::Records,
        RollReason::Age,
        RollReason::Idle,
        RollReason::OpenFiles,
        RollReason::Memory,
        RollReason::Schedule,
        RollReason::EventTime,
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
            RollReason::Schedule => "schedule",
            RollReason::EventTime => "event_time",
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
        matches!(self, RollReason::Age | RollReason::Idle | RollReason::Schedule)
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
    /// Time until the next point of the schedule after the first record; [`None`] without one.
    pub until_point: Option<Duration>,
    /// The times of the records have left a directory.
    pub is_left: bool,
}

/// The times of a partition's records, and the directories that they have not left yet.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct EventTimes {
    /// The latest time of a record, milliseconds.
    latest: Option<i64>,
    /// The first time after which no record of a directory is expected any more; of directories
    /// that come later than that there is none.
    leaves_at: Option<i64>,
}

impl EventTimes {
    /// A record of this time is read at `now_ms`. What is ahead of the clock counts as the clock:
    /// one wrong time would end every directory otherwise.
    #[inline]
    pub fn see(&mut self, millis: Option<i64>, now_ms: i64) {
        self.latest = self.latest.max(millis.map(|ms| ms.min(now_ms)));
    }

    /// A directory has its first record, and ends at this time. Records may come so much later. A
    /// directory that was left already ends no attempt: it would end one for each late record.
    pub fn expect_until(&mut self, end: Option<i64>, lateness: Duration) {
        let late = i64::try_from(lateness.as_millis()).unwrap_or(i64::MAX);
        let Some(until) = end.map(|end| end.saturating_add(late)) else { return };
        if self.latest.is_none_or(|latest| latest < until) {
            self.leaves_at = Some(self.leaves_at.map_or(until, |first| first.min(until)));
        }
    }

    /// Whether a directory is left.
    #[must_use]
    pub fn is_left(self) -> bool {
        self.leaves_at.is_some_and(|at| self.latest.is_some_and(|latest| at <= latest))
    }

    /// The same times, for an attempt that has no directories yet.
    #[must_use]
    pub fn of_next(self) -> EventTimes {
        EventTimes { leaves_at: None, ..self }
    }
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
        if open.is_left {
            return Some(RollReason::EventTime);
        }
        if open.until_point == Some(Duration::ZERO) {
            return Some(RollReason::Schedule);
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
        let all = [Some(by_age), by_idleness, open.until_point];
        all.into_iter().flatten().min().unwrap_or(by_age)
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
            "size records age idle open_files memory schedule event_time asked gap pause revoke \
             outage retention stop"
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
            schedule: None,
            lateness: None,
        };
        let (bytes, records, files, until_point) = (99, 49, 192, Some(s(1)));
        let (since_first, since_last, is_left) = (s(59), s(4), false);
        let quiet =
            OpenTotals { bytes, records, files, since_first, since_last, until_point, is_left };
        assert_eq!(policy.due(quiet), None);
        assert_eq!(policy.due(OpenTotals { bytes: 100, ..quiet }), Some(RollReason::Size));
        assert_eq!(policy.due(OpenTotals { records: 50, ..quiet }), Some(RollReason::Records));
        assert_eq!(policy.due(OpenTotals { files: 193, ..quiet }), Some(RollReason::OpenFiles));
        assert_eq!(policy.due(OpenTotals { since_first: s(60), ..quiet }), Some(RollReason::Age));
        assert_eq!(policy.due(OpenTotals { since_last: s(5), ..quiet }), Some(RollReason::Idle));
        let left = OpenTotals { is_left: true, ..quiet };
        assert_eq!(policy.due(left), Some(RollReason::EventTime));
        let reached = OpenTotals { until_point: Some(Duration::ZERO), ..quiet };
        assert_eq!(policy.due(reached), Some(RollReason::Schedule));
        let off = RollPolicy { idle: None, records: None, ..policy };
        assert_eq!(off.due(OpenTotals { since_last: s(50), records: 1 << 40, ..quiet }), None);
    }

    #[test]
    fn an_attempt_ends_when_its_records_have_left_a_directory() {
        let (minute, late) = (60_000, Duration::from_secs(90));
        let mut times = EventTimes::default();
        let read = |times: &mut EventTimes, at: i64, ends: Option<i64>| {
            times.see(Some(at), 100 * minute);
            if ends.is_some() {
                times.expect_until(ends, late);
            }
            times.is_left()
        };
        assert!(!read(&mut times, 59 * minute, Some(60 * minute)));
        assert!(
            !read(&mut times, 60 * minute, Some(120 * minute)),
            "its first records may come late"
        );
        assert!(!read(&mut times, 61 * minute + 29_999, None));
        assert!(read(&mut times, 61 * minute + 30_000, None));
        times = times.of_next();
        assert!(!times.is_left());
        // A record that is too late does not end the next attempt, and neither does a wrong clock.
        assert!(!read(&mut times, 59 * minute, Some(60 * minute)));
        assert!(!read(&mut times, 62 * minute, Some(120 * minute)));
        assert!(!read(&mut times, i64::MAX, Some(i64::MAX)), "the clock shows an earlier time");
        times.see(None, 200 * minute);
        times.expect_until(None, late);
        assert!(!times.is_left(), "a path without times has no end");
        times.see(Some(i64::MAX), 122 * minute);
        assert!(times.is_left());
    }

    /// A worker sleeps for so long: a limit is reached then, and not a millisecond before.
    #[test]
    fn the_clock_alone_reaches_a_limit_when_it_is_said() {
        let s = Duration::from_secs;
        let idles = [None, Some(s(5)), Some(s(90))].into_iter();
        let both = idles.flat_map(|idle| [None, Some(s(3)), Some(s(70))].map(|p| (idle, p)));
        for (idle, point) in both {
            let policy = RollPolicy {
                size_bytes: 100,
                records: None,
                age: s(60),
                idle,
                open_files: 3,
                schedule: None,
                lateness: None,
            };
            for (first, last) in [(0, 0), (58, 1), (50, 50), (59, 4)] {
                let at = |later: Duration| OpenTotals {
                    until_point: point.map(|point: Duration| point.saturating_sub(later)),
                    is_left: false,
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
