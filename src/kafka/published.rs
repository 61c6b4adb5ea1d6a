//! What the published counts themselves say about the results position.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as Rd;
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset as RdOffset, TopicPartitionList};

use crate::count::output;
use crate::kafka::{CALL_TIMEOUT, KafkaError};
use crate::record::{Offset, Record, Timestamp, TopicPartition};

/// The brokers say nothing for so long: given up.
const SILENCE: Duration = Duration::from_secs(30);

/// Where the results of `source` end, by the ranges in the headers of all counts that were
/// published after `since` (milliseconds); at least `known`.
///
/// Exact, but for records without a single word behind that end: those count nothing. [`None`] if
/// counts of that time may be gone from the output topic.
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
    let failed = |e: &dyn std::fmt::Display| KafkaError::new(format!("read {output:?}"), e);
    let consumer: BaseConsumer = config.create().map_err(|e| failed(&e))?;
    let metadata = consumer.fetch_metadata(Some(output), CALL_TIMEOUT).map_err(|e| failed(&e))?;
    let ids = metadata.topics().iter().flat_map(|t| t.partitions()).map(|p| p.id());
    let mut open: BTreeSet<i32> = ids.collect();
    if open.is_empty() {
        return Ok(None);
    }
    let mut times = TopicPartitionList::new();
    for id in &open {
        times.add_partition_offset(output, *id, RdOffset::Offset(since)).map_err(|e| failed(&e))?;
    }
    let mut from = consumer.offsets_for_times(times, CALL_TIMEOUT).map_err(|e| failed(&e))?;
    for id in &open {
        let (low, _) =
            consumer.fetch_watermarks(output, *id, CALL_TIMEOUT).map_err(|e| failed(&e))?;
        let first = from.find_partition(output, *id).map(|e| e.offset());
        if 0 < low && first == Some(RdOffset::Offset(low)) {
            return Ok(None);
        }
        if !matches!(first, Some(RdOffset::Offset(_))) {
            from.set_partition_offset(output, *id, RdOffset::End).map_err(|e| failed(&e))?;
        }
    }
    consumer.assign(&from).map_err(|e| failed(&e))?;
    let (mut end, mut heard) = (known, Instant::now());
    while !open.is_empty() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(m)) => {
                let headers = m.headers().into_iter().flat_map(|h| h.iter());
                let headers: Vec<_> = headers.map(|h| (h.key, h.value)).collect();
                let record = Record {
                    offset: Offset(m.offset()),
                    timestamp: Timestamp::Missing,
                    key: None,
                    value: None,
                    headers: &headers,
                };
                if let Some((_, range)) = output::source(&record).filter(|(of, _)| of == source) {
                    end = end.max(range.to);
                }
            }
            Some(Err(Rd::PartitionEOF(id))) => drop(open.remove(&id)),
            Some(Err(e)) => tracing::debug!(error = %e, "reading {output}"),
            None if SILENCE < heard.elapsed() => return Err(failed(&"the brokers say nothing")),
            None => continue,
        }
        heard = Instant::now();
    }
    Ok(Some(end))
}
