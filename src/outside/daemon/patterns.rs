//! Mappings whose `topics_regex` matches no topic: nothing is read for them, and nothing fails.

use std::collections::BTreeSet;

use crate::engine::topics::Unmatched;

/// What is known of the patterns of a configuration.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    /// The mappings whose pattern matches nothing now, in the order of the configuration.
    unmatched: Vec<Unmatched>,
    /// The patterns that have matched a topic since the start.
    matched: BTreeSet<Unmatched>,
}

/// What a look has found that was not so before.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum News {
    /// The pattern has matched nothing since the start.
    Never(Unmatched),
    /// The topics that it matched are gone.
    Gone(Unmatched),
    /// It matches again, or for the first time after it was named.
    Matches(Unmatched),
}

impl Patterns {
    /// Takes a look: all patterns, and those of them that match nothing.
    pub(super) fn look(&mut self, all: &[Unmatched], unmatched: Vec<Unmatched>) -> Vec<News> {
        let mut news = Vec::new();
        for pattern in all {
            let (is, was) = (unmatched.contains(pattern), self.unmatched.contains(pattern));
            match (is, was) {
                (true, false) if self.matched.contains(pattern) => {
                    news.push(News::Gone(pattern.clone()));
                }
                (true, false) => news.push(News::Never(pattern.clone())),
                (false, true) => news.push(News::Matches(pattern.clone())),
                (true, true) | (false, false) => {}
            }
            if !is {
                let _ = self.matched.insert(pattern.clone());
            }
        }
        self.unmatched = unmatched;
        news
    }

    /// The names of the mappings whose pattern matches nothing.
    pub(super) fn mappings(&self) -> Vec<String> {
        self.unmatched.iter().map(|pattern| pattern.mapping.clone()).collect()
    }
}

/// Says what a look has found.
pub(super) fn tell(news: Vec<News>) {
    for news in news {
        match news {
            News::Never(Unmatched { mapping, regex }) => tracing::info!(
                mapping,
                "topics_regex = {regex:?} of mapping.{mapping} matches no topic that this client \
                 may see: nothing is read for the mapping until there is one"
            ),
            News::Gone(Unmatched { mapping, regex }) => tracing::warn!(
                code = "AL413",
                mapping,
                "topics_regex = {regex:?} of mapping.{mapping} matches no topic any more: the \
                 topics that it matched were deleted, or this client may not see them any more; \
                 nothing is read for the mapping until there is one"
            ),
            News::Matches(Unmatched { mapping, regex }) => {
                tracing::info!(
                    mapping,
                    "topics_regex = {regex:?} of mapping.{mapping} matches now"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_named_when_it_begins_to_match_nothing_and_when_that_ends() {
        let mut patterns = Patterns::default();
        let of = |regex: &str| Unmatched { mapping: "m".into(), regex: regex.into() };
        let (one, other) = (of("app-.+"), of("log-.+"));
        let all = std::slice::from_ref(&one);
        assert_eq!(patterns.look(all, vec![one.clone()]), [News::Never(one.clone())]);
        assert_eq!(patterns.mappings(), ["m"]);
        assert_eq!(patterns.look(all, vec![one.clone()]), [], "it was named already");
        assert_eq!(patterns.look(all, Vec::new()), [News::Matches(one.clone())]);
        assert!(patterns.mappings().is_empty());
        assert_eq!(patterns.look(all, vec![one.clone()]), [News::Gone(one)]);
        // A reload brings another pattern, which has matched nothing yet.
        let all = std::slice::from_ref(&other);
        assert_eq!(patterns.look(all, vec![other.clone()]), [News::Never(other)]);
    }
}
