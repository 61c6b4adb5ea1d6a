//! The path template: `{topic}/dt=%Y-%m-%d/hr=%H`.
//!
//! `{topic}` and `{partition}` come from the record's place; `%` fields are strftime's, rendered
//! from the record's time in the mapping's zone. Every `%` field must be of fixed width, so that
//! directories sort by time. A record without a usable time gets Hive's null partition in *every*
//! segment that has a time field: any other value turns `dt` into a string, or makes the table
//! unreadable (tried with pyarrow, DuckDB and Spark).

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::pure::layout::names::{PRIVATE, escape_segment};

/// Hive's name for a null partition value.
pub const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";
/// Year 9999 ends here: later times do not fit four digits.
const MAX_MILLIS: i64 = 253_402_300_799_999;
/// The fields that are fixed in width and of use in a path, with a name for the error's text.
const FIELDS: &str = "YmdHMSjFGV";

/// A checked template.
#[derive(Clone, Debug)]
pub struct Template {
    segments: Vec<Vec<Piece>>,
    zone: TimeZone,
    granularity_ms: i64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Text(String),
    Topic,
    Partition,
    /// One strftime field with its `%`.
    Time(String),
}

/// Why a template is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TemplateError {
    #[error("the path is empty")]
    Empty,
    #[error("the path is relative to the root: it must not begin or end with '/', nor have '//'")]
    EmptySegment,
    #[error("{0:?} is not the name of a directory")]
    Dots(String),
    #[error("{0:?} begins with '_' or '.': readers skip such directories")]
    Hidden(String),
    #[error("unknown field {{{0}}}; the fields are {{topic}} and {{partition}}")]
    Field(String),
    #[error("a '{{' has no '}}'")]
    Brace,
    #[error(
        "%{0} is not supported in a path; use %Y %m %d %H %M %S %j %F %G %V, or %% for a percent \
         sign"
    )]
    Strftime(char),
    #[error("the path contains {0:?}; a path may contain letters, digits and -_.=,@~")]
    Character(char),
    #[error("files of several topics would be in one directory: put {{topic}} into the path")]
    NoTopic,
}

impl Template {
    /// Parses and checks a template.
    ///
    /// # Errors
    /// Everything that would make paths escape the root, hide from readers, or not sort.
    pub fn parse(text: &str, zone: TimeZone) -> Result<Template, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::Empty);
        }
        let segments: Vec<Vec<Piece>> = text.split('/').map(segment).collect::<Result<_, _>>()?;
        let finest = segments.iter().flatten().map(Piece::granularity_ms).min();
        Ok(Template { segments, zone, granularity_ms: finest.unwrap_or(i64::MAX) })
    }

    /// Whether the path contains `{topic}`.
    #[must_use]
    pub fn has_topic(&self) -> bool {
        self.segments.iter().flatten().any(|p| *p == Piece::Topic)
    }

    /// Times with the same bucket lie in the same directory; [`None`] is for unusable times. The
    /// reverse need not hold: a bucket is never longer than a quarter of an hour, because zones
    /// are shifted by multiples of that.
    #[inline]
    #[must_use]
    pub fn bucket(&self, millis: Option<i64>) -> Option<i64> {
        let usable = millis.filter(|ms| (0..=MAX_MILLIS).contains(ms))?;
        Some(usable.div_euclid(self.granularity_ms))
    }

    /// The directory of a record, relative to the root.
    #[must_use]
    pub fn render(&self, topic: &str, partition: i32, millis: Option<i64>) -> String {
        let usable = millis.filter(|ms| (0..=MAX_MILLIS).contains(ms));
        let time = usable.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let time = time.map(|t| t.to_zoned(self.zone.clone()));
        let mut out = String::new();
        for (i, pieces) in self.segments.iter().enumerate() {
            if i > 0 {
                out.push('/');
            }
            let mut nulled = false;
            for piece in pieces {
                match piece {
                    Piece::Text(t) => out.push_str(t),
                    Piece::Topic => out.push_str(&escape_segment(topic)),
                    Piece::Partition => {
                        let _ = write!(out, "{partition}");
                    }
                    Piece::Time(field) => match &time {
                        Some(t) => {
                            let _ = write!(out, "{}", t.strftime(field));
                        }
                        // `dt=%Y-%m-%d` becomes `dt=__HIVE_DEFAULT_PARTITION__`.
                        None if nulled => {}
                        None => {
                            let start = out.rfind('/').map_or(0, |s| s + 1);
                            let keep = out[start..].find('=').map_or(start, |e| start + e + 1);
                            out.truncate(keep);
                            out.push_str(NULL_PARTITION);
                            nulled = true;
                        }
                    },
                }
                if nulled {
                    break;
                }
            }
        }
        out
    }
}

impl Piece {
    fn granularity_ms(&self) -> i64 {
        match self {
            Piece::Time(f) if f == "%S" => 1_000,
            Piece::Time(f) if f == "%M" => 60_000,
            Piece::Time(_) => 15 * 60_000,
            _ => i64::MAX,
        }
    }
}

fn segment(text: &str) -> Result<Vec<Piece>, TemplateError> {
    if text.is_empty() {
        return Err(TemplateError::EmptySegment);
    }
    if text == "." || text == ".." {
        return Err(TemplateError::Dots(text.into()));
    }
    if text.starts_with(['_', '.']) || text == PRIVATE {
        return Err(TemplateError::Hidden(text.into()));
    }
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let piece = match c {
            '{' => {
                let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
                if !text.contains('}') {
                    return Err(TemplateError::Brace);
                }
                match name.as_str() {
                    "topic" => Piece::Topic,
                    "partition" => Piece::Partition,
                    _ => return Err(TemplateError::Field(name)),
                }
            }
            '%' => match chars.next().unwrap_or(' ') {
                '%' => {
                    plain.push_str("%25");
                    continue;
                }
                f if FIELDS.contains(f) => Piece::Time(format!("%{f}")),
                f => return Err(TemplateError::Strftime(f)),
            },
            c if c.is_alphanumeric() || "-_.=,@~".contains(c) => {
                plain.push(c);
                continue;
            }
            c => return Err(TemplateError::Character(c)),
        };
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(piece);
    }
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIME: i64 = 1_795_366_982_000; // 2026-11-22T17:03:02Z

    fn render(template: &str, zone: TimeZone, millis: Option<i64>) -> String {
        Template::parse(template, zone).unwrap().render("a/b", 7, millis)
    }

    #[test]
    fn renders_in_the_zone() {
        let check = |t, zone: &str, ms, want: &str| {
            assert_eq!(render(t, TimeZone::get(zone).unwrap(), ms), want);
        };
        check("{topic}/dt=%Y-%m-%d/hr=%H", "UTC", Some(TIME), "a%2Fb/dt=2026-11-22/hr=17");
        check(
            "x-{topic}/dt=%F/hr=%H%M",
            "Asia/Kathmandu",
            Some(TIME),
            "x-a%2Fb/dt=2026-11-22/hr=2248",
        );
        check("{topic}/p={partition}/w=%G-%V", "UTC", Some(TIME), "a%2Fb/p=7/w=2026-47");
        let null = "a%2Fb/dt=__HIVE_DEFAULT_PARTITION__/hr=__HIVE_DEFAULT_PARTITION__";
        for unusable in [None, Some(-1), Some(i64::MAX), Some(MAX_MILLIS + 1)] {
            check("{topic}/dt=%Y-%m-%d/hr=%H", "UTC", unusable, null);
        }
        check("{topic}/dt=%Y", "UTC", Some(0), "a%2Fb/dt=1970");
    }

    #[test]
    fn bad_templates_are_named() {
        let check = |text: &str, want: &str| {
            let got = Template::parse(text, TimeZone::UTC).unwrap_err().to_string();
            assert!(got.contains(want), "{text}: {got}");
        };
        check("", "empty");
        check("/a", "begin or end");
        check("a//b", "begin or end");
        check("../a", "not the name of a directory");
        check("_a", "skip");
        check("{tpoic}", "{tpoic}");
        check("{topic", "no '}'");
        check("%Q", "%Q");
        check("%e", "%e");
        check("a b", "' '");
    }

    const ZONES: [&str; 4] = ["UTC", "Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe"];

    proptest! {
        /// The cache by bucket must never put two directories under one key.
        #[test]
        fn one_bucket_is_one_directory(
            a in 0..MAX_MILLIS, shift in 0i64..900_000,
            zone in prop::sample::select(ZONES.to_vec()),
            text in prop::sample::select(vec!["%H", "%Y-%m-%d", "%M", "%S", "%j"]),
        ) {
            let t = Template::parse(text, TimeZone::get(zone).unwrap()).unwrap();
            // Before 1972 zones had offsets in seconds.
            let a = a.max(2_000_000_000_000 / 30);
            let b = a + shift;
            if t.bucket(Some(a)) == t.bucket(Some(b)) {
                prop_assert_eq!(t.render("t", 0, Some(a)), t.render("t", 0, Some(b)));
            }
        }
    }
}
