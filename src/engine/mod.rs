//! What carries records: it joins the pure rules to the clients.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub mod archive;
pub mod results;
pub mod schemas;
pub mod topics;
pub mod worker;
