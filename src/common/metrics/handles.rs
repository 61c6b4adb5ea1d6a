//! The series as handles, on a registry that is passed down.

use std::cell::RefCell;
use std::collections::BTreeMap;

use parking_lot::{Mutex, MutexGuard};
use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use crate::common::metrics::registry::{Making, Series};
use crate::common::metrics::series;
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
    pub unfit: IntCounterVec,
    pub schemas: IntCounterVec,
    pub results: IntCounterVec,
    pub partials: IntCounterVec,
    pub commits: IntCounterVec,
    pub commit_seconds: HistogramVec,
    pub store_seconds: HistogramVec,
    pub archive_latency: HistogramVec,
    pub results_latency: HistogramVec,
    pub count_latency: HistogramVec,
    pub transaction_records: HistogramVec,
    pub rolls: IntCounterVec,
    pub files: IntCounterVec,
    pub file_bytes: IntCounterVec,
    pub appends: IntCounterVec,
    pub gap_records: IntCounter,
    pub offsets_moved: IntCounter,
    pub store_errors: IntCounterVec,
    pub kafka_errors: IntCounterVec,
    pub rebalances: IntCounter,
    pub assigned: IntGauge,
    pub dormant: IntGauge,
    pub results_position: IntGaugeVec,
    pub archive_position: IntGaugeVec,
    pub committed_offset: IntGaugeVec,
    pub log_end_offset: IntGaugeVec,
    pub results_lag: IntGaugeVec,
    pub archive_lag: IntGaugeVec,
    pub archive_delay: IntGaugeVec,
    pub needed_delay: IntGaugeVec,
    pub results_delay: IntGaugeVec,
    pub retention_headroom: IntGaugeVec,
    pub detached: IntGaugeVec,
    pub stopped: IntGaugeVec,
    pub paused: IntGaugeVec,
    pub open_transaction: IntGaugeVec,
    pub brokers_unreachable: IntGauge,
    pub root_unavailable: IntGaugeVec,
    pub commits_failing: IntGauge,
    pub missing_topics: IntGauge,
    pub ambiguous_topics: IntGauge,
    pub unmatched_mappings: IntGauge,
    pub ready: IntGauge,
    pub buffered_bytes: IntGaugeVec,
    pub queued_bytes: IntGaugeVec,
    pub memory_budget: IntGauge,
    pub ticket_age: IntGaugeVec,
    pub open_windows: IntGaugeVec,
    pub held_back: IntGaugeVec,
    handles: Mutex<BTreeMap<TopicPartition, usize>>,
}

const PARTITION: [&str; 2] = ["topic", "partition"];

/// The commit that this binary was made of; the makefile names it.
fn revision() -> &'static str {
    option_env!("ALLUVIUM_COMMIT").filter(|commit| !commit.is_empty()).unwrap_or("unknown")
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
        let build = make.gauges(series::BUILD, &["version", "revision"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), revision()]).set(1);
        let role = ["mapping", "role"];
        let m = Metrics {
            records: make.counters(series::RECORDS, &role),
            bytes: make.counters(series::BYTES, &role),
            words: make.counters(series::WORDS, &["mapping"]),
            lossy_values: make.counters(series::LOSSY_VALUES, &["mapping"]),
            untimed: make.counters(series::UNTIMED, &["mapping"]),
            uncounted: make.counters(series::UNCOUNTED, &["mapping"]),
            unfit: make.counters(series::UNFIT, &["mapping", "outcome"]),
            schemas: make.counters(series::SCHEMAS, &["mapping", "outcome"]),
            results: make.counters(series::RESULTS, &["mapping"]),
            partials: make.counters(series::PARTIALS, &["mapping"]),
            commits: make.counters(series::COMMITS, &["outcome"]),
            commit_seconds: make.durations(series::COMMIT_SECONDS, "step"),
            store_seconds: make.durations(series::STORE_SECONDS, "operation"),
            archive_latency: make.latencies(series::ARCHIVE_LATENCY, &role),
            results_latency: make.latencies(series::RESULTS_LATENCY, &role),
            count_latency: make.latencies(series::COUNT_LATENCY, &["mapping"]),
            transaction_records: make.numbers(series::TRANSACTION_RECORDS, &["mapping"]),
            rolls: make.counters(series::ROLLS, &["reason"]),
            files: make.counters(series::FILES, &role),
            file_bytes: make.counters(series::FILE_BYTES, &role),
            appends: make.counters(series::APPENDS, &["verdict"]),
            gap_records: make.counter(series::GAP_RECORDS),
            offsets_moved: make.counter(series::OFFSETS_MOVED),
            store_errors: make.counters(series::STORE_ERRORS, &["class"]),
            kafka_errors: make.counters(series::KAFKA_ERRORS, &["step"]),
            rebalances: make.counter(series::REBALANCES),
            assigned: make.gauge(series::ASSIGNED),
            dormant: make.gauge(series::DORMANT),
            results_position: make.gauges(series::RESULTS_POSITION, &PARTITION),
            archive_position: make.gauges(series::ARCHIVE_POSITION, &PARTITION),
            committed_offset: make.gauges(series::COMMITTED_OFFSET, &PARTITION),
            log_end_offset: make.gauges(series::LOG_END_OFFSET, &PARTITION),
            results_lag: make.gauges(series::RESULTS_LAG, &PARTITION),
            archive_lag: make.gauges(series::ARCHIVE_LAG, &PARTITION),
            archive_delay: make.gauges(series::ARCHIVE_DELAY, &PARTITION),
            needed_delay: make.gauges(series::NEEDED_DELAY, &PARTITION),
            results_delay: make.gauges(series::RESULTS_DELAY, &PARTITION),
            retention_headroom: make.gauges(series::RETENTION_HEADROOM, &PARTITION),
            detached: make.gauges(series::DETACHED, &PARTITION),
            stopped: make.gauges(series::STOPPED, &["topic", "partition", "reason"]),
            paused: make.gauges(series::PAUSED, &PARTITION),
            open_windows: make.gauges(series::OPEN_WINDOWS, &PARTITION),
            held_back: make.gauges(series::HELD_BACK, &PARTITION),
            open_transaction: make.gauges(series::OPEN_TRANSACTION, &PARTITION),
            brokers_unreachable: make.gauge(series::BROKERS_UNREACHABLE),
            root_unavailable: make.gauges(series::ROOT_UNAVAILABLE, &["root"]),
            commits_failing: make.gauge(series::COMMITS_FAILING),
            missing_topics: make.gauge(series::MISSING_TOPICS),
            ambiguous_topics: make.gauge(series::AMBIGUOUS_TOPICS),
            unmatched_mappings: make.gauge(series::UNMATCHED_MAPPINGS),
            ready: make.gauge(series::READY),
            buffered_bytes: make.gauges(series::BUFFERED_BYTES, &["worker"]),
            queued_bytes: make.gauges(series::QUEUED_BYTES, &["worker"]),
            memory_budget: make.gauge(series::MEMORY_BUDGET),
            ticket_age: make.gauges(series::TICKET_AGE, &["cache"]),
            handles: Mutex::default(),
        };
        m.also_under_old_names(&make);
        m.begin_at_zero();
        (m, make.series.into_inner())
    }

    /// Series whose labels are known are there before something is counted.
    fn begin_at_zero(&self) {
        for reason in RollReason::ALL {
            let _ = self.rolls.with_label_values(&[reason.label()]);
        }
        for outcome in ["ok", "doubt"] {
            let _ = self.commits.with_label_values(&[outcome]);
        }
    }

    /// The names of the release before are served for one release more.
    fn also_under_old_names(&self, make: &Making<'_>) {
        make.renamed(series::OLD_COMMIT_SECONDS, &self.commit_seconds);
        make.renamed(series::OLD_STORE_SECONDS, &self.store_seconds);
    }

    /// How many handles there are of each partition's gauges.
    pub(super) fn handles(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, usize>> {
        self.handles.lock()
    }
}
