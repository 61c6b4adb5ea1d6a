//! The way to the positions: which question is asked when, and what is made of the answers.
//!
//! This is the only place that carries out rules 0 and 2: first a stable read of the committed
//! offset, then the ledger, then the comparison with the log.

use super::message::{
    Effect, LedgerQuestion, Moment, NewEntry, PositionsAnswer, Report, StopReason, Ticket,
};
use super::phase::Phase;
use super::state::{AskState, BEYOND, BrokersAnswer, Cursor, Machine, Refused};
use crate::pure::fault::{PlantedFault, planted};
use crate::pure::formats::entry::EntryKind;
use crate::pure::protocol::committed::Committed;
use crate::pure::protocol::partition::{KnownPosition, Partition, Unsure};
use crate::pure::protocol::recovery::{Begin, Found, Identity, LedgerTail, Stop};
use crate::pure::record::OffsetRange;
use std::sync::Arc;

impl Machine {
    /// Asks for what recovery needs next; one question of each kind is pending at most.
    pub(super) fn ask(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        match &self.phase {
            Phase::Stopped { retry_at: Some(at), .. } if *at <= now => {
                self.on_retry(effects);
                if let Phase::Stopped { .. } = self.phase {
                    return;
                }
            }
            Phase::Leaving => return self.ask_log_again(now, effects),
            Phase::Stopped { .. } | Phase::Left => return,
            Phase::Running | Phase::Overtaken | Phase::Retrying { .. } => {}
        }
        self.fetch_anew_when_known(now, effects);
        self.trust_idle_archive(now, effects);
        if self.rules.as_ref().is_none_or(Partition::needs_results) {
            if self.positions.may_ask(now) {
                let ticket = self.ticket();
                self.positions.state = AskState::Pending(ticket);
                effects.push(Effect::AskPositions(ticket));
            }
        } else if self.rules.as_ref().is_some_and(Partition::needs_ledger)
            && self.ledger.may_ask(now)
        {
            self.ask_ledger(None, effects);
        }
    }

    /// Asks for the ledger; `put` is put first, if it is given.
    pub(super) fn ask_ledger(&mut self, put: Option<NewEntry>, effects: &mut Vec<Effect>) {
        self.ask_archive(put, false, effects);
    }

    /// Asks for the ledger, as it is when sealed attempts are appended that lie behind its end.
    fn adopt(&mut self, effects: &mut Vec<Effect>) {
        self.ask_archive(None, true, effects);
    }

    fn ask_archive(&mut self, put: Option<NewEntry>, adopt: bool, effects: &mut Vec<Effect>) {
        if !self.setup.sinks.archive {
            return;
        }
        self.adopting = adopt;
        let ticket = self.ticket();
        self.ledger.state = AskState::Pending(ticket);
        let hint = self.rules.as_ref().and_then(Partition::entry_hint);
        let (probe, discard) = (self.is_failing(), std::mem::take(&mut self.discard));
        effects.push(Effect::AskLedger(LedgerQuestion {
            ticket,
            probe,
            discard,
            put,
            adopt,
            hint,
        }));
    }

    pub(super) fn on_positions(
        &mut self,
        ticket: Ticket,
        answer: Option<PositionsAnswer>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        if !self.positions.takes(ticket) {
            return;
        }
        let Some(answer) = answer else {
            let retry_in = self.positions.postpone(now, self.setup.jitter);
            return effects.push(Effect::Report(Report::BrokersSilent { retry_in }));
        };
        self.positions.backoff.reset();
        let PositionsAnswer { topic_id, partials, committed, log, first, published } = answer;
        self.brokers = BrokersAnswer { log, first, published };
        if let Err(stop) = self.identify(topic_id) {
            return self.stop(StopReason::Rules(stop), now, effects);
        }
        if let Some(rules) = &mut self.rules {
            rules.counts_into(partials.map(Arc::from));
        }
        if self.take_committed(committed, now, effects) == Some(true) {
            let moved = self.rules().filter(|p| p.was_moved());
            let offset = moved.and_then(Partition::committed_offset);
            effects.extend(offset.map(|offset| Effect::Report(Report::OffsetMoved(offset))));
        }
        if !matches!(self.phase, Phase::Stopped { .. }) {
            self.compare_with_log(false, now, effects);
        }
    }

    /// Against an Ok that was lost (KAFKA-17754): one stable read before the next transaction.
    pub(super) fn on_confirmed(
        &mut self,
        read: Result<Option<Committed>, String>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        if self.take_committed(read, now, effects) == Some(true) {
            effects.push(Effect::Report(Report::CommitLost));
        }
    }

    /// Whether the results in memory are void, because they begin at another position; [`None`] if
    /// the partition has stopped.
    fn take_committed(
        &mut self,
        read: Result<Option<Committed>, String>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) -> Option<bool> {
        let read = match read {
            Ok(read) => read,
            Err(text) => {
                self.stop_unreadable(text, now, effects);
                return None;
            }
        };
        match self.rules.as_mut()?.on_committed(read) {
            Ok(Found::Verified) => Some(false),
            Ok(Found::Fresh(Begin::CommitStart)) => match self.start_without_archive(effects) {
                Ok(()) => Some(false),
                Err(stop) => {
                    self.stop(StopReason::Rules(stop), now, effects);
                    None
                }
            },
            Ok(_) => {
                self.recount(effects);
                Some(true)
            }
            Err(stop) => {
                self.stop(StopReason::Rules(stop), now, effects);
                None
            }
        }
    }

    /// A partition without an archive starts at the position of its first start, whatever the log
    /// has become.
    fn start_without_archive(&mut self, effects: &mut Vec<Effect>) -> Result<(), Stop> {
        let none = KnownPosition::none(self.brokers.first);
        let published = self.brokers.published.clone().map(|known| known.unwrap_or(none));
        let published = published.map_err(|Unsure { known, why }| {
            let OffsetRange { from, to: end } = self.brokers.log;
            Stop::ResultsUnknown { why, known: known.map_or(from, |known| known.p), end }
        });
        let start = match self.started_at {
            Some(start) => start,
            None => published?,
        };
        self.started_at = Some(start);
        if let Some(rules) = &mut self.rules {
            rules.set_start(start);
        }
        self.recount(effects);
        Ok(())
    }

    /// The first answer names the topic that this assignment reads. An answer with another id comes
    /// of a topic that was made again: what is known belongs to the old one.
    fn identify(&mut self, topic_id: String) -> Result<(), Stop> {
        if let Some(of) = self.identity() {
            return match of.topic_id == topic_id || planted(PlantedFault::TopicIdUnchecked) {
                true => Ok(()),
                false => Err(Stop::OtherTopic { found: of.topic_id.clone(), ours: topic_id }),
            };
        }
        let identity = Identity { root: self.setup.root.to_string(), topic_id };
        let (sinks, on_gap) = (self.setup.sinks, self.setup.on_gap);
        self.rules = Some(Partition::assigned(sinks, Arc::new(identity), on_gap));
        Ok(())
    }

    /// The results in memory are void; the records are read again. The client seeks even where it
    /// is already: it tells the end of the log once a seek, and P follows that.
    pub(super) fn recount(&mut self, effects: &mut Vec<Effect>) {
        let refused = match self.cursor {
            Cursor::Seek { refused: Some(Refused::Since(_)), .. } | Cursor::At(_) => None,
            Cursor::Seek { refused, .. } => refused,
        };
        self.cursor = Cursor::Seek { at: None, recount: true, refused };
        effects.push(Effect::Recount);
    }

    /// P is unknown until the next stable read; an answer that is on its way is older than the
    /// doubt.
    pub(super) fn doubt(&mut self, effects: &mut Vec<Effect>) {
        self.positions.forget();
        if let Some(rules) = &mut self.rules {
            rules.doubt();
        }
        self.recount(effects);
    }

    pub(super) fn on_ledger(
        &mut self,
        ticket: Ticket,
        incarnation: u32,
        ledger: Option<LedgerTail>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        if !self.ledger.takes(ticket) {
            return;
        }
        if self.phase == Phase::Leaving && !planted(PlantedFault::RecoverWhileLeaving) {
            return;
        }
        let adopted = std::mem::take(&mut self.adopting);
        let Some(rules) = self.rules.as_mut().filter(|p| p.needs_ledger()) else {
            return;
        };
        self.incarnation = incarnation;
        match rules.on_ledger(ledger) {
            // More than genesis, and nothing committed: the committed offset is read once more.
            Ok(Found::NeedsCommitted) => self.seek_if_elsewhere(),
            Ok(Found::Fresh(_)) => {
                let range = OffsetRange { from: self.brokers.first, to: self.brokers.first };
                self.ask_ledger(Some(NewEntry { kind: EntryKind::Genesis, range }), effects);
            }
            Ok(_) => {
                let (results, archive) = (rules.p(), rules.a());
                if let Some(failing) = &mut self.failing {
                    failing.known_since = Some(now);
                }
                self.seek_if_elsewhere();
                self.compare_with_log(adopted, now, effects);
                if self.stopped().is_none() && !self.is_failing() {
                    effects.push(Effect::Report(Report::Recovered { results, archive }));
                }
            }
            Err(stop) => self.stop(StopReason::Rules(stop), now, effects),
        }
    }

    /// The last step of recovery, once the ledger is known where there is one. `adopted`: what
    /// others have sealed behind the ledger's end is in the ledger now.
    fn compare_with_log(&mut self, adopted: bool, now: Moment, effects: &mut Vec<Effect>) {
        let Some(rules) = &mut self.rules else { return };
        if rules.needs_ledger() {
            return;
        }
        let end = self.brokers.log.to;
        if let Some(position) = rules.start().filter(|start| end < *start)
            && self.out_of_range == BEYOND
        {
            return self.stop(StopReason::Rules(Stop::BeyondLog { position, end }), now, effects);
        }
        let log_start = self.brokers.log.from;
        let faults = [PlantedFault::GapOverSealed, PlantedFault::GapAheadOfAttempts];
        let looks = !adopted && !faults.into_iter().any(planted);
        if rules.gap_before(log_start).is_some() && looks {
            self.give_up_archive(effects);
            return self.adopt(effects);
        }
        match rules.on_log_start(log_start) {
            Ok(None) => {
                if let Phase::Retrying { .. } = self.phase {
                    self.enter(Phase::Running);
                }
            }
            Ok(Some(range)) => {
                self.give_up_archive(effects);
                effects.push(Effect::Report(Report::Gap(range)));
                self.ask_ledger(Some(NewEntry { kind: EntryKind::Gap, range }), effects);
            }
            Err(stop) => self.stop(StopReason::Rules(stop), now, effects),
        }
    }

    pub(super) fn stop_unreadable(&mut self, text: String, now: Moment, effects: &mut Vec<Effect>) {
        self.stop(StopReason::Rules(Stop::Unreadable(text)), now, effects);
    }

    /// A stopped partition recovers from the beginning once everything that was read is appended,
    /// and counts as stopped until that succeeds.
    pub(super) fn on_retry(&mut self, effects: &mut Vec<Effect>) {
        let Phase::Stopped { why, .. } = &self.phase else { return };
        if !why.may_be_repaired() || !self.has_no_attempts() {
            return;
        }
        let why = why.clone();
        self.enter(Phase::Retrying { why });
        self.give_up_archive(effects);
        self.rules = None;
        self.positions.state = AskState::Idle;
        self.ledger.state = AskState::Idle;
        self.recount(effects);
    }
}
