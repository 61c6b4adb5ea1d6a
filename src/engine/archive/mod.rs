//! The archive of one partition, as far as a store is concerned: its ledger, the task that writes
//! and appends its attempts, and reading it all back.
//!
//! * `root`: the id of an archive's root.
//! * `ledger`: the ledger of one partition; `staging`: what is staged of it; `adopting`: what an
//!   owner has sealed and left there; `abandoned`: the same, of partitions that no broker has.
//! * `recent`: what the newest entries say of bad records.
//! * `task`: carries out what a worker asks of the store; `commands`: what that is, and its order;
//!   `published`: what it says of an attempt that readers see.
//! * `files`: the open files of one attempt; `directories`: which of them a record belongs to;
//!   `targets`: their columns; `kept`: records that wait as bytes.
//! * `open`: how many files the process has open in its stores.
//! * `half`: the archive half of one partition on its worker.
//! * `calls`: what a roll costs the NameNode.
//! * `examples`: attempts and entries as tests make them.
//! * `listing`: ledgers as they stand, for those who check or explain an archive.

pub mod abandoned;
mod adopting;
pub mod calls;
pub mod commands;
mod directories;
#[cfg(test)]
mod examples;
pub mod files;
pub mod half;
mod kept;
pub mod ledger;
pub mod listing;
pub mod open;
pub mod published;
pub mod recent;
pub mod root;
#[cfg(test)]
pub(crate) mod samples;
mod staging;
mod targets;
pub mod task;
#[cfg(test)]
mod tests_of_paths;
