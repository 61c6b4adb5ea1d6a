//! Where files lie and what they are called. Pure: the clock and the zone are arguments.
//!
//! Arrow inward: this room knows neither Kafka nor a store.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub mod bad;
pub mod cell_json;
pub mod cells;
mod cells_of_avro;
mod cells_of_json;
mod cells_of_protobuf;
pub mod columns;
mod doubled;
pub mod ends;
pub mod format;
pub mod frame;
pub mod messages;
pub mod names;
mod nested_of_avro;
mod nested_of_json;
mod nested_of_protobuf;
pub mod nested_reader;
pub mod nested_type;
pub mod nested_value;
mod nested_versions;
mod nested_writer;
mod of_avro;
mod of_json_schema;
mod of_protobuf;
pub mod registered;
pub mod roll;
pub mod rules;
pub mod schema_fields;
mod sources;
pub mod table;
pub mod template;
pub mod values;
pub mod writer_schema;

pub use roll::{RollPolicy, RollReason};
pub use sources::Source;
pub use template::Template;

#[cfg(test)]
mod tests_of_avro;
#[cfg(test)]
mod tests_of_json_schema;
#[cfg(test)]
mod tests_of_nested;
#[cfg(test)]
mod tests_of_protobuf;
#[cfg(test)]
mod tests_of_template;
