//! Processes with the real worker, over servers in memory that share paused time.

use std::cell::Cell;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use crate::clients::kafka::Generation;
use crate::common::clock::Now;
use crate::common::config::{ArchiveConfig, Config};
use crate::common::health::WorkerName;
use crate::common::metrics::Metrics;
use crate::engine::archive::open::OpenFiles;
use crate::engine::topics::{Role, SourceLists};
use crate::engine::worker::env::{self, Env};
use crate::engine::worker::fetching::Dormancy;
use crate::engine::worker::inbox::{Added, Message, Wake, WorkerView};
use crate::engine::worker::lives::oracle::{Visible, check, explain, is_whole, settle_all};
use crate::engine::worker::lives::topics::{MERGED, SHAPE, Shape, UNFIT, all, tp};
use crate::engine::worker::round::Worker;
use crate::engine::worker::slot_pool::SlotPool;
use crate::fakes::brokers::Brokers;
use crate::fakes::network::{Failure, LATE, Network};
use crate::fakes::store::Memory;
use crate::pure::layout::bad::{MaxBad, Most};
use crate::pure::layout::format::{Rows, TextPolicy};
use crate::pure::layout::rules::{RecordRules, Tombstones};
use crate::pure::protocol::OnGap;
use crate::pure::record::TopicPartition;

/// Counts by source partition, and merged.
pub(super) static CONFIGS: LazyLock<[Config; 2]> =
    LazyLock::new(|| ["partition", "merged"].map(config));

/// The sources' archives by their shapes.
static SHAPED: LazyLock<Vec<(Shape, Arc<ArchiveConfig>)>> = LazyLock::new(|| {
    let of = |shape: Shape| {
        let usual = "archive = { path = \"{topic}/dt=%F/hr=%H\" }";
        let keys = shape.keys();
        let path = "path = \"{topic}/dt=%F/hr=%H\", ";
        let path = if keys.starts_with("path") { "" } else { path };
        let text = text("merged").replace("codec = \"none\"\n", "");
        let text = text.replace(usual, &format!("archive = {{ {path}{keys} }}"));
        let config = Config::parse(&text, Some("i")).expect("a good configuration");
        (shape, config.mappings[0].archive.clone().expect("it archives"))
    };
    Shape::OTHERS.map(of).into()
});

pub(super) fn config(scope: &str) -> Config {
    Config::parse(&text(scope), Some("i")).expect("a good configuration")
}

fn text(scope: &str) -> String {
    let text = r#"
[kafka]
bootstrap_servers = "b:9092"
group_id = "g"
[archive]
root = "file:///nowhere"
format = "jsonl"
codec = "none"
roll = { age = "1s" }
[mapping.m]
topics = ["in"]
archive = { path = "{topic}/dt=%F/hr=%H" }
[mapping.m.wordcount]
output_topic = "out"
window = "10s"
time = "record"
"#;
    let partials = if scope == "merged" { "partials = { partitions = 1 }" } else { "" };
    format!("{text}scope = {scope:?}\n{partials}\n")
}

/// What is done to the processes, apart from the failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Plot {
    /// One process, from beginning to end.
    Alone,
    /// It is told to stop; another one takes its place.
    Stop,
    /// The same, and a rebalance takes everything away while it stops.
    StopAndLose,
    /// Another one joins, and all partitions are dealt out anew, as with the range assignor.
    Join,
    /// Another one joins and gets one partition of each topic, as with cooperative-sticky.
    JoinSticky,
}

pub(super) const ROOT: &str = "root-id";
pub(super) const STEP: Duration = Duration::from_millis(200);
/// After this a group has missed a dead or sleeping member.
pub(super) const SESSION: Duration = Duration::from_secs(10);

thread_local! {
    static EPOCH: Cell<Option<Instant>> = const { Cell::new(None) };
    /// Partitions that may fetch at a time; fewer than there are, so that some have to wait.
    pub(super) static SLOTS: Cell<usize> = const { Cell::new(2) };
    /// The age at which files end, if it is not that of the configuration.
    pub(super) static AGE: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Paused time as the worker's clock.
pub(super) fn clock() -> Now {
    let instant = tokio::time::Instant::now().into_std();
    let epoch = EPOCH.get().expect("set at the start of a life");
    let millis = 1_800_000_000_000 + instant.duration_since(epoch).as_millis() as i64;
    Now { instant, millis }
}

pub(super) struct Process {
    pub(super) worker: Worker,
    pub(super) wake: Wake,
    pub(super) network: Network,
    pub(super) owns: Vec<TopicPartition>,
    pub(super) ended: bool,
}

pub(super) struct World {
    pub(super) brokers: Brokers,
    pub(super) store: Memory,
    pub(super) processes: Vec<Process>,
    pub(super) plan: Option<(usize, Failure)>,
    pub(super) on_gap: OnGap,
    pub(super) visible: Visible,
}

/// What a process works with.
pub(super) fn env(brokers: &Brokers, registry: &prometheus::Registry) -> Env {
    let sources = SourceLists::default();
    sources.set("m", vec![tp("in", 0), tp("in", 1)]);
    Env {
        paused: Arc::default(),
        sources: Arc::new(sources),
        metrics: Arc::new(Metrics::new(registry)),
        positions: Arc::new(brokers.clone()),
        runtime: tokio::runtime::Handle::current(),
        registry: None,
        // Longer than a roll, so that either position may be ahead of the other.
        commit_interval: Duration::from_secs(2),
        jitter: 0,
        dormancy: Dormancy { many: usize::MAX, after: Duration::MAX },
        memory: Arc::new(env::Memory::new(1 << 30, 1)),
        slots: Arc::new(SlotPool::new(SLOTS.get() << 20, 1 << 20)),
        open_files: OpenFiles::default(),
        fatal: Arc::new(|reason| panic!("{reason}")),
        fetch_anew: Arc::new(|_| panic!("no seek was refused")),
        give_again: Arc::new(|_| panic!("no seek was refused")),
        repair: "repair".into(),
        clock,
        board: Arc::default(),
    }
}

/// What a topic is for.
pub(super) fn role(topic: &str, store: &Memory) -> Role {
    let config = &CONFIGS[usize::from(MERGED.get())];
    let store = Arc::new(store.clone());
    let mut role = Role::of(config, topic, |_| Some((store, ROOT.into()))).expect("a mapping's");
    if let Some((_, shaped)) = SHAPED.iter().find(|(shape, _)| *shape == SHAPE.get())
        && topic == "in"
    {
        role.archive = Some(Arc::clone(shaped));
    }
    if let (Some(archive), Shape::Values, "in") = (&mut role.archive, SHAPE.get(), topic) {
        // Attempts end in the midst of a batch.
        Arc::make_mut(archive).roll.size_bytes = 200;
    }
    if let (Some(archive), Some(age)) = (&mut role.archive, AGE.get()) {
        Arc::make_mut(archive).roll.age = age;
    }
    if let (Some(archive), Some(on_bad_record), "in") = (&mut role.archive, UNFIT.get(), topic) {
        let rows = Rows::Json { key: TextPolicy::Auto };
        let tombstones = Tombstones::Keep;
        Arc::make_mut(archive).rules =
            RecordRules { rows, tombstones, on_bad_record, registered: None };
        // As many as a partition has: what is read again after a failure counts once.
        let (most, within) = (Most::Records(8), Duration::from_hours(1));
        Arc::make_mut(archive).max_bad = Some(MaxBad { most, within });
    }
    role
}

impl World {
    pub(super) fn new(plan: Option<(usize, Failure)>) -> World {
        let brokers = Brokers::default();
        for tp in all() {
            let _ = brokers.lock().logs.entry(tp).or_default();
        }
        let (store, visible) = (Memory::default(), Visible::default());
        let (processes, on_gap) = (Vec::new(), OnGap::Stop);
        World { brokers, store, processes, plan, on_gap, visible }
    }

    /// A new process; the first one's network is the bad one.
    pub(super) fn start(&mut self) -> usize {
        let network = match self.plan.filter(|_| self.processes.is_empty()) {
            Some((k, how)) => Network::failing(k, how),
            None => Network::default(),
        };
        self.start_over(network)
    }

    /// A new process over this network.
    pub(super) fn start_over(&mut self, network: Network) -> usize {
        let brokers = self.brokers.over(&network);
        let env = env(&brokers, &prometheus::Registry::new());
        let transactions = Box::new(brokers.transactions());
        let name = WorkerName { mapping: "m".into(), number: 0 };
        let (worker, wake) = Worker::new(name, env, transactions, Arc::new(WorkerView::default()));
        self.processes.push(Process { worker, wake, network, owns: Vec::new(), ended: false });
        self.processes.len() - 1
    }

    pub(super) fn next_generation(&self) -> Arc<Generation> {
        self.brokers.lock().generation += 1;
        self.generation()
    }

    /// The one that there is.
    pub(super) fn generation(&self) -> Arc<Generation> {
        Arc::new(Generation::fake(self.brokers.lock().generation, "member"))
    }

    pub(super) fn give(
        &mut self,
        to: usize,
        generation: &Arc<Generation>,
        partitions: &[TopicPartition],
    ) {
        let p = &mut self.processes[to];
        let brokers = self.brokers.over(&p.network);
        let added = partitions.iter().map(|tp| Added {
            tp: tp.clone(),
            role: Role { on_gap: self.on_gap, ..role(&tp.topic, &self.store.over(&p.network)) },
            source: Box::new(brokers.source(tp)),
            alive: Arc::new(true.into()),
            gauges: Arc::new(p.worker.env.metrics.partition(tp)),
        });
        let added = added.collect();
        p.owns.extend_from_slice(partitions);
        p.wake.send(Message::Assigned { generation: Arc::clone(generation), added });
    }

    pub(super) fn take(&mut self, from: usize, partitions: &[TopicPartition], commits: bool) {
        self.end(from, partitions, commits, false);
    }

    /// An assignment ends; `for_good`: because no mapping names the topics any more.
    pub(super) fn end(
        &mut self,
        from: usize,
        partitions: &[TopicPartition],
        commits: bool,
        for_good: bool,
    ) {
        let p = &mut self.processes[from];
        p.owns.retain(|tp| !partitions.contains(tp));
        let (done, _wait) = sync_channel(1);
        let partitions = partitions.to_vec();
        p.wake.send(Message::Revoked { partitions, for_good, commits, done });
    }

    /// Everybody who lives makes a step.
    pub(super) async fn step(&mut self) {
        for p in &mut self.processes {
            if !p.ended && !p.network.is_dead() && !p.network.is_paused() {
                p.ended = p.worker.round().is_none();
            }
        }
        tokio::time::sleep(STEP).await;
        self.visible.check(&self.store);
    }

    pub(super) async fn steps(&mut self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            self.step().await;
        }
    }

    /// The group misses a process that died or is paused, and gives its partitions to another.
    pub(super) async fn replace_dead(&mut self) {
        let gone = self.processes.iter().position(|p| {
            !p.owns.is_empty() && !p.ended && (p.network.is_dead() || p.network.is_paused())
        });
        let Some(gone) = gone else { return };
        let owned = std::mem::take(&mut self.processes[gone].owns);
        self.steps(SESSION).await;
        let successor = (0..self.processes.len()).rfind(|i| {
            let p = &self.processes[*i];
            *i != gone && !p.ended && !p.network.is_dead() && !p.network.is_paused()
        });
        let successor = successor.unwrap_or_else(|| self.start());
        let generation = self.next_generation();
        self.give(successor, &generation, &owned);
        self.steps(Duration::from_secs(2)).await;
        if self.processes[gone].network.is_paused() {
            // The zombie goes on with what it believes, before it is told of its loss.
            self.processes[gone].network.resume();
            self.steps(Duration::from_secs(5)).await;
            self.take(gone, &owned, false);
            self.steps(Duration::from_secs(1)).await;
            self.processes[gone].network.kill();
            self.processes[gone].ended = true;
        }
    }

    /// Waits until everything is there, and compares it with the input.
    pub(super) async fn finish(&mut self) {
        let started = tokio::time::Instant::now();
        while !is_whole(&self.brokers, &self.store) {
            self.replace_dead().await;
            self.steps(Duration::from_secs(1)).await;
            if Duration::from_secs(300) < started.elapsed() {
                let there_is = explain(&self.brokers, &self.store);
                panic!("five minutes later something is still missing:\n{there_is}");
            }
        }
        // A stop leaves nothing behind, and what was still under way does no harm.
        self.replace_dead().await;
        self.steps(LATE).await;
        for who in 0..self.processes.len() {
            if !self.processes[who].ended && !self.processes[who].network.is_dead() {
                let wait = self.drain(who);
                self.drained(who, &wait).await;
            }
        }
        if self.plan.is_some_and(|(_, how)| how == Failure::Late) {
            // A file that was created after its author had given it up is deleted when the staging
            // directory is read again.
            settle_all(&self.store).await;
        }
        check(&self.brokers, &self.store);
    }

    pub(super) fn drain(&mut self, who: usize) -> std::sync::mpsc::Receiver<bool> {
        let (done, wait) = sync_channel(1);
        let timeout = Duration::from_secs(30);
        self.processes[who].wake.send(Message::Drain { done, timeout });
        wait
    }

    pub(super) async fn drained(&mut self, who: usize, wait: &std::sync::mpsc::Receiver<bool>) {
        loop {
            self.step().await;
            let p = &self.processes[who];
            if p.network.is_dead() || p.network.is_paused() || wait.try_recv().is_ok() {
                return;
            }
        }
    }

    pub(super) async fn act(&mut self, plot: Plot) {
        let first = 0;
        match plot {
            Plot::Alone => {}
            Plot::Stop | Plot::StopAndLose => {
                let wait = self.drain(first);
                if plot == Plot::StopAndLose {
                    self.step().await;
                    let owned = self.processes[first].owns.clone();
                    self.take(first, &owned, false);
                    self.processes[first].owns = owned;
                }
                self.drained(first, &wait).await;
                let p = &self.processes[first];
                if !p.network.is_dead() && !p.network.is_paused() {
                    let owned = p.owns.clone();
                    self.take(first, &owned, true);
                    self.step().await;
                    self.processes[first].wake.send(Message::End);
                    let generation = self.next_generation();
                    let next = self.start();
                    self.give(next, &generation, &owned);
                }
            }
            Plot::Join | Plot::JoinSticky => {
                let eager = plot == Plot::Join;
                let next = self.start();
                let moving: Vec<TopicPartition> = all().split_off(1);
                let lost = if eager { all() } else { moving.clone() };
                if !self.processes[first].owns.is_empty() {
                    self.take(first, &lost, eager);
                    self.step().await;
                    let generation = self.next_generation();
                    if eager {
                        self.give(first, &generation, &[tp("in", 0)]);
                    } else {
                        self.give(first, &generation, &[]);
                    }
                    self.give(next, &generation, &moving);
                }
            }
        }
    }
}

/// Lines of input: 2 partitions, 4 batches of 3 lines each.
pub(super) fn feed(world: &World, batch: i64) {
    for partition in 0..2 {
        for i in 0..3 {
            let n = batch * 3 + i;
            let line = format!("all even{} p{partition} n{n}", n % 2);
            let line = match SHAPE.get() {
                Shape::Lines => line,
                shape => shape.value(&line, n % 4 != 1 && batch != 2),
            };
            // In one batch nothing fits.
            let fits = UNFIT.get().is_some() && n % 2 == 0 && batch != 2;
            let line = if fits { format!("[\"{line}\"]") } else { line };
            // One window in two, and a directory of its own for every batch.
            let millis = 1_700_000_000_000 + batch * 3_600_000 + i * 4_000;
            world.brokers.produce(&tp("in", partition), millis, &line);
        }
    }
}

pub(super) fn in_paused_time<T>(life: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let result = runtime.block_on(async {
        EPOCH.set(Some(tokio::time::Instant::now().into_std()));
        life.await
    });
    runtime.shutdown_background();
    result
}
