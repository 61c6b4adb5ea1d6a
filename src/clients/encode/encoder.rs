//! One file, in whichever format.

use bytes::Bytes;

use crate::clients::encode::error::EncodeError;
use crate::clients::encode::{counts, jsonl, parquet, rows};
use crate::pure::layout::format::{Format, Rows};
use crate::pure::layout::rules::Fit;
use crate::pure::record::{Record, TopicPartition};

/// Writes one file.
pub struct Encoder(Kind);

enum Kind {
    RawParquet(Box<parquet::File<rows::RawRows>>),
    CountParquet(Box<parquet::File<counts::CountRows>>),
    JsonLines(Box<jsonl::File>),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoder")
    }
}

impl Encoder {
    /// Begins a file for records of one partition.
    ///
    /// # Errors
    /// The writer refuses its settings.
    pub fn new(format: Format, rows: &Rows, of: &TopicPartition) -> Result<Encoder, EncodeError> {
        let of = of.clone();
        let raw = |rows, codec| Ok(Kind::RawParquet(Box::new(parquet::File::new(rows, codec)?)));
        let kind: Result<Kind, EncodeError> = match (format, rows) {
            (Format::Parquet(codec), Rows::Raw { key, value }) => {
                raw(rows::RawRows::new(of, *key, *value), codec)
            }
            (Format::Parquet(codec), Rows::Columns(columns)) => {
                raw(rows::RawRows::typed(of, columns), codec)
            }
            (Format::Parquet(codec), Rows::Quarantine) => {
                raw(rows::RawRows::quarantined(of), codec)
            }
            (Format::Parquet(codec), Rows::Counts) => {
                let file = parquet::File::new(counts::CountRows::new(of), codec)?;
                Ok(Kind::CountParquet(Box::new(file)))
            }
            // The configuration allows these rows in one format only.
            (Format::Parquet(_), Rows::Json { .. }) | (Format::JsonLines(_), Rows::Columns(_)) => {
                Err(EncodeError::Unfit)
            }
            (Format::JsonLines(codec), rows) => {
                Ok(Kind::JsonLines(Box::new(jsonl::File::new(rows.clone(), codec, of)?)))
            }
        };
        kind.map(Encoder)
    }

    /// Adds one record, as the rules have it.
    ///
    /// # Errors
    /// The format's library refuses it.
    #[inline]
    pub fn append(&mut self, record: &Record<'_>, fit: &Fit<'_>) -> Result<(), EncodeError> {
        match &mut self.0 {
            Kind::RawParquet(file) => file.append(record, fit),
            Kind::CountParquet(file) => file.append(record, fit),
            Kind::JsonLines(file) => file.append(record, fit),
        }
    }

    /// Whether [`Encoder::drain_bytes`] has anything worth sending.
    #[inline]
    #[must_use]
    pub fn has_bytes(&self) -> bool {
        match &self.0 {
            Kind::RawParquet(file) => file.has_bytes(),
            Kind::CountParquet(file) => file.has_bytes(),
            Kind::JsonLines(file) => file.has_bytes(),
        }
    }

    /// Gives away the bytes that will not change any more, in chunks that are worth a write.
    pub fn drain_bytes(&mut self, give: &mut dyn FnMut(Bytes)) {
        match &mut self.0 {
            Kind::RawParquet(file) => file.drain_bytes(give),
            Kind::CountParquet(file) => file.drain_bytes(give),
            Kind::JsonLines(file) => file.drain_bytes(give),
        }
    }

    /// As [`Encoder::drain_bytes`], whatever the chunks are worth.
    pub fn drain_all(&mut self, give: &mut dyn FnMut(Bytes)) {
        match &mut self.0 {
            Kind::RawParquet(file) => file.drain_bytes(give),
            Kind::CountParquet(file) => file.drain_bytes(give),
            Kind::JsonLines(file) => file.drain_all(give),
        }
    }

    /// The memory that this file uses, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        match &self.0 {
            Kind::RawParquet(file) => file.memory_bytes(),
            Kind::CountParquet(file) => file.memory_bytes(),
            Kind::JsonLines(file) => file.memory_bytes(),
        }
    }

    /// The approximate size that the file would have if it ended now, in bytes as written.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.0 {
            Kind::RawParquet(file) => file.size(),
            Kind::CountParquet(file) => file.size(),
            Kind::JsonLines(file) => file.size(),
        }
    }

    /// Releases memory if the format allows it: a row group ends early.
    ///
    /// # Errors
    /// The format's library fails.
    pub fn shrink(&mut self) -> Result<(), EncodeError> {
        match &mut self.0 {
            Kind::RawParquet(file) => file.end_row_group(),
            Kind::CountParquet(file) => file.end_row_group(),
            Kind::JsonLines(_) => Ok(()),
        }
    }

    /// Ends the file and gives away its last bytes. `about`: names and values that say where the
    /// file belongs, for a format that has a place for them.
    ///
    /// # Errors
    /// The format's library fails.
    pub fn finish(
        self,
        about: &[(&str, String)],
        give: &mut dyn FnMut(Bytes),
    ) -> Result<(), EncodeError> {
        match self.0 {
            Kind::RawParquet(file) => file.finish(about, give),
            Kind::CountParquet(file) => file.finish(about, give),
            Kind::JsonLines(file) => file.finish(give),
        }
    }
}
