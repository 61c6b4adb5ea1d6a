//! What a person is told of an instance.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::common::status::partition::{Condition, PartitionStatus};

/// `/status.json`; a promise to scripts: fields are added, never changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub instance: String,
    pub group: String,
    /// Wall clock, milliseconds.
    pub now: i64,
    pub started: i64,
    pub partitions: Vec<PartitionStatus>,
    /// Topics that a mapping names and no broker has.
    pub missing_topics: Vec<String>,
    /// Threads without progress.
    pub stuck: Vec<String>,
    /// Calls to brokers and stores that failed, since the start.
    #[serde(default)]
    pub failed_calls: u64,
    /// Records read a second, oldest first; one value every [`SAMPLE`].
    pub throughput: Vec<f64>,
}

/// How often throughput is looked at.
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

impl Status {
    /// The number of partitions in this condition.
    #[must_use]
    pub fn count(&self, is: impl Fn(&Condition) -> bool) -> usize {
        self.partitions.iter().filter(|p| is(&p.state)).count()
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
            (self.count(|c| *c == Condition::Detached), "waiting for the store"),
            (self.count(|c| *c == Condition::Paused), "paused"),
            (self.missing_topics.len(), "topics missing"),
        ] {
            if 0 < n {
                line += &format!(", {n} {what}");
            }
        }
        if let Some(rate) = self.throughput.last() {
            line += &format!("; {rate:.0} records a second");
        }
        line
    }
}
