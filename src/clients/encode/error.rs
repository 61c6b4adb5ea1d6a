//! What can go wrong with a file that is encoded.

/// A file cannot be encoded. The caller names the record that caused the error.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("write parquet: {0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
    #[error("build columns: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("compress: {0}")]
    Io(#[from] std::io::Error),
}
