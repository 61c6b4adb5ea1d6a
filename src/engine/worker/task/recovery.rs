//! One partition's way to its positions: what is asked, and what is made of the answers.

use std::sync::Arc;

use super::{BACKOFF, LOOK_AGAIN, Now, State, Stopped};
use crate::clients::encode::EncodeError;
use crate::clients::kafka::KafkaError;
use crate::clients::kafka::offsets::PositionsRead;
use crate::common::metrics::Metrics;
use crate::engine::archive::ledger::EntryFrame;
use crate::engine::archive::task::Command;
use crate::pure::layout::RollReason;
use crate::pure::protocol::partition::Forgotten;
use crate::pure::protocol::{
    AttemptId, Begin, Entry, Found, Identity, Kind, Ledger, Marks, Partition, Past, Stop,
};

impl State {
    /// Asks the archiver for what it can answer. Whether the worker is to ask the brokers for the
    /// positions, outside of its thread; the answer comes as [`super::Told::Positions`].
    pub(in crate::engine::worker) fn ask(&mut self, now: Now) -> bool {
        if let Some(stopped) = &self.stopped
            && !stopped.looking
        {
            if stopped.again.is_none_or(|at| now.instant < at) {
                return false;
            }
            self.look_again();
        }
        if self.retry.is_some_and(|at| now.instant < at) {
            return false;
        }
        self.retry = None;
        let unread =
            self.part.as_ref().is_none_or(|p| p.needs_committed() && p.counted().is_none());
        if unread && !self.asked_positions {
            self.asked_positions = true;
            return true;
        }
        if self.part.as_ref().is_some_and(Partition::needs_ledger) && !self.asked_ledger {
            self.recover_archive(None, Forgotten::default());
        }
        false
    }

    /// Asks the archiver for the ledger; `put` first, if it is given.
    pub(super) fn recover_archive(&mut self, put: Option<Entry>, forgotten: Forgotten) {
        let key = |id: &AttemptId| self.attempts.iter().find(|a| a.id == *id).map(|a| a.key);
        let discard = forgotten.discard.iter().filter_map(|id| key(id).map(|k| (k, *id))).collect();
        self.attempts.clear();
        self.files = None;
        let hint = self.part.as_ref().and_then(Partition::entry_hint);
        if let Some(archiver) = &self.archiver {
            self.asked_ledger = true;
            let _ = archiver.send(Command::Recover { hint, discard, put: put.map(Box::new) });
        }
    }

    /// The rules say that a person has to decide.
    pub(in crate::engine::worker) fn stop(&mut self, stop: &Stop, now: Now) {
        let (reason, text) = (stop.label(), stop.to_string());
        let again = Some(now.instant + LOOK_AGAIN);
        self.stopped = Some(Stopped { reason, text, again, looking: false });
    }

    /// A record that has no place in the format: it would be the same at the next look.
    pub(super) fn stop_encoding(&mut self, what: &str, error: &EncodeError) {
        let text = format!("{what} can't be encoded: {error}");
        self.stopped = Some(Stopped { reason: "encode", text, again: None, looking: false });
    }

    /// Recovers from the beginning, and stays stopped until that comes to its end.
    fn look_again(&mut self) {
        if let Some(part) = self.part.as_mut().filter(|_| !self.attempts.is_empty()) {
            let forgotten = part.forget_archive();
            self.recover_archive(None, forgotten);
        }
        self.part = None;
        (self.asked_positions, self.asked_ledger, self.overtaken) = (false, false, false);
        self.recounted();
        if let Some(stopped) = &mut self.stopped {
            stopped.looking = true;
        }
    }

    /// Tells log and metrics what has changed.
    pub(super) fn show(&mut self, metrics: &Metrics, repair: &str) {
        let reason = self.stopped.as_ref().map(|s| s.reason);
        if reason == self.shown {
            return;
        }
        let partition = self.tp.partition.to_string();
        let labels = |reason| [&*self.tp.topic, partition.as_str(), reason];
        if let Some(old) = self.shown {
            let _ = metrics.stopped.remove_label_values(&labels(old));
        }
        match &self.stopped {
            Some(Stopped { reason, text, again, .. }) => {
                metrics.stopped.with_label_values(&labels(reason)).set(1);
                let repair = again.map(|_| format!("{repair} {} {partition}", self.tp.topic));
                tracing::error!(tp = %self.tp, reason, repair, "partition stopped: {text}");
            }
            None => tracing::info!(tp = %self.tp, "the partition continues"),
        }
        self.shown = reason;
    }

    /// The assignment has ended; the next owner says what it finds.
    pub(in crate::engine::worker) fn hide(&mut self, metrics: &Metrics) {
        if let Some(reason) = self.shown.take() {
            let partition = self.tp.partition.to_string();
            let _ = metrics.stopped.remove_label_values(&[&*self.tp.topic, &partition, reason]);
        }
    }

    /// After trouble: not at once again.
    pub(super) fn later(&mut self, now: Now) {
        self.retry = Some(now.instant + self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
    }

    pub(in crate::engine::worker) fn on_positions(
        &mut self,
        read: Result<PositionsRead, KafkaError>,
        now: Now,
    ) {
        self.asked_positions = false;
        let read = match read {
            Ok(read) => read,
            Err(e) => {
                tracing::warn!(
                    tp = %self.tp, error = %e,
                    "the brokers do not answer; recovery waits"
                );
                return self.later(now);
            }
        };
        (self.log, self.first, self.past) = (read.log, read.first, read.past);
        self.identify(&read.topic_id);
        let committed = match read.committed.transpose() {
            Ok(committed) => committed,
            Err(e) => return self.stop(&Stop::Unreadable(e.to_string()), now),
        };
        let part = self.part.as_mut().expect("identified above");
        match part.on_committed(committed) {
            Ok(Found::Verified) => {}
            Ok(Found::Fresh(Begin::CommitStart)) => self.begin(),
            Ok(_) => {
                if part.was_moved() {
                    let offset = part.committed_offset().map(|o| o.0);
                    tracing::warn!(
                        tp = %self.tp, offset,
                        "the committed offset was moved by hand; results continue from there"
                    );
                }
                self.recounted();
            }
            Err(stop) => return self.stop(&stop, now),
        }
        self.compare_with_log(now);
    }

    /// Without an archive: where it began once it begins again, whatever the log looks like by now.
    pub(in crate::engine::worker) fn begin(&mut self) {
        let start = *self.began.get_or_insert(self.past.unwrap_or(Past::none(self.first)));
        if let Some(part) = &mut self.part {
            part.begin_at(start);
        }
        self.recounted();
    }

    pub(super) fn identify(&mut self, topic_id: &str) {
        let incarnation = self.places.incarnation();
        self.frame = Some(EntryFrame::new(&self.tp, incarnation, &self.role, topic_id));
        if self.part.is_none() {
            let identity = Identity { root: self.role.root_id(), topic_id: topic_id.into() };
            let (sinks, identity) = (self.role.sinks(), Arc::new(identity));
            self.part = Some(Partition::assigned(sinks, identity, self.role.on_gap));
        }
    }

    /// What was counted in memory is void; it is read again.
    pub(in crate::engine::worker) fn recounted(&mut self) {
        self.counts.clear();
        self.counted_any = false;
        // Sought anew even where it is: the end of the log is told once a seek, and P follows it.
        (self.position, self.resync, self.counts_anew) = (None, true, true);
        if let Some(merging) = &mut self.merging {
            merging.reset(self.part.as_ref().map_or(Marks::default(), Partition::marks));
        }
    }

    pub(super) fn compare_with_log(&mut self, now: Now) {
        let Some(part) = &mut self.part else { return };
        if part.needs_ledger() {
            return;
        }
        /// The log may have been looked at a moment before it grew: not at the first time.
        const BEYOND: u32 = 3;
        if let Some(position) = part.start().filter(|start| self.log.to < *start)
            && BEYOND <= self.overtakes
        {
            return self.stop(&Stop::BeyondLog { position, end: self.log.to }, now);
        }
        match part.on_log_start(self.log.from) {
            Ok(None) => self.stopped = None,
            Ok(Some(gap)) => {
                let forgotten = part.forget_archive();
                let frame = self.frame.as_ref().expect("identified before");
                let mut entry = frame.entry(Kind::Gap, (gap.from, gap.to), now.millis);
                entry.cause =
                    Some(format!("retention: the log started at {} when it was read", gap.to));
                tracing::error!(
                    tp = %self.tp, %gap,
                    "retention has deleted records before they were archived; a gap entry names \
                     their offsets"
                );
                self.recover_archive(Some(entry), forgotten);
            }
            Err(stop) => self.stop(&stop, now),
        }
    }

    pub(super) fn on_ledger(&mut self, incarnation: u32, ledger: Option<Ledger>, now: Now) {
        self.asked_ledger = false;
        self.backoff = BACKOFF.0;
        let Some(part) = self.part.as_mut().filter(|p| p.needs_ledger()) else {
            return;
        };
        self.places = self.places.of(incarnation);
        if let Some(frame) = &mut self.frame {
            frame.incarnation = incarnation;
        }
        match part.on_ledger(ledger) {
            // More than genesis, and nothing committed: that is read once more.
            Ok(Found::NeedsCommitted) => self.resync = true,
            Ok(Found::Fresh(_)) => {
                let frame = self.frame.as_ref().expect("identified before");
                let at = self.first;
                let mut genesis = frame.entry(Kind::Genesis, (at, at), now.millis);
                genesis.cause = Some(format!("start = {:?}", self.role.start));
                self.recover_archive(Some(genesis), Forgotten::default());
            }
            Ok(_) => {
                let (results, archive) = (part.p().map(|p| p.0), part.a().map(|a| a.0));
                self.resync = true;
                self.compare_with_log(now);
                if self.stopped.is_none() {
                    tracing::info!(tp = %self.tp, results, archive, "recovered");
                }
            }
            Err(stop) => self.stop(&stop, now),
        }
    }

    /// The log no longer has what comes next. What was read is kept: it can't be read again.
    pub(super) fn on_overtaken(&mut self, text: &str, now: Now, metrics: &Metrics) {
        self.overtakes += 1;
        if self.overtakes == 1 {
            // Seen at the very end of a log, for a moment, when a leader moves or lags.
            self.pause = Some(now.instant + BACKOFF.0);
            self.position = None;
            self.resync = true;
            return;
        }
        tracing::warn!(tp = %self.tp, "the position is out of the log's range: {text}");
        self.overtaken = true;
        self.later(now);
        self.roll(RollReason::Gap, now, metrics);
        self.after_overtaken();
    }

    pub(super) fn after_overtaken(&mut self) {
        if self.overtaken && self.attempts.is_empty() {
            self.overtaken = false;
            if let Some(part) = &mut self.part {
                let forgotten = part.forget_archive();
                part.doubt();
                self.recounted();
                debug_assert!(forgotten.discard.is_empty());
            }
        }
    }
}
