//! Pieces of valid JSON as text: a number has as many digits as it likes, and no number of the
//! machine holds them all.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::borrow::Cow;

/// A JSON string's text; [`None`] if it is no string, or if an escape in it is no character.
#[must_use]
pub fn string(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(json).ok().map(Cow::Owned)
}

/// Valid JSON without white space between its parts.
#[must_use]
pub fn compact(json: &str) -> Cow<'_, str> {
    let space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
    if !json.contains(space) {
        return Cow::Borrowed(json);
    }
    let (mut quoted, mut escaped) = (false, false);
    let kept = json.chars().filter(|c| {
        let keep = quoted || !space(*c);
        quoted ^= *c == '"' && !escaped;
        escaped = quoted && *c == '\\' && !escaped;
        keep
    });
    Cow::Owned(kept.collect())
}

/// Valid JSON on one line. Line breaks stand between its parts only, so each becomes a space, and
/// whoever splits the text at white space finds the same words.
#[must_use]
pub fn on_one_line(json: &str) -> Cow<'_, str> {
    match json.contains(['\n', '\r']) {
        true => Cow::Owned(json.replace(['\n', '\r'], " ")),
        false => Cow::Borrowed(json),
    }
}
