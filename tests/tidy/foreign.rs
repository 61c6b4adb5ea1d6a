//! Where numbers of others are read, the compiler refuses arithmetic that may overflow.

use crate::source::{check, read};
use crate::tokens::{paths, program};

/// The rooms that decode bytes of others or compute with their numbers.
const ROOMS: [&str; 30] = [
    "src/clients/encode/mod.rs",
    "src/clients/http/mod.rs",
    "src/clients/kafka/mod.rs",
    "src/clients/registry/mod.rs",
    "src/clients/store/mod.rs",
    "src/engine/mod.rs",
    "src/pure/avro/mod.rs",
    "src/pure/calendar.rs",
    "src/pure/count/mod.rs",
    "src/pure/duration.rs",
    "src/pure/field.rs",
    "src/pure/field_path.rs",
    "src/pure/formats/mod.rs",
    "src/pure/json.rs",
    "src/pure/json_schema/mod.rs",
    "src/pure/layout/mod.rs",
    "src/pure/protobuf/mod.rs",
    "src/pure/protocol/mod.rs",
    "src/pure/record.rs",
    "src/pure/record_time.rs",
    "src/common/config/mod.rs",
    "src/common/files.rs",
    "src/common/health/mod.rs",
    "src/common/metrics/mod.rs",
    "src/common/schemas.rs",
    "src/common/status/mod.rs",
    "src/outside/audit/mod.rs",
    "src/outside/cli/mod.rs",
    "src/outside/daemon/mod.rs",
    "src/outside/web/mod.rs",
];

const DENIED: &str = "#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]";

#[test]
fn arithmetic_on_foreign_numbers_is_checked_or_saturating() {
    let lacks = |room: &&&str| !read(room).lines().any(|line| line == DENIED);
    let lacking: Vec<&&str> = ROOMS.iter().filter(lacks).collect();
    assert!(lacking.is_empty(), "{lacking:?} lack {DENIED}");
}

/// What is not denied in those rooms panics all the same, and wraps nowhere.
#[test]
fn the_program_is_built_with_checks_of_overflow() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    assert_eq!(manifest["profile"]["release"]["overflow-checks"].as_bool(), Some(true));
}

/// What others have written may have any size, and be no file: `common/files` knows that.
fn unbounded(_: &str, text: &str) -> Vec<String> {
    let found = paths(text)
        .into_iter()
        .filter(|(of, call)| of == "fs" && ["read", "read_to_string"].contains(&call.as_str()));
    found.map(|(of, call)| format!("{of}::{call} reads without a bound: common/files")).collect()
}

#[test]
fn no_file_is_read_without_a_bound() {
    check(&program(), unbounded);
    assert_eq!(unbounded("", "fn f() { std::fs::read_to_string(path) }").len(), 1);
    assert_eq!(unbounded("", "use std::fs; fn f() { fs::read(path) }").len(), 1);
    assert!(unbounded("", "fn f() { files::read(path); fs::read_dir(path) }").is_empty());
}
