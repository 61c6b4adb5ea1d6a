//! A partition whose next record names a schema that is not known yet. Nothing of it is read until
//! the schema is known, or is known not to exist; all other partitions go on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::clock::Now;
use crate::common::retry::Pauses;
use crate::engine::schemas::Fetcher;
use crate::engine::topics::Role;
use crate::engine::worker::env::Env;
use crate::pure::record::Record;

/// Between two tries.
const PAUSES: Pauses =
    Pauses { first: Duration::from_millis(250), longest: Duration::from_secs(15) };

/// The schemas of a partition, and the one that it waits for.
pub(super) struct SchemaWait {
    fetcher: Fetcher,
    waiting: Option<Waiting>,
    /// Other schemas that are looked for meanwhile.
    asked_beside: usize,
}

/// So many schemas at most are looked for while a partition waits for one: strangers may name ids
/// that do not exist, each record another one.
const BESIDE: usize = 100;

struct Waiting {
    id: u32,
    pauses: Box<dyn Iterator<Item = Duration> + Send>,
    next_try: Instant,
}

impl SchemaWait {
    /// [`None`] for a role whose records name no schemas.
    pub(super) fn of(role: &Role, env: &Env) -> Option<SchemaWait> {
        let archive = role.archive.as_ref()?;
        let rows = archive.rules.registered.clone()?;
        let (store, _) = role.store.as_ref()?;
        let fetcher = Fetcher {
            rows,
            schemas: archive.schemas.clone(),
            store: Arc::clone(store),
            registry: env.registry.clone(),
            board: Arc::clone(&env.board),
            metrics: Arc::clone(&env.metrics),
            mapping: role.mapping.clone(),
            clock: env.clock,
        };
        Some(SchemaWait { fetcher, waiting: None, asked_beside: 0 })
    }

    /// Whether the record names a schema that is not known: it has to be read again then.
    #[inline]
    pub(super) fn begins_at(&mut self, record: &Record<'_>, now: Now) -> bool {
        let Some(id) = self.fetcher.rows.unknown(record) else { return false };
        let pauses = Box::new(PAUSES.begin());
        self.waiting = Some(Waiting { id, pauses, next_try: now.instant });
        self.asked_beside = 0;
        true
    }

    /// A record behind the one that is waited for: its schema is looked for at the same time.
    pub(super) fn meets(&mut self, record: &Record<'_>, env: &Env) {
        let Some(waiting) = self.waiting.as_ref().filter(|_| self.asked_beside < BESIDE) else {
            return;
        };
        let id = self.fetcher.rows.unknown(record).filter(|id| *id != waiting.id);
        if let Some(id) = id.filter(|id| self.fetcher.find(*id, &env.runtime)) {
            tracing::debug!(id, "a schema is looked for ahead");
            self.asked_beside = self.asked_beside.saturating_add(1);
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether the schema is known by now; asks for it if it is not.
    pub(super) fn look(&mut self, now: Now, env: &Env) {
        let Some(waiting) = &mut self.waiting else { return };
        if self.fetcher.rows.schemas.get(waiting.id).is_some() {
            self.waiting = None;
        } else if waiting.next_try <= now.instant {
            let _ = self.fetcher.find(waiting.id, &env.runtime);
            let pause = waiting.pauses.next().unwrap_or(PAUSES.longest);
            waiting.next_try = now.instant + pause;
        }
    }
}
