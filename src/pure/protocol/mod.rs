//! The rules of exactly once, as pure code: no clock, no client, no randomness, no logging.
//!
//! One read of each partition feeds two sinks. Each has its own position and its own atomic log:
//!
//! * **P**, the results position, lives in Kafka: one transaction carries results and offset.
//! * **A**, the archive position, lives in the store: a ledger of entries, each appended by a
//!   rename that refuses to overwrite.
//!
//! The committed *offset* is **F** = min(A, P), what is safe to forget; its *metadata* carries P.
//!
//! Reading order: [`crate::pure::formats`] is what is written down; [`committed`] and [`recovery`]
//! read it; [`partition`] keeps one partition's positions and attempts while it runs; [`append`]
//! and [`settle`] decide about what stands in the store; [`repair`] cures what recovery stopped
//! for. `search` (tests only) walks every reachable state of two workers over this very code, and
//! finds each planted `fault`.
//!
//! Invariants, checked in every state: **I1** a record is counted once if it is below P, never
//! otherwise. **I2** entries tile from genesis, and each byte they name is in exactly one of its
//! directory or its final path. **I3** a final file's attempt is named by the ledger. **I4** F ≤
//! min(A, P). **I5** no file that an entry names is deleted unpublished. **I6** from every
//! reachable state a lone restarted owner gets everything archived, counted, and staging empty.
//! **I7** the ledger's tail never decreases.

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

pub use crate::pure::formats::entry::{AttemptId, Entry, EntryKey, EntryName, FileRef, Head, Kind};
pub use crate::pure::formats::metadata::Marks;
#[cfg(test)]
pub use crate::pure::formats::metadata::Metadata;
pub use append::{AppendFacts, AppendVerdict};
pub use committed::Committed;
pub use machine::Machine;
pub use partition::{KnownPosition, Partition, Plan, Sinks};
pub use recovery::{Identity, Ledger, OnGap, Stop};
pub use settle::{Settle, settle};
