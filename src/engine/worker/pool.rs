//! All workers of an instance: which partition goes to which, and waiting for them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::IntCounterVec;

use crate::clients::kafka::{Assignments, Commit, Generation, Queue, Source};
use crate::common::deadlines;
use crate::common::metrics::{Metrics, PartitionGauges};
use crate::common::status::PartitionStatus;
use crate::engine::topics::Role;
use crate::engine::worker::env::Env;
use crate::engine::worker::inbox::{Added, Message, Wake, WorkerView};
use crate::engine::worker::round::Worker;
use crate::pure::record::{Offset, TopicPartition};

/// One worker's thread, from outside.
pub struct WorkerHandle {
    wake: Wake,
    pub view: Arc<WorkerView>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What a topic is for; [`None`] for one that no mapping names.
type Roles = dyn Fn(&str) -> Option<Role> + Send + Sync;

/// The workers of this instance.
pub struct Pool {
    workers: Vec<WorkerHandle>,
    env: Env,
    roles: Box<Roles>,
    revoke_timeout: Duration,
    placed: Mutex<BTreeMap<TopicPartition, Placed>>,
    /// A first assignment has come.
    joined: AtomicBool,
}

struct Placed {
    worker: usize,
    alive: Arc<AtomicBool>,
    gauges: Arc<PartitionGauges>,
}

impl Pool {
    /// Starts the threads. `roles` says what a topic is for.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(
        env: Env,
        revoke_timeout: Duration,
        transactions: Vec<Box<dyn Commit>>,
        roles: impl Fn(&str) -> Option<Role> + Send + Sync + 'static,
    ) -> std::io::Result<Pool> {
        let mut workers = Vec::new();
        for (index, transactions) in transactions.into_iter().enumerate() {
            let view = Arc::new(WorkerView::default());
            let (worker, wake) = Worker::new(index, env.clone(), transactions, Arc::clone(&view));
            let name = format!("worker-{index}");
            let thread = std::thread::Builder::new().name(name).spawn(move || worker.run())?;
            workers.push(WorkerHandle { wake, view, thread: Mutex::new(Some(thread)) });
        }
        let placed = Mutex::default();
        let joined = AtomicBool::new(false);
        Ok(Pool { workers, env, roles: Box::new(roles), revoke_timeout, placed, joined })
    }

    pub fn workers(&self) -> &[WorkerHandle] {
        &self.workers
    }

    /// Asks for the ends of all logs that are owned, and sets the lags. Blocks.
    pub fn refresh_ends(&self, end: impl Fn(&TopicPartition) -> Option<Offset>) {
        let placed = self.placed.lock();
        let all = placed.iter().map(|(tp, p)| (tp.clone(), Arc::clone(&p.gauges)));
        let all: Vec<(TopicPartition, Arc<PartitionGauges>)> = all.collect();
        drop(placed);
        for (tp, gauges) in all {
            if let Some(end) = end(&tp) {
                gauges.set_end(end);
            }
        }
    }

    /// Whether a first assignment has come, and all of it is known to the workers.
    #[must_use]
    pub fn has_joined(&self) -> bool {
        let placed = self.placed.lock().len();
        self.joined.load(Ordering::SeqCst) && self.status().len() == placed
    }

    /// Seconds until the brokers may delete what is not archived. Nothing is set for a partition
    /// that was taken away meanwhile.
    pub fn set_headroom(&self, of: &PartitionStatus, seconds: i64) {
        let placed = self.placed.lock();
        if let Some(placed) = placed.get(&named(of)) {
            placed.gauges.retention_headroom.set(seconds);
        }
    }

    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.env.metrics)
    }

    /// Records read so far, of all roles.
    #[must_use]
    pub fn records(&self) -> u64 {
        sum(&self.env.metrics.records)
    }

    /// Calls to brokers and stores that failed.
    #[must_use]
    pub fn failed_calls(&self) -> u64 {
        sum(&self.env.metrics.store_errors) + sum(&self.env.metrics.kafka_errors)
    }

    /// Every partition of this instance, in order of names.
    #[must_use]
    pub fn status(&self) -> Vec<PartitionStatus> {
        let placed = self.placed.lock();
        let one = |w: &WorkerHandle| w.view.partitions.lock().clone();
        let owned = |mut s: PartitionStatus| {
            s.end = placed.get(&named(&s))?.gauges.end().map(|end| end.0);
            Some(s)
        };
        let mut all: Vec<PartitionStatus> =
            self.workers.iter().flat_map(one).filter_map(owned).collect();
        all.sort_by(|a, b| {
            (&a.mapping, &a.topic, a.partition).cmp(&(&b.mapping, &b.topic, b.partition))
        });
        all
    }

    /// Stopped partitions look at once whether they were repaired.
    pub fn retry_stopped(&self) {
        for w in &self.workers {
            w.wake.send(Message::Retry);
        }
    }

    /// Seals and appends everything within the timeout; false if something was left. It is not
    /// lost: the next owner reads it again.
    #[must_use]
    pub fn drain(&self, timeout: Duration) -> bool {
        let waits: Vec<_> = self
            .workers
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
        for w in &self.workers {
            w.wake.send(Message::End);
        }
        let deadline = Instant::now() + timeout;
        self.workers.iter().all(|w| {
            let thread = w.thread.lock().take();
            let Some(thread) = thread else { return true };
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            thread.is_finished() && thread.join().is_ok()
        })
    }

    /// Hands partitions over, to the least loaded workers, and the generation to all.
    pub fn assign(
        &self,
        generation: &Arc<Generation>,
        added: Vec<(TopicPartition, Box<dyn Source>)>,
    ) {
        let mut shares: Vec<Vec<Added>> = self.workers.iter().map(|_| Vec::new()).collect();
        let mut placed = self.placed.lock();
        for (tp, source) in added {
            let Some(role) = (self.roles)(&tp.topic) else {
                tracing::error!(%tp, "the group assigned a partition that no mapping names");
                continue;
            };
            let load = |w: &usize| placed.values().filter(|p| p.worker == *w).count();
            let worker = (0..self.workers.len()).min_by_key(load).expect("at least one worker");
            let alive = Arc::new(AtomicBool::new(true));
            let gauges = Arc::new(self.env.metrics.partition(&tp));
            let place = Placed { worker, alive: Arc::clone(&alive), gauges: Arc::clone(&gauges) };
            let _ = placed.insert(tp.clone(), place);
            shares[worker].push(Added { tp, role, source, alive, gauges });
        }
        self.env.metrics.assigned.set(placed.len() as i64);
        for (w, added) in self.workers.iter().zip(shares) {
            w.wake.send(Message::Assigned { generation: Arc::clone(generation), added });
        }
    }
}

fn named(status: &PartitionStatus) -> TopicPartition {
    TopicPartition { topic: status.topic.as_str().into(), partition: status.partition }
}

/// Over all labels.
fn sum(counters: &IntCounterVec) -> u64 {
    let families = prometheus::core::Collector::collect(counters);
    let all = families.iter().flat_map(|f| f.get_metric());
    all.map(|m| m.get_counter().get_value() as u64).sum()
}

impl Assignments for Pool {
    fn assigned(&self, generation: Arc<Generation>, added: Vec<(TopicPartition, Queue)>) {
        self.env.metrics.rebalances.inc();
        self.joined.store(true, Ordering::SeqCst);
        let added = added.into_iter().map(|(tp, q)| (tp, Box::new(q) as Box<dyn Source>)).collect();
        self.assign(&generation, added);
    }

    fn revoked(&self, partitions: &[TopicPartition], commits: bool) {
        let mut placed = self.placed.lock();
        let gone: Vec<(TopicPartition, Placed)> =
            partitions.iter().filter_map(|tp| placed.remove(tp).map(|p| (tp.clone(), p))).collect();
        self.env.metrics.assigned.set(placed.len() as i64);
        drop(placed);
        if !commits {
            gone.iter().for_each(|(_, p)| p.alive.store(false, Ordering::SeqCst));
        }
        let (done, wait) = sync_channel(self.workers.len());
        let mut waiting = 0;
        for (index, w) in self.workers.iter().enumerate() {
            let mine = gone.iter().filter(|(_, p)| p.worker == index);
            let partitions: Vec<TopicPartition> = mine.map(|(tp, _)| tp.clone()).collect();
            if !partitions.is_empty() {
                waiting += 1;
                w.wake.send(Message::Revoked { partitions, commits, done: done.clone() });
            }
        }
        let deadline = Instant::now() + self.revoke_timeout;
        for _ in 0..waiting {
            let left = deadline.saturating_duration_since(Instant::now());
            if wait.recv_timeout(left).is_err() {
                tracing::warn!(
                    "a worker did not answer a revocation in time; it may not commit for those \
                     partitions any more"
                );
                break;
            }
        }
        // Whatever a worker still does for these partitions, it may do nothing but come back.
        gone.iter().for_each(|(_, p)| p.alive.store(false, Ordering::SeqCst));
    }
}
