//! How the schema of an id comes to be known: from the root that keeps it, or from the registry.
//!
//! A worker asks for an id and goes on; a task finds the answer, and the worker looks for it.

mod fetcher;

pub use fetcher::Fetcher;

#[cfg(test)]
mod tests;
