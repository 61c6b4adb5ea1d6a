//! How files are created.

use hdfs_native::WriteOptions;

/// A file that is never made in a directory that is not there.
pub(super) fn options() -> WriteOptions {
    // An attempt whose directory was deleted must not come back to life.
    WriteOptions::default().overwrite(false).create_parent(false)
}
