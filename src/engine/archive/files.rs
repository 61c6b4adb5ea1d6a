//! The open files of one partition: one attempt, a file a directory.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;

use crate::clients::encode::{EncodeError, Encoder};
use crate::common::config::Archive;
use crate::engine::archive::ledger::EntryTemplate;
use crate::engine::archive::task::{Archiver, Command, staged_name};
use crate::pure::layout::names::PartitionPaths;
use crate::pure::layout::roll::Open;
use crate::pure::protocol::{AttemptId, EntryKey, FileRef};
use crate::pure::record::{Offset, Record, TopicPartition};

/// Chunks of this size suit the store's client.
const CHUNK: usize = 1 << 20;

/// One attempt while it is open.
pub struct Files {
    id: AttemptId,
    from: Offset,
    open: Vec<OpenFile>,
    by_bucket: HashMap<Option<i64>, usize>,
    last: Option<(Option<i64>, usize)>,
    first_at: Instant,
    last_at: Instant,
}

struct OpenFile {
    directory: String,
    encoder: Encoder,
    rows: u64,
    first: Offset,
    last: Offset,
    times: Option<(i64, i64)>,
    sent: Sent,
}

/// What of a file went to the archiver.
#[derive(Default)]
struct Sent {
    bytes: u64,
    checksum: u32,
}

impl Files {
    pub fn new(id: AttemptId, from: Offset, archiver: &Archiver, now: Instant) -> Files {
        archiver.send(Command::Open { key: EntryKey::At(from), id });
        Files {
            id,
            from,
            open: Vec::new(),
            by_bucket: HashMap::new(),
            last: None,
            first_at: now,
            last_at: now,
        }
    }

    /// Adds a record to the file of its directory.
    #[inline]
    pub fn append(
        &mut self,
        record: &Record<'_>,
        archive: &Archive,
        of: &TopicPartition,
        archiver: &Archiver,
        now: Instant,
    ) -> Result<(), EncodeError> {
        let millis = record.timestamp.millis();
        let bucket = archive.template.bucket(millis);
        let at = match self.last {
            Some((last, at)) if last == bucket => at,
            _ => self.file_of(bucket, millis, record.offset, archive, of)?,
        };
        self.last = Some((bucket, at));
        self.last_at = now;
        let file = &mut self.open[at];
        file.encoder.append(record)?;
        file.rows += 1;
        file.last = record.offset;
        if let Some(ms) = millis {
            let (lo, hi) = file.times.unwrap_or((ms, ms));
            file.times = Some((lo.min(ms), hi.max(ms)));
        }
        if file.encoder.has_bytes() {
            file.encoder.take(&mut |bytes| file.sent.send(at, bytes, archiver));
        }
        Ok(())
    }

    fn file_of(
        &mut self,
        bucket: Option<i64>,
        millis: Option<i64>,
        first: Offset,
        archive: &Archive,
        of: &TopicPartition,
    ) -> Result<usize, EncodeError> {
        if let Some(at) = self.by_bucket.get(&bucket) {
            return Ok(*at);
        }
        let directory = archive.template.render(&of.topic, of.partition, millis);
        let known = self.open.iter().position(|f| f.directory == directory);
        let at = match known {
            Some(at) => at,
            None => {
                let encoder = Encoder::new(archive.format, archive.rows, of)?;
                let last = first;
                self.open.push(OpenFile {
                    directory,
                    encoder,
                    rows: 0,
                    first,
                    last,
                    times: None,
                    sent: Sent::default(),
                });
                self.open.len() - 1
            }
        };
        let _ = self.by_bucket.insert(bucket, at);
        Ok(at)
    }

    /// What the roll rules look at.
    pub fn open(&self, now: Instant) -> Open {
        Open {
            bytes: self.open.iter().map(|f| f.encoder.size()).sum(),
            files: self.open.len(),
            since_first: now.saturating_duration_since(self.first_at),
            since_last: now.saturating_duration_since(self.last_at),
        }
    }

    /// Memory held, bytes.
    pub fn held(&self) -> usize {
        self.open.iter().map(|f| f.encoder.held()).sum()
    }

    /// Lets the largest file go of its memory.
    pub fn shrink(&mut self, archiver: &Archiver) -> Result<(), EncodeError> {
        let largest = self.open.iter_mut().enumerate().max_by_key(|(_, f)| f.encoder.held());
        if let Some((at, file)) = largest {
            file.encoder.shrink()?;
            file.encoder.take(&mut |bytes| file.sent.send(at, bytes, archiver));
        }
        Ok(())
    }

    /// Ends every file and hands over its last bytes; what the manifest says of them. `of`: what
    /// the entry will say, which the files' footers repeat.
    pub fn finish(
        self,
        of: &EntryTemplate,
        paths: &PartitionPaths,
        extension: &str,
        archiver: &Archiver,
    ) -> Result<Vec<FileRef>, EncodeError> {
        let mut refs = Vec::with_capacity(self.open.len());
        for (at, file) in self.open.into_iter().enumerate() {
            let mut sent = file.sent;
            let about = footer(of, self.id, self.from, (file.first, file.last));
            file.encoder.finish(&about, &mut |bytes| sent.send(at, bytes, archiver))?;
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
    fn send(&mut self, at: usize, mut bytes: Bytes, archiver: &Archiver) {
        self.bytes += bytes.len() as u64;
        self.checksum = crc32c::crc32c_append(self.checksum, &bytes);
        while !bytes.is_empty() {
            let chunk = bytes.split_to(bytes.len().min(CHUNK));
            archiver.send(Command::Write { file: at, bytes: chunk });
        }
    }
}
