//! All workers of an instance: which partition goes to which, and waiting for them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prometheus::IntCounterVec;

use crate::clients::kafka::{Assignments, Commit, Generation, Queue, Source};
use crate::common::metrics::Metrics;
use crate::common::status::PartitionStatus;
use crate::engine::topics::Role;
use crate::engine::worker::{Added, Env, Message, Seen, Wake, Worker};
use crate::pure::record::{Offset, TopicPartition};

/// One worker's thread, from outside.
pub struct WorkerHandle {
    wake: Wake,
    pub seen: Arc<Seen>,
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
}

struct Placed {
    worker: usize,
    alive: Arc<AtomicBool>,
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
            let seen = Arc::new(Seen::default());
            let (worker, wake) = Worker::new(index, env.clone(), transactions, Arc::clone(&seen));
            let name = format!("worker-{index}");
            let thread = std::thread::Builder::new().name(name).spawn(move || worker.run())?;
            workers.push(WorkerHandle { wake, seen, thread: Mutex::new(Some(thread)) });
        }
        let placed = Mutex::default();
        Ok(Pool { workers, env, roles: Box::new(roles), revoke_timeout, placed })
    }

    pub fn workers(&self) -> &[WorkerHandle] {
        &self.workers
    }

    /// Asks for the ends of all logs that are owned, and sets the lags. Blocks.
    pub fn refresh_ends(&self, end: impl Fn(&TopicPartition) -> Option<Offset>) {
        let all: Vec<TopicPartition> =
            self.placed.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        let m = &self.env.metrics;
        for tp in all {
            let Some(end) = end(&tp) else { continue };
            let partition = tp.partition.to_string();
            let labels = [&*tp.topic, partition.as_str()];
            m.log_end_offset.with_label_values(&labels).set(end.0);
            for (position, lag) in
                [(&m.results_position, &m.results_lag), (&m.archive_position, &m.archive_lag)]
            {
                let position = position.with_label_values(&labels).get();
                lag.with_label_values(&labels).set((end.0 - position).max(0));
            }
        }
    }

    /// Whether a first assignment has come, and all of it is known to the workers.
    #[must_use]
    pub fn has_joined(&self) -> bool {
        let placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner).len();
        0 < self.env.metrics.rebalances.get() && self.status().len() == placed
    }

    /// Seconds until the brokers may delete what is not archived.
    pub fn set_headroom(&self, of: &PartitionStatus, seconds: i64) {
        let partition = of.partition.to_string();
        let gauge = &self.env.metrics.retention_headroom;
        gauge.with_label_values(&[&of.topic, &partition]).set(seconds);
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
        let placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
        let owned = |s: &PartitionStatus| {
            let tp = TopicPartition { topic: s.topic.as_str().into(), partition: s.partition };
            placed.contains_key(&tp)
        };
        let one = |w: &WorkerHandle| {
            w.seen.partitions.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        let mut all: Vec<PartitionStatus> =
            self.workers.iter().flat_map(one).filter(owned).collect();
        for s in &mut all {
            let partition = s.partition.to_string();
            let end = &self.env.metrics.log_end_offset;
            s.end = end.get_metric_with_label_values(&[&s.topic, &partition]).ok().map(|g| g.get());
        }
        all.sort_by(|a, b| {
            (&a.mapping, &a.topic, a.partition).cmp(&(&b.mapping, &b.topic, b.partition))
        });
        all
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
        let deadline = Instant::now() + timeout + Duration::from_secs(5);
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
            let thread = w.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
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
        let mut placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
        for (tp, source) in added {
            let Some(role) = (self.roles)(&tp.topic) else {
                tracing::error!(%tp, "the group assigned a partition that no mapping names");
                continue;
            };
            let load = |w: &usize| placed.values().filter(|p| p.worker == *w).count();
            let worker = (0..self.workers.len()).min_by_key(load).expect("at least one worker");
            let alive = Arc::new(AtomicBool::new(true));
            let _ = placed.insert(tp.clone(), Placed { worker, alive: Arc::clone(&alive) });
            shares[worker].push(Added { tp, role, source, alive });
        }
        self.env.metrics.assigned.set(placed.len() as i64);
        for (w, added) in self.workers.iter().zip(shares) {
            w.wake.send(Message::Assigned { generation: Arc::clone(generation), added });
        }
    }
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
        let added = added.into_iter().map(|(tp, q)| (tp, Box::new(q) as Box<dyn Source>)).collect();
        self.assign(&generation, added);
    }

    fn revoked(&self, partitions: &[TopicPartition], commits: bool) {
        let mut placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
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
