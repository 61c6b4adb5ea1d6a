//! HDFS through hdfs-native.
//!
//! * `client`: the store; `clients`: the client in use, and its successor.
//! * `name_service`: the NameNodes of a root.
//! * `pipelines`: files while a DataNode is dead.
//! * `simple`: servers that let everybody in, where Kerberos is configured.
//! * `erasure`: the codecs under which files may be written.
//! * `quota`: how much a directory may have.
//! * `options`: how files are created; `error`: what an answer means.

mod client;
mod clients;
mod erasure;
mod error;
mod name_service;
mod options;
mod pipelines;
mod quota;
mod simple;

pub use client::Hdfs;
