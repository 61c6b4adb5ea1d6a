//! The first contact with the brokers, and why there is none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer as _;
use rdkafka::metadata::MetadataTopic;

use crate::clients::kafka::client_errors::{FaultClass, LoginFault, Security};
use crate::clients::kafka::error::{CALL_TIMEOUT, KafkaError};
use crate::clients::kafka::group::{self, Consumer};
use crate::clients::kafka::identity;
use crate::clients::kafka::tls::{self, Handshake};
use crate::clients::kafka::token_server::{self, TokenServer};

/// How long one look waits for a broker.
const LOOK: Duration = Duration::from_millis(200);

/// After the first refusal of a login the client may try once more: each try counts where accounts
/// are locked.
const AFTER_REFUSAL: Duration = Duration::from_millis(300);

/// The most events of the client that are taken after each question.
const EVENTS: usize = 200;

/// The most partitions whose leaders a new client asks: one that does not answer is no proof, and
/// each may take the whole time of a call.
const LEADERS: usize = 3;

/// What a client finds that is made for this question alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trial {
    /// The brokers name each other, and one that they name answers.
    Answers,
    NoAnswer,
    /// The brokers refuse its login, for this reason.
    LoginRefused(String),
}

/// The brokers do not answer, or not to this client.
#[derive(Clone, Debug, thiserror::Error)]
#[error("reach the brokers {servers} (kafka.bootstrap_servers): {text}")]
pub struct NoContact {
    servers: String,
    text: String,
    class: Option<FaultClass>,
}

impl NoContact {
    /// Whether the brokers refuse the login.
    #[must_use]
    pub fn is_refused_login(&self) -> bool {
        self.class == Some(FaultClass::Login)
    }

    /// Whether another try can't help before a person has mended a setting or a secret.
    #[must_use]
    pub fn is_misconfigured(&self) -> bool {
        self.class.is_some_and(FaultClass::is_misconfigured)
    }
}

/// Waits until any broker answers. To be called before anybody polls the consumer: it is polled
/// here, because the client says only then why it has no connection.
///
/// # Errors
/// No broker answers; the error says why, as far as it can be found out.
pub fn first_contact(consumer: &Arc<Consumer>) -> Result<(), NoContact> {
    let errors = consumer.context().errors();
    let settings = consumer.context().settings();
    if meets(consumer) {
        return Ok(());
    }
    let servers = settings.get("bootstrap.servers").unwrap_or_default().to_string();
    let fault = explained(errors.fault(), &servers, settings);
    let (text, class) = match fault.or_else(|| silent(&servers, settings)) {
        Some(fault) => (fault.text, Some(fault.class)),
        None => {
            let why = errors.of_connection().unwrap_or_else(|| "no broker answers".into());
            (format!("{why}. Is a broker up there, and is the address right?"), None)
        }
    };
    if class == Some(FaultClass::Silent) {
        // To end a client takes as long as its thread waits for the KDC or the token server, which
        // may be more than a minute. This one is left behind: the process ends.
        std::mem::forget(Arc::clone(consumer));
    }
    Err(NoContact { servers, text, class })
}

/// Polls a client until any broker answers, until it is known that none will, or until the time of
/// a call is over; whether one answers.
fn meets(consumer: &Consumer) -> bool {
    let errors = consumer.context().errors();
    let deadline = Instant::now() + CALL_TIMEOUT;
    let mut refused_at = None;
    while Instant::now() < deadline {
        if consumer.client().fetch_cluster_id(LOOK).is_some() {
            errors.connected();
            return true;
        }
        // One event each.
        for _ in 0..EVENTS {
            let _ = consumer.poll(Duration::ZERO);
        }
        let class = errors.fault().map(|fault| fault.class);
        let may_end = |class| !matches!(class, FaultClass::Closed | FaultClass::Silent);
        if class.is_some_and(may_end) {
            let at = *refused_at.get_or_insert_with(Instant::now);
            if AFTER_REFUSAL < at.elapsed() {
                break;
            }
        }
    }
    false
}

/// Asks the brokers by a new client, as one that has just been started would. An address of
/// `bootstrap.servers` that answers is not enough: the client that is cut off may know brokers by
/// addresses that nobody reaches, and a new one would soon be cut off, too.
///
/// # Errors
/// The client library refuses the settings.
pub fn try_anew(settings: &ClientConfig, topics: &[String]) -> Result<Trial, KafkaError> {
    let consumer = group::observer(settings)?;
    if !meets(&consumer) {
        let refusal = consumer.context().errors().take_refusal();
        return Ok(refusal.map_or(Trial::NoAnswer, Trial::LoginRefused));
    }
    let answers = topics.iter().any(|topic| is_served(&consumer, topic));
    Ok(if answers { Trial::Answers } else { Trial::NoAnswer })
}

/// Whether the brokers name each other, and a leader of the topic answers. One topic that does not
/// is no proof: it may be deleted.
fn is_served(consumer: &Consumer, topic: &str) -> bool {
    let Ok(metadata) = consumer.fetch_metadata(Some(topic), CALL_TIMEOUT) else { return false };
    if metadata.brokers().is_empty() {
        return false;
    }
    let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
    let mut some = partitions.map(|partition| partition.id()).take(LEADERS);
    some.any(|id| consumer.fetch_watermarks(topic, id, CALL_TIMEOUT).is_ok())
}

/// Who else than a broker is silent, if none answers: the client waits for a ticket or a token
/// without a word.
fn silent(servers: &str, settings: &ClientConfig) -> Option<LoginFault> {
    let security = Security::of(settings);
    if security.is_kerberos() {
        let first = servers.split(',').next().unwrap_or_default();
        let address = first.rsplit_once("://").map_or(first, |(_, address)| address);
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let service = settings.get("sasl.kerberos.service.name").unwrap_or("kafka");
        let text = identity::silent_kdc(&format!("{service}/{}", host.trim()))?;
        return Some(LoginFault { class: FaultClass::Silent, text });
    }
    match token_server::ask(security.token_server()?) {
        TokenServer::Silent(why) => Some(security.silent_token_server(&why)),
        TokenServer::Answers(_) | TokenServer::Unknown => None,
    }
}

/// A fault with its cause, for which a handshake is tried where the client library does not tell.
pub(super) fn explained(
    fault: Option<LoginFault>,
    servers: &str,
    settings: &ClientConfig,
) -> Option<LoginFault> {
    let security = Security::of(settings);
    let class = fault.as_ref().map(|fault| fault.class);
    match class {
        Some(FaultClass::Untrusted) => {
            let Handshake::Untrusted(cause) = tls::shake_hands(servers, settings) else {
                return fault;
            };
            Some(cause)
        }
        Some(FaultClass::Closed) | None if security.has_tls() => {
            if tls::shake_hands(servers, settings) != Handshake::NoTls {
                return fault;
            }
            let text = format!(
                "{servers} accepts connections and does not speak TLS: if the port is for another \
                 protocol, set kafka.properties.\"security.protocol\" to \"plaintext\" or \
                 \"sasl_plaintext\""
            );
            Some(LoginFault { class: FaultClass::Closed, text })
        }
        Some(FaultClass::Closed) => {
            let speaks = tls::shake_hands(servers, settings);
            if !matches!(speaks, Handshake::Trusted | Handshake::Untrusted(_)) {
                return fault;
            }
            let text = format!(
                "{servers} is a port for TLS: set kafka.properties.\"security.protocol\" to \
                 \"ssl\" or \"sasl_ssl\""
            );
            Some(LoginFault { class: FaultClass::Setting, text })
        }
        Some(FaultClass::Login) => {
            let certificate = settings.get("ssl.certificate.location");
            let of_certificate = fault.as_ref().is_some_and(|f| f.text.contains("certificate"));
            let expired = certificate.filter(|_| of_certificate).and_then(tls::expired_file);
            let Some(at) = expired else { return fault };
            let text = format!(
                "the brokers refuse the client's certificate, which has expired at {at}: put a new \
                 one into kafka.properties.\"ssl.certificate.location\""
            );
            Some(LoginFault { class: FaultClass::Login, text })
        }
        _ => fault,
    }
}
