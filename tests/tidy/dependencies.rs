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

/// Dependencies that are there for a feature alone. The comment directly above such a line begins
/// with "Not called here:" and gives the reason.
fn for_a_feature(manifest: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let (mut in_comment, mut excused) = (false, false);
    for line in manifest.lines() {
        if let Some(comment) = line.strip_prefix('#') {
            let reason = comment.trim().strip_prefix("Not called here:");
            excused =
                if in_comment { excused } else { reason.is_some_and(|r| !r.trim().is_empty()) };
            in_comment = true;
            continue;
        }
        if let Some((name, _)) = line.split_once(" = ").filter(|_| excused) {
            let _ = found.insert(name);
        }
        (in_comment, excused) = (false, false);
    }
    found
}

#[test]
fn every_dependency_is_used() {
    let text = read("Cargo.toml");
    let (manifest, excused): (toml::Table, _) = (text.parse().unwrap(), for_a_feature(&text));
    let names = |table: &str| -> Vec<String> {
        manifest[table].as_table().unwrap().keys().cloned().collect()
    };
    let (program, all) = (program(), all_sources());
    for (table, files) in [("dependencies", &program), ("dev-dependencies", &all)] {
        let texts: Vec<&str> = files.values().map(String::as_str).collect();
        let names = names(table);
        let mut faults = unused(names.iter().map(String::as_str), &texts);
        // A reason that has gone is a fault as well.
        let needless = |name: &&String| excused.contains(&***name) && !faults.contains(name);
        let needless: Vec<&String> = names.iter().filter(needless).collect();
        assert!(needless.is_empty(), "[{table}] says that nothing names {needless:?}");
        faults.retain(|name| !excused.contains(name.as_str()));
        assert!(faults.is_empty(), "[{table}] has what nothing names: {faults:?}");
    }
}

#[test]
fn an_unused_dependency_is_seen() {
    let text = "use tokio::net; fn f() { serde_json::to_string(&chrono) }";
    let names = ["tokio", "serde-json", "chrono"].into_iter();
    assert_eq!(unused(names, &[text]), ["chrono"]);
}

#[test]
fn a_dependency_without_a_reason_is_seen() {
    let text =
        "# Not called here: a feature\n# of another.\na = 1\nb = 1\n# Not called here:\nc = 1\n";
    assert_eq!(for_a_feature(text), BTreeSet::from(["a"]));
}
