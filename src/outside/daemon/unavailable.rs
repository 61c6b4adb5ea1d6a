//! The errors of a start: one that has to be tried again, and one that a person has to correct.

use std::collections::BTreeMap;

/// A server that the daemon needs at its start cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// What is configured does not fit the brokers or their topics, and would not at the next start.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misconfigured(pub String);

/// The brokers or a root do not let this client log in: another try soon could lock the account.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct LoginRefused {
    pub text: String,
    /// The client was logged in before, so that this may pass.
    pub was_running: bool,
}

/// Clients are to be made anew.
#[derive(Debug, thiserror::Error)]
pub enum StartAgain {
    /// These files, which the clients have read, have changed.
    #[error("{0} has changed: starting anew, with new clients")]
    Changed(String),
    /// The brokers answer a new client, and not this daemon's.
    #[error("the clients of this daemon are cut off: starting anew, with new clients")]
    CutOff,
}

/// Why a mapping can't run now.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error(transparent)]
    Misconfigured(#[from] Misconfigured),
    #[error(transparent)]
    LoginRefused(#[from] LoginRefused),
}

impl Refusal {
    /// Whether a person has to correct something first.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        !matches!(self, Refusal::Unavailable(_))
    }

    /// The error that a start without any other mapping ends with.
    #[must_use]
    pub fn into_error(self) -> anyhow::Error {
        match self {
            Refusal::Unavailable(e) => e.into(),
            Refusal::Misconfigured(e) => e.into(),
            Refusal::LoginRefused(e) => e.into(),
        }
    }
}

/// The mappings that can't run now, by name.
pub type Refusals = BTreeMap<String, Refusal>;
