//! Partitions whose transactions fail. They are committed apart from the others, so that they hold
//! up nobody, and sets of them are divided until those that fail are alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::pure::protocol::backoff::Backoff;
use crate::pure::record::TopicPartition;

/// So many failures in a row count as failing. One alone is normal after a rebalance.
const FAILS: u32 = 2;

/// A partition that has had nothing to commit since its last failure fails no more after this time.
/// Its commit may have been done, and the answer lost.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// Partitions of which some transaction has failed since each was last committed.
#[derive(Debug)]
pub(super) struct FailingPartitions {
    /// Those that wait longest are first. A partition is in one set at most.
    sets: VecDeque<FailingSet>,
    /// No set is tried before.
    not_before: Option<Instant>,
    /// For all sets together, because each try keeps the worker's thread for a while. It is reset
    /// when a set is committed.
    backoff: Backoff,
}

/// Partitions that are committed in one transaction, which fails.
#[derive(Debug)]
struct FailingSet {
    partitions: BTreeSet<TopicPartition>,
    /// In a row.
    failures: u32,
    failed_at: Instant,
    /// Whether another transaction of this worker was committed since the set's first failure. If
    /// not, everything may fail, and smaller sets would only be more work.
    others_work: bool,
}

impl FailingSet {
    /// Its parts, after a failure: by topic at first, for topics have rights and limits; then by
    /// halves.
    fn divided(self) -> Vec<FailingSet> {
        let (failures, failed_at, others_work) = (self.failures, self.failed_at, self.others_work);
        let set = |partitions| FailingSet { partitions, failures, failed_at, others_work };
        let mut by_topic: BTreeMap<_, BTreeSet<TopicPartition>> = BTreeMap::new();
        for tp in &self.partitions {
            let _ = by_topic.entry(&tp.topic).or_default().insert(tp.clone());
        }
        if 1 < by_topic.len() {
            return by_topic.into_values().map(set).collect();
        }
        let half = self.partitions.len() / 2;
        let Some(middle) = self.partitions.iter().nth(half).filter(|_| others_work && 0 < half)
        else {
            return vec![self];
        };
        let (mut first, middle) = (self.partitions.clone(), middle.clone());
        let second = first.split_off(&middle);
        vec![set(first), set(second)]
    }
}

impl FailingPartitions {
    pub(super) const NONE: FailingPartitions =
        FailingPartitions { sets: VecDeque::new(), not_before: None, backoff: Backoff::NONE };

    /// Whether some transaction fails, which is more than a failure after a rebalance.
    pub(super) fn is_reported(&self) -> bool {
        self.sets.iter().any(|s| FAILS <= s.failures)
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.sets.iter().flat_map(|s| &s.partitions)
    }

    /// Those whose last failure is so long ago that they are forgotten if nothing is to be
    /// committed of them.
    pub(super) fn long_ago(&self, now: Instant) -> impl Iterator<Item = &TopicPartition> {
        let sets = self.sets.iter().filter(move |s| s.failed_at + FORGOTTEN <= now);
        sets.flat_map(|s| &s.partitions)
    }

    /// Whether the partition is tried apart.
    pub(super) fn has(&self, tp: &TopicPartition) -> bool {
        self.sets.iter().any(|s| s.partitions.contains(tp))
    }

    /// Whether these partitions have to wait until they are tried again.
    pub(super) fn rests(&self, now: Instant) -> bool {
        self.not_before.is_some_and(|at| now < at)
    }

    /// The partitions of the set that is tried next, of those with a partition that is `due`;
    /// [`None`] in a pause.
    pub(super) fn next(
        &self,
        now: Instant,
        due: impl Fn(&TopicPartition) -> bool,
    ) -> Option<&BTreeSet<TopicPartition>> {
        let sets = self.sets.iter().filter(|_| !self.rests(now));
        sets.map(|s| &s.partitions).find(|partitions| partitions.iter().any(&due))
    }

    /// A transaction of these partitions has failed. `jitter`: any number, for the pause.
    /// `at_once`: a first failure needs a pause, too, because no rebalance explains it.
    pub(super) fn failed(
        &mut self,
        partitions: &[TopicPartition],
        at_once: bool,
        jitter: u32,
        now: Instant,
    ) {
        let tried: BTreeSet<TopicPartition> = partitions.iter().cloned().collect();
        // A set may have been tried in part: the others of it had nothing to commit.
        let before = self.sets.iter().filter(|s| !s.partitions.is_disjoint(&tried));
        let failures = before.clone().map(|s| s.failures).max().unwrap_or(0).saturating_add(1);
        let others_work = before.clone().any(|s| s.others_work);
        partitions.iter().for_each(|tp| self.forget(tp));
        let failures = if at_once { failures.max(FAILS) } else { failures };
        let set = FailingSet { partitions: tried, failures, failed_at: now, others_work };
        if failures < FAILS {
            self.sets.push_back(set);
            return;
        }
        self.sets.extend(set.divided());
        self.not_before = Some(now + self.backoff.next(jitter));
    }

    /// A transaction of these partitions was committed.
    pub(super) fn committed(&mut self, partitions: &[TopicPartition]) {
        let failed = partitions.iter().any(|tp| self.has(tp));
        for set in &mut self.sets {
            let worked = partitions.iter().any(|tp| set.partitions.contains(tp));
            set.others_work |= !worked;
            // The rest of it had nothing to commit, and was perhaps never the reason.
            set.failures = if worked { 1 } else { set.failures };
        }
        partitions.iter().for_each(|tp| self.forget(tp));
        if failed {
            self.backoff.reset();
            self.not_before = None;
        }
    }

    /// The partition has left, or has stopped.
    pub(super) fn forget(&mut self, tp: &TopicPartition) {
        for set in &mut self.sets {
            let _ = set.partitions.remove(tp);
        }
        self.sets.retain(|s| !s.partitions.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tp(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }

    /// Tries sets, as a worker does, for `tries` times, until nothing fails any more.
    fn tries(
        failing: &mut FailingPartitions,
        now: &mut Instant,
        tries: u32,
        fails: &[TopicPartition],
    ) -> u32 {
        for done in 0..tries {
            *now += Backoff::LONGEST;
            let Some(set) = failing.next(*now, |_| true) else { return done };
            let set: Vec<TopicPartition> = set.iter().cloned().collect();
            if set.iter().any(|tp| fails.contains(tp)) {
                failing.failed(&set, false, 0, *now);
            } else {
                failing.committed(&set);
            }
        }
        tries
    }

    fn all() -> Vec<TopicPartition> {
        ["in", "partials"].into_iter().flat_map(|t| (0..8).map(move |p| tp(t, p))).collect()
    }

    #[test]
    fn one_failure_is_not_reported_and_has_no_pause() {
        let (mut failing, now) = (FailingPartitions::NONE, Instant::now());
        failing.failed(&all(), false, 0, now);
        assert!(!failing.is_reported() && !failing.rests(now) && failing.has(&tp("in", 3)));
        failing.committed(&all());
        assert!(!failing.has(&tp("in", 3)));
        failing.failed(&all(), true, 0, now);
        assert!(failing.is_reported() && failing.rests(now), "no producer could be made");
    }

    #[test]
    fn those_that_fail_are_alone_in_the_end_and_all_others_are_committed() {
        for bad in [vec![tp("in", 5)], vec![tp("in", 0), tp("in", 7)], vec![tp("partials", 2)]] {
            let (mut failing, mut now) = (FailingPartitions::NONE, Instant::now());
            failing.failed(&all(), false, 0, now);
            let _ = tries(&mut failing, &mut now, 40, &bad);
            let left: Vec<TopicPartition> =
                all().into_iter().filter(|tp| failing.has(tp)).collect();
            assert_eq!(left, bad);
            assert!(failing.is_reported());
            // What failed works again: at once, and without a pause between the sets.
            assert_eq!(tries(&mut failing, &mut now, 9, &[]), bad.len() as u32);
            assert!(!failing.is_reported() && !failing.rests(now));
        }
    }

    #[test]
    fn while_everything_fails_groups_stay_large() {
        let (mut failing, mut now) = (FailingPartitions::NONE, Instant::now());
        failing.failed(&all(), false, 0, now);
        let _ = tries(&mut failing, &mut now, 50, &all());
        assert_eq!(failing.sets.len(), 2, "by topic, and no more");
    }

    #[test]
    fn pauses_grow_until_a_group_is_committed_and_others_do_not_shorten_them() {
        let (mut failing, mut now) = (FailingPartitions::NONE, Instant::now());
        let bad = [tp("in", 1)];
        failing.failed(&bad, false, 0, now);
        let mut pause = |failing: &mut FailingPartitions| {
            failing.failed(&bad, false, 0, now);
            let pause = failing.not_before.unwrap() - now;
            now += Duration::from_secs(60);
            failing.committed(&[tp("in", 2)]);
            pause.as_millis()
        };
        assert_eq!([0; 4].map(|_| pause(&mut failing)), [500, 1_000, 2_000, 4_000]);
        failing.committed(&bad);
        failing.failed(&bad, true, 0, now);
        assert_eq!((failing.not_before.unwrap() - now).as_millis(), 500);
    }

    #[test]
    fn a_part_that_works_does_not_accuse_the_rest_of_its_group() {
        let (mut failing, now) = (FailingPartitions::NONE, Instant::now());
        let both = [tp("in", 1), tp("in", 2)];
        failing.failed(&both, true, 0, now);
        failing.committed(&both[..1]);
        assert!(failing.has(&both[1]) && !failing.is_reported());
        failing.forget(&both[1]);
        assert!(!failing.has(&both[1]));
    }
}
