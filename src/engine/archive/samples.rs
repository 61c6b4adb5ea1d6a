//! Ledgers with attempts of dead owners, for tests.

use std::sync::Arc;

use crate::clients::store::Store;
use crate::engine::archive::examples;
use crate::engine::archive::ledger::{EntryTemplate, LedgerStore};
use crate::fakes::store::Memory;
use crate::pure::layout::names::PartitionPaths;
use crate::pure::protocol::{Entry, EntryKey, EntryKind};
use crate::pure::record::Offset;

/// A root with ledgers of partitions of the topic `a b`.
pub(crate) struct Samples {
    pub(crate) memory: Memory,
    pub(crate) store: Arc<dyn Store>,
}

impl Samples {
    pub(crate) async fn begin(partitions: &[i32]) -> Samples {
        let memory = Memory::default();
        let store: Arc<dyn Store> = Arc::new(memory.clone());
        let samples = Samples { memory, store };
        for partition in partitions {
            let genesis =
                samples.template(*partition).entry(EntryKind::Genesis, (Offset(0), Offset(0)), 0);
            assert!(samples.ledger(*partition).put(&genesis).await.unwrap().is_some());
        }
        samples
    }

    fn template(&self, partition: i32) -> EntryTemplate {
        examples::template(&self.ledger(partition).paths, "a b", partition)
    }

    pub(crate) fn ledger(&self, partition: i32) -> LedgerStore {
        let paths = PartitionPaths::new("a b", 0, partition);
        LedgerStore::new(Arc::clone(&self.store), paths)
    }

    /// Writes the file of an attempt; and its manifest, if it is sealed.
    pub(crate) async fn stage(&self, partition: i32, from: i64, to: i64, is_sealed: bool) -> Entry {
        let ledger = self.ledger(partition);
        let entry = examples::data(&ledger.paths, &self.template(partition), from, to);
        examples::stage(&ledger, &entry).await;
        if is_sealed {
            ledger.write_manifest(&entry).await.unwrap();
        }
        entry
    }

    /// Makes an entry that nobody can read.
    pub(crate) fn spoil(&self, partition: i32, key: EntryKey) {
        let path = self.ledger(partition).paths.entry(key);
        let spoiled = self.memory.lock().files.insert(path, b"{".to_vec());
        assert!(spoiled.is_some(), "there is such an entry");
    }

    /// Whether the file of an attempt is published.
    pub(crate) fn has(&self, entry: &Entry) -> bool {
        self.memory.lock().files.contains_key(&entry.files[0].path)
    }

    pub(crate) fn is_staged(&self, entry: &Entry) -> bool {
        let ledger = self.ledger(entry.partition);
        let path = ledger.paths.staged(entry.key(), entry.attempt, "0.staged");
        self.memory.lock().files.contains_key(&path)
    }
}
