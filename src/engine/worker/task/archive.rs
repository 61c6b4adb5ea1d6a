//! One partition's attempts, from the roll to the published files.

use super::{Now, State};
use crate::common::metrics::Metrics;
use crate::common::status::Roll;
use crate::engine::archive::files::Files;
use crate::engine::archive::ledger::BooksError;
use crate::engine::archive::task::{Archiver, Command, Event};
use crate::pure::layout::RollReason;
use crate::pure::protocol::{AppendVerdict, AttemptId, Kind, Stop};

impl State {
    pub(in crate::engine::worker) fn on_archive(
        &mut self,
        event: Event,
        now: Now,
        metrics: &Metrics,
    ) {
        match event {
            Event::Ledger(incarnation, ledger) => self.on_ledger(incarnation, ledger, now),
            Event::Sealed(id) => {
                if let Some(attempt) = self.attempts.iter_mut().find(|a| a.id == id) {
                    attempt.sealed = true;
                }
                self.append_next();
            }
            Event::Answered(id, verdict) => self.on_answer(id, verdict, now, metrics),
            Event::Published(id) => {
                if let Some(at) = self.attempts.iter().position(|a| a.id == id) {
                    let done = self.attempts.remove(at);
                    let labels = [self.role.mapping.as_str(), self.role.label()];
                    metrics.files.with_label_values(&labels).inc_by(done.files as u64);
                    metrics.file_bytes.with_label_values(&labels).inc_by(done.bytes);
                    let (reason, at) = (done.rolled.to_string(), now.millis);
                    self.last_roll =
                        Some(Roll { reason, at, files: done.files, bytes: done.bytes });
                }
                self.after_overtaken();
            }
            Event::Failed(BooksError::Entry { path, error }) => {
                self.stop(&Stop::Unreadable(format!("{path}: {error}")), now);
            }
            Event::Failed(e) => {
                let class = match &e {
                    BooksError::Store(e) => e.kind.label(),
                    _ => "other",
                };
                metrics.store_errors.with_label_values(&[class]).inc();
                tracing::warn!(
                    tp = %self.tp, error = %e, retry_in = ?self.backoff,
                    "the archive waits for the store; results continue"
                );
                self.give_up_archive(now);
            }
        }
    }

    pub(super) fn append_next(&mut self) {
        let (Some(part), Some(archiver)) = (&mut self.part, &self.archiver) else {
            return;
        };
        let next = self.attempts.iter().find(|a| a.sealed && !a.appended && part.may_append(a.id));
        if let Some(id) = next.map(|a| a.id) {
            part.tried(id);
            let _ = archiver.send(Command::Append(id));
        }
    }

    pub(super) fn on_answer(
        &mut self,
        id: AttemptId,
        verdict: AppendVerdict,
        now: Now,
        metrics: &Metrics,
    ) {
        let label = match verdict {
            AppendVerdict::Appended => "appended",
            AppendVerdict::Lost => "lost",
            AppendVerdict::Again => "again",
        };
        metrics.appends.with_label_values(&[label]).inc();
        let Some(part) = &mut self.part else { return };
        match verdict {
            AppendVerdict::Appended => {
                let _ = part.on_append(id, verdict);
                if let Some(attempt) = self.attempts.iter_mut().find(|a| a.id == id) {
                    attempt.appended = true;
                }
                self.append_next();
            }
            AppendVerdict::Lost => {
                tracing::info!(
                    tp = %self.tp, attempt = %id,
                    "another owner has appended first; reading the ledger again"
                );
                let forgotten = part.on_append(id, verdict);
                self.resync = true;
                self.recover_archive(None, forgotten);
            }
            AppendVerdict::Again => self.give_up_archive(now),
        }
    }

    /// The archive half is unknown from here on; recovery is tried after a pause.
    pub(super) fn give_up_archive(&mut self, now: Now) {
        let Some(part) = &mut self.part else { return };
        let _ = part.forget_archive();
        // The store does not answer: what was never tried is left to settle, too.
        self.attempts.clear();
        self.files = None;
        self.asked_ledger = false;
        self.overtaken = false;
        self.resync = true;
        self.later(now);
    }

    /// Ends the attempt if a rule says so.
    pub(in crate::engine::worker) fn roll_if_due(&mut self, now: Now, metrics: &Metrics) {
        if let (Some(files), Some(archive)) = (&self.files, &self.role.archive)
            && let Some(reason) = archive.roll.due(files.open(now.instant))
        {
            self.roll(reason, now, metrics);
        }
    }

    /// Ends the open attempt, if there is one.
    pub(in crate::engine::worker) fn roll(
        &mut self,
        reason: RollReason,
        now: Now,
        metrics: &Metrics,
    ) {
        let (Some(part), Some(archive), Some(archiver)) =
            (&mut self.part, &self.role.archive, &self.archiver)
        else {
            return;
        };
        let Some(files) = self.files.take() else {
            return;
        };
        let Some((id, range)) = part.seal() else {
            return;
        };
        let refs = match files.finish(&self.places, archive.format.extension(), archiver) {
            Ok(refs) => refs,
            Err(e) => {
                return self.stop_encoding(&format!("offsets {range}"), &e);
            }
        };
        metrics.rolls.with_label_values(&[reason.label()]).inc();
        if let Some(attempt) = self.attempts.iter_mut().find(|a| a.id == id) {
            attempt.rolled = reason.label();
            attempt.files = refs.len();
            attempt.bytes = refs.iter().map(|f| f.bytes).sum();
        }
        let frame = self.frame.as_ref().expect("identified before reading");
        let mut entry = frame.entry(Kind::Data, (range.from, range.to), now.millis);
        entry.attempt = id;
        entry.files = refs;
        entry.p = part.p().unwrap_or(range.from);
        entry.roll = Some(reason.to_string());
        let _ = archiver.send(Command::Seal(Box::new(entry)));
    }

    /// Memory of open files, and bytes under way.
    pub(in crate::engine::worker) fn buffered(&self) -> (usize, usize) {
        let held = self.files.as_ref().map_or(0, Files::held);
        (held, self.archiver.as_ref().map_or(0, Archiver::under_way))
    }

    /// Lets go of some memory.
    pub(in crate::engine::worker) fn relieve(&mut self) {
        if let (Some(files), Some(archiver)) = (&mut self.files, &self.archiver)
            && let Err(e) = files.relieve(archiver)
        {
            self.stop_encoding("open files", &e);
        }
    }

    /// Too many commands wait for the store: stop reading for now.
    pub(in crate::engine::worker) fn is_clogged(&self) -> bool {
        const WAITING: usize = 4_096;
        self.archiver.as_ref().is_some_and(|a| WAITING < a.waiting())
    }

    /// Whether everything that was read is appended and published, or can't be now.
    pub(in crate::engine::worker) fn is_drained(&self) -> bool {
        self.attempts.is_empty() || self.stopped.is_some()
    }

    /// The assignment ends: what was never tried is discarded (rule 10).
    pub(in crate::engine::worker) fn leave(&mut self) {
        if let Some(part) = &mut self.part
            && !self.attempts.is_empty()
        {
            let forgotten = part.forget_archive();
            self.recover_archive(None, forgotten);
        }
    }
}
