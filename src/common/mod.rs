//! What every floor above needs, and what knows no client: the clock, checked values of the
//! configuration, what fails since when, the series that Prometheus reads, what people are told,
//! and the steps at which the process dies.

pub mod clock;
pub mod config;
pub mod crash;
pub mod deadlines;
pub mod files;
pub mod health;
pub mod metrics;
pub mod retry;
pub mod schemas;
pub mod spawn;
pub mod status;
