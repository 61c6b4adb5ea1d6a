//! The root of an archive: a directory of HDFS or of this host.

use std::collections::BTreeMap;

/// The checked root of a mapping's archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Root {
    Hdfs { url: String, options: HdfsOptions },
    Local { directory: String },
}

impl Root {
    /// The root as it was configured.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Root::Hdfs { url, .. } => url.clone(),
            Root::Local { directory } => format!("file://{directory}"),
        }
    }
}

/// How to reach HDFS.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HdfsOptions {
    /// The directory of `core-site.xml` and `hdfs-site.xml`; [`None`] for HADOOP_CONF_DIR.
    pub conf_dir: Option<String>,
    /// Hadoop keys that override the files.
    pub properties: BTreeMap<String, String>,
    /// The user, with simple authentication; [`None`] for HADOOP_USER_NAME, or the process's user.
    pub user: Option<String>,
}
