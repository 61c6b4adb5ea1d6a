//! What a transaction sends of one partition.

use crate::clients::kafka::{Outgoing, TransactionError};
use crate::common::clock::Now;
use crate::common::config::{MergeConfig, WordCount};
use crate::engine::results::map::{AHEAD_MILLIS, Map};
use crate::engine::results::merge::Merging;
use crate::pure::count::output::WindowWriter;
use crate::pure::count::{CountKind, Merged};
use crate::pure::formats::partials::{self, Packer};
use crate::pure::protocol::Plan;
use crate::pure::record::TopicPartition;

/// Sends one message in the transaction that is open.
pub type Send<'s> = dyn FnMut(&Outgoing<'_>) -> Result<(), TransactionError> + 's;

/// One partition's share of a transaction, while the transaction is under way.
#[derive(Clone, Debug)]
pub struct Transfer {
    pub tp: TopicPartition,
    pub plan: Plan,
    /// Whether the results are published; otherwise only the offset moves.
    pub with_results: bool,
    /// Messages that were sent.
    pub sent: u64,
}

/// Sends the counts of one source partition: to the partials topic, or to the output topic where
/// each source partition is counted by itself. How many messages. `largest`: the bytes that the
/// value of a message may have.
pub(super) fn publish_map(
    map: &Map,
    count: &WordCount,
    transfer: &Transfer,
    (now, largest): (Now, usize),
    send: &mut Send<'_>,
) -> Result<u64, TransactionError> {
    if let Some(merge) = &count.merge {
        return publish_partials(map, (count, merge), transfer, (now, largest), send);
    }
    let mut sent = 0_u64;
    for (start, words) in map.counts.iter() {
        let kind = count.window.kind(&count.time, start, now.millis, map.whole_since);
        let window = (start, count.window.end(start));
        let more = publish_window(count, window, kind, transfer, None, words, send)?;
        sent = sent.saturating_add(more);
    }
    Ok(sent)
}

/// Sends the windows of a merge that are due. How many messages.
pub(super) fn publish_merge(
    merging: &Merging,
    count: &WordCount,
    transfer: &Transfer,
    send: &mut Send<'_>,
) -> Result<u64, TransactionError> {
    let Plan { offset, marks, .. } = transfer.plan;
    let mut sent = 0_u64;
    for (span, kind, words) in merging.merge.due() {
        let window = (span.start, span.end);
        let merged = Some(Merged { offset, marks });
        let more = publish_window(count, window, kind, transfer, merged, words.iter(), send)?;
        sent = sent.saturating_add(more);
    }
    Ok(sent)
}

/// `window`: its start and its end, milliseconds.
fn publish_window<'w>(
    count: &WordCount,
    window: (i64, i64),
    kind: CountKind,
    transfer: &Transfer,
    merged: Option<Merged>,
    words: impl Iterator<Item = (&'w str, u64)>,
    send: &mut Send<'_>,
) -> Result<u64, TransactionError> {
    let Transfer { tp, plan, .. } = transfer;
    let mut writer = WindowWriter::new(count.format, window, kind, tp, plan.results, merged);
    let header = writer.header().to_string();
    let mut sent = 0_u64;
    for (word, n) in words {
        let value = writer.value(word, n).as_bytes();
        let (topic, key) = (count.output_topic.as_str(), Some(word));
        send(&Outgoing { topic, partition: None, key, value, header: &header })?;
        sent = sent.saturating_add(1);
    }
    Ok(sent)
}

/// One message for each partition of the partials topic, or more.
fn publish_partials(
    map: &Map,
    (count, merge): (&WordCount, &MergeConfig),
    transfer: &Transfer,
    (now, largest): (Now, usize),
    send: &mut Send<'_>,
) -> Result<u64, TransactionError> {
    if !map.counted_any {
        return Ok(0);
    }
    let Transfer { tp, plan, .. } = transfer;
    let watermark = plan.marks.watermark.map(|w| w.saturating_sub(count.out_of_order()));
    let header = |watermark| partials::header(count.window.millis, watermark, tp, plan.results);
    let headers = [header(None), header(watermark)];
    let ahead = now.millis.saturating_add(AHEAD_MILLIS);
    let mut sent = 0_u64;
    Packer::new(merge.partitions as usize, largest).pack(
        map.counts.iter(),
        |start| ahead < start,
        |partition, value, last| {
            sent = sent.saturating_add(1);
            let partition = Some(partition as i32);
            let header = &headers[usize::from(last)];
            send(&Outgoing { topic: &merge.topic, partition, key: None, value, header })
        },
    )?;
    Ok(sent)
}
