//! What a client says by itself of its connections.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::error::{KafkaError as Rd, RDKafkaErrorCode};

use crate::clients::kafka::client_errors::{FaultClass, LoginFault, Security};
use crate::clients::kafka::gate;

/// The facility of a log line about a connection that has failed.
const FAILED: &str = "FAIL";

/// Part of what is said where nobody listens at a port.
const NOBODY: &str = "Connection refused";

/// What is said of closed connections if it can't be the port that is wrong.
const GONE: &str = "the connections to the brokers were closed or are refused: are the brokers up?";

/// What the client said.
#[derive(Debug)]
pub(super) struct Errors {
    security: Security,
    /// The latest error of a connection, until a broker answers.
    connection: Mutex<Option<String>>,
    /// Why connections can't be used, until a broker answers.
    fault: Mutex<Option<LoginFault>>,
    /// The latest refusal of a login, until somebody takes it.
    refusal: Mutex<Option<String>>,
    /// Any other error that was logged.
    logged: Mutex<Option<String>>,
    /// Whether a broker has ever answered.
    has_answered: AtomicBool,
    /// A refused login of this client ends no daemon: somebody else judges it.
    is_observer: AtomicBool,
}

impl Errors {
    pub(super) fn of(security: Security) -> Errors {
        let (connection, fault, refusal, logged) = Default::default();
        let has_answered = AtomicBool::new(false);
        let is_observer = AtomicBool::new(false);
        Errors { security, connection, fault, refusal, logged, has_answered, is_observer }
    }

    /// Whoever has made this client looks whether its login was refused.
    pub(super) fn are_of_an_observer(&self) {
        self.is_observer.store(true, Ordering::Relaxed);
    }

    /// A line of the client's log.
    pub(super) fn hear_line(&self, facility: &str, line: &str) {
        if facility == FAILED {
            self.hear(line);
        }
    }

    fn hear(&self, text: &str) {
        let Some(mut fault) = self.security.fault(text) else {
            if text.contains(NOBODY) {
                self.note_refusal();
            }
            return;
        };
        // The port is the right one: a broker has answered there.
        if fault.class == FaultClass::Closed && self.has_answered.load(Ordering::Relaxed) {
            fault.text = GONE.into();
        }
        if fault.class == FaultClass::Login {
            *self.refusal.lock() = Some(fault.text.clone());
            if !self.is_observer.load(Ordering::Relaxed) {
                gate::refused(&fault.text);
            }
        }
        let mut known = self.fault.lock();
        // What is closed says less than anything else.
        if fault.class != FaultClass::Closed || known.is_none() {
            *known = Some(fault);
        }
    }

    /// Nobody listens at a port: others may close connections because brokers end. One name may
    /// stand for two addresses of which nobody listens at the first, so the port is doubted, too.
    fn note_refusal(&self) {
        let mut known = self.fault.lock();
        let closed = known.as_mut().filter(|fault| fault.class == FaultClass::Closed);
        if let Some(fault) = closed
            && !fault.text.starts_with(GONE)
        {
            fault.text = format!("{GONE} If they are: {}", fault.text);
        }
    }

    /// An error that the client reports by itself.
    pub(super) fn hear_error(&self, error: &Rd, reason: &str) {
        // The end of a partition is told to the queue's reader too, with its topic.
        if matches!(error, Rd::Global(RDKafkaErrorCode::PartitionEOF) | Rd::PartitionEOF(_)) {
            return;
        }
        let text = reason.split("(after").next().unwrap_or_default().trim().to_string();
        self.hear(&text);
        if is_told_elsewhere(error) {
            return tracing::debug!(error = %error, "kafka client: {reason}");
        }
        if is_of_a_connection(error) {
            tracing::debug!(error = %error, "kafka client: {reason}");
            // That all brokers are down says less than why the last one is.
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
                *self.connection.lock() = Some(text);
            }
            return;
        }
        let mut last = self.logged.lock();
        if last.as_ref() != Some(&text) {
            tracing::warn!(code = "AL106", error = %error, "kafka client: {reason}");
            *last = Some(text);
        }
    }

    /// What the client said last of a connection that failed; a broker that answers takes it back.
    pub(super) fn of_connection(&self) -> Option<String> {
        self.connection.lock().clone()
    }

    /// Why connections can't be used; [`None`] if the client has not said why, or if a broker has
    /// answered since.
    pub(super) fn fault(&self) -> Option<LoginFault> {
        self.fault.lock().clone()
    }

    /// The refusal of a login that nobody has taken yet.
    pub(super) fn take_refusal(&self) -> Option<String> {
        self.refusal.lock().take()
    }

    /// A broker has answered. That takes no refusal back: a connection that is older than the
    /// refusal may have brought the answer.
    pub(super) fn connected(&self) {
        *self.connection.lock() = None;
        *self.fault.lock() = None;
        self.has_answered.store(true, Ordering::Relaxed);
    }
}

/// Whether an error says no more than that a server is not there now: a call that needs the server
/// fails too, and is told of.
pub(super) fn is_of_a_connection(error: &Rd) -> bool {
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
        )
    )
}

/// Whether other code reports the error: the call that was refused reports a refusal, and the
/// daemon's look at the topics reports a missing one. A topic that the daemon has just made is not
/// known to every broker yet.
pub(super) fn is_told_elsewhere(error: &Rd) -> bool {
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(
            RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SSL
                | RDKafkaErrorCode::UnknownTopicOrPartition
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_login_is_heard_once_and_the_fault_until_a_broker_answers() {
        let errors = Errors::of(Security::default());
        let refused = "b:1: SASL authentication error: Authentication failed (after 3ms)";
        errors.hear_line("FAIL", refused);
        errors.hear_line("FAIL", "b:1: Disconnected (after 3ms in state UP)");
        errors.hear_line("CONNECT", "SASL authentication error: of another facility");
        assert_eq!(errors.fault().unwrap().class, FaultClass::Login);
        assert!(errors.take_refusal().unwrap().contains("Authentication failed"));
        assert_eq!(errors.take_refusal(), None);
        errors.connected();
        assert_eq!(errors.fault(), None);
    }

    #[test]
    fn a_port_is_not_doubted_where_a_broker_has_answered_or_nobody_listens() {
        let closed = "b:1: Disconnected: connection closed by peer (after 3ms in state UP)";
        let said = |errors: &Errors| errors.fault().expect("a fault").text;
        let errors = Errors::of(Security::default());
        errors.hear_line("FAIL", closed);
        assert!(said(&errors).contains("\"security.protocol\""), "{}", said(&errors));
        for _ in 0..2 {
            errors.hear_line("FAIL", "b:1: Connect to ipv4#127.0.0.1:1 failed: Connection refused");
            let both = said(&errors);
            assert!(both.starts_with(GONE) && both.matches("are the brokers up?").count() == 1);
            assert!(both.contains("\"security.protocol\""), "{both}");
        }
        errors.connected();
        assert_eq!(errors.fault(), None);
        errors.hear_line("FAIL", closed);
        assert_eq!(said(&errors), GONE);
    }
}
