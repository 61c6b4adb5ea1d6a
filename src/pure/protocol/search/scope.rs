//! What may happen in a search, and how much of it.

use std::sync::LazyLock;

use crate::pure::protocol::OnGap;

#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    pub records: usize,
    /// Attempts alive at once.
    pub slots: usize,
    pub workers: usize,
    pub counts: bool,
    pub late_appends: bool,
    /// How often a commit is answered Ok that did not happen (KAFKA-17754).
    pub lost_ok: u8,
    pub resets: bool,
    pub expiry: bool,
    /// Retention deletes records, whether they were read or not.
    pub retention: bool,
    /// The mapping's policy for what retention took: stop, or write it down and go on.
    pub gaps_stop: bool,
    /// Somebody removes the ledger's last entry, once; its files stay where readers see them.
    pub entry_lost: bool,
    /// The topic is deleted and created again, once.
    pub remade: bool,
    /// The topic of partial counts is deleted and created again, once.
    pub partials_remade: bool,
    /// Stopped partitions are repaired, by steps of which each may be the last.
    pub repairs: bool,
    pub store_fails: bool,
    /// An answer of the brokers may come late, after another owner or another doubt.
    pub slow_answers: bool,
    /// The store breaks its promise: an append replaces the entry that stands. For I7's test only.
    pub overwrites: bool,
    /// Whether I6 is checked.
    pub live: bool,
    /// Only what so many steps lead to, where the whole is too large.
    pub steps: Option<usize>,
}

impl Default for Scope {
    fn default() -> Scope {
        Scope {
            records: 2,
            slots: 3,
            workers: 2,
            counts: true,
            late_appends: false,
            lost_ok: 0,
            resets: false,
            expiry: false,
            retention: false,
            gaps_stop: false,
            entry_lost: false,
            remade: false,
            partials_remade: false,
            repairs: false,
            store_fails: true,
            slow_answers: false,
            overwrites: false,
            live: true,
            steps: None,
        }
    }
}

impl Scope {
    pub(super) fn small() -> Scope {
        Scope { records: 1, slots: 2, ..Scope::default() }
    }

    /// Two partitions in the transactions of one worker and its earlier lives.
    pub(super) fn pair() -> Scope {
        let full = is_full();
        Scope { workers: 1, late_appends: full, lost_ok: full.into(), ..Scope::small() }
    }

    /// Two partitions in the transactions of two workers.
    pub(super) fn pair_of_owners() -> Scope {
        let steps = Some(if is_full() { 27 } else { 22 });
        Scope { store_fails: false, live: false, steps, ..Scope::small() }
    }

    pub(super) fn on_gap(&self) -> OnGap {
        if self.gaps_stop { OnGap::Stop } else { OnGap::Record }
    }
}

/// The steps that `make check` walks of each search: all traces of planted faults are shorter.
/// `make test` walks to the end.
const STEPS_IN_CHECK: usize = 22;

impl Scope {
    /// The scope as it is walked in this run.
    pub(super) fn in_this_run(self) -> Scope {
        let most = (mode() == Some("check")).then_some(STEPS_IN_CHECK);
        let steps = self.steps.map_or(most, |steps| Some(steps.min(most.unwrap_or(steps))));
        Scope { steps, ..self }
    }
}

/// `make search`, which has more patience than `make test`.
pub(super) fn is_full() -> bool {
    mode() == Some("full")
}

/// `ALLUVIUM_SEARCH`: `check` and `full` are known.
fn mode() -> Option<&'static str> {
    static MODE: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("ALLUVIUM_SEARCH").ok());
    MODE.as_deref()
}
