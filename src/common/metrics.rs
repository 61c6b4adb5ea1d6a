//! The series that Prometheus scrapes, on a registry that is passed down.
//!
//! Label values come from closed sets; topic and partition stand on gauges only.

use std::cell::RefCell;

use prometheus::core::Collector;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::pure::layout::RollReason;
use crate::pure::record::TopicPartition;

/// Every series of this process.
#[derive(Debug)]
pub struct Metrics {
    pub records: IntCounterVec,
    pub bytes: IntCounterVec,
    pub words: IntCounterVec,
    pub lossy_values: IntCounterVec,
    pub untimed: IntCounterVec,
    pub uncounted: IntCounterVec,
    pub results: IntCounterVec,
    pub partials: IntCounterVec,
    pub commits: IntCounterVec,
    pub commit_seconds: HistogramVec,
    pub store_seconds: HistogramVec,
    pub rolls: IntCounterVec,
    pub files: IntCounterVec,
    pub file_bytes: IntCounterVec,
    pub appends: IntCounterVec,
    #[allow(dead_code, reason = "its writer comes with the next change of the archive")]
    pub gap_records: IntCounter,
    pub store_errors: IntCounterVec,
    pub kafka_errors: IntCounterVec,
    pub rebalances: IntCounter,
    pub assigned: IntGauge,
    pub results_position: IntGaugeVec,
    pub archive_position: IntGaugeVec,
    pub committed_offset: IntGaugeVec,
    pub log_end_offset: IntGaugeVec,
    pub results_lag: IntGaugeVec,
    pub archive_lag: IntGaugeVec,
    pub archive_delay: IntGaugeVec,
    pub results_delay: IntGaugeVec,
    pub retention_headroom: IntGaugeVec,
    pub detached: IntGaugeVec,
    pub stopped: IntGaugeVec,
    pub paused: IntGaugeVec,
    pub buffered_bytes: IntGaugeVec,
    pub queued_bytes: IntGaugeVec,
    pub memory_budget: IntGauge,
    pub ticket_age: IntGaugeVec,
    pub open_windows: IntGaugeVec,
    pub held_back: IntGaugeVec,
}

const PARTITION: [&str; 2] = ["topic", "partition"];

/// One series, as `docs/metrics.md` lists it.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    pub kind: &'static str,
    pub labels: Vec<String>,
    pub help: String,
}

/// Registers series, and writes down which.
struct Making<'r> {
    registry: &'r Registry,
    series: RefCell<Vec<Series>>,
}

impl Making<'_> {
    fn note<C: Collector + Clone + 'static>(
        &self,
        kind: &'static str,
        made: prometheus::Result<C>,
    ) -> C {
        let made = made.expect("a constant name");
        let desc = made.desc();
        self.series.borrow_mut().extend(desc.iter().map(|d| Series {
            name: d.fq_name.clone(),
            kind,
            labels: d.variable_labels.clone(),
            help: d.help.clone(),
        }));
        self.registry.register(Box::new(made.clone())).expect("each name is registered once");
        made
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.note("counter", IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.note("gauge", IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn seconds(&self, name: &str, help: &str, label: &str) -> HistogramVec {
        let buckets = vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let options = HistogramOpts::new(name, help).buckets(buckets);
        self.note("histogram", HistogramVec::new(options, &[label]))
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.note("counter", IntCounter::new(name, help))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.note("gauge", IntGauge::new(name, help))
    }
}

/// Every series that there is, by name.
#[must_use]
pub fn catalogue() -> Vec<Series> {
    let mut all = Metrics::make(&Registry::new()).1;
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

impl Metrics {
    /// Registers every series; once a registry.
    #[must_use]
    pub fn new(r: &Registry) -> Metrics {
        Metrics::make(r).0
    }

    fn make(r: &Registry) -> (Metrics, Vec<Series>) {
        let make = Making { registry: r, series: RefCell::default() };
        let build =
            make.gauges("alluvium_build_info", "1, with the version as a label.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let role = ["mapping", "role"];
        let m = Metrics {
            records: make.counters(
                "alluvium_records_total",
                "Records that were read, including those that were read again.",
                &role,
            ),
            bytes: make.counters(
                "alluvium_record_bytes_total",
                "Bytes of keys and values that were read.",
                &role,
            ),
            words: make.counters("alluvium_words_total", "Words counted.", &["mapping"]),
            lossy_values: make.counters(
                "alluvium_lossy_values_total",
                "Values that are not UTF-8, and were counted with replacement characters.",
                &["mapping"],
            ),
            untimed: make.counters(
                "alluvium_untimed_records_total",
                "Records counted by another time than the mapping's, because that time is missing \
                 or unreadable.",
                &["mapping"],
            ),
            uncounted: make.counters(
                "alluvium_uncounted_records_total",
                "Records without anything to count: no value, no key, or no such field.",
                &["mapping"],
            ),
            results: make.counters(
                "alluvium_results_total",
                "Counts published in committed transactions.",
                &["mapping"],
            ),
            partials: make.counters(
                "alluvium_partials_total",
                "Messages of partial counts sent in committed transactions.",
                &["mapping"],
            ),
            commits: make.counters(
                "alluvium_commits_total",
                "Transactions by outcome: ok, or doubt (the positions were read back).",
                &["outcome"],
            ),
            commit_seconds: make.seconds(
                "alluvium_commit_seconds",
                "Duration of a commit by step: send (records to the client), deliver (until the \
                 brokers have the records), offsets, end.",
                "step",
            ),
            store_seconds: make.seconds(
                "alluvium_store_seconds",
                "Duration of one operation of the store, including failed operations.",
                "operation",
            ),
            rolls: make.counters(
                "alluvium_rolls_total",
                "Attempts that were sealed, by the rule that ended them.",
                &["reason"],
            ),
            files: make.counters("alluvium_files_total", "Files appended to the ledger.", &role),
            file_bytes: make.counters(
                "alluvium_file_bytes_total",
                "Bytes of files appended to the ledger.",
                &role,
            ),
            appends: make.counters(
                "alluvium_appends_total",
                "Appends to the ledger, by verdict.",
                &["verdict"],
            ),
            gap_records: make.counter(
                "alluvium_gap_offsets_total",
                "Offsets in gap entries: retention deleted the records before they were archived.",
            ),
            store_errors: make.counters(
                "alluvium_store_errors_total",
                "Failed operations of the store, by class.",
                &["class"],
            ),
            kafka_errors: make.counters(
                "alluvium_kafka_errors_total",
                "Failed operations of Kafka, by step.",
                &["step"],
            ),
            rebalances: make.counter(
                "alluvium_rebalances_total",
                "Generations of the group that this instance took part in.",
            ),
            assigned: make
                .gauge("alluvium_assigned_partitions", "Partitions that this instance owns."),
            results_position: make.gauges(
                "alluvium_results_position",
                "P: the next offset whose results are not committed.",
                &PARTITION,
            ),
            archive_position: make.gauges(
                "alluvium_archive_position",
                "A: the next offset that is not in the ledger.",
                &PARTITION,
            ),
            committed_offset: make.gauges(
                "alluvium_committed_offset",
                "F: the committed offset.",
                &PARTITION,
            ),
            log_end_offset: make.gauges(
                "alluvium_log_end_offset",
                "The partition's last stable offset.",
                &PARTITION,
            ),
            results_lag: make.gauges(
                "alluvium_results_lag_records",
                "Offsets from P to the log's end.",
                &PARTITION,
            ),
            archive_lag: make.gauges(
                "alluvium_archive_lag_records",
                "Offsets from A to the log's end.",
                &PARTITION,
            ),
            archive_delay: make.gauges(
                "alluvium_archive_delay_seconds",
                "Seconds since the oldest record was read that is not in the ledger.",
                &PARTITION,
            ),
            results_delay: make.gauges(
                "alluvium_results_delay_seconds",
                "Seconds since the oldest record was read whose results are not committed.",
                &PARTITION,
            ),
            retention_headroom: make.gauges(
                "alluvium_retention_headroom_seconds",
                "Seconds until the broker may delete the oldest record that is not archived.",
                &PARTITION,
            ),
            detached: make.gauges(
                "alluvium_archive_detached",
                "1 while the store does not answer and results continue alone.",
                &PARTITION,
            ),
            stopped: make.gauges(
                "alluvium_partition_stopped",
                "1 for a partition that is stopped and needs attention.",
                &["topic", "partition", "reason"],
            ),
            paused: make.gauges(
                "alluvium_partition_paused",
                "1 while an operator has paused the mapping in this instance.",
                &PARTITION,
            ),
            open_windows: make.gauges(
                "alluvium_merge_open_windows",
                "Windows that are open, by partition of the partials topic.",
                &PARTITION,
            ),
            held_back: make.gauges(
                "alluvium_merge_held_back_seconds",
                "Seconds since a source partition was last heard of, while windows wait for the \
                 partition.",
                &PARTITION,
            ),
            buffered_bytes: make.gauges(
                "alluvium_buffered_bytes",
                "Bytes in memory: of open files, and of data on its way to the store.",
                &["worker"],
            ),
            queued_bytes: make.gauges(
                "alluvium_store_queue_bytes",
                "Bytes on their way to the store; at most a quarter of the worker's budget.",
                &["worker"],
            ),
            memory_budget: make
                .gauge("alluvium_memory_budget_bytes", "daemon.memory, which all workers share."),
            ticket_age: make.gauges(
                "alluvium_kerberos_ticket_age_seconds",
                "Seconds since the Kerberos credential cache was written; absent without a cache.",
                &["cache"],
            ),
        };
        for reason in RollReason::ALL {
            let _ = m.rolls.with_label_values(&[reason.label()]);
        }
        for outcome in ["ok", "doubt"] {
            let _ = m.commits.with_label_values(&[outcome]);
        }
        (m, make.series.into_inner())
    }

    /// Removes a partition's gauges: it belongs to another instance now.
    pub fn forget(&self, tp: &TopicPartition) {
        let partition = tp.partition.to_string();
        let labels = [&*tp.topic, &partition];
        let all = [
            &self.results_position,
            &self.archive_position,
            &self.committed_offset,
            &self.log_end_offset,
            &self.results_lag,
            &self.archive_lag,
            &self.archive_delay,
            &self.results_delay,
            &self.retention_headroom,
            &self.detached,
            &self.paused,
            &self.open_windows,
        ];
        for gauge in all {
            let _ = gauge.remove_label_values(&labels);
        }
    }
}
