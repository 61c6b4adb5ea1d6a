//! `[archive]`, and the archive of a mapping or of its counts: where records become files.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use regex::Regex;
use toml::{Table, Value};

use crate::common::config::encoding::EncodingKeys;
use crate::common::config::fields::{Faults, Fields};
use crate::common::config::file_properties::{self, FileProperties};
use crate::common::config::hadoop::address_fault;
use crate::common::config::hadoop_keys::unread;
use crate::common::config::kerberos::Kerberos;
use crate::common::config::rolls::RollKeys;
use crate::common::config::root::{ErasureCoding, HdfsOptions, Root};
use crate::common::config::rows::RowKeys;
use crate::common::config::times::time;
use crate::common::config::umask::Umask;
use crate::common::schemas::Schemas;
use crate::pure::layout::bad::MaxBad;
use crate::pure::layout::format::{Format, FormatOptions};
use crate::pure::layout::rules::{OnBadRecord, RecordRules, Tombstones};
use crate::pure::layout::{RollPolicy, Source, Template};
use crate::pure::record_time::Time;

/// How and where records become files.
#[derive(Clone, Debug)]
pub struct ArchiveConfig {
    pub root: Root,
    pub template: Template,
    /// The time of a record that the path has.
    pub time: Time,
    /// The most different values of records, in one roll of a partition, that have paths of their
    /// own.
    pub max_values: usize,
    /// The paths of bad records.
    pub quarantine: Template,
    pub format: Format,
    pub options: FormatOptions,
    pub rules: RecordRules,
    /// The schemas that the rules know, where records name some.
    pub schemas: Schemas,
    /// [`None`]: bad records are never too many.
    pub max_bad: Option<MaxBad>,
    pub roll: RollPolicy,
    /// What HDFS is told of the files, and of the directories below the path template.
    pub files: FileProperties,
    /// CRC-32C of the settings above: in every ledger entry.
    pub fingerprint: String,
}

impl ArchiveConfig {
    /// The format of rows, or of bad records.
    #[inline]
    #[must_use]
    pub fn format(&self, of_quarantine: bool) -> Format {
        if of_quarantine { self.format.of_quarantine() } else { self.format }
    }

    /// The paths of rows, or of bad records.
    #[inline]
    #[must_use]
    pub fn template(&self, of_quarantine: bool) -> &Template {
        if of_quarantine { &self.quarantine } else { &self.template }
    }
}

/// The keys of an archive as far as they are given; a mapping's keys override the defaults.
#[derive(Clone, Default, Debug)]
pub(super) struct ArchiveKeys {
    path_of: String,
    root: Option<String>,
    conf_dir: Option<String>,
    user: Option<String>,
    kerberos: Option<Kerberos>,
    hadoop: BTreeMap<String, String>,
    erasure_coding: Option<ErasureCoding>,
    umask: Option<Umask>,
    files: FileProperties,
    path: Option<String>,
    timezone: Option<TimeZone>,
    time: Option<Time>,
    max_values: Option<usize>,
    encoding: EncodingKeys,
    rows: RowKeys,
    roll: RollKeys,
}

/// How many values have paths of their own, unless something else is chosen.
const MAX_VALUES: usize = 1_000;

/// Whose records an archive has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Topics<'a> {
    /// Sources, by their names or by a pattern.
    Sources(Option<&'a Regex>),
    /// The topic of published counts.
    Counts,
}

impl<'a> Topics<'a> {
    fn is_counts(self) -> bool {
        matches!(self, Topics::Counts)
    }

    fn regex(self) -> Option<&'a Regex> {
        match self {
            Topics::Sources(regex) => regex,
            Topics::Counts => None,
        }
    }
}

const DEFAULT_PATH: &str = "{topic}/dt=%Y-%m-%d/hr=%H";

impl ArchiveKeys {
    pub(super) fn read(fields: Option<Fields>, faults: &mut Faults) -> ArchiveKeys {
        let mut f = fields.unwrap_or_else(|| Fields::new("archive", Table::new()));
        let mut keys = ArchiveKeys {
            path_of: f.key("").trim_end_matches('.').to_string(),
            root: f.text("root", faults),
            conf_dir: f.text("hadoop_conf_dir", faults),
            user: f.text("user", faults),
            hadoop: BTreeMap::new(),
            erasure_coding: f.parsed("erasure_coding", faults, ErasureCoding::parse),
            umask: f.parsed("umask", faults, Umask::parse),
            files: FileProperties::read(&mut f, faults),
            path: f.text("path", faults),
            timezone: f.parsed("timezone", faults, |name| {
                TimeZone::get(name).map_err(|_| {
                    format!("{name:?} is not a time zone; write \"UTC\" or \"Europe/Berlin\"")
                })
            }),
            time: time(&mut f, faults),
            max_values: f.number("max_values", 1..=100_000, faults),
            encoding: EncodingKeys::read(&mut f, faults),
            rows: RowKeys::read(&mut f, faults),
            ..ArchiveKeys::default()
        };
        keys.kerberos = f.table("kerberos", faults).and_then(|k| Kerberos::read(k, faults));
        for (name, value) in f.entries("hadoop", faults) {
            match value.as_str() {
                Some(text) => drop(keys.hadoop.insert(name, text.into())),
                None => faults.add(f.key(&format!("hadoop.{name:?}")), "must be a string"),
            }
        }
        for (name, why) in unread(&keys.hadoop) {
            faults.add(f.key(&format!("hadoop.{name:?}")), why);
        }
        keys.roll = RollKeys::read(f.table("roll", faults), faults);
        f.finish(faults);
        keys
    }

    fn or(self, d: &ArchiveKeys) -> ArchiveKeys {
        let mut hadoop = d.hadoop.clone();
        hadoop.extend(self.hadoop);
        ArchiveKeys {
            path_of: self.path_of,
            root: self.root.or_else(|| d.root.clone()),
            conf_dir: self.conf_dir.or_else(|| d.conf_dir.clone()),
            user: self.user.or_else(|| d.user.clone()),
            kerberos: self.kerberos.or_else(|| d.kerberos.clone()),
            hadoop,
            erasure_coding: self.erasure_coding.or_else(|| d.erasure_coding.clone()),
            umask: self.umask.or(d.umask),
            files: self.files.or(&d.files),
            path: self.path.or_else(|| d.path.clone()),
            timezone: self.timezone.or_else(|| d.timezone.clone()),
            encoding: self.encoding.or(&d.encoding),
            rows: self.rows.or(&d.rows),
            time: self.time.or_else(|| d.time.clone()),
            max_values: self.max_values.or(d.max_values),
            roll: self.roll.or(&d.roll),
        }
    }

    /// Whether one of the keys that [`ArchiveKeys::checked`] reads is given here.
    fn gives(&self, name: &str) -> bool {
        let given = [
            ("root", self.root.is_some()),
            ("path", self.path.is_some()),
            ("time", self.time.is_some()),
            ("roll.lateness", self.roll.gives_lateness()),
        ];
        given.contains(&(name, true))
            || self.encoding.gives(name)
            || self.rows.gives(name)
            || self.files.given().any(|given| given == name)
    }

    /// The settings of one archive, where `self` overrides `defaults`. A fault has the key under
    /// which the value is written; a root that is written nowhere is missing in `[archive]`.
    fn checked(
        self,
        defaults: &ArchiveKeys,
        of: Topics<'_>,
        faults: &mut Faults,
    ) -> Option<ArchiveConfig> {
        let keys = [
            "root",
            "path",
            "time",
            "roll.lateness",
            "format",
            "codec",
            "level",
            "page_index",
            "bloom_filter",
            "compat",
            "value",
            "columns",
            "raw_value",
            "evolution",
            "nested",
        ];
        let inherited: Vec<&str> = keys
            .into_iter()
            .chain(file_properties::KEYS)
            .filter(|name| !self.gives(name) && (defaults.gives(name) || *name == "root"))
            .collect();
        let own = self.path_of.clone();
        let key = |name: &str| match inherited.contains(&name) {
            true => format!("{}.{name}", defaults.path_of),
            false => format!("{own}.{name}"),
        };
        let files = match self.root {
            // What the defaults say of HDFS is not about this root.
            Some(ref own) if own.starts_with("file:") => self.files.clone(),
            // Copies are those of replicated files.
            _ if self.erasure_coding.is_some() => {
                let inherited = FileProperties { replication: None, ..defaults.files.clone() };
                self.files.clone().or(&inherited)
            }
            _ => self.files.clone().or(&defaults.files),
        };
        // Counts have fields of their own.
        let time = if of.is_counts() { self.time.clone() } else { None };
        let has_own_path = self.path.is_some();
        let mut all = ArchiveKeys { files, ..self.or(defaults) };
        if of.is_counts() {
            all.time = time;
        }
        let found = all.valid(of, &key, faults)?;
        if of.is_counts() && !has_own_path && !found.template.sources().is_empty() {
            faults.add(
                key("path"),
                format!(
                    "takes values from the records of sources, and the counts have none of them: \
                     write {own}.path = \"{{topic}}/dt=%Y-%m-%d\""
                ),
            );
        }
        Some(found)
    }

    /// What is said of files has to be what their root can have.
    fn check_files(&self, root: &Root, key: &dyn Fn(&str) -> String, faults: &mut Faults) {
        for name in self.files.given() {
            let is_coded = self.erasure_coding.is_some() && name == "replication";
            match root {
                Root::Local { .. } => {
                    faults.add(key(name), "is about roots in HDFS, and this one is a directory");
                }
                Root::Hdfs { .. } if is_coded => faults.add(
                    key(name),
                    "is about files that are replicated, and erasure_coding says that those of \
                     this root are coded: remove one of the two",
                ),
                Root::Hdfs { .. } => {}
            }
        }
    }

    fn valid(
        self,
        of: Topics<'_>,
        key: &dyn Fn(&str) -> String,
        faults: &mut Faults,
    ) -> Option<ArchiveConfig> {
        let root = self.root.as_deref().map_or_else(
            || Err("is missing; write root = \"hdfs://namenode:8020/data\" under [archive]".into()),
            |text| root(text, &self),
        );
        let root = root.map_err(|e: String| faults.add(key("root"), e)).ok();
        if let Some(root) = &root {
            self.check_files(root, key, faults);
        }
        let zone = self.timezone.clone().unwrap_or(TimeZone::UTC);
        let path = self.path.clone().unwrap_or_else(|| DEFAULT_PATH.into());
        let encoding = self.encoding.valid(key, faults);
        let format = encoding.map(|(format, _)| format);
        let (mut rules, max_bad) = self.rows.clone().valid(of.is_counts(), format, key, faults);
        let template = Template::parse(&path, zone.clone()).and_then(|t| t.of_topics(of.regex()));
        let template = template.and_then(|t| t.check_names(&rules.rows.columns()).map(|()| t));
        let template = template.map_err(|e| faults.add(key("path"), format!("{path:?}: {e}"))).ok();
        let schemas = Schemas::default();
        if let (Some(of), Some(template)) = (&mut rules.registered, &template) {
            of.reserved = template.names();
            of.schemas = Arc::new(schemas.clone());
        }
        let roll = self.roll.policy();
        let time = self.time.unwrap_or(Time::Record);
        let reads_fields = |t: &Template| t.sources().iter().any(|s| matches!(s, Source::Field(_)));
        let has_times = |t: &Template| t.end_of_directory(0).is_some();
        if roll.lateness.is_some() && !template.as_ref().is_none_or(has_times) {
            faults.add(key("roll.lateness"), NO_TIMES);
        }
        let of_path = ("path", template.as_ref().is_some_and(reads_fields));
        let of_time = ("time", matches!(time, Time::Field { .. }));
        for (name, reads_fields) in [of_path, of_time] {
            if reads_fields && rules.registered.is_some() {
                faults.add(key(name), NO_JSON);
            }
        }
        let max_values = self.max_values.unwrap_or(MAX_VALUES);
        let (root, template, (format, options)) = (root?, template?, encoding?);
        let path = (path.as_str(), &time, max_values);
        let fingerprint = fingerprint(path, &zone, (format, options), &rules);
        let quarantine = Template::of_quarantine(zone);
        Some(ArchiveConfig {
            root,
            template,
            time,
            max_values,
            quarantine,
            format,
            options,
            rules,
            schemas,
            max_bad,
            roll,
            files: self.files,
            fingerprint,
        })
    }
}

const NO_TIMES: &str = "is about directories of times, and the path has none: use roll.age or \
                        roll.schedule";
const NO_JSON: &str = "reads a field of JSON values, and those of value = \"registry\" have an id: \
                       use the key, a header or the record's time";

/// CRC-32C of what decides about the contents and the paths of files; keys that came later count
/// only where they are not as they were before.
fn fingerprint(
    (path, time, max_values): (&str, &Time, usize),
    zone: &TimeZone,
    (format, options): (Format, FormatOptions),
    rules: &RecordRules,
) -> String {
    let mut shape = format!(
        "{path}|{:?}|Some({})|{}",
        zone.iana_name(),
        format.checksum_text(),
        rules.rows.checksum_text()
    );
    shape.push_str(&options.checksum_text());
    match time {
        Time::Record => {}
        Time::Arrival => shape.push_str("|time: Arrival"),
        Time::Field { path, unit } => shape.push_str(&format!("|time: {path} {unit:?}")),
    }
    if max_values != MAX_VALUES {
        shape.push_str(&format!("|values: {max_values}"));
    }
    match rules.tombstones {
        Tombstones::Keep => {}
        Tombstones::Drop => shape.push_str("|tombstones: Drop"),
        Tombstones::Quarantine => shape.push_str("|tombstones: Quarantine"),
    }
    match rules.on_bad_record {
        OnBadRecord::Quarantine => {}
        OnBadRecord::Skip => shape.push_str("|bad records: Skip"),
        OnBadRecord::Stop => shape.push_str("|bad records: Stop"),
    }
    format!("{:08x}", crc32c::crc32c(shape.as_bytes()))
}

fn root(text: &str, keys: &ArchiveKeys) -> Result<Root, String> {
    if let Some(path) = text.strip_prefix("file://") {
        if !path.starts_with('/') {
            return Err(format!(
                "{text:?}: write three slashes and an absolute path, for example \
                 \"file:///srv/archive\""
            ));
        }
        let directory = path.trim_end_matches('/').into();
        return Ok(Root::Local { directory, umask: keys.umask });
    }
    if let Some(rest) = ["hdfs://", "viewfs://"].iter().find_map(|s| text.strip_prefix(s)) {
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.is_empty() {
            return Err(format!(
                "{text:?} names no NameNode; write \"hdfs://namenode:8020/data\", \
                 \"hdfs://nameservice/data\" or \"viewfs://mounttable/data\""
            ));
        }
        if let Some(why) = address_fault(authority).filter(|_| authority.contains([':', '@'])) {
            return Err(format!("{text:?}: {why}"));
        }
        let options = HdfsOptions {
            conf_dir: keys.conf_dir.clone(),
            properties: keys.hadoop.clone(),
            user: keys.user.clone(),
            kerberos: keys.kerberos.clone(),
            erasure_coding: keys.erasure_coding.clone(),
            umask: keys.umask,
        };
        return Ok(Root::Hdfs { url: text.trim_end_matches('/').into(), options });
    }
    Err(format!(
        "{text:?} is neither \"hdfs://namenode:8020/data\" nor \"viewfs://mounttable/data\" nor \
         \"file:///directory\""
    ))
}

/// The `archive` key of a mapping, or of its counts; false there means that there is none.
pub(super) fn archive(
    f: &mut Fields,
    defaults: &ArchiveKeys,
    of: Topics<'_>,
    faults: &mut Faults,
) -> Option<Arc<ArchiveConfig>> {
    let fields = match f.take("archive") {
        Some(Value::Boolean(false)) => return None,
        None | Some(Value::Boolean(true)) => Fields::new(f.key("archive"), Table::new()),
        Some(Value::Table(table)) => Fields::new(f.key("archive"), table),
        Some(other) => return f.wrong_type("archive", "a table, true or false", &other, faults),
    };
    ArchiveKeys::read(Some(fields), faults).checked(defaults, of, faults).map(Arc::new)
}
