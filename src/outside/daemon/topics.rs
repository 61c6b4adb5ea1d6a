//! The topics beside the running workers: which of them exist, those that the daemon makes itself,
//! and how long the brokers keep their records.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clients::kafka::group::{self, PollControl};
use crate::clients::kafka::{
    BatchLimit, ClientConfig, Consumer, KafkaError, base_config, consumer_config, offsets, topics,
};
use crate::common::config::Config;
use crate::common::health::Subject;
use crate::common::retry::Pauses;
use crate::engine::topics::internal::{self, Internal, Unfit};
use crate::engine::topics::{mapping_of, news, select};
use crate::outside::daemon::active::ActiveConfig;
use crate::outside::daemon::health::{Health, now_ms};
use crate::outside::daemon::unavailable::{Misconfigured, Unavailable};

/// What was found of a configuration's topics.
pub(super) struct Found {
    /// The topics to subscribe to.
    pub(super) wanted: Vec<String>,
    /// Topics of counts that no broker has.
    absent_outputs: Vec<String>,
    /// Topics of partial counts that no broker has.
    absent_partials: Vec<String>,
}

/// Asks the brokers, and matches.
pub(super) async fn find(
    config: &Arc<Config>,
    consumer: &Arc<Consumer>,
    health: &Health,
) -> Result<Found, Unavailable> {
    let (servers, consumer) = (config.kafka.bootstrap_servers.clone(), Arc::clone(consumer));
    let asked = tokio::task::spawn_blocking(move || topics::all(&consumer, &servers)).await;
    let unavailable = |e: &dyn std::fmt::Display| Unavailable(e.to_string());
    let existing = asked.map_err(|e| unavailable(&e))?.map_err(|e: KafkaError| {
        unavailable(&format!("{e}. Is a broker up there, and is the address right?"))
    })?;
    let selection = select(config, &existing);
    let (absent_outputs, absent_partials) = (selection.absent_outputs, selection.absent_partials);
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
    Ok(Found { wanted: selection.wanted, absent_outputs, absent_partials })
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

/// Makes the topics that the daemon writes to and that are not there, and checks those that are.
pub(super) async fn create(
    config: &Config,
    consumer: &Arc<Consumer>,
    limit: &BatchLimit,
) -> anyhow::Result<()> {
    let unavailable = |e: KafkaError| Unavailable(e.to_string());
    let client = client_of(config).map_err(unavailable)?;
    for (mapping, count) in config.mappings.iter().filter_map(|m| Some((m, m.count.as_ref()?))) {
        for internal in internal::of(count) {
            let (partitions, replication) = (internal.partitions, internal.replication);
            let settings = internal.settings();
            let settings: Vec<_> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
            let topic = internal.topic;
            if topics::create(&client, topic, partitions, replication, &settings)
                .await
                .map_err(unavailable)?
            {
                tracing::info!(topic, "topic created");
            } else if let Some(partitions) = partitions.filter(|_| internal.partials) {
                let (consumer, name) = (Arc::clone(consumer), topic.to_string());
                let there = tokio::task::spawn_blocking(move || {
                    topics::partitions(&consumer, &name).map(|all| all.len())
                });
                let there = there.await?.map_err(unavailable)?;
                if there != 0 && there != partitions as usize {
                    return Err(Misconfigured(format!(
                        "topic {topic:?} has {there} partitions, and \
                         mapping.{}.wordcount.partials.partitions is {partitions}: the number of \
                         partitions decides where a word is merged, and can't change. Write \
                         {there}, or use another partials.topic",
                        mapping.name,
                    ))
                    .into());
                }
            }
            inspect(&client, &mapping.name, &internal, limit).await?;
        }
    }
    Ok(())
}

/// Compares the settings of a topic that the daemon writes to with what counts need.
async fn inspect(
    client: &ClientConfig,
    mapping: &str,
    internal: &Internal<'_>,
    limit: &BatchLimit,
) -> Result<(), Misconfigured> {
    let topic = internal.topic;
    let settings = match topics::settings(client, topic).await {
        Ok(settings) => settings,
        Err(error) => {
            tracing::warn!(
                topic, %error,
                "the topic's settings are not known, so nobody checks that its counts are kept"
            );
            return Ok(());
        }
    };
    if let Some(largest) = settings.get("max.message.bytes").and_then(|v| v.parse().ok()) {
        limit.lower_to(largest);
    }
    for found in internal.compare(&settings) {
        match found {
            Unfit::Loses(why) => return Err(Misconfigured(format!("mapping.{mapping}: {why}"))),
            Unfit::May(why) => tracing::warn!(topic, mapping, "{why}"),
        }
    }
    Ok(())
}

fn client_of(config: &Config) -> Result<ClientConfig, KafkaError> {
    base_config(&config.kafka, &format!("alluvium-{}", config.daemon.instance))
}

/// The settings of one of the brokers.
pub(super) async fn broker_settings(config: &Config) -> anyhow::Result<topics::Settings> {
    let client = client_of(config)?;
    let settings = consumer_config(config)?;
    let asked =
        tokio::task::spawn_blocking(move || topics::any_broker(&*group::observer(&settings)?));
    Ok(topics::broker_settings(&client, asked.await??).await?)
}

/// How much time is left until the brokers delete what is not archived yet.
pub(super) async fn watch_retention(config: Arc<Config>, health: Arc<Health>) {
    const EVERY: Duration = Duration::from_secs(15);
    /// So much time, in seconds, is enough for any roll.
    const SHORT: i64 = 1_800;
    /// Settings of topics hardly change.
    const KEPT: u32 = 20;
    let mut client = None;
    let mut known: HashMap<String, Option<i64>> = HashMap::new();
    let mut round = 0;
    let mut tick = tokio::time::interval(EVERY);
    loop {
        let _ = tick.tick().await;
        if round % KEPT == 0 {
            known.clear();
            client = client_of(&config)
                .inspect_err(|e| tracing::warn!(error = %e, "the topics' retention is not known"))
                .ok();
        }
        round += 1;
        let Some(client) = &client else { continue };
        for p in health.pool.status().iter().filter(|p| p.archives) {
            let retention = match known.get(&p.topic) {
                Some(known) => *known,
                None => match topics::settings(client, &p.topic).await {
                    Ok(found) => *known.entry(p.topic.clone()).or_insert(topics::retention(&found)),
                    Err(e) => {
                        tracing::debug!(error = %e, "retention");
                        *known.entry(p.topic.clone()).or_insert(None)
                    }
                },
            };
            if let Some(retention) = retention {
                let left = headroom_s(retention, p.oldest_ms, now_ms());
                health.pool.set_headroom(p, left);
                let age = p.oldest_ms.map_or(0, |at| now_ms().saturating_sub(at).max(0));
                if left < SHORT && left.saturating_mul(1_000) < age {
                    health.pool.roll_early(p);
                }
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
        let (consumer, asked_at) = (Arc::clone(&consumer), now_ms());
        let asked = tokio::task::spawn_blocking(move || topics::reach(&consumer, &topic)).await;
        match asked {
            Ok(Ok(())) => board.worked(&Subject::Brokers, WHO, now_ms()),
            Ok(Err(e)) => {
                let _ = board.failed(&Subject::Brokers, WHO, &e.detail, asked_at);
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

/// The topics that the daemon writes to.
#[derive(Debug, Default)]
struct Written {
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
async fn restore(
    config: &Arc<Config>,
    consumer: &Arc<Consumer>,
    health: &Health,
    limit: &BatchLimit,
    found: &Found,
    written: &mut Written,
) {
    let absent = [&found.absent_outputs[..], &found.absent_partials[..]].concat();
    let (gone, new) = written.look(config, &absent);
    for topic in new {
        if found.absent_partials.contains(&topic) {
            tracing::error!(
                topic,
                "the topic of partial counts was deleted, and with it what open windows had \
                 counted: nothing is counted while it is missing. The daemon creates it again; \
                 the source partitions stop then (reason=\"other_partials\"), until `alluvium \
                 repair` continues without these counts or counts again"
            );
        } else {
            tracing::warn!(topic, "the topic of published counts was deleted; creating it again");
        }
    }
    let any = !gone.is_empty();
    *health.gone.lock() = gone;
    if any {
        match create(config, consumer, limit).await {
            Ok(()) => health.gone.lock().clear(),
            Err(error) => {
                tracing::debug!(%error, "topics that were deleted are not created again yet");
            }
        }
    }
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
    limit: Arc<BatchLimit>,
    stopped: watch::Receiver<bool>,
) {
    let mut pauses = None;
    let mut ids = HashMap::new();
    let mut written = Written::default();
    while !*stopped.borrow() {
        let config = Arc::clone(&in_force.borrow().config);
        let refresh = config.daemon.topics_refresh;
        match find(&config, &consumer, &health).await {
            Ok(found) => {
                restore(&config, &consumer, &health, &limit, &found, &mut written).await;
                let wanted = found.wanted;
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

    #[test]
    fn a_topic_that_was_there_and_is_deleted_is_reported_once() {
        let text = "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\n\
                    root = \"file:///x\"\n[mapping.m]\ntopics = [\"t\"]\n[mapping.m.wordcount]\n\
                    output_topic = \"o\"";
        let config = Config::parse(text, Some("i")).unwrap();
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
