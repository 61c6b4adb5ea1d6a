//! The world of the search: one partition, Kafka's offsets, the store, and two workers.
//!
//! `state` is what there is; `offsets` and `files` are what Kafka and the store do with it;
//! `canonical` forgets what makes no difference. `owner` and `outside` list what may happen next.
//! What a worker makes of an answer, the control flow of recovery, appends and commits, stands in
//! `driver` alone. `invariants` is what is promised, and `fair` how a lone owner gets to the end.

mod canonical;
mod driver;
mod fair;
mod files;
mod invariants;
mod model;
mod offsets;
mod outside;
mod owner;
mod rank;
mod state;

pub(super) use state::World;
