//! A failed call, how long a call may take, and why a client can't go on at all.

use std::time::Duration;

/// How long one call to the brokers may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// A failed call: what was tried, and what the client library says.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {detail}")]
pub struct KafkaError {
    pub operation: String,
    pub detail: String,
}

/// Why the whole process has to end.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fatal {
    #[error("{0}")]
    Ended(String),
    /// The brokers do not let this client log in any more.
    #[error("{0}")]
    LoginRefused(String),
    /// A setting of `kafka.properties` is outside of what these settings of the brokers allow.
    #[error(
        "the brokers refuse kafka.properties.{key:?}: the value is outside of what they allow by \
         {}",
        limits.join(" and ")
    )]
    Refused { key: &'static str, limits: &'static [&'static str] },
}

impl Fatal {
    /// The transaction timeout is longer than the brokers allow.
    pub(crate) const TRANSACTION_TIMEOUT: Fatal =
        Fatal::Refused { key: "transaction.timeout.ms", limits: &["transaction.max.timeout.ms"] };
    /// The session timeout is longer or shorter than the brokers allow.
    pub(crate) const SESSION_TIMEOUT: Fatal = Fatal::Refused {
        key: "session.timeout.ms",
        limits: &["group.min.session.timeout.ms", "group.max.session.timeout.ms"],
    };
}

impl KafkaError {
    pub(crate) fn new(operation: impl Into<String>, detail: impl std::fmt::Display) -> KafkaError {
        KafkaError { operation: operation.into(), detail: detail.to_string() }
    }
}

/// Why a transaction has no known good outcome.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TransactionError {
    /// The transaction may or may not have been committed: the positions must be read back.
    #[error("{step}: {detail}")]
    Doubt { step: &'static str, detail: String },
    /// Another process uses our transactional id.
    #[error(
        "another process uses the transactional id of this one: two instances run under one name. \
         Give each instance a daemon.instance (or --instance) of its own ({detail})"
    )]
    TwoInstances { detail: String },
    /// The brokers refuse it, because a right is missing: the positions must be read back, as after
    /// any doubt.
    #[error("{step}: {lacks}")]
    NotAllowed { step: &'static str, lacks: String },
    /// The brokers refuse a setting: no transaction will ever begin.
    #[error("{0}")]
    Refused(Fatal),
}

impl TransactionError {
    pub(super) fn doubt(step: &'static str, detail: impl std::fmt::Display) -> TransactionError {
        TransactionError::Doubt { step, detail: detail.to_string() }
    }
}
