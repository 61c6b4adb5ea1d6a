//! Where the client reads, and what happens when it can't.

use std::time::Duration;

use super::message::{Cause, Effect, Moment, Report};
use super::phase::Phase;
use super::state::{BEYOND, Cursor, Machine, Refused};
use crate::pure::fault::{PlantedFault, planted};
use crate::pure::formats::entry::AttemptId;
use crate::pure::protocol::partition::{Partition, Share};
use crate::pure::record::Offset;

/// After this time without a seek that is taken, fetching has stopped for good.
const REFUSED: Duration = Duration::from_secs(10);

/// A position is out of range for a moment when a leader moves or lags: it is tried once more.
const MOMENT: Duration = Duration::from_millis(500);

/// What a reader does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadStep {
    /// Nothing may be read now.
    Wait,
    /// The client seeks to this offset first. `recount`: what is read from there is counted from
    /// nothing.
    Seek { to: Offset, recount: bool },
    /// The client reads on.
    Read,
}

impl Machine {
    /// What the reader does now. A seek is answered by [`super::Input::SeekTaken`] or
    /// [`super::Input::SeekRefused`].
    #[must_use]
    pub fn next_read(&self, now: Moment) -> ReadStep {
        let waits = self.paused || self.read_not_before.is_some_and(|until| now < until);
        let Some(start) = self.start().filter(|_| !waits) else {
            return ReadStep::Wait;
        };
        match self.cursor {
            Cursor::Seek { at, recount, .. } if at != Some(start) => {
                ReadStep::Seek { to: start, recount }
            }
            _ => ReadStep::Read,
        }
    }

    /// Where reading must begin now; [`None`] while nothing may be read.
    #[must_use]
    pub fn start(&self) -> Option<Offset> {
        self.rules.as_ref().filter(|_| self.phase == Phase::Running).and_then(Partition::start)
    }

    /// The next offset that the client gives, if it is known.
    #[must_use]
    pub fn position(&self) -> Option<Offset> {
        match self.cursor {
            Cursor::At(offset) => Some(offset),
            Cursor::Seek { at, .. } => at,
        }
    }

    /// Shares out one record: rising offsets, holes allowed. `id` names the attempt, if one must
    /// open. Neither half takes a record that comes while nothing may be read, or that is below the
    /// position.
    #[inline]
    pub fn accept(&mut self, offset: Offset, id: impl FnOnce() -> AttemptId) -> Share {
        let expected = match self.cursor {
            Cursor::At(next) | Cursor::Seek { at: Some(next), .. } => next <= offset,
            Cursor::Seek { at: None, .. } => false,
        };
        match &mut self.rules {
            Some(rules) if expected && self.phase == Phase::Running => {
                self.cursor = Cursor::At(offset.next());
                self.out_of_range = 0;
                rules.accept(offset, id)
            }
            _ => Share::NONE,
        }
    }

    /// There is no record below `end` any more (transaction markers, compaction).
    pub fn skip_to(&mut self, end: Offset) {
        if let Some(rules) = &mut self.rules {
            rules.skip_to(end);
        }
    }

    /// The client seeks again, if it is not where reading must begin.
    pub(super) fn seek_if_elsewhere(&mut self) {
        if let Cursor::At(offset) = self.cursor {
            self.cursor = Cursor::Seek { at: Some(offset), recount: false, refused: None };
        }
    }

    /// The client seeks again; what was read stays counted.
    fn seek_again(&mut self) {
        let (recount, refused) = match self.cursor {
            Cursor::At(_) => (false, None),
            Cursor::Seek { recount, refused, .. } => (recount, refused),
        };
        self.cursor = Cursor::Seek { at: None, recount, refused };
    }

    pub(super) fn on_moved(&mut self) {
        if !planted(PlantedFault::TrustMovedPosition) {
            self.seek_again();
        }
    }

    /// Fetching may have stopped for good. What was read may be gone from the log: it is appended
    /// before the assignment may go, and all that was not appended with it.
    pub(super) fn on_seek_refused(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let Cursor::Seek { refused, .. } = &mut self.cursor else { return };
        // A position that is out of the log's range ends fetching: the client says both.
        let is_known = 0 < self.out_of_range;
        match refused {
            None if !is_known => *refused = Some(Refused::Since(now)),
            Some(Refused::Since(since)) if now <= since.saturating_add(REFUSED) => {}
            None | Some(Refused::Since(_)) => {
                *refused = Some(Refused::ForGood);
                effects.push(Effect::EndAttempt(Cause::OutOfRange));
            }
            Some(Refused::ForGood | Refused::FetchAnew) => {}
        }
    }

    /// Once everything is appended, the positions are asked for; once they are known, fetching
    /// begins anew.
    pub(super) fn fetch_anew_when_known(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let no_attempts = self.has_no_attempts();
        let Cursor::Seek { refused: Some(state), .. } = self.cursor else { return };
        match state {
            Refused::ForGood if no_attempts => {
                self.doubt(effects);
                self.refuse(Refused::FetchAnew);
            }
            Refused::FetchAnew if self.rules.as_ref().is_some_and(|p| !p.needs_results()) => {
                self.refuse(Refused::Since(now));
                effects.push(Effect::FetchAnew);
            }
            _ => {}
        }
    }

    fn refuse(&mut self, state: Refused) {
        if let Cursor::Seek { refused, .. } = &mut self.cursor {
            *refused = Some(state);
        }
    }

    /// The log no longer has what comes next. What was read is kept: it can't be read again.
    pub(super) fn on_out_of_range(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Running {
            return;
        }
        self.out_of_range = self.out_of_range.saturating_add(1).min(BEYOND);
        // While the ledger is asked for, the comparison with the log is still to come.
        let recovers = self.rules.as_ref().is_some_and(Partition::needs_ledger);
        if self.out_of_range == 1 || recovers {
            self.read_not_before = Some(now.saturating_add(MOMENT));
            return self.seek_again();
        }
        effects.push(Effect::Report(Report::Overtaken));
        self.enter(Phase::Overtaken);
        let _ = self.positions.postpone(now, self.setup.jitter);
        effects.push(Effect::EndAttempt(Cause::OutOfRange));
        self.recover_when_appended(effects);
    }

    /// Once everything that was read is appended and published, the positions are read again: the
    /// comparison with the log names what is lost.
    pub(super) fn recover_when_appended(&mut self, effects: &mut Vec<Effect>) {
        let appended = self.has_no_attempts() || planted(PlantedFault::ForgetOvertaken);
        if self.phase != Phase::Overtaken || !appended {
            return;
        }
        self.enter(Phase::Running);
        self.give_up_archive(effects);
        self.doubt(effects);
    }

    /// A paused mapping reads nothing more; what was read is archived and committed. When it goes
    /// on, positions are read back: a merge must not take the pause for silence.
    pub(super) fn on_pause(&mut self, paused: bool, effects: &mut Vec<Effect>) {
        if paused == std::mem::replace(&mut self.paused, paused) {
            return;
        }
        if paused {
            effects.push(Effect::EndAttempt(Cause::Paused));
        } else {
            self.doubt(effects);
        }
    }
}
