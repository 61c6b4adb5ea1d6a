//! The archive task of one partition: it carries out, in order, what the worker asks of the store.
//!
//! The worker never waits for the store; it only looks at how much is under way. After a failure
//! the task ignores everything until it is told to recover.

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::clients::store::{ErrorKind, StoreError, Writer};
use crate::common::crash::{self, Step};
use crate::common::spawn::{caught, spawn_detached};
use crate::engine::archive::ledger::{AppendAnswer, LedgerError, LedgerStore, Recovered};
use crate::engine::archive::open::{Growing, OpenFiles};
use crate::pure::fault::{PlantedFault, planted};
use crate::pure::layout::names::staged_name;
use crate::pure::protocol::machine::Ticket;
use crate::pure::protocol::{
    AppendVerdict, AttemptId, Entry, EntryKey, EntryKind, EntryName, FileRef, LedgerTail,
};
use crate::pure::record::OffsetRange;

/// What the worker asks for.
#[derive(Debug)]
pub enum ArchiveCommand {
    /// Begins an attempt.
    Open { key: EntryKey, id: AttemptId },
    /// The attempt's file number `file` will be open in the store; the place is given back when
    /// the file is closed.
    Grow { file: usize, place: Growing },
    /// A chunk of the attempt's file number `file`; the first one makes the file.
    Write { file: usize, bytes: Bytes },
    /// All of the attempt's file number `file`: it is made, written and closed.
    WriteComplete { file: usize, chunks: Vec<Bytes> },
    /// Closes all files, writes the manifest.
    Seal(Box<Entry>),
    /// Sends the append of a sealed attempt; when it stands, publishes.
    Append(AttemptId),
    /// Shows that the store takes a file if `probe` is set, deletes attempts whose append was never
    /// sent, puts the entry, then reads the ledger and settles; if `adopt` is set, appends what was
    /// sealed behind the ledger's end. The answer carries the ticket.
    Recover {
        ticket: Ticket,
        probe: bool,
        hint: Option<EntryName>,
        discard: Vec<(EntryKey, AttemptId)>,
        put: Option<Box<Entry>>,
        adopt: bool,
    },
}

impl ArchiveCommand {
    /// Bytes of the file that it carries.
    fn size(&self) -> usize {
        match self {
            ArchiveCommand::Write { bytes, .. } => bytes.len(),
            ArchiveCommand::WriteComplete { chunks, .. } => chunks.iter().map(Bytes::len).sum(),
            _ => 0,
        }
    }
}

/// What the task reports to the worker.
#[derive(Debug)]
pub enum Event {
    Sealed(AttemptId),
    /// What came of an append, and what the store said to it if that was no plain Ok.
    Answered(AttemptId, AppendVerdict, Option<StoreError>),
    /// All files are at their final places.
    Published(Published),
    /// A gap entry stands now that was asked for here: these offsets are lost.
    GapStands(OffsetRange),
    /// A file that an entry names is neither staged nor published; whether this was found when it
    /// was to be published, or at a recovery.
    FileLost {
        file: FileRef,
        at_publishing: bool,
    },
    /// The incarnation, and its ledger if there is one.
    Ledger(Ticket, u32, Option<LedgerTail>),
    /// From here on everything is ignored, until [`ArchiveCommand::Recover`].
    Failed(LedgerError),
}

/// An attempt that readers see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Published {
    pub id: AttemptId,
    pub files: usize,
    /// The sum of the bytes of all files.
    pub bytes: u64,
    /// The rule that ended the attempt.
    pub roll: String,
}

impl Published {
    fn of(entry: &Entry) -> Published {
        Published {
            id: entry.attempt,
            files: entry.files.len(),
            bytes: entry.files.iter().map(|f| f.bytes).sum(),
            roll: entry.roll.clone().unwrap_or_default(),
        }
    }
}

type Tell = dyn Fn(Event) + Send + Sync;

/// The worker's end.
pub struct Archiver {
    commands: mpsc::Sender<ArchiveCommand>,
    under_way: Arc<AtomicUsize>,
    tell: Arc<Tell>,
    /// The task did not take a command, and the worker knows that; until the next
    /// [`ArchiveCommand::Recover`].
    gone: AtomicBool,
}

/// The staging directory is looked at after each append while attempts of others lie there, and
/// else after this many appends: an owner that does not know of its loss may begin an attempt.
pub const APPENDS_A_LOOK: u32 = 64;

/// More than a partition can have under way: the worker stops reading long before.
const COMMANDS: usize = 16_384;

impl Archiver {
    pub fn spawn(
        ledger: LedgerStore,
        open_in_store: OpenFiles,
        tell: impl Fn(Event) + Send + Sync + 'static,
    ) -> Archiver {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let under_way = Arc::new(AtomicUsize::new(0));
        let tell: Arc<Tell> = Arc::new(tell);
        let task = ArchiveTask {
            ledger,
            open_in_store,
            tell: Arc::clone(&tell),
            under_way: Arc::clone(&under_way),
            open: None,
            sealed: HashMap::new(),
            unseen: APPENDS_A_LOOK,
            broken: false,
        };
        spawn_detached("archiver", task.run(inbox));
        Archiver { commands, under_way, tell, gone: AtomicBool::new(false) }
    }

    /// Hands over one command. If the task does not take it, the worker gets [`Event::Failed`], as
    /// for any other trouble on the way into the store.
    pub fn send(&self, command: ArchiveCommand) {
        if matches!(command, ArchiveCommand::Recover { .. }) {
            self.gone.store(false, Ordering::Relaxed);
        }
        let size = command.size();
        // Before the task takes it, and lowers the sum.
        let _ = self.under_way.fetch_add(size, Ordering::Relaxed);
        if self.commands.try_send(command).is_err() {
            let _ = self.under_way.fetch_sub(size, Ordering::Relaxed);
            if !self.gone.swap(true, Ordering::Relaxed) {
                tracing::error!("the archive task of a partition has ended");
                (self.tell)(Event::Failed(LedgerError::Gone));
            }
        }
    }

    /// Bytes handed over and not yet taken by the store.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Commands that wait.
    pub fn waiting(&self) -> usize {
        COMMANDS - self.commands.capacity()
    }
}

struct ArchiveTask {
    ledger: LedgerStore,
    open_in_store: OpenFiles,
    tell: Arc<Tell>,
    under_way: Arc<AtomicUsize>,
    open: Option<OpenAttempt>,
    sealed: HashMap<AttemptId, Box<Entry>>,
    /// Appends since the staging directory was seen to hold nothing of others.
    unseen: u32,
    broken: bool,
}

struct OpenAttempt {
    key: EntryKey,
    id: AttemptId,
    /// Files that grow, by number.
    files: BTreeMap<usize, Box<dyn Writer>>,
    /// Their places among the open files of the process.
    places: BTreeMap<usize, Growing>,
    /// Complete files on their way.
    complete: JoinSet<Result<(), StoreError>>,
}

/// Bytes that are under way until this is dropped.
struct UnderWay {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let _ = self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl ArchiveTask {
    async fn run(mut self, mut inbox: mpsc::Receiver<ArchiveCommand>) {
        while let Some(command) = inbox.recv().await {
            let size = UnderWay { bytes: command.size(), all: Arc::clone(&self.under_way) };
            let open = self.open.as_ref().map(|open| (open.key, open.id));
            // A panic is one more way to fail: the task goes on to hear that it is to recover.
            let done = caught(self.carry_out(command, size)).await;
            if let Err(panic) = &done {
                tracing::error!(error = %panic, "the archive task of a partition has panicked");
            }
            if let Err(e) = done.unwrap_or_else(|panic| Err(panic.into())) {
                self.broken = true;
                self.open = None;
                self.clear_away(open, &e).await;
                (self.tell)(Event::Failed(e));
            }
        }
    }

    /// Somebody has settled an attempt under its author, which was never to be appended. What the
    /// author has written since goes, too.
    async fn clear_away(&self, open: Option<(EntryKey, AttemptId)>, error: &LedgerError) {
        let LedgerError::Store(StoreError { kind: ErrorKind::NotFound, .. }) = error else {
            return;
        };
        let discarded = self.ledger.discard(open.as_slice()).await;
        if let Err(error) = discarded {
            tracing::debug!(%error, "an attempt that was settled goes with the next look");
        }
    }

    async fn carry_out(
        &mut self,
        command: ArchiveCommand,
        size: UnderWay,
    ) -> Result<(), LedgerError> {
        match command {
            ArchiveCommand::Recover { ticket, probe, hint, discard, put, adopt } => {
                self.broken = false;
                self.open = None;
                self.sealed.clear();
                self.unseen = APPENDS_A_LOOK;
                if probe {
                    self.ledger.probe().await?;
                }
                self.ledger.discard(&discard).await?;
                self.recover(ticket, hint, put, adopt).await
            }
            _ if self.broken => Ok(()),
            ArchiveCommand::Open { key, id } => {
                let (files, places, complete) = (BTreeMap::new(), BTreeMap::new(), JoinSet::new());
                self.open = Some(OpenAttempt { key, id, files, places, complete });
                Ok(())
            }
            ArchiveCommand::Grow { file, place } => {
                let open = self.open.as_mut().expect("the worker opens before it writes");
                let _ = open.places.insert(file, place);
                Ok(())
            }
            ArchiveCommand::Write { file, bytes } => self.write(file, bytes).await,
            ArchiveCommand::WriteComplete { file, chunks } => {
                self.complete(file, chunks, size).await
            }
            ArchiveCommand::Seal(entry) => self.seal(entry).await,
            ArchiveCommand::Append(id) => self.append(id).await,
        }
    }

    async fn recover(
        &mut self,
        ticket: Ticket,
        hint: Option<EntryName>,
        put: Option<Box<Entry>>,
        adopt: bool,
    ) -> Result<(), LedgerError> {
        if let Some(entry) = put {
            let stands = self.ledger.put(&entry).await?;
            crash::at(Step::GenesisPut);
            if let Some(range) = stands.filter(|_| entry.kind == EntryKind::Gap) {
                // This is reported at once: what follows may fail, and then this entry is found,
                // not put.
                (self.tell)(Event::GapStands(range));
            }
        }
        let Recovered { tail, lost } = self.ledger.recover(hint, adopt).await?;
        self.tell_lost(lost, false);
        (self.tell)(Event::Ledger(ticket, self.ledger.paths.incarnation(), tail));
        Ok(())
    }

    async fn write(&mut self, file: usize, bytes: Bytes) -> Result<(), LedgerError> {
        let open = self.open.as_mut().expect("the worker opens before it writes");
        let writer = match open.files.entry(file) {
            Slot::Occupied(known) => known.into_mut(),
            Slot::Vacant(new) => {
                let made = self.ledger.stage(open.key, open.id, &staged_name(file)).await?;
                crash::at(Step::AttemptMade);
                new.insert(made)
            }
        };
        writer.write(bytes).await?;
        crash::at(Step::MidFile);
        Ok(())
    }

    /// Begins to bring a complete file into the store, as soon as the process may open one more.
    async fn complete(
        &mut self,
        file: usize,
        chunks: Vec<Bytes>,
        size: UnderWay,
    ) -> Result<(), LedgerError> {
        let permit = self.open_in_store.complete().await;
        let open = self.open.as_mut().expect("the worker opens before it writes");
        let (key, id, ledger) = (open.key, open.id, self.ledger.clone());
        let open_in_store = self.open_in_store.clone();
        open.complete.spawn(async move {
            let _until_closed = size;
            let mut writer = ledger.stage(key, id, &staged_name(file)).await?;
            for bytes in chunks {
                writer.write(bytes).await?;
                crash::at(Step::MidFile);
            }
            if !ledger.store.completes_late() {
                let closed = writer.close().await;
                drop(permit);
                return closed;
            }
            let _closing = open_in_store.closing().await;
            drop(permit);
            writer.close().await
        });
        Ok(())
    }

    async fn seal(&mut self, entry: Box<Entry>) -> Result<(), LedgerError> {
        let mut open = self.open.take().expect("the worker opens before it seals");
        // All at once: HDFS may take half a second for each.
        for (number, mut file) in std::mem::take(&mut open.files) {
            let place = open.places.remove(&number);
            open.complete.spawn(async move {
                let _until_closed = place;
                file.close().await
            });
        }
        while let Some(closed) = open.complete.join_next().await {
            // A panic goes on here, where it is caught.
            closed.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))?;
        }
        crash::at(Step::FilesClosed);
        self.ledger.write_manifest(&entry).await?;
        let id = entry.attempt;
        let _ = self.sealed.insert(id, entry);
        (self.tell)(Event::Sealed(id));
        Ok(())
    }

    async fn append(&mut self, id: AttemptId) -> Result<(), LedgerError> {
        let Some(entry) = self.sealed.remove(&id) else {
            return Ok(());
        };
        if planted(PlantedFault::PublishFirst) {
            let _ = self.ledger.publish(&entry).await?;
        }
        let AppendAnswer { verdict, error } = self.ledger.append(entry.key(), id).await?;
        if verdict == AppendVerdict::Lost {
            // Whoever appended before may have looked at the staging directory for the last time.
            self.ledger.settle_lost(entry.key()).await?;
        }
        (self.tell)(Event::Answered(id, verdict, error));
        if verdict != AppendVerdict::Appended {
            // Not mine, or no answer that can be trusted: the worker has to recover.
            self.broken = true;
            return Ok(());
        }
        let lost = self.ledger.publish(&entry).await?;
        self.tell_lost(lost, true);
        self.settle_others(&entry).await?;
        (self.tell)(Event::Published(Published::of(&entry)));
        Ok(())
    }

    fn tell_lost(&self, lost: Vec<FileRef>, at_publishing: bool) {
        lost.into_iter().for_each(|file| (self.tell)(Event::FileLost { file, at_publishing }));
    }

    /// What others left below the new tail goes too, at each append after which staging is looked
    /// at; what a stop leaves goes at the next recovery.
    async fn settle_others(&mut self, tail: &Entry) -> Result<(), LedgerError> {
        self.unseen += 1;
        if self.unseen <= APPENDS_A_LOOK {
            return Ok(());
        }
        let left = self.ledger.settle_all(Some(tail.head())).await?;
        let open = self.open.as_ref().map(|open| open.id);
        let is_mine = |id: &AttemptId| open == Some(*id) || self.sealed.contains_key(id);
        if left.iter().all(is_mine) {
            self.unseen = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn a_command_that_nobody_takes_is_told_once_and_is_not_under_way() {
        let (commands, inbox) = mpsc::channel(1);
        drop(inbox);
        let events = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&events);
        let tell: Arc<Tell> = Arc::new(move |event| to.lock().push(event));
        let (under_way, gone) = (Arc::default(), AtomicBool::new(false));
        let archiver = Archiver { commands, under_way, tell, gone };
        for file in 0..2 {
            archiver.send(ArchiveCommand::Write { file, bytes: Bytes::from_static(b"ten bytes.") });
        }
        assert_eq!(archiver.under_way(), 0);
        let failures = || {
            let events = events.lock();
            assert!(
                events.iter().all(|e| matches!(e, Event::Failed(LedgerError::Gone))),
                "{events:?}"
            );
            events.len()
        };
        assert_eq!(failures(), 1);
        let ticket = Ticket { epoch: 0, number: 0 };
        archiver.send(ArchiveCommand::Recover {
            ticket,
            probe: false,
            hint: None,
            discard: Vec::new(),
            put: None,
            adopt: false,
        });
        assert_eq!(failures(), 2, "who waits for the ledger must hear that it does not come");
    }
}
