//! HDFS through hdfs-native.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use hdfs_native::{Client, HdfsError};
use tokio::runtime::Handle;

use crate::clients::store::api::{Deadlines, FileFacts, Limit, Store, Walked, Writer};
use crate::clients::store::error::{ErrorKind, StoreError};
use crate::clients::store::hdfs::builder::builder;
use crate::clients::store::hdfs::clients::{Asks, Clients, InUse};
use crate::clients::store::hdfs::creation::{Creation, Making};
use crate::clients::store::hdfs::erasure::{Erasure, replicas};
use crate::clients::store::hdfs::error::classify;
use crate::clients::store::hdfs::kms::is_stale;
use crate::clients::store::hdfs::name_service::{NameService, addresses};
use crate::clients::store::hdfs::pause::{Logins, logins_of};
use crate::clients::store::hdfs::pipelines::{HdfsFile, Pipelines};
use crate::clients::store::hdfs::quota::{above, limits};
use crate::clients::store::hdfs::refusal::{Asked, PATIENCE, is_secured};
use crate::clients::store::hdfs::simple::SimpleLogin;
use crate::clients::store::hdfs::viewfs;
use crate::clients::store::tasks::{RawFile, TaskWriter, within};
use crate::clients::store::threads::of_the_store;
use crate::common::config::{FileProperties, HdfsOptions, Kerberos, hadoop_values};

pub struct Hdfs {
    clients: Arc<Clients>,
    /// Where every call of the client runs.
    threads: Handle,
    url: String,
    /// The NameNodes.
    servers: Arc<[String]>,
    /// The path part of the URL, without a slash at its end.
    base: String,
    deadlines: Deadlines,
    pipelines: Arc<Pipelines>,
    erasure: Arc<Erasure>,
    /// A file of an erasure-coded root has a connection to each of many DataNodes, and cells.
    is_coded: bool,
    simple: Arc<SimpleLogin>,
    logins: Option<Arc<Logins>>,
    creation: Arc<Creation>,
    asked: Arc<Asked>,
}

impl Hdfs {
    pub fn open(
        url: &str,
        options: &HdfsOptions,
        deadlines: Deadlines,
    ) -> Result<Hdfs, StoreError> {
        let unusable = |e: String| StoreError::new(ErrorKind::Unsuitable, "open", url, e);
        let values = hadoop_values(options).map_err(unusable)?;
        let viewfs::Place { authority, path: base } =
            viewfs::resolve(url, &values).map_err(unusable)?;
        let threads =
            of_the_store().map_err(|e| StoreError::new(ErrorKind::Other, "connect to", url, e))?;
        if let Some(fault) = options.kerberos.as_ref().and_then(|k| k.refused().into_iter().next())
        {
            // The library would only say that there are no credentials.
            return Err(StoreError::new(ErrorKind::Authentication, "log in to", url, fault));
        }
        if let Some(why) = options.kerberos.as_ref().and_then(Kerberos::unfilled) {
            return Err(StoreError::new(ErrorKind::NoTicket, "log in to", url, why));
        }
        let servers: Arc<[String]> = addresses(url, &values).into();
        let name_service = NameService::new(&authority, values);
        if let Some(why) = name_service.undefined() {
            return Err(unusable(why));
        }
        let creation = creation(options, &name_service, &base).map_err(unusable)?;
        let is_secured = is_secured(options, &name_service);
        let namenodes = (name_service.namenodes(), Arc::clone(&servers));
        let (on, of, to) = (threads.clone(), options.clone(), format!("hdfs://{authority}"));
        let stranger = builder(options, name_service.overrides(0)).with_url(&to);
        let stranger = stranger.with_io_runtime(on.clone());
        let simple =
            SimpleLogin::new(stranger, name_service.properties(), options.kerberos.is_some());
        let simple = Arc::new(simple.map_err(|e| classify("connect to", url, &e))?);
        let asked = Arc::new(Asked {
            url: to.clone(),
            options: of.clone(),
            overrides: name_service.overrides(0),
            is_secured,
            threads: on.clone(),
        });
        let build = move |asks| {
            let overrides = match asks {
                Asks::First(nth) => name_service.overrides(nth),
                Asks::Only(nth) => name_service.only(nth),
            };
            let builder = builder(&of, overrides);
            builder.with_url(&to).with_io_runtime(on.clone()).build()
        };
        let clients = Clients::new(url, namenodes, threads.clone(), build);
        let clients = Arc::new(clients.map_err(|e| classify("connect to", url, &e))?);
        let erasure = Arc::new(Erasure::new(options.erasure_coding.clone()));
        let pipelines = Arc::new(Pipelines::new(is_secured));
        let url = url.into();
        let creation = Arc::new(creation);
        Ok(Hdfs {
            clients,
            threads,
            url,
            servers,
            base,
            deadlines,
            pipelines,
            erasure,
            is_coded: options.erasure_coding.is_some(),
            simple,
            logins: logins_of(options.kerberos.as_ref()),
            creation,
            asked,
        })
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
        if let Some(logins) = &self.logins {
            logins.may_try(began, operation, &full)?;
        }
        let work = work(Arc::clone(&by.client), full.clone());
        let (name, clients, of) = (full.clone(), Arc::clone(&self.clients), by.clone());
        let is_first = !self.clients.has_answered();
        let answer = within(&self.threads, self.deadlines.call, operation, &full, async move {
            let answer = work.await;
            clients.answered(&of);
            answer.map_err(|e| classify(operation, &name, &e))
        });
        let answer = match is_first {
            true => self.unless_refused(operation, &full, answer).await,
            false => answer.await,
        };
        let answer = match &self.logins {
            Some(logins) => logins.judged(answer, began).await,
            None => answer,
        };
        match &answer {
            Err(e) if e.kind == ErrorKind::Unknown => self.clients.overdue(by, began).await,
            Err(e) if is_stale(e) => self.clients.renew(by),
            _ => {}
        }
        if answer.is_ok()
            && let Some(stranger) = self.simple.stranger(Instant::now())
        {
            self.stays_out(stranger, operation, &full).await?;
        }
        answer
    }

    /// Waits for an answer, or for the reason why there will be none.
    async fn unless_refused<T>(
        &self,
        operation: &'static str,
        path: &str,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let refused = async {
            tokio::time::sleep(PATIENCE).await;
            let asked = Arc::clone(&self.asked);
            let reason = async move { Ok(asked.reason().await) };
            let reason = within(&self.threads, self.deadlines.call, operation, path, reason).await;
            match reason {
                Ok(Some(reason)) => reason,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            answer = answer => answer,
            why = refused => {
                Err(StoreError::new(ErrorKind::Authentication, operation, path, why))
            }
        }
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

/// How files and directories are made in this root.
fn creation(
    options: &HdfsOptions,
    name_service: &NameService,
    base: &str,
) -> Result<Creation, String> {
    let umask = options.umask.map_or_else(|| name_service.umask(), Ok)?;
    let inherits = !name_service.is_off("dfs.namenode.posix.acl.inheritance.enabled");
    Ok(Creation::new(umask, base, inherits))
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

    fn servers(&self) -> Arc<[String]> {
        Arc::clone(&self.servers)
    }

    fn completes_late(&self) -> bool {
        !self.is_coded
    }

    async fn create_with(
        &self,
        path: &str,
        of: &FileProperties,
    ) -> Result<Box<dyn Writer>, StoreError> {
        let (by, began) = (self.clients.in_use(), Instant::now());
        let making = Making { creation: Arc::clone(&self.creation), files: of.clone() };
        let made = making.clone();
        let create = |c: Arc<Client>, p: String| async move { made.file(&c, &p, None).await };
        let made = self.run_by(&by, began, "create", path, create).await?;
        let (client, pipelines) = (Arc::clone(&by.client), Arc::clone(&self.pipelines));
        let full = self.full(path);
        if self.erasure.is_due() {
            let (erasure, of, name) = (Arc::clone(&self.erasure), client.clone(), full.clone());
            let checked = async move { erasure.check(&of, &name).await };
            within(&self.threads, self.deadlines.call, "look at", &full, checked).await?;
        }
        let file = HdfsFile::new(client, full, pipelines, making, made);
        let file = Attended { file, clients: Arc::clone(&self.clients), by: by.clone() };
        let writer = TaskWriter::spawn(&self.threads, &self.full(path), file, self.deadlines);
        Ok(Box::new(writer.until(by.replaced)))
    }

    async fn make_dirs_with(&self, path: &str, of: &FileProperties) -> Result<(), StoreError> {
        let (creation, of) = (Arc::clone(&self.creation), of.clone());
        let make = |c: Arc<Client>, p: String| async move { creation.make_dirs(&c, &p, &of).await };
        self.run("make directory", path, make).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let to = self.full(to);
        self.run("rename", from, |c, p| async move { c.rename(&p, &to, false).await }).await
    }

    async fn delete(&self, path: &str) -> Result<(), StoreError> {
        self.run("delete", path, |c, p| async move { c.delete(&p, true).await.map(drop) }).await
    }

    async fn delete_empty(&self, path: &str) -> Result<(), StoreError> {
        self.run("delete", path, |c, p| async move { c.delete(&p, false).await.map(drop) }).await
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, StoreError> {
        let found = self.run("look at", path, |c, p| async move { c.get_file_info(&p).await });
        match found.await {
            Ok(status) => Ok((!status.isdir).then_some(status.length as u64)),
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

    async fn walk(&self, path: &str) -> Result<Walked, StoreError> {
        let base = format!("{}/", self.base);
        // The client's own walk ends at the first directory that it may not list.
        self.run("list", path, |c, top| async move {
            let inside = |path: &str| path.strip_prefix(&base).unwrap_or_default().to_string();
            let (mut walked, mut todo) = (Walked::default(), vec![top]);
            while let Some(directory) = todo.pop() {
                let all = match c.list_status(&directory, false).await {
                    Ok(all) => all,
                    Err(e) => match classify("list", &directory, &e) {
                        refusal if refusal.kind == ErrorKind::Permission => {
                            walked.refused.push((inside(&directory), refusal));
                            continue;
                        }
                        refusal if refusal.kind == ErrorKind::NotFound => continue,
                        _ => return Err(e),
                    },
                };
                for status in all {
                    match status.isdir {
                        true => todo.push(status.path),
                        false => walked.files.push((inside(&status.path), status.length as u64)),
                    }
                }
            }
            Ok(walked)
        })
        .await
    }

    async fn read_at_most(&self, path: &str, most: u64) -> Result<Option<Bytes>, StoreError> {
        let found = self.run("read", path, |c, p| async move {
            let mut reader = c.read(&p).await?;
            let length = reader.file_length();
            if most < length as u64 {
                return Ok(Err(length as u64));
            }
            reader.read_bytes(length).await.map(Ok)
        });
        match found.await {
            Ok(Ok(bytes)) => Ok(Some(bytes)),
            Ok(Err(length)) => Err(StoreError::too_large(&self.full(path), length, most)),
            Err(e) if e.kind == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn facts(&self, path: &str) -> Result<Option<FileFacts>, StoreError> {
        let found = self.run("look at", path, |c, p| async move {
            let status = c.get_file_info(&p).await?;
            if status.isdir {
                return Ok(None);
            }
            Ok(Some((status, replicas(&c, &p).await?.is_none())))
        });
        match found.await {
            Ok(None) => Ok(None),
            Ok(Some((status, is_coded))) => Ok(Some(FileFacts {
                modified: i64::try_from(status.modification_time).unwrap_or(i64::MAX),
                copies: status.replication.unwrap_or(1).max(1).into(),
                block: status.blocksize.unwrap_or(0),
                is_coded,
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
