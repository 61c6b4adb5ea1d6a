//! What people and operating systems meet: the daemon's life, the commands, and the audit, which
//! reads an archive back.

pub mod audit;
pub mod cli;
pub mod daemon;
