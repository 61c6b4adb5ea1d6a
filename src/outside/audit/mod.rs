//! Reading an archive back: ledgers, files and brokers against each other. Changes nothing in it.
//!
//! `verify` and `recount` look at everything, `where` and `explain` at one place. All of them read
//! the ledger first: what it does not name does not exist. `check --live` tries what a daemon
//! needs.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod blocks;
pub mod brokers;
pub mod live;
mod private;
pub mod recount;
pub mod report;
pub mod rows;
mod silent;
pub mod survey;
pub mod verify;

#[cfg(test)]
mod tests_of_rows;
