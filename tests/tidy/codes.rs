//! Every log line that a person may have to act on has a code, and docs/log-codes.md explains each.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::TokenTree;

use crate::source::read;
use crate::tokens::{each_level, is_mark, is_path_mark, program, tokens, word};

/// Where the code of an outage's lines is chosen, by what is out.
const OUTAGES: &str = "src/common/health/board.rs";
const SUBJECTS: &str = "src/common/health/subject.rs";

/// The first argument of each `tracing::warn!` and `tracing::error!`: its code, or a fault.
fn codes(path: &str, source: &str) -> Vec<Result<String, String>> {
    let mut found = Vec::new();
    each_level(tokens(source), &mut |level| {
        for at in 0..level.len() {
            let name = word(level.get(at + 3));
            let level_of_line = name.filter(|name| name == "warn" || name == "error");
            let is_tracing = word(level.get(at)).as_deref() == Some("tracing")
                && is_path_mark(level, at + 1)
                && is_mark(level.get(at + 4), '!');
            let (true, Some(kind), Some(TokenTree::Group(arguments))) =
                (is_tracing, level_of_line, level.get(at + 5))
            else {
                continue;
            };
            let first: Vec<TokenTree> = arguments.stream().into_iter().take(3).collect();
            let value = first.get(2).map(ToString::to_string).unwrap_or_default();
            let code = value.trim_matches('"');
            let is_named = word(first.first()).as_deref() == Some("code");
            found.push(match (is_named, is_mark(first.get(1), '='), path) {
                (true, true, _) if is_code(code) => Ok(code.to_string()),
                (true, false, OUTAGES) => continue,
                _ => Err(format!("{path}: {kind}!({value} …) does not begin with code = \"AL…\"")),
            });
        }
    });
    found
}

fn is_code(text: &str) -> bool {
    text.strip_prefix("AL").is_some_and(|n| n.len() == 3 && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Each code in the page's headings (`### AL101: what it is`); twice is once too often.
fn explained(page: &str) -> Vec<String> {
    let headings = page.lines().filter_map(|line| line.strip_prefix("### "));
    headings.map(|h| h.split(':').next().unwrap_or(h).to_string()).collect()
}

#[test]
fn every_warning_has_a_code_and_every_code_is_explained() {
    let sources: BTreeMap<String, String> = program();
    let all = sources.iter().flat_map(|(path, source)| codes(path, source));
    let (mut used, mut faults) = (BTreeSet::new(), Vec::new());
    for code in all {
        match code {
            Ok(code) => drop(used.insert(code)),
            Err(fault) => faults.push(fault),
        }
    }
    let subjects = &sources[SUBJECTS];
    let in_quotes = subjects.split('"').filter(|part| is_code(part)).map(ToString::to_string);
    used.extend(in_quotes);
    let page = explained(&read("docs/log-codes.md"));
    let known: BTreeSet<String> = page.iter().cloned().collect();
    assert_eq!(page.len(), known.len(), "a code is explained twice in docs/log-codes.md");
    faults.extend(used.difference(&known).map(|c| format!("docs/log-codes.md lacks {c}")));
    faults.extend(known.difference(&used).map(|c| format!("docs/log-codes.md: nothing logs {c}")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_line_without_a_code_is_seen() {
    for (source, is_fault) in [
        ("fn f() { tracing::warn!(code = \"AL101\", tp, \"text\"); }", false),
        ("fn f() { tracing::info!(\"text\"); }", false),
        ("fn f() { tracing::warn!(\"text\"); }", true),
        ("fn f() { g(|| tracing::error!(tp, code = \"AL101\", \"text\")) }", true),
        ("fn f() { tracing::error!(code = \"one\", \"text\"); }", true),
        ("fn f() { tracing::error!(code, \"text\"); }", true),
    ] {
        let found = codes("src/a.rs", source);
        assert_eq!(found.iter().any(Result::is_err), is_fault, "{source}: {found:?}");
    }
    assert_eq!(explained("# A\n### AL101: it\ntext\n### AL102: that"), ["AL101", "AL102"]);
}
