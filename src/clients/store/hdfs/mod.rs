//! HDFS through hdfs-native.
//!
//! * `client`: the store.
//! * `pipelines`: files while a DataNode is dead.
//! * `erasure`: the codecs under which files may be written.
//! * `options`: how files are created; `error`: what an answer means.

mod client;
mod erasure;
mod error;
mod options;
mod pipelines;

pub use client::Hdfs;
