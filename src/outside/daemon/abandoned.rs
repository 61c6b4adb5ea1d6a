//! Partitions that no broker has any more, and of which a dead owner has left something: what it
//! had sealed is appended, and the rest is named.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clients::kafka::{Consumer, topics};
use crate::clients::store::{Store, StoreError};
use crate::common::clock::Now;
use crate::common::config::Config;
use crate::engine::archive::abandoned::{self, Abandoned, Existing, Left};
use crate::engine::archive::root::is_of_one_ledger;
use crate::outside::daemon::active::ActiveConfig;

/// A topic is gone when it is absent in two looks that follow each other: a broker that has just
/// started may not know all topics yet.
const APPEND: u8 = 2;
/// An owner that is told of the end of its topic completes its files; what is still there two looks
/// later, nobody completes.
const TELL: u8 = 4;
/// Another daemon may seal an attempt of a topic that is gone, and die, at any later time.
const PAUSE: Duration = Duration::from_mins(10);
/// A look at a topic costs a few calls of the store for each of its partitions: so many topics of a
/// root are looked at again in one round, those first that have waited longest.
const AGAIN: usize = 16;

/// How often a topic was looked for while it had so many partitions, and when last.
#[derive(Clone, Copy, Default)]
struct Look {
    partitions: usize,
    times: u8,
    last: Duration,
    /// It was looked at [`TELL`] times, and is looked at again from time to time.
    is_old: bool,
}

/// What there is to do about a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Due {
    Append,
    /// Append, and say what is left then.
    Tell,
}

/// By root, and topic as a path segment.
#[derive(Default)]
struct Looks {
    topics: BTreeMap<(String, String), Look>,
    /// What people were told of: a partition with what is wrong with it.
    told: BTreeSet<String>,
    /// By partition, the files without a manifest that the look before has seen.
    seen: BTreeMap<String, BTreeSet<String>>,
    /// Topics that are looked at again in this round.
    again: usize,
}

impl Looks {
    /// Begins to look at a root, whose topics these are; they come in the order of their last
    /// looks.
    fn begin_round(&mut self, root: &str, topics: &mut [String]) {
        self.again = 0;
        let last = |topic: &String| {
            self.topics.get(&(root.into(), topic.clone())).map_or(Duration::ZERO, |look| look.last)
        };
        topics.sort_by_cached_key(last);
    }

    /// Notes a look at a topic at this moment; what there is to do, if anything.
    fn next(&mut self, root: &str, topic: &str, partitions: usize, now: Duration) -> Option<Due> {
        let look = self.topics.entry((root.into(), topic.into())).or_default();
        if look.partitions != partitions {
            *look = Look { partitions, ..Look::default() };
        }
        if look.times == TELL {
            let is_due = look.last.saturating_add(PAUSE) <= now && self.again < AGAIN;
            if !is_due {
                return None;
            }
            self.again = self.again.saturating_add(1);
            look.is_old = true;
        } else {
            look.times = look.times.saturating_add(1);
        }
        look.last = now;
        match look.times {
            APPEND => Some(Due::Append),
            TELL => Some(Due::Tell),
            _ => None,
        }
    }

    /// Whether this was not told of yet.
    fn is_new(&mut self, place: &str, what: impl fmt::Display) -> bool {
        self.told.insert(format!("{place}: {what}"))
    }

    /// The topic could not be looked at: it is looked at in the next round, or, if it was looked at
    /// often, after a pause.
    fn again(&mut self, root: &str, topic: &str) {
        let look = self.topics.get_mut(&(root.into(), topic.into()));
        if let Some(look) = look.filter(|look| !look.is_old) {
            look.times = look.times.saturating_sub(1);
        }
    }
}

/// Looks at all roots every `topics_refresh`; at each topic a few times, and then every
/// [`PAUSE`].
pub(super) async fn watch(in_force: watch::Receiver<Arc<ActiveConfig>>, consumer: Arc<Consumer>) {
    let mut looks = Looks::default();
    loop {
        let active = Arc::clone(&in_force.borrow());
        let (asking, servers) =
            (Arc::clone(&consumer), active.config.kafka.bootstrap_servers.clone());
        let asked = tokio::task::spawn_blocking(move || topics::all(&asking, &servers)).await;
        if let Ok(Ok(existing)) = asked {
            let existing = Existing::of(&existing);
            for (root, (store, _)) in &active.stores {
                let of = (root.as_str(), store);
                let lacks = |topic: String, partition| {
                    let consumer = Arc::clone(&consumer);
                    async move {
                        let ask = move || topics::sight(&consumer, &topic);
                        let asked = tokio::task::spawn_blocking(ask).await;
                        matches!(asked, Ok(Ok(sight)) if sight.lacks(partition))
                    }
                };
                let now = Now::read().moment();
                let looked = look(&mut looks, of, &active.config, (&existing, now), lacks).await;
                if let Err(error) = looked {
                    tracing::debug!(root, %error, "looking for what dead owners have left");
                }
            }
        }
        tokio::time::sleep(active.config.daemon.topics_refresh).await;
    }
}

/// Looks at one root, at this moment. `lacks`: whether the brokers certainly do not have a
/// partition of a topic. What is wrong with one partition keeps no other one waiting.
async fn look<F: Future<Output = bool>>(
    looks: &mut Looks,
    (root, store): (&str, &Arc<dyn Store>),
    config: &Config,
    (existing, now): (&Existing, Duration),
    lacks: impl Fn(String, i32) -> F,
) -> Result<(), StoreError> {
    let mut topics: Vec<String> = abandoned::topics(&**store).await?.into_iter().collect();
    looks.begin_round(root, &mut topics);
    for topic in topics {
        let partitions = existing.partitions(&topic);
        let Some(due) = looks.next(root, &topic, partitions, now) else { continue };
        let all = match abandoned::beyond(store, &topic, partitions, &|_, _| true).await {
            Ok(all) => all,
            Err(error) => {
                tracing::debug!(root, topic, %error, "looking for what dead owners have left");
                looks.again(root, &topic);
                continue;
            }
        };
        let mut is_known = true;
        for found in all {
            let Some(found) = found.of_mapping(config) else { continue };
            if lacks(found.topic.clone(), found.partition).await {
                match found.finish().await {
                    Ok(left) => tell(looks, root, &found, &left, due),
                    Err(error) if is_of_one_ledger(&**store, &error).await => {
                        let left = Left { damages: vec![error], ..Left::default() };
                        tell(looks, root, &found, &left, due);
                    }
                    // A store that does not answer is told of by its root.
                    Err(error) => {
                        let Abandoned { topic, partition, .. } = &found;
                        tracing::debug!(root, topic, partition, %error, "appending for the dead");
                        is_known = false;
                    }
                }
            }
        }
        if !is_known {
            looks.again(root, &topic);
        }
    }
    Ok(())
}

/// Says once what a person has to look at. Files are told of that the look before has seen, too: an
/// owner that comes back may still complete its files.
fn tell(looks: &mut Looks, root: &str, found: &Abandoned, left: &Left, due: Due) {
    let Abandoned { topic, partition, .. } = found;
    let place = format!("{root} {topic}-{partition}");
    for error in left.damages.iter().filter(|error| looks.is_new(&place, error)) {
        tracing::warn!(
            code = "AL210",
            root, topic, partition, %error,
            "the brokers do not have this partition any more, and not all that its last owner has \
             left could be looked at: alluvium verify says what is damaged. What can be read is \
             appended"
        );
    }
    let now: BTreeSet<String> = left.other.iter().cloned().collect();
    let before = looks.seen.insert(place.clone(), now.clone()).unwrap_or_default();
    let files: Vec<&str> = now.intersection(&before).map(String::as_str).collect();
    let files = files.join(", ");
    if due == Due::Tell && !files.is_empty() && looks.is_new(&place, &files) {
        tracing::warn!(
            code = "AL211",
            topic,
            partition,
            files,
            "the brokers do not have this partition any more, and its last owner has left files \
             that it did not seal: what they have is in no log and in no ledger. alluvium repair \
             {topic} {partition} lists them; nobody deletes them"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::archive::samples::Samples;
    use crate::pure::protocol::EntryKey;

    const NEVER: Duration = Duration::ZERO;

    #[test]
    fn a_topic_is_looked_for_a_few_times_and_anew_when_it_has_another_number_of_partitions() {
        let mut looks = Looks::default();
        let mut next = |partitions| looks.next("r", "t", partitions, NEVER);
        let (append, tell) = (Some(Due::Append), Some(Due::Tell));
        assert_eq!([0, 0, 0, 0, 0, 0].map(&mut next), [None, append, None, tell, None, None]);
        assert_eq!([3, 0, 0].map(&mut next), [None, None, append], "it was there meanwhile");
        looks.again("r", "t");
        assert_eq!(looks.next("r", "t", 0, NEVER), append, "the store did not answer");
        assert_eq!(looks.next("r", "u", 0, NEVER), None);
    }

    /// For ever, at a bounded cost.
    #[test]
    fn after_the_first_looks_a_topic_is_looked_at_every_ten_minutes() {
        let mut looks = Looks::default();
        let topics: Vec<String> = (0..AGAIN + 4).map(|i| format!("t{i}")).collect();
        let mut round = |second: u64| {
            let mut topics = topics.clone();
            looks.begin_round("r", &mut topics);
            let now = Duration::from_secs(second);
            topics.iter().filter(|t| looks.next("r", t, 0, now) == Some(Due::Tell)).count()
        };
        assert_eq!([0, 30, 60, 90].map(&mut round), [0, 0, 0, topics.len()]);
        assert_eq!([120, 400, 689].map(&mut round), [0, 0, 0]);
        assert_eq!([690, 720, 750].map(&mut round), [AGAIN, 4, 0], "not all in one round");
        assert_eq!([1_290, 1_320].map(&mut round), [AGAIN, 4]);
        assert_eq!([999_990, 1_000_020].map(&mut round), [AGAIN, 4]);
    }

    /// More than the rounds of one pause have places for.
    #[test]
    fn each_of_very_many_topics_is_looked_at_again() {
        let mut looks = Looks::default();
        let all: Vec<String> = (0..40 * AGAIN).map(|i| format!("t{i}")).collect();
        let mut seen = BTreeSet::new();
        for round in 0..100 {
            let (mut topics, now) = (all.clone(), Duration::from_secs(30 * round));
            looks.begin_round("r", &mut topics);
            let due = topics.into_iter().filter(|t| looks.next("r", t, 0, now).is_some());
            let due: Vec<String> = due.collect();
            if 4 <= round {
                assert!(due.len() <= AGAIN);
                seen.extend(due);
            }
        }
        assert_eq!(seen.len(), all.len());
    }

    /// What was sealed after the first looks is appended, and what is damaged is told of once and
    /// keeps nothing else waiting.
    #[tokio::test]
    async fn what_is_sealed_later_is_appended_later() {
        let samples = Samples::begin(&[0, 1]).await;
        let config = Config::parse(
            "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\n\
             root = \"file:///x\"\n[mapping.m]\ntopics_regex = \"a.*\"",
            Some("i"),
        );
        let config = config.unwrap();
        let mut looks = Looks::default();
        let mut entries = Vec::new();
        for (round, second) in [0, 30, 60, 90, 120, 690, 720, 1_290].into_iter().enumerate() {
            if [5, 7].contains(&round) {
                let from = i64::try_from(entries.len()).unwrap() * 3;
                entries.push(samples.stage(1, from, from + 3, true).await);
            }
            if round == 7 {
                let _ = samples.stage(0, 0, 3, true).await;
                samples.spoil(0, EntryKey::Genesis);
            }
            let of = ("r", &samples.store);
            let now = Duration::from_secs(second);
            let existing = Existing::default();
            look(&mut looks, of, &config, (&existing, now), async |_, _| true).await.unwrap();
        }
        assert_eq!(entries.len(), 2);
        assert!(entries.iter().all(|entry| samples.has(entry)));
    }
}
