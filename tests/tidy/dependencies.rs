//! Every dependency is used.

use std::collections::BTreeSet;

use proc_macro2::TokenTree;

use crate::source::read;
use crate::tokens::{all_sources, is_path_mark, program, tokens, word};

/// Dependencies that no path in the sources begins with.
fn unused<'a>(names: impl Iterator<Item = &'a str>, sources: &[&str]) -> Vec<String> {
    let mut named = BTreeSet::new();
    for text in sources {
        let stream = tokens(text);
        let mut levels = vec![stream];
        while let Some(stream) = levels.pop() {
            let level: Vec<TokenTree> = stream.into_iter().collect();
            for at in 0..level.len() {
                if is_path_mark(&level, at + 1) {
                    named.extend(word(level.get(at)));
                }
                if let TokenTree::Group(group) = &level[at] {
                    levels.push(group.stream());
                }
            }
        }
    }
    let crates = names.filter(|name| !named.contains(&name.replace('-', "_")));
    crates.map(String::from).collect()
}

#[test]
fn every_dependency_is_used() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let names = |table: &str| -> Vec<String> {
        manifest[table].as_table().unwrap().keys().cloned().collect()
    };
    let (program, all) = (program(), all_sources());
    for (table, files) in [("dependencies", &program), ("dev-dependencies", &all)] {
        let texts: Vec<&str> = files.values().map(String::as_str).collect();
        let names = names(table);
        let faults = unused(names.iter().map(String::as_str), &texts);
        assert!(faults.is_empty(), "[{table}] has what nothing names: {faults:?}");
    }
}

#[test]
fn an_unused_dependency_is_seen() {
    let text = "use tokio::net; fn f() { serde_json::to_string(&chrono) }";
    let names = ["tokio", "serde-json", "chrono"].into_iter();
    assert_eq!(unused(names, &[text]), ["chrono"]);
}
