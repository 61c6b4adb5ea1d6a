//! A store in memory for tests, that can be told to fail at call k, before or after it happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::store::{ErrorKind, Store, StoreError, Writer};

/// How a call fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// It did not happen.
    Before,
    /// It happened; the answer was lost.
    After,
}

#[derive(Default, Debug)]
pub(crate) struct Contents {
    pub files: BTreeMap<String, Vec<u8>>,
    pub directories: BTreeSet<String>,
    pub calls: usize,
    /// Which call fails, and how.
    pub fail: Option<(usize, Failure)>,
    pub down: bool,
}

#[derive(Clone, Default, Debug)]
pub(crate) struct Memory(Arc<Mutex<Contents>>);

impl Memory {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call<T>(
        &self,
        operation: &'static str,
        path: &str,
        work: impl FnOnce(&mut Contents) -> Result<T, ErrorKind>,
    ) -> Result<T, StoreError> {
        let mut contents = self.lock();
        contents.calls += 1;
        let failure = contents.fail.filter(|(k, _)| *k == contents.calls).map(|(_, f)| f);
        let error = |kind| StoreError::new(kind, operation, path, "planted");
        if contents.down || failure == Some(Failure::Before) {
            return Err(error(ErrorKind::Unknown));
        }
        let answer = work(&mut contents).map_err(error);
        if failure == Some(Failure::After) { Err(error(ErrorKind::Unknown)) } else { answer }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(p, _)| p)
}

struct MemoryWriter {
    store: Memory,
    path: String,
}

#[async_trait]
impl Writer for MemoryWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let path = self.path.clone();
        self.store.call("write", &self.path, |c| {
            c.files.get_mut(&path).ok_or(ErrorKind::NotFound)?.extend_from_slice(&bytes);
            Ok(())
        })
    }

    async fn close(&mut self) -> Result<(), StoreError> {
        let path = self.path.clone();
        self.store.call("close", &self.path, |c| {
            c.files.contains_key(&path).then_some(()).ok_or(ErrorKind::NotFound)
        })
    }
}

#[async_trait]
impl Store for Memory {
    fn url(&self) -> &str {
        "memory:"
    }

    async fn create(&self, path: &str) -> Result<Box<dyn Writer>, StoreError> {
        self.call("create", path, |c| {
            if c.files.contains_key(path) {
                return Err(ErrorKind::AlreadyExists);
            }
            if !c.directories.contains(parent(path)) {
                return Err(ErrorKind::NotFound);
            }
            let _ = c.files.insert(path.into(), Vec::new());
            Ok(())
        })?;
        Ok(Box::new(MemoryWriter { store: self.clone(), path: path.into() }))
    }

    async fn make_dirs(&self, path: &str) -> Result<(), StoreError> {
        self.call("make directory", path, |c| {
            let mut at = path;
            while !at.is_empty() {
                let _ = c.directories.insert(at.into());
                at = parent(at);
            }
            let _ = c.directories.insert(String::new());
            Ok(())
        })
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        self.call("rename", from, |c| {
            if c.files.contains_key(to) {
                return Err(ErrorKind::AlreadyExists);
            }
            if !c.directories.contains(parent(to)) {
                return Err(ErrorKind::NotFound);
            }
            let bytes = c.files.remove(from).ok_or(ErrorKind::NotFound)?;
            let _ = c.files.insert(to.into(), bytes);
            Ok(())
        })
    }

    async fn delete(&self, path: &str) -> Result<(), StoreError> {
        self.call("delete", path, |c| {
            let inside = |p: &String| p == path || p.starts_with(&format!("{path}/"));
            c.files.retain(|p, _| !inside(p));
            c.directories.retain(|p| !inside(p));
            Ok(())
        })
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, StoreError> {
        self.call("look at", path, |c| Ok(c.files.get(path).map(|b| b.len() as u64)))
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, StoreError> {
        self.call("list", path, |c| {
            let all = c.files.keys().chain(&c.directories);
            let names = all.filter(|p| !p.is_empty() && parent(p) == path);
            Ok(names.map(|p| p.rsplit('/').next().unwrap_or_default().to_string()).collect())
        })
    }

    async fn read(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        self.call("read", path, |c| Ok(c.files.get(path).cloned().map(Bytes::from)))
    }
}

/// What every store must do; run over each of them.
pub(crate) async fn promises(store: &dyn Store) {
    let text = |b: &'static str| Bytes::from_static(b.as_bytes());
    let kind = |r: Result<(), StoreError>| r.unwrap_err().kind;
    assert!(store.create("no/such/f").await.is_err_and(|e| e.kind == ErrorKind::NotFound));
    store.make_dirs("a/b").await.unwrap();
    store.make_dirs("a/b").await.unwrap();
    let mut w = store.create("a/b/f").await.unwrap();
    w.write(text("hel")).await.unwrap();
    w.write(text("lo")).await.unwrap();
    w.close().await.unwrap();
    assert!(store.create("a/b/f").await.is_err_and(|e| e.kind == ErrorKind::AlreadyExists));
    assert_eq!(store.read("a/b/f").await.unwrap(), Some(text("hello")));
    assert_eq!(store.length("a/b/f").await.unwrap(), Some(5));
    assert_eq!(store.length("a/b/g").await.unwrap(), None);
    assert_eq!(store.read("a/b/g").await.unwrap(), None);
    assert_eq!(store.list("a/b").await.unwrap(), ["f"]);
    assert_eq!(store.list("a").await.unwrap(), ["b"]);
    assert!(store.list("nowhere").await.unwrap().is_empty());
    assert_eq!(kind(store.rename("a/b/f", "x/y").await), ErrorKind::NotFound);
    store.rename("a/b/f", "a/g").await.unwrap();
    assert_eq!(kind(store.rename("a/b/f", "a/h").await), ErrorKind::NotFound);
    let mut other = store.create("a/b/f").await.unwrap();
    other.close().await.unwrap();
    assert_eq!(kind(store.rename("a/b/f", "a/g").await), ErrorKind::AlreadyExists);
    assert_eq!(store.read("a/g").await.unwrap(), Some(text("hello")), "overwritten");
    store.delete("a").await.unwrap();
    store.delete("a").await.unwrap();
    assert_eq!(store.length("a/g").await.unwrap(), None);
}

#[tokio::test]
async fn memory_keeps_the_promises_of_a_store() {
    promises(&Memory::default()).await;
}
