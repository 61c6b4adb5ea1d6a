//! A cluster whose servers ask for everything at once: brokers with TLS, passwords and access
//! lists; HDFS with Kerberos and short tickets, and two NameNodes. With `SECURE=1` chaos and crash
//! points run on it.

use super::{Cluster, Daemon};

/// Seconds for which a ticket is valid: a run has many.
pub const TICKET_S: u64 = 20;

const ENVIRONMENT: &[(&str, &str)] = &[
    ("TESTBED_SECURE", "yes"),
    ("TESTBED_KERBEROS", "yes"),
    ("TESTBED_HA", "yes"),
    ("TESTBED_TICKET_MS", "20000"),
];

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
