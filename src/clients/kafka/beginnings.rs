//! Where partitions begin under `start = "latest"`.
//!
//! The setting is about what was written before anybody read: records of a topic or a partition
//! that appears while the group runs were written under its eyes, and all of them are read.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::RwLock;

use crate::common::config::Start;
use crate::pure::record::TopicPartition;

/// The partitions that existed before the group began to read them.
///
/// The daemon writes it at its start and at a reload; recovery reads it.
#[derive(Debug, Default)]
pub struct Beginnings(RwLock<BTreeMap<String, Existing>>);

#[derive(Debug)]
struct Existing {
    topic_id: String,
    partitions: BTreeSet<i32>,
}

impl Beginnings {
    /// Takes the partitions of a topic that existed before the group began to read them.
    pub fn note(&self, topic: &str, topic_id: String, partitions: BTreeSet<i32>) {
        let _ = self.0.write().insert(topic.into(), Existing { topic_id, partitions });
    }

    /// What `start` means for a partition that has neither offset nor ledger.
    #[must_use]
    pub fn meaning(&self, start: Start, tp: &TopicPartition, topic_id: &str) -> Start {
        let existed = self.0.read().get(&*tp.topic).is_some_and(|existing| {
            existing.topic_id == topic_id && existing.partitions.contains(&tp.partition)
        });
        if start == Start::Latest && !existed { Start::Earliest } else { start }
    }
}

/// The partitions of one topic, and whether an offset is committed for each.
pub type CommittedPartitions = BTreeMap<i32, bool>;

/// The partitions that existed before the group began to read, of the topics that a mapping selects
/// now. `together`: the topics were selected by one pattern, so that the group has begun with all
/// of them when it has with one; a name is one for itself.
///
/// A group that has committed anything has seen what there was: whatever has no offset came later.
#[must_use]
pub fn existed_before(
    topics: &BTreeMap<String, CommittedPartitions>,
    together: bool,
) -> BTreeMap<String, BTreeSet<i32>> {
    let has_commits =
        |partitions: &CommittedPartitions| partitions.values().any(|committed| *committed);
    let any = topics.values().any(has_commits);
    topics
        .iter()
        .map(|(topic, partitions)| {
            let existed = !(has_commits(partitions) || together && any);
            let all = partitions.keys().copied().filter(|_| existed).collect();
            (topic.clone(), all)
        })
        .collect()
}

/// Whether some partitions have an offset and others have none: another instance may be about to
/// commit its first ones.
#[must_use]
pub fn is_partly_committed(topics: &BTreeMap<String, CommittedPartitions>) -> bool {
    let all = || topics.values().flat_map(BTreeMap::values);
    all().any(|committed| *committed) && all().any(|committed| !committed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tp(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }

    #[test]
    fn only_what_existed_before_begins_at_its_end() {
        let beginnings = Beginnings::default();
        beginnings.note("old", "id".into(), [0, 1].into());
        let meaning =
            |topic, partition, id| beginnings.meaning(Start::Latest, &tp(topic, partition), id);
        assert_eq!(meaning("old", 1, "id"), Start::Latest);
        assert_eq!(meaning("old", 2, "id"), Start::Earliest, "a partition that was added");
        assert_eq!(meaning("new", 0, "id"), Start::Earliest, "a topic that appeared");
        assert_eq!(meaning("old", 1, "other"), Start::Earliest, "a topic that was made again");
        for start in [Start::Earliest, Start::At(7)] {
            assert_eq!(beginnings.meaning(start, &tp("old", 0), "id"), start);
            assert_eq!(beginnings.meaning(start, &tp("new", 0), "id"), start);
        }
    }

    #[test]
    fn a_group_that_has_committed_has_seen_what_there_was() {
        let topics = |all: &[(&str, &[bool])]| -> BTreeMap<String, CommittedPartitions> {
            let committed = |b: &[bool]| (0..).zip(b.iter().copied()).collect();
            all.iter().map(|(t, b)| ((*t).to_string(), committed(b))).collect()
        };
        let existed = |all: &BTreeMap<_, _>, together| -> Vec<Vec<i32>> {
            existed_before(all, together).into_values().map(|p| p.into_iter().collect()).collect()
        };
        let first = topics(&[("a", &[false, false]), ("b", &[false])]);
        assert_eq!(existed(&first, true), [vec![0, 1], vec![0]], "the first start of all");
        assert!(!is_partly_committed(&first));
        let added = topics(&[("a", &[true, false]), ("b", &[false])]);
        assert_eq!(existed(&added, true), [[0; 0], [0; 0]], "a pattern has begun as a whole");
        assert_eq!(existed(&added, false), [vec![], vec![0]], "a name was added to the mapping");
        assert!(is_partly_committed(&added));
        assert!(!is_partly_committed(&topics(&[("a", &[true, true])])));
    }
}
