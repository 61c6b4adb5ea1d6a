//! Opens the store of a root.

use std::sync::Arc;

use crate::clients::store::api::{Deadlines, Store};
use crate::clients::store::error::StoreError;
use crate::clients::store::{hdfs, local};
use crate::common::config::{ConfigFault, Root, hadoop_values};

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

/// What is wrong with a root that only its client can tell: one of ViewFS that is in no mount.
/// Nothing can be said where neither the configuration nor this environment names a table, because
/// the environment of the daemon may.
#[must_use]
pub fn refused(root: &Root) -> Option<ConfigFault> {
    let Root::Hdfs { url, options } = root else { return None };
    // What can't be read is a fault of its own.
    let values = hadoop_values(options).ok()?;
    let has_table = values.keys().any(|name| name.starts_with("fs.viewfs.mounttable."));
    let is_known = options.conf_dir.is_some() || has_table;
    let why = hdfs::resolve(url, &values).err().filter(|_| is_known)?;
    Some(ConfigFault::new("archive.root", format!("{url}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::HdfsOptions;

    #[test]
    fn a_root_in_no_mount_is_a_fault() {
        let said = |link: &str| {
            let link = format!("fs.viewfs.mounttable.c.link.{link}");
            let properties = [(link, "hdfs://n:1/".to_string())].into();
            let options = HdfsOptions { properties, ..HdfsOptions::default() };
            refused(&Root::Hdfs { url: "viewfs://c/data/k".into(), options })
        };
        assert_eq!(said("/data"), None);
        let fault = said("/other").unwrap();
        assert_eq!(fault.key, "archive.root");
        assert!(fault.message.contains("in no mount"), "{}", fault.message);
        assert_eq!(refused(&Root::Local { directory: "/d".into(), umask: None }), None);
    }
}
