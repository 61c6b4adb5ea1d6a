//! What every store can do, and how long it may take.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clients::store::error::StoreError;

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

/// How long one call may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadlines {
    /// Anything that asks the store's index: create, rename, list, …
    pub call: Duration,
    /// A chunk of data, and closing a file (HDFS completes it in up to 15.5 s).
    pub data: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines { call: Duration::from_secs(15), data: Duration::from_secs(45) }
    }
}
