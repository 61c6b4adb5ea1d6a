//! The keys of `[archive.roll]`.

use std::time::Duration;

use crate::common::config::fields::{Faults, Fields};
use crate::pure::layout::RollPolicy;
use crate::pure::layout::ends::Schedule;

/// The keys as far as they are given.
#[derive(Clone, Default, Debug)]
pub(super) struct RollKeys {
    size: Option<u64>,
    records: Option<u64>,
    age: Option<Duration>,
    idle: Option<Duration>,
    open_files: Option<usize>,
    /// [`None`] inside of it switches an inherited schedule off.
    schedule: Option<Option<Schedule>>,
    /// As `schedule`.
    lateness: Option<Option<Duration>>,
}

impl RollKeys {
    pub(super) fn read(f: Option<Fields>, faults: &mut Faults) -> RollKeys {
        let Some(mut f) = f else { return RollKeys::default() };
        let keys = RollKeys {
            size: f.size("size", 64 << 10, faults),
            records: f.number("records", 1..=i64::MAX, faults),
            age: f.duration("age", Duration::from_secs(1), faults),
            idle: f.duration("idle", Duration::from_secs(1), faults),
            open_files: f.number("open_files", 1..=10_000, faults),
            schedule: f.parsed("schedule", faults, |text| match text {
                "off" => Ok(None),
                text => Schedule::parse(text).map(Some),
            }),
            lateness: f.parsed("lateness", faults, |text| match text {
                "off" => Ok(None),
                text => crate::pure::duration::parse(text).map(Some),
            }),
        };
        f.finish(faults);
        keys
    }

    pub(super) fn or(self, d: &RollKeys) -> RollKeys {
        RollKeys {
            size: self.size.or(d.size),
            records: self.records.or(d.records),
            age: self.age.or(d.age),
            idle: self.idle.or(d.idle),
            open_files: self.open_files.or(d.open_files),
            schedule: self.schedule.or(d.schedule),
            lateness: self.lateness.or(d.lateness),
        }
    }

    /// Whether `lateness` is given here, be it switched off.
    pub(super) fn gives_lateness(&self) -> bool {
        self.lateness.is_some()
    }

    pub(super) fn policy(&self) -> RollPolicy {
        let (schedule, lateness) = (self.schedule.flatten(), self.lateness.flatten());
        let usual = Duration::from_secs(600);
        RollPolicy {
            size_bytes: self.size.unwrap_or(128 << 20),
            records: self.records,
            // A schedule that is longer than the age would never be reached, nor would the end of
            // an hour's directory.
            age: self.age.unwrap_or_else(|| {
                let by_schedule = schedule.map_or(usual, Schedule::longest);
                let hour = Duration::from_hours(1);
                let by_lateness = lateness.map_or(usual, |late| late.saturating_add(hour));
                usual.max(by_schedule).max(by_lateness)
            }),
            idle: self.idle,
            open_files: self.open_files.unwrap_or(64),
            schedule,
            lateness,
        }
    }
}
