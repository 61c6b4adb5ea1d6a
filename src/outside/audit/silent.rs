//! What did not answer: it is waited for once, and not for each partition that needs it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::clients::kafka::topics::Leaders;
use crate::pure::record::TopicPartition;

/// An answer that took so long is none: the client has waited for a broker to the end of its time.
const LONG: Duration = Duration::from_secs(5);

/// The brokers and the roots that have not answered.
#[derive(Default)]
pub struct Silent {
    leaders: Leaders,
    /// By their ids, the partition that was asked for and what came of it; [`None`]: the partitions
    /// that have no leader.
    brokers: BTreeMap<Option<i32>, (TopicPartition, String)>,
    /// What came of the first call that failed, by URL.
    roots: HashMap<String, String>,
}

impl Silent {
    /// Why this partition, whose archive is in this root, need not be asked for.
    pub fn of(&self, root: Option<&str>, tp: &TopicPartition) -> Option<String> {
        if let Some(why) = root.and_then(|root| self.roots.get(root)) {
            return Some(format!("its root did not answer before: {why}"));
        }
        let leader = self.leader(tp)?;
        let (asked, why) = self.brokers.get(&leader)?;
        Some(match leader {
            Some(id) => format!(
                "not asked for, because broker {id}, which leads it, did not answer for {asked}: \
                 {why}"
            ),
            None => format!(
                "it has no leader: the brokers that have it do not run. It was not asked for, \
                 because {asked} has none either: {why}"
            ),
        })
    }

    fn leader(&self, tp: &TopicPartition) -> Option<Option<i32>> {
        self.leaders.get(&*tp.topic)?.get(&tp.partition).copied()
    }

    /// That a question of a partition has failed after so long; why. `leaders`: as they are now.
    pub fn note_broker(
        &mut self,
        leaders: Leaders,
        tp: &TopicPartition,
        why: &str,
        took: Duration,
    ) -> String {
        self.leaders = leaders;
        let leader = self.leader(tp);
        if LONG <= took
            && let Some(leader) = leader
        {
            let _ = self.brokers.entry(leader).or_insert_with(|| (tp.clone(), why.into()));
        }
        match leader {
            // The client says that it does not know the partition.
            Some(None) => {
                format!("it has no leader: the brokers that have it do not run ({why})")
            }
            _ => why.into(),
        }
    }

    /// That a root does not answer.
    pub fn note_root(&mut self, url: &str, why: &str) {
        let _ = self.roots.entry(url.into()).or_insert_with(|| why.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tp(partition: i32) -> TopicPartition {
        TopicPartition { topic: "t".into(), partition }
    }

    /// A thousand partitions of three brokers, of which one does not answer, and another one does
    /// not run: two questions are waited for.
    #[test]
    fn a_broker_that_does_not_answer_is_waited_for_once() {
        let leader = |n: i32| (n, [Some(1), Some(2), None][n as usize % 3]);
        let leaders: Leaders = [("t".to_string(), (0..1_000).map(leader).collect())].into();
        let (mut silent, mut waited, mut named) = (Silent::default(), 0, 0);
        for partition in 0..1_000 {
            let tp = tp(partition);
            if let Some(why) = silent.of(Some("r"), &tp) {
                assert!(why.contains("timed out"), "{why}");
                named += 1;
            } else if partition % 3 != 0 {
                waited += 1;
                let took = Duration::from_secs(10);
                let why = silent.note_broker(leaders.clone(), &tp, "timed out", took);
                assert_eq!(why.contains("no leader"), partition % 3 == 2, "{why}");
            }
        }
        assert_eq!((waited, named), (2, 664));
        let why = silent.of(None, &tp(4)).unwrap();
        assert!(why.contains("broker 2") && why.contains("t/1"), "{why}");
        assert!(silent.of(None, &tp(5)).unwrap().contains("no leader"));
    }

    #[test]
    fn a_quick_refusal_is_of_its_partition_alone() {
        let leaders: Leaders = [("t".to_string(), [(0, Some(1)), (1, Some(1))].into())].into();
        let mut silent = Silent::default();
        let why = silent.note_broker(leaders, &tp(0), "not allowed", Duration::from_millis(90));
        assert_eq!(why, "not allowed");
        assert_eq!(silent.of(Some("r"), &tp(1)), None);
        silent.note_root("r", "no route");
        assert!(silent.of(Some("r"), &tp(1)).unwrap().contains("no route"));
        assert_eq!(silent.of(Some("s"), &tp(1)), None);
    }
}
