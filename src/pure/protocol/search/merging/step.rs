//! One step of the merge's search, as data.

use std::fmt;

use super::super::step::Answer;
use crate::pure::record::Offset;

pub(super) const WINDOWS: usize = 2;

/// One message: a word of a window, and the source's watermark after it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(in super::super) struct Message {
    pub source: usize,
    pub window: usize,
    pub watermark: i64,
    /// Before it the source had not yet passed the window's end.
    pub on_time: bool,
}

/// Publications of one window.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(in super::super) struct Sums {
    pub sum: u8,
    pub finals: u8,
    pub late: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum MergeStep {
    SourceSends(Message),
    OffsetsExpire,
    /// What the owner of this index does, or what becomes of its transaction.
    Owner(usize, MergeAct),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum MergeAct {
    IsAssigned,
    Crashes,
    TransactionIsAborted,
    /// The end of a transaction arrives whose author has stopped waiting for the answer.
    TransactionCommitsLate,
    ReadsPositions,
    ReadsMessage(usize),
    ClosesWindows,
    IsShortOfMemory,
    /// A source is thought to be silent, and its watermark to be this.
    FindsSilent {
        source: usize,
        at: i64,
    },
    Sends {
        p: Offset,
        offset: Offset,
        sums: [Sums; WINDOWS],
    },
    IsAnswered(Answer),
}

impl fmt::Display for MergeStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MergeStep::SourceSends(message) => message.fmt(f),
            MergeStep::OffsetsExpire => f.write_str("the offsets of the group expire"),
            MergeStep::Owner(i, act) => write!(f, "worker {i} {act}"),
        }
    }
}

/// A sentence without its subject, the worker.
impl fmt::Display for MergeAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MergeAct::IsAssigned => f.write_str("is assigned the partition"),
            MergeAct::Crashes => f.write_str("crashes"),
            MergeAct::TransactionIsAborted => f.write_str("has its transaction aborted"),
            MergeAct::TransactionCommitsLate => f.write_str("has its transaction committed late"),
            MergeAct::ReadsPositions => f.write_str("reads the committed offset"),
            MergeAct::ReadsMessage(n) => write!(f, "reads message {n}"),
            MergeAct::ClosesWindows => f.write_str("closes windows"),
            MergeAct::IsShortOfMemory => f.write_str("is short of memory"),
            MergeAct::FindsSilent { source, at } => {
                write!(f, "finds source {source} silent at time {at}")
            }
            MergeAct::Sends { p, offset, sums } => {
                write!(f, "sends P = {p}, F = {offset}")?;
                sums.iter().enumerate().try_for_each(|(window, sums)| {
                    let Sums { sum, finals, late } = sums;
                    write!(f, ", window {window}: {sum} ({finals} final counts, {late} late)")
                })
            }
            MergeAct::IsAnswered(answer) => answer.fmt(f),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message { source, window, watermark, on_time } = self;
        let when = if *on_time { "in time" } else { "late" };
        write!(f, "source {source} counts one in window {window}, {when}, watermark {watermark}")
    }
}
