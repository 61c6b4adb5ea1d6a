//! Whatever reads a format that others have written is in the table of decoders.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::read;
use crate::tokens::{each_level, is_mark, is_path_mark, paths, program, tokens, word};

/// Calls that read a format: the part of the path before the last, and the last.
const READERS: [(&str, &str); 17] = [
    ("serde_json", "from_slice"),
    ("serde_json", "from_str"),
    ("serde_json", "from_reader"),
    ("Deserializer", "from_slice"),
    ("Deserializer", "from_str"),
    ("Deserializer", "from_reader"),
    ("toml", "from_str"),
    ("toml", "from_slice"),
    ("serde_saphyr", "from_str"),
    ("serde_saphyr", "from_str_with_options"),
    ("java_properties", "read"),
    ("Document", "parse"),
    ("Document", "parse_with_options"),
    ("ParquetRecordBatchReaderBuilder", "try_new"),
    ("SerializedFileReader", "new"),
    ("ReaderBuilder", "new"),
    ("Table", "from_str"),
];

/// Files of the program that read a format, and the decoder of `src/foreign/decoders.rs` that gives
/// their readers bytes of others; or, after a star, why none has to.
const READ_BY: [(&str, &str); 21] = [
    (
        "src/clients/registry/client.rs",
        "*serde alone, into texts; the decoder kept_schema has them",
    ),
    ("src/common/config/example.rs", "*a file of the repository"),
    ("src/common/config/hadoop_files.rs", "hadoop"),
    ("src/common/config/whole.rs", "configuration"),
    ("src/outside/audit/rows.rs", "*files_of_an_archive in src/foreign/properties.rs"),
    ("src/outside/cli/init/connect.rs", "sink"),
    ("src/outside/cli/init/login.rs", "configuration"),
    ("src/outside/cli/init/properties.rs", "sink"),
    ("src/outside/cli/status.rs", "status"),
    ("src/outside/cli/version.rs", "*the lock file of this build"),
    ("src/outside/web/file.rs", "web"),
    ("src/pure/avro/schema.rs", "avro_schema"),
    ("src/pure/count/output.rs", "count"),
    ("src/pure/field.rs", "field"),
    ("src/pure/formats/entry.rs", "entry"),
    ("src/pure/formats/identity.rs", "identity"),
    ("src/pure/formats/schema.rs", "kept_schema"),
    ("src/pure/json.rs", "columns"),
    ("src/pure/json_schema/object.rs", "json_schema"),
    ("src/pure/layout/columns.rs", "columns"),
    ("src/pure/layout/nested_of_json.rs", "json_object"),
];

/// Whether a file calls one of the readers, or parses a text as a table of TOML.
fn reads_a_format(text: &str) -> bool {
    let calls = paths(text);
    let mut reads =
        READERS.iter().any(|(of, call)| calls.contains(&((*of).to_string(), (*call).to_string())));
    each_level(tokens(text), &mut |level| {
        for at in 0..level.len() {
            let parses = word(level.get(at)).is_some_and(|w| w == "parse");
            if parses && is_path_mark(level, at + 1) {
                let kind = level.iter().skip(at + 3).take(6).filter_map(|t| word(Some(t)));
                reads |= kind.into_iter().any(|kind| kind == "Table");
            }
            // `let all: Table = text.parse()`
            let is_table = word(level.get(at)).is_some_and(|w| w == "Table");
            let before = at.checked_sub(1).and_then(|before| level.get(before));
            if is_table && is_mark(before, ':') && is_mark(level.get(at + 1), '=') {
                let value = level[at..].iter().take_while(|t| !is_mark(Some(t), ';'));
                reads |= value.into_iter().any(|t| word(Some(t)).is_some_and(|w| w == "parse"));
            }
        }
    });
    reads
}

/// The files that read and are not in the table, and those of the table that do not read.
fn unlisted(files: &BTreeMap<String, String>, table: &[(&str, &str)]) -> Vec<String> {
    let reading = files.iter().filter(|(_, text)| reads_a_format(text)).map(|(path, _)| path);
    let reading: BTreeSet<&str> = reading.map(String::as_str).collect();
    let listed: BTreeSet<&str> = table.iter().map(|(path, _)| *path).collect();
    reading.symmetric_difference(&listed).map(|path| (*path).to_string()).collect()
}

#[test]
fn every_file_that_reads_a_format_has_its_decoder() {
    assert_eq!(unlisted(&program(), &READ_BY), [""; 0], "list them above with their decoders");
    let table = read("src/foreign/decoders.rs");
    let named = |name: &str| table.contains(&format!("name: \"{name}\""));
    for (path, decoder) in READ_BY.iter().filter(|(_, decoder)| !decoder.starts_with('*')) {
        assert!(named(decoder), "{path}: {decoder:?} is no decoder of the table");
    }
}

#[test]
fn a_reader_that_is_not_listed_is_seen() {
    let one = |text: &str| BTreeMap::from([("src/x.rs".to_string(), text.to_string())]);
    for text in [
        "fn f() { serde_json::from_slice::<u8>(b) }",
        "use serde_saphyr::from_str; fn f() { from_str(t) }",
        "fn f() { java_properties::read(b) }",
        "fn f() { text.parse::<toml::Table>() }",
        "fn f() { let all: Table = text.parse().unwrap(); }",
        "fn f() { let all: toml::Table = text.parse().unwrap(); }",
    ] {
        assert_eq!(unlisted(&one(text), &[]), ["src/x.rs"], "{text}");
        assert!(unlisted(&one(text), &[("src/x.rs", "web")]).is_empty());
    }
    let none = "fn f() { text.parse::<u8>(); serde_json::to_string(v) }\n#[cfg(test)] mod tests { \
                fn g() { serde_json::from_slice(b) } }";
    assert!(unlisted(&one(none), &[]).is_empty());
    assert_eq!(unlisted(&one(none), &[("src/x.rs", "web")]), ["src/x.rs"]);
}
