//! `[mapping.NAME]`: which topics, how they are counted, and where they are archived.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use regex::Regex;
use toml::{Table, Value};

use crate::config::fields::{Faults, Fields};
use crate::count::{By, FieldPath, OutputFormat, Patience, Split, Time, Tokenizer, Window};
use crate::encode::{Bytes8, Format, ParquetCodec, Rows, TextCodec};
use crate::layout::template::TemplateError;
use crate::layout::{RollPolicy, Template};
use crate::protocol::OnGap;
use crate::store::{HdfsOptions, Root};

/// One mapping.
#[derive(Debug)]
pub struct Mapping {
    pub name: String,
    pub topics: Topics,
    /// Where a partition starts that has neither offset nor ledger.
    pub start: Start,
    pub on_gap: OnGap,
    pub archive: Option<Arc<Archive>>,
    pub count: Option<Arc<WordCount>>,
}

/// Which topics a mapping is for.
#[derive(Debug)]
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

/// `[mapping.NAME.wordcount]`
#[derive(Debug)]
pub struct WordCount {
    pub output_topic: String,
    /// `None`: the broker's default.
    pub output_partitions: Option<i32>,
    pub format: OutputFormat,
    pub window: Window,
    pub time: Time,
    pub by: By,
    /// How counts are merged over all source partitions; `None`: they are published for each.
    pub merge: Option<Merging>,
    pub archive: Option<Arc<Archive>>,
}

/// `scope = "merged"`
#[derive(Debug)]
pub struct Merging {
    /// The partials topic.
    pub topic: String,
    /// Never changes for a topic that is there: it decides where a word is merged.
    pub partitions: i32,
    /// `None`: the broker's default.
    pub replication: Option<i32>,
    pub retention: Duration,
    pub patience: Patience,
}

impl WordCount {
    /// How much earlier than the highest time seen a record's time may be, milliseconds.
    #[must_use]
    pub fn out_of_order(&self) -> i64 {
        self.merge.as_ref().map_or(0, |m| m.patience.out_of_order)
    }
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
    let topics = topics(&mut f, faults);
    let start = f.parsed("start", faults, start).unwrap_or(Start::Earliest);
    let gaps = [("stop", OnGap::Stop), ("record", OnGap::Record)];
    let on_gap = f.choice("on_gap", &gaps, faults).unwrap_or(OnGap::Stop);
    let archive = archive(&mut f, defaults, false, faults);
    let partials = format!("{}-{name}-partials", group.unwrap_or("group"));
    let count = f.table("wordcount", faults).map(|w| word_count(w, partials, defaults, faults));
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
    Some(Mapping { name, topics, start, on_gap, archive, count })
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

fn is_topic_name(name: &str) -> bool {
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

fn archive(
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

fn word_count(
    mut f: Fields,
    partials: String,
    defaults: &ArchiveKeys,
    faults: &mut Faults,
) -> Option<WordCount> {
    let topic = f.text("output_topic", faults);
    let topic = f.require("output_topic", topic, "counts are published there", faults);
    let formats = [("json", OutputFormat::Json), ("text", OutputFormat::Text)];
    let window = f.duration("window", Duration::from_millis(100), faults);
    let window = window.unwrap_or(Duration::from_secs(2)).as_millis();
    let time = time(&mut f, faults);
    let count = WordCount {
        output_topic: topic.unwrap_or_default(),
        output_partitions: f.number("output_partitions", 1..=10_000, faults),
        format: f.choice("format", &formats, faults).unwrap_or(OutputFormat::Json),
        window: Window { millis: i64::try_from(window).unwrap_or(i64::MAX) },
        by: by(&mut f, faults),
        merge: merging(&mut f, partials, &time, faults),
        time,
        archive: archive(&mut f, defaults, true, faults),
    };
    f.finish(faults);
    Some(count)
}

fn by(f: &mut Fields, faults: &mut Faults) -> By {
    let max_bytes = f.number("max_word_bytes", 16..=65_536, faults).unwrap_or(1024);
    let hint = "must be \"word\", \"key\" or { field = \"name\" }";
    match f.take("by") {
        None => {}
        Some(Value::String(s)) if s == "word" => {}
        Some(Value::String(s)) if s == "key" => return By::Key { max_bytes },
        Some(Value::Table(t)) if t.len() == 1 && t.contains_key("field") => {
            if let Some(path) = field(f, "by.field", &t["field"], faults) {
                return By::Field { path, max_bytes };
            }
        }
        Some(_) => faults.add(f.key("by"), hint),
    }
    By::Word(Tokenizer {
        split: split(f, faults),
        lowercase: f.flag("lowercase", faults).unwrap_or(false),
        stop_words: f.texts("stop_words", faults).unwrap_or_default().into_iter().collect(),
        max_word_bytes: max_bytes,
    })
}

fn time(f: &mut Fields, faults: &mut Faults) -> Time {
    let hint =
        "must be \"record\", \"arrival\" or { field = \"name\", unit = \"ms\" } (s, ms, us, ns)";
    match f.take("time") {
        None => {}
        Some(Value::String(s)) if s == "record" => {}
        Some(Value::String(s)) if s == "arrival" => return Time::Arrival,
        Some(Value::Table(t))
            if t.contains_key("field") && t.keys().all(|k| k == "field" || k == "unit") =>
        {
            let unit = t.get("unit").map_or(Some("ms"), Value::as_str);
            let units = [("s", 1e3), ("ms", 1.0), ("us", 1e-3), ("ns", 1e-6)];
            let unit = units.into_iter().find(|(name, _)| unit == Some(name));
            let path = field(f, "time.field", &t["field"], faults);
            match (path, unit) {
                (Some(path), Some((_, unit_millis))) => return Time::Field { path, unit_millis },
                (_, None) => {
                    faults.add(f.key("time.unit"), "must be \"s\", \"ms\", \"us\" or \"ns\"")
                }
                (None, _) => {}
            }
        }
        Some(_) => faults.add(f.key("time"), hint),
    }
    Time::Record
}

fn field(f: &Fields, key: &str, value: &Value, faults: &mut Faults) -> Option<FieldPath> {
    let path = value.as_str().and_then(FieldPath::parse);
    if path.is_none() {
        faults.add(
            f.key(key),
            "must name a field of the JSON value, as \"status\" or \"event.status\"",
        );
    }
    path
}

/// The keys of the merge, which mean nothing without it.
fn merging(
    f: &mut Fields,
    default_topic: String,
    time: &Time,
    faults: &mut Faults,
) -> Option<Merging> {
    let scopes = [("merged", true), ("partition", false)];
    let merged = f.choice("scope", &scopes, faults).unwrap_or(true);
    if !merged {
        for key in ["partials", "out_of_order", "idle_after", "patience"] {
            if f.take(key).is_some() {
                faults.add(
                    f.key(key),
                    "has no meaning with scope = \"partition\": remove one of them",
                );
            }
        }
        return None;
    }
    let arrival = *time == Time::Arrival;
    let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    let out_of_order = f.duration("out_of_order", Duration::ZERO, faults);
    if arrival && out_of_order.is_some_and(|d| !d.is_zero()) {
        faults.add(
            f.key("out_of_order"),
            "has no meaning with time = \"arrival\": the clock never goes back",
        );
    }
    let idle = f.duration("idle_after", Duration::ZERO, faults);
    let lost = f.duration("patience", Duration::from_secs(1), faults);
    let patience = Patience {
        out_of_order: millis(out_of_order.unwrap_or_default()),
        // What is read after the clock was looked at arrives after that.
        idle: millis(idle.unwrap_or(Duration::from_secs(if arrival { 0 } else { 5 }))),
        lost: millis(lost.unwrap_or(Duration::from_secs(600))),
    };
    let mut partials =
        f.table("partials", faults).unwrap_or_else(|| Fields::new(f.key("partials"), Table::new()));
    let topic = partials.text("topic", faults).unwrap_or(default_topic);
    if !is_topic_name(&topic) {
        faults.add(
            partials.key("topic"),
            format!("{topic:?} is no topic name; write one with letters, digits, '.', '_' and '-'"),
        );
    }
    let merging = Merging {
        topic,
        partitions: partials.number("partitions", 1..=10_000, faults).unwrap_or(4),
        replication: partials.number("replication", 1..=100, faults),
        retention: partials
            .duration("retention", Duration::from_secs(3_600), faults)
            .unwrap_or(Duration::from_secs(7 * 86_400)),
        patience,
    };
    partials.finish(faults);
    Some(merging)
}

fn split(f: &mut Fields, faults: &mut Faults) -> Split {
    let hint = "must be \"whitespace\", \"space\", \"words\" or { regex = \"…\" }";
    match f.take("split") {
        None => Split::Whitespace,
        Some(Value::String(s)) if s == "whitespace" => Split::Whitespace,
        Some(Value::String(s)) if s == "space" => Split::Space,
        Some(Value::String(s)) if s == "words" => Split::Words,
        Some(Value::Table(t)) if t.len() == 1 && t.get("regex").is_some_and(Value::is_str) => {
            let pattern = t["regex"].as_str().unwrap_or_default();
            Regex::new(pattern).map(Split::Regex).unwrap_or_else(|e| {
                faults.add(f.key("split.regex"), format!("{pattern:?}: {e}"));
                Split::Whitespace
            })
        }
        Some(_) => {
            faults.add(f.key("split"), hint);
            Split::Whitespace
        }
    }
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
