//! What the published counts themselves say about positions, should the committed ones be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as Rd;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{ClientConfig, Offset as RdOffset, TopicPartitionList};

use crate::clients::kafka::error::{CALL_TIMEOUT, KafkaError};
use crate::clients::kafka::gate;
use crate::clients::kafka::headers::headers_of;
use crate::clients::kafka::settings::{Quiet, hear};
use crate::pure::formats::header::{AlluviumHeader, Content, HeaderError, Merged, NAME};
use crate::pure::protocol::{KnownPosition, Published, Unsure};
use crate::pure::record::{Offset, OffsetRange, Record, Timestamp, TopicPartition};

/// After this time without an answer of the brokers, the scan is given up.
const SILENCE: Duration = Duration::from_secs(30);

/// The largest difference between the clocks of brokers and hosts, milliseconds.
const SLACK_MILLIS: i64 = 3_600_000;

/// The offset at which the results of `source` end, by the ranges in the headers of all counts that
/// were published after `since` (milliseconds); at least `known`. `Err`: why that is not sure.
///
/// The offset is exact, except that records without a word may follow it; those count nothing.
///
/// # Errors
/// The brokers don't answer.
pub fn results_end(
    config: &ClientConfig,
    output: &str,
    source: &TopicPartition,
    known: Offset,
    since: i64,
) -> Result<Result<Offset, String>, KafkaError> {
    let mut scan = Scan::new(config, output)?;
    let mut heard = Heard::begin(output, source, scan.seek(since)?);
    let mut end = known;
    scan.each(|partition, record| {
        if let Some(header) = heard.take(partition, record) {
            end = end.max(header.range.to);
        }
    })?;
    Ok(heard.doubt().map_or(Ok(end), Err))
}

/// Positions and marks of a partition of the partials topic, as they were committed with the last
/// counts that were published of it.
///
/// The positions are exact: what was committed after that has published nothing, so reading it
/// again publishes it once.
///
/// # Errors
/// The brokers don't answer.
pub fn merged_past(
    config: &ClientConfig,
    output: &str,
    partials: &TopicPartition,
    log: OffsetRange,
) -> Result<Published, KafkaError> {
    // Counts of what the log still has were published since its first record came.
    let Some(since) = first_time(config, partials, log)? else { return Ok(Ok(None)) };
    let mut scan = Scan::new(config, output)?;
    let gone = scan.seek(since.saturating_sub(SLACK_MILLIS))?;
    let mut heard = Heard::begin(output, partials, gone);
    let mut last: Option<KnownPosition> = None;
    scan.each(|partition, record| {
        let Some(AlluviumHeader { content, range, .. }) = heard.take(partition, record) else {
            return;
        };
        let Content::Count { merged: Some(merged), .. } = content else { return };
        // A commit that only closes windows moves no P; none of these goes back.
        let order = |past: &KnownPosition| {
            (past.p, past.marks.watermark, past.marks.in_parts_until, past.replay)
        };
        let Merged { offset: replay, marks } = merged;
        let past = KnownPosition { p: range.to, replay, marks };
        last = last.filter(|last| order(&past) < order(last)).or(Some(past));
    })?;
    Ok(match heard.doubt() {
        None => Ok(last),
        Some(why) => Err(Unsure { known: last.filter(|past| log.from <= past.replay), why }),
    })
}

/// What the counts in a topic say of one partition, and what nobody can read of them.
///
/// The commits of a partition come one after the other, and so do its counts in each partition of
/// the topic. So a record there that can't be read, or that is gone, is of the last commit, or
/// hides a later one, only where no count of the partition follows it.
struct Heard<'a> {
    topic: &'a str,
    of: &'a TopicPartition,
    /// By the topic's partition: why its last counts may be unknown.
    unknown: BTreeMap<i32, String>,
}

impl<'a> Heard<'a> {
    /// `gone`: partitions of the topic that lack records which may be counts, and where they begin.
    fn begin(topic: &'a str, of: &'a TopicPartition, gone: BTreeMap<i32, Offset>) -> Heard<'a> {
        let lacks = |(partition, low): (i32, Offset)| {
            let why = format!(
                "{topic}/{partition} begins at offset {low}, and records before it, which may be \
                 counts of {of}, are gone; no record that is left there is one"
            );
            (partition, why)
        };
        Heard { topic, of, unknown: gone.into_iter().map(lacks).collect() }
    }

    /// The header of a record, if it is a count of the partition.
    fn take<'r>(&mut self, partition: i32, record: &Record<'r>) -> Option<AlluviumHeader<'r>> {
        match header_of(record, self.of) {
            Ok(header) => {
                if header.is_some() {
                    let _ = self.unknown.remove(&partition);
                }
                header
            }
            Err(e) => {
                let why = unreadable(self.topic, partition, record.offset, e);
                let _ = self.unknown.insert(partition, why);
                None
            }
        }
    }

    /// Why a later commit than those that were heard of may have published counts; [`None`] if
    /// none has.
    fn doubt(self) -> Option<String> {
        let others = self.unknown.len().saturating_sub(1);
        let first = self.unknown.into_values().next()?;
        Some(match others {
            0 => first,
            _ => format!("{first}; {others} other partitions of the topic are like this one"),
        })
    }
}

/// The header of a count that was made of records of `source`; [`None`] for other counts, and for
/// records of other programs, which have no such header.
///
/// # Errors
/// The record has a header that can't be read: perhaps it is of `source`, and of offsets behind all
/// others, and without it these would be counted a second time.
fn header_of<'a>(
    record: &Record<'a>,
    source: &TopicPartition,
) -> Result<Option<AlluviumHeader<'a>>, HeaderError> {
    let Some(header) = AlluviumHeader::of(record).transpose()? else { return Ok(None) };
    let is_of_source = header.topic == &*source.topic && header.partition == source.partition;
    Ok(is_of_source.then_some(header))
}

/// The time of a log's first record, milliseconds.
fn first_time(
    config: &ClientConfig,
    tp: &TopicPartition,
    log: OffsetRange,
) -> Result<Option<i64>, KafkaError> {
    let mut scan = Scan::new(config, &tp.topic)?;
    let (mut only, mut time) = (TopicPartitionList::new(), None);
    only.add_partition_offset(&tp.topic, tp.partition, RdOffset::Offset(log.from.0))
        .map_err(|e| scan.failed(&e))?;
    (scan.open, scan.from) = ([tp.partition].into(), only);
    scan.until(|_, record| {
        time = record.timestamp.millis();
        time.is_some()
    })?;
    Ok(time)
}

/// One reading of a topic, up to its end.
struct Scan<'a> {
    consumer: BaseConsumer<Quiet>,
    topic: &'a str,
    /// Partitions that were not read to their end.
    open: BTreeSet<i32>,
    from: TopicPartitionList,
}

impl<'a> Scan<'a> {
    fn new(config: &ClientConfig, topic: &'a str) -> Result<Scan<'a>, KafkaError> {
        let failed = |e: Rd| KafkaError::new(format!("read {topic:?}"), e);
        // Whoever's settings they are: only what was committed counts.
        let mut config = config.clone();
        gate::is_open()?;
        let consumer: BaseConsumer<Quiet> = config
            .set("isolation.level", "read_committed")
            .create_with_context(Quiet)
            .map_err(failed)?;
        gate::guard(consumer.client());
        let metadata = consumer.fetch_metadata(Some(topic), CALL_TIMEOUT);
        if metadata.is_err() {
            hear(&consumer);
        }
        let metadata = metadata.map_err(failed)?;
        let ids = metadata.topics().iter().flat_map(|t| t.partitions()).map(|p| p.id());
        let open = ids.collect();
        Ok(Scan { consumer, topic, open, from: TopicPartitionList::new() })
    }

    fn failed(&self, e: &dyn std::fmt::Display) -> KafkaError {
        KafkaError::new(format!("read {:?}", self.topic), e)
    }

    /// Begins with what was written since. The partitions of which something of that time may be
    /// gone, and the offsets at which they begin.
    fn seek(&mut self, since: i64) -> Result<BTreeMap<i32, Offset>, KafkaError> {
        let mut times = TopicPartitionList::new();
        for id in &self.open {
            times
                .add_partition_offset(self.topic, *id, RdOffset::Offset(since.max(0)))
                .map_err(|e| self.failed(&e))?;
        }
        let found = self.consumer.offsets_for_times(times, CALL_TIMEOUT);
        self.from = found.map_err(|e| self.failed(&e))?;
        let mut gone = BTreeMap::new();
        for id in &self.open {
            let ends = self.consumer.fetch_watermarks(self.topic, *id, CALL_TIMEOUT);
            let (low, high) = ends.map_err(|e| self.failed(&e))?;
            let first = self.from.find_partition(self.topic, *id).map(|e| e.offset());
            // A record that is left, and that is older, shows that all of that time are left.
            let is_first = first == Some(RdOffset::Offset(low)) || low == high;
            if 0 < low && is_first {
                let _ = gone.insert(*id, Offset(low));
            }
            if !matches!(first, Some(RdOffset::Offset(_))) {
                let end = self.from.set_partition_offset(self.topic, *id, RdOffset::End);
                end.map_err(|e| self.failed(&e))?;
            }
        }
        Ok(gone)
    }

    fn each(self, mut visit: impl FnMut(i32, &Record<'_>)) -> Result<(), KafkaError> {
        self.until(|partition, record| {
            visit(partition, record);
            false
        })
    }

    /// Reads until `enough` says so, or the end.
    fn until(mut self, mut enough: impl FnMut(i32, &Record<'_>) -> bool) -> Result<(), KafkaError> {
        self.consumer.assign(&self.from).map_err(|e| self.failed(&e))?;
        let (mut heard, mut fault) = (Instant::now(), None);
        while !self.open.is_empty() {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(m)) if visit(&m, &mut enough) => return Ok(()),
                Some(Ok(_)) => heard = Instant::now(),
                Some(Err(Rd::PartitionEOF(id))) => {
                    let _ = self.open.remove(&id);
                    heard = Instant::now();
                }
                // The client goes on; what it says again and again is no answer.
                Some(Err(e)) => fault = Some(e),
                None => {}
            }
            if SILENCE < heard.elapsed() {
                let why = fault.map_or("the brokers do not answer".into(), |e| e.to_string());
                return Err(self.failed(&why));
            }
        }
        Ok(())
    }
}

/// Names a record whose header can't be read.
fn unreadable(topic: &str, partition: i32, offset: Offset, e: HeaderError) -> String {
    let why = match e {
        HeaderError::Malformed => "is damaged, or another program has written it",
        HeaderError::Version => "is of a version that this build does not know",
    };
    format!(
        "the header {NAME:?} of the record at {topic}/{partition}, offset {offset}, {why}, and no \
         later record there says of which offsets the published counts are"
    )
}

fn visit(m: &BorrowedMessage<'_>, enough: &mut impl FnMut(i32, &Record<'_>) -> bool) -> bool {
    let headers = headers_of(m);
    let record = Record {
        offset: Offset(m.offset()),
        timestamp: m.timestamp().to_millis().map_or(Timestamp::Missing, Timestamp::Create),
        key: None,
        value: None,
        headers: &headers,
    };
    enough(m.partition(), &record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(value: &[u8]) -> Result<Option<i64>, HeaderError> {
        let headers = [(NAME.as_bytes(), Some(value))];
        let record = Record {
            offset: Offset(5),
            timestamp: Timestamp::Missing,
            key: None,
            value: None,
            headers: &headers,
        };
        let source = TopicPartition { topic: "t".into(), partition: 3 };
        header_of(&record, &source).map(|header| header.map(|header| header.range.to.0))
    }

    #[test]
    fn a_header_that_cannot_be_read_is_never_taken_for_that_of_another_partition() {
        assert_eq!(header(b"1;0;10;final;3;4;9;t"), Ok(Some(9)));
        assert_eq!(header(b"1;0;10;final;4;4;9;t"), Ok(None));
        assert_eq!(header(b"1;0;10;final;3;4;9;u"), Ok(None));
        assert_eq!(header(b"9;0;10;final;3;4;9;t"), Err(HeaderError::Version));
        for damaged in [&b""[..], b"1;0;10;final;3;4", b"1;0;10;final;3;9;4;t", b"\xff"] {
            assert_eq!(header(damaged), Err(HeaderError::Malformed), "{damaged:?}");
        }
    }

    #[test]
    fn a_record_of_another_program_says_nothing() {
        let record = Record {
            offset: Offset(5),
            timestamp: Timestamp::Missing,
            key: None,
            value: Some(b"x"),
            headers: &[],
        };
        let source = TopicPartition { topic: "t".into(), partition: 3 };
        assert_eq!(header_of(&record, &source), Ok(None));
    }

    /// Offers the headers of records of a topic, in order, by the partitions in which they lie.
    fn doubt(gone: &[i32], records: &[(i32, &str)]) -> Option<String> {
        let of = TopicPartition { topic: "t".into(), partition: 3 };
        let gone = gone.iter().map(|partition| (*partition, Offset(7))).collect();
        let mut heard = Heard::begin("o", &of, gone);
        for (offset, (partition, header)) in (0..).zip(records) {
            let headers = [(NAME.as_bytes(), Some(header.as_bytes()))];
            let record = Record {
                offset: Offset(offset),
                timestamp: Timestamp::Missing,
                key: None,
                value: None,
                headers: &headers,
            };
            let _ = heard.take(*partition, &record);
        }
        heard.doubt()
    }

    #[test]
    fn what_cannot_be_read_matters_until_a_later_count_of_the_partition_follows_it() {
        let (ours, other, damaged) = ("1;0;10;final;3;4;9;t", "1;0;10;final;4;4;9;t", "1;0;10");
        for records in [
            &[(0, ours)][..],
            &[(0, damaged), (0, ours)],
            &[(0, damaged), (0, other), (0, damaged), (0, ours), (1, other)],
        ] {
            assert_eq!(doubt(&[], records), None, "{records:?}");
        }
        for (records, offset) in [
            (&[(0, damaged)][..], 0),
            (&[(0, ours), (0, damaged)], 1),
            (&[(0, damaged), (1, ours), (0, other)], 0),
        ] {
            let why = doubt(&[], records).expect("a doubt");
            assert!(why.contains(&format!("o/0, offset {offset}, is damaged")), "{why}");
        }
        let why = doubt(&[], &[(0, damaged), (1, damaged), (2, "9;0")]).expect("a doubt");
        assert!(why.contains("2 other partitions"), "{why}");
    }

    #[test]
    fn counts_that_are_gone_matter_until_a_later_one_of_the_partition_is_left() {
        let (ours, other) = ("1;0;10;final;3;4;9;t", "1;0;10;final;4;4;9;t");
        assert_eq!(doubt(&[0], &[(0, ours)]), None);
        assert_eq!(doubt(&[0, 1], &[(1, other), (1, ours), (0, ours)]), None);
        for records in [&[][..], &[(0, other)], &[(1, ours)]] {
            let why = doubt(&[0], records).expect("a doubt");
            assert!(why.contains("o/0 begins at offset 7") && why.contains("t/3"), "{why}");
        }
    }
}
