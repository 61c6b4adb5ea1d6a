//! A failed call, and how long a call may take.

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

impl KafkaError {
    pub(crate) fn new(operation: impl Into<String>, detail: impl std::fmt::Display) -> KafkaError {
        KafkaError { operation: operation.into(), detail: detail.to_string() }
    }
}
