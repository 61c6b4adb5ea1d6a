//! The modes of what is made in a local directory.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind as Io, Result};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::common::config::Umask;

/// Makes files and directories under a umask of the configuration, or under that of the process.
#[derive(Clone, Copy)]
pub(super) struct LocalModes(Option<Configured>);

#[derive(Clone, Copy)]
struct Configured {
    umask: Umask,
    /// What the process' own umask takes besides. systemd sets it to 0077 by the unit, so that what
    /// the configuration leaves to others has to be given to them afterwards.
    of_process: u32,
}

impl LocalModes {
    pub(super) fn new(umask: Option<Umask>) -> LocalModes {
        let of_process = || {
            let status = procfs::process::Process::myself().and_then(|p| p.status());
            // A kernel that does not say may take anything.
            status.ok().and_then(|s| s.umask).unwrap_or(0o777)
        };
        LocalModes(umask.map(|umask| Configured { umask, of_process: of_process() }))
    }

    /// Creates a file that is not there.
    pub(super) fn create(self, path: &Path) -> Result<File> {
        let Some(configured) = self.0 else { return File::create_new(path) };
        let mode = configured.umask.of_file();
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        if mode & configured.of_process != 0 {
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        Ok(file)
    }

    /// Creates a directory and its parents, as far as they are not there.
    pub(super) fn make_dirs(self, path: &Path) -> Result<()> {
        let Some(configured) = self.0 else { return std::fs::create_dir_all(path) };
        if path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.make_dirs(parent)?;
        }
        let mode = configured.umask.of_directory();
        match DirBuilder::new().mode(mode).create(path) {
            // Another instance made it at this moment.
            Err(e) if e.kind() == Io::AlreadyExists && path.is_dir() => Ok(()),
            Ok(()) if mode & configured.of_process != 0 => {
                // What the directory has from its parent (its group, if that is inherited) stays.
                let inherited = std::fs::metadata(path)?.permissions().mode() & 0o7000;
                std::fs::set_permissions(path, Permissions::from_mode(mode | inherited))
            }
            made => made,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    /// The umask of this process cannot be set by a test beside others, so it is said to be one
    /// that takes everything: everything is given back.
    #[test]
    fn what_is_made_has_the_modes_of_the_umask() {
        for (umask, file, directory) in
            [("022", 0o644, 0o755), ("027", 0o640, 0o750), ("002", 0o664, 0o775)]
        {
            let dir = tempfile::tempdir().unwrap();
            let top = dir.path();
            std::fs::set_permissions(top, Permissions::from_mode(0o2700)).unwrap();
            let of = Configured { umask: Umask::parse(umask).unwrap(), of_process: 0o777 };
            let modes = LocalModes(Some(of));
            modes.make_dirs(&top.join("a/b")).unwrap();
            modes.make_dirs(&top.join("a/b")).unwrap();
            drop(modes.create(&top.join("a/b/c")).unwrap());
            assert_eq!(mode(&top.join("a/b/c")), file, "{umask}");
            for made in ["a", "a/b"] {
                assert_eq!(mode(&top.join(made)), directory | 0o2000, "{umask} {made}");
            }
            assert_eq!(mode(top), 0o2700, "what was there stays as it is");
            assert_eq!(modes.create(&top.join("a/b/c")).unwrap_err().kind(), Io::AlreadyExists);
            assert!(modes.make_dirs(&top.join("a/b/c")).is_err(), "a file is in the way");
        }
    }

    #[test]
    fn without_a_umask_that_of_the_process_holds() {
        let (dir, plain) = (tempfile::tempdir().unwrap(), LocalModes::new(None));
        plain.make_dirs(&dir.path().join("a")).unwrap();
        drop(plain.create(&dir.path().join("b")).unwrap());
        std::fs::create_dir(dir.path().join("c")).unwrap();
        drop(File::create_new(dir.path().join("d")).unwrap());
        let mode = |name| mode(&dir.path().join(name));
        assert_eq!((mode("a"), mode("b")), (mode("c"), mode("d")));
    }
}
