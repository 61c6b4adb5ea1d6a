//! Clients that a secured HDFS does not want, or that lack something: each ends with the cause, and
//! with what to set.

use std::path::Path;
use std::time::{Duration, Instant};

use super::realm::{REALM, keytab, krb5};
use super::side_by_side;
use crate::support::{Cluster, Daemon};

/// How long a client may take to say so.
const LIMIT: Duration = Duration::from_secs(40);

/// What a client has.
struct Client {
    what: &'static str,
    /// Hadoop's files of the cluster.
    has_files: bool,
    /// Keys of `[archive]`.
    keys: &'static str,
    is_logged_in: bool,
    /// Parts of the last line.
    wanted: &'static [&'static str],
}

const CLIENT: Client =
    Client { what: "", has_files: true, keys: "", is_logged_in: true, wanted: &[] };

const ALL: [Client; 4] = [
    Client {
        what: "neither Hadoop's files nor Kerberos",
        has_files: false,
        is_logged_in: false,
        wanted: &["HDFS asks for Kerberos", "archive.kerberos", "hadoop_conf_dir"],
        ..CLIENT
    },
    Client {
        what: "files of a cluster without security",
        keys: "hadoop = { \"hadoop.security.authentication\" = \"simple\" }",
        is_logged_in: false,
        wanted: &["HDFS asks for Kerberos", "archive.kerberos"],
        ..CLIENT
    },
    Client {
        what: "another user, whom nobody may act for",
        keys: "user = \"bob\"",
        wanted: &["act for \"bob\"", "impersonates", "hadoop.proxyuser.alluvium.hosts"],
        ..CLIENT
    },
    Client {
        what: "no protection of the data",
        has_files: false,
        wanted: &["dfs.data.transfer.protection", "hadoop_conf_dir", "[archive.hadoop]"],
        ..CLIENT
    },
];

pub(super) fn clients_that_do_not_suit(cluster: &Cluster) {
    let dir = cluster.home("unsuitable");
    side_by_side(&ALL, |client| refused(cluster, &dir, client));
    a_principal_without_a_name(cluster, &dir);
}

/// The NameNode's rules make names of others alone, until it is started with its files as before.
fn a_principal_without_a_name(cluster: &Cluster, dir: &Path) {
    let file = cluster.state.join("hdfs/conf-nn/core-site.xml");
    let before = std::fs::read_to_string(&file).unwrap();
    let rules = format!("RULE:[2:$1@$0](hdfs@{REALM})s/@.*//\nRULE:[2:$1@$0](HTTP@{REALM})s/@.*//");
    let property = format!(
        "<property><name>hadoop.security.auth_to_local</name><value>{rules}</value></property>\
         </configuration>"
    );
    let restart_with = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let _ = cluster.run(&["kill", "nn"]);
        let _ = cluster.run(&["start", "nn"]);
    };
    restart_with(&before.replace("</configuration>", &property));
    let what = "a principal that no rule makes a name of";
    let wanted = &["takes the ticket of alluvium@", "auth_to_local", "archive.kerberos.principal"];
    refused(cluster, dir, &Client { what, wanted, ..CLIENT });
    restart_with(&before);
}

fn refused(cluster: &Cluster, dir: &Path, client: &Client) {
    let name = client.what.replace(|c: char| !c.is_ascii_alphabetic(), "-");
    let home = dir.join(&name);
    std::fs::create_dir_all(&home).unwrap();
    let mut config = cluster.head(&name, 10_000);
    if client.has_files {
        config += &format!("hadoop_conf_dir = {:?}\n", cluster.state.join("hdfs/conf"));
    }
    if client.is_logged_in {
        let keytab = keytab(cluster);
        config +=
            &format!("kerberos = {{ principal = \"alluvium@{REALM}\", keytab = {keytab:?} }}\n");
    }
    config += &format!("{}\n[mapping.{name}]\ntopics = [\"other-in\"]\n", client.keys);
    let krb5 = krb5(cluster);
    let variables = [("KRB5_CONFIG", &*krb5)];
    let began = Instant::now();
    let (code, log) = Daemon::start_with(&home, "u", &config, &variables).wait(LIMIT);
    let last = log.lines().last().unwrap_or_default();
    println!("{}, {:.1?}: {last}", client.what, began.elapsed());
    assert_eq!(code, 78, "{}: {log}", client.what);
    for part in client.wanted {
        assert!(last.contains(part), "{}: no {part:?} in\n{log}", client.what);
    }
    assert!(!last.contains("Is the store up"), "{}: {log}", client.what);
}
