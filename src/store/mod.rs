//! Where files live: a small trait over HDFS and a local directory.
//!
//! Paths are relative to the root that a store was opened on. Three promises, on which the
//! protocol rests:
//!
//! * [`Store::rename`] never overwrites: put-if-absent, decided by the store itself.
//! * Every call answers within its deadline. An answer of [`ErrorKind::Unknown`] means that the
//!   call may have happened, may not have, or may happen yet: the caller looks.
//! * No operation of a client library is ever cancelled: each runs in a task of its own, and a
//!   caller that stops waiting leaves it running.

mod hdfs;
mod local;
pub(crate) mod measured;
#[cfg(test)]
pub(crate) mod memory;
mod pipelines;
mod tasks;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::deadlines;

pub use hdfs::HdfsOptions;

/// What a store can do.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The root, for people.
    fn url(&self) -> &str;

    /// Begins a file that must not exist in a directory that must.
    async fn create(&self, path: &str) -> Result<Box<dyn Writer>, StoreError>;

    /// Makes a directory and its parents; no error if it is there.
    async fn make_dirs(&self, path: &str) -> Result<(), StoreError>;

    /// Renames a file. Never overwrites: [`ErrorKind::AlreadyExists`]. A missing source, or a
    /// missing parent of the target, is [`ErrorKind::NotFound`].
    async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError>;

    /// Deletes a file, or a directory with all that is in it; no error if it is gone.
    async fn delete(&self, path: &str) -> Result<(), StoreError>;

    /// The file's length in bytes; [`None`] if nothing is there.
    async fn length(&self, path: &str) -> Result<Option<u64>, StoreError>;

    /// Names in a directory, in no order; none if it is not there.
    async fn list(&self, path: &str) -> Result<Vec<String>, StoreError>;

    /// Every file below a directory with its length, at any depth; none if it is not there.
    async fn walk(&self, path: &str) -> Result<Vec<(String, u64)>, StoreError>;

    /// A file whole; [`None`] if it is not there.
    async fn read(&self, path: &str) -> Result<Option<Bytes>, StoreError>;
}

/// A file being written. Dropped without [`Writer::close`], it is abandoned: whatever of it is
/// in the store is incomplete, and its directory is to be deleted.
#[async_trait]
pub trait Writer: Send + Sync {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError>;

    /// Completes the file; once only.
    async fn close(&mut self) -> Result<(), StoreError>;
}

/// What an error means to the caller.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ErrorKind {
    AlreadyExists,
    NotFound,
    /// A person has to change permissions or the user.
    Permission,
    /// Disk full or quota used up.
    NoSpace,
    /// The store said that it can't now (safe mode, standby).
    Unavailable,
    /// No answer, or a broken connection: it may have happened.
    Unknown,
    Other,
}

impl ErrorKind {
    pub const ALL: [ErrorKind; 7] = [
        ErrorKind::AlreadyExists,
        ErrorKind::NotFound,
        ErrorKind::Permission,
        ErrorKind::NoSpace,
        ErrorKind::Unavailable,
        ErrorKind::Unknown,
        ErrorKind::Other,
    ];

    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            ErrorKind::AlreadyExists => "already_exists",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Permission => "permission",
            ErrorKind::NoSpace => "no_space",
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

/// How long one call may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadlines {
    /// Anything that asks the store's index: create, rename, list, …
    pub call: Duration,
    /// A chunk of data, and closing a file.
    pub data: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines { call: deadlines::STORE_CALL, data: deadlines::STORE_DATA }
    }
}

/// Where a mapping archives to; checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Root {
    Hdfs { url: String, options: HdfsOptions },
    Local { directory: String },
}

impl Root {
    /// The root as it was configured.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Root::Hdfs { url, .. } => url.clone(),
            Root::Local { directory } => format!("file://{directory}"),
        }
    }
}

/// Opens a store; nothing is sent yet. Call from within a tokio runtime.
///
/// # Errors
/// The client's configuration is not usable.
pub fn open(root: &Root, deadlines: Deadlines) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match root {
        Root::Hdfs { url, options } => Arc::new(hdfs::Hdfs::open(url, options, deadlines)?),
        Root::Local { directory } => Arc::new(local::Local::open(directory, deadlines)),
    })
}
