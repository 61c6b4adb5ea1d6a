//! The daemon's outside: what is opened at the start, what runs beside the workers, and how it
//! ends.

mod http;
mod page;
pub(crate) mod roots;
pub(crate) mod status;
mod systemd;
pub(crate) mod topics;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use prometheus::Registry;
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::daemon::status::Throughput;
use crate::kafka::group::{self, PollControl};
use crate::kafka::offsets::{BrokerPositions, log_range};
use crate::kafka::{Commit, Consumer, Transactions, consumer_config, producer_config};
use crate::metrics::Metrics;
use crate::store::Store;
use crate::worker::{Env, Now, Pool, Role, SourceLists};

/// Something that the daemon needs at its start is not to be had.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// What the endpoints look at.
pub(crate) struct Health {
    pub(crate) registry: Registry,
    pub(crate) pool: Arc<Pool>,
    /// Wall clock of the poll thread's last round, milliseconds.
    pub(crate) polled: AtomicI64,
    /// Topics that a mapping names and no broker has.
    pub(crate) missing: Mutex<Vec<String>>,
    pub(crate) sources: Arc<SourceLists>,
    pub(crate) instance: String,
    pub(crate) group: String,
    /// Wall clock, milliseconds.
    pub(crate) started: i64,
    pub(crate) throughput: Mutex<Throughput>,
}

/// Runs until `shutdown` says so; whether everything that was read was appended before the end.
/// `repair` is the command that the log names for a stopped partition, without its name.
///
/// # Errors
/// The start failed ([`Unavailable`] inside where a server is not to be had), or the daemon can't
/// go on.
pub async fn run(
    config: Arc<Config>,
    registry: Registry,
    repair: String,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<bool> {
    let metrics = Arc::new(Metrics::new(&registry));
    let stores = roots::open_all(&config).await?;
    let (fatal_tx, mut fatal) = mpsc::channel::<String>(8);
    let settings = consumer_config(&config)?;
    let positions = BrokerPositions::new(settings.clone());
    let sources = Arc::new(SourceLists::default());
    let control = Arc::new(PollControl::default());
    let env = Env {
        sources: Arc::clone(&sources),
        metrics,
        positions: Arc::new(positions.clone()),
        runtime: tokio::runtime::Handle::current(),
        commit_interval: config.daemon.commit_interval,
        memory_bytes: config.daemon.memory_bytes as usize / config.daemon.workers,
        fatal: Arc::new(move |reason| drop(fatal_tx.try_send(reason))),
        rejoin: {
            let control = Arc::clone(&control);
            Arc::new(move || control.rejoin())
        },
        clock: Now::read,
        repair: repair.into(),
    };
    let pool = Arc::new(start_pool(&config, env, stores)?);
    let consumer = group::consumer(&settings, Arc::clone(&pool) as _)?;
    let _ = positions.consumer.set(Arc::downgrade(&consumer));
    let health = Arc::new(Health {
        registry,
        pool: Arc::clone(&pool),
        polled: AtomicI64::new(now_ms()),
        missing: Mutex::default(),
        sources,
        instance: config.daemon.instance.clone(),
        group: config.kafka.group_id.clone(),
        started: now_ms(),
        throughput: Mutex::default(),
    });
    let first = topics::find(&config, &consumer, &health).await?;
    topics::create(&config, &consumer).await?;
    let (stop, stopped) = watch::channel(false);
    let http = http::serve(config.daemon.listen, Arc::clone(&health), stopped.clone()).await?;
    control.subscribe(first);
    let poll = spawn_poll(&config, &consumer, &control, &health)?;
    let watching = tokio::spawn(topics::watch(
        Arc::clone(&config),
        Arc::clone(&consumer),
        Arc::clone(&control),
        Arc::clone(&health),
        stopped,
    ));
    let lags = tokio::spawn(watch_ends(Arc::clone(&consumer), Arc::clone(&health)));
    let retention = tokio::spawn(topics::watch_retention(Arc::clone(&config), Arc::clone(&health)));
    let supervising = tokio::spawn(systemd::watch(Arc::clone(&health)));
    tracing::info!(instance = config.daemon.instance, group = config.kafka.group_id, "running");

    let mut check = tokio::time::interval(Duration::from_millis(500));
    tokio::pin!(shutdown);
    let failure = loop {
        tokio::select! {
            () = &mut shutdown => break None,
            reason = fatal.recv() => break reason,
            _ = check.tick() => if let Some(reason) = control.fatal() { break Some(reason) },
        }
    };
    systemd::stopping();
    lags.abort();
    supervising.abort();
    retention.abort();
    watching.abort();
    let drained = stop_all(&config, &pool, &control, poll, failure.is_none()).await?;
    let _ = stop.send(true);
    if let Some(http) = http {
        let _ = tokio::time::timeout(Duration::from_secs(2), http).await;
    }
    // Dropping the consumer can hang when it could not leave; the process ends anyway.
    std::mem::forget(consumer);
    match failure {
        Some(reason) => Err(anyhow::anyhow!(reason)),
        None => Ok(drained),
    }
}

fn start_pool(
    config: &Arc<Config>,
    env: Env,
    stores: HashMap<String, (Arc<dyn Store>, String)>,
) -> anyhow::Result<Pool> {
    let patience = Duration::from_secs(15);
    let transactions = (0..config.daemon.workers)
        .map(|w| {
            let transactions = Transactions::new(producer_config(config, w)?, patience);
            Ok(Box::new(transactions) as Box<dyn Commit>)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let roles = Arc::clone(config);
    let role = move |topic: &str| {
        Role::of(&roles, topic, |archive| stores.get(&archive.root.url()).cloned())
    };
    Pool::start(env, config.daemon.revoke_timeout, transactions, role).context("start workers")
}

fn spawn_poll(
    config: &Config,
    consumer: &Arc<Consumer>,
    control: &Arc<PollControl>,
    health: &Arc<Health>,
) -> anyhow::Result<std::thread::JoinHandle<()>> {
    let (consumer, control, health) =
        (Arc::clone(consumer), Arc::clone(control), Arc::clone(health));
    let leave = config.daemon.revoke_timeout + Duration::from_secs(5);
    std::thread::Builder::new()
        .name("poll".into())
        .spawn(move || {
            let alive = || health.polled.store(now_ms(), Ordering::Relaxed);
            group::poll(&consumer, &control, leave, alive);
        })
        .context("start the poll thread")
}

async fn stop_all(
    config: &Config,
    pool: &Arc<Pool>,
    control: &PollControl,
    poll: std::thread::JoinHandle<()>,
    drain: bool,
) -> anyhow::Result<bool> {
    tracing::info!("stopping");
    let (pool, timeout) = (Arc::clone(pool), config.daemon.drain_timeout);
    let leave = config.daemon.revoke_timeout + Duration::from_secs(8);
    let draining = Arc::clone(&pool);
    let drained = tokio::task::spawn_blocking(move || !drain || draining.drain(timeout)).await?;
    control.stop();
    let left = tokio::task::spawn_blocking(move || {
        let deadline = std::time::Instant::now() + leave;
        while !poll.is_finished() && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        poll.is_finished() && pool.end(Duration::from_secs(5))
    })
    .await?;
    if !drained {
        tracing::error!(
            "not everything was appended within daemon.drain_timeout; the next owner reads it again, nothing is lost"
        );
    }
    if !left {
        tracing::warn!(
            "the group was not left in time; its other members wait for the session's end"
        );
    }
    tracing::info!(drained, "stopped");
    Ok(drained)
}

async fn watch_ends(consumer: Arc<Consumer>, health: Arc<Health>) {
    let mut every = tokio::time::interval(status::SAMPLE);
    loop {
        let _ = every.tick().await;
        let read = health.pool.records();
        health.throughput.lock().unwrap_or_else(PoisonError::into_inner).sample(read);
        let (consumer, pool) = (Arc::clone(&consumer), Arc::clone(&health.pool));
        let asked = tokio::task::spawn_blocking(move || {
            pool.refresh_ends(|tp| log_range(&consumer, tp).ok().map(|log| log.to));
        });
        let _ = asked.await;
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
