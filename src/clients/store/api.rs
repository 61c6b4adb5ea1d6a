//! What every store can do, and how long it may take.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clients::store::error::StoreError;
use crate::common::config::FileProperties;
use crate::common::deadlines;

/// The most that a file of the ledger may have, bytes: none of this program comes near.
pub const SMALL: u64 = 64 << 20;

/// What a store can do.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The root, for people.
    fn url(&self) -> &str;

    /// The hosts and ports of the servers that are asked for everything; none of a directory.
    fn servers(&self) -> Arc<[String]> {
        Arc::default()
    }

    /// Whether closing a small file takes long and costs little: it waits for the store more than
    /// it moves bytes.
    fn completes_late(&self) -> bool {
        false
    }

    /// Creates a file. The file must not exist, and its directory must. A store that is no HDFS
    /// does not look at `of`.
    async fn create_with(
        &self,
        path: &str,
        of: &FileProperties,
    ) -> Result<Box<dyn Writer>, StoreError>;

    /// Creates a directory and its parents; it is no error if the directory exists. What is made
    /// gets the owner and the group of `of`, and what was there keeps its own.
    async fn make_dirs_with(&self, path: &str, of: &FileProperties) -> Result<(), StoreError>;

    /// [`Store::create_with`], with what the store gives by itself.
    async fn create(&self, path: &str) -> Result<Box<dyn Writer>, StoreError> {
        self.create_with(path, &FileProperties::default()).await
    }

    /// [`Store::make_dirs_with`], with what the store gives by itself.
    async fn make_dirs(&self, path: &str) -> Result<(), StoreError> {
        self.make_dirs_with(path, &FileProperties::default()).await
    }

    /// Renames a file without overwriting: if the target exists, the error is
    /// `ErrorKind::AlreadyExists`. If the source or the parent of the target is missing, the error
    /// is `ErrorKind::NotFound`.
    async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError>;

    /// Deletes a file, or a directory with everything in it; it is no error if there is none.
    async fn delete(&self, path: &str) -> Result<(), StoreError>;

    /// Deletes a directory if there is nothing in it. Any error says that it stays.
    async fn delete_empty(&self, path: &str) -> Result<(), StoreError>;

    /// The file's length in bytes; [`None`] if there is no file: a directory is none.
    async fn length(&self, path: &str) -> Result<Option<u64>, StoreError>;

    /// The names in a directory, in no order; empty if there is no directory.
    async fn list(&self, path: &str) -> Result<Vec<String>, StoreError>;

    /// Everything below a directory, at any depth; nothing if there is no directory. A directory
    /// that may not be listed keeps no other one from being listed.
    async fn walk(&self, path: &str) -> Result<Walked, StoreError>;

    /// The content of a file; [`None`] if there is no file. If it has more than `most` bytes, the
    /// error is `ErrorKind::TooLarge`, and nothing is read.
    async fn read_at_most(&self, path: &str, most: u64) -> Result<Option<Bytes>, StoreError>;

    /// The content of a file of any size; [`None`] if there is no file.
    async fn read(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        self.read_at_most(path, u64::MAX).await
    }

    /// What the store says of a file; [`None`] if there is no file.
    async fn facts(&self, path: &str) -> Result<Option<FileFacts>, StoreError>;

    /// The limits of what the root may contain, those of each directory above it included; a
    /// directory above that may not be asked is left out. A store of HDFS counts all files there,
    /// so it is not a question for a daemon.
    async fn limits(&self) -> Result<Vec<Limit>, StoreError>;
}

/// What a store says of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileFacts {
    /// When it was written last, by the clock of the store; milliseconds since 1970.
    pub modified: i64,
    /// How many bytes the store takes for a byte of it, at least.
    pub copies: u64,
    /// Space is given to it in blocks of this size; bytes.
    pub block: u64,
    /// It is erasure coded.
    pub is_coded: bool,
}

/// What a limit is a number of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limited {
    /// Files and directories.
    Names,
    /// Bytes with all their copies.
    Bytes,
}

/// A limit of what may be below a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limit {
    /// The full path of the directory, or of the disk's.
    pub directory: String,
    pub of: Limited,
    pub limit: u64,
    pub used: u64,
}

/// A file that is being written. A writer that is dropped without [`Writer::close`] abandons its
/// file: what the store has of it is incomplete, and must be deleted.
#[async_trait]
pub trait Writer: Send + Sync {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError>;

    /// Completes the file. It may be called once.
    ///
    /// # Errors
    /// [`NotFound`](super::ErrorKind::NotFound) if somebody has deleted the file since it was
    /// created.
    async fn close(&mut self) -> Result<(), StoreError>;
}

/// What lies below a directory.
#[derive(Clone, Default, Debug)]
pub struct Walked {
    /// The files, with their lengths in bytes.
    pub files: Vec<(String, u64)>,
    /// The directories that may not be listed, each with the refusal: nobody knows what they have.
    pub refused: Vec<(String, StoreError)>,
    /// Links to directories that are listed by another path.
    pub twice: Vec<String>,
}

/// How long one call may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadlines {
    /// The deadline of a call that asks the store's index: create, rename, list, …
    pub call: Duration,
    /// The deadline for writing a chunk of data, and for closing a file (HDFS takes up to 15.5 s
    /// for it).
    pub data: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines { call: deadlines::STORE_CALL, data: deadlines::STORE_DATA }
    }
}
