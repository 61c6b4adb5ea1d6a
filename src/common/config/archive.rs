//! `[archive]`, and the archive of a mapping or of its counts: where records become files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use toml::{Table, Value};

use crate::common::config::encoding::EncodingKeys;
use crate::common::config::fields::{Faults, Fields};
use crate::common::config::file_properties::{self, FileProperties};
use crate::common::config::hadoop::address_fault;
use crate::common::config::hadoop_keys::unread;
use crate::common::config::kerberos::Kerberos;
use crate::common::config::root::{ErasureCoding, HdfsOptions, Root};
use crate::common::config::rows::RowKeys;
use crate::common::config::umask::Umask;
use crate::common::schemas::Schemas;
use crate::pure::layout::bad::MaxBad;
use crate::pure::layout::format::{Format, FormatOptions};
use crate::pure::layout::rules::{OnBadRecord, RecordRules, Tombstones};
use crate::pure::layout::{RollPolicy, Template};

/// How and where records become files.
#[derive(Clone, Debug)]
pub struct ArchiveConfig {
    pub root: Root,
    pub template: Template,
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

/// The keys of an archive as far as they are given; a mapping's keys override the
/// defaults.
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
    encoding: EncodingKeys,
    rows: RowKeys,
    size: Option<u64>,
    records: Option<u64>,
    age: Option<Duration>,
    idle: Option<Duration>,
    open_files: Option<usize>,
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
        if let Some(mut roll) = f.table("roll", faults) {
            keys.size = roll.size("size", 64 << 10, faults);
            keys.records = roll.number("records", 1..=i64::MAX, faults);
            keys.age = roll.duration("age", Duration::from_secs(1), faults);
            keys.idle = roll.duration("idle", Duration::from_secs(1), faults);
            keys.open_files = roll.number("open_files", 1..=10_000, faults);
            roll.finish(faults);
        }
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
            size: self.size.or(d.size),
            records: self.records.or(d.records),
            age: self.age.or(d.age),
            idle: self.idle.or(d.idle),
            open_files: self.open_files.or(d.open_files),
        }
    }

    /// Whether one of the keys that [`ArchiveKeys::checked`] reads is given here.
    fn gives(&self, name: &str) -> bool {
        let given = [("root", self.root.is_some()), ("path", self.path.is_some())];
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
        counts: bool,
        faults: &mut Faults,
    ) -> Option<ArchiveConfig> {
        let keys = [
            "root",
            "path",
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
        ArchiveKeys { files, ..self.or(defaults) }.valid(counts, &key, faults)
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
        counts: bool,
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
        let (mut rules, max_bad) = self.rows.clone().valid(counts, format, key, faults);
        let template = Template::parse(&path, zone.clone());
        let template = template.and_then(|t| t.check_names(&rules.rows.columns()).map(|()| t));
        let template = template.map_err(|e| faults.add(key("path"), format!("{path:?}: {e}"))).ok();
        let schemas = Schemas::default();
        if let (Some(of), Some(template)) = (&mut rules.registered, &template) {
            of.reserved = template.names();
            of.schemas = Arc::new(schemas.clone());
        }
        let roll = RollPolicy {
            size_bytes: self.size.unwrap_or(128 << 20),
            records: self.records,
            age: self.age.unwrap_or(Duration::from_secs(600)),
            idle: self.idle,
            open_files: self.open_files.unwrap_or(64),
        };
        let (root, template, (format, options)) = (root?, template?, encoding?);
        let fingerprint = fingerprint(&path, &zone, (format, options), &rules);
        let quarantine = Template::of_quarantine(zone);
        Some(ArchiveConfig {
            root,
            template,
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

/// CRC-32C of what decides about the contents and the paths of files; keys that came later count
/// only where they are not as they were before.
fn fingerprint(
    path: &str,
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
    Err(format!("{text:?} is neither \"hdfs://namenode:8020/data\" nor \"file:///directory\""))
}

/// The `archive` key of a mapping, or of its counts; false there means that there is none.
pub(super) fn archive(
    f: &mut Fields,
    defaults: &ArchiveKeys,
    counts: bool,
    faults: &mut Faults,
) -> Option<Arc<ArchiveConfig>> {
    let fields = match f.take("archive") {
        Some(Value::Boolean(false)) => return None,
        None | Some(Value::Boolean(true)) => Fields::new(f.key("archive"), Table::new()),
        Some(Value::Table(table)) => Fields::new(f.key("archive"), table),
        Some(other) => return f.wrong_type("archive", "a table, true or false", &other, faults),
    };
    ArchiveKeys::read(Some(fields), faults).checked(defaults, counts, faults).map(Arc::new)
}
