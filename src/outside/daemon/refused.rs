//! Topics that the brokers do not let this client see: for a list of all topics, such a topic is
//! as one that does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::clients::kafka::rights::Operation;
use crate::clients::kafka::topics::Sight;
use crate::clients::kafka::{Consumer, topics};
use crate::common::config::Config;
use crate::common::health::{Board, Subject};
use crate::engine::topics::{Selection, TopicRole, mapping_of};
use crate::outside::daemon::health::now_ms;

/// The topics that are refused, each with the rights that are missing, in words.
pub(super) type RefusedTopics = BTreeMap<String, String>;

/// Topics that a list of all topics does not have.
#[derive(Default)]
pub(super) struct Unlisted {
    pub(super) refused: RefusedTopics,
    /// They are there now: they were created, or a right was given, after the list was made.
    there: BTreeSet<String>,
}

/// Asks for each of these topics by its name. A topic for which nobody answers is taken to be as
/// the list says.
pub(super) async fn among(
    config: &Arc<Config>,
    consumer: &Arc<Consumer>,
    names: Vec<String>,
) -> Unlisted {
    let (config, consumer) = (Arc::clone(config), Arc::clone(consumer));
    let ask = move || {
        let mut found = Unlisted::default();
        for topic in names {
            match topics::sight(&consumer, &topic) {
                Ok(Sight::Refused) => {
                    let operation = |o: &Operation| topics::lacks(&consumer, *o, &topic);
                    let all: Vec<String> = needed(&config, &topic).iter().map(operation).collect();
                    let _ = found.refused.insert(topic, all.join("; "));
                }
                Ok(Sight::There(_)) => drop(found.there.insert(topic)),
                Ok(Sight::Absent) | Err(_) => {}
            }
        }
        found
    };
    tokio::task::spawn_blocking(ask).await.unwrap_or_else(|error| {
        tracing::error!(
            code = "AL901", %error,
            "the job that asks which topics are refused has panicked"
        );
        Unlisted::default()
    })
}

/// The operations that the daemon needs on a topic that exists.
fn needed(config: &Config, topic: &str) -> &'static [Operation] {
    match mapping_of(config, topic) {
        Some((_, TopicRole::Partials)) => &[Operation::Write, Operation::Read],
        Some((mapping, TopicRole::Output)) => {
            let archives = mapping.count.as_ref().is_some_and(|count| count.archive.is_some());
            if archives { &[Operation::Write, Operation::Read] } else { &[Operation::Write] }
        }
        Some((_, TopicRole::Source)) | None => &[Operation::Read],
    }
}

/// Takes the topics that are refused, and those that are there after all, out of those that do not
/// exist; the refused ones are reported. The next look at the topics reads the others.
pub(super) async fn told_apart(
    config: &Arc<Config>,
    consumer: &Arc<Consumer>,
    board: &Board,
    selection: &mut Selection<'_>,
) {
    let unseen = [&selection.missing, &selection.absent_outputs, &selection.absent_partials];
    let names: BTreeSet<String> = unseen.into_iter().flatten().cloned().collect();
    let unlisted = among(config, consumer, names.into_iter().collect()).await;
    unlisted.take_out_of(selection);
    report(config, board, &unlisted.refused, &selection.wanted);
}

impl Unlisted {
    fn take_out_of(&self, selection: &mut Selection<'_>) {
        let absent = |t: &String| !self.refused.contains_key(t) && !self.there.contains(t);
        selection.missing.retain(absent);
        selection.absent_outputs.retain(absent);
        selection.absent_partials.retain(absent);
    }
}

/// Reports the topics that are refused, and those that are not any more.
fn report(config: &Config, board: &Board, refused: &RefusedTopics, seen: &[String]) {
    let subject = |topic: &str| {
        let (mapping, role) = mapping_of(config, topic)?;
        let name = mapping.name.clone();
        Some(match role {
            TopicRole::Source => Subject::MayRead(name),
            TopicRole::Partials | TopicRole::Output => Subject::MayWrite(name),
        })
    };
    let who = |topic: &str| format!("topic {topic}");
    for (topic, lacks) in refused {
        if let Some(subject) = subject(topic) {
            let _ = board.failed(&subject, &who(topic), lacks, now_ms());
        }
    }
    let outputs = config.mappings.iter().filter_map(|m| m.count.as_ref());
    let outputs = outputs.map(|count| &count.output_topic);
    for topic in seen.iter().chain(outputs).filter(|topic| !refused.contains_key(*topic)) {
        if let Some(subject) = subject(topic) {
            board.worked(&subject, &who(topic), now_ms());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outside::daemon::examples::counting;

    /// A right is given, or a topic is created, between the list of all topics and the question.
    #[test]
    fn a_topic_that_is_there_after_all_is_not_said_to_be_missing() {
        let names = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        let mut selection = Selection {
            missing: names(&["gone", "late", "secret"]),
            absent_outputs: names(&["o", "late-o"]),
            absent_partials: names(&["p", "late-p"]),
            ..Selection::default()
        };
        let unlisted = Unlisted {
            refused: [("secret".to_string(), "lacks".to_string())].into(),
            there: ["late", "late-o", "late-p"].map(String::from).into(),
        };
        unlisted.take_out_of(&mut selection);
        let left = [selection.missing, selection.absent_outputs, selection.absent_partials];
        assert_eq!(left, [names(&["gone"]), names(&["o"]), names(&["p"])]);
    }

    #[test]
    fn a_refused_topic_is_told_until_it_is_seen_again() {
        let config = counting();
        let board = Board::default();
        let refused = |topics: &[&str]| -> RefusedTopics {
            topics.iter().map(|t| (t.to_string(), format!("lacks {t}"))).collect()
        };
        let (read, write) = (Subject::MayRead("m".into()), Subject::MayWrite("m".into()));
        report(&config, &board, &refused(&["t", "o"]), &[]);
        assert_eq!(board.outage(&read).unwrap().cause, "lacks t");
        assert_eq!(board.outage(&write).unwrap().cause, "lacks o");
        report(&config, &board, &refused(&["t"]), &[]);
        assert!(board.outage(&write).is_none() && board.outage(&read).is_some());
        report(&config, &board, &refused(&[]), &["t".into()]);
        assert!(board.outage(&read).is_none());
        assert_eq!(needed(&config, "t"), [Operation::Read]);
        let of_output = [Operation::Write, Operation::Read];
        assert_eq!(needed(&config, "o"), of_output, "counts are archived, too");
        assert_eq!(needed(&config, "g-m-partials"), [Operation::Write, Operation::Read]);
    }
}
