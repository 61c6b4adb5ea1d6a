//! `[kafka]`: brokers, group, and the librdkafka keys that may be set.

use std::collections::BTreeMap;
use std::path::PathBuf;

use toml::Value;

use crate::common::config::fields::{ConfigFault, Faults, Fields};
use crate::common::config::kerberos::Kerberos;
use crate::common::config::oauthbearer;
use crate::common::config::secret::Secret;

/// How the group shares out partitions; see docs/decisions/0003-assignor.md.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Assignor {
    CooperativeSticky,
    Range,
}

impl Assignor {
    /// librdkafka's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Assignor::CooperativeSticky => "cooperative-sticky",
            Assignor::Range => "range",
        }
    }
}

/// `[kafka]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kafka {
    pub bootstrap_servers: String,
    pub group_id: String,
    pub assignor: Assignor,
    /// librdkafka keys, checked against the lists below.
    pub properties: BTreeMap<String, String>,
    pub secrets: BTreeMap<String, Secret>,
    /// Who the clients are with GSSAPI; [`None`] for the identity of the environment.
    pub kerberos: Option<Kerberos>,
    /// Secrets that can't be read here. Only a client needs them: a command that asks no broker
    /// works without, beside a unit that alone has the credentials.
    pub unreadable: Vec<ConfigFault>,
}

impl Kafka {
    /// What the user set, or else our default.
    #[must_use]
    pub fn property(&self, key: &str, default: &str) -> String {
        self.properties.get(key).map_or(default, String::as_str).to_string()
    }

    /// The files of secrets and keys that everybody on this host can read, in words.
    #[must_use]
    pub fn exposed(&self) -> Vec<String> {
        let keys = self.properties.iter().filter(|(key, _)| KEYS.contains(&key.as_str()));
        let keys =
            keys.map(|(key, path)| (format!("kafka.properties.{key:?}"), PathBuf::from(path)));
        let secrets = self.secrets.iter();
        let secrets = secrets.map(|(key, file)| (format!("kafka.secrets.{key:?}"), file.0.clone()));
        let open = keys.chain(secrets).filter_map(|(key, path)| Secret::exposed(&key, &path));
        let clear = oauthbearer::sends_in_the_clear(&self.properties);
        open.chain(clear).chain(self.unprotected()).collect()
    }

    /// Settings that switch off what protects a login.
    fn unprotected(&self) -> Vec<String> {
        let is = |key: &str, wanted: &[&str]| {
            let value = self.properties.get(key).map(|value| value.to_ascii_lowercase());
            value.is_some_and(|value| wanted.contains(&value.as_str()))
        };
        let mut found = Vec::new();
        let mut warn = |holds: bool, key: &str, text: &str| {
            found.extend(holds.then(|| format!("kafka.properties.{key:?}: {text}")));
        };
        let key = "enable.ssl.certificate.verification";
        let text = "certificates of brokers are not verified, so anybody may play the broker, and \
                    gets the password";
        warn(is(key, &["false"]), key, text);
        let key = "ssl.endpoint.identification.algorithm";
        let text = "names in certificates are not compared with the broker's, so whoever has any \
                    certificate of this authority may play the broker";
        warn(is(key, &["none"]), key, text);
        let protocol = "security.protocol";
        let text = "the password goes over the network in the clear; use sasl_ssl";
        let plain = self.mechanism().as_deref() == Some("PLAIN");
        warn(plain && is(protocol, &["sasl_plaintext"]), protocol, text);
        let sasl = ["sasl.mechanism", "sasl.mechanisms", "sasl.username"];
        let meant = sasl.iter().any(|key| self.properties.contains_key(*key));
        let text = "it names no SASL, so nobody logs in, though a SASL mechanism or user is set; \
                    use sasl_ssl";
        warn(meant && self.mechanism().is_none(), protocol, text);
        found
    }

    /// The files that clients read: secrets, certificates, keys, key tables.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let named = |(key, _): &(&String, &String)| FILES.contains(&key.as_str());
        let named = self.properties.iter().filter(named).map(|(_, path)| PathBuf::from(path));
        let keytab = self.kerberos.as_ref().and_then(|kerberos| kerberos.keytab.as_ref());
        let secrets = self.secrets.values().map(|secret| secret.0.clone());
        named.chain(secrets).chain(keytab.map(PathBuf::from)).collect()
    }

    /// The SASL mechanism in capitals; [`None`] if the clients do not use SASL.
    #[must_use]
    pub fn mechanism(&self) -> Option<String> {
        let property = |key: &str| self.properties.get(key).filter(|value| !value.is_empty());
        let protocol = property("security.protocol")?.to_ascii_lowercase();
        let named = property("sasl.mechanism").or_else(|| property("sasl.mechanisms"));
        // The client library's default.
        let mechanism = named.map_or("GSSAPI", String::as_str);
        protocol.starts_with("sasl").then(|| mechanism.to_ascii_uppercase())
    }
}

/// What a user may set: connection, security, sizes and times. Everything else is either ours
/// (it holds the guarantee) or unheard of.
pub(super) const ALLOWED: &[&str] = &[
    "client.rack",
    "broker.address.family",
    "compression.type",
    "connections.max.idle.ms",
    "debug",
    "enable.ssl.certificate.verification",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "https.ca.location",
    "heartbeat.interval.ms",
    "linger.ms",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "message.max.bytes",
    "metadata.max.age.ms",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.timeout.ms",
    "ssl.ca.certificate.stores",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.sigalgs.list",
    "topic.metadata.refresh.interval.ms",
    "transaction.timeout.ms",
];
/// Those of them that name a file.
const FILES: &[&str] = &[
    "https.ca.location",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.crl.location",
    "ssl.key.location",
    "ssl.keystore.location",
];
/// Those of them whose files nobody else should read.
const KEYS: &[&str] = &["ssl.key.location", "ssl.keystore.location"];
/// Why the client library gets no keytab: it would put it into the command line of a shell.
const KINIT: &str = "the client library would run kinit in a shell. Write kafka.kerberos = { \
                     principal = \"…\", keytab = \"/…\" }";

/// Keys that are refused, with the reason.
const REFUSED: &[(&str, &str)] = &[
    ("auto.offset.reset", "a silent reset would leave a hole in the archive; use start and on_gap"),
    ("bootstrap.servers", "write kafka.bootstrap_servers"),
    ("client.id", "the value is made from daemon.instance"),
    ("enable.auto.commit", "offsets are committed inside the transaction that carries the results"),
    (
        "enable.auto.offset.store",
        "offsets are committed inside the transaction that carries the results",
    ),
    ("enable.idempotence", "transactions need this setting"),
    ("group.id", "write kafka.group_id"),
    (
        "group.instance.id",
        "static members do not leave the group when they stop, so their partitions would wait for \
         the session timeout",
    ),
    ("group.protocol", "the guarantee is tested with the classic protocol only"),
    ("isolation.level", "recovery needs read_committed"),
    ("partition.assignment.strategy", "write kafka.assignor"),
    ("plugin.library.paths", "the setting would load code"),
    ("sasl.kerberos.keytab", KINIT),
    ("sasl.kerberos.kinit.cmd", KINIT),
    ("sasl.kerberos.min.time.before.relogin", KINIT),
    ("sasl.kerberos.principal", KINIT),
    ("ssl.engine.id", "the setting would load code"),
    ("ssl.engine.location", "the setting would load code"),
    ("ssl.providers", "the setting would load code"),
    ("transactional.id", "the value is made from daemon.instance"),
];
/// The keys of librdkafka whose values are secrets.
pub const SECRETS: &[&str] = &[
    "sasl.oauthbearer.client.secret",
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
];

pub(super) fn read(mut f: Fields, faults: &mut Faults) -> Option<Kafka> {
    let servers = servers(&mut f, faults);
    let group = f.text("group_id", faults);
    if group.as_ref().is_some_and(String::is_empty) {
        faults.add(f.key("group_id"), "is empty; write the consumer group's name, as \"alluvium\"");
    }
    let group = f.require(
        "group_id",
        group,
        "the key names the consumer group, for example \"alluvium\"",
        faults,
    );
    let assignors = [Assignor::CooperativeSticky, Assignor::Range].map(|a| (a.name(), a));
    let assignor = f.choice("assignor", &assignors, faults).unwrap_or(Assignor::CooperativeSticky);
    let mut unreadable = Faults::default();
    let mut properties = BTreeMap::new();
    for (name, value) in f.entries("properties", faults) {
        if refuse_unquoted("properties", (&name, &value), ALLOWED, faults) {
            continue;
        }
        let key = format!("kafka.properties.{name:?}");
        if let Some((_, why)) = REFUSED.iter().find(|(k, _)| *k == name) {
            faults.add(key, format!("can't be set: {why}"));
        } else if SECRETS.contains(&name.as_str()) {
            faults.add(key, "is a secret: write it under [kafka.secrets] as { file = \"…\" }");
        } else if !ALLOWED.contains(&name.as_str()) {
            let near = ALLOWED.iter().map(|k| (strsim::damerau_levenshtein(k, &name), k)).min();
            let (_, near) = near.expect("the list is not empty");
            faults.add(
                key,
                format!(
                    "is not among the librdkafka keys that may be set; the nearest is {near:?}"
                ),
            );
        } else if value.get("credential").is_some() {
            let path = Secret::named_by(&value, &key, faults, &mut unreadable);
            properties.extend(path.map(|p| (name, p.0.to_string_lossy().into_owned())));
        } else if let Some(text) = scalar(&value) {
            let _ = properties.insert(name, text);
        } else {
            let shapes = "a string, a number, true or false";
            let file = "{ credential = \"name\" } for the path of a systemd credential";
            faults.add(key, format!("must be {shapes}, or {file}"));
        }
    }
    let mut secrets = BTreeMap::new();
    for (name, value) in f.entries("secrets", faults) {
        if refuse_unquoted("secrets", (&name, &value), SECRETS, faults) {
            continue;
        }
        let key = format!("kafka.secrets.{name:?}");
        if !SECRETS.contains(&name.as_str()) {
            faults.add(
                key,
                format!("is not a key for secrets; these keys are {}", SECRETS.join(", ")),
            );
        } else if let Some(secret) = Secret::named_by(&value, &key, faults, &mut unreadable) {
            let _ = secrets.insert(name, secret);
        }
    }
    let kerberos = f.table("kerberos", faults).and_then(|table| Kerberos::read(table, faults));
    f.finish(faults);
    let unreadable = unreadable.0;
    let (bootstrap_servers, group_id) = (servers?, group?);
    let kafka =
        Kafka { bootstrap_servers, group_id, assignor, properties, secrets, kerberos, unreadable };
    check_login(&kafka, faults);
    Some(kafka)
}

/// Brokers, with commas between them.
fn servers(f: &mut Fields, faults: &mut Faults) -> Option<String> {
    let want = "a string such as \"broker1:9092,broker2:9092\"";
    let servers = f.text_such_as("bootstrap_servers", want, faults);
    let hint = "write bootstrap_servers = \"host:9092\"";
    let servers = f.require("bootstrap_servers", servers, hint, faults)?;
    for server in servers.split(',').map(str::trim) {
        // The client library takes the names of its protocols there, and nothing else.
        let (protocol, place) = match server.split_once("://") {
            // What looks like a path behind them is ignored there.
            Some((protocol, rest)) => (protocol, rest.split('/').next().unwrap_or_default()),
            None => ("plaintext", server),
        };
        let known = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
        let is_known = known.iter().any(|name| name.eq_ignore_ascii_case(protocol));
        let is_odd = |c: char| c.is_whitespace() || c == ';' || c == '/';
        if !is_known || place.contains(is_odd) {
            let key = f.key("bootstrap_servers");
            faults.add(key, format!("{server:?} is not host:port; the key must be {want}"));
        }
    }
    Some(servers)
}

/// Refuses keys that were written without quotes, so that TOML takes them for tables; whether there
/// are any.
fn refuse_unquoted(
    table: &str,
    (name, value): (&str, &Value),
    keys: &[&str],
    faults: &mut Faults,
) -> bool {
    let mut any = false;
    for key in keys {
        let rest = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
        let Some(rest) = rest else { continue };
        if rest.split('.').try_fold(value, |inner, part| inner.get(part)).is_some() {
            any = true;
            faults.add(
                format!("kafka.{table}.{name:?}"),
                format!("put the key in quotes: {key:?} = …"),
            );
        }
    }
    any
}

/// Adds what an identity of Kerberos, or a token, lacks.
fn check_login(kafka: &Kafka, faults: &mut Faults) {
    let mechanism = kafka.mechanism();
    if let Some(kerberos) = &kafka.kerberos {
        if kerberos.keytab.is_none() && kerberos.cache.is_none() {
            faults.add("kafka.kerberos", "needs a keytab, or a cache that another job fills");
        }
        if mechanism.as_deref() != Some("GSSAPI") {
            let set = "set kafka.properties.\"security.protocol\" to \"sasl_ssl\" and \
                       \"sasl.mechanism\" to \"GSSAPI\"";
            faults.add("kafka.kerberos", format!("has a meaning with GSSAPI alone: {set}"));
        }
    }
    let is_set = |key: &str| kafka.properties.contains_key(key);
    let has_secret = |key: &str| {
        let key_of_fault = format!("kafka.secrets.{key:?}");
        kafka.secrets.contains_key(key)
            || kafka.unreadable.iter().any(|fault| fault.key == key_of_fault)
    };
    match mechanism.as_deref() == Some("OAUTHBEARER") {
        true => oauthbearer::check(&kafka.properties, has_secret, faults),
        false => oauthbearer::check_unused(is_set, has_secret, faults),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Integer(n) => Some(n.to_string()),
        Value::Boolean(b) => Some(b.to_string()),
        _ => None,
    }
}
