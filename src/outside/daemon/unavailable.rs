//! The errors of a start: one that has to be tried again, and one that a person has to correct.

/// A server that the daemon needs at its start cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// What is configured does not fit the brokers or their topics, and would not at the next start.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misconfigured(pub String);
