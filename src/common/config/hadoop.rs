//! Hadoop's configuration files: XML with one `property` for each value.

use std::path::Path;

use crate::common::config::fields::ConfigFault;
use crate::common::config::root::{HdfsOptions, Root};

/// The files that a client of HDFS reads, in this order.
pub const HADOOP_FILES: [&str; 2] = ["core-site.xml", "hdfs-site.xml"];

/// The properties of one file; none if it is not XML.
#[must_use]
pub fn hadoop_properties(text: &str) -> Vec<(String, String)> {
    // Entities that contain each other would need memory that the file does not have bytes for;
    // the library counts them.
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let Ok(tree) = roxmltree::Document::parse_with_options(text, options) else {
        return Vec::new();
    };
    let all = tree.root_element().children().filter(|n| n.has_tag_name("property"));
    let text = |property: roxmltree::Node<'_, '_>, name: &str| {
        let child = property.children().find(|n| n.has_tag_name(name))?;
        Some(child.text()?.to_string())
    };
    all.filter_map(|p| Some((text(p, "name")?.trim().to_string(), text(p, "value")?))).collect()
}

impl Root {
    /// What is wrong with the directory of Hadoop's files that the configuration names: nothing can
    /// be said of one that the environment names, which may be another one for the daemon.
    #[must_use]
    pub fn refused(&self) -> Option<ConfigFault> {
        let Root::Hdfs { url, options } = self else { return None };
        let directory = options.conf_dir.as_deref()?;
        let why = refused(url, options, Path::new(directory))?;
        Some(ConfigFault::new("archive.hadoop_conf_dir", why))
    }
}

fn refused(url: &str, options: &HdfsOptions, directory: &Path) -> Option<String> {
    let shown = directory.display();
    let mut texts = Vec::new();
    for file in HADOOP_FILES {
        match std::fs::read_to_string(directory.join(file)) {
            Ok(text) => texts.push(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Some(format!("can't read {shown}/{file}: {e}")),
        }
    }
    if texts.is_empty() {
        return Some(format!("{shown} has neither core-site.xml nor hdfs-site.xml"));
    }
    // What cannot be parsed here (an external entity) may be known to the client.
    let known: Vec<_> = texts.iter().map(|text| hadoop_properties(text)).collect();
    let authority = url.strip_prefix("hdfs://")?.split('/').next()?;
    let list = format!("dfs.ha.namenodes.{authority}");
    let is_known = known.iter().flatten().any(|(name, _)| *name == list)
        || options.properties.contains_key(&list)
        || known.iter().any(Vec::is_empty);
    (!authority.contains(':') && !is_known).then(|| {
        format!(
            "{url} has no port, so {authority:?} is the name of a name service, and the files in \
             {shown} have no {list}. Add the port of the NameNode to archive.root, or name the \
             directory of the right files"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hadoop_files_that_do_not_suit_are_faults() {
        let dir = tempfile::tempdir().expect("a directory");
        let options = HdfsOptions {
            conf_dir: Some(dir.path().join("conf").display().to_string()),
            ..HdfsOptions::default()
        };
        let root = |url: &str| Root::Hdfs { url: url.into(), options: options.clone() };
        let said = |url: &str| root(url).refused().map(|fault| fault.message);
        let has = |url: &str, text: &str| said(url).is_some_and(|said| said.contains(text));
        assert!(has("hdfs://n:1/r", "neither core-site.xml nor hdfs-site.xml"), "no directory");
        let conf = dir.path().join("conf");
        std::fs::create_dir(&conf).expect("made");
        assert!(has("hdfs://n:1/r", "neither core-site.xml nor hdfs-site.xml"), "empty");
        let list = |name: &str| {
            format!(
                "<configuration><property><name>dfs.ha.namenodes.{name}</name><value>a,b</value>\
                 </property></configuration>"
            )
        };
        std::fs::write(conf.join("hdfs-site.xml"), list("other")).expect("written");
        assert_eq!(said("hdfs://n:1/r"), None, "a NameNode with a port");
        assert!(has("hdfs://n/r", "have no dfs.ha.namenodes.n"));
        std::fs::write(conf.join("hdfs-site.xml"), list("n")).expect("written");
        assert_eq!(said("hdfs://n/r"), None);
        assert_eq!(Root::Local { directory: "/d".into(), umask: None }.refused(), None);
    }
}
