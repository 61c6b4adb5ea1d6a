//! The columns of files, with what they are to an engine.

use crate::pure::layout::cells::ColumnType;
use crate::pure::layout::format::{Format, FormatOptions, Rows};

/// One column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::outside::cli) struct TableColumn {
    pub(super) name: String,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::outside::cli) enum Kind {
    Text,
    Boolean,
    Int32,
    Int64,
    Float64,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Date,
    /// Microseconds since 1970, in Parquet.
    Time,
    /// The same as a plain number.
    Micros,
    /// A time as text, in JSON lines, of which some engines make a time.
    IsoTime,
    Bytes,
    /// Pairs of a text and bytes.
    Headers,
    /// Objects of JSON lines: four texts, of which two are bytes in Base64.
    HeaderObjects,
    HeaderNames,
    /// JSON inside of JSON.
    Json,
}

/// The columns of files with such rows, in their order; docs/files.md describes them.
pub(super) fn of(rows: &Rows, format: Format, options: FormatOptions) -> Vec<TableColumn> {
    let parquet = matches!(format, Format::Parquet(_) | Format::Avro(_));
    let declared = |name: &str| match rows {
        Rows::Columns(of) => {
            of.columns.columns().iter().find(|c| c.name == name).map(|c| declared(c.kind))
        }
        _ => None,
    };
    let kind = |name: &str| {
        if let Some(kind) = declared(name) {
            return match kind {
                Kind::Time if !parquet => Kind::IsoTime,
                // In Base64.
                Kind::Bytes if !parquet => Kind::Text,
                kind => kind,
            };
        }
        match name {
            "partition" | "source_partition" => Kind::Int32,
            "offset" | "count" | "timestamp_ms" | "window_start_ms" | "window_end_ms" => {
                Kind::Int64
            }
            "timestamp" | "window_start" | "window_end" if parquet => Kind::Time,
            "key_bytes" | "value_bytes" | "foreign_value" if parquet => Kind::Bytes,
            "headers" if parquet => Kind::Headers,
            "headers" => Kind::HeaderObjects,
            "header_keys_bytes" => Kind::HeaderNames,
            "value" if matches!(rows, Rows::Json { .. }) => Kind::Json,
            _ => Kind::Text,
        }
    };
    // JSON lines have each time once, as text, and the bytes of a header's name beside the name.
    let only_parquet = ["timestamp_ms", "header_keys_bytes", "window_start_ms", "window_end_ms"];
    let names = rows.columns().into_iter().filter(|name| parquet || !only_parquet.contains(name));
    let kind = |name: &str| match kind(name) {
        Kind::Time if options.plain_times => Kind::Micros,
        kind => kind,
    };
    names.map(|name| TableColumn { name: name.into(), kind: kind(name) }).collect()
}

fn declared(kind: ColumnType) -> Kind {
    match kind {
        ColumnType::Text | ColumnType::Json => Kind::Text,
        ColumnType::Boolean => Kind::Boolean,
        ColumnType::Int32 => Kind::Int32,
        ColumnType::Int64 => Kind::Int64,
        ColumnType::Float64 => Kind::Float64,
        ColumnType::Decimal { precision, scale } => Kind::Decimal { precision, scale },
        ColumnType::Date => Kind::Date,
        ColumnType::TimeText | ColumnType::Time { .. } => Kind::Time,
        ColumnType::Bytes => Kind::Bytes,
    }
}
