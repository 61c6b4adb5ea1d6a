//! `alluvium run`

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, reload};
use tracing_throttle::{Policy, TracingRateLimitLayer};

use crate::cli::{ConfigArgs, EX_UNAVAILABLE, complain};
use crate::daemon::{self, Launch, SetLog, Unavailable};

/// Arguments of `run`.
#[derive(Args, Debug)]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigArgs,
    /// How log lines are written.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log: LogFormat,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum LogFormat {
    Text,
    Json,
}

/// The client libraries' own lines: what matters of them is told by ours.
const LIBRARIES: &str = "librdkafka=off,rdkafka=error,hdfs_native=error";

impl Run {
    pub(super) fn main(self) -> u8 {
        let config = match self.config.load() {
            Ok(config) => Arc::new(config),
            Err(code) => return code,
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(e) => {
                complain(&format!("start: {e}"));
                return 1;
            }
        };
        let started = runtime.block_on(async {
            let signals = Signals::catch().map_err(|e| format!("catch signals: {e}"))?;
            let set_log = self.log(&config.daemon.log)?;
            Ok::<_, String>((signals, set_log))
        });
        let (signals, set_log) = match started {
            Ok(started) => started,
            Err(e) => {
                complain(&e);
                return 1;
            }
        };
        let registry = prometheus::Registry::new();
        let process = prometheus::process_collector::ProcessCollector::for_self();
        let _ = registry.register(Box::new(process));
        let repair = format!("alluvium repair --config {}", self.config.path().display());
        let (reload, reloads) = tokio::sync::mpsc::channel(1);
        let read_again = Box::new(move || self.config.read());
        let launch = Launch { config, registry, repair, read_again, reloads, set_log };
        let done = runtime.block_on(daemon::run(launch, signals.shutdown(reload)));
        // Tasks that wait for a store that does not answer would hold the process.
        runtime.shutdown_background();
        match done {
            Ok(true) => 0,
            Ok(false) => 1,
            Err(e) => {
                complain(&format!("{e:#}"));
                if e.is::<Unavailable>() { EX_UNAVAILABLE } else { 1 }
            }
        }
    }

    /// To stderr, for people or for machines. RUST_LOG, if it is there, stands over the
    /// configuration. What says the same again and again is said less often, and how often it was.
    fn log(&self, level: &str) -> Result<Box<SetLog>, String> {
        let filter = |level: &str| {
            EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| EnvFilter::new(format!("{LIBRARIES},{level}")))
        };
        let (filtered, handle) = reload::Layer::new(filter(level));
        // Ten of a kind at once, then one in half a minute.
        let repeats = TracingRateLimitLayer::builder()
            .with_policy(Policy::token_bucket(10.0, 1.0 / 30.0).map_err(|e| e.to_string())?)
            .with_max_signatures(1_000)
            .with_active_emission(true)
            .with_summary_interval(Duration::from_secs(60))
            .with_summary_formatter(Arc::new(|s| {
                let what = s.metadata.as_ref().map_or_else(String::new, |m| m.message.clone());
                tracing::info!(times = s.count, "left out, because it was said before: {what}");
            }))
            .build()
            .map_err(|e| e.to_string())?;
        let stderr = std::io::stderr;
        let colours = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let lines = fmt::layer().with_writer(stderr).with_ansi(colours).with_target(false);
        let lines: Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync> = match self.log {
            LogFormat::Text => lines.with_filter(repeats).boxed(),
            LogFormat::Json => lines.json().with_filter(repeats).boxed(),
        };
        tracing_subscriber::registry().with(lines.and_then(filtered)).init();
        Ok(Box::new(move |level| {
            let _ = handle.reload(filter(level));
        }))
    }
}

/// Caught before anything else is done: a signal at the start is no kill.
struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Signals> {
        Ok(Signals {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Until the process is to end; asks for a reload at each SIGHUP on the way.
    async fn shutdown(mut self, reload: tokio::sync::mpsc::Sender<()>) {
        loop {
            tokio::select! {
                _ = self.term.recv() => return tracing::info!("SIGTERM"),
                _ = self.int.recv() => return tracing::info!("SIGINT"),
                _ = self.hup.recv() => {
                    tracing::info!("SIGHUP: reading the configuration again");
                    // One that is still waiting will read what is there then.
                    let _ = reload.try_send(());
                }
            }
        }
    }
}
