//! What the published counts themselves say about positions, should the committed ones be lost.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as Rd;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{ClientConfig, Offset as RdOffset, TopicPartitionList};

use crate::clients::kafka::error::{CALL_TIMEOUT, KafkaError};
use crate::clients::kafka::headers::headers_of;
use crate::clients::kafka::settings::Quiet;
use crate::pure::formats::header::{AlluviumHeader, Content, HeaderError, Merged, NAME};
use crate::pure::protocol::KnownPosition;
use crate::pure::record::{Offset, OffsetRange, Record, Timestamp, TopicPartition};

/// After this time without an answer of the brokers, the scan is given up.
const SILENCE: Duration = Duration::from_secs(30);

/// The largest difference between the clocks of brokers and hosts, milliseconds.
const SLACK_MILLIS: i64 = 3_600_000;

/// The offset at which the results of `source` end, by the ranges in the headers of all counts that
/// were published after `since` (milliseconds); at least `known`.
///
/// The offset is exact, except that records without a word may follow it; those count nothing.
/// [`None`] if counts of that time may be gone from the output topic.
///
/// # Errors
/// The brokers don't answer, or a count does not say of which offsets it is.
pub fn results_end(
    config: &ClientConfig,
    output: &str,
    source: &TopicPartition,
    known: Offset,
    since: i64,
) -> Result<Option<Offset>, KafkaError> {
    let mut scan = Scan::new(config, output)?;
    if !scan.seek(since)? {
        return Ok(None);
    }
    let mut end = known;
    scan.each(|record| {
        if let Some(header) = header_of(record, source)? {
            end = end.max(header.range.to);
        }
        Ok(())
    })?;
    Ok(Some(end))
}

/// Positions and marks of a partition of the partials topic, as they were committed with the last
/// counts that were published of it. [`None`] if there are none.
///
/// The positions are exact: what was committed after that has published nothing, so reading it
/// again publishes it once.
///
/// # Errors
/// The brokers don't answer, or a count does not say of which offsets it is.
pub fn merged_past(
    config: &ClientConfig,
    output: &str,
    partials: &TopicPartition,
    log: OffsetRange,
) -> Result<Option<KnownPosition>, KafkaError> {
    // Counts of what the log still has were published since its first record came.
    let Some(since) = first_time(config, partials, log)? else { return Ok(None) };
    let mut scan = Scan::new(config, output)?;
    let _ = scan.seek(since.saturating_sub(SLACK_MILLIS))?;
    let mut last: Option<KnownPosition> = None;
    scan.each(|record| {
        let Some(AlluviumHeader { content, range, .. }) = header_of(record, partials)? else {
            return Ok(());
        };
        let Content::Count { merged: Some(merged), .. } = content else { return Ok(()) };
        // A commit that only closes windows moves no P; none of these goes back.
        let order = |past: &KnownPosition| {
            (past.p, past.marks.watermark, past.marks.in_parts_until, past.replay)
        };
        let Merged { offset: replay, marks } = merged;
        let past = KnownPosition { p: range.to, replay, marks };
        last = last.filter(|last| order(&past) < order(last)).or(Some(past));
        Ok(())
    })?;
    Ok(last.filter(|past| log.from <= past.p))
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
    scan.until(|record| {
        time = record.timestamp.millis();
        Ok(time.is_some())
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
        let consumer: BaseConsumer<Quiet> = config
            .set("isolation.level", "read_committed")
            .create_with_context(Quiet)
            .map_err(failed)?;
        let metadata = consumer.fetch_metadata(Some(topic), CALL_TIMEOUT).map_err(failed)?;
        let ids = metadata.topics().iter().flat_map(|t| t.partitions()).map(|p| p.id());
        let open = ids.collect();
        Ok(Scan { consumer, topic, open, from: TopicPartitionList::new() })
    }

    fn failed(&self, e: &dyn std::fmt::Display) -> KafkaError {
        KafkaError::new(format!("read {:?}", self.topic), e)
    }

    /// Begins with what was written since; false if something of that time may be gone.
    fn seek(&mut self, since: i64) -> Result<bool, KafkaError> {
        let mut times = TopicPartitionList::new();
        for id in &self.open {
            times
                .add_partition_offset(self.topic, *id, RdOffset::Offset(since.max(0)))
                .map_err(|e| self.failed(&e))?;
        }
        let found = self.consumer.offsets_for_times(times, CALL_TIMEOUT);
        self.from = found.map_err(|e| self.failed(&e))?;
        let mut whole = !self.open.is_empty();
        for id in &self.open {
            let ends = self.consumer.fetch_watermarks(self.topic, *id, CALL_TIMEOUT);
            let (low, _) = ends.map_err(|e| self.failed(&e))?;
            let first = self.from.find_partition(self.topic, *id).map(|e| e.offset());
            whole &= low <= 0 || first != Some(RdOffset::Offset(low));
            if !matches!(first, Some(RdOffset::Offset(_))) {
                let end = self.from.set_partition_offset(self.topic, *id, RdOffset::End);
                end.map_err(|e| self.failed(&e))?;
            }
        }
        Ok(whole)
    }

    fn each(
        self,
        mut visit: impl FnMut(&Record<'_>) -> Result<(), HeaderError>,
    ) -> Result<(), KafkaError> {
        self.until(|record| visit(record).map(|()| false))
    }

    /// Reads until `enough` says so, or the end.
    fn until(
        mut self,
        mut enough: impl FnMut(&Record<'_>) -> Result<bool, HeaderError>,
    ) -> Result<(), KafkaError> {
        self.consumer.assign(&self.from).map_err(|e| self.failed(&e))?;
        let (mut heard, mut fault) = (Instant::now(), None);
        while !self.open.is_empty() {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(m)) => match visit(&m, &mut enough) {
                    Ok(true) => return Ok(()),
                    Ok(false) => heard = Instant::now(),
                    Err(e) => return Err(self.failed(&unreadable(self.topic, &m, e))),
                },
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

/// Names a record whose header can't be read, and what a person does about it.
fn unreadable(topic: &str, m: &BorrowedMessage<'_>, e: HeaderError) -> String {
    let why = match e {
        HeaderError::Malformed => "is damaged, or another program has written it",
        HeaderError::Version => "is of a version that this build does not know",
    };
    format!(
        "the header {NAME:?} of the record at {topic}/{}, offset {}, {why}: so nobody knows of \
         which offsets the published counts are. Use the version that wrote it, or give the offset \
         yourself: for a source partition with `alluvium repair` and --count-from, for a partition \
         of partial counts with kafka-consumer-groups --reset-offsets while the group is stopped",
        m.partition(),
        m.offset(),
    )
}

fn visit(
    m: &BorrowedMessage<'_>,
    enough: &mut impl FnMut(&Record<'_>) -> Result<bool, HeaderError>,
) -> Result<bool, HeaderError> {
    let headers = headers_of(m);
    enough(&Record {
        offset: Offset(m.offset()),
        timestamp: m.timestamp().to_millis().map_or(Timestamp::Missing, Timestamp::Create),
        key: None,
        value: None,
        headers: &headers,
    })
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
}
