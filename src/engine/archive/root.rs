//! The id of a root: written by the first daemon that opens it, and named by every ledger entry.

use bytes::Bytes;

use crate::clients::store::{ErrorKind, FileFacts, SMALL, Store, StoreError};
use crate::common::config::FileProperties;
use crate::engine::archive::ledger::LedgerError;
use crate::pure::formats::identity::RootIdentity;
use crate::pure::layout::names::{self, IDENTITY, LEDGERS, STAGING};

/// The id of a root; [`None`] before a daemon has opened it.
///
/// # Errors
/// The store does not answer, or another version wrote the id.
pub async fn root_id(store: &dyn Store) -> Result<Option<String>, StoreError> {
    let Some(text) = store.read_at_most(IDENTITY, SMALL).await? else {
        return Ok(None);
    };
    let error = |detail: String| StoreError::new(ErrorKind::Other, "read", IDENTITY, detail);
    let identity = RootIdentity::decode(&text).map_err(|e| error(e.to_string()))?;
    Ok(Some(identity.root))
}

/// What stands where the id of a root belongs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FoundIdentity {
    Missing,
    Unreadable(String),
    Is(String),
}

/// Looks at the id of a root.
///
/// # Errors
/// The store does not answer.
pub async fn find_identity(store: &dyn Store) -> Result<FoundIdentity, StoreError> {
    let text = match store.read_at_most(IDENTITY, SMALL).await {
        Err(e) if e.kind == ErrorKind::TooLarge => return Ok(FoundIdentity::Unreadable(e.detail)),
        read => read?,
    };
    Ok(match text.map(|text| RootIdentity::decode(&text)) {
        None => FoundIdentity::Missing,
        Some(Ok(identity)) => FoundIdentity::Is(identity.root),
        Some(Err(e)) => FoundIdentity::Unreadable(e.to_string()),
    })
}

/// Whether a call failed because of its one file: the store reads another one meanwhile.
pub async fn is_of_one_file(store: &dyn Store, e: &StoreError) -> bool {
    !e.kind.is_login() && e.path != IDENTITY && find_identity(store).await.is_ok()
}

/// Whether what has failed is of one ledger or file alone, so that others can be looked at.
pub async fn is_of_one_ledger(store: &dyn Store, e: &LedgerError) -> bool {
    match e {
        LedgerError::Store(e) => is_of_one_file(store, e).await,
        e => e.is_damage(),
    }
}

/// The id of a root, which is written if there is none.
///
/// # Errors
/// The store does not answer or refuses the id, or another version wrote it.
pub async fn identity(store: &dyn Store) -> Result<String, StoreError> {
    if let Some(id) = root_id(store).await? {
        return Ok(id);
    }
    if !store.list(LEDGERS).await?.is_empty() {
        let detail = "the identity file is missing, and ledgers stand here: a new id would not be \
                      theirs. Run `alluvium repair --apply`, which writes the id anew from the \
                      ledgers";
        return Err(StoreError::new(ErrorKind::Other, "read", IDENTITY, detail));
    }
    write(store, uuid::Uuid::new_v4().simple().to_string()).await
}

/// Creates a file, and deletes it again: files that could not be read back for certain are refused
/// before there is a record to write. Any other failure is left to the first file: a root that
/// takes nothing now may take files later.
///
/// # Errors
/// The store refuses all files of this root.
pub async fn check_files(store: &dyn Store) -> Result<(), StoreError> {
    let probe = names::staged_identity(&format!("probe-{}", uuid::Uuid::new_v4().simple()));
    let probed = async {
        store.make_dirs(STAGING).await?;
        let closed = store.create(&probe).await?.close().await;
        let deleted = store.delete(&probe).await;
        closed.and(deleted)
    };
    match probed.await {
        Err(e) if e.kind == ErrorKind::Unsuitable => Err(e),
        Err(error) => {
            tracing::debug!(root = store.url(), %error, "no file can be created and deleted now");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Does with a file what an append does, and deletes it: it is renamed into this directory, where
/// records would be published. What the store said of the file. Directories that were made for it
/// are deleted, unless something else lies there meanwhile.
///
/// # Errors
/// The store does not answer, or refuses a step.
pub async fn try_files(
    store: &dyn Store,
    directory: &str,
    of: &FileProperties,
) -> Result<Option<FileFacts>, StoreError> {
    let probe = names::staged_identity(&format!("probe-{}", uuid::Uuid::new_v4().simple()));
    // Readers skip a name that begins so.
    let name = format!("_{}", probe.rsplit('/').next().unwrap_or_default());
    let published = [directory, &name].join("/").trim_start_matches('/').to_string();
    store.make_dirs(STAGING).await?;
    let missing = missing(store, directory).await?;
    let mut file = store.create_with(&probe, of).await?;
    let appended = async {
        file.write(Bytes::from_static(b"probe")).await?;
        file.close().await?;
        store.make_dirs_with(directory, of).await?;
        store.rename(&probe, &published).await
    }
    .await;
    let facts = match &appended {
        Ok(()) => store.facts(&published).await,
        Err(_) => Ok(None),
    };
    let left = if appended.is_ok() { &published } else { &probe };
    let deleted = store.delete(left).await;
    for made in missing.iter().rev() {
        if store.delete_empty(made).await.is_err() {
            break;
        }
    }
    appended.and(facts).and_then(|facts| deleted.map(|()| facts))
}

/// The directories on the way to this one that are not there, the highest first.
async fn missing(store: &dyn Store, directory: &str) -> Result<Vec<String>, StoreError> {
    let (mut missing, mut above) = (Vec::new(), String::new());
    for name in directory.split('/').filter(|name| !name.is_empty()) {
        let path = if above.is_empty() { name.to_string() } else { format!("{above}/{name}") };
        // Below a directory that is not there, none is.
        let is_there = missing.is_empty() && store.list(&above).await?.iter().any(|n| n == name);
        if !is_there {
            missing.push(path.clone());
        }
        above = path;
    }
    Ok(missing)
}

/// Writes a root's id, unless one stands there; the id that stands there then.
///
/// # Errors
/// The store does not answer or refuses the id, or another version wrote it.
pub async fn write(store: &dyn Store, id: String) -> Result<String, StoreError> {
    let staged = names::staged_identity(&id);
    store.make_dirs(STAGING).await?;
    let text = RootIdentity::new(id).encode();
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
    async fn a_try_leaves_nothing_but_what_was_there() {
        let (store, plain) = (Memory::default(), FileProperties::default());
        for directory in ["", "t/dt=1/hr=2"] {
            let facts = try_files(&store, directory, &plain).await.unwrap();
            assert!(facts.is_some(), "the store tells of the file");
            assert!(store.lock().files.is_empty());
            assert_eq!(store.list("").await.unwrap(), ["_alluvium"]);
        }
        store.make_dirs("t/dt=1").await.unwrap();
        let owned = FileProperties { group: Some("analysts".into()), ..plain };
        let _ = try_files(&store, "t/dt=1/hr=2", &owned).await.unwrap();
        assert_eq!(store.lock().properties["t/dt=1/hr=2"], owned);
        assert_eq!(store.lock().properties["t/dt=1"], FileProperties::default());
        assert_eq!(store.list("t").await.unwrap(), ["dt=1"]);
        assert!(store.list("t/dt=1").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_root_keeps_its_id() {
        let store = Memory::default();
        let id = identity(&store).await.unwrap();
        assert_eq!(id.len(), 32);
        assert_eq!(identity(&store).await.unwrap(), id);
        let _ = store.lock().files.insert(IDENTITY.into(), br#"{"version":2,"root":"x"}"#.to_vec());
        assert!(identity(&store).await.unwrap_err().to_string().contains("version 2"));
        let _ = store.lock().files.remove(IDENTITY);
        store.make_dirs("_alluvium/ledger/t").await.unwrap();
        let refused = identity(&store).await.unwrap_err().to_string();
        assert!(refused.contains("identity file is missing"), "{refused}");
        assert_eq!(write(&store, id.clone()).await.unwrap(), id);
        assert_eq!(identity(&store).await.unwrap(), id);
    }
}
