//! A store that says how long each operation took.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;

use crate::clients::store::api::{Store, Writer};
use crate::clients::store::error::StoreError;

/// A function that is called with each operation when it has ended, successful or not.
pub(crate) type Took = dyn Fn(&'static str, Duration) + Send + Sync;

/// A store that measures the operations of another one.
pub(crate) struct Measured {
    inner: Arc<dyn Store>,
    took: Arc<Took>,
}

impl Measured {
    pub(crate) fn wrap(inner: Arc<dyn Store>, took: &Arc<Took>) -> Arc<dyn Store> {
        Arc::new(Measured { inner, took: Arc::clone(took) })
    }
}

async fn timed<T>(took: &Took, operation: &'static str, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let answer = work.await;
    took(operation, began.elapsed());
    answer
}

#[async_trait]
impl Store for Measured {
    fn url(&self) -> &str {
        self.inner.url()
    }

    async fn create(&self, path: &str) -> Result<Box<dyn Writer>, StoreError> {
        let inner = timed(&*self.took, "create", self.inner.create(path)).await?;
        Ok(Box::new(MeasuredWriter { inner, took: Arc::clone(&self.took) }))
    }

    async fn make_dirs(&self, path: &str) -> Result<(), StoreError> {
        timed(&*self.took, "make_dirs", self.inner.make_dirs(path)).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        timed(&*self.took, "rename", self.inner.rename(from, to)).await
    }

    async fn delete(&self, path: &str) -> Result<(), StoreError> {
        timed(&*self.took, "delete", self.inner.delete(path)).await
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, StoreError> {
        timed(&*self.took, "length", self.inner.length(path)).await
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, StoreError> {
        timed(&*self.took, "list", self.inner.list(path)).await
    }

    async fn walk(&self, path: &str) -> Result<Vec<(String, u64)>, StoreError> {
        timed(&*self.took, "walk", self.inner.walk(path)).await
    }

    async fn read(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        timed(&*self.took, "read", self.inner.read(path)).await
    }
}

struct MeasuredWriter {
    inner: Box<dyn Writer>,
    took: Arc<Took>,
}

#[async_trait]
impl Writer for MeasuredWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        timed(&*self.took, "write", self.inner.write(bytes)).await
    }

    async fn close(&mut self) -> Result<(), StoreError> {
        timed(&*self.took, "close", self.inner.close()).await
    }
}
