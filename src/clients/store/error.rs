//! A failed operation of a store, and what it means to the caller.

use std::fmt;

/// What an error means to the caller.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ErrorKind {
    AlreadyExists,
    NotFound,
    /// The user may not do this: a person has to change permissions or the user.
    Permission,
    /// Nobody was logged in: a key, a ticket, a principal or the KDC is not as it should be.
    /// Nothing was asked of the store.
    Authentication,
    /// The disk is full, or the quota is exhausted.
    NoSpace,
    /// What would be written there could not be read back for certain: a person has to choose
    /// another directory, or to configure it.
    Unsuitable,
    /// The store answered that it cannot do this now (safe mode, standby).
    Unavailable,
    /// There was no answer, or the connection broke: the operation may have happened.
    Unknown,
    Other,
}

impl ErrorKind {
    pub const ALL: [ErrorKind; 9] = [
        ErrorKind::AlreadyExists,
        ErrorKind::NotFound,
        ErrorKind::Permission,
        ErrorKind::Authentication,
        ErrorKind::NoSpace,
        ErrorKind::Unsuitable,
        ErrorKind::Unavailable,
        ErrorKind::Unknown,
        ErrorKind::Other,
    ];

    /// Whether the root is in trouble: that something is there already, or is not there, is an
    /// answer.
    #[must_use]
    pub fn is_trouble(self) -> bool {
        !matches!(self, ErrorKind::AlreadyExists | ErrorKind::NotFound)
    }

    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            ErrorKind::AlreadyExists => "already_exists",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Permission => "permission",
            ErrorKind::Authentication => "authentication",
            ErrorKind::NoSpace => "no_space",
            ErrorKind::Unsuitable => "unsuitable",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Unknown => "unknown",
            ErrorKind::Other => "other",
        }
    }
}

/// A failed operation: which one, on what, and why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{operation} {path}: {detail}")]
pub struct StoreError {
    pub kind: ErrorKind,
    pub operation: &'static str,
    pub path: String,
    pub detail: String,
}

impl StoreError {
    pub(crate) fn new(
        kind: ErrorKind,
        operation: &'static str,
        path: &str,
        detail: impl fmt::Display,
    ) -> StoreError {
        StoreError { kind, operation, path: path.into(), detail: detail.to_string() }
    }
}
