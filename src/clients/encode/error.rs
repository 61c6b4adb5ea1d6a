//! What can go wrong with a file that is encoded.

/// A file can not be encoded; the record that did it is named by the caller.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("write parquet: {0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
    #[error("build columns: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("compress: {0}")]
    Io(#[from] std::io::Error),
}
