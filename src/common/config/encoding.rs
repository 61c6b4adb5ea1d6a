//! The keys of an archive that decide how its files are encoded: `format`, `codec`, `level`,
//! `page_index`, `bloom_filter` and `compat`.

use std::ops::RangeInclusive;

use crate::common::config::fields::{Faults, Fields};
use crate::pure::layout::format::{AvroCodec, Format, FormatOptions, ParquetCodec, TextCodec};

/// The levels of gzip, deflate and zstd. Those of zstd above 9 use tens of MiB for each file that
/// is open.
const LEVELS: RangeInclusive<i64> = 1..=9;

/// The keys as far as they are given.
#[derive(Clone, Default, Debug)]
pub(super) struct EncodingKeys {
    format: Option<String>,
    codec: Option<String>,
    level: Option<i32>,
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
            level: f.number("level", LEVELS, faults),
            page_index: f.flag("page_index", faults),
            bloom_filter: f.flag("bloom_filter", faults),
            compat: f.choice("compat", &[("none", Compat::None), ("hive3", Compat::Hive3)], faults),
        }
    }

    /// These keys, and those of the defaults that suit them: a codec belongs to the key of its
    /// format, and a level to what is written in the end.
    pub(super) fn or(self, d: &EncodingKeys) -> EncodingKeys {
        let codec = self.codec.or_else(|| d.codec.clone().filter(|_| self.format.is_none()));
        let format = self.format.or_else(|| d.format.clone());
        let resolved = |keys: (&Option<String>, &Option<String>)| {
            format_of(keys.0.as_deref(), keys.1.as_deref()).ok()
        };
        let is_like = resolved((&format, &codec)) == resolved((&d.format, &d.codec));
        // What only Parquet has is said once for all mappings, whatever their formats are.
        let of_parquet = is_parquet(format.as_deref());
        EncodingKeys {
            level: self.level.or(d.level.filter(|_| is_like)),
            page_index: self.page_index.or(d.page_index.filter(|_| of_parquet)),
            bloom_filter: self.bloom_filter.or(d.bloom_filter.filter(|_| of_parquet)),
            compat: self.compat.or(d.compat.filter(|_| of_parquet)),
            format,
            codec,
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
        let format = format_of(self.format.as_deref(), self.codec.as_deref());
        let format = format.map_err(|(k, e)| faults.add(key(k), e)).ok()?;
        if self.level.is_some() && !format.has_levels() {
            let why = "is about gzip, deflate and zstd: the codec here has no levels";
            faults.add(key("level"), why);
        }
        let of_parquet = [
            ("page_index", self.page_index == Some(true)),
            ("bloom_filter", self.bloom_filter == Some(true)),
            ("compat", self.compat == Some(Compat::Hive3)),
        ];
        if !matches!(format, Format::Parquet(_)) {
            for (name, _) in of_parquet.into_iter().filter(|(_, is_chosen)| *is_chosen) {
                faults.add(key(name), "needs format = \"parquet\"");
            }
        }
        let options = FormatOptions {
            level: self.level,
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

fn format_of(format: Option<&str>, codec: Option<&str>) -> Result<Format, (&'static str, String)> {
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
