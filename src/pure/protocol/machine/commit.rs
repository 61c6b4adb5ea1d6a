//! Rule 4 for one partition: what a transaction carries, and what its answer means.

use super::message::Effect;
use super::phase::Phase;
use super::state::Machine;
use crate::pure::fault::{PlantedFault, planted};
use crate::pure::formats::metadata::{Marks, Metadata};
use crate::pure::protocol::partition::{Partition, Plan};
use crate::pure::record::Offset;

impl Machine {
    /// Whether the partition may be in a transaction at all: it is assigned, and its positions are
    /// trusted.
    fn may_commit(&self) -> bool {
        match self.phase {
            Phase::Running | Phase::Overtaken => true,
            Phase::Leaving | Phase::Left => planted(PlantedFault::AnswerAfterRevoke),
            Phase::Stopped { .. } | Phase::Retrying { .. } => false,
        }
    }

    /// What a transaction would carry for this partition now; [`None`] if there is nothing to say
    /// or nothing may be said. With `with_results` false only the offset moves.
    #[must_use]
    pub fn plan(&self, with_results: bool) -> Option<Plan> {
        self.rules.as_ref().filter(|_| self.may_commit())?.plan(with_results)
    }

    /// The metadata that a plan's offset carries.
    #[must_use]
    pub fn metadata(&self, plan: &Plan) -> Option<Metadata> {
        self.rules.as_ref().map(|p| p.metadata(plan))
    }

    /// Whether the last commit has to be confirmed by a stable read before the next transaction.
    #[must_use]
    pub fn needs_confirmation(&self) -> bool {
        let unconfirmed = |p: &Partition| p.needs_committed() && p.counted().is_some();
        self.may_commit() && self.rules.as_ref().is_some_and(unconfirmed)
    }

    /// Whether a commit is due without waiting for the interval: nothing may be appended before the
    /// first commit is confirmed (rule 0).
    #[must_use]
    pub fn waits_for_first_commit(&self) -> bool {
        let first = |p: &Partition| p.a().is_some() && !p.is_confirmed();
        self.may_commit() && self.rules.as_ref().is_some_and(first)
    }

    /// Takes the state of the results as of the last counted record, before each plan: the first
    /// offset that the state still needs, and its marks. While the state is rebuilt, it says
    /// nothing.
    pub fn note_results_state(&mut self, needed_from: Option<Offset>, marks: Marks) {
        if let Some(rules) = self.rules.as_mut().filter(|p| !p.replays()) {
            rules.note_results_state(needed_from, marks);
        }
    }

    pub(super) fn on_commit_ok(&mut self, plan: &Plan) {
        if let Some(rules) = &mut self.rules {
            rules.on_commit_ok(plan);
        }
    }

    /// Any other answer than a plain Ok: the transaction may have committed or not.
    pub(super) fn on_commit_doubt(&mut self, effects: &mut Vec<Effect>) {
        if !planted(PlantedFault::ErrorIsAbort) {
            self.doubt(effects);
        }
    }

    /// P outlives a change of generation only for a member of the one directly before (rule 1).
    pub(super) fn on_generation_missed(&mut self, effects: &mut Vec<Effect>) {
        if !planted(PlantedFault::KeepPOverMissedGeneration) {
            self.doubt(effects);
        }
    }
}
