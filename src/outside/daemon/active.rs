//! The configuration that is in force, with the stores that it opened.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::clients::store::Store;
use crate::common::config::{Config, Root};
use crate::engine::topics::Role;

/// What the daemon goes by.
pub(crate) struct ActiveConfig {
    pub(crate) config: Arc<Config>,
    /// The roots' stores and ids, by URL.
    pub(crate) stores: HashMap<String, (Arc<dyn Store>, String)>,
    /// Mappings that can't run now; why is known to the board.
    pub(crate) held: BTreeSet<String>,
}

impl ActiveConfig {
    /// The open store of a root; [`None`] also where the same URL was opened otherwise.
    pub(super) fn store(&self, root: &Root) -> Option<(Arc<dyn Store>, String)> {
        let same = self.config.archives().any(|a| a.root == *root);
        self.stores.get(&root.url()).filter(|_| same).cloned()
    }

    /// What a topic is for.
    pub(super) fn role(&self, topic: &str) -> Option<Role> {
        Role::of(&self.config, topic, |archive| self.stores.get(&archive.root.url()).cloned())
    }
}
