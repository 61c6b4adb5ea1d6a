//! The topics beside the running workers: which of them exist, those that the daemon makes itself,
//! and how long the brokers keep their records.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clients::kafka::group::PollControl;
use crate::clients::kafka::{Consumer, KafkaError, base_config, offsets, topics};
use crate::common::config::Config;
use crate::common::health::Subject;
use crate::common::retry::Pauses;
use crate::engine::topics::{mapping_of, news, select};
use crate::outside::daemon::active::ActiveConfig;
use crate::outside::daemon::health::{Health, now_ms};
use crate::outside::daemon::unavailable::Unavailable;

/// Asks the brokers, and matches.
pub(super) async fn find(
    config: &Arc<Config>,
    consumer: &Arc<Consumer>,
    health: &Health,
) -> Result<Vec<String>, Unavailable> {
    let (servers, consumer) = (config.kafka.bootstrap_servers.clone(), Arc::clone(consumer));
    let asked = tokio::task::spawn_blocking(move || topics::all(&consumer, &servers)).await;
    let unavailable = |e: &dyn std::fmt::Display| Unavailable(e.to_string());
    let existing = asked.map_err(|e| unavailable(&e))?.map_err(|e: KafkaError| {
        unavailable(&format!("{e}. Is a broker up there, and is the address right?"))
    })?;
    let selection = select(config, &existing);
    for (mapping, sources) in selection.sources {
        health.sources.set(mapping, sources);
    }
    for topic in news(&mut health.missing.lock(), selection.missing) {
        tracing::error!(
            topic,
            "topic {topic:?} of mapping.{} does not exist: create it with kafka-topics --create \
             --topic {topic}, or correct the name; the daemon looks for the topic again every {:?}",
            mapping_of(config, &topic).map_or("?", |(m, _)| m.name.as_str()),
            config.daemon.topics_refresh,
        );
    }
    for topic in news(&mut health.ambiguous.lock(), selection.ambiguous) {
        tracing::error!(
            topic,
            "two regexes match this topic, so the topic is left out until one regex is narrower, \
             or until a mapping names the topic exactly"
        );
    }
    Ok(selection.wanted)
}

/// Whatever a group of this configuration subscribes to, of what exists.
///
/// # Errors
/// No broker answers.
pub(crate) fn subscription(
    config: &Config,
    consumer: &Consumer,
) -> Result<Vec<String>, KafkaError> {
    let existing = topics::all(consumer, &config.kafka.bootstrap_servers)?;
    Ok(select(config, &existing).wanted)
}

/// Makes the topics that the daemon writes to and that are not there.
pub(super) async fn create(config: &Config, consumer: &Arc<Consumer>) -> Result<(), Unavailable> {
    let unavailable = |e: KafkaError| Unavailable(e.to_string());
    let client = base_config(&config.kafka, &format!("alluvium-{}", config.daemon.instance))
        .map_err(unavailable)?;
    let made = |topic: &str| tracing::info!(topic, "topic created");
    for (mapping, count) in config.mappings.iter().filter_map(|m| Some((m, m.count.as_ref()?))) {
        let (topic, partitions) = (&count.output_topic, count.output_partitions);
        if topics::create(&client, topic, partitions, None, &[]).await.map_err(unavailable)? {
            made(topic);
        }
        let Some(merge) = &count.merge else { continue };
        let retention = merge.retention.as_millis().to_string();
        let settings = [("cleanup.policy", "delete"), ("retention.ms", retention.as_str())];
        let (topic, partitions) = (&merge.topic, Some(merge.partitions));
        if topics::create(&client, topic, partitions, merge.replication, &settings)
            .await
            .map_err(unavailable)?
        {
            made(topic);
            continue;
        }
        let (consumer, name) = (Arc::clone(consumer), topic.clone());
        let there = tokio::task::spawn_blocking(move || topics::partitions(&consumer, &name));
        let there = there.await.map_err(|e| Unavailable(e.to_string()))?.map_err(unavailable)?;
        if !there.is_empty() && there.len() != merge.partitions as usize {
            return Err(Unavailable(format!(
                "topic {topic:?} has {} partitions, and mapping.{}.wordcount.partials.partitions \
                 is {}: \
                 the number of partitions decides where a word is merged, and can't change. Write \
                 {0}, or use another partials.topic",
                there.len(),
                mapping.name,
                merge.partitions
            )));
        }
    }
    Ok(())
}

/// How much time is left until the brokers delete what is not archived yet.
pub(super) async fn watch_retention(config: Arc<Config>, health: Arc<Health>) {
    const EVERY: Duration = Duration::from_secs(15);
    /// Settings of topics hardly change.
    const KEPT: u32 = 20;
    let name = format!("alluvium-{}", config.daemon.instance);
    let mut client = None;
    let mut known: HashMap<String, Option<i64>> = HashMap::new();
    let mut round = 0;
    let mut tick = tokio::time::interval(EVERY);
    loop {
        let _ = tick.tick().await;
        if round % KEPT == 0 {
            known.clear();
            client = base_config(&config.kafka, &name)
                .inspect_err(|e| tracing::warn!(error = %e, "the topics' retention is not known"))
                .ok();
        }
        round += 1;
        let Some(client) = &client else { continue };
        for p in health.pool.status().iter().filter(|p| p.archives) {
            let retention = match known.get(&p.topic) {
                Some(known) => *known,
                None => match topics::retention(client, &p.topic).await {
                    Ok(found) => *known.entry(p.topic.clone()).or_insert(found),
                    Err(e) => {
                        tracing::debug!(error = %e, "retention");
                        *known.entry(p.topic.clone()).or_insert(None)
                    }
                },
            };
            if let Some(retention) = retention {
                health.pool.set_headroom(p, headroom_s(retention, p.oldest_ms, now_ms()));
            }
        }
    }
}

/// Asks the brokers again and again whether they answer at all.
pub(super) async fn watch_brokers(
    consumer: Arc<Consumer>,
    control: Arc<PollControl>,
    health: Arc<Health>,
) {
    const EVERY: Duration = Duration::from_secs(5);
    const WHO: &str = "probe";
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let _ = tick.tick().await;
        let board = &health.board;
        board.expire(now_ms());
        // Of all topics there may be thousands; any one will do.
        let Some(topic) = control.subscribed().into_iter().next() else { continue };
        let (consumer, began) = (Arc::clone(&consumer), now_ms());
        let asked = tokio::task::spawn_blocking(move || topics::reach(&consumer, &topic)).await;
        match asked {
            Ok(Ok(())) => board.worked(&Subject::Brokers, WHO, now_ms()),
            Ok(Err(e)) => {
                let _ = board.failed(&Subject::Brokers, WHO, &e.detail, began);
            }
            Err(e) => tracing::debug!(error = %e, "asking the brokers"),
        }
    }
}

/// The time until the oldest record is deleted, seconds. The record's time is in milliseconds, and
/// whoever wrote the record chose it.
fn headroom_s(retention_ms: i64, oldest_ms: Option<i64>, now_ms: i64) -> i64 {
    let age = oldest_ms.map_or(0, |at| now_ms.saturating_sub(at).max(0));
    retention_ms.saturating_sub(age).max(0) / 1_000
}

/// Whether a topic is another one than at the last look. The client may not notice when a topic is
/// deleted and created again at once; recovery does.
async fn made_again(
    consumer: &Arc<Consumer>,
    topics: &[String],
    ids: &mut HashMap<String, String>,
) -> bool {
    let mut changed = false;
    for topic in topics {
        let (consumer, name) = (Arc::clone(consumer), topic.clone());
        let asked = tokio::task::spawn_blocking(move || offsets::topic_id(&consumer, &name)).await;
        let Ok(Ok(id)) = asked else { continue };
        let before = ids.insert(topic.clone(), id.clone());
        if before.is_some_and(|before| before != id) {
            tracing::warn!(
                topic,
                "the topic was deleted and created again; joining the group again"
            );
            changed = true;
        }
    }
    changed
}

/// How soon a broker is asked again for a topic that it did not know; pauses get longer while that
/// goes on.
const SOON: Duration = Duration::from_millis(500);

/// Looks again and again; subscribes anew when something changed.
pub(super) async fn watch(
    in_force: watch::Receiver<Arc<ActiveConfig>>,
    consumer: Arc<Consumer>,
    control: Arc<PollControl>,
    health: Arc<Health>,
    stopped: watch::Receiver<bool>,
) {
    let mut pauses = None;
    let mut ids = HashMap::new();
    while !*stopped.borrow() {
        let config = Arc::clone(&in_force.borrow().config);
        let refresh = config.daemon.topics_refresh;
        match find(&config, &consumer, &health).await {
            Ok(wanted) => {
                if made_again(&consumer, &wanted, &mut ids).await {
                    control.rejoin();
                }
                // Not what a configuration wants that was replaced meanwhile.
                let same = Arc::ptr_eq(&config, &in_force.borrow().config);
                if same && control.subscribed() != wanted {
                    control.subscribe(wanted);
                }
            }
            Err(e) => tracing::debug!(error = %e, "looking for topics"),
        }
        if tokio::time::timeout(refresh, control.unknown_topic()).await.is_ok() {
            let every = Pauses { first: SOON, longest: refresh };
            let next = pauses.get_or_insert_with(|| every.begin()).next();
            tokio::time::sleep(next.unwrap_or(refresh)).await;
        } else {
            pauses = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_of_a_record_breaks_the_headroom() {
        assert_eq!(headroom_s(10_000, None, 5_000), 10);
        assert_eq!(headroom_s(10_000, Some(1_000), 5_000), 6);
        for (oldest, want) in [(i64::MIN, 0), (i64::MAX, 10), (-1, 4)] {
            assert_eq!(headroom_s(10_000, Some(oldest), 5_000), want, "{oldest}");
        }
    }
}
