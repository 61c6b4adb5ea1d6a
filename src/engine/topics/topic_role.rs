//! The role of a topic in its mapping.

/// What a topic is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TopicRole {
    /// Somebody else's records: archived, and counted.
    Source,
    /// Partial counts, to be merged.
    Partials,
    /// Published counts, to be archived.
    Output,
}

impl TopicRole {
    /// The name of the role in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            TopicRole::Source => "source",
            TopicRole::Partials => "partials",
            TopicRole::Output => "output",
        }
    }
}
