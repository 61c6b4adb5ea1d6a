//! The gauges of one partition that this instance owns.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use prometheus::{IntGauge, IntGaugeVec};

use crate::common::metrics::handles::Metrics;
use crate::pure::record::{Offset, TopicPartition};

/// An end of a log that nobody has confirmed for so long, in milliseconds, is not known any more.
const END_KEPT: i64 = 30_000;

/// One gauge of one partition. Its series exists while it has a value.
#[derive(Debug)]
pub struct PartitionGauge {
    family: IntGaugeVec,
    labels: Arc<[String; 2]>,
    series: Mutex<Option<IntGauge>>,
}

impl PartitionGauge {
    /// Sets the value.
    pub fn set(&self, value: i64) {
        let labels = [&self.labels[0], &self.labels[1]];
        let make = || self.family.with_label_values(&labels);
        self.series.lock().get_or_insert_with(make).set(value);
    }

    /// There is no value any more.
    fn clear(&self) {
        if self.series.lock().take().is_some() {
            let _ = self.family.remove_label_values(&[&self.labels[0], &self.labels[1]]);
        }
    }
}

/// What is known of a partition's log: as it was last set by the worker, or by the job that asks
/// for the ends.
#[derive(Clone, Copy, Default, Debug)]
struct Known {
    results: Option<Offset>,
    archive: Option<Offset>,
    end: Option<Offset>,
    /// When a broker last said where the log ends, or was first asked in vain; milliseconds.
    end_at: Option<i64>,
    /// A last stable offset that is below the log's end, and since when: milliseconds.
    pinned: Option<(Offset, i64)>,
    /// When that was looked at last, milliseconds.
    looked: Option<i64>,
}

/// A partition's gauges, made when the partition is assigned. Its series go when the last handle
/// of the partition is dropped: a thread that sets a value while the partition is revoked leaves no
/// series behind, and the next owner of the same process keeps its own.
#[derive(Debug)]
pub struct PartitionGauges {
    metrics: Arc<Metrics>,
    tp: TopicPartition,
    known: Mutex<Known>,
    pub archive_delay: PartitionGauge,
    pub needed_delay: PartitionGauge,
    pub results_delay: PartitionGauge,
    pub retention_headroom: PartitionGauge,
    pub detached: PartitionGauge,
    pub paused: PartitionGauge,
    pub open_windows: PartitionGauge,
    open_transaction: PartitionGauge,
    committed_offset: PartitionGauge,
    results_position: PartitionGauge,
    archive_position: PartitionGauge,
    log_end_offset: PartitionGauge,
    results_lag: PartitionGauge,
    archive_lag: PartitionGauge,
}

impl Metrics {
    /// A handle of a partition's gauges.
    #[must_use]
    pub fn partition(self: &Arc<Metrics>, tp: &TopicPartition) -> PartitionGauges {
        self.handles().entry(tp.clone()).and_modify(|n| *n = n.saturating_add(1)).or_insert(1);
        let labels = Arc::new([tp.topic.to_string(), tp.partition.to_string()]);
        let gauge = |family: &IntGaugeVec| PartitionGauge {
            family: family.clone(),
            labels: Arc::clone(&labels),
            series: Mutex::default(),
        };
        PartitionGauges {
            metrics: Arc::clone(self),
            tp: tp.clone(),
            known: Mutex::default(),
            archive_delay: gauge(&self.archive_delay),
            needed_delay: gauge(&self.needed_delay),
            results_delay: gauge(&self.results_delay),
            retention_headroom: gauge(&self.retention_headroom),
            detached: gauge(&self.detached),
            paused: gauge(&self.paused),
            open_windows: gauge(&self.open_windows),
            open_transaction: gauge(&self.open_transaction),
            committed_offset: gauge(&self.committed_offset),
            results_position: gauge(&self.results_position),
            archive_position: gauge(&self.archive_position),
            log_end_offset: gauge(&self.log_end_offset),
            results_lag: gauge(&self.results_lag),
            archive_lag: gauge(&self.archive_lag),
        }
    }
}

impl PartitionGauges {
    /// Sets P, A and F as far as they are known. An unknown one keeps its last value: while a
    /// partition recovers or is stopped, its lag goes on to grow with the log.
    pub fn set_positions(
        &self,
        results: Option<Offset>,
        archive: Option<Offset>,
        committed: Option<Offset>,
    ) {
        let positions = [
            (&self.results_position, results),
            (&self.archive_position, archive),
            (&self.committed_offset, committed),
        ];
        for (gauge, offset) in positions {
            if let Some(offset) = offset {
                gauge.set(offset.0);
            }
        }
        let mut known = self.lock();
        known.results = results.or(known.results);
        known.archive = archive.or(known.archive);
        self.set_lags(*known);
    }

    /// Sets the log's last stable offset, as it was at `now`, milliseconds.
    pub fn set_end(&self, end: Offset, now: i64) {
        self.log_end_offset.set(end.0);
        let mut known = self.lock();
        known.end = Some(end);
        known.end_at = Some(now);
        self.set_lags(*known);
    }

    /// No broker has said at `now` where the log ends. After a while the end that was known is
    /// forgotten, and the lags with it: a lag that does not grow would say that all is well.
    pub fn end_is_unknown(&self, now: i64) {
        let mut known = self.lock();
        if END_KEPT <= now.saturating_sub(*known.end_at.get_or_insert(now)) {
            known.end = None;
            for gauge in [&self.log_end_offset, &self.results_lag, &self.archive_lag] {
                gauge.clear();
            }
        }
    }

    /// Sets the log's end with the records of open transactions. Returns for how many seconds, at
    /// the look before and now, the last stable offset has stood below it.
    pub fn set_full_end(&self, end: Offset, now: i64) -> [i64; 2] {
        let mut known = self.lock();
        let seconds = |pinned: Option<(Offset, i64)>| {
            pinned.map_or(0, |(_, since)| now.saturating_sub(since).max(0) / 1_000)
        };
        let before = known.pinned;
        known.pinned = known.end.filter(|stable| *stable < end).map(|stable| match before {
            Some((same, since)) if same == stable => (same, since),
            _ => (stable, now),
        });
        let after = seconds(known.pinned);
        let looked = known.looked.replace(now).unwrap_or(now);
        drop(known);
        self.open_transaction.set(after);
        let before = before.map_or(0, |(_, since)| looked.saturating_sub(since).max(0) / 1_000);
        [before, after]
    }

    /// The log's last stable offset, when it was asked for last; [`None`] before the first answer.
    #[must_use]
    pub fn end(&self) -> Option<Offset> {
        self.lock().end
    }

    /// P and A when they were known last.
    #[must_use]
    pub fn positions(&self) -> [Option<Offset>; 2] {
        let known = self.lock();
        [known.results, known.archive]
    }

    /// What has no position has no lag.
    fn set_lags(&self, known: Known) {
        let Some(end) = known.end else { return };
        for (gauge, position) in
            [(&self.results_lag, known.results), (&self.archive_lag, known.archive)]
        {
            if let Some(position) = position {
                gauge.set(end.0.saturating_sub(position.0).max(0));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock()
    }
}

impl Drop for PartitionGauges {
    fn drop(&mut self) {
        let mut handles = self.metrics.handles();
        let left = handles.remove(&self.tp).unwrap_or(1).saturating_sub(1);
        if 0 < left {
            let _ = handles.insert(self.tp.clone(), left);
            return;
        }
        for gauge in [
            &self.archive_delay,
            &self.needed_delay,
            &self.results_delay,
            &self.retention_headroom,
            &self.detached,
            &self.paused,
            &self.open_windows,
            &self.open_transaction,
            &self.committed_offset,
            &self.results_position,
            &self.archive_position,
            &self.log_end_offset,
            &self.results_lag,
            &self.archive_lag,
        ] {
            // One without a value has no series of its own.
            let _ = gauge.family.remove_label_values(&[&gauge.labels[0], &gauge.labels[1]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;

    fn series(registry: &Registry) -> Vec<String> {
        let families = registry.gather();
        let of_partitions = families.iter().filter(|f| {
            f.get_metric().iter().any(|m| m.get_label().iter().any(|l| l.name() == "partition"))
        });
        of_partitions
            .map(|f| format!("{} {}", f.name(), f.get_metric()[0].get_gauge().get_value()))
            .collect()
    }

    #[test]
    fn there_is_no_lag_without_a_position_and_no_series_without_a_value() {
        let registry = Registry::new();
        let metrics = Arc::new(Metrics::new(&registry));
        let tp = TopicPartition { topic: "t".into(), partition: 0 };
        let gauges = metrics.partition(&tp);
        assert!(series(&registry).is_empty());
        gauges.set_end(Offset(100), 0);
        assert_eq!(series(&registry), ["alluvium_log_end_offset 100"]);
        gauges.set_positions(Some(Offset(40)), None, None);
        let results = [
            "alluvium_log_end_offset 100",
            "alluvium_results_lag_records 60",
            "alluvium_results_position 40",
        ];
        assert_eq!(series(&registry), results);
        // It recovers: the log grows meanwhile.
        gauges.set_positions(None, None, None);
        gauges.set_end(Offset(110), 0);
        assert!(series(&registry).contains(&"alluvium_results_lag_records 70".to_string()));
        drop(gauges);
        assert!(series(&registry).is_empty());
    }

    #[test]
    fn an_end_that_no_broker_confirms_is_not_known_any_more() {
        let registry = Registry::new();
        let metrics = Arc::new(Metrics::new(&registry));
        let gauges = metrics.partition(&TopicPartition { topic: "t".into(), partition: 0 });
        gauges.set_positions(Some(Offset(40)), Some(Offset(30)), None);
        gauges.set_end(Offset(100), 1_000);
        gauges.end_is_unknown(1_000 + END_KEPT - 1);
        assert_eq!((series(&registry).len(), gauges.end()), (5, Some(Offset(100))));
        gauges.end_is_unknown(1_000 + END_KEPT);
        let positions = ["alluvium_archive_position 30", "alluvium_results_position 40"];
        assert_eq!((series(&registry), gauges.end()), (positions.map(Into::into).to_vec(), None));
        // P moves while nobody knows the end.
        gauges.set_positions(Some(Offset(50)), None, None);
        assert_eq!(series(&registry).len(), 2);
        gauges.set_end(Offset(120), 99_000);
        assert!(series(&registry).contains(&"alluvium_results_lag_records 70".to_string()));
        assert_eq!(series(&registry).len(), 5);
    }

    #[test]
    fn a_stable_offset_that_stands_below_the_end_is_seen() {
        let registry = Registry::new();
        let metrics = Arc::new(Metrics::new(&registry));
        let gauges = metrics.partition(&TopicPartition { topic: "t".into(), partition: 0 });
        gauges.set_end(Offset(10), 0);
        assert_eq!(gauges.set_full_end(Offset(10), 0), [0, 0]);
        assert_eq!(gauges.set_full_end(Offset(15), 1_000), [0, 0]);
        // It moves, so transactions end.
        gauges.set_end(Offset(12), 0);
        assert_eq!(gauges.set_full_end(Offset(15), 6_000), [0, 0]);
        assert_eq!(gauges.set_full_end(Offset(99), 36_000), [0, 30]);
        assert_eq!(gauges.set_full_end(Offset(99), 70_000), [30, 64]);
        gauges.set_end(Offset(99), 0);
        assert_eq!(gauges.set_full_end(Offset(99), 71_000), [64, 0]);
    }

    #[test]
    fn series_stay_until_the_last_handle_is_dropped() {
        let registry = Registry::new();
        let metrics = Arc::new(Metrics::new(&registry));
        let tp = TopicPartition { topic: "t".into(), partition: 0 };
        let (old, new) = (metrics.partition(&tp), metrics.partition(&tp));
        old.set_end(Offset(1), 0);
        new.set_end(Offset(2), 0);
        drop(old);
        assert_eq!(series(&registry), ["alluvium_log_end_offset 2"]);
        new.set_end(Offset(3), 0);
        assert_eq!(series(&registry), ["alluvium_log_end_offset 3"]);
        drop(new);
        assert!(series(&registry).is_empty());
    }
}
