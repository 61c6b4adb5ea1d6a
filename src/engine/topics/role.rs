//! The role of the partitions of a topic.

use std::sync::Arc;

use crate::clients::store::Store;
use crate::common::config::{ArchiveConfig, Config, Start, WordCount};
use crate::engine::topics::select::mapping_of;
use crate::engine::topics::topic_role::TopicRole;
use crate::pure::protocol::OnGap;
use crate::pure::protocol::Sinks;

/// What a partition is for; from its mapping.
#[derive(Clone)]
pub struct Role {
    pub mapping: String,
    pub of: TopicRole,
    pub start: Start,
    pub on_gap: OnGap,
    pub archive: Option<Arc<ArchiveConfig>>,
    /// What is counted, or merged.
    pub count: Option<Arc<WordCount>>,
    /// The archive's store and its root id.
    pub store: Option<(Arc<dyn Store>, String)>,
}

impl Role {
    /// The role of a topic in a configuration; [`None`] for one that no mapping names.
    pub fn of(
        config: &Config,
        topic: &str,
        store: impl FnOnce(&ArchiveConfig) -> Option<(Arc<dyn Store>, String)>,
    ) -> Option<Role> {
        let (mapping, of) = mapping_of(config, topic)?;
        let archive = match of {
            TopicRole::Source => mapping.archive.clone(),
            TopicRole::Partials => None,
            TopicRole::Output => mapping.count.as_ref().and_then(|c| c.archive.clone()),
        };
        Some(Role {
            mapping: mapping.name.clone(),
            of,
            // Whoever publishes counts wants all of them merged and archived.
            start: if of == TopicRole::Source { mapping.start } else { Start::Earliest },
            on_gap: mapping.on_gap,
            store: archive.as_deref().and_then(store),
            archive,
            count: mapping.count.clone().filter(|_| of != TopicRole::Output),
        })
    }

    /// Which sinks its records feed.
    #[must_use]
    pub fn sinks(&self) -> Sinks {
        Sinks {
            counts: self.count.is_some(),
            archive: self.archive.is_some(),
            keeps_state: self.of == TopicRole::Partials,
        }
    }

    /// The output topic of merged counts.
    #[must_use]
    pub fn merges_into(&self) -> Option<&str> {
        let count = self.count.as_ref().filter(|_| self.of == TopicRole::Partials)?;
        Some(&count.output_topic)
    }

    /// The partials topic that what it counts goes to.
    #[must_use]
    pub fn counts_into(&self) -> Option<&str> {
        let count = self.count.as_ref().filter(|_| self.of == TopicRole::Source)?;
        count.merge.as_ref().map(|merge| merge.topic.as_str())
    }

    /// What it counts goes to the partials topic.
    #[must_use]
    pub fn publishes_partials(&self) -> bool {
        self.counts_into().is_some()
    }

    /// The id of the archive's root; empty for a topic that is not archived.
    #[must_use]
    pub fn root_id(&self) -> String {
        self.store.as_ref().map(|(_, id)| id.clone()).unwrap_or_default()
    }

    #[must_use]
    pub fn label(&self) -> &'static str {
        self.of.label()
    }
}
