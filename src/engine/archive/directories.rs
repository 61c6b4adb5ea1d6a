//! To which directory a record belongs, and which file of the attempt is there.

use std::collections::HashMap;

use crate::common::config::ArchiveConfig;
use crate::pure::layout::roll::EventTimes;
use crate::pure::layout::values::Values;
use crate::pure::layout::writer_schema::SchemaKey;
use crate::pure::record::{Record, TopicPartition};

/// The directories of one attempt.
#[derive(Default)]
pub(super) struct Directories {
    by_bucket: HashMap<Bucket, usize>,
    last: Option<(Bucket, usize)>,
    values: Values,
    pub(super) times: EventTimes,
}

/// What the directory of a record depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Bucket {
    is_quarantine: bool,
    /// The schema whose columns the file has.
    schema: Option<SchemaKey>,
    /// [`crate::pure::layout::Template::bucket`]
    time: Option<i64>,
    /// [`Values::number`]
    values: usize,
}

/// A directory that no record of the attempt had yet, unless by another time.
pub(super) struct NewDirectory {
    bucket: Bucket,
    pub(super) path: String,
}

impl Directories {
    /// The number of the file of a record that is read at `now_ms`, or its directory.
    #[inline]
    pub(super) fn find(
        &mut self,
        record: &Record<'_>,
        (is_quarantine, schema): (bool, Option<SchemaKey>),
        archive: &ArchiveConfig,
        (of, now_ms): (&TopicPartition, i64),
    ) -> Result<usize, NewDirectory> {
        let template = archive.template(is_quarantine);
        let millis = match is_quarantine {
            true => record.timestamp.millis(),
            false => archive.time.own(record, now_ms),
        };
        let bucket = Bucket {
            is_quarantine,
            schema,
            time: template.bucket(millis),
            values: self.values.number(template, record, archive.max_values),
        };
        let is_watched = archive.roll.lateness.is_some() && !is_quarantine;
        if is_watched {
            self.times.see(millis, now_ms);
        }
        if let Some((_, at)) = self.last.filter(|(last, _)| *last == bucket) {
            return Ok(at);
        }
        if let Some(at) = self.by_bucket.get(&bucket) {
            self.last = Some((bucket, *at));
            return Ok(*at);
        }
        if let Some(lateness) = archive.roll.lateness.filter(|_| is_watched) {
            let end = millis.and_then(|ms| template.end_of_directory(ms));
            self.times.expect_until(end, lateness);
        }
        let path = template.render_with(&of.topic, of.partition, millis, self.values.text());
        Err(NewDirectory { bucket, path })
    }

    /// Notes the file of a directory.
    pub(super) fn add(&mut self, directory: &NewDirectory, at: usize) {
        let _ = self.by_bucket.insert(directory.bucket, at);
        self.last = Some((directory.bucket, at));
    }

    /// Bytes of memory, about.
    pub(super) fn memory_bytes(&self) -> usize {
        // A table of hashes has room for an eighth more, and a byte for each place.
        let places = self.by_bucket.capacity().saturating_add(self.by_bucket.capacity() / 7);
        let each = size_of::<(Bucket, usize)>().saturating_add(1);
        self.values.memory_bytes().saturating_add(places.saturating_mul(each))
    }
}
