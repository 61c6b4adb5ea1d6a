//! Where each key of a configuration stands in its file.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A line and a column of a file, from 1; the column counts characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TextPlace {
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for TextPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

impl TextPlace {
    /// The place of a byte of `text`; the last place, if `at` is beyond its end.
    pub(super) fn of(text: &str, at: usize) -> TextPlace {
        let before = text.get(..at).unwrap_or(text);
        let line_begins = before.rfind('\n').map_or(0, |n| n.saturating_add(1));
        TextPlace {
            line: before.matches('\n').count().saturating_add(1),
            column: before[line_begins..].chars().count().saturating_add(1),
        }
    }
}

/// The places of all keys, by their full paths.
#[derive(Default, Debug)]
pub struct KeyPlaces(HashMap<String, TextPlace>);

impl KeyPlaces {
    /// Reads the keys of a configuration, as far as it can be read.
    #[must_use]
    pub fn read(text: &str) -> KeyPlaces {
        match line_of_dots(text) {
            Some(_) => KeyPlaces::default(),
            None => KeyPlaces::of(text, DeTable::parse_recoverable(text).0.get_ref()),
        }
    }

    pub(super) fn of(text: &str, table: &DeTable<'_>) -> KeyPlaces {
        let mut places = KeyPlaces::default();
        places.gather(text, "", table);
        places
    }

    fn gather(&mut self, text: &str, parent: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let place = TextPlace::of(text, written_at(parent, key, value).start);
            // Keys that a user chooses are shown in quotes, and others as they are.
            for shown in [name.to_string(), format!("{name:?}")] {
                let path = if parent.is_empty() { shown } else { format!("{parent}.{shown}") };
                if let DeValue::Table(inner) = value.get_ref() {
                    self.gather(text, &path, inner);
                }
                let _ = self.0.insert(path, place);
            }
        }
    }

    /// The place of a key; if the key is not there, of the innermost table that it belongs to.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<TextPlace> {
        let mut path = key;
        loop {
            if let Some(place) = self.0.get(path) {
                return Some(*place);
            }
            path = path.rsplit_once('.')?.0;
        }
    }
}

/// Where an entry is written: at its key, and a table at its header.
fn written_at(
    parent: &str,
    key: &Spanned<impl AsRef<str>>,
    value: &Spanned<DeValue<'_>>,
) -> Range<usize> {
    let is_header = matches!(value.get_ref(), DeValue::Table(_)) && !parent.is_empty();
    if is_header && value.span().start < key.span().start { value.span() } else { key.span() }
}

/// More dots than a line with a key of a configuration has, outside of its strings.
const DOTS: usize = 12;

/// Where a line has so many dots, outside of strings and comments, that it must not be parsed:
/// toml_parser (1.1.5) needs time and memory that double with each dot after an empty part of a
/// key, which is 2 GB for twenty of them.
pub(super) fn line_of_dots(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_at = |i: usize, what: &[u8]| bytes.get(i..).is_some_and(|rest| rest.starts_with(what));
    let (mut i, mut dots, mut ends_with): (usize, usize, Option<&[u8]>) = (0, 0, None);
    while let Some(byte) = bytes.get(i) {
        let mut taken = 1;
        match ends_with {
            Some(end) if is_at(i, end) => (taken, ends_with) = (end.len(), None),
            Some([b'"', ..]) if *byte == b'\\' => taken = 2,
            // A string of one line ends with it, whether it is closed or not.
            Some([_]) if *byte == b'\n' => ends_with = None,
            Some(_) => {}
            None if *byte == b'.' => dots = dots.saturating_add(1),
            None if *byte == b'#' => ends_with = Some(b"\n"),
            None => {
                let begins: [&[u8]; 4] = [b"\"\"\"", b"'''", b"\"", b"'"];
                ends_with = begins.into_iter().find(|string| is_at(i, string));
                taken = ends_with.map_or(1, <[u8]>::len);
            }
        }
        if *byte == b'\n' {
            dots = 0;
        }
        if DOTS <= dots {
            return Some(i);
        }
        i = i.saturating_add(taken);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_dots_is_found_where_it_is_no_string() {
        let dots = ".".repeat(DOTS);
        for found in [
            format!("[{dots}"),
            format!("a = 1\nx = {{ a{dots} = 1 }}"),
            format!("a = \"\\\"\" # \"\"\"\n[{}", ". ".repeat(DOTS)),
            format!("a = \"not closed\n[{dots}]"),
            format!("a = \'\'\'{dots}\'\'\'\n[{dots}]"),
        ] {
            assert!(line_of_dots(&found).is_some(), "{found}");
        }
        for good in [
            format!("a = \"{dots}\" # {dots}"),
            format!("a = \"\"\"\n{dots}\n\"{dots}\"\"\" # b"),
            "a.b.c = 1.5\n".repeat(20),
        ] {
            assert_eq!(line_of_dots(&good), None, "{good}");
        }
    }

    #[test]
    fn a_key_that_is_missing_has_the_place_of_its_table() {
        let text =
            "[kafka]\na = 1\n[kafka.properties]\n\"x.y\" = 2\n\n[mapping.é]\n  z = { w = 1 }\n";
        let places = KeyPlaces::read(text);
        let at = |key: &str| places.find(key).map(|p| (p.line, p.column));
        assert_eq!(at("kafka.a"), Some((2, 1)));
        assert_eq!(at("kafka.properties.\"x.y\""), Some((4, 1)));
        assert_eq!(at("mapping.é.z"), Some((7, 3)));
        assert_eq!(at("mapping.é.z.w"), Some((7, 9)));
        assert_eq!(at("mapping.é.nothing.here"), at("mapping.é"));
        assert_eq!(at("mapping.é").map(|p| p.0), Some(6));
        assert_eq!(at("kafka.nothing").map(|p| p.0), Some(1));
        assert_eq!(at("nothing"), None);
    }
}
