//! A row with a value of many MiB: each of its columns is made when it is written, and goes then.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, StringArray};

/// A column of one row, or of a few.
pub(super) enum Column<'a> {
    Made(ArrayRef),
    Text(&'a str),
    Bytes(&'a [u8]),
}

impl Column<'_> {
    /// Bytes as the column is written without a codec, about.
    pub(super) fn bytes(&self) -> usize {
        const PAGE: usize = 1 << 10;
        PAGE.saturating_add(match self {
            Column::Made(array) => array.get_buffer_memory_size(),
            Column::Text(text) => text.len(),
            Column::Bytes(bytes) => bytes.len(),
        })
    }

    pub(super) fn array(self) -> ArrayRef {
        match self {
            Column::Made(array) => array,
            Column::Text(text) => Arc::new(StringArray::from_iter_values([text])),
            Column::Bytes(bytes) => Arc::new(BinaryArray::from_iter_values([bytes])),
        }
    }
}
