//! The topics of a configuration, and what the brokers allow to the client there and in the group.
//!
//! The brokers are asked which operations are allowed. No operation is tried, so nothing is read or
//! written, and no running daemon notices.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::clients::kafka::authorized::{self, Verdict};
use crate::clients::kafka::rights::Operation;
use crate::clients::kafka::topics::{self, Admin, Sight, Topic};
use crate::clients::kafka::{Consumer, KafkaError, consumer_config};
use crate::common::config::{Config, Mapping, WordCount};
use crate::engine::topics::internal::{self, Internal, Unfit};
use crate::engine::topics::{
    CURE_OF_AMBIGUOUS, CURE_OF_UNMATCHED, TopicRole, cure_of_missing, mapping_of, select,
};
use crate::outside::audit::brokers::{LookError, blocking};
use crate::outside::audit::live::budget;
use crate::outside::audit::live::tried::{Attempted, Outcome};

/// What was found of one topic or group.
type Found = Vec<(Outcome, String)>;

/// Without this operation the daemon runs, and knows less.
const WISHED: &[Operation] = &[Operation::DescribeConfigs];

pub(super) async fn topics(config: &Config, consumer: &Arc<Consumer>, report: &mut Attempted) {
    let (asking, servers) = (Arc::clone(consumer), config.kafka.bootstrap_servers.clone());
    let existing = match blocking(move || topics::all(&asking, &servers)).await {
        Ok(existing) => existing,
        Err(error) => return report.add("topics", Outcome::Wrong, error.to_string()),
    };
    let selection = select(config, &existing, &BTreeSet::new());
    for topic in &selection.missing {
        let refused = refused(consumer, topic, &[Operation::Read]).await;
        let missing = || {
            let text = format!("the topic does not exist: {}", cure_of_missing(topic));
            vec![(Outcome::Wrong, text)]
        };
        report.each(&format!("topic {topic}"), refused.unwrap_or_else(missing), None);
    }
    for topic in &selection.ambiguous {
        let text = format!(
            "topics_regex of two mappings match this topic, so nobody would read it: \
             {CURE_OF_AMBIGUOUS}"
        );
        report.add(format!("topic {topic}"), Outcome::Wrong, text);
    }
    for pattern in &selection.unmatched {
        let text = format!(
            "topics_regex = {:?} matches no topic, so nothing would be read for the mapping: \
             {CURE_OF_UNMATCHED}",
            pattern.regex
        );
        report.add(format!("mapping.{}", pattern.mapping), Outcome::Doubtful, text);
    }
    for (topic, partitions) in existing.iter().filter(|(t, _)| selection.wanted.contains(t)) {
        if let Some((mapping, TopicRole::Source)) = mapping_of(config, topic) {
            let mut found = rights(consumer, topic, &[Operation::Read], WISHED).await;
            for (outcome, text) in &mut found {
                if *outcome == Outcome::Doubtful {
                    text.push_str(
                        ". Without it nobody is warned when records are about to be deleted \
                         before they are archived",
                    );
                }
            }
            let good = format!("mapping.{} reads it; partitions: {partitions}", mapping.name);
            report.each(&format!("topic {topic}"), found, Some(good));
        }
    }
    let admin = consumer_config(config).and_then(|settings| Admin::new(&settings));
    let default = match &admin {
        Ok(admin) => default_partitions(config, admin, consumer, &existing).await,
        Err(_) => None,
    };
    budget::budget(config, &existing, default, report);
    let admin = match admin {
        Ok(admin) => admin,
        Err(error) => return report.add("topics of counts", Outcome::Wrong, error.to_string()),
    };
    for mapping in &config.mappings {
        let Some(count) = mapping.count.as_deref() else { continue };
        for internal in internal::of(count) {
            let (what, name) = (format!("topic {}", internal.topic), &mapping.name);
            let there = existing.iter().find(|(topic, _)| topic == internal.topic);
            let found = written(&admin, consumer, (mapping, count), &internal, there).await;
            let good = there.map(|(_, partitions)| {
                format!("mapping.{name} publishes to it; partitions: {partitions}")
            });
            report.each(&what, found, good);
        }
    }
}

/// How many partitions the brokers give a topic for which no number is configured; asked for only
/// where such a topic would be archived and is not there.
async fn default_partitions(
    config: &Config,
    admin: &Admin,
    consumer: &Arc<Consumer>,
    existing: &[Topic],
) -> Option<usize> {
    if !budget::needs_default(config, existing) {
        return None;
    }
    let asking = Arc::clone(consumer);
    let broker = blocking(move || topics::any_broker(&asking)).await.ok()?;
    let settings = admin.broker_settings(broker).await.ok()?;
    settings.get("num.partitions")?.parse().ok()
}

/// A topic of counts: one that is there has to suit, and one that is not there has to be allowed.
async fn written(
    admin: &Admin,
    consumer: &Arc<Consumer>,
    (mapping, count): (&Mapping, &WordCount),
    internal: &Internal<'_>,
    there: Option<&Topic>,
) -> Found {
    let reads = internal.partials || count.archive.is_some();
    let needed = match reads {
        true => &[Operation::Write, Operation::Read][..],
        false => &[Operation::Write],
    };
    let (topic, name) = (internal.topic, &mapping.name);
    let Some((_, partitions)) = there else {
        if let Some(lacks) = refused(consumer, topic, needed).await {
            return lacks;
        }
        let settings = internal.settings();
        let settings: Vec<_> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let copies = internal.replication;
        let created = admin.could_create(topic, internal.partitions, copies, &settings).await;
        return vec![match created {
            Ok(()) => (
                Outcome::Doubtful,
                format!(
                    "mapping.{name} publishes to it, and it is not there: the daemon creates it, \
                     and the brokers allow that. Run this check again when the topic is there: \
                     only then the brokers tell whether {} is allowed",
                    needed.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
                ),
            ),
            Err(error) => (
                Outcome::Wrong,
                format!("mapping.{name} publishes to it, and the daemon can't create it: {error}"),
            ),
        }];
    };
    if let Some(why) = internal.other_partitions(*partitions, name) {
        return vec![(Outcome::Wrong, why)];
    }
    let mut found = rights(consumer, topic, needed, &[]).await;
    found.extend(suits(admin, internal).await);
    found
}

/// The rights on the group, which is not joined.
pub(super) async fn group(config: &Config, consumer: &Arc<Consumer>, report: &mut Attempted) {
    let asking = Arc::clone(consumer);
    let asked = blocking(move || authorized::of_group(&asking, &[Operation::Read])).await;
    let what = format!("group {}", config.kafka.group_id);
    let found = told(asked, &[]);
    let good = found.is_empty().then(|| "the client may join it, and commit offsets".into());
    report.each(&what, found, good);
}

/// The rights that are missing, if a topic that is not listed is one that the client may not see.
async fn refused(consumer: &Arc<Consumer>, topic: &str, needed: &[Operation]) -> Option<Found> {
    let (asking, topic, needed) = (Arc::clone(consumer), topic.to_string(), needed.to_vec());
    let lacks = move || {
        let refused = topics::sight(&asking, &topic)? == Sight::Refused;
        let lacks = |o: &Operation| (Outcome::Wrong, topics::lacks(&asking, *o, &topic));
        Ok::<_, KafkaError>(refused.then(|| needed.iter().map(lacks).collect()))
    };
    blocking(lacks).await.ok().flatten()
}

/// What is missing of these rights on a topic that is there.
async fn rights(
    consumer: &Arc<Consumer>,
    topic: &str,
    needed: &[Operation],
    wished: &[Operation],
) -> Found {
    let (asking, topic) = (Arc::clone(consumer), topic.to_string());
    let wanted = [needed, wished].concat();
    let asked = blocking(move || authorized::of_topic(&asking, &topic, &wanted)).await;
    told(asked, wished)
}

fn told(asked: Result<Verdict, LookError>, wished: &[Operation]) -> Found {
    let verdict = match asked {
        Ok(verdict) => verdict,
        Err(error) => return vec![(Outcome::Doubtful, error.to_string())],
    };
    if verdict.is_unknown {
        let text = "the brokers do not tell which operations are allowed (Kafka 2.3 and later do)";
        return vec![(Outcome::Doubtful, text.into())];
    }
    let outcome = |operation| match wished.contains(&operation) {
        true => Outcome::Doubtful,
        false => Outcome::Wrong,
    };
    verdict.lacks.into_iter().map(|(operation, text)| (outcome(operation), text)).collect()
}

async fn suits(admin: &Admin, internal: &Internal<'_>) -> Found {
    let settings = match admin.settings(internal.topic).await {
        Ok(settings) => settings,
        Err(error) => {
            let text = format!(
                "its settings are not known and cannot be compared with what counts need: {error}"
            );
            return vec![(Outcome::Doubtful, text)];
        }
    };
    let told = |found| match found {
        Unfit::Loses(text) => (Outcome::Wrong, text),
        Unfit::May(text) => (Outcome::Doubtful, text),
    };
    internal.compare(&settings).into_iter().map(told).collect()
}
