//! The path template: `{topic}/dt=%Y-%m-%d/hr=%H`.
//!
//! `{topic}` and `{partition}` come from the record's place; `%` fields are strftime's, rendered
//! from the record's time in the mapping's zone. Every `%` field must be of fixed width, so that
//! directories sort by time. A record without a usable time gets Hive's null partition in *every*
//! segment that has a time field: any other value turns `dt` into a string, or makes the table
//! unreadable (tried with pyarrow, DuckDB and Spark).

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::pure::calendar::{YEARS, civil};
use crate::pure::layout::names::{PRIVATE, QUARANTINE, escape_segment};

/// Hive's name for a null partition value.
pub const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";
/// The fields that are fixed in width and of use in a path, with a name for the error's text.
const FIELDS: &str = "YmdHMSjFGV";

/// A checked template.
#[derive(Clone, Debug)]
pub struct Template {
    segments: Vec<Vec<Piece>>,
    zone: TimeZone,
    /// The finest time field, milliseconds; [`None`] if the path has no time.
    granularity_ms: Option<i64>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Piece {
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
    #[error(
        "{0:?} is a column of the files: readers can't tell the two apart; give the directory \
         another name"
    )]
    Column(String),
    #[error(
        "two directories are named {0:?}: readers use only one of two directories with the same \
         name"
    )]
    Twice(String),
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
        let granularity_ms = segments.iter().flatten().filter_map(Piece::granularity_ms).min();
        Ok(Template { segments, zone, granularity_ms })
    }

    /// The paths of bad records: `_quarantine/{topic}/dt=%Y-%m-%d`. Readers of tables skip them.
    #[must_use]
    pub fn of_quarantine(zone: TimeZone) -> Template {
        let day = [Piece::Text("dt=".into()), Piece::Time("%F".into())];
        let segments = vec![vec![Piece::Text(QUARANTINE.into())], vec![Piece::Topic], day.into()];
        let granularity_ms = segments.iter().flatten().filter_map(Piece::granularity_ms).min();
        Template { segments, zone, granularity_ms }
    }

    /// Checks that readers of Hive's layout can read the paths beside these columns: each segment
    /// `name=value` becomes a column of its own, and names differ in more than their case.
    ///
    /// # Errors
    /// A name is a column's, or there twice.
    pub fn check_names(&self, columns: &[&str]) -> Result<(), TemplateError> {
        let mut seen: Vec<String> = Vec::new();
        for segment in &self.segments {
            let Some(Piece::Text(text)) = segment.first() else { continue };
            let Some((name, _)) = text.split_once('=') else { continue };
            let lower = name.to_lowercase();
            if columns.iter().any(|column| column.eq_ignore_ascii_case(name)) {
                return Err(TemplateError::Column(name.into()));
            }
            if seen.contains(&lower) {
                return Err(TemplateError::Twice(name.into()));
            }
            seen.push(lower);
        }
        Ok(())
    }

    pub(super) fn segments(&self) -> &[Vec<Piece>] {
        &self.segments
    }

    /// Whether the path contains `{topic}`.
    #[must_use]
    pub fn has_topic(&self) -> bool {
        self.segments.iter().flatten().any(|p| *p == Piece::Topic)
    }

    /// Whether a file lies where readers of this template's tables look: its first directories,
    /// down to the first one that has a topic or a time, are those of the template. `topics` are
    /// path segments.
    #[must_use]
    pub fn may_contain<'a>(
        &self,
        path: &str,
        topics: impl Iterator<Item = &'a str> + Clone,
    ) -> bool {
        let table =
            |pieces: &Vec<Piece>| pieces.iter().any(|p| matches!(p, Piece::Topic | Piece::Time(_)));
        let head = self
            .segments
            .iter()
            .position(table)
            .map_or(self.segments.len(), |at| at.saturating_add(1));
        let directories: Vec<&str> = path.split('/').collect();
        let Some((_, directories)) = directories.split_last() else { return false };
        head <= directories.len()
            && self.segments[..head]
                .iter()
                .zip(directories)
                .all(|(pieces, text)| fits(pieces, text, &topics))
    }

    /// Times with the same bucket lie in the same directory; [`None`] is for unusable times. The
    /// reverse need not hold: a bucket is an hour at most, while a path may have days.
    #[inline]
    #[must_use]
    pub fn bucket(&self, millis: Option<i64>) -> Option<i64> {
        let Some(granularity_ms) = self.granularity_ms else { return Some(0) };
        Some(self.local(millis?)?.div_euclid(granularity_ms))
    }

    /// What clocks in the zone show at this time, as milliseconds since 1970 began there. The
    /// fields of a path depend on nothing else. Zones were shifted by seconds, and not by quarters
    /// of an hour alone. [`None`] for times before 1970 or beyond a year of four digits.
    #[inline]
    fn local(&self, millis: i64) -> Option<i64> {
        if !(0..=YEARS.1).contains(&millis) {
            return None;
        }
        // The library's timestamps end a day before the year 9999 does.
        let at = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
        let ahead = i64::from(self.zone.to_offset(at).seconds()).saturating_mul(1_000);
        let local = millis.saturating_add(ahead);
        (local <= YEARS.1).then_some(local)
    }

    /// The directory of a record, relative to the root.
    #[must_use]
    pub fn render(&self, topic: &str, partition: i32, millis: Option<i64>) -> String {
        let time: Option<DateTime> = millis.and_then(|ms| civil(self.local(ms)?));
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
                            let start = out.rfind('/').map_or(0, |s| s.saturating_add(1));
                            let keep = out[start..].find('=');
                            let keep = keep.map_or(0, |e| e.saturating_add(1));
                            let keep = start.saturating_add(keep);
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

/// Whether a directory's name can be rendered from these pieces.
fn fits<'a>(
    pieces: &[Piece],
    text: &str,
    topics: &(impl Iterator<Item = &'a str> + Clone),
) -> bool {
    // Where in the text the pieces so far can end. One pass for each piece, because a stranger's
    // name can be read in very many ways.
    let mut ends = vec![false; text.len().saturating_add(1)];
    ends[0] = true;
    for piece in pieces {
        ends = match piece {
            Piece::Text(literal) => after_text(&ends, text, std::iter::once(literal.as_str())),
            Piece::Topic => after_text(&ends, text, topics.clone()),
            Piece::Partition => after_some(&ends, text, |c| c.is_ascii_digit()),
            Piece::Time(_) => after_some(&ends, text, |_| true),
        };
    }
    ends.last() == Some(&true)
}

/// The ends of these literals, where they stand after one of these ends.
fn after_text<'a>(
    ends: &[bool],
    text: &str,
    literals: impl Iterator<Item = &'a str> + Clone,
) -> Vec<bool> {
    let mut after = vec![false; ends.len()];
    for (at, _) in ends.iter().enumerate().filter(|(_, is_end)| **is_end) {
        let rest = text.get(at..).unwrap_or_default();
        for literal in literals.clone().filter(|literal| rest.starts_with(literal)) {
            after[at.saturating_add(literal.len())] = true;
        }
    }
    after
}

/// The ends of one or more such characters, after one of these ends.
fn after_some(ends: &[bool], text: &str, good: fn(char) -> bool) -> Vec<bool> {
    let mut after = vec![false; ends.len()];
    let mut begun = false;
    for (at, c) in text.char_indices() {
        begun = (begun || ends[at]) && good(c);
        if begun {
            after[at.saturating_add(c.len_utf8())] = true;
        }
    }
    after
}

impl Piece {
    fn granularity_ms(&self) -> Option<i64> {
        match self {
            Piece::Time(f) if f == "%S" => Some(1_000),
            Piece::Time(f) if f == "%M" => Some(60_000),
            Piece::Time(_) => Some(60 * 60_000),
            _ => None,
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
        for unusable in [None, Some(-1), Some(i64::MIN), Some(i64::MAX), Some(YEARS.1 + 1)] {
            check("{topic}/dt=%Y-%m-%d/hr=%H", "UTC", unusable, null);
        }
        // There it is the year 10000 already.
        check("{topic}/dt=%Y-%m-%d/hr=%H", "Asia/Tokyo", Some(YEARS.1), null);
        check("{topic}/dt=%Y", "UTC", Some(0), "a%2Fb/dt=1970");
    }

    #[test]
    fn the_last_day_has_a_directory() {
        let check = |zone: &str, ms, want: &str| {
            assert_eq!(render("dt=%F/hr=%H", TimeZone::get(zone).unwrap(), Some(ms)), want);
        };
        check("UTC", 253_402_214_400_000, "dt=9999-12-31/hr=00");
        check("UTC", YEARS.1, "dt=9999-12-31/hr=23");
        check("America/New_York", YEARS.1, "dt=9999-12-31/hr=18");
    }

    /// Until 1972, Monrovia was 44 minutes and 30 seconds behind.
    #[test]
    fn an_offset_of_seconds_is_exact() {
        let zone = TimeZone::get("Africa/Monrovia").unwrap();
        let template = Template::parse("hr=%H%M%S", zone).unwrap();
        let hours = Template { granularity_ms: Some(3_600_000), ..template.clone() };
        for second in 0..86_400 {
            let (ms, local) = (second * 1_000, second + 86_400 - 2_670);
            let (h, m, s) = (local / 3_600 % 24, local / 60 % 60, local % 60);
            assert_eq!(template.render("t", 0, Some(ms)), format!("hr={h:02}{m:02}{s:02}"));
            assert_eq!(hours.bucket(Some(ms)), Some(local / 3_600 - 24));
        }
    }

    #[test]
    fn the_quarantine_has_a_directory_a_day() {
        let template = Template::of_quarantine(TimeZone::get("Asia/Tokyo").unwrap());
        let at = |ms| template.render("a/b", 7, ms);
        assert_eq!(at(Some(TIME)), "_quarantine/a%2Fb/dt=2026-11-23");
        assert_eq!(at(None), "_quarantine/a%2Fb/dt=__HIVE_DEFAULT_PARTITION__");
        assert_ne!(template.bucket(Some(TIME)), template.bucket(Some(TIME + 86_400_000)));
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

    #[test]
    fn a_name_is_a_column_once() {
        let check = |text: &str| {
            let template = Template::parse(text, TimeZone::UTC).unwrap();
            template.check_names(&["topic", "timestamp", "HR"]).map_err(|e| e.to_string())
        };
        for good in ["{topic}/dt=%F/h=%H", "timestamp/%Y", "{topic}/a={partition}", "t={topic}"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, want) in [
            ("{topic}/timestamp=%Y", "\"timestamp\" is a column"),
            ("TimeStamp=%Y-%m", "is a column"),
            ("{topic}/dt=%F/hr=%H", "\"hr\" is a column"),
            ("topic={topic}/dt=%F", "\"topic\" is a column"),
            ("{topic}/dt=%Y/Dt=%m", "two directories are named \"Dt\""),
        ] {
            assert!(check(bad).unwrap_err().contains(want), "{bad}: {:?}", check(bad));
        }
    }

    /// A stranger's file may have a name that can be read in very many ways, and a template with
    /// many times: looking is no search through all of them.
    #[test]
    fn a_long_name_is_compared_at_once() {
        let template = Template::parse("dt=%Y%m%d%H%M%S{partition}x", TimeZone::UTC).unwrap();
        let topics = || ["t", "tt"].into_iter();
        let digits = "1".repeat(4_000);
        assert!(template.may_contain(&format!("dt={digits}x/f"), topics()));
        assert!(!template.may_contain(&format!("dt={digits}y/f"), topics()));
        assert!(!template.may_contain("dt=111111x/f", topics()), "one for each of seven fields");
        assert!(!template.may_contain("x", topics()) && !template.may_contain("", topics()));
    }

    const ZONES: [&str; 6] = [
        "UTC",
        "Asia/Kathmandu",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "Africa/Monrovia",
        "Europe/Berlin",
    ];

    proptest! {
        /// The cache by bucket must never put two directories under one key.
        #[test]
        fn one_bucket_is_one_directory(
            a in prop_oneof![0..=YEARS.1, 0..100_000_000_000_i64], shift in 0i64..4_000_000,
            zone in prop::sample::select(ZONES.to_vec()),
            text in prop::sample::select(vec!["%H", "%Y-%m-%d", "%M", "%S", "%j", "x", "%Y%S"]),
        ) {
            let t = Template::parse(text, TimeZone::get(zone).unwrap()).unwrap();
            let b = a + shift;
            if t.bucket(Some(a)) == t.bucket(Some(b)) {
                prop_assert_eq!(t.render("t", 0, Some(a)), t.render("t", 0, Some(b)));
            }
        }
    }
}
