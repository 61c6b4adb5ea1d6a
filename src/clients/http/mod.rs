//! The client of HTTP, for daemons and for registries.
//!
//! ureq speaks HTTP and has no TLS here: OpenSSL, the only TLS in this program, is put below it.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod tls;

pub use tls::{Trust, agent, authorization, key_of};
