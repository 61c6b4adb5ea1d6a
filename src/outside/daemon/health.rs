//! What the parts of the daemon share, and what people are told of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use prometheus::Registry;
use tokio::sync::watch;

use crate::common::deadlines::STUCK;
use crate::common::status::{Status, Throughput};
use crate::engine::topics::SourceLists;
use crate::engine::worker::{Paused, Pool};
use crate::outside::daemon::active::ActiveConfig;

const STUCK_MS: i64 = STUCK.as_millis() as i64;

/// The state that the HTTP endpoints read.
pub(crate) struct Health {
    pub(crate) registry: Registry,
    pub(crate) pool: Arc<Pool>,
    /// Wall clock of the poll thread's last round, milliseconds.
    pub(crate) polled: AtomicI64,
    /// Topics that a mapping names and no broker has.
    pub(crate) missing: Mutex<Vec<String>>,
    /// Topics that the regexes of two mappings match.
    pub(crate) ambiguous: Mutex<Vec<String>>,
    pub(crate) sources: Arc<SourceLists>,
    pub(crate) paused: Arc<Paused>,
    pub(crate) in_force: watch::Receiver<Arc<ActiveConfig>>,
    pub(crate) instance: String,
    pub(crate) group: String,
    /// Wall clock, milliseconds.
    pub(crate) started: i64,
    pub(crate) throughput: Mutex<Throughput>,
}

impl Health {
    /// What people are told of this instance now.
    pub(super) fn status(&self) -> Status {
        let missing = self.missing.lock().clone();
        let throughput = self.throughput.lock();
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            instance: self.instance.clone(),
            group: self.group.clone(),
            now: now_ms(),
            started: self.started,
            partitions: self.pool.status(),
            missing_topics: missing,
            stuck: self.stuck(),
            failed_calls: self.pool.failed_calls(),
            throughput: throughput.rates(),
        }
    }

    /// What has made no progress for longer than any call may take.
    pub(super) fn stuck(&self) -> Vec<String> {
        let late = now_ms() - STUCK_MS;
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

/// The wall clock, milliseconds.
pub(super) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
