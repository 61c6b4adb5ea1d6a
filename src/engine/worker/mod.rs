//! Worker threads. Each owns some partitions of one mapping and one transactional producer, and
//! does everything with their records: recover, read, count, archive, commit.
//!
//! A worker blocks in calls to the brokers only (they have deadlines); the store is reached by
//! tasks of its own ([`crate::engine::archive::task`]). Between two looks at its inbox it reads one
//! batch of each partition.
//!
//! * `partition`: a record's way on one screen, and the effects of a partition's machine.
//! * `answers`: what brokers and store answer.
//! * `transaction`: one transaction for all partitions that want one.
//! * `failing`: partitions whose transactions fail, which are tried apart.
//! * `round`: what a thread does over and over; `turns`: whose backlog is read.
//! * `idle`: how long a worker may sleep.
//! * `slots`: which partitions fetch, if the budget is small for their number; `slot_pool`: how
//!   many may at a time, of all workers; `fetching`: what is known of one partition for that.
//! * `dormant`: partitions without records for long, which are not fetched.
//! * `questions`: what is asked outside of the thread, and what operators see of a worker.
//! * `report`, `delay`: what operators see of a partition.
//! * `pool`: all workers of an instance; `inbox`, `env`: their messages and what they work with.

mod answers;
mod delay;
mod dormant;
mod draining;
mod env;
mod failing;
mod fetching;
mod idle;
mod inbox;
#[cfg(test)]
mod lives;
mod partition;
mod pool;
mod questions;
mod report;
mod round;
mod schema_wait;
mod slot_pool;
mod slots;
mod transaction;
mod turns;
mod unfit;

pub use env::{Env, Memory, Paused};
pub use fetching::Dormancy;
pub use pool::{Pool, PoolSetup};
