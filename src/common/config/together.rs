//! Relations between mappings: what no mapping can see alone.

use std::collections::BTreeMap;

use crate::common::config::Root;
use crate::common::config::budget;
use crate::common::config::daemon::Daemon;
use crate::common::config::fields::{ConfigFault, Faults};
use crate::common::config::kafka::Kafka;
use crate::common::config::mapping::{Mapping, Topics};
use crate::pure::layout::template::TemplateError;

/// Why a path with what a pattern has found in the names of topics needs the topic, too.
const NO_CAPTURE: &str = "{capture:NAME} is not enough: a pattern may find the same in two topics";

/// Topics of two mappings, and directories of two archives.
pub(super) fn check_together(mappings: &[Mapping], faults: &mut Faults) {
    let names = |m: &Mapping| match &m.topics {
        Topics::Names(names) => names.clone(),
        Topics::Regex(_) => Vec::new(),
    };
    let mut owner: BTreeMap<String, &str> = BTreeMap::new();
    for m in mappings {
        for topic in names(m) {
            if let Some(other) = owner.insert(topic.clone(), &m.name) {
                faults.add(
                    format!("mapping.{}.topics", m.name),
                    format!(
                        "{topic:?} is already in mapping.{other}: a topic belongs to one mapping"
                    ),
                );
            }
        }
    }
    let mut made: BTreeMap<&str, String> = BTreeMap::new();
    for m in mappings {
        let Some(count) = &m.count else { continue };
        let table = format!("mapping.{}.wordcount", m.name);
        let partials = count.merge.as_ref().map(|merge| ("partials.topic", merge.topic.as_str()));
        let topics = [("output_topic", count.output_topic.as_str())].into_iter().chain(partials);
        for (name, topic) in topics {
            let key = format!("{table}.{name}");
            if let Some(other) = made.get(topic) {
                faults.add(&key, format!("{topic:?} is already {other}"));
            }
            if let Some(source) = owner.get(topic) {
                faults.add(
                    &key,
                    format!(
                        "{topic:?} is also a source, in mapping.{source}: its counts would be \
                         counted again"
                    ),
                );
            }
            let _ = made.insert(topic, key);
        }
    }
    check_directories(mappings, faults);
    check_roots(mappings, faults);
}

/// Words that do not fit into a message of the client.
pub(super) fn check_message_size(kafka: &Kafka, mappings: &[Mapping], faults: &mut Faults) {
    let key = "message.max.bytes";
    let limit = kafka.properties.get(key).and_then(|v| v.parse::<usize>().ok());
    let needed = mappings.iter().filter_map(|m| Some((m, m.count.as_ref()?.longest_message())));
    let largest = needed.max_by_key(|(_, bytes)| *bytes);
    if let (Some(limit), Some((mapping, needed))) = (limit, largest)
        && limit < needed
    {
        faults.add(
            format!("kafka.properties.{key:?}"),
            format!(
                "is {limit}, and a word of mapping.{}.wordcount.max_word_bytes needs up to \
                 {needed}",
                mapping.name
            ),
        );
    }
}

/// How many workers each of so many mappings may have ([`super::Config::workers_per_mapping`]).
pub(super) fn workers_per_mapping(workers: usize, mappings: usize) -> usize {
    workers.saturating_mul(2).div_ceil(mappings.max(1)).clamp(1, workers)
}

/// More mappings than `daemon.memory` can hold the producers of.
pub(super) fn memory_fault(daemon: &Daemon, mappings: &[Mapping]) -> Option<ConfigFault> {
    let workers =
        workers_per_mapping(daemon.workers, mappings.len()).saturating_mul(mappings.len());
    let (has, needed) = (daemon.memory_bytes, budget::smallest_for(workers) as u64);
    (has < needed).then(|| {
        ConfigFault::new(
            "daemon.memory",
            format!(
                "is {} MiB, and {} mappings, whose workers and producers need {} MiB before they \
                 hold a record, need {} MiB at least; or divide the mappings between two groups, \
                 or name several topics in one mapping",
                has >> 20,
                mappings.len(),
                workers.saturating_mul(budget::PRODUCER) >> 20,
                needed >> 20
            ),
        )
    })
}

/// A cache holds the tickets of one principal, so two identities need two caches.
pub(super) fn check_caches(kafka: &Kafka, mappings: &[Mapping], faults: &mut Faults) {
    let Some(of_kafka) = &kafka.kerberos else { return };
    let Some(cache) = &of_kafka.cache else { return };
    for archive in mappings.iter().flat_map(Mapping::archives) {
        let Root::Hdfs { options, .. } = &archive.root else { continue };
        let Some(of_root) = &options.kerberos else { continue };
        let one_file =
            of_root.cache_file().is_some() && of_root.cache_file() == of_kafka.cache_file();
        let shared = one_file || of_root.cache.as_ref() == Some(cache);
        if shared && of_root.principal != of_kafka.principal {
            faults.add(
                "kafka.kerberos.cache",
                format!(
                    "is also the cache of {} (archive.kerberos), and a cache holds the tickets of \
                     one principal: name another one for {}",
                    of_root.principal, of_kafka.principal
                ),
            );
        }
    }
}

/// Two archives in one root that would open it differently: it is opened once, so that one of them
/// would be written or read with the other's options.
fn check_roots(mappings: &[Mapping], faults: &mut Faults) {
    let mut seen: BTreeMap<String, (String, &Root)> = BTreeMap::new();
    for m in mappings {
        let raw = m.archive.as_ref().map(|a| ("archive", a));
        let counts = m.count.as_ref().and_then(|c| c.archive.as_ref());
        for (table, archive) in raw.into_iter().chain(counts.map(|a| ("wordcount.archive", a))) {
            let (table, url) = (format!("mapping.{}.{table}", m.name), archive.root.url());
            let seen = seen.entry(url.clone()).or_insert((table.clone(), &archive.root));
            let (first, other) = seen;
            for key in differences(&archive.root, other) {
                faults.add(
                    format!("{table}.{key}"),
                    format!(
                        "differs from {first}.{key}, and both archives lie in {url}: a root is \
                         opened once. Write the same in both, or give one another root"
                    ),
                );
            }
        }
    }
}

/// The keys in which two roots of one URL differ.
fn differences(a: &Root, b: &Root) -> Vec<&'static str> {
    let compared = match (a, b) {
        (Root::Hdfs { options: a, .. }, Root::Hdfs { options: b, .. }) => vec![
            ("user", a.user == b.user),
            ("kerberos", a.kerberos == b.kerberos),
            ("hadoop_conf_dir", a.conf_dir == b.conf_dir),
            ("hadoop", a.properties == b.properties),
            ("erasure_coding", a.erasure_coding == b.erasure_coding),
            ("umask", a.umask == b.umask),
        ],
        (Root::Local { umask: a, .. }, Root::Local { umask: b, .. }) => vec![("umask", a == b)],
        _ => Vec::new(),
    };
    compared.into_iter().filter_map(|(key, same)| (!same).then_some(key)).collect()
}

/// Two archives that would put files of different kinds into one directory.
fn check_directories(mappings: &[Mapping], faults: &mut Faults) {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for m in mappings {
        let sources: Vec<String> = match &m.topics {
            Topics::Names(names) => names.clone(),
            Topics::Regex(_) => ["one", "two"].map(|t| format!("\u{0}{}-{t}", m.name)).into(),
        };
        let raw =
            m.archive.as_ref().map(|a| (format!("mapping.{}.archive.path", m.name), a, sources));
        let output = m.count.as_ref().and_then(|c| {
            let key = format!("mapping.{}.wordcount.archive.path", m.name);
            c.archive.as_ref().map(|a| (key, a, vec![c.output_topic.clone()]))
        });
        for (key, archive, topics) in raw.into_iter().chain(output) {
            if 1 < topics.len() && !archive.template.has_topic() {
                let why = TemplateError::NoTopic;
                faults.add(&key, format!("{why}. {NO_CAPTURE}"));
                continue;
            }
            for topic in topics {
                let path = archive.template.render(&topic, 0, Some(0));
                let place = format!("{}/{path}", archive.root.url());
                match seen.get(&place) {
                    Some(other) => faults.add(
                        &key,
                        format!(
                            "files would be in the same directories as those of {other}; put \
                             {{topic}} into the path, or use another first directory"
                        ),
                    ),
                    None => drop(seen.insert(place, key.clone())),
                }
            }
        }
    }
}
