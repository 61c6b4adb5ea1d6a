//! ViewFS: a client's own table of what is mounted where, in Hadoop's files.
//!
//! A root lies in one mount, because a file can't be renamed from one mount into another: the root
//! is resolved once, and what is opened is the directory of HDFS that it stands for. Hadoop's own
//! client resolves each path, which comes to the same as long as nothing is mounted below the root.

use std::collections::BTreeMap;

/// A directory of HDFS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// A NameNode with its port, or the name of a name service.
    pub(super) authority: String,
    /// Without a slash at its end; empty for the top.
    pub(super) path: String,
}

/// What a root stands for, with these Hadoop properties.
///
/// # Errors
/// The root is one of ViewFS, and is not within one mount of HDFS. The text says why.
pub fn resolve(url: &str, values: &BTreeMap<String, String>) -> Result<Place, String> {
    let Some(rest) = url.strip_prefix("viewfs://") else {
        return place(url).ok_or_else(|| format!("{url} is no directory of HDFS"));
    };
    let (table, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = format!("/{}", path.trim_matches('/'));
    let prefix = format!("fs.viewfs.mounttable.{table}.");
    let entries = values.iter().filter_map(|(key, value)| {
        let (kind, at) =
            key.strip_prefix(&prefix)?.split_once('.').unwrap_or((&key[prefix.len()..], ""));
        Some((kind, at.trim_end_matches('/'), value.trim()))
    });
    let mut found: Option<(&str, &str)> = None;
    let mut fallback = None;
    let mut is_known = false;
    for (kind, at, target) in entries {
        match kind {
            "link" | "linkMerge" | "linkNfly" => {
                // The keys of linkNfly have their settings before the path.
                let at = at.find('/').map_or(at, |slash| &at[slash..]);
                is_known = true;
                if at != path && is_within(&path, at) {
                    return Err(format!(
                        "{at} is mounted below the root, and no file can be renamed into another \
                         mount: choose a root within one mount of the table {table:?}"
                    ));
                }
                if is_within(at, &path) {
                    if kind != "link" {
                        return Err(format!(
                            "the root is in {at}, which the table {table:?} mounts by {kind}, and \
                             the client knows \"link\" alone: name the hdfs:// directory itself"
                        ));
                    }
                    found =
                        found.filter(|(other, _)| at.len() < other.len()).or(Some((at, target)));
                }
            }
            "linkMergeSlash" | "linkFallback" => {
                is_known = true;
                fallback = Some(("", target));
            }
            "linkRegex" => {
                return Err(format!(
                    "the table {table:?} has mounts by linkRegex, which the client does not know: \
                     name the hdfs:// directory itself"
                ));
            }
            _ => {}
        }
    }
    let Some((at, target)) = found.or(fallback) else {
        return Err(match is_known {
            true => format!("{path} is in no mount of the table {table:?}"),
            false => format!(
                "Hadoop's files have no mount table {table:?} ({prefix}link./PATH): set \
                 hadoop_conf_dir, or write the links in [archive.hadoop]"
            ),
        });
    };
    let below = &path[at.len()..];
    let mounted = place(target).ok_or_else(|| {
        format!("the root is in {at}/, which is mounted from {target}, and that is not in HDFS")
    })?;
    let path = format!("{}{below}", mounted.path).trim_end_matches('/').to_string();
    Ok(Place { path, ..mounted })
}

/// Whether a path is this directory or lies in it.
fn is_within(directory: &str, path: &str) -> bool {
    let directory = directory.trim_end_matches('/');
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn place(url: &str) -> Option<Place> {
    let rest = url.strip_prefix("hdfs://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = format!("/{}", path.trim_matches('/'));
    let path = path.trim_end_matches('/').to_string();
    (!authority.is_empty()).then(|| Place { authority: authority.into(), path })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(url: &str, table: &[(&str, &str)]) -> Result<String, String> {
        let key = |name: &str| format!("fs.viewfs.mounttable.c.{name}");
        let values = table.iter().map(|(name, value)| (key(name), value.to_string())).collect();
        resolve(url, &values).map(|place| format!("{} {}", place.authority, place.path))
    }

    #[test]
    fn a_root_is_what_its_mount_stands_for() {
        let table = [
            ("link./data", "hdfs://one:8020/a/b/"),
            ("link./data/deep", "hdfs://two/\n"),
            ("link./database", "hdfs://three:1/x"),
            ("linkFallback", "hdfs://rest/"),
            ("homedir", "/home"),
        ];
        for (url, expected) in [
            ("viewfs://c/data/deep/k/", "two /k"),
            ("viewfs://c/data/deep", "two "),
            ("viewfs://c/database/k", "three:1 /x/k"),
            ("viewfs://c/other/k", "rest /other/k"),
            ("hdfs://n:8020/data/k/", "n:8020 /data/k"),
            ("hdfs://n", "n "),
        ] {
            assert_eq!(resolved(url, &table).as_deref(), Ok(expected), "{url}");
        }
        assert_eq!(resolved("viewfs://c/data/k", &table).as_deref(), Ok("one:8020 /a/b/k"));
        let whole = [("linkMergeSlash", "hdfs://one/")];
        assert_eq!(resolved("viewfs://c/k", &whole).as_deref(), Ok("one /k"));
    }

    #[test]
    fn a_root_that_is_not_in_one_mount_is_refused() {
        let one = ("link./data", "hdfs://one/a");
        for (url, table, part) in [
            ("viewfs://c/data", &[one, ("link./data/deep", "hdfs://two/")][..], "mounted below"),
            ("viewfs://c", &[one], "mounted below"),
            ("viewfs://c/other", &[one], "in no mount"),
            ("viewfs://other/data", &[one], "no mount table \"other\""),
            ("viewfs://c/data/k", &[("link./data", "s3a://bucket/")], "not in HDFS"),
            (
                "viewfs://c/data/k",
                &[("linkNfly.minReplication=2./data", "hdfs://a/,hdfs://b/")],
                "by linkNfly",
            ),
            ("viewfs://c/data/k", &[one, ("linkRegex.x", "hdfs://two/")], "linkRegex"),
        ] {
            let refused = resolved(url, table).unwrap_err();
            assert!(refused.contains(part), "{url}: {refused}");
        }
    }
}
