//! What came of a try.

use std::fmt;

/// What came of one try.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outcome {
    Good,
    /// It can't be found out.
    Unknown,
    /// The daemon would run, and this needs attention.
    Doubtful,
    /// The daemon, or one of its mappings, would not run.
    Wrong,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Good => "ok",
            Outcome::Unknown => "not known",
            Outcome::Doubtful => "warning",
            Outcome::Wrong => "WRONG",
        })
    }
}

/// Where the manual tells more of what was tried, by how its name begins.
pub const SECTIONS: [(&str, &str); 13] = [
    ("NameNode budget", "sizing.md#files"),
    ("Kerberos ", "security.md#hdfs-kerberos-and-two-namenodes"),
    ("root ", "security.md#permissions-in-hdfs"),
    ("room in ", "sizing.md#files"),
    ("copies in ", "files.md#copies-blocks-owner-and-group"),
    ("brokers ", "security.md#kafka-logging-in"),
    ("group ", "security.md#kafka-access-lists"),
    ("transactional id ", "security.md#kafka-access-lists"),
    ("topic ", "security.md#kafka-access-lists"),
    ("topics", "security.md#kafka-access-lists"),
    ("registry ", "security.md#the-registry-of-schemas"),
    ("clock of ", "troubleshooting.md#clocks"),
    ("mapping.", "configuration.md#mappingname"),
];

/// Numbers of a try, by their names in JSON.
pub type Figures = Vec<(&'static str, u64)>;

/// One thing that was tried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tried {
    pub what: String,
    pub outcome: Outcome,
    /// What was found, or what is wrong and what to do.
    pub text: String,
    /// What of the text a program may want.
    pub figures: Figures,
}

impl Tried {
    /// The page of the manual and its section.
    #[must_use]
    pub fn section(&self) -> Option<&'static str> {
        let found = SECTIONS.iter().find(|(begin, _)| self.what.starts_with(begin));
        found.map(|(_, section)| *section)
    }
}

/// Everything that was tried, in order.
#[derive(Default)]
pub(super) struct Attempted(pub(super) Vec<Tried>);

impl Attempted {
    pub(super) fn add(
        &mut self,
        what: impl Into<String>,
        outcome: Outcome,
        text: impl Into<String>,
    ) {
        self.add_with(what, outcome, text, Vec::new());
    }

    pub(super) fn add_with(
        &mut self,
        what: impl Into<String>,
        outcome: Outcome,
        text: impl Into<String>,
        figures: Figures,
    ) {
        self.0.push(Tried { what: what.into(), outcome, text: text.into(), figures });
    }

    /// Adds what a call found, or its error as wrong.
    pub(super) fn of<T, E: fmt::Display>(
        &mut self,
        what: &str,
        done: Result<T, E>,
        good: &str,
    ) -> Option<T> {
        match done {
            Ok(value) => {
                self.add(what, Outcome::Good, good);
                Some(value)
            }
            Err(error) => {
                self.add(what, Outcome::Wrong, error.to_string());
                None
            }
        }
    }

    /// Adds what is good, unless something of this is wrong, and a line for each of these.
    pub(super) fn each(&mut self, what: &str, found: Vec<(Outcome, String)>, good: Option<String>) {
        let is_wrong = found.iter().any(|(outcome, _)| *outcome == Outcome::Wrong);
        if let Some(good) = good.filter(|_| !is_wrong) {
            self.add(what, Outcome::Good, good);
        }
        for (outcome, text) in found {
            self.add(what, outcome, text);
        }
    }
}
