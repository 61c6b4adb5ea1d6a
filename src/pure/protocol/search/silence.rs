//! The silence rule: one source partition that falls silent, its map side with transactions whose
//! markers are written one by one, and a merge that asks. Over the real [`Merge`].
//!
//! A record's time is the clock when it is appended; window 0 ends when the clock shows 1.

use super::world::Scope;
use super::{Model, engine};
use crate::pure::count::merge::{Asked, Merge, Patience};
use crate::pure::count::partials::Span;
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

type Step = (String, Silence);

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

    fn then(&self, out: &mut Vec<Step>, label: String, change: impl FnOnce(&mut Silence)) {
        let mut next = self.clone();
        change(&mut next);
        out.push((label, next));
    }

    fn map_steps(&self, out: &mut Vec<Step>) {
        match self.map {
            Map::Idle(None) => {
                // A stable read: no transaction is open here.
                self.then(out, "map reads P".into(), |w| w.map = Map::Idle(Some(w.committed)));
            }
            Map::Idle(Some(p)) => {
                for to in p + 1..=self.records.len() {
                    if self.log.len() < MESSAGES {
                        self.then(out, format!("map sends [{p}, {to})"), |w| {
                            w.log.push(Message { from: p, to, fate: Fate::Open });
                            w.map = Map::Sent { message: w.log.len() - 1, offsets: false };
                        });
                    }
                }
            }
            Map::Sent { message, offsets } => {
                self.then(out, "the transaction is aborted".into(), |w| {
                    w.log[message].fate = Fate::Aborted;
                    w.map = Map::Idle(None);
                });
                if offsets {
                    self.then(out, "the transaction is decided".into(), |w| {
                        w.map = Map::Ending { message, offset: true, partials: true };
                    });
                } else {
                    self.then(out, "map sends offsets".into(), |w| {
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
                    self.then(out, "offsets are marked committed".into(), |w| {
                        w.committed = w.log[message].to;
                        end(w, false, partials);
                    });
                }
                if partials {
                    self.then(out, "partial counts are marked committed".into(), |w| {
                        w.log[message].fate = Fate::Committed;
                        end(w, offset, false);
                    });
                }
            }
        }
    }

    /// Questions by their number: 0 the clock, 1 P, 2 the source's end, 3 the partials' end.
    fn order(&self) -> [u8; 4] {
        match self.asking {
            Asking::Right | Asking::Stable => [0, 1, 2, 3],
            Asking::PartialsFirst => [0, 3, 1, 2],
            Asking::EndFirst => [2, 0, 1, 3],
            Asking::ClockLast => [1, 2, 3, 0],
        }
    }

    fn stable_end(&self) -> usize {
        self.log.iter().position(|m| m.fate == Fate::Open).unwrap_or(self.log.len())
    }

    fn ask(&self, out: &mut Vec<Step>) {
        let asked = usize::from(self.answers.asked);
        match self.order().get(asked) {
            Some(0) => self.then(out, "the merge reads the clock".into(), |w| {
                (w.answers.clock, w.answers.asked) = (w.clock, w.answers.asked + 1);
            }),
            // A stable read waits for transactions whose offsets are not marked yet.
            Some(1) => {
                let pending = match self.map {
                    Map::Idle(_) => false,
                    Map::Sent { offsets, .. } => offsets,
                    Map::Ending { offset, .. } => offset,
                };
                if !pending {
                    self.then(out, format!("the merge reads P = {}", self.committed), |w| {
                        (w.answers.p, w.answers.asked) = (w.committed, w.answers.asked + 1);
                    });
                }
            }
            Some(2) => {
                self.then(
                    out,
                    format!("the merge asks for the end, {}", self.records.len()),
                    |w| {
                        (w.answers.end, w.answers.asked) = (w.records.len(), w.answers.asked + 1);
                    },
                );
            }
            Some(_) => {
                let stable = self.asking == Asking::Stable;
                let end = if stable { self.stable_end() } else { self.log.len() };
                self.then(out, format!("the partials end at {end}"), |w| {
                    (w.answers.partials, w.answers.asked) = (end, w.answers.asked + 1);
                });
            }
            None if self.answers.partials <= self.position => {
                self.then(out, "the merge draws its conclusion".into(), |w| {
                    let Answers { clock, p, end, .. } = std::mem::take(&mut w.answers);
                    let (p, end) = (Some(Offset(p as i64)), Offset(end as i64));
                    w.merge.silent(&source(), Asked { p, end }, clock);
                });
            }
            None => {}
        }
        if 0 < asked {
            self.then(out, "the questions are given up".into(), |w| {
                w.answers = Answers::default();
            });
        }
    }

    fn read(&self, out: &mut Vec<Step>) {
        if self.stable_end() <= self.position {
            return;
        }
        let message = self.log[self.position];
        self.then(out, format!("the merge reads message {}", self.position), |w| {
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

    fn close(&self, out: &mut Vec<Step>) {
        let mut next = self.clone();
        if next.merge.close(0) {
            let early = self.records.iter().filter(|t| **t == 0).count();
            let sum: u8 = next.merge.due().map(|(_, _, sum)| *sum).sum();
            // Records of its time can't come any more once the clock is past its end.
            if usize::from(sum) < early || next.clock == 0 {
                next.broken = Some("a window closes before a record of its time was counted");
            }
            out.push(("the window closes".into(), next));
        }
    }
}

impl Model for Silence {
    fn next(&self, _: &Scope) -> Vec<Step> {
        let mut out = Vec::new();
        if self.clock < 2 {
            self.then(&mut out, format!("the clock shows {}", self.clock + 1), |w| w.clock += 1);
        }
        if self.records.len() < RECORDS {
            self.then(&mut out, format!("a record is appended at {}", self.clock), |w| {
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

    fn stuck(&self, _: &Scope, _: &mut engine::Healthy) -> Option<&'static str> {
        None
    }
}
