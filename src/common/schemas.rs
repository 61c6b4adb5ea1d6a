//! The schemas of a registry that are known by now, shared by threads: workers look, tasks add.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::pure::layout::registered::{Known, KnownSchemas};
use crate::pure::layout::writer_schema::WriterSchema;

/// The schemas that one mapping knows.
#[derive(Clone, Default, Debug)]
pub struct Schemas(Arc<RwLock<All>>);

#[derive(Default, Debug)]
struct All {
    known: HashMap<u32, Known>,
    /// Ids that somebody is asking for.
    wanted: HashSet<u32>,
    /// How often a schema was added.
    changes: u64,
}

/// Somebody asks for an id; until this is dropped.
#[derive(Debug)]
pub struct Wanted {
    id: u32,
    by: Schemas,
}

impl Drop for Wanted {
    fn drop(&mut self) {
        let _ = self.by.0.write().wanted.remove(&self.id);
    }
}

/// Strangers may name ids that do not exist: of so many it is remembered that they do not.
const MOST_UNUSABLE: usize = 10_000;

impl Schemas {
    /// Adds what is known of an id.
    pub fn insert(&self, id: u32, known: Known) {
        let mut all = self.0.write();
        if MOST_UNUSABLE <= all.known.len() {
            all.known.retain(|_, known| !matches!(known, Known::Unusable(_)));
        }
        let is_schema = !matches!(known, Known::Unusable(_));
        let _ = all.known.insert(id, known);
        all.changes = all.changes.saturating_add(u64::from(is_schema));
    }

    /// Takes the question for an id; [`None`] if somebody asks already.
    #[must_use]
    pub fn want(&self, id: u32) -> Option<Wanted> {
        let is_new = self.0.write().wanted.insert(id);
        is_new.then(|| Wanted { id, by: self.clone() })
    }

    /// An id without a schema may have one by now.
    pub fn forget_unusable(&self, id: u32) {
        let known = &mut self.0.write().known;
        if matches!(known.get(&id), Some(Known::Unusable(_))) {
            let _ = known.remove(&id);
        }
    }
}

impl KnownSchemas for Schemas {
    #[inline]
    fn get(&self, id: u32) -> Option<Known> {
        self.0.read().known.get(&id).cloned()
    }

    fn newer(&self, of: &WriterSchema) -> Vec<Arc<WriterSchema>> {
        // Schemas without a name have nothing in common.
        if of.name.is_empty() {
            return Vec::new();
        }
        let all = self.0.read();
        let newer = all.known.iter().filter(|(id, _)| of.key.id < **id);
        let newer = newer.filter_map(|(_, known)| match known {
            Known::Schema(other) => (of.name == other.name).then(|| Arc::clone(other)),
            Known::Messages(messages) => messages.by_name(&of.name)?.ok(),
            Known::Unusable(_) => None,
        });
        let mut newer: Vec<_> = newer.collect();
        newer.sort_by_key(|schema| std::cmp::Reverse(schema.key));
        newer
    }

    fn changes(&self) -> u64 {
        self.0.read().changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::layout::schema_fields::Wanted;

    #[test]
    fn an_id_is_asked_for_once_at_a_time() {
        let schemas = Schemas::default();
        let first = schemas.want(7);
        assert!(first.is_some() && schemas.want(7).is_none() && schemas.want(8).is_some());
        drop(first);
        assert!(schemas.want(7).is_some());
    }

    #[test]
    fn ids_that_do_not_exist_are_bounded_and_forgotten() {
        let schemas = Schemas::default();
        let text = r#"{"type":"record","name":"r","fields":[]}"#;
        let schema = WriterSchema::avro(1, text, &[], Wanted::flat(&[])).unwrap();
        schemas.insert(1, Known::Schema(Arc::new(schema)));
        assert_eq!(schemas.changes(), 1);
        for id in 2..25_000 {
            schemas.insert(id, Known::Unusable("none".into()));
        }
        assert!(schemas.0.read().known.len() <= MOST_UNUSABLE && schemas.get(1).is_some());
        assert_eq!(schemas.changes(), 1, "they change no file");
        schemas.forget_unusable(24_999);
        schemas.forget_unusable(1);
        assert!(schemas.get(24_999).is_none() && schemas.get(1).is_some());
    }
}
