//! Attempts on their way into the ledger, and what becomes of them when the archive half is lost.

use super::message::{Effect, Report, StopReason};
use super::state::{Machine, Moment, Phase};
use crate::pure::formats::entry::AttemptId;
use crate::pure::protocol::append::AppendVerdict;
use crate::pure::record::OffsetRange;

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

    pub(super) fn on_published(&mut self, id: AttemptId, effects: &mut Vec<Effect>) {
        if let Some(rules) = &mut self.rules {
            rules.on_published(id);
        }
        // What failed was the way of an attempt into the store: now one has got through.
        self.ledger.backoff.reset();
        self.recover_when_appended(effects);
        self.rejoin_when_appended(effects);
    }

    /// The archive half is unknown from now on; the ledger is read after a pause. The store does
    /// not answer: attempts whose append was never sent are left to settle, too.
    pub(super) fn on_archive_failed(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let Some(rules) = &mut self.rules else { return };
        let _ = rules.forget_archive();
        self.ledger.forget();
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
            self.discard.extend(rules.abandon_open());
        }
        effects.push(Effect::DropFiles);
        self.stop(StopReason::Encoding(text), now);
    }

    /// The assignment has ended while the process stops: attempts are completed, because nobody
    /// else may be there to read it all again.
    pub(super) fn on_finish(&mut self) {
        if self.phase != Phase::Left {
            self.phase = Phase::Leaving;
        }
        self.positions.forget();
        self.ledger.forget();
    }

    /// The assignment has ended: attempts whose append was never sent are deleted (rule 10).
    pub(super) fn on_revoke(&mut self, effects: &mut Vec<Effect>) {
        self.give_up_archive(effects);
        if !self.discard.is_empty() {
            self.ask_ledger(None, effects);
        }
        self.positions.forget();
        self.ledger.forget();
        self.phase = Phase::Left;
    }
}
