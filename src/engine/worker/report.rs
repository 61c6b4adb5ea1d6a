//! What operators see of one partition: its gauges, its status, and the log line of a stop.

use std::time::Duration;

use prometheus::HistogramVec;

use crate::common::clock::Now;
use crate::common::health::{Board, Subject};
use crate::common::metrics::Metrics;
use crate::common::status::{Condition, PartitionStatus, Wait};
use crate::engine::results::HeldBack;
use crate::engine::worker::delay::{Delay, seconds_between};
use crate::engine::worker::partition::PartitionSinks;
use crate::pure::protocol::Partition;

impl PartitionSinks {
    /// After a batch: what it held goes to the metrics, and the delays are noted.
    pub(super) fn after_batch(&mut self, records: usize, now: Now, metrics: &Metrics) {
        self.hand_over_tally(metrics);
        let of = (&self.tp, self.role.mapping.as_str());
        self.unfit.hand_over(of, metrics, now.instant);
        if let (Some(position), Some(rules)) = (self.machine.position(), self.machine.rules()) {
            let time = self.view.first_time;
            let labels = [self.role.mapping.as_str(), self.role.label()];
            let observe = |of: &HistogramVec, time| {
                of.with_label_values(&labels).observe(seconds_between(time, now.millis));
            };
            if self.role.archive.is_some() {
                let done = |time| observe(&metrics.archive_latency, time);
                self.view.archive_delay.read(position, time, rules.a(), now.instant, done);
            }
            if self.role.count.is_some() {
                let done = |time| observe(&metrics.results_latency, time);
                self.view.results_delay.read(position, time, rules.p(), now.instant, done);
            }
            if self.role.merges_into().is_some() {
                let needed = rules.committed_offset();
                self.view.needed_delay.read(position, time, needed, now.instant, |_| {});
            }
        }
        if let Some(merging) = self.results.merging_mut().filter(|_| 0 < records) {
            merging.measure();
        }
    }

    fn hand_over_tally(&mut self, metrics: &Metrics) {
        let tally = std::mem::take(&mut self.tally);
        if tally.records == 0 {
            return;
        }
        let labels = [self.role.mapping.as_str(), self.role.label()];
        metrics.records.with_label_values(&labels).inc_by(tally.records);
        metrics.bytes.with_label_values(&labels).inc_by(tally.bytes);
        // A mapping that does not count has no series of counts, not even one of 0.
        if self.role.count.is_none() {
            return;
        }
        metrics.words.with_label_values(&labels[..1]).inc_by(tally.words);
        metrics.lossy_values.with_label_values(&labels[..1]).inc_by(tally.lossy);
        metrics.untimed.with_label_values(&labels[..1]).inc_by(tally.untimed);
        metrics
            .uncounted
            .with_label_values(&labels[..1])
            .inc_by(tally.uncounted.saturating_add(tally.foreign));
        if 0 < tally.foreign && !std::mem::replace(&mut self.view.foreign_reported, true) {
            tracing::warn!(
                code = "AL312",
                tp = %self.tp,
                "another program writes into the partials topic; its records are not counted"
            );
        }
    }

    /// Sets the gauges, and logs what has changed.
    pub(super) fn report(&mut self, now: Now, metrics: &Metrics, repair: &str, board: &Board) {
        if self.view.root_failed && self.machine.rules().and_then(Partition::a).is_some() {
            let root = self.role.archive.as_ref().map(|a| Subject::Root(a.root.url()));
            self.view.root_failed = root.is_some_and(|root| board.outage(&root).is_some());
        }
        self.show(metrics, repair);
        let Some(rules) = self.machine.rules() else { return };
        let gauges = &self.view.gauges;
        // A role that counts nothing has no results, and one without files has no archive.
        let results = rules.p().filter(|_| self.role.count.is_some());
        let archive = rules.a().filter(|_| self.role.archive.is_some());
        self.view.last_a = archive.or(self.view.last_a);
        gauges.set_positions(results, archive, rules.committed_offset());
        let seconds = |delay: Duration| i64::try_from(delay.as_secs()).unwrap_or(i64::MAX);
        if self.role.archive.is_some() {
            gauges.archive_delay.set(seconds(since(&self.view.archive_delay, now)));
        }
        if self.role.count.is_some() {
            gauges.results_delay.set(seconds(since(&self.view.results_delay, now)));
        }
        if self.role.archive.is_none() && self.role.count.is_some() {
            let waits = [&self.view.needed_delay, &self.view.results_delay];
            let longest = waits.map(|delay| since(delay, now)).into_iter().max();
            gauges.needed_delay.set(seconds(longest.unwrap_or_default()));
        }
        let detached = self.condition() == Condition::Detached;
        gauges.paused.set(i64::from(self.machine.is_paused()));
        gauges.detached.set(i64::from(detached));
        if let Some(merging) = self.results.merging() {
            gauges.open_windows.set(merging.merge.open() as i64);
        }
    }

    /// The time of the oldest record that has to stay in the log of a partition that is not
    /// archived, milliseconds.
    fn needed_ms(&self) -> Option<i64> {
        let uncounted = self.view.results_delay.oldest();
        let uncounted = uncounted.filter(|_| self.role.archive.is_none());
        self.view.needed_delay.oldest().or(uncounted)
    }

    /// Logs that the partition has stopped or continues, and sets its gauge.
    fn show(&mut self, metrics: &Metrics, repair: &str) {
        let stopped = self.machine.stopped();
        let reason = stopped.map(|why| why.label());
        if reason == self.view.shown {
            return;
        }
        let partition = self.tp.partition.to_string();
        let labels = |reason| [&*self.tp.topic, partition.as_str(), reason];
        if let Some(old) = self.view.shown {
            let _ = metrics.stopped.remove_label_values(&labels(old));
        }
        match stopped {
            Some(why) => {
                let reason = why.label();
                metrics.stopped.with_label_values(&labels(reason)).set(1);
                let repair = why
                    .may_be_repaired()
                    .then(|| format!("{repair} {} {partition}", self.tp.topic));
                tracing::error!(
                    code = "AL301", tp = %self.tp, reason, repair,
                    "partition stopped: {why}"
                );
            }
            None => tracing::info!(tp = %self.tp, "the partition continues"),
        }
        self.view.shown = reason;
    }

    /// The assignment has ended; the next owner says what it finds.
    pub(super) fn hide(&mut self, metrics: &Metrics) {
        if let Some(reason) = self.view.shown.take() {
            let partition = self.tp.partition.to_string();
            let _ = metrics.stopped.remove_label_values(&[&*self.tp.topic, &partition, reason]);
        }
    }

    /// Whether the archive waits for its root: its end is not known, or the root has refused
    /// something of this partition and nothing was published since.
    fn waits_for_root(&self) -> bool {
        self.view.root_failed || self.machine.is_detached()
    }

    fn condition(&self) -> Condition {
        if let Some(why) = self.machine.stopped() {
            Condition::Stopped(why.to_string())
        } else if self.machine.is_paused() {
            Condition::Paused
        } else if self.waits_for_root() {
            Condition::Detached
        } else if self.machine.start().is_none() {
            Condition::Recovering
        } else {
            Condition::Running
        }
    }

    /// The partition's status, for people. `worker` is the number of its worker.
    pub(super) fn status(&self, worker: usize, now: Now) -> PartitionStatus {
        let rules = self.machine.rules();
        let open = self.archive.as_ref().and_then(|a| a.open_files(now.instant));
        let merging = self.results.merging();
        let waits = merging.into_iter().flat_map(|m| m.waits_for(now.millis));
        PartitionStatus {
            topic: self.tp.topic.to_string(),
            partition: self.tp.partition,
            mapping: self.role.mapping.clone(),
            role: self.role.label().into(),
            worker,
            archives: self.role.archive.is_some(),
            state: self.condition(),
            results: rules
                .and_then(Partition::p)
                .filter(|_| self.role.count.is_some())
                .map(|o| o.0),
            archive: rules
                .and_then(Partition::a)
                .filter(|_| self.role.archive.is_some())
                .map(|o| o.0),
            committed: rules.and_then(Partition::committed_offset).map(|o| o.0),
            end: None,
            archive_delay_s: since(&self.view.archive_delay, now).as_secs(),
            oldest_ms: self.view.archive_delay.oldest(),
            needed_ms: self.needed_ms(),
            open_files: open.map_or(0, |o| o.files),
            open_bytes: open.map_or(0, |o| o.bytes),
            open_age_s: open.map_or(0, |o| o.since_first.as_secs()),
            last_roll: self.view.last_roll.clone(),
            open_windows: merging.map(|m| m.merge.open()),
            waits_for: waits
                .map(|HeldBack { tp, waited, silent }| Wait {
                    topic: tp.topic.to_string(),
                    partition: tp.partition,
                    silent_s: silent.as_secs(),
                    held_s: waited.as_secs(),
                })
                .collect(),
            watermark: self.machine.rules().and_then(|p| p.marks().watermark),
            counts: self.role.count.is_some(),
            root: self.role.archive.as_ref().map(|a| a.root.url()),
            last_results: None,
            last_archive: None,
        }
    }
}

/// Age of the oldest record that is not done with.
fn since(delay: &Delay, now: Now) -> Duration {
    delay.since().map_or(Duration::ZERO, |at| now.instant.saturating_duration_since(at))
}
