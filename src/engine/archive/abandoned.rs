//! What dead owners have left of partitions that no broker has any more: the topic was deleted, or
//! created again with fewer partitions. Nobody is assigned such a partition, so nobody recovers it;
//! whoever looks at the root finishes what was begun (rule 11).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::clients::store::{SMALL, Store, StoreError};
use crate::common::config::Config;
use crate::engine::archive::ledger::{LedgerError, LedgerStore};
use crate::engine::archive::listing::LedgerPath;
use crate::engine::topics::mapping_of;
use crate::pure::layout::names::{self, LEDGERS, MANIFEST, PartitionPaths, StagedName};
use crate::pure::protocol::adopt;
use crate::pure::protocol::{AttemptId, Entry, EntryKey};

/// A partition of which something is staged, and its ledger.
pub struct Abandoned {
    pub topic: String,
    pub partition: i32,
    pub ledger: LedgerStore,
}

/// What is staged of a partition behind the end of its ledger.
#[derive(Debug, Default)]
pub struct Left {
    /// Whole attempts that continue the ledger, in order: nothing but their appends is missing.
    pub sealed: Vec<Entry>,
    /// Other files. They are of attempts that nobody has sealed, or don't continue the ledger.
    pub other: Vec<String>,
}

/// How many partitions each topic has at the brokers.
#[derive(Debug, Default)]
pub struct Existing(BTreeMap<String, usize>);

impl Existing {
    #[must_use]
    pub fn of(topics: &[(String, usize)]) -> Existing {
        Existing(topics.iter().map(|(name, n)| (names::escape_segment(name), *n)).collect())
    }

    /// Of a topic as a path segment; none, if the brokers don't have it.
    #[must_use]
    pub fn partitions(&self, topic: &str) -> usize {
        self.0.get(topic).copied().unwrap_or(0)
    }
}

/// Everything under a root. What no mapping of this configuration names may be in another cluster.
///
/// # Errors
/// The store does not answer.
pub async fn under(
    store: &Arc<dyn Store>,
    config: &Config,
    existing: &Existing,
) -> Result<Vec<Abandoned>, LedgerError> {
    let mut all = Vec::new();
    for topic in topics(&**store).await? {
        all.extend(beyond(store, &topic, existing.partitions(&topic)).await?);
    }
    all.retain(|found| mapping_of(config, &found.topic).is_some());
    Ok(all)
}

/// The topics that have ledgers under a root, as path segments.
///
/// # Errors
/// The store does not answer.
pub async fn topics(store: &dyn Store) -> Result<Vec<String>, StoreError> {
    store.list(LEDGERS).await
}

/// The partitions of a topic with such a number or a higher one, of which something is staged.
/// `topic`: as a path segment.
///
/// # Errors
/// The store does not answer.
pub async fn beyond(
    store: &Arc<dyn Store>,
    topic: &str,
    partitions: usize,
) -> Result<Vec<Abandoned>, LedgerError> {
    let ledgers = names::ledgers_of(topic);
    let mut found = Vec::new();
    for incarnation in store.list(&ledgers).await? {
        for partition in store.list(&format!("{ledgers}/{incarnation}")).await? {
            let Ok(number) = partition.parse::<i32>() else { continue };
            if usize::try_from(number).is_ok_and(|number| number < partitions) {
                continue;
            }
            let (topic, incarnation) = (topic.to_string(), incarnation.clone());
            found.extend(of(store, LedgerPath { topic, incarnation, partition }).await?);
        }
    }
    Ok(found)
}

/// One partition, if something is staged of it. Its last entry has the topic's name.
async fn of(store: &Arc<dyn Store>, place: LedgerPath) -> Result<Option<Abandoned>, LedgerError> {
    let staging = names::staging_at(&place.topic, &place.incarnation, &place.partition);
    if store.list(&staging).await?.is_empty() {
        return Ok(None);
    }
    let names = store.list(&place.path()).await?;
    let Some(last) = names.iter().filter_map(|name| names::parse_entry(name)).max() else {
        return Ok(None);
    };
    let path = names::entry_in(&place.path(), last);
    let Some(text) = store.read_at_most(&path, SMALL).await? else { return Ok(None) };
    // A ledger of another group or version, or a damaged one, which verify names: its topic is not
    // known, and so nothing is done about it here.
    let Ok(entry) = Entry::decode(last, &text) else {
        tracing::debug!(path, "an entry that can't be read");
        return Ok(None);
    };
    let paths = PartitionPaths::new(&entry.topic, entry.incarnation, entry.partition);
    let ledger = LedgerStore::new(Arc::clone(store), paths);
    let is_at_its_place = ledger.paths.ledger() == place.path();
    let Entry { topic, partition, .. } = entry;
    Ok(is_at_its_place.then_some(Abandoned { topic, partition, ledger }))
}

impl Abandoned {
    /// Looks, and changes nothing.
    ///
    /// # Errors
    /// The store does not answer, or an entry can't be read.
    pub async fn left(&self) -> Result<Left, LedgerError> {
        let ledger = &self.ledger;
        let Some(tail) = ledger.tail(None).await? else { return Ok(Left::default()) };
        let all = ledger.all_sealed(&tail).await?;
        let (mut sealed, mut end) = (Vec::new(), tail.to);
        while let Some(next) = adopt::choose(all.clone(), end, None) {
            end = next.to;
            sealed.push(next);
        }
        let fits: BTreeSet<AttemptId> = sealed.iter().map(|entry| entry.attempt).collect();
        let staging = ledger.paths.staging();
        let other = ledger.store.list(&staging).await?.into_iter().filter(|name| {
            let Some(StagedName { key: EntryKey::At(at), id, file }) = names::parse_staged(name)
            else {
                return false;
            };
            // What is passed holds records that another attempt has.
            end <= at && file != Some(MANIFEST) && !fits.contains(&id)
        });
        let other = other.map(|name| format!("{staging}/{name}")).collect();
        Ok(Left { sealed, other })
    }

    /// Publishes what the ledger names, and appends what was sealed behind its end; what is left
    /// then.
    ///
    /// # Errors
    /// The store does not answer, or refuses the append again and again.
    pub async fn finish(&self) -> Result<Left, LedgerError> {
        let Some(tail) = self.ledger.tail(None).await? else { return Ok(Left::default()) };
        if !self.ledger.settle_all(Some(tail.head())).await?.is_empty() {
            let tail = self.ledger.adopt_behind(tail).await?;
            let _ = self.ledger.settle_all(Some(tail.head())).await?;
        }
        self.left().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::archive::examples;
    use crate::engine::archive::ledger::EntryTemplate;
    use crate::fakes::store::Memory;
    use crate::pure::protocol::EntryKind;
    use crate::pure::record::Offset;

    /// A root with ledgers of two partitions of a topic.
    struct Archive {
        memory: Memory,
        store: Arc<dyn Store>,
    }

    impl Archive {
        async fn begin() -> Archive {
            let memory = Memory::default();
            let store: Arc<dyn Store> = Arc::new(memory.clone());
            let archive = Archive { memory, store };
            for partition in [0, 1] {
                let genesis = archive.template(partition).entry(
                    EntryKind::Genesis,
                    (Offset(0), Offset(0)),
                    0,
                );
                assert!(archive.ledger(partition).put(&genesis).await.unwrap().is_some());
            }
            archive
        }

        fn template(&self, partition: i32) -> EntryTemplate {
            examples::template(&self.ledger(partition).paths, "a b", partition)
        }

        fn ledger(&self, partition: i32) -> LedgerStore {
            let paths = PartitionPaths::new("a b", 0, partition);
            LedgerStore::new(Arc::clone(&self.store), paths)
        }

        /// Writes the file of an attempt; and its manifest, if it is sealed.
        async fn stage(&self, partition: i32, from: i64, to: i64, is_sealed: bool) -> Entry {
            let ledger = self.ledger(partition);
            let entry = examples::data(&ledger.paths, &self.template(partition), from, to);
            examples::stage(&ledger, &entry).await;
            if is_sealed {
                ledger.write_manifest(&entry).await.unwrap();
            }
            entry
        }

        fn has(&self, entry: &Entry) -> bool {
            self.memory.lock().files.contains_key(&entry.files[0].path)
        }

        async fn found(&self, partitions: usize) -> Vec<Abandoned> {
            let config = Config::parse(
                "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\n\
                 root = \"file:///x\"\n[mapping.m]\ntopics_regex = \"a.*\"",
                Some("i"),
            );
            let existing = [("a b".to_string(), partitions), ("other".into(), 9)];
            under(&self.store, &config.unwrap(), &Existing::of(&existing)).await.unwrap()
        }
    }

    #[tokio::test]
    async fn what_was_sealed_of_a_partition_that_no_broker_has_is_appended_and_the_rest_is_named() {
        let archive = Archive::begin().await;
        let one = archive.stage(0, 0, 3, true).await;
        let two = archive.stage(0, 3, 5, true).await;
        let unsealed = archive.stage(0, 5, 9, false).await;
        let other = archive.stage(1, 0, 3, true).await;
        assert!(archive.found(2).await.is_empty(), "the brokers have both partitions");
        let all: Vec<i32> = archive.found(1).await.iter().map(|a| a.partition).collect();
        assert_eq!(all, [1], "the topic was made again with fewer partitions");
        for found in archive.found(0).await {
            assert_eq!(found.topic, "a b");
            let left = found.left().await.unwrap();
            assert_eq!(left.sealed.len(), if found.partition == 0 { 2 } else { 1 });
            assert!([&one, &two, &other].iter().all(|e| !archive.has(e) || e.partition == 0));
            let left = found.finish().await.unwrap();
            assert!(left.sealed.is_empty());
            assert_eq!(left.other.len(), usize::from(found.partition == 0), "{left:?}");
        }
        assert!([&one, &two, &other].iter().all(|entry| archive.has(entry)));
        assert!(!archive.has(&unsealed));
        let tail = archive.ledger(0).tail(None).await.unwrap().unwrap();
        assert_eq!(tail.to, Offset(5));
        let again = archive.found(0).await;
        assert_eq!(again.len(), 1, "partition 1 has nothing staged any more");
    }

    /// An owner has died between its append and the publishing.
    #[tokio::test]
    async fn what_the_ledger_names_is_published() {
        let archive = Archive::begin().await;
        let entry = archive.stage(1, 0, 3, true).await;
        let _ = archive.ledger(1).append(entry.key(), entry.attempt).await.unwrap();
        assert!(!archive.has(&entry));
        let left = archive.found(0).await[0].finish().await.unwrap();
        assert!(archive.has(&entry) && left.other.is_empty() && left.sealed.is_empty());
    }
}
