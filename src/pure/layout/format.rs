//! Which format a file has, and what a row is made of.

/// File format and compression.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Parquet(ParquetCodec),
    JsonLines(TextCodec),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParquetCodec {
    None,
    Snappy,
    Gzip,
    Zstd,
    Lz4,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextCodec {
    None,
    Gzip,
    Zstd,
}

/// How the bytes of a key or value become columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextPolicy {
    /// As text where the bytes are UTF-8, otherwise in a second column, so that no byte is lost.
    Auto,
    /// Always as bytes.
    Bytes,
}

/// What a row is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rows {
    /// The raw envelope: topic, partition, offset, timestamp, key, value, headers.
    Raw { key: TextPolicy, value: TextPolicy },
    /// Typed rows of a topic of published counts.
    Counts,
}

impl Rows {
    /// The names of the columns, in their order.
    #[must_use]
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Rows::Raw { .. } => &[
                "topic",
                "partition",
                "offset",
                "timestamp",
                "timestamp_type",
                "key",
                "key_bytes",
                "value",
                "value_bytes",
                "headers",
                "timestamp_ms",
                "header_keys_bytes",
            ],
            Rows::Counts => &[
                "window_start",
                "window_end",
                "word",
                "count",
                "kind",
                "source_partition",
                "topic",
                "partition",
                "offset",
                "foreign_value",
                "window_start_ms",
                "window_end_ms",
            ],
        }
    }
}

impl Format {
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Format::Parquet(_) => "parquet",
            Format::JsonLines(TextCodec::None) => "jsonl",
            Format::JsonLines(TextCodec::Gzip) => "jsonl.gz",
            Format::JsonLines(TextCodec::Zstd) => "jsonl.zst",
        }
    }
}
