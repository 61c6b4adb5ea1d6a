//! The topics that the daemon writes to, and the settings that counts need there.

use std::time::Duration;

use crate::clients::kafka::topics::Settings;
use crate::common::config::WordCount;

/// A topic that a mapping writes to.
#[derive(Debug)]
pub struct Internal<'c> {
    pub topic: &'c str,
    /// Whether partial counts are written there; counts otherwise.
    pub partials: bool,
    /// [`None`]: the broker's default; so for `replication`.
    pub partitions: Option<i32>,
    pub replication: Option<i32>,
    /// How long records must be kept, as configured; [`None`] where readers decide.
    retention: Option<Duration>,
    /// The time for which a count may wait in an open window.
    needed: Duration,
    /// The bytes that a message with the longest word may need.
    longest_message: usize,
}

/// A setting that does not suit what the daemon writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// Counts are lost, or can't be written.
    Loses(String),
    /// Counts may be lost.
    May(String),
}

/// The largest message that a topic with these settings takes, bytes.
#[must_use]
pub fn largest_message(settings: &Settings) -> Option<usize> {
    settings.get("max.message.bytes")?.parse().ok()
}

/// The topics that a mapping writes to.
pub fn of(count: &WordCount) -> Vec<Internal<'_>> {
    let longest_message = count.longest_message();
    let output = Internal {
        topic: &count.output_topic,
        partials: false,
        partitions: count.output_partitions,
        replication: None,
        retention: None,
        needed: Duration::ZERO,
        longest_message,
    };
    let partials = count.merge.as_ref().map(|merge| Internal {
        topic: &merge.topic,
        partials: true,
        partitions: Some(merge.partitions),
        replication: merge.replication,
        retention: Some(merge.retention),
        needed: merge.needed_retention(count.window),
        longest_message,
    });
    std::iter::once(output).chain(partials).collect()
}

impl Internal<'_> {
    /// The settings that the topic is made with; never the brokers' defaults where these could
    /// delete counts that nobody has read.
    #[must_use]
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![("cleanup.policy", "delete".into())];
        if let Some(retention) = self.retention {
            settings.push(("retention.ms", retention.as_millis().to_string()));
            settings.push(("retention.bytes", "-1".into()));
        }
        settings
    }

    /// Why a topic that exists with so many partitions is not this one; [`None`] if it may be.
    #[must_use]
    pub fn other_partitions(&self, there: usize, mapping: &str) -> Option<String> {
        let wanted = self.partitions.filter(|_| self.partials)?;
        (there != wanted as usize).then(|| {
            format!(
                "topic {:?} has {there} partitions, and \
                 mapping.{mapping}.wordcount.partials.partitions is {wanted}: the number of \
                 partitions decides where a word is merged, and can't change. Delete the topic, \
                 and the daemon creates it with {wanted} partitions; or write {there}, or use \
                 another partials.topic",
                self.topic
            )
        })
    }

    /// What does not suit among the settings of a topic that exists.
    #[must_use]
    pub fn compare(&self, settings: &Settings) -> Vec<Unfit> {
        let topic = self.topic;
        let value = |key: &str| settings.get(key).map(String::as_str);
        let number = |key: &str| value(key).and_then(|v| v.parse::<i64>().ok());
        let mut found = Vec::new();
        if let Some(policy) = value("cleanup.policy").filter(|p| p.contains("compact")) {
            found.push(Unfit::Loses(format!(
                "topic {topic:?} has cleanup.policy={policy}: compaction keeps one count of a word \
                 and deletes the others, which readers have to add up. Set \
                 cleanup.policy=delete with kafka-configs, or use another topic"
            )));
        }
        let largest = largest_message(settings);
        let least = self.longest_message;
        if let Some(largest) = largest.filter(|n| *n < least) {
            found.push(Unfit::Loses(format!(
                "topic {topic:?} has max.message.bytes={largest}, and a word of \
                 wordcount.max_word_bytes needs up to {least}: raise the topic's limit, or lower \
                 max_word_bytes"
            )));
        }
        if !self.partials {
            return found;
        }
        let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        if let Some(kept) = number("retention.ms").filter(|ms| 0 <= *ms) {
            if kept < millis(self.needed) {
                found.push(Unfit::Loses(format!(
                    "topic {topic:?} has retention.ms={kept}, and windows need at least {}: what \
                     an open window has counted would be deleted. Set retention.ms with \
                     kafka-configs",
                    self.needed.as_millis()
                )));
            } else if let Some(wanted) = self.retention.filter(|r| kept < millis(*r)) {
                found.push(Unfit::May(format!(
                    "topic {topic:?} has retention.ms={kept}, which is less than \
                     wordcount.partials.retention ({} ms): set retention.ms with kafka-configs",
                    wanted.as_millis()
                )));
            }
        }
        if let Some(bytes) = number("retention.bytes").filter(|n| 0 <= *n) {
            found.push(Unfit::May(format!(
                "topic {topic:?} has retention.bytes={bytes}: counts of open windows may be \
                 deleted when there are many. Set retention.bytes=-1 with kafka-configs"
            )));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::Config;

    fn found(partials: bool, settings: &[(&str, &str)]) -> Vec<Unfit> {
        let text = "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\n\
                    root = \"file:///x\"\n[mapping.m]\ntopics = [\"t\"]\n[mapping.m.wordcount]\n\
                    output_topic = \"o\"\nwindow = \"1h\"";
        let config = Config::parse(text, Some("i")).unwrap();
        let count = config.mappings[0].count.as_ref().unwrap();
        let all = of(count);
        let internal = all.iter().find(|i| i.partials == partials).unwrap();
        // What the daemon makes itself is as it should be.
        let made: Settings =
            internal.settings().into_iter().map(|(k, v)| (k.to_string(), v)).collect();
        assert_eq!(internal.compare(&made), []);
        let settings = settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        internal.compare(&settings)
    }

    fn loses(partials: bool, key: &str, value: &str) -> bool {
        let found = found(partials, &[(key, value)]);
        let named = |text: &String| text.contains(&format!("{key}={value}"));
        matches!(&found[..], [Unfit::Loses(text)] if named(text))
    }

    #[test]
    fn a_topic_that_is_compacted_is_refused() {
        for partials in [false, true] {
            for policy in ["compact", "compact,delete", "delete,compact"] {
                assert!(loses(partials, "cleanup.policy", policy), "{policy}");
            }
            assert_eq!(found(partials, &[("cleanup.policy", "delete")]), []);
        }
    }

    #[test]
    fn partial_counts_must_be_kept_while_their_windows_are_open() {
        // An hour, ten minutes of patience, and half of that again.
        assert!(loses(true, "retention.ms", "6299999"));
        assert!(matches!(&found(true, &[("retention.ms", "6303000")])[..], [Unfit::May(_)]));
        assert_eq!(found(true, &[("retention.ms", "604800000")]), []);
        assert_eq!(found(true, &[("retention.ms", "-1")]), []);
        assert!(matches!(&found(true, &[("retention.bytes", "1000000")])[..], [Unfit::May(_)]));
        assert_eq!(found(false, &[("retention.ms", "60000"), ("retention.bytes", "1")]), []);
    }

    #[test]
    fn a_topic_must_take_the_longest_word() {
        for partials in [false, true] {
            assert!(loses(partials, "max.message.bytes", "8000"));
            assert_eq!(found(partials, &[("max.message.bytes", "100000")]), []);
        }
    }
}
