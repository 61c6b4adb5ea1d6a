//! Rules and planted faults are written down.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use syn::visit::{self, Visit};

use crate::source::{read, sources, top};
use crate::tokens::all_sources;

/// Rules that are cited and not written down, and planted faults that no rule names.
fn unruled(rules: &str, sources: &BTreeMap<String, String>, faults: &str) -> Vec<String> {
    let heading = Regex::new(r"(?m)^## Rule (\d+):").unwrap();
    let cited = Regex::new(r"\b[Rr]ules? (\d+(?:(?:, | and | or )\d+)*)\b").unwrap();
    let number = Regex::new(r"\d+").unwrap();
    let known: BTreeSet<&str> =
        heading.captures_iter(rules).map(|c| c.extract::<1>().1[0]).collect();
    let mut found = Vec::new();
    for (path, text) in sources {
        let lists = cited.captures_iter(text).map(|c| c.extract::<1>().1[0]);
        for number in lists.flat_map(|list| number.find_iter(list)).map(|m| m.as_str()) {
            if !known.contains(number) {
                found
                    .push(format!("{path} cites rule {number}, which docs/rules.md does not have"));
            }
        }
    }
    let file = syn::parse_file(faults).expect("the compiler reads it too");
    let enums = file.items.iter().filter_map(|item| match item {
        syn::Item::Enum(planted) => Some(planted),
        _ => None,
    });
    let planted: BTreeSet<String> =
        enums.flat_map(|e| e.variants.iter().map(|v| v.ident.to_string())).collect();
    let shown = shown_by(rules);
    for fault in planted.difference(&shown) {
        found.push(format!("docs/rules.md has no rule that the planted fault `{fault}` shows"));
    }
    for fault in shown.difference(&planted) {
        found.push(format!("docs/rules.md names a planted fault `{fault}`, which there is not"));
    }
    found
}

/// The planted faults that the page lists below a heading of its own: `Planted faults: …`.
fn shown_by(rules: &str) -> BTreeSet<String> {
    let list = Regex::new(r"(?m)^Planted faults?: (.*)$").unwrap();
    let name = Regex::new(r"`([A-Z]\w+)`").unwrap();
    let sections = rules.split("\n## ").skip(usize::from(!rules.starts_with("## ")));
    let lists = sections.flat_map(|s| list.captures_iter(s).map(|c| c.extract::<1>().1[0]));
    lists.flat_map(|l| name.captures_iter(l).map(|c| c.extract::<1>().1[0].to_string())).collect()
}

#[test]
fn every_rule_and_every_planted_fault_is_written_down() {
    let faults = unruled(&read("docs/rules.md"), &all_sources(), &read("src/pure/fault.rs"));
    assert!(faults.is_empty(), "\n  {}", faults.join("\n  "));
}

#[test]
fn a_rule_that_is_not_written_down_is_seen() {
    let rules = "## Rule 1: One\nPlanted fault: `Planted`.\n";
    let sources = |text: &str| BTreeMap::from([("src/a.rs".to_string(), text.to_string())]);
    assert!(unruled(rules, &sources("// Rule 1."), "enum PlantedFault { Planted }").is_empty());
    for cites in ["// See (rule 2).", "// See (rules 1 and 2)."] {
        let found = unruled(rules, &sources(cites), "enum PlantedFault { Planted }");
        assert_eq!(found.len(), 1, "{cites}");
    }
    assert_eq!(unruled(rules, &sources(""), "enum PlantedFault { Planted, Other }").len(), 1);
    assert_eq!(unruled(rules, &sources(""), "enum PlantedFault { }").len(), 1, "it is gone");
    let elsewhere = "`Planted` is somewhere.\n## Rule 1: One\nNone.\n";
    assert_eq!(unruled(elsewhere, &sources(""), "enum PlantedFault { Planted }").len(), 1);
}

/// What the sources declare.
#[derive(Default)]
struct Declared {
    /// Functions of a type or a trait.
    functions: BTreeSet<(String, String)>,
    /// Types, traits, and variants of enums.
    names: BTreeSet<String>,
}

impl Declared {
    fn of<'t>(sources: impl Iterator<Item = &'t String>) -> Declared {
        let mut declared = Declared::default();
        for text in sources {
            let file = syn::parse_file(text).expect("the compiler reads it too");
            declared.visit_file(&file);
        }
        declared
    }
}

impl<'a> Visit<'a> for Declared {
    fn visit_item(&mut self, item: &'a syn::Item) {
        let name = match item {
            syn::Item::Struct(item) => Some(&item.ident),
            syn::Item::Type(item) => Some(&item.ident),
            syn::Item::Trait(item) => {
                for inner in &item.items {
                    if let syn::TraitItem::Fn(function) = inner {
                        let name = function.sig.ident.to_string();
                        let _ = self.functions.insert((item.ident.to_string(), name));
                    }
                }
                Some(&item.ident)
            }
            syn::Item::Enum(item) => {
                self.names.extend(item.variants.iter().map(|v| v.ident.to_string()));
                Some(&item.ident)
            }
            _ => None,
        };
        self.names.extend(name.map(ToString::to_string));
        visit::visit_item(self, item);
    }

    fn visit_item_impl(&mut self, item: &'a syn::ItemImpl) {
        if let syn::Type::Path(of) = &*item.self_ty
            && let Some(of) = of.path.segments.last()
        {
            let functions = item.items.iter().filter_map(|inner| match inner {
                syn::ImplItem::Fn(function) => Some(function.sig.ident.to_string()),
                _ => None,
            });
            self.functions.extend(functions.map(|function| (of.ident.to_string(), function)));
        }
        visit::visit_item_impl(self, item);
    }
}

/// What a page names of the sources and is not there: paths, functions as `Type::function`, and, on
/// a page that explains words (`types`), types and variants by their bare names.
fn missing(
    page: &str,
    is_there: impl Fn(&str) -> bool,
    declared: &Declared,
    types: bool,
) -> Vec<String> {
    let path = Regex::new(r"`((?:src|tests|benches|docs|config)/[A-Za-z0-9_./-]+)`").unwrap();
    let function = Regex::new(r"`([A-Z]\w+)::([a-z]\w+)`").unwrap();
    let name = Regex::new(r"`([A-Z][a-z]\w+)`").unwrap();
    let paths = path.captures_iter(page).map(|c| c.extract::<1>().1[0]);
    let mut faults: Vec<String> =
        paths.filter(|path| !is_there(path)).map(|path| format!("there is no {path}")).collect();
    for (named, [of, function]) in function.captures_iter(page).map(|c| c.extract()) {
        if !declared.functions.contains(&(of.into(), function.into())) {
            faults.push(format!("there is no function {named}"));
        }
    }
    for name in name.captures_iter(page).map(|c| c.extract::<1>().1[0]).filter(|_| types) {
        if !declared.names.contains(name) {
            faults.push(format!("there is no type `{name}`"));
        }
    }
    faults
}

#[test]
fn what_pages_name_is_there() {
    let files = sources("src");
    let declared = Declared::of(files.values());
    let mut pages = vec!["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];
    let names = |directory: &str| -> Vec<String> {
        let files = std::fs::read_dir(top().join(directory)).unwrap();
        let name = |f: std::fs::DirEntry| f.file_name().into_string().unwrap();
        files.map(|f| format!("{directory}/{}", name(f.unwrap()))).collect()
    };
    let more = [names("docs"), names("docs/decisions")].concat();
    pages.extend(more.iter().map(String::as_str).filter(|p| p.ends_with(".md")));
    let there = |path: &str| top().join(path).exists();
    let of = |page: &&str| missing(&read(page), there, &declared, page.ends_with("glossary.md"));
    let faults: Vec<String> =
        pages.iter().flat_map(|p| of(p).into_iter().map(move |f| format!("{p}: {f}"))).collect();
    assert!(faults.is_empty(), "\n  {}", faults.join("\n  "));
}

#[test]
fn what_is_not_there_is_seen() {
    let there = |path: &str| path == "src/a.rs";
    let declared = |text: &str| Declared::of([format!("{text} enum Kind {{ Data }}")].iter());
    let good = "`src/a.rs` has `Partition::plan` and `Kind::Data`.";
    let of_type = declared("impl Partition { pub fn plan(&self) {} }");
    assert!(missing(good, there, &of_type, true).is_empty());
    assert!(
        missing(good, there, &declared("trait Partition { fn plan(&self); }"), true).is_empty()
    );
    for other in
        ["impl Partition { fn planned() {} }", "impl Other { fn plan() {} }", "fn plan() {}"]
    {
        assert_eq!(missing(good, there, &declared(other), true).len(), 1, "{other}");
    }
    assert_eq!(missing("`src/b.rs`, `src/a.rs`", there, &of_type, true).len(), 1);
    for (page, types, faults) in [("`Data`", true, 0), ("`Gone`", true, 1), ("`Gone`", false, 0)] {
        assert_eq!(missing(page, there, &of_type, types).len(), faults, "{page}");
    }
}
