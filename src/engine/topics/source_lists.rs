//! The source partitions of each mapping that is merged, as the brokers list them.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::pure::record::TopicPartition;

/// A list by mapping; written by the daemon, read by the merges.
#[derive(Debug, Default)]
pub struct SourceLists(RwLock<BTreeMap<String, Arc<[TopicPartition]>>>);

impl SourceLists {
    /// Takes a list, unless it is the one that is there.
    pub fn set(&self, mapping: &str, sources: Vec<TopicPartition>) {
        if self.of(mapping).is_none_or(|old| *old != *sources) {
            let _ = self.0.write().insert(mapping.into(), sources.into());
        }
    }

    /// The list of a mapping; [`None`] before the first one.
    #[must_use]
    pub fn of(&self, mapping: &str) -> Option<Arc<[TopicPartition]>> {
        self.0.read().get(mapping).cloned()
    }
}
