//! What is known of the health of this instance, from which every answer about it comes.
//!
//! * `outage`: one thing that the daemon depends on: since when it fails, and what was said of it.
//! * `subject`: which things there are, and what an operator is told of each.
//! * `board`: all of them, shared by threads; it writes the log lines.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod board;
mod outage;
mod subject;

pub use board::Board;
pub use subject::{Subject, WorkerName, spell};
