//! What people are told of an instance and of its partitions: data only, as `/status.json` has it.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod instance;
mod partition;
mod ready;

pub use instance::{InstanceStatus, OutageOf, OutageStatus, SAMPLE, Throughput};
pub use partition::{Condition, PartitionStatus, Roll, Wait};
