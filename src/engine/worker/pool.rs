//! All workers of an instance: which partition goes to which, and waiting for them.
//!
//! A worker serves one mapping. Whatever a mapping's transactions, topics or permissions make its
//! worker wait for, the workers of other mappings go on
//! (docs/decisions/0014-workers-by-mapping.md). A worker is started when it is first needed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use prometheus::IntCounterVec;
use prometheus::proto::LabelPair;

use crate::clients::kafka::{Assignments, Commit, Fatal, Generation, Queue, Released, Source};
use crate::common::deadlines;
use crate::common::health::WorkerName;
use crate::common::metrics::{Metrics, PartitionGauges};
use crate::common::status::PartitionStatus;
use crate::engine::topics::{Role, TopicRole};
use crate::engine::worker::env::Env;
use crate::engine::worker::inbox::{Added, Message, Wake, WorkerView};
use crate::engine::worker::round::Worker;
use crate::pure::record::{Offset, TopicPartition};

/// One worker's thread, from outside.
pub struct WorkerHandle {
    /// The mapping that it serves.
    pub mapping: String,
    wake: Wake,
    pub view: Arc<WorkerView>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How long a revocation waits at most for workers that can't commit any more. Nothing depends on
/// it, and until it is answered the client fetches no partition, of no mapping.
const NO_COMMIT: Duration = Duration::from_millis(500);

/// What a topic is for; [`None`] for one that no mapping names.
type Roles = dyn Fn(&str) -> Option<Role> + Send + Sync;

/// The transactions of one worker: of this mapping, its n-th.
type Producers = dyn Fn(&str, usize) -> Box<dyn Commit> + Send + Sync;

/// What a pool of workers starts from.
pub struct PoolSetup {
    pub role: Box<Roles>,
    /// How many workers a mapping may have now; at least one.
    pub workers_per_mapping: Box<dyn Fn() -> usize + Send + Sync>,
    pub transactions: Box<Producers>,
    /// How long a revocation waits for the workers.
    pub revoke_timeout: Duration,
}

/// The workers of this instance.
pub struct Pool {
    workers: RwLock<Vec<Arc<WorkerHandle>>>,
    env: Env,
    setup: PoolSetup,
    placed: Mutex<BTreeMap<TopicPartition, Placed>>,
    /// What was taken away since the last assignment, as it was then.
    taken: Mutex<Vec<PartitionStatus>>,
}

struct Placed {
    worker: usize,
    alive: Arc<AtomicBool>,
    gauges: Arc<PartitionGauges>,
}

impl Pool {
    /// A pool without a thread: workers are started for the partitions that are assigned.
    #[must_use]
    pub fn new(env: Env, setup: PoolSetup) -> Pool {
        let (placed, taken) = (Mutex::default(), Mutex::default());
        Pool { workers: RwLock::default(), env, setup, placed, taken }
    }

    /// The workers that were started so far.
    #[must_use]
    pub fn workers(&self) -> Vec<Arc<WorkerHandle>> {
        self.workers.read().clone()
    }

    /// The worker for one more partition of a mapping: an idle one, else a new one if the mapping
    /// may have more, else the one with the fewest partitions.
    ///
    /// # Errors
    /// The mapping has no worker, and the system has no thread to give.
    fn worker_for(
        &self,
        mapping: &str,
        placed: &BTreeMap<TopicPartition, Placed>,
    ) -> std::io::Result<usize> {
        let workers = self.workers();
        let load = |w: usize| placed.values().filter(|p| p.worker == w).count();
        let mine = workers.iter().enumerate().filter(|(_, w)| w.mapping == mapping);
        let mine: Vec<usize> = mine.map(|(index, _)| index).collect();
        let least = mine.iter().copied().min_by_key(|w| load(*w));
        match least {
            Some(least) if load(least) == 0 => Ok(least),
            Some(least) if (self.setup.workers_per_mapping)().max(1) <= mine.len() => Ok(least),
            Some(least) => self.start_worker(mapping, mine.len()).or(Ok(least)),
            None => self.start_worker(mapping, 0),
        }
    }

    /// Starts the `nth` worker of a mapping.
    fn start_worker(&self, mapping: &str, nth: usize) -> std::io::Result<usize> {
        let mut workers = self.workers.write();
        let (index, view) = (workers.len(), Arc::new(WorkerView::default()));
        let transactions = (self.setup.transactions)(mapping, nth);
        let name = WorkerName { mapping: mapping.into(), number: index };
        let (worker, wake) = Worker::new(name, self.env.clone(), transactions, Arc::clone(&view));
        let thread = format!("worker-{index}");
        let thread = std::thread::Builder::new().name(thread).spawn(move || worker.run())?;
        let (mapping, thread) = (mapping.to_string(), Mutex::new(Some(thread)));
        workers.push(Arc::new(WorkerHandle { mapping, wake, view, thread }));
        Ok(index)
    }

    /// Asks for the ends of all logs that are owned, and sets the lags; `now` is in milliseconds.
    /// Blocks.
    pub fn refresh_ends(&self, end: impl Fn(&TopicPartition) -> Option<Offset>, now: i64) {
        let placed = self.placed.lock();
        let all = placed.iter().map(|(tp, p)| (tp.clone(), Arc::clone(&p.gauges)));
        let all: Vec<(TopicPartition, Arc<PartitionGauges>)> = all.collect();
        drop(placed);
        for (tp, gauges) in all {
            match end(&tp) {
                Some(end) => gauges.set_end(end, now),
                None => gauges.end_is_unknown(now),
            }
        }
    }

    /// Asks for the ends of all logs that are owned, with the records of open transactions, and
    /// logs where the last stable offset stands below the end for long. Blocks.
    pub fn refresh_full_ends(
        &self,
        ends: impl Fn(&[TopicPartition]) -> Option<Vec<Offset>>,
        now: i64,
    ) {
        /// Far longer than a transaction of this program takes.
        const LONG: i64 = 60;
        let placed = self.placed.lock();
        let all = placed.iter().map(|(tp, p)| (tp.clone(), Arc::clone(&p.gauges)));
        let (all, gauges): (Vec<TopicPartition>, Vec<Arc<PartitionGauges>>) = all.unzip();
        drop(placed);
        let Some(ends) = ends(&all).filter(|_| !all.is_empty()) else { return };
        for ((tp, gauges), end) in all.iter().zip(gauges).zip(ends) {
            let [before, after] = gauges.set_full_end(end, now);
            if before < LONG && LONG <= after {
                tracing::warn!(
                    code = "AL128",
                    %tp, %end, stable = gauges.end().map(|o| o.0),
                    "records wait behind a transaction of their producer that does not end; they \
                     are read when it has ended (kafka-transactions.sh find-hanging names it)"
                );
            } else if LONG <= before && after < LONG {
                tracing::info!(%tp, "the transaction that records waited for has ended");
            }
        }
    }

    /// Asks for the ends of the logs that are not fetched, and has those fetched that have grown;
    /// all, if nobody answers. Blocks.
    pub fn refresh_dormant(&self, ends: impl Fn(&[TopicPartition]) -> Option<Vec<Offset>>) {
        let workers = self.workers();
        let dormant = |w: &WorkerHandle| w.view.dormant.lock().clone();
        let dormant: Vec<BTreeMap<TopicPartition, Offset>> =
            workers.iter().map(|w| dormant(w)).collect();
        let names: Vec<TopicPartition> = dormant.iter().flat_map(|d| d.keys()).cloned().collect();
        self.env.metrics.dormant.set(names.len() as i64);
        if names.is_empty() {
            return;
        }
        let mut ends = ends(&names).unwrap_or_default().into_iter();
        for (worker, dormant) in workers.iter().zip(dormant) {
            let mut grown = Vec::new();
            for (tp, at) in dormant {
                if ends.next().is_none_or(|end| at < end) {
                    grown.push(tp);
                }
            }
            if !grown.is_empty() {
                worker.wake.send(Message::Awaken(grown));
            }
        }
    }

    /// The partitions that are assigned, in order.
    #[must_use]
    pub fn owned_partitions(&self) -> Vec<TopicPartition> {
        self.placed.lock().keys().cloned().collect()
    }

    /// How many partitions are assigned.
    #[must_use]
    pub fn assigned_partitions(&self) -> usize {
        self.placed.lock().len()
    }

    /// What was taken away since the last assignment, as it was then.
    #[must_use]
    pub fn taken(&self) -> Vec<PartitionStatus> {
        self.taken.lock().clone()
    }

    /// Seconds until the brokers may delete what is not archived. Nothing is set for a partition
    /// that was taken away meanwhile.
    pub fn set_headroom(&self, of: &PartitionStatus, seconds: i64) {
        let placed = self.placed.lock();
        if let Some(placed) = placed.get(&named(of)) {
            placed.gauges.retention_headroom.set(seconds);
        }
    }

    /// Retention soon deletes the oldest record that is not archived: what is open is rolled.
    pub fn roll_early(&self, of: &PartitionStatus) {
        let (tp, placed) = (named(of), self.placed.lock());
        if let Some(placed) = placed.get(&tp) {
            self.workers()[placed.worker].wake.send(Message::RollEarly(tp));
        }
    }

    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.env.metrics)
    }

    /// Source records read so far: what is read again as partials or counts is no more records.
    #[must_use]
    pub fn records(&self) -> u64 {
        sum_where(&self.env.metrics.records, |labels| {
            labels.iter().any(|l| l.name() == "role" && l.value() == TopicRole::Source.label())
        })
    }

    /// Calls to brokers and stores that failed.
    #[must_use]
    pub fn failed_calls(&self) -> u64 {
        sum(&self.env.metrics.store_errors).saturating_add(sum(&self.env.metrics.kafka_errors))
    }

    /// Every partition of this instance, in order of names.
    #[must_use]
    pub fn status(&self) -> Vec<PartitionStatus> {
        let placed = self.placed.lock();
        let one = |w: &WorkerHandle| w.view.partitions.lock().clone();
        let owned = |mut s: PartitionStatus| {
            let gauges = &placed.get(&named(&s))?.gauges;
            s.end = gauges.end().map(|end| end.0);
            [s.last_results, s.last_archive] = gauges.positions().map(|p| p.map(|o| o.0));
            Some(s)
        };
        let workers = self.workers();
        let all = workers.iter().flat_map(|w| one(w)).filter_map(owned);
        let mut all: Vec<PartitionStatus> = all.collect();
        all.sort_by(|a, b| {
            (&a.mapping, &a.topic, a.partition).cmp(&(&b.mapping, &b.topic, b.partition))
        });
        all
    }

    /// The open files of this mapping end: its records, and its counts.
    pub fn roll(&self, mapping: &str) {
        let mapping: Arc<str> = mapping.into();
        for w in self.workers() {
            w.wake.send(Message::Roll(Arc::clone(&mapping)));
        }
    }

    /// Lets the stopped partitions recover at once: they may have been repaired.
    pub fn retry_stopped(&self) {
        for w in self.workers() {
            w.wake.send(Message::Retry);
        }
    }

    /// Seals and appends everything within the timeout; false if something was left. It is not
    /// lost: the next owner reads it again.
    #[must_use]
    pub fn drain(&self, timeout: Duration) -> bool {
        let workers = self.workers();
        let waits: Vec<_> = workers
            .iter()
            .map(|w| {
                let (done, wait) = sync_channel(1);
                w.wake.send(Message::Drain { done, timeout });
                wait
            })
            .collect();
        let deadline = Instant::now() + timeout + deadlines::DRAIN_GRACE;
        waits.iter().all(|wait| {
            let left = deadline.saturating_duration_since(Instant::now());
            wait.recv_timeout(left).unwrap_or(false)
        })
    }

    /// Ends the threads; false if one did not end in time.
    #[must_use]
    pub fn end(&self, timeout: Duration) -> bool {
        let workers = self.workers();
        for w in &workers {
            w.wake.send(Message::End);
        }
        let deadline = Instant::now() + timeout;
        workers.iter().all(|w| {
            let thread = w.thread.lock().take();
            let Some(thread) = thread else { return true };
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            thread.is_finished() && thread.join().is_ok()
        })
    }

    /// Hands partitions over to the workers of their mappings, and the generation to all.
    pub fn assign(
        &self,
        generation: &Arc<Generation>,
        added: Vec<(TopicPartition, Box<dyn Source>)>,
    ) {
        let mut shares: BTreeMap<usize, Vec<Added>> = BTreeMap::new();
        let mut placed = self.placed.lock();
        for (tp, source) in added {
            let Some(role) = (self.setup.role)(&tp.topic) else {
                tracing::error!(
                    code = "AL907", %tp,
                    "the group assigned a partition that no mapping names"
                );
                continue;
            };
            let worker = match self.worker_for(&role.mapping, &placed) {
                Ok(worker) => worker,
                Err(error) => {
                    let mapping = &role.mapping;
                    let reason = format!("no thread can be started for mapping {mapping}: {error}");
                    return (self.env.fatal)(Fatal::Ended(reason));
                }
            };
            let alive = Arc::new(AtomicBool::new(true));
            let gauges = Arc::new(self.env.metrics.partition(&tp));
            let place = Placed { worker, alive: Arc::clone(&alive), gauges: Arc::clone(&gauges) };
            let _ = placed.insert(tp.clone(), place);
            shares.entry(worker).or_default().push(Added { tp, role, source, alive, gauges });
        }
        self.count(&placed);
        for (index, w) in self.workers().iter().enumerate() {
            let added = shares.remove(&index).unwrap_or_default();
            w.wake.send(Message::Assigned { generation: Arc::clone(generation), added });
        }
    }

    /// Takes partitions away, and tells their workers; the partitions, and how many answers come.
    fn take(
        &self,
        partitions: &[TopicPartition],
        commits: bool,
    ) -> (Vec<Placed>, Receiver<()>, usize) {
        let mine = self.status().into_iter().filter(|s| partitions.contains(&named(s)));
        self.taken.lock().extend(mine);
        let mut placed = self.placed.lock();
        let gone: Vec<(TopicPartition, Placed)> =
            partitions.iter().filter_map(|tp| placed.remove(tp).map(|p| (tp.clone(), p))).collect();
        self.count(&placed);
        drop(placed);
        if !commits {
            gone.iter().for_each(|(_, p)| p.alive.store(false, Ordering::SeqCst));
        }
        let workers = self.workers();
        let (done, wait) = sync_channel(workers.len().saturating_mul(2));
        let mut waiting = 0_usize;
        for (index, w) in workers.iter().enumerate() {
            let mine = gone.iter().filter(|(_, p)| p.worker == index).map(|(tp, _)| tp.clone());
            // A mapping that was removed reads nothing again.
            let (kept, removed): (Vec<_>, Vec<_>) =
                mine.partition(|tp| (self.setup.role)(&tp.topic).is_some());
            for (partitions, for_good) in [(kept, false), (removed, true)] {
                if !partitions.is_empty() {
                    waiting = waiting.saturating_add(1);
                    let done = done.clone();
                    w.wake.send(Message::Revoked { partitions, for_good, commits, done });
                }
            }
        }
        (gone.into_iter().map(|(_, placed)| placed).collect(), wait, waiting)
    }

    /// Notes how many partitions there are, and how many workers share the memory.
    fn count(&self, placed: &BTreeMap<TopicPartition, Placed>) {
        self.env.metrics.assigned.set(placed.len() as i64);
        let workers: BTreeSet<usize> = placed.values().map(|p| p.worker).collect();
        self.env.memory.share_among(workers.len());
    }
}

fn named(status: &PartitionStatus) -> TopicPartition {
    TopicPartition { topic: status.topic.as_str().into(), partition: status.partition }
}

/// Over all labels.
fn sum(counters: &IntCounterVec) -> u64 {
    sum_where(counters, |_| true)
}

fn sum_where(counters: &IntCounterVec, mine: impl Fn(&[LabelPair]) -> bool) -> u64 {
    let families = prometheus::core::Collector::collect(counters);
    let all = families.iter().flat_map(|f| f.get_metric()).filter(|m| mine(m.get_label()));
    all.map(|m| m.get_counter().get_value() as u64).sum()
}

impl Assignments for Pool {
    fn assigned(&self, generation: Arc<Generation>, added: Vec<(TopicPartition, Queue)>) {
        self.env.metrics.rebalances.inc();
        self.env.board.joined((self.env.clock)().millis);
        self.taken.lock().clear();
        self.given_again(generation, added);
    }

    fn taken_away(&self, partitions: &[TopicPartition]) -> Released {
        let (_, wait, mut waiting) = self.take(partitions, false);
        Box::new(move || {
            while 0 < waiting {
                match wait.try_recv() {
                    Ok(()) => waiting = waiting.saturating_sub(1),
                    Err(TryRecvError::Empty) => return false,
                    Err(TryRecvError::Disconnected) => return true,
                }
            }
            true
        })
    }

    // Another worker than before may get a partition, in the same generation, which does not fence
    // the former one. It need not: the former worker has answered, so it is between transactions,
    // and `alive` keeps it from sending offsets of the partition in another one. What a call of its
    // producer still does that was left behind at its deadline ends no transaction behind a
    // recovery: the end is asked for after the brokers have taken the offsets, and from then on the
    // stable read of a recovery waits until they have decided; a transaction whose offsets come
    // late is never asked to be committed, and the brokers abort it. Of two archive tasks, the
    // ledger takes one, as of two instances.
    fn given_again(&self, generation: Arc<Generation>, again: Vec<(TopicPartition, Queue)>) {
        self.taken.lock().retain(|s| again.iter().all(|(tp, _)| *tp != named(s)));
        let again = again.into_iter().map(|(tp, q)| (tp, Box::new(q) as Box<dyn Source>)).collect();
        self.assign(&generation, again);
    }

    fn revoked(&self, partitions: &[TopicPartition], commits: bool) {
        self.env.board.left((self.env.clock)().millis);
        let (gone, wait, waiting) = self.take(partitions, commits);
        let revoke_timeout = self.setup.revoke_timeout;
        let patience = if commits { revoke_timeout } else { revoke_timeout.min(NO_COMMIT) };
        let deadline = Instant::now() + patience;
        for _ in 0..waiting {
            let left = deadline.saturating_duration_since(Instant::now());
            if wait.recv_timeout(left).is_ok() {
                continue;
            }
            if commits {
                tracing::warn!(
                    code = "AL108",
                    "a worker did not answer a revocation in time: it did not release its \
                     partitions within daemon.revoke_timeout ({revoke_timeout:?}), so its commit \
                     is refused, its records are read again, and nothing is lost"
                );
            }
            break;
        }
        // Whatever a worker still does for these partitions, it may do nothing but come back.
        gone.iter().for_each(|p| p.alive.store(false, Ordering::SeqCst));
    }
}
