//! Two NameNodes: the active one dies, stands still, or becomes a standby, under a daemon.

use std::time::{Duration, Instant};

use super::realm::{REALM, invented};
use super::renames::a_reply_that_is_lost_in_a_failover;
use crate::support::load::Load;
use crate::support::{Cluster, Daemon, TOO_LATE, assert_each_once, eventually};

const NAME: &str = "available";
/// From the moment at which the other NameNode is the active one.
const GOES_ON: Duration = Duration::from_secs(60);

pub(crate) fn namenodes_fail_over() {
    let cluster = Cluster::start_with("namenodes", 1, 1, &[("TESTBED_HA", "yes")]);
    let topic = "available-in";
    cluster.create_topic(topic, 4);
    let config = format!(
        "{}hadoop_conf_dir = {:?}\n[archive.roll]\nage = \"1s\"\n[daemon]\nworkers = 2\n\
         [mapping.{NAME}]\ntopics = [\"{topic}\"]\n",
        cluster.head(NAME, 10_000),
        cluster.state.join("hdfs/conf")
    );
    a_server_without_a_login(&cluster, &config);
    a_reply_that_is_lost_in_a_failover(&cluster);
    let daemon = Daemon::start(&cluster.home(NAME), "a", &config);
    let archived = || daemon.of_topic("alluvium_archive_position", topic);
    let load = Load::begin(&cluster, topic, 4, 400);
    let testbed = |args: &[&str]| drop(cluster.run(args));
    eventually("archived", Duration::from_secs(60), || 400.0 <= archived());
    // So many partitions roll every second that a call is in flight at any moment: that it was
    // answered or not is decided by what lies in the store.
    let fails_over = |what: &str, steps: &[&[&str]]| {
        let before = archived();
        for step in steps {
            testbed(step);
        }
        let began = Instant::now();
        eventually(what, GOES_ON, || before + 1_200.0 <= archived());
        println!("{what}: it went on after {:.1?}", began.elapsed());
    };
    fails_over("the active one is killed", &[&["kill", "nn"], &["active", "nn2"]]);
    testbed(&["start", "nn"]);
    let replaced = || daemon.log_text().matches("its connection is given up").count();
    let before = replaced();
    fails_over("the active one stands still", &[&["pause", "nn2"], &["active", "nn"]]);
    // A second client is right where the other NameNode was too slow, too.
    assert!(replaced() <= before + 1, "{TOO_LATE}more than one client was given up");
    // What it has in its buffers must not count: it has been fenced, and ends when it notices.
    testbed(&["resume", "nn2"]);
    std::thread::sleep(Duration::from_secs(3));
    let _ = cluster.pipe(&["kill", "nn2"], "");
    testbed(&["start", "nn2"]);
    fails_over("the active one becomes a standby", &[&["standby", "nn"], &["active", "nn2"]]);
    a_start_beside_one_that_stands_still(&cluster, &config);
    testbed(&["kill", "nn"]);
    testbed(&["kill", "nn2"]);
    eventually("each NameNode that refuses is named", GOES_ON, || {
        // The line tells what failed first; the status, what fails now.
        let refuses = |text: &str| 2 <= text.matches("can't connect to the NameNode at").count();
        daemon.log_text().lines().any(refuses)
            || daemon.get("/status.json").is_some_and(|text| refuses(&text))
    });
    testbed(&["start", "nn"]);
    fails_over("both were dead", &[&["start", "nn2"], &["active", "nn2"]]);
    let sent = load.end();
    eventually("all archived", GOES_ON, || sent.records as f64 <= archived());
    assert_eq!(daemon.stop(), 0);
    let raw = cluster.copied_archive(NAME, topic);
    let want = (0..4).flat_map(|p| (0..sent.records as i64 / 4).map(move |o| (p, o)));
    assert_each_once(&raw.offsets(), want);
    println!("records={} lost=0 doubled=0", sent.records);
}

/// A client with Kerberos does not archive into an HDFS that lets everybody in, unless it is told
/// to.
fn a_server_without_a_login(cluster: &Cluster, config: &str) {
    let home = cluster.home("simple");
    std::fs::create_dir_all(&home).unwrap();
    let keytab = invented(&home, "alluvium");
    let kerberos = format!(
        "kerberos = {{ principal = \"alluvium@{REALM}\", keytab = {keytab:?} }}\n[archive.roll]"
    );
    let another = config.replace(NAME, "simple").replace("[archive.roll]", &kerberos);
    cluster.create_topic("simple-in", 1);
    let (code, log) = Daemon::start(&home, "c", &another).wait(GOES_ON);
    let last = log.lines().last().unwrap_or_default();
    assert!(last.contains("lets clients in without a login"), "{code}: {log}");
    assert_eq!(code, 78, "{log}");
    let allowed = "[archive.hadoop]\n\"ipc.client.fallback-to-simple-auth-allowed\" = \"true\"\n";
    let another = another.replace("[archive.roll]", &format!("{allowed}[archive.roll]"));
    let daemon = Daemon::start(&home, "c", &another);
    eventually("ready without a login", GOES_ON, || daemon.get("/readyz").is_some());
    assert_eq!(daemon.stop(), 0);
}

/// The first NameNode of the list is a standby that stands still: a daemon starts all the same.
fn a_start_beside_one_that_stands_still(cluster: &Cluster, config: &str) {
    let _ = cluster.run(&["pause", "nn"]);
    let (another, began) = (config.replace(NAME, "late"), Instant::now());
    cluster.create_topic("late-in", 1);
    let daemon = Daemon::start(&cluster.home("late"), "b", &another);
    eventually("ready", GOES_ON, || daemon.get("/readyz").is_some());
    println!("started beside a NameNode that stands still after {:.1?}", began.elapsed());
    assert_eq!(daemon.stop(), 0);
    let _ = cluster.run(&["resume", "nn"]);
}
