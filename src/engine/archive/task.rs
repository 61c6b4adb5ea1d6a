//! One partition's way into the store: a task that carries out, in order, what the worker asks.
//!
//! The worker never waits for the store; it only looks at how much is under way. After a failure
//! the task ignores everything until it is told to recover.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::clients::store::Writer;
use crate::common::crash::{self, Step};
use crate::engine::archive::ledger::{Books, BooksError};
use crate::pure::fault::{Fault, planted};
use crate::pure::protocol::{AppendVerdict, AttemptId, Entry, EntryKey, EntryName, Ledger};

/// What the worker asks for.
#[derive(Debug)]
pub enum Command {
    /// Makes the attempt's directory.
    Open { key: EntryKey, id: AttemptId },
    /// A chunk of the attempt's file number `file`; the first one makes the file.
    Write { file: usize, bytes: Bytes },
    /// Closes all files, checks their lengths, writes the manifest.
    Seal(Box<Entry>),
    /// Sends the append of a sealed attempt; when it stands, publishes.
    Append(AttemptId),
    /// Deletes attempts whose append was never tried, then reads the ledger and settles.
    Recover {
        hint: Option<EntryName>,
        discard: Vec<(EntryKey, AttemptId)>,
        put: Option<Box<Entry>>,
    },
}

/// What the worker is told.
#[derive(Debug)]
pub enum Event {
    Sealed(AttemptId),
    Answered(AttemptId, AppendVerdict),
    /// All files are at their final places.
    Published(AttemptId),
    /// The incarnation, and its ledger if there is one.
    Ledger(u32, Option<Ledger>),
    Failed(BooksError),
}

/// The worker's end.
pub struct Archiver {
    commands: mpsc::Sender<Command>,
    under_way: Arc<AtomicUsize>,
}

/// More than a partition can have under way: the worker stops reading long before.
const COMMANDS: usize = 16_384;

impl Archiver {
    pub fn spawn(books: Books, tell: impl Fn(Event) + Send + Sync + 'static) -> Archiver {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let under_way = Arc::new(AtomicUsize::new(0));
        let state = State {
            books,
            tell: Box::new(tell),
            under_way: Arc::clone(&under_way),
            open: None,
            sealed: HashMap::new(),
            broken: false,
        };
        drop(tokio::spawn(state.run(inbox)));
        Archiver { commands, under_way }
    }

    /// Hands over one command; false if nobody takes it any more.
    pub fn send(&self, command: Command) -> bool {
        if let Command::Write { bytes, .. } = &command {
            let _ = self.under_way.fetch_add(bytes.len(), Ordering::Relaxed);
        }
        self.commands.try_send(command).is_ok()
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

struct State {
    books: Books,
    tell: Box<dyn Fn(Event) + Send + Sync>,
    under_way: Arc<AtomicUsize>,
    open: Option<Open>,
    sealed: HashMap<AttemptId, Box<Entry>>,
    broken: bool,
}

struct Open {
    directory: String,
    files: Vec<Box<dyn Writer>>,
}

impl State {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        while let Some(command) = inbox.recv().await {
            let size = if let Command::Write { bytes, .. } = &command { bytes.len() } else { 0 };
            let done = match command {
                Command::Recover { hint, discard, put } => {
                    self.broken = false;
                    self.open = None;
                    self.sealed.clear();
                    self.recover(hint, discard, put).await
                }
                _ if self.broken => Ok(()),
                Command::Open { key, id } => self.open(key, id).await,
                Command::Write { file, bytes } => self.write(file, bytes).await,
                Command::Seal(entry) => self.seal(entry).await,
                Command::Append(id) => self.append(id).await,
            };
            let _ = self.under_way.fetch_sub(size, Ordering::Relaxed);
            if let Err(e) = done {
                self.broken = true;
                self.open = None;
                (self.tell)(Event::Failed(e));
            }
        }
    }

    async fn recover(
        &mut self,
        hint: Option<EntryName>,
        discard: Vec<(EntryKey, AttemptId)>,
        put: Option<Box<Entry>>,
    ) -> Result<(), BooksError> {
        for (key, id) in discard {
            crash::at(Step::LeaveDiscarding);
            self.books.store.delete(&self.books.places.attempt(key, id)).await?;
        }
        if let Some(entry) = put {
            self.books.put(&entry).await?;
            crash::at(Step::GenesisPut);
        }
        let ledger = self.books.recover(hint).await?;
        (self.tell)(Event::Ledger(self.books.places.incarnation(), ledger));
        Ok(())
    }

    async fn open(&mut self, key: EntryKey, id: AttemptId) -> Result<(), BooksError> {
        let directory = self.books.places.attempt(key, id);
        self.books.store.make_dirs(&directory).await?;
        crash::at(Step::AttemptMade);
        self.open = Some(Open { directory, files: Vec::new() });
        Ok(())
    }

    async fn write(&mut self, file: usize, bytes: Bytes) -> Result<(), BooksError> {
        let open = self.open.as_mut().expect("the worker opens before it writes");
        while open.files.len() <= file {
            let path = format!("{}/{}", open.directory, staged_name(open.files.len()));
            open.files.push(self.books.store.create(&path).await?);
        }
        if !bytes.is_empty() {
            open.files[file].write(bytes).await?;
            crash::at(Step::MidFile);
        }
        Ok(())
    }

    async fn seal(&mut self, entry: Box<Entry>) -> Result<(), BooksError> {
        let mut open = self.open.take().expect("the worker opens before it seals");
        // All at once: HDFS may take half a second for each.
        let mut closing = JoinSet::new();
        for mut file in std::mem::take(&mut open.files) {
            let _ = closing.spawn(async move { file.close().await });
        }
        for closed in closing.join_all().await {
            closed?;
        }
        crash::at(Step::FilesClosed);
        for file in &entry.files {
            let path = format!("{}/{}", open.directory, file.staged);
            let found = self.books.store.length(&path).await?;
            if found != Some(file.bytes) {
                return Err(BooksError::Missing {
                    entry: format!(
                        "the sealed attempt {} ({found:?} bytes found, {} written)",
                        entry.attempt, file.bytes
                    ),
                    path,
                });
            }
        }
        self.books.write_manifest(&entry).await?;
        let id = entry.attempt;
        let _ = self.sealed.insert(id, entry);
        (self.tell)(Event::Sealed(id));
        Ok(())
    }

    async fn append(&mut self, id: AttemptId) -> Result<(), BooksError> {
        let Some(entry) = self.sealed.remove(&id) else {
            return Ok(());
        };
        if planted(Fault::PublishFirst) {
            self.books.publish(&entry).await?;
        }
        let mut verdict = AppendVerdict::Again;
        for pause in [0, 200, 1_000, 3_000] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            verdict = self.books.append(entry.key(), id).await?;
            if verdict != AppendVerdict::Again {
                break;
            }
        }
        (self.tell)(Event::Answered(id, verdict));
        if verdict != AppendVerdict::Appended {
            // Not mine, or no answer that can be trusted: the worker has to recover.
            self.broken = true;
            return Ok(());
        }
        self.books.publish(&entry).await?;
        // What others left below the new tail goes too, before a stop may end the process.
        self.books.settle_all(Some(entry.head())).await?;
        (self.tell)(Event::Published(id));
        Ok(())
    }
}

/// The name of an attempt's file number `n`. Its extension comes with the publishing rename: some
/// readers look into directories that begin with `_`.
pub fn staged_name(n: usize) -> String {
    format!("{n}.staged")
}
