//! Attempts and entries as tests make them: one file whose rows have consecutive offsets.

use bytes::Bytes;

use crate::engine::archive::ledger::{EntryTemplate, LedgerStore};
use crate::pure::layout::names::{PartitionPaths, staged_name};
use crate::pure::protocol::{Entry, EntryKind, FileRef};
use crate::pure::record::Offset;

/// Entries of one partition.
pub(super) fn template(paths: &PartitionPaths, topic: &str, partition: i32) -> EntryTemplate {
    EntryTemplate {
        topic: topic.into(),
        incarnation: paths.incarnation(),
        partition,
        root: "root".into(),
        topic_id: "id".into(),
        config: String::new(),
    }
}

/// The rows `from..to` in one file of four bytes.
pub(super) fn file(paths: &PartitionPaths, from: i64, to: i64) -> FileRef {
    let (first_offset, last_offset) = (Offset(from), Offset(to - 1));
    FileRef {
        staged: staged_name(0),
        path: format!("t/{}", paths.file(first_offset, last_offset, "jsonl")),
        rows: (to - from) as u64,
        bytes: 4,
        checksum: String::new(),
        first_offset,
        last_offset,
        min_time: None,
        max_time: None,
    }
}

/// The entry of an attempt that has the rows `from..to`.
pub(super) fn data(paths: &PartitionPaths, of: &EntryTemplate, from: i64, to: i64) -> Entry {
    let mut entry = of.entry(EntryKind::Data, (Offset(from), Offset(to)), 0);
    entry.files.push(file(paths, from, to));
    entry
}

/// Writes the file of an attempt.
pub(super) async fn stage(ledger: &LedgerStore, entry: &Entry) {
    let (key, id) = (entry.key(), entry.attempt);
    let mut file = ledger.stage(key, id, &staged_name(0)).await.unwrap();
    file.write(Bytes::from_static(b"rows")).await.unwrap();
    file.close().await.unwrap();
}
