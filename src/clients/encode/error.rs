//! What can go wrong with a file that is encoded.

/// A file cannot be encoded. The caller names the record that caused the error.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("can't write Parquet: {0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
    #[error("can't build columns: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("can't compress: {0}")]
    Io(#[from] std::io::Error),
}
