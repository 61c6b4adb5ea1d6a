//! What an operator sees of an instance.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::common::status::partition::{Condition, PartitionStatus};

/// `/status.json`; a promise to scripts: fields are added, never changed. Format 1 had no field
/// with the format's number, and nothing from `joined_since` on; format 2 had no
/// `ambiguous_topics`, no `needed_ms` and no `mapping` of an outage; format 3 had no
/// `unmatched_mappings`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InstanceStatus {
    #[serde(default = "one")]
    pub format: u32,
    pub version: String,
    pub instance: String,
    pub group: String,
    /// Wall clock, milliseconds.
    pub now: i64,
    pub started: i64,
    pub partitions: Vec<PartitionStatus>,
    /// Topics that a mapping names and no broker has.
    pub missing_topics: Vec<String>,
    /// Topics that nobody reads, because the regexes of two mappings match them.
    #[serde(default)]
    pub ambiguous_topics: Vec<String>,
    /// Mappings whose topics_regex matches no topic.
    #[serde(default)]
    pub unmatched_mappings: Vec<String>,
    /// Threads without progress.
    pub stuck: Vec<String>,
    /// Calls to brokers and stores that failed, since the start.
    #[serde(default)]
    pub failed_calls: u64,
    /// Source records read a second, oldest first; one value every [`SAMPLE`].
    pub throughput: Vec<f64>,
    /// Since when this instance is in its group, milliseconds; [`None`]: it is not.
    #[serde(default)]
    pub joined_since: Option<i64>,
    /// Since when it is not in its group any more; [`None`]: it is, or it never was.
    #[serde(default)]
    pub left_since: Option<i64>,
    /// Partitions that are assigned and of which no worker has reported anything yet.
    #[serde(default)]
    pub unheard: usize,
    /// Partitions that were taken away, as they were then, until the next assignment.
    #[serde(default)]
    pub not_owned: Vec<PartitionStatus>,
    /// What fails now.
    #[serde(default)]
    pub outages: Vec<OutageStatus>,
    /// Why the instance is not ready; empty if it is.
    #[serde(default)]
    pub not_ready: Vec<String>,
}

fn one() -> u32 {
    1
}

/// A thing that the daemon depends on, and that fails.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OutageStatus {
    pub of: OutageOf,
    /// The root's URL, the mapping, or the worker's number.
    pub name: String,
    /// Whose outage it is, if it is that of one mapping.
    #[serde(default)]
    pub mapping: Option<String>,
    /// Wall clock, milliseconds.
    pub since: i64,
    /// What the latest failure said.
    pub cause: String,
    pub failed_calls: u64,
    /// What fails, in words.
    pub says: String,
}

/// What kind of thing fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutageOf {
    Brokers,
    Root,
    Mapping,
    Positions,
    Reading,
    MayRead,
    MayWrite,
    MayJoin,
    Registry,
    Producer,
    Commits,
}

/// How often throughput is measured.
pub const SAMPLE: Duration = Duration::from_secs(5);

/// A quarter of an hour.
const SAMPLES: usize = 180;

/// Records read, over time.
#[derive(Debug, Default)]
pub struct Throughput {
    last: Option<u64>,
    rates: VecDeque<f64>,
}

impl Throughput {
    pub fn sample(&mut self, records: u64) {
        if let Some(last) = self.last.replace(records) {
            self.rates.push_back(records.saturating_sub(last) as f64 / SAMPLE.as_secs_f64());
        }
        if SAMPLES < self.rates.len() {
            let _ = self.rates.pop_front();
        }
    }

    /// Records a second, oldest first; one value every [`SAMPLE`].
    #[must_use]
    pub fn rates(&self) -> Vec<f64> {
        self.rates.iter().copied().collect()
    }
}

impl InstanceStatus {
    /// The number of partitions in this condition.
    #[must_use]
    pub fn count(&self, is: impl Fn(&Condition) -> bool) -> usize {
        self.partitions.iter().filter(|p| is(&p.state)).count()
    }

    /// Whether this instance was in its group and is not any more.
    #[must_use]
    pub fn left(&self) -> bool {
        self.joined_since.is_none() && self.left_since.is_some()
    }

    /// One line that summarizes the state, for systemd and for the head of a page.
    #[must_use]
    pub fn line(&self) -> String {
        let all = self.partitions.len();
        let mut line = format!("{all} partition{}", if all == 1 { "" } else { "s" });
        let stopped = self.count(|c| matches!(c, Condition::Stopped(_)));
        for (n, what) in [
            (stopped, "stopped"),
            (self.count(|c| *c == Condition::Recovering), "recovering"),
            (self.count(|c| *c == Condition::Detached), "waiting for their root"),
            (self.not_owned.len(), "not owned any more"),
            (self.count(|c| *c == Condition::Paused), "paused"),
            (self.missing_topics.len(), "topics missing"),
            (self.ambiguous_topics.len(), "topics that two mappings match"),
            (self.unmatched_mappings.len(), "mappings without a topic"),
        ] {
            if 0 < n {
                line += &format!(", {n} {what}");
            }
        }
        for outage in &self.outages {
            line += &format!("; {}", outage.says);
        }
        if let Some(rate) = self.throughput.last() {
            line += &format!("; {rate:.0} source records a second");
        }
        line
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::common::status::partition::{Roll, Wait};

    /// Every condition of a partition; each optional field present and absent.
    fn partitions() -> Vec<PartitionStatus> {
        let source = PartitionStatus {
            topic: "orders".into(),
            partition: 3,
            mapping: "orders".into(),
            role: "source".into(),
            worker: 1,
            archives: true,
            state: Condition::Running,
            results: Some(1_300),
            archive: Some(1_250),
            committed: Some(1_200),
            end: Some(1_400),
            archive_delay_s: 12,
            oldest_ms: Some(1_795_368_000_123),
            needed_ms: None,
            open_files: 2,
            open_bytes: 4_096,
            open_age_s: 11,
            last_roll: Some(Roll {
                reason: "size".into(),
                at: 1_795_368_060_500,
                files: 1,
                bytes: 123_456,
            }),
            open_windows: None,
            waits_for: Vec::new(),
            watermark: Some(1_795_368_060_000),
            counts: true,
            root: Some("hdfs://nn:8020/a".into()),
            last_results: Some(1_300),
            last_archive: Some(1_250),
        };
        let unknown = PartitionStatus {
            partition: 4,
            state: Condition::Recovering,
            results: None,
            archive: None,
            committed: None,
            end: None,
            oldest_ms: None,
            last_roll: None,
            watermark: None,
            last_results: None,
            ..source.clone()
        };
        let merged = PartitionStatus {
            topic: "g-orders-partials".into(),
            role: "partials".into(),
            archives: false,
            root: None,
            last_archive: None,
            state: Condition::Paused,
            needed_ms: Some(1_795_368_000_456),
            open_windows: Some(5),
            waits_for: vec![Wait {
                topic: "orders".into(),
                partition: 0,
                silent_s: 90,
                held_s: 60,
            }],
            ..unknown.clone()
        };
        let detached =
            PartitionStatus { partition: 5, state: Condition::Detached, ..unknown.clone() };
        let why = "the ledger is of another root".to_string();
        let stopped =
            PartitionStatus { partition: 6, state: Condition::Stopped(why), ..unknown.clone() };
        vec![source, unknown, merged, detached, stopped]
    }

    pub(crate) fn sample() -> InstanceStatus {
        let partitions = partitions();
        let lost = PartitionStatus { partition: 7, counts: false, ..partitions[1].clone() };
        InstanceStatus {
            format: 4,
            version: "0.1.0".into(),
            instance: "host1".into(),
            group: "g".into(),
            now: 1_795_368_061_000,
            started: 1_795_360_000_000,
            partitions,
            missing_topics: vec!["absent".into()],
            ambiguous_topics: vec!["twice".into()],
            unmatched_mappings: vec!["later".into()],
            stuck: vec!["worker 0".into()],
            failed_calls: 2,
            throughput: vec![0.0, 1_234.5],
            joined_since: Some(1_795_360_001_000),
            left_since: None,
            unheard: 1,
            not_owned: vec![lost],
            outages: vec![OutageStatus {
                of: OutageOf::Root,
                name: "hdfs://nn:8020/a".into(),
                mapping: None,
                since: 1_795_368_000_000,
                cause: "connection refused".into(),
                failed_calls: 3,
                says: "the root hdfs://nn:8020/a is unavailable".into(),
            }],
            not_ready: vec![
                "topic absent does not exist".into(),
                "topics_regex of two mappings match topic twice, so nobody reads it".into(),
            ],
        }
    }

    /// A part of the format: a renamed variant is another format.
    #[test]
    fn each_kind_of_outage_has_its_word() {
        use OutageOf::{
            Brokers, Commits, Mapping, MayJoin, MayRead, MayWrite, Positions, Producer, Reading,
            Registry, Root,
        };
        for (of, word) in [
            (Brokers, "brokers"),
            (Root, "root"),
            (Mapping, "mapping"),
            (Positions, "positions"),
            (Reading, "reading"),
            (MayRead, "may_read"),
            (MayWrite, "may_write"),
            (MayJoin, "may_join"),
            (Registry, "registry"),
            (Producer, "producer"),
            (Commits, "commits"),
        ] {
            assert_eq!(serde_json::to_value(of).unwrap(), word);
        }
    }

    /// `/status.json` is a promise to scripts, and `alluvium status` reads it from daemons of other
    /// versions: a field may be added, none may be renamed or removed.
    #[test]
    fn the_status_is_the_golden_one() {
        let golden =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/status-v4.json"));
        assert_eq!(serde_json::to_string(&sample()).unwrap(), golden);
        let read: InstanceStatus = serde_json::from_str(golden).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", sample()));
    }

    #[test]
    fn the_status_of_format_3_is_read() {
        let golden =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/status-v3.json"));
        let read: InstanceStatus = serde_json::from_str(golden).unwrap();
        assert_eq!((read.format, read.ambiguous_topics.len()), (3, 1));
        assert!(read.unmatched_mappings.is_empty());
    }

    #[test]
    fn the_status_of_format_2_is_read() {
        let golden =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/status-v2.json"));
        let read: InstanceStatus = serde_json::from_str(golden).unwrap();
        assert_eq!((read.format, read.partitions.len(), read.outages.len()), (2, 5, 1));
        assert!(read.ambiguous_topics.is_empty() && read.outages[0].mapping.is_none());
        assert!(read.partitions.iter().all(|p| p.needed_ms.is_none()));
    }

    #[test]
    fn the_status_of_format_1_is_read() {
        let golden =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/status-v1.json"));
        let read: InstanceStatus = serde_json::from_str(golden).unwrap();
        assert_eq!((read.format, read.partitions.len(), read.joined_since), (1, 5, None));
        assert!(read.partitions[0].counts && read.outages.is_empty());
        assert_eq!(read.partitions[0].lags(), [Some(100), Some(150)]);
    }
}
