//! What may happen next in the merge's search.

use super::super::model::{Healthy, Model};
use super::super::scope::Scope;
use super::super::step::Coordinator as _;
use super::invariants;
use super::state::{Merging, Steps};
use super::step::{MergeAct, MergeStep};

impl Model for Merging {
    type Step = MergeStep;

    fn next(&self, scope: &Scope) -> Steps {
        let mut out = Vec::new();
        self.send_messages(&mut out);
        let quiet =
            self.owners.iter().all(Option::is_none) && self.pending.iter().all(Option::is_none);
        if self.bounds.expiry && quiet && !self.expired && self.committed.is_some() {
            self.then(&mut out, MergeStep::OffsetsExpire, |w| {
                (w.committed, w.expired) = (None, true);
            });
        }
        for i in 0..scope.workers {
            let unassigned = self.owners[i].as_ref().is_none_or(|o| !o.current);
            if unassigned {
                self.act(&mut out, i, MergeAct::IsAssigned, |w| w.assign(i));
            }
            if let Some(pending) = &self.pending[i] {
                self.act(&mut out, i, MergeAct::TransactionIsAborted, |w| {
                    w.pending[i] = None;
                });
                if pending.in_flight {
                    self.act(&mut out, i, MergeAct::TransactionCommitsLate, |w| w.commit(i));
                }
            }
            self.owner_steps(i, scope, &mut out);
        }
        out
    }

    fn broken(&self, _: &Scope) -> Option<&'static str> {
        invariants::broken(self)
    }

    fn mirrored(&self) -> Merging {
        let mut other = self.clone();
        other.pending.swap(0, 1);
        other.owners.swap(0, 1);
        other
    }

    fn stuck(&self, _: &Scope, _: &mut Healthy) -> Option<&'static str> {
        invariants::i6_lone_owner_finishes(self)
    }
}
