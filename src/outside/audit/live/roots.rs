//! The roots of a configuration: a file in each, the room that is left, and the store's clock.

use std::collections::BTreeMap;
use std::path::Path;

use crate::clients::store::{self, Deadlines, FileFacts, Limit, Limited, refuse_mounts_below};
use crate::common::config::{Config, Root};
use crate::engine::archive::root::{FoundIdentity, find_identity, try_files};
use crate::outside::audit::live::clocks::{self, Told};
use crate::outside::audit::live::tried::{Attempted, Outcome};

/// Less than one part of so many is worth a warning.
const PART: u64 = 10;

/// What to do about a disk.
const DISK: &str = "free some space, or use a larger disk";

pub(super) async fn roots(config: &Config, report: &mut Attempted) {
    // The largest file of each root.
    let mut roots: BTreeMap<String, (&Root, u64)> = BTreeMap::new();
    for archive in config.mappings.iter().flat_map(|mapping| mapping.archives()) {
        let (_, largest) = roots.entry(archive.root.url()).or_insert((&archive.root, 0));
        *largest = archive.roll.size_bytes.max(*largest);
    }
    for (root, largest) in roots.into_values() {
        try_root(root, largest, report).await;
    }
}

async fn try_root(root: &Root, largest: u64, report: &mut Attempted) {
    let what = format!("root {}", root.url());
    if let Root::Local { directory, .. } = root
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
    let before = clocks::now();
    let tried = try_files(&*store).await;
    let asked = (before, clocks::now());
    let Some(Some(facts)) = report.of(&what, tried, &good) else { return };
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
        let told = Told { asked, told: facts.modified, step: 1 };
        let of = format!("the NameNode of {}", root.url());
        report.clock(&of, told, options.kerberos.is_some());
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
        let file = FileFacts { modified: 0, copies: 3, block: 1 << 20 };
        let limits = [Limit { directory: "/d".into(), of, limit, used }];
        room_left(&limits, (1 << 20) + 1, file, DISK)
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
        let none = room_left(&[], 1, FileFacts { modified: 0, copies: 1, block: 0 }, DISK);
        assert_eq!(none.0, Outcome::Good);
    }
}
