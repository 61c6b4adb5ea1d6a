//! What of a record is counted: its words, its key, or a field of its value.

use std::borrow::Cow;

use crate::pure::count::cut::cut;
use crate::pure::count::tokenizer::Tokenizer;
use crate::pure::field::Field;
use crate::pure::field_path::FieldPath;
use crate::pure::record::Record;

/// An aggregate says which terms a record has. Everything behind it, from the sums to the files, is
/// the same for all aggregates.
pub trait Aggregate {
    /// Calls `term` for each term of the record.
    fn each_term(&self, record: &Record<'_>, term: impl FnMut(&str)) -> Terms;
}

/// What was found in a record beside its terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Terms {
    Found,
    /// The value is not UTF-8, and was read with replacement characters.
    Lossy,
    /// The record has no terms: no value, no key, or no such field.
    Empty,
}

/// `by` in `[mapping.NAME.wordcount]`.
#[derive(Clone, Debug)]
pub enum By {
    Word(Tokenizer),
    Key { max_bytes: usize },
    Field { path: FieldPath, max_bytes: usize },
}

impl By {
    /// The longest term; longer ones are cut. Bytes.
    #[must_use]
    pub fn max_bytes(&self) -> usize {
        match self {
            By::Word(tokenizer) => tokenizer.max_word_bytes,
            By::Key { max_bytes } | By::Field { max_bytes, .. } => *max_bytes,
        }
    }
}

impl Aggregate for By {
    #[inline]
    fn each_term(&self, record: &Record<'_>, mut term: impl FnMut(&str)) -> Terms {
        match (self, record.key, record.value) {
            (By::Word(tokenizer), _, Some(value)) => {
                if tokenizer.each_word(value, term) {
                    Terms::Lossy
                } else {
                    Terms::Found
                }
            }
            (By::Key { max_bytes }, Some(key), _) => {
                let text = String::from_utf8_lossy(key);
                term(&cut(&text, *max_bytes));
                if matches!(text, Cow::Borrowed(_)) { Terms::Found } else { Terms::Lossy }
            }
            (By::Field { path, max_bytes }, _, Some(value)) => match path.find(value) {
                None | Some(Field::Null) => Terms::Empty,
                Some(Field::Text(text) | Field::Other(text)) => {
                    term(&cut(&text, *max_bytes));
                    Terms::Found
                }
                Some(Field::Number(text)) => {
                    term(&cut(text, *max_bytes));
                    Terms::Found
                }
            },
            _ => Terms::Empty,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::record::{Offset, Timestamp};

    fn terms(by: &By, key: Option<&[u8]>, value: Option<&[u8]>) -> (Vec<String>, Terms) {
        let (offset, timestamp, headers) = (Offset(0), Timestamp::Missing, &[][..]);
        let record = Record { offset, timestamp, key, value, headers };
        let mut out = Vec::new();
        let came = by.each_term(&record, |t| out.push(t.to_string()));
        (out, came)
    }

    #[test]
    fn words_keys_and_fields() {
        let word = By::Word(Tokenizer::default());
        assert_eq!(terms(&word, None, Some(b"a b")), (vec!["a".into(), "b".into()], Terms::Found));
        assert_eq!(terms(&word, Some(b"k"), None), (vec![], Terms::Empty));
        let key = By::Key { max_bytes: 16 };
        assert_eq!(terms(&key, Some(b"k"), None), (vec!["k".into()], Terms::Found));
        assert_eq!(terms(&key, Some(b"\xff"), None), (vec!["\u{fffd}".into()], Terms::Lossy));
        assert_eq!(terms(&key, None, Some(b"v")), (vec![], Terms::Empty));
        let (long, _) = terms(&key, Some(&[b'x'; 17]), None);
        assert_eq!(long[0].len(), 16);
        let path = FieldPath::parse("status").unwrap();
        let field = By::Field { path, max_bytes: 16 };
        for (value, want) in [
            (r#"{"status":"ok"}"#, Some("ok")),
            (r#"{"status":404}"#, Some("404")),
            (r#"{"status":327267367867168}"#, Some("327267367867168")),
            (r#"{"status":90071992547.0993}"#, Some("90071992547.0993")),
            (r#"{"status":true}"#, Some("true")),
            (r#"{"status":[1, 2]}"#, Some("[1,2]")),
            (r#"{"status":null}"#, None),
            (r#"{"other":1}"#, None),
            ("no json", None),
        ] {
            let (got, came) = terms(&field, None, Some(value.as_bytes()));
            assert_eq!(got.first().map(String::as_str), want, "{value}");
            assert_eq!(came == Terms::Found, want.is_some());
        }
    }
}
