//! Ledgers as they stand: every entry, the files that it names, and what does not fit together.
//! Reading changes nothing.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::Serialize;

use crate::clients::store::{ErrorKind, SMALL, Store, StoreError};
use crate::engine::archive::root::is_of_one_file;
use crate::engine::archive::staging::{looked_at, staged_paths};
use crate::pure::layout::RollReason;
use crate::pure::layout::names::{self, LEDGERS, PartitionPaths, staged_name};
use crate::pure::protocol::{Entry, EntryKey, EntryKind, FileRef};
use crate::pure::record::{Offset, OffsetRange};

/// One thing that is wrong in an archive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    pub kind: FindingKind,
    /// The file or entry it is about, relative to the root.
    pub path: String,
    pub detail: String,
}

/// The closed set of things that can be wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// No entry stands where the one before ends, though others follow.
    MissingEntry,
    /// An entry's range begins inside of another's.
    OverlappingEntry,
    /// An entry that this build can't read.
    UnreadableEntry,
    /// What an entry says contradicts the place where it stands, or itself.
    WrongEntry,
    /// The identity file is gone, though ledgers stand there.
    MissingIdentity,
    /// The identity file can't be read, or entries name another root.
    WrongIdentity,
    /// An entry names it, and it was not published for a long time: readers don't see it.
    UnpublishedFile,
    /// An entry names it, and it is neither published nor staged.
    MissingFile,
    /// No entry names it.
    ForeignFile,
    /// Its length is not what the entry says.
    TruncatedFile,
    /// Its checksum is not what the entry says.
    ChangedFile,
    /// The store has it, and does not give its bytes, though those of other files.
    UnreadableFile,
    /// The store does not list it, or not everything in it, though it lists others.
    UnreadableDirectory,
    /// Its rows are not those of the entry: count, range, or an offset twice.
    WrongRows,
    /// The committed offset, the ledger and the log do not fit together: its owner stops.
    StoppedPartition,
    /// The brokers answer, and not for this partition.
    UnknownPartition,
}

impl Finding {
    /// That a directory may not be listed.
    #[must_use]
    pub fn unlisted(path: &str, e: &StoreError) -> Finding {
        Finding {
            kind: FindingKind::UnreadableDirectory,
            path: path.into(),
            detail: format!(
                "nobody knows what lies there: {}. Let the user of this command list and read the \
                 directory",
                e.detail
            ),
        }
    }
}

impl FindingKind {
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            FindingKind::MissingEntry => "missing entry",
            FindingKind::OverlappingEntry => "overlapping entry",
            FindingKind::UnreadableEntry => "unreadable entry",
            FindingKind::WrongEntry => "wrong entry",
            FindingKind::MissingIdentity => "missing identity",
            FindingKind::WrongIdentity => "wrong identity",
            FindingKind::UnpublishedFile => "unpublished file",
            FindingKind::MissingFile => "missing file",
            FindingKind::ForeignFile => "foreign file",
            FindingKind::TruncatedFile => "truncated file",
            FindingKind::ChangedFile => "changed file",
            FindingKind::UnreadableFile => "unreadable file",
            FindingKind::UnreadableDirectory => "unreadable directory",
            FindingKind::WrongRows => "wrong rows",
            FindingKind::StoppedPartition => "stopped partition",
            FindingKind::UnknownPartition => "unknown partition",
        }
    }
}

/// One partition's ledger: `_alluvium/ledger/<topic, escaped>/<incarnation>/<partition>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LedgerPath {
    /// The name of the topic as a path segment.
    pub topic: String,
    pub incarnation: String,
    pub partition: String,
}

impl LedgerPath {
    /// The newest incarnation that has a ledger of this partition.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn find(
        store: &dyn Store,
        topic: &str,
        partition: i32,
    ) -> Result<Option<LedgerPath>, StoreError> {
        let (topic, partition) = (names::escape_segment(topic), partition.to_string());
        let mut incarnations = store.list(&names::ledgers_of(&topic)).await?;
        incarnations.sort_by_key(|i| std::cmp::Reverse(i.parse::<u32>().unwrap_or(0)));
        for incarnation in incarnations {
            let (topic, partition) = (topic.clone(), partition.clone());
            let place = LedgerPath { topic, incarnation, partition };
            match store.list(&place.path()).await {
                Ok(names) if names.is_empty() => {}
                // That it can't be listed is a finding of whoever reads it.
                Err(e) if !is_of_one_file(store, &e).await => return Err(e),
                _ => return Ok(Some(place)),
            }
        }
        Ok(None)
    }

    /// Every ledger under a root, in order; `unlisted` gets the directories that may not be listed.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn all(
        store: &dyn Store,
        unlisted: &mut Vec<Finding>,
    ) -> Result<Vec<LedgerPath>, StoreError> {
        let mut all = Vec::new();
        for topic in list_or_find(store, LEDGERS, unlisted).await? {
            let ledgers = names::ledgers_of(&topic);
            for incarnation in list_or_find(store, &ledgers, unlisted).await? {
                let of = format!("{ledgers}/{incarnation}");
                for partition in list_or_find(store, &of, unlisted).await? {
                    let (topic, incarnation) = (topic.clone(), incarnation.clone());
                    all.push(LedgerPath { topic, incarnation, partition });
                }
            }
        }
        let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
        all.sort_by_key(|p| (p.topic.clone(), number(&p.incarnation), number(&p.partition)));
        Ok(all)
    }

    #[must_use]
    pub fn path(&self) -> String {
        names::ledger_at(&self.topic, &self.incarnation, &self.partition)
    }
}

/// The names in a directory; none, and a finding, if this one alone can't be listed.
///
/// # Errors
/// The store does not answer.
pub async fn list_or_find(
    store: &dyn Store,
    path: &str,
    unlisted: &mut Vec<Finding>,
) -> Result<Vec<String>, StoreError> {
    match store.list(path).await {
        Err(e) if is_of_one_file(store, &e).await => {
            unlisted.push(Finding::unlisted(path, &e));
            Ok(Vec::new())
        }
        listed => listed,
    }
}

/// A ledger as it stands.
#[derive(Debug, Default)]
pub struct LedgerListing {
    /// In order of their ranges, those outside of the chain too.
    pub entries: Vec<Entry>,
    pub findings: Vec<Finding>,
}

impl LedgerListing {
    /// Reads all entries and checks that they tile from genesis.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn read(store: &dyn Store, place: &LedgerPath) -> Result<LedgerListing, StoreError> {
        let mut listing = LedgerListing::default();
        if place.incarnation.parse::<u32>().is_err() || place.partition.parse::<i32>().is_err() {
            let detail = "this is not the place of a ledger: incarnation and partition are numbers";
            listing.find(FindingKind::UnreadableEntry, &place.path(), detail);
        }
        for name in list_or_find(store, &place.path(), &mut listing.findings).await? {
            let path = format!("{}/{name}", place.path());
            let text = match store.read_at_most(&path, SMALL).await {
                Err(e) if e.kind == ErrorKind::TooLarge || is_of_one_file(store, &e).await => {
                    listing.find(FindingKind::UnreadableEntry, &path, e.detail);
                    continue;
                }
                read => read?,
            };
            let decoded = match (names::parse_entry(&name), text) {
                (Some(key), Some(text)) => Entry::decode(key, &text).map_err(|e| e.to_string()),
                (None, _) => Err("its name is not the name of an entry".into()),
                // An entry is never deleted.
                (_, None) => Err("there is no file of this name: is it a directory?".into()),
            };
            match decoded {
                Ok(entry) => listing.entries.push(entry),
                Err(detail) => listing.find(FindingKind::UnreadableEntry, &path, detail),
            }
        }
        listing.entries.sort_by_key(Entry::key);
        listing.check_entries(place);
        listing.check_tiles(place);
        Ok(listing)
    }

    /// Every ledger under a root, in order; `unlisted` gets the directories above them that may not
    /// be listed.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn all(
        store: &dyn Store,
        unlisted: &mut Vec<Finding>,
    ) -> Result<Vec<(LedgerPath, LedgerListing)>, StoreError> {
        let mut ledgers = Vec::new();
        for place in LedgerPath::all(store, unlisted).await? {
            let listing = LedgerListing::read(store, &place).await?;
            ledgers.push((place, listing));
        }
        Ok(ledgers)
    }

    fn find(&mut self, kind: FindingKind, path: &str, detail: impl Into<String>) {
        self.findings.push(Finding { kind, path: path.into(), detail: detail.into() });
    }

    /// Nothing in an entry may contradict its place, or another entry of its ledger.
    fn check_entries(&mut self, place: &LedgerPath) {
        let topic_id = self.entries.first().map(|e| e.topic_id.clone());
        let mut files = BTreeSet::new();
        let mut wrong = Vec::new();
        for entry in &self.entries {
            let mut find = |detail: String| {
                wrong.push((names::entry_in(&place.path(), entry.key()), detail));
            };
            let named = PartitionPaths::new(&entry.topic, entry.incarnation, entry.partition);
            if named.ledger() != place.path() {
                find(format!(
                    "the entry is one of topic {:?}, incarnation {}, partition {}",
                    entry.topic, entry.incarnation, entry.partition
                ));
            }
            if Some(&entry.topic_id) != topic_id.as_ref() {
                find("the entry names another topic id than the first entry".into());
            }
            contradictions(entry).for_each(&mut find);
            for (number, file) in entry.files.iter().enumerate() {
                let (first, last) = (file.first_offset, file.last_offset);
                contradictions_of_file(&named, file, number).for_each(&mut find);
                if first < entry.from || last < first || entry.to <= last {
                    find(format!(
                        "{} has offsets {first} to {last}, which are not all in [{}, {})",
                        file.path, entry.from, entry.to
                    ));
                }
                if !files.insert(&file.path) {
                    find(format!("{} is named twice", file.path));
                }
            }
        }
        for (path, detail) in wrong {
            self.find(FindingKind::WrongEntry, &path, detail);
        }
    }

    fn check_tiles(&mut self, place: &LedgerPath) {
        let path = |key: EntryKey| names::entry_in(&place.path(), key);
        let mut end = None;
        let mut wrong = Vec::new();
        for entry in &self.entries {
            match (entry.kind, end) {
                (EntryKind::Genesis, _) => {}
                (_, None) => wrong.push((
                    FindingKind::MissingEntry,
                    path(EntryKey::Genesis),
                    "the ledger has no genesis entry".to_string(),
                )),
                (_, Some(end)) if end < entry.from => wrong.push((
                    FindingKind::MissingEntry,
                    path(EntryKey::At(end)),
                    format!(
                        "offsets {} are named by no entry",
                        OffsetRange { from: end, to: entry.from }
                    ),
                )),
                (_, Some(end)) if entry.from < end => wrong.push((
                    FindingKind::OverlappingEntry,
                    path(entry.key()),
                    format!(
                        "the entry begins at {}, and the entry before it ends at {end}",
                        entry.from
                    ),
                )),
                _ => {}
            }
            end = Some(end.map_or(entry.to, |end: Offset| end.max(entry.to)));
        }
        for (kind, path, detail) in wrong {
            self.find(kind, &path, detail);
        }
    }

    /// Whether an entry names the file at this path.
    #[must_use]
    pub fn names_file(&self, path: &str) -> bool {
        self.entries.iter().flat_map(|e| &e.files).any(|file| file.path == path)
    }

    /// The entry whose range holds this offset.
    #[must_use]
    pub fn entry_at(&self, offset: Offset) -> Option<&Entry> {
        let data = self.entries.iter().filter(|e| e.kind != EntryKind::Genesis);
        data.rev().find(|e| e.from <= offset && offset < e.to)
    }

    /// Where the partition starts; [`None`] without a genesis entry.
    #[must_use]
    pub fn start(&self) -> Option<Offset> {
        self.entries.first().filter(|e| e.kind == EntryKind::Genesis).map(|e| e.to)
    }

    /// A: where the ledger ends.
    #[must_use]
    pub fn end(&self) -> Option<Offset> {
        self.entries.iter().map(|e| e.to).max()
    }
}

/// What an entry says that no entry says which alluvium has written.
fn contradictions(entry: &Entry) -> impl Iterator<Item = String> {
    let is_data = entry.kind == EntryKind::Data;
    let reasons = RollReason::ALL.map(RollReason::label);
    // What a repair has put back was ended by no rule of a roll, and has a cause.
    let rolled = entry.roll.as_deref().is_some_and(|reason| reasons.contains(&reason));
    let right_roll = if is_data && entry.cause.is_none() { rolled } else { entry.roll.is_none() };
    let hex = |text: &str| text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
    [
        (!is_data && !entry.files.is_empty())
            .then(|| "the entry names files, and only an entry of data may do so".into()),
        (!is_data && entry.p != entry.to).then(|| {
            format!("its position of the results is {}, which is not its end {}", entry.p, entry.to)
        }),
        (!right_roll).then(|| format!("{:?} is not why its roll ended", entry.roll)),
        (!is_data && entry.cause.is_none()).then(|| "it has no cause".into()),
        (!hex(&entry.config)).then(|| format!("{:?} is not a CRC-32C of settings", entry.config)),
        (entry.written_at <= 0)
            .then(|| format!("it was written at {} ms, which is no time", entry.written_at)),
    ]
    .into_iter()
    .flatten()
}

/// The same, of a file that the entry names.
fn contradictions_of_file(
    paths: &PartitionPaths,
    file: &FileRef,
    number: usize,
) -> impl Iterator<Item = String> {
    let FileRef { staged, path, first_offset: first, last_offset: last, .. } = file;
    let named = paths.published(path);
    let times = match (file.min_time, file.max_time) {
        (Some(min), Some(max)) => min <= max,
        (min, max) => min == max,
    };
    [
        named.is_none_or(|name| (name.first, name.last) != (*first, *last)).then(|| {
            format!("{path} is not the name of a file with offsets {first} to {last} of it")
        }),
        (*staged != staged_name(number))
            .then(|| format!("{staged:?} is not the name under which {path} was staged")),
        (!times).then(|| format!("the times of the records of {path} are not a range")),
    ]
    .into_iter()
    .flatten()
}

/// [`staged_paths`] of an entry of any partition.
#[must_use]
pub fn staged_at(entry: &Entry, file: &FileRef) -> [String; 2] {
    let paths = PartitionPaths::new(&entry.topic, entry.incarnation, entry.partition);
    staged_paths(&paths, entry, file)
}

/// A file that an entry names, and the path where it lies: at its place, or staged still. Instead
/// of its bytes, why this one file can't be read.
///
/// # Errors
/// The store does not answer.
pub async fn read_file(
    store: &dyn Store,
    entry: &Entry,
    file: &FileRef,
) -> Result<Option<(String, Result<Bytes, String>)>, StoreError> {
    for path in looked_at(&staged_at(entry, file), file) {
        match store.read(path).await {
            Ok(Some(bytes)) => return Ok(Some((path.into(), Ok(bytes)))),
            Ok(None) => {}
            Err(e) if is_of_one_file(store, &e).await => {
                return Ok(Some((path.into(), Err(e.detail))));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}
