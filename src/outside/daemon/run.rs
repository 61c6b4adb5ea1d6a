//! The daemon's life: what is opened at the start, what runs beside the workers, and how it ends.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::sync::{mpsc, watch};

use crate::clients::kafka::beginnings::Beginnings;
use crate::clients::kafka::gate;
use crate::clients::kafka::group;
use crate::clients::kafka::offsets::BrokerPositions;
use crate::clients::kafka::poll_control::PollControl;
use crate::clients::kafka::topics::refused_login;
use crate::clients::kafka::{
    BatchLimits, Consumer, Fatal, KafkaError, NoContact, Prefetch, Transactions, Twins,
    consumer_config, first_contact, producer_config,
};
use crate::clients::registry::RegistryClient;
use crate::clients::store::ErrorKind;
use crate::clients::store::measured::StoreTimer;
use crate::common::clock::Now;
use crate::common::config::Config;
use crate::common::deadlines;
use crate::common::health::Board;
use crate::common::metrics::Metrics;
use crate::common::spawn::Essential;
use crate::engine::archive::open::OpenFiles;
use crate::engine::topics::SourceLists;
use crate::engine::worker::{Dormancy, Env, Memory, Paused, Pool, PoolSetup};
use crate::outside::daemon::active::ActiveConfig;
use crate::outside::daemon::health::{Health, now_ms};
use crate::outside::daemon::reload::{ReadAgain, Reloading, SetLog};
use crate::outside::daemon::secrets::Secrets;
use crate::outside::daemon::unavailable::{
    LoginRefused, Misconfigured, Refusals, StartAgain, Unavailable,
};
use crate::outside::daemon::{
    abandoned, admin, beginnings, cut_off, ends, held, http, retention, roots, systemd, topics,
    written,
};

/// The arguments of the command line that the daemon needs.
pub struct Launch {
    pub config: Arc<Config>,
    pub registry: Registry,
    /// The command that the log names for a stopped partition, without its name.
    pub repair: String,
    /// For a reload, and each message of `reloads` asks for one.
    pub read_again: Box<ReadAgain>,
    pub reloads: mpsc::Receiver<()>,
    pub set_log: Box<SetLog>,
    /// Whether this process was started anew because its clients were cut off from the brokers.
    pub was_cut_off: bool,
}

/// Runs until `shutdown` says so; whether everything that was read was appended before the end.
///
/// # Errors
/// The start failed ([`crate::outside::daemon::Unavailable`] inside where a server is not to be
/// had), or the daemon can't go on.
pub async fn run(launch: Launch, shutdown: impl Future<Output = ()>) -> anyhow::Result<bool> {
    let mut running = Running::start(launch).await?;
    gate::arm();
    let (drain, failure) = match running.wait(shutdown).await {
        End::Asked => (true, None),
        // Without brokers a drain can't end.
        End::Again(why) => (why.downcast_ref::<StartAgain>().is_some_and(is_of_files), Some(why)),
        End::Fatal(fatal) => (false, Some(failed(&running, fatal).await)),
    };
    if let Some(refused) = failure.as_ref().filter(|why| why.is::<LoginRefused>()) {
        // Each further try counts where accounts are locked.
        gate::refused(&refused.to_string());
    }
    match &failure {
        Some(reason) if reason.is::<StartAgain>() => tracing::info!("{reason}"),
        Some(reason) => tracing::error!(code = "AL501", "the daemon can't go on: {reason}"),
        None => systemd::stopping(),
    }
    let drained = running.stop(drain).await?;
    match failure {
        Some(reason) => Err(reason),
        None => Ok(drained),
    }
}

/// The error that the daemon ends with. The brokers are asked for the limits that a setting is
/// outside of.
async fn failed(running: &Running, fatal: Fatal) -> anyhow::Error {
    let config = &running.config;
    let limits = match &fatal {
        Fatal::Refused { limits, .. } => limits,
        Fatal::LoginRefused(text) => {
            let refused = LoginRefused { text: text.clone(), was_running: true };
            // Whoever changed them has not asked for a reload.
            let changed = running.ends.secrets.changed();
            let again = |files| anyhow::Error::from(StartAgain::Changed(files));
            return changed.map_or_else(|| refused.into(), again);
        }
        Fatal::Ended(why) => return anyhow::anyhow!(why.clone()),
    };
    let values = match admin::broker_settings(config).await {
        Ok(all) => {
            let shown = |limit: &&str| all.get(*limit).map(|value| format!("{limit}={value}"));
            limits.iter().filter_map(shown).collect::<Vec<_>>().join(" ")
        }
        Err(e) => format!("the values of these settings are not known: {e}"),
    };
    Misconfigured(format!("{fatal} ({values})")).into()
}

fn is_of_files(again: &StartAgain) -> bool {
    matches!(again, StartAgain::Changed(_))
}

/// Why a daemon ends.
enum End {
    Asked,
    /// New clients are needed, for this reason.
    Again(anyhow::Error),
    Fatal(Fatal),
}

/// What can end a daemon beside a signal.
struct Ends {
    /// Why a worker can't go on.
    fatal: mpsc::Receiver<Fatal>,
    /// What the clients have read.
    secrets: Arc<Secrets>,
    /// Why new clients are needed, when a reload or a trial finds that they are.
    again: mpsc::Receiver<anyhow::Error>,
}

/// A daemon between its start and its end.
struct Running {
    config: Arc<Config>,
    consumer: Arc<Consumer>,
    control: Arc<PollControl>,
    pool: Arc<Pool>,
    poll: std::thread::JoinHandle<()>,
    http: Option<tokio::task::JoinHandle<()>>,
    tasks: Essential,
    ends: Ends,
    /// Ends what serves until the end.
    stop: watch::Sender<bool>,
}

impl Running {
    /// Opens stores and clients, starts the threads, then the tasks beside them.
    async fn start(launch: Launch) -> anyhow::Result<Running> {
        let Launch { config, registry, repair, read_again, reloads, set_log, was_cut_off } = launch;
        http::try_port(&config.daemon).await?;
        let metrics = Arc::new(Metrics::new(&registry));
        let board = Arc::new(Board::default());
        let store_timer = store_timer(&metrics, &board);
        let (stores, refusals) = roots::open_all(&config, None, Some(&store_timer)).await;
        let refusals = held::unless_all(&config, refusals)?;
        let first = ActiveConfig { config: Arc::clone(&config), stores, held: BTreeSet::new() };
        let (in_force, following) = watch::channel(Arc::new(first));
        let (fatal_tx, fatal) = mpsc::channel::<Fatal>(8);
        let secrets = Arc::new(Secrets::read(&config.kafka));
        let settings = consumer_config(&config)?;
        let beginnings = Arc::new(Beginnings::default());
        let positions = BrokerPositions::new(settings.clone(), Arc::clone(&beginnings));
        let control = Arc::new(PollControl::default());
        let env = {
            let of = environment(&config, metrics, positions.clone(), &control, fatal_tx, repair);
            Env { board: Arc::clone(&board), ..of }
        };
        let (sources, paused) = (Arc::clone(&env.sources), Arc::clone(&env.paused));
        let limits = Arc::new(BatchLimits::of_client(settings.get("message.max.bytes")));
        let twins = Arc::new(Twins::of(&settings));
        let pool = Arc::new(pool(&config, env, following.clone(), &limits, &twins)?);
        let consumer = group::consumer(&settings, Arc::clone(&pool) as _)?;
        let _ = positions.consumer.set(Arc::downgrade(&consumer));
        let health = Arc::new(Health {
            registry,
            pool: Arc::clone(&pool),
            polled: AtomicI64::new(now_ms()),
            missing: Mutex::default(),
            gone: Mutex::default(),
            misfits: Mutex::default(),
            ambiguous: Mutex::default(),
            patterns: Mutex::default(),
            sources,
            paused,
            in_force: following.clone(),
            instance: config.daemon.instance.clone(),
            group: config.kafka.group_id.clone(),
            started: now_ms(),
            throughput: Mutex::default(),
            board,
            positions,
        });
        let (again, asked_again) = mpsc::channel(1);
        let reloading = Reloading {
            store_timer,
            read_again,
            set_log,
            in_force,
            consumer: Arc::clone(&consumer),
            control: Arc::clone(&control),
            health: Arc::clone(&health),
            limits,
            beginnings,
            secrets: Arc::clone(&secrets),
            again,
        };
        let wanted = meet(&reloading, &config, refusals, twins).await?;
        let (stop, stopped) = watch::channel(false);
        let http = http::serve(&config.daemon, Arc::clone(&health), stopped.clone()).await?;
        control.subscribe(wanted);
        let poll = spawn_poll(&config, &consumer, &control, &health)?;
        let tasks = spawn_tasks(&config, reloading, reloads, following, stopped, was_cut_off);
        tracing::info!(instance = config.daemon.instance, group = config.kafka.group_id, "running");
        let ends = Ends { fatal, secrets, again: asked_again };
        Ok(Running { config, consumer, control, pool, poll, http, tasks, ends, stop })
    }

    /// Waits for `shutdown`, or for the reason why the daemon can't go on.
    async fn wait(&mut self, shutdown: impl Future<Output = ()>) -> End {
        let mut check = tokio::time::interval(Duration::from_millis(500));
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return End::Asked,
                Some(why) = self.ends.again.recv() => return End::Again(why),
                Some(reason) = self.ends.fatal.recv() => return End::Fatal(reason),
                why = gate::until_shut() => return End::Fatal(Fatal::LoginRefused(why)),
                ended = self.tasks.one_ended() => return End::Fatal(Fatal::Ended(ended)),
                _ = check.tick() => {
                    // Heard at the start, when nothing waited for it.
                    if let Some(why) = refused_login(&self.consumer) {
                        return End::Fatal(Fatal::LoginRefused(why));
                    }
                    if let Some(reason) = self.control.fatal() {
                        return End::Fatal(reason);
                    }
                }
            }
        }
    }

    /// Ends everything; whether all that was read was appended, if it was to be drained.
    async fn stop(mut self, drain: bool) -> anyhow::Result<bool> {
        self.tasks.abort();
        let drained = stop_all(&self.config, &self.pool, &self.control, self.poll, drain).await?;
        let _ = self.stop.send(true);
        if let Some(http) = self.http {
            let _ = tokio::time::timeout(deadlines::HTTP_END, http).await;
        }
        // Dropping the consumer can hang when it could not leave; the process ends anyway.
        std::mem::forget(self.consumer);
        Ok(drained)
    }
}

/// Meets the brokers for the first time: what exists, what is to be made, who is there. Returns the
/// topics to subscribe to.
async fn meet(
    all: &Reloading,
    config: &Arc<Config>,
    mut refusals: Refusals,
    twins: Arc<Twins>,
) -> anyhow::Result<Vec<String>> {
    let (consumer, health) = (&all.consumer, &all.health);
    contact(consumer).await?;
    let _ = topics::find(config, &BTreeSet::new(), consumer, health).await?;
    beginnings::note(config, None, consumer, &all.beginnings)
        .await
        .map_err(|e| Unavailable(e.to_string()))?;
    refusals.extend(written::create(config, |_| true, consumer, &all.limits).await?);
    let held = begin_to_hold(&all.in_force, refusals, health)?;
    let wanted = topics::find(config, &held, consumer, health).await?.wanted;
    note_twins(twins, consumer).await?;
    Ok(wanted)
}

/// Returns when a broker answers, and fails when none does in time, or the login is refused.
async fn contact(consumer: &Arc<Consumer>) -> anyhow::Result<()> {
    let consumer = Arc::clone(consumer);
    let met = tokio::task::spawn_blocking(move || first_contact(&consumer)).await?;
    met.map_err(|e: NoContact| match () {
        () if e.is_refused_login() => {
            LoginRefused { text: e.to_string(), was_running: false }.into()
        }
        () if e.is_misconfigured() => Misconfigured(e.to_string()).into(),
        () => Unavailable(e.to_string()).into(),
    })
}

/// Notes which mappings do not run at the start.
fn begin_to_hold(
    in_force: &watch::Sender<Arc<ActiveConfig>>,
    refusals: Refusals,
    health: &Health,
) -> anyhow::Result<BTreeSet<String>> {
    let active = Arc::clone(&in_force.borrow());
    let refusals = held::unless_all(&active.config, refusals)?;
    let held = held::after(&active.held, refusals, &health.board);
    let (config, stores) = (Arc::clone(&active.config), active.stores.clone());
    let now = ActiveConfig { config, stores, held: held.clone() };
    drop(in_force.send_replace(Arc::new(now)));
    Ok(held)
}

/// Notes who has this instance's name before it joins the group.
async fn note_twins(twins: Arc<Twins>, consumer: &Arc<Consumer>) -> anyhow::Result<()> {
    let consumer = Arc::clone(consumer);
    if let Err(error) = tokio::task::spawn_blocking(move || twins.begin(&consumer)).await? {
        tracing::debug!(%error, "it is not known which members have this instance's name");
    }
    Ok(())
}

/// A number that hardly two instances have in common.
fn jitter_of(instance: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    instance.hash(&mut hasher);
    hasher.finish() as u32
}

/// What the workers work with.
fn environment(
    config: &Config,
    metrics: Arc<Metrics>,
    positions: BrokerPositions,
    control: &Arc<PollControl>,
    fatal: mpsc::Sender<Fatal>,
    repair: String,
) -> Env {
    metrics.memory_budget.set(config.daemon.memory_bytes as i64);
    // A class of errors is 0 before its first error: a rate needs two values.
    for kind in ErrorKind::ALL {
        let _ = metrics.store_errors.with_label_values(&[kind.label()]);
    }
    let (anew, again) = (Arc::clone(control), Arc::clone(control));
    let memory = Memory::new(config.daemon.memory_bytes as usize, config.mappings.len());
    Env {
        sources: Arc::new(SourceLists::default()),
        paused: Arc::new(Paused::default()),
        metrics,
        positions: Arc::new(positions),
        registry: config.registry.clone().map(|of| Arc::new(RegistryClient::new(of)) as _),
        runtime: tokio::runtime::Handle::current(),
        commit_interval: config.daemon.commit_interval,
        jitter: jitter_of(&config.daemon.instance),
        dormancy: Dormancy::USUAL,
        slots: Arc::new(memory.slots(Prefetch::of(config.daemon.memory_bytes).of_partition())),
        memory: Arc::new(memory),
        open_files: OpenFiles::default(),
        fatal: Arc::new(move |reason| drop(fatal.try_send(reason))),
        fetch_anew: Arc::new(move |tp| anew.fetch_anew(tp)),
        give_again: Arc::new(move |topic| again.give_again([topic.to_string()])),
        clock: Now::read,
        repair: repair.into(),
        board: Arc::default(),
    }
}

/// The tasks beside the threads; the daemon ends if one of them does.
fn spawn_tasks(
    config: &Arc<Config>,
    reloading: Reloading,
    reloads: mpsc::Receiver<()>,
    following: watch::Receiver<Arc<ActiveConfig>>,
    stopped: watch::Receiver<bool>,
    was_cut_off: bool,
) -> Essential {
    let (consumer, control) = (Arc::clone(&reloading.consumer), Arc::clone(&reloading.control));
    let (health, limits) = (Arc::clone(&reloading.health), Arc::clone(&reloading.limits));
    let mut tasks = Essential::default();
    tasks.spawn("clients that are cut off", cut_off::watch(config, &reloading, was_cut_off));
    tasks.spawn("reload", reloading.watch(reloads));
    let in_force = following.clone();
    let dormant = ends::watch_dormant(Arc::clone(&health));
    tasks.spawn("ends of logs that are not fetched", dormant);
    tasks.spawn("log ends", ends::watch(Arc::clone(&consumer), Arc::clone(&health), in_force));
    let (asking, to) = (Arc::clone(&consumer), Arc::clone(&control));
    tasks.spawn("brokers", topics::watch_brokers(asking, to, Arc::clone(&health)));
    tasks.spawn("retention", retention::watch(Arc::clone(config), Arc::clone(&health)));
    tasks.spawn("systemd", systemd::watch(Arc::clone(&health)));
    let asked = written::watch_limits(following.clone(), Arc::clone(&limits));
    tasks.spawn("limits of messages", asked);
    let left = abandoned::watch(following.clone(), Arc::clone(&consumer));
    tasks.spawn("what dead owners have left", left);
    tasks.spawn("topics", topics::watch(following, consumer, control, health, limits, stopped));
    tasks
}

/// Without a thread yet: workers are started as partitions come.
fn pool(
    config: &Arc<Config>,
    env: Env,
    in_force: watch::Receiver<Arc<ActiveConfig>>,
    limits: &Arc<BatchLimits>,
    twins: &Arc<Twins>,
) -> Result<Pool, KafkaError> {
    let (limits, twins) = (Arc::clone(limits), Arc::clone(twins));
    // A secret that can't be read ends the start, and not the first transaction.
    let _ = producer_config(config, "", 0)?;
    let (first, roles) = (Arc::clone(config), in_force.clone());
    Ok(Pool::new(
        env,
        PoolSetup {
            role: Box::new(move |topic| roles.borrow().role(topic)),
            workers_per_mapping: Box::new(move || in_force.borrow().config.workers_per_mapping()),
            transactions: Box::new(move |mapping, nth| {
                let limit = limits.of(mapping);
                let (config, mapping) = (Arc::clone(&first), mapping.to_string());
                let settings = move || producer_config(&config, &mapping, nth);
                let transactions = Transactions::new(settings, deadlines::COMMIT_PATIENCE);
                Box::new(transactions.within(limit).beside(Arc::clone(&twins)))
            }),
            revoke_timeout: config.daemon.revoke_timeout,
        },
    ))
}

fn spawn_poll(
    config: &Config,
    consumer: &Arc<Consumer>,
    control: &Arc<PollControl>,
    health: &Arc<Health>,
) -> anyhow::Result<std::thread::JoinHandle<()>> {
    let (consumer, control, health) =
        (Arc::clone(consumer), Arc::clone(control), Arc::clone(health));
    let leave = config.daemon.revoke_timeout + deadlines::LEAVE_GRACE;
    std::thread::Builder::new()
        .name("poll".into())
        .spawn(move || {
            group::poll(&consumer, &control, leave, &*health);
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
    let leave = config.daemon.revoke_timeout + deadlines::POLL_END_GRACE;
    let draining = Arc::clone(&pool);
    let drained = tokio::task::spawn_blocking(move || !drain || draining.drain(timeout)).await?;
    control.stop();
    let left = tokio::task::spawn_blocking(move || {
        let deadline = std::time::Instant::now() + leave;
        while !poll.is_finished() && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        poll.is_finished() && pool.end(deadlines::WORKERS_END)
    })
    .await?;
    if !drained {
        tracing::error!(
            code = "AL213",
            "not everything that was read is archived; the next owner reads the rest again, and \
             nothing is lost"
        );
    }
    if !left {
        tracing::warn!(
            code = "AL109",
            "this instance could not leave the group in time; the other members wait for the end \
             of its session"
        );
    }
    tracing::info!(drained, "stopped");
    Ok(drained)
}

/// Records each operation of a store in the metrics, and what it says of its root.
fn store_timer(metrics: &Arc<Metrics>, board: &Arc<Board>) -> Arc<StoreTimer> {
    let (metrics, board) = (Arc::clone(metrics), Arc::clone(board));
    Arc::new(move |call| {
        let seconds = metrics.store_seconds.with_label_values(&[call.operation]);
        seconds.observe(call.duration.as_secs_f64());
        roots::heard(&board, call);
    })
}
