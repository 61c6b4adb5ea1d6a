//! What a person can do about a refusal of a root.

use crate::clients::store::error::{ErrorKind, StoreError};
use crate::common::config::Root;

/// The error with what to do about it, where it does not say that itself.
#[must_use]
pub fn with_cure(root: &Root, e: &StoreError) -> String {
    match cure(root, e.kind) {
        Some(cure) => format!("{e}. {cure}"),
        None => e.to_string(),
    }
}

/// Hadoop's default ports of NameNodes for HTTP and HTTPS.
const HTTP_PORTS: [&str; 4] = ["9870", "9871", "50070", "50470"];

fn cure(root: &Root, kind: ErrorKind) -> Option<String> {
    let kerberos = match root {
        Root::Hdfs { options, .. } => options.kerberos.as_ref(),
        Root::Local { .. } => None,
    };
    Some(match (kind, root, kerberos) {
        (ErrorKind::Permission, _, Some(kerberos)) => format!(
            "Give {} write access to the root (archive.root), or name another principal in \
             archive.kerberos; the NameNode's hadoop.security.auth_to_local says which user a \
             principal is",
            kerberos.principal
        ),
        (ErrorKind::Permission, Root::Local { .. }, None) => {
            "Give the daemon's user write access to the root (archive.root)".into()
        }
        (ErrorKind::Permission, Root::Hdfs { .. }, None) => {
            "Give the daemon's user write access to the root (archive.root), or set \
             archive.kerberos if HDFS asks for Kerberos, and archive.user if it does not"
                .into()
        }
        (ErrorKind::NoSpace, Root::Hdfs { .. }, _) => {
            "Raise the quota (`hdfs dfsadmin -setQuota` for names, -setSpaceQuota for bytes; `hdfs \
             dfs -count -q` shows both), delete what is old, or name another archive.root"
                .into()
        }
        (ErrorKind::NoSpace, Root::Local { .. }, _) => {
            "Free some space, or name another archive.root".into()
        }
        (ErrorKind::Unknown, Root::Hdfs { url, .. }, _) => of_port(url)?,
        _ => return None,
    })
}

/// What to do about a root with a port that answers nothing of HDFS's own protocol.
fn of_port(url: &str) -> Option<String> {
    let (_, port) = url.strip_prefix("hdfs://")?.split('/').next()?.rsplit_once(':')?;
    HTTP_PORTS.contains(&port).then(|| {
        format!(
            "Port {port} is, by default, that of a NameNode's web pages: write its RPC port into \
             archive.root, often 8020 or 9000"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::Config;

    #[test]
    fn a_refusal_names_the_key_and_what_to_do() {
        let root = |keys: &str| {
            let text = format!(
                "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\n{keys}\n\
                 [mapping.m]\ntopics = [\"t\"]"
            );
            let config = Config::parse(&text, Some("i")).unwrap_or_else(|e| panic!("{e}"));
            config.mappings[0].archive.as_ref().unwrap().root.clone()
        };
        let (local, hdfs) = (root("root = \"file:///x\""), root("root = \"hdfs://n:1/x\""));
        for (root, kind, part) in [
            (&local, ErrorKind::Permission, "Give the daemon's user write access"),
            (&hdfs, ErrorKind::Permission, "archive.user"),
            (&hdfs, ErrorKind::NoSpace, "-setQuota"),
            (&local, ErrorKind::NoSpace, "Free some space"),
            (&root("root = \"hdfs://n:9870/x\""), ErrorKind::Unknown, "often 8020"),
        ] {
            let told = with_cure(root, &StoreError::new(kind, "create", "/x/y", "refused"));
            assert!(told.starts_with("create /x/y: refused. "), "{told}");
            assert!(told.contains(part) && told.contains("archive."), "{told}");
        }
        let other = StoreError::new(ErrorKind::Unknown, "create", "/x/y", "no answer");
        assert_eq!(with_cure(&hdfs, &other), other.to_string());
    }
}
