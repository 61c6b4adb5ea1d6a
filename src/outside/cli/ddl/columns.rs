//! The columns of files, with what they are to an engine.

use crate::pure::layout::cells::ColumnType;
use crate::pure::layout::format::{Format, FormatOptions, Rows};
use crate::pure::layout::nested_type::NestedType;

/// One column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::outside::cli) struct TableColumn {
    pub(super) name: String,
    pub(super) kind: ColumnKind,
}

/// What a column is, or a part of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::outside::cli) enum ColumnKind {
    Flat(Kind),
    /// The fields with their names.
    Struct(Vec<(String, ColumnKind)>),
    List(Box<ColumnKind>),
    /// The keys are texts.
    Map(Box<ColumnKind>),
}

impl ColumnKind {
    fn of(nested: &NestedType, options: FormatOptions) -> ColumnKind {
        let inner = |of: &NestedType| ColumnKind::of(of, options);
        match nested {
            NestedType::Simple(kind) => ColumnKind::Flat(with_times(declared(*kind), options)),
            NestedType::Struct(fields) => ColumnKind::Struct(
                fields.iter().map(|field| (field.name.clone(), inner(&field.of))).collect(),
            ),
            NestedType::List(of) => ColumnKind::List(Box::new(inner(of))),
            NestedType::Map(of) => ColumnKind::Map(Box::new(inner(of))),
        }
    }

    /// The same with another kind for each value, and for each part of one.
    pub(super) fn each(&self, other: &impl Fn(Kind) -> Kind) -> ColumnKind {
        match self {
            ColumnKind::Flat(kind) => ColumnKind::Flat(other(*kind)),
            ColumnKind::Struct(fields) => ColumnKind::Struct(
                fields.iter().map(|(name, of)| (name.clone(), of.each(other))).collect(),
            ),
            ColumnKind::List(of) => ColumnKind::List(Box::new(of.each(other))),
            ColumnKind::Map(of) => ColumnKind::Map(Box::new(of.each(other))),
        }
    }

    /// Whether a value of it, or a part of one, is of this kind.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.any(&|own| own == kind)
    }

    /// Whether this is true of a value of it, or of a part of one.
    pub(super) fn any(&self, is: &dyn Fn(Kind) -> bool) -> bool {
        match self {
            ColumnKind::Flat(own) => is(*own),
            ColumnKind::Struct(fields) => fields.iter().any(|(_, of)| of.any(is)),
            ColumnKind::List(of) | ColumnKind::Map(of) => of.any(is),
        }
    }

    /// Whether this is true of the name of a part.
    pub(super) fn has_name(&self, is: &dyn Fn(&str) -> bool) -> bool {
        match self {
            ColumnKind::Flat(_) => false,
            ColumnKind::Struct(fields) => {
                fields.iter().any(|(name, of)| is(name) || of.has_name(is))
            }
            ColumnKind::List(of) | ColumnKind::Map(of) => of.has_name(is),
        }
    }
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
    let nested = |name: &str| match rows {
        Rows::Columns(of) => {
            of.columns.columns().iter().find(|c| c.name == name).and_then(|c| c.nested.as_deref())
        }
        _ => None,
    };
    let kind = |name: &str| match nested(name) {
        Some(of) => ColumnKind::of(of, options),
        None => ColumnKind::Flat(with_times(kind(name), options)),
    };
    names.map(|name| TableColumn { name: name.into(), kind: kind(name) }).collect()
}

fn with_times(kind: Kind, options: FormatOptions) -> Kind {
    match kind {
        Kind::Time if options.plain_times => Kind::Micros,
        kind => kind,
    }
}

fn declared(kind: ColumnType) -> Kind {
    match kind {
        // What is nested has parts with types of their own.
        ColumnType::Text | ColumnType::Json | ColumnType::Nested => Kind::Text,
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
