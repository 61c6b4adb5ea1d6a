//! The clients' settings: the user's first, ours last.

use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError as Rd;
use rdkafka::{ClientConfig, ClientContext};

use crate::clients::kafka::error::KafkaError;
use crate::clients::kafka::queue::BATCH;
use crate::common::config::{Config, Kafka};
use crate::common::deadlines;

/// The context of a client that reads for a moment: the end of a partition is no error, and what
/// goes wrong is told by the call that it goes wrong in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: Rd, reason: &str) {
        tracing::debug!(error = %error, "kafka client: {reason}");
    }
}

impl ConsumerContext for Quiet {}

/// Client settings that consumer and producers share; the user's first, ours last.
///
/// # Errors
/// A secret's file can't be read.
pub fn base_config(kafka: &Kafka, client_id: &str) -> Result<ClientConfig, KafkaError> {
    let mut config = ClientConfig::new();
    let defaults = [
        ("reconnect.backoff.max.ms", "1000"),
        ("socket.timeout.ms", "10000"),
        ("socket.keepalive.enable", "true"),
    ];
    for (key, value) in defaults {
        let _ = config.set(key, value);
    }
    for (key, value) in &kafka.properties {
        let _ = config.set(key, value);
    }
    for (key, secret) in &kafka.secrets {
        let text = std::fs::read_to_string(&secret.0)
            .map_err(|e| KafkaError::new(format!("read {}", secret.0.display()), e))?;
        let _ = config.set(key, text.trim_end_matches(['\r', '\n']));
    }
    let _ = config
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("client.id", client_id)
        .set("allow.auto.create.topics", "false");
    Ok(config)
}

/// The consumer's settings; what holds the guarantee is set last.
///
/// # Errors
/// A secret's file can't be read.
pub fn consumer_config(config: &Config) -> Result<ClientConfig, KafkaError> {
    let mut c = base_config(&config.kafka, &format!("alluvium-{}", config.daemon.instance))?;
    // A queued message costs some hundred bytes beside its own, and the limits hold per partition.
    let prefetch_kib = (config.daemon.memory_bytes / 1024 / 128).clamp(1_024, 8_192);
    let user = |key, default| config.kafka.property(key, default);
    let _ = c
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", prefetch_kib.to_string())
        .set("fetch.queue.backoff.ms", "5")
        // There is one request under way a broker. While queues are full it asks for idle
        // partitions alone, and those that drain meanwhile wait until the broker answers it.
        .set("fetch.wait.max.ms", user("fetch.wait.max.ms", "50"))
        .set("max.poll.interval.ms", user("max.poll.interval.ms", "300000"))
        // A member hears of a rebalance with its next heartbeat, and cooperative-sticky takes two
        // rebalances (docs/decisions/0003-assignor.md).
        .set("heartbeat.interval.ms", user("heartbeat.interval.ms", "1000"))
        .set("group.id", &config.kafka.group_id)
        .set("partition.assignment.strategy", config.kafka.assignor.name())
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("consume.callback.max.messages", BATCH.to_string())
        .set("check.crcs", "true");
    Ok(c)
}

/// The settings of the producer that repairs: two repairs of one group fence each other.
///
/// # Errors
/// A secret's file can't be read.
pub fn repair_config(config: &Config) -> Result<ClientConfig, KafkaError> {
    let mut c = producer_config(config, "", 0)?;
    let _ = c.set("transactional.id", format!("{}-repair", config.kafka.group_id));
    Ok(c)
}

/// The settings of the producer of a mapping's `nth` worker.
///
/// The transactional id is `<group_id>-<instance>/<mapping>/<nth>`. The name of an
/// instance has no slash, so two instances can't have the same id.
///
/// # Errors
/// A secret's file can't be read.
pub fn producer_config(
    config: &Config,
    mapping: &str,
    nth: usize,
) -> Result<ClientConfig, KafkaError> {
    let instance = &config.daemon.instance;
    let mut c = base_config(&config.kafka, &format!("alluvium-{instance}-{mapping}-{nth}"))?;
    let user = |key, default| config.kafka.property(key, default);
    let default = deadlines::TRANSACTION_TIMEOUT.as_millis().to_string();
    let transaction_timeout = user("transaction.timeout.ms", &default);
    // librdkafka refuses a socket's timeout that is longer than a transaction's.
    let socket_timeout = user("socket.timeout.ms", "10000");
    let shorter = |a: &str, b: &str| match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.min(b).to_string(),
        _ => a.to_string(),
    };
    let _ = c
        .set("socket.timeout.ms", shorter(&socket_timeout, &transaction_timeout))
        .set("compression.type", user("compression.type", "lz4"))
        // A batch goes out when it is full, or when the commit flushes. With a short linger, small
        // batches soon use up the five requests that may be under way for a partition, and then
        // librdkafka's thread spins until one is answered.
        .set("linger.ms", user("linger.ms", "1000"))
        .set("transaction.timeout.ms", &transaction_timeout)
        // Where a Java producer would put the key, so that streams can be joined with the counts;
        // the empty key, too, always lies in one partition.
        .set("partitioner", "murmur2")
        .set("queue.buffering.max.messages", "60000")
        .set("delivery.report.only.error", "true")
        .set("queue.buffering.max.kbytes", "16384")
        .set("enable.idempotence", "true")
        .set("transactional.id", transactional_id(&config.kafka.group_id, instance, mapping, nth));
    Ok(c)
}

fn transactional_id(group_id: &str, instance: &str, mapping: &str, nth: usize) -> String {
    format!("{group_id}-{instance}/{mapping}/{nth}")
}

/// Of librdkafka, as it runs.
#[must_use]
pub fn library_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_and_mappings_with_similar_names_have_different_transactional_ids() {
        let names = ["a", "a-b", "b", "a-b-c", "b-c", "c", "a-0", "0"];
        let mut all = std::collections::BTreeSet::new();
        for instance in names {
            for mapping in names {
                for nth in 0..12 {
                    let id = transactional_id("g", instance, mapping, nth);
                    assert!(id.starts_with("g-"), "access lists name this prefix");
                    assert!(all.insert(id), "{instance} {mapping} {nth}");
                }
            }
        }
    }
}
