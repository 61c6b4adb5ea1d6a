//! The error of a start that has to be tried again.

/// A server that the daemon needs at its start cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);
