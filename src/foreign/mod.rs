//! Every decoder of bytes that others may have written, in one table: for the property tests beside
//! it, and for the fuzzer in `fuzz/`, which is built of the same files.
//!
//! A decoder is total: whatever the bytes are, it answers within memory that grows with their
//! number alone, and what it accepts has only paths that stay where they belong. Each function of
//! the table asserts what its decoder promises besides.

mod decoders;
mod outside;
#[cfg(test)]
mod properties;
mod schemas;

#[allow(unused_imports, reason = "the fuzzer's")]
pub use decoders::{DECODERS, Decoder};
