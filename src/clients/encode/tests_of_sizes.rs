//! Files that are rolled by size: what an encoder says of the size while the file is open is what
//! the file has in the end.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;

use crate::clients::encode::tests::{RAW, of, record};
use crate::clients::encode::{Encoder, is_vague};
use crate::pure::layout::cells::ColumnType;
use crate::pure::layout::columns::{Column, JsonColumns};
use crate::pure::layout::format::{
    AvroCodec, ColumnRows, Format, FormatOptions, ParquetCodec, Rows, TextCodec, TextPolicy,
};
use crate::pure::layout::rules::{OnBadRecord, RecordRules, Tombstones};

const ALL: [Format; 15] = [
    Format::Parquet(ParquetCodec::None),
    Format::Parquet(ParquetCodec::Snappy),
    Format::Parquet(ParquetCodec::Gzip),
    Format::Parquet(ParquetCodec::Zstd),
    Format::Parquet(ParquetCodec::Lz4),
    Format::JsonLines(TextCodec::None),
    Format::JsonLines(TextCodec::Gzip),
    Format::JsonLines(TextCodec::Zstd),
    Format::Text(TextCodec::None),
    Format::Text(TextCodec::Gzip),
    Format::Text(TextCodec::Zstd),
    Format::Avro(AvroCodec::Null),
    Format::Avro(AvroCodec::Deflate),
    Format::Avro(AvroCodec::Snappy),
    Format::Avro(AvroCodec::Zstandard),
];

/// What values are like: they compress very well, well, hardly at all, and well again but in
/// pieces that are not small.
const KINDS: [&str; 4] = ["log", "json", "random", "large"];

fn value(kind: &str, n: u64, random: &mut fastrand::Rng) -> Vec<u8> {
    let words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"];
    let mut word = || words[random.usize(..words.len())];
    match kind {
        "log" => format!("GET /{}/{} 200 {} ok", word(), word(), n % 97).into_bytes(),
        "json" => {
            let (user, path) = (word(), word());
            let id: u64 = random.u64(..);
            format!("{{\"user\":\"{user}\",\"path\":\"/{path}\",\"id\":{id},\"n\":{n}}}").into()
        }
        "random" => (0..150).map(|_| random.alphanumeric() as u8).collect(),
        _ => (0..8_000).flat_map(|_| word().bytes().chain([b' '])).collect(),
    }
}

/// The size at which the file was ended, and the size that it has.
fn ended_at(
    format: Format,
    rows: &Rows,
    options: FormatOptions,
    kind: &str,
    most: u64,
) -> (u64, u64) {
    let (tombstones, on_bad_record) = (Tombstones::Keep, OnBadRecord::Stop);
    let rules = RecordRules { rows: rows.clone(), registered: None, tombstones, on_bad_record };
    let mut encoder = Encoder::with(format, options, rows, &of()).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut written, mut groups, mut unmeasured) = (0, 0, 0);
    let mut take = |bytes: Bytes| written += bytes.len() as u64;
    for n in 0.. {
        let (key, value) = (format!("key-{n}"), value(kind, n, &mut random));
        let record = record(n as i64, Some(key.as_bytes()), Some(&value), &[]);
        encoder.append(&record, &rules.fit(&record)).unwrap();
        encoder.drain_bytes(&mut take);
        // As a worker and the open files of a partition do it.
        unmeasured += value.len() as u64;
        if unmeasured < most / 32 {
            continue;
        }
        unmeasured = 0;
        if most <= encoder.size() {
            if is_vague(encoder.exact_size(), most) {
                encoder.settle().unwrap();
                groups += 1;
            }
            if most <= encoder.size() {
                break;
            }
        }
    }
    let said = encoder.size();
    encoder.finish(&[], &mut take).unwrap();
    assert!(groups < 6, "{format:?} {kind}: it was ended early {groups} times");
    (said, written)
}

#[test]
fn a_file_that_is_rolled_by_size_has_that_size() {
    let kinds = ["user", "path", "id", "n"].map(|name| {
        let kind = if name.len() == 4 { ColumnType::Text } else { ColumnType::Json };
        Column::new(name, None, kind).unwrap()
    });
    let columns = JsonColumns::new(kinds.into());
    let (key, value) = (TextPolicy::Auto, Some(TextPolicy::Auto));
    let columns = Rows::Columns(Arc::new(ColumnRows { key, value, columns }));
    let mut wrong = Vec::new();
    for format in ALL {
        let searched = FormatOptions { bloom_filter: true, ..FormatOptions::default() };
        let is_parquet = matches!(format, Format::Parquet(_));
        let has_columns = is_parquet || matches!(format, Format::Avro(_));
        let rows = if matches!(format, Format::Text(_)) { Rows::Values } else { RAW };
        let plain = KINDS.map(|kind| (kind, rows.clone(), FormatOptions::default()));
        let typed = has_columns.then(|| ("json", columns.clone(), FormatOptions::default()));
        let searched = is_parquet.then_some(("json", rows, searched));
        for (kind, rows, options) in plain.into_iter().chain(typed).chain(searched) {
            for most in [1 << 20, 4 << 20] {
                let began = std::time::Instant::now();
                let (said, size) = ended_at(format, &rows, options, kind, most);
                let percent = 100.0 * size as f64 / most as f64;
                let line = format!(
                    "{format:?} {kind} {}: asked {most}, said {said}, has {size}: \
                     {percent:.0} % {:?}",
                    rows.columns().len(),
                    began.elapsed()
                );
                if std::env::var_os("SIZES").is_some() {
                    let _ = writeln!(std::io::stdout(), "{line}");
                }
                if !(90.0..=110.0).contains(&percent) {
                    wrong.push(line);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}
