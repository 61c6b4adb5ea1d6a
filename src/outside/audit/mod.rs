//! Reading an archive back: ledgers, files and brokers against each other. Changes nothing.
//!
//! `verify` and `recount` look at everything, `where` and `explain` at one place. All of them read
//! the ledger first: what it does not name does not exist.

pub mod brokers;
pub mod recount;
pub mod report;
pub mod rows;
pub mod survey;
pub mod verify;
