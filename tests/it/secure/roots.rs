//! Roots that are not plain: with a umask, an access list that is inherited, a table of mounts, a
//! router, and an encryption zone. One daemon archives into all of them, and Hadoop's own tools
//! look at what it has made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::properties;
use crate::support::{Cluster, Daemon, alluvium, assert_each_once, eventually, flush, send};

const NAME: &str = "roots";
const RECORDS: i64 = 50;
/// Ends the names of directories that Hadoop's tools have made.
const BY_HADOOP: &str = "-by-hadoop";
const LIMIT: Duration = Duration::from_secs(60);

/// A root, and the umask under which Hadoop's own tools make the same.
struct Umasked {
    name: &'static str,
    /// Keys of the mapping's archive.
    keys: &'static str,
    umask: &'static str,
    /// What is inherited from the root.
    default_acl: Option<&'static str>,
}

const UMASKED: [Umasked; 6] = [
    Umasked { name: "plain", keys: "", umask: "022", default_acl: None },
    Umasked { name: "ours", keys: "umask = \"027\"", umask: "027", default_acl: None },
    Umasked {
        name: "theirs",
        keys: "hadoop = { \"fs.permissions.umask-mode\" = \"u=rwx,g=rwx,o=\" }",
        umask: "007",
        default_acl: None,
    },
    Umasked {
        name: "inherits",
        keys: "umask = \"077\"",
        umask: "077",
        default_acl: Some("default:group:analysts:r-x"),
    },
    Umasked {
        name: "writes",
        keys: "",
        umask: "022",
        default_acl: Some("default:group:analysts:rwx,default:other::---"),
    },
    Umasked {
        name: "minimal",
        keys: "umask = \"077\"",
        umask: "077",
        default_acl: Some("default:group::r-x"),
    },
];

/// The mappings whose roots are no plain directories, and where Hadoop finds the same.
const ELSEWHERE: [(&str, &str); 3] =
    [("mounted", "/below/mounted"), ("routed", "/routed"), ("zone", "/zone")];

pub(crate) fn roots_of_every_kind() {
    let cluster =
        Cluster::start_with("roots", 1, 1, &[("TESTBED_KMS", "yes"), ("TESTBED_ROUTER", "yes")]);
    directories_of_hadoop(&cluster);
    let _ = cluster.run(&["key", "create", "of-zone"]);
    let _ = cluster.run(&["crypto", "-createZone", "-keyName", "of-zone", "-path", "/zone"]);
    let config = configured(&cluster);
    let of_roots = || UMASKED.iter().map(|of| of.name).chain(ELSEWHERE.map(|(name, _)| name));
    let names = || of_roots().chain(properties::NAMES);
    for name in names() {
        cluster.create_topic(&format!("{name}-in"), 1);
        produce(&cluster, name);
    }
    let daemon = Daemon::start(&cluster.home(NAME), "a", &config);
    for name in names() {
        eventually(name, LIMIT, || is_archived(&daemon, name, RECORDS));
    }
    modes_are_those_of_hadoop(&cluster);
    properties::are_as_configured(&cluster);
    the_kms_is_gone_for_a_while(&cluster, &daemon);
    assert_eq!(daemon.stop(), 0);
    whole_for_a_stranger(&cluster, &config);
    for (name, path) in ELSEWHERE {
        let root = format!("file://{}", copied(&cluster, path).display());
        let rows = if name == "zone" { 2 * RECORDS } else { RECORDS };
        let topic = format!("{name}-in");
        let raw = cluster.archive(&root, &topic, &topic);
        assert_each_once(&raw.offsets(), (0..rows).map(|o| (0, o)));
    }
    roots_that_are_refused(&cluster, &config);
    properties::that_are_refused(&cluster, &config);
}

/// The configuration of a daemon with a mapping for each root.
fn configured(cluster: &Cluster) -> String {
    let hdfs = cluster.hdfs();
    let mut text = cluster.head(NAME, 10_000)
        + "[archive.roll]\nage = \"1s\"\n[daemon]\nworkers = 1\n"
        + &UMASKED.map(|of| mapping(of.name, &format!("{hdfs}/{}", of.name), of.keys)).concat();
    let link = format!(
        "hadoop = {{ \"fs.viewfs.mounttable.table.link./lake\" = \"{hdfs}/below\", \
         \"fs.viewfs.mounttable.table.link./other\" = \"hdfs://nowhere/\" }}"
    );
    text += &mapping("mounted", "viewfs://table/lake/mounted", &link);
    let router = format!("hdfs://{}/routed", cluster.listener_of(8_888));
    text += &mapping("routed", &router, "");
    let kms = cluster.listener_of(9_600);
    let key =
        format!("hadoop = {{ \"hadoop.security.key.provider.path\" = \"kms://http@{kms}/kms\" }}");
    text + &mapping("zone", &format!("{hdfs}/zone"), &key) + &properties::mappings(&hdfs)
}

fn mapping(name: &str, root: &str, keys: &str) -> String {
    let comma = if keys.is_empty() { "" } else { ", " };
    format!(
        "[mapping.{name}]\ntopics = [\"{name}-in\"]\n\
         archive = {{ root = \"{root}\"{comma}{keys} }}\n"
    )
}

fn produce(cluster: &Cluster, name: &str) {
    let topic = format!("{name}-in");
    let producer = cluster.producer();
    for n in 0..RECORDS {
        send(&producer, &topic, 0, format!("a line of {n}").as_bytes(), None);
    }
    flush(&producer);
}

fn is_archived(daemon: &Daemon, name: &str, records: i64) -> bool {
    records as f64 <= daemon.of_topic("alluvium_archive_position", &format!("{name}-in"))
}

/// Roots as an operator prepares them, and beside each what Hadoop's tools make of the same.
fn directories_of_hadoop(cluster: &Cluster) {
    let dfs = |args: &[&str]| drop(cluster.run(&[&["dfs"], args].concat()));
    let of_hadoop = |of: &Umasked| format!("/{}{BY_HADOOP}", of.name);
    let all: Vec<_> =
        UMASKED.iter().flat_map(|of| [format!("/{}", of.name), of_hadoop(of)]).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    dfs(&[&["-mkdir", "/zone"], &all[..]].concat());
    dfs(&[&["-chgrp", "analysts"], &all[..]].concat());
    let file = cluster.state.join("hdfs/conf/core-site.xml");
    for of in &UMASKED {
        for directory in [format!("/{}", of.name), of_hadoop(of)] {
            let _ = of.default_acl.map(|acl| dfs(&["-setfacl", "-m", acl, &directory]));
        }
        let umask = format!("fs.permissions.umask-mode={}", of.umask);
        let within = format!("{}/a/b", of_hadoop(of));
        dfs(&["-D", &umask, "-mkdir", "-p", &within]);
        dfs(&["-D", &umask, "-put", file.to_str().unwrap(), &format!("{within}/file")]);
    }
}

/// What is below a directory: mode, owner, group and access list of its directories, and of its
/// files.
type Rights = (BTreeSet<String>, BTreeSet<String>);

fn modes_are_those_of_hadoop(cluster: &Cluster) {
    let modes = cluster.run(&["dfs", "-ls", "-R", "/"]);
    let lists = cluster.run(&["dfs", "-getfacl", "-R", "/"]);
    let lists: BTreeMap<&str, Vec<&str>> =
        lists.split("# file: ").filter_map(|list| list.split_once('\n')).map(list_of).collect();
    let below = |directory: &str| {
        let (mut directories, mut files) = Rights::default();
        for line in modes.lines() {
            let parts: Vec<&str> = line.split_whitespace().collect();
            let [mode, _, owner, group, .., path] = parts[..] else { panic!("{line}") };
            if path.starts_with(directory) {
                let made = if mode.starts_with('d') { &mut directories } else { &mut files };
                let _ = made.insert(format!("{mode} {owner} {group} {:?}", lists[path]));
            }
        }
        (directories, files)
    };
    for Umasked { name, .. } in &UMASKED {
        let (made, expected) =
            (below(&format!("/{name}/")), below(&format!("/{name}{BY_HADOOP}/")));
        println!("{name}: {made:?}");
        assert_eq!(made, expected, "{name}");
        assert_eq!((made.0.len(), made.1.len()), (1, 1), "{name}: not all are alike");
        assert!(made.0.iter().chain(&made.1).all(|line| line.contains(" analysts ")), "{made:?}");
    }
}

/// A path, and what `getfacl` says of it beside owner and group.
fn list_of<'a>((path, list): (&'a str, &'a str)) -> (&'a str, Vec<&'a str>) {
    (path, list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect())
}

/// The archive of a zone waits, says for what, and continues.
fn the_kms_is_gone_for_a_while(cluster: &Cluster, daemon: &Daemon) {
    let _ = cluster.run(&["kill", "kms"]);
    produce(cluster, "zone");
    eventually("the KMS is named", LIMIT, || {
        let log = daemon.log_text();
        log.lines().any(|l| {
            l.contains("the KMS does not answer") && l.contains("hadoop.security.key.provider.path")
        })
    });
    let _ = cluster.run(&["start", "kms"]);
    eventually("it goes on", LIMIT, || is_archived(daemon, "zone", 2 * RECORDS));
}

/// What `verify` needs may be read by another user, where the umask lets others read.
fn whole_for_a_stranger(cluster: &Cluster, config: &str) {
    let plain = format!("root = \"{}/plain\"", cluster.hdfs());
    let stranger = format!("{plain}, user = \"stranger\"");
    let config = alone(config, "plain").replace(&plain, &stranger).replace("refused", NAME);
    let file = cluster.home(NAME).join("verify.toml");
    std::fs::write(&file, config).unwrap();
    let (code, said) = alluvium(&["verify", "--config", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
}

/// A directory as Hadoop's own tool copies it, decrypted.
fn copied(cluster: &Cluster, path: &str) -> std::path::PathBuf {
    let to = cluster.state.join("copied");
    std::fs::create_dir_all(&to).unwrap();
    let _ = cluster.run(&["dfs", "-get", path, to.to_str().unwrap()]);
    to.join(Path::new(path).file_name().unwrap())
}

/// Each ends with the cause, and with what to do.
fn roots_that_are_refused(cluster: &Cluster, config: &str) {
    let hdfs = cluster.hdfs();
    let kms = format!("kms://http@{}/kms", cluster.listener_of(9_600));
    let below = "\"fs.viewfs.mounttable.table.link./lake/mounted/deep\" = \"hdfs://nowhere/\"";
    for (what, mapping, from, to, wanted) in [
        (
            "a mount below the root",
            "mounted",
            "\"fs.viewfs.mounttable.table.link./other\" = \"hdfs://nowhere/\"",
            below,
            ["/lake/mounted/deep is mounted below the root", "choose a root within one mount"],
        ),
        (
            "another table",
            "mounted",
            "viewfs://table/lake",
            "viewfs://other/lake",
            ["no mount table \"other\"", "hadoop_conf_dir"],
        ),
        (
            "no key provider",
            "zone",
            &*format!("\"hadoop.security.key.provider.path\" = \"{kms}\""),
            "",
            ["is in an encryption zone", "set hadoop.security.key.provider.path"],
        ),
        (
            "a umask that is none",
            "plain",
            &*format!("root = \"{hdfs}/plain\""),
            &*format!(
                "root = \"{hdfs}/plain\", hadoop = {{ \"fs.permissions.umask-mode\" = \"rw\" }}"
            ),
            ["fs.permissions.umask-mode", "archive.umask replaces it"],
        ),
    ] {
        let alone = alone(config, mapping);
        assert!(alone.contains(from), "{what}: {alone}");
        let daemon = Daemon::start(&cluster.home("refused"), "r", &alone.replace(from, to));
        let (code, log) = daemon.wait(LIMIT);
        let last = log.lines().last().unwrap_or_default();
        println!("{what}: {last}");
        assert_eq!(code, 78, "{what}: {log}");
        for want in wanted {
            assert!(last.contains(want), "{what}: no {want:?} in\n{log}");
        }
    }
    // And a KMS that is not there at the start.
    let _ = cluster.run(&["kill", "kms"]);
    let alone = alone(config, "zone").replace(&format!("{hdfs}/zone"), &format!("{hdfs}/zone/new"));
    let (code, log) = Daemon::start(&cluster.home("refused"), "r", &alone).wait(LIMIT);
    let last = log.lines().last().unwrap_or_default();
    assert_eq!(code, 69, "{log}");
    assert!(last.contains("KMS") && last.contains("hadoop.security.key.provider.path"), "{log}");
}

/// The same configuration with this mapping alone.
fn alone(config: &str, name: &str) -> String {
    let at = config.find("[mapping.").unwrap();
    let (head, mappings) = config.split_at(at);
    let wanted =
        mappings.split_inclusive("}\n").filter(|m| m.contains(&format!("[mapping.{name}]")));
    head.replace(NAME, "refused") + &wanted.collect::<String>()
}
