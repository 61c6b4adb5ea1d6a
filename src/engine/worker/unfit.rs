//! The records of one partition that did not become rows: for the metrics, and for the log.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::common::metrics::Metrics;
use crate::engine::archive::files::Archived;
use crate::pure::record::{Offset, TopicPartition};

/// The log has one line of a partition in this time at most.
const PAUSE: Duration = Duration::from_secs(60);

/// Records since the last batch, and bad ones since the last line in the log.
#[derive(Default, Debug)]
pub(super) struct Unfit {
    /// How many since the last batch, by the series' label `outcome`.
    numbers: BTreeMap<&'static str, u64>,
    /// The latest bad record that no line has told yet.
    latest: Option<(Offset, String)>,
    untold: u64,
    told_at: Option<Instant>,
}

impl Unfit {
    /// Adds what became of a record.
    #[cold]
    pub(super) fn add(&mut self, offset: Offset, archived: Archived) {
        let (outcome, why) = match archived {
            Archived::Row => return,
            Archived::Dropped => ("dropped", None),
            Archived::Quarantined(why) => ("quarantined", Some(why)),
            Archived::Skipped(why) => ("skipped", Some(why)),
        };
        let number = self.numbers.entry(outcome).or_default();
        *number = number.saturating_add(1);
        if let Some(why) = why {
            self.untold = self.untold.saturating_add(1);
            self.latest = Some((offset, why));
        }
    }

    /// Adds the numbers to the series of the mapping, and tells the log of bad records unless it
    /// was told within the last minute.
    pub(super) fn hand_over(
        &mut self,
        (tp, mapping): (&TopicPartition, &str),
        metrics: &Metrics,
        now: Instant,
    ) {
        for (outcome, number) in &mut self.numbers {
            let number = std::mem::take(number);
            if 0 < number {
                metrics.unfit.with_label_values(&[mapping, *outcome]).inc_by(number);
            }
        }
        let may_tell = self.told_at.is_none_or(|at| PAUSE <= now.saturating_duration_since(at));
        if !may_tell {
            return;
        }
        if let Some((offset, why)) = self.latest.take() {
            let records = std::mem::take(&mut self.untold);
            self.told_at = Some(now);
            tracing::warn!(
                code = "AL310",
                %tp, records, offset = offset.0, why,
                "records do not fit the archive's columns or format: they are in the quarantine, \
                 or left out (on_bad_record); the offset and the reason are those of the latest"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;

    #[test]
    fn each_record_is_counted_once_and_told_once_a_minute() {
        let metrics = Metrics::new(&Registry::new());
        let tp = TopicPartition { topic: "t".into(), partition: 2 };
        let start = Instant::now();
        let mut unfit = Unfit::default();
        let count = |outcome| metrics.unfit.with_label_values(&["m", outcome]).get();
        for second in 0..90 {
            unfit.add(Offset(second), Archived::Quarantined("not JSON".into()));
            unfit.add(Offset(second), Archived::Dropped);
            unfit.hand_over((&tp, "m"), &metrics, start + Duration::from_secs(second as u64));
        }
        unfit.add(Offset(90), Archived::Skipped("not JSON".into()));
        unfit.hand_over((&tp, "m"), &metrics, start + Duration::from_secs(90));
        assert_eq!((count("quarantined"), count("skipped"), count("dropped")), (90, 1, 90));
        assert_eq!(unfit.told_at, Some(start + Duration::from_secs(60)));
        assert_eq!(unfit.untold, 30, "they wait for the next line");
    }
}
