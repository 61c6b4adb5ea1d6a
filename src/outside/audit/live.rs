//! What a daemon of a configuration would meet at its start: brokers, topics and roots are tried
//! one after the other. Nothing that counts stays of it: no topic is made, no record is sent, and
//! the file that is written is deleted (the directory for staged files stays).

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::clients::kafka::rights::Operation;
use crate::clients::kafka::topics::{self, Admin, Topic};
use crate::clients::kafka::{Consumer, Transactions, consumer_config, producer_config};
use crate::clients::store::{self, Deadlines, refuse_mounts_below};
use crate::common::config::{Config, Root};
use crate::engine::archive::root::{FoundIdentity, find_identity, try_files};
use crate::engine::topics::internal::{self, Internal, Unfit};
use crate::engine::topics::{CURE_OF_AMBIGUOUS, TopicRole, cure_of_missing, mapping_of, select};
use crate::outside::audit::brokers::{Brokers, blocking};

/// How long the brokers have to answer a producer.
const PATIENCE: Duration = Duration::from_secs(15);

/// What came of one try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Good,
    /// The daemon would run, and this needs attention.
    Doubtful,
    /// The daemon, or one of its mappings, would not run.
    Wrong,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Good => "ok",
            Outcome::Doubtful => "warning",
            Outcome::Wrong => "WRONG",
        })
    }
}

/// One thing that was tried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tried {
    pub what: String,
    pub outcome: Outcome,
    /// What was found, or what is wrong and what to do.
    pub text: String,
}

/// Everything that was tried, in order.
#[derive(Default)]
struct Attempted(Vec<Tried>);

impl Attempted {
    fn add(&mut self, what: impl Into<String>, outcome: Outcome, text: impl Into<String>) {
        self.0.push(Tried { what: what.into(), outcome, text: text.into() });
    }

    /// Adds what a call found, or its error as wrong.
    fn of<T, E: fmt::Display>(&mut self, what: &str, done: Result<T, E>, good: &str) -> Option<T> {
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
}

/// Tries everything that a configuration names.
pub async fn try_all(config: &Config) -> Vec<Tried> {
    let mut report = Attempted::default();
    if let Some(consumer) = brokers(config, &mut report).await {
        topics_of(config, &consumer, &mut report).await;
        transactions(config, &mut report).await;
    }
    roots(config, &mut report).await;
    report.0
}

async fn brokers(config: &Config, report: &mut Attempted) -> Option<Arc<Consumer>> {
    let what = format!("brokers {}", config.kafka.bootstrap_servers);
    let met = Brokers::new(config, &[]).await;
    let met = report.of(&what, met, "they answer, and accept this client");
    met.map(|brokers| brokers.consumer)
}

async fn topics_of(config: &Config, consumer: &Arc<Consumer>, report: &mut Attempted) {
    let (asking, servers) = (Arc::clone(consumer), config.kafka.bootstrap_servers.clone());
    let existing = match blocking(move || topics::all(&asking, &servers)).await {
        Ok(existing) => existing,
        Err(error) => return report.add("topics", Outcome::Wrong, error.to_string()),
    };
    let selection = select(config, &existing, &BTreeSet::new());
    for topic in &selection.missing {
        let text = match refused(consumer, topic, Operation::Read).await {
            Some(lacks) => lacks,
            None => format!("the topic does not exist: {}", cure_of_missing(topic)),
        };
        report.add(format!("topic {topic}"), Outcome::Wrong, text);
    }
    for topic in &selection.ambiguous {
        let text = format!(
            "topics_regex of two mappings match this topic, so nobody would read it: \
             {CURE_OF_AMBIGUOUS}"
        );
        report.add(format!("topic {topic}"), Outcome::Wrong, text);
    }
    for (topic, partitions) in existing.iter().filter(|(t, _)| selection.wanted.contains(t)) {
        if let Some((mapping, TopicRole::Source)) = mapping_of(config, topic) {
            let text = format!("mapping.{} reads it; partitions: {partitions}", mapping.name);
            report.add(format!("topic {topic}"), Outcome::Good, text);
        }
    }
    written_topics(config, consumer, &existing, report).await;
}

/// The right that this client lacks, if a topic that is not listed is one that it may not see.
async fn refused(consumer: &Arc<Consumer>, topic: &str, operation: Operation) -> Option<String> {
    let (asking, topic) = (Arc::clone(consumer), topic.to_string());
    let lacks = move || {
        let refused = topics::is_refused(&asking, &topic)?;
        Ok(refused.then(|| topics::lacks(&asking, operation, &topic)))
    };
    blocking(lacks).await.ok().flatten()
}

/// The topics of counts: those that are there have to suit.
async fn written_topics(
    config: &Config,
    consumer: &Arc<Consumer>,
    existing: &[Topic],
    report: &mut Attempted,
) {
    let admin = match consumer_config(config).and_then(|settings| Admin::new(&settings)) {
        Ok(admin) => admin,
        Err(error) => return report.add("topics of counts", Outcome::Wrong, error.to_string()),
    };
    for mapping in &config.mappings {
        let Some(count) = mapping.count.as_deref() else { continue };
        for internal in internal::of(count) {
            let what = format!("topic {}", internal.topic);
            let name = &mapping.name;
            let there = existing.iter().find(|(topic, _)| topic == internal.topic);
            let Some((_, partitions)) = there else {
                match refused(consumer, internal.topic, Operation::Write).await {
                    Some(lacks) => report.add(what, Outcome::Wrong, lacks),
                    None => report.add(
                        what,
                        Outcome::Doubtful,
                        format!(
                            "mapping.{name} publishes to it, and it is not there: the daemon \
                             creates it, which needs the operation Create"
                        ),
                    ),
                }
                continue;
            };
            if let Some(why) = internal.other_partitions(*partitions, name) {
                report.add(what, Outcome::Wrong, why);
                continue;
            }
            let (outcome, text) = suits(&admin, &internal).await;
            let good = format!("mapping.{name} publishes to it; partitions: {partitions}");
            report.add(what, outcome, text.unwrap_or(good));
        }
    }
}

async fn suits(admin: &Admin, internal: &Internal<'_>) -> (Outcome, Option<String>) {
    let settings = match admin.settings(internal.topic).await {
        Ok(settings) => settings,
        Err(error) => {
            let text = format!(
                "its settings are not known and cannot be compared with what counts need: {error}"
            );
            return (Outcome::Doubtful, Some(text));
        }
    };
    let (mut outcome, mut texts) = (Outcome::Good, Vec::new());
    for found in internal.compare(&settings) {
        let (worse, text) = match found {
            Unfit::Loses(text) => (Outcome::Wrong, text),
            Unfit::May(text) => (Outcome::Doubtful, text),
        };
        outcome = if outcome == Outcome::Wrong { outcome } else { worse };
        texts.push(text);
    }
    (outcome, (!texts.is_empty()).then(|| texts.join("; ")))
}

/// A producer under a name that no worker has: its id and its timeout are accepted, or refused.
async fn transactions(config: &Config, report: &mut Attempted) {
    let id = format!("{}-check", config.kafka.group_id);
    let what = format!("transactional id {id}");
    let settings = producer_config(config, "check", 0);
    let tried = match settings {
        Ok(mut settings) => {
            let _ = settings.set("transactional.id", &id);
            let ready = move || {
                let mut transactions = Transactions::new(move || Ok(settings.clone()), PATIENCE);
                transactions.ready().map(|_| ()).map_err(|e| e.to_string())
            };
            let done = tokio::task::spawn_blocking(ready).await;
            done.unwrap_or_else(|e| Err(e.to_string()))
        }
        Err(error) => Err(error.to_string()),
    };
    let good = "a producer of this prefix, and its transaction.timeout.ms, are accepted";
    let _ = report.of(&what, tried, good);
}

async fn roots(config: &Config, report: &mut Attempted) {
    let mut seen = BTreeSet::new();
    for mapping in &config.mappings {
        for archive in mapping.archives() {
            if seen.insert(archive.root.url()) {
                root(&archive.root, report).await;
            }
        }
    }
}

async fn root(root: &Root, report: &mut Attempted) {
    let what = format!("root {}", root.url());
    if let Root::Local { directory } = root
        && let Err(why) = refuse_mounts_below(Path::new(directory))
    {
        return report.add(what, Outcome::Wrong, why);
    }
    let store = match store::open(root, Deadlines::default()) {
        Ok(store) => store,
        Err(error) => return report.add(what, Outcome::Wrong, error.to_string()),
    };
    let identity = match find_identity(&*store).await {
        Ok(FoundIdentity::Is(id)) => format!("its id is {id}"),
        Ok(FoundIdentity::Missing) => "it has no id yet".into(),
        Ok(FoundIdentity::Unreadable(why)) => return report.add(what, Outcome::Wrong, why),
        Err(error) => return report.add(what, Outcome::Wrong, error.to_string()),
    };
    let good = format!("a file was created, renamed and deleted; {identity}");
    let _ = report.of(&what, try_files(&*store).await, &good);
}
