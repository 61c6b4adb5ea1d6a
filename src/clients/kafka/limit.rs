//! How large a message may be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The client library's own limit, and the one of topics that nobody has set; bytes.
const DEFAULT: usize = 1_000_000;

/// What a message needs beside its value, at most: the record's and the batch's own bytes, and a
/// header that names a topic of 249 bytes. Bytes.
const OVERHEAD: usize = 1_024;

/// Times that the topics are looked for between two questions for the limits of those that are
/// written to, while no limit is lower than the client's.
const LOOKS: u32 = 10;

/// The limits of all mappings.
#[derive(Debug)]
pub struct BatchLimits {
    client: usize,
    by_mapping: Mutex<BTreeMap<String, Arc<BatchLimit>>>,
    doubted: Arc<Notify>,
}

impl BatchLimits {
    /// Limits as the client's setting `message.max.bytes` has them.
    #[must_use]
    pub fn of_client(message_max_bytes: Option<&str>) -> BatchLimits {
        BatchLimits {
            client: BatchLimit::of_client(message_max_bytes).batch(),
            by_mapping: Mutex::default(),
            doubted: Arc::default(),
        }
    }

    /// The limit of a mapping, which follows what is set later.
    #[must_use]
    pub fn of(&self, mapping: &str) -> Arc<BatchLimit> {
        let new = || Arc::new(BatchLimit::new(self.client, Arc::clone(&self.doubted)));
        Arc::clone(self.by_mapping.lock().entry(mapping.into()).or_insert_with(new))
    }

    /// Returns when the topics' limits have to be asked for: after a doubt at once; every
    /// `refresh` while a limit is lower than the client's, because batches that are smaller than
    /// they need to be cost much; and rarely otherwise.
    pub async fn due(&self, refresh: Duration) {
        let lowered = self.by_mapping.lock().values().any(|limit| limit.is_lowered());
        let every = if lowered { refresh } else { refresh.saturating_mul(LOOKS) };
        // It is due after this time, with or without a doubt.
        let _ = tokio::time::timeout(every, self.doubted.notified()).await;
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
    client: usize,
    bytes: AtomicUsize,
    /// Whoever asks the topics for their limits waits for it.
    doubted: Arc<Notify>,
}

impl BatchLimit {
    fn new(client: usize, doubted: Arc<Notify>) -> BatchLimit {
        BatchLimit { client, bytes: AtomicUsize::new(client), doubted }
    }

    /// A limit as the client's setting `message.max.bytes` has it.
    #[must_use]
    pub fn of_client(message_max_bytes: Option<&str>) -> BatchLimit {
        let limit = message_max_bytes.and_then(|v| v.parse().ok());
        BatchLimit::new(limit.unwrap_or(DEFAULT), Arc::default())
    }

    /// A topic has refused a message for its size: its limit is not what it was.
    pub fn message_was_refused(&self) {
        self.doubted.notify_one();
    }

    /// Messages were not delivered in time. Where small batches are the reason, the limit that
    /// made them small may have been raised since.
    pub fn messages_were_late(&self) {
        if self.is_lowered() {
            self.doubted.notify_one();
        }
    }

    /// Whether a topic takes less than the client would send.
    fn is_lowered(&self) -> bool {
        self.batch() < self.client
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

    /// For how long the next question is waited for, at a refresh of 30 s.
    async fn waited(limits: &BatchLimits) -> u64 {
        let started = tokio::time::Instant::now();
        limits.due(Duration::from_secs(30)).await;
        started.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_is_asked_for_after_a_doubt_and_more_often_while_it_is_low() {
        let limits = BatchLimits::of_client(None);
        let (a, b) = (limits.of("a"), limits.of("b"));
        assert_eq!(waited(&limits).await, 300);
        b.message_was_refused();
        a.message_was_refused();
        assert_eq!(waited(&limits).await, 0, "refused");
        assert_eq!(waited(&limits).await, 300, "two doubts are one question");
        a.messages_were_late();
        assert_eq!(waited(&limits).await, 300, "the limit is not the reason");
        limits.set("a", &[Some(100)]);
        assert_eq!(waited(&limits).await, 30, "a low limit may be raised");
        b.messages_were_late();
        assert_eq!(waited(&limits).await, 30, "the other mapping's limit is not low");
        a.messages_were_late();
        assert_eq!(waited(&limits).await, 0, "the limit may be the reason");
        limits.set("a", &[Some(1_048_588)]);
        assert_eq!(waited(&limits).await, 300);
    }
}
