//! How busy the machine is, by the counters of its kernel.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use procfs::{CurrentSI, KernelStats};

/// What a share is of.
const WINDOW: Duration = Duration::from_secs(5);
/// Times are noted no more often.
const APART: Duration = Duration::from_millis(900);

/// Times of all processors since the machine started, in the kernel's ticks.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Noted {
    at: Instant,
    all: u64,
    idle: u64,
}

impl Noted {
    pub(crate) fn now() -> Noted {
        let times = KernelStats::current().unwrap().total;
        let idle = times.idle + times.iowait.unwrap_or(0);
        // What a hypervisor gave to other machines is time that this one did not have.
        let others = [times.irq, times.softirq, times.steal].map(|t| t.unwrap_or(0));
        let all = idle + times.user + times.nice + times.system + others.iter().sum::<u64>();
        Noted { at: Instant::now(), all, idle }
    }

    /// The share of the time from then to `later` in which processors were not idle; 1 where no
    /// time has passed.
    pub(crate) fn share_until(&self, later: &Noted) -> f64 {
        let all = later.all - self.all;
        if all == 0 { 1.0 } else { 1.0 - (later.idle - self.idle) as f64 / all as f64 }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.at.elapsed()
    }
}

/// Notes the times of the processors whenever it is asked.
#[derive(Default)]
pub(crate) struct Busy(Mutex<VecDeque<Noted>>);

impl Busy {
    /// The share of the last seconds in which processors were not idle; 1 where less than the whole
    /// window is known.
    pub(crate) fn share(&self) -> f64 {
        let mut noted = self.0.lock();
        if noted.back().is_none_or(|n| APART <= n.at.elapsed()) {
            noted.push_back(Noted::now());
        }
        while noted.get(1).is_some_and(|n| WINDOW <= n.at.elapsed()) {
            let _ = noted.pop_front();
        }
        let (Some(first), Some(last)) = (noted.front(), noted.back()) else { return 1.0 };
        if last.at - first.at + APART < WINDOW { 1.0 } else { first.share_until(last) }
    }

    /// What was seen until now says nothing of what comes: more runs.
    pub(crate) fn forget(&self) {
        self.0.lock().clear();
    }
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} %", self.share() * 100.0)
    }
}
