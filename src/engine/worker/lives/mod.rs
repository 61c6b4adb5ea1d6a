//! The real worker over servers in memory that go wrong at call k, for every k, in every way, under
//! paused time. What came out is compared with the input: each record archived once, each word
//! counted once, nothing left in staging.

mod oracle;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use crate::clients::kafka::Generation;
use crate::common::config::Config;
use crate::common::metrics::Metrics;
use crate::engine::topics::Role;
use crate::engine::worker::{Added, Env, Message, Now, Seen, SourceLists, Wake, Worker};
use crate::fakes::brokers::Brokers;
use crate::fakes::network::{Failure, LATE, Line};
use crate::fakes::store::Memory;
use crate::pure::fault::{Fault, PLANTED};
use crate::pure::record::TopicPartition;

/// Counts by source partition, and merged.
static CONFIGS: LazyLock<[Config; 2]> = LazyLock::new(|| ["partition", "merged"].map(config));

fn config(scope: &str) -> Config {
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
    let text = format!("{text}scope = {scope:?}\n{partials}\n");
    Config::parse(&text, Some("i")).expect("a good configuration")
}

/// What is done to the processes, apart from the failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plot {
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

const ROOT: &str = "root-id";
const STEP: Duration = Duration::from_millis(200);
/// After this a group has missed a dead or sleeping member.
const SESSION: Duration = Duration::from_secs(10);

thread_local! {
    static EPOCH: Cell<Option<Instant>> = const { Cell::new(None) };
    static MERGED: Cell<bool> = const { Cell::new(false) };
}

/// Paused time as the worker's clock.
fn clock() -> Now {
    let instant = tokio::time::Instant::now().into_std();
    let epoch = EPOCH.get().expect("set at the start of a life");
    let millis = 1_800_000_000_000 + instant.duration_since(epoch).as_millis() as i64;
    Now { instant, millis }
}

struct Process {
    worker: Worker,
    wake: Wake,
    line: Line,
    owns: Vec<TopicPartition>,
    ended: bool,
}

struct World {
    brokers: Brokers,
    store: Memory,
    processes: Vec<Process>,
    plan: Option<(usize, Failure)>,
    visible: oracle::Visible,
}

fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}

fn all() -> Vec<TopicPartition> {
    let mut all = vec![tp("in", 0), tp("in", 1), tp("out", 0)];
    if MERGED.get() {
        all.push(tp("g-m-partials", 0));
    }
    all
}

impl World {
    fn new(plan: Option<(usize, Failure)>) -> World {
        let brokers = Brokers::default();
        for tp in all() {
            let _ = brokers.lock().logs.entry(tp).or_default();
        }
        let (store, visible) = (Memory::default(), oracle::Visible::default());
        World { brokers, store, processes: Vec::new(), plan, visible }
    }

    /// A new process; the first one's line is the bad one.
    fn start(&mut self) -> usize {
        let line = match self.plan.filter(|_| self.processes.is_empty()) {
            Some((k, how)) => Line::failing(k, how),
            None => Line::default(),
        };
        let brokers = self.brokers.over(&line);
        let sources = SourceLists::default();
        sources.set("m", vec![tp("in", 0), tp("in", 1)]);
        let env = Env {
            paused: Arc::default(),
            sources: Arc::new(sources),
            metrics: Arc::new(Metrics::new(&prometheus::Registry::new())),
            positions: Arc::new(brokers.clone()),
            runtime: tokio::runtime::Handle::current(),
            // Longer than a roll, so that either position may be ahead of the other.
            commit_interval: Duration::from_secs(2),
            memory_bytes: 1 << 30,
            fatal: Arc::new(|reason| panic!("{reason}")),
            rejoin: Arc::new(|| panic!("no seek was refused")),
            repair: "repair".into(),
            clock,
        };
        let transactions = Box::new(brokers.transactions());
        let (worker, wake) = Worker::new(0, env, transactions, Arc::new(Seen::default()));
        self.processes.push(Process { worker, wake, line, owns: Vec::new(), ended: false });
        self.processes.len() - 1
    }

    fn next_generation(&self) -> Arc<Generation> {
        let mut state = self.brokers.lock();
        state.generation += 1;
        Arc::new(Generation::fake(state.generation, "member"))
    }

    fn give(&mut self, to: usize, generation: &Arc<Generation>, partitions: &[TopicPartition]) {
        let p = &mut self.processes[to];
        let brokers = self.brokers.over(&p.line);
        let added = partitions.iter().map(|tp| Added {
            tp: tp.clone(),
            role: Role::of(&CONFIGS[usize::from(MERGED.get())], &tp.topic, |_| {
                Some((Arc::new(self.store.over(&p.line)), ROOT.into()))
            })
            .expect("mapped"),
            source: Box::new(brokers.source(tp)),
            alive: Arc::new(true.into()),
        });
        let added = added.collect();
        p.owns.extend_from_slice(partitions);
        p.wake.send(Message::Assigned { generation: Arc::clone(generation), added });
    }

    fn take(&mut self, from: usize, partitions: &[TopicPartition], commits: bool) {
        let p = &mut self.processes[from];
        p.owns.retain(|tp| !partitions.contains(tp));
        let (done, _wait) = sync_channel(1);
        p.wake.send(Message::Revoked { partitions: partitions.to_vec(), commits, done });
    }

    /// Everybody who lives makes a step.
    async fn step(&mut self) {
        for p in &mut self.processes {
            if !p.ended && !p.line.is_dead() && !p.line.is_paused() {
                p.ended = p.worker.round().is_none();
            }
        }
        tokio::time::sleep(STEP).await;
        self.visible.check(&self.store);
    }

    async fn steps(&mut self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            self.step().await;
        }
    }

    /// The group misses a process that died or stands still, and gives its partitions to another.
    async fn mourn(&mut self) {
        let gone = self.processes.iter().position(|p| {
            !p.owns.is_empty() && !p.ended && (p.line.is_dead() || p.line.is_paused())
        });
        let Some(gone) = gone else { return };
        let owned = std::mem::take(&mut self.processes[gone].owns);
        self.steps(SESSION).await;
        let heir = (0..self.processes.len()).rfind(|i| {
            let p = &self.processes[*i];
            *i != gone && !p.ended && !p.line.is_dead() && !p.line.is_paused()
        });
        let heir = heir.unwrap_or_else(|| self.start());
        let generation = self.next_generation();
        self.give(heir, &generation, &owned);
        self.steps(Duration::from_secs(2)).await;
        if self.processes[gone].line.is_paused() {
            // The zombie wakes, and goes on with what it believes, before it hears of its loss.
            self.processes[gone].line.resume();
            self.steps(Duration::from_secs(5)).await;
            self.take(gone, &owned, false);
            self.steps(Duration::from_secs(1)).await;
            self.processes[gone].line.kill();
            self.processes[gone].ended = true;
        }
    }

    fn drain(&mut self, who: usize) -> std::sync::mpsc::Receiver<bool> {
        let (done, wait) = sync_channel(1);
        let timeout = Duration::from_secs(30);
        self.processes[who].wake.send(Message::Drain { done, timeout });
        wait
    }

    async fn drained(&mut self, who: usize, wait: &std::sync::mpsc::Receiver<bool>) {
        loop {
            self.step().await;
            let p = &self.processes[who];
            if p.line.is_dead() || p.line.is_paused() || wait.try_recv().is_ok() {
                return;
            }
        }
    }

    async fn act(&mut self, plot: Plot) {
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
                if !p.line.is_dead() && !p.line.is_paused() {
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

/// Lines of input: 2 partitions, 4 helpings of 3 lines each.
fn feed(world: &World, helping: i64) {
    for partition in 0..2 {
        for i in 0..3 {
            let n = helping * 3 + i;
            let line = format!("all even{} p{partition} n{n}", n % 2);
            // One window in two, and a directory of its own for every helping.
            let millis = 1_700_000_000_000 + helping * 3_600_000 + i * 4_000;
            world.brokers.produce(&tp("in", partition), millis, &line);
        }
    }
}

/// A whole life with one failure; how many calls the first process made, and what call k was.
fn live(plot: Plot, plan: Option<(usize, Failure)>) -> (usize, Option<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let result = runtime.block_on(async {
        EPOCH.set(Some(tokio::time::Instant::now().into_std()));
        let mut world = World::new(plan);
        let first = world.start();
        let generation = world.next_generation();
        world.give(first, &generation, &all());
        feed(&world, 0);
        world.steps(Duration::from_millis(1_500)).await;
        feed(&world, 1);
        world.steps(Duration::from_millis(700)).await;
        feed(&world, 2);
        world.steps(Duration::from_millis(1_300)).await;
        world.act(plot).await;
        feed(&world, 3);
        let began = tokio::time::Instant::now();
        while !oracle::is_whole(&world.brokers, &world.store) {
            world.mourn().await;
            world.steps(Duration::from_secs(1)).await;
            if Duration::from_secs(300) < began.elapsed() {
                let there_is = oracle::explain(&world.brokers, &world.store);
                panic!("five minutes later something is still missing:\n{there_is}");
            }
        }
        // A stop leaves nothing behind, and what was still under way does no harm.
        world.mourn().await;
        world.steps(LATE).await;
        for who in 0..world.processes.len() {
            if !world.processes[who].ended && !world.processes[who].line.is_dead() {
                let wait = world.drain(who);
                world.drained(who, &wait).await;
            }
        }
        oracle::check(&world.brokers, &world.store);
        (world.processes[first].line.calls(), world.processes[first].line.hit())
    });
    runtime.shutdown_background();
    result
}

/// Breaks a rule on purpose: some life must show it.
fn finds(fault: Fault, plot: Plot, ways: &[Failure]) -> bool {
    let (calls, _) = live(plot, None);
    PLANTED.set(Some(fault));
    let silence = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let broken = [(0, Failure::Before)]
        .into_iter()
        .chain(ways.iter().flat_map(|how| (1..=calls).map(move |k| (k, *how))));
    let found =
        broken.map(Some).find(|plan| std::panic::catch_unwind(|| live(plot, *plan)).is_err());
    std::panic::set_hook(silence);
    PLANTED.set(None);
    found.is_some()
}

/// Every call of a life, in every way of going wrong.
fn every_call(plot: Plot) {
    let (calls, _) = live(plot, None);
    assert!(100 < calls, "a life of {calls} calls tests nothing");
    let mut hits: BTreeMap<String, usize> = BTreeMap::new();
    for how in Failure::ALL {
        for k in 1..=calls {
            let lived = std::panic::catch_unwind(|| live(plot, Some((k, how))));
            let (_, hit) = lived.unwrap_or_else(|_| panic!("{plot:?}: call {k} went {how:?}"));
            let what = hit.unwrap_or_default();
            let operation = what.split(' ').next().unwrap_or_default().to_string();
            *hits.entry(operation).or_default() += 1;
        }
    }
    for operation in ["commit", "begin", "stable", "rename", "delete", "create", "close", "list"] {
        assert!(hits.contains_key(operation), "{operation} never went wrong: {hits:?}");
    }
}

/// The same lives with the merge, which also reads what it has published itself.
#[test]
fn every_call_of_one_process_that_merges_goes_wrong() {
    MERGED.set(true);
    every_call(Plot::Alone);
}

#[test]
fn every_call_before_and_after_a_stop_of_a_merge_goes_wrong() {
    MERGED.set(true);
    every_call(Plot::Stop);
}

#[test]
fn every_call_before_and_after_a_join_with_a_merge_goes_wrong() {
    MERGED.set(true);
    every_call(Plot::JoinSticky);
}

#[test]
fn every_call_of_one_process_goes_wrong() {
    every_call(Plot::Alone);
}

#[test]
fn every_call_before_and_after_a_stop_goes_wrong() {
    every_call(Plot::Stop);
}

#[test]
fn every_call_around_a_stop_in_a_rebalance_goes_wrong() {
    every_call(Plot::StopAndLose);
}

#[test]
fn every_call_before_and_after_a_join_goes_wrong() {
    every_call(Plot::Join);
}

#[test]
fn every_call_before_and_after_a_cooperative_join_goes_wrong() {
    every_call(Plot::JoinSticky);
}

/// Faults whose harm needs two processes at odds at the same moment are the search's business.
#[test]
fn broken_rules_are_found() {
    use Failure::{After, Before, KillBefore, Late, Lied, PauseBefore};
    let missed: Vec<Fault> = [
        (Fault::StartAtP, Plot::Alone, &[KillBefore][..]),
        (Fault::StartAtA, Plot::Alone, &[KillBefore]),
        (Fault::CountBelowP, Plot::Alone, &[KillBefore]),
        (Fault::ArchiveBelowA, Plot::Alone, &[Before]),
        (Fault::CommitP, Plot::Alone, &[KillBefore]),
        (Fault::ExistsIsMine, Plot::Alone, &[PauseBefore]),
        (Fault::AdvanceOnTry, Plot::Alone, &[KillBefore, Late]),
        (Fault::SettleIgnoresNames, Plot::Alone, &[KillBefore]),
        (Fault::SettleBelowTailFrom, Plot::Alone, &[PauseBefore, KillBefore]),
        (Fault::NoVerify, Plot::Alone, &[Lied]),
        (Fault::ErrorIsAbort, Plot::Alone, &[After, Late]),
        (Fault::PublishFirst, Plot::Alone, &[]),
        (Fault::TrustMovedPosition, Plot::JoinSticky, &[]),
    ]
    .into_iter()
    .filter(|(fault, plot, ways)| !finds(*fault, *plot, ways))
    .map(|(fault, ..)| fault)
    .collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
