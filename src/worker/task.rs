//! One partition on its worker: recovery, reading, counting, archiving.
//!
//! All state changes go through [`crate::protocol::Partition`]; this file carries them out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::config::{Archive, Config, Start, WordCount};
use crate::count::{Counts, Time};
use crate::kafka::offsets::PositionsRead;
use crate::kafka::{KafkaError, Source, Trouble};
use crate::layout::RollReason;
use crate::layout::names::Places;
use crate::metrics::Metrics;
use crate::protocol::partition::{Forgotten, Roles};
use crate::protocol::{
    AppendVerdict, AttemptId, Begin, Committed, EntryKey, Found, Identity, Kind, Ledger, OnGap,
    Partition, Stop,
};
use crate::record::{Offset, OffsetRange, Record, TopicPartition};
use crate::store::Store;
use crate::worker::archiver::{Archiver, Command, Event};
use crate::worker::files::Files;
use crate::worker::ledger::{Books, BooksError, EntryFrame, new_attempt};

/// What a partition is for; from its mapping.
#[derive(Clone)]
pub struct Role {
    pub mapping: String,
    /// The topic is the mapping's output, not one of its sources.
    pub output: bool,
    pub start: Start,
    pub on_gap: OnGap,
    pub archive: Option<Arc<Archive>>,
    pub count: Option<Arc<WordCount>>,
    /// The archive's store and its root id.
    pub store: Option<(Arc<dyn Store>, String)>,
}

impl Role {
    /// The role of a topic in a configuration; [`None`] for one that no mapping names.
    pub fn of(
        config: &Config,
        topic: &str,
        store: impl FnOnce(&Archive) -> Option<(Arc<dyn Store>, String)>,
    ) -> Option<Role> {
        let (mapping, output) = config.mapping_of(topic)?;
        let archive = if output {
            mapping.count.as_ref().and_then(|c| c.archive.clone())
        } else {
            mapping.archive.clone()
        };
        Some(Role {
            mapping: mapping.name.clone(),
            output,
            // Whoever publishes counts wants all of them archived.
            start: if output { Start::Earliest } else { mapping.start },
            on_gap: mapping.on_gap,
            store: archive.as_deref().and_then(store),
            archive,
            count: mapping.count.clone().filter(|_| !output),
        })
    }

    #[must_use]
    pub fn label(&self) -> &'static str {
        if self.output { "output" } else { "source" }
    }
}

/// What a job outside of the worker's thread came to.
#[derive(Debug)]
pub(super) enum Told {
    Positions(Result<PositionsRead, KafkaError>),
    Archive(Event),
}

/// What the task asks its worker to do outside of its thread.
#[derive(Debug)]
pub(super) enum Ask {
    /// Read the positions; the answer comes as [`Told::Positions`].
    Positions,
}

/// Time as one batch sees it.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub instant: Instant,
    /// Wall clock, milliseconds.
    pub millis: i64,
}

impl Now {
    #[must_use]
    pub fn read() -> Now {
        let millis = jiff::Timestamp::now().as_millisecond();
        Now { instant: Instant::now(), millis }
    }
}

const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

pub(super) struct Task {
    pub(super) tp: TopicPartition,
    pub(super) role: Role,
    pub(super) source: Box<dyn Source>,
    /// Cleared when the assignment is over: nothing may be committed then.
    pub(super) alive: Arc<AtomicBool>,
    pub(super) epoch: u64,
    pub(super) state: State,
}

/// Everything but the source, so that records can be taken while the source is borrowed.
pub(super) struct State {
    tp: TopicPartition,
    role: Role,
    pub(super) part: Option<Partition>,
    archiver: Option<Archiver>,
    places: Places,
    frame: Option<EntryFrame>,
    files: Option<Files>,
    attempts: Vec<Attempt>,
    /// The next offset that the source gives.
    position: Option<Offset>,
    resync: bool,
    /// Records came, and the end of the log has not been seen since.
    pub(super) backlog: bool,
    pub(super) counts: Counts,
    /// Arrival windows that begin at or after this are counted whole, milliseconds.
    pub(super) whole_since: i64,
    pub(super) last_commit: Instant,
    log: OffsetRange,
    first: Offset,
    asked_positions: bool,
    asked_ledger: bool,
    retry: Option<Instant>,
    backoff: Duration,
    overtaken: bool,
    /// How often the position was out of range since a record was read last.
    overtakes: u32,
    pause: Option<Instant>,
    pub(super) stopped: Option<(&'static str, String)>,
    tally: Tally,
}

/// What the archiver knows of, from opening to publishing.
struct Attempt {
    id: AttemptId,
    key: EntryKey,
    first_at: Instant,
    files: usize,
    bytes: u64,
    sealed: bool,
    appended: bool,
}

/// Counted in plain numbers, handed to the metrics once a batch.
#[derive(Default)]
struct Tally {
    records: u64,
    bytes: u64,
    words: u64,
    lossy: u64,
}

impl Task {
    pub(super) fn new(
        tp: TopicPartition,
        role: Role,
        source: Box<dyn Source>,
        alive: Arc<AtomicBool>,
        epoch: u64,
        now: Now,
        tell: impl Fn(Told) + Send + Sync + 'static,
    ) -> Task {
        let places = Places::new(&tp.topic, 0, tp.partition);
        let archiver = role.store.as_ref().map(|(store, _)| {
            let books = Books { store: Arc::clone(store), places: places.clone() };
            Archiver::spawn(books, move |event| tell(Told::Archive(event)))
        });
        let none = OffsetRange { from: Offset(0), to: Offset(0) };
        let state = State {
            tp: tp.clone(),
            role: role.clone(),
            part: None,
            archiver,
            places,
            frame: None,
            files: None,
            attempts: Vec::new(),
            position: None,
            resync: true,
            backlog: false,
            counts: Counts::default(),
            whole_since: 0,
            last_commit: now.instant,
            log: none,
            first: Offset(0),
            asked_positions: false,
            asked_ledger: false,
            retry: None,
            backoff: BACKOFF.0,
            overtaken: false,
            overtakes: 0,
            pause: None,
            stopped: None,
            tally: Tally::default(),
        };
        Task { tp, role, source, alive, epoch, state }
    }

    pub(super) fn owned(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    /// Reads a batch; how many records came.
    pub(super) fn read(&mut self, now: Now, metrics: &Metrics) -> usize {
        let Task { source, state, .. } = self;
        let Some(start) = state.part.as_ref().and_then(Partition::start) else {
            return 0;
        };
        let paused = state.pause.is_some_and(|until| now.instant < until);
        if state.stopped.is_some() || state.overtaken || paused {
            return 0;
        }
        if state.resync {
            if state.position != Some(start) {
                if let Err(e) = source.seek(start) {
                    tracing::debug!(tp = %state.tp, error = %e, "seek; trying again");
                    return 0;
                }
                state.position = Some(start);
                state.whole_since = now.millis;
            }
            state.resync = false;
        }
        let read = source.read(&mut |record| state.take(record, now));
        state.backlog = read.end.is_none() && (state.backlog || 0 < read.records);
        if let (Some(position), Some(part)) = (read.end, &mut state.part) {
            part.skip_to(position);
        }
        match read.trouble {
            None => {}
            Some(Trouble::OutOfRange(text)) => state.on_overtaken(&text, now, metrics),
            Some(Trouble::Error(e)) => {
                metrics.kafka_errors.with_label_values(&["read"]).inc();
                tracing::warn!(tp = %state.tp, error = %e, "reading; the client tries again");
            }
        }
        state.tally(metrics);
        read.records
    }
}

impl State {
    /// Everything in one record's life that happens on the worker.
    #[inline]
    fn take(&mut self, record: &Record<'_>, now: Now) {
        let Some(part) = &mut self.part else { return };
        if self.position.is_some_and(|p| record.offset < p) || self.stopped.is_some() {
            return;
        }
        self.position = Some(record.offset.next());
        self.overtakes = 0;
        self.tally.records += 1;
        self.tally.bytes +=
            (record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)) as u64;
        let accept = part.accept(record.offset, new_attempt);
        if let Some(ms) = record.timestamp.millis() {
            part.saw_time(ms);
        }
        if let (Some((id, from)), Some(archiver)) = (accept.opened, &self.archiver) {
            let files = Files::new(id, from, archiver, now.instant);
            let (key, first_at) = (files.key(), now.instant);
            let (sealed, appended) = (false, false);
            self.attempts.push(Attempt { id, key, first_at, files: 0, bytes: 0, sealed, appended });
            self.files = Some(files);
        }
        if accept.archive
            && let (Some(files), Some(archive), Some(archiver)) =
                (&mut self.files, &self.role.archive, &self.archiver)
            && let Err(e) = files.append(record, archive, &self.tp, archiver, now.instant)
        {
            let text = format!("offset {} can't be encoded: {e}", record.offset);
            self.stopped = Some(("encode", text));
            return;
        }
        if accept.count {
            self.count(record, now.millis);
        }
    }

    #[inline]
    fn count(&mut self, record: &Record<'_>, now_ms: i64) {
        let (Some(count), Some(value)) = (&self.role.count, record.value) else {
            return;
        };
        let time = match count.time {
            Time::Arrival => now_ms,
            Time::Record => record.timestamp.millis().unwrap_or(now_ms),
        };
        let window = count.window.start(time);
        let (counts, words) = (&mut self.counts, &mut self.tally.words);
        let lossy = count.tokenizer.each_word(value, |word| {
            counts.add(window, word);
            *words += 1;
        });
        self.tally.lossy += u64::from(lossy);
    }

    fn tally(&mut self, metrics: &Metrics) {
        let tally = std::mem::take(&mut self.tally);
        if tally.records == 0 {
            return;
        }
        let labels = [self.role.mapping.as_str(), self.role.label()];
        metrics.records.with_label_values(&labels).inc_by(tally.records);
        metrics.bytes.with_label_values(&labels).inc_by(tally.bytes);
        metrics.words.with_label_values(&labels[..1]).inc_by(tally.words);
        metrics.lossy_values.with_label_values(&labels[..1]).inc_by(tally.lossy);
    }

    // ---- recovery -------------------------------------------------------------------------

    /// What is to be asked now; [`None`] while an answer is awaited or nothing is missing.
    pub(super) fn ask(&mut self, now: Now) -> Option<Ask> {
        if self.stopped.is_some() || self.retry.is_some_and(|at| now.instant < at) {
            return None;
        }
        self.retry = None;
        let unread =
            self.part.as_ref().is_none_or(|p| p.needs_committed() && p.counted().is_none());
        if unread && !self.asked_positions {
            self.asked_positions = true;
            return Some(Ask::Positions);
        }
        if self.part.as_ref().is_some_and(Partition::needs_ledger) && !self.asked_ledger {
            self.recover_archive(None, Forgotten::default());
        }
        None
    }

    /// Asks the archiver for the ledger; `put` first, if it is given.
    fn recover_archive(&mut self, put: Option<crate::protocol::Entry>, forgotten: Forgotten) {
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

    fn stop(&mut self, stop: &Stop) {
        self.stopped = Some((stop.label(), stop.to_string()));
    }

    /// After trouble: not at once again.
    fn later(&mut self, now: Now) {
        self.retry = Some(now.instant + self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
    }

    pub(super) fn on_positions(&mut self, read: Result<PositionsRead, KafkaError>, now: Now) {
        self.asked_positions = false;
        let read = match read {
            Ok(read) => read,
            Err(e) => {
                tracing::warn!(tp = %self.tp, error = %e, "recovery waits for the brokers");
                return self.later(now);
            }
        };
        (self.log, self.first) = (read.log, read.first);
        self.identify(&read.topic_id);
        let committed = match read.committed {
            None => None,
            Some((offset, text)) => match Committed::decode(offset, &text) {
                Ok(c) => Some(c),
                Err(e) => return self.stop(&Stop::Unreadable(e.to_string())),
            },
        };
        let part = self.part.as_mut().expect("identified above");
        match part.on_committed(committed) {
            Ok(Found::Verified) => {}
            Ok(Found::Fresh(Begin::CommitStart)) => {
                part.begin_at(self.first);
                self.recounted();
            }
            Ok(_) => {
                if part.was_moved() {
                    let offset = part.committed_offset().map(|o| o.0);
                    tracing::warn!(tp = %self.tp, offset, "the committed offset was moved by hand; results go on from there");
                }
                self.recounted();
            }
            Err(stop) => return self.stop(&stop),
        }
        self.compare_with_log(now);
    }

    fn identify(&mut self, topic_id: &str) {
        let root = self.role.store.as_ref().map(|(_, id)| id.clone()).unwrap_or_default();
        let archive = self.role.archive.as_ref();
        self.frame = Some(EntryFrame {
            topic: self.tp.topic.to_string(),
            partition: self.tp.partition,
            root: root.clone(),
            topic_id: topic_id.into(),
            config: archive.map(|a| a.fingerprint.clone()).unwrap_or_default(),
        });
        if self.part.is_none() {
            let roles = Roles { counts: self.role.count.is_some(), archive: archive.is_some() };
            let identity = Arc::new(Identity { root, topic_id: topic_id.into() });
            self.part = Some(Partition::assigned(roles, identity, self.role.on_gap));
        }
    }

    /// What was counted in memory is void; it is read again.
    pub(super) fn recounted(&mut self) {
        self.counts.clear();
        self.resync = true;
    }

    fn compare_with_log(&mut self, now: Now) {
        let Some(part) = &mut self.part else { return };
        if part.needs_ledger() {
            return;
        }
        /// The log may have been looked at a moment before it grew: not at the first time.
        const BEYOND: u32 = 3;
        if let Some(position) = part.start().filter(|start| self.log.to < *start)
            && BEYOND <= self.overtakes
        {
            return self.stop(&Stop::BeyondLog { position, end: self.log.to });
        }
        match part.on_log_start(self.log.from) {
            Ok(None) => {}
            Ok(Some(gap)) => {
                let forgotten = part.forget_archive();
                let frame = self.frame.as_ref().expect("identified before");
                let mut entry = frame.entry(Kind::Gap, (gap.from, gap.to), now.millis);
                entry.cause =
                    Some(format!("retention: the log started at {} when it was read", gap.to));
                tracing::error!(tp = %self.tp, %gap, "retention has overtaken the archive; a gap entry names the loss");
                self.recover_archive(Some(entry), forgotten);
            }
            Err(stop) => self.stop(&stop),
        }
    }

    fn on_ledger(&mut self, ledger: Option<Ledger>, now: Now) {
        self.asked_ledger = false;
        self.backoff = BACKOFF.0;
        let Some(part) = self.part.as_mut().filter(|p| p.needs_ledger()) else {
            return;
        };
        match part.on_ledger(ledger) {
            Ok(Found::Fresh(_)) => {
                let frame = self.frame.as_ref().expect("identified before");
                let at = self.first;
                let mut genesis = frame.entry(Kind::Genesis, (at, at), now.millis);
                genesis.cause = Some(format!("start = {:?}", self.role.start));
                self.recover_archive(Some(genesis), Forgotten::default());
            }
            Ok(_) => {
                tracing::info!(
                    tp = %self.tp,
                    results = part.p().map(|p| p.0), archive = part.a().map(|a| a.0),
                    "recovered"
                );
                self.resync = true;
                self.compare_with_log(now);
            }
            Err(stop) => self.stop(&stop),
        }
    }

    /// The log no longer has what comes next. What was read is kept: it can't be read again.
    fn on_overtaken(&mut self, text: &str, now: Now, metrics: &Metrics) {
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

    fn after_overtaken(&mut self) {
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

    // ---- archive --------------------------------------------------------------------------

    pub(super) fn on_archive(&mut self, event: Event, now: Now, metrics: &Metrics) {
        match event {
            Event::Ledger(ledger) => self.on_ledger(ledger, now),
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
                }
                self.after_overtaken();
            }
            Event::Failed(BooksError::Entry { path, error }) => {
                self.stop(&Stop::Unreadable(format!("{path}: {error}")));
            }
            Event::Failed(e) => {
                let class = match &e {
                    BooksError::Store(e) => e.kind.label(),
                    _ => "other",
                };
                metrics.store_errors.with_label_values(&[class]).inc();
                tracing::warn!(tp = %self.tp, error = %e, retry_in = ?self.backoff, "the archive waits for the store; results go on");
                self.give_up_archive(now);
            }
        }
    }

    fn append_next(&mut self) {
        let (Some(part), Some(archiver)) = (&mut self.part, &self.archiver) else {
            return;
        };
        let next = self.attempts.iter().find(|a| a.sealed && !a.appended && part.may_append(a.id));
        if let Some(id) = next.map(|a| a.id) {
            part.tried(id);
            let _ = archiver.send(Command::Append(id));
        }
    }

    fn on_answer(&mut self, id: AttemptId, verdict: AppendVerdict, now: Now, metrics: &Metrics) {
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
                tracing::info!(tp = %self.tp, attempt = %id, "another owner was faster; reading the ledger again");
                let forgotten = part.on_append(id, verdict);
                self.resync = true;
                self.recover_archive(None, forgotten);
            }
            AppendVerdict::Again => self.give_up_archive(now),
        }
    }

    /// The archive half is unknown from here on; recovery is tried after a pause.
    fn give_up_archive(&mut self, now: Now) {
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
    pub(super) fn roll_if_due(&mut self, now: Now, metrics: &Metrics) {
        if let (Some(files), Some(archive)) = (&self.files, &self.role.archive)
            && let Some(reason) = archive.roll.due(files.open(now.instant))
        {
            self.roll(reason, now, metrics);
        }
    }

    /// Ends the open attempt, if there is one.
    pub(super) fn roll(&mut self, reason: RollReason, now: Now, metrics: &Metrics) {
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
                self.stopped = Some(("encode", format!("offsets {range} can't be encoded: {e}")));
                return;
            }
        };
        metrics.rolls.with_label_values(&[reason.label()]).inc();
        if let Some(attempt) = self.attempts.iter_mut().find(|a| a.id == id) {
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
    pub(super) fn buffered(&self) -> (usize, usize) {
        let held = self.files.as_ref().map_or(0, Files::held);
        (held, self.archiver.as_ref().map_or(0, Archiver::under_way))
    }

    /// Lets go of some memory.
    pub(super) fn relieve(&mut self) {
        if let (Some(files), Some(archiver)) = (&mut self.files, &self.archiver)
            && let Err(e) = files.relieve(archiver)
        {
            self.stopped = Some(("encode", e.to_string()));
        }
    }

    /// Too many commands wait for the store: stop reading for now.
    pub(super) fn is_clogged(&self) -> bool {
        const WAITING: usize = 4_096;
        self.archiver.as_ref().is_some_and(|a| WAITING < a.waiting())
    }

    /// Whether everything that was read is appended and published, or can't be now.
    pub(super) fn is_drained(&self) -> bool {
        self.attempts.is_empty() || self.stopped.is_some()
    }

    /// The assignment ends: what was never tried is discarded (rule 10).
    pub(super) fn leave(&mut self) {
        if let Some(part) = &mut self.part
            && !self.attempts.is_empty()
        {
            let forgotten = part.forget_archive();
            self.recover_archive(None, forgotten);
        }
    }

    // ---- what others look at --------------------------------------------------------------

    pub(super) fn report(&self, now: Now, metrics: &Metrics) {
        let partition = self.tp.partition.to_string();
        let labels = [&*self.tp.topic, partition.as_str()];
        let Some(part) = &self.part else { return };
        let set = |gauge: &prometheus::IntGaugeVec, value: Option<i64>| {
            if let Some(v) = value {
                gauge.with_label_values(&labels).set(v);
            }
        };
        set(&metrics.results_position, part.p().map(|o| o.0));
        set(&metrics.archive_position, part.a().map(|o| o.0));
        set(&metrics.committed_offset, part.committed_offset().map(|o| o.0));
        let oldest = self.attempts.iter().filter(|a| !a.appended).map(|a| a.first_at).min();
        let age = oldest.map_or(0, |at| now.instant.saturating_duration_since(at).as_secs());
        set(&metrics.archive_delay, i64::try_from(age).ok());
        let detached = self.role.archive.is_some() && part.a().is_none();
        set(&metrics.detached, Some(i64::from(detached)));
    }
}
