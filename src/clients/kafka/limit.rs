//! How large a message may be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

/// The client library's own limit, and the one of topics that nobody has set; bytes.
const DEFAULT: usize = 1_000_000;

/// What a message needs beside its value, at most: the record's and the batch's own bytes, and a
/// header that names a topic of 249 bytes. Bytes.
const OVERHEAD: usize = 1_024;

/// The limits of all mappings.
#[derive(Debug)]
pub struct BatchLimits {
    client: usize,
    by_mapping: Mutex<BTreeMap<String, Arc<BatchLimit>>>,
}

impl BatchLimits {
    /// Limits as the client's setting `message.max.bytes` has them.
    #[must_use]
    pub fn of_client(message_max_bytes: Option<&str>) -> BatchLimits {
        BatchLimits {
            client: BatchLimit::of_client(message_max_bytes).batch(),
            by_mapping: Mutex::default(),
        }
    }

    /// The limit of a mapping, which follows what is set later.
    #[must_use]
    pub fn of(&self, mapping: &str) -> Arc<BatchLimit> {
        let new = || Arc::new(BatchLimit::new(self.client));
        Arc::clone(self.by_mapping.lock().entry(mapping.into()).or_insert_with(new))
    }

    /// Whether a topic has refused a message for its size since this was last asked: its limit is
    /// not what it was.
    #[must_use]
    pub fn take_doubts(&self) -> bool {
        let all = self.by_mapping.lock();
        // Each is asked, and not only those before the first doubt.
        all.values().filter(|limit| limit.doubted.swap(false, Ordering::Relaxed)).count() != 0
    }

    /// The limits of the topics that a mapping writes to, bytes; [`None`] for one whose limit is
    /// not known.
    pub fn set(&self, mapping: &str, topics: &[Option<usize>]) {
        let limit = self.of(mapping);
        let least = topics.iter().flatten().copied().fold(self.client, usize::min);
        // An unknown limit may still be the one that was known before.
        let unknown = topics.iter().any(Option::is_none);
        limit
            .bytes
            .store(if unknown { least.min(limit.batch()) } else { least }, Ordering::Relaxed);
    }
}

/// The largest batch of records that all topics take that a mapping writes to; bytes. Brokers
/// refuse a larger one for good.
///
/// The daemon writes it when it reads the topics' settings, and the workers' producers read it.
#[derive(Debug)]
pub struct BatchLimit {
    bytes: AtomicUsize,
    /// A topic has refused a message for its size.
    doubted: AtomicBool,
}

impl BatchLimit {
    fn new(bytes: usize) -> BatchLimit {
        BatchLimit { bytes: AtomicUsize::new(bytes), doubted: AtomicBool::new(false) }
    }

    /// A limit as the client's setting `message.max.bytes` has it.
    #[must_use]
    pub fn of_client(message_max_bytes: Option<&str>) -> BatchLimit {
        let limit = message_max_bytes.and_then(|v| v.parse().ok());
        BatchLimit::new(limit.unwrap_or(DEFAULT))
    }

    /// A topic has refused a message for its size: its limit has to be asked for again.
    pub fn doubt(&self) {
        self.doubted.store(true, Ordering::Relaxed);
    }

    /// The most bytes of a whole batch.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The largest value of a message that fits with its header; bytes.
    #[must_use]
    pub fn value(&self) -> usize {
        self.batch().saturating_sub(OVERHEAD).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_of_all_limits_applies_to_its_mapping_alone() {
        assert_eq!(BatchLimit::of_client(None).batch(), DEFAULT);
        let limits = BatchLimits::of_client(Some("90000"));
        let (a, b) = (limits.of("a"), limits.of("b"));
        limits.set("a", &[Some(1_048_588)]);
        assert_eq!((a.batch(), a.value()), (90_000, 90_000 - OVERHEAD));
        limits.set("a", &[Some(1_048_588), Some(500)]);
        assert_eq!((a.batch(), a.value()), (500, 1), "no value is empty for ever");
        assert_eq!(b.batch(), 90_000);
        limits.set("a", &[None, Some(1_048_588)]);
        assert_eq!(a.batch(), 500, "the limit of 500 may be that of the first topic");
        limits.set("a", &[Some(600), Some(1_048_588)]);
        assert_eq!(a.batch(), 600, "the limit was raised");
    }

    #[test]
    fn a_message_that_is_refused_for_its_size_is_asked_about_once() {
        let limits = BatchLimits::of_client(None);
        let (a, b) = (limits.of("a"), limits.of("b"));
        assert!(!limits.take_doubts());
        a.doubt();
        b.doubt();
        assert!(limits.take_doubts() && !limits.take_doubts());
    }
}
