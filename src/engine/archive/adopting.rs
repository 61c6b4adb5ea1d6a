//! Attempts that were sealed and not appended, because their owner died: others append them when
//! no log has their records any more (rule 11).

use crate::clients::store::{ErrorKind, SMALL, StoreError};
use crate::engine::archive::ledger::{LedgerError, LedgerStore};
use crate::pure::layout::names::{self, MANIFEST, StagedName};
use crate::pure::protocol::adopt::{self, Sealed};
use crate::pure::protocol::{AppendVerdict, AttemptId, Entry, EntryKey, EntryKind};
use crate::pure::record::Offset;

impl LedgerStore {
    /// Appends and publishes every sealed attempt that continues the ledger behind this tail; the
    /// tail then.
    ///
    /// # Errors
    /// The store does not answer, or refuses the append again and again.
    pub async fn adopt_behind(&self, tail: Entry) -> Result<Entry, LedgerError> {
        let mut tail = tail;
        while let Some(sealed) = self.sealed(&tail, tail.to, None).await? {
            if !self.adopt(&sealed).await? {
                let newer = self.tail(Some(tail.key())).await?;
                return Ok(newer.unwrap_or(tail));
            }
            tail = sealed;
        }
        Ok(tail)
    }

    /// The sealed attempt whose range begins here, if all of its files are there. `like`: an entry
    /// of the ledger that the attempt is to be in. `limit`: where the next entry begins.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn sealed(
        &self,
        like: &Entry,
        from: Offset,
        limit: Option<Offset>,
    ) -> Result<Option<Entry>, StoreError> {
        Ok(adopt::choose(self.all_sealed(like).await?, from, limit))
    }

    /// Every attempt that has a manifest. `like`: an entry of the ledger that the attempts are to
    /// be in.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn all_sealed(&self, like: &Entry) -> Result<Vec<Sealed<Entry>>, StoreError> {
        let mut found = Vec::new();
        for name in self.store.list(&self.paths.staging()).await? {
            if let Some(StagedName { key, id, file: Some(MANIFEST) }) = names::parse_staged(&name) {
                found.extend(self.sealed_attempt(like, key, id).await?);
            }
        }
        Ok(found)
    }

    /// The entry that a manifest would become. A manifest that is being written can't be read.
    async fn sealed_attempt(
        &self,
        like: &Entry,
        key: EntryKey,
        id: AttemptId,
    ) -> Result<Option<Sealed<Entry>>, StoreError> {
        let path = self.paths.staged(key, id, MANIFEST);
        let text = match self.store.read_at_most(&path, SMALL).await {
            Err(e) if e.kind == ErrorKind::TooLarge => return Ok(None),
            read => read?,
        };
        let Some(text) = text else { return Ok(None) };
        let entry = match Entry::decode(key, &text) {
            Ok(entry) => entry,
            Err(error) => {
                tracing::info!(
                    path, %error,
                    "a manifest in staging can't be read: its author has died while it was \
                     written, or it was damaged later; the files beside it are not appended"
                );
                return Ok(None);
            }
        };
        let of = |e: &Entry| {
            (e.topic.clone(), e.incarnation, e.partition, e.root.clone(), e.topic_id.clone())
        };
        let mut is_whole =
            entry.attempt == id && entry.kind == EntryKind::Data && of(&entry) == of(like);
        for file in &entry.files {
            let staged = self.paths.staged(key, id, &file.staged);
            is_whole = is_whole && self.store.length(&staged).await? == Some(file.bytes);
        }
        Ok(Some(Sealed { from: entry.from, to: entry.to, is_whole, name: entry }))
    }

    /// Appends and publishes a sealed attempt of anybody; false if another entry stands there, or
    /// if its author has deleted the attempt.
    ///
    /// # Errors
    /// The store does not answer, or refuses the append again and again.
    pub async fn adopt(&self, sealed: &Entry) -> Result<bool, LedgerError> {
        let answer = self.append(sealed.key(), sealed.attempt).await?;
        match (answer.verdict, answer.error) {
            (AppendVerdict::Appended, _) => {}
            (AppendVerdict::Again, Some(e)) => return Err(e.into()),
            (AppendVerdict::Again | AppendVerdict::Lost, _) => return Ok(false),
        }
        tracing::info!(
            entry = self.paths.entry(sealed.key()),
            from = sealed.from.0,
            to = sealed.to.0,
            "appended what an earlier owner had sealed: the log does not have these records any \
             more"
        );
        let _ = self.publish(sealed).await?;
        Ok(true)
    }

    /// Where the first entry behind this offset begins.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn next_entry(&self, from: Offset) -> Result<Option<Offset>, StoreError> {
        let names = self.store.list(&self.paths.ledger()).await?;
        let begins = names.iter().filter_map(|name| match names::parse_entry(name)? {
            EntryKey::At(at) if from < at => Some(at),
            _ => None,
        });
        Ok(begins.min())
    }

    /// Whether an entry names this offset. Where an entry was removed, none does.
    ///
    /// # Errors
    /// The store does not answer, or the entry can't be read.
    pub async fn is_covered(&self, offset: Offset) -> Result<bool, LedgerError> {
        let names = self.store.list(&self.paths.ledger()).await?;
        let keys = names.iter().filter_map(|name| names::parse_entry(name));
        let Some(before) = keys.filter(|key| *key <= EntryKey::At(offset)).max() else {
            return Ok(false);
        };
        let entry = self.entry(before).await?;
        // A ledger begins at its genesis entry: what lies before is of no ledger.
        Ok(entry.is_some_and(|e| offset < e.to))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::archive::examples;
    use crate::fakes::store::Memory;
    use crate::pure::layout::names::PartitionPaths;
    use crate::pure::record::OffsetRange;

    struct Archive {
        memory: Memory,
        ledger: LedgerStore,
    }

    impl Archive {
        /// A ledger whose genesis entry is at offset 0.
        async fn begin(incarnation: u32) -> Archive {
            let (memory, paths) = (Memory::default(), PartitionPaths::new("t", incarnation, 0));
            let ledger = LedgerStore::new(Arc::new(memory.clone()), paths);
            let archive = Archive { memory, ledger };
            let genesis = archive.entry(EntryKind::Genesis, 0, 0);
            assert!(archive.ledger.put(&genesis).await.unwrap().is_some());
            archive
        }

        fn entry(&self, kind: EntryKind, from: i64, to: i64) -> Entry {
            let template = examples::template(&self.ledger.paths, "t", 0);
            template.entry(kind, (Offset(from), Offset(to)), 0)
        }

        /// An attempt that was sealed, changed in this way.
        async fn seal(&self, from: i64, to: i64, change: impl FnOnce(&mut Entry)) -> Entry {
            let paths = &self.ledger.paths;
            let mut entry = self.entry(EntryKind::Data, from, to);
            entry.files.push(examples::file(paths, from, to));
            examples::stage(&self.ledger, &entry).await;
            change(&mut entry);
            self.ledger.write_manifest(&entry).await.unwrap();
            entry
        }

        async fn append(&self, entry: &Entry) {
            let _ = self.ledger.append(entry.key(), entry.attempt).await.unwrap();
            assert_eq!(self.ledger.publish(entry).await.unwrap(), []);
        }

        async fn end(&self) -> i64 {
            self.ledger.tail(None).await.unwrap().unwrap().to.0
        }

        fn has(&self, path: &str) -> bool {
            self.memory.lock().files.contains_key(path)
        }

        fn staged(&self) -> usize {
            let staging = self.ledger.paths.staging();
            let contents = self.memory.lock();
            contents.files.keys().filter(|path| path.starts_with(&staging)).count()
        }
    }

    #[tokio::test]
    async fn sealed_attempts_of_a_dead_owner_are_appended_where_the_log_has_lost_them() {
        let archive = Archive::begin(0).await;
        let nothing = |_: &mut Entry| ();
        // The one that reaches farthest, and the one behind it.
        let short = archive.seal(0, 2, nothing).await;
        let long = archive.seal(0, 3, nothing).await;
        let behind = archive.seal(3, 5, nothing).await;
        // These don't continue the ledger, or are not of it, or not whole.
        let _ = archive.seal(6, 9, nothing).await;
        let _ = archive.seal(5, 9, |entry| entry.topic_id = "other".into()).await;
        let _ = archive.seal(5, 9, |entry| entry.root = "other".into()).await;
        let _ = archive.seal(5, 9, |entry| entry.files[0].bytes = 5).await;
        let mut ledger = archive.ledger.clone();
        let recovered = ledger.recover(None, false).await.unwrap();
        assert_eq!(recovered.tail.unwrap().tail.to, Offset(0), "the log has the records still");
        let recovered = ledger.recover(None, true).await.unwrap();
        assert_eq!(recovered.tail.unwrap().tail.to, Offset(5));
        for entry in [&long, &behind] {
            assert!(archive.has(&entry.files[0].path));
        }
        assert!(!archive.has(&short.files[0].path));
        // What the ledger has passed is deleted by the next recovery.
        let _ = ledger.recover(None, false).await.unwrap();
        assert_eq!(archive.staged(), 4 * 2);
    }

    #[tokio::test]
    async fn a_gap_names_no_record_that_a_sealed_attempt_has() {
        let archive = Archive::begin(0).await;
        let sealed = archive.seal(0, 3, |_| ()).await;
        let gap = archive.entry(EntryKind::Gap, 0, 7);
        assert_eq!(archive.ledger.put(&gap).await.unwrap(), None, "the gap does not stand");
        assert_eq!(archive.end().await, 3);
        assert!(archive.has(&sealed.files[0].path));
        let inside = archive.seal(5, 6, |_| ()).await;
        for (from, to) in [(3, 5), (6, 7)] {
            let rest = archive.entry(EntryKind::Gap, from, 7);
            let range = OffsetRange { from: Offset(from), to: Offset(to) };
            assert_eq!(archive.ledger.put(&rest).await.unwrap(), Some(range));
            assert_eq!(archive.end().await, to);
            if from == 3 {
                let rest = archive.entry(EntryKind::Gap, 5, 7);
                assert_eq!(archive.ledger.put(&rest).await.unwrap(), None);
                assert!(archive.has(&inside.files[0].path));
            }
        }
    }

    /// An attempt that reaches into the next entry would double its records.
    #[tokio::test]
    async fn inside_of_a_ledger_an_attempt_must_fit() {
        let archive = Archive::begin(0).await;
        for (from, to) in [(0, 3), (3, 6), (6, 9)] {
            let entry = archive.seal(from, to, |_| ()).await;
            archive.append(&entry).await;
        }
        let removed = archive.ledger.paths.entry(EntryKey::At(Offset(3)));
        let _ = archive.memory.lock().files.remove(&removed);
        let _ = archive.seal(3, 7, |_| ()).await;
        let fitting = archive.seal(3, 5, |_| ()).await;
        // Nobody deletes what may be all that is left.
        let tail = archive.ledger.tail(None).await.unwrap();
        let _ = archive.ledger.settle_all(tail.as_ref().map(Entry::head)).await.unwrap();
        assert_eq!(archive.staged(), 2 * 2);
        let gap = archive.entry(EntryKind::Gap, 3, 6);
        assert_eq!(archive.ledger.put(&gap).await.unwrap(), None);
        let found = archive.ledger.entry(EntryKey::At(Offset(3))).await.unwrap();
        assert_eq!(found.map(|e| e.attempt), Some(fitting.attempt));
        // The entry names the first record of the other: it is passed.
        let _ = archive.ledger.settle_all(tail.as_ref().map(Entry::head)).await.unwrap();
        assert_eq!(archive.staged(), 0);
    }

    /// What its author deletes and somebody else appends at the same time is never torn.
    #[tokio::test]
    async fn an_attempt_that_somebody_else_has_appended_is_not_deleted_by_its_author() {
        for adopt in [false, true] {
            let archive = Archive::begin(0).await;
            let sealed = archive.seal(0, 3, |_| ()).await;
            if adopt {
                // The adopter dies before it has published.
                let _ = archive.ledger.append(sealed.key(), sealed.attempt).await.unwrap();
            }
            archive.ledger.discard(&[(sealed.key(), sealed.attempt)]).await.unwrap();
            assert_eq!(archive.has(&sealed.files[0].path), adopt);
            assert_eq!(archive.staged(), 0);
            assert!(!archive.ledger.adopt(&sealed).await.unwrap() || adopt);
            assert_eq!(archive.end().await, if adopt { 3 } else { 0 });
        }
    }

    #[tokio::test]
    async fn what_was_sealed_before_a_topic_was_made_again_is_appended() {
        let archive = Archive::begin(0).await;
        let sealed = archive.seal(0, 3, |_| ()).await;
        let paths = archive.ledger.paths.of(1);
        let newer = LedgerStore { paths, ..archive.ledger.clone() };
        let genesis = Entry { incarnation: 1, ..archive.entry(EntryKind::Genesis, 0, 0) };
        assert!(newer.put(&genesis).await.unwrap().is_some());
        let recovered = archive.ledger.clone().recover(None, false).await.unwrap();
        assert_eq!(recovered.tail.unwrap().incarnation, 1);
        assert_eq!(archive.end().await, 3);
        assert!(archive.has(&sealed.files[0].path));
        assert_eq!(archive.staged(), 0);
    }
}
