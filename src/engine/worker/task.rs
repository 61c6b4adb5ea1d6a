//! One partition on its worker: reading and counting here, recovery and archiving in the rooms
//! below.
//!
//! All state changes go through [`crate::pure::protocol::Partition`]; this file carries them out.

mod archive;
mod delay;
pub(in crate::engine::worker) mod merge;
mod recovery;
mod status;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::clients::kafka::offsets::{PositionsRead, Silence};
use crate::clients::kafka::{KafkaError, Source, Trouble};
use crate::common::metrics::Metrics;
use crate::common::status::Roll;
use crate::engine::archive::files::Files;
use crate::engine::archive::ledger::{Books, EntryFrame, new_attempt};
use crate::engine::archive::task::{Archiver, Event};
use crate::engine::topics::{Role, TopicRole};
use crate::engine::worker::{Added, Env, SourceLists};
use crate::pure::count::{Aggregate, Counts, Terms, Time};
use crate::pure::fault::{Fault, planted};
use crate::pure::layout::RollReason;
use crate::pure::layout::names::Places;
use crate::pure::protocol::{AttemptId, EntryKey, Partition, Past};
use crate::pure::record::{Offset, OffsetRange, Record, TopicPartition};
use delay::Delay;
use merge::Merging;

/// What a job outside of the worker's thread came to.
#[derive(Debug)]
pub(super) enum Told {
    Positions(Result<PositionsRead, KafkaError>),
    Silence { at: i64, answer: Result<Silence, KafkaError> },
    Archive(Event),
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

/// After this long without a seek that is taken, fetching has stopped for good.
const REFUSED: Duration = Duration::from_secs(10);

/// How often a stopped partition looks whether it was repaired.
const LOOK_AGAIN: Duration = Duration::from_secs(20);

/// A record that is further ahead of the clock says nothing about the time, and nobody waits for its
/// window.
pub(super) const AHEAD_MILLIS: i64 = 60_000;

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
    /// What is read next is counted from nothing.
    counts_anew: bool,
    /// Records came, and the end of the log has not been seen since.
    pub(super) backlog: bool,
    pub(super) counts: Counts,
    /// Records were counted since the last commit: their time is worth a message.
    pub(super) counted_any: bool,
    pub(super) merging: Option<Merging>,
    /// Arrival windows that begin at or after this are counted whole, milliseconds.
    pub(super) whole_since: i64,
    pub(super) last_commit: Instant,
    pub(super) last_roll: Option<Roll>,
    delay: Delay,
    /// The same of records whose results are not committed.
    results_delay: Delay,
    /// Of the batch's first record, milliseconds.
    first_time: Option<i64>,
    log: OffsetRange,
    first: Offset,
    /// Where a partition without an archive began.
    began: Option<Past>,
    /// What the published counts tell where nothing is committed.
    past: Option<Past>,
    asked_positions: bool,
    asked_ledger: bool,
    retry: Option<Instant>,
    backoff: Duration,
    overtaken: bool,
    /// How often the position was out of range since a record was read last.
    overtakes: u32,
    pause: Option<Instant>,
    /// Since when every seek was refused.
    refused: Option<Instant>,
    /// As soon as everything that was read is archived.
    wants_rejoin: bool,
    pub(super) stopped: Option<Stopped>,
    /// A person wants its mapping to stand still.
    pub(super) paused: bool,
    /// The reason that metrics and log know.
    shown: Option<&'static str>,
    tally: Tally,
}

/// A person has to decide. Nothing is read or written for this partition meanwhile.
pub(super) struct Stopped {
    pub(super) reason: &'static str,
    pub(super) text: String,
    /// Whether `alluvium repair` may help, and when to look whether it did.
    again: Option<Instant>,
    /// Recovery is under way once more.
    looking: bool,
}

/// What the archiver knows of, from opening to publishing.
struct Attempt {
    id: AttemptId,
    key: EntryKey,
    /// The rule that ended it.
    rolled: &'static str,
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
    untimed: u64,
    uncounted: u64,
    foreign: u64,
}

impl Task {
    pub(super) fn new(
        added: Added,
        epoch: u64,
        now: Now,
        lists: &Arc<SourceLists>,
        tell: impl Fn(Told) + Send + Sync + 'static,
    ) -> Task {
        let Added { tp, role, source, alive } = added;
        let places = Places::new(&tp.topic, 0, tp.partition);
        let archiver = role.store.as_ref().map(|(store, _)| {
            let books = Books { store: Arc::clone(store), places: places.clone() };
            Archiver::spawn(books, move |event| tell(Told::Archive(event)))
        });
        let merge = role.count.as_ref().filter(|_| role.of == TopicRole::Partials);
        let merge = merge.and_then(|c| c.merge.as_ref());
        let merging = merge.map(|m| Merging::new(m.patience, &role.mapping, Arc::clone(lists)));
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
            counts_anew: true,
            backlog: false,
            counts: Counts::default(),
            counted_any: false,
            merging,
            whole_since: 0,
            last_commit: now.instant,
            last_roll: None,
            delay: Delay::default(),
            results_delay: Delay::default(),
            first_time: None,
            log: none,
            first: Offset(0),
            began: None,
            past: None,
            asked_positions: false,
            asked_ledger: false,
            retry: None,
            backoff: BACKOFF.0,
            overtaken: false,
            overtakes: 0,
            pause: None,
            refused: None,
            wants_rejoin: false,
            stopped: None,
            paused: false,
            shown: None,
            tally: Tally::default(),
        };
        Task { tp, role, source, alive, epoch, state }
    }

    pub(super) fn owned(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    /// Reads a batch; how many records came.
    pub(super) fn read(&mut self, now: Now, env: &Env) -> usize {
        let Task { source, state, .. } = self;
        let metrics = &*env.metrics;
        // One that can't be read takes no turn.
        let backlog = std::mem::take(&mut state.backlog);
        let Some(start) = state.part.as_ref().and_then(Partition::start) else {
            return 0;
        };
        if state.wants_rejoin && state.attempts.is_empty() {
            state.wants_rejoin = false;
            tracing::warn!(
                tp = %state.tp,
                "the client does not fetch this partition any more; joining the group again"
            );
            (env.rejoin)();
        }
        let waits = state.pause.is_some_and(|until| now.instant < until);
        if state.stopped.is_some() || state.overtaken || state.paused || waits {
            return 0;
        }
        if state.resync {
            if state.position != Some(start) {
                if let Err(e) = source.seek(start) {
                    tracing::debug!(tp = %state.tp, error = %e, "a seek was refused; trying again");
                    let since = *state.refused.get_or_insert(now.instant);
                    if since + REFUSED < now.instant {
                        state.refused = None;
                        // What was read may be gone from the log: it is archived before the
                        // assignment, and all that was not appended, goes.
                        state.wants_rejoin = true;
                        state.roll(RollReason::Gap, now, metrics);
                    }
                    return 0;
                }
                state.refused = None;
                state.position = Some(start);
                if std::mem::take(&mut state.counts_anew) {
                    state.whole_since = now.millis;
                }
            }
            state.resync = false;
        }
        state.first_time = None;
        let read = source.read(&mut |record| state.take(record, now));
        if read.moved && !planted(Fault::TrustMovedPosition) {
            // What was counted and archived stays: it is read on from there.
            (state.position, state.resync) = (None, true);
        }
        state.backlog = read.end.is_none() && (backlog || 0 < read.records);
        if let (Some(position), Some(part)) = (read.end, &mut state.part) {
            part.skip_to(position);
        }
        match read.trouble {
            None => {}
            Some(Trouble::OutOfRange(text)) => state.on_overtaken(&text, now, metrics),
            Some(Trouble::Error(e)) => {
                metrics.kafka_errors.with_label_values(&["read"]).inc();
                tracing::warn!(tp = %state.tp, error = %e, "a read failed; the client tries again");
            }
        }
        state.tally(metrics);
        if let (Some(position), Some(part)) = (state.position, &state.part) {
            let (time, now) = (state.first_time, now.instant);
            if state.role.archive.is_some() {
                state.delay.read(position, time, part.a(), now);
            }
            if state.role.count.is_some() {
                state.results_delay.read(position, time, part.p(), now);
            }
        }
        if let Some(merging) = state.merging.as_mut().filter(|_| 0 < read.records) {
            merging.measure();
        }
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
        self.first_time = self.first_time.or(record.timestamp.millis());
        self.overtakes = 0;
        self.tally.records += 1;
        self.tally.bytes +=
            (record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)) as u64;
        let accept = part.accept(record.offset, new_attempt);
        if let (Some((id, from)), Some(archiver)) = (accept.opened, &self.archiver) {
            let files = Files::new(id, from, archiver, now.instant);
            let (key, rolled) = (files.key(), "");
            let (sealed, appended) = (false, false);
            self.attempts.push(Attempt { id, key, rolled, files: 0, bytes: 0, sealed, appended });
            self.files = Some(files);
        }
        if accept.archive
            && let (Some(files), Some(archive), Some(archiver)) =
                (&mut self.files, &self.role.archive, &self.archiver)
            && let Err(e) = files.append(record, archive, &self.tp, archiver, now.instant)
        {
            return self.stop_encoding(&format!("offset {}", record.offset), &e);
        }
        if self.merging.is_some() {
            if accept.count || accept.replay {
                self.merge(record, accept.replay, now);
            }
        } else if accept.count {
            self.count(record, now.millis);
        }
    }

    #[inline]
    fn count(&mut self, record: &Record<'_>, now_ms: i64) {
        let (Some(count), Some(part)) = (&self.role.count, &mut self.part) else { return };
        let (mut time, own) = count.time.of(record, now_ms);
        self.tally.untimed += u64::from(!own);
        if count.time == Time::Arrival {
            // The clock may go back, and the next owner's may lag; a window that is over stays so.
            time = time.max(part.marks().watermark.unwrap_or(time));
        } else if time <= now_ms.saturating_add(AHEAD_MILLIS) {
            part.saw_time(time);
        }
        self.counted_any = true;
        let window = count.window.start(time);
        let (mut line, words) = (self.counts.line(window), &mut self.tally.words);
        let terms = count.by.each_term(record, |term| {
            line.add(term);
            *words += 1;
        });
        self.tally.lossy += u64::from(terms == Terms::Lossy);
        self.tally.uncounted += u64::from(terms == Terms::None);
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
        metrics.untimed.with_label_values(&labels[..1]).inc_by(tally.untimed);
        metrics.uncounted.with_label_values(&labels[..1]).inc_by(tally.uncounted + tally.foreign);
    }

    /// Since the oldest record was read that is not in the ledger.
    pub(super) fn archive_delay(&self, now: Now) -> Duration {
        since(&self.delay, now)
    }

    pub(super) fn report(&mut self, now: Now, metrics: &Metrics, repair: &str) {
        self.show(metrics, repair);
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
        if self.role.archive.is_some() {
            set(&metrics.archive_delay, i64::try_from(self.archive_delay(now).as_secs()).ok());
        }
        if self.role.count.is_some() {
            let delay = since(&self.results_delay, now).as_secs();
            set(&metrics.results_delay, i64::try_from(delay).ok());
        }
        let detached = self.role.archive.is_some() && part.a().is_none();
        set(&metrics.paused, Some(i64::from(self.paused)));
        set(&metrics.detached, Some(i64::from(detached)));
        set(&metrics.open_windows, self.merging.as_ref().map(|m| m.merge.open() as i64));
    }
}

/// Age of the oldest record that is not done with.
fn since(delay: &Delay, now: Now) -> Duration {
    delay.since().map_or(Duration::ZERO, |at| now.instant.saturating_duration_since(at))
}
