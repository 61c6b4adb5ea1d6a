//! Segments of a path whose value comes from the record: `country={field:country}`.
//!
//! *Rule*: a value is the whole of its directory's name behind the `=`. A record without the value
//! is in Hive's null partition, and no record is refused for it.

use std::collections::BTreeMap;

use crate::pure::layout::sources::segment_of;
use crate::pure::layout::template::{NULL_PARTITION, Template};
use crate::pure::record::Record;

/// The value of records that come when an attempt has as many values as are allowed.
pub const OVERFLOW: &str = "__OVERFLOW__";
/// The different values of one attempt, each with a number.
#[derive(Debug, Default)]
pub struct Values {
    known: BTreeMap<Box<str>, usize>,
    /// The sum of their lengths.
    bytes: usize,
    text: String,
}

impl Values {
    /// The number of a record's values, of which there are `most` at most; zero for a template
    /// without values, and one where they are too many.
    #[inline]
    pub fn number(&mut self, template: &Template, record: &Record<'_>, most: usize) -> usize {
        let sources = template.sources();
        if sources.is_empty() {
            return 0;
        }
        self.text.clear();
        for (at, source) in sources.iter().enumerate() {
            self.text.push_str(if at == 0 { "" } else { "/" });
            match source.value(record) {
                Some(value) => self.text.push_str(&segment_of(&value)),
                None => self.text.push_str(NULL_PARTITION),
            }
        }
        if let Some(number) = self.known.get(self.text.as_str()) {
            return *number;
        }
        if most <= self.known.len() {
            self.text.clear();
            let all = vec![OVERFLOW; sources.len()];
            self.text.push_str(&all.join("/"));
            return 1;
        }
        let number = self.known.len().saturating_add(2);
        let _ = self.known.insert(self.text.as_str().into(), number);
        self.bytes = self.bytes.saturating_add(self.text.len());
        number
    }

    /// The values of the last record that was asked for, as a path has them.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Bytes of memory, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        // An entry of the tree, and what an allocation of its own costs.
        let each = self.known.len().saturating_mul(64);
        each.saturating_add(self.bytes).saturating_add(self.text.capacity())
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::pure::layout::sources::LONGEST;
    use crate::pure::record::{Header, Offset, Timestamp};

    fn rendered(
        template: &str,
        key: Option<&[u8]>,
        headers: &[Header<'_>],
        json: Option<&[u8]>,
    ) -> String {
        let template = Template::parse(template, TimeZone::UTC).unwrap();
        let timestamp = Timestamp::Create(0);
        let record = Record { offset: Offset(0), timestamp, key, value: json, headers };
        let mut values = Values::default();
        assert_eq!(values.number(&template, &record, 10), 2);
        template.render_with("t", 0, Some(0), values.text())
    }

    #[test]
    fn a_segment_has_the_value_of_its_record() {
        let headers: [Header<'_>; 4] =
            [(b"h", Some(b"first")), (b"h", Some(b"last")), (b"null", None), (b"empty", Some(b""))];
        let json = br#"{"a":{"b":"x/y"},"n":-1.50,"z":null,"f":false,"o":{"x":1},"e":"","l":[1]}"#;
        for (path, want) in [
            ("k={key}", "k=a%20b%FF.c"),
            ("h={header:h}/{topic}/dt=%F", "h=last/t/dt=1970-01-01"),
            ("v={field:a.b}/n={field:n}", "v=x%2Fy/n=-1.50"),
            ("v={field:f}", "v=false"),
        ] {
            assert_eq!(rendered(path, Some(b"a b\xff.c"), &headers, Some(json)), want, "{path}");
        }
        let null = format!("v={NULL_PARTITION}");
        for path in ["header:null", "header:empty", "header:none", "field:z", "field:o", "field:e"]
        {
            let path = format!("v={{{path}}}");
            assert_eq!(rendered(&path, None, &headers, Some(json)), null, "{path}");
        }
        for path in ["key", "field:l", "field:a.b.c", "field:none"] {
            let path = format!("v={{{path}}}");
            assert_eq!(rendered(&path, None, &headers, Some(json)), null, "{path}");
        }
        for json in [None, Some(&b"not JSON"[..]), Some(b"")] {
            assert_eq!(rendered("v={field:a}", None, &[], json), null, "{json:?}");
        }
        // What a stranger may try: neither the null partition nor the overflow can be named.
        for (key, want) in [
            (&b".."[..], "v=%2E."),
            (b"../../_alluvium", "v=%2E.%2F..%2F_alluvium"),
            (NULL_PARTITION.as_bytes(), "v=%5F_HIVE_DEFAULT_PARTITION__"),
            (OVERFLOW.as_bytes(), "v=%5F_OVERFLOW__"),
            (b"\xff", "v=%FF"),
            (b"%41", "v=%2541"),
        ] {
            assert_eq!(rendered("v={key}", Some(key), &[], None), want);
        }
    }

    #[test]
    fn a_long_value_is_shortened_and_stays_unique() {
        let of = |key: &[u8]| rendered("v={key}", Some(key), &[], None);
        let long = |last: &str| of(format!("{}{last}", "ä/".repeat(5_000)).as_bytes());
        assert_ne!(long("a"), long("b"));
        assert!(long("a").len() <= 2 + LONGEST, "{}", long("a"));
        let escapes = of(&[b'/'; 60]);
        let (body, sum) = escapes.rsplit_once('~').unwrap();
        assert!(body.ends_with("%2F") && sum.len() == 8, "{escapes}");
        assert_eq!(of(&[b'a'; LONGEST]), format!("v={}", "a".repeat(LONGEST)));
    }

    #[test]
    fn values_that_are_too_many_share_one() {
        let template = Template::parse("a={key}/b={header:x}", TimeZone::UTC).unwrap();
        let mut values = Values::default();
        let mut of = |key: &str| {
            let (timestamp, key) = (Timestamp::Missing, Some(key.as_bytes()));
            let record = Record { offset: Offset(0), timestamp, key, value: None, headers: &[] };
            let number = values.number(&template, &record, 2);
            (number, template.render_with("t", 0, None, values.text()))
        };
        let null = NULL_PARTITION;
        assert_eq!(of("1"), (2, format!("a=1/b={null}")));
        assert_eq!(of("2"), (3, format!("a=2/b={null}")));
        for key in ["3", "4"] {
            assert_eq!(of(key), (1, format!("a={OVERFLOW}/b={OVERFLOW}")));
        }
        assert_eq!(of("1"), (2, format!("a=1/b={null}")), "who was there stays");
        let plain = Template::parse("{topic}", TimeZone::UTC).unwrap();
        let (timestamp, offset) = (Timestamp::Missing, Offset(0));
        let record = Record { offset, timestamp, key: None, value: None, headers: &[] };
        assert_eq!(Values::default().number(&plain, &record, 2), 0);
    }

    proptest! {
        /// Whatever a record has, its file lies in the directory of the template, under names
        /// that every store takes and no reader skips.
        #[test]
        fn no_record_leads_out_of_its_directory(
            key in prop::collection::vec(any::<u8>(), 0..400), field in any::<String>(),
        ) {
            let json = serde_json::json!({ "f": field }).to_string();
            let path = "{topic}/k={key}/f={field:f}/dt=%F";
            let path = rendered(path, Some(&key), &[], Some(json.as_bytes()));
            let names: Vec<&str> = path.split('/').collect();
            prop_assert_eq!(names.len(), 4, "{}", path);
            for (name, begins) in names.iter().zip(["t", "k=", "f=", "dt="]) {
                prop_assert!(name.starts_with(begins) && name.len() <= 255, "{}", path);
                prop_assert!(!name.contains(|c: char| c.is_control() || c == '\\'), "{}", path);
            }
        }
    }
}
