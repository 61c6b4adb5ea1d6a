//! The keys of an archive that decide how its files are encoded: `format`, `codec`, `level`,
//! `page_index`, `bloom_filter` and `compat`.

use crate::common::config::fields::{Faults, Fields};
use crate::pure::layout::format::{AvroCodec, Format, FormatOptions, ParquetCodec, TextCodec};

/// The keys as far as they are given.
#[derive(Clone, Default, Debug)]
pub(super) struct EncodingKeys {
    format: Option<String>,
    codec: Option<String>,
    level: Option<i64>,
    page_index: Option<bool>,
    bloom_filter: Option<bool>,
    compat: Option<Compat>,
}

/// Whose files the files are like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Compat {
    None,
    /// Hive 3 does not know times of 64 bits.
    Hive3,
}

impl EncodingKeys {
    pub(super) fn read(f: &mut Fields, faults: &mut Faults) -> EncodingKeys {
        EncodingKeys {
            format: f.text("format", faults),
            codec: f.text("codec", faults),
            level: f.number("level", i64::MIN..=i64::MAX, faults),
            page_index: f.flag("page_index", faults),
            bloom_filter: f.flag("bloom_filter", faults),
            compat: f.choice("compat", &[("none", Compat::None), ("hive3", Compat::Hive3)], faults),
        }
    }

    /// These keys, and those of the defaults that are about the same format: a codec belongs to its
    /// format, and a level to its codec.
    pub(super) fn or(self, d: &EncodingKeys) -> EncodingKeys {
        let (own_format, own_codec) = (self.format.is_some(), self.codec.is_some());
        let inherited = EncodingKeys {
            codec: d.codec.clone().filter(|_| !own_format),
            level: d.level.filter(|_| !own_format && !own_codec),
            ..d.clone()
        };
        let format = self.format.or(inherited.format);
        // What only Parquet has is said once for all mappings, whatever their formats are.
        let of_parquet = is_parquet(format.as_deref());
        EncodingKeys {
            codec: self.codec.or(inherited.codec),
            level: self.level.or(inherited.level),
            page_index: self.page_index.or(inherited.page_index.filter(|_| of_parquet)),
            bloom_filter: self.bloom_filter.or(inherited.bloom_filter.filter(|_| of_parquet)),
            compat: self.compat.or(inherited.compat.filter(|_| of_parquet)),
            format,
        }
    }

    /// Whether a key is given here.
    pub(super) fn gives(&self, name: &str) -> bool {
        match name {
            "format" => self.format.is_some(),
            "codec" => self.codec.is_some(),
            "level" => self.level.is_some(),
            "page_index" => self.page_index.is_some(),
            "bloom_filter" => self.bloom_filter.is_some(),
            "compat" => self.compat.is_some(),
            _ => false,
        }
    }

    /// The format, and what is chosen beside it.
    pub(super) fn valid(
        &self,
        key: &dyn Fn(&str) -> String,
        faults: &mut Faults,
    ) -> Option<(Format, FormatOptions)> {
        let format = format(self.format.as_deref(), self.codec.as_deref());
        let format = format.map_err(|(k, e)| faults.add(key(k), e)).ok()?;
        if let Some(level) = self.level {
            match format.levels() {
                None => {
                    faults.add(
                        key("level"),
                        "is about gzip, deflate and zstd: the codec here has no levels",
                    );
                }
                Some(levels) if !levels.contains(&level) => faults.add(
                    key("level"),
                    format!("{level} is not between {} and {}", levels.start(), levels.end()),
                ),
                Some(_) => {}
            }
        }
        if !matches!(format, Format::Parquet(_)) {
            for name in ["page_index", "bloom_filter", "compat"] {
                if self.gives(name) {
                    faults.add(key(name), "needs format = \"parquet\"");
                }
            }
        }
        let options = FormatOptions {
            level: self.level.and_then(|level| i32::try_from(level).ok()),
            page_index: self.page_index.unwrap_or(false),
            bloom_filter: self.bloom_filter.unwrap_or(false),
            plain_times: self.compat == Some(Compat::Hive3),
        };
        Some((format, options))
    }
}

fn is_parquet(format: Option<&str>) -> bool {
    format.is_none_or(|format| format == "parquet")
}

fn format(format: Option<&str>, codec: Option<&str>) -> Result<Format, (&'static str, String)> {
    let none = |what: &str, of: &str| ("codec", format!("{what:?} is none of {of}"));
    let text = || match codec.unwrap_or("gzip") {
        "none" => Ok(TextCodec::None),
        "gzip" => Ok(TextCodec::Gzip),
        "zstd" => Ok(TextCodec::Zstd),
        other => Err(none(other, "\"none\", \"gzip\", \"zstd\"")),
    };
    match format.unwrap_or("parquet") {
        "parquet" => match codec.unwrap_or("zstd") {
            "none" => Ok(Format::Parquet(ParquetCodec::None)),
            "snappy" => Ok(Format::Parquet(ParquetCodec::Snappy)),
            "gzip" => Ok(Format::Parquet(ParquetCodec::Gzip)),
            "zstd" => Ok(Format::Parquet(ParquetCodec::Zstd)),
            "lz4" => Ok(Format::Parquet(ParquetCodec::Lz4)),
            other => Err(none(other, "\"none\", \"snappy\", \"gzip\", \"zstd\", \"lz4\"")),
        },
        "jsonl" => text().map(Format::JsonLines),
        "text" => text().map(Format::Text),
        "avro" => match codec.unwrap_or("deflate") {
            "null" | "none" => Ok(Format::Avro(AvroCodec::Null)),
            "deflate" => Ok(Format::Avro(AvroCodec::Deflate)),
            "snappy" => Ok(Format::Avro(AvroCodec::Snappy)),
            "zstandard" | "zstd" => Ok(Format::Avro(AvroCodec::Zstandard)),
            other => Err(none(other, "\"null\", \"deflate\", \"snappy\", \"zstandard\"")),
        },
        other => {
            let all = "\"parquet\", \"jsonl\", \"text\", \"avro\"";
            Err(("format", format!("{other:?} is none of {all}")))
        }
    }
}
