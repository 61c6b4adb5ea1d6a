//! No circle of files: of two files, the one that lies below the other can be read alone.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use crate::source::sources;
use crate::tokens::{test_files, tokens, without_tests};

/// A path's parts, and for an import the name that it gets.
type Path = Vec<String>;

/// The paths of a file, but for those of the tests within it.
#[derive(Default)]
struct Paths {
    all: BTreeSet<Path>,
    /// What each name that is imported stands for.
    imported: BTreeMap<String, Path>,
    /// Imports of everything that a module has, which hide what is used.
    globs: Vec<Path>,
}

impl Paths {
    fn of(text: &str) -> Paths {
        let mut paths = Paths::default();
        let file = syn::parse2(without_tests(tokens(text)));
        paths.visit_file(&file.expect("the compiler reads it too"));
        paths
    }

    fn import(&mut self, before: &Path, tree: &syn::UseTree) {
        let joined = |name: &syn::Ident| {
            let mut path = before.clone();
            path.extend((name != "self").then(|| name.to_string()));
            path
        };
        let mut add = |name: String, path: Path| {
            let _ = self.all.insert(path.clone());
            let _ = self.imported.insert(name, path);
        };
        match tree {
            syn::UseTree::Path(path) => self.import(&joined(&path.ident), &path.tree),
            syn::UseTree::Name(name) => {
                let path = joined(&name.ident);
                add(path.last().cloned().unwrap_or_default(), path);
            }
            syn::UseTree::Rename(rename) => add(rename.rename.to_string(), joined(&rename.ident)),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(before, tree));
            }
            syn::UseTree::Glob(_) => {
                let _ = self.all.insert(before.clone());
                self.globs.push(before.clone());
            }
        }
    }
}

impl<'a> Visit<'a> for Paths {
    fn visit_item(&mut self, item: &'a syn::Item) {
        match item {
            syn::Item::Use(item) => self.import(&Vec::new(), &item.tree),
            other => visit::visit_item(self, other),
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let _ = self.all.insert(path.segments.iter().map(|s| s.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    /// Macros get tokens: a path in them is of identifiers between colons.
    fn visit_macro(&mut self, called: &'a syn::Macro) {
        let text = called.tokens.to_string().replace(' ', "");
        let parts = |path: &str| path.split("::").map(ToString::to_string).collect();
        let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let paths = text.split(|c| !is_path(c)).filter(|path| path.contains("::"));
        self.all.extend(paths.map(parts));
        visit::visit_macro(self, called);
    }
}

/// The modules of the crate, and the file of each.
struct Modules<'a> {
    files: BTreeMap<Path, &'a str>,
    paths: BTreeMap<&'a str, Paths>,
}

/// `src/a/b.rs` and `src/a/b/mod.rs` are the module `a::b`.
fn module_of(path: &str) -> Path {
    let path = path.strip_prefix("src/").unwrap_or(path).trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(ToString::to_string).collect()
}

impl<'a> Modules<'a> {
    fn of(files: &'a BTreeMap<String, String>) -> Modules<'a> {
        // The crate's roots declare the floors.
        let roots = ["src/lib.rs", "src/main.rs"];
        let files = || files.iter().filter(|(path, _)| !roots.contains(&path.as_str()));
        Modules {
            files: files().map(|(path, _)| (module_of(path), path.as_str())).collect(),
            paths: files().map(|(path, text)| (path.as_str(), Paths::of(text))).collect(),
        }
    }

    /// The file that a path leads to, read in a file: through the names that a hub hands on.
    fn file(&self, path: &Path, within: &str, hops: u8) -> Option<&'a str> {
        let mut module = module_of(within);
        let mut rest = path.as_slice();
        match rest.first()?.as_str() {
            "crate" => (module, rest) = (Vec::new(), &rest[1..]),
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    let _ = module.pop();
                    rest = &rest[1..];
                }
            }
            first => {
                let imported = self.paths.get(within).and_then(|paths| paths.imported.get(first));
                if let Some(named) = imported.filter(|named| *named != path && hops < 8) {
                    let named = [named.as_slice(), &path[1..]].concat();
                    return self.file(&named, within, hops + 1);
                }
            }
        }
        let child = |module: &Path, part: &String| {
            let mut child = module.clone();
            child.push(part.clone());
            child
        };
        let mut climbed = path.len() != rest.len();
        while let Some(part) = rest.first().filter(|p| self.files.contains_key(&child(&module, p)))
        {
            module = child(&module, part);
            rest = &rest[1..];
            climbed = true;
        }
        let file = *self.files.get(&module).filter(|_| climbed)?;
        let handed_on = rest.first().and_then(|name| self.paths[file].imported.get(name));
        let further = handed_on.filter(|_| file.ends_with("/mod.rs") && hops < 8);
        further.and_then(|path| self.file(path, file, hops + 1)).or(Some(file))
    }

    /// The files that each file uses. A hub hands names on, and uses nothing itself.
    fn uses(&self) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
        let of = |(file, paths): (&&'a str, &Paths)| {
            let used = paths.all.iter().filter_map(|path| self.file(path, file, 0));
            (*file, used.filter(|used| used != file).collect())
        };
        self.paths.iter().filter(|(file, _)| !file.ends_with("/mod.rs")).map(of).collect()
    }
}

/// Files that use each other, over others or not.
fn circles(mut uses: BTreeMap<&str, BTreeSet<&str>>) -> Vec<String> {
    // What uses nothing that is left is in no circle; nor is what nothing that is left uses.
    loop {
        let left: BTreeSet<&str> = uses.keys().copied().collect();
        let used: BTreeSet<&str> = uses.values().flatten().copied().collect();
        uses.retain(|file, used_by_it| {
            used_by_it.retain(|other| left.contains(other));
            !used_by_it.is_empty() && used.contains(file)
        });
        if uses.len() == left.len() {
            break;
        }
    }
    let text = |(file, used): (&str, BTreeSet<&str>)| {
        format!("{file} uses {}", used.into_iter().collect::<Vec<_>>().join(" and "))
    };
    uses.into_iter().map(text).collect()
}

#[test]
fn no_files_use_each_other() {
    let files = sources("src");
    let modules = Modules::of(&files);
    let uses = modules.uses();
    let way = &uses["src/engine/worker/round.rs"];
    assert!(way.contains("src/engine/worker/partition.rs"), "the paths are followed");
    assert!(way.contains("src/common/health/subject.rs"), "through hubs, too");
    let found = circles(uses);
    assert!(found.is_empty(), "a circle of files:\n  {}", found.join("\n  "));
    let tests = test_files(&files);
    let program = modules.paths.iter().filter(|(path, _)| !tests.contains(**path));
    let globs = program.flat_map(|(path, paths)| paths.globs.iter().map(move |of| (path, of)));
    let text = |(path, of): (&&str, &Path)| format!("{path} imports {}::*", of.join("::"));
    let found: Vec<String> = globs.map(text).collect();
    assert!(found.is_empty(), "write the names that are used:\n  {}", found.join("\n  "));
}

#[test]
fn a_circle_is_seen() {
    let house = |a: &str, b: &str, c: &str| {
        let file = |path: &str, text: &str| (path.to_string(), text.to_string());
        BTreeMap::from([
            file("src/lib.rs", "mod room;"),
            file("src/room/mod.rs", "mod a; mod b; mod c; pub use a::A; pub use b::B;"),
            file("src/room/a.rs", a),
            file("src/room/b.rs", b),
            file("src/room/c.rs", c),
        ])
    };
    for (a, b, c) in [
        ("use crate::room::B;", "fn f() {}", "use super::a::A;"),
        ("use super::b::B;", "#[cfg(test)] mod tests { use crate::room::A; }", ""),
        ("fn f() { crate::room::c::g() }", "", "use crate::room::{self, b::B};"),
    ] {
        assert!(circles(Modules::of(&house(a, b, c)).uses()).is_empty(), "{a} {b} {c}");
    }
    for (a, b, c) in [
        ("use crate::room::B;", "use super::a::A;", ""),
        ("use crate::room::b::B;", "fn f(_: crate::room::A) {}", ""),
        ("use super::b::B;", "use super::c::C;", "use crate::room::{A, B};"),
        ("fn f() { log!(\"{}\", super::c::g()) }", "", "use crate::room; fn f() { super::a::g() }"),
        ("use super::{b::{B as X}, c};", "use super::super::room::a;", ""),
        ("use crate::room; fn f() { room::b::g() }", "use super::a::A;", ""),
        ("use crate::room as r; fn f(_: r::B) {}", "use super::a::A;", ""),
    ] {
        assert!(!circles(Modules::of(&house(a, b, c)).uses()).is_empty(), "{a} {b} {c}");
    }
    assert_eq!(Paths::of("use super::*; #[cfg(test)] mod tests { use super::*; }").globs.len(), 1);
}
