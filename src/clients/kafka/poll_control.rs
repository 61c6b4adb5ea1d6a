//! The requests of other threads to the poll thread.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::clients::kafka::error::Fatal;
use crate::pure::record::TopicPartition;

/// The requests to the poll thread.
#[derive(Debug, Default)]
pub struct PollControl {
    /// The topics that were asked for last, and whether the poll thread has subscribed to them.
    subscription: Mutex<(Vec<String>, bool)>,
    rejoin: AtomicBool,
    /// Topics whose partitions are to be taken away and given again.
    give_again: Mutex<Vec<String>>,
    /// Partitions that the client is to fetch anew.
    fetch_anew: Mutex<Vec<TopicPartition>>,
    stop: AtomicBool,
    fatal: Mutex<Option<Fatal>>,
    unknown_topic: tokio::sync::Notify,
}

impl PollControl {
    /// Subscribes to exactly these topics, sorted; takes effect at the next round.
    pub fn subscribe(&self, topics: Vec<String>) {
        *self.subscription.lock() = (topics, false);
    }

    /// What was subscribed to last.
    #[must_use]
    pub fn subscribed(&self) -> Vec<String> {
        self.subscription.lock().0.clone()
    }

    /// The topics, if the poll thread is to subscribe to them: they are new, or `again`.
    pub(super) fn to_subscribe(&self, again: bool) -> Option<Vec<String>> {
        let mut wanted = self.subscription.lock();
        let known = std::mem::replace(&mut wanted.1, true);
        (again || !known).then(|| wanted.0.clone())
    }

    /// Take the partitions of these topics away from their workers, and give them again, as a
    /// rebalance would: whatever was known of them is asked for anew. The group does not notice,
    /// and all other partitions go on. Under an eager protocol, the whole group rebalances.
    pub fn give_again(&self, topics: impl IntoIterator<Item = String>) {
        self.give_again.lock().extend(topics);
    }

    /// Leave the group, and join it again with the same topics: a client can change no part of an
    /// assignment that an eager protocol has given.
    pub(super) fn rejoin(&self) {
        self.rejoin.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_to_rejoin(&self) -> bool {
        self.rejoin.swap(false, Ordering::SeqCst)
    }

    pub(super) fn to_give_again(&self) -> Vec<String> {
        std::mem::take(&mut *self.give_again.lock())
    }

    pub(super) fn to_fetch_anew(&self) -> Vec<TopicPartition> {
        std::mem::take(&mut *self.fetch_anew.lock())
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    pub(super) fn note_unknown_topic(&self) {
        self.unknown_topic.notify_one();
    }

    /// Fetch this partition anew: after a position that was out of the log's range, the client
    /// fetches nothing more of it, and refuses every seek.
    pub fn fetch_anew(&self, tp: &TopicPartition) {
        self.fetch_anew.lock().push(tp.clone());
    }

    /// Leave the group, then end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Waits until a broker does not know a topic that is subscribed to: it was deleted, or it was
    /// made a moment ago. The client asks again after minutes by itself, and at once whenever
    /// it is asked for all topics.
    pub async fn unknown_topic(&self) {
        self.unknown_topic.notified().await;
    }

    /// The client cannot continue.
    pub(super) fn end(&self, reason: Fatal) {
        *self.fatal.lock() = Some(reason);
    }

    /// The reason why the client cannot continue at all; [`None`] as long as it can.
    #[must_use]
    pub fn fatal(&self) -> Option<Fatal> {
        self.fatal.lock().clone()
    }
}
