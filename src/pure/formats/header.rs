//! The header `alluvium` of every record that the daemon publishes: which records of which
//! partition it was made of. Version 1 (and 2, for merged counts), UTF-8.
//!
//! Three forms, of eight fields each. The last field is the name of a topic, and a `;` in it is
//! part of the name:
//!
//! ```text
//! count    1;<window start>;<window end>;<kind>;<partition>;<from>;<to>;<topic>
//! merged   2,<F>,<W>,<G>;<window start>;<window end>;<kind>;<partition>;<from>;<to>;<topic>
//! partials 1;<window length>;<watermark>;partial;<partition>;<from>;<to>;<topic>
//! ```
//! Times are in milliseconds, numbers decimal. `<kind>` is `final`, `part` or `late`. `<partition>`
//! and `<topic>` name a source partition, and for merged counts one of the partials topic; `<from>`
//! and `<to>` are the half-open offsets of the commit. F, W and G are the committed offset, the
//! watermark and the mark of windows that were published in parts: together with `<to>` that is all
//! that the commit's metadata says, should the metadata ever be lost. A missing W, G or
//! `<watermark>` is empty. The watermark of partials stands in a commit's last message alone: it is
//! true once all messages of the commit were read.
//!
//! *Version rule*: the number before the first `,` or `;`. Readers of the output topic take a
//! record of another version for one that a stranger wrote; a reader of the partials topic stops
//! its partition.
//!
//! *Written by* the worker with each transaction. *Read by* the merge (partials), by the archive of
//! the output topic, by recovery and `repair` when committed offsets are gone, and by readers of
//! the output topic that tell duplicates (KAFKA-17754).

use std::str::FromStr;

use crate::pure::formats::metadata::Marks;
use crate::pure::record::{Offset, OffsetRange, Record, TopicPartition};

/// The header's name.
pub const NAME: &str = "alluvium";

/// Says whether more counts may follow for the same window and word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CountKind {
    /// The whole count of the window (with `scope = "partition"`: in this partition).
    Final,
    /// Adds to other parts.
    Part,
    /// The count was made after the window's final count, and adds to it.
    Late,
}

impl CountKind {
    /// The word in headers, values and files.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            CountKind::Final => "final",
            CountKind::Part => "part",
            CountKind::Late => "late",
        }
    }
}

impl FromStr for CountKind {
    type Err = ();
    fn from_str(s: &str) -> Result<CountKind, ()> {
        let all = [CountKind::Final, CountKind::Part, CountKind::Late];
        all.into_iter().find(|k| k.label() == s).ok_or(())
    }
}

/// The offset and the marks that one transaction committed together with merged counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Merged {
    /// The committed offset F.
    pub offset: Offset,
    pub marks: Marks,
}

/// What kind of record the header stands on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// The count of one word in the window `[start, end)`, milliseconds.
    Count {
        start: i64,
        end: i64,
        kind: CountKind,
        /// [`None`] for a count of one source partition by itself.
        merged: Option<Merged>,
    },
    /// Partial counts of windows of this length, milliseconds.
    Partials {
        window_millis: i64,
        /// Everything of the source with an earlier time was sent; [`None`] but in a commit's last
        /// messages.
        watermark: Option<i64>,
    },
}

/// One header, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AlluviumHeader<'a> {
    pub content: Content,
    /// The topic and partition whose records were counted, or merged.
    pub topic: &'a str,
    pub partition: i32,
    /// The offsets of the commit that published the record.
    pub range: OffsetRange,
}

/// A header named `alluvium` that this version can't read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderError {
    /// It is of none of the three forms.
    Malformed,
    /// It is of a version that this build does not know.
    Version,
}

const PARTIAL: &str = "partial";

impl<'a> AlluviumHeader<'a> {
    /// The partition that the record is made of.
    #[must_use]
    pub fn source(&self) -> TopicPartition {
        TopicPartition { topic: self.topic.into(), partition: self.partition }
    }

    /// The header's value.
    #[must_use]
    pub fn encode(&self) -> String {
        let optional = |n: Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
        let head = match self.content {
            Content::Count { start, end, kind, merged } => {
                let version = merged.map_or("1".to_string(), |Merged { offset, marks }| {
                    format!(
                        "2,{offset},{},{}",
                        optional(marks.watermark),
                        optional(marks.in_parts_until)
                    )
                });
                format!("{version};{start};{end};{}", kind.label())
            }
            Content::Partials { window_millis, watermark } => {
                format!("1;{window_millis};{};{PARTIAL}", optional(watermark))
            }
        };
        let AlluviumHeader { topic, partition, range: OffsetRange { from, to }, .. } = self;
        format!("{head};{partition};{from};{to};{topic}")
    }

    /// Reads a header's value.
    ///
    /// # Errors
    /// It is of no known form or version.
    pub fn decode(value: &'a [u8]) -> Result<AlluviumHeader<'a>, HeaderError> {
        let text = std::str::from_utf8(value).map_err(|_| HeaderError::Malformed)?;
        let mut fields = text.splitn(8, ';');
        let mut field = || fields.next().ok_or(HeaderError::Malformed);
        let (version, first, second, word) = (field()?, field()?, field()?, field()?);
        let (partition, from, to, topic) = (field()?, field()?, field()?, field()?);
        let content = if word == PARTIAL {
            if version != "1" {
                return Err(HeaderError::Version);
            }
            Content::Partials { window_millis: number(first)?, watermark: optional(second)? }
        } else {
            let merged = if version == "1" { None } else { Some(decode_merged(version)?) };
            let kind = word.parse().map_err(|()| HeaderError::Malformed)?;
            Content::Count { start: number(first)?, end: number(second)?, kind, merged }
        };
        let range = OffsetRange { from: Offset(number(from)?), to: Offset(number(to)?) };
        let partition = partition.parse().map_err(|_| HeaderError::Malformed)?;
        let header = AlluviumHeader { content, topic, partition, range };
        header.is_possible().then_some(header).ok_or(HeaderError::Malformed)
    }

    /// Whether a commit can have written this: everybody may write into a topic, and the rules rely
    /// on what every commit keeps.
    fn is_possible(&self) -> bool {
        let AlluviumHeader { content, topic, partition, range } = self;
        let possible = match *content {
            Content::Count { start, end, merged, .. } => {
                start < end && merged.is_none_or(|m| 0 <= m.offset.0 && m.offset <= range.to)
            }
            Content::Partials { window_millis, .. } => 0 < window_millis,
        };
        possible
            && !topic.is_empty()
            && 0 <= *partition
            && 0 <= range.from.0
            && range.from <= range.to
    }

    /// The header of a record; [`None`] for a record that has none, which somebody else wrote.
    #[must_use]
    pub fn of(record: &Record<'a>) -> Option<Result<AlluviumHeader<'a>, HeaderError>> {
        let value = record.headers.iter().find(|(name, _)| *name == NAME.as_bytes())?.1?;
        Some(AlluviumHeader::decode(value))
    }
}

/// Reads `2,<F>,<W>,<G>`.
fn decode_merged(version: &str) -> Result<Merged, HeaderError> {
    let rest = version.strip_prefix("2,").ok_or(HeaderError::Version)?;
    let mut fields = rest.split(',');
    let mut field = || fields.next().ok_or(HeaderError::Malformed);
    let (offset, watermark, in_parts_until) = (field()?, field()?, field()?);
    if fields.next().is_some() {
        return Err(HeaderError::Malformed);
    }
    let marks =
        Marks { watermark: optional(watermark)?, in_parts_until: optional(in_parts_until)? };
    Ok(Merged { offset: Offset(number(offset)?), marks })
}

fn number(text: &str) -> Result<i64, HeaderError> {
    text.parse().map_err(|_| HeaderError::Malformed)
}

fn optional(text: &str) -> Result<Option<i64>, HeaderError> {
    if text.is_empty() { Ok(None) } else { number(text).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A topic's name can have no `;` in Kafka; the format could carry one.
    const TOPIC: &str = "Hello;Kafka";

    fn header(content: Content) -> AlluviumHeader<'static> {
        let range = OffsetRange { from: Offset(4), to: Offset(1_250) };
        AlluviumHeader { content, topic: TOPIC, partition: 3, range }
    }

    fn merged(watermark: Option<i64>, in_parts_until: Option<i64>) -> Option<Merged> {
        Some(Merged { offset: Offset(1_000), marks: Marks { watermark, in_parts_until } })
    }

    fn check(golden: &str, samples: &[Content]) {
        let written: String = samples.iter().map(|c| header(*c).encode() + "\n").collect();
        assert_eq!(written, golden);
        let read: Vec<_> =
            golden.lines().map(|line| AlluviumHeader::decode(line.as_bytes())).collect();
        let want: Vec<_> = samples.iter().map(|c| Ok(header(*c))).collect();
        assert_eq!(read, want);
    }

    macro_rules! golden {
        ($name:literal) => {
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/", $name))
        };
    }

    #[test]
    fn the_header_of_a_count_is_the_golden_one() {
        let kinds = [CountKind::Final, CountKind::Part, CountKind::Late];
        let count = |kind| Content::Count { start: -2_000, end: 4_000, kind, merged: None };
        check(golden!("header-count-v1.txt"), &kinds.map(count));
    }

    #[test]
    fn the_header_of_a_merged_count_is_the_golden_one() {
        let all = [merged(Some(1_795_368_060_500), Some(-60_000)), merged(None, None)];
        let count = |merged| Content::Count {
            start: 1_795_368_000_000,
            end: 1_795_368_600_000,
            kind: CountKind::Final,
            merged,
        };
        check(golden!("header-merged-v2.txt"), &all.map(count));
    }

    #[test]
    fn the_header_of_partial_counts_is_the_golden_one() {
        let partials = |watermark| Content::Partials { window_millis: 600_000, watermark };
        check(golden!("header-partials-v1.txt"), &[None, Some(-4), Some(7)].map(partials));
    }

    #[test]
    fn what_is_of_no_known_form_is_refused() {
        use HeaderError::{Malformed, Version};
        for (text, want) in [
            ("", Malformed),
            ("1;0;2;part;0;1;2", Malformed),
            ("1;0;2;whole;0;1;2;t", Malformed),
            ("1;x;2;part;0;1;2;t", Malformed),
            ("1;0;;part;0;1;2;t", Malformed),
            ("1;0;2;part;x;1;2;t", Malformed),
            ("1;0;2;part;0;1;;t", Malformed),
            ("2,1,1;0;2;part;0;1;2;t", Malformed),
            ("2,1,1,1,1;0;2;part;0;1;2;t", Malformed),
            ("2,,1,1;0;2;part;0;1;2;t", Malformed),
            ("3;0;2;part;0;1;2;t", Version),
            ("2;10;;partial;0;0;1;t", Version),
            ("2,1,1,1;10;;partial;0;0;1;t", Version),
            ("1;;;partial;0;0;1;t", Malformed),
            ("1;10;x;partial;0;0;1;t", Malformed),
            // What no commit writes, but anybody can.
            ("2,3,,;0;2;part;0;1;2;t", Malformed),
            ("2,-1,,;0;2;part;0;1;2;t", Malformed),
            ("1;2;2;part;0;1;2;t", Malformed),
            ("1;0;2;part;-1;1;2;t", Malformed),
            ("1;0;2;part;0;2;1;t", Malformed),
            ("1;0;2;part;0;-1;1;t", Malformed),
            ("1;0;2;part;0;1;2;", Malformed),
            ("1;0;;partial;0;0;1;t", Malformed),
            ("1;-10;;partial;0;0;1;t", Malformed),
        ] {
            assert_eq!(AlluviumHeader::decode(text.as_bytes()), Err(want), "{text}");
        }
        assert_eq!(AlluviumHeader::decode(b"\xff;0;2;part;0;1;2;t"), Err(Malformed));
    }
}
