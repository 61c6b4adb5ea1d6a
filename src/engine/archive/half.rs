//! The archive half of one partition on its worker: the files that are open, and the way to the
//! task that brings them into the store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clients::encode::EncodeError;
use crate::common::clock::Now;
use crate::common::config::{ArchiveConfig, Start};
use crate::engine::archive::commands::ArchiveCommand;
use crate::engine::archive::files::{Archived, Files};
use crate::engine::archive::ledger::{EntryTemplate, LedgerStore};
use crate::engine::archive::open::OpenFiles;
use crate::engine::archive::recent::{RecentRows, WhichEntries};
use crate::engine::archive::task::{Archiver, Event};
use crate::engine::topics::Role;
use crate::pure::formats::entry::EntryKind;
use crate::pure::layout::RollReason;
use crate::pure::layout::bad::BadRecords;
use crate::pure::layout::names::PartitionPaths;
use crate::pure::layout::roll::{EventTimes, OpenTotals};
use crate::pure::layout::rules::OnBadRecord;
use crate::pure::protocol::machine::{LedgerQuestion, Machine, NewEntry};
use crate::pure::protocol::partition::Append;
use crate::pure::protocol::{AttemptId, Entry};
use crate::pure::record::{Offset, Record, TopicPartition};

/// Commands that wait for the store; with more of them, the worker stops reading.
const MOST_WAITING: usize = 4_096;

/// How often the size of the open files is measured while one of them grows to its full size.
const MEASURED: u64 = 32;

/// What one partition archives into.
pub struct ArchiveHalf {
    archive: Arc<ArchiveConfig>,
    task: Archiver,
    paths: PartitionPaths,
    template: EntryTemplate,
    start: Start,
    open: Option<Files>,
    open_in_store: OpenFiles,
    /// The bad records of the last time, where the mapping limits them; [`None`] until a record
    /// was judged, or the ledger has told of earlier ones.
    bad: Option<BadRecords>,
    /// They were too many, and the partition has stopped: this half does not ask for them again. A
    /// reload that lets the partition go on makes another half, which asks the ledger.
    begins_anew: bool,
    /// The last record among them: what is read again, after an outage of the root, counts once.
    judged: Option<Offset>,
    /// Of the records of sealed attempts.
    times: EventTimes,
    /// Bytes of records since the size of the open files was measured.
    unmeasured: u64,
}

impl ArchiveHalf {
    /// The half of a partition whose role has an archive, and its task; call it within a runtime.
    /// `tell` gets the task's events.
    #[must_use]
    pub fn new(
        tp: &TopicPartition,
        role: &Role,
        open_in_store: &OpenFiles,
        tell: impl Fn(Event) + Send + Sync + 'static,
    ) -> Option<ArchiveHalf> {
        let (archive, (store, _)) = (role.archive.clone()?, role.store.as_ref()?);
        let paths = PartitionPaths::new(&tp.topic, 0, tp.partition);
        let ledger = LedgerStore::new(Arc::clone(store), paths.clone());
        let ledger = LedgerStore { files: archive.files.clone(), ..ledger };
        let open_in_store = open_in_store.at_most(&role.mapping, archive.roll.open_files);
        let task = Archiver::spawn(ledger, open_in_store.clone(), tell);
        let template = EntryTemplate::new(tp, 0, role, "");
        let (start, open) = (role.start, None);
        Some(ArchiveHalf {
            archive,
            task,
            paths,
            template,
            start,
            open,
            open_in_store,
            bad: None,
            begins_anew: false,
            judged: None,
            times: EventTimes::default(),
            unmeasured: 0,
        })
    }

    /// Writes one record into the attempt that the rules name; what became of it.
    ///
    /// # Errors
    /// The record does not fit, and the mapping has no place for it, or no more: the partition
    /// stops.
    #[inline]
    pub fn write(
        &mut self,
        record: &Record<'_>,
        append: Append,
        tp: &TopicPartition,
        now: Now,
    ) -> Result<Archived, EncodeError> {
        if let Append::ToNew { id, from } = append {
            let files = Files::new(id, from, tp, &self.open_in_store, &self.task, now);
            self.open = Some(files.beginning(&self.archive, now, self.times));
        }
        let files =
            self.open.as_mut().expect("the rules open an attempt before they write into it");
        let archived = files.append(record, &self.archive, &self.task, now)?;
        let bytes = [record.key, record.value].into_iter().flatten().map(|b| b.len() as u64);
        self.unmeasured = bytes.fold(self.unmeasured, u64::saturating_add);
        let Some(limit) = self.archive.max_bad else { return Ok(archived) };
        if self.judged.is_some_and(|last| record.offset <= last) {
            return Ok(archived);
        }
        self.judged = Some(record.offset);
        let bad = self.bad.get_or_insert_with(|| BadRecords::new(limit, now.instant));
        let why = match &archived {
            Archived::Quarantined(why) | Archived::Skipped(why) => Some(why),
            Archived::Row | Archived::Dropped => None,
        };
        match (bad.add(why.is_some(), now.instant), why) {
            (true, Some(why)) => {
                // A person decides; what the ledger has counts under the limit that holds then.
                (self.bad, self.judged, self.begins_anew) = (None, None, true);
                Err(EncodeError::TooManyBad { why: why.clone(), limit })
            }
            _ => Ok(archived),
        }
    }

    /// Asks the task for the ledger.
    pub fn ask(&mut self, question: LedgerQuestion, machine: &Machine, now: Now) {
        self.follow(machine);
        let LedgerQuestion { ticket, probe, discard, put, adopt, hint } = question;
        let put = put.map(|put| Box::new(self.new_entry(put, now)));
        let recent = self.which_entries();
        let recover = ArchiveCommand::Recover { ticket, probe, hint, discard, put, adopt, recent };
        self.task.send(recover);
    }

    /// The entries that say what owners before this one have judged, where that matters.
    fn which_entries(&self) -> Option<WhichEntries> {
        let is_known = self.bad.is_some() || self.begins_anew;
        // The ledger does not say which records were left out.
        let is_told = self.archive.rules.on_bad_record == OnBadRecord::Quarantine;
        let limit = self.archive.max_bad.filter(|_| is_told && !is_known)?;
        Some(WhichEntries { within: limit.within, config: self.archive.fingerprint.clone() })
    }

    /// Takes what the ledger says of bad records, unless some were judged here already.
    pub fn remember(&mut self, recent: &[RecentRows], now: Now) {
        let Some(limit) = self.archive.max_bad.filter(|_| self.which_entries().is_some()) else {
            return;
        };
        let mut bad = BadRecords::new(limit, now.instant);
        recent.iter().for_each(|rows| bad.remember((rows.all, rows.bad), rows.age(now)));
        self.bad = Some(bad);
    }

    /// An entry without files, with what an operator may want to know of its cause.
    fn new_entry(&self, NewEntry { kind, range }: NewEntry, now: Now) -> Entry {
        let mut entry = self.template.entry(kind, (range.from, range.to), now.millis);
        entry.cause = Some(match kind {
            EntryKind::Gap => {
                format!("retention: the log started at {} when it was read", range.to)
            }
            EntryKind::Genesis | EntryKind::Data => format!("start = {:?}", self.start),
        });
        entry
    }

    /// Names and entries are those of the incarnation that the machine knows.
    fn follow(&mut self, machine: &Machine) {
        self.paths = self.paths.of(machine.incarnation());
        self.template.incarnation = machine.incarnation();
        if let Some(identity) = machine.identity() {
            self.template.topic_id.clone_from(&identity.topic_id);
        }
    }

    /// Ends the open attempt, and hands it to the task; false if none is open.
    ///
    /// # Errors
    /// The files can't be ended: the partition stops.
    pub fn seal(
        &mut self,
        machine: &mut Machine,
        reason: RollReason,
        now: Now,
    ) -> Result<bool, EncodeError> {
        let Some(files) = self.open.take() else { return Ok(false) };
        self.follow(machine);
        self.times = files.times();
        let refs = files.finish(&self.template, &self.paths, &self.archive, &self.task)?;
        let Some((id, range)) = machine.seal() else { return Ok(false) };
        let mut entry = self.template.entry(EntryKind::Data, (range.from, range.to), now.millis);
        entry.attempt = id;
        entry.files = refs;
        entry.p = machine.rules().and_then(|p| p.p()).unwrap_or(range.from);
        entry.roll = Some(reason.to_string());
        self.task.send(ArchiveCommand::Seal(Box::new(entry)));
        Ok(true)
    }

    /// Sends the append of a sealed attempt.
    pub fn append(&self, id: AttemptId) {
        self.task.send(ArchiveCommand::Append(id));
    }

    /// Drops the files that are open: their attempt was given up.
    pub fn drop_files(&mut self) {
        self.open = None;
    }

    /// The rule that ends the open attempt now, if one does. The clock ends none while an earlier
    /// one is being sealed: readers would not see its records sooner, and a store that is slow
    /// would get more files than it can take.
    #[must_use]
    pub fn roll_due(&self, now: Instant) -> Option<RollReason> {
        let due = self.archive.roll.due(self.open_files(now)?)?;
        (!due.is_by_clock() || !self.task.is_sealing()).then_some(due)
    }

    /// Whether the open attempt has its first record for this time.
    #[must_use]
    pub fn is_open_for(&self, time: Duration, now: Instant) -> bool {
        self.open_files(now).is_some_and(|open| time <= open.since_first)
    }

    /// The partition's name among those that write into the same root.
    #[must_use]
    pub fn name_in_root(&self) -> String {
        self.paths.in_root()
    }

    /// Time until a rule ends the open attempt, if nothing is added to it; [`None`] without one,
    /// and while an earlier one is being sealed, whose end is told.
    #[must_use]
    pub fn roll_in(&self, now: Instant) -> Option<Duration> {
        let open = self.open_files(now).filter(|_| !self.task.is_sealing())?;
        Some(self.archive.roll.due_in(open))
    }

    /// What is open.
    #[must_use]
    pub fn open_files(&self, now: Instant) -> Option<OpenTotals> {
        self.open.as_ref().map(|files| files.open(now))
    }

    /// Memory that open files hold, bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, Files::memory_bytes)
    }

    /// Bytes that were handed to the task, and that the store has not taken yet.
    #[must_use]
    pub fn bytes_under_way(&self) -> usize {
        self.task.under_way()
    }

    /// Too many commands wait for the store: nothing is read for now.
    #[must_use]
    pub fn is_clogged(&self) -> bool {
        MOST_WAITING < self.task.waiting()
    }

    /// Whether so much was read since this was asked that the files may be larger than they should:
    /// a batch of large records may be more than a tenth of a file.
    #[inline]
    pub fn may_be_full(&mut self) -> bool {
        let is_much = self.archive.roll.size_bytes / MEASURED <= self.unmeasured;
        if is_much {
            self.unmeasured = 0;
        }
        is_much
    }

    /// Makes the size of the open files exact where a rule may end them by it.
    ///
    /// # Errors
    /// The format's library fails: the partition stops.
    pub fn settle(&mut self) -> Result<(), EncodeError> {
        match &mut self.open {
            Some(files) => files.settle(&self.archive, &self.task),
            None => Ok(()),
        }
    }

    /// Frees memory of the largest open file; returns how many bytes.
    ///
    /// # Errors
    /// The format's library fails: the partition stops.
    pub fn shrink(&mut self) -> Result<usize, EncodeError> {
        match &mut self.open {
            Some(files) => files.shrink(&self.archive, &self.task),
            None => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::store::Store;
    use crate::common::config::Config;
    use crate::engine::archive::examples;
    use crate::fakes::store::Memory;
    use crate::pure::record::Timestamp;

    /// A store that is slow gets fewer and larger files, and what is full ends all the same.
    #[tokio::test]
    async fn the_clock_ends_no_attempt_while_an_earlier_one_is_sealed() {
        let text = "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\n\
                    root = \"file:///x\"\nformat = \"jsonl\"\ncodec = \"none\"\n[archive.roll]\n\
                    size = \"64KiB\"\nage = \"1m\"\nidle = \"30s\"\n[mapping.m]\ntopics = [\"t\"]";
        let config = Config::parse(text, Some("i")).unwrap();
        let store: Arc<dyn Store> = Arc::new(Memory::default());
        let role = Role::of(&config, "t", |_| Some((store, "id".into()))).unwrap();
        let tp = TopicPartition { topic: "t".into(), partition: 0 };
        let mut half = ArchiveHalf::new(&tp, &role, &OpenFiles::default(), |_| {}).unwrap();
        let (began, large) = (Now::read(), vec![b'x'; 70_000]);
        let write = |half: &mut ArchiveHalf, value: &[u8], append| {
            let timestamp = Timestamp::Create(1_700_000_000_000);
            let value = Some(value);
            let record = Record { offset: Offset(0), timestamp, key: None, value, headers: &[] };
            let _ = half.write(&record, append, &tp, began).unwrap();
        };
        let template = examples::template(&half.paths, "t", 0);
        let entry = examples::data(&half.paths, &template, 0, 1);
        let id = entry.attempt;
        write(&mut half, b"x", Append::ToNew { id, from: Offset(0) });
        let late = began.instant + Duration::from_secs(120);
        assert_eq!(half.roll_due(late), Some(RollReason::Age));
        assert_eq!(half.roll_in(late), Some(Duration::ZERO));
        // The task does not run before something is waited for here.
        half.task.send(ArchiveCommand::Seal(Box::new(entry)));
        assert_eq!((half.roll_due(late), half.roll_in(late)), (None, None));
        write(&mut half, &large, Append::ToOpen);
        assert_eq!(half.roll_due(late), Some(RollReason::Size));
        while half.task.is_sealing() {
            tokio::task::yield_now().await;
        }
        assert_eq!(half.roll_due(late), Some(RollReason::Size));
        assert_eq!(half.roll_in(late), Some(Duration::ZERO));
    }

    /// A crash loop reads some records, dies, and begins again: each life would find few bad ones.
    #[tokio::test]
    async fn bad_records_of_earlier_owners_count() {
        let text = "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\n\
                    root = \"file:///x\"\n[mapping.m]\ntopics = [\"t\"]\n\
                    archive = { columns = { n = \"int64\" }, max_bad = \"10% of 10m\" }";
        let tp = TopicPartition { topic: "t".into(), partition: 0 };
        let begin = |text: &str| {
            let config = Config::parse(text, Some("i")).unwrap();
            let store: Arc<dyn Store> = Arc::new(Memory::default());
            let role = Role::of(&config, "t", |_| Some((store, "id".into()))).unwrap();
            ArchiveHalf::new(&tp, &role, &OpenFiles::default(), |_| {}).unwrap()
        };
        let now = Now::read();
        let write = |half: &mut ArchiveHalf, offset: i64, value: &[u8]| {
            let timestamp = Timestamp::Create(1_700_000_000_000);
            let (offset, value) = (Offset(offset), Some(value));
            let record = Record { offset, timestamp, key: None, value, headers: &[] };
            let template = examples::template(&half.paths, "t", 0);
            let id = examples::data(&half.paths, &template, 0, 1).attempt;
            let append = match &half.open {
                None => Append::ToNew { id, from: offset },
                Some(_) => Append::ToOpen,
            };
            half.write(&record, append, &tp, now).map(|_| ())
        };
        let rows = |bad, age: i64| RecentRows { all: 100, bad, written_at: now.millis - age };
        let told = [rows(9, 0), rows(10, 500_000), rows(100, 599_000)];

        let mut half = begin(text);
        assert_eq!(half.which_entries().unwrap().within, Duration::from_secs(600));
        half.remember(&told, now);
        assert_eq!(half.which_entries(), None, "it is asked for once");
        half.remember(&[rows(100, 0)], now);
        assert!(write(&mut half, 200, b"{\"n\":1}").is_ok());
        assert!(write(&mut half, 201, b"{}x").is_ok(), "20 of 202");
        let many = write(&mut half, 202, b"{}x");
        assert!(matches!(many, Err(EncodeError::TooManyBad { .. })), "21 of 203: {many:?}");
        assert_eq!(half.which_entries(), None, "the partition has stopped");
        half.remember(&told, now);
        assert!(write(&mut half, 202, b"{}x").is_ok());

        for other in ["\"skip\"", "\"stop\""] {
            let other =
                text.replace(" }, max_bad", &format!(" }}, on_bad_record = {other}, max_bad"));
            assert_eq!(begin(&other).which_entries(), None, "the ledger has no such records");
        }
        let half = begin(&text.replace(", max_bad = \"10% of 10m\"", ""));
        assert_eq!(half.which_entries(), None);
    }
}
