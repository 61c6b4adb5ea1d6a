//! Two mappings in one instance, on brokers with access lists: rights of one of them are taken
//! away, and the other goes on.

use std::time::Duration;

use super::kafka::allow;
use crate::support::beside::{BROKEN, Beside, RATE, Resource, STEADY};
use crate::support::load::{Load, mapping};
use crate::support::{Cluster, Daemon, assert_each_once, eventually};

/// Rights of the broken mapping, as arguments of kafka-acls. A group is of the whole instance.
const SOURCE: &[&str] = &["--operation", "Read", "--topic", "broken-in"];
const OUTPUT: &[&str] = &["--operation", "Write", "--topic", "broken-counts"];
const COUNTS: &[&str] = &["--operation", "Read", "--topic", "broken-counts"];
const PARTIALS: &[&str] = &["--operation", "Write", "--topic", "both-broken-partials"];
const MERGE: &[&str] = &["--operation", "Read", "--topic", "both-broken-partials"];
const IDS: &[&str] = &[
    "--operation",
    "Write",
    "--transactional-id",
    "both-a/broken/",
    "--resource-pattern-type",
    "prefixed",
];

fn resources() -> Vec<Resource<Cluster>> {
    vec![
        Resource {
            what: "the source may not be read",
            breaks: |c| allow(c, false, SOURCE),
            mends: |c| allow(c, true, SOURCE),
            ..Resource::always()
        },
        Resource {
            what: "the output topic may not be written to",
            breaks: |c| allow(c, false, OUTPUT),
            mends: |c| allow(c, true, OUTPUT),
            ..Resource::always()
        },
        Resource {
            what: "the output topic may not be read",
            breaks: |c| allow(c, false, COUNTS),
            mends: |c| allow(c, true, COUNTS),
            ..Resource::seldom()
        },
        Resource {
            what: "the partials topic may not be written to",
            breaks: |c| allow(c, false, PARTIALS),
            mends: |c| allow(c, true, PARTIALS),
            ..Resource::seldom()
        },
        Resource {
            what: "the partials topic may not be read",
            breaks: |c| allow(c, false, MERGE),
            mends: |c| allow(c, true, MERGE),
            ..Resource::seldom()
        },
        Resource {
            what: "the transactional ids may not be used",
            breaks: |c| allow(c, false, IDS),
            mends: |c| allow(c, true, IDS),
            ..Resource::always()
        },
    ]
}

/// Rights that nobody takes away: of the other mapping, and of the instance that has it alone.
const OTHERS: &[&[&str]] = &[
    &["--operation", "Read", "--topic", "steady-in"],
    &["--operation", "Write", "--operation", "Read", "--topic", "steady-counts"],
    &["--operation", "Write", "--operation", "Read", "--topic", "control-counts"],
    &["--operation", "Write", "--operation", "Read", "--topic", "both-steady-partials"],
    &["--operation", "Write", "--operation", "Read", "--topic", "control-control-partials"],
    &["--operation", "Read", "--group", "both", "--group", "control"],
    &[
        "--operation",
        "Write",
        "--transactional-id",
        "both-a/steady/",
        "--transactional-id",
        "control-",
        "--resource-pattern-type",
        "prefixed",
    ],
];

fn start(cluster: &Cluster, group: &str, instance: &str, mappings: &str) -> Daemon {
    let home = cluster.home(group);
    std::fs::create_dir_all(home.join("root")).unwrap();
    let secret = home.join("password");
    std::fs::write(&secret, "archiver-secret").unwrap();
    let config = format!(
        "[kafka]\nbootstrap_servers = {:?}\ngroup_id = {group:?}\n[kafka.secrets]\n\
         \"sasl.password\" = {{ file = {secret:?} }}\n[kafka.properties]\n\
         \"session.timeout.ms\" = 6000\n\"transaction.timeout.ms\" = 10000\n\
         \"security.protocol\" = \"sasl_ssl\"\n\"sasl.mechanism\" = \"SCRAM-SHA-512\"\n\
         \"sasl.username\" = \"archiver\"\n\"ssl.ca.location\" = {:?}\n[archive]\n\
         root = \"file://{}\"\n[archive.roll]\nage = \"3s\"\n[daemon]\nworkers = 2\n\
         commit_interval = \"500ms\"\ntopics_refresh = \"2s\"\n{mappings}",
        cluster.listener(9_071),
        cluster.state.join("tls/ca.crt"),
        home.join("root").display()
    );
    Daemon::start(&home, instance, &config)
}

pub(crate) fn a_mapping_whose_rights_are_taken_away() {
    let cluster = &Cluster::start_with("rights", 1, 0, &[("TESTBED_SECURE", "yes")]);
    for topic in ["broken-in", "steady-in"] {
        cluster.create_topic(topic, 4);
    }
    let counts = ["broken-counts", "steady-counts", "control-counts"];
    let partials = ["both-broken-partials", "both-steady-partials", "control-control-partials"];
    for topic in counts.into_iter().chain(partials) {
        cluster.create_topic(topic, 2);
    }
    let mine = [SOURCE, OUTPUT, COUNTS, PARTIALS, MERGE, IDS];
    for right in mine.iter().chain(OTHERS) {
        allow(cluster, true, right);
    }
    let two = |name: &str| mapping(name) + "\npartials = { partitions = 2 }\n";
    let daemon = start(cluster, "both", "a", &(two(STEADY) + &two(BROKEN)));
    let control = two("control").replace("\"control-in\"", "\"steady-in\"");
    let control = start(cluster, "control", "control", &control);
    for daemon in [&daemon, &control] {
        eventually("ready", Duration::from_secs(60), || daemon.get("/readyz").is_some());
    }
    let loads = ["broken-in", "steady-in"].map(|topic| Load::begin(cluster, topic, 4, RATE));
    eventually("both are under way", Duration::from_secs(30), || {
        let counted = |name| daemon.of_topic("alluvium_results_position", name);
        ["broken-in", "steady-in"].iter().all(|name| RATE as f64 <= counted(name))
    });
    let beside = Beside { cluster, daemon: &daemon, control: &control, sources: &["broken-in"] };
    beside.break_each(&resources(), cluster);
    let sent = loads.map(Load::end);
    assert_eq!(control.stop(), 0);
    for (name, sent) in ["broken", "steady"].into_iter().zip(&sent) {
        let (topic, counts) = (format!("{name}-in"), format!("{name}-counts"));
        eventually("all is archived", Duration::from_secs(90), || {
            sent.records as f64 <= daemon.of_topic("alluvium_archive_position", &topic)
        });
        let expected = sent.lines.expected();
        eventually("every word is published", Duration::from_secs(120), || {
            cluster.published_words(&counts) == expected
        });
    }
    assert_eq!(daemon.stop(), 0);
    let root = format!("file://{}", cluster.home("both").join("root").display());
    for (name, sent) in ["broken-in", "steady-in"].into_iter().zip(&sent) {
        let want = (0..4).flat_map(|p| (0..sent.records as i64 / 4).map(move |o| (p, o)));
        assert_each_once(&cluster.archive(&root, name, name).offsets(), want);
    }
}
