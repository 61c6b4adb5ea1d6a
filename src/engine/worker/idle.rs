//! How long a worker may sleep: until the clock alone makes something due.
//!
//! Messages, answers and records wake a worker. What comes by the clock is known in advance where
//! a partition has read its log to the end and nothing has failed: rolls and commits. Everything
//! else (pauses after failures, windows that close, turns and slots) is found by looking often.

use std::time::Duration;

use crate::common::clock::Now;
use crate::engine::worker::env::Env;
use crate::engine::worker::partition::OwnedPartition;
use crate::engine::worker::round::{Drain, Worker};
use crate::engine::worker::turns::IDLE;
use crate::pure::protocol::machine::ReadStep;

/// A worker looks at everything this often, and reports as often.
pub(super) const QUIET: Duration = Duration::from_secs(1);

impl OwnedPartition {
    /// Time until the clock alone makes something due; [`None`] if that is not known.
    fn due_in(&self, now: Now, env: &Env) -> Option<Duration> {
        let sinks = &self.sinks;
        let reads = sinks.machine.next_read(now.moment()) == ReadStep::Read;
        let windows = sinks.results.merging().is_some_and(|m| 0 < m.merge.open());
        let store =
            sinks.machine.is_detached() || sinks.view.root_was_full || 0 < sinks.bytes_under_way();
        let first = sinks.machine.waits_for_first_commit();
        if !reads || !self.fetching.is_at_end() || windows || store || first {
            return None;
        }
        let commit = sinks.wants_commit().then(|| sinks.interval_left(now, env));
        let roll = sinks.archive.as_ref().and_then(|a| a.roll_in(now.instant));
        // What is overdue has been tried in this round, and is tried again soon.
        let by_clock = [commit, roll].into_iter().flatten();
        let by_clock = by_clock.map(|left| if left.is_zero() { IDLE } else { left });
        by_clock.chain(sinks.results_due_in(now, env)).chain([QUIET]).min()
    }
}

impl Worker {
    /// How long nothing will be due.
    pub(super) fn until_due(&self, now: Now) -> Duration {
        // A round over a thousand partitions costs much more than one over ten.
        let often = IDLE * (self.owned.len() / 50).clamp(1, 10) as u32;
        let ends = !self.handovers.is_empty() || matches!(self.drain, Drain::Until { .. });
        let mut sleep = if ends { often } else { QUIET };
        for (tp, owned) in &self.owned {
            let due = owned.due_in(now, &self.env);
            let results = || owned.sinks.results_due_in(now, &self.env).unwrap_or(often);
            let due = due.unwrap_or_else(|| results().min(often));
            // What is due is not tried yet.
            let waits = due.is_zero() && self.commit_is_postponed(tp, now);
            sleep = sleep.min(if waits { IDLE } else { due });
        }
        sleep.max(Duration::from_millis(1))
    }
}
