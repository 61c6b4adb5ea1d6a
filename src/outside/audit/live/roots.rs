//! The roots of a configuration: a file in each, the room that is left, and the store's clock.

use std::collections::BTreeMap;
use std::path::Path;

use crate::clients::store::{
    self, Deadlines, FileFacts, Limit, Limited, reach, refuse_mounts_below, with_cure,
};
use crate::common::config::{
    ArchiveConfig, Config, ErasureCoding, FileProperties, Mapping, Root, Topics,
};
use crate::engine::archive::root::{FoundIdentity, find_identity, try_files};
use crate::outside::audit::live::clocks::{self, Told};
use crate::outside::audit::live::tried::{Attempted, Outcome};

/// Less than one part of so many is worth a warning.
const PART: u64 = 10;

/// What to do about a disk.
const DISK: &str = "free some space, or use a larger disk";

/// What is written into a root.
struct Written<'a> {
    root: &'a Root,
    /// The size of the largest file, bytes.
    largest: u64,
    /// The directories that records of this moment would be published in, each with what is said of
    /// files there; mappings may say different things of one.
    directories: Vec<(String, FileProperties)>,
}

pub(super) async fn roots(config: &Config, report: &mut Attempted) {
    let mut roots: BTreeMap<String, Written<'_>> = BTreeMap::new();
    for mapping in &config.mappings {
        for archive in mapping.archives() {
            let of = roots.entry(archive.root.url()).or_insert_with(|| Written {
                root: &archive.root,
                largest: 0,
                directories: Vec::new(),
            });
            of.largest = archive.roll.size_bytes.max(of.largest);
            let tried = (directory(mapping, archive), archive.files.clone());
            if !of.directories.contains(&tried) {
                of.directories.push(tried);
            }
        }
    }
    for written in roots.into_values() {
        try_root(written, report).await;
    }
}

/// Where records of this moment would be published; the root itself where no topic is named.
fn directory(mapping: &Mapping, archive: &ArchiveConfig) -> String {
    let counts = mapping
        .count
        .as_ref()
        .filter(|count| count.archive.as_ref().is_some_and(|of| std::ptr::eq(&**of, archive)));
    let topic = match (counts, &mapping.topics) {
        (Some(counts), _) => Some(&counts.output_topic),
        (None, Topics::Names(names)) => names.first(),
        (None, Topics::Regex(_)) => None,
    };
    topic.map_or(String::new(), |t| archive.template.render(t, 0, Some(clocks::now())))
}

async fn try_root(written: Written<'_>, report: &mut Attempted) {
    let Written { root, largest, directories } = written;
    let what = format!("root {}", root.url());
    if let Root::Local { directory, .. } = root
        && let Err(why) = refuse_mounts_below(Path::new(directory))
    {
        return report.add(what, Outcome::Wrong, why);
    }
    if let Err(why) = reach(root).await {
        return report.add(what, Outcome::Wrong, why);
    }
    let store = match store::open(root, Deadlines::default()) {
        Ok(store) => store,
        Err(error) => return report.add(what, Outcome::Wrong, with_cure(root, &error)),
    };
    let identity = match find_identity(&*store).await {
        Ok(FoundIdentity::Is(id)) => format!("its id is {id}"),
        Ok(FoundIdentity::Missing) => "it has no id yet".into(),
        Ok(FoundIdentity::Unreadable(why)) => return report.add(what, Outcome::Wrong, why),
        Err(error) => return report.add(what, Outcome::Wrong, with_cure(root, &error)),
    };
    let mut found = None;
    let before = clocks::now();
    for (directory, files) in &directories {
        let into = if directory.is_empty() { "the root" } else { directory };
        let good = format!("a file was created, renamed into {into} and deleted; {identity}");
        let tried = try_files(&*store, directory, files).await;
        let tried = tried.map_err(|e| with_cure(root, &e));
        let Some(facts) = report.of(&what, tried, &good) else { return };
        found = facts.or(found);
    }
    let asked = (before, clocks::now());
    let Some(facts) = found else { return };
    let room = format!("room in {}", root.url());
    match store.limits().await {
        Ok(limits) => {
            let is_hdfs = matches!(root, Root::Hdfs { .. });
            let cure = if is_hdfs { "raise the quota, or delete what is old" } else { DISK };
            let (outcome, text) = room_left(&limits, largest, facts, cure);
            report.add(room, outcome, text);
        }
        Err(error) => report.add(room, Outcome::Unknown, error.to_string()),
    }
    if let Root::Hdfs { options, .. } = root {
        let (outcome, text) = coding(options.erasure_coding.as_ref(), facts);
        report.add(format!("copies in {}", root.url()), outcome, text);
        let told = Told { asked, told: facts.modified, step: 1 };
        let of = format!("the NameNode of {}", root.url());
        report.clock(&of, told, options.kerberos.is_some());
    }
}

/// How files of a root outlive a DataNode. One whose policy does not suit has taken no file.
fn coding(configured: Option<&ErasureCoding>, file: FileFacts) -> (Outcome, String) {
    match (configured, file.is_coded) {
        (Some(of), true) => (
            Outcome::Good,
            format!("files are erasure coded, with as many parity units as {} has", of.policy),
        ),
        (Some(of), false) => (
            Outcome::Doubtful,
            format!(
                "archive.erasure_coding names {}, and files are replicated ({} copies): `hdfs ec \
                 -getPolicy -path` shows the policy of the directory",
                of.policy, file.copies
            ),
        ),
        (None, true) => (Outcome::Wrong, "files are erasure coded, and no policy is named".into()),
        (None, false) if file.copies < 2 => {
            (Outcome::Doubtful, "files have one copy, which is lost with its DataNode".into())
        }
        (None, false) => (Outcome::Good, format!("files have {} copies", file.copies)),
    }
}

/// What is left of the limits of a root whose files have up to `largest` bytes; `cure`: what to do
/// where that is little.
fn room_left(limits: &[Limit], largest: u64, file: FileFacts, cure: &str) -> (Outcome, String) {
    if limits.is_empty() {
        return (Outcome::Good, "neither the root nor a directory above it has a quota".into());
    }
    // Space is given in whole blocks.
    let blocks = largest.div_ceil(file.block.max(1)).max(1);
    let of_file = blocks.saturating_mul(file.block).saturating_mul(file.copies);
    let (mut worst, mut texts) = (Outcome::Good, Vec::new());
    for Limit { directory, of, limit, used } in limits {
        let left = limit.saturating_sub(*used);
        let (shown, needed) = match of {
            Limited::Names => (format!("{left} of {limit} names of files"), 1),
            Limited::Bytes => {
                (format!("{} of {} with all copies", bytes(left), bytes(*limit)), of_file)
            }
        };
        let mut text = format!("{directory} has {shown} left");
        if left < needed && *of == Limited::Bytes {
            worst = Outcome::Doubtful;
            text.push_str(&format!(
                ", and one file of roll.size takes up to {}, which the store would refuse: {cure}",
                bytes(needed)
            ));
        } else if left < needed || left < limit.div_ceil(PART) {
            worst = Outcome::Doubtful;
            text.push_str(&format!(", which is less than 10 %: {cure}"));
        }
        texts.push(text);
    }
    (worst, texts.join("; "))
}

/// A number of bytes for people.
fn bytes(n: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|(bits, _)| 1 <= n >> bits);
    match unit {
        Some((bits, name)) => format!("{:.1} {name}", n as f64 / (1_u64 << bits) as f64),
        None => format!("{n} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(of: Limited, limit: u64, used: u64) -> (Outcome, String) {
        let file = FileFacts { modified: 0, copies: 3, block: 1 << 20, is_coded: false };
        let limits = [Limit { directory: "/d".into(), of, limit, used }];
        room_left(&limits, (1 << 20) + 1, file, DISK)
    }

    #[test]
    fn what_becomes_of_a_lost_datanode_is_told() {
        let policy = ErasureCoding::parse("RS-6-3-1024k").unwrap();
        for (configured, copies, is_coded, outcome, part) in [
            (Some(&policy), 1, true, Outcome::Good, "as RS-6-3-1024k has"),
            (Some(&policy), 3, false, Outcome::Doubtful, "replicated (3 copies)"),
            (None, 1, true, Outcome::Wrong, "no policy"),
            (None, 3, false, Outcome::Good, "3 copies"),
            (None, 1, false, Outcome::Doubtful, "one copy"),
        ] {
            let file = FileFacts { modified: 0, copies, block: 1, is_coded };
            let (found, text) = coding(configured, file);
            assert!(found == outcome && text.contains(part), "{text}");
        }
    }

    #[test]
    fn records_and_counts_are_tried_where_they_would_be_published() {
        let text = "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\nroot = \
                    \"file:///x\"\npath = \"{topic}/x\"\n[mapping.a]\ntopics = [\"t\"]\n\
                    [mapping.a.wordcount]\noutput_topic = \"o\"\n[mapping.b]\ntopics_regex = \
                    \"u.+\"\n";
        let config = Config::parse(text, Some("i")).unwrap_or_else(|e| panic!("{e}"));
        let of = |m: &Mapping| m.archives().map(|a| directory(m, a)).collect::<Vec<_>>();
        let all: Vec<_> = config.mappings.iter().flat_map(of).collect();
        assert_eq!(all, ["t/x", "o/x", ""]);
    }

    #[test]
    fn a_root_that_is_nearly_full_is_worth_a_warning() {
        use Limited::{Bytes, Names};
        let mib = 1 << 20;
        for (of, limit, used, outcome, part) in [
            (Names, 100, 90, Outcome::Good, "10 of 100 names"),
            (Names, 100, 91, Outcome::Doubtful, "less than 10 %"),
            (Names, 5, 5, Outcome::Doubtful, "0 of 5 names"),
            // Two blocks of a MiB, three times.
            (Bytes, 60 * mib, 54 * mib, Outcome::Good, "6.0 MiB of 60.0 MiB"),
            (Bytes, 60 * mib, 54 * mib + 1, Outcome::Doubtful, "one file of roll.size"),
            (Bytes, 100 * mib, 91 * mib, Outcome::Doubtful, "less than 10 %"),
            (Bytes, mib, 2 * mib, Outcome::Doubtful, "0 B of 1.0 MiB"),
        ] {
            let (found, text) = room(of, limit, used);
            assert_eq!(found, outcome, "{text}");
            assert!(text.contains(part), "{text}");
        }
        let none = room_left(
            &[],
            1,
            FileFacts { modified: 0, copies: 1, block: 0, is_coded: false },
            DISK,
        );
        assert_eq!(none.0, Outcome::Good);
    }
}
