//! I6: one faultless step after the other, towards the goal.

use super::*;

impl World {
    /// One faultless step towards the goal. `restart`: everybody has died before.
    pub(in crate::pure::protocol::search) fn fair(
        &self,
        scope: &Scope,
        restart: bool,
    ) -> Option<World> {
        if restart {
            let mut w = self.clone();
            w.workers = [None, None];
            w.pending = [None; 2];
            w.doomed = None;
            w.attempts.iter_mut().flatten().for_each(|f| f.late = false);
            w.assign(0, scope);
            return Some(w.tidy());
        }
        let i = self.workers.iter().position(|w| self.owns(w))?;
        let waits = self.workers[i].as_ref().is_some_and(|w| w.sent);
        let stale = (0..2).find(|j| self.pending[*j].is_some() && !(*j == i && waits));
        if let Some(j) = stale {
            let mut w = self.clone();
            w.pending[j] = None;
            return Some(w.tidy());
        }
        let mut steps = Vec::new();
        // The bound on attempts is the search's, not the owner's.
        self.own_steps(i, &Scope { slots: ATTEMPTS, ..*scope }, &mut steps);
        self.janitor(&mut steps);
        self.repairs(scope, &mut steps);
        let wanted = [
            "answered Ok",
            "learns",
            "repaired",
            "looks again",
            "puts the gap",
            "reads",
            "is overtaken",
            "janitor deletes",
            "is published",
            "directory is",
            "janitor picks",
            "archive fails",
            "seals",
            "appends",
            "sends [",
            "reads record",
        ];
        let good = |l: &str, k: &str| match k {
            "archive fails" => l.contains(k) && l.ends_with("true") && self.open_writer_is_gone(i),
            _ => l.contains(k),
        };
        for want in wanted {
            let found = steps.iter().find(|(l, w)| good(l, want) && w != self);
            if let Some((_, w)) = found {
                return Some(w.clone());
            }
        }
        None
    }

    pub(super) fn open_writer_is_gone(&self, i: usize) -> bool {
        let part = &self.workers[i].as_ref().expect("is up").part;
        part.open_attempt()
            .is_some_and(|id| self.attempts[id.0 as usize].is_none_or(|f| !f.directory))
    }

    pub(in crate::pure::protocol::search) fn has_owner(&self) -> bool {
        self.workers.iter().any(|w| self.owns(w))
    }

    /// A topic that is gone takes its assignments along.
    pub(super) fn owns(&self, worker: &Option<Worker>) -> bool {
        worker.as_ref().is_some_and(|w| w.current && w.life == self.life)
    }

    /// A stopped partition is excused from progress: a person has to decide.
    pub(in crate::pure::protocol::search) fn excused(&self, scope: &Scope) -> bool {
        !scope.repairs && self.workers.iter().flatten().any(|w| w.stopped)
    }
}
