//! The phases of an assigned partition, and the ways between them.

use super::message::StopReason;
use super::state::{Machine, Moment};
use crate::pure::fault::{PlantedFault, planted};

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

/// A phase without its data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Name {
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
    fn name(&self) -> Name {
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

fn may_follow(from: Name, to: Name) -> bool {
    TRANSITIONS.iter().any(|(name, next)| *name == from && next.contains(&to))
}

impl Machine {
    /// The only way into another phase.
    ///
    /// # Panics
    /// The phase may not follow the present one.
    pub(super) fn enter(&mut self, next: Phase) {
        let (from, to) = (self.phase.name(), next.name());
        let planted =
            planted(PlantedFault::RecoverWhileLeaving) || planted(PlantedFault::AnswerAfterRevoke);
        assert!(planted || may_follow(from, to), "{to:?} may not follow {from:?}");
        self.phase = next;
    }
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
