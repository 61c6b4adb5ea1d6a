//! `alluvium run`

use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::common::crash;
use crate::outside::cli::arguments::ConfigArgs;
use crate::outside::cli::exit::{EX_CONFIG, EX_UNAVAILABLE};
use crate::outside::cli::log::{self, LogFormat};
use crate::outside::cli::output::complain;
use crate::outside::daemon::{self, Launch, LoginRefused, Misconfigured, Unavailable};

/// Arguments of `run`.
#[derive(Args, Debug)]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigArgs,
    /// The format of log lines.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log: LogFormat,
}

/// Threads for calls that block: a local store's, and questions to brokers. More of them would not
/// make anything faster, and a thousand partitions that start would use hundreds.
const BLOCKING_THREADS: usize = 48;

impl Run {
    pub(super) fn main(self) -> u8 {
        let config = match self.config.load_for_clients() {
            Ok(config) => Arc::new(config),
            Err(code) => return code,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(BLOCKING_THREADS)
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(e) => {
                complain(&format!("start: {e}"));
                return 1;
            }
        };
        let started = runtime.block_on(async {
            let signals = Signals::catch().map_err(|e| format!("catch signals: {e}"))?;
            let set_log = log::begin(self.log, &config.daemon.log)?;
            if let Some(armed) = crash::arm()? {
                tracing::warn!(
                    "{}={armed}: this process will die or stop on purpose; \
                     unset the variable anywhere but in a test",
                    crash::VARIABLE
                );
            }
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
                match () {
                    () if e.is::<Unavailable>() => EX_UNAVAILABLE,
                    () if e.is::<Misconfigured>() || e.is::<LoginRefused>() => EX_CONFIG,
                    () => 1,
                }
            }
        }
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
