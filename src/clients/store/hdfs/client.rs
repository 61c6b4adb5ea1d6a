//! HDFS through hdfs-native.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use hdfs_native::{Client, ClientBuilder, HdfsError};
use tokio::runtime::Handle;

use crate::clients::store::api::{Deadlines, Store, Writer};
use crate::clients::store::error::{ErrorKind, StoreError};
use crate::clients::store::hdfs::erasure::Erasure;
use crate::clients::store::hdfs::error::classify;
use crate::clients::store::hdfs::options::options;
use crate::clients::store::hdfs::pipelines::{HdfsFile, Pipelines};
use crate::clients::store::tasks::{TaskWriter, within};
use crate::clients::store::threads::of_the_store;
use crate::common::config::HdfsOptions;

pub struct Hdfs {
    client: Arc<Client>,
    /// Where every call of the client runs.
    threads: Handle,
    url: String,
    /// The path part of the URL, without a slash at its end.
    base: String,
    deadlines: Deadlines,
    pipelines: Arc<Pipelines>,
    erasure: Arc<Erasure>,
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
        // A pipeline that lost a node goes on with those that are left: the NameNode makes up
        // for it later. Waiting for a node that is not there would stop the file.
        let key = "dfs.client.block.write.replace-datanode-on-failure.best-effort";
        let mut properties = vec![(key.to_string(), "true".to_string())];
        properties.extend(options.properties.clone());
        let threads =
            of_the_store().map_err(|e| StoreError::new(ErrorKind::Other, "connect to", url, e))?;
        let mut builder = ClientBuilder::new()
            .with_url(format!("hdfs://{authority}"))
            .with_config(properties)
            .with_io_runtime(threads.clone());
        if let Some(dir) = &options.conf_dir {
            builder = builder.with_config_dir(dir);
        }
        if let Some(user) = &options.user {
            builder = builder.with_user(user);
        }
        let client = builder.build().map_err(|e| classify("connect to", url, &e))?;
        let base = format!("/{}", path.trim_matches('/')).trim_end_matches('/').to_string();
        let (client, pipelines) = (Arc::new(client), Arc::default());
        let erasure = Arc::new(Erasure::new(options.erasure_coding.clone()));
        Ok(Hdfs { client, threads, url: url.into(), base, deadlines, pipelines, erasure })
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
        let full = self.full(path);
        let work = work(Arc::clone(&self.client), full.clone());
        let name = full.clone();
        within(&self.threads, self.deadlines.call, operation, &full, async move {
            work.await.map_err(|e| classify(operation, &name, &e))
        })
        .await
    }
}

#[async_trait]
impl Store for Hdfs {
    fn url(&self) -> &str {
        &self.url
    }

    async fn create(&self, path: &str) -> Result<Box<dyn Writer>, StoreError> {
        let made = self.run("create", path, |c, p| async move { c.create(&p, options()).await });
        let made = made.await?;
        let (client, pipelines) = (Arc::clone(&self.client), Arc::clone(&self.pipelines));
        let full = self.full(path);
        if self.erasure.is_due() {
            let (erasure, of, name) = (Arc::clone(&self.erasure), client.clone(), full.clone());
            let checked = async move { erasure.check(&of, &name).await };
            within(&self.threads, self.deadlines.call, "look at", &full, checked).await?;
        }
        let file = HdfsFile::new(client, full, pipelines, made);
        Ok(Box::new(TaskWriter::spawn(&self.threads, &self.full(path), file, self.deadlines)))
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
}
