//! The path template: `{topic}/dt=%Y-%m-%d/hr=%H`.
//!
//! `{topic}` and `{partition}` come from the record's place; `%` fields are strftime's, rendered
//! from the record's time in the mapping's zone. Every `%` field must be of fixed width, so that
//! directories sort by time. A record without a usable time gets Hive's null partition in *every*
//! segment that has a time field: any other value turns `dt` into a string, or makes the table
//! unreadable (tried with pyarrow, DuckDB and Spark). `{key}`, `{header:NAME}` and `{field:PATH}`
//! come from the record ([`crate::pure::layout::values`]), `{capture:NAME}` from the topic's name.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use regex::Regex;

use crate::pure::calendar::{YEARS, civil};
use crate::pure::layout::names::{PRIVATE, QUARANTINE, escape_segment};
use crate::pure::layout::sources::{LONGEST_NAME, MOST, Source};

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
    /// Where the values of records come from, in the order of the path.
    sources: Vec<Source>,
    /// The pattern of the topics, if they have one.
    topics: Option<Regex>,
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
    /// What a named group of the topics' pattern has found.
    Capture(String),
    /// A value of the record.
    Value(Source),
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
    #[error(
        "unknown field {{{0}}}; the fields are {{topic}}, {{partition}}, {{key}}, {{header:NAME}}, \
         {{field:NAME}} of a JSON value, and {{capture:NAME}} of topics_regex"
    )]
    Field(String),
    #[error(
        "{0:?}: what comes from a record is the whole of a directory's value: write \
         name={{{1}}}, where the name has {LONGEST_NAME} bytes at most"
    )]
    Unnamed(String, String),
    #[error("{0} of its values come from records; {MOST} are allowed")]
    Values(usize),
    #[error(
        "{{capture:{0}}} is a named group of topics_regex, and the topics have no pattern with \
         (?<{0}>…)"
    )]
    Capture(String),
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
        let sources: Vec<Source> =
            segments.iter().flatten().filter_map(Piece::source).cloned().collect();
        if MOST < sources.len() {
            return Err(TemplateError::Values(sources.len()));
        }
        Ok(Template { segments, zone, granularity_ms, has_offset, sources, topics: None })
    }

    /// The same template for the topics of this pattern; [`None`] for topics without one.
    ///
    /// # Errors
    /// The path names a group that the pattern does not have.
    pub fn of_topics(self, topics: Option<&Regex>) -> Result<Template, TemplateError> {
        for piece in self.segments.iter().flatten() {
            let Piece::Capture(name) = piece else { continue };
            let mut groups = topics.iter().flat_map(|topics| topics.capture_names()).flatten();
            if !groups.any(|group| group == name) {
                return Err(TemplateError::Capture(name.clone()));
            }
        }
        Ok(Template { topics: topics.cloned(), ..self })
    }

    /// The paths of bad records: `_quarantine/{topic}/dt=%Y-%m-%d`. Readers of tables skip them.
    #[must_use]
    pub fn of_quarantine(zone: TimeZone) -> Template {
        let day = [Piece::Text("dt=".into()), Piece::Time("%F".into())];
        let segments = vec![vec![Piece::Text(QUARANTINE.into())], vec![Piece::Topic], day.into()];
        let granularity_ms = segments.iter().flatten().filter_map(Piece::granularity_ms).min();
        let sources = Vec::new();
        Template { segments, zone, granularity_ms, has_offset: false, sources, topics: None }
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

    /// Where the values come from that a record gives to its path.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
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

    /// The time, if a directory is for it.
    pub(super) fn usable(&self, millis: i64) -> Option<i64> {
        self.local(millis).map(|_| millis)
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

    /// The directory of a record, relative to the root; one without values of its own.
    #[must_use]
    pub fn render(&self, topic: &str, partition: i32, millis: Option<i64>) -> String {
        self.render_with(topic, partition, millis, "")
    }

    /// A directory for people to look at, where what comes from records stands in braces.
    #[must_use]
    pub fn sample(&self, topic: &str, millis: i64) -> String {
        let names: Vec<String> = self.sources.iter().map(|s| format!("{{{s}}}")).collect();
        self.render_with(topic, 0, Some(millis), &names.join("/"))
    }

    /// The directory of a record. `values`: those of the record as segments, with slashes between
    /// them, as [`crate::pure::layout::values::Values`] has them.
    #[must_use]
    pub fn render_with(
        &self,
        topic: &str,
        partition: i32,
        millis: Option<i64>,
        values: &str,
    ) -> String {
        let time: Option<DateTime> = millis.and_then(|ms| civil(self.local(ms)?));
        let mut values = values.split('/').filter(|value| !value.is_empty());
        let mut out = String::new();
        for (i, pieces) in self.segments.iter().enumerate() {
            if i > 0 {
                out.push('/');
            }
            for piece in pieces {
                let is_known = match (piece, &time) {
                    (Piece::Text(t), _) => out.write_str(t).is_ok(),
                    (Piece::Topic, _) => out.write_str(&escape_segment(topic)).is_ok(),
                    (Piece::Partition, _) => write!(out, "{partition}").is_ok(),
                    (Piece::Time(field), Some(t)) => write!(out, "{}", t.strftime(field)).is_ok(),
                    (Piece::Offset, Some(_)) => {
                        out.write_str(&offset(self.ahead(millis.unwrap_or(0)))).is_ok()
                    }
                    (Piece::Time(_) | Piece::Offset, None) => false,
                    (Piece::Capture(name), _) => {
                        self.captured(topic, name).is_some_and(|text| out.write_str(&text).is_ok())
                    }
                    (Piece::Value(_), _) => {
                        values.next().is_some_and(|value| out.write_str(value).is_ok())
                    }
                };
                if !is_known {
                    // `dt=%Y-%m-%d` becomes `dt=__HIVE_DEFAULT_PARTITION__`.
                    let start = out.rfind('/').map_or(0, |s| s.saturating_add(1));
                    let keep = out[start..].find('=').map_or(0, |e| e.saturating_add(1));
                    out.truncate(start.saturating_add(keep));
                    out.push_str(NULL_PARTITION);
                    break;
                }
            }
        }
        out
    }

    /// What a named group has found in a topic's name; [`None`] for a group that takes no part.
    fn captured(&self, topic: &str, name: &str) -> Option<String> {
        let found = self.topics.as_ref()?.captures(topic)?.name(name)?.as_str();
        (!found.is_empty()).then(|| escape_segment(found))
    }
}

/// Whether a directory's name can be rendered from these pieces.
fn fits<'a>(
    pieces: &[Piece],
    text: &str,
    topics: &(impl Iterator<Item = &'a str> + Clone),
) -> bool {
    let may_be_null = pieces.iter().any(|p| !matches!(p, Piece::Text(_) | Piece::Topic));
    if may_be_null && text.strip_suffix(NULL_PARTITION).is_some_and(|head| is_head(pieces, head)) {
        return true;
    }
    // Where in the text the pieces so far can end. One pass for each piece, because a stranger's
    // name can be read in very many ways.
    let mut ends = vec![false; text.len().saturating_add(1)];
    ends[0] = true;
    for piece in pieces {
        ends = match piece {
            Piece::Text(literal) => after_text(&ends, text, std::iter::once(literal.as_str())),
            Piece::Topic => after_text(&ends, text, topics.clone()),
            Piece::Partition => after_some(&ends, text, |c| c.is_ascii_digit()),
            Piece::Time(_) | Piece::Offset | Piece::Capture(_) | Piece::Value(_) => {
                after_some(&ends, text, |_| true)
            }
        };
    }
    ends.last() == Some(&true)
}

/// Whether this stands before the null partition in a directory's name: all up to the first `=`.
fn is_head(pieces: &[Piece], head: &str) -> bool {
    let Some(Piece::Text(text)) = pieces.first() else { return head.is_empty() };
    let end = text.find('=').map_or(0, |at| at.saturating_add(1));
    text[..end] == *head
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

    /// Whether it depends on the topic at most.
    pub(super) fn is_of_topic(&self) -> bool {
        matches!(self, Piece::Text(_) | Piece::Topic | Piece::Capture(_))
    }

    fn source(&self) -> Option<&Source> {
        match self {
            Piece::Value(source) => Some(source),
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
                match (name.as_str(), name.split_once(':'), Source::parse(&name)) {
                    ("topic", _, _) => Piece::Topic,
                    ("partition", _, _) => Piece::Partition,
                    (_, Some(("capture", group)), _) => Piece::Capture(group.into()),
                    (_, _, Some(source)) => Piece::Value(source),
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
    if let Some(source) = pieces.iter().find_map(Piece::source) {
        let is_named = match pieces.as_slice() {
            [Piece::Text(name), Piece::Value(_)] => {
                let is_short = name.len() <= LONGEST_NAME.saturating_add(1);
                1 < name.len() && name.find('=') == name.len().checked_sub(1) && is_short
            }
            _ => false,
        };
        if !is_named {
            return Err(TemplateError::Unnamed(text.into(), source.to_string()));
        }
    }
    Ok(pieces)
}
