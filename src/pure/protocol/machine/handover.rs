//! The end of an assignment: whether what was read is left to the next owner, who reads it again,
//! or is the only copy that there is (rule 10).

use std::time::Duration;

use super::message::{Cause, Effect, LogAnswer, Moment, Report, Ticket};
use super::phase::{Handover, Phase};
use super::state::Machine;
use crate::pure::fault::{PlantedFault, planted};
use crate::pure::protocol::invariants;
use crate::pure::protocol::partition::Partition;
use crate::pure::record::OffsetRange;

/// The pause before the brokers are asked again.
pub(super) const LOG_AGAIN: Duration = Duration::from_secs(5);

impl Machine {
    /// The assignment has ended. Whether what was read is appended, or left for the next owner to
    /// read again, depends on what the log still has.
    pub(super) fn on_revoke(&mut self, effects: &mut Vec<Effect>) {
        if self.phase == Phase::Leaving {
            return;
        }
        let rules = self.rules.as_ref();
        let read = rules.and_then(Partition::not_in_ledger);
        let Some(read) = read.or_else(|| rules.and_then(Partition::unpublished)) else {
            return self.leave(effects);
        };
        self.on_finish();
        self.ask_log(read, effects);
    }

    fn ask_log(&mut self, read: OffsetRange, effects: &mut Vec<Effect>) {
        let ticket = self.ticket();
        self.handover = Some(Handover::Asked { ticket, read });
        effects.push(Effect::AskLog(ticket));
    }

    /// Asks again what the log still has, if it is time to.
    pub(super) fn ask_log_again(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if let Some(Handover::AskAt(at, read)) = self.handover
            && at <= now
        {
            self.ask_log(read, effects);
        }
    }

    /// Whether no answer decides any more about what was read.
    pub(super) fn knows_log(&self) -> bool {
        !matches!(self.handover, Some(Handover::Asked { .. } | Handover::AskAt(..)))
    }

    /// The next owner reads again what the log still has: then the attempts whose append was never
    /// sent are deleted. Otherwise they are the only copy, and are appended.
    pub(super) fn on_log(
        &mut self,
        asked: Ticket,
        answer: Option<LogAnswer>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let Some(Handover::Asked { ticket, read }) = self.handover else { return };
        if ticket != asked {
            return;
        }
        let Some(answer) = answer else {
            let whole = |rules: &Partition| rules.a().is_some() && rules.unarchived().is_none();
            if !self.setup.sinks.archive || self.rules.as_ref().is_none_or(whole) {
                // The next owner counts again, unless the log has lost the records meanwhile.
                self.handover = None;
                return self.leave(effects);
            }
            if self.has_no_attempts() {
                self.handover = Some(Handover::AskAt(now.saturating_add(LOG_AGAIN), read));
            } else {
                self.handover = Some(Handover::Unknown { read });
                effects.push(Effect::EndAttempt(Cause::Revoked));
            }
            return;
        };
        self.handover = None;
        let ours = self.identity().is_some_and(|of| of.topic_id == answer.topic_id);
        let start = ours.then_some(answer.start);
        let kept = |range: &OffsetRange| {
            invariants::can_be_read_again(range.from, start)
                || planted(PlantedFault::DiscardOnlyCopy)
        };
        let unpublished = self.rules.as_ref().and_then(Partition::unpublished);
        if let Some(range) = unpublished.filter(|range| !kept(range)) {
            effects.push(Effect::Report(Report::LeftUncounted(range)));
        }
        // The store may have failed since the assignment ended.
        let known = self.rules.as_ref().filter(|rules| rules.a().is_some());
        let range = known.map_or(Some(read), Partition::unarchived);
        let range = range.filter(|_| self.setup.sinks.archive);
        let Some(range) = range.filter(|range| !kept(range)) else {
            return self.leave(effects);
        };
        if self.has_no_attempts() {
            // The store has failed, and results have continued alone.
            effects.push(Effect::Report(Report::LeftUnarchived(range)));
            return self.leave(effects);
        }
        effects.push(Effect::EndAttempt(Cause::Revoked));
    }

    /// The assignment is over: attempts whose append was never sent are deleted.
    fn leave(&mut self, effects: &mut Vec<Effect>) {
        self.give_up_archive(effects);
        if !self.discard.is_empty() {
            self.ask_ledger(None, effects);
        }
        self.positions.forget();
        self.ledger.forget();
        self.enter(Phase::Left);
    }
}
