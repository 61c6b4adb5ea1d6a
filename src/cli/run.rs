//! `alluvium run`

use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::cli::{ConfigArgs, EX_UNAVAILABLE, complain};
use crate::daemon::{self, Unavailable};

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

impl Run {
    pub(super) fn main(&self) -> u8 {
        let config = match self.config.load() {
            Ok(config) => Arc::new(config),
            Err(code) => return code,
        };
        self.log();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(e) => {
                complain(&format!("start: {e}"));
                return 1;
            }
        };
        let repair = format!("alluvium repair --config {}", self.config.path().display());
        let registry = prometheus::Registry::new();
        let process = prometheus::process_collector::ProcessCollector::for_self();
        let _ = registry.register(Box::new(process));
        let done = runtime.block_on(daemon::run(config, registry, repair, shutdown()));
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

    /// To stderr, for people or for machines; RUST_LOG chooses what.
    fn log(&self) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
            EnvFilter::new("info,librdkafka=off,rdkafka=error,hdfs_native=error")
        });
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(
                std::io::IsTerminal::is_terminal(&std::io::stderr())
                    && std::env::var_os("NO_COLOR").is_none(),
            )
            .with_target(false);
        match self.log {
            LogFormat::Text => builder.init(),
            LogFormat::Json => builder.json().init(),
        }
    }
}

async fn shutdown() {
    let (Ok(mut term), Ok(mut int)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => tracing::info!("SIGTERM"),
        _ = int.recv() => tracing::info!("SIGINT"),
    }
}
