//! What others see of the partitions that a pool of workers owns, and of those that it does not own
//! any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::Registry;

use crate::clients::kafka::{Assignments as _, Generation, Source};
use crate::common::clock::Now;
use crate::engine::worker::lives::world::{MERGED, env, role, tp};
use crate::engine::worker::{Env, Pool};
use crate::fakes::brokers::Brokers;
use crate::fakes::store::Memory;
use crate::pure::record::{Offset, TopicPartition};

fn pool(registry: &Registry, brokers: &Brokers) -> Pool {
    let store = Memory::default();
    let roles: Vec<_> = ["in", "g-m-partials"].into_iter().map(|t| (t, role(t, &store))).collect();
    let env = Env { clock: Now::read, ..env(brokers, registry) };
    let role = move |topic: &str| roles.iter().find(|(t, _)| *t == topic).map(|r| r.1.clone());
    Pool::start(env, Duration::from_secs(5), vec![Box::new(brokers.transactions())], role)
        .expect("a thread")
}

fn assign(pool: &Pool, brokers: &Brokers, all: &[TopicPartition]) {
    brokers.lock().generation = 1;
    let source = |tp: &TopicPartition| Box::new(brokers.source(tp)) as Box<dyn Source>;
    let added = all.iter().map(|tp| (tp.clone(), source(tp))).collect();
    pool.assign(&Arc::new(Generation::fake(1, "member")), added);
}

fn eventually(what: &str, is: impl Fn() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Names of the series of one partition.
fn series(registry: &Registry, of: &TopicPartition) -> Vec<String> {
    let partition = of.partition.to_string();
    let families = registry.gather();
    let mine = families.iter().filter(|f| {
        f.get_metric().iter().any(|m| {
            let labels: Vec<(&str, &str)> =
                m.get_label().iter().map(|l| (l.name(), l.value())).collect();
            labels.contains(&("topic", &*of.topic)) && labels.contains(&("partition", &*partition))
        })
    });
    mine.map(|f| f.name().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_position_has_no_lag_and_what_is_taken_away_has_no_series() {
    MERGED.set(true);
    let (registry, brokers) = (Registry::new(), Brokers::default());
    let pool = pool(&registry, &brokers);
    MERGED.set(false);
    let (source, partials) = (tp("in", 0), tp("g-m-partials", 0));
    brokers.produce(&source, 1_700_000_000_000, "one two");
    assign(&pool, &brokers, &[source.clone(), partials.clone()]);
    eventually("status of both", || {
        let status = pool.status();
        status.len() == 2 && status.iter().all(|s| s.results.is_some() || s.topic != "in")
    });
    assert!(pool.status().iter().all(|s| s.end.is_none()), "nobody has asked for an end yet");

    pool.refresh_ends(|_| Some(Offset(9)));
    assert!(pool.status().iter().all(|s| s.end == Some(9)));
    let has = |of, name: &str| series(&registry, of).iter().any(|s| s == name);
    eventually("a lag", || has(&source, "alluvium_archive_lag_records"));
    assert!(!has(&partials, "alluvium_archive_lag_records"), "it has no archive");
    assert!(!has(&partials, "alluvium_archive_position"), "it has no archive");

    let before = pool.status();
    // Taken away while the brokers are asked.
    pool.refresh_ends(|tp| {
        pool.revoked(std::slice::from_ref(tp), false);
        Some(Offset(10))
    });
    before.iter().for_each(|s| pool.set_headroom(s, 60));
    for tp in [&source, &partials] {
        eventually("the end of all series", || series(&registry, tp).is_empty());
    }
    assert!(pool.end(Duration::from_secs(5)));
}
