//! The root of an archive: a directory of HDFS or of this host.

use std::collections::BTreeMap;

use crate::common::config::kerberos::Kerberos;
use crate::common::config::umask::Umask;

/// The checked root of a mapping's archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Root {
    Hdfs {
        url: String,
        options: HdfsOptions,
    },
    /// `umask`: [`None`] for that of the process.
    Local {
        directory: String,
        umask: Option<Umask>,
    },
}

impl Root {
    /// The root as it was configured.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Root::Hdfs { url, .. } => url.clone(),
            Root::Local { directory, .. } => format!("file://{directory}"),
        }
    }

    /// The memory that the client needs for each file that is open, beside the file's own bytes.
    /// Bytes.
    #[must_use]
    pub fn bytes_of_open_file(&self) -> usize {
        match self {
            Root::Hdfs { options, .. } => match &options.erasure_coding {
                // It has a pipeline for each cell of a stripe.
                Some(of) => usize::try_from(of.stripe_bytes).unwrap_or(usize::MAX),
                None => PIPELINE,
            },
            Root::Local { .. } => 0,
        }
    }
}

/// What hdfs-native has for a file that grows: its tasks and queues, and a packet that is not full.
const PIPELINE: usize = 128 << 10;

/// How to reach HDFS.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HdfsOptions {
    /// The directory of `core-site.xml` and `hdfs-site.xml`; [`None`] for HADOOP_CONF_DIR.
    pub conf_dir: Option<String>,
    /// Hadoop keys that override the files.
    pub properties: BTreeMap<String, String>,
    /// The user, with simple authentication; [`None`] for HADOOP_USER_NAME, or the process's user.
    pub user: Option<String>,
    /// The identity in Kerberos; [`None`] for that of the environment, if HDFS asks for one.
    pub kerberos: Option<Kerberos>,
    /// The erasure-coding policy of the root, if it has one.
    pub erasure_coding: Option<ErasureCoding>,
    /// The umask of what is made in the root; [`None`] for that of Hadoop's files.
    pub umask: Option<Umask>,
}

/// An erasure-coding policy of HDFS whose codec is `rs`, the only one that the client library
/// writes: under any other codec it would write parity that does not belong to the data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErasureCoding {
    /// The name, as `hdfs ec -getPolicy` prints it: `RS-6-3-1024k`.
    pub policy: Box<str>,
    /// Parity units of a stripe.
    pub parity: u64,
    /// The size of a stripe with its parity, bytes.
    pub stripe_bytes: u64,
}

impl ErasureCoding {
    /// Reads a policy's name: codec, data units, parity units and cell size.
    ///
    /// # Errors
    /// The name is not that of a policy with the codec `rs`.
    pub fn parse(policy: &str) -> Result<ErasureCoding, String> {
        let parts: Vec<&str> = policy.split('-').collect();
        let units = |text: &str| text.parse().ok().filter(|units| 0_u64 < *units);
        match parts[..] {
            ["RS", data, parity, cell] if units(data).is_some() => {
                let cell = cell.strip_suffix('k').and_then(units);
                let all = units(data).zip(units(parity)).zip(cell);
                all.map(|((data, parity), cell)| {
                    let cells = data.saturating_add(parity);
                    let stripe_bytes = cells.saturating_mul(cell).saturating_mul(1_024);
                    ErasureCoding { policy: policy.into(), parity, stripe_bytes }
                })
            }
            _ => None,
        }
        .ok_or_else(|| {
            format!(
                "{policy:?} is no policy of the codec rs, as \"RS-6-3-1024k\" is one. The client \
                 library writes the parity of rs under every codec, so files under another one \
                 would be damaged. Use a directory with such a policy, or one that is replicated \
                 (`hdfs ec -getPolicy -path ROOT` shows the policy)"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_policies_of_the_codec_that_is_written_are_taken() {
        let parity = |name| ErasureCoding::parse(name).map(|e| e.parity);
        for (name, units) in [("RS-6-3-1024k", 3), ("RS-3-2-1024k", 2), ("RS-2-1-64k", 1)] {
            assert_eq!(parity(name), Ok(units));
        }
        for name in [
            "XOR-2-1-1024k",
            "RS-LEGACY-6-3-1024k",
            "rs-6-3-1024k",
            "RS-6-3",
            "RS-0-3-1024k",
            "RS-6-0-1024k",
            "RS-6-3-1024",
            "RS-6-3-k",
            "RS-6-x-1024k",
            "",
        ] {
            let refused = parity(name).unwrap_err();
            assert!(refused.starts_with(&format!("{name:?} is no policy")), "{refused}");
        }
    }
}
