//! The settings of a Kafka Connect sink.

pub mod init;

pub(crate) use init::connect::Sink;
