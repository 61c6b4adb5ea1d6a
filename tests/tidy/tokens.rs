//! Sources as the compiler reads them: tokens, without what is for tests alone.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use regex::Regex;

use crate::source::sources;

pub(crate) fn tokens(text: &str) -> TokenStream {
    text.parse().expect("the compiler reads it too")
}

pub(crate) fn word(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

pub(crate) fn is_mark(token: Option<&TokenTree>, mark: char) -> bool {
    matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == mark)
}

pub(crate) fn is_path_mark(tokens: &[TokenTree], at: usize) -> bool {
    is_mark(tokens.get(at), ':') && is_mark(tokens.get(at + 1), ':')
}

/// The tokens of one level without what is for tests alone.
fn live(stream: TokenStream) -> Vec<TokenTree> {
    let all: Vec<TokenTree> = stream.into_iter().collect();
    let mut live = Vec::new();
    let mut at = 0;
    while at < all.len() {
        if is_mark(all.get(at), '#') && is_cfg_test(all.get(at + 1)) {
            let ends = |t: &TokenTree| match t {
                TokenTree::Group(g) => g.delimiter() == Delimiter::Brace,
                other => is_mark(Some(other), ';'),
            };
            at += 2 + all[at + 2..].iter().position(ends).map_or(all.len(), |n| n + 1);
            continue;
        }
        live.push(all[at].clone());
        at += 1;
    }
    live
}

/// The tokens of one level without what is for tests alone, and every level below likewise.
pub(crate) fn each_level(stream: TokenStream, look: &mut dyn FnMut(&[TokenTree])) {
    let live = live(stream);
    look(&live);
    for token in live {
        if let TokenTree::Group(group) = token {
            each_level(group.stream(), look);
        }
    }
}

/// All tokens but those that are for tests alone.
pub(crate) fn without_tests(stream: TokenStream) -> TokenStream {
    let deeper = |token| match token {
        TokenTree::Group(group) => {
            Group::new(group.delimiter(), without_tests(group.stream())).into()
        }
        other => other,
    };
    live(stream).into_iter().map(deeper).collect()
}

/// Every two parts of a path that follow each other, but for those in tests: `a::b::c` gives `a::b`
/// and `b::c`, `a::{b, c}` gives `a::b` and `a::c`.
pub(crate) fn paths(text: &str) -> BTreeSet<(String, String)> {
    let mut all = BTreeSet::new();
    each_level(tokens(text), &mut |level| {
        for at in 0..level.len() {
            let Some(first) = word(level.get(at)).filter(|_| is_path_mark(level, at + 1)) else {
                continue;
            };
            match level.get(at + 3) {
                Some(TokenTree::Group(group)) => {
                    let mut begins = true;
                    for token in group.stream() {
                        if let Some(second) = word(Some(&token)).filter(|_| begins) {
                            let _ = all.insert((first.clone(), second));
                        }
                        begins = is_mark(Some(&token), ',');
                    }
                }
                second => all.extend(word(second).map(|second| (first, second))),
            }
        }
    });
    all
}

pub(crate) fn is_cfg_test(token: Option<&TokenTree>) -> bool {
    let Some(TokenTree::Group(group)) = token else { return false };
    group.delimiter() == Delimiter::Bracket
        && group.stream().to_string().replace(' ', "") == "cfg(test)"
}

/// Files that are for tests alone: declared by `#[cfg(test)] mod name;`, and all below them.
pub(crate) fn test_files(files: &BTreeMap<String, String>) -> BTreeSet<String> {
    let declared = Regex::new(r"#\[cfg\(test\)\]\s*(?:pub(?:\([^)]*\))? )?mod (\w+);").unwrap();
    let mut roots = Vec::new();
    for (path, text) in files {
        let (directory, name) = path.rsplit_once('/').unwrap();
        let within = match name {
            "mod.rs" | "lib.rs" | "main.rs" => directory.to_string(),
            other => format!("{directory}/{}", other.trim_end_matches(".rs")),
        };
        for found in declared.captures_iter(text) {
            roots.push(format!("{within}/{}", &found[1]));
        }
    }
    let test = |path: &&String| {
        roots.iter().any(|root| {
            path.strip_prefix(root.as_str()).is_some_and(|rest| rest.starts_with(['/', '.']))
        })
    };
    files.keys().filter(test).cloned().collect()
}

/// The sources that are built into the program.
pub(crate) fn program() -> BTreeMap<String, String> {
    let mut files = sources("src");
    let tests = test_files(&files);
    files.retain(|path, _| !tests.contains(path));
    files
}

/// All Rust sources of the repository, tests too.
pub(crate) fn all_sources() -> BTreeMap<String, String> {
    ["src", "tests", "benches"].into_iter().flat_map(sources).collect()
}
