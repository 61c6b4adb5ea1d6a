//! The sources, and checking each file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(crate) fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// The Rust files below a directory of the repository, by path from the top.
pub(crate) fn sources(directory: &str) -> BTreeMap<String, String> {
    let mut files = Vec::new();
    collect(&top().join(directory), &mut files);
    let named = |path: PathBuf| {
        let name = path.strip_prefix(top()).unwrap().to_str().unwrap().to_string();
        (name, std::fs::read_to_string(&path).unwrap())
    };
    files.into_iter().map(named).collect()
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(top().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Checks every file by a rule: a function from a path and its text to faults.
pub(crate) fn check(files: &BTreeMap<String, String>, faults: impl Fn(&str, &str) -> Vec<String>) {
    let of = |(path, text): (&String, &String)| {
        faults(path, text).into_iter().map(|fault| format!("{path}: {fault}")).collect::<Vec<_>>()
    };
    let found: Vec<String> = files.iter().flat_map(of).collect();
    assert!(found.is_empty(), "\n  {}", found.join("\n  "));
}
