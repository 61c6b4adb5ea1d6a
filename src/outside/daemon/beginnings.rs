//! What existed before the group began: asked at the start, and for what a reload adds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clients::kafka::beginnings::{
    Beginnings, CommittedPartitions, existed_before, is_partly_committed,
};
use crate::clients::kafka::offsets::committed_partitions;
use crate::clients::kafka::{Consumer, KafkaError, offsets, topics};
use crate::common::config::{Config, Start, Topics};
use crate::engine::topics::{TopicRole, mapping_of, select};

/// An instance that has started before this one commits its first offsets within that time.
const FIRST_COMMITS: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);

/// Notes the partitions for which `start = "latest"` means the end of their log. `before`: the
/// configuration that is replaced; what it has selected already is left as it is.
///
/// # Errors
/// No broker answers.
pub(super) async fn note(
    config: &Arc<Config>,
    before: Option<&Arc<Config>>,
    consumer: &Arc<Consumer>,
    beginnings: &Arc<Beginnings>,
) -> Result<(), KafkaError> {
    if config.mappings.iter().all(|m| m.start != Start::Latest) {
        return Ok(());
    }
    let (config, before) = (Arc::clone(config), before.cloned());
    let (consumer, beginnings) = (Arc::clone(consumer), Arc::clone(beginnings));
    let asked = tokio::task::spawn_blocking(move || {
        ask(&config, before.as_deref(), &consumer, &beginnings)
    });
    asked.await.unwrap_or_else(|e| Err(KafkaError::new("ask what exists", e)))
}

fn ask(
    config: &Config,
    before: Option<&Config>,
    consumer: &Consumer,
    beginnings: &Beginnings,
) -> Result<(), KafkaError> {
    let existing = topics::all(consumer, &config.kafka.bootstrap_servers)?;
    let wanted = select(config, &existing, &BTreeSet::new()).wanted;
    let source = |config: &Config, topic: &str| {
        let (mapping, role) = mapping_of(config, topic)?;
        (role == TopicRole::Source).then(|| mapping.name.clone())
    };
    for mapping in config.mappings.iter().filter(|m| m.start == Start::Latest) {
        let mine: BTreeMap<&str, usize> = existing
            .iter()
            .filter(|(t, _)| wanted.contains(t))
            .filter(|(t, _)| source(config, t).as_ref() == Some(&mapping.name))
            .filter(|(t, _)| before.is_none_or(|b| source(b, t).as_ref() != Some(&mapping.name)))
            .map(|(t, n)| (t.as_str(), *n))
            .collect();
        if mine.is_empty() {
            continue;
        }
        let deadline = Instant::now() + FIRST_COMMITS;
        let committed = loop {
            let committed = committed_partitions(consumer, &mine)?;
            if !is_partly_committed(&committed) || deadline < Instant::now() {
                break committed;
            }
            std::thread::sleep(PAUSE);
        };
        let together = matches!(mapping.topics, Topics::Regex(_));
        for (topic, partitions) in existed_before(&committed, together) {
            log_later(&topic, &committed[&topic], &partitions);
            let id = offsets::topic_id(consumer, &topic)?;
            beginnings.note(&topic, id, partitions);
        }
    }
    Ok(())
}

fn log_later(topic: &str, committed: &CommittedPartitions, existed: &BTreeSet<i32>) {
    let open =
        committed.iter().filter(|(_, committed)| !**committed).map(|(partition, _)| *partition);
    let later: Vec<i32> = open.filter(|partition| !existed.contains(partition)).collect();
    if !later.is_empty() {
        tracing::info!(
            topic,
            partitions = ?later,
            "these partitions have appeared after the group began, so they are read from their \
             beginning although start is \"latest\""
        );
    }
}
