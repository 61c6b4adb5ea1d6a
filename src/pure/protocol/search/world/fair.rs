//! I6: one faultless step after the other, towards the goal.

use super::super::engine::key;
use super::super::model::Healthy;
use super::super::scope::Scope;
use super::state::{ATTEMPTS, Steps, Worker, World};
use crate::pure::record::Offset;

/// A lone owner needs far fewer steps than this.
const MAX_FAIR_STEPS: usize = 300;

/// I6, for the owner as it is and for one that was restarted.
pub(super) fn i6_lone_owner_finishes(
    world: &World,
    scope: &Scope,
    healthy: &mut Healthy,
) -> Option<&'static str> {
    for restart in [true, false] {
        let mut path = Vec::new();
        let mut at = if restart { world.restarted(scope) } else { world.clone() };
        loop {
            let k = key(&at, scope);
            if at.goal(scope) || at.excused(scope) || healthy.contains(&k) {
                healthy.extend(path);
                break;
            }
            path.push(k);
            match at.fair(scope) {
                Some(w) if path.len() < MAX_FAIR_STEPS => at = w,
                // Without an owner nothing moves; a restarted one was looked at first.
                None if !restart && !world.has_owner() => break,
                _ => return Some("I6: an owner gets stuck"),
            }
        }
    }
    None
}

impl World {
    /// Everybody has died, and one worker is assigned the partition.
    fn restarted(&self, scope: &Scope) -> World {
        let mut w = self.clone();
        w.workers = [None, None];
        (w.pending, w.letters) = ([None; 2], [None, None]);
        (w.doomed, w.discarded) = (None, None);
        w.attempts.iter_mut().flatten().for_each(|f| f.late = false);
        w.assign(0, scope);
        w.tidy();
        w
    }

    /// One faultless step towards the goal.
    fn fair(&self, scope: &Scope) -> Option<World> {
        let i = self.workers.iter().position(|w| self.owns(w))?;
        let waits = self.workers[i].as_ref().is_some_and(|w| w.sent);
        let stale = (0..2).find(|j| self.pending[*j].is_some() && !(*j == i && waits));
        if let Some(j) = stale {
            let mut w = self.clone();
            w.pending[j] = None;
            w.tidy();
            return Some(w);
        }
        let writer_is_gone = self.open_writer_is_gone(i);
        let mut steps = Steps::Fairest { writer_is_gone, best: None };
        // The bound on attempts is the search's, not the owner's.
        self.own_steps(i, &Scope { slots: ATTEMPTS, ..*scope }, &mut steps);
        self.settling(&mut steps);
        self.adoptions(&mut steps);
        self.repairs(scope, &mut steps);
        match steps {
            Steps::Fairest { best, .. } => best.map(|(_, world)| *world),
            Steps::All(_) => None,
        }
    }

    fn has_owner(&self) -> bool {
        self.workers.iter().any(|w| self.owns(w))
    }

    /// A topic that is gone takes its assignments along.
    fn owns(&self, worker: &Option<Box<Worker>>) -> bool {
        worker.as_ref().is_some_and(|w| w.current && w.life.is_none_or(|life| life == self.life))
    }

    /// A stopped partition is excused from progress: a person has to decide.
    fn excused(&self, scope: &Scope) -> bool {
        // Nor is one whose entry was removed: a person has to put it back, or to move its files.
        let stopped = self.workers.iter().flatten().any(|w| w.machine.is_stopped());
        !scope.repairs && (self.unnamed != 0 || stopped)
    }

    /// Everything is archived, counted and committed, and staging is empty.
    fn goal(&self, scope: &Scope) -> bool {
        let n = Offset(scope.records as i64);
        self.tail(self.life).is_some_and(|t| t.to == n)
            && self.of_this_life()
            && self.p() == n
            && self.committed.as_ref().is_some_and(|c| c.offset == n)
            && (0..self.newest()).all(|life| {
                self.tail(life).is_none_or(|tail| self.sealed_behind(life, tail.to).is_none())
            })
            && self
                .ids()
                .all(|(_, f)| !f.is_in_staging() || f.life != self.life && !self.is_named(&f))
            && self
                .ledger
                .iter()
                .flatten()
                .flatten()
                .all(|e| self.named_by(*e).is_none_or(|f| f.published))
    }
}
