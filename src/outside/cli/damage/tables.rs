//! Every damage, and what each command says of it. A new damage is one line of a table.

use std::sync::Arc;

use super::archive::{
    Bloat, Close, CopyTo, Damage, Delete, DeleteAll, Edit, Empty, FILES, Flip, Grow, Lose, MoveTo,
    NOW, Of, Replace, SampleArchive, Shape, Swap, Truncate, Unlist, config,
};
use crate::clients::store::Store;
use crate::engine::archive::abandoned::{Existing, under};
use crate::outside::audit::brokers::abandoned_findings;
use crate::outside::audit::verify::UNPUBLISHED_MS;
use crate::outside::cli::abandoned::repair_all;
use crate::outside::cli::holes::{Choice, Holes, repair};
use crate::outside::cli::locate::explain;
use crate::pure::layout::names::PartitionPaths;
use crate::pure::protocol::EntryKind;
use crate::pure::record::{Offset, TopicPartition};

const CLOSED: &str = "unreadable directory";

/// Not concerned: the answer is the same as of the whole archive.
const SAME: &str = "";

/// Kind of file, damage, and what `verify`, `where`, `explain` and `recount` say.
const TABLE: &[(&str, Damage, [&str; 4])] = &[
    ("data", Delete, ["missing file", "missing", "missing", "missing file"]),
    ("data", Lose, ["unreadable file"; 4]),
    ("counts", Lose, ["unreadable file"; 4]),
    ("staged", Lose, ["unreadable file"; 4]),
    ("data", Close("or.ders/hr=0"), [CLOSED, "unreadable", "unreadable file", CLOSED]),
    ("data", Unlist("or.ders/hr=0"), [CLOSED, CLOSED, SAME, CLOSED]),
    ("data", Close("other/team"), [CLOSED, SAME, SAME, CLOSED]),
    (
        "staged",
        Close("_alluvium/staging/or.ders/0/1"),
        [CLOSED, "unreadable", "unreadable", CLOSED],
    ),
    ("staged", Unlist("_alluvium/staging"), [CLOSED, SAME, "unpublished", CLOSED]),
    ("counts", Close("counts"), [CLOSED, "unreadable", "unreadable file", CLOSED]),
    ("data", Close("_alluvium/ledger"), [CLOSED; 4]),
    ("data", Unlist("_alluvium/ledger"), [CLOSED, SAME, CLOSED, CLOSED]),
    ("entry", Close("_alluvium/ledger/or.ders"), [CLOSED; 4]),
    ("data", Close("_alluvium/ledger/or.ders/0"), [CLOSED; 4]),
    ("entry", Close("_alluvium/ledger/or.ders/0/0"), [CLOSED; 4]),
    ("entry", Unlist("_alluvium/ledger/or.ders/0/0"), [CLOSED; 4]),
    ("identity", Close("_alluvium/ledger/or.ders"), [CLOSED; 4]),
    ("entry", Lose, ["unreadable entry"; 4]),
    ("tail", Lose, ["unreadable entry"; 4]),
    ("genesis", Lose, ["unreadable entry"; 4]),
    ("entry", Bloat, ["unreadable entry"; 4]),
    ("tail", Bloat, ["unreadable entry"; 4]),
    ("identity", Bloat, ["wrong identity"; 4]),
    ("data", Truncate, ["truncated file"; 4]),
    ("data", Empty, ["truncated file"; 4]),
    ("data", Grow, ["truncated file"; 4]),
    ("data", Flip, ["changed file"; 4]),
    ("data", Swap("other"), ["truncated file"; 4]),
    ("data", Swap("counts"), ["truncated file"; 4]),
    ("data", CopyTo("or.ders/hr=99/x.parquet"), ["foreign file", SAME, "does not have", "foreign"]),
    ("data", CopyTo("or.ders/x.parquet"), ["foreign file", SAME, "does not have", "foreign file"]),
    ("data", CopyTo(BESIDE), ["foreign file", "foreign", "foreign", "foreign file"]),
    ("data", CopyTo(AWAY), ["foreign file", SAME, "foreign", "foreign file"]),
    ("data", MoveTo(AWAY), ["missing file", "missing", "foreign", "missing file"]),
    ("counts", Delete, ["missing file", "missing", "missing", "missing file"]),
    ("counts", Truncate, ["truncated file"; 4]),
    ("counts", Empty, ["truncated file"; 4]),
    ("counts", Flip, ["changed file"; 4]),
    ("counts", Swap("data"), ["truncated file"; 4]),
    ("counts", CopyTo("counts/hr=99/x"), ["foreign file", SAME, "does not have", "foreign file"]),
    ("staged", Delete, ["missing file", "missing", "missing", "missing file"]),
    ("staged", Truncate, ["truncated file"; 4]),
    ("staged", Empty, ["truncated file"; 4]),
    ("staged", Flip, ["changed file"; 4]),
    ("staged", Swap("data"), ["truncated file"; 4]),
    ("entry", Delete, ["missing entry", "missing entry", "missing", "missing entry"]),
    ("entry", Truncate, ["unreadable entry"; 4]),
    ("entry", Empty, ["unreadable entry"; 4]),
    ("entry", Grow, ["unreadable entry"; 4]),
    ("entry", Swap("tail"), ["unreadable entry"; 4]),
    ("entry", Swap("data"), ["unreadable entry"; 4]),
    ("entry", MoveTo(OTHER_PLACE), ["unreadable entry"; 4]),
    ("entry", CopyTo(OTHER_LEDGER), ["wrong entry", SAME, "wrong entry", "wrong entry"]),
    ("entry", CopyTo(STRANGE_LEDGER), ["unreadable entry", SAME, "unreadable", "unreadable entry"]),
    ("entry", Edit("/version", "2"), ["version 2"; 4]),
    ("entry", Edit("/kind", "\"gap\""), ["wrong entry"; 4]),
    ("entry", Edit("/kind", "\"genesis\""), ["unreadable entry"; 4]),
    ("entry", Edit("/topic", "\"x\""), ["wrong entry"; 4]),
    ("entry", Edit("/incarnation", "1"), ["wrong entry"; 4]),
    ("entry", Edit("/partition", "1"), ["wrong entry"; 4]),
    ("entry", Edit("/from", "1"), ["unreadable entry"; 4]),
    ("entry", Edit("/to", "3"), ["wrong entry"; 4]),
    ("entry", Edit("/to", "5"), ["overlapping entry"; 4]),
    ("entry", Edit("/root", "\"x\""), ["wrong identity"; 4]),
    ("entry", Edit("/topic_id", "\"x\""), ["wrong entry"; 4]),
    ("entry", Edit("/files", "[]"), ["foreign file", "foreign", SAME, "foreign file"]),
    (
        "entry",
        Edit("/files/0/final", "\"or.ders/x\""),
        ["missing file", "missing", "wrong entry", "missing"],
    ),
    ("entry", Edit("/files/0/rows", "3"), ["wrong rows", "wrong rows", SAME, "wrong rows"]),
    ("entry", Edit("/files/0/bytes", "3"), ["truncated file", "truncated", SAME, "truncated"]),
    ("entry", Edit("/files/0/checksum", "\"0\""), ["changed file", "changed", SAME, "changed"]),
    (
        "entry",
        Edit("/files/0/first_offset", "1"),
        ["wrong rows", "wrong rows", "wrong entry", "wrong rows"],
    ),
    (
        "entry",
        Edit("/files/0/last_offset", "2"),
        ["wrong rows", "wrong rows", "wrong entry", "wrong rows"],
    ),
    ("entry", Edit("/files/0/last_offset", "9"), ["wrong entry"; 4]),
    // Nothing but the file says these; its bytes are as the entry says.
    ("second", Edit("/attempt", ATTEMPT), ["wrong entry", "wrong entry", SAME, "wrong entry"]),
    ("second", Edit("/files/0/min_time", "1"), ["wrong entry", "wrong entry", SAME, "wrong entry"]),
    ("second", Edit("/files/0/max_time", "1"), ["wrong entry", "wrong entry", SAME, "wrong entry"]),
    ("entry", Edit("/files/0/max_time", "9"), ["wrong entry", "wrong entry", SAME, "wrong entry"]),
    ("entry", Edit("/files/0/max_time", "null"), ["wrong entry"; 4]),
    ("entry", Edit("/files/0/min_time", "4000"), ["wrong entry"; 4]),
    ("entry", Edit("/files/0/staged", "\"1.staged\""), ["wrong entry"; 4]),
    ("entry", Edit("/p", "-1"), ["unreadable entry"; 4]),
    ("entry", Edit("/roll", "null"), ["wrong entry"; 4]),
    ("entry", Edit("/roll", "\"bored\""), ["wrong entry"; 4]),
    ("entry", Edit("/config", "\"x\""), ["wrong entry"; 4]),
    ("entry", Edit("/written_at", "-1"), ["wrong entry"; 4]),
    ("entry", Edit("/written_at", "9999999999999"), ["wrong entry", SAME, SAME, SAME]),
    ("genesis", Edit("/p", "1"), ["wrong entry"; 4]),
    ("genesis", Edit("/cause", "null"), ["wrong entry"; 4]),
    ("genesis", Edit("/roll", "\"size\""), ["wrong entry"; 4]),
    ("data", Replace, ["missing file", "missing", "missing", "missing file"]),
    ("entry", Replace, ["unreadable entry"; 4]),
    ("tail", Replace, ["unreadable entry"; 4]),
    ("identity", Replace, ["missing identity"; 4]),
    ("data", CopyTo("_alluvium/x"), ["foreign file", SAME, "does not have", "foreign file"]),
    ("data", CopyTo("_alluvium/ledger/x"), ["foreign file", SAME, "does not have", "foreign"]),
    ("data", CopyTo("_alluvium/staging/or.ders/0/0/x"), ["foreign file", SAME, SAME, "foreign"]),
    ("data", CopyTo(STAGED_AWAY), ["foreign file", SAME, SAME, "foreign file"]),
    ("tail", Delete, ["foreign file", "foreign", "missing", "foreign file"]),
    ("tail", Empty, ["unreadable entry"; 4]),
    ("tail", Edit("/to", "8"), ["wrong entry"; 4]),
    ("genesis", Delete, ["missing entry"; 4]),
    ("genesis", Empty, ["unreadable entry"; 4]),
    ("genesis", Edit("/to", "1"), ["overlapping entry"; 4]),
    ("counts-entry", Delete, ["foreign file", "foreign", "missing", "foreign file"]),
    ("counts-entry", Empty, ["unreadable entry"; 4]),
    ("identity", Delete, ["missing identity"; 4]),
    ("identity", Truncate, ["wrong identity"; 4]),
    ("identity", Empty, ["wrong identity"; 4]),
    ("identity", Edit("/root", "\"x\""), ["wrong identity"; 4]),
    ("identity", Edit("/version", "9"), ["wrong identity"; 4]),
    (
        "data",
        DeleteAll("_alluvium/ledger"),
        ["foreign file", NO_LEDGER, "foreign", "missing entry"],
    ),
    ("data", DeleteAll("_alluvium"), ["missing identity", NO_LEDGER, "foreign", "missing entry"]),
    ("data", DeleteAll(""), ["missing identity", NO_LEDGER, "missing", "missing entry"]),
];

const ATTEMPT: &str = "\"0123456789abcdef0123456789abcdef\"";
/// Of a partition that has no ledger.
const STAGED_AWAY: &str =
    "_alluvium/staging/or.ders/0/7/00000000000000000000-0123456789abcdef0123456789abcdef.0.staged";

const NO_LEDGER: &str = "no root has a ledger";

const BESIDE: &str =
    "or.ders/hr=0/part-or.ders-0-0-00000000000000000003-00000000000000000008.parquet";
const AWAY: &str =
    "or.ders/hr=9/part-or.ders-0-0-00000000000000000004-00000000000000000008.parquet";
const OTHER_HOUR: &str =
    "or.ders/hr=1/part-or.ders-0-0-00000000000000000000-00000000000000000003.parquet";
const OTHER_PLACE: &str = "_alluvium/ledger/or.ders/0/0/00000000000000000001.entry";
const OTHER_LEDGER: &str = "_alluvium/ledger/or.ders/0/2/00000000000000000000.entry";
const STRANGE_LEDGER: &str = "_alluvium/ledger/or.ders/0/x/00000000000000000000.entry";

/// The record that is asked for.
fn record_of(kind: &str) -> Of {
    match kind {
        "data" | "tail" | "identity" => ("or.ders", 0, 5),
        "staged" => ("or.ders", 1, 3),
        "second" => ("or.ders", 1, 1),
        "counts" | "counts-entry" => ("counts", 0, 1),
        _ => ("or.ders", 0, 2),
    }
}

const COMMANDS: [&str; 4] = ["verify", "where", "explain", "recount"];

#[tokio::test]
async fn the_whole_archive_is_called_whole() {
    is_called_whole(&Shape::usual()).await;
    for shape in Shape::others() {
        is_called_whole(&shape).await;
    }
}

async fn is_called_whole(shape: &Shape) {
    let archive = SampleArchive::of(shape).await;
    for (kind, _) in FILES {
        let path = archive.path(kind);
        let answers = archive.ask(*NOW, record_of(kind), &path).await;
        for (command, answer) in COMMANDS.iter().zip(answers) {
            // What is not published yet is whole, and readers don't see it.
            let want = if (kind, *command) == ("staged", "explain") { 65 } else { 0 };
            assert_eq!(answer.code, want, "{shape:?} {command} {kind}: {answer:#?}");
        }
    }
}

#[tokio::test]
async fn every_damage_is_named_by_every_command() {
    let mut wrong = wrong_answers(&Shape::usual()).await;
    for shape in Shape::others() {
        wrong.extend(wrong_answers(&shape).await);
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// What is said of a damage where the files say no more than their rows do.
fn without_footers(damage: &Damage, wanted: [&'static str; 4]) -> [&'static str; 4] {
    match damage {
        // The name of the attempt is in the footer.
        Edit("/attempt", _) => [SAME; 4],
        _ => wanted,
    }
}

/// The answers to damages of an archive of such files that are not those of the table.
async fn wrong_answers(shape: &Shape) -> Vec<String> {
    let mut wrong = Vec::new();
    for (kind, damage, wanted) in TABLE {
        let wanted = match shape.has_footer() {
            true => *wanted,
            false => without_footers(damage, *wanted),
        };
        let archive = SampleArchive::of(shape).await;
        let path = archive.path(kind);
        let asked = damage.of(&path, &archive);
        let answers = archive.ask(*NOW, record_of(kind), &asked).await;
        for ((command, answer), want) in COMMANDS.iter().zip(answers).zip(wanted) {
            let text = answer.lines.join("\n");
            let named = answer.code != 0 && text.contains(want) && !text.contains("whole:");
            if named == (want == SAME) {
                wrong.push(format!(
                    "{:?} {kind} {damage:?}: {command}, wanted {want:?}: {answer:#?}",
                    shape.format
                ));
            }
        }
    }
    wrong
}

/// No broker has the topics any more, and owners have died: whatever is damaged of one partition,
/// what was sealed of another one is named and appended, and no command ends before that.
#[tokio::test]
async fn a_damage_of_an_abandoned_partition_keeps_no_other_one_waiting() {
    let config = config();
    let none = Existing::default();
    let of = |topic: &str, partition| TopicPartition { topic: topic.into(), partition };
    for (kind, damage, _) in TABLE {
        if matches!(damage, DeleteAll(_)) {
            continue;
        }
        // What can't be listed above both of them hides both; verify and repair name it.
        let other = "_alluvium/ledger/or.ders/0/5";
        if matches!(damage, Close(at) | Unlist(at) if other.starts_with(at)) {
            continue;
        }
        let archive = SampleArchive::new().await;
        for (tp, offsets) in [(of("or.ders", 0), 9..12), (of("or.ders", 0), 2..3)] {
            let _ = archive.seal(&tp, offsets).await;
        }
        let _ = archive.entry(&of("or.ders", 5), EntryKind::Genesis, (0, 0), Vec::new()).await;
        let sealed = archive.seal(&of("or.ders", 5), 0..3).await;
        let _ = damage.of(&archive.path(kind), &archive);
        let store: Arc<dyn Store> = Arc::new(archive.store.clone());
        let all = under(&store, &config, &none, &|_, _| true).await.unwrap();
        let findings = abandoned_findings(&all).await.unwrap();
        assert!(findings.iter().any(|f| f.path == sealed), "{kind} {damage:?}: {findings:#?}");
        let staging = PartitionPaths::new("or.ders", 0, 0).staging();
        let damaged = findings.iter().any(|f| f.path == staging);
        let tail = matches!((*kind, damage), ("tail", Lose | Bloat | Empty | Truncate));
        assert!(!tail || damaged, "{kind} {damage:?}: {findings:#?}");
        for apply in [false, true] {
            let done = repair_all(&all, apply).await.unwrap();
            assert!(0 < done.repaired, "{kind} {damage:?}");
            assert_eq!(archive.store.lock().files.contains_key(&sealed), apply);
        }
        // Nobody looks at what was not asked for.
        let other = under(&store, &config, &none, &|topic, n| (topic, n) == ("or.ders", 5)).await;
        let staged = other.unwrap().iter().map(|found| found.partition).collect::<Vec<_>>();
        assert!(staged.iter().all(|n| *n == 5), "{staged:?}");
        // Ledgers are repaired whole, or refused; none ends the command.
        let _ = repair(&store, &config, |_| true, APPLY).await.unwrap();
    }
}

/// What is done to an archive, by the names of [`FILES`].
type Damages = &'static [(&'static str, Damage)];

/// What `repair` puts into a ledger that lacks an entry, and what `verify` says then: no record is
/// named twice, and what no file has any more is a gap.
#[tokio::test]
async fn an_entry_that_is_missing_is_put_back() {
    let holes = |repaired, refused| Holes { repaired, refused };
    let table: &[(Damages, Holes, &str)] = &[
        (&[], holes(0, 0), "whole"),
        (&[("entry", Delete)], holes(1, 0), "whole"),
        (&[("genesis", Delete)], holes(1, 0), "whole"),
        (&[("genesis", Delete), ("entry", Delete)], holes(2, 0), "whole"),
        (&[("entry", Delete), ("other", Delete)], holes(1, 0), "gap"),
        (&[("entry", Delete), ("other", MoveTo(OTHER_HOUR))], holes(1, 0), "whole"),
        (&[("entry", Delete), ("other", CopyTo(OTHER_HOUR))], holes(0, 1), "missing entry"),
        (&[("entry", Delete), ("data", CopyTo(BESIDE))], holes(0, 1), "missing entry"),
        (&[("entry", Delete), ("other", Truncate)], holes(0, 1), "missing entry"),
        (&[("second", Delete)], holes(1, 0), "whole"),
        (&[("entry", Empty)], holes(0, 1), "unreadable entry"),
        // Files that nobody sees may have the records of the hole.
        (&[("entry", Delete), ("data", Close("elsewhere"))], holes(0, 1), "missing entry"),
        (&[("data", Close("_alluvium/ledger/or.ders/0/0"))], holes(0, 1), CLOSED),
        (&[("data", Close("_alluvium/ledger"))], holes(0, 1), CLOSED),
    ];
    let shapes: Vec<Shape> = [Shape::usual()].into_iter().chain(Shape::others()).collect();
    let cases = shapes.iter().flat_map(|shape| table.iter().map(move |case| (shape, case)));
    for (shape, (damages, want, verdict)) in cases {
        let archive = SampleArchive::of(shape).await;
        for (kind, damage) in *damages {
            let _ = damage.of(&archive.path(kind), &archive);
        }
        let store: Arc<dyn Store> = Arc::new(archive.store.clone());
        let before = archive.store.lock().files.clone();
        assert_eq!(repair(&store, &config(), |_| true, SHOW).await.unwrap(), *want, "{damages:?}");
        assert!(before == archive.store.lock().files, "{damages:?}: it was only to be shown");
        assert_eq!(repair(&store, &config(), |_| true, APPLY).await.unwrap(), *want, "{damages:?}");
        let again = repair(&store, &config(), |_| true, APPLY).await.unwrap();
        assert_eq!((again.repaired, again.refused), (0, want.refused), "{damages:?}: again");
        let [verified, ..] = archive.ask(*NOW, ("or.ders", 0, 5), "").await;
        let text = verified.lines.join("\n");
        let named = text.contains(verdict) || *verdict == "whole" && verified.code == 0;
        assert!(named, "{:?} {damages:?}: {text}", shape.format);
    }
}

const SHOW: Choice = Choice { apply: false, give_up_staged: false };
const APPLY: Choice = Choice { apply: true, ..SHOW };

/// The entry of a partition's staged file is lost, and the ledger goes on behind it.
async fn hole_over_staged() -> (SampleArchive, Vec<u8>) {
    let archive = SampleArchive::new().await;
    let tp = TopicPartition { topic: "or.ders".into(), partition: 1 };
    archive.records(&tp, 5..7, 2_000, true).await;
    let entry = archive.store.lock().files.remove(STAGED_ENTRY).unwrap();
    (archive, entry)
}

const STAGED_ENTRY: &str = "_alluvium/ledger/or.ders/0/1/00000000000000000002.entry";

/// A gap is never put over records that lie in staging, unless a person says so.
#[tokio::test]
async fn what_is_staged_in_a_hole_is_no_gap() {
    let holes = |repaired, refused| Holes { repaired, refused };
    let give_up = Choice { give_up_staged: true, ..APPLY };
    let table = [
        // The manifest was not renamed: the attempt is appended.
        (true, APPLY, holes(1, 0), "whole"),
        (false, APPLY, holes(0, 1), "missing entry"),
        (false, give_up, holes(1, 0), "gap"),
    ];
    for (sealed, choice, want, verdict) in table {
        let (archive, entry) = hole_over_staged().await;
        if sealed {
            let manifest = archive.path("staged").replace(".0.staged", ".manifest");
            let _ = archive.store.lock().files.insert(manifest, entry);
        }
        let store: Arc<dyn Store> = Arc::new(archive.store.clone());
        let before = archive.store.lock().files.clone();
        let show = Choice { apply: false, ..choice };
        assert_eq!(
            repair(&store, &config(), |_| true, show).await.unwrap(),
            want,
            "{sealed} {choice:?}"
        );
        assert!(before == archive.store.lock().files, "{sealed} {choice:?}: only shown");
        assert_eq!(
            repair(&store, &config(), |_| true, choice).await.unwrap(),
            want,
            "{sealed} {choice:?}"
        );
        let [verified, ..] = archive.ask(*NOW, ("or.ders", 1, 3), "").await;
        let text = verified.lines.join("\n");
        let named = text.contains(verdict) || verdict == "whole" && verified.code == 0;
        assert!(named, "{sealed} {choice:?}: {text}");
        let staged = archive.store.lock().files.keys().any(|path| path.contains(".0.staged"));
        assert_eq!(staged, !sealed, "an attempt that is appended is published");
    }
}

/// Whichever byte is changed, and wherever a file is cut.
#[tokio::test]
async fn every_byte_of_every_file_counts() {
    let shapes: Vec<Shape> = [Shape::usual()].into_iter().chain(Shape::others()).collect();
    for (shape, (kind, _)) in shapes.iter().flat_map(|shape| FILES.map(|file| (shape, file))) {
        let size = {
            let archive = SampleArchive::of(shape).await;
            let path = archive.path(kind);
            archive.store.lock().files[&path].len()
        };
        for at in (0..size).step_by(size / 8 + 1) {
            let archive = SampleArchive::of(shape).await;
            let path = archive.path(kind);
            archive.store.lock().files.get_mut(&path).unwrap().truncate(at);
            let [verified, ..] = archive.ask(*NOW, record_of(kind), &path).await;
            assert_eq!(verified.code, 65, "{shape:?} {kind} cut at {at}: {verified:#?}");
        }
    }
}

#[tokio::test]
async fn what_is_not_published_for_long_is_a_finding() {
    let archive = SampleArchive::new().await;
    let (path, late) = (archive.path("staged"), *NOW + UNPUBLISHED_MS + 1);
    let [verified, located, ..] = archive.ask(late, record_of("staged"), &path).await;
    let text = verified.lines.join("\n");
    assert!(verified.code == 65 && text.contains("unpublished file: or.ders/hr=0/"), "{text}");
    assert!(located.code == 0 && located.lines.join("\n").contains("staged"), "{located:?}");
}

/// The file's name has the topic shortened.
#[tokio::test]
async fn a_file_of_a_long_topic_is_explained() {
    let archive = SampleArchive::new().await;
    let tp = TopicPartition { topic: "t".repeat(200).as_str().into(), partition: 0 };
    archive.entry(&tp, EntryKind::Genesis, (0, 0), Vec::new()).await;
    archive.records(&tp, 0..3, 1, true).await;
    let name = PartitionPaths::new(&tp.topic, 0, 0).file(Offset(0), Offset(2), "parquet");
    let answer = explain(&archive.store, &format!("{}/hr=0/{name}", tp.topic)).await.unwrap();
    assert!(answer.code == 0 && answer.lines.join("\n").contains("unchanged"), "{answer:#?}");
}
