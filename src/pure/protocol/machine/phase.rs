//! The phases of an assigned partition, and the ways between them.

use super::message::{Moment, StopReason, Ticket};
use crate::pure::record::OffsetRange;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Phase {
    /// The partition recovers or reads, as far as its halves are known.
    Running,
    /// The log no longer has the position: what was read is appended first, because it can't be
    /// read again.
    Overtaken,
    /// A person has to decide; `retry_at`: when the partition recovers anew.
    Stopped { why: StopReason, retry_at: Option<Moment> },
    /// The partition recovers anew, and counts as stopped until that has succeeded.
    Retrying { why: StopReason },
    /// The assignment has ended; attempts are completed.
    Leaving,
    /// The assignment has ended.
    Left,
}

/// What is known of the log at the end of an assignment. The range is what had been read then, and
/// was not known to be in the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Handover {
    /// The brokers are asked what the log still has.
    Asked { ticket: Ticket, read: OffsetRange },
    /// The brokers did not answer, so that what was read is appended.
    Unknown { read: OffsetRange },
    /// The store does not answer either: the brokers are asked again at this time.
    AskAt(Moment, OffsetRange),
}

/// A phase without its data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Name {
    Running,
    Overtaken,
    Stopped,
    Retrying,
    Leaving,
    Left,
}

/// From each phase, the phases that may follow; the module's page has the same table.
const TRANSITIONS: [(Name, &[Name]); 6] = [
    (Name::Running, &[Name::Overtaken, Name::Stopped, Name::Leaving, Name::Left]),
    (Name::Overtaken, &[Name::Running, Name::Stopped, Name::Leaving, Name::Left]),
    (Name::Stopped, &[Name::Stopped, Name::Retrying, Name::Leaving, Name::Left]),
    (Name::Retrying, &[Name::Running, Name::Stopped, Name::Leaving, Name::Left]),
    (Name::Leaving, &[Name::Leaving, Name::Left]),
    (Name::Left, &[]),
];

impl Phase {
    pub(super) fn name(&self) -> Name {
        match self {
            Phase::Running => Name::Running,
            Phase::Overtaken => Name::Overtaken,
            Phase::Stopped { .. } => Name::Stopped,
            Phase::Retrying { .. } => Name::Retrying,
            Phase::Leaving => Name::Leaving,
            Phase::Left => Name::Left,
        }
    }
}

pub(super) fn may_follow(from: Name, to: Name) -> bool {
    TRANSITIONS.iter().any(|(name, next)| *name == from && next.contains(&to))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table on the module's page is the one that is asserted.
    #[test]
    fn the_page_shows_the_transitions() {
        let page = include_str!("mod.rs");
        for (from, next) in TRANSITIONS {
            let next: Vec<String> = next.iter().map(|name| format!("{name:?}")).collect();
            let next = if next.is_empty() { "nothing".into() } else { next.join(", ") };
            let row = format!("//! | {from:?} | {next} |");
            assert!(page.lines().any(|line| line == row), "mod.rs lacks {row:?}");
        }
        let rows = page.lines().filter(|line| line.starts_with("//! | ")).count();
        assert_eq!(rows, TRANSITIONS.len() + 2, "a heading of two lines, and a row for each phase");
    }
}
