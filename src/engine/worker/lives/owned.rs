//! What others see of the partitions that a pool of workers owns, and of those that it does not own
//! any more.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::Registry;
use prometheus::proto::Metric;

use crate::clients::kafka::OffsetCommit;
use crate::clients::kafka::transaction::CommitTimes;
use crate::clients::kafka::{
    Assignments as _, Commit, Generation, Outgoing, Source, TransactionError,
};
use crate::common::clock::Now;
use crate::engine::topics::Role;
use crate::engine::worker::lives::topics::{MERGED, tp};
use crate::engine::worker::lives::world::{env, role};
use crate::engine::worker::{Dormancy, Env, Paused, Pool, PoolSetup};
use crate::fakes::brokers::Brokers;
use crate::fakes::store::Memory;
use crate::pure::record::{Offset, TopicPartition};

thread_local! {
    /// The transactions of mapping m do not come back for a while.
    static HANGS: Cell<bool> = const { Cell::new(false) };
}

/// Transactions whose brokers do not answer.
struct Hanging;

const HANG: Duration = Duration::from_secs(10);

impl Commit for Hanging {
    fn largest_value(&self) -> usize {
        usize::MAX
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        std::thread::sleep(HANG);
        Err(TransactionError::Doubt { step: "begin", detail: "planted".into() })
    }
    fn send(&mut self, _: &Outgoing<'_>) -> Result<(), TransactionError> {
        unreachable!("nothing was begun")
    }
    fn commit(
        &mut self,
        _: &[OffsetCommit],
        _: &Generation,
        _: &dyn Fn() -> bool,
    ) -> Result<CommitTimes, TransactionError> {
        unreachable!("nothing was begun")
    }
    fn give_up(&mut self) {}
}

fn pool(registry: &Registry, brokers: &Brokers) -> Pool {
    pool_and_pauses(registry, brokers, NEVER).0
}

const NEVER: Dormancy = Dormancy { many: usize::MAX, after: Duration::MAX };

/// The pool, and what pauses its mappings.
fn pool_and_pauses(
    registry: &Registry,
    brokers: &Brokers,
    dormancy: Dormancy,
) -> (Pool, Arc<Paused>) {
    let store = Memory::default();
    MERGED.set(true);
    let mut roles: Vec<_> = ["in", "g-m-partials"].map(|t| (t, role(t, &store))).into();
    roles.push(("other", Role { mapping: "other".into(), ..role("in", &store) }));
    MERGED.set(false);
    let env = Env { clock: Now::read, dormancy, ..env(brokers, registry) };
    let paused = Arc::clone(&env.paused);
    let role = move |topic: &str| roles.iter().find(|(t, _)| *t == topic).map(|r| r.1.clone());
    let brokers = brokers.clone();
    let setup = PoolSetup {
        role: Box::new(role),
        workers_per_mapping: Box::new(|| 1),
        transactions: Box::new(move |mapping, _| match mapping {
            "m" if HANGS.get() => Box::new(Hanging),
            _ => Box::new(brokers.transactions()),
        }),
        revoke_timeout: Duration::from_secs(5),
    };
    (Pool::new(env, setup), paused)
}

fn assign(pool: &Pool, brokers: &Brokers, all: &[TopicPartition]) {
    brokers.lock().generation = 1;
    let source = |tp: &TopicPartition| Box::new(brokers.source(tp)) as Box<dyn Source>;
    let added = all.iter().map(|tp| (tp.clone(), source(tp))).collect();
    pool.assign(&Arc::new(Generation::fake(1, "member")), added);
}

fn eventually(what: &str, is: impl Fn() -> bool) {
    let started = Instant::now();
    while !is() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a series is of this partition.
fn is_of(series: &Metric, of: &TopicPartition) -> bool {
    let partition = of.partition.to_string();
    let labels: Vec<(&str, &str)> =
        series.get_label().iter().map(|l| (l.name(), l.value())).collect();
    labels.contains(&("topic", &*of.topic)) && labels.contains(&("partition", &*partition))
}

/// Names of the series of one partition.
fn series(registry: &Registry, of: &TopicPartition) -> Vec<String> {
    let families = registry.gather();
    let mine = families.iter().filter(|f| f.get_metric().iter().any(|m| is_of(m, of)));
    mine.map(|f| f.name().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_position_has_no_lag_and_what_is_taken_away_has_no_series() {
    let (registry, brokers) = (Registry::new(), Brokers::default());
    let pool = pool(&registry, &brokers);
    let (source, partials) = (tp("in", 0), tp("g-m-partials", 0));
    brokers.produce(&source, 1_700_000_000_000, "one two");
    assign(&pool, &brokers, &[source.clone(), partials.clone()]);
    eventually("status of both", || {
        let status = pool.status();
        status.len() == 2 && status.iter().all(|s| s.results.is_some() || s.topic != "in")
    });
    assert!(pool.status().iter().all(|s| s.end.is_none()), "nobody has asked for an end yet");

    pool.refresh_ends(|_| Some(Offset(9)), 0);
    assert!(pool.status().iter().all(|s| s.end == Some(9)));
    let has = |of, name: &str| series(&registry, of).iter().any(|s| s == name);
    eventually("a lag", || has(&source, "alluvium_archive_lag_records"));
    assert!(!has(&partials, "alluvium_archive_lag_records"), "it has no archive");
    assert!(!has(&partials, "alluvium_archive_position"), "it has no archive");

    let before = pool.status();
    // Taken away while the brokers are asked.
    let end = |tp: &TopicPartition| {
        pool.revoked(std::slice::from_ref(tp), false);
        Some(Offset(10))
    };
    pool.refresh_ends(end, 0);
    before.iter().for_each(|s| pool.set_headroom(s, 60));
    for tp in [&source, &partials] {
        eventually("the end of all series", || series(&registry, tp).is_empty());
    }
    assert!(pool.end(Duration::from_secs(5)));
}

/// The value of a partition's series.
fn value(registry: &Registry, name: &str, of: &TopicPartition) -> Option<f64> {
    let families = registry.gather();
    let family = families.iter().find(|f| f.name() == name)?;
    let mine = family.get_metric().iter().find(|m| is_of(m, of))?;
    Some(mine.get_gauge().get_value())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_operators_see_of_a_partition_has_the_value_that_it_says() {
    let (registry, brokers) = (Registry::new(), Brokers::default());
    let (pool, paused) = pool_and_pauses(&registry, &brokers, NEVER);
    let (source, partials) = (tp("in", 0), tp("g-m-partials", 0));
    brokers.produce(&source, 1_700_000_000_000, "one two");
    assign(&pool, &brokers, &[source.clone(), partials.clone()]);
    let is = |name: &str, of: &TopicPartition, wanted: f64| {
        let name = format!("alluvium_{name}");
        let what = format!("{name} of {of} = {wanted}");
        eventually(&what, || value(&registry, &name, of) == Some(wanted));
    };
    is("results_position", &source, 1.0);
    // The other source says nothing, so that the window of the only record waits for it.
    is("merge_open_windows", &partials, 1.0);
    is("partition_paused", &source, 0.0);
    let _ = paused.set("m", true);
    is("partition_paused", &source, 1.0);
    let _ = paused.set("m", false);
    is("partition_paused", &source, 0.0);

    let status = pool.status();
    let of_source = status.iter().find(|s| s.topic == "in").expect("it is owned");
    pool.set_headroom(of_source, 60);
    is("retention_headroom_seconds", &source, 60.0);
    pool.refresh_ends(|_| Some(Offset(1)), 0);
    for now in [1_000, 31_000] {
        pool.refresh_full_ends(|all| Some(vec![Offset(3); all.len()]), now);
    }
    is("open_transaction_seconds", &source, 30.0);
    assert!(pool.end(Duration::from_secs(5)));
}

/// Both have records; the brokers do not answer the transactions of one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapping_goes_on_while_the_transactions_of_another_hang() {
    HANGS.set(true);
    let (registry, brokers) = (Registry::new(), Brokers::default());
    let pool = pool(&registry, &brokers);
    let (hangs, goes_on) = (tp("in", 0), tp("other", 0));
    for tp in [&hangs, &goes_on] {
        brokers.produce(tp, 1_700_000_000_000, "one two");
    }
    // The closure asks on this thread, where the flag is set.
    assign(&pool, &brokers, &[hangs.clone(), goes_on.clone()]);
    assert_eq!(pool.workers().len(), 2, "a worker serves one mapping");
    let started = Instant::now();
    let committed = |tp: &TopicPartition| brokers.lock().committed.get(tp).map(|(o, _)| *o);
    eventually("a commit of the other mapping", || committed(&goes_on) == Some(Offset(1)));
    assert!(started.elapsed() < HANG, "it waited for {:?}", started.elapsed());
    assert_eq!(committed(&hangs), None);
    let _ = pool.end(Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_of_a_mapping_share_its_workers_and_an_idle_one_comes_first() {
    let (registry, brokers) = (Registry::new(), Brokers::default());
    let pool = pool(&registry, &brokers);
    assign(&pool, &brokers, &[tp("in", 0), tp("in", 1), tp("other", 0)]);
    let of = |pool: &Pool| pool.workers().iter().map(|w| w.mapping.clone()).collect::<Vec<_>>();
    assert_eq!(of(&pool), ["m", "other"]);
    pool.revoked(&[tp("other", 0)], false);
    assign(&pool, &brokers, &[tp("other", 1)]);
    assert_eq!(of(&pool), ["m", "other"], "the idle worker is used again");
    assert!(pool.end(Duration::from_secs(5)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_fetched_is_read_as_soon_as_its_log_has_grown_or_may_have() {
    let (registry, brokers) = (Registry::new(), Brokers::default());
    let dormancy = Dormancy { many: 3, after: Duration::from_millis(100) };
    let (pool, paused) = pool_and_pauses(&registry, &brokers, dormancy);
    let all = [0, 1, 2].map(|p| tp("other", p));
    let produce = |tp: &TopicPartition| brokers.produce(tp, 1_700_000_000_000, "one two");
    all.iter().for_each(produce);
    assign(&pool, &brokers, &all);
    let committed = |tp: &TopicPartition| brokers.lock().committed.get(tp).map(|(o, _)| *o);
    let grown = Cell::new([1; 3]);
    let dormant = || {
        let asked = Cell::new(0);
        pool.refresh_dormant(|names| {
            asked.set(names.len());
            Some(names.iter().map(|tp| Offset(grown.get()[tp.partition as usize])).collect())
        });
        asked.get()
    };
    eventually("sleep", || dormant() == 3);
    assert_eq!(pool.metrics().dormant.get(), 3);
    // What was read before is committed meanwhile.
    eventually("commits", || all.iter().all(|tp| committed(tp) == Some(Offset(1))));
    eventually("sleep", || dormant() == 3);

    produce(&all[1]);
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(committed(&all[1]), Some(Offset(1)), "nobody has said that there is more");
    grown.set([1, 2, 1]);
    eventually("the record", || dormant() < 4 && committed(&all[1]) == Some(Offset(2)));

    // A pause and its end leave everything as it was.
    eventually("sleep again", || dormant() == 3);
    for is in [true, false] {
        let _ = paused.set("other", is);
        std::thread::sleep(Duration::from_millis(1_200));
    }
    produce(&all[2]);
    grown.set([1, 2, 2]);
    eventually("its record", || dormant() < 4 && committed(&all[2]) == Some(Offset(2)));

    // Nobody knows the ends.
    eventually("sleep once more", || dormant() == 3);
    produce(&all[0]);
    pool.refresh_dormant(|_| None);
    eventually("the last record", || committed(&all[0]) == Some(Offset(2)));

    // What is taken away is not asked for.
    eventually("sleep at last", || dormant() == 3);
    pool.revoked(&all[..1], false);
    eventually("the others", || dormant() == 2);
    assert!(pool.end(Duration::from_secs(5)));
}
