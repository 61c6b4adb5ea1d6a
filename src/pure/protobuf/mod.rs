//! Protobuf as messages have it: schemas from source text, and one message of a schema.
//!
//! The compiler is a library. The reader of values is the project's own: the size of a dynamic
//! message of prost-reflect is not bounded by that of its bytes, and strangers write the records.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod built_in;
mod json;
pub mod message;
mod options;
pub mod schema;
pub mod value;
pub mod wire;
