//! Which things an instance depends on, and what an operator is told of each.

use std::fmt;
use std::sync::Arc;

use crate::common::health::outage::News;

/// A thing that the daemon depends on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Subject {
    /// The brokers, all together.
    Brokers,
    /// The root of an archive, by its URL.
    Root(String),
    /// The roots and topics without which a mapping can't run.
    Mapping(String),
    /// The positions of a mapping's partitions, which the brokers tell.
    Positions(String),
    /// The reading of a mapping's partitions.
    Reading(String),
    /// The permission to read a mapping's partitions.
    MayRead(String),
    /// The permission to write what a mapping counts, and to commit for it.
    MayWrite(String),
    /// The permission to join the group.
    MayJoin,
    /// The registry that a mapping's records need a schema of.
    Registry(String),
    /// The transactional producer of a worker.
    Producer(WorkerName),
    /// The transactions of a worker.
    Commits(WorkerName),
}

/// How people know a worker: by its mapping, and by its number among all workers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct WorkerName {
    pub mapping: Arc<str>,
    pub number: usize,
}

impl fmt::Display for WorkerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {} of mapping.{}", self.number, self.mapping)
    }
}

impl Subject {
    /// How old an outage must be before it is reported, milliseconds. One commit in doubt is the
    /// normal end of an assignment.
    #[must_use]
    pub fn patience(&self) -> i64 {
        match self {
            Subject::Commits(_) => 20_000,
            // The second question fails after this; the brokers' own outage is known by then.
            Subject::Positions(_) | Subject::Reading(_) => 5_000,
            Subject::Brokers
            | Subject::Root(_)
            | Subject::Mapping(_)
            | Subject::MayRead(_)
            | Subject::MayWrite(_)
            | Subject::MayJoin
            | Subject::Registry(_)
            | Subject::Producer(_) => 0,
        }
    }

    /// After this time without a failure an outage is forgotten, milliseconds: nothing may be left
    /// that could work. [`None`]: only a call that works ends it. What is still used fails more
    /// often.
    #[must_use]
    pub fn expires_after(&self) -> Option<i64> {
        match self {
            Subject::Brokers | Subject::Mapping(_) | Subject::MayJoin => None,
            // A partition may wait for its next file before it writes again.
            Subject::Root(_) => Some(3_600_000),
            _ => Some(120_000),
        }
    }

    /// The mapping whose alone the thing is.
    #[must_use]
    pub fn mapping(&self) -> Option<&str> {
        match self {
            Subject::Brokers | Subject::Root(_) | Subject::MayJoin => None,
            Subject::Mapping(m)
            | Subject::Positions(m)
            | Subject::Reading(m)
            | Subject::MayRead(m)
            | Subject::Registry(m)
            | Subject::MayWrite(m) => Some(m),
            Subject::Producer(worker) | Subject::Commits(worker) => Some(&worker.mapping),
        }
    }

    /// Whether nothing is done meanwhile for a mapping, or for all of them.
    #[must_use]
    pub fn stops_work(&self) -> bool {
        match self {
            Subject::Brokers
            | Subject::Mapping(_)
            | Subject::MayRead(_)
            | Subject::MayWrite(_)
            | Subject::MayJoin
            | Subject::Producer(_) => true,
            Subject::Root(_)
            | Subject::Registry(_)
            | Subject::Positions(_)
            | Subject::Reading(_)
            | Subject::Commits(_) => false,
        }
    }

    /// The code of the log lines, which docs/log-codes.md explains.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Subject::Brokers => "AL101",
            Subject::MayJoin => "AL102",
            Subject::Positions(_) => "AL121",
            Subject::Reading(_) => "AL122",
            Subject::MayRead(_) => "AL123",
            Subject::MayWrite(_) => "AL124",
            Subject::Producer(_) => "AL125",
            Subject::Commits(_) => "AL126",
            Subject::Root(_) => "AL201",
            Subject::Mapping(_) => "AL409",
            Subject::Registry(_) => "AL411",
        }
    }

    /// The text that an operator reads.
    #[must_use]
    pub fn line(&self, news: &News) -> String {
        match news {
            News::Began { cause } => format!("{} ({cause}): {}", self.fails(), self.meaning()),
            News::Ended { lasted, failures } => {
                let s = if *failures == 1 { "" } else { "s" };
                let lasted = spell(*lasted);
                format!(
                    "{} again after {lasted}; {failures} failed call{s} meanwhile",
                    self.works()
                )
            }
            News::Silent { silent } => format!(
                "{}: nothing was heard of this for {}, so it is not reported any more; whether it \
                 works is not known",
                self.fails(),
                spell(*silent)
            ),
        }
    }

    /// What fails, as the beginning of a sentence.
    #[must_use]
    pub fn fails(&self) -> String {
        match self {
            Subject::Brokers => "the brokers are unreachable".into(),
            Subject::Root(url) => format!("the root {url} is unavailable"),
            Subject::Mapping(mapping) => format!("mapping.{mapping} does not run"),
            Subject::Positions(mapping) => {
                format!("the brokers do not return the positions of mapping.{mapping}")
            }
            Subject::Reading(mapping) => format!("records of mapping.{mapping} can't be read"),
            Subject::MayRead(mapping) => {
                format!("the brokers refuse to let this client read topics of mapping.{mapping}")
            }
            Subject::MayWrite(mapping) => {
                format!("the brokers refuse to let this client commit for mapping.{mapping}")
            }
            Subject::MayJoin => "the brokers refuse to let this client join the group".into(),
            Subject::Registry(mapping) => {
                format!("a schema of mapping.{mapping} can't be had")
            }
            Subject::Producer(worker) => format!("{worker} can't create a transactional producer"),
            Subject::Commits(worker) => format!("{worker} can't commit"),
        }
    }

    fn works(&self) -> String {
        match self {
            Subject::Brokers => "the brokers answer".into(),
            Subject::Root(url) => format!("the root {url} works"),
            Subject::Mapping(mapping) => format!("mapping.{mapping} runs"),
            Subject::Positions(mapping) => {
                format!("the brokers tell the positions of mapping.{mapping}")
            }
            Subject::Reading(mapping) => format!("records of mapping.{mapping} are read"),
            Subject::MayRead(mapping) => format!("topics of mapping.{mapping} may be read"),
            Subject::MayWrite(mapping) => format!("mapping.{mapping} may commit"),
            Subject::MayJoin => "the group may be joined".into(),
            Subject::Registry(mapping) => format!("the schemas of mapping.{mapping} are known"),
            Subject::Producer(worker) => format!("{worker} has a producer"),
            Subject::Commits(worker) => format!("{worker} commits"),
        }
    }

    fn meaning(&self) -> &'static str {
        match self {
            Subject::Brokers => {
                "nothing is read, counted or committed; nothing is lost; the next try is within \
                 10 s"
            }
            Subject::Root(_) => {
                "its archives wait, and counts continue; nothing is lost; the next try is within \
                 15 s"
            }
            Subject::Mapping(_) => {
                "its topics are not read, and the brokers may delete their records meanwhile; \
                 other mappings run; the next try is within 30 s"
            }
            Subject::Positions(_) => {
                "its partitions wait until the positions are known; the next try is within 15 s"
            }
            Subject::Reading(_) => "the client tries again by itself",
            Subject::MayRead(_) => {
                "their records wait, and the brokers may delete them meanwhile; the operation Read \
                 on these topics is missing; the next try is within 30 s"
            }
            Subject::MayWrite(_) => {
                "its counts are not published and no offset is committed; nothing is lost; the \
                 next try is within 15 s"
            }
            Subject::MayJoin => {
                "nothing is read, and the brokers may delete records meanwhile; the client tries \
                 again by itself"
            }
            Subject::Registry(_) => {
                "the partitions that need it are not read, and the brokers may delete their \
                 records meanwhile; all others go on; the next try is within 15 s"
            }
            Subject::Producer(_) => {
                "its counts wait; check kafka.properties and the brokers; the next try is within \
                 15 s"
            }
            Subject::Commits(_) => {
                "its counts are not published, and are counted again; the next try is within 15 s"
            }
        }
    }
}

/// A duration for people, given in milliseconds: the two largest units.
#[must_use]
pub fn spell(millis: i64) -> String {
    let s = millis.max(0) / 1_000;
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_cause_meaning_and_the_next_try_and_then_the_duration() {
        let began = News::Began { cause: "connection refused".into() };
        let ended = News::Ended { lasted: 134_000, failures: 412 };
        let all = [
            Subject::Brokers,
            Subject::Root("hdfs://nn:8020/a".into()),
            Subject::Mapping("orders".into()),
            Subject::Positions("orders".into()),
            Subject::Reading("orders".into()),
            Subject::MayRead("orders".into()),
            Subject::MayWrite("orders".into()),
            Subject::MayJoin,
            Subject::Registry("orders".into()),
            Subject::Producer(WorkerName { mapping: "orders".into(), number: 1 }),
            Subject::Commits(WorkerName { mapping: "orders".into(), number: 1 }),
        ];
        for subject in all {
            let (begin, end) = (subject.line(&began), subject.line(&ended));
            assert!(begin.contains("(connection refused): "), "{begin}");
            assert!(begin.contains("next try") || begin.contains("tries again"), "{begin}");
            assert!(end.ends_with("again after 2 min 14 s; 412 failed calls meanwhile"), "{end}");
            let silent = subject.line(&News::Silent { silent: 121_000 });
            assert!(silent.starts_with(&subject.fails()), "{silent}");
            assert!(silent.contains("nothing was heard of this for 2 min 1 s"), "{silent}");
            assert!(silent.ends_with("whether it works is not known"), "{silent}");
        }
        let root = Subject::Root("hdfs://nn:8020/a".into());
        assert_eq!(
            root.line(&began),
            "the root hdfs://nn:8020/a is unavailable (connection refused): its archives wait, \
             and counts continue; nothing is lost; the next try is within 15 s"
        );
        let once = News::Ended { lasted: 900, failures: 1 };
        assert!(root.line(&once).ends_with("works again after 0 s; 1 failed call meanwhile"));
    }
}
