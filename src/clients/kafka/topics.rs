//! Which topics exist, and making those that the daemon writes to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError as Rd, RDKafkaErrorCode};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka_sys::rd_kafka_ResourceType_t as Kind;

use crate::clients::kafka::contact::{self, NoContact};
use crate::clients::kafka::describe::{self, NotDescribed};
use crate::clients::kafka::error::{CALL_TIMEOUT, KafkaError};
use crate::clients::kafka::gate;
use crate::clients::kafka::group::{self, Consumer};
use crate::clients::kafka::rights::{self, Operation, Resource, Rights};
use crate::clients::kafka::settings::base_config;
use crate::common::config::Kafka;
use crate::common::retry::{self, Pauses};

/// A topic and the number of its partitions.
pub type Topic = (String, usize);

/// All topics.
///
/// # Errors
/// No broker answers; the text names them.
pub fn all(consumer: &Consumer, servers: &str) -> Result<Vec<Topic>, KafkaError> {
    let metadata = consumer.fetch_metadata(None, CALL_TIMEOUT).map_err(|e| {
        KafkaError::new(format!("reach the brokers {servers} (kafka.bootstrap_servers)"), e)
    })?;
    let there = metadata.topics().iter().filter(|t| t.error().is_none());
    Ok(there.map(|t| (t.name().into(), t.partitions().len())).collect())
}

/// What the brokers say of a topic when they are asked for it by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sight {
    /// With so many partitions.
    There(usize),
    Absent,
    /// They refuse to tell this client of it, be it there or not.
    Refused,
}

impl Sight {
    /// Whether the brokers certainly do not have this partition.
    #[must_use]
    pub fn lacks(self, partition: i32) -> bool {
        match self {
            Sight::There(n) => i32::try_from(n).is_ok_and(|n| n <= partition),
            Sight::Absent => true,
            Sight::Refused => false,
        }
    }
}

/// Asks for a topic by its name.
///
/// # Errors
/// No broker answers.
pub fn sight(consumer: &Consumer, topic: &str) -> Result<Sight, KafkaError> {
    let metadata = consumer
        .fetch_metadata(Some(topic), CALL_TIMEOUT)
        .map_err(|e| KafkaError::new(format!("ask for topic {topic:?}"), e))?;
    let mut answers = metadata.topics().iter();
    Ok(match answers.next() {
        Some(t) if t.error().is_some_and(rights::is_of_topic) => Sight::Refused,
        Some(t) if !t.partitions().is_empty() => Sight::There(t.partitions().len()),
        _ => Sight::Absent,
    })
}

/// Says that the operation on a topic is not allowed, and how to allow it.
#[must_use]
pub fn lacks(consumer: &Consumer, operation: Operation, topic: &str) -> String {
    consumer.context().rights().lacks(operation, Resource::Topic(topic))
}

/// Asks any broker, by way of one topic.
///
/// # Errors
/// No broker answers; the text says why the last connection failed, if the client knows.
pub fn reach(consumer: &Consumer, topic: &str) -> Result<(), KafkaError> {
    let errors = consumer.context().errors();
    match consumer.fetch_metadata(Some(topic), CALL_TIMEOUT) {
        Ok(_) => {
            errors.connected();
            Ok(())
        }
        Err(e) => {
            let settings = consumer.context().settings();
            let servers = settings.get("bootstrap.servers").unwrap_or_default();
            let fault = errors.fault().and_then(|f| contact::explained(Some(f), servers, settings));
            let why = fault.map(|fault| fault.text).or_else(|| errors.of_connection());
            Err(KafkaError::new("ask the brokers", why.unwrap_or_else(|| e.to_string())))
        }
    }
}

/// The refusal of this client's login, if there was one since this was asked last.
#[must_use]
pub fn refused_login(consumer: &Consumer) -> Option<String> {
    consumer.context().errors().take_refusal()
}

/// There is no list of the topics.
#[derive(Debug, thiserror::Error)]
pub enum NotListed {
    /// No broker answers, or none takes this client.
    #[error(transparent)]
    NoContact(#[from] NoContact),
    /// A broker has answered before, and this call has failed.
    #[error(transparent)]
    Failed(#[from] KafkaError),
}

/// All topics, as brokers list them to somebody without any settings.
///
/// # Errors
/// No broker answers; the text names their addresses, and says why none does.
pub fn listed(kafka: &Kafka) -> Result<Vec<Topic>, NotListed> {
    let name = "alluvium-init";
    let mut client = base_config(kafka, name)?;
    let _ = client.set("group.id", name);
    let consumer = group::observer(&client)?;
    contact::first_contact(&consumer)?;
    Ok(all(&consumer, &kafka.bootstrap_servers)?)
}

/// Partitions of a topic, in order; empty for one that does not exist.
///
/// # Errors
/// No broker answers.
pub fn partitions(consumer: &Consumer, topic: &str) -> Result<Vec<i32>, KafkaError> {
    let metadata = consumer
        .fetch_metadata(Some(topic), CALL_TIMEOUT)
        .map_err(|e| KafkaError::new(format!("ask for the partitions of {topic:?}"), e))?;
    let of = metadata.topics().iter().filter(|t| t.name() == topic && t.error().is_none());
    let mut all: Vec<i32> = of.flat_map(|t| t.partitions()).map(|p| p.id()).collect();
    all.sort_unstable();
    Ok(all)
}

/// The values of settings, by name.
pub type Settings = BTreeMap<String, String>;

/// The id of a broker.
///
/// # Errors
/// No broker answers.
pub fn any_broker(consumer: &Consumer) -> Result<i32, KafkaError> {
    let failed = |e: &dyn std::fmt::Display| KafkaError::new("ask for the brokers", e);
    let metadata = consumer.fetch_metadata(None, CALL_TIMEOUT).map_err(|e| failed(&e))?;
    metadata.brokers().first().map(|b| b.id()).ok_or_else(|| failed(&"there is none"))
}

/// The ids of the leaders of partitions, by topic; none of a partition that has none.
pub type Leaders = HashMap<String, HashMap<i32, Option<i32>>>;

/// The leaders of all partitions, as any broker names them.
///
/// # Errors
/// No broker answers.
pub fn leaders(consumer: &Consumer) -> Result<Leaders, KafkaError> {
    let metadata = consumer
        .fetch_metadata(None, CALL_TIMEOUT)
        .map_err(|e| KafkaError::new("ask for the brokers", e))?;
    let leader = |p: &MetadataPartition| (p.id(), Some(p.leader()).filter(|id| 0 <= *id));
    let topic =
        |t: &MetadataTopic| (t.name().to_string(), t.partitions().iter().map(leader).collect());
    Ok(metadata.topics().iter().map(topic).collect())
}

/// How long the brokers keep a topic's records by its settings, milliseconds; [`None`] for ever.
#[must_use]
pub fn retention(settings: &Settings) -> Option<i64> {
    let value = |key| settings.get(key).map(String::as_str);
    if value("cleanup.policy").is_some_and(|policy| !policy.contains("delete")) {
        return None;
    }
    value("retention.ms").and_then(|v| v.parse().ok()).filter(|ms| 0 <= *ms)
}

/// Whether the brokers delete the oldest records of a topic where its logs grow too large.
#[must_use]
pub fn is_limited_in_size(settings: &Settings) -> bool {
    let most = settings.get("retention.bytes").and_then(|v| v.parse::<i64>().ok());
    most.is_some_and(|bytes| 0 <= bytes)
}

/// Whether the brokers stamp the records of a topic with their own time.
#[must_use]
pub fn is_stamped(settings: &Settings) -> bool {
    settings.get("message.timestamp.type").is_some_and(|kind| kind == "LogAppendTime")
}

/// The newest timestamp of a topic, milliseconds since 1970; [`None`] if the topic is empty. The
/// call blocks.
///
/// # Errors
/// No broker answers, or the brokers are older than Kafka 3.0.
pub fn newest_stamp(
    consumer: &Consumer,
    topic: &str,
    partitions: usize,
) -> Result<Option<i64>, KafkaError> {
    let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
    describe::newest(consumer, topic, partitions)
        .map_err(|e| KafkaError::new(format!("ask for the newest timestamp of topic {topic:?}"), e))
}

/// How often settings are asked for: a topic that was just made is not known to every broker.
const ASKED: u32 = 6;

/// Between two such questions.
const ASKED_AGAIN: Duration = Duration::from_millis(400);

/// Whether the client library has given up the handle of the broker that it was about to ask. It
/// does so when the brokers tell it their list for the first time, or another list, and does not
/// ask again by itself (`rdkafka_broker.c`, `RD_KAFKA_RESP_ERR__DESTROY_BROKER`).
fn is_given_up(error: &Rd) -> bool {
    // `rdkafka_error_code` knows no code of this kind of error (rust-rdkafka 0.39).
    matches!(error, Rd::AdminOp(RDKafkaErrorCode::DestroyBroker))
}

/// The answer to a question, which is asked up to three times more where [`is_given_up`] says so.
async fn answered<T, F: Future<Output = Result<T, Rd>>>(ask: impl FnMut() -> F) -> Result<T, Rd> {
    let pauses = Pauses { first: Duration::from_millis(100), longest: Duration::from_secs(1) };
    retry::bounded(pauses, 3, is_given_up, ask).await
}

/// Asks the brokers for settings, and makes topics.
pub struct Admin {
    client: Arc<AdminClient<DefaultClientContext>>,
    rights: Rights,
}

impl Admin {
    /// A client of its own: one serves any number of questions.
    ///
    /// # Errors
    /// The client library refuses the configuration.
    pub fn new(config: &ClientConfig) -> Result<Admin, KafkaError> {
        let made = config.create().map_err(|e| KafkaError::new("make a client", e));
        let client: Arc<AdminClient<DefaultClientContext>> = Arc::new(made?);
        gate::guard(client.inner());
        Ok(Admin { client, rights: Rights::of(config, "") })
    }

    /// The settings of a topic, with the brokers' defaults.
    ///
    /// # Errors
    /// No broker answers, or the topic's settings may not be read.
    pub async fn settings(&self, topic: &str) -> Result<Settings, KafkaError> {
        let of = (ResourceSpecifier::Topic(topic), Resource::Topic(topic));
        self.describe(of, &format!("topic {topic:?}")).await
    }

    /// The settings of a broker.
    ///
    /// # Errors
    /// As [`Admin::settings`].
    pub async fn broker_settings(&self, id: i32) -> Result<Settings, KafkaError> {
        let of = (ResourceSpecifier::Broker(id), Resource::Cluster);
        self.describe(of, &format!("broker {id}")).await
    }

    async fn describe(
        &self,
        (specifier, resource): (ResourceSpecifier<'_>, Resource<'_>),
        shown: &str,
    ) -> Result<Settings, KafkaError> {
        let failed = |e: &dyn std::fmt::Display| {
            KafkaError::new(format!("ask for the settings of {shown}"), e)
        };
        let options = AdminOptions::new().request_timeout(Some(CALL_TIMEOUT));
        let mut why = None;
        for nth in 0..ASKED {
            if 0 < nth {
                tokio::time::sleep(ASKED_AGAIN).await;
            }
            let ask = || self.client.describe_configs([&specifier], &options);
            let answer = answered(ask).await.map_err(|e| failed(&e))?.into_iter().next();
            let settings = answer.ok_or_else(|| failed(&"no answer"))?.map_err(|e| failed(&e))?;
            if !settings.entries.is_empty() {
                let all = settings.entries.into_iter();
                return Ok(all.filter_map(|e| Some((e.name, e.value?))).collect());
            }
            // rust-rdkafka (0.39) gives no error of a resource, and a resource without any setting.
            match self.why_none(&specifier).await {
                Err(error) if error.is_refused() => {
                    return Err(failed(&self.rights.lacks(Operation::DescribeConfigs, resource)));
                }
                Err(error) => why = Some(error),
                Ok(()) => {}
            }
        }
        Err(why.map_or_else(|| failed(&"the answer is empty"), |why| failed(&why)))
    }

    /// Why the brokers have given no settings; none if they give them now.
    async fn why_none(&self, of: &ResourceSpecifier<'_>) -> Result<(), NotDescribed> {
        let (kind, name) = match of {
            ResourceSpecifier::Topic(name) => (Kind::RD_KAFKA_RESOURCE_TOPIC, name.to_string()),
            ResourceSpecifier::Group(name) => (Kind::RD_KAFKA_RESOURCE_GROUP, name.to_string()),
            ResourceSpecifier::Broker(id) => (Kind::RD_KAFKA_RESOURCE_BROKER, id.to_string()),
        };
        let client = Arc::clone(&self.client);
        let asked = move || describe::settings(client.inner(), kind, &name);
        // A question that was ended has no answer.
        tokio::task::spawn_blocking(asked).await.unwrap_or(Ok(()))
    }

    /// Makes a topic if it is not there; returns whether it was made.
    ///
    /// # Errors
    /// The brokers refuse or don't answer.
    pub async fn create(
        &self,
        name: &str,
        partitions: Option<i32>,
        replication: Option<i32>,
        settings: &[(&str, &str)],
    ) -> Result<bool, KafkaError> {
        let options = AdminOptions::new().operation_timeout(Some(CALL_TIMEOUT));
        self.ask_for(new(name, partitions, replication, settings), &options).await
    }

    /// Asks whether a topic could be made; nothing is made.
    ///
    /// # Errors
    /// The brokers would refuse, or they don't answer.
    pub async fn could_create(
        &self,
        name: &str,
        partitions: Option<i32>,
        replication: Option<i32>,
        settings: &[(&str, &str)],
    ) -> Result<(), KafkaError> {
        let options = AdminOptions::new().operation_timeout(Some(CALL_TIMEOUT)).validate_only(true);
        self.ask_for(new(name, partitions, replication, settings), &options).await.map(drop)
    }

    async fn ask_for(
        &self,
        topic: NewTopic<'_>,
        options: &AdminOptions,
    ) -> Result<bool, KafkaError> {
        let name = topic.name;
        let failed = |e: &dyn std::fmt::Display| KafkaError::new(format!("make topic {name:?}"), e);
        let ask = || self.client.create_topics([&topic], options);
        let answers = answered(ask).await.map_err(|e| failed(&e))?;
        match answers.into_iter().next() {
            Some(Ok(_)) => Ok(true),
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
            Some(Err((
                _,
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed,
            ))) => Err(failed(&self.rights.lacks(Operation::Create, Resource::Topic(name)))),
            Some(Err((_, code))) => Err(failed(&code)),
            None => Err(failed(&"no answer")),
        }
    }
}

/// A topic that is to be made.
fn new<'a>(
    name: &'a str,
    partitions: Option<i32>,
    replication: Option<i32>,
    settings: &[(&'a str, &'a str)],
) -> NewTopic<'a> {
    // −1: the broker's own defaults (KIP-464).
    let replication = TopicReplication::Fixed(replication.unwrap_or(-1));
    let topic = NewTopic::new(name, partitions.unwrap_or(-1), replication);
    settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_question_whose_broker_handle_was_given_up_is_asked_again() {
        assert!(is_given_up(&Rd::AdminOp(RDKafkaErrorCode::DestroyBroker)));
        assert!(!is_given_up(&Rd::AdminOp(RDKafkaErrorCode::TopicAuthorizationFailed)));
        assert!(!is_given_up(&Rd::AdminOp(RDKafkaErrorCode::OperationTimedOut)));
    }
}
