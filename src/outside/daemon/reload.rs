//! A reload replaces the configuration that is in force by another one (SIGHUP).
//!
//! Mappings and their archives can change under a running daemon, and so can what is logged. Where
//! a topic is treated otherwise than before, the group is joined anew: whatever was read is
//! recovered like after any rebalance. A file with faults changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::clients::kafka::beginnings::Beginnings;
use crate::clients::kafka::group::PollControl;
use crate::clients::kafka::{BatchLimit, Consumer};
use crate::clients::store::measured::StoreTimer;
use crate::common::config::{Config, Daemon};
use crate::engine::topics::treats_alike;
use crate::outside::daemon::active::ActiveConfig;
use crate::outside::daemon::health::Health;
use crate::outside::daemon::{beginnings, roots, systemd, topics};

/// Reads the configuration again; all of its faults, as text.
pub type ReadAgain = dyn Fn() -> Result<Config, String> + Send + Sync;

/// Sets what is logged.
pub type SetLog = dyn Fn(&str) + Send + Sync;

/// Everything that a reload needs and changes.
pub(super) struct Reloading {
    pub(super) read_again: Box<ReadAgain>,
    pub(super) store_timer: Arc<StoreTimer>,
    pub(super) set_log: Box<SetLog>,
    pub(super) in_force: watch::Sender<Arc<ActiveConfig>>,
    pub(super) consumer: Arc<Consumer>,
    pub(super) control: Arc<PollControl>,
    pub(super) health: Arc<Health>,
    pub(super) limit: Arc<BatchLimit>,
    pub(super) beginnings: Arc<Beginnings>,
}

impl Reloading {
    /// Reloads whenever it is asked to.
    pub(super) async fn watch(self, mut asked: mpsc::Receiver<()>) {
        while asked.recv().await.is_some() {
            systemd::reloading();
            match self.reload().await {
                Ok(what) => tracing::info!("configuration reloaded: {what}"),
                Err(e) => tracing::error!(
                    "configuration not reloaded; the previous configuration stays in force: {}",
                    e.trim_end()
                ),
            }
            systemd::ready();
        }
    }

    async fn reload(&self) -> Result<String, String> {
        let old = Arc::clone(&self.in_force.borrow());
        let mut new = (self.read_again)()?;
        if new.kafka.group_id != old.config.kafka.group_id
            || new.daemon.instance != old.config.daemon.instance
        {
            return Err("kafka.group_id and daemon.instance can't change: restart".into());
        }
        let kept = old.config.needs_restart(&new);
        if !kept.is_empty() {
            tracing::warn!(
                "{} can't change while the daemon runs; the old value stays in force until a \
                 restart",
                kept.join(", ")
            );
        }
        new.kafka.clone_from(&old.config.kafka);
        let log = std::mem::take(&mut new.daemon.log);
        new.daemon = Daemon { log, ..old.config.daemon.clone() };
        let new = Arc::new(new);
        let stores = roots::open_all(&new, Some(&old), Some(&self.store_timer)).await;
        let stores = stores.map_err(|e| e.to_string())?;
        topics::create(&new, &self.consumer, &self.limit).await.map_err(|e| e.to_string())?;
        let found = topics::find(&new, &self.consumer, &self.health).await;
        let wanted = found.map_err(|e| e.to_string())?.wanted;
        beginnings::note(&new, Some(&old.config), &self.consumer, &self.beginnings)
            .await
            .map_err(|e| e.to_string())?;

        let mut what = Vec::new();
        if new.daemon.log != old.config.daemon.log {
            (self.set_log)(&new.daemon.log);
            what.push(format!("log {}", new.daemon.log));
        }
        let changed: BTreeSet<String> = self
            .health
            .pool
            .status()
            .into_iter()
            .map(|p| p.topic)
            .filter(|t| wanted.contains(t) && !treats_alike(&new, &old.config, t))
            .collect();
        drop(self.in_force.send_replace(Arc::new(ActiveConfig { config: new, stores })));
        let before: BTreeSet<String> = self.control.subscribed().into_iter().collect();
        let (gone, come): (Vec<String>, Vec<String>) = (
            before.iter().filter(|t| !wanted.contains(t)).cloned().collect(),
            wanted.iter().filter(|t| !before.contains(*t)).cloned().collect(),
        );
        if !gone.is_empty() || !come.is_empty() {
            self.control.subscribe(wanted);
        }
        if !changed.is_empty() {
            self.control.rejoin();
        }
        for (verb, topics) in
            [("added", come), ("left", gone), ("changed", changed.into_iter().collect())]
        {
            if !topics.is_empty() {
                what.push(format!("{verb} {}", topics.join(", ")));
            }
        }
        Ok(if what.is_empty() { "nothing has changed".into() } else { what.join("; ") })
    }
}
