//! What HDFS is told of the files of a mapping, as Hadoop's own tools see it: copies, blocks, owner
//! and group, for each of two mappings of one root, and what a user may not say.

use std::collections::BTreeSet;

use crate::support::{Cluster, assert_line, check_live};

/// Two mappings of one root; the first says all that can be said.
pub(super) const NAMES: [&str; 2] = ["told", "untold"];

const KEYS: &str = "replication = 2, block_size = \"2MiB\", owner = \"etl\", group = \"auditors\"";

pub(super) fn mappings(hdfs: &str) -> String {
    let of = |name: &str, keys: &str| {
        format!(
            "[mapping.{name}]\ntopics = [\"{name}-in\"]\n\
             archive = {{ root = \"{hdfs}/properties\"{keys} }}\n"
        )
    };
    of(NAMES[0], &format!(", {KEYS}")) + &of(NAMES[1], "")
}

/// What was made for the mapping that says nothing is as HDFS makes it, and all else as it was
/// said.
pub(super) fn are_as_configured(cluster: &Cluster) {
    let paths = cluster.run(&["dfs", "-ls", "-R", "-C", "/properties"]);
    let all: Vec<&str> = paths.lines().filter(|line| line.starts_with('/')).collect();
    let stat = ["dfs", "-stat", "%F|%r|%o|%u|%g|%a|%n"];
    let said = cluster.run(&[&stat, &all[..]].concat());
    let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split('|').collect()).collect();
    assert_eq!(lines.len(), all.len(), "{said}");
    let below = |directory: &str| {
        let of = all.iter().zip(&lines).filter(|(path, _)| path.starts_with(directory));
        let (files, directories): (Vec<_>, Vec<_>) =
            of.partition(|(_, line)| line[0] == "regular file");
        let shown = |found: Vec<(&&str, &Vec<&str>)>| -> BTreeSet<String> {
            found.into_iter().map(|(_, line)| line[1..6].join(" ")).collect()
        };
        (shown(files), shown(directories))
    };
    let one = |text: &str| BTreeSet::from([text.to_string()]);
    let (files, directories) = below("/properties/told-in");
    assert_eq!(files, one("2 2097152 etl auditors 644"), "{said}");
    assert_eq!(directories, one("0 0 etl auditors 755"), "{said}");
    // What the daemon itself makes everywhere else.
    let (ledger, of_daemon) = below("/properties/_alluvium");
    let (files, directories) = below("/properties/untold-in");
    assert_eq!((files.len(), directories.len(), of_daemon.len()), (1, 1, 1), "{said}");
    assert!(files == ledger && directories == of_daemon, "{said}");
    let plain = files.first().unwrap();
    assert!(plain.starts_with("1 ") && !plain.contains("auditors"), "{said}");
}

/// `check --live` names the key, and what to do.
pub(super) fn that_are_refused(cluster: &Cluster, config: &str) {
    let head = config.split("[mapping.").next().unwrap();
    for path in ["/refused-owner", "/refused-group"] {
        let _ = cluster.run(&["dfs", "-mkdir", path]);
        let _ = cluster.run(&["dfs", "-chown", "stranger", path]);
    }
    let hdfs = cluster.hdfs();
    for (root, key, wanted) in [
        ("refused-owner", "owner = \"etl\"", "archive.owner = \"etl\" needs a superuser"),
        ("refused-group", "group = \"etl\"", "archive.group = \"etl\" needs a user who is in"),
        ("properties", "replication = 512", ""),
        ("properties", "block_size = \"1MiB\"", ""),
    ] {
        let user = if wanted.is_empty() { "" } else { ", user = \"stranger\"" };
        let mapping = format!(
            "[mapping.m]\ntopics = [\"told-in\"]\n\
             archive = {{ root = \"{hdfs}/{root}\"{user}, {key} }}\n"
        );
        let config = head.to_string() + &mapping;
        let (_, said) = check_live(&cluster.home("live"), &config, &[]);
        match wanted {
            "" => drop(assert_line(&said, "ok", &["root", root, "was created, renamed"])),
            wanted => drop(assert_line(&said, "WRONG", &["root", root, wanted])),
        }
    }
}
