//! What can go wrong with a file that is encoded.

use crate::pure::layout::bad::MaxBad;

/// A file cannot be encoded. The caller names the record that caused the error.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("can't write Parquet: {0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
    #[error("can't build columns: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
    #[error("can't write Avro: {0}")]
    Avro(#[from] arrow_avro::errors::AvroError),
    #[error("can't compress: {0}")]
    Io(#[from] std::io::Error),
    #[error("a row of another kind than its file's: this is a fault of the program")]
    Unfit,
    #[error("it does not fit ({0}), and on_bad_record is \"stop\"")]
    Bad(String),
    #[error("it does not fit ({why}), and with it more than max_bad ({limit}) do not")]
    TooManyBad { why: String, limit: MaxBad },
}
