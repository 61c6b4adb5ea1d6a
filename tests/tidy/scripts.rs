//! Scripts, which shells read.

use std::path::{Path, PathBuf};

/// Opening these by name empties a file that the output was sent into; `>&2` does not.
const NAMES: [&str; 2] = ["/dev/stderr", "/dev/stdout"];

fn opened(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let opened = code.filter(|line| NAMES.iter().any(|name| line.contains(name)));
    opened.map(|line| format!("a log would be emptied: {line}")).collect()
}

fn scripts() -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let inside = |dir: &str| std::fs::read_dir(top.join(dir)).unwrap().map(|e| e.unwrap().path());
    let files = ["testbed", "packaging"].into_iter().flat_map(inside).filter(|path| path.is_file());
    let is_script = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        bytes.starts_with(b"#!") && str::from_utf8(&bytes).is_ok()
    };
    files.filter(is_script).collect()
}

#[test]
fn no_script_empties_the_log_that_it_writes() {
    let all = scripts();
    assert!(5 < all.len(), "{all:?}");
    for path in all {
        let faults = opened(&std::fs::read_to_string(&path).unwrap());
        assert!(faults.is_empty(), "{}: {faults:?}", path.display());
    }
    assert_eq!(opened("printf a | tee /dev/stderr | tb\n# opening /dev/stderr\n").len(), 1);
    assert!(opened("printf a | tee >(cat >&2) | tb\n").is_empty());
}

/// Lines that say that something was not tried, and do not write it down for the last table.
fn only_printed(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let said =
        code.filter(|line| line.contains("NOT TRIED") && !line.contains("target/tmp/not-tried"));
    // The table itself.
    said.filter(|line| !line.contains("$untried")).map(String::from).collect()
}

#[test]
fn what_was_not_tried_is_shown_at_the_end() {
    for path in scripts() {
        let faults = only_printed(&std::fs::read_to_string(&path).unwrap());
        assert!(faults.is_empty(), "{}: {faults:?}", path.display());
    }
    assert_eq!(only_printed("x || { say \"NOT TRIED: no y\"; exit 0; }\n").len(), 1);
    assert!(only_printed("say NOT TRIED; echo x >> target/tmp/not-tried\n").is_empty());
}
