//! The open files of one partition: one attempt, a file a directory.
//!
//! A file's records are kept as they were read until they are worth an encoder, and a file in the
//! store; then it grows there. Only so many files of the process grow at once: all others are
//! written when the attempt ends, one after the other. So records of thousands of directories,
//! as after a backfill, cost their own bytes and no more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::clients::encode::{EncodeError, Encoder, is_vague};
use crate::common::clock::Now;
use crate::common::config::ArchiveConfig;
use crate::engine::archive::commands::ArchiveCommand;
use crate::engine::archive::directories::Directories;
use crate::engine::archive::kept::{KeptRecords, size_of_kept};
use crate::engine::archive::ledger::EntryTemplate;
use crate::engine::archive::open::OpenFiles;
use crate::engine::archive::targets::{Targets, encoded};
use crate::engine::archive::task::Archiver;
use crate::pure::layout::names::{PartitionPaths, staged_name};
use crate::pure::layout::registered::Target;
use crate::pure::layout::roll::{EventTimes, OpenTotals};
use crate::pure::layout::rules::{Fit, OnBadRecord};
use crate::pure::protocol::{AttemptId, EntryKey, FileRef};
use crate::pure::record::{Offset, Record, TopicPartition};

/// Chunks of this size suit the store's client.
const CHUNK: usize = 1 << 20;

/// Kept records of this size are worth an encoder, unless files are to be small.
const WORTH_AN_ENCODER: u64 = if cfg!(test) { 64 } else { 256 << 10 };

/// One attempt while it is open.
pub struct Files {
    id: AttemptId,
    from: Offset,
    of: TopicPartition,
    open_in_store: OpenFiles,
    open: Vec<OpenFile>,
    directories: Directories,
    targets: Targets,
    first_at: Instant,
    last_at: Instant,
    /// Records that were read, whatever became of them.
    records: u64,
    /// The next point of the schedule.
    point: Option<Instant>,
}

/// What became of a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Archived {
    /// It is a row.
    Row,
    /// It has no value, and the mapping archives no such records.
    Dropped,
    /// It does not fit, for this reason: it is a row of the quarantine.
    Quarantined(String),
    /// It does not fit, for this reason, and the mapping leaves such records out.
    Skipped(String),
}

struct OpenFile {
    is_quarantine: bool,
    /// Its columns, where files of the mapping have columns of their own.
    target: Option<Arc<Target>>,
    directory: String,
    body: Body,
    rows: u64,
    first: Offset,
    last: Offset,
    times: Option<(i64, i64)>,
    sent: Sent,
}

/// Where the records of a file are.
enum Body {
    Kept(KeptRecords),
    /// They are encoded, and sent bit by bit.
    Growing {
        encoder: Encoder,
        /// What the store's client needs for the file, bytes.
        store_bytes: usize,
    },
}

/// What of a file went to the archiver.
#[derive(Default)]
struct Sent {
    bytes: u64,
    checksum: u32,
}

impl Body {
    /// Bytes of memory.
    fn memory_bytes(&self) -> usize {
        match self {
            Body::Kept(kept) => kept.memory_bytes(),
            Body::Growing { encoder, store_bytes } => {
                encoder.memory_bytes().saturating_add(*store_bytes)
            }
        }
    }

    /// The approximate size of the file, bytes.
    fn size(&self) -> u64 {
        match self {
            Body::Kept(kept) => kept.size() as u64,
            Body::Growing { encoder, .. } => encoder.size(),
        }
    }
}

impl Files {
    pub fn new(
        id: AttemptId,
        from: Offset,
        of: &TopicPartition,
        open_in_store: &OpenFiles,
        archiver: &Archiver,
        now: Now,
    ) -> Files {
        archiver.send(ArchiveCommand::Open { key: EntryKey::At(from), id });
        Files {
            id,
            from,
            of: of.clone(),
            open_in_store: open_in_store.clone(),
            open: Vec::new(),
            directories: Directories::default(),
            targets: Targets::default(),
            first_at: now.instant,
            last_at: now.instant,
            records: 0,
            point: None,
        }
    }

    /// The same files, with what the roll rules know when the attempt begins: the clock, and the
    /// times of earlier records.
    #[must_use]
    pub fn beginning(mut self, archive: &ArchiveConfig, now: Now, times: EventTimes) -> Files {
        let next = archive.roll.schedule.and_then(|s| archive.template.next_point(s, now.millis));
        let left = next.map(|next| next.saturating_sub(now.millis).unsigned_abs());
        self.point = left.and_then(|ms| now.instant.checked_add(Duration::from_millis(ms)));
        self.directories.times = times.of_next();
        self
    }

    /// The times of the records.
    #[must_use]
    pub fn times(&self) -> EventTimes {
        self.directories.times
    }

    /// Adds a record to the file of its directory, or of the quarantine.
    #[inline]
    pub fn append(
        &mut self,
        record: &Record<'_>,
        archive: &ArchiveConfig,
        archiver: &Archiver,
        now: Now,
    ) -> Result<Archived, EncodeError> {
        self.last_at = now.instant;
        self.records = self.records.saturating_add(1);
        let (fit, target) = self.targets.fit(record, &archive.rules);
        let archived = match &fit {
            Fit::Raw | Fit::Cells(_) | Fit::Json(_) => Archived::Row,
            Fit::Nothing => return Ok(Archived::Dropped),
            Fit::Bad(why) => match archive.rules.on_bad_record {
                OnBadRecord::Quarantine => Archived::Quarantined(why.clone()),
                OnBadRecord::Skip => return Ok(Archived::Skipped(why.clone())),
                OnBadRecord::Stop => return Err(EncodeError::Bad(why.clone())),
            },
        };
        let is_quarantine = archived != Archived::Row;
        let target = target.filter(|_| !is_quarantine);
        let at = self.file_of(record, (is_quarantine, target), archive, now.millis);
        let file = &mut self.open[at];
        file.rows = file.rows.saturating_add(1);
        file.last = record.offset;
        if let Some(ms) = record.timestamp.millis() {
            let (lo, hi) = file.times.unwrap_or((ms, ms));
            file.times = Some((lo.min(ms), hi.max(ms)));
        }
        if let Body::Kept(kept) = &file.body {
            let worth = WORTH_AN_ENCODER.min(archive.roll.size_bytes / 16);
            if worth <= kept.size().saturating_add(size_of_kept(record)) as u64 {
                // It may be large, and is not kept beside its encoded form.
                let _ = self.encode(at, archive, archiver)?;
            }
        }
        let file = &mut self.open[at];
        match &mut file.body {
            Body::Growing { encoder, .. } => {
                encoder.append(record, &fit)?;
                if encoder.has_bytes() {
                    encoder.drain_bytes(&mut |bytes| file.sent.send(at, bytes, archiver));
                }
            }
            Body::Kept(kept) => kept.push(record),
        }
        Ok(archived)
    }

    /// The number of the record's file.
    #[inline]
    fn file_of(
        &mut self,
        record: &Record<'_>,
        (is_quarantine, target): (bool, Option<Arc<Target>>),
        archive: &ArchiveConfig,
        now_ms: i64,
    ) -> usize {
        let (of, schema) = ((&self.of, now_ms), target.as_ref().and_then(|target| target.key()));
        let new = match self.directories.find(record, (is_quarantine, schema), archive, of) {
            Ok(at) => return at,
            Err(new) => new,
        };
        let is_here = |f: &OpenFile| {
            let columns = f.target.as_ref().and_then(|target| target.key());
            f.directory == new.path && f.is_quarantine == is_quarantine && columns == schema
        };
        let at = self.open.iter().position(is_here).unwrap_or_else(|| {
            self.open.push(OpenFile {
                is_quarantine,
                target,
                directory: new.path.clone(),
                body: Body::Kept(KeptRecords::default()),
                rows: 0,
                first: record.offset,
                last: record.offset,
                times: None,
                sent: Sent::default(),
            });
            self.open.len().saturating_sub(1)
        });
        self.directories.add(&new, at);
        at
    }

    /// Gives a file an encoder, if one more may grow in the store; whether it has one.
    fn encode(
        &mut self,
        at: usize,
        archive: &ArchiveConfig,
        archiver: &Archiver,
    ) -> Result<bool, EncodeError> {
        let file = &mut self.open[at];
        let OpenFile { body: Body::Kept(kept), is_quarantine, target, .. } = file else {
            return Ok(true);
        };
        let Some(place) = self.open_in_store.grow() else { return Ok(false) };
        archiver.send(ArchiveCommand::Grow { file: at, place });
        let kept = std::mem::take(kept);
        let encoder = encoded(kept, *is_quarantine, target.as_deref(), archive, &self.of)?;
        let store_bytes = archive.root.bytes_of_open_file();
        self.open[at].body = Body::Growing { encoder, store_bytes };
        Ok(true)
    }

    /// What the roll rules look at.
    pub fn open(&self, now: Instant) -> OpenTotals {
        OpenTotals {
            bytes: self.open.iter().map(|f| f.body.size()).sum(),
            records: self.records,
            files: self.open.len(),
            since_first: now.saturating_duration_since(self.first_at),
            since_last: now.saturating_duration_since(self.last_at),
            until_point: self.point.map(|point| point.saturating_duration_since(now)),
            is_left: self.directories.times.is_left(),
        }
    }

    /// Memory held, bytes.
    pub fn memory_bytes(&self) -> usize {
        let places = self.open.capacity().saturating_mul(size_of::<OpenFile>());
        let own = places.saturating_add(self.directories.memory_bytes());
        let files =
            self.open.iter().map(|f| f.directory.capacity().saturating_add(f.body.memory_bytes()));
        files.fold(own, usize::saturating_add)
    }

    /// Makes the size of the files exact where it seems to be reached: what an open file says of
    /// itself is too much before it is compressed.
    pub fn settle(
        &mut self,
        archive: &ArchiveConfig,
        archiver: &Archiver,
    ) -> Result<(), EncodeError> {
        let (mut exact, mut all) = (0_u64, 0_u64);
        for file in &self.open {
            let size = file.body.size();
            all = all.saturating_add(size);
            exact = exact.saturating_add(match &file.body {
                Body::Growing { encoder, .. } => encoder.exact_size(),
                Body::Kept(_) => size,
            });
        }
        let most = archive.roll.size_bytes;
        if all < most || !is_vague(exact, most) {
            return Ok(());
        }
        for (at, file) in self.open.iter_mut().enumerate() {
            if let Body::Growing { encoder, .. } = &mut file.body {
                encoder.settle()?;
                encoder.drain_all(&mut |bytes| file.sent.send(at, bytes, archiver));
            }
        }
        Ok(())
    }

    /// Shrinks the largest open file in memory, and returns the number of bytes that were freed.
    pub fn shrink(
        &mut self,
        archive: &ArchiveConfig,
        archiver: &Archiver,
    ) -> Result<usize, EncodeError> {
        let largest = self.open.iter().enumerate().max_by_key(|(_, f)| f.body.memory_bytes());
        let Some((at, before)) = largest.map(|(at, f)| (at, f.body.memory_bytes())) else {
            return Ok(0);
        };
        if !self.encode(at, archive, archiver)? {
            return Ok(0);
        }
        let file = &mut self.open[at];
        if let Body::Growing { encoder, .. } = &mut file.body {
            encoder.shrink()?;
            encoder.drain_all(&mut |bytes| file.sent.send(at, bytes, archiver));
        }
        Ok(before.saturating_sub(file.body.memory_bytes()))
    }

    /// Ends every file and hands over its last bytes; what the manifest says of them. `of`: what
    /// the entry will say, which the files' footers repeat.
    pub fn finish(
        self,
        of: &EntryTemplate,
        paths: &PartitionPaths,
        archive: &ArchiveConfig,
        archiver: &Archiver,
    ) -> Result<Vec<FileRef>, EncodeError> {
        let mut refs = Vec::with_capacity(self.open.len());
        for (at, file) in self.open.into_iter().enumerate() {
            let mut sent = file.sent;
            let about = footer(of, self.id, self.from, (file.first, file.last));
            match file.body {
                Body::Growing { encoder, .. } => {
                    encoder.finish(&about, &mut |bytes| sent.send(at, bytes, archiver))?;
                }
                Body::Kept(kept) => {
                    let (bad, target) = (file.is_quarantine, file.target.as_deref());
                    let encoder = encoded(kept, bad, target, archive, &self.of)?;
                    let mut chunks = Vec::new();
                    let mut keep = |bytes| sent.add(bytes, &mut |chunk| chunks.push(chunk));
                    encoder.finish(&about, &mut keep)?;
                    archiver.send(ArchiveCommand::WriteComplete { file: at, chunks });
                }
            }
            let extension = archive.format(file.is_quarantine).extension();
            let name = paths.file(file.first, file.last, extension);
            refs.push(FileRef {
                staged: staged_name(at),
                path: format!("{}/{name}", file.directory),
                rows: file.rows,
                bytes: sent.bytes,
                checksum: format!("{:08x}", sent.checksum),
                first_offset: file.first,
                last_offset: file.last,
                min_time: file.times.map(|t| t.0),
                max_time: file.times.map(|t| t.1),
            });
        }
        Ok(refs)
    }
}

/// What a file's footer says of it: where it belongs, wherever somebody has copied it to.
/// `offsets`: of the file's first and last record.
#[must_use]
pub fn footer(
    of: &EntryTemplate,
    attempt: AttemptId,
    from: Offset,
    offsets: (Offset, Offset),
) -> [(&'static str, String); 9] {
    [
        ("topic", of.topic.clone()),
        ("topic_id", of.topic_id.clone()),
        ("incarnation", of.incarnation.to_string()),
        ("partition", of.partition.to_string()),
        ("root", of.root.clone()),
        ("attempt", attempt.to_string()),
        ("attempt_from", from.to_string()),
        ("first_offset", offsets.0.to_string()),
        ("last_offset", offsets.1.to_string()),
    ]
}

impl Sent {
    fn send(&mut self, at: usize, bytes: Bytes, archiver: &Archiver) {
        self.add(bytes, &mut |chunk| {
            archiver.send(ArchiveCommand::Write { file: at, bytes: chunk })
        });
    }

    fn add(&mut self, mut bytes: Bytes, give: &mut dyn FnMut(Bytes)) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        self.checksum = crc32c::crc32c_append(self.checksum, &bytes);
        while !bytes.is_empty() {
            give(bytes.split_to(bytes.len().min(CHUNK)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever reads a file that was copied elsewhere knows the keys of version 2 of the columns.
    #[test]
    fn the_footer_is_the_golden_one() {
        let template = EntryTemplate {
            topic: "orders".into(),
            incarnation: 1,
            partition: 3,
            root: "5cf1ed3e48194bab98a4dd6a0bd1fc28".into(),
            topic_id: "6Kmm+DQNRAOwolaFlz3rAg".into(),
            config: "12345678".into(),
        };
        let pairs = footer(&template, AttemptId(7), Offset(10), (Offset(12), Offset(19)));
        let lines: String = pairs.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        let golden =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/footer-v2.txt"));
        assert_eq!(lines, golden);
    }
}
