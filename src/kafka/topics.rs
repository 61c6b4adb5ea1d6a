//! Which topics exist, and making the output topics.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;

use crate::kafka::group::Consumer;
use crate::kafka::{CALL_TIMEOUT, KafkaError};

/// Names of all topics.
///
/// # Errors
/// No broker answers; the text names them.
pub fn all(consumer: &Consumer, servers: &str) -> Result<Vec<String>, KafkaError> {
    let metadata = consumer.fetch_metadata(None, CALL_TIMEOUT).map_err(|e| {
        KafkaError::new(format!("reach the brokers {servers} (kafka.bootstrap_servers)"), e)
    })?;
    Ok(metadata.topics().iter().filter(|t| t.error().is_none()).map(|t| t.name().into()).collect())
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

/// Makes a topic if it is not there; returns whether it was made.
///
/// # Errors
/// The brokers refuse or don't answer.
pub async fn create(
    config: &ClientConfig,
    name: &str,
    partitions: Option<i32>,
) -> Result<bool, KafkaError> {
    let failed = |e: &dyn std::fmt::Display| KafkaError::new(format!("make topic {name:?}"), e);
    let admin: AdminClient<DefaultClientContext> = config.create().map_err(|e| failed(&e))?;
    // −1: the broker's own defaults (KIP-464).
    let topic = NewTopic::new(name, partitions.unwrap_or(-1), TopicReplication::Fixed(-1));
    let options = AdminOptions::new().operation_timeout(Some(CALL_TIMEOUT));
    let answers = admin.create_topics([&topic], &options).await.map_err(|e| failed(&e))?;
    match answers.into_iter().next() {
        Some(Ok(_)) => Ok(true),
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
        Some(Err((_, code))) => Err(failed(&code)),
        None => Err(failed(&"no answer")),
    }
}
