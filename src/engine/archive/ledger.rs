//! The ledger of one partition, in a store.
//!
//! The decisions are [`crate::pure::protocol`]'s; here they are carried out, and ambiguous answers
//! are settled by looking.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clients::store::{ErrorKind, SMALL, Store, StoreError};
use crate::common::clock::Now;
use crate::common::config::FileProperties;
use crate::common::crash::{self, Step};
use crate::common::retry::{self, Pauses};
use crate::common::spawn::Panicked;
use crate::engine::topics::Role;
use crate::pure::formats::entry::{self, EntryError};
use crate::pure::layout::names::{self, MANIFEST, PartitionPaths};
use crate::pure::protocol::adopt;
use crate::pure::protocol::append::verdict;
use crate::pure::protocol::{
    AppendFacts, AppendVerdict, AttemptId, Entry, EntryKey, EntryKind, EntryName, FileRef,
    Identity, LedgerTail,
};
use crate::pure::record::{Offset, OffsetRange, TopicPartition};

/// One partition's ledger in a store.
#[derive(Clone)]
pub struct LedgerStore {
    pub store: Arc<dyn Store>,
    pub paths: PartitionPaths,
    /// What the store is told of the files of attempts, and of the directories that they come to;
    /// whoever has no configuration of the mapping says nothing of that.
    pub files: FileProperties,
}

/// A failed read of the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Try again later.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Stop: a person has to look.
    #[error("ledger entry {path}: {error}")]
    Entry { path: String, error: EntryError },
    /// Another program's file lies where a file of an entry belongs, and both are kept.
    #[error(
        "{path}, which {entry} names, is a file of another program: the archive's own file waits \
         at {staged}; move the other one away"
    )]
    Occupied { entry: String, path: String, staged: String },
    /// Nothing was decided by it: recovery looks at what there is.
    #[error("the archive task of the partition has panicked: {0}")]
    Died(#[from] Panicked),
    /// The task that carries out what a worker asks does not take commands any more.
    #[error("the archive task of the partition takes no more commands")]
    Gone,
}

impl LedgerError {
    /// Whether it is of this one ledger or file: others can be looked at all the same.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            LedgerError::Entry { .. } | LedgerError::Occupied { .. } => true,
            LedgerError::Store(e) => !e.kind.is_trouble(),
            LedgerError::Died(_) | LedgerError::Gone => false,
        }
    }
}

/// What came of an append.
#[derive(Debug)]
pub struct AppendAnswer {
    pub verdict: AppendVerdict,
    /// What the store said to the rename. [`None`] if it was a plain Ok; with
    /// [`AppendVerdict::Again`] it is always there, and is the reason.
    pub error: Option<StoreError>,
}

/// A rename that was refused may be taken a few seconds later: after three more tries the worker
/// handles the failure and reports it.
const APPEND_PAUSES: Pauses =
    Pauses { first: Duration::from_millis(400), longest: Duration::from_millis(3_200) };
const APPEND_RETRIES: usize = 3;

/// Milliseconds.
const DAY: i64 = 86_400_000;

impl LedgerStore {
    pub fn new(store: Arc<dyn Store>, paths: PartitionPaths) -> LedgerStore {
        LedgerStore { store, paths, files: FileProperties::default() }
    }

    pub(super) async fn entry(&self, key: EntryKey) -> Result<Option<Entry>, LedgerError> {
        let path = self.paths.entry(key);
        let text = match self.store.read_at_most(&path, SMALL).await {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(None),
            Err(e) if e.kind == ErrorKind::TooLarge => {
                let error = EntryError::Malformed(e.detail);
                return Err(LedgerError::Entry { path, error });
            }
            Err(e) => return Err(e.into()),
        };
        Entry::decode(key, &text).map(Some).map_err(|error| LedgerError::Entry { path, error })
    }

    /// Rule 3: from an entry that exists (the hint, else the greatest name in the ledger),
    /// follow `to`.
    pub async fn tail(&self, hint: Option<EntryKey>) -> Result<Option<Entry>, LedgerError> {
        let mut known = match hint {
            Some(key) => self.entry(key).await?,
            None => None,
        };
        if known.is_none() {
            let names = self.store.list(&self.paths.ledger()).await?;
            let Some(last) = names.iter().filter_map(|n| names::parse_entry(n)).max() else {
                return Ok(None);
            };
            known = self.entry(last).await?;
        }
        let Some(mut tail) = known else {
            return Ok(None);
        };
        while let Some(next) = self.entry(EntryKey::At(tail.to)).await? {
            tail = next;
        }
        crash::at(Step::TailRead);
        Ok(Some(tail))
    }

    /// Recovery's store half: the newest incarnation's tail, and every attempt that is left over
    /// settled. `adopt`: the log has lost the records behind the ledger's end; that of an older
    /// incarnation has lost all.
    pub async fn recover(
        &mut self,
        hint: Option<EntryName>,
        adopt: bool,
    ) -> Result<Recovered, LedgerError> {
        for incarnation in self.find_incarnation().await?.older {
            let older = LedgerStore { paths: self.paths.of(incarnation), ..self.clone() };
            let tail = older.tail(None).await?;
            let left = older.settle_all(tail.as_ref().map(Entry::head)).await?;
            if let Some(tail) = tail.filter(|_| !left.is_empty()) {
                let _ = older.adopt_behind(tail).await?;
            }
        }
        let incarnation = self.paths.incarnation();
        let hint = hint.filter(|name| name.incarnation == incarnation);
        let mut tail = self.tail(hint.map(|name| name.key)).await?;
        let left = self.settle_all(tail.as_ref().map(Entry::head)).await?;
        if let Some(known) = tail.take_if(|_| adopt && !left.is_empty()) {
            tail = Some(self.adopt_behind(known).await?);
        }
        // The owner that appended the tail may have died before its files were published. Files
        // of an old entry may have been deleted since, because they were not needed any more.
        let is_recent = |entry: &&Entry| Now::read().millis.saturating_sub(entry.written_at) < DAY;
        let lost = match tail.as_ref().filter(is_recent) {
            Some(entry) => self.lost(entry).await?,
            None => Vec::new(),
        };
        Ok(Recovered { tail: tail.as_ref().map(ledger_of), lost })
    }

    /// Turns to the newest incarnation that has a ledger of this partition, else to the topic's
    /// newest.
    pub async fn find_incarnation(&mut self) -> Result<Incarnations, LedgerError> {
        let names = self.store.list(&self.paths.ledgers()).await?;
        let mut all: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
        all.sort_unstable();
        let newest = all.last().copied().unwrap_or(0);
        let mut mine = newest;
        for incarnation in all.iter().rev().copied().filter(|_| 0 < mine) {
            if !self.store.list(&self.paths.of(incarnation).ledger()).await?.is_empty() {
                mine = incarnation;
                break;
            }
        }
        self.paths = self.paths.of(mine);
        all.retain(|older| *older < mine);
        Ok(Incarnations { older: all, newest })
    }

    /// Writes the manifest, the last file of an attempt.
    ///
    /// # Errors
    /// The store takes no file now, or the directory of the attempt's other files is gone.
    pub async fn write_manifest(&self, entry: &Entry) -> Result<(), StoreError> {
        let (key, id) = (entry.key(), entry.attempt);
        let mut file = match entry.files.is_empty() {
            true => self.stage(key, id, MANIFEST).await?,
            false => self.store.create(&self.paths.staged(key, id, MANIFEST)).await?,
        };
        file.write(Bytes::from(entry.encode())).await?;
        file.close().await?;
        crash::at(Step::ManifestClosed);
        Ok(())
    }

    /// Rule 6: sends the append, a few times if need be, and returns its result.
    ///
    /// # Errors
    /// The store did not answer when it was asked what the rename has done.
    pub async fn append(&self, key: EntryKey, id: AttemptId) -> Result<AppendAnswer, LedgerError> {
        let once = || async {
            match self.append_once(key, id).await {
                Ok(answer) if answer.verdict == AppendVerdict::Again => Err(Ok(answer)),
                Ok(answer) => Ok(answer),
                Err(e) => Err(Err(e)),
            }
        };
        let refused = |e: &Result<_, LedgerError>| e.is_ok();
        let done = retry::bounded(APPEND_PAUSES, APPEND_RETRIES, refused, once).await;
        done.or_else(|e| e)
    }

    async fn append_once(&self, key: EntryKey, id: AttemptId) -> Result<AppendAnswer, LedgerError> {
        let manifest = self.paths.staged(key, id, MANIFEST);
        crash::at(Step::AppendDue);
        let sent = self.store.rename(&manifest, &self.paths.entry(key)).await;
        let Err(e) = sent else {
            crash::at(Step::Appended);
            return Ok(AppendAnswer { verdict: AppendVerdict::Appended, error: None });
        };
        tracing::debug!(error = %e, "the append was not answered; reading the ledger");
        let manifest = self.store.length(&manifest).await?.is_some();
        let entry = self.entry(key).await?.map(|e| e.head());
        let verdict = verdict(AppendFacts { mine: id, entry, manifest });
        Ok(AppendAnswer { verdict, error: Some(e) })
    }

    /// Writes a small file, and deletes it: a store that answers reads alone fails here, before
    /// records are read that it does not take. What a crash leaves behind looks like an attempt,
    /// and is settled like one.
    ///
    /// # Errors
    /// The store takes no file now.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let id = new_attempt();
        let written = async {
            let mut file = self.stage(EntryKey::Genesis, id, MANIFEST).await?;
            file.write(Bytes::from_static(b"probe")).await?;
            file.close().await
        };
        let written = written.await;
        let path = self.paths.staged(EntryKey::Genesis, id, MANIFEST);
        let deleted = self.store.delete(&path).await;
        written.and(deleted)
    }

    /// Puts an entry without files (genesis, gap) unless one stands there already, or a sealed
    /// attempt has records of a gap: that one is appended, or the gap ends where it begins. What
    /// the entry names, if this very entry stands now. In any case the ledger is read again
    /// afterwards.
    ///
    /// # Errors
    /// The store does not answer, or refuses the entry again and again: its last error.
    pub async fn put(&self, entry: &Entry) -> Result<Option<OffsetRange>, LedgerError> {
        let mut entry = entry.clone();
        if entry.kind == EntryKind::Gap {
            let gap = OffsetRange { from: entry.from, to: entry.to };
            let limit = self.next_entry(gap.from).await?;
            let sealed = self.all_sealed(&entry).await?;
            entry.to = adopt::gap_end(sealed.clone(), gap);
            entry.p = entry.to;
            if let Some(sealed) = adopt::choose(sealed, gap.from, limit) {
                let _ = self.adopt(&sealed).await?;
                return Ok(None);
            }
        }
        self.store.make_dirs(&self.paths.ledger()).await?;
        self.write_manifest(&entry).await?;
        match self.append(entry.key(), entry.attempt).await? {
            AppendAnswer { verdict: AppendVerdict::Again, error: Some(e) } => Err(e.into()),
            answer => {
                let range = OffsetRange { from: entry.from, to: entry.to };
                Ok((answer.verdict == AppendVerdict::Appended).then_some(range))
            }
        }
    }
}

/// What recovery reads of a ledger.
pub struct Recovered {
    pub tail: Option<LedgerTail>,
    /// Files of the tail that are neither staged nor published.
    pub lost: Vec<FileRef>,
}

/// The lives of a topic that an archive knows of.
pub struct Incarnations {
    /// The incarnations before this partition's.
    pub older: Vec<u32>,
    /// The topic's newest incarnation.
    pub newest: u32,
}

/// What the protocol decides by, of a ledger that ends with this entry.
pub fn ledger_of(tail: &Entry) -> LedgerTail {
    let of = Identity { root: tail.root.clone(), topic_id: tail.topic_id.clone() };
    LedgerTail { tail: tail.head(), of: Arc::new(of), incarnation: tail.incarnation }
}

/// What all entries of one partition have in common.
#[derive(Clone, Debug)]
pub struct EntryTemplate {
    pub topic: String,
    pub incarnation: u32,
    pub partition: i32,
    pub root: String,
    pub topic_id: String,
    pub config: String,
}

impl EntryTemplate {
    /// The template of a partition in one incarnation of its topic.
    pub fn new(
        tp: &TopicPartition,
        incarnation: u32,
        role: &Role,
        topic_id: &str,
    ) -> EntryTemplate {
        EntryTemplate {
            topic: tp.topic.to_string(),
            incarnation,
            partition: tp.partition,
            root: role.root_id(),
            topic_id: topic_id.into(),
            config: role.archive.as_ref().map(|a| a.fingerprint.clone()).unwrap_or_default(),
        }
    }

    /// An entry without files; the caller adds what it has.
    pub fn entry(&self, kind: EntryKind, range: (Offset, Offset), now_ms: i64) -> Entry {
        Entry {
            version: entry::VERSION,
            kind,
            topic: self.topic.clone(),
            incarnation: self.incarnation,
            partition: self.partition,
            attempt: new_attempt(),
            from: range.0,
            to: range.1,
            files: Vec::new(),
            root: self.root.clone(),
            topic_id: self.topic_id.clone(),
            p: range.1,
            cause: None,
            roll: None,
            config: self.config.clone(),
            written_at: now_ms,
        }
    }
}

/// A name that no other attempt ever has.
pub fn new_attempt() -> AttemptId {
    AttemptId(uuid::Uuid::new_v4().as_u128())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::archive::examples;
    use crate::fakes::store::Memory;

    async fn put(store: &Memory, path: &str, bytes: &'static [u8]) {
        store.make_dirs(path.rsplit_once('/').expect("a directory").0).await.expect("made");
        let mut file = store.create(path).await.expect("created");
        file.write(Bytes::from_static(bytes)).await.expect("written");
        file.close().await.expect("closed");
    }

    /// What a person has to look at stops the partition; the store is not tried again for it.
    #[tokio::test]
    async fn a_file_of_gigabytes_is_no_entry() {
        let (memory, paths) = (Memory::default(), PartitionPaths::new("t", 0, 0));
        let ledger = LedgerStore::new(Arc::new(memory.clone()), paths.clone());
        let path = paths.entry(EntryKey::Genesis);
        put(&memory, &path, b"small, and none").await;
        let large = vec![0; usize::try_from(SMALL).expect("64 bits") + 1];
        let _ = memory.lock().files.insert(path.clone(), large);
        let refused = ledger.entry(EntryKey::Genesis).await;
        let Err(LedgerError::Entry { path: named, error }) = refused else { panic!("{refused:?}") };
        assert_eq!(named, path);
        assert!(matches!(error, EntryError::Malformed(_)), "{error}");
    }

    /// Even if it has the length of the file that belongs there.
    #[tokio::test]
    async fn a_file_of_another_program_is_never_taken_for_a_published_one() {
        let (memory, paths) = (Memory::default(), PartitionPaths::new("t", 0, 0));
        let ledger = LedgerStore::new(Arc::new(memory.clone()), paths.clone());
        let (id, path) = (new_attempt(), "t/dt=1/0-0.jsonl".to_string());
        let file = FileRef { path: path.clone(), ..examples::file(&paths, 0, 1) };
        let tp = TopicPartition { topic: "t".into(), partition: 0 };
        let template = EntryTemplate {
            topic: tp.topic.to_string(),
            incarnation: 0,
            partition: tp.partition,
            root: "root".into(),
            topic_id: "id".into(),
            config: String::new(),
        };
        let entry = Entry {
            attempt: id,
            files: vec![file],
            ..template.entry(EntryKind::Data, (Offset(0), Offset(1)), 0)
        };
        let staged = paths.staged(entry.key(), id, "0.staged");
        put(&memory, &staged, b"mine").await;
        put(&memory, &path, b"else").await;
        let published = ledger.publish(&entry).await;
        assert!(matches!(published, Err(LedgerError::Occupied { .. })), "{published:?}");
        assert_eq!(memory.length(&staged).await.expect("read"), Some(4), "the only copy is kept");
        memory.delete(&path).await.expect("deleted");
        assert_eq!(ledger.publish(&entry).await.expect("there is room now"), []);
        let read = memory.read(&path).await.expect("read");
        assert_eq!(read.as_deref(), Some(b"mine".as_slice()));
        // Another owner has published it already.
        assert_eq!(ledger.publish(&entry).await.expect("it is there"), []);
        // Somebody has deleted it, before or after its publication.
        memory.delete(&path).await.expect("deleted");
        assert_eq!(ledger.publish(&entry).await.expect("looked at"), entry.files);
        assert_eq!(ledger.lost(&entry).await.expect("looked at"), entry.files);
    }
}
