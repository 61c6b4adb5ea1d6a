//! The topics of the lives: partitions `in/0` and `in/1`, published to `out/0`.

use std::cell::Cell;

use crate::pure::layout::rules::OnBadRecord;
use crate::pure::record::TopicPartition;

thread_local! {
    /// Counts are merged over all partitions.
    pub(super) static MERGED: Cell<bool> = const { Cell::new(false) };
    /// The sources' archive takes JSON, some lines are none, and this becomes of them.
    pub(super) static UNFIT: Cell<Option<OnBadRecord>> = const { Cell::new(None) };
}

pub(super) fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}

/// Every partition that a process is assigned.
pub(super) fn all() -> Vec<TopicPartition> {
    let mut all = vec![tp("in", 0), tp("in", 1), tp("out", 0)];
    if MERGED.get() {
        all.push(tp("g-m-partials", 0));
    }
    all
}
