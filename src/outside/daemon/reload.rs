//! A reload replaces the configuration that is in force by another one (SIGHUP).
//!
//! Mappings and their archives can change under a running daemon, and so can what is logged. Where
//! a topic is treated otherwise than before, the group is joined anew: whatever was read is
//! recovered like after any rebalance. A file with faults changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::clients::kafka::beginnings::Beginnings;
use crate::clients::kafka::poll_control::PollControl;
use crate::clients::kafka::{self, BatchLimits, Consumer, Trial, consumer_config};
use crate::clients::store::measured::StoreTimer;
use crate::common::config::{Config, Daemon, Mapping};
use crate::common::retry::Pauses;
use crate::engine::topics::treats_alike;
use crate::outside::daemon::active::ActiveConfig;
use crate::outside::daemon::health::Health;
use crate::outside::daemon::roots::Stores;
use crate::outside::daemon::secrets::Secrets;
use crate::outside::daemon::unavailable::{Refusals, StartAgain};
use crate::outside::daemon::{beginnings, held, roots, systemd, topics, written};

/// Reads the configuration again; all of its faults, as text.
pub type ReadAgain = dyn Fn() -> Result<Config, String> + Send + Sync;

/// Sets what is logged.
pub type SetLog = dyn Fn(&str) + Send + Sync;

/// The pauses between two tries to let a mapping run that is held.
const HELD: Pauses = Pauses { first: Duration::from_secs(2), longest: Duration::from_secs(30) };

/// Everything that a reload needs and changes.
pub(super) struct Reloading {
    pub(super) read_again: Box<ReadAgain>,
    pub(super) store_timer: Arc<StoreTimer>,
    pub(super) set_log: Box<SetLog>,
    pub(super) in_force: watch::Sender<Arc<ActiveConfig>>,
    pub(super) consumer: Arc<Consumer>,
    pub(super) control: Arc<PollControl>,
    pub(super) health: Arc<Health>,
    pub(super) limits: Arc<BatchLimits>,
    pub(super) beginnings: Arc<Beginnings>,
    pub(super) secrets: Arc<Secrets>,
    /// Gets the reason why new clients are needed.
    pub(super) again: mpsc::Sender<anyhow::Error>,
}

impl Reloading {
    /// Reloads whenever it is asked to.
    pub(super) async fn watch(self, mut asked: mpsc::Receiver<()>) {
        let mut pauses = None;
        loop {
            let held = !self.in_force.borrow().held.is_empty();
            let pause = if held {
                pauses.get_or_insert_with(|| HELD.begin()).next().unwrap_or(HELD.longest)
            } else {
                pauses = None;
                HELD.longest
            };
            match tokio::time::timeout(pause, asked.recv()).await {
                Ok(None) => return,
                Ok(Some(())) => self.reload_and_report().await,
                Err(_) if held => self.try_held().await,
                Err(_) => {}
            }
        }
    }

    async fn reload_and_report(&self) {
        systemd::reloading();
        let changed = self.secrets.changed();
        // A reload makes clients, too.
        let done = match &changed {
            Some(files) => self.try_files(files).await,
            None => Ok(()),
        };
        let done = match done {
            Ok(()) => self.reload().await,
            Err(e) => Err(e),
        };
        let is_usable = done.is_ok();
        match done {
            Ok(what) => tracing::info!("configuration reloaded: {what}"),
            Err(e) => tracing::error!(
                code = "AL502",
                "configuration not reloaded; the previous configuration stays in force: {}",
                e.trim_end()
            ),
        }
        systemd::ready();
        if let Some(files) = changed.filter(|_| is_usable) {
            let _ = self.again.try_send(StartAgain::Changed(files).into());
        }
    }

    /// Tries whether clients can be made with what the files contain now.
    async fn try_files(&self, files: &str) -> Result<(), String> {
        let config = Arc::clone(&self.in_force.borrow().config);
        let try_them = move || {
            let faults = kafka::refused(&config);
            if !faults.is_empty() {
                return faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            }
            // One client tries the login before all others do: an account may be locked.
            match consumer_config(&config).and_then(|settings| kafka::try_anew(&settings, &[])) {
                Ok(Trial::LoginRefused(why)) => format!("the brokers refuse the login: {why}"),
                Ok(Trial::Answers | Trial::NoAnswer) => String::new(),
                Err(error) => error.to_string(),
            }
        };
        let fault = tokio::task::spawn_blocking(try_them).await;
        let fault =
            fault.map_err(|e| format!("the job that tries new secrets has panicked: {e}"))?;
        if fault.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{files} has changed and can't be used, so the clients go on with what they have read \
             before: {fault}"
        ))
    }

    /// Tries to let the mappings run that are held.
    async fn try_held(&self) {
        let active = Arc::clone(&self.in_force.borrow());
        let config = &active.config;
        let (stores, mut refusals) =
            roots::open_all(config, Some(&active), Some(&self.store_timer)).await;
        let is_held = |mapping: &Mapping| active.held.contains(&mapping.name);
        match written::create(config, is_held, &self.consumer, &self.limits).await {
            Ok(more) => refusals.extend(more),
            Err(error) => return tracing::debug!(%error, "mappings that do not run"),
        }
        // One that runs is not held for what has happened since: its partitions tell of that.
        refusals.retain(|name, _| active.held.contains(name));
        let left: BTreeSet<String> = refusals.keys().cloned().collect();
        if left != active.held {
            let found = topics::find(config, &left, &self.consumer, &self.health).await;
            let wanted = match found {
                Ok(found) => found.wanted,
                Err(error) => return tracing::debug!(%error, "mappings that do not run"),
            };
            let config = Arc::clone(config);
            let now = Arc::new(ActiveConfig { config, stores, held: left });
            drop(self.in_force.send_replace(now));
            self.control.subscribe(wanted);
        }
        let _ = held::after(&active.held, refusals, &self.health.board);
    }

    /// Opens roots, and makes topics. What did not run before does not keep the others from what is
    /// new.
    async fn prepare(
        &self,
        new: &Arc<Config>,
        old: &ActiveConfig,
    ) -> Result<(Stores, Refusals), String> {
        let (stores, mut refusals) = roots::open_all(new, Some(old), Some(&self.store_timer)).await;
        let more = written::create(new, |_| true, &self.consumer, &self.limits).await;
        refusals.extend(more.map_err(|e| e.to_string())?);
        match refusals.iter().find(|(name, _)| !old.held.contains(*name)) {
            Some((_, refusal)) => Err(refusal.to_string()),
            None => Ok((stores, refusals)),
        }
    }

    async fn reload(&self) -> Result<String, String> {
        let old = Arc::clone(&self.in_force.borrow());
        let mut new = (self.read_again)()?;
        // The names of the topics of partial counts follow from it.
        if new.kafka.group_id != old.config.kafka.group_id {
            return Err("kafka.group_id has changed, which needs a restart".into());
        }
        let kept = old.config.needs_restart(&new);
        if !kept.is_empty() {
            tracing::warn!(
                code = "AL503",
                "configuration reload: {} can't change while the daemon runs; the old value stays \
                 in force until a restart",
                kept.join(", ")
            );
        }
        new.kafka.clone_from(&old.config.kafka);
        new.registry.clone_from(&old.config.registry);
        let log = std::mem::take(&mut new.daemon.log);
        new.daemon = Daemon { log, ..old.config.daemon.clone() };
        if let Some(fault) = new.memory_fault() {
            return Err(fault.to_string());
        }
        let new = Arc::new(new);
        let (stores, refusals) = self.prepare(&new, &old).await?;
        let held: BTreeSet<String> = refusals.keys().cloned().collect();
        let found = topics::find(&new, &held, &self.consumer, &self.health).await;
        let wanted = found.map_err(|e| e.to_string())?.wanted;
        beginnings::note(&new, Some(&old.config), &self.consumer, &self.beginnings)
            .await
            .map_err(|e| e.to_string())?;

        let mut what = Vec::new();
        if new.daemon.log != old.config.daemon.log {
            (self.set_log)(&new.daemon.log);
            what.push(format!("log {}", new.daemon.log));
        }
        let before: BTreeSet<String> = self.control.subscribed().into_iter().collect();
        let is_changed = |t: &String| before.contains(t) && !treats_alike(&new, &old.config, t);
        // Other instances own partitions of these, too.
        let changed: Vec<String> = wanted.iter().filter(|t| is_changed(t)).cloned().collect();
        let owned = self.health.pool.owned_partitions().into_iter().map(|tp| tp.topic.to_string());
        let owned: BTreeSet<String> = owned.filter(|t| changed.contains(t)).collect();
        held::forget(&old.held, &new, &self.health.board);
        let _ = held::after(&old.held, refusals, &self.health.board);
        let now = Arc::new(ActiveConfig { config: new, stores, held });
        drop(self.in_force.send_replace(now));
        let (gone, come): (Vec<String>, Vec<String>) = (
            before.iter().filter(|t| !wanted.contains(t)).cloned().collect(),
            wanted.iter().filter(|t| !before.contains(*t)).cloned().collect(),
        );
        if !gone.is_empty() || !come.is_empty() {
            self.control.subscribe(wanted);
        }
        self.control.give_again(owned);
        for (verb, topics) in [("added", come), ("left", gone), ("changed", changed)] {
            if !topics.is_empty() {
                what.push(format!("{verb} {}", topics.join(", ")));
            }
        }
        Ok(if what.is_empty() { "nothing has changed".into() } else { what.join("; ") })
    }
}
