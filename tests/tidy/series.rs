//! Every series has a writer.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::TokenTree;

use crate::tokens::{each_level, is_mark, program, tokens, word};

/// The public fields of a struct.
fn fields(definition: &str, name: &str) -> Vec<String> {
    let file = syn::parse_file(definition).expect("the compiler reads it too");
    let fields = file.items.iter().find_map(|item| match item {
        syn::Item::Struct(s) if s.ident == name => Some(&s.fields),
        _ => None,
    });
    let is_series = |f: &&syn::Field| matches!(f.vis, syn::Visibility::Public(_));
    let fields = fields.expect("the struct is there").iter().filter(is_series);
    fields.filter_map(|f| f.ident.as_ref()).map(ToString::to_string).collect()
}

/// The fields of `holder` that a text writes to, or passes on: whoever takes the handle writes.
/// Other structs have fields of the same names, so that the holder's name must stand before.
fn written(text: &str, holder: &str) -> BTreeSet<String> {
    const WRITES: [&str; 6] = ["inc", "inc_by", "add", "set", "observe", "with_label_values"];
    let mut all = BTreeSet::new();
    each_level(tokens(text), &mut |level| {
        for at in 0..level.len() {
            let (before, dot, field) = (level.get(at), level.get(at + 1), level.get(at + 2));
            // `metrics.` or `metrics().`
            let name = match before {
                Some(TokenTree::Group(_)) => at.checked_sub(1).and_then(|at| level.get(at)),
                other => other,
            };
            if word(name).as_deref() != Some(holder) || !is_mark(dot, '.') {
                continue;
            }
            let Some(TokenTree::Ident(field)) = field else { continue };
            let then = level.get(at + 3);
            let writes = word(level.get(at + 4)).is_some_and(|m| WRITES.contains(&m.as_str()));
            // The last of an argument list, a pair or a block is passed on as well.
            let passed = then.is_none() || is_mark(then, ',') || is_mark(then, ';');
            if is_mark(then, '.') && writes || passed {
                let _ = all.insert(field.to_string());
            }
        }
    });
    all
}

/// The fields of a struct that no source writes to.
fn unwritten(
    (definition, name, holder): (&str, &str, &str),
    sources: &BTreeMap<String, String>,
) -> Vec<String> {
    let written: BTreeSet<String> =
        sources.values().flat_map(|text| written(text, holder)).collect();
    fields(definition, name).into_iter().filter(|name| !written.contains(name)).collect()
}

const METRICS: &str = "src/common/metrics/handles.rs";
/// The gauges of a partition, which are made of the families in `Metrics`.
const GAUGES: &str = "src/common/metrics/partition.rs";

#[test]
fn every_series_has_a_writer() {
    let mut files = program();
    let families = files.remove(METRICS).expect("the file that defines Metrics");
    let gauges = files.remove(GAUGES).expect("the file that defines PartitionGauges");
    files.retain(|path, _| !path.starts_with("src/common/metrics"));
    let of_partitions = written(&gauges, "self");
    let mut faults = unwritten((&families, "Metrics", "metrics"), &files);
    faults.retain(|name| !of_partitions.contains(name));
    faults.extend(unwritten((&gauges, "PartitionGauges", "gauges"), &files));
    assert!(faults.is_empty(), "nothing writes to {faults:?}");
}

#[test]
fn a_series_without_a_writer_is_seen() {
    let definition = "pub struct Metrics { pub used: IntCounter, pub gap: IntCounter }";
    let sources = |text: &str| BTreeMap::from([("src/a.rs".to_string(), text.to_string())]);
    let unwritten = |text: &str| unwritten((definition, "Metrics", "metrics"), &sources(text));
    assert!(unwritten("fn f() { metrics.used.inc(); self.metrics.gap.inc_by(1); }").is_empty());
    assert!(unwritten("fn f() { g(&metrics.used); S { gap: metrics.gap } }").is_empty());
    for reads in [
        "fn f() { metrics.used.inc(); let x = metrics.gap.get(); }",
        "fn f() { metrics.used.inc(); other.gap.inc(); S { gap: other.gap } }",
        "fn f() { metrics.used.inc(); }\n#[cfg(test)]\nmod tests { fn g() { metrics.gap.inc(); } }",
    ] {
        assert_eq!(unwritten(reads), ["gap"], "{reads}");
    }
}
