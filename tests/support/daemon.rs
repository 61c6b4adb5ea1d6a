//! The real program, as a process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::archive::{ReadBack, ends_of};
use super::ports::free_port;
use super::secured::program;
use super::{TOO_LATE, eventually, log, recording};

/// The real daemon as a process.
pub struct Daemon {
    child: Child,
    pub log: PathBuf,
    pub port: u16,
    pub(super) file: PathBuf,
    instance: String,
}

/// The names of series that tell how far a daemon has come, or their beginnings.
const FIGURES: [&str; 10] = [
    "alluvium_archive_",
    "alluvium_buffered_bytes",
    "alluvium_committed_offset",
    "alluvium_log_end_offset",
    "alluvium_partition_",
    "alluvium_results_position",
    "alluvium_root_unavailable_seconds",
    "alluvium_store_errors_total",
    "alluvium_store_queue_bytes",
    "alluvium_store_operation_duration_seconds_count",
];

fn listening(config: &str, port: u16) -> String {
    config.replace("[daemon]", &format!("[daemon]\nlisten = \"127.0.0.1:{port}\""))
}

impl Daemon {
    /// Writes the configuration and starts. `listen` is added here.
    pub fn start(dir: &Path, instance: &str, config: &str) -> Daemon {
        Daemon::start_with(dir, instance, config, &[])
    }

    /// As [`Daemon::start`], with environment variables.
    pub fn start_with(
        dir: &Path,
        instance: &str,
        config: &str,
        variables: &[(&str, &str)],
    ) -> Daemon {
        let port = free_port();
        std::fs::create_dir_all(dir).unwrap();
        let file = dir.join(format!("{instance}.toml"));
        std::fs::write(&file, listening(config, port)).unwrap();
        let log = dir.join(format!("{instance}-{port}.log"));
        log::watch(&log);
        let child = program(env!("CARGO_BIN_EXE_alluvium"))
            .args(["run", "--instance", instance, "--config"])
            .arg(&file)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        recording::started(instance, port);
        Daemon { child, log, port, file, instance: instance.into() }
    }

    /// Writes another configuration, and asks for a reload.
    pub fn reconfigure(&self, config: &str) {
        std::fs::write(&self.file, listening(config, self.port)).unwrap();
        self.signal("-HUP");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn get(&self, path: &str) -> Option<String> {
        get(self.port, path)
    }

    /// The sum of all series of this name that have these labels; 0 if there is none.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let text = self.get("/metrics").unwrap_or_default();
        let lines = text.lines().map(|l| Ok(l.to_string()));
        let scrape = prometheus_parse::Scrape::parse(lines).unwrap();
        let wanted = |s: &&prometheus_parse::Sample| {
            s.metric == name && labels.iter().all(|(key, value)| s.labels.get(key) == Some(*value))
        };
        let values = scrape.samples.iter().filter(wanted).map(|s| match s.value {
            prometheus_parse::Value::Counter(v)
            | prometheus_parse::Value::Gauge(v)
            | prometheus_parse::Value::Untyped(v) => v,
            _ => panic!("{name} is no single value"),
        });
        values.sum()
    }

    /// The sum of a series over all partitions of a topic.
    pub fn of_topic(&self, name: &str, topic: &str) -> f64 {
        self.metric(name, &[("topic", topic)])
    }

    /// Waits until all of these published counts are archived. Partition by partition: A steps over
    /// transaction markers too, so that a sum could hide what one of them lacks.
    pub fn archived_all(&self, topic: &str, published: &[ReadBack]) {
        let ends = ends_of(published);
        eventually("counts archived", Duration::from_secs(90), || {
            ends.iter().all(|(partition, end)| {
                let partition = partition.to_string();
                let labels = [("topic", topic), ("partition", &partition)];
                *end as f64 <= self.metric("alluvium_archive_position", &labels)
            })
        });
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        let _ = self.child.wait().unwrap();
    }

    /// SIGABRT; how it ended.
    pub fn abort(mut self) -> std::process::ExitStatus {
        recording::left(&self.instance);
        self.signal("-ABRT");
        self.ended(Duration::from_secs(60));
        self.child.wait().unwrap()
    }

    /// SIGTERM; the exit code.
    pub fn stop(mut self) -> i32 {
        recording::left(&self.instance);
        self.signal("-TERM");
        self.ended(Duration::from_secs(60));
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        if code != 0 {
            let text = self.log_text();
            text.lines().filter(|line| log::is_loud(line)).for_each(|line| eprintln!("{line}"));
        }
        code
    }

    /// Waits until it has ended.
    pub fn ended(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.is_running() {
            let log = self.log.display();
            assert!(Instant::now() < deadline, "{TOO_LATE}still running; log: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for an end that comes by itself; exit code and log.
    pub fn wait(mut self, limit: Duration) -> (i32, String) {
        self.ended(limit);
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        (code, std::fs::read_to_string(&self.log).unwrap())
    }

    /// What it says of itself: where it stands is not in its log.
    fn print_figures(&self) {
        let asked = Instant::now();
        let text = self.get("/metrics");
        let said = if text.is_some() { "answered" } else { "gave no answer" };
        eprintln!("--- {}: /metrics {said} within {:.1?} ---", self.instance, asked.elapsed());
        let told = |line: &&str| FIGURES.iter().any(|name| line.starts_with(name));
        let text = text.unwrap_or_default();
        text.lines().filter(told).for_each(|line| eprintln!("{line}"));
    }

    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// What a daemon answers at this path.
pub(super) fn get(port: u16, path: &str) -> Option<String> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).build().into();
    let url = format!("http://127.0.0.1:{port}{path}");
    agent.get(url).call().ok()?.body_mut().read_to_string().ok()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            if std::thread::panicking() {
                self.print_figures();
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            let log = self.log_text();
            let tail: Vec<&str> = log.lines().rev().take(25).collect();
            eprintln!("--- {} ---", self.log.display());
            tail.iter().rev().for_each(|l| eprintln!("{l}"));
        }
    }
}

/// Runs a command of the program; its exit code, and all that it printed.
pub fn alluvium(arguments: &[&str]) -> (i32, String) {
    alluvium_with(arguments, &[])
}

/// As [`alluvium`], with environment variables.
pub fn alluvium_with(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let mut command = program(env!("CARGO_BIN_EXE_alluvium"));
    let out = command.args(arguments).envs(variables.iter().copied()).output().unwrap();
    let text = [out.stdout, out.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat();
    (out.status.code().unwrap_or(-1), text)
}

/// Writes a configuration beside those of daemons, and tries it with `check --live`.
pub fn check_live(dir: &Path, config: &str, variables: &[(&str, &str)]) -> (i32, String) {
    std::fs::create_dir_all(dir).unwrap();
    let file = dir.join("checked.toml");
    std::fs::write(&file, config).unwrap();
    alluvium_with(&["check", "--live", "--config", file.to_str().unwrap()], variables)
}

/// The line of `check --live` that has this outcome and all these parts.
pub fn assert_line<'a>(said: &'a str, outcome: &str, parts: &[&str]) -> &'a str {
    let is_it =
        |line: &&str| line.trim().starts_with(outcome) && parts.iter().all(|p| line.contains(p));
    said.lines().find(is_it).unwrap_or_else(|| panic!("no {outcome} with {parts:?} in\n{said}"))
}
