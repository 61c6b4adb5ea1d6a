//! A store that measures how long each operation takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;

use crate::clients::store::api::{FileFacts, Limit, Store, Walked, Writer};
use crate::clients::store::error::StoreError;
use crate::common::config::FileProperties;

/// An operation of a store that has ended.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) root: &'a str,
    /// What [`Store::servers`] says of it.
    pub(crate) servers: &'a Arc<[String]>,
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
    servers: Arc<[String]>,
    timer: Arc<StoreTimer>,
}

impl Measured {
    pub(crate) fn wrap(inner: Arc<dyn Store>, timer: &Arc<StoreTimer>) -> Arc<dyn Store> {
        let servers = inner.servers();
        Arc::new(Measured { inner, servers, timer: Arc::clone(timer) })
    }

    fn at<'a>(&'a self, path: &'a str) -> At<'a> {
        At { root: self.url(), servers: &self.servers, path }
    }
}

/// Where an operation works.
struct At<'a> {
    root: &'a str,
    servers: &'a Arc<[String]>,
    path: &'a str,
}

async fn timed<T>(
    timer: &StoreTimer,
    At { root, servers, path }: At<'_>,
    operation: &'static str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let started = Instant::now();
    let answer = work.await;
    let error = answer.as_ref().err();
    timer(&Call { root, servers, path, operation, duration: started.elapsed(), error });
    answer
}

#[async_trait]
impl Store for Measured {
    fn url(&self) -> &str {
        self.inner.url()
    }

    fn servers(&self) -> Arc<[String]> {
        Arc::clone(&self.servers)
    }

    fn completes_late(&self) -> bool {
        self.inner.completes_late()
    }

    async fn create_with(
        &self,
        path: &str,
        of: &FileProperties,
    ) -> Result<Box<dyn Writer>, StoreError> {
        let made = self.inner.create_with(path, of);
        let inner = timed(&*self.timer, self.at(path), "create", made).await?;
        let (root, path) = (self.url().to_string(), path.to_string());
        let (servers, timer) = (Arc::clone(&self.servers), Arc::clone(&self.timer));
        Ok(Box::new(MeasuredWriter { root, servers, path, inner, timer }))
    }

    async fn make_dirs_with(&self, path: &str, of: &FileProperties) -> Result<(), StoreError> {
        let made = self.inner.make_dirs_with(path, of);
        timed(&*self.timer, self.at(path), "make_dirs", made).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        timed(&*self.timer, self.at(from), "rename", self.inner.rename(from, to)).await
    }

    async fn delete(&self, path: &str) -> Result<(), StoreError> {
        timed(&*self.timer, self.at(path), "delete", self.inner.delete(path)).await
    }

    async fn delete_empty(&self, path: &str) -> Result<(), StoreError> {
        timed(&*self.timer, self.at(path), "delete", self.inner.delete_empty(path)).await
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, StoreError> {
        timed(&*self.timer, self.at(path), "length", self.inner.length(path)).await
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, StoreError> {
        timed(&*self.timer, self.at(path), "list", self.inner.list(path)).await
    }

    async fn walk(&self, path: &str) -> Result<Walked, StoreError> {
        timed(&*self.timer, self.at(path), "walk", self.inner.walk(path)).await
    }

    async fn read_at_most(&self, path: &str, most: u64) -> Result<Option<Bytes>, StoreError> {
        let read = self.inner.read_at_most(path, most);
        timed(&*self.timer, self.at(path), "read", read).await
    }

    async fn facts(&self, path: &str) -> Result<Option<FileFacts>, StoreError> {
        timed(&*self.timer, self.at(path), "facts", self.inner.facts(path)).await
    }

    async fn limits(&self) -> Result<Vec<Limit>, StoreError> {
        timed(&*self.timer, self.at(""), "limits", self.inner.limits()).await
    }
}

struct MeasuredWriter {
    root: String,
    servers: Arc<[String]>,
    path: String,
    inner: Box<dyn Writer>,
    timer: Arc<StoreTimer>,
}

#[async_trait]
impl Writer for MeasuredWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let MeasuredWriter { root, servers, path, inner, timer } = self;
        timed(&**timer, At { root, servers, path }, "write", inner.write(bytes)).await
    }

    async fn close(&mut self) -> Result<(), StoreError> {
        let MeasuredWriter { root, servers, path, inner, timer } = self;
        timed(&**timer, At { root, servers, path }, "close", inner.close()).await
    }
}
