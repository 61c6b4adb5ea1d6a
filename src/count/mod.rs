//! Counting words in tumbling windows. Pure: times are arguments.
//!
//! A record's text is taken apart by [`Tokenizer`]; [`Counts`] sums words by window between two
//! commits; [`output`] is what is published. The merge over partitions takes these sums in place
//! of the output topic when it comes (`scope = "merged"`); nothing here outlives a commit.

pub mod counts;
pub mod output;
pub mod tokenizer;
pub mod window;
mod words;

pub use counts::Counts;
pub use output::{Count, Kind, OutputFormat};
pub use tokenizer::{Split, Tokenizer};
pub use window::{Time, Window};
