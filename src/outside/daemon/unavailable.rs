//! The error of a start that has to be tried again.

/// Something that the daemon needs at its start is not to be had.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);
