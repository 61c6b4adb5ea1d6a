//! What dead owners have left of partitions that no broker has any more: the topic was deleted, or
//! created again with fewer partitions. Nobody is assigned such a partition, so nobody recovers it;
//! whoever looks at the root finishes what was begun (rule 11).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::clients::store::{ErrorKind, SMALL, Store, StoreError};
use crate::common::config::Config;
use crate::engine::archive::ledger::{LedgerError, LedgerStore};
use crate::engine::archive::listing::LedgerPath;
use crate::engine::archive::root::is_of_one_file;
use crate::engine::topics::{files_of, mapping_of};
use crate::pure::formats::entry::EntryError;
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
    /// What can't be read, or lies in the way of a file: a person has to look.
    pub damages: Vec<LedgerError>,
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

/// Which partitions are looked for, by the topic as a path segment.
pub type Wanted<'a> = &'a (dyn Fn(&str, i32) -> bool + Sync);

/// Everything under a root that is wanted. What no mapping of this configuration names may be in
/// another cluster.
///
/// # Errors
/// The store does not answer.
pub async fn under(
    store: &Arc<dyn Store>,
    config: &Config,
    existing: &Existing,
    wanted: Wanted<'_>,
) -> Result<Vec<Abandoned>, StoreError> {
    let mut all = Vec::new();
    for topic in topics(&**store).await? {
        let found = beyond(store, &topic, existing.partitions(&topic), wanted).await?;
        all.extend(found.into_iter().filter_map(|found| found.of_mapping(config)));
    }
    Ok(all)
}

/// The topics that have ledgers under a root, as path segments.
///
/// # Errors
/// The store does not answer.
pub async fn topics(store: &dyn Store) -> Result<Vec<String>, StoreError> {
    list(store, LEDGERS).await
}

/// The names in a directory; none if this one alone can't be listed, which `verify` and `repair`
/// name.
async fn list(store: &dyn Store, path: &str) -> Result<Vec<String>, StoreError> {
    match store.list(path).await {
        Err(error) if is_of_one_file(store, &error).await => {
            tracing::debug!(path, %error, "a directory that can't be listed");
            Ok(Vec::new())
        }
        listed => listed,
    }
}

/// The wanted partitions of a topic with such a number or a higher one, of which something is
/// staged. `topic`: as a path segment.
///
/// # Errors
/// The store does not answer.
pub async fn beyond(
    store: &Arc<dyn Store>,
    topic: &str,
    partitions: usize,
    wanted: Wanted<'_>,
) -> Result<Vec<Abandoned>, StoreError> {
    let ledgers = names::ledgers_of(topic);
    let mut found = Vec::new();
    for incarnation in list(&**store, &ledgers).await? {
        for partition in list(&**store, &format!("{ledgers}/{incarnation}")).await? {
            let Ok(number) = partition.parse::<i32>() else { continue };
            let is_there = usize::try_from(number).is_ok_and(|number| number < partitions);
            if is_there || !wanted(topic, number) {
                continue;
            }
            let (topic, incarnation) = (topic.to_string(), incarnation.clone());
            found.extend(of(store, LedgerPath { topic, incarnation, partition }).await?);
        }
    }
    Ok(found)
}

/// One partition, if something is staged of it. Its newest entry that can be read, and is at its
/// place, has the topic's name.
async fn of(store: &Arc<dyn Store>, place: LedgerPath) -> Result<Option<Abandoned>, StoreError> {
    let staging = names::staging_at(&place.topic, &place.incarnation, &place.partition);
    match store.list(&staging).await {
        Ok(names) if names.is_empty() => return Ok(None),
        // Whoever looks at what is staged names it.
        Err(e) if !is_of_one_file(&**store, &e).await => return Err(e),
        _ => {}
    }
    let names = list(&**store, &place.path()).await?;
    let mut keys: Vec<EntryKey> = names.iter().filter_map(|n| names::parse_entry(n)).collect();
    keys.sort_unstable();
    for key in keys.into_iter().rev() {
        let path = names::entry_in(&place.path(), key);
        let text = match store.read_at_most(&path, SMALL).await {
            Err(e) if e.kind == ErrorKind::TooLarge || is_of_one_file(&**store, &e).await => {
                continue;
            }
            read => read?,
        };
        let Some(Ok(entry)) = text.map(|text| Entry::decode(key, &text)) else { continue };
        let paths = PartitionPaths::new(&entry.topic, entry.incarnation, entry.partition);
        let ledger = LedgerStore::new(Arc::clone(store), paths);
        if ledger.paths.ledger() == place.path() {
            let Entry { topic, partition, .. } = entry;
            return Ok(Some(Abandoned { topic, partition, ledger }));
        }
    }
    // A ledger of another group or version, or one of which nothing can be read, which verify
    // names: its topic is not known, and so nothing is done about it here.
    tracing::debug!(path = place.path(), "a ledger that can't be read");
    Ok(None)
}

/// The ledger that has this entry, with what the topic's mapping says of files below this root.
#[must_use]
pub fn ledger_of(store: &Arc<dyn Store>, config: &Config, entry: &Entry) -> LedgerStore {
    let paths = PartitionPaths::new(&entry.topic, entry.incarnation, entry.partition);
    let files = files_of(config, store.url(), &entry.topic);
    LedgerStore { files, ..LedgerStore::new(Arc::clone(store), paths) }
}

impl Abandoned {
    /// With what the topic's mapping says of its files; [`None`] without a mapping.
    #[must_use]
    pub fn of_mapping(mut self, config: &Config) -> Option<Abandoned> {
        let _ = mapping_of(config, &self.topic)?;
        self.ledger.files = files_of(config, self.ledger.store.url(), &self.topic);
        Some(self)
    }

    /// Looks, and changes nothing.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn left(&self) -> Result<Left, LedgerError> {
        let ledger = &self.ledger;
        let tail = match self.tail().await {
            Ok(Some(tail)) => tail,
            Ok(None) => return Ok(Left::default()),
            Err(e) if e.is_damage() => return Ok(Left { damages: vec![e], ..Left::default() }),
            Err(e) => return Err(e),
        };
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
        Ok(Left { sealed, other, damages: Vec::new() })
    }

    /// Publishes what the ledger names, and appends what was sealed behind its end; what is left
    /// then. What is damaged keeps nothing else waiting.
    ///
    /// # Errors
    /// The store does not answer, or refuses the append again and again.
    pub async fn finish(&self) -> Result<Left, LedgerError> {
        let mut tail = match self.tail().await {
            Ok(Some(tail)) => tail,
            Ok(None) => return Ok(Left::default()),
            Err(e) if e.is_damage() => return Ok(Left { damages: vec![e], ..Left::default() }),
            Err(e) => return Err(e),
        };
        let mut settled = self.ledger.settle_each(Some(tail.head())).await?;
        if !settled.left.is_empty() {
            // An append stands even if its files can't be published: the next one follows it.
            while let Err(e) = self.ledger.adopt_behind(tail.clone()).await {
                let newer = self.ledger.tail(Some(tail.key())).await;
                match newer {
                    Ok(Some(newer)) if e.is_damage() && tail.to < newer.to => tail = newer,
                    _ if e.is_damage() => break,
                    _ => return Err(e),
                }
            }
            if let Some(newer) = self.tail().await? {
                tail = newer;
            }
            settled = self.ledger.settle_each(Some(tail.head())).await?;
        }
        let mut left = self.left().await?;
        left.damages.append(&mut settled.damages);
        Ok(left)
    }

    /// The ledger's last entry, if it is of this partition.
    async fn tail(&self) -> Result<Option<Entry>, LedgerError> {
        let paths = &self.ledger.paths;
        let is_mine = |entry: &Entry| {
            let named = PartitionPaths::new(&entry.topic, entry.incarnation, entry.partition);
            named.ledger() == paths.ledger()
        };
        match self.ledger.tail(None).await? {
            Some(entry) if !is_mine(&entry) => Err(LedgerError::Entry {
                path: paths.entry(entry.key()),
                error: EntryError::Malformed("it is an entry of another partition".into()),
            }),
            tail => Ok(tail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::{FileProperties, Root};
    use crate::engine::archive::samples::Samples;
    use crate::pure::record::Offset;

    async fn found(samples: &Samples, partitions: usize) -> Vec<Abandoned> {
        let config = Config::parse(
            "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\n\
             root = \"file:///x\"\n[mapping.m]\ntopics_regex = \"a.*\"",
            Some("i"),
        );
        let existing = Existing::of(&[("a b".to_string(), partitions), ("other".into(), 9)]);
        under(&samples.store, &config.unwrap(), &existing, &|_, _| true).await.unwrap()
    }

    #[tokio::test]
    async fn what_was_sealed_of_a_partition_that_no_broker_has_is_appended_and_the_rest_is_named() {
        let archive = Samples::begin(&[0, 1]).await;
        let one = archive.stage(0, 0, 3, true).await;
        let two = archive.stage(0, 3, 5, true).await;
        let unsealed = archive.stage(0, 5, 9, false).await;
        let other = archive.stage(1, 0, 3, true).await;
        assert!(found(&archive, 2).await.is_empty(), "the brokers have both partitions");
        let all: Vec<i32> = found(&archive, 1).await.iter().map(|a| a.partition).collect();
        assert_eq!(all, [1], "the topic was made again with fewer partitions");
        for found in found(&archive, 0).await {
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
        let again = found(&archive, 0).await;
        assert_eq!(again.len(), 1, "partition 1 has nothing staged any more");
    }

    #[tokio::test]
    async fn what_is_published_for_the_dead_gets_the_directories_of_its_mapping() {
        let samples = Samples::begin(&[1]).await;
        let entry = samples.stage(1, 0, 3, true).await;
        let directory = entry.files[0].path.rsplit_once('/').unwrap().0.to_string();
        let files = FileProperties { group: Some("analysts".into()), ..FileProperties::default() };
        let text = "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\n\
                    root = \"hdfs://n:1/x\"\ngroup = \"analysts\"\n[mapping.m]\n\
                    topics_regex = \"a.b\"";
        let mut config = Config::parse(text, Some("i")).unwrap();
        let url = config.mappings[0].archive.as_ref().unwrap().root.url();
        assert_eq!(files_of(&config, &url, "a b"), files);
        assert_eq!(files_of(&config, "hdfs://n:1/other", "a b"), FileProperties::default());
        let archive = Arc::make_mut(config.mappings[0].archive.as_mut().unwrap());
        archive.root = Root::Hdfs { url: samples.store.url().into(), options: Default::default() };
        let all = under(&samples.store, &config, &Existing::default(), &|_, _| true).await.unwrap();
        let _ = all[0].finish().await.unwrap();
        assert!(samples.has(&entry));
        assert_eq!(samples.memory.lock().properties[&directory], files);
    }

    /// An owner has died between its append and the publishing.
    #[tokio::test]
    async fn what_the_ledger_names_is_published() {
        let archive = Samples::begin(&[0, 1]).await;
        let entry = archive.stage(1, 0, 3, true).await;
        let _ = archive.ledger(1).append(entry.key(), entry.attempt).await.unwrap();
        assert!(!archive.has(&entry));
        let left = found(&archive, 0).await[0].finish().await.unwrap();
        assert!(archive.has(&entry) && left.other.is_empty() && left.sealed.is_empty());
    }

    /// Whichever entry it is: the end of the ledger, or one in its middle.
    #[tokio::test]
    async fn a_damaged_entry_is_named_and_keeps_nothing_else_waiting() {
        for damaged in [EntryKey::Genesis, EntryKey::At(Offset(0)), EntryKey::At(Offset(3))] {
            let samples = Samples::begin(&[0, 1]).await;
            for (from, to) in [(0, 3), (3, 5)] {
                let entry = samples.stage(0, from, to, true).await;
                let _ = samples.ledger(0).append(entry.key(), entry.attempt).await.unwrap();
            }
            // Two attempts that the ledger has passed, and one that continues it.
            let passed = samples.stage(0, 0, 2, false).await;
            let _ = samples.stage(0, 3, 4, false).await;
            let next = samples.stage(0, 5, 7, true).await;
            let other = samples.stage(1, 0, 3, true).await;
            samples.spoil(0, damaged);
            let is_end = damaged == EntryKey::At(Offset(3));
            let all = found(&samples, 0).await;
            assert_eq!(all.len(), 2, "{damaged:?}");
            for found in all {
                let left = found.left().await.unwrap();
                assert_eq!(left.damages.len(), usize::from(is_end && found.partition == 0));
                let left = found.finish().await.unwrap();
                let is_named = damaged != EntryKey::Genesis && found.partition == 0;
                assert_eq!(!left.damages.is_empty(), is_named, "{damaged:?}: {left:?}");
                let path = found.ledger.paths.entry(damaged);
                assert!(left.damages.iter().all(|e| e.to_string().contains(&path)), "{left:?}");
            }
            assert!(samples.has(&other), "{damaged:?}");
            assert_eq!(samples.has(&next), !is_end, "{damaged:?}");
            let is_kept = samples.is_staged(&passed);
            assert_eq!(is_kept, damaged == EntryKey::At(Offset(0)) || is_end, "{damaged:?}");
        }
    }
}
