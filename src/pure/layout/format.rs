//! Which format a file has, and what a row is made of.

use std::sync::Arc;

use crate::pure::layout::columns::JsonColumns;

/// File format and compression.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Parquet(ParquetCodec),
    JsonLines(TextCodec),
    /// The values as they are, one a line.
    Text(TextCodec),
    /// Avro's object container files.
    Avro(AvroCodec),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AvroCodec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
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

/// What is chosen about files beside their format and codec. The default is what is written where
/// nothing is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FormatOptions {
    /// The level of the codec; [`None`] for the one that costs the least time.
    pub level: Option<i32>,
    /// Parquet: the least and the greatest value of each page, and not of each column of a row
    /// group alone.
    pub page_index: bool,
    /// Parquet: a Bloom filter of the keys, or of the words of counts.
    pub bloom_filter: bool,
    /// Parquet: times are plain numbers of microseconds, which every reader has.
    pub plain_times: bool,
}

impl FormatOptions {
    /// The text of the options in the checksum that ledger entries carry: it never changes, and
    /// there is none for the default.
    #[must_use]
    pub fn checksum_text(self) -> String {
        let mut text = self.level.map_or(String::new(), |level| format!("|level: {level}"));
        for (is_chosen, name) in [
            (self.page_index, "|page index"),
            (self.bloom_filter, "|bloom filter"),
            (self.plain_times, "|plain times"),
        ] {
            text.push_str(if is_chosen { name } else { "" });
        }
        text
    }
}

/// How the bytes of a key or value become columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextPolicy {
    /// As text where the bytes are UTF-8, otherwise in a second column, so that no byte is lost.
    Auto,
    /// Always as bytes.
    Bytes,
}

impl Format {
    /// The text of the format in the checksum that ledger entries carry: it never changes.
    #[must_use]
    pub fn checksum_text(self) -> &'static str {
        match self {
            Format::Parquet(ParquetCodec::None) => "Parquet(None)",
            Format::Parquet(ParquetCodec::Snappy) => "Parquet(Snappy)",
            Format::Parquet(ParquetCodec::Gzip) => "Parquet(Gzip)",
            Format::Parquet(ParquetCodec::Zstd) => "Parquet(Zstd)",
            Format::Parquet(ParquetCodec::Lz4) => "Parquet(Lz4)",
            Format::JsonLines(TextCodec::None) => "JsonLines(None)",
            Format::JsonLines(TextCodec::Gzip) => "JsonLines(Gzip)",
            Format::JsonLines(TextCodec::Zstd) => "JsonLines(Zstd)",
            Format::Text(TextCodec::None) => "Text(None)",
            Format::Text(TextCodec::Gzip) => "Text(Gzip)",
            Format::Text(TextCodec::Zstd) => "Text(Zstd)",
            Format::Avro(AvroCodec::Null) => "Avro(Null)",
            Format::Avro(AvroCodec::Deflate) => "Avro(Deflate)",
            Format::Avro(AvroCodec::Snappy) => "Avro(Snappy)",
            Format::Avro(AvroCodec::Zstandard) => "Avro(Zstandard)",
        }
    }

    /// The format of bad records: text has no place for what they have beside a value.
    #[must_use]
    pub fn of_quarantine(self) -> Format {
        match self {
            Format::Text(codec) => Format::JsonLines(codec),
            Format::Parquet(_) | Format::JsonLines(_) | Format::Avro(_) => self,
        }
    }
}

impl TextPolicy {
    fn checksum_text(self) -> &'static str {
        match self {
            TextPolicy::Auto => "Auto",
            TextPolicy::Bytes => "Bytes",
        }
    }
}

/// What a row is made of.
#[derive(Clone, Debug)]
pub enum Rows {
    /// The raw envelope: topic, partition, offset, timestamp, key, value, headers.
    Raw { key: TextPolicy, value: TextPolicy },
    /// The envelope with declared columns of a JSON value.
    Columns(Arc<ColumnRows>),
    /// The envelope with the columns of a schema in a registry: a file has declared columns, which
    /// are its schema's.
    Registered(Registered),
    /// The envelope with a value that is a JSON object or array, as it is; JSON lines only.
    Json { key: TextPolicy },
    /// The value alone, which is one line of text; text only.
    Values,
    /// The raw envelope of a record that does not fit, and the reason.
    Quarantine,
    /// Typed rows of a topic of published counts.
    Counts,
}

/// Rows whose values have the id of a schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registered {
    pub key: TextPolicy,
    /// How the whole value stands beside the columns; [`None`] if it does not.
    pub value: Option<TextPolicy>,
    pub evolution: Evolution,
    pub nested: Nested,
}

/// What becomes of a field that is a record, a list or a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nested {
    /// A column of JSON text.
    Json,
    /// A column with the same parts.
    Columns,
}

/// Of which schema a file has the columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Evolution {
    /// Of that which its records were written with.
    AsWritten,
    /// Of the newest known one of the same name that loses nothing of its records.
    Latest,
}

/// Rows with declared columns.
#[derive(Clone, Debug)]
pub struct ColumnRows {
    pub key: TextPolicy,
    /// How the whole value stands beside the columns; [`None`] if it does not.
    pub value: Option<TextPolicy>,
    pub columns: JsonColumns,
}

/// The columns of the raw envelope before the value, the value's, and those behind it.
const ENVELOPE: [&[&str]; 3] = [
    &["topic", "partition", "offset", "timestamp", "timestamp_type", "key", "key_bytes"],
    &["value", "value_bytes"],
    &["headers", "timestamp_ms", "header_keys_bytes"],
];

impl Rows {
    /// The text of the rows in the checksum that ledger entries carry: it never changes.
    #[must_use]
    pub fn checksum_text(&self) -> String {
        match self {
            Rows::Raw { key, value } => {
                format!("Raw {{ key: {}, value: {} }}", key.checksum_text(), value.checksum_text())
            }
            Rows::Columns(of) => {
                let columns: Vec<String> = of
                    .columns
                    .columns()
                    .iter()
                    .map(|c| format!("{:?} {} {}", c.path.names(), c.name, c.kind))
                    .collect();
                let value = of.value.map_or("None", TextPolicy::checksum_text);
                let key = of.key.checksum_text();
                format!("Columns {{ key: {key}, value: {value}, {} }}", columns.join(", "))
            }
            Rows::Registered(Registered { key, value, evolution, nested }) => {
                let evolution = match evolution {
                    Evolution::AsWritten => "as written",
                    Evolution::Latest => "latest",
                };
                let value = value.map_or("None", TextPolicy::checksum_text);
                let key = key.checksum_text();
                let nested = match nested {
                    // As before there was a choice.
                    Nested::Json => "",
                    Nested::Columns => ", nested: columns",
                };
                format!(
                    "Registered {{ key: {key}, value: {value}, evolution: {evolution}{nested} }}"
                )
            }
            Rows::Json { key } => format!("Json {{ key: {} }}", key.checksum_text()),
            Rows::Values => "Values".into(),
            Rows::Quarantine => "Quarantine".into(),
            Rows::Counts => "Counts".into(),
        }
    }

    /// The names of the columns, in their order; without those of schemas in a registry.
    #[must_use]
    pub fn columns(&self) -> Vec<&str> {
        let [before, value, behind] = ENVELOPE;
        match self {
            Rows::Raw { .. } | Rows::Json { .. } => [before, value, behind].concat(),
            Rows::Values => vec!["value"],
            Rows::Quarantine => [before, value, behind, &["error"]].concat(),
            Rows::Columns(of) => {
                let value = if of.value.is_some() { value } else { &[] };
                let declared = of.columns.columns().iter().map(|column| column.name.as_str());
                [before, value, behind].concat().into_iter().chain(declared).collect()
            }
            Rows::Registered(of) => {
                let value = if of.value.is_some() { value } else { &[] };
                [before, value, behind].concat()
            }
            Rows::Counts => vec![
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
    /// Whether its codec has levels.
    #[must_use]
    pub fn has_levels(self) -> bool {
        match self {
            Format::Parquet(ParquetCodec::Gzip | ParquetCodec::Zstd)
            | Format::JsonLines(TextCodec::Gzip | TextCodec::Zstd)
            | Format::Text(TextCodec::Gzip | TextCodec::Zstd)
            | Format::Avro(AvroCodec::Deflate | AvroCodec::Zstandard) => true,
            Format::Parquet(ParquetCodec::None | ParquetCodec::Snappy | ParquetCodec::Lz4)
            | Format::JsonLines(TextCodec::None)
            | Format::Text(TextCodec::None)
            | Format::Avro(AvroCodec::Null | AvroCodec::Snappy) => false,
        }
    }

    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Format::Parquet(_) => "parquet",
            Format::JsonLines(TextCodec::None) => "jsonl",
            Format::JsonLines(TextCodec::Gzip) => "jsonl.gz",
            Format::JsonLines(TextCodec::Zstd) => "jsonl.zst",
            Format::Text(TextCodec::None) => "txt",
            Format::Text(TextCodec::Gzip) => "txt.gz",
            Format::Text(TextCodec::Zstd) => "txt.zst",
            Format::Avro(_) => "avro",
        }
    }
}
