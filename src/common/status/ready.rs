//! Whether an instance is ready, and if not, why not: one line for each reason, however many
//! partitions it holds up.

use std::collections::BTreeMap;

use crate::common::status::instance::{InstanceStatus, OutageOf, OutageStatus};
use crate::common::status::partition::{Condition, PartitionStatus};

impl InstanceStatus {
    /// Why this instance is not ready, for people; empty if it is.
    ///
    /// It is ready when the brokers answer, it is in its group, and each of its partitions does
    /// what it is there for. A partition that counts goes on without its root; one that only
    /// archives does not. A topic that is not there is no partition of this instance, and another
    /// instance would not find it either: see [`InstanceStatus::topic_troubles`].
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        for outage in self.outages.iter().filter(|o| o.of != OutageOf::Root) {
            reasons.push(self.fails(outage));
        }
        match (self.joined_since, self.left_since) {
            (Some(_), _) => {}
            (None, None) => reasons.push("the group is not joined yet".into()),
            (None, Some(since)) => reasons.push(format!(
                "not in the group since {} s: the partitions were taken away, and no assignment \
                 has come since",
                self.seconds(since)
            )),
        }
        if 0 < self.unheard {
            reasons
                .push(format!("{} recovering: they were assigned a moment ago", of(self.unheard)));
        }
        for p in &self.partitions {
            if let Condition::Stopped(why) = &p.state {
                reasons.push(format!("{}/{}: {why}", p.topic, p.partition));
            }
        }
        let idle = |p: &&PartitionStatus| p.state == Condition::Detached && !p.counts;
        for outage in self.outages.iter().filter(|o| o.of == OutageOf::Root) {
            let waiting = self.partitions.iter().filter(idle);
            let waiting = waiting.filter(|p| p.root.as_ref() == Some(&outage.name)).count();
            if 0 < waiting {
                let waits =
                    format!("{}: {} that only archive wait", self.fails(outage), of(waiting));
                reasons.push(waits);
            }
        }
        let mut recovering: BTreeMap<&str, Vec<&PartitionStatus>> = BTreeMap::new();
        for p in self.partitions.iter().filter(|p| p.state == Condition::Recovering) {
            recovering.entry(&p.mapping).or_default().push(p);
        }
        for (mapping, all) in recovering {
            let (first, n) = (all[0], all.len());
            reasons.push(format!(
                "mapping.{mapping}: {} recovering, the first is {}/{}",
                of(n),
                first.topic,
                first.partition
            ));
        }
        reasons
    }

    /// What is wrong with topics of the configuration, a sentence for each topic.
    #[must_use]
    pub fn topic_troubles(&self) -> Vec<String> {
        let missing = self.missing_topics.iter().map(|t| format!("topic {t} does not exist"));
        let ambiguous = self
            .ambiguous_topics
            .iter()
            .map(|t| format!("topics_regex of two mappings match topic {t}, so nobody reads it"));
        missing.chain(ambiguous).collect()
    }

    /// What is not wrong, and that nobody would expect to last: a sentence for each mapping.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let nothing = |mapping: &String| {
            format!(
                "topics_regex of mapping.{mapping} matches no topic, so nothing is read for the \
                 mapping"
            )
        };
        self.unmatched_mappings.iter().map(nothing).collect()
    }

    fn fails(&self, outage: &OutageStatus) -> String {
        let seconds = self.seconds(outage.since);
        format!("{}, for {seconds} s now ({})", outage.says, outage.cause)
    }

    fn seconds(&self, since: i64) -> i64 {
        self.now.saturating_sub(since).max(0) / 1_000
    }
}

fn of(partitions: usize) -> String {
    format!("{partitions} partition{}", if partitions == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::status::instance::tests::sample;

    fn joined() -> InstanceStatus {
        InstanceStatus {
            partitions: Vec::new(),
            missing_topics: Vec::new(),
            ambiguous_topics: Vec::new(),
            unmatched_mappings: Vec::new(),
            outages: Vec::new(),
            unheard: 0,
            not_owned: Vec::new(),
            ..sample()
        }
    }

    fn with(states: &[(Condition, bool)]) -> InstanceStatus {
        let one = |(n, (state, counts)): (usize, &(Condition, bool))| PartitionStatus {
            partition: n as i32,
            state: state.clone(),
            counts: *counts,
            ..sample().partitions[0].clone()
        };
        InstanceStatus { partitions: states.iter().enumerate().map(one).collect(), ..joined() }
    }

    fn out(of: OutageOf) -> OutageStatus {
        OutageStatus { of, ..sample().outages[0].clone() }
    }

    #[test]
    fn it_is_ready_in_its_group_when_every_partition_does_its_work() {
        assert!(joined().reasons().is_empty(), "a member without partitions is ready");
        let works = [
            (Condition::Running, true),
            (Condition::Running, false),
            (Condition::Paused, true),
            (Condition::Detached, true),
        ];
        assert!(with(&works).reasons().is_empty());
        let root = InstanceStatus { outages: vec![out(OutageOf::Root)], ..with(&works) };
        assert!(root.reasons().is_empty(), "counts go on without the root");
    }

    #[test]
    fn it_is_not_ready_outside_of_its_group() {
        let never = InstanceStatus { joined_since: None, ..joined() };
        assert_eq!(never.reasons(), ["the group is not joined yet"]);
        let left = Some(never.now - 46_000);
        let left = InstanceStatus { left_since: left, ..never }.reasons();
        assert!(left.len() == 1 && left[0].starts_with("not in the group since 46 s"), "{left:?}");
    }

    #[test]
    fn each_reason_is_one_line_however_many_partitions_it_holds_up() {
        let many = vec![(Condition::Recovering, true); 100];
        let reasons = with(&many).reasons();
        assert_eq!(reasons, ["mapping.orders: 100 partitions recovering, the first is orders/0"]);
        let many = vec![(Condition::Detached, false); 100];
        let s = InstanceStatus { outages: vec![out(OutageOf::Root)], ..with(&many) };
        assert_eq!(
            s.reasons(),
            ["the root hdfs://nn:8020/a is unavailable, for 61 s now (connection refused): \
              100 partitions that only archive wait"]
        );
        let s = InstanceStatus { unheard: 1, ..joined() };
        assert_eq!(s.reasons(), ["1 partition recovering: they were assigned a moment ago"]);
    }

    #[test]
    fn a_topic_that_nobody_can_read_is_told_and_the_instance_is_ready() {
        let s = InstanceStatus {
            missing_topics: vec!["gone".into()],
            ambiguous_topics: vec!["twice".into()],
            unmatched_mappings: vec!["later".into()],
            ..joined()
        };
        assert!(s.reasons().is_empty());
        assert!(s.notes()[0].contains("mapping.later matches no topic"), "{:?}", s.notes());
        let troubles = s.topic_troubles();
        assert_eq!(troubles[0], "topic gone does not exist");
        assert!(troubles[1].contains("match topic twice"), "{troubles:?}");
    }

    #[test]
    fn every_other_trouble_is_a_reason_of_its_own() {
        for of in [
            OutageOf::Brokers,
            OutageOf::Mapping,
            OutageOf::Positions,
            OutageOf::Reading,
            OutageOf::MayRead,
            OutageOf::MayWrite,
            OutageOf::MayJoin,
            OutageOf::Producer,
            OutageOf::Commits,
            OutageOf::Registry,
        ] {
            let s = InstanceStatus { outages: vec![out(of)], ..joined() };
            assert_eq!(s.reasons().len(), 1, "{of:?}");
        }
        let s = with(&[(Condition::Stopped("the ledger is of another root".into()), true)]);
        assert_eq!(s.reasons(), ["orders/0: the ledger is of another root"]);
    }
}
