//! `[daemon]`: one instance on its host.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::common::config::fields::{ConfigFault, Faults, Fields};
use crate::common::config::secret::Secret;
use crate::common::deadlines;

/// `[daemon]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Daemon {
    /// Names the transactional ids; stable, and unique in the group.
    pub instance: String,
    pub workers: usize,
    pub commit_interval: Duration,
    pub memory_bytes: u64,
    pub revoke_timeout: Duration,
    pub drain_timeout: Duration,
    pub listen: Option<SocketAddr>,
    /// The file, in the format of Prometheus' exporters, that gives the listener TLS and passwords.
    pub web_config: Option<PathBuf>,
    pub login: Option<WebLogin>,
    /// How often topics are matched anew.
    pub topics_refresh: Duration,
    /// More files than these, of the whole group, are refused by `check --live`.
    pub max_files_per_day: Option<u64>,
    /// What is logged, as `info` or `info,alluvium::clients::kafka=debug`.
    pub log: String,
}

/// How commands log in at a listener that asks for it; the daemon itself has no use for this.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WebLogin {
    pub user: Option<String>,
    pub password: Option<Secret>,
    /// The authorities that sign the listeners' certificates; [`None`] for those of the system.
    pub ca: Option<PathBuf>,
    /// A certificate of the commands with its key, for a listener that asks for one.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// The password can't be read here; only a command that needs it fails.
    pub unreadable: Vec<ConfigFault>,
}

impl WebLogin {
    pub(super) fn read(mut f: Fields, faults: &mut Faults) -> WebLogin {
        let mut unreadable = Faults::default();
        let user = f.text("user", faults);
        let password = f.take("password");
        let key_of_password = f.key("password");
        let password = password
            .map(|value| Secret::named_by(&value, &key_of_password, faults, &mut unreadable));
        let ca = f.parsed("ca", faults, path);
        let certificate = f.parsed("certificate", faults, path);
        let key = f.parsed("key", faults, path);
        let pairs = [
            (("user", user.is_some()), ("password", password.is_some())),
            (("certificate", certificate.is_some()), ("key", key.is_some())),
        ];
        for ((first, has_first), (second, has_second)) in pairs {
            if has_first != has_second {
                let (here, missing) = if has_first { (first, second) } else { (second, first) };
                faults.add(f.key(missing), format!("is missing; {} needs it", f.key(here)));
            }
        }
        f.finish(faults);
        let (password, unreadable) = (password.flatten(), unreadable.0);
        WebLogin { user, password, ca, certificate, key, unreadable }
    }

    /// The files of this login, in the table `of`, that everybody on this host can read, in words.
    #[must_use]
    pub fn exposed(&self, of: &str) -> Vec<String> {
        let password = self.password.iter().map(|secret| ("password", &secret.0));
        let all = password.chain(self.key.iter().map(|path| ("key", path)));
        all.filter_map(|(key, path)| Secret::exposed(&format!("{of}.{key}"), path)).collect()
    }
}

fn path(text: &str) -> Result<PathBuf, String> {
    let absolute = text.starts_with('/').then(|| PathBuf::from(text));
    absolute.ok_or_else(|| format!("{text:?} is not the absolute path of a file"))
}

pub(super) fn read(fields: Option<Fields>, instance: Option<&str>, faults: &mut Faults) -> Daemon {
    let mut f = fields.unwrap_or_else(|| Fields::new("daemon", toml::Table::new()));
    let ms = Duration::from_millis;
    let named = f.text("instance", faults);
    let instance = instance.map(String::from).or(named).unwrap_or_else(host_name);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if instance.is_empty() || 100 < instance.len() || !instance.chars().all(plain) {
        let hint = "use up to 100 letters, digits, '-', '_' and '.'";
        faults.add(f.key("instance"), format!("{instance:?} can't name an instance; {hint}"));
    }
    let daemon = Daemon {
        instance,
        workers: f.number("workers", 1..=256, faults).unwrap_or(2),
        commit_interval: f.duration("commit_interval", ms(50), faults).unwrap_or(ms(2_000)),
        memory_bytes: f.size("memory", 64 << 20, faults).unwrap_or(1 << 30),
        revoke_timeout: f.duration("revoke_timeout", ms(100), faults).unwrap_or(deadlines::REVOKE),
        drain_timeout: f.duration("drain_timeout", ms(1_000), faults).unwrap_or(deadlines::DRAIN),
        topics_refresh: f.duration("topics_refresh", ms(1_000), faults).unwrap_or(ms(30_000)),
        max_files_per_day: f.number("max_files_per_day", 1..=i64::MAX, faults),
        log: f.parsed("log", faults, log).unwrap_or_else(|| "info".into()),
        listen: f.parsed("listen", faults, listen).unwrap_or(Some(DEFAULT_LISTEN)),
        web_config: f.parsed("web_config", faults, path),
        login: f.table("login", faults).map(|login| WebLogin::read(login, faults)),
    };
    // The group must not give a partition away while its owner still drains.
    if Duration::from_secs(30) < daemon.revoke_timeout {
        faults.add(
            f.key("revoke_timeout"),
            "must be 30s at most, because the whole group waits for a revocation",
        );
    }
    f.finish(faults);
    daemon
}

const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9464);

fn listen(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    let hint = "write an address with a port, for example \"127.0.0.1:9464\", or \"off\"";
    text.parse().map(Some).map_err(|_| format!("{text:?} is not an address; {hint}"))
}

fn log(text: &str) -> Result<String, String> {
    let hint = "write \"info\", \"debug\" or \"info,alluvium::clients::kafka=debug\"";
    let parsed = EnvFilter::builder().parse(text);
    parsed.map(|_| text.to_string()).map_err(|e| format!("{text:?}: {e}; {hint}"))
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
