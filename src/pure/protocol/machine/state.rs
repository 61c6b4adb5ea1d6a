//! The data of one assigned partition.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::message::{Cause, Effect, Input, Moment, StopReason, Ticket};
use super::phase::{Handover, Phase, may_follow};
use crate::pure::fault::{PlantedFault, planted};
use crate::pure::formats::entry::{AttemptId, EntryKey};
use crate::pure::formats::metadata::Marks;
use crate::pure::protocol::backoff::Backoff;
use crate::pure::protocol::partition::{KnownPosition, Partition, Published, Sinks};
use crate::pure::protocol::recovery::{Identity, OnGap};
use crate::pure::record::{Offset, OffsetRange};

/// A stopped partition recovers anew after this time, in case it was repaired.
const RETRY: Duration = Duration::from_secs(20);

/// What is known of a partition when it is assigned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    pub sinks: Sinks,
    pub on_gap: OnGap,
    /// Root id of the mapping's store; empty where the mapping has no archive.
    pub root: Arc<str>,
    /// The assignment; unique within a worker.
    pub epoch: u64,
    /// Any number: it spreads the retries of many partitions.
    pub jitter: u32,
}

/// The setup is not hashed: it is the same for all machines of one search.
impl Hash for Setup {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// One assigned partition; the module's page has the drawing of its phases.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Machine {
    pub(super) setup: Setup,
    /// The two halves; [`None`] until the brokers have named the topic's id.
    pub(super) rules: Option<Partition>,
    pub(super) phase: Phase,
    pub(super) cursor: Cursor,
    /// Since the last record: how often the position was out of range. At most [`BEYOND`].
    pub(super) out_of_range: u8,
    /// Reading pauses until then.
    pub(super) read_not_before: Option<Moment>,
    /// An operator pauses the mapping.
    pub(super) paused: bool,
    pub(super) positions: Ask,
    pub(super) ledger: Ask,
    /// The answer that the ledger gives next is about a ledger behind whose end nothing is sealed.
    pub(super) adopting: bool,
    /// The archive has failed, and nothing was appended since.
    pub(super) failing: Option<Failing>,
    /// The assignment has ended, and it is not known yet whether the log still has what was read.
    pub(super) handover: Option<Handover>,
    pub(super) next_ticket: u32,
    /// What the brokers answered last.
    pub(super) brokers: BrokersAnswer,
    /// The position at which a partition without an archive has started; [`None`] before that.
    pub(super) started_at: Option<KnownPosition>,
    /// The incarnation of the topic that the ledger belongs to.
    pub(super) incarnation: u32,
    /// Attempts whose append was never sent, to be deleted with the next question to the ledger.
    pub(super) discard: Vec<(EntryKey, AttemptId)>,
}

/// The log may have been asked for a moment before it grew: a position beyond its end counts only
/// when the client has refused it this often.
pub(super) const BEYOND: u8 = 3;

/// Where the client reads. The daemon seeks, and never asks the client for its position.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Cursor {
    /// The client's next record has this offset, or a greater one.
    At(Offset),
    /// The client has to seek before the next read, unless it is where it should be.
    Seek {
        /// Where the client is, if that is known.
        at: Option<Offset>,
        /// What is read next is counted from nothing.
        recount: bool,
        refused: Option<Refused>,
    },
}

/// The client has refused every seek.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Refused {
    Since(Moment),
    /// Fetching has stopped for good: the positions are asked for when all attempts are appended.
    ForGood,
    /// Fetching begins anew when the positions are known: then the topic is still the same one.
    /// Were it another one, the client would fetch the records that have the same offsets there.
    FetchAnew,
}

/// A question, and whether it may be asked now.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Ask {
    pub(super) state: AskState,
    pub(super) backoff: Backoff,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum AskState {
    Idle,
    Pending(Ticket),
    NotBefore(Moment),
}

/// An archive that has failed. A ledger that can be read, and a small file that can be written,
/// are not enough to trust it again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Failing {
    pub(super) since: Moment,
    /// Since when the ledger is known again.
    pub(super) known_since: Option<Moment>,
}

/// What the brokers answered last.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct BrokersAnswer {
    pub(super) log: OffsetRange,
    pub(super) first: Offset,
    pub(super) published: Published,
}

impl Ask {
    const IDLE: Ask = Ask { state: AskState::Idle, backoff: Backoff::NONE };

    pub(super) fn may_ask(&self, now: Moment) -> bool {
        match self.state {
            AskState::Idle => true,
            AskState::Pending(_) => planted(PlantedFault::AskTwice),
            AskState::NotBefore(at) => at <= now,
        }
    }

    /// Whether this is the answer to the question that is pending; if so, nothing is pending now.
    pub(super) fn takes(&mut self, ticket: Ticket) -> bool {
        if self.state == AskState::Pending(ticket) || planted(PlantedFault::TakeOldAnswer) {
            self.state = AskState::Idle;
            return true;
        }
        false
    }

    /// The answer to a question that is pending is not wanted any more.
    pub(super) fn forget(&mut self) {
        if let AskState::Pending(_) = self.state {
            self.state = AskState::Idle;
        }
    }

    /// After trouble: the next question waits for the time that is returned.
    pub(super) fn postpone(&mut self, now: Moment, jitter: u32) -> Duration {
        let pause = self.backoff.next(jitter);
        self.state = AskState::NotBefore(now.saturating_add(pause));
        pause
    }
}

impl Machine {
    /// A partition at the moment of its assignment: nothing is known.
    #[must_use]
    pub fn assigned(setup: Setup) -> Machine {
        let nowhere = OffsetRange { from: Offset(0), to: Offset(0) };
        Machine {
            setup,
            rules: None,
            phase: Phase::Running,
            cursor: Cursor::Seek { at: None, recount: true, refused: None },
            out_of_range: 0,
            read_not_before: None,
            paused: false,
            positions: Ask::IDLE,
            ledger: Ask::IDLE,
            adopting: false,
            failing: None,
            handover: None,
            next_ticket: 0,
            brokers: BrokersAnswer { log: nowhere, first: Offset(0), published: Ok(None) },
            started_at: None,
            incarnation: 0,
            discard: Vec::new(),
        }
    }

    /// Takes one input; what is to be done is appended to `effects`.
    pub fn handle(&mut self, input: Input, now: Moment, effects: &mut Vec<Effect>) {
        if self.phase == Phase::Left && !planted(PlantedFault::AnswerAfterRevoke) {
            return;
        }
        match input {
            Input::Tick => self.ask(now, effects),
            Input::Positions(ticket, answer) => self.on_positions(ticket, answer, now, effects),
            Input::Log(ticket, answer) => self.on_log(ticket, answer, now, effects),
            Input::Confirmed(read) => self.on_confirmed(read, now, effects),
            Input::Ledger(ticket, incarnation, ledger) => {
                self.on_ledger(ticket, incarnation, ledger, now, effects);
            }
            Input::ArchiveFailed => self.on_archive_failed(now, effects),
            Input::Unreadable(text) => self.stop_unreadable(text, now, effects),
            Input::ManifestWritten(id) => self.on_manifest(id, effects),
            Input::Append(id, verdict) => self.on_append(id, verdict, now, effects),
            Input::Published(id) => self.on_published(id, now, effects),
            Input::NotEncoded(text) => self.on_not_encoded(text, now, effects),
            Input::OutOfRange => self.on_out_of_range(now, effects),
            Input::Moved => self.on_moved(),
            Input::SeekTaken(to) => self.cursor = Cursor::At(to),
            Input::SeekRefused => self.on_seek_refused(now, effects),
            Input::CommitOk(plan) => self.on_commit_ok(&plan),
            Input::CommitDoubt => self.on_commit_doubt(effects),
            Input::GenerationMissed => self.on_generation_missed(effects),
            Input::Pause(paused) => self.on_pause(paused, effects),
            Input::Retry => self.on_retry(effects),
            Input::Finish => self.on_finish(),
            Input::Revoke => self.on_revoke(effects),
        }
    }

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

    /// Names the next question.
    pub(super) fn ticket(&mut self) -> Ticket {
        self.next_ticket = self.next_ticket.wrapping_add(1);
        Ticket { epoch: self.setup.epoch, number: self.next_ticket }
    }

    /// The partition stops, and no answer is waited for any more. The end of an assignment is
    /// final: a partition that is leaving completes its attempts, and never recovers again.
    pub(super) fn stop(&mut self, why: StopReason, now: Moment, effects: &mut Vec<Effect>) {
        self.positions.forget();
        self.ledger.forget();
        if self.phase == Phase::Leaving && !planted(PlantedFault::RecoverWhileLeaving) {
            return;
        }
        // What was read may be the only copy: it is appended before the partition recovers.
        if self.rules.as_ref().is_some_and(|p| p.unarchived().is_some()) {
            effects.push(Effect::EndAttempt(Cause::Stopped));
        }
        let retry_at = why.may_be_repaired().then(|| now.saturating_add(RETRY));
        self.enter(Phase::Stopped { why, retry_at });
    }

    // ---- questions ------------------------------------------------------------------------

    /// The positions and attempts, as far as they are known.
    #[must_use]
    pub fn rules(&self) -> Option<&Partition> {
        self.rules.as_ref()
    }

    /// Why the partition has stopped, if it has.
    #[must_use]
    pub fn stopped(&self) -> Option<&StopReason> {
        match &self.phase {
            Phase::Stopped { why, .. } | Phase::Retrying { why } => Some(why),
            _ => None,
        }
    }

    /// Whether an operator pauses the mapping.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// The incarnation of the topic that the ledger belongs to.
    #[must_use]
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// The topic's id and the root that entries and metadata are written for.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.rules.as_ref().map(Partition::identity)
    }

    /// Results continue alone: the ledger is not known yet, or the archive has failed, and nothing
    /// was appended since.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        let detached = |p: &Partition| p.a().is_none() && p.p().is_some();
        let detached = self.rules.as_ref().is_some_and(detached);
        self.is_failing() || self.setup.sinks.archive && detached
    }

    /// Whether the archive has failed, and nothing was appended since.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    /// How long the archive has failed, if nothing was appended since.
    #[must_use]
    pub fn failing_for(&self, now: Moment) -> Option<Duration> {
        self.failing.map(|failing| now.saturating_sub(failing.since))
    }

    /// Whether everything that was read is appended and published, or can't be now; and whether
    /// nothing has to be asked before that is known.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.knows_log() && self.has_no_attempts()
    }

    pub(super) fn has_no_attempts(&self) -> bool {
        self.rules.as_ref().is_none_or(Partition::has_no_attempts)
    }

    /// The marks that belong to the records that are counted so far.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.rules.as_ref().map_or(Marks::default(), Partition::marks)
    }
}
