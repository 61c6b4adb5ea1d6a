//! The topics that the daemon writes to: it makes those that are not there, compares the settings
//! of all, and makes them again when they were deleted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clients::kafka::topics::{self, Admin, Topic};
use crate::clients::kafka::{BatchLimits, Consumer, KafkaError};
use crate::common::config::{Config, Mapping, WordCount};
use crate::engine::topics::internal::{self, Internal, Unfit};
use crate::engine::topics::news;
use crate::outside::daemon::active::ActiveConfig;
use crate::outside::daemon::admin::admin_of;
use crate::outside::daemon::health::Health;
use crate::outside::daemon::refused;
use crate::outside::daemon::unavailable::{Misconfigured, Refusal, Refusals, Unavailable};

/// Makes the topics of the mappings that are meant, where they are not there, and checks those that
/// are; the mappings whose topics can't be made or do not suit.
///
/// # Errors
/// No client can be made.
pub(super) async fn create(
    config: &Arc<Config>,
    is_meant: impl Fn(&Mapping) -> bool,
    consumer: &Arc<Consumer>,
    limits: &BatchLimits,
) -> Result<Refusals, Unavailable> {
    let admin = admin_of(config).map_err(|e| Unavailable(e.to_string()))?;
    let mut refusals = Refusals::new();
    for (mapping, count) in counting(config).filter(|(mapping, _)| is_meant(mapping)) {
        if let Err(refusal) = create_of(config, &admin, consumer, limits, (mapping, count)).await {
            let _ = refusals.insert(mapping.name.clone(), refusal);
        }
    }
    Ok(refusals)
}

fn counting(config: &Config) -> impl Iterator<Item = (&Mapping, &WordCount)> {
    config.mappings.iter().filter_map(|m| Some((m, m.count.as_deref()?)))
}

async fn create_of(
    config: &Arc<Config>,
    admin: &Admin,
    consumer: &Arc<Consumer>,
    limits: &BatchLimits,
    (mapping, count): (&Mapping, &WordCount),
) -> Result<(), Refusal> {
    let unavailable =
        |e: KafkaError| Unavailable(format!("mapping.{}: {e}. {}", mapping.name, MAY_CREATE));
    let mut largest = Vec::new();
    for internal in internal::of(count) {
        let (partitions, replication) = (internal.partitions, internal.replication);
        let settings = internal.settings();
        let settings: Vec<_> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let topic = internal.topic;
        let there = partitions_of(consumer, topic).await?;
        if there == 0 {
            let unlisted = refused::among(config, consumer, vec![topic.to_string()]).await;
            if let Some(lacks) = unlisted.refused.into_values().next() {
                return Err(Unavailable(format!("mapping.{}: {lacks}", mapping.name)).into());
            }
            let made = admin.create(topic, partitions, replication, &settings).await;
            if made.map_err(unavailable)? {
                tracing::info!(topic, "topic created");
            }
        } else if let Some(why) = internal.other_partitions(there, &mapping.name) {
            return Err(Misconfigured(why).into());
        }
        largest.push(inspect(admin, &mapping.name, &internal).await?);
    }
    limits.set(&mapping.name, &largest);
    Ok(())
}

const MAY_CREATE: &str = "A topic that was created with kafka-topics --create will do as well";

/// How many partitions a topic has; 0 if it does not exist, or may not be seen.
async fn partitions_of(consumer: &Arc<Consumer>, topic: &str) -> Result<usize, Unavailable> {
    let (consumer, name) = (Arc::clone(consumer), topic.to_string());
    let asked = tokio::task::spawn_blocking(move || topics::partitions(&consumer, &name)).await;
    let asked = asked.map_err(|e| Unavailable(e.to_string()))?;
    Ok(asked.map_err(|e| Unavailable(e.to_string()))?.len())
}

/// Compares the settings of a topic that the daemon writes to with what counts need; the largest
/// message that it takes, bytes, if that is known.
async fn inspect(
    admin: &Admin,
    mapping: &str,
    internal: &Internal<'_>,
) -> Result<Option<usize>, Misconfigured> {
    let topic = internal.topic;
    let settings = match admin.settings(topic).await {
        Ok(settings) => settings,
        Err(error) => {
            tracing::warn!(
                code = "AL404",
                topic, %error,
                "the topic's settings are not known, so nobody checks that its counts are kept"
            );
            return Ok(None);
        }
    };
    for found in internal.compare(&settings) {
        match found {
            Unfit::Loses(why) => return Err(Misconfigured(format!("mapping.{mapping}: {why}"))),
            Unfit::May(why) => tracing::warn!(code = "AL405", topic, mapping, "{why}"),
        }
    }
    Ok(internal::largest_message(&settings))
}

/// Between two questions for the limits of topics, at least.
const LIMITS_PAUSE: Duration = Duration::from_secs(2);

/// Asks again and again how large a message the topics take, which a person may change.
pub(super) async fn watch_limits(
    in_force: watch::Receiver<Arc<ActiveConfig>>,
    limits: Arc<BatchLimits>,
) {
    loop {
        let refresh = in_force.borrow().config.daemon.topics_refresh;
        limits.due(refresh).await;
        let active = Arc::clone(&in_force.borrow());
        refresh_limits(&active.config, &limits).await;
        tokio::time::sleep(LIMITS_PAUSE).await;
    }
}

async fn refresh_limits(config: &Config, limits: &BatchLimits) {
    let Ok(admin) = admin_of(config) else { return };
    for (mapping, count) in counting(config) {
        let mut largest = Vec::new();
        for internal in internal::of(count) {
            let settings = admin.settings(internal.topic).await;
            largest.push(settings.ok().and_then(|settings| internal::largest_message(&settings)));
        }
        limits.set(&mapping.name, &largest);
    }
}

/// Topics that the daemon writes to and that no broker has.
pub(super) struct Absent {
    pub(super) outputs: Vec<String>,
    pub(super) partials: Vec<String>,
}

/// Says which topics of partial counts have another number of partitions than the configuration: a
/// person has created them again. `known`: what was said already.
pub(super) fn tell_misfits(
    config: &Config,
    held: &BTreeSet<String>,
    existing: &[Topic],
    known: &mut Vec<String>,
) {
    for why in news(known, misfits(config, held, existing)) {
        tracing::error!(
            code = "AL414",
            "{why}. While the topic has this number, results of the mapping may not be published"
        );
    }
}

fn misfits(config: &Config, held: &BTreeSet<String>, existing: &[Topic]) -> Vec<String> {
    let running = counting(config).filter(|(mapping, _)| !held.contains(&mapping.name));
    let of = |(mapping, count)| {
        let all = internal::of(count);
        let misfit = |internal: &Internal<'_>| {
            let (_, there) = existing.iter().find(|(topic, _)| topic == internal.topic)?;
            let mapping: &Mapping = mapping;
            internal.other_partitions(*there, &mapping.name)
        };
        all.iter().filter_map(misfit).collect::<Vec<_>>()
    };
    running.flat_map(of).collect()
}

/// The topics of published counts that brokers have and that the group does not read, because their
/// counts are not archived.
pub(super) fn unread(
    config: &Config,
    held: &BTreeSet<String>,
    wanted: &[String],
    absent: &[String],
) -> Vec<String> {
    let running = counting(config).filter(|(mapping, _)| !held.contains(&mapping.name));
    let outputs = running.map(|(_, count)| &count.output_topic);
    outputs.filter(|topic| !wanted.contains(topic) && !absent.contains(topic)).cloned().collect()
}

/// The topics that the daemon writes to.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// The topics that a broker had at an earlier look: a topic that was made a moment ago is not
    /// gone.
    seen: BTreeSet<String>,
    /// The topics whose end was reported.
    gone: Vec<String>,
}

impl Written {
    /// Takes a look; the topics that are gone, and those that were not gone at the look before.
    fn look(&mut self, config: &Config, absent: &[String]) -> (Vec<String>, Vec<String>) {
        let all = config.mappings.iter().filter_map(|m| m.count.as_ref());
        let all = all.flat_map(|count| internal::of(count)).map(|internal| internal.topic);
        self.seen.extend(all.filter(|t| !absent.iter().any(|a| a == t)).map(String::from));
        let gone: Vec<String> = absent.iter().filter(|t| self.seen.contains(*t)).cloned().collect();
        let new = news(&mut self.gone, gone.clone());
        (gone, new)
    }
}

/// Makes the topics of counts again that were deleted under the daemon. What open windows had
/// counted was in the topic of partial counts: recovery stops at another one.
pub(super) async fn restore(
    config: &Arc<Config>,
    consumer: &Arc<Consumer>,
    health: &Health,
    limits: &BatchLimits,
    absent: &Absent,
    written: &mut Written,
) {
    let all = [&absent.outputs[..], &absent.partials[..]].concat();
    let (gone, new) = written.look(config, &all);
    for topic in new {
        if absent.partials.contains(&topic) {
            tracing::error!(
                code = "AL406",
                topic,
                "the topic of partial counts was deleted, and with it what open windows had \
                 counted: nothing is counted while it is missing. The daemon creates it again; \
                 the source partitions stop then (reason=\"other_partials\"), until `alluvium \
                 repair` continues without these counts or counts again"
            );
        } else {
            tracing::warn!(
                code = "AL407",
                topic,
                "the topic of published counts was deleted; creating it again"
            );
        }
    }
    if gone.is_empty() {
        return health.gone.lock().clear();
    }
    health.gone.lock().clone_from(&gone);
    let writes = |mapping: &Mapping, topic: &String| {
        let count = mapping.count.as_deref();
        count.is_some_and(|count| internal::of(count).iter().any(|i| i.topic == topic))
    };
    let is_meant = |mapping: &Mapping| gone.iter().any(|topic| writes(mapping, topic));
    let refusals = create(config, is_meant, consumer, limits).await.unwrap_or_default();
    for (mapping, error) in &refusals {
        tracing::debug!(mapping, %error, "topics that were deleted are not created again yet");
    }
    let is_refused = |topic: &String| {
        config.mappings.iter().any(|m| refusals.contains_key(&m.name) && writes(m, topic))
    };
    health.gone.lock().retain(is_refused);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outside::daemon::examples::counting;

    #[test]
    fn a_topic_of_partial_counts_with_another_number_of_partitions_is_named() {
        let config = counting();
        let merge = config.mappings[0].count.as_ref().unwrap().merge.as_ref().unwrap();
        let (none, right) = (BTreeSet::new(), merge.partitions as usize);
        let there = |n: usize| vec![(merge.topic.clone(), n), ("o".to_string(), n + 1)];
        assert_eq!(misfits(&config, &none, &there(right)), [""; 0]);
        assert_eq!(misfits(&config, &none, &[]), [""; 0]);
        let found = misfits(&config, &none, &there(right + 1));
        assert!(found.len() == 1 && found[0].contains("partials.partitions"), "{found:?}");
        let held = config.mappings.iter().map(|m| m.name.clone()).collect();
        assert_eq!(misfits(&config, &held, &there(right + 1)), [""; 0]);
    }

    #[test]
    fn counts_that_are_not_archived_are_in_topics_that_nobody_reads() {
        let config = counting();
        let (held, wanted) = (BTreeSet::new(), vec!["o".to_string()]);
        assert_eq!(unread(&config, &held, &wanted, &[]), [""; 0]);
        assert_eq!(unread(&config, &held, &[], &[]), ["o"]);
        assert_eq!(unread(&config, &held, &[], &wanted), [""; 0], "it is not there");
        let held = config.mappings.iter().map(|m| m.name.clone()).collect();
        assert_eq!(unread(&config, &held, &[], &[]), [""; 0]);
    }

    #[test]
    fn a_topic_that_was_there_and_is_deleted_is_reported_once() {
        let config = counting();
        let mut written = Written::default();
        let mut look = |absent: &[&str]| {
            let absent: Vec<String> = absent.iter().map(ToString::to_string).collect();
            written.look(&config, &absent)
        };
        let none = Vec::<String>::new;
        let o = || vec!["o".to_string()];
        assert_eq!(look(&["o"]), (none(), none()), "a broker does not list it yet");
        assert_eq!(look(&[]), (none(), none()));
        assert_eq!(look(&["o"]), (o(), o()));
        assert_eq!(look(&["o"]), (o(), none()), "reported already");
        assert_eq!(look(&[]), (none(), none()));
        assert_eq!(look(&["o"]), (o(), o()), "deleted once more");
    }
}
