//! Partitions that no broker has any more, and of which a dead owner has left something: what it
//! had sealed is appended, and the rest is named.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;

use crate::clients::kafka::{Consumer, topics};
use crate::clients::store::Store;
use crate::common::config::Config;
use crate::engine::archive::abandoned::{self, Abandoned, Existing};
use crate::engine::archive::ledger::LedgerError;
use crate::engine::topics::mapping_of;
use crate::outside::daemon::active::ActiveConfig;

/// A topic is gone when it is absent in two looks that follow each other: a broker that has just
/// started may not know all topics yet.
const APPEND: u8 = 2;
/// An owner that is told of the end of its topic completes its files; what is still there two looks
/// later, nobody completes.
const TELL: u8 = 4;

/// How often a topic was looked for while it had so many partitions.
#[derive(Clone, Copy, Default)]
struct Look {
    partitions: usize,
    times: u8,
}

/// By root, and topic as a path segment.
#[derive(Default)]
struct Looks(BTreeMap<(String, String), Look>, BTreeSet<(String, String)>);

impl Looks {
    /// Notes a look at a topic; what there is to do, if anything.
    fn next(&mut self, root: &str, topic: &str, partitions: usize) -> Option<u8> {
        let look = self.0.entry((root.into(), topic.into())).or_default();
        if look.partitions != partitions {
            *look = Look { partitions, times: 0 };
        }
        if look.times == TELL {
            return None;
        }
        look.times = look.times.saturating_add(1);
        [APPEND, TELL].contains(&look.times).then_some(look.times)
    }

    /// Whether this fault of a ledger was not told yet. A store that does not answer is told of by
    /// its root.
    fn is_new(&mut self, root: &str, topic: &str, error: &LedgerError) -> bool {
        !matches!(error, LedgerError::Store(_)) && self.1.insert((root.into(), topic.into()))
    }

    /// The topic could not be looked at.
    fn again(&mut self, root: &str, topic: &str) {
        if let Some(look) = self.0.get_mut(&(root.into(), topic.into())) {
            look.times = look.times.saturating_sub(1);
        }
    }
}

/// Looks at all roots every `topics_refresh`; at each topic only a few times.
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
                if let Err(error) = look(&mut looks, of, &active.config, &existing, lacks).await {
                    tracing::debug!(root, %error, "looking for what dead owners have left");
                }
            }
        }
        tokio::time::sleep(active.config.daemon.topics_refresh).await;
    }
}

/// Looks at one root. `lacks`: whether the brokers certainly do not have a partition of a topic.
/// What is wrong with one topic keeps no other one waiting.
async fn look<F: Future<Output = bool>>(
    looks: &mut Looks,
    (root, store): (&str, &Arc<dyn Store>),
    config: &Config,
    existing: &Existing,
    lacks: impl Fn(String, i32) -> F,
) -> Result<(), LedgerError> {
    for topic in abandoned::topics(&**store).await? {
        let partitions = existing.partitions(&topic);
        let Some(what) = looks.next(root, &topic, partitions) else { continue };
        let done = async {
            for found in abandoned::beyond(store, &topic, partitions).await? {
                let is_mine = mapping_of(config, &found.topic).is_some();
                if is_mine && lacks(found.topic.clone(), found.partition).await {
                    finish(&found, what == TELL).await?;
                }
            }
            Ok(())
        };
        if let Err(error) = done.await {
            looks.again(root, &topic);
            if looks.is_new(root, &topic, &error) {
                tracing::warn!(
                    root, topic, %error,
                    "what a dead owner has left of this topic could not be looked at; that is \
                     tried again, and alluvium verify says more"
                );
            }
        }
    }
    Ok(())
}

async fn finish(found: &Abandoned, tell: bool) -> Result<(), LedgerError> {
    let left = found.finish().await?;
    if tell && !left.other.is_empty() {
        let Abandoned { topic, partition, .. } = found;
        tracing::warn!(
            topic,
            partition,
            files = left.other.join(", "),
            "the brokers do not have this partition any more, and its last owner has left files \
             that it did not seal: what they have is in no log and in no ledger. alluvium repair \
             {topic} {partition} lists them; nobody deletes them"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_looked_for_a_few_times_and_anew_when_it_has_another_number_of_partitions() {
        let mut looks = Looks::default();
        let mut next = |partitions| looks.next("r", "t", partitions);
        assert_eq!([0, 0, 0, 0, 0, 0].map(&mut next), [None, Some(2), None, Some(4), None, None]);
        assert_eq!([3, 0, 0].map(&mut next), [None, None, Some(2)], "it was there meanwhile");
        looks.again("r", "t");
        assert_eq!(looks.next("r", "t", 0), Some(2), "the store did not answer");
        assert_eq!(looks.next("r", "u", 0), None);
    }
}
