//! What the newest entries of a ledger say of bad records: `max_bad` outlives a restart by it.
//!
//! The ledger names each file with its rows, and those of the quarantine are bad records. What was
//! left out (`on_bad_record = "skip"`) is in no file, so the ledger cannot tell how many that were.

use std::time::Duration;

use crate::common::clock::Now;
use crate::engine::archive::ledger::{LedgerError, LedgerStore};
use crate::pure::layout::names::{self, is_quarantined};
use crate::pure::protocol::{Entry, EntryKey, EntryKind};

/// So many entries are read at most: a partition with more of them in a time has small files, and
/// its owner is not to wait for the store.
const MOST_ENTRIES: usize = 200;

/// Which entries a worker asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WhichEntries {
    /// How long ago they may have been written at most.
    pub within: Duration,
    /// The settings that they were written with; other settings may have made other records bad.
    pub config: String,
}

/// The rows of one entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecentRows {
    pub all: u64,
    /// Those of the quarantine.
    pub bad: u64,
    /// When the entry was written, milliseconds.
    pub written_at: i64,
}

impl RecentRows {
    fn of(entry: &Entry) -> RecentRows {
        let rows = |of: fn(&str) -> bool| {
            let files = entry.files.iter().filter(|file| of(&file.path));
            files.map(|file| file.rows).fold(0, u64::saturating_add)
        };
        let written_at = entry.written_at;
        RecentRows { all: rows(|_| true), bad: rows(is_quarantined), written_at }
    }

    /// How long ago it was written; clocks of two hosts may differ.
    #[must_use]
    pub fn age(&self, now: Now) -> Duration {
        Duration::from_millis(now.millis.saturating_sub(self.written_at).max(0).unsigned_abs())
    }
}

impl LedgerStore {
    /// The rows of the newest entries, from the newest one back to one that is too old or was
    /// written with other settings. A damaged entry ends them, too: what the partition needs of
    /// the ledger is read elsewhere, and an older entry is not a reason to stop it.
    ///
    /// # Errors
    /// The store does not answer.
    pub(super) async fn recent(
        &self,
        which: &WhichEntries,
        now: Now,
    ) -> Result<Vec<RecentRows>, LedgerError> {
        let names = self.store.list(&self.paths.ledger()).await?;
        let mut keys: Vec<EntryKey> =
            names.iter().filter_map(|name| names::parse_entry(name)).collect();
        keys.sort_unstable_by_key(|key| std::cmp::Reverse(*key));
        let mut recent = Vec::new();
        for key in keys.into_iter().take(MOST_ENTRIES) {
            let entry = match self.entry(key).await {
                Ok(Some(entry)) => entry,
                Ok(None) | Err(LedgerError::Entry { .. }) => break,
                Err(e) => return Err(e),
            };
            if entry.kind != EntryKind::Data {
                continue;
            }
            let rows = RecentRows::of(&entry);
            if entry.config != which.config || which.within < rows.age(now) {
                break;
            }
            recent.push(rows);
        }
        Ok(recent)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::clients::store::Store as _;
    use crate::engine::archive::examples;
    use crate::fakes::store::Memory;
    use crate::pure::layout::names::PartitionPaths;
    use crate::pure::record::Offset;

    /// Ten rows, four of them bad, in an entry that was written so long ago.
    async fn put(store: &Memory, paths: &PartitionPaths, from: i64, age: i64, config: &str) {
        let template = examples::template(paths, "t", 0);
        let mut entry = examples::data(paths, &template, from, from + 10);
        entry.files[0].rows = 6;
        let mut bad = entry.files[0].clone();
        (bad.path, bad.rows) = (format!("_quarantine/{}", bad.path), 4);
        entry.files.push(bad);
        (entry.written_at, entry.config) = (Now::read().millis - age, config.into());
        let path = paths.entry(entry.key());
        store.make_dirs(path.rsplit_once('/').unwrap().0).await.unwrap();
        let mut file = store.create(&path).await.unwrap();
        file.write(Bytes::from(entry.encode())).await.unwrap();
        file.close().await.unwrap();
    }

    #[tokio::test]
    async fn entries_count_that_are_new_and_of_the_same_settings() {
        let (memory, paths) = (Memory::default(), PartitionPaths::new("t", 0, 0));
        let ledger = LedgerStore::new(Arc::new(memory.clone()), paths.clone());
        let which = WhichEntries { within: Duration::from_secs(600), config: "same".into() };
        let recent = async || ledger.recent(&which, Now::read()).await.unwrap();
        assert_eq!(recent().await, [], "a ledger that is not there yet");
        for (from, age, config) in [
            (0, 10_000, "same"),
            (10, 20_000, "other"),
            (20, 700_000, "same"),
            (30, 500_000, "same"),
            (40, 100_000, "same"),
            // Of a host whose clock is ahead.
            (50, -9_000, "same"),
        ] {
            put(&memory, &paths, from, age, config).await;
        }
        let rows: Vec<(u64, u64, u64)> = recent()
            .await
            .iter()
            .map(|rows| (rows.all, rows.bad, rows.age(Now::read()).as_secs() / 100))
            .collect();
        assert_eq!(rows, [(10, 4, 0), (10, 4, 1), (10, 4, 5)], "the newest first");
        let path = paths.entry(EntryKey::At(Offset(40)));
        memory.delete(&path).await.unwrap();
        let mut damaged = memory.create(&path).await.unwrap();
        damaged.write(Bytes::from_static(b"damaged")).await.unwrap();
        damaged.close().await.unwrap();
        assert_eq!(recent().await.len(), 1, "what is older than a damaged entry is not known");
        put(&memory, &paths, 60, 0, "other").await;
        assert_eq!(recent().await, [], "other settings have begun since");
    }
}
