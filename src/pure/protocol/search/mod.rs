//! Every reachable state of two workers, Kafka and the store, over the real rules.
//!
//! `world` says what may happen next: a worker's own steps (each is a call into
//! [`crate::pure::protocol`]), and what the outside does to it at any moment: rebalances, crashes,
//! pauses (a step that simply comes late, after another owner has worked), lost and late replies,
//! the store going away, an operator moving the offset. Nothing bounds how often these come;
//! attempts and records are few, so the number of states is finite. `engine` walks them
//! breadth-first and prints the shortest trace to a broken invariant.
//!
//! `pair` joins two worlds, `merging` and `silence` are worlds of their own: each is a `model`.
//! A `scope` says how much of it may happen, and a `step` what has happened, as data. `holds` are
//! the searches that find nothing; `plants` those that must find what was planted.

#![allow(clippy::print_stdout)]

mod engine;
mod holds;
mod merging;
mod model;
mod pair;
mod plants;
mod scope;
mod silence;
mod step;
mod world;
