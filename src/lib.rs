//! Alluvium carries Kafka topics into HDFS: it counts words in windows and archives every record,
//! exactly once.
//!
//! ```text
//! source topics ─► read ─┬─► count ─► results ────────┬─► one Kafka transaction ─► output topic
//!                        │                            │   with the committed offset
//!                        └─► encode ─► stage ─► seal ─► append to the ledger ─► publish ─► HDFS
//! output topics ─► read ───► encode ─► … the same way
//! ```
//! The source has five floors. A floor imports only floors that stand above it in this list, and
//! the rooms of a floor form a line too; `tests/tidy/rooms.rs` holds the table.
//!
//! * `pure`: records, the rules of exactly once, words and windows, names and paths. No client, no
//!   clock, no randomness (the seeds of hash tables in `pure/count` aside).
//! * `common`: what every later floor needs: the configuration, the series, the crash points.
//! * `clients`: the only rooms that know Kafka, HDFS or the library of a file format.
//! * `engine`: joins them; a record's whole life is in `engine/worker/partition.rs`.
//! * `outside`: the daemon's life, the commands, and the audit, which reads an archive back.
//!
//! `fakes` and `foreign` stand beside them, for tests alone: servers in memory, and the table of
//! everything that decodes bytes of others.
//!
//! All of them are private, so that the compiler sees what nobody uses.

mod clients;
mod common;
mod engine;
#[cfg(test)]
mod fakes;
#[cfg(test)]
mod foreign;
mod outside;
mod pure;

pub use outside::cli::main;

/// What the tests on real servers and the benchmarks need from the inside.
pub mod testing {
    pub use crate::clients::store::{Deadlines, Store, StoreError, open};
    pub use crate::common::config::{HdfsOptions, Root, json_schema, reference};
    pub use crate::common::crash::Step;
    pub use crate::common::metrics::catalogue;
    pub use crate::outside::audit::live::SECTIONS;
    pub use crate::pure::layout::names::parse_entry;
    pub use crate::pure::protocol::{Committed, Entry};
    pub use crate::pure::record::Offset;
}
