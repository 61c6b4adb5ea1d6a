//! The reduce side: sums partial counts by window and word, and says when a window is whole.
//!
//! A window closes when the watermarks of *all* source partitions have passed its end. Its state is
//! rebuilt by replay: [`Merge::needed`] is the first message that an open window still needs.
//! Windows up to [`Marks::watermark`] are closed for good; what comes for one of those is published
//! at once, as `late`, and adds to what was published before.
//!
//! A source partition holds windows back for one of three reasons. It has *records before the
//! window's end* that are still to come: then the window waits for it. It is *silent*: nothing was
//! left to count at some moment, as [`Merge::silent`] is told; then its watermark is that moment.
//! Or *nobody reads it*: after a patience the windows are published without it.

use std::collections::BTreeMap;

use crate::pure::count::output::CountKind;
use crate::pure::fault::{PlantedFault, planted};
use crate::pure::formats::metadata::Marks;
use crate::pure::formats::partials::Span;
use crate::pure::record::{Offset, TopicPartition};

/// How long windows wait, and for what; all fields are in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Patience {
    /// How much earlier than the highest time seen a record's time may be.
    pub out_of_order: i64,
    /// How long a source partition must have had nothing to count before it is silent.
    pub idle: i64,
    /// How long a source partition of which nothing is heard holds windows back.
    pub lost: i64,
}

/// The windows of one partition of the partials topic. `S` is the type of one window's sums.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Merge<S> {
    patience: Patience,
    open: BTreeMap<Span, OpenWindow<S>>,
    /// Windows that the next commit publishes, because they were closed, or are published in part.
    done: Vec<(Span, CountKind, S)>,
    /// Sums that the next commit publishes of windows that are not kept open; the flag says whether
    /// the window was closed before (late) or is ahead of the clock.
    at_once: BTreeMap<(Span, bool), S>,
    sources: BTreeMap<TopicPartition, Source>,
    /// Whether the mapping's source partitions are known.
    listed: bool,
    marks: Marks,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct OpenWindow<S> {
    first: Offset,
    sums: S,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Source {
    listed: bool,
    /// The watermark that the partition's own messages give, milliseconds; [`None`] before the
    /// first one.
    watermark: Option<i64>,
    /// The watermark that the silence rule gives, milliseconds; [`None`] unless the partition is
    /// silent.
    silent: Option<i64>,
    /// The end of the partition's log, and the time (milliseconds) since which everything up to
    /// that end is counted.
    quiet: Option<(Offset, i64)>,
    /// The time at which the partition was last heard of, milliseconds.
    heard: i64,
}

/// The answers about a source partition. The order is essential: first the clock was read, then the
/// partition's P, then its log's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    pub p: Option<Offset>,
    pub end: Offset,
}

impl<S: Default> Merge<S> {
    /// A merge without open windows. `marks` are the committed ones.
    #[must_use]
    pub fn new(patience: Patience, marks: Marks) -> Merge<S> {
        Merge {
            patience,
            open: BTreeMap::new(),
            done: Vec::new(),
            at_once: BTreeMap::new(),
            sources: BTreeMap::new(),
            listed: false,
            marks,
        }
    }

    /// Sets the list of the mapping's source partitions, as the brokers gave it; `now` is in
    /// milliseconds.
    pub fn list(&mut self, sources: &[TopicPartition], now: i64) {
        self.listed = true;
        let lost = self.patience.lost;
        for (tp, source) in &mut self.sources {
            source.listed = sources.contains(tp);
        }
        for tp in sources {
            self.source(tp, now).listed = true;
        }
        // One that is heard and not listed: the list is older than the partition.
        self.sources.retain(|_, s| s.listed || now.saturating_sub(s.heard) < lost);
    }

    fn source(&mut self, tp: &TopicPartition, now: i64) -> &mut Source {
        if !self.sources.contains_key(tp) {
            let new =
                Source { listed: false, watermark: None, silent: None, quiet: None, heard: now };
            let _ = self.sources.insert(tp.clone(), new);
        }
        self.sources.get_mut(tp).expect("put there")
    }

    /// The sums to which a window's words are added; [`None`] if the words were published before.
    /// Messages must come in the order of their offsets. `ahead` says that the window is ahead of
    /// the clock, and `replay` that the message is below P.
    pub fn sums(
        &mut self,
        span: Span,
        ahead: bool,
        offset: Offset,
        replay: bool,
    ) -> Option<&mut S> {
        let late = self.marks.watermark.is_some_and(|closed| span.end <= closed);
        if ahead || late {
            if replay && !planted(PlantedFault::LateAgain) {
                return None;
            }
            // Nobody waits for a window of next year.
            return Some(self.at_once.entry((span, late)).or_default());
        }
        let open = self.open.entry(span);
        Some(&mut open.or_insert_with(|| OpenWindow { first: offset, sums: S::default() }).sums)
    }

    /// Notes that a message of this source partition was read to its end, with the watermark that
    /// the message carries.
    pub fn heard(&mut self, tp: &TopicPartition, watermark: Option<i64>, now: i64) {
        let source = self.source(tp, now);
        source.watermark = source.watermark.max(watermark);
        source.heard = now;
        // It speaks again.
        source.quiet = None;
        source.silent = None;
    }

    /// The source partitions that hold the first open window back.
    #[must_use]
    pub fn waits_for(&self, now: i64) -> Vec<&TopicPartition> {
        let Some(first) = self.open.first_key_value().map(|(span, _)| span.end) else {
            return Vec::new();
        };
        let behind = |s: &Source| self.watermark(s, now) < first;
        self.sources.iter().filter(|(_, s)| behind(s)).map(|(tp, _)| tp).collect()
    }

    /// Whether a source partition is past the first open window. A window that none has passed
    /// waits for nobody: time itself has not gone so far in the records.
    #[must_use]
    pub fn is_first_passed(&self, now: i64) -> bool {
        let first = self.open.first_key_value().map(|(span, _)| span.end);
        first.is_some_and(|end| self.sources.values().any(|s| end <= self.watermark(s, now)))
    }

    /// The time at which this source partition was last heard of, milliseconds; [`None`] if the
    /// partition is unknown.
    #[must_use]
    pub fn heard_at(&self, tp: &TopicPartition) -> Option<i64> {
        self.sources.get(tp).map(|s| s.heard)
    }

    /// The first open window.
    #[must_use]
    pub fn first_open(&self) -> Option<Span> {
        self.open.first_key_value().map(|(span, _)| *span)
    }

    /// Whether silence could close the first open window at this time.
    #[must_use]
    pub fn may_close(&self, now: i64) -> bool {
        let clock = now.saturating_sub(self.patience.out_of_order);
        self.open.first_key_value().is_some_and(|(span, _)| span.end <= clock)
    }

    /// Takes the answers about a source partition. They were asked for after the clock showed `at`,
    /// and *then* the end of this partition of the partials topic was asked for; this partition
    /// must have been read up to that end by now.
    pub fn silent(&mut self, tp: &TopicPartition, asked: Asked, at: i64) {
        let Patience { idle, out_of_order, .. } = self.patience;
        let Some(source) = self.sources.get_mut(tp) else { return };
        let counted =
            asked.p.is_some_and(|p| asked.end <= p) || planted(PlantedFault::LagIsSilence);
        if !counted {
            source.quiet = None;
            return;
        }
        let since = source.quiet.filter(|(end, _)| *end == asked.end).map_or(at, |(_, at)| at);
        source.quiet = Some((asked.end, since));
        if idle <= at.saturating_sub(since) {
            source.silent = source.silent.max(Some(at.saturating_sub(out_of_order)));
        }
        // Somebody reads it.
        source.heard = source.heard.max(at);
    }

    fn watermark(&self, source: &Source, now: i64) -> i64 {
        let Patience { lost, out_of_order, .. } = self.patience;
        let unheard = now.saturating_sub(source.heard);
        let given_up = now.saturating_sub(lost).saturating_sub(out_of_order);
        let given_up = (lost <= unheard).then_some(given_up);
        let known = source.watermark.max(source.silent).max(given_up);
        known.max(self.marks.watermark).unwrap_or(i64::MIN)
    }

    /// Closes every window that is whole, and returns whether there was one.
    pub fn close(&mut self, now: i64) -> bool {
        if !self.listed {
            return false;
        }
        let all = self.sources.values().map(|s| self.watermark(s, now));
        let lowest = if planted(PlantedFault::HighestWatermark) { all.max() } else { all.min() };
        let lowest = lowest.unwrap_or(i64::MAX);
        let mut closed = false;
        while let Some(window) = self.open.first_entry()
            && window.key().end <= lowest
        {
            let (span, open) = window.remove_entry();
            let whole =
                self.marks.in_parts_until.is_none_or(|in_parts_until| in_parts_until < span.start);
            self.done.push((
                span,
                if whole { CountKind::Final } else { CountKind::Part },
                open.sums,
            ));
            self.marks.watermark = self.marks.watermark.max(Some(span.end));
            closed = true;
        }
        closed
    }

    /// Publishes all open windows in part, because memory is short. All windows are published
    /// together: a window that stayed open would hold F back, and the published windows would be
    /// rebuilt by a replay and counted twice.
    pub fn publish_open(&mut self) {
        let all = self.open.len();
        let some = if planted(PlantedFault::PartAlone) { all.min(1) } else { all };
        for _ in 0..some {
            let Some((span, open)) = self.open.pop_first() else { break };
            self.marks.in_parts_until = self.marks.in_parts_until.max(Some(span.start));
            self.done.push((span, CountKind::Part, open.sums));
        }
    }

    /// The first message that an open window still needs.
    #[must_use]
    pub fn needed(&self) -> Option<Offset> {
        self.open.values().map(|o| o.first).min()
    }

    /// The marks to be committed together with the results.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.marks
    }

    /// The sums that the next commit publishes, with their window and kind.
    pub fn due(&self) -> impl Iterator<Item = (Span, CountKind, &S)> {
        let kind = |late| if late { CountKind::Late } else { CountKind::Part };
        let at_once = self.at_once.iter().map(move |((s, late), sums)| (*s, kind(*late), sums));
        self.done.iter().map(|(span, kind, sums)| (*span, *kind, sums)).chain(at_once)
    }

    /// Whether a window was closed, or was published in part, since the last commit.
    #[must_use]
    pub fn is_due(&self) -> bool {
        !self.done.is_empty()
    }

    /// Notes that everything that was due was published.
    pub fn published(&mut self) {
        self.done.clear();
        self.at_once.clear();
    }

    /// All sums in memory: those of open windows, and those that are due.
    pub fn all(&self) -> impl Iterator<Item = &S> {
        self.open.values().map(|o| &o.sums).chain(self.due().map(|(_, _, sums)| sums))
    }

    /// The number of open windows.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }
}
