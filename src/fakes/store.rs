//! A store in memory for tests. Each process reaches it by a [`Network`] of its own, on which a
//! call may go wrong in every way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use crate::clients::store::{ErrorKind, FileFacts, Limit, Store, StoreError, Walked, Writer};
use crate::common::config::FileProperties;
use crate::common::spawn::spawn_detached;
use crate::fakes::network::{Failure, LATE, Network};

#[derive(Default, Debug)]
pub(crate) struct Contents {
    pub files: BTreeMap<String, Vec<u8>>,
    pub directories: BTreeSet<String>,
    /// What was said of files and directories when they were made, by the path of that time.
    pub properties: BTreeMap<String, FileProperties>,
    /// Files whose bytes the store does not give, as HDFS after the loss of a block.
    pub unreadable: BTreeSet<String>,
    /// Directories of which, and below which, nothing may be listed or read.
    pub closed: BTreeSet<String>,
    /// Directories whose names may not be listed.
    pub unlisted: BTreeSet<String>,
    /// Files that were made and are not closed.
    pub open: BTreeSet<String>,
    /// The most of them at one time.
    pub most_open: usize,
}

#[derive(Clone, Default, Debug)]
pub(crate) struct Memory {
    contents: Arc<Mutex<Contents>>,
    network: Network,
}

impl Memory {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock()
    }

    /// The same store, over another network.
    pub(crate) fn over(&self, network: &Network) -> Memory {
        Memory { contents: Arc::clone(&self.contents), network: network.clone() }
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        path: &str,
        work: impl FnOnce(&mut Contents) -> Result<T, ErrorKind> + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
    {
        let error = |kind| StoreError::new(kind, operation, path, "planted");
        match self.network.pass(&format!("{operation} {path}")) {
            None | Some(Failure::Lied) => work(&mut self.lock()).map_err(error),
            Some(Failure::Before | Failure::Outage) => Err(error(ErrorKind::Unknown)),
            Some(Failure::After) => {
                let _ = work(&mut self.lock());
                Err(error(ErrorKind::Unknown))
            }
            Some(Failure::Late) => {
                let contents = Arc::clone(&self.contents);
                spawn_detached("late-call", async move {
                    tokio::time::sleep(LATE).await;
                    let _ = work(&mut contents.lock());
                });
                Err(error(ErrorKind::Unknown))
            }
            Some(Failure::Denied) => Err(error(ErrorKind::Permission)),
            Some(Failure::Full) => Err(error(ErrorKind::NoSpace)),
            Some(Failure::Panic) => panic!("planted in {operation} {path}"),
            Some(Failure::KillBefore) => std::future::pending().await,
            Some(Failure::KillAfter) => {
                let _ = work(&mut self.lock());
                std::future::pending().await
            }
            Some(Failure::PauseBefore) => {
                self.network.resumed().await;
                work(&mut self.lock()).map_err(error)
            }
            Some(Failure::PauseAfter) => {
                let answer = work(&mut self.lock()).map_err(error);
                self.network.resumed().await;
                answer
            }
        }
    }
}

impl Contents {
    fn is_closed(&self, path: &str) -> bool {
        let below = |of: &String| path.strip_prefix(of.as_str()).is_some_and(is_inside);
        self.closed.iter().any(below)
    }

    fn check_list(&self, path: &str) -> Result<(), ErrorKind> {
        let is_refused = self.is_closed(path) || self.unlisted.contains(path);
        if is_refused { Err(ErrorKind::Permission) } else { Ok(()) }
    }
}

fn is_inside(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
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
        self.store
            .call("write", &self.path, move |c| {
                c.files.get_mut(&path).ok_or(ErrorKind::NotFound)?.extend_from_slice(&bytes);
                Ok(())
            })
            .await
    }

    async fn close(&mut self) -> Result<(), StoreError> {
        let path = self.path.clone();
        self.store
            .call("close", &self.path, move |c| {
                let _ = c.open.remove(&path);
                c.files.contains_key(&path).then_some(()).ok_or(ErrorKind::NotFound)
            })
            .await
    }
}

#[async_trait]
impl Store for Memory {
    fn url(&self) -> &str {
        "memory:"
    }

    async fn create_with(
        &self,
        path: &str,
        of: &FileProperties,
    ) -> Result<Box<dyn Writer>, StoreError> {
        let of = of.clone();
        let at = path.to_string();
        self.call("create", path, move |c| {
            if c.files.contains_key(&at) {
                return Err(ErrorKind::AlreadyExists);
            }
            if !c.directories.contains(parent(&at)) {
                return Err(ErrorKind::NotFound);
            }
            let _ = c.files.insert(at.clone(), Vec::new());
            let _ = c.properties.insert(at.clone(), of);
            let _ = c.open.insert(at);
            c.most_open = c.most_open.max(c.open.len());
            Ok(())
        })
        .await?;
        Ok(Box::new(MemoryWriter { store: self.clone(), path: path.into() }))
    }

    async fn make_dirs_with(&self, path: &str, of: &FileProperties) -> Result<(), StoreError> {
        let (path_of, of) = (path.to_string(), of.clone());
        self.call("make directory", path, move |c| {
            let mut at = path_of.as_str();
            while !at.is_empty() {
                if c.directories.insert(at.into()) {
                    let _ = c.properties.insert(at.into(), of.clone());
                }
                at = parent(at);
            }
            let _ = c.directories.insert(String::new());
            Ok(())
        })
        .await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let (source, target) = (from.to_string(), to.to_string());
        self.call("rename", from, move |c| {
            if c.files.contains_key(&target) {
                return Err(ErrorKind::AlreadyExists);
            }
            if !c.directories.contains(parent(&target)) {
                return Err(ErrorKind::NotFound);
            }
            let bytes = c.files.remove(&source).ok_or(ErrorKind::NotFound)?;
            let _ = c.files.insert(target, bytes);
            Ok(())
        })
        .await
    }

    async fn delete(&self, path: &str) -> Result<(), StoreError> {
        let path_of = path.to_string();
        self.call("delete", path, move |c| {
            let inside = |p: &String| *p == path_of || p.starts_with(&format!("{path_of}/"));
            c.files.retain(|p, _| !inside(p));
            c.directories.retain(|p| !inside(p));
            Ok(())
        })
        .await
    }

    async fn delete_empty(&self, path: &str) -> Result<(), StoreError> {
        let path_of = path.to_string();
        self.call("delete", path, move |c| {
            let below = format!("{path_of}/");
            let mut all = c.files.keys().chain(c.directories.iter());
            if all.any(|p| p.starts_with(&below)) {
                return Err(ErrorKind::Other);
            }
            let _ = c.directories.remove(&path_of);
            Ok(())
        })
        .await
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, StoreError> {
        let at = path.to_string();
        self.call("look at", path, move |c| match c.is_closed(&at) {
            true => Err(ErrorKind::Permission),
            false => Ok(c.files.get(&at).map(|b| b.len() as u64)),
        })
        .await
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, StoreError> {
        let at = path.to_string();
        self.call("list", path, move |c| {
            c.check_list(&at)?;
            let all = c.files.keys().chain(&c.directories);
            let names = all.filter(|p| !p.is_empty() && parent(p) == at);
            Ok(names.map(|p| p.rsplit('/').next().unwrap_or_default().to_string()).collect())
        })
        .await
    }

    async fn walk(&self, path: &str) -> Result<Walked, StoreError> {
        let below = if path.is_empty() { String::new() } else { format!("{path}/") };
        self.call("list", path, move |c| {
            let refused: BTreeSet<String> = c.closed.union(&c.unlisted).cloned().collect();
            let seen = |path: &str| {
                let hides = |of: &String| path.strip_prefix(of.as_str()).is_some_and(is_inside);
                path.starts_with(&below) && !refused.iter().any(hides)
            };
            let files = c.files.iter().filter(|(p, _)| seen(p));
            let files = files.map(|(p, bytes)| (p.clone(), bytes.len() as u64)).collect();
            let refusal = |path: String| {
                let e = StoreError::new(ErrorKind::Permission, "list", &path, "planted");
                (path, e)
            };
            let refused = refused.clone().into_iter().map(refusal).collect();
            Ok(Walked { files, refused, ..Walked::default() })
        })
        .await
    }

    async fn read_at_most(&self, path: &str, most: u64) -> Result<Option<Bytes>, StoreError> {
        let at = path.to_string();
        let read = move |c: &mut Contents| match c.files.get(&at) {
            _ if c.is_closed(&at) => Err(ErrorKind::Permission),
            Some(_) if c.unreadable.contains(&at) => Err(ErrorKind::Unknown),
            Some(bytes) if most < bytes.len() as u64 => Err(ErrorKind::TooLarge),
            found => Ok(found.cloned().map(Bytes::from)),
        };
        self.call("read", path, read).await
    }

    async fn facts(&self, path: &str) -> Result<Option<FileFacts>, StoreError> {
        let at = path.to_string();
        let facts = FileFacts { modified: 0, copies: 1, block: 1, is_coded: false };
        self.call("facts", path, move |c| Ok(c.files.contains_key(&at).then_some(facts))).await
    }

    async fn limits(&self) -> Result<Vec<Limit>, StoreError> {
        self.call("limits", "", |_| Ok(Vec::new())).await
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
    for no_file in ["a", "a/b", "a/b/f/g"] {
        assert_eq!(store.length(no_file).await.unwrap(), None, "{no_file}");
        assert_eq!(store.read(no_file).await.unwrap(), None, "{no_file}");
        assert_eq!(store.facts(no_file).await.unwrap(), None, "{no_file}");
    }
    assert_eq!(store.read_at_most("a/b/f", 5).await.unwrap(), Some(text("hello")));
    let refused = store.read_at_most("a/b/f", 4).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::TooLarge, "{refused}");
    assert_eq!(store.read_at_most("a/b/g", 0).await.unwrap(), None);
    assert_eq!(store.list("a/b").await.unwrap(), ["f"]);
    assert_eq!(store.list("a").await.unwrap(), ["b"]);
    assert!(store.list("nowhere").await.unwrap().is_empty());
    assert!(store.walk("nowhere").await.unwrap().files.is_empty());
    for top in ["", "a"] {
        let walked = store.walk(top).await.unwrap();
        assert_eq!(walked.files, [("a/b/f".to_string(), 5)]);
        assert!(walked.refused.is_empty());
    }
    assert_eq!(kind(store.rename("a/b/f", "x/y").await), ErrorKind::NotFound);
    store.rename("a/b/f", "a/g").await.unwrap();
    assert_eq!(kind(store.rename("a/b/f", "a/h").await), ErrorKind::NotFound);
    let mut other = store.create("a/b/f").await.unwrap();
    other.close().await.unwrap();
    assert_eq!(kind(store.rename("a/b/f", "a/g").await), ErrorKind::AlreadyExists);
    assert_eq!(store.read("a/g").await.unwrap(), Some(text("hello")), "overwritten");
    let mut deleted = store.create("a/b/deleted").await.unwrap();
    deleted.write(text("hello")).await.unwrap();
    store.delete("a/b/deleted").await.unwrap();
    assert_eq!(kind(deleted.close().await), ErrorKind::NotFound, "closed after it was deleted");
    assert!(store.facts("a/g").await.unwrap().is_some_and(|facts| 0 < facts.copies));
    store.delete("a").await.unwrap();
    store.delete("a").await.unwrap();
    assert_eq!(store.length("a/g").await.unwrap(), None);
    assert_eq!(store.facts("a/g").await.unwrap(), None);
    store.make_dirs("e/f").await.unwrap();
    assert!(store.delete_empty("e").await.is_err());
    assert_eq!(store.list("e").await.unwrap(), ["f"]);
    store.delete_empty("e/f").await.unwrap();
    store.delete_empty("e").await.unwrap();
    assert!(!store.list("").await.unwrap().contains(&"e".to_string()));
    for limit in store.limits().await.unwrap() {
        assert!(limit.used <= limit.limit, "{limit:?}");
    }
}

#[tokio::test]
async fn memory_keeps_the_promises_of_a_store() {
    promises(&Memory::default()).await;
}
