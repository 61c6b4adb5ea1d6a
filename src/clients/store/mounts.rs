//! File systems that are mounted below a local directory. A file can't be renamed from one file
//! system to another, and each append ends with a rename.

use std::path::{Path, PathBuf};

/// Refuses a directory for a root below which another file system is mounted.
///
/// # Errors
/// There is such a mount; the text names the first one, and what to do.
pub fn refuse_mounts_below(directory: &Path) -> Result<(), String> {
    let Some(mount) = mount_below(directory) else { return Ok(()) };
    Err(format!(
        "another file system is mounted at {}, below the root, and no file can be renamed into it: \
         mount it at the root itself, or choose another root",
        mount.display()
    ))
}

/// The first mount point below a directory, by name; [`None`] if there is none, or if the kernel
/// does not say.
fn mount_below(directory: &Path) -> Option<PathBuf> {
    let whole = std::fs::canonicalize(directory).ok()?;
    let mounts = procfs::process::Process::myself().and_then(|p| p.mountinfo()).ok()?;
    first_below(&whole, mounts.into_iter().map(|m| m.mount_point))
}

fn first_below(directory: &Path, mounts: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    mounts.filter(|mount| mount != directory && mount.starts_with(directory)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_mounted_below_counts() {
        let mounts = ["/", "/data", "/data/b/c", "/data/b", "/database/x"].map(PathBuf::from);
        let below = |directory: &str| first_below(Path::new(directory), mounts.iter().cloned());
        assert_eq!(below("/data"), Some("/data/b".into()));
        assert_eq!(below("/data/b"), Some("/data/b/c".into()));
        assert_eq!(below("/data/b/c"), None, "the root itself may be a mount point");
        assert_eq!(below("/base"), None);
    }

    #[test]
    fn the_kernel_is_asked() {
        assert!(mount_below(Path::new("/")).is_some(), "/proc, at least");
        assert_eq!(mount_below(tempfile::tempdir().unwrap().path()), None);
    }
}
