//! A cluster whose servers ask for everything at once: brokers with TLS, passwords and access
//! lists; HDFS with Kerberos and short tickets, and two NameNodes. With `SECURE=1` chaos and crash
//! points run on it.

use std::process::Command;
use std::sync::Arc;

use alluvium::testing::{Deadlines, HdfsOptions, Root, Store, open};

use super::{Cluster, Daemon};

/// Seconds for which a ticket is valid: a run has many.
pub const TICKET_S: u64 = 20;

const ENVIRONMENT: &[(&str, &str)] = &[
    ("TESTBED_SECURE", "yes"),
    ("TESTBED_KERBEROS", "yes"),
    ("TESTBED_HA", "yes"),
    ("TESTBED_TICKET_MS", "20000"),
];

/// What Kerberos's library of this process goes by; no program that it starts does.
const IDENTITY: [&str; 3] = ["KRB5_CONFIG", "KRB5_CLIENT_KTNAME", "KRB5CCNAME"];

/// Lets this process get into the secured HDFS of a cluster: it starts anew with an environment
/// that names the cluster's KDC and keys. To be called before there is any other thread.
pub fn be_let_in(cluster: &str) {
    use std::os::unix::process::CommandExt as _;
    if !is_wanted() || std::env::var_os(IDENTITY[0]).is_some() {
        return;
    }
    let hdfs = Cluster::state_of(cluster).join("hdfs");
    let keytab = format!("FILE:{}", hdfs.join("all.keytab").display());
    let mut anew = Command::new(std::env::current_exe().unwrap());
    let _ = anew.args(std::env::args_os().skip(1));
    let _ = anew.env(IDENTITY[0], hdfs.join("krb5-client.conf"));
    let _ = anew.env(IDENTITY[1], keytab).env(IDENTITY[2], "MEMORY:watcher");
    panic!("start anew: {}", anew.exec());
}

/// A program that is not who this process is.
pub fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    for variable in IDENTITY {
        let _ = command.env_remove(variable);
    }
    command
}

/// Whether the run was asked to be on secured servers.
pub fn is_wanted() -> bool {
    std::env::var("SECURE").is_ok_and(|v| !v.is_empty() && v != "0")
}

/// Brokers and DataNodes, secured if that is wanted.
pub fn start(name: &str, kafka: u8, hdfs: u8) -> Cluster {
    Cluster::start_with(name, kafka, hdfs, if is_wanted() { ENVIRONMENT } else { &[] })
}

/// What daemons of a cluster need to get in.
pub struct Access {
    pub name: &'static str,
}

impl Access {
    /// Gives the daemons' user the least rights that suffice for one mapping, its group and its
    /// topics, which are all named alike.
    pub fn allow(cluster: &Cluster, name: &'static str) -> Access {
        let (topic, counts) = (format!("{name}-in"), format!("{name}-counts"));
        let (partials, ids) = (format!("{name}-{name}-partials"), format!("{name}-"));
        let prefixed = ["--resource-pattern-type", "prefixed"];
        for (operations, resource, of, more) in [
            (&["Read", "DescribeConfigs"][..], "--topic", &topic, &[][..]),
            (&["Read", "Write", "DescribeConfigs"], "--topic", &counts, &[]),
            (&["Read", "Write", "Create", "DescribeConfigs"], "--topic", &partials, &[]),
            (&["Read"], "--group", &name.to_string(), &[]),
            (&["Write"], "--transactional-id", &ids, &prefixed),
        ] {
            let all = operations.iter().flat_map(|operation| ["--operation", *operation]);
            let mut line = vec!["kafka", "acls", "--add", "--allow-principal", "User:archiver"];
            line.extend(all);
            line.extend([resource, of.as_str()]);
            line.extend(more);
            let _ = cluster.run(&line);
        }
        Access { name }
    }

    /// The head of a configuration, as [`Cluster::head`] has it for servers that ask for nothing.
    pub fn head(&self, cluster: &Cluster, transaction_timeout_ms: u32) -> String {
        let at = |path: &str| cluster.state.join(path).display().to_string();
        let secret = cluster.state.join("tests/password");
        std::fs::create_dir_all(cluster.state.join("tests")).unwrap();
        std::fs::write(&secret, "archiver-secret").unwrap();
        let plain = cluster.head(self.name, transaction_timeout_ms);
        let login = format!(
            "[kafka.secrets]\n\"sasl.password\" = {{ file = {:?} }}\n[kafka.properties]\n\
             \"security.protocol\" = \"sasl_ssl\"\n\"sasl.mechanism\" = \"SCRAM-SHA-512\"\n\
             \"sasl.username\" = \"archiver\"\n\"ssl.ca.location\" = {:?}\n",
            secret.display().to_string(),
            at("tls/ca.crt")
        );
        let archive = format!(
            "hadoop_conf_dir = {:?}\nkerberos = {{ principal = \"alluvium@TESTBED.LOCAL\", keytab \
             = {:?} }}\n",
            at("hdfs/conf"),
            at("hdfs/all.keytab")
        );
        plain
            .replace(&cluster.bootstrap(), &cluster.listener(9_071))
            .replace("[kafka.properties]\n", &login)
            + &archive
    }

    /// A store on a root, for a process that was [let in](be_let_in).
    pub fn store(&self, cluster: &Cluster, url: &str) -> Arc<dyn Store> {
        let conf_dir = Some(cluster.state.join("hdfs/conf").display().to_string());
        let options = HdfsOptions { conf_dir, ..HdfsOptions::default() };
        let _guard = cluster.runtime.enter();
        open(&Root::Hdfs { url: url.into(), options }, Deadlines::default()).unwrap()
    }

    /// Starts a daemon that finds the KDC.
    pub fn daemon(
        &self,
        cluster: &Cluster,
        instance: &str,
        config: &str,
        variables: &[(&str, &str)],
    ) -> Daemon {
        let krb5 = cluster.state.join("hdfs/krb5-client.conf").display().to_string();
        let mut all = variables.to_vec();
        all.push(("KRB5_CONFIG", &krb5));
        Daemon::start_with(&cluster.state.join("tests"), instance, config, &all)
    }
}
