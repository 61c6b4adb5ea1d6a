//! The silence rule: one source partition that falls silent, its map side with transactions whose
//! markers are written one by one, and a merge that asks. Over the real [`Merge`].
//!
//! A record's time is the clock when it is appended; window 0 ends when the clock shows 1.

use std::fmt;

use super::model::{Healthy, Model};
use super::scope::Scope;
use crate::pure::count::merge::{Asked, Merge, Patience};
use crate::pure::formats::partials::Span;
use crate::pure::protocol::Marks;
use crate::pure::record::{Offset, TopicPartition};

const RECORDS: usize = 2;
const MESSAGES: usize = 3;
const WINDOW: Span = Span { end: 1, start: 0 };

/// What may go wrong on purpose: the questions in another order, or another end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Asking {
    Right,
    /// The end of the partials before P.
    PartialsFirst,
    /// The source's end before P: a record may be appended and counted in between.
    EndFirst,
    /// The last stable offset of the partials in place of the log's end.
    Stable,
    /// The clock after the questions.
    ClockLast,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Fate {
    Open,
    Committed,
    Aborted,
}

/// A message of partial counts: the records that it is of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Message {
    from: usize,
    to: usize,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Map {
    /// Next offset to be counted, if it is known.
    Idle(Option<usize>),
    /// Produced, and its offsets sent or not.
    Sent { message: usize, offsets: bool },
    /// Decided to commit: markers that are still to be written.
    Ending { message: usize, offset: bool, partials: bool },
}

/// What the merge asks, one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Question {
    Clock,
    P,
    SourceEnd,
    PartialsEnd,
}

/// Answers so far, in the order of [`Silence::order`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Answers {
    asked: u8,
    clock: i64,
    p: usize,
    end: usize,
    partials: usize,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Silence {
    asking: Asking,
    clock: i64,
    records: Vec<i64>,
    committed: usize,
    log: Vec<Message>,
    map: Map,
    position: usize,
    merge: Merge<u8>,
    answers: Answers,
    broken: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SilenceStep {
    ClockShows(i64),
    RecordIsAppended {
        at: i64,
    },
    MapReadsP,
    MapSendsCounts {
        from: usize,
        to: usize,
    },
    MapSendsOffsets,
    TransactionIsAborted,
    TransactionIsDecided,
    OffsetsAreMarked,
    CountsAreMarked,
    /// The merge gets an answer.
    MergeReadsClock(i64),
    MergeReadsP(usize),
    MergeReadsSourceEnd(usize),
    MergeReadsPartialsEnd(usize),
    MergeConcludes,
    MergeGivesUp,
    MergeReadsMessage(usize),
    WindowCloses,
}

impl fmt::Display for SilenceStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use SilenceStep as S;
        match self {
            S::ClockShows(time) => write!(f, "the clock shows {time}"),
            S::RecordIsAppended { at } => write!(f, "a record is appended at time {at}"),
            S::MapReadsP => f.write_str("the map side reads P"),
            S::MapSendsCounts { from, to } => {
                write!(f, "the map side sends the partial counts of [{from}, {to})")
            }
            S::MapSendsOffsets => f.write_str("the map side sends its offsets"),
            S::TransactionIsAborted => f.write_str("the transaction is aborted"),
            S::TransactionIsDecided => f.write_str("the transaction is decided to commit"),
            S::OffsetsAreMarked => f.write_str("the offsets are marked committed"),
            S::CountsAreMarked => f.write_str("the partial counts are marked committed"),
            S::MergeReadsClock(time) => write!(f, "the merge reads the clock: {time}"),
            S::MergeReadsP(p) => write!(f, "the merge reads P = {p}"),
            S::MergeReadsSourceEnd(end) => write!(f, "the merge learns the source ends at {end}"),
            S::MergeReadsPartialsEnd(end) => {
                write!(f, "the merge learns the partial counts end at {end}")
            }
            S::MergeConcludes => f.write_str("the merge draws its conclusion"),
            S::MergeGivesUp => f.write_str("the merge gives up its questions"),
            S::MergeReadsMessage(n) => write!(f, "the merge reads message {n}"),
            S::WindowCloses => f.write_str("the window closes"),
        }
    }
}

type Steps = Vec<(SilenceStep, Silence)>;

fn source() -> TopicPartition {
    TopicPartition { topic: "in".into(), partition: 0 }
}

impl Silence {
    pub(super) fn new(asking: Asking) -> Silence {
        let patience = Patience { out_of_order: 0, idle: 0, lost: i64::MAX };
        let mut merge = Merge::new(patience, Marks::default());
        merge.list(&[source()], 0);
        Silence {
            asking,
            clock: 0,
            records: Vec::new(),
            committed: 0,
            log: Vec::new(),
            map: Map::Idle(None),
            position: 0,
            merge,
            answers: Answers::default(),
            broken: None,
        }
    }

    fn then(&self, out: &mut Steps, step: SilenceStep, change: impl FnOnce(&mut Silence)) {
        let mut next = self.clone();
        change(&mut next);
        out.push((step, next));
    }

    fn map_steps(&self, out: &mut Steps) {
        match self.map {
            Map::Idle(None) => {
                // A stable read: no transaction is open here.
                self.then(out, SilenceStep::MapReadsP, |w| w.map = Map::Idle(Some(w.committed)));
            }
            Map::Idle(Some(p)) => {
                for to in p + 1..=self.records.len() {
                    if self.log.len() < MESSAGES {
                        self.then(out, SilenceStep::MapSendsCounts { from: p, to }, |w| {
                            w.log.push(Message { from: p, to, fate: Fate::Open });
                            w.map = Map::Sent { message: w.log.len() - 1, offsets: false };
                        });
                    }
                }
            }
            Map::Sent { message, offsets } => {
                self.then(out, SilenceStep::TransactionIsAborted, |w| {
                    w.log[message].fate = Fate::Aborted;
                    w.map = Map::Idle(None);
                });
                if offsets {
                    self.then(out, SilenceStep::TransactionIsDecided, |w| {
                        w.map = Map::Ending { message, offset: true, partials: true };
                    });
                } else {
                    self.then(out, SilenceStep::MapSendsOffsets, |w| {
                        w.map = Map::Sent { message, offsets: true };
                    });
                }
            }
            Map::Ending { message, offset, partials } => {
                let end = |w: &mut Silence, offset, partials| {
                    let to = w.log[message].to;
                    w.map = match (offset, partials) {
                        (false, false) => Map::Idle(Some(to)),
                        _ => Map::Ending { message, offset, partials },
                    };
                };
                if offset {
                    self.then(out, SilenceStep::OffsetsAreMarked, |w| {
                        w.committed = w.log[message].to;
                        end(w, false, partials);
                    });
                }
                if partials {
                    self.then(out, SilenceStep::CountsAreMarked, |w| {
                        w.log[message].fate = Fate::Committed;
                        end(w, offset, false);
                    });
                }
            }
        }
    }

    fn order(&self) -> [Question; 4] {
        use Question::{Clock, P, PartialsEnd, SourceEnd};
        match self.asking {
            Asking::Right | Asking::Stable => [Clock, P, SourceEnd, PartialsEnd],
            Asking::PartialsFirst => [Clock, PartialsEnd, P, SourceEnd],
            Asking::EndFirst => [SourceEnd, Clock, P, PartialsEnd],
            Asking::ClockLast => [P, SourceEnd, PartialsEnd, Clock],
        }
    }

    fn stable_end(&self) -> usize {
        self.log.iter().position(|m| m.fate == Fate::Open).unwrap_or(self.log.len())
    }

    fn ask(&self, out: &mut Steps) {
        let asked = usize::from(self.answers.asked);
        match self.order().get(asked) {
            Some(question) => self.answer(*question, out),
            None if self.answers.partials <= self.position => {
                self.then(out, SilenceStep::MergeConcludes, |w| {
                    let Answers { clock, p, end, .. } = std::mem::take(&mut w.answers);
                    let (p, end) = (Some(Offset(p as i64)), Offset(end as i64));
                    w.merge.silent(&source(), Asked { p, end }, clock);
                });
            }
            None => {}
        }
        if 0 < asked {
            self.then(out, SilenceStep::MergeGivesUp, |w| w.answers = Answers::default());
        }
    }

    fn answer(&self, question: Question, out: &mut Steps) {
        let mut answers = Answers { asked: self.answers.asked + 1, ..self.answers };
        let step = match question {
            Question::Clock => {
                answers.clock = self.clock;
                SilenceStep::MergeReadsClock(self.clock)
            }
            // A stable read waits for transactions whose offsets are not marked yet.
            Question::P if self.offsets_are_pending() => return,
            Question::P => {
                answers.p = self.committed;
                SilenceStep::MergeReadsP(self.committed)
            }
            Question::SourceEnd => {
                answers.end = self.records.len();
                SilenceStep::MergeReadsSourceEnd(answers.end)
            }
            Question::PartialsEnd => {
                let stable = self.asking == Asking::Stable;
                answers.partials = if stable { self.stable_end() } else { self.log.len() };
                SilenceStep::MergeReadsPartialsEnd(answers.partials)
            }
        };
        self.then(out, step, |w| w.answers = answers);
    }

    fn offsets_are_pending(&self) -> bool {
        match self.map {
            Map::Idle(_) => false,
            Map::Sent { offsets, .. } => offsets,
            Map::Ending { offset, .. } => offset,
        }
    }

    fn read(&self, out: &mut Steps) {
        if self.stable_end() <= self.position {
            return;
        }
        let message = self.log[self.position];
        self.then(out, SilenceStep::MergeReadsMessage(self.position), |w| {
            w.position += 1;
            if message.fate == Fate::Aborted {
                return;
            }
            let times = &w.records[message.from..message.to];
            let offset = Offset(w.position as i64);
            for _ in times.iter().filter(|t| **t == 0) {
                *w.merge.sums(WINDOW, false, offset, false).expect("not replayed") += 1;
            }
            w.merge.heard(&source(), times.iter().max().copied(), 0);
        });
    }

    fn close(&self, out: &mut Steps) {
        let mut next = self.clone();
        if next.merge.close(0) {
            let early = self.records.iter().filter(|t| **t == 0).count();
            let sum: u8 = next.merge.due().map(|(_, _, sum)| *sum).sum();
            // Records of its time can't come any more once the clock is past its end.
            if usize::from(sum) < early || next.clock == 0 {
                next.broken = Some("a window closes before a record of its time was counted");
            }
            out.push((SilenceStep::WindowCloses, next));
        }
    }
}

impl Model for Silence {
    type Step = SilenceStep;

    fn next(&self, _: &Scope) -> Steps {
        let mut out = Vec::new();
        if self.clock < 2 {
            self.then(&mut out, SilenceStep::ClockShows(self.clock + 1), |w| w.clock += 1);
        }
        if self.records.len() < RECORDS {
            self.then(&mut out, SilenceStep::RecordIsAppended { at: self.clock }, |w| {
                w.records.push(w.clock);
            });
        }
        self.map_steps(&mut out);
        if self.broken.is_none() {
            self.ask(&mut out);
            self.read(&mut out);
            self.close(&mut out);
        }
        out
    }

    fn broken(&self, _: &Scope) -> Option<&'static str> {
        self.broken
    }

    fn mirrored(&self) -> Silence {
        self.clone()
    }

    fn stuck(&self, _: &Scope, _: &mut Healthy) -> Option<&'static str> {
        None
    }
}
