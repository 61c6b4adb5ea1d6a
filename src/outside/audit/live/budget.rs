//! What a configuration costs the NameNode in a day, with the partitions that the brokers list.

use std::collections::BTreeMap;

use crate::clients::kafka::topics::Topic;
use crate::common::config::Config;
use crate::engine::archive::calls::{CALLS_A_FILE, CALLS_A_ROLL};
use crate::engine::topics::Role;
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
        format!(
            "{partitions} partitions, a day at least: {files} files, {inodes} inodes, {calls} calls"
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

/// By mapping, the topics of its records and of its counts that are archived.
fn by_mapping(config: &Config, existing: &[Topic]) -> BTreeMap<String, Day> {
    let mut all: BTreeMap<String, Day> = BTreeMap::new();
    for (topic, partitions) in existing {
        let Some(role) = Role::of(config, topic, |_| None) else { continue };
        let Some(archive) = role.archive else { continue };
        let day = Day::of(*partitions, archive.roll.rolls_a_day());
        all.entry(role.mapping).or_default().add(day);
    }
    all
}

/// A line for each mapping that archives, and one for all of them. More files than
/// `daemon.max_files_per_day` are wrong.
pub(super) fn budget(config: &Config, existing: &[Topic], report: &mut Attempted) {
    let mut total = Day::default();
    for (mapping, day) in by_mapping(config, existing) {
        let what = format!("NameNode budget of mapping.{mapping}");
        report.add_with(what, Outcome::Good, day.text(), day.figures());
        total.add(day);
    }
    let (text, what) = (total.text(), "NameNode budget of all mappings");
    if total.partitions == 0 && config.archives().next().is_some() {
        let text = "no topic that would be archived is there for this client, so that its \
                    partitions can't be counted";
        return report.add(what, Outcome::Unknown, text);
    }
    let (outcome, text) = match config.daemon.max_files_per_day {
        Some(most) if most < total.files => {
            let cure = "raise archive.roll.age, let mappings archive fewer topics, or raise the \
                        limit";
            (
                Outcome::Wrong,
                format!("{text}: more than {most} files (daemon.max_files_per_day); {cure}"),
            )
        }
        Some(most) => {
            (Outcome::Good, format!("{text}; daemon.max_files_per_day allows {most} files"))
        }
        None => (Outcome::Good, text),
    };
    report.add_with(what, outcome, text, total.figures());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(limit: &str) -> Vec<(Outcome, String)> {
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
            topics = ["a", "b", "absent"]
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
        budget(&config, &existing, &mut report);
        report.0.into_iter().map(|t| (t.outcome, t.text)).collect()
    }

    #[test]
    fn what_nobody_sees_has_no_budget() {
        let text = "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\nroot = \
                    \"file:///x\"\n[mapping.m]\ntopics = [\"t\"]";
        let config = Config::parse(text, Some("i")).expect("a configuration");
        let mut report = Attempted::default();
        budget(&config, &[], &mut report);
        let outcomes: Vec<Outcome> = report.0.into_iter().map(|t| t.outcome).collect();
        assert_eq!(outcomes, [Outcome::Unknown]);
    }

    /// Rolls of an hour and of seven hours: 24 and 4 a day; ten minutes where nothing is said.
    #[test]
    fn each_mapping_is_told_and_a_limit_refuses() {
        let all = "10 partitions, a day at least: 280 files, 560 inodes, 2240 calls";
        let want = [
            "9 partitions, a day at least: 136 files, 272 inodes, 1088 calls",
            "1 partitions, a day at least: 144 files, 288 inodes, 1152 calls",
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
