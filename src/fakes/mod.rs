//! Servers in memory, for tests: a network on which each call can go wrong, a store, brokers, and
//! certificates.

pub mod brokers;
pub mod certificate;
pub mod network;
pub mod store;
