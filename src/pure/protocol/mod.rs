//! The rules of exactly once, as pure code: no clock, no client, no randomness, no logging.
//!
//! Reading order: [`crate::pure::formats`] is what is written down; [`committed`] and [`recovery`]
//! read it; [`partition`] keeps one partition's positions and attempts while it runs, and
//! [`machine`] drives it: it asks, retries, stops and leaves; [`mod@append`], [`mod@settle`] and
//! [`adopt`] decide about what stands in the store; [`repair`] cures what recovery stopped for.
//! `search` (tests only) walks every reachable state of two workers over this very code, and finds
//! each planted `fault`.
//!
#![doc = include_str!("../../../docs/rules.md")]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub mod adopt;
pub mod append;
pub mod backoff;
pub mod committed;
pub mod invariants;
pub mod machine;
pub mod partition;
pub mod recovery;
pub mod repair;
pub mod settle;

#[cfg(test)]
mod search;
#[cfg(test)]
mod tests_of_repair;

pub use crate::pure::formats::entry::{
    AttemptId, Entry, EntryKey, EntryKind, EntryName, FileRef, Head,
};
pub use crate::pure::formats::metadata::Marks;
#[cfg(test)]
pub use crate::pure::formats::metadata::Metadata;
pub use append::{AppendFacts, AppendVerdict};
pub use committed::Committed;
pub use machine::Machine;
pub use partition::{KnownPosition, Partition, Plan, Published, Sinks, Unsure};
pub use recovery::{Identity, LedgerTail, OnGap, Stop};
pub use settle::{Settle, settle};
