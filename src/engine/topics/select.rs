//! Which topics the group subscribes to. Patterns are matched here, with Rust's regex, and the
//! group gets exact, sorted names.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::clients::kafka::topics::Topic;
use crate::common::config::{Config, FileProperties, Mapping, Topics};
use crate::engine::topics::topic_role::TopicRole;
use crate::pure::record::TopicPartition;

/// What a configuration selects of the topics that exist.
#[derive(Debug, Default)]
pub struct Selection<'c> {
    /// The sorted names to subscribe to.
    pub wanted: Vec<String>,
    /// Topics that a mapping names and no broker has.
    pub missing: Vec<String>,
    /// Topics of published counts that no broker has; they are made.
    pub absent_outputs: Vec<String>,
    /// Topics of partial counts that no broker has.
    pub absent_partials: Vec<String>,
    /// Sorted topics that the regexes of two mappings match; they are left out.
    pub ambiguous: Vec<String>,
    /// All patterns of mappings that are not held.
    pub patterns: Vec<Unmatched>,
    /// Those that match no topic.
    pub unmatched: Vec<Unmatched>,
    /// The source partitions of each mapping that is merged.
    pub sources: Vec<(&'c str, Vec<TopicPartition>)>,
}

/// A `topics_regex`, which may match no topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Unmatched {
    pub mapping: String,
    pub regex: String,
}

/// Matches a configuration with the topics that exist. Nothing is wanted for the mappings that are
/// `held`.
#[must_use]
pub fn select<'c>(
    config: &'c Config,
    existing: &[Topic],
    held: &BTreeSet<String>,
) -> Selection<'c> {
    let names: BTreeSet<&str> = existing.iter().map(|(name, _)| name.as_str()).collect();
    let mut wanted = BTreeSet::new();
    let mut missing = Vec::new();
    let mut ambiguous = BTreeSet::new();
    let (mut absent_outputs, mut absent_partials) = (Vec::new(), Vec::new());
    let (mut patterns, mut unmatched) = (Vec::new(), Vec::new());
    let absent = |topic: &str| (!names.contains(topic)).then(|| topic.to_string());
    for m in config.mappings.iter().filter(|m| !held.contains(&m.name)) {
        if let Some(count) = &m.count {
            wanted.extend(count.archive.as_ref().map(|_| count.output_topic.clone()));
            wanted.extend(count.merge.as_ref().map(|merge| merge.topic.clone()));
            absent_outputs.extend(absent(&count.output_topic));
            absent_partials.extend(count.merge.as_ref().and_then(|merge| absent(&merge.topic)));
        }
        match &m.topics {
            Topics::Names(exact) => {
                for name in exact {
                    if names.contains(name.as_str()) {
                        let _ = wanted.insert(name.clone());
                    } else {
                        missing.push(name.clone());
                    }
                }
            }
            Topics::Regex(regex) => {
                // As it is written: the whole name has to match.
                let whole = regex.as_str();
                let written = whole.strip_prefix("^(?:").and_then(|r| r.strip_suffix(")$"));
                let regex_as_written = written.unwrap_or(whole).to_string();
                let pattern = Unmatched { mapping: m.name.clone(), regex: regex_as_written };
                let mut matches =
                    names.iter().filter(|t| regex.is_match(t) && is_free(config, m, t)).peekable();
                if matches.peek().is_none() {
                    unmatched.push(pattern.clone());
                }
                patterns.push(pattern);
                for topic in matches {
                    let all =
                        if is_ambiguous(config, topic) { &mut ambiguous } else { &mut wanted };
                    let _ = all.insert((*topic).to_string());
                }
            }
        }
    }
    let sources = sources(config, existing, &wanted);
    let (wanted, ambiguous) = (wanted.into_iter().collect(), ambiguous.into_iter().collect());
    Selection {
        wanted,
        missing,
        absent_outputs,
        absent_partials,
        ambiguous,
        patterns,
        unmatched,
        sources,
    }
}

/// What a person does about a topic that a mapping names and no broker has.
#[must_use]
pub fn cure_of_missing(topic: &str) -> String {
    format!("create it with kafka-topics --create --topic {topic}, or correct the name")
}

/// What a person does about a pattern that matches nothing.
pub const CURE_OF_UNMATCHED: &str =
    "create such a topic, correct the regex, or let this client describe the topics";

/// What a person does about a topic that the regexes of two mappings match.
pub const CURE_OF_AMBIGUOUS: &str = "let one regex be narrower, or name the topic in one mapping";

/// Whether the regex of a mapping may select a topic: the topic is not Kafka's own, no mapping
/// names it exactly, and no mapping publishes to it.
fn is_free(config: &Config, mapping: &Mapping, topic: &str) -> bool {
    let owner = mapping_of(config, topic);
    // Of several mappings whose regexes match it, each has it as a match.
    let exact_or_output = owner.is_some_and(|(o, role)| {
        role != TopicRole::Source || o.name != mapping.name && matches!(o.topics, Topics::Names(_))
    });
    !topic.starts_with("__") && !exact_or_output
}

/// Whether the regexes of several mappings match a topic.
fn is_ambiguous(config: &Config, topic: &str) -> bool {
    let matches = |m: &&Mapping| matches!(&m.topics, Topics::Regex(r) if r.is_match(topic));
    1 < config.mappings.iter().filter(matches).count()
}

/// The source partitions of each mapping that is merged, of the topics that are wanted.
fn sources<'c>(
    config: &'c Config,
    existing: &[Topic],
    wanted: &BTreeSet<String>,
) -> Vec<(&'c str, Vec<TopicPartition>)> {
    let merged = |m: &&Mapping| m.count.as_ref().is_some_and(|c| c.merge.is_some());
    let merged = config.mappings.iter().filter(merged);
    merged
        .map(|m| {
            let mine = |topic: &str| {
                let owner = mapping_of(config, topic);
                owner.is_some_and(|(o, role)| role == TopicRole::Source && o.name == m.name)
            };
            let topics = existing.iter().filter(|(t, _)| wanted.contains(t) && mine(t));
            let all = topics.flat_map(|(t, partitions)| {
                let topic: Arc<str> = t.as_str().into();
                (0..*partitions as i32)
                    .map(move |partition| TopicPartition { topic: Arc::clone(&topic), partition })
            });
            (m.name.as_str(), all.collect())
        })
        .collect()
}

/// Replaces the topics that are known of by those that were found now; returns what is new among
/// them. A caller that asks repeatedly logs that, and nothing twice.
pub fn news(known: &mut Vec<String>, found: Vec<String>) -> Vec<String> {
    let new = found.iter().filter(|t| !known.contains(t)).cloned().collect();
    *known = found;
    new
}

/// What is said of the files of a topic's archive below a root; nothing, if no mapping archives the
/// topic there.
#[must_use]
pub fn files_of(config: &Config, root: &str, topic: &str) -> FileProperties {
    let archive = mapping_of(config, topic).and_then(|(mapping, role)| match role {
        TopicRole::Source => mapping.archive.as_deref(),
        TopicRole::Output => mapping.count.as_ref()?.archive.as_deref(),
        TopicRole::Partials => None,
    });
    let archive = archive.filter(|archive| archive.root.url() == root);
    archive.map(|archive| archive.files.clone()).unwrap_or_default()
}

/// The mapping of a topic, and what the topic is in it.
#[must_use]
pub fn mapping_of<'c>(config: &'c Config, topic: &str) -> Option<(&'c Mapping, TopicRole)> {
    let made = |m: &Mapping| {
        let count = m.count.as_ref()?;
        let partials = count.merge.as_ref().is_some_and(|merge| merge.topic == topic);
        if partials {
            return Some(TopicRole::Partials);
        }
        (count.output_topic == topic).then_some(TopicRole::Output)
    };
    if let Some(found) = config.mappings.iter().find_map(|m| Some((m, made(m)?))) {
        return Some(found);
    }
    let exact =
        |m: &&Mapping| matches!(&m.topics, Topics::Names(n) if n.iter().any(|t| t == topic));
    let regex = |m: &&Mapping| matches!(&m.topics, Topics::Regex(r) if r.is_match(topic));
    let found = config.mappings.iter().find(exact).or_else(|| config.mappings.iter().find(regex));
    found.map(|m| (m, TopicRole::Source))
}

/// Whether a topic is treated in both configurations alike: same mapping, same settings.
#[must_use]
pub fn treats_alike(one: &Config, other: &Config, topic: &str) -> bool {
    let mine = |c: &Config| {
        let (mapping, role) = mapping_of(c, topic)?;
        Some((mapping.name.clone(), role, mapping.written.clone(), c.defaults.clone()))
    };
    mine(one) == mine(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
        [kafka]
        bootstrap_servers = "b:1"
        group_id = "g"
        [archive]
        root = "file:///x"
        [mapping.exact]
        topics = ["app-one", "gone"]
        [mapping.all]
        topics_regex = ".*"
        [mapping.all.wordcount]
        output_topic = "counts"
        [mapping.narrow]
        topics_regex = "log-.*"
        [mapping.narrow.wordcount]
        output_topic = "log-counts"
        scope = "partition"
        archive = false
    "#;
    const PARTIALS: &str = "g-all-partials";

    fn existing(names: &[&str]) -> Vec<Topic> {
        names.iter().map(|name| ((*name).to_string(), 2)).collect()
    }

    fn select_all<'c>(config: &'c Config, existing: &[Topic]) -> Selection<'c> {
        select(config, existing, &BTreeSet::new())
    }

    #[test]
    fn a_mapping_that_is_held_wants_nothing_and_the_others_want_the_same() {
        let config = Config::parse(CONFIG, Some("i")).unwrap();
        let existing = existing(&["app-one", "app-two", "log-a", "counts", PARTIALS]);
        let held = |name: &str| select(&config, &existing, &BTreeSet::from([name.to_string()]));
        let found = held("all");
        assert_eq!(found.wanted, ["app-one"]);
        assert!(found.sources.iter().all(|(_, partitions)| partitions.is_empty()));
        let found = held("exact");
        assert_eq!(found.wanted, ["app-two", "counts", PARTIALS]);
        assert!(found.missing.is_empty());
        assert_eq!(held("narrow").ambiguous, ["log-a"], "whose topic it is, is not known");
    }

    #[test]
    fn patterns_never_match_internal_or_output_topics() {
        let config = Config::parse(CONFIG, Some("i")).unwrap();
        let names = ["app-one", "app-two", "counts", "log-a", "log-counts", "__consumer_offsets"];
        let found = select_all(&config, &existing(&names));
        assert_eq!(found.wanted, ["app-one", "app-two", "counts", PARTIALS]);
        assert_eq!(found.missing, ["gone"]);
        assert_eq!(found.ambiguous, ["log-a"], "two regexes match it");
        assert_eq!(found.absent_outputs, [""; 0]);
        assert_eq!(found.absent_partials, [PARTIALS]);
        let found = select_all(&config, &existing(&["app-one", "app-two", "log-a", PARTIALS]));
        assert_eq!(found.absent_outputs, ["counts", "log-counts"]);
        assert_eq!(found.absent_partials, [""; 0]);
        let of = |partition| TopicPartition { topic: "app-two".into(), partition };
        assert_eq!(found.sources, [("all", vec![of(0), of(1)])]);
    }

    #[test]
    fn a_pattern_without_a_topic_is_named() {
        let config = Config::parse(CONFIG, Some("i")).unwrap();
        let unmatched = |names: &[&str]| -> Vec<String> {
            let found = select_all(&config, &existing(names));
            assert_eq!(found.patterns.len(), 2);
            found.unmatched.into_iter().map(|u| format!("{} {}", u.mapping, u.regex)).collect()
        };
        // What mappings name or write, and Kafka's own topics, are nobody's match.
        let nobodys = ["app-one", "counts", "log-counts", PARTIALS, "__consumer_offsets"];
        assert_eq!(unmatched(&nobodys), ["all .*", "narrow log-.*"]);
        assert_eq!(unmatched(&["app-two"]), ["narrow log-.*"]);
        assert_eq!(unmatched(&["log-a"]), [""; 0], "two match it, and that is named elsewhere");
    }

    #[test]
    fn an_exact_name_beats_a_regex_and_outputs_are_never_matched() {
        let config = Config::parse(CONFIG, Some("i")).unwrap();
        let name = |t| mapping_of(&config, t).map(|(m, role)| (m.name.clone(), role));
        assert_eq!(name("app-one"), Some(("exact".into(), TopicRole::Source)));
        assert_eq!(name("other"), Some(("all".into(), TopicRole::Source)));
        assert_eq!(name("counts"), Some(("all".into(), TopicRole::Output)));
        assert_eq!(name(PARTIALS), Some(("all".into(), TopicRole::Partials)));
        let small = CONFIG.split("[mapping.all]").next().unwrap();
        let config = Config::parse(small, Some("i")).unwrap();
        assert!(mapping_of(&config, "other").is_none());
    }

    /// Topics are looked for every few seconds: an ambiguous one is reported when it appears, and
    /// again only after it was gone.
    #[test]
    fn an_ambiguous_topic_is_reported_once() {
        let config = Config::parse(CONFIG, Some("i")).unwrap();
        let mut known = Vec::new();
        let mut look =
            |names: &[&str]| news(&mut known, select_all(&config, &existing(names)).ambiguous);
        assert_eq!(look(&["log-a"]), ["log-a"]);
        assert!(look(&["log-a"]).is_empty());
        assert_eq!(look(&["log-a", "log-b"]), ["log-b"]);
        assert!(look(&["log-b"]).is_empty());
        assert_eq!(look(&["log-a", "log-b"]), ["log-a"]);
    }
}
