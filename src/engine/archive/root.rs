//! The id of a root: written by the first daemon that opens it, and named by every ledger entry.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clients::store::{ErrorKind, Store, StoreError};
use crate::pure::layout::names::{IDENTITY, PRIVATE};

/// `_alluvium/identity`: JSON, written once, never changed.
#[derive(Serialize, Deserialize)]
pub struct RootIdentity {
    pub version: u32,
    /// 32 hexadecimal digits.
    pub root: String,
}

impl RootIdentity {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields")
    }
}

/// The id of a root; [`None`] before a daemon has opened it.
///
/// # Errors
/// The store does not answer, or another version wrote the id.
pub async fn root_id(store: &dyn Store) -> Result<Option<String>, StoreError> {
    let Some(text) = store.read(IDENTITY).await? else {
        return Ok(None);
    };
    let error = |detail: String| StoreError::new(ErrorKind::Other, "read", IDENTITY, detail);
    let identity: RootIdentity = serde_json::from_slice(&text).map_err(|e| error(e.to_string()))?;
    if identity.version != 1 {
        return Err(error(format!(
            "is of version {}; this build reads version 1",
            identity.version
        )));
    }
    Ok(Some(identity.root))
}

/// The id of a root, which is written if there is none.
///
/// # Errors
/// The store does not answer or refuses the id, or another version wrote it.
pub async fn identity(store: &dyn Store) -> Result<String, StoreError> {
    if let Some(id) = root_id(store).await? {
        return Ok(id);
    }
    let id = uuid::Uuid::new_v4().simple().to_string();
    let staged = format!("{PRIVATE}/staging/identity-{id}");
    store.make_dirs(&format!("{PRIVATE}/staging")).await?;
    let text = RootIdentity { version: 1, root: id }.encode();
    let mut file = store.create(&staged).await?;
    file.write(Bytes::from(text)).await?;
    file.close().await?;
    let put = store.rename(&staged, IDENTITY).await;
    let found = root_id(store).await?;
    store.delete(&staged).await?;
    match (found, put) {
        (Some(id), _) => Ok(id),
        (None, Err(e)) => Err(e),
        (None, Ok(())) => {
            let detail = "was written and is not there";
            Err(StoreError::new(ErrorKind::Other, "read", IDENTITY, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::store::Memory;

    #[tokio::test]
    async fn a_root_keeps_its_id() {
        let store = Memory::default();
        let id = identity(&store).await.unwrap();
        assert_eq!(id.len(), 32);
        assert_eq!(identity(&store).await.unwrap(), id);
        let _ = store.lock().files.insert(IDENTITY.into(), br#"{"version":2,"root":"x"}"#.to_vec());
        assert!(identity(&store).await.unwrap_err().to_string().contains("version 2"));
    }
}
