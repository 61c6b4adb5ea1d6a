//! What a secured HDFS may ask for on its connections: how far calls and data are protected. A
//! daemon that goes by the cluster's files gets in under each.

use std::time::{Duration, Instant};

use super::realm::krb5;
use crate::support::{Cluster, Daemon, assert_each_once, eventually, flush, send};

const NAME: &str = "protected";
const TOPIC: &str = "protected-in";
const LIMIT: Duration = Duration::from_secs(60);
const RECORDS: i64 = 20;

/// A level, and the properties that make it; an empty value for none.
type Level = (&'static str, [(&'static str, &'static str); 4]);

const fn level(
    what: &'static str,
    calls: &'static str,
    data: &'static str,
    encrypted: &'static str,
    cipher: &'static str,
) -> Level {
    let properties = [
        ("hadoop.rpc.protection", calls),
        ("dfs.data.transfer.protection", data),
        ("dfs.encrypt.data.transfer", encrypted),
        ("dfs.encrypt.data.transfer.cipher.suites", cipher),
    ];
    (what, properties)
}

const LEVELS: [Level; 6] = [
    level("authentication", "authentication", "authentication", "", ""),
    level("integrity", "integrity", "integrity", "", ""),
    level("privacy of calls", "privacy", "privacy", "", ""),
    level("a list", "authentication,privacy", "integrity,privacy", "", ""),
    level("encrypted data", "privacy", "", "true", ""),
    level("encrypted data with a cipher suite", "privacy", "", "true", "AES/CTR/NoPadding"),
];

/// `config`: that of a daemon which archives a topic of this room's name.
pub(super) fn every_level(cluster: &Cluster, config: &str) {
    cluster.create_topic(TOPIC, 1);
    let producer = cluster.producer();
    for (n, level) in (1..).zip(&LEVELS) {
        let began = Instant::now();
        set(cluster, level);
        for server in ["dn1", "nn"] {
            let _ = cluster.run(&["kill", server]);
        }
        // The start of a NameNode waits for its DataNode.
        for server in ["dn1", "nn"] {
            let _ = cluster.run(&["start", server]);
        }
        let variables = [("KRB5_CONFIG", &*krb5(cluster))];
        let home = cluster.home(NAME);
        let daemon = Daemon::start_with(&home, &format!("p{n}"), config, &variables);
        for offset in 0..RECORDS {
            send(&producer, TOPIC, 0, format!("{offset} of {}", level.0).as_bytes(), None);
        }
        flush(&producer);
        eventually(level.0, LIMIT, || {
            (n * RECORDS) as f64 <= daemon.of_topic("alluvium_archive_position", TOPIC)
        });
        assert_eq!(daemon.stop(), 0, "{}", level.0);
        println!("{}: archived after {:.1?}", level.0, began.elapsed());
    }
    let archived = cluster.copied_archive(NAME, TOPIC).offsets();
    let all = LEVELS.len() as i64 * RECORDS;
    assert_each_once(&archived, (0..all).map(|offset| (0, offset)));
}

/// Writes a level into the files of all servers, and of their clients.
fn set(cluster: &Cluster, (_, properties): &Level) {
    for directory in std::fs::read_dir(cluster.state.join("hdfs")).unwrap() {
        let directory = directory.unwrap();
        if !directory.file_name().to_str().unwrap().starts_with("conf") {
            continue;
        }
        for file in ["core-site.xml", "hdfs-site.xml"] {
            let path = directory.path().join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, with(&text, properties)).unwrap();
        }
    }
}

/// The text of a file with these properties alone.
fn with(text: &str, properties: &[(&str, &str)]) -> String {
    let name = |name: &str| format!("<name>{name}</name>");
    let parts = text.split_inclusive("</property>");
    let is_other = |part: &&str| !properties.iter().any(|(of, _)| part.contains(&name(of)));
    let kept: String = parts.filter(is_other).collect();
    let new = properties
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(of, value)| format!("<property>{}<value>{value}</value></property>", name(of)));
    let head = if kept.contains("<configuration>") { "" } else { "<configuration>" };
    let new = format!("{}</configuration>", new.collect::<String>());
    format!("{head}{}", kept.replace("</configuration>", &new))
}
