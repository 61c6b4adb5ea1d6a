//! The configuration: TOML in, checked values out, all faults at once.
//!
//! Nothing here touches the network or the disk, but for the secrets' and Kerberos's files. `docs/`
//! and `config/alluvium.toml` describe every key; a test reads that file.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod archive;
pub mod budget;
mod daemon;
mod encoding;
mod example;
mod facts;
mod fields;
mod file_properties;
mod hadoop;
mod hadoop_files;
mod hadoop_keys;
mod homes;
mod kafka;
mod kerberos;
mod mapping;
mod oauthbearer;
mod places;
mod reference;
mod registry;
mod rolls;
mod root;
mod rows;
mod schema;
mod secret;
mod times;
mod together;
mod umask;
mod whole;
mod wordcount;

pub use archive::ArchiveConfig;
pub use daemon::{Daemon, WebLogin};
pub use fields::ConfigFault;
pub use file_properties::FileProperties;
#[cfg_attr(not(test), allow(unused_imports, reason = "tests and the fuzzer have no files"))]
pub use hadoop_files::hadoop_properties;
pub use hadoop_files::hadoop_values;
pub use kafka::{Kafka, SECRETS};
pub use kerberos::Kerberos;
pub use mapping::{Mapping, Start, Topics};
pub use places::KeyPlaces;
pub use reference::{reference, reference_tables, table_of_key};
pub use registry::Registry;
pub use root::{ErasureCoding, HdfsOptions, Root};
pub use schema::json_schema;
pub use secret::Secret;
pub use umask::Umask;
pub use whole::{Config, Faulty};
pub use wordcount::{MergeConfig, WordCount};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_files;
#[cfg(test)]
mod tests_of_texts;
