//! One file, in whichever format.

use bytes::Bytes;

use crate::clients::encode::error::EncodeError;
use crate::clients::encode::{avro, counts, jsonl, parquet, rows, text};
use crate::pure::layout::format::{Format, FormatOptions, Rows};
use crate::pure::layout::rules::Fit;
use crate::pure::record::{Record, TopicPartition};

/// Whether a size of which so many bytes are exact has to be settled before files end by it: they
/// would be smaller than they were asked for.
#[must_use]
pub fn is_vague(exact: u64, most: u64) -> bool {
    exact < most.saturating_sub(most / 20)
}

/// Writes one file.
pub struct Encoder(Kind);

enum Kind {
    RawParquet(Box<parquet::File<rows::RawRows>>),
    CountParquet(Box<parquet::File<counts::CountRows>>),
    RawAvro(Box<avro::File<rows::RawRows>>),
    CountAvro(Box<avro::File<counts::CountRows>>),
    JsonLines(Box<jsonl::File>),
    Text(Box<text::File>),
}

/// Does the same with a file of whichever kind.
macro_rules! whichever {
    ($kind:expr, $file:ident => $what:expr) => {
        match $kind {
            Kind::RawParquet($file) => $what,
            Kind::CountParquet($file) => $what,
            Kind::RawAvro($file) => $what,
            Kind::CountAvro($file) => $what,
            Kind::JsonLines($file) => $what,
            Kind::Text($file) => $what,
        }
    };
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoder")
    }
}

impl Encoder {
    /// As [`Encoder::with`], with the default of all options.
    #[cfg(test)]
    pub fn new(format: Format, rows: &Rows, of: &TopicPartition) -> Result<Encoder, EncodeError> {
        Encoder::with(format, FormatOptions::default(), rows, of)
    }

    /// Begins a file for records of one partition.
    ///
    /// # Errors
    /// The writer refuses its settings.
    pub fn with(
        format: Format,
        options: FormatOptions,
        rows: &Rows,
        of: &TopicPartition,
    ) -> Result<Encoder, EncodeError> {
        let of = of.clone();
        let kind = match (format, rows) {
            (Format::Parquet(codec), Rows::Counts) => {
                let rows = counts::CountRows::new(of);
                Kind::CountParquet(Box::new(parquet::File::new(rows, codec, options)?))
            }
            (Format::Parquet(codec), _) => {
                let rows = rows::RawRows::of(of, rows)?;
                Kind::RawParquet(Box::new(parquet::File::new(rows, codec, options)?))
            }
            (Format::Avro(codec), Rows::Counts) => {
                let rows = counts::CountRows::new(of.clone());
                Kind::CountAvro(Box::new(avro::File::new(rows, codec, options.level, &of)?))
            }
            (Format::Avro(codec), _) => {
                let rows = rows::RawRows::of(of.clone(), rows)?;
                Kind::RawAvro(Box::new(avro::File::new(rows, codec, options.level, &of)?))
            }
            // The configuration allows these rows in one format only.
            (Format::JsonLines(_), Rows::Registered(_) | Rows::Values) => {
                return Err(EncodeError::Unfit);
            }
            (Format::JsonLines(codec), rows) => {
                let file = jsonl::File::new(rows.clone(), codec, options.level, of)?;
                Kind::JsonLines(Box::new(file))
            }
            (Format::Text(codec), Rows::Values) => {
                Kind::Text(Box::new(text::File::new(codec, options.level)?))
            }
            (Format::Text(_), _) => return Err(EncodeError::Unfit),
        };
        Ok(Encoder(kind))
    }

    /// Adds one record, as the rules have it.
    ///
    /// # Errors
    /// The format's library refuses it.
    #[inline]
    pub fn append(&mut self, record: &Record<'_>, fit: &Fit<'_>) -> Result<(), EncodeError> {
        whichever!(&mut self.0, file => file.append(record, fit))
    }

    /// Whether [`Encoder::drain_bytes`] has anything worth sending.
    #[inline]
    #[must_use]
    pub fn has_bytes(&self) -> bool {
        whichever!(&self.0, file => file.has_bytes())
    }

    /// Gives away the bytes that will not change any more, in chunks that are worth a write.
    pub fn drain_bytes(&mut self, give: &mut dyn FnMut(Bytes)) {
        whichever!(&mut self.0, file => file.drain_bytes(give));
    }

    /// As [`Encoder::drain_bytes`], whatever the chunks are worth.
    pub fn drain_all(&mut self, give: &mut dyn FnMut(Bytes)) {
        whichever!(&mut self.0, file => file.drain_all(give));
    }

    /// The memory that this file uses, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        whichever!(&self.0, file => file.memory_bytes())
    }

    /// The approximate size that the file would have if it ended now, in bytes as written.
    #[must_use]
    pub fn size(&self) -> u64 {
        whichever!(&self.0, file => file.size())
    }

    /// The part of [`Encoder::size`] that will not change any more.
    #[must_use]
    pub fn exact_size(&self) -> u64 {
        whichever!(&self.0, file => file.exact_size())
    }

    /// Makes the size exact: what is compressed later is compressed now. Readers like it less: a
    /// row group, block or frame ends early.
    ///
    /// # Errors
    /// The format's library fails.
    pub fn settle(&mut self) -> Result<(), EncodeError> {
        match &mut self.0 {
            Kind::JsonLines(file) => file.settle(),
            Kind::Text(file) => file.settle(),
            _ => self.shrink(),
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
            Kind::RawAvro(file) => file.write_block(),
            Kind::CountAvro(file) => file.write_block(),
            Kind::JsonLines(_) | Kind::Text(_) => Ok(()),
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
            Kind::RawAvro(file) => file.finish(give),
            Kind::CountAvro(file) => file.finish(give),
            Kind::JsonLines(file) => file.finish(give),
            Kind::Text(file) => file.finish(give),
        }
    }
}
