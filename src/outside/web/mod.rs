//! TLS and passwords of the listener, at both of its ends.
//!
//! * `file`: the web configuration, in the format of Prometheus' exporters.
//! * `context`: what OpenSSL makes of its certificates.
//! * `guard`: what is in force now, and which passwords were found right.
//! * `stream`: a connection at the listener's end.
//! * `ask`: how commands reach a daemon that listens so.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod ask;
mod context;
mod file;
mod guard;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use ask::Asked;
#[cfg(test)]
pub(crate) use file::WebFile;
pub(crate) use guard::{Guard, open_to_others, refused, warnings};
pub(crate) use stream::Stream;
