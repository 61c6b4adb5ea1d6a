//! The results half of one partition: what its records are counted into, and what a transaction
//! publishes of it.
//!
//! * `half`: one interface for the three kinds of result halves.
//! * `map`: counts of a source partition, between two commits.
//! * `merge`: a partition of the partials topic, merged over all source partitions.
//! * `publish`: what a transaction sends.
//! * `tally`: what was counted, for the metrics.

mod half;
mod map;
mod merge;
mod publish;
mod tally;

pub use half::Results;
pub use merge::{HeldBack, Question};
pub use publish::Transfer;
pub use tally::Tally;
