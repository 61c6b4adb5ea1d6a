//! What the parts of the daemon share, and what people are told of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use prometheus::Registry;
use tokio::sync::watch;

use crate::clients::kafka::group::PollReports;
use crate::clients::kafka::offsets::BrokerPositions;
use crate::common::deadlines::STUCK;
use crate::common::health::{Board, Subject};
use crate::common::status::{InstanceStatus, OutageOf, OutageStatus, Throughput};
use crate::engine::topics::SourceLists;
use crate::engine::worker::{Paused, Pool};
use crate::outside::daemon::active::ActiveConfig;
use crate::outside::daemon::patterns::Patterns;

const STUCK_MS: i64 = STUCK.as_millis() as i64;

/// The state that the HTTP endpoints read.
pub(crate) struct Health {
    pub(crate) registry: Registry,
    pub(crate) pool: Arc<Pool>,
    /// Wall clock of the poll thread's last round, milliseconds.
    pub(crate) polled: AtomicI64,
    /// Topics that a mapping names and no broker has.
    pub(crate) missing: Mutex<Vec<String>>,
    /// Topics of counts that were deleted and are not there again.
    pub(crate) gone: Mutex<Vec<String>>,
    /// What is wrong with the partitions of topics of partial counts.
    pub(crate) misfits: Mutex<Vec<String>>,
    /// Topics that the regexes of two mappings match.
    pub(crate) ambiguous: Mutex<Vec<String>>,
    pub(crate) patterns: Mutex<Patterns>,
    pub(crate) sources: Arc<SourceLists>,
    pub(crate) paused: Arc<Paused>,
    pub(crate) in_force: watch::Receiver<Arc<ActiveConfig>>,
    pub(crate) instance: String,
    pub(crate) group: String,
    /// Wall clock, milliseconds.
    pub(crate) started: i64,
    pub(crate) throughput: Mutex<Throughput>,
    pub(crate) board: Arc<Board>,
    pub(crate) positions: BrokerPositions,
}

impl Health {
    /// What people are told of this instance now.
    pub(super) fn status(&self) -> InstanceStatus {
        let missing = [&self.missing.lock()[..], &self.gone.lock()[..]].concat();
        let partitions = self.pool.status();
        let unheard = self.pool.assigned_partitions().saturating_sub(partitions.len());
        let mut status = InstanceStatus {
            format: 4,
            version: env!("CARGO_PKG_VERSION").into(),
            instance: self.instance.clone(),
            group: self.group.clone(),
            now: now_ms(),
            started: self.started,
            partitions,
            missing_topics: missing,
            ambiguous_topics: self.ambiguous.lock().clone(),
            unmatched_mappings: self.patterns.lock().mappings(),
            stuck: self.stuck(),
            failed_calls: self.pool.failed_calls(),
            throughput: self.throughput.lock().rates(),
            joined_since: self.board.joined_since(),
            left_since: self.board.left_since(),
            unheard,
            not_owned: self.pool.taken(),
            outages: self.outages(),
            not_ready: Vec::new(),
        };
        status.not_ready = status.reasons();
        status
    }

    fn outages(&self) -> Vec<OutageStatus> {
        let all = self.board.outages().into_iter();
        let outages = all.map(|(subject, outage)| {
            let (of, name) = match &subject {
                Subject::Mapping(mapping) => (OutageOf::Mapping, mapping.clone()),
                Subject::Brokers => (OutageOf::Brokers, String::new()),
                Subject::Root(url) => (OutageOf::Root, url.clone()),
                Subject::Positions(mapping) => (OutageOf::Positions, mapping.clone()),
                Subject::Reading(mapping) => (OutageOf::Reading, mapping.clone()),
                Subject::MayRead(mapping) => (OutageOf::MayRead, mapping.clone()),
                Subject::MayWrite(mapping) => (OutageOf::MayWrite, mapping.clone()),
                Subject::MayJoin => (OutageOf::MayJoin, String::new()),
                Subject::Registry(mapping) => (OutageOf::Registry, mapping.clone()),
                Subject::Producer(worker) => (OutageOf::Producer, worker.number.to_string()),
                Subject::Commits(worker) => (OutageOf::Commits, worker.number.to_string()),
            };
            OutageStatus {
                of,
                name,
                mapping: subject.mapping().map(String::from),
                since: outage.since,
                cause: outage.cause,
                failed_calls: outage.failures,
                says: subject.fails(),
            }
        });
        outages.collect()
    }

    /// Sets the gauges that are made of the status.
    pub(super) fn set_gauges(&self) {
        let (status, metrics) = (self.status(), self.pool.metrics());
        let for_seconds = |since: i64| status.now.saturating_sub(since).max(1_000) / 1_000;
        let brokers = status.outages.iter().find(|o| o.of == OutageOf::Brokers);
        metrics.brokers_unreachable.set(brokers.map_or(0, |o| for_seconds(o.since)));
        let active = Arc::clone(&self.in_force.borrow());
        metrics.root_unavailable.reset();
        for url in active.stores.keys() {
            let of = |o: &&OutageStatus| o.of == OutageOf::Root && o.name == *url;
            let seconds = status.outages.iter().find(of).map_or(0, |o| for_seconds(o.since));
            metrics.root_unavailable.with_label_values(&[url]).set(seconds);
        }
        metrics.missing_topics.set(status.missing_topics.len() as i64);
        metrics.ambiguous_topics.set(status.ambiguous_topics.len() as i64);
        metrics.unmatched_mappings.set(status.unmatched_mappings.len() as i64);
        metrics.ready.set(i64::from(status.not_ready.is_empty()));
        let worst = |of: OutageOf| {
            let since = status.outages.iter().filter(|o| o.of == of).map(|o| o.since).min();
            since.map_or(0, for_seconds)
        };
        let of_commits = [OutageOf::Commits, OutageOf::Producer, OutageOf::MayWrite];
        let commits = of_commits.map(worst).into_iter().max().unwrap_or_default();
        metrics.commits_failing.set(commits);
    }

    /// What has made no progress for longer than any call may take.
    pub(super) fn stuck(&self) -> Vec<String> {
        let late = now_ms().saturating_sub(STUCK_MS);
        let mut stuck = Vec::new();
        if self.polled.load(Ordering::Relaxed) < late {
            stuck.push("the poll thread".to_string());
        }
        for (i, worker) in self.pool.workers().iter().enumerate() {
            let last = worker.view.last_round.load(Ordering::Relaxed);
            if last != 0 && last < late {
                stuck.push(format!("worker {i} of mapping {}", worker.mapping));
            }
        }
        stuck
    }
}

impl PollReports for Health {
    fn alive(&self) {
        self.polled.store(now_ms(), Ordering::Relaxed);
    }

    fn may_not_join(&self, why: &str) {
        let _ = self.board.failed(&Subject::MayJoin, "poll", why, now_ms());
    }
}

/// The wall clock, milliseconds.
pub(super) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
