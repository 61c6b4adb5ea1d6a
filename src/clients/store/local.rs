//! A local directory as a store, for one host and for trying things out.

use std::collections::BTreeSet;
use std::io::ErrorKind as Io;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::runtime::Handle;

use crate::clients::store::api::{Deadlines, FileFacts, Limit, Limited, Store, Walked, Writer};
use crate::clients::store::error::{ErrorKind, StoreError};
use crate::clients::store::local_modes::LocalModes;
use crate::clients::store::tasks::{RawFile, TaskWriter, within};
use crate::common::config::{FileProperties, Umask};
use crate::common::files;

pub(super) struct Local {
    root: PathBuf,
    url: String,
    deadlines: Deadlines,
    modes: LocalModes,
}

impl Local {
    pub(super) fn open(directory: &str, umask: Option<Umask>, deadlines: Deadlines) -> Local {
        let url = format!("file://{directory}");
        Local { root: directory.into(), url, deadlines, modes: LocalModes::new(umask) }
    }

    /// Runs blocking work off the runtime's threads.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: &str,
        work: impl FnOnce(&Path) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let full = self.root.join(path);
        let shown = full.display().to_string();
        let name = shown.clone();
        within(&Handle::current(), self.deadlines.call, operation, &shown, async move {
            let done = tokio::task::spawn_blocking(move || work(&full)).await;
            match done {
                Ok(answer) => answer.map_err(|e| classify(operation, &name, &e)),
                Err(e) => Err(StoreError::new(ErrorKind::Unknown, operation, &name, e)),
            }
        })
        .await
    }
}

fn classify(operation: &'static str, path: &str, e: &std::io::Error) -> StoreError {
    let kind = match e.kind() {
        Io::AlreadyExists => ErrorKind::AlreadyExists,
        Io::NotFound => ErrorKind::NotFound,
        Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::Permission,
        Io::StorageFull | Io::QuotaExceeded => ErrorKind::NoSpace,
        _ => ErrorKind::Other,
    };
    if e.kind() == Io::ReadOnlyFilesystem {
        let text = format!(
            "{e}: for a unit of systemd with ProtectSystem=strict all directories are read-only \
             that it does not name; write ReadWritePaths= with the directory of the root into a \
             drop-in (systemctl edit alluvium)"
        );
        return StoreError::new(kind, operation, path, text);
    }
    StoreError::new(kind, operation, path, e)
}

fn sync_parent(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    std::fs::File::open(parent)?.sync_all()
}

/// Without a buffer of its own: tokio's file keeps one of the largest chunk for as long as it is
/// open.
struct LocalFile {
    file: Arc<std::fs::File>,
    path: PathBuf,
}

impl LocalFile {
    async fn run(
        &self,
        operation: &'static str,
        work: impl FnOnce(&std::fs::File) -> std::io::Result<()> + Send + 'static,
    ) -> Result<(), StoreError> {
        let (file, path) = (Arc::clone(&self.file), self.path.display().to_string());
        match tokio::task::spawn_blocking(move || work(&file)).await {
            Ok(done) => done.map_err(|e| classify(operation, &path, &e)),
            Err(e) => Err(StoreError::new(ErrorKind::Unknown, operation, &path, e)),
        }
    }
}

#[async_trait]
impl RawFile for LocalFile {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.run("write", move |mut file| file.write_all(&bytes)).await
    }

    /// Fails if the file was deleted meanwhile, as a file of HDFS does.
    async fn close(&mut self) -> Result<(), StoreError> {
        let path = self.path.clone();
        self.run("close", move |file| {
            use std::os::unix::fs::MetadataExt as _;
            file.sync_all()?;
            let (mine, there) = (file.metadata()?, std::fs::metadata(&path)?);
            let is_mine = (mine.dev(), mine.ino()) == (there.dev(), there.ino());
            let other = || std::io::Error::new(Io::NotFound, "another file lies at its place");
            is_mine.then_some(()).ok_or_else(other)
        })
        .await
    }
}

#[async_trait]
impl Store for Local {
    fn url(&self) -> &str {
        &self.url
    }

    async fn create_with(
        &self,
        path: &str,
        _: &FileProperties,
    ) -> Result<Box<dyn Writer>, StoreError> {
        let modes = self.modes;
        let made = self.run("create", path, move |p| modes.create(p).map(|f| (f, p.to_path_buf())));
        let (file, full) = made.await?;
        let file = LocalFile { file: Arc::new(file), path: full };
        Ok(Box::new(TaskWriter::spawn(&Handle::current(), path, file, self.deadlines)))
    }

    async fn make_dirs_with(&self, path: &str, _: &FileProperties) -> Result<(), StoreError> {
        let modes = self.modes;
        self.run("make directory", path, move |p| modes.make_dirs(p)).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let target = self.root.join(to);
        self.run("rename", from, move |p| {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            renameat_with(CWD, p, CWD, &target, RenameFlags::NOREPLACE)?;
            sync_parent(&target)
        })
        .await
    }

    async fn delete(&self, path: &str) -> Result<(), StoreError> {
        self.run("delete", path, |p| {
            let gone =
                if p.is_dir() { std::fs::remove_dir_all(p) } else { std::fs::remove_file(p) };
            gone.or_else(|e| if e.kind() == Io::NotFound { Ok(()) } else { Err(e) })
        })
        .await
    }

    async fn delete_empty(&self, path: &str) -> Result<(), StoreError> {
        self.run("delete", path, |p| std::fs::remove_dir(p)).await
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, StoreError> {
        self.run("look at", path, |p| match std::fs::metadata(p) {
            Ok(m) => Ok((!m.is_dir()).then_some(m.len())),
            Err(e) if matches!(e.kind(), Io::NotFound | Io::NotADirectory) => Ok(None),
            Err(e) => Err(e),
        })
        .await
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, StoreError> {
        self.run("list", path, |p| match std::fs::read_dir(p) {
            Ok(names) => names.map(|e| Ok(e?.file_name().to_string_lossy().into_owned())).collect(),
            Err(e) if matches!(e.kind(), Io::NotFound | Io::NotADirectory) => Ok(Vec::new()),
            Err(e) => Err(e),
        })
        .await
    }

    async fn walk(&self, path: &str) -> Result<Walked, StoreError> {
        let root = self.root.clone();
        self.run("list", path, move |top| walk(&root, top)).await
    }

    async fn read_at_most(&self, path: &str, most: u64) -> Result<Option<Bytes>, StoreError> {
        let read = self.run("read", path, move |p| {
            match std::fs::metadata(p) {
                Ok(m) if m.is_dir() => return Ok(Ok(None)),
                Err(e) if matches!(e.kind(), Io::NotFound | Io::NotADirectory) => {
                    return Ok(Ok(None));
                }
                _ => {}
            }
            let mut file = files::open(p)?;
            let length = file.metadata()?.len();
            if most < length {
                return Ok(Err(length));
            }
            let mut bytes = Vec::new();
            let _ = file.read_to_end(&mut bytes)?;
            Ok(Ok(Some(bytes.into())))
        });
        match read.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(length)) => Err(StoreError::too_large(path, length, most)),
            Err(e) if e.kind == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn facts(&self, path: &str) -> Result<Option<FileFacts>, StoreError> {
        use std::os::unix::fs::MetadataExt as _;
        self.run("look at", path, |p| match std::fs::metadata(p) {
            Ok(m) if m.is_dir() => Ok(None),
            Ok(m) => {
                let modified =
                    m.mtime().saturating_mul(1_000).saturating_add(m.mtime_nsec() / 1_000_000);
                Ok(Some(FileFacts { modified, copies: 1, block: m.blksize(), is_coded: false }))
            }
            Err(e) if matches!(e.kind(), Io::NotFound | Io::NotADirectory) => Ok(None),
            Err(e) => Err(e),
        })
        .await
    }

    /// Those of the disk, as they are for this user.
    async fn limits(&self) -> Result<Vec<Limit>, StoreError> {
        self.run("look at", "", |p| {
            let disk = rustix::fs::statvfs(p)?;
            let limit = |of, limit: u64, free: u64| {
                let directory = format!("the disk of {}", p.display());
                let directory = directory.trim_end_matches('/').to_string();
                Limit { directory, of, limit, used: limit.saturating_sub(free) }
            };
            let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
            let mut all = vec![limit(Limited::Bytes, bytes(disk.f_blocks), bytes(disk.f_bavail))];
            // Some file systems do not limit the number of files.
            if 0 < disk.f_files {
                all.push(limit(Limited::Names, disk.f_files, disk.f_favail));
            }
            Ok(all)
        })
        .await
    }
}

/// Everything below a directory. What can't be looked at is named, and so is a link that leads back
/// to where it was met.
fn walk(root: &Path, top: &Path) -> std::io::Result<Walked> {
    use std::os::unix::fs::MetadataExt as _;
    let inside = |at: &Path| {
        at.strip_prefix(root).unwrap_or(at).to_string_lossy().trim_matches('/').to_string()
    };
    let (mut walked, mut todo) = (Walked::default(), vec![top.to_path_buf()]);
    let (mut links, mut seen) = (Vec::new(), BTreeSet::new());
    // Links are last, so that a directory is known by its own path.
    while let Some(directory) = todo.pop().or_else(|| links.pop()) {
        let mut refuse = |at: &Path, e: &std::io::Error| {
            let e = classify("list", &at.display().to_string(), e);
            walked.refused.push((inside(at), e));
        };
        let names = match std::fs::read_dir(&directory) {
            Err(e) if matches!(e.kind(), Io::NotFound | Io::NotADirectory) => continue,
            Err(e) => {
                refuse(&directory, &e);
                continue;
            }
            Ok(names) => names,
        };
        if let Ok(m) = std::fs::metadata(&directory)
            && !seen.insert((m.dev(), m.ino()))
        {
            walked.twice.push(inside(&directory));
            continue;
        }
        for name in names {
            let at = match name {
                Ok(name) => name.path(),
                Err(e) => {
                    refuse(&directory, &e);
                    break;
                }
            };
            match std::fs::metadata(&at) {
                Ok(m) if m.is_dir() && at.is_symlink() => links.push(at),
                Ok(m) if m.is_dir() => todo.push(at),
                Ok(m) => walked.files.push((inside(&at), m.len())),
                Err(e) if e.kind() == Io::NotFound => {}
                // The names may be listed, and nothing else may be asked of them.
                Err(e) if e.kind() == Io::PermissionDenied => {
                    refuse(&directory, &e);
                    break;
                }
                Err(e) => refuse(&at, &e),
            }
        }
    }
    Ok(walked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_only_file_system_points_to_the_unit() {
        let e = std::io::Error::from_raw_os_error(30);
        let told = classify("create", "/srv/archive", &e);
        assert_eq!(told.kind, ErrorKind::Permission);
        assert!(told.detail.starts_with("Read-only file system"), "{told}");
        assert!(told.detail.contains("ReadWritePaths="), "{told}");
    }

    /// The tests may run as root, who may list everything: then nothing is refused.
    #[tokio::test]
    async fn a_directory_that_may_not_be_listed_keeps_no_other_one_from_being_listed() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let store = Local::open(dir.path().to_str().unwrap(), None, Deadlines::default());
        for name in ["a/closed", "a/unlisted", "b"] {
            let at = dir.path().join(name);
            std::fs::create_dir_all(&at).unwrap();
            std::fs::write(at.join("f"), "x").unwrap();
        }
        let set = |name: &str, mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(dir.path().join(name), mode).unwrap();
        };
        set("a/closed", 0o000);
        set("a/unlisted", 0o444);
        let walked = store.walk("").await.unwrap();
        set("a/closed", 0o755);
        set("a/unlisted", 0o755);
        let mut files: Vec<&str> = walked.files.iter().map(|(path, _)| path.as_str()).collect();
        files.sort_unstable();
        let mut refused: Vec<&str> = walked.refused.iter().map(|(path, _)| path.as_str()).collect();
        refused.sort_unstable();
        if rustix::process::geteuid().is_root() {
            assert_eq!((files.len(), refused.len()), (3, 0));
        } else {
            assert_eq!((files, refused), (vec!["b/f"], vec!["a/closed", "a/unlisted"]));
            let (_, e) = &walked.refused[0];
            assert!(e.kind == ErrorKind::Permission && e.to_string().contains("denied"), "{e}");
        }
    }

    #[tokio::test]
    async fn links_that_lead_in_circles_are_named_and_followed_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Local::open(dir.path().to_str().unwrap(), None, Deadlines::default());
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/b/f"), "x").unwrap();
        let link = |to: &Path, at: &str| {
            std::os::unix::fs::symlink(to, dir.path().join(at)).unwrap();
        };
        link(&dir.path().join("a"), "a/b/up");
        link(&dir.path().join("self"), "self");
        link(&dir.path().join("nowhere"), "dangling");
        let walked = store.walk("").await.unwrap();
        assert_eq!(walked.files, [("a/b/f".to_string(), 1)]);
        let refused: Vec<&str> = walked.refused.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!((refused, walked.twice), (vec!["self"], vec!["a/b/up".to_string()]));
    }

    #[tokio::test]
    async fn keeps_the_promises_of_a_store() {
        let dir = tempfile::tempdir().unwrap();
        let store = Local::open(dir.path().to_str().unwrap(), None, Deadlines::default());
        crate::fakes::store::promises(&store).await;
    }
}
