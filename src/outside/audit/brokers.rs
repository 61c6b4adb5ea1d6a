//! Brokers against archive: what an owner of a partition would find at its recovery, by the rules
//! that it goes by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clients::kafka::offsets::{BrokerPositions, Positions as _};
use crate::clients::kafka::{Consumer, KafkaError, consumer_config, first_contact, group, topics};
use crate::clients::store::{Store, StoreError};
use crate::common::config::{ArchiveConfig, Config};
use crate::engine::archive::abandoned::{self, Abandoned, Existing, Wanted};
use crate::engine::archive::ledger::{LedgerError, LedgerStore, ledger_of};
use crate::engine::archive::listing::{Finding, FindingKind};
use crate::engine::archive::root::{FoundIdentity, find_identity, is_of_one_ledger};
use crate::engine::topics::Role;
use crate::outside::audit::report::{AtBrokers, RootReport};
use crate::outside::audit::silent::Silent;
use crate::pure::layout::names::PartitionPaths;
use crate::pure::protocol::repair::{ABSENT, Facts};
use crate::pure::protocol::{Entry, Identity, Stop};
use crate::pure::record::TopicPartition;

/// A look that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("{0}")]
    Other(String),
}

impl From<StoreError> for LookError {
    fn from(e: StoreError) -> LookError {
        LookError::Ledger(e.into())
    }
}

/// A consumer that never joins, and the stores by the URLs of their roots.
pub struct Brokers {
    pub consumer: Arc<Consumer>,
    positions: BrokerPositions,
    stores: HashMap<String, (Arc<dyn Store>, String)>,
    silent: Mutex<Silent>,
}

/// One partition as an owner would find it now.
pub struct Diagnosis {
    pub tp: TopicPartition,
    pub role: Role,
    /// The ledger of the newest incarnation.
    pub ledger: Option<LedgerStore>,
    pub tail: Option<Entry>,
    /// Whether anything was ever committed or archived for it.
    pub known: bool,
    /// An error where something stands there that this build can't read.
    pub facts: Result<Facts, Stop>,
}

impl Diagnosis {
    /// Why an owner stops here, if it does.
    #[must_use]
    pub fn stop(&self) -> Option<Stop> {
        match &self.facts {
            Ok(facts) => facts.diagnose().err(),
            Err(stop) => Some(stop.clone()),
        }
    }
}

impl Brokers {
    /// # Errors
    /// The client can't be made, or a store does not answer.
    pub async fn new(config: &Config, stores: &[Arc<dyn Store>]) -> Result<Brokers, LookError> {
        let settings = consumer_config(config)?;
        let consumer = group::observer(&settings)?;
        let asking = Arc::clone(&consumer);
        let met = tokio::task::spawn_blocking(move || first_contact(&asking)).await;
        let failed = |e: &dyn std::fmt::Display| LookError::Other(e.to_string());
        met.map_err(|e| failed(&e))?.map_err(|e| failed(&e))?;
        let positions = BrokerPositions::new(settings, Arc::default());
        let _ = positions.consumer.set(Arc::downgrade(&consumer));
        let mut by_url = HashMap::new();
        for store in stores {
            let id = match find_identity(&**store).await? {
                FoundIdentity::Is(id) => id,
                // Its own finding, and a repair of its own.
                FoundIdentity::Missing | FoundIdentity::Unreadable(_) => String::new(),
            };
            let _ = by_url.insert(store.url().to_string(), (Arc::clone(store), id));
        }
        Ok(Brokers { consumer, positions, stores: by_url, silent: Mutex::default() })
    }

    /// Whether the archive of this topic, if it has one, is in a root that is open.
    #[must_use]
    pub fn is_open(&self, config: &Config, topic: &str) -> bool {
        self.role(config, topic).is_none_or(|role| role.archive.is_some() == role.store.is_some())
    }

    fn role(&self, config: &Config, topic: &str) -> Option<Role> {
        let store = |archive: &ArchiveConfig| self.stores.get(&archive.root.url()).cloned();
        Role::of(config, topic, store)
    }

    /// The wanted partitions below a root that the brokers do not have any more, and of which
    /// something is staged.
    ///
    /// # Errors
    /// The brokers or the store don't answer.
    pub async fn abandoned(
        &self,
        config: &Arc<Config>,
        root: &str,
        wanted: Wanted<'_>,
    ) -> Result<Vec<Abandoned>, LookError> {
        let Some((store, _)) = self.stores.get(root) else { return Ok(Vec::new()) };
        let (consumer, servers) =
            (Arc::clone(&self.consumer), config.kafka.bootstrap_servers.clone());
        let existing = blocking(move || topics::all(&consumer, &servers)).await?;
        let existing = Existing::of(&existing);
        let all = abandoned::under(store, config, &existing, wanted).await?;
        let consumer = Arc::clone(&self.consumer);
        // A list of all topics may lack one for a moment; of a topic that they refuse, the brokers
        // say nothing.
        blocking(move || {
            let mut gone = Vec::new();
            for found in all {
                if topics::sight(&consumer, &found.topic)?.lacks(found.partition) {
                    gone.push(found);
                }
            }
            Ok(gone)
        })
        .await
    }

    /// All partitions of these topics.
    ///
    /// # Errors
    /// No broker answers.
    pub async fn partitions(&self, topics: Vec<String>) -> Result<Vec<TopicPartition>, LookError> {
        let consumer = Arc::clone(&self.consumer);
        blocking(move || {
            let mut all = Vec::new();
            for topic in topics {
                let ids = topics::partitions(&consumer, &topic)?;
                let name: Arc<str> = topic.into();
                let one = |partition| TopicPartition { topic: Arc::clone(&name), partition };
                all.extend(ids.into_iter().map(one));
            }
            Ok(all)
        })
        .await
    }

    /// The same as [`Brokers::look`], for a command that looks at many partitions: why this one
    /// could not be looked at, if the brokers and the stores answer all the same.
    ///
    /// # Errors
    /// The brokers or the store don't answer.
    pub async fn look_or_say(
        &self,
        config: &Config,
        tp: &TopicPartition,
    ) -> Result<Result<Option<Diagnosis>, String>, LookError> {
        let began = Instant::now();
        let looked = match self.silent(config, tp) {
            Some(why) => return Ok(Err(why)),
            None => self.look(config, tp).await,
        };
        match looked {
            Ok(looked) => Ok(Ok(looked)),
            Err(e) => self.say(config, tp, e, began.elapsed()).await.map(Err),
        }
    }

    /// Why a partition need not be asked for: what it needs has not answered for another one.
    #[must_use]
    pub fn silent(&self, config: &Config, tp: &TopicPartition) -> Option<String> {
        let role = self.role(config, &tp.topic)?;
        let root = role.store.as_ref().map(|(store, _)| store.url());
        self.silent.lock().of(root, tp)
    }

    /// Why one partition could not be looked at, or repaired, if the others can be all the same.
    /// What did not answer is not asked again. `took`: how long that was waited for.
    ///
    /// # Errors
    /// What was given, if no broker answers, or what failed is of no partition.
    pub async fn say(
        &self,
        config: &Config,
        tp: &TopicPartition,
        e: LookError,
        took: Duration,
    ) -> Result<String, LookError> {
        let text = e.to_string();
        match &e {
            LookError::Kafka(_) => {
                let consumer = Arc::clone(&self.consumer);
                let Ok(leaders) = blocking(move || topics::leaders(&consumer)).await else {
                    return Err(e);
                };
                Ok(self.silent.lock().note_broker(leaders, tp, &text, took))
            }
            LookError::Ledger(of) => {
                let Some((store, _)) = self.role(config, &tp.topic).and_then(|role| role.store)
                else {
                    return Err(e);
                };
                if !is_of_one_ledger(&*store, of).await {
                    self.silent.lock().note_root(store.url(), &text);
                }
                Ok(text)
            }
            LookError::Other(_) => Err(e),
        }
    }

    /// Looks at one partition: the committed offset first, then the ledger. [`None`] if no mapping
    /// names it, or its root is not open.
    ///
    /// # Errors
    /// The brokers or the store don't answer.
    pub async fn look(
        &self,
        config: &Config,
        tp: &TopicPartition,
    ) -> Result<Option<Diagnosis>, LookError> {
        let Some(role) = self.role(config, &tp.topic) else { return Ok(None) };
        if role.archive.is_some() != role.store.is_some() {
            return Ok(None);
        }
        let (positions, of, start) = (self.positions.clone(), tp.clone(), role.start);
        let partials = role.counts_into().map(String::from);
        let merges_into = role.merges_into().map(String::from);
        let consumer = Arc::clone(&self.consumer);
        let read = blocking(move || {
            let there = match &partials {
                Some(topic) => !topics::partitions(&consumer, topic)?.is_empty(),
                None => false,
            };
            let asked = partials.as_deref().filter(|_| there);
            let mut read = positions.read(&of, start, merges_into.as_deref(), asked)?;
            if partials.is_some() && !there {
                read.partials = Some(ABSENT.into());
            }
            Ok(read)
        })
        .await?;
        let (mut tail, mut newest, mut unreadable) = (None, 0, None);
        let mut ledger = role.store.as_ref().map(|(store, _)| {
            let paths = PartitionPaths::new(&tp.topic, 0, tp.partition);
            let files = role.archive.as_ref().map(|of| of.files.clone()).unwrap_or_default();
            LedgerStore { files, ..LedgerStore::new(Arc::clone(store), paths) }
        });
        if let Some(ledger) = &mut ledger {
            let found = async {
                newest = ledger.find_incarnation().await?.newest;
                ledger.tail(None).await
            };
            match found.await {
                Ok(found) => tail = found,
                Err(e @ LedgerError::Store(_)) => return Err(e.into()),
                Err(e) => unreadable = Some(e.to_string()),
            }
        }
        let known = read.committed.is_some() || tail.is_some() || read.past != Ok(None);
        let committed = read.committed.transpose().map_err(|e| e.to_string());
        let committed = unreadable.map_or(committed, Err);
        let facts = committed.map_err(Stop::Unreadable).map(|committed| Facts {
            sinks: role.sinks(),
            identity: Arc::new(Identity {
                root: root_id(&role, tail.as_ref()),
                topic_id: read.topic_id.clone(),
            }),
            partials: read.partials,
            on_gap: role.on_gap,
            committed,
            ledger: tail.as_ref().map(ledger_of),
            newest,
            log: read.log,
            start: read.first,
            published: None,
            merged: read.past,
        });
        Ok(Some(Diagnosis { tp: tp.clone(), role, ledger, tail, known, facts }))
    }
}

/// The id of a partition's root. Where the identity file is lost, what the ledger says stands for
/// it: that the file is lost is said of the root, and not of each partition.
fn root_id(role: &Role, tail: Option<&Entry>) -> String {
    match role.root_id() {
        id if id.is_empty() => tail.map(|entry| entry.root.clone()).unwrap_or_default(),
        id => id,
    }
}

/// Adds what the brokers know to a verified archive, with a finding for each partition whose owner
/// stops. Returns those findings whose partition has no archive, as one of partials.
///
/// # Errors
/// The brokers or a store don't answer.
pub async fn check(
    config: &Arc<Config>,
    brokers: &Brokers,
    partitions: &[TopicPartition],
    reports: &mut [RootReport],
) -> Result<Vec<Finding>, LookError> {
    let mut elsewhere = Vec::new();
    for tp in partitions {
        match brokers.look_or_say(config, tp).await? {
            Ok(Some(looked)) if looked.known => elsewhere.extend(add(looked, reports)),
            Ok(_) => {}
            Err(why) => elsewhere.push(Finding {
                kind: FindingKind::UnknownPartition,
                path: tp.to_string(),
                detail: why,
            }),
        }
    }
    for report in reports {
        let looked = async {
            let all = brokers.abandoned(config, &report.root, &|_, _| true).await?;
            abandoned_findings(&all).await
        };
        match looked.await {
            Ok(found) => report.findings.extend(found),
            // Other roots are looked at all the same.
            Err(LookError::Ledger(e)) => report.findings.push(unlooked(&report.root, &e)),
            Err(e) => return Err(e),
        }
    }
    Ok(elsewhere)
}

/// That a root could not be looked at, or not to the end.
#[must_use]
pub fn unlooked(root: &str, why: &dyn std::fmt::Display) -> Finding {
    Finding {
        kind: FindingKind::UnreadableDirectory,
        path: ".".into(),
        detail: format!("not all of the root {root} was looked at: {why}"),
    }
}

/// What dead owners have left of partitions that the brokers do not have: no daemon is assigned
/// them. What is damaged of one of them is a finding of it.
///
/// # Errors
/// A store doesn't answer.
pub async fn abandoned_findings(all: &[Abandoned]) -> Result<Vec<Finding>, LookError> {
    let mut findings = Vec::new();
    for found in all {
        let Abandoned { topic, partition, ledger } = found;
        let mut find = |path: String, detail: String| {
            let kind = FindingKind::UnpublishedFile;
            let why = "the brokers do not have this partition any more, and";
            findings.push(Finding { kind, path, detail: format!("{why} {detail}") });
        };
        let damaged = |e: &dyn std::fmt::Display| {
            format!(
                "what its last owner has left there can't be looked at whole: {e}. Restore that \
                 from a backup, or move it out of the root, and run alluvium repair {topic} \
                 {partition}"
            )
        };
        let left = match found.left().await {
            Ok(left) => left,
            Err(e) if is_of_one_ledger(&*ledger.store, &e).await => {
                find(ledger.paths.staging(), damaged(&e));
                continue;
            }
            Err(e) => return Err(e.into()),
        };
        for e in &left.damages {
            find(ledger.paths.staging(), damaged(e));
        }
        for file in left.sealed.into_iter().flat_map(|entry| entry.files) {
            find(
                file.path,
                format!(
                    "its last owner ended before it appended the file; a daemon that has the \
                     mapping does that, or alluvium repair {topic} {partition} --apply"
                ),
            );
        }
        for path in left.other {
            find(
                path,
                "its last owner did not seal the file: what it has is in no log and in no ledger. \
                 Keep it elsewhere if you need it, and delete it"
                    .into(),
            );
        }
    }
    Ok(findings)
}

/// Adds one partition to the report of its root; its finding if it has none.
fn add(looked: Diagnosis, reports: &mut [RootReport]) -> Option<Finding> {
    let (topic, partition) = (&looked.tp.topic, looked.tp.partition.to_string());
    let finding = looked.stop().map(|stop| Finding {
        kind: FindingKind::StoppedPartition,
        path: looked.tp.to_string(),
        detail: format!("{stop}; {}", cure(&stop, topic, &partition)),
    });
    let Some(ledger) = &looked.ledger else { return finding };
    let url = ledger.store.url();
    let Some(report) = reports.iter_mut().find(|r| r.root == url) else { return finding };
    let incarnation = ledger.paths.incarnation().to_string();
    let mut of = report.partitions.iter_mut();
    let of = of
        .find(|p| *p.topic == **topic && p.partition == partition && p.incarnation == incarnation);
    let Some(of) = of else {
        report.findings.extend(finding);
        return None;
    };
    of.findings.extend(finding);
    of.brokers = looked.facts.ok().map(|facts| AtBrokers {
        log: facts.log,
        committed: facts.committed.as_ref().map(|c| c.offset),
        results: facts.committed.filter(|_| facts.sinks.counts).map(|c| c.p()),
    });
    None
}

/// What to do about a stopped partition. Where the group has gone on in another root, this may be
/// the configuration of an earlier one, and a repair would move the group back.
fn cure(stop: &Stop, topic: &str, partition: &str) -> String {
    let repair = format!("run alluvium repair {topic} {partition}");
    match stop {
        Stop::OtherRoot { .. } => format!(
            "if this is the configuration of an earlier root, check that root by alluvium verify \
             --offline, and repair nothing; if the archive is to continue here, {repair}"
        ),
        _ => repair,
    }
}

/// Runs a call of the brokers' client outside of the store's threads.
///
/// # Errors
/// The errors of the call.
pub async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, LookError> {
    let done = tokio::task::spawn_blocking(call).await;
    Ok(done.map_err(|e| LookError::Other(e.to_string()))??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_at_an_earlier_root_is_not_sent_to_repair_it() {
        let other = Stop::OtherRoot { found: "new".into(), ours: "old".into() };
        let told = cure(&other, "t", "3");
        assert!(told.starts_with("if this is the configuration of an earlier root"), "{told}");
        assert!(told.contains("verify --offline, and repair nothing"), "{told}");
        let odd = Stop::Unreadable("odd".into());
        assert_eq!(cure(&odd, "t", "3"), "run alluvium repair t 3");
    }

    /// It has no ledger, so no root's report has a place for it.
    #[test]
    fn a_partition_that_archives_nothing_and_has_stopped_is_a_finding() {
        let text = "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[mapping.m]\n\
                    topics = [\"t\"]\narchive = false\n[mapping.m.wordcount]\n\
                    output_topic = \"o\"\narchive = false";
        let config = Config::parse(text, Some("i")).unwrap();
        for topic in ["t", "g-m-partials"] {
            let stopped = |facts| Diagnosis {
                tp: TopicPartition { topic: topic.into(), partition: 3 },
                role: Role::of(&config, topic, |_| None).unwrap(),
                ledger: None,
                tail: None,
                known: true,
                facts,
            };
            let found = add(stopped(Err(Stop::Unreadable("odd".into()))), &mut []).unwrap();
            assert_eq!(found.kind, FindingKind::StoppedPartition);
            assert!(found.detail.contains(&format!("alluvium repair {topic} 3")), "{found:?}");
        }
    }
}
