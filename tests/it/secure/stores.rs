//! Mappings in one instance whose archives need servers and logins of their own: another HDFS, a
//! KMS, a registry, a keytab, and tickets that a job renews. Each of these is taken away in turn,
//! and a mapping that does not need it goes on.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::realm::{REALM, invented, keytab, krb5};
use super::renewals::{Job, cache, put};
use crate::support::beside::{Beside, RATE, Resource, STEADY};
use crate::support::load::{Load, Sent, mapping};
use crate::support::{Cluster, Daemon, assert_each_once, eventually, flush, register, send};

const NAME: &str = "stores";
const CONTROL: &str = "control";
/// Tickets expire after this time (TESTBED_TICKET_MS).
const TICKET: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(90);
/// A call to a NameNode that is silent ends within this time, and is tried again once.
const LONG: Duration = Duration::from_secs(40);
/// The mappings whose archives lose something, beside the one of the registry.
const LOSERS: [&str; 4] = ["far", "zoned", "keyed", "renewed"];
/// Records a second, for each of them.
const SLOW: u64 = 40;
/// Each try to break a registry needs a schema that the daemon has never asked for.
const SCHEMAS: usize = 6;

/// What there is to break.
struct Site<'a> {
    cluster: &'a Cluster,
    far: &'a Cluster,
    daemon: &'a Daemon,
    control: &'a Daemon,
    /// The keytab of one mapping, and that of the job which renews the tickets of another.
    keyed: PathBuf,
    renewed: PathBuf,
    schemas: Vec<u32>,
    used: Cell<usize>,
}

impl Site<'_> {
    fn run(&self, command: &[&str]) {
        let _ = self.cluster.run(command);
    }

    fn far(&self, command: &[&str]) {
        let _ = self.far.run(command);
    }

    /// Records of a schema that nobody has asked for yet.
    fn send_registered(&self) {
        let id = self.schemas[self.used.replace(self.used.get() + 1)];
        let value = [&[0][..], &id.to_be_bytes(), &[2]].concat();
        let producer = self.cluster.producer();
        (0..100).for_each(|n| send(&producer, "registered-in", n % 4, &value, None));
        flush(&producer);
    }

    fn put_a_wrong_key(&self, into: &Path) {
        put(&invented(into.parent().unwrap(), "alluvium"), into);
        self.logins_are_needed();
    }

    fn put_the_key(&self, into: &Path) {
        put(&keytab(self.cluster), into);
    }

    /// All tickets expire, and all connections end: whoever has no key is shut out. The others are
    /// where they were when this returns.
    fn logins_are_needed(&self) {
        std::thread::sleep(TICKET + Duration::from_secs(1));
        self.run(&["kill", "nn"]);
        self.run(&["start", "nn"]);
        for daemon in [self.daemon, self.control] {
            eventually("it has logged in again", LIMIT, || {
                let sent: i64 = (0..4).map(|p| self.cluster.log_end(("steady-in", p))).sum();
                sent as f64 - 5.0 * RATE as f64
                    <= daemon.of_topic("alluvium_archive_position", "steady-in")
            });
        }
    }
}

fn resources<'a>() -> Vec<Resource<Site<'a>>> {
    vec![
        Resource {
            what: "the NameNode of another root is silent",
            lasts: LONG,
            breaks: |site| site.far(&["pause", "nn"]),
            mends: |site| site.far(&["resume", "nn"]),
            ..Resource::seldom()
        },
        Resource {
            what: "the NameNode of another root is killed",
            breaks: |site| site.far(&["kill", "nn"]),
            mends: |site| site.far(&["start", "nn"]),
            ..Resource::seldom()
        },
        Resource {
            what: "the registry is killed",
            breaks: |site| {
                site.run(&["kill", "registry"]);
                site.send_registered();
            },
            mends: |site| site.run(&["start", "registry"]),
            ..Resource::seldom()
        },
        Resource {
            what: "the registry is silent",
            lasts: LONG,
            breaks: |site| {
                site.run(&["pause", "registry"]);
                site.send_registered();
            },
            mends: |site| site.run(&["resume", "registry"]),
            ..Resource::seldom()
        },
        Resource {
            what: "the KMS is killed",
            breaks: |site| site.run(&["kill", "kms"]),
            mends: |site| site.run(&["start", "kms"]),
            ..Resource::seldom()
        },
        Resource {
            what: "the KMS is silent",
            lasts: LONG,
            breaks: |site| site.run(&["pause", "kms"]),
            mends: |site| site.run(&["resume", "kms"]),
            ..Resource::seldom()
        },
        Resource {
            what: "the keytab is removed",
            breaks: |site| {
                std::fs::remove_file(&site.keyed).unwrap();
                site.logins_are_needed();
            },
            mends: |site| site.put_the_key(&site.keyed),
            ..Resource::seldom()
        },
        Resource {
            what: "the keytab has a key that the KDC does not take",
            breaks: |site| site.put_a_wrong_key(&site.keyed),
            mends: |site| site.put_the_key(&site.keyed),
            ..Resource::seldom()
        },
        Resource {
            what: "the tickets that a job renews have expired",
            breaks: |site| site.put_a_wrong_key(&site.renewed),
            mends: |site| site.put_the_key(&site.renewed),
            ..Resource::seldom()
        },
    ]
}

/// An archive on the secured HDFS, by the principal that nobody shuts out.
fn secured(cluster: &Cluster, directory: &str) -> String {
    as_principal(cluster, directory, "archiver", &format!("keytab = {:?}", keytab(cluster)))
}

fn as_principal(cluster: &Cluster, directory: &str, principal: &str, key: &str) -> String {
    format!(
        "archive = {{ root = \"{}/{directory}\", hadoop_conf_dir = {:?}, kerberos = {{ principal \
         = \"{principal}@{REALM}\", {key} }} }}\n",
        cluster.hdfs(),
        cluster.state.join("hdfs/conf")
    )
}

/// A mapping that counts and archives in a directory of the secured HDFS.
fn counting(cluster: &Cluster, name: &str) -> String {
    let table = format!("[mapping.{name}.wordcount]");
    let archive = secured(cluster, name);
    mapping(name).replace(&table, &format!("{archive}{table}")) + "\n" + &archive
}

fn archiving(name: &str, archive: &str) -> String {
    format!("[mapping.{name}]\ntopics = [\"{name}-in\"]\n{archive}")
}

fn start(cluster: &Cluster, far: &Cluster, group: &str, mappings: &str) -> Daemon {
    let registry = cluster.registry();
    let config = format!(
        "[registry]\nurl = \"{registry}\"\ntimeout = \"2s\"\n[kafka]\nbootstrap_servers = {:?}\n\
         group_id = {group:?}\n[kafka.properties]\n\"session.timeout.ms\" = 6000\n\
         \"transaction.timeout.ms\" = 10000\n[archive]\nroot = \"{}/{group}\"\nhadoop_conf_dir = \
         {:?}\n[archive.roll]\nage = \"3s\"\n[daemon]\nworkers = 2\ncommit_interval = \"500ms\"\n\
         {mappings}",
        cluster.bootstrap(),
        far.hdfs(),
        far.state.join("hdfs/conf"),
    );
    Daemon::start_with(&cluster.home(group), group, &config, &[("KRB5_CONFIG", &*krb5(cluster))])
}

/// Schemas of one number, each of another name.
fn registered(cluster: &Cluster) -> Vec<u32> {
    let url = cluster.registry();
    let schema = |n| {
        let schema = format!(
            "{{\"type\":\"record\",\"name\":\"Schema{n}\",\"fields\":[{{\"name\":\"n\",\"type\":\
             \"int\"}}]}}"
        );
        let body = serde_json::json!({ "schema": schema, "schemaType": "AVRO" });
        register(&url, &format!("schema-{n}"), &body)
    };
    (0..SCHEMAS).map(schema).collect()
}

pub(crate) fn a_mapping_whose_stores_are_away() {
    let environment =
        &[("TESTBED_KERBEROS", "yes"), ("TESTBED_TICKET_MS", "10000"), ("TESTBED_KMS", "yes")];
    let cluster = &Cluster::start_with(NAME, 1, 1, environment);
    let far = &Cluster::start("far", 0, 1);
    let _ = cluster.run(&["up", "registry=1"]);
    for topic in LOSERS.into_iter().chain(["registered", STEADY]) {
        cluster.create_topic(&format!("{topic}-in"), 4);
    }
    let _ = cluster.run(&["key", "create", "of-zone"]);
    let _ = cluster.run(&["dfs", "-mkdir", "/zoned"]);
    let _ = cluster.run(&["crypto", "-createZone", "-keyName", "of-zone", "-path", "/zoned"]);
    let _ = cluster.run(&["dfs", "-chown", "archiver", "/zoned"]);
    let dir = cluster.home(NAME);
    std::fs::create_dir_all(&dir).unwrap();
    let (job, keyed) = (Job::begin(cluster, &dir), dir.join("keyed.keytab"));
    put(&keytab(cluster), &keyed);
    let own =
        |name: &str, key: &str| archiving(name, &as_principal(cluster, name, "alluvium", key));
    let mappings = [
        counting(cluster, STEADY),
        archiving("far", ""),
        archiving("registered", "archive = { value = \"registry\" }\n"),
        archiving("zoned", &secured(cluster, "zoned")),
        own("keyed", &format!("keytab = {keyed:?}")),
        own("renewed", &format!("cache = {:?}", cache(&dir))),
    ];
    let daemon = start(cluster, far, NAME, &mappings.concat());
    let control = counting(cluster, CONTROL).replace("\"control-in\"", "\"steady-in\"");
    let control = start(cluster, far, CONTROL, &control);
    for daemon in [&daemon, &control] {
        eventually("ready", LIMIT, || daemon.get("/readyz").is_some());
    }
    let steady = Load::begin(cluster, "steady-in", 4, RATE);
    let loads = LOSERS.map(|name| Load::begin(cluster, &format!("{name}-in"), 4, SLOW));
    let archived =
        |of: &Daemon, name: &str| of.of_topic("alluvium_archive_position", &format!("{name}-in"));
    for name in LOSERS {
        eventually("under way", LIMIT, || 1.0 <= archived(&daemon, name));
    }
    eventually("the steady one, too", LIMIT, || 1.0 <= archived(&daemon, STEADY));
    let (schemas, used) = (registered(cluster), Cell::new(0));
    let renewed = job.keytab.clone();
    let (d, c) = (&daemon, &control);
    let site = Site { cluster, far, daemon: d, control: c, keyed, renewed, schemas, used };
    let sources = &["far-in", "zoned-in", "keyed-in", "renewed-in", "registered-in"];
    Beside { cluster, daemon: d, control: c, sources }.break_each(&resources(), &site);
    assert_eq!(control.stop(), 0);
    let all = loads.map(Load::end).into_iter().zip(LOSERS).chain([(steady.end(), STEADY)]);
    let all: Vec<(Sent, &str)> = all.collect();
    for (sent, name) in &all {
        eventually("all archived", LIMIT, || sent.records as f64 <= archived(&daemon, name));
    }
    assert_eq!(daemon.stop(), 0);
    assert!(0 < job.end(), "kinit was never refused");
    for (sent, name) in &all {
        let topic = format!("{name}-in");
        let found = match *name {
            "far" => far.archive(&format!("{}/{NAME}", far.hdfs()), &topic, &topic),
            _ => cluster.copied_archive(name, &topic),
        };
        let want = (0..4).flat_map(|p| (0..sent.records as i64 / 4).map(move |o| (p, o)));
        assert_each_once(&found.offsets(), want);
    }
}
