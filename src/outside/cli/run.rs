//! `alluvium run`

use std::sync::Arc;

use clap::Args;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::clients::kafka;
use crate::common::crash;
use crate::outside::cli::arguments::ConfigArgs;
use crate::outside::cli::exit::{EX_CONFIG, EX_UNAVAILABLE};
use crate::outside::cli::log::{self, LogFormat};
use crate::outside::cli::output::complain;
use crate::outside::daemon::{self, Launch, LoginRefused, Misconfigured, StartAgain, Unavailable};

/// Arguments of `run`.
#[derive(Args, Debug)]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigArgs,
    /// The format of log lines.
    #[arg(long, alias = "log", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

/// Threads for calls that block: a local store's, and questions to brokers. More of them would not
/// make anything faster, and a thousand partitions that start would use hundreds.
const BLOCKING_THREADS: usize = 48;

impl Run {
    pub(super) fn main(self) -> u8 {
        keep_memory_private();
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
        // A reload may be asked for while a process that starts anew reads its configuration.
        let signals = runtime.block_on(async { Signals::catch() });
        let mut signals = match signals {
            Ok(signals) => signals,
            Err(e) => {
                complain(&format!("catch signals: {e}"));
                return 1;
            }
        };
        let config = match self.config.load_for_clients() {
            Ok(config) => Arc::new(config),
            Err(code) => return code,
        };
        let set_log =
            match runtime.block_on(async { begin_log(self.log_format, &config.daemon.log) }) {
                Ok(set_log) => set_log,
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
        let done = runtime.block_on(async {
            if std::env::var(AFTER_REFUSAL).is_ok_and(|mark| mark == TO_PAUSE) {
                let waited = daemon::pause_after_refusal(&config, signals.shutdown(reload));
                return Ok(match waited.await {
                    true => Next::Again { mark: PAUSED },
                    false => Next::End { drained: true },
                });
            }
            let was_cut_off = std::env::var(AFTER_REFUSAL).is_ok_and(|mark| mark == CUT_OFF);
            let launch =
                Launch { config, registry, repair, read_again, reloads, set_log, was_cut_off };
            let next = next(daemon::run(launch, signals.shutdown(reload)).await)?;
            // A signal that came after the end had begun is of the process that would start anew.
            Ok(match next {
                Next::Again { .. } if signals.has_ended().await => Next::End { drained: true },
                next => next,
            })
        });
        // Tasks that wait for a store that does not answer would hold the process.
        runtime.shutdown_background();
        let done = match done {
            Ok(Next::Again { mark }) => Err(start_again(mark)),
            Ok(Next::End { drained }) => Ok(drained),
            Err(e) => Err(e),
        };
        exit_code(done)
    }
}

/// Lets the kernel write no core of this process, for whatever limit, and lets no process of the
/// same user read its memory: the client library has passwords and keys there.
fn keep_memory_private() {
    let kept = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    debug_assert!(kept.is_ok(), "{kept:?}");
}

/// Begins to log, and says if the process is to die on purpose; sets what is logged.
fn begin_log(format: LogFormat, what: &str) -> Result<Box<daemon::SetLog>, String> {
    let set_log = log::begin(format, what)?;
    if let Some(armed) = crash::arm()? {
        tracing::warn!(
            code = "AL507",
            "{}={armed}: this process will die or stop on purpose; unset the variable anywhere but \
             in a test",
            crash::VARIABLE
        );
    }
    Ok(set_log)
}

/// The exit code of a daemon that has ended; an error is printed.
fn exit_code(done: anyhow::Result<bool>) -> u8 {
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

/// Set in a process that was started anew. The pause after a login that was refused is in a new
/// process, because a client that can't log in tries again as long as its process lives.
const AFTER_REFUSAL: &str = "ALLUVIUM_AFTER_REFUSAL";
/// The process begins with the pause.
const TO_PAUSE: &str = "pause";
/// The pause is over, or secrets have changed. If the login is refused now, the process does not
/// end either.
const PAUSED: &str = "paused";
/// The clients of the process before were cut off from the brokers, which answered a new client.
const CUT_OFF: &str = "cut-off";

/// What comes after a daemon's end.
enum Next {
    End {
        drained: bool,
    },
    /// This process starts anew, with this value of [`AFTER_REFUSAL`].
    Again {
        mark: &'static str,
    },
}

/// Decides whether the process ends.
fn next(done: anyhow::Result<bool>) -> anyhow::Result<Next> {
    let error = match done {
        Ok(drained) => return Ok(Next::End { drained }),
        Err(error) => error,
    };
    match error.downcast_ref::<StartAgain>() {
        // What a reload has brought may be refused, and a daemon that runs does not end of that.
        Some(StartAgain::Changed(_)) => return Ok(Next::Again { mark: PAUSED }),
        Some(StartAgain::CutOff) => return Ok(Next::Again { mark: CUT_OFF }),
        None => {}
    }
    match error.downcast_ref::<LoginRefused>() {
        Some(refused) if refused.was_running || std::env::var_os(AFTER_REFUSAL).is_some() => {
            Ok(Next::Again { mark: TO_PAUSE })
        }
        _ => Err(error),
    }
}

/// Replaces this process by a new one with the same arguments and the same id; returns why it
/// could not.
fn start_again(mark: &str) -> anyhow::Error {
    use std::os::unix::process::CommandExt as _;
    // The file of this process may have been replaced by that of a newer package.
    let program = std::env::current_exe().ok().filter(|path| path.exists());
    let program = program.unwrap_or_else(|| "/proc/self/exe".into());
    let mut command = std::process::Command::new(program);
    for (name, value) in kafka::environment_before() {
        let _ = match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let _ = command.args(std::env::args_os().skip(1)).env(AFTER_REFUSAL, mark);
    hand_nothing_over();
    anyhow::Error::from(command.exec()).context("start anew")
}

/// Lets a new process image have the standard streams alone. librdkafka's pipes stay open across an
/// `exec`, and clients that could not end at a stop still have them.
fn hand_nothing_over() {
    const AFTER_THE_STREAMS: i32 = 3;
    close_fds::set_fds_cloexec_threadsafe(AFTER_THE_STREAMS, &[]);
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

    /// Whether the process was told to end, since that was last waited for.
    async fn has_ended(&mut self) -> bool {
        tokio::select! {
            biased;
            _ = self.term.recv() => true,
            _ = self.int.recv() => true,
            () = std::future::ready(()) => false,
        }
    }

    /// Until the process is to end; asks for a reload at each SIGHUP on the way.
    async fn shutdown(&mut self, reload: tokio::sync::mpsc::Sender<()>) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd as _;
    use std::process::Command;

    #[test]
    fn a_new_process_image_is_told_why_it_was_started() {
        let mark = |error: anyhow::Error| match next(Err(error)) {
            Ok(Next::Again { mark }) => mark,
            Ok(Next::End { .. }) => "the end",
            Err(_) => "an error",
        };
        assert_eq!(mark(StartAgain::CutOff.into()), CUT_OFF);
        assert_eq!(mark(StartAgain::Changed("f".into()).into()), PAUSED);
        let refused = LoginRefused { text: "refused".into(), was_running: true };
        assert_eq!(mark(refused.into()), TO_PAUSE);
        assert_eq!(mark(Unavailable("gone".into()).into()), "an error");
    }

    /// `dup` gives a descriptor that a new process image has, as those of librdkafka's pipes.
    #[test]
    fn a_new_process_image_has_the_standard_streams_alone() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let leaking = rustix::io::dup(&file).unwrap();
        let path = format!("/proc/self/fd/{}", leaking.as_raw_fd());
        let is_handed_over =
            || Command::new("test").args(["-e", &path]).status().unwrap().success();
        assert!(is_handed_over());
        hand_nothing_over();
        assert!(!is_handed_over());
        let is_open = std::fs::read_link(&path);
        assert!(is_open.is_ok(), "it stays open until then: {is_open:?}");
    }
}
