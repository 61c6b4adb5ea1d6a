//! Membership in one generation of the group.

use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, ConsumerContext};

use crate::clients::kafka::native::GroupMetadata;

/// Membership in one generation of the group. Everything that commits carries one.
#[derive(Debug)]
pub struct Generation {
    number: i32,
    member: String,
    /// The captured metadata; [`None`] only in tests, which have no client.
    pub(super) metadata: Option<Arc<GroupMetadata>>,
    /// Whether this belongs to a repair, which is no member, and commits for partitions that are
    /// stopped.
    outside: bool,
}

impl Generation {
    /// The generation's number; rises by one at each rebalance that this member took part in.
    #[must_use]
    pub fn number(&self) -> i32 {
        self.number
    }

    pub(super) fn captured(metadata: GroupMetadata) -> Generation {
        let (number, member) = (metadata.generation, metadata.member.clone());
        Generation { number, member, metadata: Some(Arc::new(metadata)), outside: false }
    }

    /// The membership of a consumer that never joined, for a repair, which commits beside the
    /// group's members.
    #[must_use]
    pub fn outside<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<Generation> {
        let metadata = GroupMetadata::capture(consumer)?;
        Some(Generation { outside: true, ..Generation::captured(metadata) })
    }

    /// A generation without a client, for tests that bring their own [`super::Commit`].
    #[cfg(test)]
    pub(crate) fn fake(number: i32, member: &str) -> Generation {
        Generation { number, member: member.into(), metadata: None, outside: false }
    }

    /// A consumer that never joined has generation −1 and no name: the broker would accept its
    /// offsets (facts: docs/decisions/0002-group-metadata.md). A repair alone makes use of that.
    #[must_use]
    pub fn may_commit(&self) -> bool {
        self.outside || 0 < self.number && !self.member.is_empty()
    }
}
