//! `[mapping.NAME]`: which topics, and where they are archived.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use regex::Regex;
use toml::{Table, Value};

use crate::config::fields::{Faults, Fields};
use crate::config::wordcount::{self, WordCount};
use crate::encode::{Bytes8, Format, ParquetCodec, Rows, TextCodec};
use crate::layout::template::TemplateError;
use crate::layout::{RollPolicy, Template};
use crate::protocol::OnGap;
use crate::store::{HdfsOptions, Root};

/// One mapping.
#[derive(Clone, Debug)]
pub struct Mapping {
    pub name: String,
    pub topics: Topics,
    /// Where a partition starts that has neither offset nor ledger.
    pub start: Start,
    pub on_gap: OnGap,
    pub archive: Option<Arc<Archive>>,
    pub count: Option<Arc<WordCount>>,
    /// Its table in the configuration.
    pub(super) written: Table,
}

/// Which topics a mapping is for.
#[derive(Clone, Debug)]
pub enum Topics {
    Names(Vec<String>),
    /// Rust's dialect; the whole name must match.
    Regex(Regex),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    Earliest,
    Latest,
    /// The first record at or after this time, milliseconds.
    At(i64),
}

/// How and where records become files.
#[derive(Clone, Debug)]
pub struct Archive {
    pub root: Root,
    pub template: Template,
    pub format: Format,
    pub rows: Rows,
    pub roll: RollPolicy,
    /// CRC-32C of the settings above: in every ledger entry.
    pub fingerprint: String,
}

/// The keys of an archive as far as they are given; a mapping's stand over the defaults'.
#[derive(Clone, Default, Debug)]
pub(super) struct ArchiveKeys {
    path_of: String,
    root: Option<String>,
    conf_dir: Option<String>,
    user: Option<String>,
    hadoop: BTreeMap<String, String>,
    path: Option<String>,
    timezone: Option<TimeZone>,
    format: Option<String>,
    codec: Option<String>,
    key: Option<Bytes8>,
    value: Option<Bytes8>,
    size: Option<u64>,
    age: Option<Duration>,
    idle: Option<Duration>,
    open_files: Option<usize>,
}

const DEFAULT_PATH: &str = "{topic}/dt=%Y-%m-%d/hr=%H";

impl ArchiveKeys {
    pub(super) fn read(fields: Option<Fields>, faults: &mut Faults) -> ArchiveKeys {
        let mut f = fields.unwrap_or_else(|| Fields::new("archive", Table::new()));
        let bytes8 = [("auto", Bytes8::Auto), ("bytes", Bytes8::Bytes)];
        let mut keys = ArchiveKeys {
            path_of: f.key("").trim_end_matches('.').to_string(),
            root: f.text("root", faults),
            conf_dir: f.text("hadoop_conf_dir", faults),
            user: f.text("user", faults),
            hadoop: BTreeMap::new(),
            path: f.text("path", faults),
            timezone: f.parsed("timezone", faults, |name| {
                TimeZone::get(name).map_err(|_| {
                    format!("{name:?} is no time zone; write \"UTC\" or \"Europe/Berlin\"")
                })
            }),
            format: f.text("format", faults),
            codec: f.text("codec", faults),
            key: f.choice("key", &bytes8, faults),
            value: f.choice("value", &bytes8, faults),
            ..ArchiveKeys::default()
        };
        for (name, value) in f.entries("hadoop", faults) {
            match value.as_str() {
                Some(text) => drop(keys.hadoop.insert(name, text.into())),
                None => faults.add(f.key(&format!("hadoop.{name:?}")), "must be a string"),
            }
        }
        if let Some(mut roll) = f.table("roll", faults) {
            keys.size = roll.size("size", 64 << 10, faults);
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
            hadoop,
            path: self.path.or_else(|| d.path.clone()),
            timezone: self.timezone.or_else(|| d.timezone.clone()),
            // A codec belongs to its format.
            codec: if self.format.is_some() {
                self.codec
            } else {
                self.codec.or_else(|| d.codec.clone())
            },
            format: self.format.or_else(|| d.format.clone()),
            key: self.key.or(d.key),
            value: self.value.or(d.value),
            size: self.size.or(d.size),
            age: self.age.or(d.age),
            idle: self.idle.or(d.idle),
            open_files: self.open_files.or(d.open_files),
        }
    }

    fn checked(self, counts: bool, faults: &mut Faults) -> Option<Archive> {
        let key = |name: &str| format!("{}.{name}", self.path_of);
        let root = self.root.as_deref().map_or_else(
            || Err("is missing; write root = \"hdfs://namenode:8020/data\" under [archive]".into()),
            |text| root(text, &self),
        );
        let root = root.map_err(|e: String| faults.add(key("root"), e)).ok();
        let zone = self.timezone.clone().unwrap_or(TimeZone::UTC);
        let path = self.path.clone().unwrap_or_else(|| DEFAULT_PATH.into());
        let template = Template::parse(&path, zone.clone());
        let template = template.map_err(|e| faults.add(key("path"), format!("{path:?}: {e}"))).ok();
        let format = format(self.format.as_deref(), self.codec.as_deref());
        let format = format.map_err(|(k, e)| faults.add(key(k), e)).ok();
        let (k, v) = (self.key.unwrap_or(Bytes8::Auto), self.value.unwrap_or(Bytes8::Auto));
        let rows = if counts { Rows::Counts } else { Rows::Raw { key: k, value: v } };
        let roll = RollPolicy {
            size_bytes: self.size.unwrap_or(128 << 20),
            age: self.age.unwrap_or(Duration::from_secs(600)),
            idle: self.idle,
            open_files: self.open_files.unwrap_or(64),
        };
        let shape = format!("{path}|{:?}|{format:?}|{rows:?}", zone.iana_name());
        let fingerprint = format!("{:08x}", crc32c::crc32c(shape.as_bytes()));
        Some(Archive { root: root?, template: template?, format: format?, rows, roll, fingerprint })
    }
}

fn root(text: &str, keys: &ArchiveKeys) -> Result<Root, String> {
    if let Some(path) = text.strip_prefix("file://") {
        if !path.starts_with('/') {
            return Err(format!(
                "{text:?}: write three slashes and an absolute path, as \"file:///srv/archive\""
            ));
        }
        return Ok(Root::Local { directory: path.trim_end_matches('/').into() });
    }
    if let Some(rest) = text.strip_prefix("hdfs://") {
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.is_empty() {
            return Err(format!(
                "{text:?} names no NameNode; write \"hdfs://namenode:8020/data\" or \"hdfs://nameservice/data\""
            ));
        }
        let options = HdfsOptions {
            conf_dir: keys.conf_dir.clone(),
            properties: keys.hadoop.clone(),
            user: keys.user.clone(),
        };
        return Ok(Root::Hdfs { url: text.trim_end_matches('/').into(), options });
    }
    Err(format!("{text:?} is neither \"hdfs://namenode:8020/data\" nor \"file:///directory\""))
}

fn format(format: Option<&str>, codec: Option<&str>) -> Result<Format, (&'static str, String)> {
    let none = |what: &str, of: &str| ("codec", format!("{what:?} is none of {of}"));
    match format.unwrap_or("parquet") {
        "parquet" => match codec.unwrap_or("zstd") {
            "none" => Ok(Format::Parquet(ParquetCodec::None)),
            "snappy" => Ok(Format::Parquet(ParquetCodec::Snappy)),
            "gzip" => Ok(Format::Parquet(ParquetCodec::Gzip)),
            "zstd" => Ok(Format::Parquet(ParquetCodec::Zstd)),
            "lz4" => Ok(Format::Parquet(ParquetCodec::Lz4)),
            other => Err(none(other, "\"none\", \"snappy\", \"gzip\", \"zstd\", \"lz4\"")),
        },
        "jsonl" => match codec.unwrap_or("gzip") {
            "none" => Ok(Format::JsonLines(TextCodec::None)),
            "gzip" => Ok(Format::JsonLines(TextCodec::Gzip)),
            "zstd" => Ok(Format::JsonLines(TextCodec::Zstd)),
            other => Err(none(other, "\"none\", \"gzip\", \"zstd\"")),
        },
        other => Err(("format", format!("{other:?} is none of \"parquet\", \"jsonl\""))),
    }
}

pub(super) fn read_all(
    tables: Vec<(String, Value)>,
    group: Option<&str>,
    defaults: &ArchiveKeys,
    faults: &mut Faults,
) -> Vec<Mapping> {
    let mut mappings = Vec::new();
    for (name, value) in tables {
        let path = format!("mapping.{name}");
        match value {
            Value::Table(table) => {
                mappings.extend(read(name, Fields::new(path, table), group, defaults, faults));
            }
            other => faults.add(path, format!("must be a table, not {}", other.type_str())),
        }
    }
    mappings
}

fn read(
    name: String,
    mut f: Fields,
    group: Option<&str>,
    defaults: &ArchiveKeys,
    faults: &mut Faults,
) -> Option<Mapping> {
    let written = f.table_as_written();
    let topics = topics(&mut f, faults);
    let start = f.parsed("start", faults, start).unwrap_or(Start::Earliest);
    let gaps = [("stop", OnGap::Stop), ("record", OnGap::Record)];
    let on_gap = f.choice("on_gap", &gaps, faults).unwrap_or(OnGap::Stop);
    let archive = archive(&mut f, defaults, false, faults);
    let partials = format!("{}-{name}-partials", group.unwrap_or("group"));
    let count =
        f.table("wordcount", faults).map(|w| wordcount::read(w, partials, defaults, faults));
    if archive.is_none() && count.is_none() && f.key("archive") != "archive" {
        let silent = !faults.0.iter().any(|x| x.key.starts_with(&f.key("")));
        if silent {
            faults.add(
                f.key(""),
                "neither archives nor counts: remove archive = false, or add a wordcount",
            );
        }
    }
    f.finish(faults);
    let topics = topics?;
    let count = match count {
        Some(None) => return None,
        Some(Some(c)) => Some(Arc::new(c)),
        None => None,
    };
    Some(Mapping { name, topics, start, on_gap, archive, count, written })
}

fn topics(f: &mut Fields, faults: &mut Faults) -> Option<Topics> {
    let names = f.texts("topics", faults);
    let regex = f.text("topics_regex", faults);
    match (names, regex) {
        (Some(_), Some(_)) => {
            faults.add(
                f.key("topics"),
                "topics and topics_regex can't both be set; make two mappings",
            );
            None
        }
        (Some(names), None) => {
            if names.is_empty() {
                faults.add(f.key("topics"), "is empty; name at least one topic");
            }
            for name in &names {
                if !is_topic_name(name) {
                    faults.add(f.key("topics"), format!("{name:?} is no topic name: Kafka allows letters, digits, '.', '_' and '-'; for a pattern write topics_regex"));
                }
            }
            Some(Topics::Names(names))
        }
        (None, Some(pattern)) => match Regex::new(&format!("^(?:{pattern})$")) {
            Ok(regex) => Some(Topics::Regex(regex)),
            Err(e) => {
                faults.add(f.key("topics_regex"), format!("{pattern:?}: {e}"));
                None
            }
        },
        (None, None) => {
            f.require("topics", None, "write topics = [\"name\"] or topics_regex = \"…\"", faults)
        }
    }
}

pub(super) fn is_topic_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=249).contains(&name.len()) && name.chars().all(plain) && name != "." && name != ".."
}

fn start(text: &str) -> Result<Start, String> {
    match text {
        "earliest" => Ok(Start::Earliest),
        "latest" => Ok(Start::Latest),
        time => time.parse::<jiff::Timestamp>().map(|t| Start::At(t.as_millisecond())).map_err(|_| {
            format!("{time:?} is neither \"earliest\", \"latest\" nor a time as \"2026-11-22T17:00:00Z\"")
        }),
    }
}

/// The `archive` key of a mapping, or of its counts; false there means that there is none.
pub(super) fn archive(
    f: &mut Fields,
    defaults: &ArchiveKeys,
    counts: bool,
    faults: &mut Faults,
) -> Option<Arc<Archive>> {
    let fields = match f.take("archive") {
        Some(Value::Boolean(false)) => return None,
        None | Some(Value::Boolean(true)) => Fields::new(f.key("archive"), Table::new()),
        Some(Value::Table(table)) => Fields::new(f.key("archive"), table),
        Some(other) => return f.wrong_type("archive", "a table, true or false", &other, faults),
    };
    let keys = ArchiveKeys::read(Some(fields), faults).or(defaults);
    keys.checked(counts, faults).map(Arc::new)
}

/// What no mapping can see alone.
pub(super) fn check_together(mappings: &[Mapping], faults: &mut Faults) {
    let names = |m: &Mapping| match &m.topics {
        Topics::Names(names) => names.clone(),
        Topics::Regex(_) => Vec::new(),
    };
    let mut owner: BTreeMap<String, &str> = BTreeMap::new();
    for m in mappings {
        for topic in names(m) {
            if let Some(other) = owner.insert(topic.clone(), &m.name) {
                faults.add(
                    format!("mapping.{}.topics", m.name),
                    format!(
                        "{topic:?} is already in mapping.{other}: a topic belongs to one mapping"
                    ),
                );
            }
        }
    }
    let mut made: BTreeMap<&str, String> = BTreeMap::new();
    for m in mappings {
        let Some(count) = &m.count else { continue };
        let table = format!("mapping.{}.wordcount", m.name);
        let partials = count.merge.as_ref().map(|merge| ("partials.topic", merge.topic.as_str()));
        let topics = [("output_topic", count.output_topic.as_str())].into_iter().chain(partials);
        for (name, topic) in topics {
            let key = format!("{table}.{name}");
            if let Some(other) = made.get(topic) {
                faults.add(&key, format!("{topic:?} is already {other}"));
            }
            if let Some(source) = owner.get(topic) {
                faults.add(
                    &key,
                    format!(
                        "{topic:?} is also a source, in mapping.{source}: counts would be counted again"
                    ),
                );
            }
            let _ = made.insert(topic, key);
        }
    }
    check_directories(mappings, faults);
    check_roots(mappings, faults);
}

/// Two archives in one root that would open it differently: it is opened once, so that one of them
/// would be written or read with the other's options.
fn check_roots(mappings: &[Mapping], faults: &mut Faults) {
    let mut seen: BTreeMap<String, (String, &HdfsOptions)> = BTreeMap::new();
    for m in mappings {
        let raw = m.archive.as_ref().map(|a| ("archive", a));
        let counts = m.count.as_ref().and_then(|c| c.archive.as_ref());
        for (table, archive) in raw.into_iter().chain(counts.map(|a| ("wordcount.archive", a))) {
            let Root::Hdfs { url, options } = &archive.root else { continue };
            let table = format!("mapping.{}.{table}", m.name);
            let (first, other) = seen.entry(url.clone()).or_insert((table.clone(), options));
            for (key, same) in [
                ("user", options.user == other.user),
                ("hadoop_conf_dir", options.conf_dir == other.conf_dir),
                ("hadoop", options.properties == other.properties),
            ] {
                if !same {
                    faults.add(
                        format!("{table}.{key}"),
                        format!(
                            "differs from {first}.{key}, and both archives lie in {url}: a root is \
                             opened once. Write the same in both, or give one another root"
                        ),
                    );
                }
            }
        }
    }
}

/// Two archives that would put files of different kinds into one directory.
fn check_directories(mappings: &[Mapping], faults: &mut Faults) {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for m in mappings {
        let sources: Vec<String> = match &m.topics {
            Topics::Names(names) => names.clone(),
            Topics::Regex(_) => ["one", "two"].map(|t| format!("\u{0}{}-{t}", m.name)).into(),
        };
        let raw =
            m.archive.as_ref().map(|a| (format!("mapping.{}.archive.path", m.name), a, sources));
        let output = m.count.as_ref().and_then(|c| {
            let key = format!("mapping.{}.wordcount.archive.path", m.name);
            c.archive.as_ref().map(|a| (key, a, vec![c.output_topic.clone()]))
        });
        for (key, archive, topics) in raw.into_iter().chain(output) {
            if 1 < topics.len() && !archive.template.has_topic() {
                faults.add(&key, TemplateError::NoTopic);
                continue;
            }
            for topic in topics {
                let path = archive.template.render(&topic, 0, Some(0));
                let place = format!("{}/{path}", archive.root.url());
                match seen.get(&place) {
                    Some(other) => faults.add(&key, format!("files would lie in the same directories as those of {other}; put {{topic}} into the path, or another first directory")),
                    None => drop(seen.insert(place, key.clone())),
                }
            }
        }
    }
}
