//! The statements of each engine.

use std::fmt::Write as _;

use clap::ValueEnum;

use crate::outside::cli::ddl::columns::{ColumnKind, Kind, TableColumn};
use crate::pure::layout::format::{AvroCodec, Format, ParquetCodec, TextCodec};
use crate::pure::layout::table::{Partitions, TablePath};

/// Who reads the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(in crate::outside::cli) enum Engine {
    Hive,
    Spark,
    Trino,
    Duckdb,
}

/// What a table is made of.
#[derive(Debug)]
pub(in crate::outside::cli) struct Table {
    pub(in crate::outside::cli) name: String,
    pub(in crate::outside::cli) topic: String,
    /// The URL of the root, without a slash at its end.
    pub(super) root: String,
    pub(super) path: TablePath,
    /// Names of directories come from records.
    pub(super) has_values: bool,
    pub(super) columns: Vec<TableColumn>,
    pub(in crate::outside::cli) format: Format,
}

impl Engine {
    /// The statements for this table.
    ///
    /// # Errors
    /// The engine cannot read files that lie so; the text says why.
    pub(in crate::outside::cli) fn statements(self, table: &Table) -> Result<String, String> {
        if self == Engine::Duckdb {
            return match table.format {
                Format::Avro(_) => Err("DuckDB itself reads no Avro; its extension avro has \
                                        read_avro"
                    .into()),
                _ => Ok(table.duckdb()),
            };
        }
        let Partitions::Hive(partitions) = &table.path.partitions else {
            return Err(format!(
                "the directories below {:?} have no names (name=value), so {self:?} has no \
                 partitions for them; write a path like \"{{topic}}/dt=%Y-%m-%d\"",
                table.path.directory
            ));
        };
        Ok(match self {
            Engine::Hive => table.hive(partitions),
            Engine::Spark => table.spark(partitions),
            _ => table.trino(partitions),
        })
    }

    fn type_of(self, kind: &ColumnKind) -> String {
        match kind {
            ColumnKind::Flat(kind) => self.flat_type(*kind),
            ColumnKind::Struct(fields) => {
                let between = if matches!(self, Engine::Hive | Engine::Spark) { ": " } else { " " };
                let fields = fields.iter().map(|(name, of)| {
                    format!("{}{between}{}", self.quoted(name), self.type_of(of))
                });
                let fields = fields.collect::<Vec<_>>().join(", ");
                match self {
                    Engine::Hive | Engine::Spark => format!("STRUCT<{fields}>"),
                    Engine::Trino => format!("ROW({fields})"),
                    Engine::Duckdb => format!("STRUCT({fields})"),
                }
            }
            ColumnKind::List(of) => match self {
                Engine::Hive | Engine::Spark => format!("ARRAY<{}>", self.type_of(of)),
                Engine::Trino => format!("ARRAY({})", self.type_of(of)),
                Engine::Duckdb => format!("{}[]", self.type_of(of)),
            },
            ColumnKind::Map(of) => {
                let pair = format!("{}, {}", self.flat_type(Kind::Text), self.type_of(of));
                match self {
                    Engine::Hive | Engine::Spark => format!("MAP<{pair}>"),
                    Engine::Trino | Engine::Duckdb => format!("MAP({pair})"),
                }
            }
        }
    }

    fn flat_type(self, kind: Kind) -> String {
        let [text, int, bytes] = match self {
            Engine::Hive | Engine::Spark => ["STRING", "INT", "BINARY"],
            Engine::Trino => ["VARCHAR", "INTEGER", "VARBINARY"],
            Engine::Duckdb => ["VARCHAR", "INTEGER", "BLOB"],
        };
        let headers = |value: &[(&str, &str)]| {
            let fields = |between: &str| {
                let all = value.iter().map(|(name, kind)| format!("{name}{between}{kind}"));
                all.collect::<Vec<_>>().join(", ")
            };
            match self {
                Engine::Hive | Engine::Spark => format!("ARRAY<STRUCT<{}>>", fields(": ")),
                Engine::Trino => format!("ARRAY(ROW({}))", fields(" ")),
                Engine::Duckdb => format!("STRUCT({})[]", fields(" ")),
            }
        };
        match kind {
            Kind::Text => text.into(),
            Kind::Json if self == Engine::Duckdb => "JSON".into(),
            Kind::Json => text.into(),
            Kind::Boolean => "BOOLEAN".into(),
            Kind::Int32 => int.into(),
            Kind::Int64 | Kind::Micros => "BIGINT".into(),
            Kind::Float64 => "DOUBLE".into(),
            Kind::Decimal { precision, scale } => format!("DECIMAL({precision},{scale})"),
            Kind::Date => "DATE".into(),
            // Hive 3 cannot read a time of 64 bits, and reads the number.
            Kind::Time if self == Engine::Hive => "BIGINT".into(),
            Kind::Time if self == Engine::Trino => "TIMESTAMP(6)".into(),
            Kind::Time => "TIMESTAMP".into(),
            // A time without a zone would be one of the session's zone beside others.
            Kind::IsoTime if self == Engine::Duckdb => "TIMESTAMPTZ".into(),
            Kind::IsoTime if self == Engine::Spark => "TIMESTAMP".into(),
            // The readers of lines that Hive and Trino have take no time with a zone.
            Kind::IsoTime => text.into(),
            Kind::Bytes => bytes.into(),
            Kind::Headers => headers(&[("key", text), ("value", bytes)]),
            Kind::HeaderObjects => {
                let names = ["key", "key_bytes", "value", "value_bytes"];
                headers(&names.map(|name| (name, text)))
            }
            Kind::HeaderNames => match self {
                Engine::Trino => format!("ARRAY({bytes})"),
                Engine::Duckdb => format!("{bytes}[]"),
                Engine::Hive | Engine::Spark => format!("ARRAY<{bytes}>"),
            },
        }
    }

    /// A name as an identifier.
    pub(in crate::outside::cli) fn quoted(self, name: &str) -> String {
        match self {
            Engine::Hive | Engine::Spark => format!("`{}`", name.replace('`', "``")),
            Engine::Trino | Engine::Duckdb => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    }
}

/// A text as a literal of the engine.
pub(in crate::outside::cli) fn literal(engine: Engine, text: &str) -> String {
    match engine {
        // There a backslash is an escape.
        Engine::Hive | Engine::Spark => {
            format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
        }
        Engine::Trino | Engine::Duckdb => format!("'{}'", text.replace('\'', "''")),
    }
}

/// What the type of a column does not say: that numbers are times.
fn about_times(engine: Engine, kind: &ColumnKind) -> &'static str {
    let is_number = |kind: Kind| match engine {
        Engine::Hive => matches!(kind, Kind::Time | Kind::Micros),
        Engine::Trino => kind == Kind::Micros,
        Engine::Spark | Engine::Duckdb => false,
    };
    match kind {
        kind if !kind.any(&is_number) => "",
        ColumnKind::Flat(_) => " COMMENT 'microseconds since 1970'",
        _ => " COMMENT 'its times are microseconds since 1970'",
    }
}

impl Table {
    /// Whether the files have typed columns, and no texts for them.
    pub(in crate::outside::cli) fn is_typed(&self) -> bool {
        matches!(self.format, Format::Parquet(_) | Format::Avro(_))
    }

    /// The format, as Spark names it.
    pub(in crate::outside::cli) fn format_name(&self) -> &'static str {
        match self.format {
            Format::Parquet(_) => "PARQUET",
            Format::Avro(_) => "AVRO",
            Format::JsonLines(_) => "JSON",
            Format::Text(_) => "TEXT",
        }
    }

    /// Whether the files are compressed with zstd, in a format that also has gzip.
    fn is_zstd(&self) -> bool {
        matches!(
            self.format,
            Format::Parquet(ParquetCodec::Zstd)
                | Format::JsonLines(TextCodec::Zstd)
                | Format::Text(TextCodec::Zstd)
        )
    }

    /// Whether a column of times has plain numbers.
    pub(in crate::outside::cli) fn has_micros(&self, column: &str) -> bool {
        let micros = ColumnKind::Flat(Kind::Micros);
        self.columns.iter().any(|c| c.name == column && c.kind == micros)
    }

    /// The URL of the directory that all files lie below.
    pub(in crate::outside::cli) fn location(&self) -> String {
        match self.path.directory.as_str() {
            "" => self.root.clone(),
            directory => format!("{}/{directory}", self.root),
        }
    }

    /// The columns with their types, one a line.
    pub(in crate::outside::cli) fn own_columns(&self, engine: Engine) -> String {
        self.columns(engine, &[])
    }

    /// What a column is to the engine. Of times in Avro, Trino knows milliseconds alone, and reads
    /// microseconds as such.
    fn kind_for(&self, engine: Engine, kind: &ColumnKind) -> ColumnKind {
        kind.each(&|kind| match (engine, self.format, kind) {
            (Engine::Trino, Format::Avro(_), Kind::Time) => Kind::Micros,
            (_, _, kind) => kind,
        })
    }

    /// Whether a column has any JSON, inside of JSON lines.
    pub(super) fn has_json(&self) -> bool {
        self.columns.iter().any(|c| c.kind.has(Kind::Json))
    }

    /// The columns, one a line; `extra` are the partitions where the engine lists them too.
    pub(super) fn columns(&self, engine: Engine, extra: &[String]) -> String {
        let own = self.columns.iter().map(|c| {
            let kind = self.kind_for(engine, &c.kind);
            let comment = about_times(engine, &kind);
            format!("  {} {}{comment}", engine.quoted(&c.name), engine.type_of(&kind))
        });
        let extra = extra
            .iter()
            .map(|name| format!("  {} {}", engine.quoted(name), engine.flat_type(Kind::Text)));
        own.chain(extra).collect::<Vec<_>>().join(",\n")
    }

    /// What the engine may lack for the files' codec, as a comment.
    pub(super) fn about_codec(&self, engine: Engine) -> &'static str {
        let is_lz4 = matches!(self.format, Format::Parquet(ParquetCodec::Lz4));
        let is_avro_zstd = matches!(self.format, Format::Avro(AvroCodec::Zstandard));
        match engine {
            Engine::Hive if self.is_zstd() && !self.is_typed() => {
                "-- The files are compressed with zstd, which Hive reads only where the native \
                 library of Hadoop\n-- has zstd. Files of the codec gzip need no library.\n"
            }
            Engine::Hive if self.is_zstd() => {
                "-- The files are compressed with zstd, which Hive 3 reads only where the native \
                 library\n-- of Hadoop has zstd. Files of the codec gzip need no library.\n"
            }
            Engine::Hive if is_lz4 => {
                "-- The files are compressed with lz4 (LZ4_RAW), which Hive 4 reads, and Hive 3 \
                 does not. Both read\n-- files of the codec gzip.\n"
            }
            Engine::Hive if is_avro_zstd => {
                "-- The files are compressed with zstandard, which Hive 4 reads, and Hive 3 does \
                 not. Both read\n-- files of the codecs deflate and snappy.\n"
            }
            Engine::Spark if is_lz4 => {
                "-- The files are compressed with lz4 (LZ4_RAW), which Spark 4.0 reads, and Spark \
                 3.2 does not.\n"
            }
            Engine::Trino if is_lz4 => {
                "-- The files are compressed with lz4 (LZ4_RAW), which Trino does not read (476 \
                 was tried).\n-- It reads files of the other codecs.\n"
            }
            Engine::Trino if is_avro_zstd => {
                "-- The files are compressed with zstandard, which Trino 476 reads, and 368 does \
                 not.\n"
            }
            _ => "",
        }
    }

    fn spark(&self, partitions: &[String]) -> String {
        let engine = Engine::Spark;
        let name = engine.quoted(&self.name);
        let columns = self.columns(engine, partitions);
        let format = self.format_name();
        let remark = self.about_codec(engine);
        let mut text = format!("{remark}CREATE TABLE {name} (\n{columns}\n)\nUSING {format}\n");
        if !partitions.is_empty() {
            let all: Vec<String> = partitions.iter().map(|p| engine.quoted(p)).collect();
            let _ = writeln!(text, "PARTITIONED BY ({})", all.join(", "));
        }
        let _ = writeln!(text, "LOCATION {};", literal(engine, &self.location()));
        if !partitions.is_empty() {
            let _ = writeln!(text, "-- Again whenever there are new directories:");
            let _ = writeln!(text, "MSCK REPAIR TABLE {name};");
        }
        text
    }

    fn trino(&self, partitions: &[String]) -> String {
        let engine = Engine::Trino;
        let name = engine.quoted(&self.name);
        let columns = self.columns(engine, partitions);
        let mut text = String::from(self.about_codec(engine));
        let format = match self.format {
            Format::Text(_) => {
                text.push_str("-- Trino has this format since version 409.\n");
                String::from("  format = 'REGEX',\n  regex = '(?s)^(.*)$'")
            }
            // Its reader for `JSON` fails at a text that is an object.
            Format::JsonLines(_) if self.has_json() => {
                text.push_str("-- Trino 476 has this format, and 368 does not.\n");
                String::from("  format = 'OPENX_JSON'")
            }
            _ => format!("  format = '{}'", self.format_name()),
        };
        let location = literal(engine, &self.location());
        let mut with = vec![format!("  external_location = {location}"), format];
        if !partitions.is_empty() {
            let all: Vec<String> = partitions.iter().map(|p| literal(engine, p)).collect();
            with.push(format!("  partitioned_by = ARRAY[{}]", all.join(", ")));
        }
        if self.columns.iter().any(|c| self.kind_for(engine, &c.kind).has(Kind::Time)) {
            text.push_str(
                "-- Times are UTC if the catalog's file has hive.parquet.time-zone=UTC, and \
                 otherwise of the zone of\n-- the server's Java. They have microseconds in \
                 sessions with this setting alone, and in all sessions\n-- if that file has \
                 hive.timestamp-precision=MICROSECONDS.\n\
                 SET SESSION hive.timestamp_precision = 'MICROSECONDS';\n",
            );
        }
        let _ = writeln!(
            text,
            "CREATE TABLE hive.default.{name} (\n{columns}\n)\nWITH (\n{}\n);",
            with.join(",\n")
        );
        if !partitions.is_empty() {
            // Trino's names are of lower case, and it looks for such directories alone by default.
            let is_lower = partitions.iter().all(|name| *name == name.to_lowercase());
            let any_case = if is_lower { "" } else { ", false" };
            let _ = writeln!(
                text,
                "-- Again whenever there are new directories:\n\
                 CALL hive.system.sync_partition_metadata('default', {}, 'ADD'{any_case});",
                literal(engine, &self.name)
            );
        }
        text
    }

    fn duckdb(&self) -> String {
        let engine = Engine::Duckdb;
        let files = literal(engine, &self.files_of_duckdb());
        let hive = match &self.path.partitions {
            Partitions::Hive(names) if names.is_empty() => String::new(),
            Partitions::Hive(names) => {
                let types = names.iter().map(|name| format!("{}: VARCHAR", engine.quoted(name)));
                let types: Vec<String> = types.collect();
                format!(", hive_partitioning = true, hive_types = {{{}}}", types.join(", "))
            }
            Partitions::Unnamed(_) => ", hive_partitioning = false".into(),
        };
        let read = self.read_by_duckdb(&format!("{files}{hive}"));
        // An empty line would be null.
        let columns = match self.format {
            Format::Text(_) => "* REPLACE (coalesce(value, '') AS value)",
            _ => "*",
        };
        let remark = match self.root.split_once("://") {
            Some((scheme, _)) if scheme != "file" => format!(
                "-- DuckDB does not read {scheme}:// by itself: copy the files, and give the \
                 directory of\n-- the copy as --root file:///…\n"
            ),
            _ => String::new(),
        };
        let name = engine.quoted(&self.name);
        format!("{remark}CREATE VIEW {name} AS\nSELECT {columns} FROM {read};\n")
    }

    /// Where all files lie, as a pattern. DuckDB's local paths have no scheme.
    pub(in crate::outside::cli) fn files_of_duckdb(&self) -> String {
        let location = self.location();
        let location = location.strip_prefix("file://").unwrap_or(&location);
        format!("{location}/**/*.{}", self.format.extension())
    }

    /// The function that reads `files`, an expression that may have further arguments behind it.
    pub(in crate::outside::cli) fn read_by_duckdb(&self, files: &str) -> String {
        let engine = Engine::Duckdb;
        match self.format {
            Format::Parquet(_) => return format!("read_parquet({files}, union_by_name = true)"),
            // Of one column, that ends nowhere in a line. Without a length, DuckDB fails at lines
            // of 2,000,000 bytes.
            Format::Text(_) => {
                return format!(
                    "read_csv({files}, columns = {{'value': 'VARCHAR'}}, header = false, \
                     auto_detect = false, quote = '', escape = '', max_line_size = 67108864, \
                     delim = chr(30) || chr(31) || chr(30) || chr(31), new_line = '\\n')"
                );
            }
            Format::JsonLines(_) | Format::Avro(_) => {}
        }
        let columns = self.columns.iter().map(|c| {
            format!("  {}: {}", literal(engine, &c.name), literal(engine, &engine.type_of(&c.kind)))
        });
        let columns: Vec<String> = columns.collect();
        format!(
            "read_json({files}, format = 'newline_delimited', columns = {{\n{}\n}})",
            columns.join(",\n")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_are_numbers_are_said_to_be_so_however_deep_they_lie() {
        let of = |kind| {
            let field = |kind| ("a".to_string(), ColumnKind::Flat(kind));
            let inner = ColumnKind::Struct(vec![field(Kind::Int64), field(kind)]);
            ColumnKind::Map(Box::new(ColumnKind::List(Box::new(inner))))
        };
        let said = " COMMENT 'its times are microseconds since 1970'";
        for (engine, time, micros) in [
            (Engine::Hive, said, said),
            (Engine::Trino, "", said),
            (Engine::Spark, "", ""),
            (Engine::Duckdb, "", ""),
        ] {
            assert_eq!(about_times(engine, &of(Kind::Time)), time, "{engine:?}");
            assert_eq!(about_times(engine, &of(Kind::Micros)), micros, "{engine:?}");
            assert_eq!(about_times(engine, &of(Kind::Int64)), "", "{engine:?}");
        }
        let flat = about_times(Engine::Hive, &ColumnKind::Flat(Kind::Time));
        assert_eq!(flat, " COMMENT 'microseconds since 1970'");
    }
}
