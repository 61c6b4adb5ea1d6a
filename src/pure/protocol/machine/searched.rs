//! What only the search looks at: machines that differ in nothing that matters are made the same.

use super::message::Ticket;
use super::phase::Handover;
use super::phase::Phase;
use super::state::{AskState, Cursor, Machine};
use crate::pure::formats::entry::AttemptId;
use crate::pure::protocol::backoff::Backoff;
use crate::pure::protocol::partition::Partition;
use crate::pure::record::Offset;

/// What pending questions, and all others, are called after [`Machine::rename_questions`].
const POSITIONS: u32 = 1;
const LEDGER: u32 = 2;
const FORGOTTEN: u32 = 0;

impl Machine {
    /// Every pause is over: any time may pass between two steps. A client that refuses a position
    /// does so at once as often as it takes to be believed.
    pub(crate) fn let_time_pass(&mut self) {
        self.out_of_range = 0;
        self.read_not_before = None;
        self.failing = None;
        for ask in [&mut self.positions, &mut self.ledger] {
            ask.backoff = Backoff::NONE;
            if let AskState::NotBefore(_) = ask.state {
                ask.state = AskState::Idle;
            }
        }
    }

    /// A person has to decide, and nothing is tried meanwhile.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Stopped { .. })
    }

    pub(crate) fn pending_positions(&self) -> Option<Ticket> {
        pending(self.positions.state)
    }

    /// The question about the log that the end of the assignment has asked.
    pub(crate) fn pending_handover(&self) -> Option<Ticket> {
        match self.handover {
            Some(Handover::Asked { ticket, .. }) => Some(ticket),
            _ => None,
        }
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.phase == Phase::Leaving
    }

    pub(crate) fn pending_ledger(&self) -> Option<Ticket> {
        pending(self.ledger.state)
    }

    /// Gives the pending questions the same names in all machines. What `ticket` is called then.
    pub(crate) fn new_name(&self, ticket: Ticket) -> Ticket {
        let number = match Some(ticket) {
            t if t == self.pending_positions() => POSITIONS,
            t if t == self.pending_ledger() => LEDGER,
            _ => FORGOTTEN,
        };
        Ticket { epoch: 0, number }
    }

    /// See [`Machine::new_name`].
    pub(crate) fn rename_questions(&mut self) {
        for (ask, number) in [(&mut self.positions, POSITIONS), (&mut self.ledger, LEDGER)] {
            if let AskState::Pending(_) = ask.state {
                ask.state = AskState::Pending(Ticket { epoch: 0, number });
            }
        }
        self.next_ticket = LEDGER;
    }

    pub(crate) fn knows(&self, id: AttemptId) -> bool {
        self.rules.as_ref().is_some_and(|p| p.knows(id))
            || self.discard.iter().any(|(_, discarded)| *discarded == id)
    }

    pub(crate) fn append_was_sent(&self, id: AttemptId) -> bool {
        self.rules.as_ref().is_some_and(|p| p.append_was_sent(id))
    }

    pub(crate) fn may_append(&self, id: AttemptId) -> bool {
        self.rules.as_ref().is_some_and(|p| p.may_append(id))
    }

    pub(crate) fn open_attempt(&self) -> Option<AttemptId> {
        self.rules.as_ref().and_then(Partition::open_attempt)
    }

    /// The attempt whose files are being closed.
    pub(crate) fn sealed_attempt(&self) -> Option<AttemptId> {
        self.rules.as_ref().and_then(Partition::sealed_attempt)
    }

    /// Attempts by place; their stage is part of the place.
    pub(crate) fn place_of(&self, id: AttemptId) -> Option<(usize, u8)> {
        let discarded = self.discard.iter().position(|(_, discarded)| *discarded == id);
        let discarded = discarded.map(|at| (at, u8::MAX));
        self.rules.as_ref().and_then(|p| p.place_of(id)).or(discarded)
    }

    pub(crate) fn relabel(&mut self, name: impl Fn(AttemptId) -> AttemptId) {
        if let Some(rules) = &mut self.rules {
            rules.relabel(&name);
        }
        for (_, id) in &mut self.discard {
            *id = name(*id);
        }
    }

    /// A member of a past generation can't commit: what it believes about P no longer matters.
    /// Worlds that differ in nothing else are one.
    pub(crate) fn forget_beliefs(&mut self) {
        if let Some(rules) = &mut self.rules {
            rules.forget_beliefs();
        }
        self.cursor = Cursor::Seek { at: None, recount: true, refused: None };
        self.settle_cursor();
    }

    /// The client seeks as soon as it may. Where it has been before does not matter then.
    pub(crate) fn settle_cursor(&mut self) {
        match (self.start(), self.cursor) {
            (Some(start), Cursor::Seek { .. }) => self.cursor = Cursor::At(start),
            (None, Cursor::Seek { .. }) => {
                self.cursor = Cursor::Seek { at: None, recount: true, refused: None };
            }
            (_, Cursor::At(_)) => {}
        }
    }

    /// The answer of the brokers matters only until a committed offset, and the ledger, are known.
    pub(crate) fn forget_brokers_answer(&mut self) {
        self.adopting &= pending(self.ledger.state).is_some();
        let Some(rules) = &self.rules else { return };
        if rules.committed_offset().is_some() && !rules.needs_committed() {
            (self.brokers.published, self.started_at) = (Ok(None), None);
        }
        if rules.a().is_some() || rules.committed_offset().is_some() {
            self.brokers.first = Offset(0);
        }
    }
}

fn pending(state: AskState) -> Option<Ticket> {
    if let AskState::Pending(ticket) = state { Some(ticket) } else { None }
}
