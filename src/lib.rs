//! Alluvium carries Kafka topics into HDFS: it counts words in windows and archives every record,
//! exactly once.
//!
//! ```text
//! source topics ─► read ─┬─► count ─► results ─────────────┬─► one Kafka transaction ─► output topic
//!                        │                                 │   with the committed offset
//!                        └─► encode ─► stage ─► seal ─► append to the ledger ─► publish ─► HDFS
//! output topics ─► read ───► encode ─► … the same way
//! ```
//! The rooms, in reading order; arrows between them point upwards in this list only:
//!
//! * [`record`]: the nouns. [`protocol`]: the rules of exactly once, pure. [`count`]: words and
//!   windows, pure. [`layout`]: names and paths, pure.
//! * [`encode`]: records into bytes.
//! * [`config`]: TOML into checked values.
//! * [`kafka`] and [`store`]: the only rooms that know a client library.
//! * [`worker`]: joins them; a record's whole life is in `worker/task.rs`.
//! * [`audit`]: reads an archive back, ledger against files and brokers.
//! * [`daemon`] and [`cli`]: the outside. [`metrics`]: what Prometheus sees.
//! * [`crash`]: where a process dies on purpose, if a variable arms a step.

pub mod audit;
pub mod cli;
pub mod config;
pub mod count;
pub mod crash;
pub mod daemon;
pub mod encode;
pub mod kafka;
pub mod layout;
#[cfg(test)]
mod line;
pub mod metrics;
pub mod protocol;
pub mod record;
pub mod store;
pub mod worker;
