//! What a configuration costs the NameNode in a day, with the partitions that the brokers list, and
//! with those that topics of counts get when the daemon makes them.

use std::collections::BTreeMap;

use crate::clients::kafka::topics::Topic;
use crate::common::config::{ArchiveConfig, Config, Mapping, Topics};
use crate::engine::archive::calls::{CALLS_A_FILE, CALLS_A_ROLL};
use crate::engine::topics::{Role, TopicRole, mapping_of};
use crate::outside::audit::live::tried::{Attempted, Figures, Outcome};

/// What is written in a day at least, if all partitions always receive records and all records of a
/// roll lie in one directory.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Day {
    partitions: u64,
    files: u64,
    /// Files, and the entries of the ledger that name them.
    inodes: u64,
    calls: u64,
}

impl Day {
    fn of(partitions: usize, rolls_a_day: u64) -> Day {
        let partitions = partitions as u64;
        let files = partitions.saturating_mul(rolls_a_day);
        let calls = u64::from(CALLS_A_ROLL.saturating_add(CALLS_A_FILE));
        Day {
            partitions,
            files,
            inodes: files.saturating_mul(2),
            calls: files.saturating_mul(calls),
        }
    }

    fn add(&mut self, other: Day) {
        self.partitions = self.partitions.saturating_add(other.partitions);
        self.files = self.files.saturating_add(other.files);
        self.inodes = self.inodes.saturating_add(other.inodes);
        self.calls = self.calls.saturating_add(other.calls);
    }

    fn text(self) -> String {
        let Day { partitions, files, inodes, calls } = self;
        let s = if partitions == 1 { "" } else { "s" };
        format!(
            "{partitions} partition{s}, a day at least: {files} files, {inodes} inodes, {calls} \
             calls"
        )
    }

    fn figures(self) -> Figures {
        vec![
            ("partitions", self.partitions),
            ("files_a_day", self.files),
            ("inodes_a_day", self.inodes),
            ("calls_a_day", self.calls),
        ]
    }
}

/// What a mapping costs, and what of it is not counted because its partitions are not known.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Cost {
    day: Day,
    unknown: Vec<String>,
}

impl Cost {
    fn add(&mut self, other: Cost) {
        self.day.add(other.day);
        self.unknown.extend(other.unknown);
    }

    /// What is not counted is not known, and nothing that is not known is good.
    fn outcome(&self) -> Outcome {
        if self.unknown.is_empty() { Outcome::Good } else { Outcome::Unknown }
    }

    fn text(&self) -> String {
        let text = self.day.text();
        match &*self.unknown {
            [] => text,
            unknown => format!(
                "{text}; not counted, because the number of partitions is not known: {}",
                unknown.join(", ")
            ),
        }
    }
}

/// A topic of a mapping that would be archived and is not there, as people are told of it, and the
/// number of partitions that it is made with.
type Absent<'c> = (String, Option<usize>, &'c ArchiveConfig);

/// `default`: the number of partitions that the brokers give a topic by themselves, if it is known.
fn absent<'c>(
    config: &Config,
    mapping: &'c Mapping,
    existing: &[Topic],
    default: Option<usize>,
) -> Vec<Absent<'c>> {
    let is_there = |topic: &str| existing.iter().any(|(name, _)| name == topic);
    let is_source = |topic: &str| {
        mapping_of(config, topic)
            .is_some_and(|(of, role)| of.name == mapping.name && role == TopicRole::Source)
    };
    let mut all = Vec::new();
    if let Some(archive) = mapping.archive.as_deref() {
        match &mapping.topics {
            Topics::Names(names) => {
                let gone = names.iter().filter(|topic| !is_there(topic));
                all.extend(gone.map(|topic| (format!("topic {topic}"), None, archive)));
            }
            Topics::Regex(_) if existing.iter().any(|(topic, _)| is_source(topic)) => {}
            Topics::Regex(_) => {
                let what = format!("topics_regex of mapping.{}, which matches none", mapping.name);
                all.push((what, None, archive));
            }
        }
    }
    let count = mapping.count.as_deref().filter(|count| !is_there(&count.output_topic));
    if let Some((count, archive)) = count.and_then(|c| Some((c, c.archive.as_deref()?))) {
        let made_with = count.output_partitions.and_then(|n| usize::try_from(n).ok());
        all.push((format!("topic {}", count.output_topic), made_with.or(default), archive));
    }
    all
}

/// Whether the number of partitions that the brokers give a topic by themselves decides something.
pub(super) fn needs_default(config: &Config, existing: &[Topic]) -> bool {
    let of = |default| by_mapping(config, existing, default);
    of(None) != of(Some(1))
}

/// By mapping, the topics of its records and of its counts that are archived, or would be.
fn by_mapping(
    config: &Config,
    existing: &[Topic],
    default: Option<usize>,
) -> BTreeMap<String, Cost> {
    let mut all: BTreeMap<String, Cost> = BTreeMap::new();
    for (topic, partitions) in existing {
        let Some(role) = Role::of(config, topic, |_| None) else { continue };
        let Some(archive) = role.archive else { continue };
        let day = Day::of(*partitions, archive.roll.rolls_a_day());
        all.entry(role.mapping).or_default().day.add(day);
    }
    for mapping in &config.mappings {
        for (what, partitions, archive) in absent(config, mapping, existing, default) {
            let cost = all.entry(mapping.name.clone()).or_default();
            match partitions {
                Some(n) => cost.day.add(Day::of(n, archive.roll.rolls_a_day())),
                None => cost.unknown.push(what),
            }
        }
    }
    all
}

/// A line for each mapping that archives, and one for all of them. More files than
/// `daemon.max_files_per_day` are wrong.
pub(super) fn budget(
    config: &Config,
    existing: &[Topic],
    default: Option<usize>,
    report: &mut Attempted,
) {
    let (all, what) = (by_mapping(config, existing, default), "NameNode budget of all mappings");
    if all.values().all(|cost| cost.day.partitions == 0) && config.archives().next().is_some() {
        let text = "no topic that would be archived is there for this client, so that its \
                    partitions can't be counted";
        return report.add(what, Outcome::Unknown, text);
    }
    let mut total = Cost::default();
    for (mapping, cost) in all {
        let what = format!("NameNode budget of mapping.{mapping}");
        report.add_with(what, cost.outcome(), cost.text(), cost.day.figures());
        total.add(cost);
    }
    let text = total.text();
    let (outcome, text) = match config.daemon.max_files_per_day {
        Some(most) if most < total.day.files => {
            let cure = "raise archive.roll.age, let mappings archive fewer topics, or raise the \
                        limit";
            (
                Outcome::Wrong,
                format!("{text}: more than {most} files (daemon.max_files_per_day); {cure}"),
            )
        }
        Some(most) if total.unknown.is_empty() => {
            (Outcome::Good, format!("{text}; daemon.max_files_per_day allows {most} files"))
        }
        Some(most) => (
            Outcome::Unknown,
            format!("{text}; daemon.max_files_per_day allows {most} files for all together"),
        ),
        None => (total.outcome(), text),
    };
    report.add_with(what, outcome, text, total.day.figures());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(limit: &str) -> Vec<(Outcome, String)> {
        tried_of(limit, "\"a\", \"b\"")
    }

    fn tried_of(limit: &str, sources: &str) -> Vec<(Outcome, String)> {
        let text = format!(
            r#"
            [kafka]
            bootstrap_servers = "b:9092"
            group_id = "g"
            [daemon]
            {limit}
            [archive]
            root = "file:///srv/a"
            [mapping.a]
            topics = [{sources}]
            archive = {{ roll = {{ schedule = "1h" }} }}
            [mapping.a.wordcount]
            output_topic = "counts"
            window = "1m"
            archive = {{ roll = {{ age = "7h" }} }}
            [mapping.c]
            topics = ["c"]
            "#
        );
        let config = Config::parse(&text, Some("i")).unwrap();
        let existing = [("a", 3), ("b", 2), ("c", 1), ("counts", 4), ("g-a-partials", 9), ("x", 5)];
        let existing = existing.map(|(topic, n)| (topic.to_string(), n));
        let mut report = Attempted::default();
        budget(&config, &existing, None, &mut report);
        report.0.into_iter().map(|t| (t.outcome, t.text)).collect()
    }

    /// What is told of a mapping whose topic of counts is not there yet, and of all mappings.
    fn of_counts(keys: &str, limit: &str, default: Option<usize>) -> Vec<(Outcome, String)> {
        let text = format!(
            "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[daemon]\n{limit}\n\
             [archive]\nroot = \"file:///x\"\nroll = {{ schedule = \"1h\" }}\n[mapping.m]\n\
             topics = [\"t\"]\n[mapping.m.wordcount]\noutput_topic = \"o\"\n{keys}\n"
        );
        let config = Config::parse(&text, Some("i")).unwrap_or_else(|e| panic!("{e}"));
        let (existing, mut report) = ([("t".to_string(), 1)], Attempted::default());
        assert_eq!(needs_default(&config, &existing), keys.is_empty());
        budget(&config, &existing, default, &mut report);
        report.0.into_iter().map(|t| (t.outcome, t.text)).collect()
    }

    #[test]
    fn a_topic_that_is_made_later_costs_its_partitions() {
        let limit = "max_files_per_day = 100";
        let configured = of_counts("output_partitions = 9", limit, Some(1));
        assert!(configured[0].1.starts_with("10 partitions, a day at least: 240 files"));
        assert_eq!(configured[1].0, Outcome::Wrong, "{configured:?}");
        let of_brokers = of_counts("", limit, Some(2));
        assert!(of_brokers[0].1.starts_with("3 partitions,"), "{of_brokers:?}");
        assert_eq!(of_brokers[1].0, Outcome::Good, "{of_brokers:?}");
        for limit in ["", limit] {
            for (outcome, text) in of_counts("", limit, None) {
                assert_eq!(outcome, Outcome::Unknown, "{text}");
                assert!(text.contains("is not known: topic o"), "{text}");
            }
        }
        let known = of_counts("", "max_files_per_day = 23", None);
        assert_eq!(known[1].0, Outcome::Wrong, "what is known is too much: {known:?}");
    }

    #[test]
    fn a_source_that_is_not_there_is_not_counted_as_nothing() {
        let told = tried_of("max_files_per_day = 280", "\"a\", \"b\", \"absent\"");
        for (outcome, text) in [&told[0], &told[2]] {
            assert_eq!(*outcome, Outcome::Unknown, "{text}");
            assert!(text.contains("is not known: topic absent"), "{text}");
        }
        assert_eq!(told[1].0, Outcome::Good, "{told:?}");
    }

    #[test]
    fn what_nobody_sees_has_no_budget() {
        let text = "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\nroot = \
                    \"file:///x\"\n[mapping.m]\ntopics = [\"t\"]";
        let config = Config::parse(text, Some("i")).expect("a configuration");
        let mut report = Attempted::default();
        budget(&config, &[], None, &mut report);
        let outcomes: Vec<Outcome> = report.0.into_iter().map(|t| t.outcome).collect();
        assert_eq!(outcomes, [Outcome::Unknown]);
    }

    /// Rolls of an hour and of seven hours: 24 and 4 a day; ten minutes where nothing is said.
    #[test]
    fn each_mapping_is_told_and_a_limit_refuses() {
        let all = "10 partitions, a day at least: 280 files, 560 inodes, 2240 calls";
        let want = [
            "9 partitions, a day at least: 136 files, 272 inodes, 1088 calls",
            "1 partition, a day at least: 144 files, 288 inodes, 1152 calls",
            all,
        ];
        let told = tried("");
        assert_eq!(told.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), want);
        assert!(told.iter().all(|(outcome, _)| *outcome == Outcome::Good));
        let (outcome, text) = tried("max_files_per_day = 280").pop().unwrap();
        assert!(outcome == Outcome::Good && text.ends_with("allows 280 files"), "{text}");
        let (outcome, text) = tried("max_files_per_day = 279").pop().unwrap();
        assert!(outcome == Outcome::Wrong && text.contains("more than 279 files"), "{text}");
    }
}
