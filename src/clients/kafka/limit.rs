//! How large a message may be.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The client library's own limit, and the one of topics that nobody has set; bytes.
const DEFAULT: usize = 1_000_000;

/// What a message needs beside its value, at most: the record's and the batch's own bytes, and a
/// header that names a topic of 249 bytes. Bytes.
const OVERHEAD: usize = 1_024;

/// The largest batch of records that all topics take that the daemon writes to; bytes. Brokers
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

    /// Takes the limit of a topic, if it is lower.
    pub fn lower_to(&self, topic: usize) {
        let _ = self.0.fetch_min(topic, Ordering::Relaxed);
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
    fn the_lowest_of_all_limits_applies() {
        let limit = BatchLimit::of_client(None);
        assert_eq!(limit.batch(), DEFAULT);
        let limit = BatchLimit::of_client(Some("90000"));
        limit.lower_to(1_048_588);
        assert_eq!((limit.batch(), limit.value()), (90_000, 90_000 - OVERHEAD));
        limit.lower_to(500);
        assert_eq!((limit.batch(), limit.value()), (500, 1), "no value is empty for ever");
    }
}
