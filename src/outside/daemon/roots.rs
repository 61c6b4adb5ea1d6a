//! Opening the stores, and the id of each root.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use crate::clients::store::measured::{Measured, Took};
use crate::clients::store::{self, Deadlines, ErrorKind, Store};
use crate::common::config::{Config, Root};
use crate::engine::archive::root::identity;
use crate::outside::daemon::active::ActiveConfig;
use crate::outside::daemon::unavailable::Unavailable;

/// Opens every root that a mapping names, and reads or writes its id. Of what is in force, the same
/// roots stay open. `took` is told of each operation.
pub(crate) async fn open_all(
    config: &Config,
    before: Option<&ActiveConfig>,
    took: Option<&Arc<Took>>,
) -> Result<HashMap<String, (Arc<dyn Store>, String)>, Unavailable> {
    let mut stores = HashMap::new();
    for mapping in &config.mappings {
        let counts = mapping.count.as_ref().and_then(|c| c.archive.as_ref());
        for archive in mapping.archive.iter().chain(counts) {
            let url = archive.root.url();
            if let Entry::Vacant(unopened) = stores.entry(url.clone()) {
                if let Some(open) = before.and_then(|b| b.store(&archive.root)) {
                    let _ = unopened.insert(open);
                    continue;
                }
                let opened = open(&archive.root).await.map_err(|e| {
                    Unavailable(format!("root {url} of mapping.{}: {e}", mapping.name))
                })?;
                let (store, id) = opened;
                let store = match took {
                    Some(took) => Measured::wrap(store, took),
                    None => store,
                };
                let _ = unopened.insert((store, id));
            }
        }
    }
    Ok(stores)
}

async fn open(root: &Root) -> Result<(Arc<dyn Store>, String), String> {
    if let Root::Hdfs { url, .. } = root {
        reach(url).await?;
    }
    let store = store::open(root, Deadlines::default()).map_err(|e| e.to_string())?;
    let id = identity(&*store).await.map_err(|e| match e.kind {
        ErrorKind::Permission => {
            format!("{e}. Give the daemon's user write access to the root, or set archive.user")
        }
        ErrorKind::Unknown | ErrorKind::Unavailable => {
            format!("{e}. Is the store up, and is archive.root right?")
        }
        _ => e.to_string(),
    })?;
    tracing::info!(root = store.url(), id, "root opened");
    Ok((store, id))
}

/// A NameNode that does not listen: the client would try for minutes and then say less.
async fn reach(url: &str) -> Result<(), String> {
    let authority = url.trim_start_matches("hdfs://").split('/').next().unwrap_or_default();
    if !authority.contains(':') {
        return Ok(());
    }
    let hint =
        "check the host and port in archive.root (the NameNode's RPC port, often 8020 or 9000)";
    let connect = tokio::net::TcpStream::connect(authority);
    match tokio::time::timeout(Duration::from_secs(5), connect).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => Err(format!("can't connect to the NameNode at {authority}: {e}; {hint}")),
        Err(_) => Err(format!("the NameNode at {authority} does not answer within 5 s; {hint}")),
    }
}
