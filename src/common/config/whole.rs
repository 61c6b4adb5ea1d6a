//! A whole configuration, and its faults.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use toml::Table;
use toml::de::{DeTable, Deserializer};

use crate::common::config::archive::{ArchiveConfig, ArchiveKeys};
use crate::common::config::daemon::{self, Daemon};
use crate::common::config::facts::Facts;
use crate::common::config::fields::{ConfigFault, Faults, Fields};
use crate::common::config::homes::name_homes;
use crate::common::config::kafka::{self, Kafka};
use crate::common::config::kerberos::Kerberos;
use crate::common::config::mapping::{self, Mapping};
use crate::common::config::places::{KeyPlaces, TextPlace, line_of_dots};
use crate::common::config::registry::{Registry, check_registry};
use crate::common::config::root::Root;
use crate::common::config::together;

/// A whole configuration; every relation between keys was checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub kafka: Kafka,
    pub daemon: Daemon,
    /// Where schemas are asked for.
    pub registry: Option<Arc<Registry>>,
    pub mappings: Vec<Mapping>,
    /// `[archive]` as it was written: the mappings' defaults.
    pub defaults: Table,
}

/// Whether two configurations agree.
type IsSame = fn(&Config, &Config) -> bool;

/// What a running daemon does not take: keys or tables, and how to compare them.
pub(super) const RESTART: [(&str, IsSame); 11] = [
    ("kafka", |a, b| a.kafka == b.kafka),
    ("registry", |a, b| a.registry == b.registry),
    ("daemon.instance", |a, b| a.daemon.instance == b.daemon.instance),
    ("daemon.workers", |a, b| a.daemon.workers == b.daemon.workers),
    ("daemon.commit_interval", |a, b| a.daemon.commit_interval == b.daemon.commit_interval),
    ("daemon.memory", |a, b| a.daemon.memory_bytes == b.daemon.memory_bytes),
    ("daemon.revoke_timeout", |a, b| a.daemon.revoke_timeout == b.daemon.revoke_timeout),
    ("daemon.drain_timeout", |a, b| a.daemon.drain_timeout == b.daemon.drain_timeout),
    ("daemon.topics_refresh", |a, b| a.daemon.topics_refresh == b.daemon.topics_refresh),
    ("daemon.listen", |a, b| a.daemon.listen == b.daemon.listen),
    ("daemon.web_config", |a, b| a.daemon.web_config == b.daemon.web_config),
];

/// A file that has each table; most keys in it are missing.
const EACH_TABLE: &str = r#"
[kafka]
kerberos = {}
properties = {}
secrets = {}
[daemon]
login = {}
[registry]
[archive]
hadoop = {}
kerberos = {}
roll = {}
[mapping.NAME]
topics = ["t"]
archive = { hadoop = {}, kerberos = {}, roll = {} }
[mapping.NAME.wordcount]
archive = { hadoop = {}, kerberos = {}, roll = {} }
partials = {}
"#;

/// A configuration with faults.
#[derive(Debug)]
pub struct Faulty(pub Vec<ConfigFault>);

/// The faults of a configuration, and what could be read in spite of them.
pub type AsFar = (Faulty, Option<Box<Config>>);

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.0 {
            writeln!(f, "  {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faulty {}

impl Faulty {
    /// The same faults with their places, in the order of the file; those without a place come
    /// first.
    #[must_use]
    pub fn placed(mut self, places: &KeyPlaces) -> Faulty {
        for fault in &mut self.0 {
            let asked = || places.find(fault.asked_by.as_deref()?);
            fault.place = fault.place.or_else(|| places.find(&fault.key)).or_else(asked);
        }
        self.0.sort_by_key(|f| f.place.map(|p| (p.line, p.column)));
        self
    }
}

impl Config {
    /// Reads and checks a configuration. `instance` overrides `daemon.instance`.
    ///
    /// # Errors
    /// All faults that were found, each with its key and its place, in the order of the file.
    pub fn parse(text: &str, instance: Option<&str>) -> Result<Config, Faulty> {
        Config::parse_as_far(text, instance).map_err(|(faulty, _)| faulty)
    }

    /// As [`Config::parse`]. Beside the faults, what could be read in spite of them, for whoever
    /// looks for faults elsewhere, as in the files that it names; [`None`] if that is too little.
    ///
    /// # Errors
    /// As [`Config::parse`].
    pub fn parse_as_far(text: &str, instance: Option<&str>) -> Result<Config, AsFar> {
        if let Some(at) = line_of_dots(text) {
            let why = "a key has empty parts, or more parts than any key has";
            let place = Some(TextPlace::of(text, at));
            let fault = ConfigFault { place, ..ConfigFault::new("(syntax)", why) };
            return Err((Faulty(vec![fault]), None));
        }
        let (document, errors) = DeTable::parse_recoverable(text);
        let places = KeyPlaces::of(text, document.get_ref());
        let table = Table::deserialize(Deserializer::from(document)).unwrap_or_default();
        let checked = Config::check_as_far(table, instance);
        if errors.is_empty() {
            return checked.map_err(|(faulty, config)| (faulty.placed(&places), config));
        }
        // What the syntax hides is not missing.
        let mut faults = checked.err().map_or(Vec::new(), |(f, _)| f.placed(&places).0);
        faults.retain(|f| !f.is_missing());
        faults.extend(errors.iter().map(|e| {
            let written = e.span().and_then(|span| text.get(span));
            let message = match written.filter(|_| e.message() == "duplicate key") {
                Some(key) => format!("duplicate key: {key}"),
                None => e.message().to_string(),
            };
            let place = e.span().map(|span| TextPlace::of(text, span.start));
            ConfigFault { place, ..ConfigFault::new("(syntax)", message) }
        }));
        Err((Faulty(faults).placed(&places), None))
    }

    pub(super) fn check(table: Table, instance: Option<&str>) -> Result<Config, Faulty> {
        Config::check_as_far(table, instance).map_err(|(faulty, _)| faulty)
    }

    fn check_as_far(table: Table, instance: Option<&str>) -> Result<Config, AsFar> {
        let mut faults = Faults::default();
        let config = Config::read(table, instance, &mut faults);
        name_homes(&mut faults.0, Config::facts);
        match config {
            Some(config) if faults.0.is_empty() => Ok(config),
            config => Err((Faulty(faults.0), config.map(Box::new))),
        }
    }

    /// What the code asks for when it reads a file that has each table.
    pub(super) fn facts() -> Facts {
        let mut faults = Faults::default();
        let _ = Config::read(toml::from_str(EACH_TABLE).unwrap_or_default(), None, &mut faults);
        faults.1
    }

    fn read(table: Table, instance: Option<&str>, faults: &mut Faults) -> Option<Config> {
        let mut top = Fields::new("", table);
        let kafka = top.table("kafka", faults);
        let kafka =
            top.require("kafka", kafka, "this table names the brokers and the group", faults);
        let kafka = kafka.and_then(|k| kafka::read(k, faults));
        let daemon = top.table("daemon", faults);
        let daemon = daemon::read(daemon, instance, faults);
        let registry = top.table("registry", faults);
        let is_registry_written = registry.is_some();
        let registry = registry.and_then(|f| Registry::read(f, faults)).map(Arc::new);
        let written = top.table("archive", faults);
        let defaults_table = written.as_ref().map(Fields::table_as_written).unwrap_or_default();
        let defaults = ArchiveKeys::read(written, faults);
        let tables = top.entries("mapping", faults);
        faults.1.require("mapping".into());
        if tables.is_empty() {
            faults.add("mapping", "is missing; write a [mapping.NAME] with topics = [\"…\"]");
        }
        let group = kafka.as_ref().map(|k| k.group_id.as_str());
        let mappings = mapping::read_all(tables, group, &defaults, faults);
        top.finish(faults);
        check_registry(registry.as_deref(), is_registry_written, &mappings, faults);
        together::check_together(&mappings, faults);
        if let Some(kafka) = &kafka {
            together::check_message_size(kafka, &mappings, faults);
            together::check_caches(kafka, &mappings, faults);
        }
        Some(Config { kafka: kafka?, daemon, registry, mappings, defaults: defaults_table })
    }

    /// How many worker threads a mapping may have: `daemon.workers` for one or two mappings, and
    /// fewer for more, so that an instance has about twice `daemon.workers` threads, or one for
    /// each mapping where there are more mappings than that.
    #[must_use]
    pub fn workers_per_mapping(&self) -> usize {
        together::workers_per_mapping(self.daemon.workers, self.mappings.len())
    }

    /// What a daemon of this configuration is refused for: `daemon.memory` cannot hold the
    /// producers of so many mappings. Commands that only look need none of them.
    #[must_use]
    pub fn memory_fault(&self) -> Option<ConfigFault> {
        together::memory_fault(&self.daemon, &self.mappings)
    }

    /// The archives of all mappings, of records and of counts.
    pub fn archives(&self) -> impl Iterator<Item = &ArchiveConfig> {
        self.mappings.iter().flat_map(Mapping::archives)
    }

    /// The identities of all clients that have one: of Kafka, and of roots in HDFS.
    pub fn kerberos(&self) -> impl Iterator<Item = &Kerberos> {
        let of_roots = self.archives().filter_map(|archive| match &archive.root {
            Root::Hdfs { options, .. } => options.kerberos.as_ref(),
            Root::Local { .. } => None,
        });
        self.kafka.kerberos.iter().chain(of_roots)
    }

    /// What is written in `new` and can't be taken by a running daemon, by key.
    #[must_use]
    pub fn needs_restart(&self, new: &Config) -> Vec<&'static str> {
        let differs = RESTART.iter().filter(|(_, is_same)| !is_same(self, new));
        differs.map(|(key, _)| *key).collect()
    }
}
