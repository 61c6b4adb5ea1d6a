//! What is pure: no client, no clock, no randomness, no environment and no logging is known here,
//! so that every rule can be walked exhaustively and every case is a value.

pub mod avro;
pub mod calendar;
pub mod count;
pub mod duration;
pub mod fault;
pub mod field;
pub mod field_path;
pub mod formats;
pub mod json;
pub mod json_schema;
pub mod layout;
pub mod protobuf;
pub mod protocol;
pub mod record;
pub mod record_time;
