//! What of the floor `common` knows neither clocks nor clients.

#[path = "../../src/common/config/mod.rs"]
pub mod config;
#[path = "../../src/common/deadlines.rs"]
pub mod deadlines;
#[path = "../../src/common/files.rs"]
pub mod files;
#[path = "../../src/common/schemas.rs"]
pub mod schemas;
#[path = "../../src/common/status/mod.rs"]
pub mod status;
