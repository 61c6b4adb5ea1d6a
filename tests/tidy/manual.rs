//! The manual's page for those who look for a line of the log, a reason or an alert.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenTree};
use regex::Regex;

use crate::source::{read, sources};
use crate::tokens::{each_level, is_mark, tokens, word};

/// The longest text of each `error!` and `warn!` of a source, up to what differs from line to line.
fn said(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    each_level(tokens(text), &mut |level| {
        for at in 0..level.len() {
            let name = word(level.get(at));
            let is_log = name.is_some_and(|name| ["error", "warn"].contains(&name.as_str()));
            let Some(TokenTree::Group(group)) = level.get(at + 2) else { continue };
            let is_call = is_mark(level.get(at + 1), '!');
            if !is_log || !is_call || group.delimiter() != Delimiter::Parenthesis {
                continue;
            }
            let texts = group.stream().into_iter().filter_map(|token| {
                let literal: syn::LitStr = syn::parse_str(&token.to_string()).ok()?;
                Some(literal.value())
            });
            all.extend(texts.max_by_key(String::len));
        }
    });
    all
}

/// The first part of a text between its variables and colons that has three words; or the first
/// one that has any.
fn constant(text: &str) -> Option<String> {
    let variable = Regex::new(r"\{[^}]*\}").unwrap();
    let head = text.split(';').next().unwrap_or_default();
    let parts = variable.split(head).flat_map(|part| part.split(": "));
    let parts = parts.map(|part| part.trim_matches([' ', ':', ',', '=', '(', ')']));
    let parts: Vec<&str> = parts.filter(|part| part.contains(char::is_alphabetic)).collect();
    let long = parts.iter().find(|part| 3 <= part.split(' ').count());
    long.or(parts.first()).map(ToString::to_string)
}

/// The texts that no row of the page has: a row has the whole text, or its beginning.
fn unexplained(page: &str, texts: &[String]) -> Vec<String> {
    let code = Regex::new(r"`([^`]+)`").unwrap();
    let rows: BTreeSet<&str> = page
        .lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(|line| code.captures_iter(line).map(|c| c.extract::<1>().1[0]))
        .collect();
    let is_there = |text: &String| rows.iter().any(|row| text.starts_with(row));
    texts.iter().filter(|text| !is_there(text)).cloned().collect()
}

#[test]
fn every_warning_and_error_is_explained() {
    let page = read("docs/troubleshooting.md");
    let of_sources = sources("src").values().flat_map(|text| said(text)).collect::<Vec<_>>();
    let texts: Vec<String> = of_sources.iter().filter_map(|text| constant(text)).collect();
    assert!(50 < texts.len(), "{texts:?}");
    let missing = unexplained(&page, &texts);
    assert!(missing.is_empty(), "docs/troubleshooting.md lacks\n  {}", missing.join("\n  "));
    // How an outage begins: the texts of `Subject::fails`.
    let subjects = read("src/common/health/subject.rs");
    let (_, fails) = subjects.split_once("fn fails(").unwrap();
    let (fails, _) = fails.split_once("\n    }\n").unwrap();
    let text = Regex::new(r#""([^"]+)""#).unwrap();
    let texts = text.captures_iter(fails).filter_map(|c| constant(c.extract::<1>().1[0]));
    let texts: Vec<String> = texts.collect();
    assert!(8 < texts.len(), "{texts:?}");
    let missing = unexplained(&page, &texts);
    assert!(missing.is_empty(), "docs/troubleshooting.md lacks\n  {}", missing.join("\n  "));
}

#[test]
fn every_reason_and_alert_leads_to_its_section() {
    let page = read("docs/troubleshooting.md");
    let rules = read("src/pure/protocol/recovery.rs");
    let label = Regex::new(r#"Stop::\w+(?:\s*\{ \.\. \}|\(_\))? => "(\w+)""#).unwrap();
    let reasons: Vec<&str> =
        label.captures_iter(&rules).map(|c| c.extract::<1>().1[0]).chain(["encode"]).collect();
    assert!(8 < reasons.len(), "{reasons:?}");
    for reason in reasons {
        assert!(page.contains(&format!("\n| `{reason}` |")), "{reason}");
    }
    let rules = read("config/prometheus/alluvium.rules.yml");
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let link = format!("\n| [{alert}](alerts.md#{}) |", alert.to_lowercase());
        assert!(page.contains(&link), "{alert}");
    }
}

#[test]
fn what_is_not_explained_is_seen() {
    let source = r#"fn f() { tracing::warn!(tp = %tp, "a worker {n} is late; it waits"); }"#;
    assert_eq!(said(source), ["a worker {n} is late; it waits"]);
    assert_eq!(constant("a worker {n} is late; it waits").unwrap(), "a worker");
    assert_eq!(constant("{} of {n}: all workers are late").unwrap(), "all workers are late");
    assert_eq!(constant("{why}"), None);
    let texts = ["a worker".to_string()];
    assert!(unexplained("| `a worker` | waits |", &texts).is_empty());
    assert_eq!(unexplained("`a worker` is not in a table", &texts), texts);
}
