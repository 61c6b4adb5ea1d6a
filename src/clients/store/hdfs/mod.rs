//! HDFS through hdfs-native.
//!
//! * `client`: the store.
//! * `pipelines`: files while a DataNode is dead.
//! * `error`: what an answer means.

mod client;
mod error;
mod pipelines;

pub use client::Hdfs;
