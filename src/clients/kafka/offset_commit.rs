//! Offsets that a transaction commits.

use rdkafka::{Offset as RdOffset, TopicPartitionList};

use crate::clients::kafka::error::TransactionError;
use crate::pure::record::{Offset, TopicPartition};

/// One partition's offset in a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OffsetCommit {
    pub tp: TopicPartition,
    pub offset: Offset,
    pub metadata: String,
}

/// The offsets of a transaction as the client takes them.
pub(super) fn listed(offsets: &[OffsetCommit]) -> Result<TopicPartitionList, TransactionError> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for o in offsets {
        let mut element = list.add_partition(&o.tp.topic, o.tp.partition);
        element
            .set_offset(RdOffset::Offset(o.offset.0))
            .map_err(|e| TransactionError::doubt("name offsets", e))?;
        element.set_metadata(o.metadata.as_str());
    }
    Ok(list)
}
