//! Partial counts on their way from the source partitions to the merge: what stands in a message
//! of the partials topic. Format version 1; internal, but it outlives a version in the topic.
//!
//! A commit sends the words of its records packed: one message for each partition of the partials
//! topic, split where it grows too large. The partition is CRC-32C of the word, modulo the number
//! of partitions, which never changes.
//!
//! The header says which commit the message is of ([`crate::pure::formats::header`], the form
//! `partials`), and how long windows are. The value, with numbers as LEB128 (starts zigzag first):
//!
//! ```text
//! (start, flags, (length + 1, word, count)*, 0)*
//! ```
//! Start: milliseconds. Flag 1: the window is ahead of the clock. Word: UTF-8, its length in bytes.
//!
//! *Version rule*: the version stands in the header. Of another version, or damaged: the partition
//! of the partials topic stops. The partitioner is part of the version: two writers that disagree
//! about it would make two final counts of one word.
//!
//! *Written by* the worker that counts source partitions. *Read by* the merge alone.

use crate::pure::formats::header::{AlluviumHeader, Content, HeaderError};
use crate::pure::record::{OffsetRange, Record, TopicPartition};

/// A message is split before it grows beyond this, or beyond the limit of brokers and topic.
const MESSAGE_BYTES: usize = 256 << 10;

/// The longest number.
const VARINT_BYTES: usize = 10;

/// A window, by when it closes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span {
    /// The end of the window, milliseconds since the epoch; `start` has the same unit.
    pub end: i64,
    pub start: i64,
}

/// Packs the counts of one commit of one source partition.
#[derive(Debug)]
pub struct Packer {
    bodies: Vec<Vec<u8>>,
    /// Whether a partition's message has a word of the current window.
    window_started: Vec<bool>,
    /// Bytes of a message, unless it is one word alone.
    limit: usize,
}

impl Packer {
    /// Makes a packer for a partials topic of this many partitions. `limit`: the largest value that
    /// a message may have, bytes; a single word that is longer is sent all the same.
    #[must_use]
    pub fn new(partitions: usize, limit: usize) -> Packer {
        let limit = limit.min(MESSAGE_BYTES);
        Packer {
            bodies: vec![Vec::new(); partitions],
            window_started: vec![false; partitions],
            limit,
        }
    }

    /// Gives all messages to `send`, with their partition, and whether it is the partition's last:
    /// a partition without a word gets an empty one, for the watermark's sake. `counts`: the start
    /// of each window, and its words with their counts. `ahead` says whether a window that starts
    /// then is ahead of the clock.
    ///
    /// # Errors
    /// The error that `send` has returned.
    pub fn pack<'w, E>(
        &mut self,
        counts: impl IntoIterator<Item = (i64, impl IntoIterator<Item = (&'w str, u64)>)>,
        ahead: impl Fn(i64) -> bool,
        mut send: impl FnMut(usize, &[u8], bool) -> Result<(), E>,
    ) -> Result<(), E> {
        self.bodies.iter_mut().for_each(Vec::clear);
        for (start, words) in counts {
            let ahead = ahead(start);
            self.window_started.fill(false);
            for (word, n) in words {
                let at = partition_of(word, self.bodies.len());
                let body = &mut self.bodies[at];
                // The word, its length and count, the start of its window, flags, and two ends.
                let more = word.len().saturating_add(3 * VARINT_BYTES + 3);
                if !body.is_empty() && self.limit < body.len().saturating_add(more) {
                    if self.window_started[at] {
                        write_varint(body, 0);
                    }
                    send(at, body, false)?;
                    body.clear();
                    self.window_started[at] = false;
                }
                if !self.window_started[at] {
                    write_varint(body, zigzag(start));
                    write_varint(body, u64::from(ahead));
                    self.window_started[at] = true;
                }
                write_varint(body, (word.len() as u64).saturating_add(1));
                body.extend_from_slice(word.as_bytes());
                write_varint(body, n);
            }
            let started =
                self.bodies.iter_mut().zip(&self.window_started).filter(|(_, started)| **started);
            started.for_each(|(body, _)| write_varint(body, 0));
        }
        self.bodies.iter().enumerate().try_for_each(|(at, body)| send(at, body, true))
    }
}

/// The partition of the partials topic that merges this word.
#[must_use]
pub fn partition_of(word: &str, partitions: usize) -> usize {
    let hash = crc32c::crc32c(word.as_bytes()) as usize;
    hash.checked_rem(partitions).unwrap_or_default()
}

/// The header of a commit's messages. Only the last message for each partition carries the
/// watermark.
#[must_use]
pub fn header(
    window_millis: i64,
    watermark: Option<i64>,
    source: &TopicPartition,
    range: OffsetRange,
) -> String {
    let content = Content::Partials { window_millis, watermark };
    let TopicPartition { topic, partition } = source;
    AlluviumHeader { content, topic, partition: *partition, range }.encode()
}

/// One message as it was read.
#[derive(Debug)]
pub struct Partials<'a> {
    pub source: TopicPartition,
    /// The source offsets that the whole commit covers.
    #[allow(dead_code, reason = "a field of the format; tests compare it")]
    pub range: OffsetRange,
    /// The watermark, milliseconds: everything of the source partition before this time was sent.
    /// [`None`] in all messages of a commit but the last.
    pub watermark: Option<i64>,
    window_millis: i64,
    body: &'a [u8],
}

/// A message that this version can't read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a message of partial counts can't be read: {0}")]
pub struct Unreadable(pub &'static str);

impl<'a> Partials<'a> {
    /// Reads a record of the partials topic; [`None`] for a record of another program.
    ///
    /// # Errors
    /// It is ours, and of another version or damaged.
    pub fn parse(record: &Record<'a>) -> Result<Option<Partials<'a>>, Unreadable> {
        let header = match AlluviumHeader::of(record) {
            None => return Ok(None),
            Some(Ok(header)) => header,
            Some(Err(HeaderError::Malformed)) => return Err(Unreadable("header")),
            Some(Err(HeaderError::Version)) => return Err(Unreadable("it is of another version")),
        };
        let Content::Partials { window_millis, watermark } = header.content else {
            return Err(Unreadable("header"));
        };
        let (source, range) = (header.source(), header.range);
        let body = record.value.unwrap_or_default();
        Ok(Some(Partials { source, range, watermark, window_millis, body }))
    }

    /// A cursor at the message's first window.
    #[must_use]
    pub fn cursor(&self) -> Cursor<'a> {
        Cursor { window_millis: self.window_millis, rest: self.body }
    }
}

/// A place in a message.
#[derive(Debug)]
pub struct Cursor<'a> {
    window_millis: i64,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// The next window, and whether it is ahead of the clock; its words follow.
    ///
    /// # Errors
    /// The message is damaged; windows before this one were given already. So for
    /// [`Cursor::word`].
    pub fn window(&mut self) -> Result<Option<(Span, bool)>, Unreadable> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let start = unzigzag(read_varint(&mut self.rest)?);
        let ahead = read_varint(&mut self.rest)? & 1 == 1;
        Ok(Some((Span { end: start.saturating_add(self.window_millis), start }, ahead)))
    }

    /// The window's next word and its count.
    #[inline]
    pub fn word(&mut self) -> Result<Option<(&'a str, u64)>, Unreadable> {
        let Some(len) = read_varint(&mut self.rest)?.checked_sub(1) else { return Ok(None) };
        let len = usize::try_from(len).map_err(|_| Unreadable("a word's length"))?;
        let (word, rest) = self.rest.split_at_checked(len).ok_or(Unreadable("a word"))?;
        self.rest = rest;
        let word = std::str::from_utf8(word).map_err(|_| Unreadable("a word"))?;
        Ok(Some((word, read_varint(&mut self.rest)?)))
    }
}

fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ ((n & 1) as i64).wrapping_neg()
}

fn write_varint(out: &mut Vec<u8>, mut n: u64) {
    while 0x80 <= n {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn read_varint(rest: &mut &[u8]) -> Result<u64, Unreadable> {
    let mut n = 0;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first().ok_or(Unreadable("it ends too early"))?;
        *rest = tail;
        n |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(n);
        }
    }
    Err(Unreadable("a number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::formats::header::NAME;
    use crate::pure::record::{Offset, Timestamp};
    use std::collections::BTreeMap;

    type Counts = BTreeMap<i64, BTreeMap<String, u64>>;
    type Sums = BTreeMap<(Span, bool, String), u64>;

    fn record<'a>(headers: &'a [(&'a [u8], Option<&'a [u8]>)], value: &'a [u8]) -> Record<'a> {
        let (offset, timestamp) = (Offset(0), Timestamp::Missing);
        Record { offset, timestamp, key: None, value: Some(value), headers }
    }

    fn read(value: &[u8], sums: &mut Sums) -> Result<(), Unreadable> {
        let source = TopicPartition { topic: "a;b".into(), partition: 7 };
        let range = OffsetRange { from: Offset(3), to: Offset(5) };
        let header = header(10, Some(-4), &source, range);
        let headers = [(NAME.as_bytes(), Some(header.as_bytes()))];
        let partials = Partials::parse(&record(&headers, value))?.expect("ours");
        assert_eq!((&partials.source, partials.range), (&source, range));
        assert_eq!(partials.watermark, Some(-4));
        let mut cursor = partials.cursor();
        while let Some((span, ahead)) = cursor.window()? {
            while let Some((word, n)) = cursor.word()? {
                *sums.entry((span, ahead, word.into())).or_default() += n;
            }
        }
        Ok(())
    }

    fn windows(counts: &Counts) -> impl Iterator<Item = (i64, impl Iterator<Item = (&str, u64)>)> {
        counts.iter().map(|(start, words)| (*start, words.iter().map(|(w, n)| (w.as_str(), *n))))
    }

    fn count(counts: &mut Counts, start: i64, word: &str) {
        *counts.entry(start).or_default().entry(word.into()).or_default() += 1;
    }

    #[test]
    fn counts_are_packed_split_and_read_back() {
        let mut counts = Counts::default();
        let mut want = Sums::new();
        for n in 0..300_000_i64 {
            let (start, word) = (n % 3 * 10 - 10, format!("{}-{}", "wörd".repeat(3), n % 90_000));
            count(&mut counts, start, &word);
            let span = Span { end: start + 10, start };
            *want.entry((span, start == 10, word)).or_default() += 1;
        }
        count(&mut counts, -10, "");
        let _ = want.insert((Span { end: 0, start: -10 }, false, String::new()), 1);
        let (mut got, mut last, mut sizes) = (Sums::new(), Vec::new(), Vec::new());
        let packed = Packer::new(3, usize::MAX).pack(
            windows(&counts),
            |start| start == 10,
            |partition, body, is_last| {
                let mut sums = Sums::new();
                read(body, &mut sums).unwrap();
                for ((span, ahead, word), n) in sums {
                    assert_eq!(partition_of(&word, 3), partition);
                    *got.entry((span, ahead, word)).or_default() += n;
                }
                sizes.push(body.len());
                if is_last {
                    last.push(partition);
                }
                Ok::<(), ()>(())
            },
        );
        assert_eq!(packed, Ok(()));
        assert_eq!(got, want);
        assert_eq!(last, [0, 1, 2]);
        assert!(3 < sizes.len() && sizes.iter().all(|n| *n <= MESSAGE_BYTES), "{sizes:?}");
    }

    #[test]
    fn no_message_is_larger_than_the_limit_unless_one_word_is() {
        let mut counts = Counts::default();
        for n in 0..3_000_i64 {
            count(&mut counts, n % 7 * 10, &format!("{n:x<40}"));
        }
        let long = "long".repeat(300);
        count(&mut counts, 30, &long);
        for limit in [1, 60, 100, 999, 5_000] {
            let (mut got, mut largest) = (Sums::new(), 0);
            let packed = Packer::new(2, limit).pack(
                windows(&counts),
                |_| false,
                |_, body, _| {
                    let mut sums = Sums::new();
                    read(body, &mut sums).unwrap();
                    if sums.len() != 1 {
                        largest = largest.max(body.len());
                    }
                    got.extend(sums);
                    Ok::<(), ()>(())
                },
            );
            assert_eq!(packed, Ok(()));
            assert!(largest <= limit, "{largest} bytes, and {limit} are allowed");
            assert_eq!(got.len(), 3_001, "every word is sent");
        }
    }

    #[test]
    fn nothing_is_sent_as_an_empty_message() {
        let mut sent = Vec::new();
        let packed = Packer::new(2, usize::MAX).pack(
            windows(&Counts::new()),
            |_| false,
            |partition, body, last| {
                sent.push((partition, body.len(), last));
                Ok::<(), ()>(())
            },
        );
        assert_eq!((packed, sent), (Ok(()), vec![(0, 0, true), (1, 0, true)]));
    }

    #[test]
    fn a_broken_message_is_refused() {
        let mut counts = Counts::default();
        count(&mut counts, 0, "word");
        let mut body = Vec::new();
        let _ = Packer::new(1, usize::MAX).pack(
            windows(&counts),
            |_| false,
            |_, b, _| {
                body = b.to_vec();
                Ok::<(), ()>(())
            },
        );
        for cut in 1..body.len() {
            assert!(read(&body[..cut], &mut Sums::new()).is_err(), "cut at {cut}");
        }
        assert!(Partials::parse(&record(&[], b"x")).unwrap().is_none());
        for text in [
            "2;10;;partial;0;0;1;t",
            "1;10;;final;0;0;1;t",
            "1;10;;partial;0;0",
            "1;x;;partial;0;0;1;t",
        ] {
            let headers = [(NAME.as_bytes(), Some(text.as_bytes()))];
            assert!(Partials::parse(&record(&headers, b"")).is_err(), "{text}");
        }
    }
    /// Messages of three partitions, each after its partition and its length; the numbers take one
    /// byte and more, and starts lie before and after 1970.
    #[test]
    fn the_bytes_of_partial_counts_are_the_golden_ones() {
        let golden =
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/partials-v1.bin"));
        let mut counts = Counts::new();
        for (start, word, n) in [
            (-600_000, "hello", 1),
            (-600_000, "Kafka!", 127),
            (0, "", 128),
            (1_795_368_000_000, "ärger", u64::MAX),
            (1_795_368_000_000, "hello", 300),
        ] {
            let _ = counts.entry(start).or_default().insert(word.into(), n);
        }
        let mut written = Vec::new();
        let packed = Packer::new(3, usize::MAX).pack(
            windows(&counts),
            |start| 0 < start,
            |partition, body, last| {
                assert!(last);
                written.push(partition as u8);
                written.extend_from_slice(&(body.len() as u32).to_be_bytes());
                written.extend_from_slice(body);
                Ok::<(), ()>(())
            },
        );
        assert_eq!((packed, written.as_slice()), (Ok(()), &golden[..]));
        let (mut rest, mut got, mut want) = (&golden[..], Sums::new(), Sums::new());
        for (start, words) in counts {
            let span = Span { end: start + 10, start };
            want.extend(words.into_iter().map(|(word, n)| ((span, 0 < start, word), n)));
        }
        while let Some((head, tail)) = rest.split_first_chunk::<5>() {
            let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            read(&tail[..len], &mut got).unwrap();
            rest = &tail[len..];
        }
        assert!(rest.is_empty());
        assert_eq!(got, want);
    }

    /// `<partitions> <partition> <word>` a line.
    #[test]
    fn the_partition_of_a_word_is_the_golden_one() {
        let golden =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/partitions-v1.txt"));
        for line in golden.lines() {
            let mut fields = line.splitn(3, ' ');
            let mut number = || fields.next().unwrap().parse::<usize>().unwrap();
            let (partitions, partition) = (number(), number());
            let word = fields.next().unwrap();
            assert_eq!(partition_of(word, partitions), partition, "{line}");
        }
        assert_eq!(golden.lines().count(), 18);
    }
}
