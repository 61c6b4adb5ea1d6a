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
/// More than the seconds by which a zone can be ahead of UTC, or behind, together.
const OFFSETS: i64 = 200_000;

/// A checked template.
#[derive(Clone, Debug)]
pub struct Template {
    segments: Vec<Vec<Piece>>,
    pub(super) zone: TimeZone,
    /// The finest time field, milliseconds; [`None`] if the path has no time.
    granularity_ms: Option<i64>,
    /// The path tells an hour from the same one that comes again.
    has_offset: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Piece {
    Text(String),
    Topic,
    Partition,
    /// One strftime field with its `%`.
    Time(String),
    /// How far clocks are ahead of UTC: `+0100`.
    Offset,
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
        "%{0} is not supported in a path; use %Y %m %d %H %M %S %z %j %F %G %V, or %% for a \
         percent sign"
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
        let has_offset = segments.iter().flatten().any(|p| *p == Piece::Offset);
        Ok(Template { segments, zone, granularity_ms, has_offset })
    }

    /// The paths of bad records: `_quarantine/{topic}/dt=%Y-%m-%d`. Readers of tables skip them.
    #[must_use]
    pub fn of_quarantine(zone: TimeZone) -> Template {
        let day = [Piece::Text("dt=".into()), Piece::Time("%F".into())];
        let segments = vec![vec![Piece::Text(QUARANTINE.into())], vec![Piece::Topic], day.into()];
        let granularity_ms = segments.iter().flatten().filter_map(Piece::granularity_ms).min();
        Template { segments, zone, granularity_ms, has_offset: false }
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

    /// The names of the directories `name=value`, which readers make columns of.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let texts = self.segments.iter().filter_map(|segment| match segment.first() {
            Some(Piece::Text(text)) => text.split_once('='),
            _ => None,
        });
        texts.map(|(name, _)| name.into()).collect()
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
        let table = |pieces: &Vec<Piece>| pieces.iter().any(|p| *p == Piece::Topic || p.is_time());
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
        let local = self.local(millis?)?.div_euclid(granularity_ms);
        if !self.has_offset {
            return Some(local);
        }
        // An hour that comes twice has two directories.
        let ahead = i64::from(self.ahead(millis?));
        Some(local.saturating_mul(OFFSETS).saturating_add(ahead))
    }

    pub(super) fn has(&self, piece: &Piece) -> bool {
        self.segments.iter().flatten().any(|p| p == piece)
    }

    /// How far clocks of the zone are ahead of UTC, seconds.
    #[inline]
    fn ahead(&self, millis: i64) -> i32 {
        // The library's timestamps end a day before the year 9999 does.
        let at = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
        self.zone.to_offset(at).seconds()
    }

    /// What clocks in the zone show at this time, as milliseconds since 1970 began there. The
    /// fields of a path depend on nothing else. Zones were shifted by seconds, and not by quarters
    /// of an hour alone. [`None`] for times before 1970 or beyond a year of four digits.
    #[inline]
    fn local(&self, millis: i64) -> Option<i64> {
        if !(0..=YEARS.1).contains(&millis) {
            return None;
        }
        let ahead = i64::from(self.ahead(millis)).saturating_mul(1_000);
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
                    Piece::Time(_) | Piece::Offset => match (&time, piece) {
                        (Some(t), Piece::Time(field)) => {
                            let _ = write!(out, "{}", t.strftime(field));
                        }
                        (Some(_), _) => out.push_str(&offset(self.ahead(millis.unwrap_or(0)))),
                        // `dt=%Y-%m-%d` becomes `dt=__HIVE_DEFAULT_PARTITION__`.
                        (None, _) if nulled => {}
                        (None, _) => {
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
            Piece::Time(_) | Piece::Offset => after_some(&ends, text, |_| true),
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
            Piece::Time(_) | Piece::Offset => Some(60 * 60_000),
            _ => None,
        }
    }

    fn is_time(&self) -> bool {
        self.granularity_ms().is_some()
    }
}

/// An offset from UTC as strftime's %z writes it.
fn offset(seconds: i32) -> String {
    let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs() / 60);
    format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
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
                'z' => Piece::Offset,
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
