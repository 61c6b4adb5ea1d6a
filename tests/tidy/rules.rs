//! Rules and planted faults are written down.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use crate::source::{read, sources};

/// Rules that are cited and not written down, and planted faults that no rule names.
fn unruled(rules: &str, sources: &BTreeMap<String, String>, faults: &str) -> Vec<String> {
    let heading = Regex::new(r"(?m)^## Rule (\d+):").unwrap();
    let cited = Regex::new(r"\b[Rr]ule (\d+)\b").unwrap();
    let known: BTreeSet<&str> =
        heading.captures_iter(rules).map(|c| c.extract::<1>().1[0]).collect();
    let mut found = Vec::new();
    for (path, text) in sources {
        for (_, [number]) in cited.captures_iter(text).map(|c| c.extract()) {
            if !known.contains(number) {
                found
                    .push(format!("{path} cites rule {number}, which docs/rules.md does not have"));
            }
        }
    }
    let file = syn::parse_file(faults).expect("the compiler reads it too");
    for item in &file.items {
        let syn::Item::Enum(planted) = item else { continue };
        for fault in planted.variants.iter().map(|v| v.ident.to_string()) {
            if !rules.contains(&format!("`{fault}`")) {
                found.push(format!("docs/rules.md does not name the planted fault `{fault}`"));
            }
        }
    }
    found
}

#[test]
fn every_rule_and_every_planted_fault_is_written_down() {
    let faults = unruled(&read("docs/rules.md"), &sources("src"), &read("src/pure/fault.rs"));
    assert!(faults.is_empty(), "\n  {}", faults.join("\n  "));
}

#[test]
fn a_rule_that_is_not_written_down_is_seen() {
    let rules = "## Rule 1: One\n`Planted` shows it.\n";
    let sources = |text: &str| BTreeMap::from([("src/a.rs".to_string(), text.to_string())]);
    assert!(unruled(rules, &sources("// Rule 1."), "enum Fault { Planted }").is_empty());
    assert_eq!(unruled(rules, &sources("// See (rule 2)."), "enum Fault { Planted }").len(), 1);
    assert_eq!(unruled(rules, &sources(""), "enum Fault { Planted, Other }").len(), 1);
}
