//! What a person is told of a partition.

use super::{Now, State};
use crate::common::status::{Condition, PartitionStatus, Wait};
use crate::pure::protocol::Partition;

impl State {
    pub(in crate::engine::worker) fn status(&self, worker: usize, now: Now) -> PartitionStatus {
        let part = self.part.as_ref();
        let state = match (&self.stopped, part) {
            (Some(stopped), _) => Condition::Stopped(stopped.text.clone()),
            (None, _) if self.paused => Condition::Paused,
            (None, Some(p))
                if self.role.archive.is_some() && p.a().is_none() && p.p().is_some() =>
            {
                Condition::Detached
            }
            (None, part) if part.and_then(Partition::start).is_none() => Condition::Recovering,
            _ => Condition::Running,
        };
        let open = self.files.as_ref().map(|f| f.open(now.instant));
        let waits = self.merging.iter().flat_map(|m| m.waits_for(now.millis));
        PartitionStatus {
            topic: self.tp.topic.to_string(),
            partition: self.tp.partition,
            mapping: self.role.mapping.clone(),
            role: self.role.label().into(),
            worker,
            archives: self.role.archive.is_some(),
            state,
            results: part.and_then(Partition::p).filter(|_| self.role.count.is_some()).map(|o| o.0),
            archive: part.and_then(Partition::a).map(|o| o.0),
            committed: part.and_then(Partition::committed_offset).map(|o| o.0),
            end: None,
            archive_delay_s: self.archive_delay(now).as_secs(),
            oldest_ms: self.delay.oldest(),
            open_files: open.map_or(0, |o| o.files),
            open_bytes: open.map_or(0, |o| o.bytes),
            open_age_s: open.map_or(0, |o| o.since_first.as_secs()),
            last_roll: self.last_roll.clone(),
            open_windows: self.merging.as_ref().map(|m| m.merge.open()),
            waits_for: waits
                .map(|(tp, silent)| Wait {
                    topic: tp.topic.to_string(),
                    partition: tp.partition,
                    silent_s: silent.as_secs(),
                })
                .collect(),
            watermark: part.and_then(|p| p.marks().watermark),
        }
    }
}
