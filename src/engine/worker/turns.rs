//! Whose turn it is among partitions with a backlog.

use std::time::{Duration, Instant};

use crate::common::clock::Now;
use crate::pure::record::TopicPartition;

/// A worker looks this often where it is not known in advance when something is due.
pub(super) const IDLE: Duration = Duration::from_millis(50);

/// Partitions with a backlog are read one after the other, each until the next commit: a window
/// then holds the words of few partitions, and less is published, read back and archived. A
/// partition that is read to the end of its log is read in every round.
#[derive(Default)]
pub(super) struct BacklogTurn {
    pub(super) whose: Option<TopicPartition>,
    /// When that partition last gave a record.
    pub(super) gave: Option<Instant>,
    pub(super) over: bool,
}

impl BacklogTurn {
    /// Chooses among partitions with a backlog, in order: whose turn it is, else the next.
    pub(super) fn choose(&mut self, backlogged: &[&TopicPartition], now: Now) {
        let dry = self.gave.is_some_and(|at| at + IDLE <= now.instant);
        let mine = self.whose.as_ref();
        if self.over || dry || mine.is_none_or(|tp| !backlogged.contains(&tp)) {
            let next = backlogged.iter().find(|tp| mine.is_none_or(|m| m < **tp));
            let next = next.or(backlogged.first()).map(|tp| (*tp).clone());
            *self = BacklogTurn { whose: next, gave: Some(now.instant), over: false };
        }
    }
}
