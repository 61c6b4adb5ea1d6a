//! A failed operation of a store, and what it means to the caller.

use std::fmt;

/// What an error means to the caller.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ErrorKind {
    AlreadyExists,
    NotFound,
    /// The user may not do this: a person has to change permissions or the user.
    Permission,
    /// Nobody was logged in: a key, a principal or a setting is not as it should be. Nothing was
    /// asked of the store.
    Authentication,
    /// Nobody was logged in, because there is no valid ticket: whoever fills the credential cache
    /// has to, where the client has no key to acquire one with.
    NoTicket,
    /// Nobody was logged in, because no KDC answers.
    SilentKdc,
    /// The disk is full, or the quota is exhausted.
    NoSpace,
    /// What would be written there could not be read back for certain: a person has to choose
    /// another directory, or to configure it.
    Unsuitable,
    /// The file is larger than any that is meant at this place: somebody else has written it.
    TooLarge,
    /// The store answered that it cannot do this now (safe mode, standby).
    Unavailable,
    /// There was no answer, or the connection broke: the operation may have happened.
    Unknown,
    Other,
}

impl ErrorKind {
    pub const ALL: [ErrorKind; 12] = [
        ErrorKind::AlreadyExists,
        ErrorKind::NotFound,
        ErrorKind::Permission,
        ErrorKind::Authentication,
        ErrorKind::NoTicket,
        ErrorKind::SilentKdc,
        ErrorKind::NoSpace,
        ErrorKind::Unsuitable,
        ErrorKind::TooLarge,
        ErrorKind::Unavailable,
        ErrorKind::Unknown,
        ErrorKind::Other,
    ];

    /// Whether the root is in trouble: that something is there already, is not there or is too
    /// large is an answer.
    #[must_use]
    pub fn is_trouble(self) -> bool {
        use ErrorKind::{AlreadyExists, NotFound, TooLarge};
        !matches!(self, AlreadyExists | NotFound | TooLarge)
    }

    /// Whether nobody was logged in, for whatever reason.
    #[must_use]
    pub fn is_login(self) -> bool {
        matches!(self, ErrorKind::Authentication | ErrorKind::NoTicket | ErrorKind::SilentKdc)
    }

    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            ErrorKind::AlreadyExists => "already_exists",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Permission => "permission",
            ErrorKind::Authentication => "authentication",
            ErrorKind::NoTicket => "no_ticket",
            ErrorKind::SilentKdc => "silent_kdc",
            ErrorKind::NoSpace => "no_space",
            ErrorKind::Unsuitable => "unsuitable",
            ErrorKind::TooLarge => "too_large",
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

    /// That a file is too large to be read.
    pub(crate) fn too_large(path: &str, length: u64, most: u64) -> StoreError {
        let detail = format!(
            "the file has {length} bytes, and the largest that is meant there has {most}: it is a \
             file of another program; look at it, and move it out of the root"
        );
        StoreError::new(ErrorKind::TooLarge, "read", path, detail)
    }
}
