//! How the daemon's log lines are written.

use std::fmt;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};
use tracing_throttle::{Policy, TracingRateLimitLayer};

use crate::outside::daemon::SetLog;

/// Values of `--log-format`.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LogFormat {
    /// For people. Under systemd a line has no time, which the journal adds, and has a priority, so
    /// that `journalctl -p warning` finds it
    Text,
    /// One JSON object a line
    Json,
}

/// The log lines of the client libraries; the daemon logs what matters of them itself.
const LIBRARIES: &str = "librdkafka=off,rdkafka=error,hdfs_native=error";

/// Begins to log, to stderr. RUST_LOG, if it is set, overrides the configuration. A line that is
/// repeated often is written less often, with the number of repetitions.
pub(super) fn begin(format: LogFormat, level: &str) -> Result<Box<SetLog>, String> {
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
            tracing::info!("{} repeats of {what:?} suppressed", s.count);
        }))
        .build()
        .map_err(|e| e.to_string())?;
    let stderr = std::io::stderr;
    let colours = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(colours);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Json => lines.with_target(false).json().with_filter(repeats).boxed(),
        LogFormat::Text if std::env::var_os("JOURNAL_STREAM").is_some() => {
            lines.event_format(Journal).with_filter(repeats).boxed()
        }
        LogFormat::Text => lines.with_target(false).with_filter(repeats).boxed(),
    };
    tracing_subscriber::registry().with(lines.and_then(filtered)).init();
    Ok(Box::new(move |level| {
        let _ = handle.reload(filter(level));
    }))
}

/// Lines as the journal takes them from a stream: sd-daemon(3), "log level prefix".
struct Journal;

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &tracing_subscriber::fmt::FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// The number of the level in syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}
