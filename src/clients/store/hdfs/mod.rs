//! HDFS through hdfs-native.
//!
//! * `client`: the store; `clients`: the client in use, and its successor; `builder`: how one is
//!   built.
//! * `name_service`: the NameNodes of a root.
//! * `pipelines`: files while a DataNode is dead.
//! * `datanodes`: what is said of those that do not answer.
//! * `simple`: servers that let everybody in, where Kerberos is configured.
//! * `pause`: logins that were refused, and are not tried again at once.
//! * `refusal`: why a NameNode gives no answer.
//! * `viewfs`: roots of ViewFS.
//! * `kms`: what the server for the keys of encryption zones says.
//! * `erasure`: the codecs under which files may be written.
//! * `quota`: how much a directory may have.
//! * `creation`: how files and directories are made; `error`: what an answer means.

mod builder;
mod client;
mod clients;
mod creation;
mod datanodes;
mod erasure;
mod error;
mod kms;
mod name_service;
mod pause;
mod pipelines;
mod quota;
mod refusal;
mod simple;
mod viewfs;

pub use client::Hdfs;
pub(super) use name_service::addresses;
pub(super) use viewfs::resolve;
