//! What is written down and outlives the process: one file for each format, on disk or on the
//! wire.
//!
//! | format | where it stands |
//! | --- | --- |
//! | [`entry`] | the ledger in the store, one file for each appended range |
//! | [`identity`] | `_alluvium/identity` in the store, one for each root |
//! | [`metadata`] | Kafka's committed offsets |
//! | [`schema`] | `_alluvium/schemas` in the store, one for each schema of archived records |
//! | [`header`] | Kafka, on every count and every message of partial counts |
//! | [`partials`] | the partials topic |
//!
//! Pure: this room knows [`crate::pure::record`] and nothing else of the project. Names of files
//! and directories are in [`crate::pure::layout::names`], values of counts in
//! [`crate::pure::count::output`], the rows and schemas of archived files in
//! [`crate::clients::encode`].
//!
//! Each format has a golden sample under `tests/golden`, which a test beside the codec compares
//! byte for byte, in both directions. No test writes these files: whoever changes a format changes
//! its sample by hand, and decides at the same time what happens to what is already written.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub mod entry;
pub mod header;
pub mod identity;
pub mod metadata;
pub mod partials;
pub mod schema;
