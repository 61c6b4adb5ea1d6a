//! A mapping that archives and does not count has no series of counts.

use std::sync::Arc;
use std::time::Duration;

use prometheus::core::Collector;

use crate::engine::topics::Role;
use crate::engine::worker::inbox::{Added, Message};
use crate::engine::worker::lives::topics::tp;
use crate::engine::worker::lives::world::{World, feed, in_paused_time, role};

/// How many series of any labels there are.
fn series(of: &dyn Collector) -> usize {
    of.collect().iter().map(|family| family.get_metric().len()).sum()
}

#[test]
fn a_mapping_that_does_not_count_has_no_series_of_counts() {
    in_paused_time(async {
        let mut world = World::new(None);
        let who = world.start();
        let generation = world.next_generation();
        let p = &world.processes[who];
        let added = [tp("in", 0), tp("in", 1)].map(|tp| Added {
            role: Role { count: None, ..role(&tp.topic, &world.store) },
            source: Box::new(world.brokers.source(&tp)),
            alive: Arc::new(true.into()),
            gauges: Arc::new(p.worker.env.metrics.partition(&tp)),
            tp,
        });
        p.wake.send(Message::Assigned { generation, added: added.into() });
        feed(&world, 0);
        world.steps(Duration::from_secs(10)).await;
        let metrics = &world.processes[who].worker.env.metrics;
        assert_eq!(metrics.records.with_label_values(&["m", "source"]).get(), 6);
        assert_ne!(metrics.commits.with_label_values(&["ok"]).get(), 0);
        let of_counts: [&dyn Collector; 8] = [
            &metrics.words,
            &metrics.lossy_values,
            &metrics.untimed,
            &metrics.uncounted,
            &metrics.results,
            &metrics.partials,
            &metrics.count_latency,
            &metrics.transaction_records,
        ];
        assert_eq!(of_counts.map(series), [0; 8]);
    });
}
