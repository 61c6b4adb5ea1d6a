//! A path template as the directory of a table, and the partitions below it.

use crate::pure::layout::template::{Piece, Template};

/// Where the files of one topic lie, as an engine for tables sees them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TablePath {
    /// The directory below the root that all files have in common.
    pub directory: String,
    /// What the directories below it depend on.
    pub partitions: Partitions,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Partitions {
    /// Directories of the form `name=value`, by their names; empty if the files lie in the
    /// directory itself.
    Hive(Vec<String>),
    /// So many levels of directories, of which not all have a name.
    Unnamed(usize),
}

impl Template {
    /// The table of a topic.
    #[must_use]
    pub fn table(&self, topic: &str) -> TablePath {
        let is_fixed = |pieces: &Vec<Piece>| pieces.iter().all(Piece::is_of_topic);
        let segments = self.segments();
        let fixed = segments.iter().position(|s| !is_fixed(s)).unwrap_or(segments.len());
        // What is fixed depends on no partition and no time.
        let rendered = self.render(topic, 0, None);
        let directory: Vec<&str> = rendered.split('/').take(fixed).collect();
        let below = &segments[fixed..];
        let names = below.iter().map(|pieces| match pieces.first() {
            Some(Piece::Text(text)) => text.split_once('=').map(|(name, _)| name.to_string()),
            _ => None,
        });
        TablePath {
            directory: directory.join("/"),
            partitions: match names.collect::<Option<Vec<String>>>() {
                Some(names) => Partitions::Hive(names),
                None => Partitions::Unnamed(below.len()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn what_is_fixed_is_the_directory() {
        let table = |text: &str| Template::parse(text, TimeZone::UTC).unwrap().table("a.b");
        let hive = |names: &[&str]| Partitions::Hive(names.iter().map(|n| (*n).into()).collect());
        for (text, directory, partitions) in [
            ("{topic}/dt=%Y-%m-%d/hr=%H", "a.b", hive(&["dt", "hr"])),
            ("x/env=prod/t={topic}/p={partition}/y=%Y", "x/env=prod/t=a.b", hive(&["p", "y"])),
            ("{topic}", "a.b", hive(&[])),
            ("{topic}/%Y/%m", "a.b", Partitions::Unnamed(2)),
            ("dt=%F/{topic}", "", Partitions::Unnamed(2)),
            ("{topic}/dt=%F/{partition}", "a.b", Partitions::Unnamed(2)),
            ("{topic}/c={field:c}/k={key}/dt=%F", "a.b", hive(&["c", "k", "dt"])),
        ] {
            assert_eq!(
                table(text),
                TablePath { directory: directory.into(), partitions },
                "{text}"
            );
        }
        let quarantine = Template::of_quarantine(TimeZone::UTC).table("a b");
        assert_eq!(quarantine.directory, "_quarantine/a%20b");
        assert_eq!(quarantine.partitions, hive(&["dt"]));
    }
}
