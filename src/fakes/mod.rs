//! Servers in memory, for tests: a network on which each call can go wrong, a store, and brokers.

pub mod brokers;
pub mod network;
pub mod store;
