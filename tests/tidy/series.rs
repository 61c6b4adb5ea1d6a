//! Every series has a writer.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::TokenTree;

use crate::tokens::{each_level, is_mark, program, tokens, word};

/// Fields of `Metrics` that no source writes to.
fn unwritten(definition: &str, sources: &BTreeMap<String, String>) -> Vec<String> {
    const WRITES: [&str; 6] = ["inc", "inc_by", "add", "set", "observe", "with_label_values"];
    let file = syn::parse_file(definition).expect("the compiler reads it too");
    let fields = file.items.iter().find_map(|item| match item {
        syn::Item::Struct(s) if s.ident == "Metrics" => Some(&s.fields),
        _ => None,
    });
    let fields = fields.expect("a struct Metrics").iter().filter_map(|f| f.ident.as_ref());
    let mut written = BTreeSet::new();
    for text in sources.values() {
        each_level(tokens(text), &mut |level| {
            if let [.., dot, field @ TokenTree::Ident(_)] = level
                && is_mark(Some(dot), '.')
            {
                // The last of an argument list, a pair or a block: passed on as well.
                written.extend(word(Some(field)));
            }
            for four in level.windows(4) {
                let [dot, field, then, method] = four else { unreachable!("four tokens") };
                let writes = word(Some(method)).is_some_and(|m| WRITES.contains(&m.as_str()));
                // A handle that is passed on is written to by whoever takes it.
                let passed = is_mark(Some(then), ',') || is_mark(Some(then), ';');
                if is_mark(Some(dot), '.') && (is_mark(Some(then), '.') && writes || passed) {
                    written.extend(word(Some(field)));
                }
            }
        });
    }
    fields.map(ToString::to_string).filter(|name| !written.contains(name)).collect()
}

#[test]
fn every_series_has_a_writer() {
    let mut files = program();
    let definition = files.remove(METRICS).expect("the file that defines Metrics");
    files.retain(|path, _| !path.starts_with("src/common/metrics"));
    let faults = unwritten(&definition, &files);
    assert!(faults.is_empty(), "nothing writes to {faults:?}");
}

const METRICS: &str = "src/common/metrics/handles.rs";

#[test]
fn a_series_without_a_writer_is_seen() {
    let definition = "pub struct Metrics { pub used: IntCounter, pub gap: IntCounter }";
    let sources = |text: &str| BTreeMap::from([("src/a.rs".to_string(), text.to_string())]);
    let writes = "fn f() { m.used.inc(); self.metrics.gap.inc_by(1); }";
    assert!(unwritten(definition, &sources(writes)).is_empty());
    for reads in [
        "fn f() { m.used.inc(); let x = m.gap.get(); }",
        "fn f() { m.used.inc(); }\n#[cfg(test)]\nmod tests { fn g() { m.gap.inc(); } }",
    ] {
        assert_eq!(unwritten(definition, &sources(reads)), ["gap"], "{reads}");
    }
}
