//! What a scenario's daemons say at `/metrics`, recorded as Prometheus would see it, and played to
//! the shipped rules by `promtool test rules`.
//!
//! The rules speak of minutes and hours, and a scenario lasts seconds. So a recording is read as
//! that of a world which is slower: each second counts as `stretch` seconds. Daemons are scraped
//! once a second, and the scrape of second k is the sample at k × stretch. A value that is a time
//! is stretched with it: a gauge `…_seconds` is a duration and is multiplied, and a gauge
//! `…_time_seconds` is a moment, which is counted from the recording's beginning and then
//! multiplied. Positions, lags, states and counters stay as they are, so an event that comes once a
//! second comes once in `stretch` seconds. Neither the rules nor their limits are changed, and no
//! value is invented: a second without an answer has no sample.
//!
//! As Prometheus does, this adds `up`, `job` and `instance`, and ends the series that a scrape does
//! not have any more. A daemon is scraped from its first answer on, for a start that takes five
//! seconds would be one of five minutes, until a scenario stops it in an orderly way: an operator
//! takes such an instance out. One that is killed stays, and is down.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus_parse::{Scrape, Value};
use serde_json::json;

use super::daemon::get;
use super::promtool::promtool;

/// The shipped rules.
pub const RULES: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/config/prometheus/alluvium.rules.yml");
/// The time between two scrapes.
const TICK: Duration = Duration::from_secs(1);
/// Longer than any recording, in Prometheus's notation.
const ALWAYS: &str = "1000d";

thread_local! {
    /// What this thread's scenario records.
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

/// One sample; [`None`] where a series ends.
type Sample = Option<f64>;
/// A series: its name, and its name with labels.
type Series = (String, String);
type Samples = BTreeMap<Series, BTreeMap<u64, Sample>>;

/// What an alert's test asks of a recording.
pub struct Firing<'a> {
    pub alert: &'a str,
    /// Labels that the alert must have, in the notation of PromQL.
    pub labels: &'a str,
    /// Labels with which it must not fire.
    pub silent: Option<&'a str>,
}

/// Scrapes daemons; one thread for each.
struct Recorder {
    began: Instant,
    began_unix: f64,
    samples: Arc<Mutex<Samples>>,
    targets: Vec<Target>,
}

struct Target {
    instance: String,
    /// Set when nobody scrapes it any more.
    left: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// The daemons that this thread starts from now on are recorded, and nothing of what was before.
pub fn begin() {
    drop(end());
    let began_unix = jiff::Timestamp::now().as_millisecond() as f64 / 1_000.0;
    let recorder = Recorder {
        began: Instant::now(),
        began_unix,
        samples: Arc::default(),
        targets: Vec::new(),
    };
    drop(RECORDER.replace(Some(recorder)));
}

/// A daemon of this thread has been started.
pub(super) fn started(instance: &str, port: u16) {
    left(instance);
    RECORDER.with_borrow_mut(|recorder| {
        let Some(recorder) = recorder else { return };
        let (began, samples) = (recorder.began, Arc::clone(&recorder.samples));
        let left = Arc::new(AtomicBool::new(false));
        let (until, instance) = (Arc::clone(&left), instance.to_string());
        let mut scraped = Scraped { instance: instance.clone(), last: BTreeSet::new(), samples };
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::SeqCst) {
                let tick = began.elapsed().as_secs() + 1;
                std::thread::sleep((began + TICK * tick as u32) - Instant::now());
                if !until.load(Ordering::SeqCst) {
                    scraped.note(tick, get(port, "/metrics"));
                }
            }
            scraped.end(began.elapsed().as_secs() + 1);
        });
        recorder.targets.push(Target { instance, left, thread });
    });
}

/// A daemon is stopped in an orderly way.
pub(super) fn left(instance: &str) {
    RECORDER.with_borrow(|recorder| {
        let targets = recorder.iter().flat_map(|r| &r.targets);
        let of = targets.filter(|t| t.instance == instance);
        of.for_each(|t| t.left.store(true, Ordering::SeqCst));
    });
}

/// Ends what this thread's scenario records.
pub fn end() -> Option<Recording> {
    let recorder = RECORDER.take()?;
    let ticks = recorder.began.elapsed().as_secs() + 2;
    for target in recorder.targets {
        target.left.store(true, Ordering::SeqCst);
        target.thread.join().unwrap();
    }
    let samples = std::mem::take(&mut *recorder.samples.lock());
    Some(Recording { began_unix: recorder.began_unix, ticks, samples })
}

/// The scrapes of one daemon.
struct Scraped {
    instance: String,
    /// Series of the last scrape.
    last: BTreeSet<Series>,
    samples: Arc<Mutex<Samples>>,
}

impl Scraped {
    fn note(&mut self, tick: u64, answer: Option<String>) {
        let up = (self.named("up", []), f64::from(u8::from(answer.is_some())));
        if self.last.is_empty() && answer.is_none() {
            return;
        }
        let answer = answer.unwrap_or_default();
        let scrape = Scrape::parse(answer.lines().map(|l| Ok(l.to_string()))).unwrap();
        let mut now: BTreeMap<Series, f64> = BTreeMap::from([up]);
        for sample in scrape.samples {
            if let Value::Counter(v) | Value::Gauge(v) = sample.value {
                let labels = sample.labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
                let _ = now.insert(self.named(&sample.metric, labels), v);
            }
        }
        let mut samples = self.samples.lock();
        let ended = self.last.iter().filter(|s| !now.contains_key(*s));
        let ended = ended.map(|s| (s.clone(), None));
        for (series, value) in now.iter().map(|(s, v)| (s.clone(), Some(*v))).chain(ended) {
            let _ = samples.entry(series).or_default().insert(tick, value);
        }
        drop(samples);
        self.last = now.into_keys().collect();
    }

    fn end(self, tick: u64) {
        let mut samples = self.samples.lock();
        for series in self.last {
            let _ = samples.entry(series).or_default().insert(tick, None);
        }
    }

    fn named<'a>(
        &'a self,
        name: &str,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Series {
        let own = [("job", "alluvium"), ("instance", &self.instance)];
        let all: BTreeMap<&str, &str> = labels.into_iter().chain(own).collect();
        let all: Vec<String> = all.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
        (name.to_string(), format!("{name}{{{}}}", all.join(",")))
    }
}

/// What the daemons of a scenario have said.
pub struct Recording {
    /// When it began, in seconds of Unix time.
    began_unix: f64,
    ticks: u64,
    samples: Samples,
}

impl Recording {
    /// Plays the recording to the rules. All of these alerts must fire, and none where it must not;
    /// where there are none of these, no alert may.
    ///
    /// # Errors
    /// promtool's report.
    pub fn play(&self, file: &Path, stretch: u64, firing: &[Firing<'_>]) -> Result<(), String> {
        let always = |labels: &str| {
            let labels = format!("alertstate=\"firing\"{labels}");
            format!("group by (alertname) (last_over_time(ALERTS{{{labels}}}[{ALWAYS}]))")
        };
        let fires = firing.iter().map(|Firing { alert, labels, .. }| {
            let wanted = format!(",alertname=\"{alert}\",{labels}");
            let sample = json!({ "labels": format!("{{alertname=\"{alert}\"}}"), "value": 1 });
            (always(&wanted), vec![sample])
        });
        let silent = firing.iter().filter_map(|Firing { alert, silent, .. }| {
            let unwanted = format!(",alertname=\"{alert}\",{}", (*silent)?);
            Some((always(&unwanted), Vec::new()))
        });
        let mut asked: Vec<_> = fires.chain(silent).collect();
        if asked.is_empty() {
            asked.push((always(""), Vec::new()));
        }
        let ends = format!("{}s", self.ticks * stretch);
        let asked = asked.into_iter().map(
            |(expr, samples)| json!({ "expr": expr, "eval_time": ends, "exp_samples": samples }),
        );
        let test = json!({
            "rule_files": [RULES],
            "evaluation_interval": "1m",
            "tests": [{
                "interval": format!("{stretch}s"),
                "input_series": self.series(stretch),
                "promql_expr_test": asked.collect::<Vec<_>>(),
            }],
        });
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, serde_json::to_string_pretty(&test).unwrap()).unwrap();
        let out = Command::new(promtool()).args(["test", "rules"]).arg(file).output().unwrap();
        let text = [out.stdout, out.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        if out.status.success() { Ok(()) } else { Err(format!("{}: {text}", file.display())) }
    }

    /// In promtool's notation; only those that the rules name, for there are hundreds.
    fn series(&self, stretch: u64) -> Vec<serde_json::Value> {
        let rules = std::fs::read_to_string(RULES).unwrap();
        let words = rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named: BTreeSet<&str> = words.collect();
        let wanted = self.samples.iter().filter(|((name, _), _)| named.contains(name.as_str()));
        let values = wanted.map(|((name, series), samples)| {
            let at = |tick: u64| match samples.get(&tick) {
                None => "_".to_string(),
                Some(None) => "stale".to_string(),
                Some(Some(value)) => self.stretched(name, *value, stretch as f64).to_string(),
            };
            let values: Vec<String> = (0..=self.ticks).map(at).collect();
            json!({ "series": series, "values": values.join(" ") })
        });
        values.collect()
    }

    fn stretched(&self, name: &str, value: f64, stretch: f64) -> f64 {
        if name.ends_with("_time_seconds") {
            ((value - self.began_unix) * stretch).round()
        } else if name.ends_with("_seconds") {
            value * stretch
        } else {
            value
        }
    }
}

/// Where a recording of a scenario is kept, for whoever looks for why a test has failed.
pub fn file_of(scenario: &str, stretch: u64) -> PathBuf {
    let name = format!("{}-{stretch}.json", scenario.replace("::", "-"));
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("alerts").join(name)
}
