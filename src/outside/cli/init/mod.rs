//! `alluvium init`: a first configuration, from brokers or from a sink of Kafka Connect.

mod command;
mod connect;
mod draft;
mod errors;
mod login;
mod properties;

pub(super) use command::Init;
#[cfg(test)]
pub(crate) use connect::Sink;
