//! The series that Prometheus scrapes, on a registry that is passed down.
//!
//! Label values come from closed sets; topic and partition stand on gauges only.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod handles;
mod partition;
mod registry;
mod series;

pub use handles::{Metrics, catalogue};
pub use partition::PartitionGauges;
