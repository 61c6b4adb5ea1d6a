//! What every floor above needs, and what knows no client: checked values of the configuration, the
//! series that Prometheus reads, what people are told, and the steps at which a test build dies.

pub mod config;
pub mod crash;
pub mod metrics;
pub mod status;
