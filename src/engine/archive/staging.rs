//! What is staged of one partition: files of attempts are created, published and settled.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use crate::clients::store::{ErrorKind, StoreError, Writer};
use crate::common::config::FileProperties;
use crate::common::crash::{self, Step};
use crate::engine::archive::ledger::{LedgerError, LedgerStore};
use crate::pure::layout::names::{self, MANIFEST, PartitionPaths, StagedName};
use crate::pure::protocol::{AttemptId, Entry, EntryKey, FileRef, Head, Settle, settle};

/// Recovery looks for so many files of the tail; a backfill may have thousands.
const LOOKED_AT: usize = 64;

/// So many files are renamed at the same time.
const PUBLISHED_AT_ONCE: usize = 16;

/// What came of settling all that is staged of a partition.
#[derive(Default)]
pub struct Settled {
    /// The attempts that are left alone, because they may still be appended.
    pub left: Vec<AttemptId>,
    /// Why others could not be settled: a person has to look.
    pub damages: Vec<LedgerError>,
}

/// What is staged of an attempt.
#[derive(Default)]
struct StagedAttempt {
    /// Names of files, as entries have them, and perhaps [`MANIFEST`].
    files: Vec<String>,
    /// The first version made a directory, which contains the files.
    in_directory: bool,
}

impl StagedAttempt {
    /// Whether the manifest is among the files; then it is not any more.
    fn take_manifest(&mut self) -> bool {
        let before = self.files.len();
        self.files.retain(|name| name != MANIFEST);
        self.files.len() < before
    }
}

/// Where a file that an entry names is staged until it is published: by this version, and by the
/// first one.
pub fn staged_paths(paths: &PartitionPaths, entry: &Entry, file: &FileRef) -> [String; 2] {
    let (key, id) = (entry.key(), entry.attempt);
    let old = paths.old_attempt(key, id);
    [paths.staged(key, id, &file.staged), format!("{old}/{}", file.staged)]
}

/// Where a file is looked for, staged at these paths or published. In this order a rename in
/// between is seen.
pub fn looked_at<'a>(staged: &'a [String; 2], file: &'a FileRef) -> [&'a str; 4] {
    [&file.path, &staged[0], &staged[1], &file.path]
}

impl LedgerStore {
    /// The attempts of which something is staged.
    async fn staged(&self) -> Result<BTreeMap<(EntryKey, AttemptId), StagedAttempt>, LedgerError> {
        let mut all: BTreeMap<_, StagedAttempt> = BTreeMap::new();
        for name in self.store.list(&self.paths.staging()).await? {
            let Some(StagedName { key, id, file }) = names::parse_staged(&name) else {
                tracing::warn!(
                    code = "AL208",
                    name,
                    "a file or directory under staging does not belong to an attempt, and is left \
                     alone"
                );
                continue;
            };
            let attempt = all.entry((key, id)).or_default();
            match file {
                Some(file) => attempt.files.push(file.to_string()),
                None => attempt.in_directory = true,
            }
        }
        Ok(all)
    }

    /// Rule 7, for every attempt of which something is staged; the attempts that are left alone,
    /// because they may still be appended.
    ///
    /// # Errors
    /// The store does not answer; or an attempt can't be settled, and all others are.
    pub async fn settle_all(&self, tail: Option<Head>) -> Result<Vec<AttemptId>, LedgerError> {
        let Settled { left, damages } = self.settle_each(tail).await?;
        damages.into_iter().next().map_or(Ok(left), Err)
    }

    /// The same, for somebody who goes on with what is not damaged.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn settle_each(&self, tail: Option<Head>) -> Result<Settled, LedgerError> {
        let mut settled = Settled::default();
        for ((key, id), attempt) in self.staged().await? {
            match self.settle(tail, (key, id), attempt).await {
                Ok(true) => settled.left.push(id),
                Ok(false) => {}
                Err(e) if e.is_damage() => settled.damages.push(e),
                Err(e) => return Err(e),
            }
        }
        Ok(settled)
    }

    /// Whether the attempt is left alone.
    async fn settle(
        &self,
        tail: Option<Head>,
        (key, id): (EntryKey, AttemptId),
        mut attempt: StagedAttempt,
    ) -> Result<bool, LedgerError> {
        let entry = self.entry(key).await?;
        match settle(key, id, entry.as_ref().map(Entry::head), tail) {
            Settle::RollForward => {
                let entry = entry.expect("settle rolls forward what an entry names");
                // The ledger's tail is looked at by whoever recovers.
                let _ = self.publish_from(&entry, &attempt).await?;
                let is_named = |name: &String| entry.files.iter().any(|file| file.staged == *name);
                attempt.files.retain(|name| !is_named(name));
                self.delete(key, id, attempt).await?;
                crash::at(Step::RolledForward);
            }
            Settle::Delete if entry.is_none() && !self.is_passed(key).await? => {
                tracing::warn!(
                    code = "AL209",
                    staged = self.paths.staged(key, id, ""),
                    "an entry of the ledger is missing, and what is staged here may be all that \
                     is left of its records: alluvium repair puts the entry back"
                );
            }
            Settle::Delete => {
                crash::at(Step::SettleDecided);
                self.delete(key, id, attempt).await?;
            }
            Settle::HandsOff => return Ok(true),
        }
        Ok(false)
    }

    /// Whether an entry names the first record of an attempt whose own entry is not there. Where an
    /// entry was removed, none does.
    async fn is_passed(&self, key: EntryKey) -> Result<bool, LedgerError> {
        match key {
            EntryKey::Genesis => Ok(true),
            EntryKey::At(from) => self.is_covered(from).await,
        }
    }

    /// Settles after an append that was refused, because another entry stands at its place.
    pub async fn settle_lost(&self, key: EntryKey) -> Result<(), LedgerError> {
        let entry = self.entry(key).await?;
        match entry {
            Some(entry) => self.settle_all(Some(entry.head())).await.map(drop),
            None => Ok(()),
        }
    }

    /// Deletes what is staged of these attempts, whose append was never sent.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn discard(&self, attempts: &[(EntryKey, AttemptId)]) -> Result<(), LedgerError> {
        let mut staged = match attempts.is_empty() {
            true => BTreeMap::new(),
            false => self.staged().await?,
        };
        for (key, id) in attempts {
            crash::at(Step::LeaveDiscarding);
            let Some(mut attempt) = staged.remove(&(*key, *id)) else { continue };
            // Somebody else may have appended it (rule 11): only without its manifest can that not
            // happen any more.
            if attempt.take_manifest() {
                self.store.delete(&self.paths.staged(*key, *id, MANIFEST)).await?;
            }
            let entry = self.entry(*key).await?.filter(|entry| entry.attempt == *id);
            match entry {
                Some(entry) => drop(self.publish_from(&entry, &attempt).await?),
                None => self.delete(*key, *id, attempt).await?,
            }
        }
        Ok(())
    }

    /// The manifest goes first: an attempt without its files is never appended.
    async fn delete(
        &self,
        key: EntryKey,
        id: AttemptId,
        mut attempt: StagedAttempt,
    ) -> Result<(), StoreError> {
        attempt.files.sort_by_key(|name| name != MANIFEST);
        for name in &attempt.files {
            self.store.delete(&self.paths.staged(key, id, name)).await?;
        }
        match attempt.in_directory {
            true => self.store.delete(&self.paths.old_attempt(key, id)).await,
            false => Ok(()),
        }
    }

    /// Renames the files of an appended attempt to their final paths; those that are lost, because
    /// somebody has deleted them.
    ///
    /// # Errors
    /// The store does not answer, or a file of another program lies at a final path.
    pub async fn publish(&self, entry: &Entry) -> Result<Vec<FileRef>, LedgerError> {
        self.publish_from(entry, &StagedAttempt::default()).await
    }

    async fn publish_from(
        &self,
        entry: &Entry,
        attempt: &StagedAttempt,
    ) -> Result<Vec<FileRef>, LedgerError> {
        // Each is two or three calls, and an entry may name thousands.
        let mut lost = Vec::new();
        for some in entry.files.chunks(PUBLISHED_AT_ONCE) {
            let mut calls = Vec::with_capacity(some.len());
            for file in some {
                calls.push(self.publish_file(entry, attempt, file));
            }
            for file in join_all(calls).await {
                lost.extend(file?);
            }
        }
        crash::at(Step::Published);
        Ok(lost)
    }

    /// The file, if it is lost.
    async fn publish_file(
        &self,
        entry: &Entry,
        attempt: &StagedAttempt,
        file: &FileRef,
    ) -> Result<Option<FileRef>, LedgerError> {
        let [now, old] = staged_paths(&self.paths, entry, file);
        let staged = if attempt.in_directory { old } else { now };
        match self.bring(&staged, &file.path).await {
            Ok(()) => crash::at(Step::Renamed),
            Err(e) if matches!(e.kind, ErrorKind::NotFound | ErrorKind::AlreadyExists) => {
                // Somebody else was faster: then it lies at its place. A rename moves the only
                // copy, so what lies there while the staged file exists came otherwise.
                let found = self.store.length(&file.path).await?;
                match self.store.length(&staged).await? {
                    Some(_) if found.is_some() => {
                        let (entry, path) = (self.paths.entry(entry.key()), file.path.clone());
                        return Err(LedgerError::Occupied { entry, path, staged });
                    }
                    Some(_) => return Err(e.into()),
                    None if found == Some(file.bytes) => {}
                    None => return Ok(Some(file.clone())),
                }
            }
            Err(e) => return Err(e.into()),
        }
        Ok(None)
    }

    /// Those of an entry's first [`LOOKED_AT`] files that are neither staged nor published.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn lost(&self, entry: &Entry) -> Result<Vec<FileRef>, StoreError> {
        let mut lost = Vec::new();
        for file in entry.files.iter().take(LOOKED_AT) {
            let staged = staged_paths(&self.paths, entry, file);
            let mut is_there = false;
            for path in looked_at(&staged, file) {
                is_there = is_there || self.store.length(path).await?.is_some();
            }
            if !is_there {
                lost.push(file.clone());
            }
        }
        Ok(lost)
    }

    /// Renames a file to its final path. Most often other files lie there already: the directory
    /// is made only if the rename says that something is missing.
    async fn bring(&self, staged: &str, path: &str) -> Result<(), StoreError> {
        let renamed = self.store.rename(staged, path).await;
        match (renamed, path.rsplit_once('/')) {
            (Err(e), Some((parent, _))) if e.kind == ErrorKind::NotFound => {
                self.store.make_dirs_with(parent, &self.files).await?;
                self.store.rename(staged, path).await
            }
            (renamed, _) => renamed,
        }
    }

    /// Creates a file of an attempt. Most often the partition's staging directory is there: it is
    /// made only if the store says that something is missing.
    ///
    /// # Errors
    /// The store takes no file now.
    pub async fn stage(
        &self,
        key: EntryKey,
        id: AttemptId,
        name: &str,
    ) -> Result<Box<dyn Writer>, StoreError> {
        let path = self.paths.staged(key, id, name);
        // The manifest becomes a part of the ledger, which is the daemon's own.
        let plain = FileProperties::default();
        let of = if name == MANIFEST { &plain } else { &self.files };
        match self.store.create_with(&path, of).await {
            Err(e) if e.kind == ErrorKind::NotFound => {
                self.store.make_dirs(&self.paths.staging()).await?;
                self.store.create_with(&path, of).await
            }
            made => made,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::archive::examples;
    use crate::fakes::store::Memory;
    use crate::pure::protocol::EntryKind;
    use crate::pure::record::Offset;

    /// What a mapping says of its files is about files and their directories, and not about what
    /// is the daemon's own.
    #[tokio::test]
    async fn files_and_their_directories_have_what_the_mapping_says() {
        let memory = Memory::default();
        let files = FileProperties { group: Some("analysts".into()), ..FileProperties::default() };
        let plain = LedgerStore::new(Arc::new(memory.clone()), PartitionPaths::new("t", 0, 0));
        let ledger = LedgerStore { files: files.clone(), ..plain };
        let template = examples::template(&ledger.paths, "t", 0);
        let genesis = template.entry(EntryKind::Genesis, (Offset(0), Offset(0)), 0);
        assert!(ledger.put(&genesis).await.unwrap().is_some());
        let mut entry = template.entry(EntryKind::Data, (Offset(0), Offset(1)), 0);
        entry.files.push(FileRef {
            path: format!("t/dt=1/{}", ledger.paths.file(Offset(0), Offset(0), "jsonl")),
            ..examples::file(&ledger.paths, 0, 1)
        });
        examples::stage(&ledger, &entry).await;
        ledger.write_manifest(&entry).await.unwrap();
        let _ = ledger.append(entry.key(), entry.attempt).await.unwrap();
        assert!(ledger.publish(&entry).await.unwrap().is_empty());
        let memory = memory.lock();
        assert!(memory.files.contains_key(&entry.files[0].path));
        let with = memory.properties.iter().filter(|(_, of)| **of == files);
        let with: Vec<&str> = with.map(|(path, _)| path.as_str()).collect();
        let staged = ledger.paths.staged(entry.key(), entry.attempt, "0.staged");
        assert_eq!(with, [staged.as_str(), "t", "t/dt=1"]);
    }
}
