//! Two NameNodes: the active one dies, stands still, or becomes a standby, under a daemon.

use std::time::{Duration, Instant};

use crate::support::load::Load;
use crate::support::{Cluster, Daemon, assert_each_once, eventually};

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
    fails_over("the active one stands still", &[&["pause", "nn2"], &["active", "nn"]]);
    // What it has in its buffers must not count: it has been fenced, and ends when it notices.
    testbed(&["resume", "nn2"]);
    std::thread::sleep(Duration::from_secs(3));
    let _ = cluster.pipe(&["kill", "nn2"], "");
    testbed(&["start", "nn2"]);
    fails_over("the active one becomes a standby", &[&["standby", "nn"], &["active", "nn2"]]);
    a_start_beside_one_that_stands_still(&cluster, &config);
    let sent = load.end();
    eventually("all archived", GOES_ON, || sent.records as f64 <= archived());
    assert_eq!(daemon.stop(), 0);
    let raw = cluster.copied_archive(NAME, topic);
    let want = (0..4).flat_map(|p| (0..sent.records as i64 / 4).map(move |o| (p, o)));
    assert_each_once(&raw.offsets(), want);
    println!("records={} lost=0 doubled=0", sent.records);
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
