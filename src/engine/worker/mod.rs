//! Worker threads. Each owns some partitions and one transactional producer, and does everything
//! with their records: recover, read, count, archive, commit.
//!
//! A worker blocks in calls to the brokers only (they have deadlines); the store is reached by
//! tasks of its own ([`crate::engine::archive::task`]). Between two looks at its inbox it reads one batch of each
//! partition.

mod commit;
#[cfg(test)]
mod lives;
mod pool;
mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::clients::kafka::offsets::Positions;
use crate::clients::kafka::{Commit, Generation, Source};
use crate::common::crash::{self, Step};
use crate::common::metrics::Metrics;
use crate::common::status::PartitionStatus;
use crate::engine::topics::Role;
use crate::pure::layout::RollReason;
use crate::pure::record::TopicPartition;

pub use pool::Pool;
pub use task::Now;
use task::merge::{Merging, Question};
use task::{Task, Told};

/// What a worker works with.
#[derive(Clone)]
pub struct Env {
    pub sources: Arc<SourceLists>,
    pub paused: Arc<Paused>,
    pub metrics: Arc<Metrics>,
    pub positions: Arc<dyn Positions>,
    pub runtime: tokio::runtime::Handle,
    pub commit_interval: Duration,
    /// One worker's share of the process's memory.
    pub memory_bytes: usize,
    /// Called once with the reason if the whole process has to end.
    pub fatal: Arc<dyn Fn(String) + Send + Sync>,
    /// Leaves the group and joins it again: a partition's fetching has stopped for good.
    pub rejoin: Arc<dyn Fn() + Send + Sync>,
    pub clock: fn() -> Now,
    /// The command that repairs a partition, but for its name.
    pub repair: Arc<str>,
}

/// The source partitions of each mapping that is merged, as the brokers list them.
#[derive(Debug, Default)]
pub struct SourceLists(RwLock<BTreeMap<String, Arc<[TopicPartition]>>>);

impl SourceLists {
    /// Takes a new list, if it is one.
    pub fn set(&self, mapping: &str, sources: Vec<TopicPartition>) {
        if self.of(mapping).is_none_or(|old| *old != *sources) {
            let mut lists = self.0.write().unwrap_or_else(PoisonError::into_inner);
            let _ = lists.insert(mapping.into(), sources.into());
        }
    }

    fn of(&self, mapping: &str) -> Option<Arc<[TopicPartition]>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(mapping).cloned()
    }
}

/// Mappings that stand still because a person wants it; of this process alone.
#[derive(Debug, Default)]
pub struct Paused(RwLock<BTreeSet<String>>);

impl Paused {
    /// Pauses a mapping, or resumes it; whether that changes anything.
    pub fn set(&self, mapping: &str, paused: bool) -> bool {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if paused { all.insert(mapping.into()) } else { all.remove(mapping) }
    }

    fn has(&self, mapping: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(mapping)
    }
}

/// What a worker is told.
pub enum Message {
    /// A new generation, with the partitions that it adds here.
    Assigned {
        generation: Arc<Generation>,
        added: Vec<Added>,
    },
    Revoked {
        partitions: Vec<TopicPartition>,
        commits: bool,
        done: SyncSender<()>,
    },
    /// Seal and append everything, commit, and read no more.
    Drain {
        done: SyncSender<bool>,
        timeout: Duration,
    },
    /// End the thread.
    End,
    #[doc(hidden)]
    Told(TopicPartition, u64, ToldBox),
}

/// An answer for one partition; opaque outside of this room.
pub struct ToldBox(Told);

/// A partition on its way to a worker.
pub struct Added {
    pub tp: TopicPartition,
    pub role: Role,
    pub source: Box<dyn Source>,
    pub alive: Arc<AtomicBool>,
}

/// Wakes a worker's thread.
#[derive(Clone)]
pub struct Wake {
    inbox: Sender<Message>,
    thread: Arc<std::sync::OnceLock<std::thread::Thread>>,
}

impl Wake {
    fn send(&self, message: Message) {
        // A worker that has ended needs no message.
        let _ = self.inbox.send(message);
        self.unpark();
    }

    fn unpark(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// What others see of a worker while it runs.
#[derive(Debug, Default)]
pub struct Seen {
    /// Wall clock of its last round, milliseconds: a worker without progress is stuck.
    pub last_round: AtomicI64,
    /// Its partitions, in order.
    pub partitions: std::sync::Mutex<Vec<PartitionStatus>>,
}

struct Worker {
    index: usize,
    env: Env,
    inbox: Receiver<Message>,
    wake: Wake,
    tasks: BTreeMap<TopicPartition, Task>,
    generation: Option<Arc<Generation>>,
    transactions: Box<dyn Commit>,
    /// After a transaction could not even begin.
    commit_not_before: Option<Instant>,
    epochs: u64,
    seen: Arc<Seen>,
    drain: Drain,
    last_report: Option<Instant>,
    /// Source partitions that windows wait for, and since when nothing was heard of them.
    held_back: BTreeMap<TopicPartition, Duration>,
    turn: Turn,
}

/// Partitions with a backlog are read one after the other, each until the next commit: a window
/// then holds the words of few partitions, and what is published, read back and archived is the
/// less. Whoever has read to the end of the log is read in every round.
#[derive(Default)]
struct Turn {
    whose: Option<TopicPartition>,
    /// When it last gave a record.
    gave: Option<Instant>,
    over: bool,
}

impl Turn {
    /// Chooses among partitions with a backlog, in order: whose turn it is, else the next.
    fn choose(&mut self, backlogged: &[&TopicPartition], now: Now) {
        let dry = self.gave.is_some_and(|at| at + IDLE <= now.instant);
        let mine = self.whose.as_ref();
        if self.over || dry || mine.is_none_or(|tp| !backlogged.contains(&tp)) {
            let next = backlogged.iter().find(|tp| mine.is_none_or(|m| m < **tp));
            let next = next.or(backlogged.first()).map(|tp| (*tp).clone());
            *self = Turn { whose: next, gave: Some(now.instant), over: false };
        }
    }
}

/// A worker's way to its end.
enum Drain {
    No,
    Until { deadline: Instant, done: SyncSender<bool> },
    Done,
}

/// How long a worker sleeps when there is nothing to read and nothing is due.
const IDLE: Duration = Duration::from_millis(50);
const REPORT: Duration = Duration::from_secs(1);

impl Worker {
    fn new(
        index: usize,
        env: Env,
        transactions: Box<dyn Commit>,
        seen: Arc<Seen>,
    ) -> (Worker, Wake) {
        let (sender, inbox) = channel();
        let wake = Wake { inbox: sender, thread: Arc::default() };
        let worker = Worker {
            index,
            env,
            inbox,
            wake: wake.clone(),
            tasks: BTreeMap::new(),
            generation: None,
            transactions,
            commit_not_before: None,
            epochs: 0,
            seen,
            drain: Drain::No,
            last_report: None,
            held_back: BTreeMap::new(),
            turn: Turn::default(),
        };
        (worker, wake)
    }

    fn run(mut self) {
        let _ = self.wake.thread.set(std::thread::current());
        while let Some(sleep) = self.round() {
            if !sleep.is_zero() {
                std::thread::park_timeout(sleep);
            }
        }
    }

    /// One look at everything; how long nothing will be due, or [`None`] at the end.
    fn round(&mut self) -> Option<Duration> {
        while let Ok(message) = self.inbox.try_recv() {
            if matches!(message, Message::End) {
                return None;
            }
            self.on_message(message);
        }
        let now = (self.env.clock)();
        self.seen.last_round.store(now.millis, Ordering::Relaxed);
        self.pause_and_resume(now);
        self.recover(now);
        self.merge(now);
        self.commit_due(now);
        let busy = matches!(self.drain, Drain::No) && self.read(now);
        let now = (self.env.clock)();
        self.roll(now);
        self.report(now);
        self.drained(now);
        Some(if busy { Duration::ZERO } else { self.until_due(now) })
    }

    fn on_message(&mut self, message: Message) {
        let now = (self.env.clock)();
        match message {
            Message::Assigned { generation, added } => self.assigned(generation, added, now),
            Message::Revoked { partitions, commits, done } => {
                self.revoked(&partitions, commits, now);
                let _ = done.send(());
            }
            Message::Told(tp, epoch, ToldBox(told)) => {
                let metrics = Arc::clone(&self.env.metrics);
                if let Some(task) = self.tasks.get_mut(&tp).filter(|t| t.epoch == epoch) {
                    match told {
                        Told::Positions(read) => task.state.on_positions(read, now),
                        Told::Silence { at, answer } => task.state.on_silence(at, answer),
                        Told::Archive(event) => task.state.on_archive(event, now, &metrics),
                    }
                }
            }
            Message::Drain { done, timeout } => {
                for task in self.tasks.values_mut() {
                    task.state.roll(RollReason::Stop, now, &self.env.metrics);
                }
                self.drain = Drain::Until { deadline: now.instant + timeout, done };
            }
            Message::End => {}
        }
    }

    /// P outlives a change of generation only for a member of the one directly before (rule 1);
    /// no transaction is open here: they begin and end inside of one commit.
    fn assigned(&mut self, generation: Arc<Generation>, added: Vec<Added>, now: Now) {
        let follows =
            self.generation.as_ref().is_some_and(|g| g.number() + 1 == generation.number());
        let same = self.generation.as_ref().is_some_and(|g| g.number() == generation.number());
        if !follows && !same {
            for task in self.tasks.values_mut() {
                doubt(task);
            }
        }
        self.generation = Some(generation);
        for mut added in added {
            self.epochs += 1;
            let epoch = self.epochs;
            let wake = self.wake.clone();
            added.source.on_records(Box::new(move || wake.unpark()));
            let (wake, tp) = (self.wake.clone(), added.tp.clone());
            let tell = move |told| {
                wake.send(Message::Told(tp.clone(), epoch, ToldBox(told)));
            };
            let _runtime = self.env.runtime.enter();
            let task = Task::new(added, epoch, now, &self.env.sources, tell);
            let _ = self.tasks.insert(task.tp.clone(), task);
        }
    }

    fn revoked(&mut self, partitions: &[TopicPartition], commits: bool, now: Now) {
        let mine: Vec<TopicPartition> =
            partitions.iter().filter(|tp| self.tasks.contains_key(tp)).cloned().collect();
        if commits && !mine.is_empty() {
            self.commit(&mine, true, now);
        }
        crash::at(Step::LeaveCommitted);
        if matches!(self.drain, Drain::Until { .. }) {
            // A rebalance in the middle of a stop: attempts may outlive an assignment, and nobody
            // else may be there to read it all again. The drain waits for them.
            let lost = mine.iter().filter_map(|tp| self.tasks.get(tp));
            lost.for_each(|task| task.alive.store(false, Ordering::SeqCst));
            return;
        }
        for tp in mine {
            if let Some(mut task) = self.tasks.remove(&tp) {
                task.alive.store(false, Ordering::SeqCst);
                task.state.leave();
                task.state.hide(&self.env.metrics);
                self.env.metrics.forget(&tp);
            }
        }
    }

    /// A mapping that is paused reads nothing more; what was read is archived and committed. When it
    /// goes on, positions are read back: a merge must not take the pause for silence.
    fn pause_and_resume(&mut self, now: Now) {
        for task in self.tasks.values_mut() {
            let paused = self.env.paused.has(&task.role.mapping);
            if paused == std::mem::replace(&mut task.state.paused, paused) {
                continue;
            }
            if paused {
                task.state.roll(RollReason::Pause, now, &self.env.metrics);
            } else {
                doubt(task);
            }
        }
    }

    /// Starts whatever recovery needs next.
    fn recover(&mut self, now: Now) {
        for task in self.tasks.values_mut() {
            if task.state.ask(now) {
                let (tp, epoch, wake) = (task.tp.clone(), task.epoch, self.wake.clone());
                let (positions, start) = (Arc::clone(&self.env.positions), task.role.start);
                let output = task.role.merges_into().map(String::from);
                drop(self.env.runtime.spawn_blocking(move || {
                    let read = positions.read(&tp, start, output.as_deref());
                    crash::at(Step::StableRead);
                    wake.send(Message::Told(tp, epoch, ToldBox(Told::Positions(read))));
                }));
            }
        }
    }

    /// Closes windows, asks about silent sources, and relieves the largest when memory is short.
    fn merge(&mut self, now: Now) {
        for task in self.tasks.values_mut().filter(|t| !t.state.paused) {
            let Some(Question { at, sources }) = task.state.advance_merge(now) else { continue };
            let (tp, epoch, wake) = (task.tp.clone(), task.epoch, self.wake.clone());
            let positions = Arc::clone(&self.env.positions);
            drop(self.env.runtime.spawn_blocking(move || {
                let answer = positions.silence(&sources, &tp);
                wake.send(Message::Told(tp, epoch, ToldBox(Told::Silence { at, answer })));
            }));
        }
        let bytes = |t: &Task| t.state.merging.as_ref().map_or(0, Merging::bytes);
        let total: usize = self.tasks.values().map(bytes).sum();
        if self.env.memory_bytes / 4 < total
            && let Some(task) = self.tasks.values_mut().max_by_key(|t| bytes(t))
        {
            task.state.part_merge();
        }
    }

    /// One batch of each partition that is not waiting for its [`Turn`]; whether there may be
    /// more.
    fn read(&mut self, now: Now) -> bool {
        let under_way: usize = self.tasks.values().map(|t| t.state.buffered().1).sum();
        if self.env.memory_bytes / 4 < under_way {
            return false;
        }
        let backlogged = self.tasks.iter().filter(|(_, t)| t.state.backlog).map(|(tp, _)| tp);
        self.turn.choose(&backlogged.collect::<Vec<_>>(), now);
        let mut busy = false;
        for (tp, task) in &mut self.tasks {
            let turn = self.turn.whose.as_ref() == Some(tp);
            if task.state.is_clogged() || task.state.backlog && !turn {
                continue;
            }
            let records = task.read(now, &self.env);
            if turn && 0 < records {
                self.turn.gave = Some(now.instant);
            }
            busy |= 0 < records;
        }
        busy
    }

    /// Ends what is due, and relieves the largest when memory is short.
    fn roll(&mut self, now: Now) {
        for task in self.tasks.values_mut() {
            task.state.roll_if_due(now, &self.env.metrics);
        }
        let held = |t: &Task| t.state.buffered().0;
        let total: usize = self.tasks.values().map(held).sum();
        if self.env.memory_bytes / 4 < total
            && let Some(task) = self.tasks.values_mut().max_by_key(|t| t.state.buffered().0)
        {
            task.state.relieve();
        }
    }

    fn drained(&mut self, now: Now) {
        let Drain::Until { deadline, .. } = &self.drain else {
            return;
        };
        let whole = self.tasks.values().all(|t| t.state.is_drained());
        if !whole && now.instant < *deadline {
            return;
        }
        let owned = self.tasks.iter().filter(|(_, task)| task.owned());
        let owned: Vec<TopicPartition> = owned.map(|(tp, _)| tp.clone()).collect();
        self.commit(&owned, true, now);
        crash::at(Step::DrainCommitted);
        for task in self.tasks.values() {
            task.alive.store(false, Ordering::SeqCst);
        }
        if let Drain::Until { done, .. } = std::mem::replace(&mut self.drain, Drain::Done) {
            let _ = done.send(whole);
        }
    }

    fn report(&mut self, now: Now) {
        if self.last_report.is_some_and(|at| now.instant < at + REPORT) {
            return;
        }
        self.last_report = Some(now.instant);
        let metrics = Arc::clone(&self.env.metrics);
        let metrics = &*metrics;
        let (mut buffered, mut queued, mut partitions) = (0, 0, Vec::new());
        for task in self.tasks.values_mut() {
            task.state.report(now, metrics, &self.env.repair);
            let (held, under_way) = task.state.buffered();
            buffered += held + under_way;
            queued += under_way;
            partitions.push(task.state.status(self.index, now));
        }
        *self.seen.partitions.lock().unwrap_or_else(PoisonError::into_inner) = partitions;
        self.report_held_back(now);
        let worker = self.index.to_string();
        metrics.buffered_bytes.with_label_values(&[&worker]).set(buffered as i64);
        metrics.queued_bytes.with_label_values(&[&worker]).set(queued as i64);
    }

    /// Which source partitions the windows of this worker's merges wait for.
    fn report_held_back(&mut self, now: Now) {
        const SAID: Duration = Duration::from_secs(30);
        let gauge = &self.env.metrics.held_back;
        let mut held: BTreeMap<TopicPartition, Duration> = BTreeMap::new();
        for merging in self.tasks.values().filter_map(|t| t.state.merging.as_ref()) {
            for (tp, since) in merging.waits_for(now.millis) {
                let longest = held.entry(tp.clone()).or_default();
                *longest = since.max(*longest);
            }
        }
        for (tp, _) in self.held_back.iter().filter(|(tp, _)| !held.contains_key(tp)) {
            let _ = gauge.remove_label_values(&[&*tp.topic, &tp.partition.to_string()]);
        }
        for (tp, since) in &held {
            let partition = tp.partition.to_string();
            gauge.with_label_values(&[&*tp.topic, &partition]).set(since.as_secs() as i64);
            let before = self.held_back.get(tp).copied().unwrap_or_default();
            if before < SAID && SAID <= *since {
                tracing::warn!(
                    %tp, ?since,
                    "windows wait for this source partition: the partition lags, or no instance \
                     reads it"
                );
            }
        }
        self.held_back = held;
    }

    fn until_due(&self, now: Now) -> Duration {
        let due = self.tasks.values().filter_map(|t| t.results_due_in(now, &self.env));
        due.min().unwrap_or(IDLE).min(IDLE).max(Duration::from_millis(1))
    }
}

/// Doubt about one partition's results: they are read back and counted again.
fn doubt(task: &mut Task) {
    if let Some(part) = &mut task.state.part {
        part.doubt();
    }
    task.state.recounted();
}
