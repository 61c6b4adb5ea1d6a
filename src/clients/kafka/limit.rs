//! How large a message may be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
        let new = || Arc::new(BatchLimit(AtomicUsize::new(self.client)));
        Arc::clone(self.by_mapping.lock().entry(mapping.into()).or_insert_with(new))
    }

    /// The limits of the topics that a mapping writes to, bytes; [`None`] for one whose limit is
    /// not known.
    pub fn set(&self, mapping: &str, topics: &[Option<usize>]) {
        let limit = self.of(mapping);
        let least = topics.iter().flatten().copied().fold(self.client, usize::min);
        // An unknown limit may still be the one that was known before.
        let unknown = topics.iter().any(Option::is_none);
        limit.0.store(if unknown { least.min(limit.batch()) } else { least }, Ordering::Relaxed);
    }
}

/// The largest batch of records that all topics take that a mapping writes to; bytes. Brokers
/// refuse a larger one for good.
///
/// The daemon writes it when it reads the topics' settings, and the workers' producers read it.
#[derive(Debug)]
pub struct BatchLimit(AtomicUsize);

impl BatchLimit {
    /// A limit as the client's setting `message.max.bytes` has it.
    #[must_use]
    pub fn of_client(message_max_bytes: Option<&str>) -> BatchLimit {
        let limit = message_max_bytes.and_then(|v| v.parse().ok());
        BatchLimit(AtomicUsize::new(limit.unwrap_or(DEFAULT)))
    }

    /// The most bytes of a whole batch.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.0.load(Ordering::Relaxed)
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
}
