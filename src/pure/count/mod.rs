//! Counting words in tumbling windows. Pure: times are arguments.
//!
//! [`Aggregate`] says what of a record is counted: its words ([`Tokenizer`]), key or field;
//! [`Counts`] sums words by window between two commits. With `scope = "partition"` these sums are
//! what is published ([`output`]). Else they travel as
//! [`crate::pure::formats::partials`], and [`merge`] sums them over all source partitions, one
//! partition of the partials topic at a time, until a window is whole.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod aggregate;
pub mod counts;
mod cut;
pub mod merge;
pub mod output;
pub mod tokenizer;
pub mod window;
// Its numbers are places in a table of its own; sums are checked.
#[allow(clippy::arithmetic_side_effects)]
pub mod words;

pub use aggregate::{Aggregate, By, Terms};
pub use counts::Counts;
pub use merge::Patience;
pub use output::{Count, CountKind, Merged, OutputFormat};
pub use tokenizer::{Split, Tokenizer};
pub use window::Window;

pub use crate::pure::record_time::Time;
