//! `[mapping.NAME.wordcount]`: what is counted, in which windows, and how counts are merged.

use std::sync::Arc;
use std::time::Duration;

use regex::Regex;
use toml::{Table, Value};

use crate::common::config::archive::{ArchiveConfig, ArchiveKeys, Topics, archive};
use crate::common::config::fields::{Faults, Fields, is_topic_name};
use crate::common::config::times::{field, time};
use crate::pure::count::{By, OutputFormat, Patience, Split, Time, Tokenizer, Window};
use crate::pure::duration::written;

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
    pub merge: Option<MergeConfig>,
    pub archive: Option<Arc<ArchiveConfig>>,
}

/// `scope = "merged"`
#[derive(Debug)]
pub struct MergeConfig {
    /// The partials topic.
    pub topic: String,
    /// Never changes for a topic that is there: it decides where a word is merged.
    pub partitions: i32,
    /// `None`: the broker's default.
    pub replication: Option<i32>,
    pub retention: Duration,
    pub patience: Patience,
}

impl MergeConfig {
    /// The shortest retention of the partials topic.
    #[must_use]
    pub fn needed_retention(&self, window: Window) -> Duration {
        needed_retention(u128::try_from(window.millis).unwrap_or(0), &self.patience)
    }
}

impl WordCount {
    /// The bytes that a message with the longest word may need.
    #[must_use]
    pub fn longest_message(&self) -> usize {
        // JSON writes a control character as six bytes, and the word is the key as well. Headers
        // and the batch's own bytes are the rest.
        self.by.max_bytes().saturating_mul(7).saturating_add(1_024)
    }

    /// How much earlier than the highest time seen a record's time may be, milliseconds.
    #[must_use]
    pub fn out_of_order(&self) -> i64 {
        self.merge.as_ref().map_or(0, |m| m.patience.out_of_order)
    }
}

pub(super) fn read(
    mut f: Fields,
    partials: String,
    defaults: &ArchiveKeys,
    faults: &mut Faults,
) -> Option<WordCount> {
    let topic = f.text("output_topic", faults);
    let topic = f.require("output_topic", topic, "counts are published there", faults);
    if let Some(topic) = topic.as_ref().filter(|t| !is_topic_name(t)) {
        faults.add(f.key("output_topic"), no_topic_name(topic));
    }
    let formats = [("json", OutputFormat::Json), ("text", OutputFormat::Text)];
    let window = f.duration("window", Duration::from_millis(100), faults);
    let window = window.unwrap_or(Duration::from_secs(2)).as_millis();
    let time = time(&mut f, faults).unwrap_or(Time::Record);
    let count = WordCount {
        output_topic: topic.unwrap_or_default(),
        output_partitions: f.number("output_partitions", 1..=10_000, faults),
        format: f.choice("format", &formats, faults).unwrap_or(OutputFormat::Json),
        window: Window { millis: i64::try_from(window).unwrap_or(i64::MAX) },
        by: by(&mut f, faults),
        merge: merging(&mut f, partials, (window, &time), faults),
        time,
        archive: archive(&mut f, defaults, Topics::Counts, faults),
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
        Some(Value::String(s)) if s == "key" => {
            refuse_words(f, faults);
            return By::Key { max_bytes };
        }
        Some(Value::Table(t)) if t.len() == 1 && t.contains_key("field") => {
            if let Some(path) = field(f, "by.field", &t["field"], faults) {
                refuse_words(f, faults);
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

/// Refuses the keys that say how words are found, where none are looked for.
fn refuse_words(f: &mut Fields, faults: &mut Faults) {
    for key in ["split", "lowercase", "stop_words"] {
        if f.take(key).is_some() {
            faults.add(f.key(key), "has a meaning only for by = \"word\": remove this key or by");
        }
    }
}

/// The keys of the merge, which mean nothing without it.
fn merging(
    f: &mut Fields,
    default_topic: String,
    (window, time): (u128, &Time),
    faults: &mut Faults,
) -> Option<MergeConfig> {
    let scopes = [("merged", true), ("partition", false)];
    let merged = f.choice("scope", &scopes, faults).unwrap_or(true);
    if !merged {
        for key in ["partials", "out_of_order", "idle_after", "patience"] {
            if f.take(key).is_some() {
                faults.add(
                    f.key(key),
                    "has no meaning with scope = \"partition\": remove this key or scope",
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
        faults.add(partials.key("topic"), no_topic_name(&topic));
    }
    let merging = MergeConfig {
        topic,
        partitions: partials.number("partitions", 1..=10_000, faults).unwrap_or(4),
        replication: partials.number("replication", 1..=100, faults),
        retention: partials
            .duration("retention", Duration::from_secs(3_600), faults)
            .unwrap_or(Duration::from_secs(7 * 86_400)),
        patience,
    };
    let needed = needed_retention(window, &merging.patience);
    if merging.retention < needed {
        faults.add(
            partials.key("retention"),
            format!(
                "is {}, and must be at least {}: what a window has counted lies in this topic \
                 until the window closes, and is read again after each restart. The least value \
                 is half as long again as window, out_of_order and patience together",
                shown(merging.retention),
                shown(needed)
            ),
        );
    }
    partials.finish(faults);
    Some(merging)
}

fn no_topic_name(topic: &str) -> String {
    format!("{topic:?} is not a topic name; use letters, digits, '.', '_' and '-'")
}

/// The time for which partial counts must be kept: a window is open for its length, for records
/// that come late, and while a partition that nobody reads is waited for. Half of that again is for
/// the time in which no daemon runs.
fn needed_retention(window: u128, patience: &Patience) -> Duration {
    let millis = |n: i64| u128::try_from(n).unwrap_or(0);
    let waits = [patience.out_of_order, patience.lost.max(patience.idle)];
    let open = waits.into_iter().map(millis).fold(window, u128::saturating_add);
    Duration::from_millis(u64::try_from(open.saturating_add(open / 2)).unwrap_or(u64::MAX))
}

/// A duration as it can be written in a configuration, not less than it is, in whole seconds.
fn shown(duration: Duration) -> String {
    let more = u64::from(duration.subsec_nanos() != 0);
    written(Duration::from_secs(duration.as_secs().saturating_add(more)))
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
