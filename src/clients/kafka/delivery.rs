//! What a producer says of its deliveries, and why it says so.
//!
//! A result that the brokers refuse is reported as purged, as every other one of its transaction.
//! The reason stands in the log lines of librdkafka, which come before the reports.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use rdkafka::client::DefaultClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as Rd, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::ProducerContext;
use rdkafka::{ClientConfig, ClientContext};

use crate::clients::kafka::client_errors::Security;
use crate::clients::kafka::connection::Errors;
use crate::clients::kafka::limit::BatchLimit;
use crate::clients::kafka::rights;

/// The facility of the line that says why a partition did not become a part of a transaction.
const PARTITION_REFUSED: &str = "ADDPARTS";
/// The facility of the line that says why a transaction has failed.
const TRANSACTION_FAILED: &str = "TXNERR";

/// Keeps the first delivery failure, so that a commit is not even tried after one.
pub struct Events {
    failed: Mutex<Option<String>>,
    reasons: Mutex<Reasons>,
    errors: Errors,
    /// Of the topics that the producer writes to.
    limit: Arc<BatchLimit>,
}

/// What the log lines say.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Reasons {
    /// Topics that the client may not write to.
    pub(super) refused: BTreeSet<String>,
    /// Why the transaction has failed.
    pub(super) transaction: Option<String>,
}

impl Reasons {
    /// Whether the line is one that is listened for.
    fn hear(&mut self, facility: &str, line: &str) -> bool {
        match facility {
            PARTITION_REFUSED if rights::names_topic_rights(line) => {
                self.refused.extend(line.split('"').nth(1).map(String::from));
            }
            TRANSACTION_FAILED => {
                let text =
                    line.split(": ").skip_while(|part| !part.starts_with("Current ")).skip(1);
                let text = text.collect::<Vec<_>>().join(": ");
                self.transaction = Some(if text.is_empty() { line.into() } else { text });
            }
            _ => return false,
        }
        true
    }
}

impl Events {
    /// The events of a producer with these settings, and with the limit of what it writes.
    pub(super) fn of(settings: &ClientConfig, limit: &Arc<BatchLimit>) -> Events {
        let errors = Errors::of(Security::of(settings));
        let limit = Arc::clone(limit);
        Events { failed: Mutex::default(), reasons: Mutex::default(), errors, limit }
    }

    /// The refusal of the producer's login, if there was one.
    pub(super) fn refused_login(&self) -> Option<String> {
        self.errors.take_refusal()
    }

    /// The first result that was not delivered, and why.
    pub(super) fn failed(&self) -> Option<String> {
        let failed = self.failed.lock().clone()?;
        let reasons = self.reasons.lock();
        Some(match &reasons.transaction {
            Some(why) => format!("{failed} ({why})"),
            None => failed,
        })
    }

    pub(super) fn reasons(&self) -> Reasons {
        self.reasons.lock().clone()
    }
}

impl ClientContext for Events {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.errors.hear_line(facility, line);
        if self.reasons.lock().hear(facility, line) {
            tracing::debug!(facility, "kafka producer: {line}");
        } else {
            DefaultClientContext.log(level, facility, line);
        }
    }

    fn error(&self, error: Rd, reason: &str) {
        tracing::debug!(error = %error, "kafka producer: {reason}");
    }
}

impl ProducerContext for Events {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((e, message)) = result else { return };
        match e.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => self.limit.message_was_refused(),
            Some(RDKafkaErrorCode::MessageTimedOut) => self.limit.messages_were_late(),
            _ => {}
        }
        let mut failed = self.failed.lock();
        if failed.is_some() {
            return;
        }
        let topic = message.topic();
        *failed = Some(format!("topic {topic} refuses a result: {e}"));
        drop(failed);
        // The client purges what is queued when a transaction is given up: that is no news.
        let code = e.rdkafka_error_code();
        let purged = [RDKafkaErrorCode::PurgeQueue, RDKafkaErrorCode::PurgeInflight];
        if code.is_some_and(|code| purged.contains(&code)) {
            tracing::debug!(topic, error = %e, "a result was purged with its transaction");
        } else {
            let error = e;
            tracing::warn!(
                code = "AL127",
                topic, %error, "a result was not delivered, so its transaction is aborted"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_lines_name_the_topics_that_are_refused() {
        let mut reasons = Reasons::default();
        assert!(reasons.hear(
            "ADDPARTS",
            "[thrd:TxnCoordinator]: TxnCoordinator/1: Failed to add partition \"out\" [0] to \
             transaction: Broker: Topic authorization failed"
        ));
        assert!(reasons.hear(
            "TXNERR",
            "[thrd:main]: Current transaction failed in state InTransaction: Failed to add \
             partition(s) to transaction on broker b:1/1: Broker: Topic authorization failed \
             (after 2 ms) (TOPIC_AUTHORIZATION_FAILED)"
        ));
        assert!(!reasons.hear("ADDPARTS", "Failed to add partition \"x\" [0]: Broker: No leader"));
        assert!(!reasons.hear("FAIL", "Connection refused"));
        assert_eq!(reasons.refused, BTreeSet::from(["out".to_string()]));
        let why = reasons.transaction.unwrap();
        assert!(why.starts_with("Failed to add partition(s)"), "{why}");
    }
}
