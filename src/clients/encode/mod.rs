//! Records in, bytes out. This room knows formats and nothing else: no store, no Kafka.
//!
//! An [`Encoder`] writes one file. It hands out finished bytes as they come
//! ([`Encoder::drain_bytes`]), so that a file is never held in memory whole.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod avro;
mod changed;
mod chunks;
mod counts;
mod dictionaries;
mod encoder;
mod error;
mod field_ids;
mod flat;
mod foreign;
mod jsonl;
mod large;
mod learned;
mod lines;
mod nested;
mod orders;
mod parquet;
#[cfg(test)]
pub(crate) mod read_back;
mod rows;
mod text;
mod typed;
mod zstd_levels;

pub use encoder::{Encoder, is_vague};
pub use error::EncodeError;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_avro;
#[cfg(test)]
mod tests_of_columns;
#[cfg(test)]
mod tests_of_nested;
#[cfg(test)]
mod tests_of_options;
#[cfg(test)]
mod tests_of_registered;
#[cfg(test)]
mod tests_of_sizes;
