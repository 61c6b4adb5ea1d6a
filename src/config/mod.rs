//! The configuration: TOML in, checked values out, all faults at once.
//!
//! Nothing here touches the network or the disk, but for the secrets' files. `docs/` and
//! `config/alluvium.toml` describe every key; a test reads that file.

mod fields;
mod kafka;
mod mapping;
mod wordcount;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::deadlines;

pub use fields::Fault;
use fields::{Faults, Fields};
pub use kafka::{Assignor, Kafka, Secret};
pub use mapping::{Archive, Mapping, Start, Topics};
pub use wordcount::{Merging, WordCount};

/// A whole configuration; every relation between keys was checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub kafka: Kafka,
    pub daemon: Daemon,
    pub mappings: Vec<Mapping>,
    /// `[archive]` as it was written: the mappings' defaults.
    defaults: toml::Table,
}

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
    /// How often topics are matched anew.
    pub topics_refresh: Duration,
    /// What is logged, as `info` or `info,alluvium::kafka=debug`.
    pub log: String,
}

/// What a topic is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TopicRole {
    /// Somebody else's records: archived, and counted.
    Source,
    /// Partial counts, to be merged.
    Partials,
    /// Published counts, to be archived.
    Output,
}

impl TopicRole {
    /// As metrics name it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            TopicRole::Source => "source",
            TopicRole::Partials => "partials",
            TopicRole::Output => "output",
        }
    }
}

/// A configuration with faults.
#[derive(Debug)]
pub struct Faulty(pub Vec<Fault>);

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.0 {
            writeln!(f, "  {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faulty {}

impl Config {
    /// Reads and checks a configuration. `instance` overrides `daemon.instance`.
    ///
    /// # Errors
    /// All faults that were found, each with its key.
    pub fn parse(text: &str, instance: Option<&str>) -> Result<Config, Faulty> {
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(e) => {
                let fault = Fault { key: "(syntax)".into(), message: e.to_string() };
                return Err(Faulty(vec![fault]));
            }
        };
        let mut faults = Faults::default();
        let mut top = Fields::new("", table);
        let kafka = top.table("kafka", &mut faults);
        let kafka = top.require("kafka", kafka, "it names the brokers and the group", &mut faults);
        let kafka = kafka.and_then(|k| kafka::read(k, &mut faults));
        let daemon = top.table("daemon", &mut faults);
        let daemon = self::daemon(daemon, instance, &mut faults);
        let written = top.table("archive", &mut faults);
        let defaults_table = written.as_ref().map(Fields::table_as_written).unwrap_or_default();
        let defaults = mapping::ArchiveKeys::read(written, &mut faults);
        let tables = top.entries("mapping", &mut faults);
        if tables.is_empty() {
            faults.add("mapping", "is missing; write a [mapping.NAME] with topics = [\"…\"]");
        }
        let group = kafka.as_ref().map(|k| k.group_id.as_str());
        let mappings = mapping::read_all(tables, group, &defaults, &mut faults);
        top.finish(&mut faults);
        mapping::check_together(&mappings, &mut faults);
        match (kafka, faults.0.is_empty()) {
            (Some(kafka), true) => Ok(Config { kafka, daemon, mappings, defaults: defaults_table }),
            _ => Err(Faulty(faults.0)),
        }
    }

    /// The archives of all mappings, of records and of counts.
    pub fn archives(&self) -> impl Iterator<Item = &Archive> {
        self.mappings.iter().flat_map(|m| {
            let counts = m.count.as_ref().and_then(|c| c.archive.as_deref());
            m.archive.as_deref().into_iter().chain(counts)
        })
    }

    /// Whether a topic is treated in both configurations alike: same mapping, same settings.
    #[must_use]
    pub fn treats_alike(&self, other: &Config, topic: &str) -> bool {
        let mine = |c: &Config| {
            let (mapping, role) = c.mapping_of(topic)?;
            Some((mapping.name.clone(), role, mapping.written.clone(), c.defaults.clone()))
        };
        mine(self) == mine(other)
    }

    /// What is written in `new` and can't be taken by a running daemon, by key.
    #[must_use]
    pub fn needs_restart(&self, new: &Config) -> Vec<&'static str> {
        let (a, b) = (&self.daemon, &new.daemon);
        let mut keys = Vec::new();
        let mut differs = |key, same: bool| keys.extend((!same).then_some(key));
        differs("kafka", self.kafka == new.kafka);
        differs("daemon.workers", a.workers == b.workers);
        differs("daemon.commit_interval", a.commit_interval == b.commit_interval);
        differs("daemon.memory", a.memory_bytes == b.memory_bytes);
        differs("daemon.revoke_timeout", a.revoke_timeout == b.revoke_timeout);
        differs("daemon.drain_timeout", a.drain_timeout == b.drain_timeout);
        differs("daemon.topics_refresh", a.topics_refresh == b.topics_refresh);
        differs("daemon.listen", a.listen == b.listen);
        keys
    }

    /// The mapping of a topic, and what the topic is in it.
    #[must_use]
    pub fn mapping_of(&self, topic: &str) -> Option<(&Mapping, TopicRole)> {
        let made = |m: &Mapping| {
            let count = m.count.as_ref()?;
            let partials = count.merge.as_ref().is_some_and(|merge| merge.topic == topic);
            if partials {
                return Some(TopicRole::Partials);
            }
            (count.output_topic == topic).then_some(TopicRole::Output)
        };
        if let Some(found) = self.mappings.iter().find_map(|m| Some((m, made(m)?))) {
            return Some(found);
        }
        let exact =
            |m: &&Mapping| matches!(&m.topics, Topics::Names(n) if n.iter().any(|t| t == topic));
        let regex = |m: &&Mapping| matches!(&m.topics, Topics::Regex(r) if r.is_match(topic));
        let found = self.mappings.iter().find(exact).or_else(|| self.mappings.iter().find(regex));
        found.map(|m| (m, TopicRole::Source))
    }
}

fn daemon(fields: Option<Fields>, instance: Option<&str>, faults: &mut Faults) -> Daemon {
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
        log: f.parsed("log", faults, log).unwrap_or_else(|| "info".into()),
        listen: f.parsed("listen", faults, listen).unwrap_or(Some(DEFAULT_LISTEN)),
    };
    // The group must not give a partition away while its owner still drains.
    if Duration::from_secs(30) < daemon.revoke_timeout {
        faults.add(f.key("revoke_timeout"), "must be 30s at most: the whole group waits for it");
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
    let hint = "write an address with a port, as \"127.0.0.1:9464\", or \"off\"";
    text.parse().map(Some).map_err(|_| format!("{text:?} is no address; {hint}"))
}

fn log(text: &str) -> Result<String, String> {
    let hint = "write \"info\", \"debug\" or \"info,alluvium::kafka=debug\"";
    let parsed = EnvFilter::builder().parse(text);
    parsed.map(|_| text.to_string()).map_err(|e| format!("{text:?}: {e}; {hint}"))
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
