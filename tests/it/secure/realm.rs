//! The realm of a testbed with Kerberos, and keytabs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::support::Cluster;

pub(super) const REALM: &str = "TESTBED.LOCAL";

/// The keys of all principals. The first one is none of a client.
pub(super) fn keytab(cluster: &Cluster) -> PathBuf {
    cluster.state.join("hdfs/all.keytab")
}

/// Where the client's library finds its KDC.
pub(super) fn krb5(cluster: &Cluster) -> String {
    cluster.state.join("hdfs/krb5-client.conf").to_str().unwrap().into()
}

/// A keytab with one key, which is no key of the KDC's: `NAME.keytab` in this directory.
pub(super) fn invented(dir: &Path, name: &str) -> PathBuf {
    let counted = |text: &str| [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat();
    let entry = [
        &1_u16.to_be_bytes()[..],
        &counted(REALM),
        &counted(name),
        &1_u32.to_be_bytes(),
        &0_u32.to_be_bytes(),
        &[1],
        // aes128-cts-hmac-sha1-96, which the KDC has, too.
        &17_u16.to_be_bytes(),
        &16_u16.to_be_bytes(),
        &[7; 16],
    ]
    .concat();
    let file = dir.join(format!("{name}.keytab"));
    let content = [&[5, 2], &(entry.len() as u32).to_be_bytes()[..], &entry].concat();
    std::fs::write(&file, content).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}
