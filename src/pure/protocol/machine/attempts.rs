//! Attempts on their way into the ledger, and what becomes of them when the archive half is lost.

use std::time::Duration;

use super::handover::LOG_AGAIN;
use super::message::{Effect, Moment, Report, StopReason};
use super::phase::{Handover, Phase};
use super::state::{Failing, Machine};
use crate::pure::formats::entry::AttemptId;
use crate::pure::protocol::append::AppendVerdict;
use crate::pure::record::OffsetRange;

/// An archive that has failed, and that nothing was asked of for so long, is trusted again.
const IDLE: Duration = Duration::from_secs(60);

impl Machine {
    /// Ends the open attempt, if there is one: its files are to be closed, and its manifest is to
    /// be written with this range. The answer is [`super::Input::ManifestWritten`].
    pub fn seal(&mut self) -> Option<(AttemptId, OffsetRange)> {
        self.rules.as_mut()?.seal()
    }

    pub(super) fn on_manifest(&mut self, id: AttemptId, effects: &mut Vec<Effect>) {
        if let Some(rules) = &mut self.rules {
            rules.on_manifest(id);
        }
        self.append_next(effects);
    }

    fn append_next(&mut self, effects: &mut Vec<Effect>) {
        let Some(rules) = &mut self.rules else { return };
        if let Some(id) = rules.next_append() {
            rules.append_sent(id);
            effects.push(Effect::Append(id));
        }
    }

    pub(super) fn on_append(
        &mut self,
        id: AttemptId,
        verdict: AppendVerdict,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let Some(rules) = &mut self.rules else { return };
        match verdict {
            AppendVerdict::Appended => {
                let _ = rules.on_append(id, verdict);
                self.append_next(effects);
            }
            AppendVerdict::Lost => {
                let forgotten = rules.on_append(id, verdict);
                self.discard.extend(forgotten.discard);
                effects.extend([Effect::Report(Report::AppendLost(id)), Effect::DropFiles]);
                self.seek_if_elsewhere();
                self.ask_ledger(None, effects);
                self.recover_when_appended(effects);
            }
            AppendVerdict::Again => self.on_archive_failed(now, effects),
        }
    }

    pub(super) fn on_published(&mut self, id: AttemptId, now: Moment, effects: &mut Vec<Effect>) {
        if let Some(rules) = &mut self.rules {
            rules.on_published(id);
        }
        self.trust_archive(now, effects);
        self.recover_when_appended(effects);
        self.fetch_anew_when_known(now, effects);
    }

    /// The way of an attempt into the store has failed, and now one has arrived: the next pause is
    /// a short one.
    fn trust_archive(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.ledger.backoff.reset();
        if let Some(Failing { since, .. }) = self.failing.take() {
            let after = now.saturating_sub(since);
            effects.push(Effect::Report(Report::ArchiveContinues { after }));
        }
    }

    /// A partition without new records appends nothing. Its archive is trusted again when nothing
    /// has failed for a while.
    pub(super) fn trust_idle_archive(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let known_since = self.failing.and_then(|failing| failing.known_since);
        if known_since.is_some_and(|at| at.saturating_add(IDLE) <= now) && self.has_no_attempts() {
            self.trust_archive(now, effects);
        }
    }

    /// The archive half is unknown from now on; the ledger is read after a pause. The store does
    /// not answer: attempts whose append was never sent are left to settle, too.
    pub(super) fn on_archive_failed(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let Some(rules) = &mut self.rules else { return };
        // What the log still has is read again; while that is not known, the answer decides.
        let is_only_copy = self.phase == Phase::Leaving && self.handover.is_none();
        if let Some(range) = rules.unarchived().filter(|_| is_only_copy) {
            effects.push(Effect::Report(Report::LeftUnarchived(range)));
        }
        if let Some(Handover::Unknown { read }) = self.handover {
            self.handover = Some(Handover::AskAt(now.saturating_add(LOG_AGAIN), read));
        }
        let _ = rules.forget_archive();
        self.ledger.forget();
        let since = self.failing.map_or(now, |failing| failing.since);
        self.failing = Some(Failing { since, known_since: None });
        let retry_in = self.ledger.postpone(now, self.setup.jitter);
        effects.extend([Effect::Report(Report::ArchiveWaits { retry_in }), Effect::DropFiles]);
        self.seek_if_elsewhere();
        self.recover_when_appended(effects);
    }

    /// The attempts in memory are forgotten; those whose append was never sent are deleted with the
    /// next question to the ledger.
    pub(super) fn give_up_archive(&mut self, effects: &mut Vec<Effect>) {
        if let Some(rules) = &mut self.rules {
            self.discard.extend(rules.forget_archive().discard);
            effects.push(Effect::DropFiles);
        }
    }

    /// A record has no place in the format. The open attempt would lack it: the attempt is given
    /// up, and those before it go on.
    pub(super) fn on_not_encoded(&mut self, text: String, now: Moment, effects: &mut Vec<Effect>) {
        if let Some(rules) = &mut self.rules {
            if let Some(range) = rules.unarchived().filter(|_| self.phase == Phase::Leaving) {
                effects.push(Effect::Report(Report::LeftUnarchived(range)));
            }
            self.discard.extend(rules.abandon_open());
        }
        effects.push(Effect::DropFiles);
        self.stop(StopReason::Encoding(text), now, effects);
    }

    /// The assignment has ended for good: attempts are completed, because no other owner may be
    /// there to read it all again.
    pub(super) fn on_finish(&mut self) {
        if self.phase != Phase::Left {
            self.enter(Phase::Leaving);
        }
        self.positions.forget();
        self.ledger.forget();
    }
}
