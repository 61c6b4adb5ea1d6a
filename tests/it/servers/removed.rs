//! A ledger's newest entry was removed by hand, and its file is still there: no repair lets readers
//! see a row twice, whatever else was done with the file or with the configuration.

use std::time::Duration;

use super::config;
use crate::support::{Cluster, Daemon, Producing, alluvium, eventually, flush, send};

const LIMIT: Duration = Duration::from_secs(60);
const NAME: &str = "removed";

/// What lets the partition go on without a row that is there twice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cure {
    /// The entry comes back from a backup, and the file to its place.
    Restore,
    /// The files are moved out of the root; Kafka still has the records.
    MoveOut,
}
use Cure::{MoveOut, Restore};

/// What is done with one topic beside the removal of its newest entry.
struct Case {
    name: &'static str,
    /// The mapping's archive before and after the entry was removed.
    archive: [&'static str; 2],
    /// Directories to which the file is copied or moved.
    copied: Option<&'static str>,
    moved: Option<&'static str>,
    cure: Cure,
}

const USUAL: &str = "codec = \"zstd\"";
const AWAY: &str = "dt=2020-01-01/hr=00";

const fn case(name: &'static str, after: &'static str, cure: Cure) -> Case {
    Case { name, archive: [USUAL, after], copied: None, moved: None, cure }
}

const CASES: [Case; 8] = [
    case("alone", USUAL, Restore),
    case("out", USUAL, MoveOut),
    Case { moved: Some(AWAY), ..case("moved", USUAL, MoveOut) },
    Case { moved: Some(AWAY), ..case("back", USUAL, Restore) },
    Case { copied: Some(AWAY), ..case("copied", USUAL, MoveOut) },
    case("codec", "codec = \"snappy\"", MoveOut),
    case("format", "format = \"jsonl\"", MoveOut),
    case("template", "path = \"{topic}/day=%d\"", MoveOut),
];

impl Case {
    fn topic(&self) -> String {
        format!("{NAME}-{}", self.name)
    }

    /// The topic's directory.
    fn top(&self) -> String {
        format!("/{NAME}/{}", self.topic())
    }

    fn entry(&self) -> String {
        format!("/{NAME}/_alluvium/ledger/{}/0/0/{:020}.entry", self.topic(), 10)
    }
}

/// Every topic's mapping; `after`: whether the entries were removed already.
fn configured(cluster: &Cluster, after: bool) -> String {
    let mapping = |case: &Case| {
        let (topic, archive) = (case.topic(), case.archive[usize::from(after)]);
        format!("[mapping.{topic}]\ntopics = [\"{topic}\"]\narchive = {{ {archive} }}\n")
    };
    config(cluster, NAME, &CASES.iter().map(mapping).collect::<String>())
}

fn write(producer: &Producing, n: usize) {
    for case in &CASES {
        (0..n).for_each(|_| send(producer, &case.topic(), 0, b"record", None));
    }
    flush(producer);
}

fn archived(daemon: &Daemon, position: f64) {
    eventually("archived", LIMIT, || {
        CASES
            .iter()
            .all(|case| position <= daemon.of_topic("alluvium_archive_position", &case.topic()))
    });
}

/// One file each, whose entry is removed: the files, by case, with the entries.
fn damaged(cluster: &Cluster) -> Vec<(String, Vec<u8>)> {
    let files = cluster.files();
    let of = |case: &Case| {
        let all = files.walk(&case.top()).into_iter().map(|(path, _)| path);
        let newest = |path: &String| path.contains("-00000000000000000010-");
        let newest: Vec<String> = all.filter(newest).collect();
        assert_eq!(newest.len(), 1, "{newest:?}");
        let (path, entry) = (newest[0].clone(), files.read(&case.entry()));
        files.delete(&case.entry());
        for to in case.copied.into_iter().chain(case.moved) {
            let to = format!("{}/{to}", case.top());
            files.make_dirs(&to);
            let to = format!("{to}/{}", path.rsplit('/').next().unwrap());
            match case.moved {
                Some(_) => files.rename(&path, &to),
                None => files.write(&to, &files.read(&path)),
            }
        }
        (path, entry)
    };
    CASES.iter().map(of).collect()
}

/// Files outside of the ledger that say by their names that they have the removed entry's records.
fn strays(cluster: &Cluster, case: &Case) -> Vec<String> {
    let all = cluster.files().walk(&case.top()).into_iter().map(|(path, _)| path);
    all.filter(|path| path.contains("-00000000000000000010-")).collect()
}

fn cure(cluster: &Cluster, case: &Case, (path, entry): &(String, Vec<u8>)) {
    let files = cluster.files();
    for stray in strays(cluster, case) {
        match case.cure {
            Restore if stray != *path => files.rename(&stray, path),
            Restore => {}
            MoveOut => {
                let to = format!("/{NAME}-away/{}", stray.replace('/', "_"));
                files.make_dirs(&format!("/{NAME}-away"));
                files.rename(&stray, &to);
            }
        }
    }
    if case.cure == Restore {
        files.write(&case.entry(), entry);
    }
}

/// `repair` refuses, names files and rows, and changes nothing; after the right cure every
/// partition goes on, and each row is there once.
pub(crate) fn entries_that_were_removed_alone(cluster: &Cluster) {
    CASES.iter().for_each(|case| cluster.create_topic(&case.topic(), 1));
    let producer = cluster.producer();
    write(&producer, 10);
    let (home, before) = (cluster.home(NAME), configured(cluster, false));
    let daemon = Daemon::start(&home, "a", &before);
    archived(&daemon, 10.0);
    write(&producer, 5);
    archived(&daemon, 15.0);
    assert_eq!(daemon.stop(), 0);
    let removed = damaged(cluster);
    let daemon = Daemon::start(&home, "a", &configured(cluster, true));
    let stopped =
        |reason: &str| daemon.metric("alluvium_partition_stopped", &[("reason", reason)]) as usize;
    eventually("all stop", LIMIT, || stopped("committed_beyond_ledger") == CASES.len());
    let listing = || cluster.files().walk(&format!("/{NAME}"));
    let (there, file) = (listing(), home.join("a.toml").display().to_string());
    for arguments in [&["repair"][..], &["repair", "--apply"]] {
        let (code, text) = alluvium(&[arguments, &["--config", &file]].concat());
        assert_eq!(code, 65, "{text}");
        for case in &CASES {
            for stray in strays(cluster, case) {
                let named = format!("{}{stray} (5 rows, offsets 10 to 14)", cluster.hdfs());
                assert!(text.contains(&named), "{}: no {named:?} in\n{text}", case.name);
            }
        }
    }
    assert_eq!(listing(), there, "a repair that refuses changes nothing");
    assert_eq!(stopped("committed_beyond_ledger"), CASES.len());
    for (case, removed) in CASES.iter().zip(&removed) {
        cure(cluster, case, removed);
    }
    let (code, text) = alluvium(&["repair", "--apply", "--config", &file]);
    assert_eq!(code, 0, "{text}");
    eventually("all go on", LIMIT, || stopped("committed_beyond_ledger") == 0);
    write(&producer, 1);
    archived(&daemon, 16.0);
    assert_eq!(daemon.stop(), 0);
    for case in &CASES {
        let root = format!("{}/{NAME}", cluster.hdfs());
        let raw = cluster.archive(&root, &case.topic(), &case.topic());
        assert_eq!(raw.rows, 16, "{}", case.name);
        if case.name != "format" {
            let want: Vec<_> = (0..16).map(|o| (0, o)).collect();
            assert_eq!(raw.offsets(), want, "{}", case.name);
        }
    }
    let (code, text) = alluvium(&["verify", "--config", &file]);
    assert!(code == 0 && text.contains("whole"), "{text}");
}
