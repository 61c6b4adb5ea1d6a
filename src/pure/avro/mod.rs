//! Avro as messages have it: schemas, and one bare datum of a schema.
//!
//! The readers are the project's own. arrow-avro cannot take a row back whose end is broken, and
//! apache-avro bounds neither the depth of a datum nor the memory that its arrays ask for:
//! strangers write the records, and one of them must not end the process.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub mod datum;
pub mod numbers;
pub mod schema;
