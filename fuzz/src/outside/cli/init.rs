//! What makes a configuration of them.

#[path = "../../../../src/outside/cli/init/connect.rs"]
pub(crate) mod connect;
#[path = "../../../../src/outside/cli/init/draft.rs"]
pub(crate) mod draft;
#[path = "../../../../src/outside/cli/init/errors.rs"]
pub(crate) mod errors;
#[path = "../../../../src/outside/cli/init/properties.rs"]
mod properties;
