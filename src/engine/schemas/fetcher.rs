//! One try at a schema.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::clients::registry::{RegistryError, SchemaSource};
use crate::clients::store::{ErrorKind, SMALL, Store, StoreError};
use crate::common::clock::Now;
use crate::common::health::{Board, Subject};
use crate::common::metrics::Metrics;
use crate::common::schemas::{Schemas, Wanted};
use crate::common::spawn::{caught_quietly, spawn_detached};
use crate::pure::formats::schema::KeptSchema;
use crate::pure::layout::names::{self, SCHEMAS, STAGING};
use crate::pure::layout::registered::{Known, RegisteredRows, no_schema};

/// A registry may be behind those who write to it: that a schema does not exist is believed when it
/// has said so after each of these pauses, too.
const LAGS: [Duration; 4] = {
    let unit = if cfg!(test) { 1 } else { 250 };
    [
        Duration::from_millis(unit),
        Duration::from_millis(2 * unit),
        Duration::from_millis(5 * unit),
        Duration::from_millis(12 * unit),
    ]
};

/// How long an answer of the registry is waited for where the root has one already.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// So many of such questions are asked at a time, by all mappings: each needs a thread, for as long
/// as a registry that is silent lets it wait.
static COMPARISONS: Semaphore = Semaphore::const_new(4);

/// After this time it is asked again whether a schema exists that did not.
const ASKED_AGAIN: Duration = Duration::from_secs(60);

/// What `found` says of a schema that the registry does not have.
const MISSING: &str = "missing";

/// Finds the schemas of one mapping.
#[derive(Clone)]
pub struct Fetcher {
    pub rows: RegisteredRows,
    /// What the rows know; what is found is added here.
    pub schemas: Schemas,
    pub store: Arc<dyn Store>,
    /// [`None`]: only what the root keeps is known.
    pub registry: Option<Arc<dyn SchemaSource>>,
    pub board: Arc<Board>,
    pub metrics: Arc<Metrics>,
    pub mapping: String,
    pub clock: fn() -> Now,
}

impl Fetcher {
    /// Tries to find a schema, in a task, unless another one does so already; whether it begins to.
    /// What is found is in [`Fetcher::schemas`] then.
    pub fn find(&self, id: u32, runtime: &Handle) -> bool {
        let Some(wanted) = self.schemas.want(id) else { return false };
        let this = self.clone();
        let _runtime = runtime.enter();
        spawn_detached("schema", async move {
            this.try_to_find(id, wanted).await;
        });
        true
    }

    /// What is found, when it can be believed.
    async fn believed(&self, id: u32) -> Result<(Known, &'static str), String> {
        for lag in LAGS {
            match self.found(id).await {
                Ok((_, MISSING)) => tokio::time::sleep(lag).await,
                answer => return answer,
            }
        }
        self.found(id).await
    }

    async fn try_to_find(&self, id: u32, wanted: Wanted) {
        let subject = Subject::Registry(self.mapping.clone());
        let who = format!("schema {id}");
        match self.believed(id).await {
            Ok((known, outcome)) => {
                self.count(outcome);
                let is_unusable = matches!(known, Known::Unusable(_));
                self.schemas.insert(id, known);
                self.board.worked(&subject, &who, (self.clock)().millis);
                // Whoever meets the id when it is forgotten may ask at once.
                drop(wanted);
                if is_unusable {
                    tokio::time::sleep(ASKED_AGAIN).await;
                    self.schemas.forget_unusable(id);
                }
            }
            Err(cause) => {
                self.count("failed");
                let cause = format!("{who}: {cause}");
                let _ = self.board.failed(&subject, &who, &cause, (self.clock)().millis);
            }
        }
    }

    fn count(&self, outcome: &str) {
        self.metrics.schemas.with_label_values(&[self.mapping.as_str(), outcome]).inc();
    }

    /// What is found, and where.
    async fn found(&self, id: u32) -> Result<(Known, &'static str), String> {
        if let Some(kept) = self.kept(id).await? {
            let known = self.known(kept.clone()).await?;
            self.compare(&kept, &known).await?;
            return Ok((known, "kept"));
        }
        let registry = self
            .registry
            .clone()
            .ok_or("this daemon was started without [registry]: restart it")?;
        let asked = tokio::task::spawn_blocking(move || registry.schema(id));
        let schema = match asked.await.map_err(|e| e.to_string())? {
            Ok(Some(schema)) => schema,
            Ok(None) => return Ok((Known::Unusable(no_schema(id).into()), MISSING)),
            Err(RegistryError::TooLarge(why)) => return Ok((unusable(id, &why), "unusable")),
            Err(RegistryError::Away(why)) => return Err(why),
        };
        let known = self.known(schema.clone()).await?;
        if matches!(known, Known::Unusable(_)) {
            return Ok((known, "unusable"));
        }
        let kept = self.keep(&schema).await;
        // Another instance may have been faster: what stands in the root counts.
        match kept.map_err(|e| format!("it can't be kept in the root: {e}"))? {
            Some(kept) => {
                let first = self.known(kept).await?;
                let is_same = first.reads_alike(&known);
                is_same.then_some((first, "fetched")).ok_or_else(|| self.another(id))
            }
            None => Ok((known, "fetched")),
        }
    }

    /// Looks whether the registry has the schema that the root keeps. One that is away, or has the
    /// schema no more, keeps nobody from reading.
    async fn compare(&self, kept: &KeptSchema, known: &Known) -> Result<(), String> {
        let (id, Some(registry)) = (kept.id, self.registry.clone()) else { return Ok(()) };
        let asked = async {
            let permit = COMPARISONS.acquire().await;
            let ask = move || {
                let _permit = permit;
                registry.schema(id)
            };
            tokio::task::spawn_blocking(ask).await
        };
        let told = match tokio::time::timeout(TOLD_WITHIN, asked).await {
            Ok(Ok(Ok(Some(told)))) if told != *kept => told,
            // No root has a schema that is too large.
            Ok(Ok(Err(RegistryError::TooLarge(_)))) => return Err(self.another(id)),
            _ => return Ok(()),
        };
        match self.known(told).await?.reads_alike(known) {
            true => Ok(()),
            false => Err(self.another(id)),
        }
    }

    /// Values would be read by a schema that they were not written with.
    fn another(&self, id: u32) -> String {
        format!(
            "the registry has another one than {}/{}: it is another registry, or was made anew, \
             and needs another root",
            self.store.url(),
            names::schema(id)
        )
    }

    /// A compiler may take its time, and may panic at what strangers have written. That the process
    /// ends meanwhile says nothing of the schema.
    async fn known(&self, schema: KeptSchema) -> Result<Known, String> {
        let (id, rows) = (schema.id, self.rows.clone());
        let read = move || caught_quietly(|| Known::of(&schema, rows.wanted()));
        let known = tokio::task::spawn_blocking(read).await.map_err(|e| e.to_string())?;
        Ok(known.unwrap_or_else(|panic| unusable(id, &panic.to_string())))
    }

    /// The schema that the root keeps; [`None`] without one.
    async fn kept(&self, id: u32) -> Result<Option<KeptSchema>, String> {
        let path = names::schema(id);
        let read = self.store.read_at_most(&path, SMALL).await.map_err(|e| e.to_string())?;
        let kept = read.map(|text| KeptSchema::decode(id, &text)).transpose();
        kept.map_err(|e| format!("{}/{path}: {e}", self.store.url()))
    }

    /// Keeps a schema, unless one stands there; that one then.
    async fn keep(&self, schema: &KeptSchema) -> Result<Option<KeptSchema>, String> {
        let staged = names::staged_schema(&uuid::Uuid::new_v4().simple().to_string());
        let put = self.put(schema, &staged).await;
        // What is left over of a try is small, and nobody sees it.
        let deleted = self.store.delete(&staged).await;
        match put {
            Err(e) if e.kind == ErrorKind::AlreadyExists => self.kept(schema.id).await,
            put => put.and(deleted).map(|()| None).map_err(|e| e.to_string()),
        }
    }

    async fn put(&self, schema: &KeptSchema, staged: &str) -> Result<(), StoreError> {
        self.store.make_dirs(STAGING).await?;
        self.store.make_dirs(SCHEMAS).await?;
        let mut file = self.store.create(staged).await?;
        file.write(Bytes::from(schema.encode())).await?;
        file.close().await?;
        self.store.rename(staged, &names::schema(schema.id)).await
    }
}

fn unusable(id: u32, why: &str) -> Known {
    Known::Unusable(format!("schema {id} cannot be used: {why}").into())
}
