//! One partition of the partials topic: messages into the merge's windows, and what is asked about
//! source partitions that say nothing.

use std::sync::Arc;
use std::time::Duration;

use super::{Now, State};
use crate::clients::kafka::KafkaError;
use crate::clients::kafka::offsets::Silence;
use crate::engine::worker::SourceLists;
use crate::pure::count::merge::{Asked, Merge, Patience};
use crate::pure::count::words::Words;
use crate::pure::formats::partials::{Partials, Unreadable};
use crate::pure::protocol::{Marks, Stop};
use crate::pure::record::{Offset, Record, TopicPartition};

/// How long a source partition says nothing before somebody asks.
const QUIET: Duration = Duration::from_millis(300);

/// How often is asked, at most.
const ASK: Duration = Duration::from_millis(500);

/// See the module's page.
pub(in crate::engine::worker) struct Merging {
    pub(in crate::engine::worker) merge: Merge<Words>,
    patience: Patience,
    lists: Arc<SourceLists>,
    mapping: String,
    listed: Option<Arc<[TopicPartition]>>,
    asking: bool,
    ask_not_before: i64,
    answer: Option<Answer>,
    bytes: usize,
}

/// What was asked at a time, and how far this partition must be read for it to be true.
struct Answer {
    at: i64,
    asked: Vec<(TopicPartition, Asked)>,
    end: Offset,
}

/// A question about source partitions: the clock was read before it is asked.
pub(in crate::engine::worker) struct Question {
    pub(in crate::engine::worker) at: i64,
    pub(in crate::engine::worker) sources: Vec<TopicPartition>,
}

impl Merging {
    pub(super) fn new(patience: Patience, mapping: &str, lists: Arc<SourceLists>) -> Merging {
        Merging {
            merge: Merge::new(patience, Marks::default()),
            patience,
            lists,
            mapping: mapping.into(),
            listed: None,
            asking: false,
            ask_not_before: 0,
            answer: None,
            bytes: 0,
        }
    }

    /// The state is void; it is replayed from what is committed.
    pub(super) fn reset(&mut self, marks: Marks) {
        self.merge = Merge::new(self.patience, marks);
        (self.listed, self.answer, self.bytes) = (None, None, 0);
    }

    /// Takes one message; [`None`] for one that somebody else wrote. How many words it has.
    pub(super) fn take(
        &mut self,
        record: &Record<'_>,
        replay: bool,
        now: i64,
    ) -> Result<Option<u64>, Unreadable> {
        let Some(partials) = Partials::parse(record)? else { return Ok(None) };
        let (mut cursor, mut words) = (partials.cursor(), 0);
        while let Some((span, ahead)) = cursor.window()? {
            let mut sums = self.merge.sums(span, ahead, record.offset, replay);
            while let Some((word, n)) = cursor.word()? {
                if let Some(sums) = &mut sums {
                    sums.add_times(word, n);
                    words += n;
                }
            }
        }
        self.merge.heard(&partials.source, partials.watermark, now);
        Ok(Some(words))
    }

    /// Closes what is whole, once the state is there. `position`: everything before it was read.
    fn advance(&mut self, position: Offset, now: i64) {
        let listed = self.lists.of(&self.mapping);
        let same = match (&listed, &self.listed) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        if let Some(sources) = listed.filter(|_| !same) {
            self.merge.list(&sources, now);
            self.listed = Some(sources);
        }
        if self.answer.as_ref().is_some_and(|a| a.end <= position) {
            let Answer { at, asked, .. } = self.answer.take().expect("looked at above");
            for (tp, asked) in asked {
                self.merge.silent(&tp, asked, at);
            }
        }
        let _ = self.merge.close(now);
    }

    fn ask(&mut self, now: i64) -> Option<Question> {
        let wanted = !self.asking
            && self.answer.is_none()
            && self.ask_not_before <= now
            && self.listed.is_some()
            && self.merge.may_close(now);
        if !wanted {
            return None;
        }
        let quiet = now.saturating_sub(QUIET.as_millis() as i64);
        let silent = |tp: &TopicPartition| self.merge.heard_at(tp).is_none_or(|at| at <= quiet);
        let sources: Vec<TopicPartition> =
            self.merge.waits_for(now).into_iter().filter(|tp| silent(tp)).cloned().collect();
        if sources.is_empty() {
            return None;
        }
        self.asking = true;
        self.ask_not_before = now.saturating_add(ASK.as_millis() as i64);
        Some(Question { at: now, sources })
    }

    /// Source partitions that hold windows back, and since when nothing is heard of them.
    pub(in crate::engine::worker) fn waits_for(
        &self,
        now: i64,
    ) -> Vec<(&TopicPartition, Duration)> {
        let since = |tp| {
            let at = self.merge.heard_at(tp).unwrap_or(now);
            Duration::from_millis(now.saturating_sub(at).max(0) as u64)
        };
        self.merge.waits_for(now).into_iter().map(|tp| (tp, since(tp))).collect()
    }

    /// Memory in use, about; as of the last batch.
    pub(in crate::engine::worker) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Everything that was due was committed.
    pub(in crate::engine::worker) fn published(&mut self) {
        self.merge.published();
        self.measure();
    }

    pub(super) fn measure(&mut self) {
        self.bytes = self.merge.all().map(Words::bytes).sum();
    }
}

impl State {
    /// Whatever time and the answers allow; and the next question, if there is one.
    pub(in crate::engine::worker) fn advance_merge(&mut self, now: Now) -> Option<Question> {
        let (Some(merging), Some(part)) = (&mut self.merging, &self.part) else { return None };
        let position = part.counted().filter(|_| !part.replays() && self.stopped.is_none())?;
        merging.advance(position, now.millis);
        merging.ask(now.millis)
    }

    pub(in crate::engine::worker) fn on_silence(
        &mut self,
        at: i64,
        answer: Result<Silence, KafkaError>,
    ) {
        let Some(merging) = &mut self.merging else { return };
        merging.asking = false;
        let Silence { asked, end } = match answer {
            Ok(answer) => answer,
            // Whose broker does not answer is not silent.
            Err(e) => {
                return tracing::debug!(
                    tp = %self.tp, error = %e,
                    "asking for the positions of source partitions"
                );
            }
        };
        let asked = asked.into_iter().filter_map(|(tp, committed, end)| {
            // A source whose metadata can't be read is not known to be silent.
            let p = committed.transpose().ok()?.map(|committed| committed.p());
            Some((tp, Asked { p, end }))
        });
        merging.answer = Some(Answer { at, asked: asked.collect(), end });
    }

    /// Memory is short: what is open is published in part.
    pub(in crate::engine::worker) fn part_merge(&mut self) {
        let replays = self.part.as_ref().is_none_or(|p| p.replays());
        if let Some(merging) = self.merging.as_mut().filter(|_| !replays)
            && 0 < merging.merge.open()
        {
            tracing::warn!(
                tp = %self.tp, windows = merging.merge.open(), bytes = merging.bytes,
                "all open windows are published in part, because their words need too much of \
                 daemon.memory"
            );
            merging.merge.part();
        }
    }

    /// What the state needs, told to the rules before they plan a commit.
    pub(in crate::engine::worker) fn hold(&mut self) {
        if let (Some(merging), Some(part)) = (&self.merging, &mut self.part)
            && !part.replays()
        {
            part.hold(merging.merge.needed(), merging.merge.marks());
        }
    }

    /// A message of partial counts; false stops the partition.
    #[inline]
    pub(super) fn merge(&mut self, record: &Record<'_>, replay: bool, now: Now) {
        let Some(merging) = &mut self.merging else { return };
        match merging.take(record, replay, now.millis) {
            Ok(Some(words)) => self.tally.words += words,
            Ok(None) => {
                self.tally.foreign += 1;
                if self.tally.foreign == 1 {
                    tracing::warn!(
                        tp = %self.tp, offset = %record.offset,
                        "another program writes into the partials topic; its record is not counted"
                    );
                }
            }
            Err(e) => {
                let text = format!("offset {}: {e}", record.offset);
                self.stop(&Stop::Unreadable(text), now);
            }
        }
    }
}
