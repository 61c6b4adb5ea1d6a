//! A JSON Schema as the properties of one object, with the types that columns can have.
//!
//! Nothing is validated: what decides is whether a property's column holds its value. The hints of
//! Confluent's converters (`connect.type`, `connect.index`, titles of logical types) are read.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod documents;
mod object;
mod shape;
#[cfg(test)]
mod tests;

pub use documents::Type;
pub use object::{Object, Property, Referred};
pub use shape::Shape;
