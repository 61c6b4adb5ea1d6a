//! Pieces of valid JSON as text: a number has as many digits as it likes, and no number of the
//! machine holds them all.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::borrow::Cow;

use serde_json::value::RawValue;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Adds a text as a JSON string.
pub fn push_text(text: &str, to: &mut String) {
    to.push_str(&serde_json::to_string(text).expect("every text is a JSON string"));
}

/// Adds a number; one that JSON does not have is a string: `"NaN"`, `"inf"`, `"-inf"`.
pub fn push_double(number: f64, to: &mut String) {
    if number.is_finite() {
        to.push_str(&serde_json::to_string(&number).expect("it is finite"));
    } else {
        let _ = write!(to, "\"{number}\"");
    }
}

/// Adds bytes as a JSON string in Base64.
pub fn push_bytes(bytes: &[u8], to: &mut String) {
    to.push('"');
    STANDARD.encode_string(bytes, to);
    to.push('"');
}

/// Valid JSON, as it is written, without white space around it. Whoever writes it into other JSON
/// need not read it again.
#[derive(Clone, Debug)]
pub struct JsonText<'a>(Cow<'a, RawValue>);

impl<'a> JsonText<'a> {
    /// Reads one value of JSON.
    ///
    /// # Errors
    /// The bytes are not valid JSON in UTF-8, or more than one value.
    pub fn parse(json: &'a [u8]) -> serde_json::Result<JsonText<'a>> {
        serde_json::from_slice(json).map(|raw: &RawValue| JsonText(Cow::Borrowed(raw)))
    }

    /// The same value on one line. Line breaks stand between its parts only, so each becomes a
    /// space; whoever splits the text at runs of white space finds the same words.
    ///
    /// # Errors
    /// Never: what was valid is valid with other white space.
    pub fn on_one_line(self) -> serde_json::Result<JsonText<'a>> {
        if memchr::memchr2(b'\n', b'\r', self.text().as_bytes()).is_none() {
            return Ok(self);
        }
        let line = self.text().replace(['\n', '\r'], " ");
        RawValue::from_string(line).map(|raw| JsonText(Cow::Owned(raw)))
    }

    #[must_use]
    pub fn text(&self) -> &str {
        self.0.get()
    }

    #[must_use]
    pub fn raw(&self) -> &RawValue {
        &self.0
    }
}

impl PartialEq for JsonText<'_> {
    fn eq(&self, other: &JsonText<'_>) -> bool {
        self.text() == other.text()
    }
}

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
    if !json.bytes().any(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')) {
        return Cow::Borrowed(json);
    }
    let space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
    let (mut quoted, mut escaped) = (false, false);
    let kept = json.chars().filter(|c| {
        let keep = quoted || !space(*c);
        quoted ^= *c == '"' && !escaped;
        escaped = quoted && *c == '\\' && !escaped;
        keep
    });
    Cow::Owned(kept.collect())
}

/// As deep as objects and arrays may lie in each other: common readers fail beyond a thousand.
const DEEPEST: usize = 512;

/// Why readers of JSON lines could fail at a whole file with this valid JSON; [`None`] if they can
/// not.
#[must_use]
pub fn unreadable(json: &str) -> Option<&'static str> {
    // Nearly every text has too few brackets to be too deep, and no such escape.
    let opened = json.bytes().filter(|b| matches!(b, b'{' | b'[')).count();
    if opened <= DEEPEST && memchr::memmem::find(json.as_bytes(), b"\\u").is_none() {
        return None;
    }
    let (mut depth, mut bytes) = (0_usize, json.as_bytes());
    while let [first, rest @ ..] = bytes {
        bytes = rest;
        match first {
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let length = end_of_string(rest)?;
                let (text, behind) = rest.split_at_checked(length)?;
                let escaped = text.windows(2).any(|pair| pair == b"\\u");
                if escaped && serde_json::from_slice::<String>(&quoted(text)).is_err() {
                    return Some("has an escape that is no character");
                }
                bytes = behind.get(1..)?;
            }
            _ => {}
        }
        if DEEPEST < depth {
            return Some("has more than 512 objects and arrays in each other");
        }
    }
    None
}

/// The length of a string whose first quotation mark was read.
fn end_of_string(bytes: &[u8]) -> Option<usize> {
    let mut escaped = false;
    bytes.iter().position(|b| {
        let ends = *b == b'"' && !escaped;
        escaped = *b == b'\\' && !escaped;
        ends
    })
}

fn quoted(text: &[u8]) -> Vec<u8> {
    [b"\"", text, b"\""].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_added_as_json() {
        let mut all = String::new();
        push_text("a\"\n\u{e4}", &mut all);
        for number in [0.1, -0.0, 1e300, f64::NAN, f64::NEG_INFINITY] {
            all.push(' ');
            push_double(number, &mut all);
        }
        all.push(' ');
        push_bytes(b"\0\xfe", &mut all);
        assert_eq!(all, "\"a\\\"\\n\u{e4}\" 0.1 -0.0 1e+300 \"NaN\" \"-inf\" \"AP4=\"");
    }

    #[test]
    fn what_readers_fail_at_is_found() {
        let nested = |n| format!("{}{}", "[".repeat(n), "]".repeat(n));
        for good in [
            "{\"a\":\"\\ud83d\\ude00\"}".to_string(),
            "{\"a\":\"\\\\ud800\",\"[\":1}".into(),
            nested(512),
            format!("{{\"a\":\"{}\"}}", "[".repeat(1_000)),
            format!("[{}]", vec!["[]"; 1_000].join(",")),
        ] {
            assert_eq!(unreadable(&good), None, "{good}");
        }
        for bad in [
            "{\"a\":\"\\ud800\"}".to_string(),
            "{\"\\udc00\":1}".into(),
            "[\"\\\\\\\"\\ud800x\"]".into(),
            nested(513),
            nested(200_000),
        ] {
            assert!(unreadable(&bad).is_some(), "{bad}");
        }
    }
}
