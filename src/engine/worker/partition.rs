//! One assigned partition: a record's way, and the effects of its machine.
//!
//! What the partition may do is decided by [`Machine`]; this file moves bytes as the machine says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::clients::kafka::{Source, Trouble};
use crate::common::clock::Now;
use crate::common::health::Subject;
use crate::common::metrics::PartitionGauges;
use crate::common::status::Roll;
use crate::engine::archive::files::Archived;
use crate::engine::archive::half::ArchiveHalf;
use crate::engine::archive::ledger::new_attempt;
use crate::engine::archive::task::Event;
use crate::engine::results::{Results, Tally};
use crate::engine::topics::Role;
use crate::engine::worker::delay::Delay;
use crate::engine::worker::env::Env;
use crate::engine::worker::fetching::Fetching;
use crate::engine::worker::inbox::{Added, Answer};
use crate::engine::worker::schema_wait::SchemaWait;
use crate::engine::worker::unfit::Unfit;
use crate::pure::layout::RollReason;
use crate::pure::protocol::Machine;
use crate::pure::protocol::machine::{Cause, Effect, Input, ReadStep, Setup, Ticket};
use crate::pure::protocol::partition::Share;
use crate::pure::record::{Offset, Record, TopicPartition};

/// A partition that this worker owns.
pub(super) struct OwnedPartition {
    pub(super) source: Box<dyn Source>,
    pub(super) fetching: Fetching,
    pub(super) sinks: PartitionSinks,
}

/// The age of the first file after the root had no space.
const SHOWS_SPACE: Duration = Duration::from_secs(60);

/// Everything but the source, so that records can be taken while the source is borrowed.
pub(super) struct PartitionSinks {
    pub(super) tp: TopicPartition,
    pub(super) role: Arc<Role>,
    /// Cleared when the assignment is over: nothing may be committed then.
    pub(super) alive: Arc<AtomicBool>,
    pub(super) epoch: u64,
    pub(super) machine: Machine,
    pub(super) archive: Option<ArchiveHalf>,
    pub(super) results: Results,
    pub(super) last_commit: Instant,
    /// Records came, and the end of the log has not been seen since.
    pub(super) backlog: bool,
    pub(super) view: View,
    /// What the machine wants done; empty between two inputs.
    pub(super) effects: Vec<Effect>,
    /// The question that the worker has to ask the brokers.
    pub(super) question: Option<Ticket>,
    /// The question about the log that the worker has to ask the brokers.
    pub(super) log_question: Option<Ticket>,
    pub(super) tally: Tally,
    pub(super) unfit: Unfit,
    /// [`None`] where records name no schemas.
    pub(super) schemas: Option<SchemaWait>,
}

/// What operators see.
pub(super) struct View {
    pub(super) gauges: Arc<PartitionGauges>,
    /// The reason that metrics and log know.
    pub(super) shown: Option<&'static str>,
    pub(super) last_roll: Option<Roll>,
    pub(super) archive_delay: Delay,
    pub(super) results_delay: Delay,
    /// Of the partial counts that are read again after a restart.
    pub(super) needed_delay: Delay,
    /// The timestamp of the batch's first record, milliseconds.
    pub(super) first_time: Option<i64>,
    /// The bytes of the batch's largest record.
    pub(super) largest: usize,
    /// The log has a line about a foreign record in the partials topic.
    pub(super) foreign_reported: bool,
    /// The store has failed, and the archive has not got on since.
    pub(super) root_failed: bool,
    /// What the store said when it failed last, until something is published.
    pub(super) root_error: Option<String>,
    /// The store had no space for a file, and nothing was published since.
    pub(super) root_was_full: bool,
    /// The end of what was read for files when the drain began.
    pub(super) drain_to: Option<Offset>,
    /// The drain waits until that is archived, whatever fails in the meantime.
    pub(super) drain_waits: bool,
    /// The end of the log, where a read since the last seek has met it.
    pub(super) met_end: Option<Offset>,
    /// P when it was known last, before the latest input.
    pub(super) last_p: Option<Offset>,
    /// A when it was known last.
    pub(super) last_a: Option<Offset>,
    /// A read has failed, and none has worked since.
    pub(super) read_failed: bool,
    /// The brokers have refused to let this client read the topic, and no read has worked since:
    /// when that was asked last.
    pub(super) may_not_read: Option<Instant>,
    /// The client was told to fetch anew, and has taken no seek since.
    pub(super) fetched_anew: bool,
}

impl OwnedPartition {
    /// A partition at the moment of its assignment. `tell` gets the answers of jobs.
    pub(super) fn new(
        added: Added,
        epoch: u64,
        now: Now,
        env: &Env,
        tell: impl Fn(Event) + Send + Sync + 'static,
    ) -> OwnedPartition {
        let Added { tp, role, source, alive, gauges } = added;
        let setup = Setup {
            sinks: role.sinks(),
            on_gap: role.on_gap,
            root: role.root_id().into(),
            epoch,
            jitter: foldhash_of(&tp),
        };
        let sinks = PartitionSinks {
            machine: Machine::assigned(setup),
            archive: ArchiveHalf::new(&tp, &role, &env.open_files, tell),
            results: Results::new(&role, &env.sources),
            schemas: SchemaWait::of(&role, env),
            tp,
            role: Arc::new(role),
            alive,
            epoch,
            last_commit: now.instant,
            backlog: false,
            view: View {
                gauges,
                shown: None,
                last_roll: None,
                archive_delay: Delay::default(),
                results_delay: Delay::default(),
                needed_delay: Delay::default(),
                first_time: None,
                largest: 0,
                foreign_reported: false,
                root_failed: false,
                root_error: None,
                root_was_full: false,
                drain_to: None,
                drain_waits: false,
                met_end: None,
                last_p: None,
                last_a: None,
                read_failed: false,
                may_not_read: None,
                fetched_anew: false,
            },
            effects: Vec::new(),
            question: None,
            log_question: None,
            tally: Tally::default(),
            unfit: Unfit::default(),
        };
        OwnedPartition { source, fetching: Fetching::parked(now.instant), sinks }
    }

    /// Reads a batch; how many records came.
    pub(super) fn read(&mut self, now: Now, env: &Env) -> usize {
        let OwnedPartition { source, fetching, sinks } = self;
        sinks.ask_again_to_read(now, env);
        // A partition that can't be read takes no turn.
        let backlog = std::mem::take(&mut sinks.backlog);
        match sinks.machine.next_read(now.moment()) {
            ReadStep::Wait => {
                fetching.is_not_read();
                return 0;
            }
            ReadStep::Seek { to, recount } => {
                if let Err(error) = source.seek(to) {
                    tracing::debug!(
                        tp = %sinks.tp, %error,
                        "the client refused a seek; it is retried"
                    );
                    sinks.input(Input::SeekRefused, now, env);
                    return 0;
                }
                sinks.view.fetched_anew = false;
                sinks.view.met_end = None;
                sinks.input(Input::SeekTaken(to), now, env);
                if recount {
                    sinks.results.counts_from_here(now);
                }
            }
            ReadStep::Read => {}
        }
        (sinks.view.first_time, sinks.view.largest) = (None, 0);
        let mut stop = None;
        let mut read = source.read(&mut |record| {
            if stop.is_none() {
                stop = sinks.on_record(record, now, env).err();
            } else if let Some(schemas) = &mut sinks.schemas {
                schemas.meets(record, env);
            }
        });
        if sinks.waits_for_schema() {
            // Not all of it was taken, so nothing is known of what lies below its end.
            read.end = None;
        }
        fetching.gave(&read, now.instant);
        if 0 < read.records {
            env.slots.read(sinks.view.largest, now.instant);
        }
        sinks.backlog =
            !sinks.waits_for_schema() && read.end.is_none() && (backlog || 0 < read.records);
        if let Some(end) = read.end {
            sinks.view.met_end = Some(end);
            sinks.machine.skip_to(end);
        }
        if read.moved {
            sinks.input(Input::Moved, now, env);
        }
        if let Some(trouble) = read.trouble {
            sinks.on_trouble(trouble, now, env);
        }
        if 0 < read.records || read.end.is_some() {
            sinks.reading_worked(now, env);
        }
        if let Some(input) = stop {
            sinks.input(*input, now, env);
        }
        sinks.after_batch(read.records, now, &env.metrics);
        read.records
    }
}

impl PartitionSinks {
    /// The client has said something that is no record.
    fn on_trouble(&mut self, trouble: Trouble, now: Now, env: &Env) {
        match trouble {
            Trouble::OutOfRange(text) => {
                tracing::debug!(tp = %self.tp, text, "the client's position is out of range");
                self.input(Input::OutOfRange, now, env);
            }
            Trouble::Refused(error) => self.on_refused_read(&error, now, env),
            Trouble::Error(error) => {
                env.metrics.kafka_errors.with_label_values(&["read"]).inc();
                self.view.read_failed = true;
                let subject = Subject::Reading(self.role.mapping.clone());
                self.brokers_failed(&subject, &error.to_string(), now, env);
            }
        }
    }

    /// Everything in one record's life that happens on the worker. A record that can't be taken is
    /// the input that stops the partition.
    #[inline]
    fn on_record(&mut self, record: &Record<'_>, now: Now, env: &Env) -> Result<(), Box<Input>> {
        // Before the rules know of it: it is read again. What is archived needs no schema, and
        // while the ledger is not known nothing is archived: reading begins again at its end.
        let archived = self.machine.rules().and_then(|rules| rules.a());
        if let Some(schemas) = &mut self.schemas
            && archived.is_some_and(|end| end <= record.offset)
            && schemas.begins_at(record, now)
        {
            return Err(Box::new(Input::Moved));
        }
        let share = self.machine.accept(record.offset, new_attempt);
        if share == Share::NONE {
            return Ok(());
        }
        self.view.first_time = self.view.first_time.or(record.timestamp.millis());
        self.tally.records = self.tally.records.saturating_add(1);
        let bytes =
            record.key.map_or(0, <[u8]>::len).saturating_add(record.value.map_or(0, <[u8]>::len));
        self.tally.bytes = self.tally.bytes.saturating_add(bytes as u64);
        self.view.largest = self.view.largest.max(bytes);
        if let (Some(append), Some(archive)) = (share.archive, &mut self.archive) {
            let archived = archive.write(record, append, &self.tp, now).map_err(|e| {
                let text = format!("offset {} can't be archived: {e}", record.offset);
                Box::new(Input::NotEncoded(text))
            })?;
            if archived != Archived::Row {
                self.unfit.add(record.offset, archived);
            }
        }
        if let Some(use_) = share.results {
            self.results.on_record(record, use_, now, &mut self.tally).map_err(|e| {
                Box::new(Input::Unreadable(format!("offset {}: {e}", record.offset)))
            })?;
        }
        self.end_if_full(now, env)
    }

    /// Ends the open attempt in the midst of a batch, if it is as large as it should be.
    #[inline]
    fn end_if_full(&mut self, now: Now, env: &Env) -> Result<(), Box<Input>> {
        let Some(archive) = &mut self.archive else { return Ok(()) };
        if !archive.may_be_full() {
            return Ok(());
        }
        let not_encoded = |e| Box::new(Input::NotEncoded(format!("files can't be encoded: {e}")));
        archive.settle().map_err(not_encoded)?;
        let reason = archive.roll_due(now.instant).filter(|due| *due == RollReason::Size);
        if let Some(reason) = reason
            && archive.seal(&mut self.machine, reason, now).map_err(not_encoded)?
        {
            env.metrics.rolls.with_label_values(&[reason.label()]).inc();
        }
        Ok(())
    }

    /// Nothing is read until a schema is known.
    pub(super) fn waits_for_schema(&self) -> bool {
        self.schemas.as_ref().is_some_and(SchemaWait::is_waiting)
    }

    pub(super) fn owned(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    /// Hands one input to the machine, and carries out the effects that it returns.
    pub(super) fn input(&mut self, input: Input, now: Now, env: &Env) {
        self.view.last_p = self.machine.rules().and_then(|p| p.p()).or(self.view.last_p);
        self.machine.handle(input, now.moment(), &mut self.effects);
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            self.carry_out(effect, now, env);
        }
        // An effect may have had an input, and so effects, of its own: those are carried out.
        if self.effects.is_empty() {
            self.effects = effects;
        }
    }

    fn carry_out(&mut self, effect: Effect, now: Now, env: &Env) {
        match effect {
            Effect::AskPositions(ticket) => self.question = Some(ticket),
            Effect::AskLog(ticket) => self.log_question = Some(ticket),
            Effect::AskLedger(question) => {
                if let Some(archive) = &mut self.archive {
                    archive.ask(question, &self.machine, now);
                }
            }
            Effect::Append(id) => {
                if let Some(archive) = &self.archive {
                    archive.append(id);
                }
            }
            Effect::EndAttempt(Cause::OutOfRange) => self.roll(RollReason::Gap, now, env),
            Effect::EndAttempt(Cause::Paused) => self.roll(RollReason::Pause, now, env),
            Effect::EndAttempt(Cause::Stopped) => self.roll(RollReason::Stop, now, env),
            Effect::EndAttempt(Cause::Revoked) => self.roll(RollReason::Revoke, now, env),
            Effect::DropFiles => {
                if let Some(archive) = &mut self.archive {
                    archive.drop_files();
                }
            }
            Effect::Recount => self.results.reset(self.machine.marks()),
            Effect::FetchAnew => self.fetch_anew(env),
            Effect::Report(report) => self.tell(&report, env),
        }
    }

    /// Tells the client to fetch this partition anew. A second try before the client has taken a
    /// seek makes it fetch the whole topic anew, as a rebalance would.
    fn fetch_anew(&mut self, env: &Env) {
        let tp = &self.tp;
        if std::mem::replace(&mut self.view.fetched_anew, true) {
            tracing::warn!(
                code = "AL309",
                %tp, "the client does not fetch this partition any more; its topic begins again"
            );
            return (env.give_again)(&tp.topic);
        }
        tracing::info!(%tp, "the client has stopped fetching this partition; it begins anew");
        (env.fetch_anew)(tp);
    }

    /// What a job outside of the worker's thread came to.
    pub(super) fn on_answer(&mut self, answer: Answer, now: Now, env: &Env) {
        match answer {
            Answer::Positions(ticket, read) => {
                self.on_positions(ticket, read.map(|read| *read), now, env);
            }
            Answer::Silence { at, answer } => {
                if let Err(error) = &answer {
                    tracing::debug!(
                        tp = %self.tp, %error,
                        "no answer about silent source partitions"
                    );
                }
                if let Some(merging) = self.results.merging_mut() {
                    merging.on_silence(at, answer.ok());
                }
            }
            Answer::Log(ticket, read) => {
                let answer = read.inspect_err(|error| {
                    tracing::debug!(tp = %self.tp, %error, "the log of a revoked partition");
                });
                self.input(Input::Log(ticket, answer.ok()), now, env);
            }
            Answer::Archive(event) => self.on_archive(event, now, env),
        }
    }

    /// Ends the open attempt, if there is one.
    pub(super) fn roll(&mut self, reason: RollReason, now: Now, env: &Env) {
        let Some(archive) = &mut self.archive else { return };
        match archive.seal(&mut self.machine, reason, now) {
            Ok(false) => {}
            Ok(true) => env.metrics.rolls.with_label_values(&[reason.label()]).inc(),
            Err(e) => {
                let text = format!("the open files can't be completed: {e}");
                self.input(Input::NotEncoded(text), now, env);
            }
        }
    }

    /// Ends the open attempt if a rule says so.
    pub(super) fn roll_if_due(&mut self, now: Now, env: &Env) {
        let Some(archive) = &mut self.archive else { return };
        if let Err(e) = archive.settle() {
            let text = format!("open files can't be encoded: {e}");
            return self.input(Input::NotEncoded(text), now, env);
        }
        // Only a published file shows that there is space again.
        let shows = self.view.root_was_full && archive.is_open_for(SHOWS_SPACE, now.instant);
        let due = archive.roll_due(now.instant).or_else(|| shows.then_some(RollReason::Outage));
        if let Some(reason) = due {
            self.roll(reason, now, env);
        }
    }

    /// Frees memory of the largest open file, and ends all open files if that is less than a half
    /// of what they hold.
    pub(super) fn release(&mut self, now: Now, env: &Env) {
        let Some(archive) = &mut self.archive else { return };
        let before = archive.memory_bytes();
        match archive.shrink() {
            Ok(freed) if before / 2 <= freed => {}
            Ok(_) => self.roll(RollReason::Memory, now, env),
            Err(e) => {
                let text = format!("open files can't be encoded: {e}");
                self.input(Input::NotEncoded(text), now, env);
            }
        }
    }

    /// Memory of open files, bytes.
    pub(super) fn file_bytes(&self) -> usize {
        self.archive.as_ref().map_or(0, ArchiveHalf::memory_bytes)
    }

    /// Bytes on their way into the store.
    pub(super) fn bytes_under_way(&self) -> usize {
        self.archive.as_ref().map_or(0, ArchiveHalf::bytes_under_way)
    }

    pub(super) fn is_clogged(&self) -> bool {
        self.archive.as_ref().is_some_and(ArchiveHalf::is_clogged)
    }

    /// Since the last commit: the time that is left until the next one.
    pub(super) fn interval_left(&self, now: Now, env: &Env) -> Duration {
        (self.last_commit + env.commit_interval).saturating_duration_since(now.instant)
    }

    /// Hands the first offset and the marks that the results need to the rules, before the rules
    /// plan a commit.
    pub(super) fn note_results_state(&mut self) {
        if let Some((needed_from, marks)) = self.results.state_for_commit() {
            self.machine.note_results_state(needed_from, marks);
        }
    }
}

/// A number that differs from partition to partition: it spreads their retries.
fn foldhash_of(tp: &TopicPartition) -> u32 {
    use std::hash::BuildHasher as _;
    foldhash::fast::FixedState::default().hash_one(tp) as u32
}
