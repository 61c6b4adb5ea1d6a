//! One partition of the partials topic: messages into the merge's windows, and what is asked about
//! source partitions that say nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::clients::kafka::offsets::Silence;
use crate::common::clock::Now;
use crate::engine::results::tally::Tally;
use crate::engine::topics::SourceLists;
use crate::pure::count::merge::{Asked, Merge, Patience};
use crate::pure::count::words::Words;
use crate::pure::formats::partials::{Partials, Span, Unreadable};
use crate::pure::protocol::Marks;
use crate::pure::record::{Offset, Record, TopicPartition};

/// A source partition that says nothing for this time is asked about.
const QUIET: Duration = Duration::from_millis(300);

/// The shortest time between two questions.
const ASK: Duration = Duration::from_millis(500);

/// The open windows of one partition of the partials topic, and what is known of the source
/// partitions that they wait for.
pub struct Merging {
    pub merge: Merge<Words>,
    patience: Patience,
    lists: Arc<SourceLists>,
    mapping: String,
    listed: Option<Arc<[TopicPartition]>>,
    asking: bool,
    ask_not_before: i64,
    answer: Option<Answer>,
    bytes: usize,
    /// The first open window, if it is over by the clock, and since when it is seen to wait.
    held_back: Option<(Span, i64)>,
}

/// What was asked at a time, and how far this partition must be read for it to be true.
struct Answer {
    at: i64,
    asked: Vec<(TopicPartition, Asked)>,
    end: Offset,
}

/// A question about source partitions: the clock was read before it is asked.
pub struct Question {
    pub at: i64,
    pub sources: Vec<TopicPartition>,
}

/// A source partition that a window waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeldBack<'a> {
    pub tp: &'a TopicPartition,
    /// How long the window has been over and has waited for the partition.
    pub waited: Duration,
    /// The time since the last message of the partition.
    pub silent: Duration,
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
            held_back: None,
        }
    }

    /// The state is void; it is replayed from what is committed.
    pub(super) fn reset(&mut self, marks: Marks) {
        self.merge = Merge::new(self.patience, marks);
        (self.listed, self.answer, self.bytes, self.held_back) = (None, None, 0, None);
    }

    /// Takes one message of partial counts. `replay`: the message is below P.
    ///
    /// # Errors
    /// The message is of this program, and can't be read.
    #[inline]
    pub(super) fn on_record(
        &mut self,
        record: &Record<'_>,
        replay: bool,
        now: Now,
        tally: &mut Tally,
    ) -> Result<(), Unreadable> {
        let Some(partials) = Partials::parse(record)? else {
            tally.foreign = tally.foreign.saturating_add(1);
            return Ok(());
        };
        let mut cursor = partials.cursor();
        while let Some((span, ahead)) = cursor.window()? {
            let mut sums = self.merge.sums(span, ahead, record.offset, replay);
            while let Some((word, n)) = cursor.word()? {
                if sums.as_mut().is_some_and(|sums| !sums.add_times(word, n)) {
                    return Err(Unreadable("a count"));
                }
            }
        }
        self.merge.heard(&partials.source, partials.watermark, now.millis);
        Ok(())
    }

    /// Closes the windows that are whole, once the state is rebuilt; returns the next question, if
    /// there is one. `position`: everything before it was read.
    pub fn advance(&mut self, position: Offset, now: Now) -> Option<Question> {
        self.close(position, now.millis);
        self.ask(now.millis)
    }

    fn close(&mut self, position: Offset, now: i64) {
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
        let late = self.merge.may_close(now) && self.merge.is_first_passed(now);
        let first = self.merge.first_open().filter(|_| late);
        self.held_back = first.map(|span| match self.held_back {
            Some((same, since)) if same == span => (span, since),
            _ => (span, now),
        });
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

    /// The answer to a question that was asked when the clock showed `at`; [`None`] if the brokers
    /// gave none: a source partition whose broker does not answer is not known to be silent.
    pub fn on_silence(&mut self, at: i64, answer: Option<Silence>) {
        self.asking = false;
        let Some(Silence { asked, end }) = answer else { return };
        let asked = asked.into_iter().filter_map(|(tp, committed, end)| {
            // A source whose metadata can't be read is not known to be silent.
            let p = committed.transpose().ok()?.map(|committed| committed.p());
            Some((tp, Asked { p, end }))
        });
        self.answer = Some(Answer { at, asked: asked.collect(), end });
    }

    /// Time until the windows are due; [`None`] if there are none. A closed window is due at once,
    /// but a reader with a backlog has many to close.
    pub(super) fn due_in(&self, interval_left: Duration, backlog: bool) -> Option<Duration> {
        let at_once = self.merge.is_due() && !backlog;
        let left = if at_once { Duration::ZERO } else { interval_left };
        self.merge.due().next().map(|_| left)
    }

    /// Memory is short: all open windows are published in part.
    pub fn publish_open(&mut self) {
        self.merge.publish_open();
    }

    /// Source partitions that hold back the first window, if that is over by the clock: a window
    /// that is not over waits for nobody.
    pub fn waits_for(&self, now: i64) -> Vec<HeldBack<'_>> {
        let Some((_, since)) = self.held_back else { return Vec::new() };
        let elapsed = |at: i64| Duration::from_millis(now.saturating_sub(at).max(0).unsigned_abs());
        let one = |tp| HeldBack {
            tp,
            waited: elapsed(since),
            silent: elapsed(self.merge.heard_at(tp).unwrap_or(now)),
        };
        self.merge.waits_for(now).into_iter().map(one).collect()
    }

    /// Memory in use, about; as of the last batch.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Everything that was due was committed.
    pub fn published(&mut self) {
        self.merge.published();
        self.measure();
    }

    pub fn measure(&mut self) {
        self.bytes = self.merge.all().map(Words::bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    /// A merge of two source partitions, of which one has a window open.
    fn merging() -> (Merging, TopicPartition) {
        let tp = |partition| TopicPartition { topic: "in".into(), partition };
        let lists = Arc::new(SourceLists::default());
        lists.set("m", vec![tp(0), tp(1)]);
        let patience = Patience { out_of_order: 1_000, idle: 10_000, lost: 10 * HOUR };
        let mut merging = Merging::new(patience, "m", lists);
        let span = Span { start: 0, end: HOUR };
        let _ = merging.merge.sums(span, false, Offset(0), false);
        merging.merge.heard(&tp(0), Some(10), 10);
        (merging, tp(1))
    }

    fn waits(merging: &mut Merging, now: i64) -> Vec<(TopicPartition, u64)> {
        merging.close(Offset(1), now);
        let all = merging.waits_for(now).into_iter();
        all.map(|w| (w.tp.clone(), w.waited.as_secs())).collect()
    }

    #[test]
    fn a_window_that_is_not_over_waits_for_nobody() {
        let (mut merging, _) = merging();
        assert_eq!(waits(&mut merging, 20), []);
        assert_eq!(waits(&mut merging, HOUR / 2), [], "both were silent for half an hour");
        assert_eq!(waits(&mut merging, HOUR + 999), []);
    }

    /// Records of last year are read: the clock is past their windows, and no source is.
    #[test]
    fn a_window_that_no_source_has_passed_waits_for_nobody() {
        let (mut merging, silent) = merging();
        let year = 365 * 24 * HOUR;
        for tp in [TopicPartition { partition: 0, ..silent.clone() }, silent.clone()] {
            merging.merge.heard(&tp, Some(HOUR / 2), year);
        }
        assert_eq!(waits(&mut merging, year), []);
        assert_eq!(waits(&mut merging, year + 7_000), []);
        let passed = TopicPartition { partition: 0, ..silent.clone() };
        merging.merge.heard(&passed, Some(HOUR + 1_000), year + 8_000);
        assert_eq!(waits(&mut merging, year + 8_000), [(silent.clone(), 0)]);
        assert_eq!(waits(&mut merging, year + 9_000), [(silent, 1)]);
    }

    /// Not since the source was last heard of: it may have had nothing to say.
    #[test]
    fn a_window_has_waited_since_it_was_over() {
        let (mut merging, silent) = merging();
        let over = HOUR + 1_000;
        merging.merge.heard(&TopicPartition { partition: 0, ..silent.clone() }, Some(over), over);
        assert_eq!(waits(&mut merging, over), [(silent.clone(), 0)]);
        assert_eq!(waits(&mut merging, over + 7_000), [(silent.clone(), 7)]);
        merging.merge.heard(&silent, Some(over), over + 8_000);
        assert_eq!(waits(&mut merging, over + 8_000), [], "the window is closed");
    }
}
