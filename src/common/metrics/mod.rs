//! The series that Prometheus scrapes, on a registry that is passed down.
//!
//! Label values come from closed sets; topic and partition stand on gauges only.

mod handles;
mod registry;
mod series;

pub use handles::{Metrics, catalogue};
