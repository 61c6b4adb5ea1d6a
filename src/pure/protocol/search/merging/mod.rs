//! State that outlives a commit: two owners of one partition of the partials topic, over the real
//! [`Merge`](crate::pure::count::merge::Merge) and [`Partition`](crate::pure::protocol::Partition).
//! Two source partitions send partial counts of two windows, in any order and with any watermark;
//! each message counts one.
//!
//! `state` is what there is and what may happen, `step` what happens as data, `driver` what an
//! owner does with the answers that it gets, and `invariants` what is promised.

mod driver;
mod invariants;
mod model;
mod state;
mod step;

pub(super) use state::{Bounds, Merging};
