//! How the daemon's log lines are written.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use systemd_journal_logger::{JournalLog, connected_to_journal};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{DefaultFields, FormatEvent, FormatFields, Writer};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};
use tracing_throttle::{Policy, TracingRateLimitLayer};

use crate::outside::daemon::SetLog;

/// Values of `--log-format`.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LogFormat {
    /// For people. Under systemd a line goes to the journal with its priority, and with its fields,
    /// so that `journalctl ALLUVIUM_CODE=AL301` finds it
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
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match (format, Journald::connect()) {
        (LogFormat::Json, _) => lines.with_target(false).json().with_filter(repeats).boxed(),
        (LogFormat::Text, Some(journald)) => journald.with_filter(repeats).boxed(),
        (LogFormat::Text, None) if std::env::var_os("JOURNAL_STREAM").is_some() => {
            lines.event_format(Journal).with_filter(repeats).boxed()
        }
        (LogFormat::Text, None) => lines.with_target(false).with_filter(repeats).boxed(),
    };
    tracing_subscriber::registry().with(lines.and_then(filtered)).init();
    Ok(Box::new(move |level| {
        let _ = handle.reload(filter(level));
    }))
}

/// Lines in the journal's own protocol: each field of a line is a field of its entry, too.
struct Journald(JournalLog);

/// Before the names of fields, so that none is taken for a field that the journal knows.
const PREFIX: &str = "ALLUVIUM_";

impl Journald {
    /// [`None`] where stderr is not the journal, or the journal's socket can't be reached.
    fn connect() -> Option<Journald> {
        let log = if connected_to_journal() { JournalLog::new().ok() } else { None };
        log.map(Journald)
    }
}

impl<S: Subscriber> Layer<S> for Journald {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let (text, fields) = entry(event);
        // Only the priority is made of this level: of information and debugging it is one too high.
        let level = match *event.metadata().level() {
            Level::ERROR => log::Level::Error,
            Level::WARN => log::Level::Warn,
            Level::INFO => log::Level::Debug,
            _ => log::Level::Trace,
        };
        let mut record = log::Record::builder();
        let _ = record.level(level).target(event.metadata().target()).key_values(&fields);
        let sent = self.0.journal_send(&record.args(format_args!("{text}")).build());
        if sent.is_err() {
            let priority = priority(*event.metadata().level());
            let _ = writeln!(std::io::stderr(), "<{priority}>{text}");
        }
    }
}

/// The text of a line with all of its fields, as on a stream, and the fields by their names in the
/// journal. A partition is two fields, its topic and its number.
fn entry(event: &Event<'_>) -> (String, Vec<(String, String)>) {
    let mut text = String::new();
    let _ = DefaultFields::new().format_fields(Writer::new(&mut text), event);
    let mut fields = Fields(Vec::new());
    event.record(&mut fields);
    (text, fields.0)
}

struct Fields(Vec<(String, String)>);

impl Fields {
    fn push(&mut self, name: &str, value: String) {
        self.0.push((format!("{PREFIX}{}", name.to_ascii_uppercase()), value));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match (field.name(), value.rsplit_once('/')) {
            // It stands in the text.
            ("message", _) => {}
            ("tp", Some((topic, partition))) => {
                self.push("topic", topic.into());
                self.push("partition", partition.into());
            }
            (name, _) => self.push(name, value.into()),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::record::TopicPartition;

    type Entry = (String, Vec<(String, String)>);

    #[derive(Clone, Default)]
    struct Kept(Arc<parking_lot::Mutex<Vec<Entry>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().push(entry(event));
        }
    }

    #[test]
    fn an_entry_of_the_journal_has_the_text_and_each_field() {
        let kept = Kept::default();
        let tp = TopicPartition { topic: "a/b".into(), partition: 3 };
        let (reason, nobody) = ("no_ledger", None::<&str>);
        tracing::subscriber::with_default(
            tracing_subscriber::registry().with(kept.clone()),
            || {
                tracing::error!(code = "AL301", %tp, reason, nobody, rows = 7, "stopped: {}", 1);
            },
        );
        let (text, fields) = kept.0.lock().pop().unwrap();
        assert_eq!(text, "stopped: 1 code=\"AL301\" tp=a/b/3 reason=\"no_ledger\" rows=7");
        let fields: Vec<_> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let want = [
            ("ALLUVIUM_CODE", "AL301"),
            ("ALLUVIUM_TOPIC", "a/b"),
            ("ALLUVIUM_PARTITION", "3"),
            ("ALLUVIUM_REASON", "no_ledger"),
            ("ALLUVIUM_ROWS", "7"),
        ];
        assert_eq!(fields, want);
    }
}
