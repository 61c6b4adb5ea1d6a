//! What the brokers and the archive task answer, for the machine and for the operator.

use std::time::Duration;

use crate::clients::kafka::KafkaError;
use crate::clients::kafka::offsets::PositionsRead;
use crate::clients::store::{ErrorKind, StoreError};
use crate::common::clock::Now;
use crate::common::health::Subject;
use crate::common::status::Roll;
use crate::engine::archive::ledger::LedgerError;
use crate::engine::archive::published::Published;
use crate::engine::archive::task::Event;
use crate::engine::worker::env::Env;
use crate::engine::worker::partition::PartitionSinks;
use crate::pure::protocol::machine::{Input, PositionsAnswer, Report, Ticket};
use crate::pure::protocol::{AppendVerdict, Partition};
use crate::pure::record::Offset;

/// The class of a failure that is none of a store's.
const OTHER: &str = ErrorKind::Other.label();

/// The time after which a refused read is tried again.
const REFUSED_READ: Duration = Duration::from_secs(30);

impl PartitionSinks {
    pub(super) fn on_positions(
        &mut self,
        ticket: Ticket,
        read: Result<PositionsRead, KafkaError>,
        now: Now,
        env: &Env,
    ) {
        let answer = match read {
            Ok(PositionsRead { topic_id, partials, committed, log, first, past }) => {
                let committed = committed.transpose().map_err(|e| e.to_string());
                env.board.worked(&self.positions_subject(), &self.tp.to_string(), now.millis);
                let published = past;
                Some(PositionsAnswer { topic_id, partials, committed, log, first, published })
            }
            Err(error) => {
                self.brokers_failed(&self.positions_subject(), &error.to_string(), now, env);
                None
            }
        };
        self.input(Input::Positions(ticket, answer), now, env);
    }

    pub(super) fn on_archive(&mut self, event: Event, now: Now, env: &Env) {
        let metrics = &env.metrics;
        match event {
            Event::Ledger(ticket, incarnation, ledger) => {
                self.input(Input::Ledger(ticket, incarnation, ledger), now, env);
            }
            Event::Recent(rows) => {
                self.archive.iter_mut().for_each(|half| half.remember(&rows, now));
            }
            Event::Sealed(id) => self.input(Input::ManifestWritten(id), now, env),
            Event::Answered(id, verdict, error) => {
                let label = match verdict {
                    AppendVerdict::Appended => "appended",
                    AppendVerdict::Lost => "lost",
                    AppendVerdict::Again => "again",
                };
                metrics.appends.with_label_values(&[label]).inc();
                if let (AppendVerdict::Again, Some(error)) = (verdict, &error) {
                    self.on_store_error(error, env);
                }
                self.input(Input::Append(id, verdict), now, env);
            }
            Event::Published(Published { id, files, bytes, roll }) => {
                let labels = [self.role.mapping.as_str(), self.role.label()];
                metrics.files.with_label_values(&labels).inc_by(files as u64);
                metrics.file_bytes.with_label_values(&labels).inc_by(bytes);
                self.view.last_roll = Some(Roll { reason: roll, at: now.millis, files, bytes });
                self.view.root_failed = false;
                self.view.root_error = None;
                self.view.root_was_full = false;
                self.input(Input::Published(id), now, env);
            }
            Event::GapStands(range) => {
                metrics.gap_records.inc_by(range.to.0.abs_diff(range.from.0));
            }
            Event::FileLost { file, at_publishing } => {
                if at_publishing {
                    metrics.gap_records.inc_by(file.rows);
                }
                tracing::error!(
                    code = "AL205",
                    tp = %self.tp, path = file.path, rows = file.rows,
                    first = file.first_offset.0, last = file.last_offset.0,
                    "a file that the ledger names is neither staged nor at its place: somebody has \
                     deleted it, and readers lack its rows; `alluvium verify` shows what is missing"
                );
            }
            Event::Failed(LedgerError::Entry { path, error }) => {
                // The task ignores everything from here on, attempts too.
                self.input(Input::ArchiveFailed, now, env);
                self.input(Input::Unreadable(format!("{path}: {error}")), now, env);
            }
            Event::Failed(e) => {
                match &e {
                    LedgerError::Store(error) => self.on_store_error(error, env),
                    other => {
                        env.metrics.store_errors.with_label_values(&[OTHER]).inc();
                        tracing::warn!(
                            code = "AL206",
                            tp = %self.tp, error = %other,
                            "the archive of this partition begins again; counts continue"
                        );
                    }
                }
                self.input(Input::ArchiveFailed, now, env);
            }
        }
    }

    /// The store failed: the failure is counted, and the machine retries. The root's outage is
    /// told once, by the daemon, which hears of every call.
    fn on_store_error(&mut self, error: &StoreError, env: &Env) {
        self.view.root_failed = true;
        self.view.root_error = Some(error.to_string());
        self.view.root_was_full |= error.kind == ErrorKind::NoSpace;
        env.metrics.store_errors.with_label_values(&[error.kind.label()]).inc();
        if error.kind.is_trouble() {
            tracing::debug!(tp = %self.tp, %error, "the archive waits for its root");
        } else {
            // The root works, so the daemon says nothing of it.
            tracing::warn!(
                code = "AL207",
                tp = %self.tp, %error,
                "another owner, or another program, has removed or made a file of this \
                 partition; its archive begins again, and counts continue"
            );
        }
    }

    fn positions_subject(&self) -> Subject {
        Subject::Positions(self.role.mapping.clone())
    }

    /// A call to the brokers failed for this partition. While no broker answers, the outage of the
    /// brokers is reported instead.
    pub(super) fn brokers_failed(&self, subject: &Subject, cause: &str, now: Now, env: &Env) {
        if env.board.outage(&Subject::Brokers).is_none() {
            let _ = env.board.failed(subject, &self.tp.to_string(), cause, now.millis);
        }
    }

    /// The records of this partition are read again after a failure, or not here any more.
    pub(super) fn reading_worked(&mut self, now: Now, env: &Env) {
        let mapping = || self.role.mapping.clone();
        if std::mem::take(&mut self.view.read_failed) {
            let subject = Subject::Reading(mapping());
            env.board.worked(&subject, &self.tp.to_string(), now.millis);
        }
        if self.view.may_not_read.take().is_some() {
            env.board.worked(&Subject::MayRead(mapping()), &self.tp.to_string(), now.millis);
        }
    }

    /// The brokers do not let this client read the topic.
    pub(super) fn on_refused_read(&mut self, error: &KafkaError, now: Now, env: &Env) {
        env.metrics.kafka_errors.with_label_values(&["read"]).inc();
        self.view.may_not_read = Some(now.instant);
        let subject = Subject::MayRead(self.role.mapping.clone());
        let _ = env.board.failed(&subject, &self.tp.to_string(), &error.to_string(), now.millis);
    }

    /// After a refusal the client says nothing more until it seeks, whether it may read or not; at
    /// the end of the log there is no record that would tell.
    pub(super) fn ask_again_to_read(&mut self, now: Now, env: &Env) {
        if self.view.may_not_read.is_some_and(|at| at + REFUSED_READ <= now.instant) {
            self.view.may_not_read = Some(now.instant);
            self.input(Input::Moved, now, env);
        }
    }

    /// The assignment has ended: nothing more will be heard of this partition here.
    pub(super) fn unheard(&mut self, now: Now, env: &Env) {
        self.reading_worked(now, env);
        env.board.worked(&self.positions_subject(), &self.tp.to_string(), now.millis);
        if let (Some(archive), Some(half)) = (&self.role.archive, &self.archive) {
            let root = Subject::Root(archive.root.url());
            env.board.worked(&root, &half.name_in_root(), now.millis);
        }
        self.hide(&env.metrics);
    }

    /// The committed offset, if another program wrote it.
    fn moved_to(&self) -> Option<Offset> {
        self.machine.rules().filter(|p| p.was_moved()).and_then(Partition::committed_offset)
    }

    /// Another program has committed an offset in the group: which counts that doubles or leaves
    /// out, as far as it is known here.
    fn on_moved_offset(&self, to: Offset, env: &Env) {
        env.metrics.offsets_moved.inc();
        let before = self.view.last_p.filter(|_| self.role.count.is_some());
        tracing::warn!(
            code = "AL302",
            tp = %self.tp, %to,
            "another program has committed an offset in this group (kafka-consumer-groups \
             --reset-offsets, or a consumer with the same group.id): {}",
            moved(before, to)
        );
    }

    /// After a restart it is the ledger that says how far the records were read before.
    fn report_moved_against_ledger(&self, archive: Option<Offset>) {
        let counts = self.role.count.is_some();
        if let (Some(to), Some(archive), true) = (self.moved_to(), archive, counts) {
            tracing::warn!(
                code = "AL303",
                tp = %self.tp, %to, %archive,
                "by the end of the archive, the moved offset means: {}",
                moved(Some(archive), to)
            );
        }
    }

    /// Logs what the machine has found.
    pub(super) fn tell(&self, report: &Report, env: &Env) {
        let tp = &self.tp;
        match report {
            Report::BrokersSilent { retry_in } => {
                tracing::debug!(
                    %tp, ?retry_in,
                    "the brokers are asked for the positions again later"
                );
            }
            Report::OffsetMoved(offset) => self.on_moved_offset(*offset, env),
            Report::CommitLost if self.moved_to().is_some() => {
                self.on_moved_offset(self.moved_to().unwrap_or(Offset(0)), env);
            }
            Report::CommitLost => {
                tracing::warn!(
                    code = "AL304",
                    %tp,
                    "the last commit is not there although the broker answered Ok, or the \
                     offset was moved; counting again"
                );
            }
            Report::Gap(gap) => {
                tracing::error!(
                    code = "AL305",
                    %tp, %gap,
                    "retention has deleted records before they were archived; a gap entry names \
                     their offsets"
                );
            }
            Report::Recovered { results, archive } => {
                if !self.view.root_failed {
                    self.report_moved_against_ledger(*archive);
                }
                let [results, archive] = [results, archive].map(|o| o.map(|o| o.0));
                if self.view.root_failed {
                    tracing::debug!(%tp, results, archive, "the archive has its root again");
                } else {
                    tracing::info!(
                        %tp, results, archive,
                        "the partition has recovered and continues at these offsets"
                    );
                }
            }
            Report::AppendLost(attempt) => {
                tracing::info!(%tp, %attempt, "another owner was faster; the ledger is read again");
            }
            Report::ArchiveWaits { retry_in } => {
                tracing::debug!(%tp, ?retry_in, "the store is tried again later");
            }
            Report::ArchiveContinues { after } => {
                // The daemon tells once of the whole root.
                tracing::debug!(%tp, ?after, "the store takes files again; the archive continues");
            }
            Report::LeftUnarchived(_) | Report::LeftUncounted(_) => self.tell_left(report),
            Report::Overtaken => {
                tracing::warn!(
                    code = "AL306",
                    %tp,
                    "the position is out of the log's range; what was read is appended first"
                );
            }
        }
    }

    /// What an assignment leaves undone at its end.
    fn tell_left(&self, report: &Report) {
        let tp = &self.tp;
        match report {
            Report::LeftUnarchived(range) => {
                tracing::error!(
                    code = "AL307",
                    %tp, %range,
                    "the partition was taken away while its files could not be completed: records \
                     of these offsets were read and are not archived, and the topic may not have \
                     them any more"
                );
            }
            Report::LeftUncounted(range) => {
                tracing::error!(
                    code = "AL308",
                    %tp, %range,
                    "the partition was taken away before the counts of these offsets were \
                     published, and the topic does not have their records any more: the published \
                     counts lack them"
                );
            }
            _ => {}
        }
    }
}

/// What a moved offset does to the counts: `before` is where they would have gone on.
fn moved(before: Option<Offset>, to: Offset) -> String {
    match before {
        Some(before) if to < before => {
            format!("offsets {to} to {} are counted again", Offset(before.0.saturating_sub(1)))
        }
        Some(before) if before < to => {
            format!("offsets {before} to {} are not counted", Offset(to.0.saturating_sub(1)))
        }
        Some(_) => "counting continues at the same offset".into(),
        None => format!("the counts go on at {to}, and where they were is not known"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_offset_names_what_it_doubles_or_leaves_out() {
        let text = |before: Option<i64>, to| moved(before.map(Offset), Offset(to));
        assert_eq!(text(Some(10), 3), "offsets 3 to 9 are counted again");
        assert_eq!(text(Some(10), 13), "offsets 10 to 12 are not counted");
        assert_eq!(text(Some(10), 10), "counting continues at the same offset");
        assert!(text(None, 4).contains("go on at 4"));
    }
}
