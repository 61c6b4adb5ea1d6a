//! Topics that the client knows by another id than before: they were deleted and created again.
//!
//! Fetches name a topic by its id (KIP-516), so brokers give no records of a new topic to those who
//! read the old one. But when the client learns the new id, it continues to fetch with that id at
//! the position that it had in the old topic, and does not tell the application (librdkafka 2.12,
//! `rd_kafka_topic_metadata_update`: "an offset reset must be triggered"). The client writes a line
//! into its log before the first of these fetches; the test on real servers that creates a topic
//! again fails if that line ever changes (docs/decisions/0015-topic-ids.md).

use std::collections::HashMap;

use parking_lot::Mutex;

/// What librdkafka's `debug` has to name, so that the line is written.
pub(super) const DEBUG: &str = "metadata";

/// An id that is not known yet: 16 bytes of zero in Base64.
const NONE: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// How often the id of each topic has changed, as far as the client has said so.
#[derive(Debug, Default)]
pub(super) struct TopicIds {
    changes: Mutex<HashMap<String, u64>>,
}

impl TopicIds {
    /// Takes a line of the client's log; whether it says that a topic has another id now.
    pub(super) fn hear(&self, line: &str) -> bool {
        let Some(topic) = changed(line) else { return false };
        let mut changes = self.changes.lock();
        let number = changes.entry(topic.into()).or_default();
        *number = number.wrapping_add(1);
        true
    }

    /// How often the topic's id has changed.
    pub(super) fn changes(&self, topic: &str) -> u64 {
        self.changes.lock().get(topic).copied().unwrap_or_default()
    }
}

/// The topic of a line such as `[thrd:main]: Topic orders changed id from … to …`.
fn changed(line: &str) -> Option<&str> {
    let (before, ids) = line.split_once(" changed id from ")?;
    let (_, topic) = before.rsplit_once("Topic ")?;
    let (old, _) = ids.split_once(" to ")?;
    (old != NONE).then_some(topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_was_known_before_has_changed() {
        let ids = TopicIds::default();
        let line = |topic, old| {
            format!("[thrd:main]: Topic {topic} changed id from {old} to 6Kmm+DQNRAOwolaFlz3rAg")
        };
        let old = "efpB6LVVTZe4kwOdOhwaWA";
        assert!(!ids.hear(&line("a.b_c-d", NONE)), "the first id");
        assert!(!ids.hear("[thrd:main]: Topic a.b_c-d partition 0 Leader 1 Epoch 0"));
        assert_eq!(ids.changes("a.b_c-d"), 0);
        assert!(ids.hear(&line("a.b_c-d", old)));
        assert_eq!((ids.changes("a.b_c-d"), ids.changes("c-d")), (1, 0));
    }
}
