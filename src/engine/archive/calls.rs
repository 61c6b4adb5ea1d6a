//! What archiving costs the NameNode: `alluvium check` tells it to whoever plans for one.

/// The calls of a NameNode that each roll costs, beside those of its files: the manifest is
/// created, gets its block and is completed, and the append renames it.
pub const CALLS_A_ROLL: u32 = 4;

/// The calls of a NameNode that each file of a roll costs: it is created, gets its block (one more
/// for each further block), is completed (asked again if the DataNodes are slow), and is renamed.
/// Where it is the first file of its directory, there are two more.
pub const CALLS_A_FILE: u32 = 4;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, channel};

    use bytes::Bytes;
    use parking_lot::Mutex;

    use super::*;
    use crate::clients::store::Store as _;
    use crate::clients::store::measured::{Call, Measured, StoreTimer};
    use crate::engine::archive::commands::ArchiveCommand;
    use crate::engine::archive::ledger::{LedgerStore, new_attempt};
    use crate::engine::archive::open::OpenFiles;
    use crate::engine::archive::task::{APPENDS_A_LOOK, Archiver, Event};
    use crate::fakes::store::Memory;
    use crate::pure::formats::entry::VERSION;
    use crate::pure::layout::names::{PartitionPaths, staged_name};
    use crate::pure::protocol::machine::Ticket;
    use crate::pure::protocol::{AppendVerdict, Entry, EntryKey, EntryKind, FileRef};
    use crate::pure::record::Offset;

    /// A partition whose attempts have one record each.
    struct Rolling {
        memory: Memory,
        paths: PartitionPaths,
        archiver: Archiver,
        events: Receiver<Event>,
        /// Operations by name. Each is one call of a NameNode: the only write of a small file asks
        /// for its block.
        calls: Arc<Mutex<BTreeMap<&'static str, u32>>>,
        next: i64,
    }

    impl Rolling {
        async fn begin() -> Rolling {
            let (memory, paths) = (Memory::default(), PartitionPaths::new("t", 0, 0));
            let calls: Arc<Mutex<BTreeMap<&'static str, u32>>> = Arc::default();
            let count = Arc::clone(&calls);
            let timer: Arc<StoreTimer> = Arc::new(move |call: &Call<'_>| {
                *count.lock().entry(call.operation).or_default() += 1;
            });
            let store = Measured::wrap(Arc::new(memory.clone()), &timer);
            let (sender, events) = channel();
            let tell = move |event| sender.send(event).expect("it is listened to");
            let ledger = LedgerStore::new(store, paths.clone());
            let archiver = Archiver::spawn(ledger, OpenFiles::default(), tell);
            let rolling = Rolling { memory, paths, archiver, events, calls, next: 0 };
            let put = Some(Box::new(rolling.entry(EntryKind::Genesis, 0, Vec::new())));
            let ticket = Ticket { epoch: 0, number: 0 };
            let (probe, hint, discard, adopt) = (false, None, Vec::new(), false);
            let recent = None;
            let recover =
                ArchiveCommand::Recover { ticket, probe, hint, discard, put, adopt, recent };
            rolling.archiver.send(recover);
            let event = rolling.hear().await;
            assert!(matches!(event, Event::Ledger(..)), "{event:?}");
            rolling
        }

        async fn hear(&self) -> Event {
            loop {
                if let Ok(event) = self.events.try_recv() {
                    return event;
                }
                tokio::task::yield_now().await;
            }
        }

        fn entry(&self, kind: EntryKind, rows: i64, files: Vec<FileRef>) -> Entry {
            Entry {
                version: VERSION,
                kind,
                topic: "t".into(),
                incarnation: 0,
                partition: 0,
                attempt: new_attempt(),
                from: Offset(self.next),
                to: Offset(self.next + rows),
                files,
                root: "root".into(),
                topic_id: "id".into(),
                p: Offset(self.next),
                cause: None,
                roll: None,
                config: String::new(),
                written_at: 0,
            }
        }

        /// One roll of this many files; the calls that it costs, by name.
        async fn roll(&mut self, files: usize) -> BTreeMap<&'static str, u32> {
            self.calls.lock().clear();
            let first = Offset(self.next);
            let file = |n: usize| FileRef {
                staged: staged_name(n),
                path: format!("t/dt=1/{}-{n}.jsonl", self.next),
                rows: 1,
                bytes: 5,
                checksum: String::new(),
                first_offset: first,
                last_offset: first,
                min_time: None,
                max_time: None,
            };
            let entry = self.entry(EntryKind::Data, 1, (0..files).map(file).collect());
            let (key, id) = (entry.key(), entry.attempt);
            self.archiver.send(ArchiveCommand::Open { key, id });
            for file in 0..files {
                let chunks = vec![Bytes::from_static(b"bytes")];
                self.archiver.send(ArchiveCommand::WriteComplete { file, chunks });
            }
            self.archiver.send(ArchiveCommand::Seal(Box::new(entry)));
            self.next += 1;
            loop {
                match self.hear().await {
                    Event::Published(_) => return self.calls.lock().clone(),
                    Event::Sealed(_) => self.archiver.send(ArchiveCommand::Append(id)),
                    Event::Answered(_, AppendVerdict::Appended, None) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    impl Rolling {
        /// Another owner writes a file of an attempt, and does not go on; its path.
        async fn leave(&self, from: i64) -> String {
            let (key, id) = (EntryKey::At(Offset(from)), new_attempt());
            let path = self.paths.staged(key, id, &staged_name(0));
            let mut file = self.memory.create(&path).await.expect("created");
            file.close().await.expect("closed");
            path
        }
    }

    /// `alluvium check` tells these numbers to whoever plans for a NameNode.
    #[tokio::test]
    async fn a_roll_costs_the_calls_that_are_told() {
        // What an archive of many partitions is planned for.
        const { assert!(CALLS_A_ROLL + CALLS_A_FILE <= 8) };
        let mut rolling = Rolling::begin().await;
        let first: u32 = rolling.roll(1).await.values().sum();
        // The directory of the first file, and a listing of what others have left.
        assert_eq!(first, CALLS_A_ROLL + CALLS_A_FILE + 2 + 1);
        for files in [1, 1, 5] {
            let calls = rolling.roll(files).await;
            let expected = CALLS_A_ROLL + CALLS_A_FILE * files as u32;
            assert_eq!(calls.values().sum::<u32>(), expected, "{files} files: {calls:?}");
        }
    }

    /// An owner that does not know of its loss begins an attempt behind the new owner's back.
    #[tokio::test]
    async fn what_others_leave_is_deleted_when_staging_is_listed() {
        let mut rolling = Rolling::begin().await;
        // One that this version leaves, and one of the first version.
        let before = rolling.leave(0).await;
        let old = rolling.paths.old_attempt(EntryKey::At(Offset(0)), new_attempt());
        rolling.memory.make_dirs(&old).await.expect("made");
        let is_there = |rolling: &Rolling, path: &String| {
            let contents = rolling.memory.lock();
            contents.files.contains_key(path) || contents.directories.contains(path)
        };
        let ahead = rolling.leave(3).await;
        let _ = rolling.roll(1).await;
        assert!(!is_there(&rolling, &before), "the first append lists staging");
        assert!(!is_there(&rolling, &old));
        // It may still be appended: staging is listed after each append until it is gone.
        for left in [true, true, false] {
            assert!(is_there(&rolling, &ahead));
            let _ = rolling.roll(1).await;
            assert_eq!(is_there(&rolling, &ahead), left, "the ledger ends at {}", rolling.next);
        }
        let late = rolling.leave(3).await;
        for _ in 0..APPENDS_A_LOOK {
            assert!(is_there(&rolling, &late));
            let _ = rolling.roll(1).await;
        }
        let _ = rolling.roll(1).await;
        assert!(!is_there(&rolling, &late));
    }
}
