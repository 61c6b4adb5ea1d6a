//! HDFS through hdfs-native.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use hdfs_native::{Client, ClientBuilder, HdfsError};
use tokio::runtime::Handle;

use crate::clients::store::api::{Deadlines, FileFacts, Limit, Store, Writer};
use crate::clients::store::error::{ErrorKind, StoreError};
use crate::clients::store::hdfs::clients::{Asks, Clients, InUse};
use crate::clients::store::hdfs::erasure::Erasure;
use crate::clients::store::hdfs::error::classify;
use crate::clients::store::hdfs::name_service::NameService;
use crate::clients::store::hdfs::options::options;
use crate::clients::store::hdfs::pipelines::{HdfsFile, Pipelines};
use crate::clients::store::hdfs::quota::{above, limits};
use crate::clients::store::hdfs::simple::SimpleLogin;
use crate::clients::store::tasks::{RawFile, TaskWriter, within};
use crate::clients::store::threads::of_the_store;
use crate::common::config::HdfsOptions;

pub struct Hdfs {
    clients: Arc<Clients>,
    /// Where every call of the client runs.
    threads: Handle,
    url: String,
    /// The path part of the URL, without a slash at its end.
    base: String,
    deadlines: Deadlines,
    pipelines: Arc<Pipelines>,
    erasure: Arc<Erasure>,
    simple: Arc<SimpleLogin>,
}

const DIRECTORY_MODE: u32 = 0o755;

impl Hdfs {
    pub fn open(
        url: &str,
        options: &HdfsOptions,
        deadlines: Deadlines,
    ) -> Result<Hdfs, StoreError> {
        let rest = url.trim_start_matches("hdfs://");
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let threads =
            of_the_store().map_err(|e| StoreError::new(ErrorKind::Other, "connect to", url, e))?;
        if let Some(fault) = options.kerberos.as_ref().and_then(|k| k.refused().into_iter().next())
        {
            // The library would only say that there are no credentials.
            return Err(StoreError::new(ErrorKind::Authentication, "log in to", url, fault));
        }
        let name_service = NameService::read(authority, options);
        let namenodes = name_service.namenodes();
        let (on, of, to) = (threads.clone(), options.clone(), format!("hdfs://{authority}"));
        let stranger = builder(options, name_service.overrides(0)).with_url(&to);
        let stranger = stranger.with_io_runtime(on.clone());
        let simple =
            SimpleLogin::new(stranger, name_service.properties(), options.kerberos.is_some());
        let simple = Arc::new(simple.map_err(|e| classify("connect to", url, &e))?);
        let build = move |asks| {
            let builder = builder(
                &of,
                match asks {
                    Asks::First(nth) => name_service.overrides(nth),
                    Asks::Only(nth) => name_service.only(nth),
                },
            );
            builder.with_url(&to).with_io_runtime(on.clone()).build()
        };
        let clients = Clients::new(url, namenodes, threads.clone(), build);
        let clients = Arc::new(clients.map_err(|e| classify("connect to", url, &e))?);
        let base = format!("/{}", path.trim_matches('/')).trim_end_matches('/').to_string();
        let erasure = Arc::new(Erasure::new(options.erasure_coding.clone()));
        let pipelines = Arc::default();
        let url = url.into();
        Ok(Hdfs { clients, threads, url, base, deadlines, pipelines, erasure, simple })
    }

    fn full(&self, path: &str) -> String {
        match (self.base.as_str(), path) {
            ("", "") => "/".into(),
            (base, "") => base.into(),
            (base, path) => format!("{base}/{path}"),
        }
    }

    async fn run<T, F>(
        &self,
        operation: &'static str,
        path: &str,
        work: impl FnOnce(Arc<Client>, String) -> F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, HdfsError>> + Send + 'static,
    {
        let (by, began) = (self.clients.in_use(), Instant::now());
        self.run_by(&by, began, operation, path, work).await
    }

    /// Runs `work` by this client, and notes whether it came back.
    async fn run_by<T, F>(
        &self,
        by: &InUse,
        began: Instant,
        operation: &'static str,
        path: &str,
        work: impl FnOnce(Arc<Client>, String) -> F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, HdfsError>> + Send + 'static,
    {
        let full = self.full(path);
        let work = work(Arc::clone(&by.client), full.clone());
        let (name, clients, of) = (full.clone(), Arc::clone(&self.clients), by.clone());
        let answer = within(&self.threads, self.deadlines.call, operation, &full, async move {
            let answer = work.await;
            clients.answered(&of);
            answer.map_err(|e| classify(operation, &name, &e))
        })
        .await;
        if answer.as_ref().is_err_and(|e| e.kind == ErrorKind::Unknown) {
            self.clients.overdue(by, began).await;
        }
        if answer.is_ok()
            && let Some(stranger) = self.simple.stranger(Instant::now())
        {
            self.stays_out(stranger, operation, &full).await?;
        }
        answer
    }

    /// The first call that works is followed by this one, of a client that can't log in.
    async fn stays_out(
        &self,
        stranger: Arc<Client>,
        operation: &'static str,
        path: &str,
    ) -> Result<(), StoreError> {
        let (simple, name) = (Arc::clone(&self.simple), path.to_string());
        within(&self.threads, self.deadlines.call, operation, path, async move {
            simple.heard(stranger.get_file_info("/").await, operation, &name)
        })
        .await
        .or_else(|e| if e.kind == ErrorKind::Unknown { Ok(()) } else { Err(e) })
    }
}

/// A client of this root, with what its configuration says and these overrides.
fn builder(options: &HdfsOptions, overrides: BTreeMap<String, String>) -> ClientBuilder {
    // A pipeline that lost a node goes on with those that are left: the NameNode makes up
    // for it later. Waiting for a node that is not there would stop the file.
    let key = "dfs.client.block.write.replace-datanode-on-failure.best-effort";
    let mut properties = BTreeMap::from([(key.to_string(), "true".to_string())]);
    if options.kerberos.is_some() {
        let key = "hadoop.security.authentication".to_string();
        let _ = properties.insert(key, "kerberos".into());
    }
    properties.extend(options.properties.clone());
    properties.extend(overrides);
    let mut builder = ClientBuilder::new().with_config(properties);
    if let Some(dir) = &options.conf_dir {
        builder = builder.with_config_dir(dir);
    }
    if let Some(user) = &options.user {
        builder = builder.with_user(user);
    }
    if let Some(kerberos) = &options.kerberos {
        builder = builder.with_kerberos_principal(&kerberos.principal);
        if let Some(keytab) = &kerberos.keytab {
            builder = builder.with_kerberos_keytab(keytab);
        }
        if let Some(cache) = &kerberos.cache {
            builder = builder.with_kerberos_cache(cache);
        }
    }
    builder
}

/// A file whose calls are not waited for in vain when its NameNode is silent.
struct Attended {
    file: HdfsFile,
    clients: Arc<Clients>,
    by: InUse,
}

#[async_trait]
impl RawFile for Attended {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.clients.attended(&self.by, self.file.write(bytes)).await
    }

    async fn close(&mut self) -> Result<(), StoreError> {
        self.clients.attended(&self.by, self.file.close()).await
    }
}

#[async_trait]
impl Store for Hdfs {
    fn url(&self) -> &str {
        &self.url
    }

    async fn create(&self, path: &str) -> Result<Box<dyn Writer>, StoreError> {
        let (by, began) = (self.clients.in_use(), Instant::now());
        let create = |c: Arc<Client>, p: String| async move { c.create(&p, options()).await };
        let made = self.run_by(&by, began, "create", path, create).await?;
        let (client, pipelines) = (Arc::clone(&by.client), Arc::clone(&self.pipelines));
        let full = self.full(path);
        if self.erasure.is_due() {
            let (erasure, of, name) = (Arc::clone(&self.erasure), client.clone(), full.clone());
            let checked = async move { erasure.check(&of, &name).await };
            within(&self.threads, self.deadlines.call, "look at", &full, checked).await?;
        }
        let file = HdfsFile::new(client, full, pipelines, made);
        let file = Attended { file, clients: Arc::clone(&self.clients), by: by.clone() };
        let writer = TaskWriter::spawn(&self.threads, &self.full(path), file, self.deadlines);
        Ok(Box::new(writer.until(by.replaced)))
    }

    async fn make_dirs(&self, path: &str) -> Result<(), StoreError> {
        self.run(
            "make directory",
            path,
            |c, p| async move { c.mkdirs(&p, DIRECTORY_MODE, true).await },
        )
        .await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let to = self.full(to);
        self.run("rename", from, |c, p| async move { c.rename(&p, &to, false).await }).await
    }

    async fn delete(&self, path: &str) -> Result<(), StoreError> {
        self.run("delete", path, |c, p| async move { c.delete(&p, true).await.map(drop) }).await
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, StoreError> {
        let found = self.run("look at", path, |c, p| async move { c.get_file_info(&p).await });
        match found.await {
            Ok(status) => Ok(Some(status.length as u64)),
            Err(e) if e.kind == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, StoreError> {
        let found = self.run("list", path, |c, p| async move { c.list_status(&p, false).await });
        let name = |path: String| path.rsplit('/').next().unwrap_or_default().to_string();
        match found.await {
            Ok(all) => Ok(all.into_iter().map(|s| name(s.path)).collect()),
            Err(e) if e.kind == ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(e),
        }
    }

    async fn walk(&self, path: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let base = format!("{}/", self.base);
        let found = self.run("list", path, |c, p| async move { c.list_status(&p, true).await });
        let file = |s: hdfs_native::client::FileStatus| {
            let path = s.path.strip_prefix(&base).unwrap_or(&s.path).to_string();
            (!s.isdir).then_some((path, s.length as u64))
        };
        match found.await {
            Ok(all) => Ok(all.into_iter().filter_map(file).collect()),
            Err(e) if e.kind == ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(e),
        }
    }

    async fn read(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        let found = self.run("read", path, |c, p| async move {
            let mut reader = c.read(&p).await?;
            let length = reader.file_length();
            reader.read_bytes(length).await
        });
        match found.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn facts(&self, path: &str) -> Result<Option<FileFacts>, StoreError> {
        let found = self.run("look at", path, |c, p| async move { c.get_file_info(&p).await });
        match found.await {
            Ok(status) => Ok(Some(FileFacts {
                modified: i64::try_from(status.modification_time).unwrap_or(i64::MAX),
                copies: status.replication.unwrap_or(1).max(1).into(),
                block: status.blocksize.unwrap_or(0),
            })),
            Err(e) if e.kind == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn limits(&self) -> Result<Vec<Limit>, StoreError> {
        let mut all = Vec::new();
        for directory in above(&self.full("")) {
            let of = directory.clone();
            let summary =
                self.run("count", "", |c, _| async move { c.get_content_summary(&of).await }).await;
            match summary {
                Ok(summary) => all.extend(limits(&directory, &summary)),
                // The root's own limits are what is asked for.
                Err(e) if directory == self.full("") => return Err(e),
                Err(error) => tracing::debug!(directory, %error, "its quota is not known"),
            }
        }
        Ok(all)
    }
}
