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
        let (formats, codecs) = names();
        EncodingKeys {
            format: f.word("format", formats, faults),
            codec: f.word("codec", codecs, faults),
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

/// The codecs of a format by their names; of two names of one codec, the first one is shown.
type Codecs = &'static [(&'static str, Format)];

/// The formats by their names, with their codecs and the one that is chosen by default.
const FORMATS: [(&str, &str, Codecs); 4] = [
    (
        "parquet",
        "zstd",
        &[
            ("none", Format::Parquet(ParquetCodec::None)),
            ("snappy", Format::Parquet(ParquetCodec::Snappy)),
            ("gzip", Format::Parquet(ParquetCodec::Gzip)),
            ("zstd", Format::Parquet(ParquetCodec::Zstd)),
            ("lz4", Format::Parquet(ParquetCodec::Lz4)),
        ],
    ),
    (
        "jsonl",
        "gzip",
        &[
            ("none", Format::JsonLines(TextCodec::None)),
            ("gzip", Format::JsonLines(TextCodec::Gzip)),
            ("zstd", Format::JsonLines(TextCodec::Zstd)),
        ],
    ),
    (
        "text",
        "gzip",
        &[
            ("none", Format::Text(TextCodec::None)),
            ("gzip", Format::Text(TextCodec::Gzip)),
            ("zstd", Format::Text(TextCodec::Zstd)),
        ],
    ),
    (
        "avro",
        "deflate",
        &[
            ("null", Format::Avro(AvroCodec::Null)),
            ("none", Format::Avro(AvroCodec::Null)),
            ("deflate", Format::Avro(AvroCodec::Deflate)),
            ("snappy", Format::Avro(AvroCodec::Snappy)),
            ("zstandard", Format::Avro(AvroCodec::Zstandard)),
            ("zstd", Format::Avro(AvroCodec::Zstandard)),
        ],
    ),
];

/// The names of all formats, and of all codecs.
fn names() -> (Vec<String>, Vec<String>) {
    let formats = FORMATS.iter().map(|(name, _, _)| (*name).to_string()).collect();
    let mut codecs: Vec<String> = Vec::new();
    for (name, _) in FORMATS.iter().flat_map(|(_, _, codecs)| *codecs) {
        if !codecs.iter().any(|known| known == name) {
            codecs.push((*name).to_string());
        }
    }
    (formats, codecs)
}

fn format_of(format: Option<&str>, codec: Option<&str>) -> Result<Format, (&'static str, String)> {
    let none = |what: &str, of: Vec<&str>| {
        let names: Vec<String> = of.into_iter().map(|name| format!("{name:?}")).collect();
        format!("{what:?} is none of {}", names.join(", "))
    };
    let format = format.unwrap_or("parquet");
    let Some((_, usual, codecs)) = FORMATS.iter().find(|(name, _, _)| *name == format) else {
        return Err(("format", none(format, FORMATS.iter().map(|f| f.0).collect())));
    };
    let codec = codec.unwrap_or(usual);
    if let Some((_, found)) = codecs.iter().find(|(name, _)| *name == codec) {
        return Ok(*found);
    }
    let is_first = |(at, (_, of)): &(usize, &(&str, Format))| {
        codecs.iter().position(|(_, known)| known == of) == Some(*at)
    };
    let shown = codecs.iter().enumerate().filter(is_first).map(|(_, (name, _))| *name);
    Err(("codec", none(codec, shown.collect())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_format_or_a_fault() {
        for (format, usual, codecs) in FORMATS {
            assert!(codecs.iter().any(|(name, _)| *name == usual), "{format}");
            for (codec, of) in codecs {
                assert_eq!(format_of(Some(format), Some(codec)), Ok(*of), "{format} {codec}");
            }
        }
        let text = |format, codec| format_of(format, codec).unwrap_err();
        let codecs = "\"lz4\" is none of \"null\", \"deflate\", \"snappy\", \"zstandard\"";
        assert_eq!(text(Some("avro"), Some("lz4")), ("codec", codecs.into()));
        let formats = "\"xml\" is none of \"parquet\", \"jsonl\", \"text\", \"avro\"";
        assert_eq!(text(Some("xml"), None), ("format", formats.into()));
        let (formats, codecs) = names();
        assert_eq!(formats.join(" "), "parquet jsonl text avro");
        let all = "none snappy gzip zstd lz4 null deflate zstandard";
        assert_eq!(codecs.join(" "), all);
    }
}
