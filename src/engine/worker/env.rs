//! What a worker works with.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use crate::clients::kafka::Fatal;
use crate::clients::kafka::offsets::Positions;
use crate::common::clock::Now;
use crate::common::health::Board;
use crate::common::metrics::Metrics;
use crate::engine::topics::SourceLists;

/// What all workers of an instance have in common.
#[derive(Clone)]
pub struct Env {
    pub sources: Arc<SourceLists>,
    pub paused: Arc<Paused>,
    pub metrics: Arc<Metrics>,
    pub positions: Arc<dyn Positions>,
    pub runtime: tokio::runtime::Handle,
    pub commit_interval: Duration,
    pub memory: Arc<Memory>,
    /// Called once with the reason if the whole process has to end.
    pub fatal: Arc<dyn Fn(Fatal) + Send + Sync>,
    /// Leaves the group and joins it again: a partition's fetching has stopped for good.
    pub rejoin: Arc<dyn Fn() + Send + Sync>,
    pub clock: fn() -> Now,
    /// What is known of brokers, roots and mappings.
    pub board: Arc<Board>,
    /// The command that repairs a partition, but for its name.
    pub repair: Arc<str>,
}

impl Env {
    /// What each of the four holders of a worker's memory may have: counts, open windows, open
    /// files, and bytes on their way into the store. Bytes.
    #[must_use]
    pub fn quarter(&self) -> usize {
        self.memory.share() / 4
    }
}

/// What `daemon.memory` allows, shared equally by the workers that own a partition.
#[derive(Debug)]
pub struct Memory {
    /// Bytes.
    whole: usize,
    workers: AtomicUsize,
}

impl Memory {
    /// As many bytes, for one worker at first.
    #[must_use]
    pub fn new(whole: usize) -> Memory {
        Memory { whole, workers: AtomicUsize::new(1) }
    }

    pub(super) fn share_among(&self, workers: usize) {
        self.workers.store(workers.max(1), Ordering::Relaxed);
    }

    /// One worker's part, bytes.
    fn share(&self) -> usize {
        self.whole / self.workers.load(Ordering::Relaxed)
    }
}

/// Mappings that an operator pauses; of this process alone.
#[derive(Debug, Default)]
pub struct Paused(RwLock<BTreeSet<String>>);

impl Paused {
    /// Pauses a mapping, or resumes it; whether that changes anything.
    pub fn set(&self, mapping: &str, paused: bool) -> bool {
        let mut all = self.0.write();
        if paused { all.insert(mapping.into()) } else { all.remove(mapping) }
    }

    pub(super) fn has(&self, mapping: &str) -> bool {
        self.0.read().contains(mapping)
    }
}
