//! The archive task of one partition: it carries out what the worker asks of the store.
//!
//! Attempts are written and sealed in the order in which they are asked for. The append of a sealed
//! attempt comes before the next command of a later attempt: behind a store that is slow, it would
//! wait for all files that are on their way, and the ledger would fall behind ever further.
//!
//! The worker never waits for the store; it only looks at how much is under way. After a failure
//! the task ignores everything until it is told to recover.

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::clients::store::{ErrorKind, StoreError, Writer};
use crate::common::clock::Now;
use crate::common::crash::{self, Step};
use crate::common::spawn::{caught, spawn_detached};
use crate::engine::archive::commands::{
    Appending, ArchiveCommand, HandedOver, Inbox, Numbered, UnderWay,
};
use crate::engine::archive::ledger::{AppendAnswer, LedgerError, LedgerStore, Recovered};
use crate::engine::archive::open::{Growing, OpenFiles};
use crate::engine::archive::published::Published;
use crate::engine::archive::recent::{RecentRows, WhichEntries};
use crate::pure::fault::{PlantedFault, planted};
use crate::pure::layout::names::staged_name;
use crate::pure::protocol::machine::Ticket;
use crate::pure::protocol::{
    AppendVerdict, AttemptId, Entry, EntryKey, EntryKind, EntryName, FileRef, LedgerTail,
};
use crate::pure::record::OffsetRange;

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
    /// The rows of the newest entries, which are told before the ledger where they were asked for.
    Recent(Vec<RecentRows>),
    /// The incarnation, and its ledger if there is one.
    Ledger(Ticket, u32, Option<LedgerTail>),
    /// From here on everything is ignored, until [`ArchiveCommand::Recover`].
    Failed(LedgerError),
}

type Tell = dyn Fn(Event) + Send + Sync;

/// The worker's end.
pub struct Archiver {
    commands: mpsc::Sender<Numbered>,
    appends: mpsc::Sender<Appending>,
    /// How often it was told to recover, whether it took that or not.
    recoveries: AtomicU64,
    handed_over: Arc<HandedOver>,
    tell: Arc<Tell>,
    /// The task did not take a command, and the worker knows that; until the next
    /// [`ArchiveCommand::Recover`].
    gone: AtomicBool,
}

/// The staging directory is listed after each append while attempts of others lie there, and else
/// after this many appends: an owner that does not know of its loss may begin an attempt.
pub const APPENDS_A_LOOK: u32 = 64;

/// More than a partition can have under way: the worker stops reading long before, and one roll has
/// as many files as its directories are, 64 for each of 10,000 open ones at most.
const COMMANDS: usize = 1 << 20;

impl Archiver {
    pub fn spawn(
        ledger: LedgerStore,
        open_in_store: OpenFiles,
        tell: impl Fn(Event) + Send + Sync + 'static,
    ) -> Archiver {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (appends, appending) = mpsc::channel(COMMANDS);
        let handed_over = Arc::<HandedOver>::default();
        let tell: Arc<Tell> = Arc::new(tell);
        let task = ArchiveTask {
            ledger,
            open_in_store,
            tell: Arc::clone(&tell),
            handed_over: Arc::clone(&handed_over),
            recoveries: 0,
            open: None,
            sealed: HashMap::new(),
            unseen: APPENDS_A_LOOK,
            broken: false,
        };
        let inbox = Inbox { commands: inbox, appends: appending, next: None };
        spawn_detached("archiver", task.run(inbox));
        let (recoveries, gone) = (AtomicU64::new(0), AtomicBool::new(false));
        Archiver { commands, appends, recoveries, handed_over, tell, gone }
    }

    /// Hands over one command. If the task does not take it, the worker gets [`Event::Failed`], as
    /// for any other trouble on the way into the store.
    pub fn send(&self, command: ArchiveCommand) {
        if matches!(command, ArchiveCommand::Recover { .. }) {
            self.gone.store(false, Ordering::Relaxed);
            let _ = self.recoveries.fetch_add(1, Ordering::Relaxed);
        }
        let carried = command.carries();
        // Before the task takes it, and lowers the sums.
        self.handed_over.add(carried);
        let number = self.recoveries.load(Ordering::Relaxed);
        let is_taken = match command {
            ArchiveCommand::Append(id) => self.appends.try_send((number, id)).is_ok(),
            command => self.commands.try_send((number, command)).is_ok(),
        };
        if !is_taken {
            self.handed_over.remove(carried);
            if !self.gone.swap(true, Ordering::Relaxed) {
                tracing::error!(code = "AL902", "an archive task takes no more commands");
                (self.tell)(Event::Failed(LedgerError::Gone));
            }
        }
    }

    /// Bytes handed over and not yet taken by the store.
    pub fn under_way(&self) -> usize {
        self.handed_over.bytes()
    }

    /// Whether an attempt is to be sealed, and is not yet.
    pub fn is_sealing(&self) -> bool {
        0 < self.handed_over.seals()
    }

    /// Commands that wait.
    pub fn waiting(&self) -> usize {
        COMMANDS.saturating_sub(self.commands.capacity())
    }
}

struct ArchiveTask {
    ledger: LedgerStore,
    open_in_store: OpenFiles,
    tell: Arc<Tell>,
    handed_over: Arc<HandedOver>,
    /// The number of the recovery that it has begun last.
    recoveries: u64,
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

impl ArchiveTask {
    async fn run(mut self, mut inbox: Inbox) {
        while let Some((number, command)) = inbox.recv(self.recoveries).await {
            if matches!(command, ArchiveCommand::Recover { .. }) {
                self.recoveries = number;
            }
            let size = UnderWay { carried: command.carries(), all: Arc::clone(&self.handed_over) };
            let open = self.open.as_ref().map(|open| (open.key, open.id));
            // A panic is one more way to fail: the task goes on to hear that it is to recover.
            let done = caught(self.carry_out(command, size)).await;
            if let Err(panic) = &done {
                tracing::error!(code = "AL901", error = %panic, "an archive task has panicked");
            }
            if let Err(e) = done.unwrap_or_else(|panic| Err(panic.into())) {
                self.broken = true;
                self.open = None;
                self.clear_away(open, &e).await;
                (self.tell)(Event::Failed(e));
            }
        }
    }

    /// Another owner has settled an attempt while its author still wrote it, and it is never
    /// appended. Deletes what the author has written since.
    async fn clear_away(&self, open: Option<(EntryKey, AttemptId)>, error: &LedgerError) {
        let LedgerError::Store(StoreError { kind: ErrorKind::NotFound, .. }) = error else {
            return;
        };
        let discarded = self.ledger.discard(open.as_slice()).await;
        if let Err(error) = discarded {
            tracing::debug!(
                %error,
                "what was left of an attempt is deleted when staging is listed again"
            );
        }
    }

    async fn carry_out(
        &mut self,
        command: ArchiveCommand,
        size: UnderWay,
    ) -> Result<(), LedgerError> {
        match command {
            ArchiveCommand::Recover { ticket, probe, hint, discard, put, adopt, recent } => {
                self.broken = false;
                self.open = None;
                self.sealed.clear();
                self.unseen = APPENDS_A_LOOK;
                if probe {
                    self.ledger.probe().await?;
                }
                self.ledger.discard(&discard).await?;
                self.recover(ticket, hint, put, adopt, recent.as_ref()).await
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
            ArchiveCommand::Seal(entry) => self.seal(entry, size).await,
            ArchiveCommand::Append(id) => self.append(id).await,
        }
    }

    async fn recover(
        &mut self,
        ticket: Ticket,
        hint: Option<EntryName>,
        put: Option<Box<Entry>>,
        adopt: bool,
        recent: Option<&WhichEntries>,
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
        if let Some(which) = recent {
            (self.tell)(Event::Recent(self.ledger.recent(which, Now::read()).await?));
        }
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

    async fn seal(&mut self, entry: Box<Entry>, size: UnderWay) -> Result<(), LedgerError> {
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
        // The worker looks at this when it hears of the seal.
        drop(size);
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
            // Whoever appended before may have listed the staging directory for the last time.
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

    /// Settles what others left below the new tail, at each append after which the staging
    /// directory is listed; what a stop leaves is settled at the next recovery.
    async fn settle_others(&mut self, tail: &Entry) -> Result<(), LedgerError> {
        self.unseen = self.unseen.saturating_add(1);
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
    use std::sync::OnceLock;

    use parking_lot::Mutex;

    use super::*;
    use crate::common::config::FileProperties;
    use crate::engine::archive::examples;
    use crate::fakes::store::Memory;
    use crate::pure::layout::names::PartitionPaths;
    use crate::pure::record::Offset;

    const TICKET: Ticket = Ticket { epoch: 0, number: 0 };

    #[test]
    fn a_command_that_nobody_takes_is_told_once_and_is_not_under_way() {
        let (commands, inbox) = mpsc::channel(1);
        drop(inbox);
        let events = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&events);
        let tell: Arc<Tell> = Arc::new(move |event| to.lock().push(event));
        let (appends, _) = mpsc::channel(1);
        let (recoveries, gone) = (AtomicU64::new(0), AtomicBool::new(false));
        let handed_over = Arc::default();
        let archiver = Archiver { commands, appends, recoveries, handed_over, tell, gone };
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
        let (ticket, probe, hint, discard) = (TICKET, false, None, Vec::new());
        let (put, adopt, recent) = (None, false, None);
        let recover = ArchiveCommand::Recover { ticket, probe, hint, discard, put, adopt, recent };
        archiver.send(recover);
        assert_eq!(failures(), 2, "who waits for the ledger must hear that it does not come");
    }

    /// A worker reads faster than the store takes files. An append that waited for all of them
    /// would be late by their number, and by more of them each time.
    #[tokio::test]
    async fn an_append_does_not_wait_for_later_attempts() {
        const ATTEMPTS: i64 = 3;
        let paths = PartitionPaths::new("t", 0, 0);
        let (store, files) = (Arc::new(Memory::default()), FileProperties::default());
        let ledger = LedgerStore { store, paths: paths.clone(), files };
        let template = examples::template(&paths, "t", 0);
        let entries: Vec<Entry> =
            (0..ATTEMPTS).map(|at| examples::data(&paths, &template, at, at + 1)).collect();
        let ids: Vec<AttemptId> = entries.iter().map(|entry| entry.attempt).collect();
        let number = move |id: &AttemptId| ids.iter().position(|known| known == id).unwrap();
        let (archiver, events) = (Arc::new(OnceLock::<Archiver>::new()), Arc::default());
        let (to, log): (_, Arc<Mutex<Vec<String>>>) = (Arc::clone(&archiver), Arc::clone(&events));
        let tell = move |event: Event| {
            let to = to.get().expect("it was spawned before it tells anything");
            let told = match &event {
                Event::Ledger(..) => "ledger".into(),
                Event::Sealed(id) => {
                    // As a worker does.
                    to.send(ArchiveCommand::Append(*id));
                    format!("sealed {}", number(id))
                }
                Event::Answered(id, AppendVerdict::Appended, None) => {
                    format!("appended {}", number(id))
                }
                Event::Published(of) => format!("published {}", number(&of.id)),
                other => panic!("{other:?}"),
            };
            log.lock().push(format!("{told}{}", if to.is_sealing() { "" } else { ", all" }));
        };
        let archiver = archiver.get_or_init(|| Archiver::spawn(ledger, OpenFiles::default(), tell));
        let genesis = template.entry(EntryKind::Genesis, (Offset(0), Offset(0)), 0);
        let put = Some(Box::new(genesis));
        let (ticket, probe, hint, discard, adopt) = (TICKET, false, None, Vec::new(), false);
        let recent = None;
        let recover = ArchiveCommand::Recover { ticket, probe, hint, discard, put, adopt, recent };
        archiver.send(recover);
        for entry in entries {
            archiver.send(ArchiveCommand::Open { key: entry.key(), id: entry.attempt });
            let chunks = vec![Bytes::from_static(b"rows")];
            archiver.send(ArchiveCommand::WriteComplete { file: 0, chunks });
            archiver.send(ArchiveCommand::Seal(Box::new(entry)));
        }
        while !events.lock().iter().any(|event| event.starts_with("published 2")) {
            tokio::task::yield_now().await;
        }
        let events = events.lock().join("; ");
        assert_eq!(
            events,
            "ledger; sealed 0; appended 0; published 0; sealed 1; appended 1; published 1; \
             sealed 2, all; appended 2, all; published 2, all"
        );
    }
}
