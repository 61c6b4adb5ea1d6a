//! How files are created.

use hdfs_native::WriteOptions;

/// A file that is never made in a directory that is not there.
pub(super) fn options() -> WriteOptions {
    // Whoever creates a file knows which directory it needs, and with which mode.
    WriteOptions::default().overwrite(false).create_parent(false)
}
