//! Files of text, whose lines do not say their offsets: what `repair` leaves alone, and what
//! `where` can say.

use std::sync::Arc;

use super::archive::{
    Delete, Edit, Empty, Flip, Grow, Lose, NOW, Of, SampleArchive, Truncate, config,
};
use crate::clients::store::Store;
use crate::outside::cli::holes::{Choice, Holes, repair};
use crate::outside::cli::locate::locate;
use crate::pure::layout::names::{PartitionPaths, staged_name};
use crate::pure::protocol::{Entry, EntryKind, FileRef};
use crate::pure::record::{Offset, TopicPartition};

/// A file of an attempt, at this place, with one row for each line.
fn file(
    tp: &TopicPartition,
    under: &str,
    extension: &str,
    (first, last): (i64, i64),
    bytes: &[u8],
) -> (FileRef, Vec<u8>) {
    let name = PartitionPaths::new(&tp.topic, 0, tp.partition).file(
        Offset(first),
        Offset(last),
        extension,
    );
    let file = FileRef {
        staged: String::new(),
        path: format!("{under}/{name}"),
        rows: bytes.iter().filter(|b| **b == b'\n').count() as u64,
        bytes: bytes.len() as u64,
        checksum: format!("{:08x}", crc32c::crc32c(bytes)),
        first_offset: Offset(first),
        last_offset: Offset(last),
        min_time: None,
        max_time: None,
    };
    (file, bytes.to_vec())
}

/// Two files of text with interleaved records, and a bad record between them; an entry behind that
/// one, so that the first can be missing.
async fn archive() -> (SampleArchive, TopicPartition, Entry) {
    let archive = SampleArchive::new().await;
    let tp = TopicPartition { topic: "text".into(), partition: 0 };
    archive.entry(&tp, EntryKind::Genesis, (0, 0), Vec::new()).await;
    let bad = b"{\"offset\":3,\"timestamp\":\"1970-01-01T00:00:00Z\"}\n";
    let (mut bad, bytes) = file(&tp, "_quarantine/text", "jsonl", (3, 3), bad);
    (bad.min_time, bad.max_time) = (Some(0), Some(0));
    let mut files = vec![
        file(&tp, "text/hr=0", "txt", (1, 6), b"a\nb\nc\n"),
        file(&tp, "text/hr=1", "txt", (2, 5), b"d\ne\n"),
        (bad, bytes),
    ];
    for (i, (file, _)) in files.iter_mut().enumerate() {
        file.staged = staged_name(i);
    }
    let (ledger, entry) = archive.entry(&tp, EntryKind::Data, (0, 8), files).await;
    ledger.publish(&entry).await.unwrap();
    archive.records(&tp, 8..9, 1_000, true).await;
    (archive, tp, entry)
}

/// Lines without offsets are compared with the entry by their bytes and their number.
#[tokio::test]
async fn damages_of_text_are_named() {
    for (damage, want) in [
        (Delete, "missing file"),
        (Lose, "unreadable file"),
        (Truncate, "truncated file"),
        (Empty, "truncated file"),
        (Grow, "truncated file"),
        (Flip, "changed file"),
        (Edit("/files/0/rows", "2"), "wrong rows"),
    ] {
        let (archive, tp, entry) = archive().await;
        let place = PartitionPaths::new(&tp.topic, 0, tp.partition).entry(entry.key());
        let path = if matches!(damage, Edit(..)) { &place } else { &entry.files[0].path };
        let _ = damage.of(path, &archive);
        let [verified, located, explained, _] =
            archive.ask(*NOW, ("text", 0, 6), &entry.files[0].path).await;
        let text = verified.lines.join("\n");
        assert!(verified.code == 65 && text.contains(want), "{damage:?}: {text}");
        if !matches!(damage, Edit(..)) {
            assert_ne!((located.code, explained.code), (0, 0), "{damage:?}: {located:#?}");
        }
    }
}

#[tokio::test]
async fn no_gap_is_put_over_text() {
    let (archive, tp, entry) = archive().await;
    let place = PartitionPaths::new(&tp.topic, 0, tp.partition).entry(entry.key());
    let lost = archive.store.lock().files.remove(&place).unwrap();
    let store: Arc<dyn Store> = Arc::new(archive.store.clone());
    let before = archive.store.lock().files.clone();
    for give_up_staged in [false, true] {
        let choice = Choice { apply: true, give_up_staged };
        let done = repair(&store, &config(), |_| true, choice).await.unwrap();
        assert_eq!(done, Holes { repaired: 0, refused: 1 });
        assert!(before == archive.store.lock().files, "nothing is put, beside the file either");
    }
    let _ = archive.store.lock().files.insert(place, lost);
    let done =
        repair(&store, &config(), |_| true, Choice { apply: true, give_up_staged: false }).await;
    assert_eq!(done.unwrap(), Holes::default(), "the entry of a backup fits");
}

#[tokio::test]
async fn a_file_that_knows_its_offsets_is_preferred_to_text() {
    let (archive, ..) = archive().await;
    let table: [(i64, &[&str], &[&str]); 4] = [
        (3, &["row      0 of 1", "quarantine:"], &["text/hr=0", "text/hr=1"]),
        (4, &["text/hr=0", "one of 3, or none", "text/hr=1", "one of 2, or none"], &["hole  "]),
        (6, &["text/hr=0", "one of 3, or none"], &["text/hr=1", "hole  "]),
        (7, &["hole  "], &["text/hr=0", "text/hr=1"]),
    ];
    for (offset, said, unsaid) in table {
        let (topic, partition, offset): Of = ("text", 0, offset);
        let answer = locate(&archive.store, topic, partition, offset).await.unwrap().unwrap();
        let text = answer.lines.join("\n");
        assert!(said.iter().all(|part| text.contains(part)), "{offset}: {text}");
        assert!(!unsaid.iter().any(|part| text.contains(part)), "{offset}: {text}");
        assert_eq!(answer.code, 0, "{text}");
    }
}

#[tokio::test]
async fn an_offset_that_is_not_archived_is_told_so() {
    let archive = SampleArchive::new().await;
    let tp = TopicPartition { topic: "begun".into(), partition: 0 };
    let _ = archive.entry(&tp, EntryKind::Genesis, (5, 5), Vec::new()).await;
    for (offset, found, said) in [
        (3, "before_start", "has this partition from offset 5 on"),
        (9, "not_archived", "not archived yet: the archive of this partition ends before offset 5"),
    ] {
        let answer = locate(&archive.store, "begun", 0, offset).await.unwrap().unwrap();
        let text = answer.lines.join("\n");
        assert!(answer.code == 65 && text.contains(said), "{offset}: {text}");
        assert_eq!(answer.values["found"], found, "{text}");
        assert_eq!(answer.values["archived_until"], 5, "{text}");
    }
}
