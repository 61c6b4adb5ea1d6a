//! One interface for what a partition's records are counted into.

use std::sync::Arc;
use std::time::Duration;

use crate::clients::kafka::TransactionError;
use crate::common::clock::Now;
use crate::common::config::WordCount;
use crate::engine::results::map::Map;
use crate::engine::results::merge::Merging;
use crate::engine::results::publish::{Send, Transfer, publish_map, publish_merge};
use crate::engine::results::tally::Tally;
use crate::engine::topics::{Role, SourceLists, TopicRole};
use crate::pure::count::CountKind;
use crate::pure::formats::metadata::Marks;
use crate::pure::formats::partials::Unreadable;
use crate::pure::protocol::partition::Use;
use crate::pure::record::{Offset, Record};

/// The results half of one partition.
pub enum Results {
    /// Nothing is counted: the partition is archived alone.
    Uncounted,
    /// A source partition is counted.
    Map(Arc<WordCount>, Box<Map>),
    /// A partition of the partials topic is merged.
    Merge(Arc<WordCount>, Box<Merging>),
}

/// A result half's state, for a commit: the first offset that it still needs, and its marks.
pub type StateForCommit = (Option<Offset>, Marks);

impl Results {
    /// The half that a topic's role asks for; nothing is counted yet.
    #[must_use]
    pub fn new(role: &Role, lists: &Arc<SourceLists>) -> Results {
        let Some(count) = role.count.clone() else { return Results::Uncounted };
        match (role.of, &count.merge) {
            (TopicRole::Partials, Some(merge)) => {
                let merging = Merging::new(merge.patience, &role.mapping, Arc::clone(lists));
                Results::Merge(count, Box::new(merging))
            }
            _ => Results::Map(count, Box::default()),
        }
    }

    /// What is in memory is void: the records after those with these marks are read again.
    pub fn reset(&mut self, marks: Marks) {
        match self {
            Results::Uncounted => {}
            Results::Map(_, map) => map.reset(marks),
            Results::Merge(_, merging) => merging.reset(marks),
        }
    }

    /// What is read from now on is counted from nothing: arrival windows that have begun are not
    /// whole.
    pub fn counts_from_here(&mut self, now: Now) {
        if let Results::Map(_, map) = self {
            map.whole_since = now.millis;
        }
    }

    /// Counts one record.
    ///
    /// # Errors
    /// A message of the partials topic can't be read: the partition stops.
    #[inline]
    pub fn on_record(
        &mut self,
        record: &Record<'_>,
        use_: Use,
        now: Now,
        tally: &mut Tally,
    ) -> Result<(), Unreadable> {
        match (self, use_) {
            (Results::Map(count, map), Use::Count) => map.on_record(record, count, now, tally),
            (Results::Merge(_, merging), _) => {
                merging.on_record(record, use_ == Use::Replay, now, tally)?;
            }
            (Results::Map(..), Use::Replay) | (Results::Uncounted, _) => {}
        }
        Ok(())
    }

    /// Time until the results are due; [`None`] if there are none. `interval_left`: until the next
    /// commit that is made anyway; `most_bytes`: what the results may hold in memory; `backlog`:
    /// there is more to read at once.
    #[must_use]
    pub fn due_in(
        &self,
        now: Now,
        interval_left: Duration,
        most_bytes: usize,
        backlog: bool,
    ) -> Option<Duration> {
        match self {
            Results::Uncounted => None,
            Results::Map(count, map) => map.due_in(count, now, interval_left, most_bytes),
            Results::Merge(_, merging) => merging.due_in(interval_left, backlog),
        }
    }

    /// What is counted and not yet committed, or merged and not yet published. Bytes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Results::Uncounted => 0,
            Results::Map(_, map) => map.counts.bytes(),
            Results::Merge(_, merging) => merging.bytes(),
        }
    }

    /// Whether a commit would publish nothing but what may be published at any time: a source
    /// partition with open counts waits for their time.
    #[must_use]
    pub fn holds_nothing_back(&self) -> bool {
        match self {
            Results::Map(_, map) => map.counts.is_empty(),
            Results::Uncounted | Results::Merge(..) => true,
        }
    }

    /// Called before a commit with results.
    pub fn before_commit(&mut self, now: Now) {
        if let Results::Map(count, map) = self {
            map.note_arrival_time(count, now);
        }
    }

    /// What the rules are to know before they plan a commit.
    #[must_use]
    pub fn state_for_commit(&self) -> Option<StateForCommit> {
        match self {
            Results::Uncounted => None,
            Results::Map(_, map) => Some((None, map.marks())),
            Results::Merge(_, merging) => Some((merging.merge.needed(), merging.merge.marks())),
        }
    }

    /// Sends what the transfer's plan publishes; how many messages. `largest`: the bytes that the
    /// value of a message may have.
    ///
    /// # Errors
    /// The transaction is in doubt.
    pub fn publish(
        &self,
        transfer: &Transfer,
        now: Now,
        largest: usize,
        send: &mut Send<'_>,
    ) -> Result<u64, TransactionError> {
        match self {
            Results::Uncounted => Ok(0),
            Results::Map(count, map) => publish_map(map, count, transfer, (now, largest), send),
            Results::Merge(count, merging) => publish_merge(merging, count, transfer, send),
        }
    }

    /// The ends of the windows whose counts a commit of now publishes as final, milliseconds.
    #[must_use]
    pub fn final_ends(&self, now: Now) -> Vec<i64> {
        match self {
            Results::Map(count, map) if count.merge.is_none() => map.final_ends(count, now),
            Results::Uncounted | Results::Map(..) => Vec::new(),
            Results::Merge(_, merging) => {
                let due = merging.merge.due().filter(|(_, kind, _)| *kind == CountKind::Final);
                due.map(|(span, ..)| span.end).collect()
            }
        }
    }

    /// What was due is committed.
    pub fn published(&mut self, now: Now) {
        match self {
            Results::Uncounted => {}
            Results::Map(count, map) => map.published(count, now),
            Results::Merge(_, merging) => merging.published(),
        }
    }

    /// The merge, if this half is one.
    #[must_use]
    pub fn merging(&self) -> Option<&Merging> {
        if let Results::Merge(_, merging) = self { Some(merging) } else { None }
    }

    /// The merge, if this half is one.
    pub fn merging_mut(&mut self) -> Option<&mut Merging> {
        if let Results::Merge(_, merging) = self { Some(merging) } else { None }
    }
}
