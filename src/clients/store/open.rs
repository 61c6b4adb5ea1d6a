//! Opens the store of a root.

use std::sync::Arc;

use crate::clients::store::api::{Deadlines, Store};
use crate::clients::store::error::StoreError;
use crate::clients::store::{hdfs, local};
use crate::common::config::Root;

/// Opens a store; nothing is sent yet. Call from within a tokio runtime.
///
/// # Errors
/// The client's configuration is not usable.
pub fn open(root: &Root, deadlines: Deadlines) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match root {
        Root::Hdfs { url, options } => Arc::new(hdfs::Hdfs::open(url, options, deadlines)?),
        Root::Local { directory, umask } => {
            Arc::new(local::Local::open(directory, *umask, deadlines))
        }
    })
}
