//! What the brokers allow to this client, without trying it: nothing is read, written or joined.

use rdkafka::consumer::Consumer as _;

use crate::clients::kafka::describe::{self, Allowed, NotDescribed};
use crate::clients::kafka::error::KafkaError;
use crate::clients::kafka::group::Consumer;
use crate::clients::kafka::rights::{Operation, Resource};

/// Which operations on something are allowed, of those that are wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Each operation that is not allowed, with the command that allows it.
    pub lacks: Vec<(Operation, String)>,
    /// The brokers do not tell what is allowed: they are older than Kafka 2.3.
    pub is_unknown: bool,
}

/// Asks which operations on a topic that exists are allowed. Blocks.
///
/// # Errors
/// No broker answers, or the topic is not there.
pub fn of_topic(
    consumer: &Consumer,
    topic: &str,
    wanted: &[Operation],
) -> Result<Verdict, KafkaError> {
    let asked = describe::topic(consumer, topic).map(|described| described.allowed);
    verdict(consumer, asked, Resource::Topic(topic), wanted)
        .map_err(|e| KafkaError::new(format!("ask what is allowed on topic {topic:?}"), e))
}

/// Asks which operations on the group are allowed; the group is not joined. Blocks.
///
/// # Errors
/// No broker answers.
pub fn of_group(consumer: &Consumer, wanted: &[Operation]) -> Result<Verdict, KafkaError> {
    let group = consumer.context().rights().group().to_string();
    let asked = describe::group(consumer, &group);
    verdict(consumer, asked, Resource::Group, wanted)
        .map_err(|e| KafkaError::new(format!("ask what is allowed on group {group:?}"), e))
}

fn verdict(
    consumer: &Consumer,
    asked: Result<Allowed, NotDescribed>,
    on: Resource<'_>,
    wanted: &[Operation],
) -> Result<Verdict, NotDescribed> {
    let allowed = match asked {
        // Whoever may do anything with it may ask.
        Err(e) if e.is_refused() => Some(Default::default()),
        asked => asked?,
    };
    let rights = consumer.context().rights();
    let is_missing = |o: &&Operation| allowed.as_ref().is_some_and(|all| !all.contains(o));
    let missing = wanted.iter().filter(is_missing);
    let lacks = missing.map(|operation| (*operation, rights.lacks(*operation, on))).collect();
    Ok(Verdict { lacks, is_unknown: allowed.is_none() })
}
