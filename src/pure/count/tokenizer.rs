//! From a record's value to words.

use std::borrow::Cow;
use std::collections::HashSet;

use regex::Regex;
use unicode_segmentation::UnicodeSegmentation;

use crate::pure::count::cut::cut;

/// How a line is split.
#[derive(Clone, Debug)]
pub enum Split {
    /// At white space, without empty words.
    Whitespace,
    /// As the tutorial's `line.split(" ")` in Java: at each U+0020, without trailing empty words. A
    /// line without a space is one word, and so is the empty line.
    Space,
    /// Unicode word boundaries (UAX #29).
    Words,
    /// A regex: words are the texts between its matches, without empty words.
    Regex(Regex),
}

/// A checked tokenizer.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    pub split: Split,
    pub lowercase: bool,
    pub stop_words: HashSet<String>,
    /// The longest word, in bytes; longer words are cut.
    pub max_word_bytes: usize,
}

impl Default for Tokenizer {
    fn default() -> Tokenizer {
        Tokenizer {
            split: Split::Whitespace,
            lowercase: false,
            stop_words: HashSet::new(),
            max_word_bytes: 1024,
        }
    }
}

impl Tokenizer {
    /// Calls `word` for each word of a value. Invalid UTF-8 is replaced; returns whether that was
    /// necessary.
    #[inline]
    pub fn each_word(&self, value: &[u8], mut word: impl FnMut(&str)) -> bool {
        match simdutf8::basic::from_utf8(value) {
            Ok(line) => {
                self.split(line, &mut word);
                false
            }
            Err(_) => {
                self.split(&String::from_utf8_lossy(value), &mut word);
                true
            }
        }
    }

    #[inline]
    fn split(&self, line: &str, word: &mut impl FnMut(&str)) {
        match &self.split {
            Split::Space => split_as_java(line, |w| self.emit(w, word)),
            Split::Whitespace => line.split_whitespace().for_each(|w| self.emit(w, word)),
            Split::Words => line.unicode_words().for_each(|w| self.emit(w, word)),
            Split::Regex(r) => {
                r.split(line).filter(|w| !w.is_empty()).for_each(|w| self.emit(w, word));
            }
        }
    }

    #[inline]
    fn emit(&self, word: &str, out: &mut impl FnMut(&str)) {
        if !self.lowercase && self.stop_words.is_empty() && word.len() <= self.max_word_bytes {
            return out(word);
        }
        let word = if self.lowercase { Cow::Owned(word.to_lowercase()) } else { word.into() };
        if self.stop_words.contains(word.as_ref()) {
            return;
        }
        out(&cut(&word, self.max_word_bytes));
    }
}

/// `java.lang.String.split(" ")`: without a match the line itself; else trailing empty strings
/// are removed, leading and inner ones stay.
#[inline]
fn split_as_java(line: &str, mut word: impl FnMut(&str)) {
    let trimmed = line.trim_end_matches(' ');
    if trimmed.is_empty() {
        if line.is_empty() {
            word("");
        }
        return;
    }
    let mut start = 0;
    for space in memchr::memchr_iter(b' ', trimmed.as_bytes()) {
        word(&trimmed[start..space]);
        start = space.saturating_add(1);
    }
    word(&trimmed[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(tokenizer: &Tokenizer, value: &[u8]) -> Vec<String> {
        let mut out = Vec::new();
        let _ = tokenizer.each_word(value, |w| out.push(w.to_string()));
        out
    }

    fn check(split: Split, line: &str, want: &[&str]) {
        let t = Tokenizer { split, ..Tokenizer::default() };
        assert_eq!(words(&t, line.as_bytes()), want, "{line:?}");
    }

    /// The right column was printed by Java 17.
    #[test]
    fn space_is_javas_split() {
        for (line, want) in [
            ("", &[""][..]),
            (" ", &[]),
            ("   ", &[]),
            ("a", &["a"]),
            (" a", &["", "a"]),
            ("a ", &["a"]),
            ("a  b  ", &["a", "", "b"]),
            ("bonjour Kafka!", &["bonjour", "Kafka!"]),
            ("hello hello kafka and zookeeper!", &["hello", "hello", "kafka", "and", "zookeeper!"]),
            ("a\tb", &["a\tb"]),
        ] {
            check(Split::Space, line, want);
        }
    }

    #[test]
    fn the_other_splits() {
        check(Split::Whitespace, " a\t b\u{3000}c\n", &["a", "b", "c"]);
        check(Split::Whitespace, "", &[]);
        check(Split::Words, "It's 3.5 °C, d'accord?", &["It's", "3.5", "C", "d'accord"]);
        check(Split::Regex(Regex::new("[,;]+").unwrap()), "a,;b;", &["a", "b"]);
    }

    #[test]
    fn words_are_lowered_stopped_and_cut() {
        let t = Tokenizer {
            lowercase: true,
            stop_words: ["the".to_string()].into(),
            max_word_bytes: 12,
            ..Tokenizer::default()
        };
        let got = words(&t, "The ÄRGER äääääääääää".as_bytes());
        assert_eq!(got[0], "ärger");
        assert_eq!(got.len(), 2);
        assert!(got[1].starts_with("ä~") && got[1].len() <= 12, "{got:?}");
        let mut lossy = 0;
        assert!(t.each_word(b"a\xff b", |_| lossy += 1));
        assert_eq!(lossy, 2);
    }
}
