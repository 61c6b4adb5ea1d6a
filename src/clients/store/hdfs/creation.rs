//! How files and directories are made: their modes, and what they inherit.
//!
//! Hadoop's client sends two modes, with the umask and without. The NameNode takes the one without
//! the umask where the parent has a default ACL, and the one with it otherwise. hdfs-native sends
//! one mode alone, so what is made below a default ACL would have a mask that the umask has
//! narrowed: `default:group:analysts:rwx` would give no more than `r-x` under 022, and nothing
//! under 077. So what is made there gets the mode that Hadoop's client would have given it, in a
//! second step.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdfs_native::acl::{AclEntry, AclEntryScope, AclEntryType};
use hdfs_native::file::FileWriter;
use hdfs_native::{Client, HdfsError, WriteOptions};
use parking_lot::Mutex;

use crate::common::config::{FileProperties, Umask};

/// A root's ACL is read again after this time.
const LOOK: Duration = Duration::from_secs(60);
/// Directories of which it is known what they hand down. When there are more, they are asked again.
const KNOWN: usize = 1_024;

pub(super) struct Creation {
    umask: Umask,
    /// The directory of the root.
    base: String,
    /// The NameNode is configured to let default ACLs replace the umask, as by default.
    replaces_umask: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether the root had a default ACL, and when that was asked.
    of_root: Option<(bool, Instant)>,
    /// The modes that directories hand down; [`None`] for one without a default ACL.
    known: HashMap<String, Option<u32>>,
}

/// How one file is made, and made again.
#[derive(Clone)]
pub(super) struct Making {
    pub creation: Arc<Creation>,
    pub files: FileProperties,
}

impl Making {
    /// Creates the file; `replicas`: [`None`] for as many as it is to have.
    pub(super) async fn file(
        &self,
        client: &Client,
        path: &str,
        replicas: Option<u32>,
    ) -> Result<FileWriter, HdfsError> {
        let replication = replicas.or(self.files.replication);
        let of = FileProperties { replication, ..self.files.clone() };
        self.creation.create(client, path, &of).await
    }
}

/// A file that is never made in a directory that is not there.
pub(super) fn options() -> WriteOptions {
    // Whoever creates a file knows which directory it needs, and with which mode.
    WriteOptions::default().overwrite(false).create_parent(false)
}

impl Creation {
    pub(super) fn new(umask: Umask, base: &str, replaces_umask: bool) -> Creation {
        Creation { umask, base: base.into(), replaces_umask, state: Mutex::default() }
    }

    /// Creates a file.
    pub(super) async fn create(
        &self,
        client: &Client,
        path: &str,
        of: &FileProperties,
    ) -> Result<FileWriter, HdfsError> {
        let mode = self.umask.of_file();
        let options = WriteOptions {
            replication: of.replication,
            block_size: of.block_size,
            ..options().permission(mode)
        };
        let made = client.create(path, options).await;
        let mut file = made.map_err(|e| with_key(e, of))?;
        if let Err(e) = own(client, path, of).await {
            // Nobody else would end it, and its lease would be kept for ever.
            let _ = file.close().await;
            let _ = client.delete(path, false).await;
            return Err(e);
        }
        if self.may_inherit(client).await {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            if let Ok(Some(handed_down)) = self.hands_down(client, parent).await {
                replace(client, path, mode, handed_down & 0o666).await;
            }
        }
        Ok(file)
    }

    /// Creates a directory and its parents; it is no error if the directory exists.
    pub(super) async fn make_dirs(
        &self,
        client: &Client,
        path: &str,
        of: &FileProperties,
    ) -> Result<(), HdfsError> {
        let mode = self.umask.of_directory();
        if of.owns() {
            // One after the other: what was there before keeps its owner and its group. The root
            // itself is nobody's directory but the operator's, unless it is not there.
            for parent in self.directories(path) {
                match client.get_file_info(parent_or_root(parent)).await {
                    Err(e) if is_missing(&e) => {}
                    Ok(_) => continue,
                    Err(e) => return Err(e),
                }
                self.make_inheriting(client, parent, mode).await?;
                if parent == self.base {
                    continue;
                }
                if let Err(e) = own(client, parent, of).await {
                    // The next attempt makes it again, and gives it away. A directory that has
                    // something in it by now is somebody's, and HDFS keeps it.
                    let _ = client.delete(parent, false).await;
                    let _ = self.state.lock().known.remove(parent);
                    return Err(e);
                }
            }
        }
        self.make_inheriting(client, path, mode).await
    }

    async fn make_inheriting(
        &self,
        client: &Client,
        path: &str,
        mode: u32,
    ) -> Result<(), HdfsError> {
        if self.may_inherit(client).await {
            // One after the other: each inherits from the one before.
            for parent in self.directories(path) {
                match self.hands_down(client, parent).await {
                    Err(e) if is_missing(&e) => {}
                    _ => continue,
                }
                client.mkdirs(parent, mode, true).await?;
                if let Ok(Some(handed_down)) = self.hands_down(client, parent).await {
                    replace(client, parent, mode, handed_down).await;
                }
            }
        }
        client.mkdirs(path, mode, true).await
    }

    /// The root's directory and those on the way from there to `path`, with it.
    fn directories<'a>(&self, path: &'a str) -> impl Iterator<Item = &'a str> {
        let from = self.base.len().max(1);
        let ends = path.match_indices('/').map(|(at, _)| at).filter(move |at| from <= *at);
        ends.chain([path.len()]).map(|end| &path[..end])
    }

    /// Whether anything below the root may inherit: the root has a default ACL, or is still to be
    /// made below another one.
    async fn may_inherit(&self, client: &Client) -> bool {
        if !self.replaces_umask {
            return false;
        }
        if let Some((inherits, at)) = self.state.lock().of_root
            && at.elapsed() < LOOK
        {
            return inherits;
        }
        let root = if self.base.is_empty() { "/" } else { &self.base };
        let inherits = match client.get_acl_status(root).await {
            Ok(acl) => handed_down(&acl.entries).is_some(),
            Err(e) if is_missing(&e) => return true,
            // The NameNode has no ACLs, or this user may not see them.
            Err(HdfsError::RPCError(..)) => false,
            Err(_) => return false,
        };
        let mut state = self.state.lock();
        state.of_root = Some((inherits, Instant::now()));
        // An ACL may have been set on any of them.
        state.known.clear();
        inherits
    }

    /// The mode of a directory that is made in this one without a umask; [`None`] if this one has
    /// no default ACL.
    async fn hands_down(&self, client: &Client, directory: &str) -> Result<Option<u32>, HdfsError> {
        if let Some(known) = self.state.lock().known.get(directory) {
            return Ok(*known);
        }
        let acl = client.get_acl_status(directory).await?;
        let mode = handed_down(&acl.entries);
        let mut state = self.state.lock();
        if KNOWN <= state.known.len() {
            state.known.clear();
        }
        let _ = state.known.insert(directory.into(), mode);
        Ok(mode)
    }
}

/// The root of HDFS has a name of its own.
fn parent_or_root(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

/// Gives what was made the owner and the group of the configuration.
async fn own(client: &Client, path: &str, of: &FileProperties) -> Result<(), HdfsError> {
    if !of.owns() {
        return Ok(());
    }
    let owned = client.set_owner(path, of.owner.as_deref(), of.group.as_deref()).await;
    owned.map_err(|e| with_key(e, of))
}

/// A refusal of the NameNode, with the key that asked for it, and what to do.
fn with_key(e: HdfsError, of: &FileProperties) -> HdfsError {
    let HdfsError::RPCError(class, text) = e else { return e };
    let said = text.lines().next().unwrap_or_default();
    match hint(said, of) {
        // First, because texts of the NameNode are long.
        Some(hint) => HdfsError::RPCError(class, format!("{hint}: {said}")),
        None => HdfsError::RPCError(class, text),
    }
}

/// The key that a refusal is about. Whole phrases of the NameNode (Hadoop 3.4), because its texts
/// have paths in them, too.
fn hint(said: &str, of: &FileProperties) -> Option<String> {
    if said.contains("super user cannot change owner")
        && let Some(owner) = &of.owner
    {
        return Some(format!(
            "archive.owner = {owner:?} needs a superuser of HDFS, or no such key"
        ));
    }
    if let Some(group) = &of.group
        && said.contains(&format!(" does not belong to {group}"))
    {
        return Some(format!(
            "archive.group = {group:?} needs a user who is in that group on the NameNode (`hdfs \
             groups USER` lists them)"
        ));
    }
    if let Some(copies) = of.replication
        && said.contains("Requested replication factor of ")
    {
        return Some(format!("archive.replication = {copies} is nothing that the NameNode allows"));
    }
    if let Some(size) = of.block_size
        && said.contains("Specified block size is less than ")
    {
        return Some(format!("archive.block_size = \"{size}B\" is less than the NameNode allows"));
    }
    None
}

/// Gives what was made with `mode` another one. If that fails it has fewer rights, and not more.
async fn replace(client: &Client, path: &str, mode: u32, other: u32) {
    if mode == other {
        return;
    }
    if let Err(error) = client.set_permission(path, other).await {
        tracing::debug!(path, %error, "the mode that a default ACL gives can't be set");
    }
}

fn is_missing(e: &HdfsError) -> bool {
    match e {
        HdfsError::FileNotFound(_) => true,
        HdfsError::RPCError(class, _) => class.ends_with("FileNotFoundException"),
        _ => false,
    }
}

/// What the default entries among these leave of 0777: the owner's bits, the mask's in place of the
/// group's, and those of all others.
fn handed_down(entries: &[AclEntry]) -> Option<u32> {
    let of = |wanted: AclEntryType| {
        let is = |e: &&AclEntry| {
            e.scope == AclEntryScope::Default && e.r#type == wanted && e.name.is_none()
        };
        entries.iter().find(is).map(|e| e.permissions.clone() as u32)
    };
    let group = of(AclEntryType::Mask).or_else(|| of(AclEntryType::Group))?;
    Some(of(AclEntryType::User)? << 6 | group << 3 | of(AclEntryType::Other)?)
}

#[cfg(test)]
mod tests {
    use hdfs_native::acl::FsAction;

    use super::*;

    fn creation(base: &str) -> Creation {
        Creation::new(Umask::default(), base, true)
    }

    #[test]
    fn directories_begin_with_the_root() {
        let all = |base: &str, path| creation(base).directories(path).collect::<Vec<_>>().join(" ");
        assert_eq!(all("/data/k", "/data/k/t/dt"), "/data/k /data/k/t /data/k/t/dt");
        assert_eq!(all("/data/k", "/data/k"), "/data/k");
        assert_eq!(all("", "/t/dt"), "/t /t/dt");
        assert_eq!(all("", "/t"), "/t");
    }

    /// The texts are those of Hadoop 3.4.3.
    #[test]
    fn a_refusal_names_the_key_that_it_is_about() {
        let of = FileProperties {
            replication: Some(600),
            block_size: Some(1 << 20),
            owner: Some("etl".into()),
            group: Some("analysts".into()),
        };
        let said = |text: &str, of: &FileProperties| {
            let e = HdfsError::RPCError("IOException".into(), format!("{text}\n\tat o.a.h"));
            with_key(e, of).to_string()
        };
        for (text, want) in [
            (
                "User kafka is not a super user (non-super user cannot change owner).",
                Some("archive.owner = \"etl\" needs a superuser"),
            ),
            (
                "User kafka does not belong to analysts .",
                Some("archive.group = \"analysts\" needs"),
            ),
            (
                "Requested replication factor of 600 exceeds maximum of 512 for /d/replication",
                Some("archive.replication = 600 is"),
            ),
            (
                "Specified block size is less than configured minimum value \
                 (dfs.namenode.fs-limits.min-block-size): 1048576 < 2097152",
                Some("archive.block_size = \"1048576B\" is"),
            ),
            // Parts of a path are no phrase.
            ("Permission denied: user=kafka, inode=\"/replication/block size\"", None),
            ("File /Replication/x does not belong to this lease", None),
        ] {
            let with = said(text, &of);
            let at = want.map(|want| with.find(want).zip(with.find(text)));
            assert!(at.is_none_or(|at| at.is_some_and(|(hint, text)| hint < text)), "{with}");
            assert_eq!(want.is_some(), with.contains("archive."), "{with}");
            assert!(!said(text, &FileProperties::default()).contains("archive."), "{text}");
        }
    }

    #[test]
    fn the_mask_stands_in_the_place_of_the_group() {
        let entry = |kind, scope, permissions, name: Option<&str>| AclEntry {
            r#type: kind,
            scope,
            permissions,
            name: name.map(Into::into),
        };
        let default = |kind, rights| entry(kind, AclEntryScope::Default, rights, None);
        let minimal = vec![
            default(AclEntryType::User, FsAction::PermAll),
            default(AclEntryType::Group, FsAction::ReadExecute),
            default(AclEntryType::Other, FsAction::None),
        ];
        assert_eq!(handed_down(&minimal), Some(0o750));
        let named =
            entry(AclEntryType::Group, AclEntryScope::Default, FsAction::PermAll, Some("analysts"));
        let mask = default(AclEntryType::Mask, FsAction::PermAll);
        let whole: Vec<_> = [vec![named.clone()], minimal, vec![mask]].concat();
        assert_eq!(handed_down(&whole), Some(0o770));
        let access = AclEntry { scope: AclEntryScope::Access, ..named };
        assert_eq!(handed_down(&[access]), None);
        assert_eq!(handed_down(&[]), None);
    }
}
