//! A whole configuration, and its faults.

use std::fmt;

use serde::Deserialize;
use toml::Table;
use toml::de::{DeTable, Deserializer};

use crate::common::config::archive::{ArchiveConfig, ArchiveKeys};
use crate::common::config::daemon::{self, Daemon};
use crate::common::config::fields::{ConfigFault, Faults, Fields};
use crate::common::config::kafka::{self, Kafka};
use crate::common::config::kerberos::Kerberos;
use crate::common::config::mapping::{self, Mapping};
use crate::common::config::places::{KeyPlaces, TextPlace, line_of_dots};
use crate::common::config::root::Root;
use crate::common::config::together;

/// A whole configuration; every relation between keys was checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub kafka: Kafka,
    pub daemon: Daemon,
    pub mappings: Vec<Mapping>,
    /// `[archive]` as it was written: the mappings' defaults.
    pub defaults: Table,
}

/// A configuration with faults.
#[derive(Debug)]
pub struct Faulty(pub Vec<ConfigFault>);

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
            fault.place = fault.place.or_else(|| places.find(&fault.key));
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
        if let Some(at) = line_of_dots(text) {
            let why = "a key has empty parts, or more parts than any key has";
            let place = Some(TextPlace::of(text, at));
            return Err(Faulty(vec![ConfigFault { place, ..ConfigFault::new("(syntax)", why) }]));
        }
        let (document, errors) = DeTable::parse_recoverable(text);
        let places = KeyPlaces::of(text, document.get_ref());
        let table = Table::deserialize(Deserializer::from(document)).unwrap_or_default();
        let checked = Config::check(table, instance);
        if errors.is_empty() {
            return checked.map_err(|faulty| faulty.placed(&places));
        }
        // What the syntax hides is not missing.
        let mut faults = checked.err().map_or(Vec::new(), |f| f.placed(&places).0);
        faults.retain(|f| !f.is_missing());
        faults.extend(errors.iter().map(|e| ConfigFault {
            place: e.span().map(|span| TextPlace::of(text, span.start)),
            ..ConfigFault::new("(syntax)", e.message())
        }));
        Err(Faulty(faults).placed(&places))
    }

    fn check(table: Table, instance: Option<&str>) -> Result<Config, Faulty> {
        let mut faults = Faults::default();
        let mut top = Fields::new("", table);
        let kafka = top.table("kafka", &mut faults);
        let kafka =
            top.require("kafka", kafka, "this table names the brokers and the group", &mut faults);
        let kafka = kafka.and_then(|k| kafka::read(k, &mut faults));
        let daemon = top.table("daemon", &mut faults);
        let daemon = daemon::read(daemon, instance, &mut faults);
        let written = top.table("archive", &mut faults);
        let defaults_table = written.as_ref().map(Fields::table_as_written).unwrap_or_default();
        let defaults = ArchiveKeys::read(written, &mut faults);
        let tables = top.entries("mapping", &mut faults);
        if tables.is_empty() {
            faults.add("mapping", "is missing; write a [mapping.NAME] with topics = [\"…\"]");
        }
        let group = kafka.as_ref().map(|k| k.group_id.as_str());
        let mappings = mapping::read_all(tables, group, &defaults, &mut faults);
        top.finish(&mut faults);
        together::check_together(&mappings, &mut faults);
        if let Some(kafka) = &kafka {
            together::check_message_size(kafka, &mappings, &mut faults);
            together::check_caches(kafka, &mappings, &mut faults);
        }
        match (kafka, faults.0.is_empty()) {
            (Some(kafka), true) => Ok(Config { kafka, daemon, mappings, defaults: defaults_table }),
            _ => Err(Faulty(faults.0)),
        }
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
        differs("daemon.web_config", a.web_config == b.web_config);
        keys
    }
}
