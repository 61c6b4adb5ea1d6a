//! The only room that asks a registry of schemas.
//!
//! The interface is that of Confluent's registry, which others have, too. It is a few questions, so
//! ureq asks them, which commands use already; schema_registry_converter would bring a second
//! client of HTTP, and reads values where columns are wanted.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod client;

pub use client::{RegistryClient, RegistryError, SchemaSource};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_tls;
