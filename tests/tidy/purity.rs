//! The pure floor knows no client, clock, environment, file or log, and draws nothing at random.
//! Hash tables of words have random seeds, against words that are chosen to collide; nothing that a
//! table is used for depends on their order.

use crate::source::check;
use crate::tokens::{paths, program};

/// Crates that a pure room may not name, and the reason.
const CRATES: [(&str, &str); 10] = [
    ("tokio", "a runtime"),
    ("rdkafka", "a client"),
    ("rdkafka_sys", "a client"),
    ("hdfs_native", "a client"),
    ("parking_lot", "threads"),
    ("tracing", "the log"),
    ("prometheus", "the series"),
    ("uuid", "randomness: ids are arguments"),
    ("fastrand", "randomness: ids are arguments"),
    ("rand", "randomness: ids are arguments"),
];

/// Items that a pure room may not name. A path is given by two of its parts that follow each other.
const ITEMS: [(&str, &str, &str); 12] = [
    ("std", "env", "the environment"),
    ("std", "fs", "files"),
    ("std", "io", "files"),
    ("hash", "RandomState", "randomness: a fixed state hashes alike each time"),
    ("hash_map", "RandomState", "randomness: a fixed state hashes alike each time"),
    ("std", "net", "the network"),
    ("std", "process", "processes"),
    ("std", "thread", "threads"),
    ("Instant", "now", "a clock: time is an argument"),
    ("SystemTime", "now", "a clock: time is an argument"),
    ("Timestamp", "now", "a clock: time is an argument"),
    ("Zoned", "now", "a clock: time is an argument"),
];

fn impure(path: &str, text: &str) -> Vec<String> {
    if !path.starts_with("src/pure/") {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (first, second) in paths(text) {
        let item = ITEMS.iter().find(|(a, b, _)| *a == first && *b == second);
        let of = CRATES.iter().find(|(name, _)| *name == first);
        if let Some(why) = item.map(|(.., why)| why).or(of.map(|(_, why)| why)) {
            faults.push(format!("{first}::{second} is {why}"));
        }
    }
    faults
}

#[test]
fn the_pure_floor_is_pure() {
    check(&program(), impure);
}

#[test]
fn an_impure_file_is_seen() {
    for bad in [
        "use tracing::info;",
        "fn f() { tracing::warn!(\"x\") }",
        "use std::{env, fmt};",
        "fn f() -> Instant { Instant::now() }",
        "fn f() { g(|| uuid::Uuid::new_v4()) }",
        "use std::hash::RandomState;",
        "use std::io::Write;",
    ] {
        assert_eq!(impure("src/pure/a.rs", bad).len(), 1, "{bad}");
        assert!(impure("src/engine/a.rs", bad).is_empty());
    }
    for good in ["use std::time::Instant;", "#[cfg(test)]\nmod tests { use std::fs; }"] {
        assert!(impure("src/pure/a.rs", good).is_empty(), "{good}");
    }
}
