//! The clients' settings: the user's first, ours last.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError as Rd, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, DefaultProducerContext};
use rdkafka::{ClientConfig, ClientContext};

use crate::clients::kafka::error::KafkaError;
use crate::clients::kafka::queue::BATCH;
use crate::clients::kafka::{gate, identity, key_files, login_hints};
use crate::common::config::{Config, ConfigFault, Kafka, SECRETS};
use crate::common::deadlines;
use crate::common::files;

/// The context of a client that reads for a moment: the end of a partition is no error, and what
/// goes wrong is told by the call that it goes wrong in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: Rd, reason: &str) {
        tracing::debug!(error = %error, "kafka client: {reason}");
        let is_refused = error.rdkafka_error_code() == Some(RDKafkaErrorCode::Authentication);
        if is_refused && !login_hints::lacks_ticket(reason) {
            gate::refused(reason);
        }
    }
}

impl ConsumerContext for Quiet {}

/// Lets a client that nobody polls tell why its question was not answered: a refused login shuts
/// the gate (decision 0018).
pub(super) fn hear(client: &BaseConsumer<Quiet>) {
    /// One event each.
    const EVENTS: usize = 20;
    for _ in 0..EVENTS {
        let _ = client.poll(Duration::ZERO);
    }
}

/// The time between the first two tries of a connection, milliseconds. It is counted from the
/// beginning of the first try, and varies: 375 to 750 milliseconds. A refused login takes some
/// tenths of a second, so it is heard before the client tries again, as a rule (decision 0018).
const FIRST_PAUSE_MS: u64 = 500;

/// Client settings that consumer and producers share; the user's first, ours last.
///
/// # Errors
/// A secret's file can't be read, or a login was refused, and the daemon is about to end.
pub fn base_config(kafka: &Kafka, client_id: &str) -> Result<ClientConfig, KafkaError> {
    gate::is_open()?;
    let mut config = ClientConfig::new();
    let defaults = [
        ("reconnect.backoff.max.ms", "1000"),
        ("socket.timeout.ms", "10000"),
        ("socket.keepalive.enable", "true"),
        // For a broker that collects them, each connection of each client keeps a dozen histograms.
        ("enable.metrics.push", "false"),
    ];
    for (key, value) in defaults {
        let _ = config.set(key, value);
    }
    for (key, value) in &kafka.properties {
        let _ = config.set(key, value);
    }
    if config.get("reconnect.backoff.ms").is_none() {
        // The client library refuses a first pause that is longer than the longest one.
        let longest = config.get("reconnect.backoff.max.ms").and_then(|ms| ms.trim().parse().ok());
        let first = longest.map_or(FIRST_PAUSE_MS, |ms: u64| ms.min(FIRST_PAUSE_MS));
        let _ = config.set("reconnect.backoff.ms", first.to_string());
    }
    if let Some(fault) = kafka.unreadable.first() {
        return Err(KafkaError::new("read a secret", fault));
    }
    if let Some(fault) = identity::fault() {
        return Err(KafkaError::new("be the principal of kafka.kerberos", fault));
    }
    if let Some(kerberos) = &kafka.kerberos {
        let _ = config.set("sasl.kerberos.principal", &kerberos.principal);
    }
    for (key, secret) in &kafka.secrets {
        let text = files::read_text(&secret.0)
            .map_err(|e| KafkaError::new(format!("read {}", secret.0.display()), e))?;
        let _ = config.set(key, text.trim_end_matches(['\r', '\n']));
    }
    let _ = config
        .set("bootstrap.servers", &kafka.bootstrap_servers)
        .set("client.id", client_id)
        // Zero: no kinit is run, which would need a shell (decision 0019).
        .set("sasl.kerberos.min.time.before.relogin", "0")
        .set("allow.auto.create.topics", "false");
    Ok(config)
}

/// The settings that may be kept and shown.
pub(super) fn without_secrets(settings: &ClientConfig) -> ClientConfig {
    let mut shown = settings.clone();
    for key in SECRETS {
        shown.remove(key);
    }
    shown
}

/// What the client may fetch ahead of its readers. The limits hold for each partition, so the
/// number of partitions that fetch is bounded too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prefetch {
    /// The most bytes in the queue of one partition: a full queue is not fetched for.
    queue: u64,
    /// The most bytes of one partition in one answer.
    fetch: u64,
    /// The most bytes of a whole answer. The answer stays in memory until its last record was read.
    answer: u64,
}

impl Prefetch {
    /// What suits a budget for the whole process, in bytes.
    #[must_use]
    pub fn of(memory_bytes: u64) -> Prefetch {
        Prefetch {
            queue: (memory_bytes / 128).clamp(512 << 10, 8 << 20),
            fetch: (memory_bytes / 256).clamp(256 << 10, 1 << 20),
            // librdkafka wants room for a whole record of the size that its producer may send.
            answer: (memory_bytes / 64).clamp(1 << 20, 50 << 20),
        }
    }

    /// What one partition may have fetched before it is read, bytes.
    #[must_use]
    pub fn of_partition(self) -> usize {
        self.queue.saturating_add(self.fetch) as usize
    }
}

/// The consumer's settings; what holds the guarantee is set last.
///
/// # Errors
/// A secret's file can't be read.
pub fn consumer_config(config: &Config) -> Result<ClientConfig, KafkaError> {
    let mut c = base_config(&config.kafka, &format!("alluvium-{}", config.daemon.instance))?;
    // A queued message costs some hundred bytes beside its own.
    let prefetch = Prefetch::of(config.daemon.memory_bytes);
    let user = |key, default| config.kafka.property(key, default);
    let _ = c
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", (prefetch.queue >> 10).to_string())
        .set("fetch.message.max.bytes", prefetch.fetch.to_string())
        .set("fetch.max.bytes", prefetch.answer.to_string())
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
/// The transactional id is `<group_id>-<instance>/<mapping>/<nth>`. The name of an instance has no
/// slash, so two instances can't have the same id.
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

/// The settings that librdkafka refuses, of all clients that the daemon will make: values of a
/// wrong form, values that contradict each other, files that can't be used.
///
/// The clients are made without the address of a broker, and dropped: nothing is connected.
#[must_use]
pub fn refused(config: &Config) -> Vec<ConfigFault> {
    if !config.kafka.unreadable.is_empty() {
        return config.kafka.unreadable.clone();
    }
    if let Some(fault) = identity::fault() {
        return vec![fault];
    }
    let mut faults = incomplete_login(&config.kafka);
    if !faults.is_empty() {
        return faults;
    }
    let settings = [consumer_config(config), producer_config(config, "", 0)];
    for (client, settings) in settings.into_iter().enumerate() {
        let mut settings = match settings {
            Ok(settings) => settings,
            Err(e) => {
                faults.push(ConfigFault::new("kafka.secrets", e));
                continue;
            }
        };
        settings.remove("bootstrap.servers");
        // A value of a wrong form is left out, so that all of them are found at once.
        while let Err(Rd::ClientConfig(_, why, key, _)) = settings.create_native_config() {
            faults.push(fault(&config.kafka, &key, &why));
            settings.remove(&key);
        }
        let made = match client {
            0 => settings.create_with_context::<_, BaseConsumer<Quiet>>(Quiet).map(drop),
            _ => {
                settings.create_with_context::<_, BaseProducer<_>>(DefaultProducerContext).map(drop)
            }
        };
        match made {
            Ok(()) => {}
            Err(Rd::ClientCreation(why)) => {
                let of_a_file = key_files::explained(&config.kafka, &why);
                faults.push(of_a_file.unwrap_or_else(|| fault(&config.kafka, "", &why)));
            }
            Err(e) => faults.push(fault(&config.kafka, "", &e.to_string())),
        }
    }
    faults.sort_by(|a, b| (&a.key, &a.message).cmp(&(&b.key, &b.message)));
    faults.dedup();
    faults
}

/// Secrets that are empty, and a password without a name: the library refuses them without a cause.
fn incomplete_login(kafka: &Kafka) -> Vec<ConfigFault> {
    let mut faults = Vec::new();
    // The library takes an empty password of a key for none, and reads no SASL without a mechanism.
    let is_read = |key: &str| {
        key != "ssl.key.password" && (!key.starts_with("sasl.") || kafka.mechanism().is_some())
    };
    for (key, secret) in kafka.secrets.iter().filter(|(key, _)| is_read(key)) {
        let text = files::read_text(&secret.0);
        if text.is_ok_and(|text| text.trim_end_matches(['\r', '\n']).is_empty()) {
            let why = format!("is empty: {} has nothing in it", secret.0.display());
            faults.push(ConfigFault::new(format!("kafka.secrets.{key:?}"), why));
        }
    }
    let mechanism = kafka.mechanism().unwrap_or_default();
    let has_name = kafka.properties.get("sasl.username").is_some_and(|name| !name.is_empty());
    if (mechanism == "PLAIN" || mechanism.starts_with("SCRAM-")) && !has_name {
        let why = format!("is missing, and {mechanism} logs in with a name and a password");
        faults.push(ConfigFault::new("kafka.properties.\"sasl.username\"", why));
    }
    faults
}

/// A refusal of the client library, by the key of the configuration that it is about. Where the
/// library names no key, its text does: the longest one that the user has set counts, or else the
/// one with the longest value that the text has.
fn fault(kafka: &Kafka, key: &str, why: &str) -> ConfigFault {
    let set = || kafka.properties.keys().chain(kafka.secrets.keys());
    let named = |name: &&String| *name == key || key.is_empty() && why.contains(name.as_str());
    let by_value = || {
        let tells = |value: &str| {
            3 < value.len() && !["true", "false"].contains(&value) && value.parse::<f64>().is_err()
        };
        let is_shown = |value: &str| key.is_empty() && tells(value) && why.contains(value);
        let shown = kafka.properties.iter().filter(|(_, value)| is_shown(value));
        shown.max_by_key(|(_, value)| value.len()).map(|(name, _)| name)
    };
    let found = set().filter(named).max_by_key(|name| name.len()).or_else(by_value);
    let key = match found {
        Some(name) if kafka.secrets.contains_key(name) => format!("kafka.secrets.{name:?}"),
        Some(name) => format!("kafka.properties.{name:?}"),
        None => "kafka.properties".into(),
    };
    // A secret is never shown; the library repeats a value in quotes.
    let why = match key.starts_with("kafka.secrets") {
        true => "the value",
        false => why.trim(),
    };
    ConfigFault::new(key, format!("is refused by the client library: {why}"))
}

/// The version of librdkafka that is running.
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

    #[test]
    fn the_first_pause_is_no_longer_than_the_longest_one() {
        let first = |properties: &str| {
            let text = format!(
                "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[kafka.properties]\n\
                 {properties}\n[archive]\nroot = \"file:///x\"\n[mapping.m]\ntopics = [\"t\"]"
            );
            let config = Config::parse(&text, Some("i")).unwrap_or_else(|e| panic!("{e}"));
            let settings = base_config(&config.kafka, "c").unwrap();
            settings.get("reconnect.backoff.ms").map(String::from)
        };
        assert_eq!(first("").as_deref(), Some("500"));
        assert_eq!(first("\"reconnect.backoff.max.ms\" = 200").as_deref(), Some("200"));
        assert_eq!(first("\"reconnect.backoff.ms\" = 100").as_deref(), Some("100"));
    }

    fn refused_with(properties: &str) -> Vec<String> {
        let text = format!(
            "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[kafka.properties]\n\
             {properties}\n[archive]\nroot = \"file:///x\"\n[mapping.m]\ntopics = [\"t\"]"
        );
        let config = Config::parse(&text, Some("i")).unwrap_or_else(|e| panic!("{e}"));
        refused(&config).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_value_that_the_client_library_refuses_is_a_fault_of_its_key() {
        for (key, value) in [
            ("session.timeout.ms", "abc"),
            ("session.timeout.ms", "0"),
            // Longer than max.poll.interval.ms: seen when a client is made, not before.
            ("session.timeout.ms", "2400000"),
            ("heartbeat.interval.ms", "-1"),
            ("compression.type", "brotli"),
            ("linger.ms", "9999999999"),
            ("security.protocol", "tls"),
            ("socket.keepalive.enable", "perhaps"),
            ("sasl.mechanism", ""),
        ] {
            let found = refused_with(&format!("{key:?} = {value:?}"));
            assert_eq!(found.len(), 1, "{key} = {value}: {found:?}");
            assert!(found[0].starts_with(&format!("kafka.properties.{key:?}: ")), "{found:?}");
        }
        let sasl = "\"security.protocol\" = \"sasl_plaintext\"\n\"sasl.username\" = \"u\"";
        let found = refused_with(&format!("{sasl}\n\"sasl.mechanism\" = \"SCRAM-SHA512\""));
        assert!(found[0].starts_with("kafka.properties.\"sasl.mechanism\": "), "{found:?}");
        let both = refused_with("\"linger.ms\" = \"x\"\n\"retry.backoff.ms\" = \"y\"");
        assert_eq!(both.len(), 2, "all at once: {both:?}");
    }

    #[test]
    fn a_file_that_the_client_cannot_use_is_a_fault() {
        let tls = "\"security.protocol\" = \"ssl\"\n\"ssl.ca.location\" = \"/no/such/file\"";
        let found = refused_with(tls);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("ssl.ca.location"), "{found:?}");
    }

    #[test]
    fn an_empty_password_and_a_missing_name_are_named() {
        let secret = tempfile::NamedTempFile::new().expect("a file");
        let login = |name: &str| {
            refused_with(&format!(
                "\"security.protocol\" = \"sasl_plaintext\"\n\"sasl.mechanism\" = \"PLAIN\"\n\
                 {name}\n[kafka.secrets]\n\"sasl.password\" = {{ file = {:?} }}",
                secret.path()
            ))
        };
        std::fs::write(&secret, "\n").expect("a file");
        let empty = login("\"sasl.username\" = \"a\"");
        assert_eq!(empty.len(), 1, "{empty:?}");
        let start = "kafka.secrets.\"sasl.password\": is empty: ";
        assert!(empty[0].starts_with(start), "{empty:?}");
        std::fs::write(&secret, "secret").expect("a file");
        let nameless = login("");
        assert_eq!(nameless.len(), 1, "{nameless:?}");
        let start = "kafka.properties.\"sasl.username\": is missing";
        assert!(nameless[0].starts_with(start), "{nameless:?}");
        assert_eq!(login("\"sasl.username\" = \"a\""), [""; 0]);
    }

    #[test]
    fn no_client_runs_kinit_in_a_shell() {
        let text = "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\nkerberos = { principal \
                    = \"a@B\", keytab = \"/k\" }\n[kafka.properties]\n\"security.protocol\" = \
                    \"sasl_plaintext\"\n[archive]\nroot = \"file:///x\"\n[mapping.m]\ntopics = \
                    [\"t\"]";
        let config = Config::parse(text, Some("i")).unwrap_or_else(|e| panic!("{e}"));
        for settings in [consumer_config(&config), producer_config(&config, "m", 0)] {
            let settings = settings.expect("settings");
            assert_eq!(settings.get("sasl.kerberos.principal"), Some("a@B"));
            assert_eq!(settings.get("sasl.kerberos.min.time.before.relogin"), Some("0"));
            assert_eq!(settings.get("sasl.kerberos.keytab"), None);
        }
        assert_eq!(refused(&config), []);
    }

    /// That the client library was built with libcurl.
    #[test]
    fn a_client_can_get_tokens() {
        let secret = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&secret, "secret").expect("a secret");
        let oidc = format!(
            "\"security.protocol\" = \"sasl_ssl\"\n\"sasl.mechanism\" = \"OAUTHBEARER\"\n\
             \"sasl.oauthbearer.method\" = \"oidc\"\n\"sasl.oauthbearer.client.id\" = \
             \"alluvium\"\n\"sasl.oauthbearer.token.endpoint.url\" = \"https://idp/token\"\n\
             [kafka.secrets]\n\"sasl.oauthbearer.client.secret\" = {{ file = {:?} }}",
            secret.path()
        );
        assert_eq!(refused_with(&oidc), [""; 0]);
    }

    #[test]
    fn settings_that_the_client_library_takes_are_no_fault() {
        let good = "\"session.timeout.ms\" = 6000\n\"transaction.timeout.ms\" = 5000\n\
                    \"message.max.bytes\" = 90000\n\"compression.type\" = \"zstd\"";
        assert_eq!(refused_with(good), [""; 0]);
    }
}
