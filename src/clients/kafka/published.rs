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
use crate::pure::formats::header::{AlluviumHeader, Content, Merged};
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
/// The brokers don't answer.
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
        if let Some(header) = header_of(record, source) {
            end = end.max(header.range.to);
        }
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
/// The brokers don't answer.
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
        let Some(AlluviumHeader { content, range, .. }) = header_of(record, partials) else {
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
    Ok(last.filter(|past| log.from <= past.p))
}

/// The header of a count that was made of records of `source`.
fn header_of<'a>(record: &Record<'a>, source: &TopicPartition) -> Option<AlluviumHeader<'a>> {
    let header = AlluviumHeader::of(record)?.ok()?;
    (header.topic == &*source.topic && header.partition == source.partition).then_some(header)
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

    fn each(self, mut visit: impl FnMut(&Record<'_>)) -> Result<(), KafkaError> {
        self.until(|record| {
            visit(record);
            false
        })
    }

    /// Reads until `enough` says so, or the end.
    fn until(mut self, mut enough: impl FnMut(&Record<'_>) -> bool) -> Result<(), KafkaError> {
        self.consumer.assign(&self.from).map_err(|e| self.failed(&e))?;
        let mut heard = Instant::now();
        while !self.open.is_empty() {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(m)) => {
                    if visit(&m, &mut enough) {
                        return Ok(());
                    }
                }
                Some(Err(Rd::PartitionEOF(id))) => drop(self.open.remove(&id)),
                Some(Err(e)) => tracing::debug!(error = %e, "reading {}", self.topic),
                None if SILENCE < heard.elapsed() => {
                    return Err(self.failed(&"the brokers do not answer"));
                }
                None => continue,
            }
            heard = Instant::now();
        }
        Ok(())
    }
}

fn visit(m: &BorrowedMessage<'_>, enough: &mut impl FnMut(&Record<'_>) -> bool) -> bool {
    let headers = headers_of(m);
    enough(&Record {
        offset: Offset(m.offset()),
        timestamp: m.timestamp().to_millis().map_or(Timestamp::Missing, Timestamp::Create),
        key: None,
        value: None,
        headers: &headers,
    })
}
