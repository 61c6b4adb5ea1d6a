//! What a worker works with.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use crate::clients::kafka::Fatal;
use crate::clients::kafka::offsets::Positions;
use crate::clients::registry::SchemaSource;
use crate::common::clock::Now;
use crate::common::config::budget;
use crate::common::health::Board;
use crate::common::metrics::Metrics;
use crate::engine::archive::open::OpenFiles;
use crate::engine::topics::SourceLists;
use crate::engine::worker::fetching::Dormancy;
use crate::engine::worker::slot_pool::SlotPool;
use crate::pure::record::TopicPartition;

/// What all workers of an instance have in common.
#[derive(Clone)]
pub struct Env {
    pub sources: Arc<SourceLists>,
    pub paused: Arc<Paused>,
    pub metrics: Arc<Metrics>,
    pub positions: Arc<dyn Positions>,
    /// [`None`]: no mapping has values of a registry.
    pub registry: Option<Arc<dyn SchemaSource>>,
    pub runtime: tokio::runtime::Handle,
    pub commit_interval: Duration,
    /// Another number for each instance, so that instances do not all try again at the same moment.
    pub jitter: u32,
    pub memory: Arc<Memory>,
    /// Partitions that may have fetched something that is not read for now.
    pub slots: Arc<SlotPool>,
    pub dormancy: Dormancy,
    /// What the process has open in its stores.
    pub open_files: OpenFiles,
    /// Called once with the reason if the whole process has to end.
    pub fatal: Arc<dyn Fn(Fatal) + Send + Sync>,
    /// Lets the client fetch a partition anew, whose fetching has stopped for good.
    pub fetch_anew: Arc<dyn Fn(&TopicPartition) + Send + Sync>,
    /// Takes a topic's partitions away, and gives them again.
    pub give_again: Arc<dyn Fn(&str) + Send + Sync>,
    pub clock: fn() -> Now,
    /// What is known of brokers, roots and mappings.
    pub board: Arc<Board>,
    /// The command that repairs a partition, but for its name.
    pub repair: Arc<str>,
}

impl Env {
    /// What each of the holders of a worker's memory may have: counts, open windows, open files,
    /// bytes on their way into the store, and what the client has fetched. Bytes.
    #[must_use]
    pub fn share(&self) -> usize {
        self.memory.share() / HOLDERS
    }
}

/// Holders of memory that get equal parts.
const HOLDERS: usize = 5;

/// What `daemon.memory` allows, shared equally by the workers that own a partition.
#[derive(Debug)]
pub struct Memory {
    /// Bytes.
    budget: usize,
    workers: AtomicUsize,
}

impl Memory {
    /// A budget for the whole process in bytes, for so many workers at first: one for each mapping.
    #[must_use]
    pub fn new(budget: usize, workers: usize) -> Memory {
        Memory { budget, workers: AtomicUsize::new(workers.max(1)) }
    }

    /// What the client may have fetched for all partitions, in slots that cost so many bytes each.
    #[must_use]
    pub fn slots(&self, bytes_of_one: usize) -> SlotPool {
        SlotPool::new(self.for_records() / HOLDERS, bytes_of_one).carefully()
    }

    pub(super) fn share_among(&self, workers: usize) {
        self.workers.store(workers.max(1), Ordering::Relaxed);
    }

    /// What producers leave, bytes.
    fn for_records(&self) -> usize {
        budget::for_records(self.budget, self.workers.load(Ordering::Relaxed))
    }

    /// One worker's part, bytes.
    fn share(&self) -> usize {
        let all = self.for_records();
        all.checked_div(self.workers.load(Ordering::Relaxed)).unwrap_or(all)
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
