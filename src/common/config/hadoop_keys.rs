//! The keys of `[archive.hadoop]`: what nothing reads would be a setting that its author believes
//! in. What Hadoop's own files have is never refused, because they are written for all programs.
//! A name that is not like one of Hadoop's may be a variable of those files.

use std::collections::BTreeMap;

use strsim::damerau_levenshtein;

/// Keys that hdfs-native 0.14.8 (`src/common/config.rs`) or this program reads.
const READ: [&str; 14] = [
    "dfs.client.block.write.replace-datanode-on-failure.best-effort",
    "dfs.client.block.write.replace-datanode-on-failure.enable",
    "dfs.client.block.write.replace-datanode-on-failure.policy",
    "dfs.client.failover.max.attempts",
    "dfs.client.failover.sleep.base.millis",
    "dfs.client.failover.sleep.max.millis",
    "dfs.client.socket-timeout",
    "dfs.client.use.datanode.hostname",
    "dfs.data.transfer.protection",
    "dfs.namenode.posix.acl.inheritance.enabled",
    "fs.permissions.umask-mode",
    "hadoop.security.authentication",
    "hadoop.security.key.provider.path",
    "ipc.client.fallback-to-simple-auth-allowed",
];

/// How keys begin that end in the name of a name service or of a mount table.
const READ_OF_NAMES: [&str; 7] = [
    "dfs.client.failover.proxy.provider.",
    "dfs.client.failover.random.order.",
    "dfs.client.failover.resolve-needed.",
    "dfs.client.failover.resolver.useFQDN.",
    "dfs.ha.namenodes.",
    "dfs.namenode.rpc-address.",
    "fs.viewfs.mounttable.",
];

/// Keys of Hadoop's own client that have another place here, or none.
const ELSEWHERE: [(&str, &str); 9] = [
    ("dfs.replication", "write replication = 2 in [archive], or in the archive of a mapping"),
    ("dfs.blocksize", "write block_size = \"256MiB\" in [archive], or in the archive of a mapping"),
    (
        "dfs.block.size",
        "write block_size = \"256MiB\" in [archive], or in the archive of a mapping",
    ),
    ("fs.defaultFS", "archive.root names the NameNode"),
    ("fs.default.name", "archive.root names the NameNode"),
    ("hadoop.rpc.protection", "the client protects its connections as the NameNodes ask for it"),
    ("dfs.encrypt.data.transfer", "the client encrypts data if the NameNode says so"),
    ("dfs.client.write.packet.size", "packets have 64 KiB"),
    ("dfs.encryption.key.provider.uri", "write hadoop.security.key.provider.path"),
];

/// How the names of Hadoop's own keys begin.
const OF_HADOOP: [&str; 6] = ["dfs.", "fs.", "hadoop.", "io.", "ipc.", "yarn."];

/// A key with more wrong letters than this is another one.
const FAR: usize = 5;

/// The keys that nothing reads, each with what to write instead.
pub(super) fn unread(
    keys: &BTreeMap<String, String>,
) -> impl Iterator<Item = (&String, String)> + '_ {
    let is_variable = |name: &str| {
        let variable = format!("${{{name}}}");
        keys.values().any(|value| value.contains(&variable))
    };
    let unread = keys.keys().filter(move |name| !is_read(name) && !is_variable(name));
    unread.filter_map(|name| Some((name, why(name)?)))
}

fn is_read(name: &str) -> bool {
    let of_name = |of: &str| name.strip_prefix(of).is_some_and(|rest| !rest.is_empty());
    READ.contains(&name) || READ_OF_NAMES.iter().any(|of| of_name(of))
}

/// Why a key that nothing reads is refused; [`None`] for a name that may be a variable.
fn why(name: &str) -> Option<String> {
    let elsewhere = ELSEWHERE.iter().find(|(key, _)| *key == name).map(|(_, cure)| *cure);
    if let Some(cure) = elsewhere {
        return Some(format!("nothing reads this key: {cure}"));
    }
    let whole = READ.iter().map(|key| (damerau_levenshtein(key, name), (*key).to_string()));
    // A key that ends in a name is compared without it, wherever the name begins.
    let of_names = READ_OF_NAMES.iter().flat_map(|key| {
        let cuts = name.match_indices('.').filter_map(|(at, _)| at.checked_add(1));
        let parts = cuts.filter_map(|at| name.split_at_checked(at));
        parts.map(move |(head, rest)| (damerau_levenshtein(key, head), format!("{key}{rest}")))
    });
    let near = whole.chain(of_names).filter(|(distance, _)| *distance <= FAR).min();
    match near {
        Some((_, key)) => Some(format!("nothing reads this key; did you mean {key:?}?")),
        None => OF_HADOOP
            .iter()
            .any(|of| name.starts_with(of))
            .then(|| "nothing reads this key; docs/files.md lists those that are read".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(keys: &[(&str, &str)]) -> Vec<String> {
        let keys = keys.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect();
        unread(&keys).map(|(name, why)| format!("{name}: {why}")).collect()
    }

    #[test]
    fn what_is_read_is_taken() {
        for key in READ {
            assert!(said(&[(key, "1")]).is_empty(), "{key}");
        }
        for of in READ_OF_NAMES {
            assert!(said(&[(&format!("{of}ns"), "1")]).is_empty(), "{of}");
            assert_eq!(said(&[(of, "1")]).len(), 1, "{of}");
        }
        // A name of one's own may be a variable of Hadoop's files, or of another table's values.
        assert!(said(&[("my.host", "n"), ("cluster", "c")]).is_empty());
        let variable =
            [("dfs.nameservices", "ns"), ("dfs.namenode.rpc-address.ns.a", "${dfs.nameservices}")];
        assert!(said(&variable).is_empty());
        assert_eq!(said(&variable[..1]).len(), 1);
    }

    #[test]
    fn what_nothing_reads_is_named_with_the_nearest_key() {
        for (key, want) in [
            ("dfs.replication", "write replication = 2"),
            ("dfs.blocksize", "write block_size"),
            ("fs.defaultFS", "archive.root"),
            ("dfs.client.socket.timeout", "did you mean \"dfs.client.socket-timeout\""),
            ("dfs.client.failover.max.attempt", "\"dfs.client.failover.max.attempts\""),
            ("dfs.ha.namenode.ns", "\"dfs.ha.namenodes.ns\""),
            ("dfs.namenode.rpc.address.ns.nn1", "\"dfs.namenode.rpc-address.ns.nn1\""),
            ("fs.permission.umask-mode", "\"fs.permissions.umask-mode\""),
            ("io.file.buffer.size", "docs/files.md"),
        ] {
            let said = said(&[(key, "1")]);
            assert!(said.len() == 1 && said[0].contains(want), "{key}: {said:?}");
        }
    }
}
