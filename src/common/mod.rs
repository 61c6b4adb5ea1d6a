//! What every floor above needs, and what knows no client: the clock, checked values of the
//! configuration, the
//! series that Prometheus reads, what people are told, and the steps at which a test build dies.

pub mod clock;
pub mod config;
pub mod crash;
pub mod deadlines;
pub mod metrics;
pub mod retry;
pub mod spawn;
pub mod status;
