//! A store that measures how long each operation takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;

use crate::clients::store::api::{FileFacts, Limit, Store, Writer};
use crate::clients::store::error::StoreError;

/// An operation of a store that has ended.
pub(crate) struct Call<'a> {
    pub(crate) root: &'a str,
    /// Relative to the root; of a rename, where the file was.
    pub(crate) path: &'a str,
    pub(crate) operation: &'static str,
    /// The time from the call to its answer.
    pub(crate) duration: Duration,
    pub(crate) error: Option<&'a StoreError>,
}

/// A function that is called with each operation when it has ended, successful or not.
pub(crate) type StoreTimer = dyn Fn(&Call<'_>) + Send + Sync;

/// A store that measures the operations of another one.
pub(crate) struct Measured {
    inner: Arc<dyn Store>,
    timer: Arc<StoreTimer>,
}

impl Measured {
    pub(crate) fn wrap(inner: Arc<dyn Store>, timer: &Arc<StoreTimer>) -> Arc<dyn Store> {
        Arc::new(Measured { inner, timer: Arc::clone(timer) })
    }
}

async fn timed<T>(
    timer: &StoreTimer,
    (root, path): (&str, &str),
    operation: &'static str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let started = Instant::now();
    let answer = work.await;
    let error = answer.as_ref().err();
    timer(&Call { root, path, operation, duration: started.elapsed(), error });
    answer
}

#[async_trait]
impl Store for Measured {
    fn url(&self) -> &str {
        self.inner.url()
    }

    fn completes_late(&self) -> bool {
        self.inner.completes_late()
    }

    async fn create(&self, path: &str) -> Result<Box<dyn Writer>, StoreError> {
        let inner =
            timed(&*self.timer, (self.url(), path), "create", self.inner.create(path)).await?;
        let (root, path) = (self.url().to_string(), path.to_string());
        Ok(Box::new(MeasuredWriter { root, path, inner, timer: Arc::clone(&self.timer) }))
    }

    async fn make_dirs(&self, path: &str) -> Result<(), StoreError> {
        timed(&*self.timer, (self.url(), path), "make_dirs", self.inner.make_dirs(path)).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        timed(&*self.timer, (self.url(), from), "rename", self.inner.rename(from, to)).await
    }

    async fn delete(&self, path: &str) -> Result<(), StoreError> {
        timed(&*self.timer, (self.url(), path), "delete", self.inner.delete(path)).await
    }

    async fn delete_empty(&self, path: &str) -> Result<(), StoreError> {
        timed(&*self.timer, (self.url(), path), "delete", self.inner.delete_empty(path)).await
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, StoreError> {
        timed(&*self.timer, (self.url(), path), "length", self.inner.length(path)).await
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, StoreError> {
        timed(&*self.timer, (self.url(), path), "list", self.inner.list(path)).await
    }

    async fn walk(&self, path: &str) -> Result<Vec<(String, u64)>, StoreError> {
        timed(&*self.timer, (self.url(), path), "walk", self.inner.walk(path)).await
    }

    async fn read_at_most(&self, path: &str, most: u64) -> Result<Option<Bytes>, StoreError> {
        let read = self.inner.read_at_most(path, most);
        timed(&*self.timer, (self.url(), path), "read", read).await
    }

    async fn facts(&self, path: &str) -> Result<Option<FileFacts>, StoreError> {
        timed(&*self.timer, (self.url(), path), "facts", self.inner.facts(path)).await
    }

    async fn limits(&self) -> Result<Vec<Limit>, StoreError> {
        timed(&*self.timer, (self.url(), ""), "limits", self.inner.limits()).await
    }
}

struct MeasuredWriter {
    root: String,
    path: String,
    inner: Box<dyn Writer>,
    timer: Arc<StoreTimer>,
}

#[async_trait]
impl Writer for MeasuredWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        timed(&*self.timer, (&self.root, &self.path), "write", self.inner.write(bytes)).await
    }

    async fn close(&mut self) -> Result<(), StoreError> {
        timed(&*self.timer, (&self.root, &self.path), "close", self.inner.close()).await
    }
}
