//! The command line. One file a command; exit codes are those of sysexits(3).
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

//!
//! `arguments` reads them, `command` says which commands there are; `shared`, `output` and `exit`
//! are what several commands need.

mod abandoned;
mod arguments;
mod check;
mod command;
mod copied;
#[cfg(test)]
mod damage;
mod ddl;
mod described;
mod doubling;
mod exit;
mod explain;
mod found;
mod generate;
mod holes;
mod init;
mod locate;
mod log;
mod output;
mod pause;
mod recount;
mod repair;
mod repaired;
mod run;
mod shared;
mod staged;
mod status;
mod verify;
mod version;

pub use command::main;
#[cfg(test)]
pub(crate) use init::Sink;
