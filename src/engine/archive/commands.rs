//! What a worker asks of the task of a partition's archive, and in which order the task hears it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::engine::archive::open::Growing;
use crate::engine::archive::recent::WhichEntries;
use crate::pure::protocol::machine::Ticket;
use crate::pure::protocol::{AttemptId, Entry, EntryKey, EntryName};

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
    /// Sends the append of an attempt that is known to be sealed; when it stands, publishes.
    Append(AttemptId),
    /// Shows that the store takes a file if `probe` is set, deletes attempts whose append was never
    /// sent, puts the entry, then reads the ledger and settles; if `adopt` is set, appends what was
    /// sealed behind the ledger's end. The answer carries the ticket; the rows of `recent` entries
    /// come before it.
    Recover {
        ticket: Ticket,
        probe: bool,
        hint: Option<EntryName>,
        discard: Vec<(EntryKey, AttemptId)>,
        put: Option<Box<Entry>>,
        adopt: bool,
        recent: Option<WhichEntries>,
    },
}

impl ArchiveCommand {
    /// Bytes of the file that it carries, and how many attempts it seals.
    pub(super) fn carries(&self) -> (usize, usize) {
        match self {
            ArchiveCommand::Write { bytes, .. } => (bytes.len(), 0),
            ArchiveCommand::WriteComplete { chunks, .. } => {
                (chunks.iter().map(Bytes::len).sum(), 0)
            }
            ArchiveCommand::Seal(_) => (0, 1),
            _ => (0, 0),
        }
    }
}

/// A command, and how many [`ArchiveCommand::Recover`] there are up to it.
pub(super) type Numbered = (u64, ArchiveCommand);

/// An attempt to be appended, behind so many [`ArchiveCommand::Recover`].
pub(super) type Appending = (u64, AttemptId);

/// What was handed over and is not done.
#[derive(Default)]
pub(super) struct HandedOver {
    bytes: AtomicUsize,
    seals: AtomicUsize,
}

impl HandedOver {
    pub(super) fn add(&self, (bytes, seals): (usize, usize)) {
        let _ = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let _ = self.seals.fetch_add(seals, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, (bytes, seals): (usize, usize)) {
        let _ = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        let _ = self.seals.fetch_sub(seals, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn seals(&self) -> usize {
        self.seals.load(Ordering::Relaxed)
    }
}

/// What a command carries: it is under way until this is dropped.
pub(super) struct UnderWay {
    pub(super) carried: (usize, usize),
    pub(super) all: Arc<HandedOver>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.all.remove(self.carried);
    }
}

/// The task's end.
pub(super) struct Inbox {
    pub(super) commands: mpsc::Receiver<Numbered>,
    pub(super) appends: mpsc::Receiver<Appending>,
    /// The append that comes next.
    pub(super) next: Option<Appending>,
}

impl Inbox {
    /// The next command of a task that has begun the recovery of this number; [`None`] if there
    /// will be none. An append overtakes everything but a recovery that was asked for before it.
    pub(super) async fn recv(&mut self, recoveries: u64) -> Option<Numbered> {
        if self.next.is_none() {
            tokio::select! {
                biased;
                Some(next) = self.appends.recv() => self.next = Some(next),
                command = self.commands.recv() => return command,
            }
        }
        match self.next.take_if(|(after, _)| *after <= recoveries) {
            Some((after, id)) => Some((after, ArchiveCommand::Append(id))),
            None => self.commands.recv().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::archive::ledger::new_attempt;

    /// An append that is asked for after a recovery belongs to what the recovery has found.
    #[tokio::test]
    async fn an_append_overtakes_all_but_a_recovery() {
        let ((to, commands), (append, appends)) = (mpsc::channel(9), mpsc::channel(9));
        let mut inbox = Inbox { commands, appends, next: None };
        let recover = ArchiveCommand::Recover {
            ticket: Ticket { epoch: 0, number: 0 },
            probe: false,
            hint: None,
            discard: Vec::new(),
            put: None,
            adopt: false,
            recent: None,
        };
        let (before, after) = (new_attempt(), new_attempt());
        let write = |file| ArchiveCommand::Write { file, bytes: Bytes::new() };
        // A recovery that nobody took has a number, too: the next one counts for both.
        for numbered in [(0, write(0)), (2, recover), (2, write(1))] {
            to.try_send(numbered).unwrap();
        }
        append.try_send((0, before)).unwrap();
        append.try_send((2, after)).unwrap();
        drop((to, append));
        let (mut recoveries, mut told) = (0, Vec::new());
        while let Some((number, command)) = inbox.recv(recoveries).await {
            told.push(match command {
                ArchiveCommand::Append(id) if id == before => "append before".into(),
                ArchiveCommand::Append(id) if id == after => "append after".into(),
                ArchiveCommand::Write { file, .. } => format!("write {file}"),
                ArchiveCommand::Recover { .. } => {
                    recoveries = number;
                    "recover".into()
                }
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(told, ["append before", "write 0", "recover", "append after", "write 1"]);
    }
}
