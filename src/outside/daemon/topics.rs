//! The topics beside the running workers: which of them exist, and whether the brokers answer.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clients::kafka::poll_control::PollControl;
use crate::clients::kafka::{BatchLimits, Consumer, KafkaError, offsets, topics};
use crate::common::config::Config;
use crate::common::health::Subject;
use crate::common::retry::Pauses;
use crate::engine::topics::{CURE_OF_AMBIGUOUS, cure_of_missing, mapping_of, news, select};
use crate::outside::daemon::active::ActiveConfig;
use crate::outside::daemon::health::{Health, now_ms};
use crate::outside::daemon::patterns;
use crate::outside::daemon::refused;
use crate::outside::daemon::unavailable::Unavailable;
use crate::outside::daemon::written::{self, Absent, Written};

/// What was found of a configuration's topics.
pub(super) struct Found {
    /// The topics to subscribe to.
    pub(super) wanted: Vec<String>,
    absent: Absent,
}

/// Asks the brokers, and matches. `held`: mappings that do not run now.
pub(super) async fn find(
    config: &Arc<Config>,
    held: &BTreeSet<String>,
    consumer: &Arc<Consumer>,
    health: &Health,
) -> Result<Found, Unavailable> {
    let (servers, asking) = (config.kafka.bootstrap_servers.clone(), Arc::clone(consumer));
    let asked = tokio::task::spawn_blocking(move || topics::all(&asking, &servers)).await;
    let unavailable = |e: &dyn std::fmt::Display| Unavailable(e.to_string());
    let existing = asked.map_err(|e| unavailable(&e))?.map_err(|e: KafkaError| unavailable(&e))?;
    let mut selection = select(config, &existing, held);
    refused::told_apart(config, consumer, &health.board, &mut selection).await;
    let absent = Absent { outputs: selection.absent_outputs, partials: selection.absent_partials };
    for (mapping, sources) in selection.sources {
        health.sources.set(mapping, sources);
    }
    for topic in news(&mut health.missing.lock(), selection.missing) {
        tracing::error!(
            code = "AL401",
            topic,
            "topic {topic:?} of mapping.{} does not exist: {}; the daemon looks for the topic \
             again every {:?}",
            mapping_of(config, &topic).map_or("?", |(m, _)| m.name.as_str()),
            cure_of_missing(&topic),
            config.daemon.topics_refresh,
        );
    }
    for topic in news(&mut health.ambiguous.lock(), selection.ambiguous) {
        tracing::error!(
            code = "AL402",
            topic,
            "topics_regex of two mappings match this topic, so nobody reads it, and the brokers \
             may delete its records: {CURE_OF_AMBIGUOUS}"
        );
    }
    written::tell_misfits(config, held, &existing, &mut health.misfits.lock());
    let news = health.patterns.lock().look(&selection.patterns, selection.unmatched);
    patterns::tell(news);
    Ok(Found { wanted: selection.wanted, absent })
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
    Ok(select(config, &existing, &BTreeSet::new()).wanted)
}

/// Asks the brokers every few seconds whether they answer at all.
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
        let (asking, asked_at) = (Arc::clone(&consumer), now_ms());
        let asked = tokio::task::spawn_blocking(move || topics::reach(&asking, &topic)).await;
        match asked {
            Ok(Ok(())) => board.worked(&Subject::Brokers, WHO, now_ms()),
            Ok(Err(e)) => {
                let _ = board.failed(&Subject::Brokers, WHO, &e.detail, asked_at);
            }
            Err(e) => tracing::debug!(error = %e, "asking the brokers"),
        }
    }
}

/// The topics that are other ones than at the last look. The client may not notice when a topic is
/// deleted and created again at once; recovery does.
async fn made_again(
    consumer: &Arc<Consumer>,
    topics: &[String],
    ids: &mut HashMap<String, String>,
) -> Vec<String> {
    let changed = of_other_ids(consumer, topics, ids).await;
    for topic in &changed {
        tracing::warn!(
            code = "AL403",
            topic,
            "the topic was deleted and created again; the partitions of its mapping begin again"
        );
    }
    changed
}

/// The same of topics of published counts that this group does not read. A topic that was absent
/// was named already.
async fn counts_made_again(
    config: &Config,
    consumer: &Arc<Consumer>,
    (found, held): (&Found, &BTreeSet<String>),
    ids: &mut HashMap<String, String>,
) {
    let absent = &found.absent.outputs;
    ids.retain(|topic, _| !absent.contains(topic));
    let there = written::unread(config, held, &found.wanted, absent);
    for topic in of_other_ids(consumer, &there, ids).await {
        tracing::warn!(
            code = "AL412",
            topic,
            "another program has deleted the topic of published counts and created it again: its \
             readers lack the counts that were published before, and nothing is counted a second \
             time"
        );
    }
}

/// The topics whose ids are others than at the last look.
async fn of_other_ids(
    consumer: &Arc<Consumer>,
    topics: &[String],
    ids: &mut HashMap<String, String>,
) -> Vec<String> {
    let mut changed = Vec::new();
    for topic in topics {
        let (consumer, name) = (Arc::clone(consumer), topic.clone());
        let asked = tokio::task::spawn_blocking(move || offsets::topic_id(&consumer, &name)).await;
        let Ok(Ok(id)) = asked else { continue };
        let before = ids.insert(topic.clone(), id.clone());
        if before.is_some_and(|before| before != id) {
            changed.push(topic.clone());
        }
    }
    changed
}

/// All topics of the mappings that these topics belong to: what is committed for a source names
/// the topic of its partial counts.
fn of_same_mappings(config: &Config, topics: &[String], wanted: &[String]) -> Vec<String> {
    let name = |topic: &str| mapping_of(config, topic).map(|(mapping, _)| &mapping.name);
    let mappings: BTreeSet<&String> = topics.iter().filter_map(|t| name(t)).collect();
    let mine = |topic: &&String| name(topic).is_some_and(|m| mappings.contains(m));
    wanted.iter().filter(mine).cloned().collect()
}

/// How soon a broker is asked again for a topic that it did not know; pauses get longer while that
/// goes on.
const SOON: Duration = Duration::from_millis(500);

/// Asks for the topics every `topics_refresh`; subscribes anew when something changed.
pub(super) async fn watch(
    in_force: watch::Receiver<Arc<ActiveConfig>>,
    consumer: Arc<Consumer>,
    control: Arc<PollControl>,
    health: Arc<Health>,
    limits: Arc<BatchLimits>,
    stopped: watch::Receiver<bool>,
) {
    let mut pauses = None;
    let (mut ids, mut ids_of_counts) = (HashMap::new(), HashMap::new());
    let mut written = Written::default();
    while !*stopped.borrow() {
        let active = Arc::clone(&in_force.borrow());
        let config = &active.config;
        let refresh = config.daemon.topics_refresh;
        match find(config, &active.held, &consumer, &health).await {
            Ok(found) => {
                written::restore(config, &consumer, &health, &limits, &found.absent, &mut written)
                    .await;
                let of_counts = (&found, &active.held);
                counts_made_again(config, &consumer, of_counts, &mut ids_of_counts).await;
                let wanted = found.wanted;
                let again = made_again(&consumer, &wanted, &mut ids).await;
                control.give_again(of_same_mappings(config, &again, &wanted));
                // Not what a configuration wants that was replaced meanwhile.
                let same = Arc::ptr_eq(&active, &in_force.borrow());
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
    use crate::outside::daemon::examples::config;

    #[test]
    fn a_topic_that_was_made_again_concerns_all_topics_of_its_mapping_and_no_other() {
        let config = config(
            "[mapping.m]\ntopics = [\"t\"]\n[mapping.m.wordcount]\noutput_topic = \"o\"\n\
             [mapping.other]\ntopics = [\"u\"]\n",
        );
        let all = |topics: &[&str]| topics.iter().map(|t| (*t).to_string()).collect::<Vec<_>>();
        let wanted = all(&["g-m-partials", "o", "t", "u"]);
        for topic in ["g-m-partials", "o", "t"] {
            let again = of_same_mappings(&config, &all(&[topic]), &wanted);
            assert_eq!(again, ["g-m-partials", "o", "t"], "{topic}");
        }
        assert_eq!(of_same_mappings(&config, &all(&["u"]), &wanted), ["u"]);
        assert!(of_same_mappings(&config, &[], &wanted).is_empty());
    }
}
