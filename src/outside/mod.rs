//! What people and operating systems meet: the daemon's life, the commands, the guard of the
//! listener, and the audit, which reads an archive back.

pub mod audit;
pub mod cli;
pub mod daemon;
pub(crate) mod web;
