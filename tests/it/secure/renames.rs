//! The active NameNode stands still right after a rename, and its reply is lost: the other one
//! becomes active, and has the file at its new place.

use std::time::{Duration, Instant};

use crate::support::load::Load;
use crate::support::replies::Replies;
use crate::support::{Cluster, Daemon, alluvium_with, assert_each_once, eventually};

const NAME: &str = "renamed";
const LIMIT: Duration = Duration::from_secs(60);

/// What is renamed when its reply is lost: the last step of an append, and the publishing of a
/// file.
const RENAMES: [(&str, &str); 2] = [
    ("an append", "/renamed/_alluvium/ledger/[ -~]+?[.]entry"),
    ("a file", "/renamed/renamed-in/[ -~]+?[.]parquet"),
];

/// What decides whether a file or an entry is there.
const READS: [&str; 4] = ["getFileInfo", "getListing", "getBlockLocations", "getContentSummary"];

/// The first NameNode of the list is an observer, which answers reads of clients that ask for that,
/// and Hadoop's files do: a daemon asks the active one alone.
fn an_observer_decides_nothing(cluster: &Cluster, between: &Replies, config: &str) {
    let dir = cluster.home("observed");
    let conf = dir.join("conf");
    std::fs::create_dir_all(&conf).unwrap();
    let (plain, asks) = ("ConfiguredFailoverProxyProvider", "ObserverReadProxyProvider");
    for file in ["core-site.xml", "hdfs-site.xml"] {
        let text = std::fs::read_to_string(between.conf.join(file)).unwrap();
        assert_eq!(text.contains(plain), file == "hdfs-site.xml");
        std::fs::write(conf.join(file), text.replace(plain, asks)).unwrap();
    }
    cluster.create_topic("observed-in", 1);
    let config = config
        .replace(&format!("{:?}", between.conf), &format!("{conf:?}"))
        .replace(NAME, "observed");
    let _ = cluster.run(&["observer", "nn"]);
    let _ = (between.served(0), between.served(1));
    let daemon = Daemon::start(&dir, "o", &config);
    let load = Load::begin(cluster, "observed-in", 1, 50);
    let archived = || daemon.of_topic("alluvium_archive_position", "observed-in");
    eventually("archived beside an observer", LIMIT, || 200.0 <= archived());
    let sent = load.end();
    eventually("all archived", LIMIT, || sent.records as f64 <= archived());
    assert_eq!(daemon.stop(), 0);
    let (by_observer, by_active) = (between.served(0), between.served(1));
    println!("the observer has answered {by_observer:?}, the active one {} calls", by_active.len());
    for method in READS {
        assert!(!by_observer.iter().any(|of| of == method), "the observer has decided: {method}");
    }
    assert!(by_active.iter().any(|method| method == READS[0]), "{by_active:?}");
    let _ = cluster.run(&["kill", "nn"]);
    let _ = cluster.run(&["start", "nn"]);
}

/// The first NameNode is the active one, at the beginning and at the end.
pub(super) fn a_reply_that_is_lost_in_a_failover(cluster: &Cluster) {
    let (topic, dir) = ("renamed-in", cluster.home(NAME));
    cluster.create_topic(topic, 2);
    let namenodes = [8_020, 8_021].map(|port| cluster.listener_of(port));
    let between = Replies::before(&namenodes, &cluster.state.join("hdfs/conf"), &dir.join("conf"));
    let config = format!(
        "{}hadoop_conf_dir = {:?}\n[archive.roll]\nage = \"1s\"\n[daemon]\nworkers = 1\nlog = \
         \"info,alluvium::engine::archive=debug\"\n[mapping.{NAME}]\ntopics = [\"{topic}\"]\n",
        cluster.head(NAME, 10_000),
        between.conf
    );
    let daemon = Daemon::start(&dir, "a", &config);
    let archived = || daemon.of_topic("alluvium_archive_position", topic);
    let load = Load::begin(cluster, topic, 2, 200);
    eventually("archived", LIMIT, || 200.0 <= archived());
    for (n, (what, path)) in RENAMES.into_iter().enumerate() {
        let [active, other] = if n == 0 { ["nn", "nn2"] } else { ["nn2", "nn"] };
        let (path, held) = between.hold("rename2", path, LIMIT);
        let (began, before) = (Instant::now(), archived());
        let _ = cluster.run(&["pause", active]);
        between.close(n, true);
        let _ = cluster.run(&["active", other]);
        drop(held);
        println!("{what}: {path} was renamed, and nobody was told for {:.1?}", began.elapsed());
        eventually("it goes on", LIMIT, || before + 400.0 <= archived());
        assert!(0 < between.asked_again(), "{what}: nobody has looked what came of {path}");
        // What it has in its buffers must not count: it has been fenced.
        let _ = cluster.run(&["kill", active]);
        let _ = cluster.run(&["start", active]);
        between.close(n, false);
        if n == 0 {
            an_observer_decides_nothing(cluster, &between, &config);
        }
    }
    let log = daemon.log_text();
    assert!(log.contains("the append was not answered; reading the ledger"), "{log}");
    let sent = load.end();
    eventually("all archived", LIMIT, || sent.records as f64 <= archived());
    assert_eq!(daemon.stop(), 0);
    let raw = cluster.copied_archive(NAME, topic);
    let want = (0..2).flat_map(|p| (0..sent.records as i64 / 2).map(move |o| (p, o)));
    assert_each_once(&raw.offsets(), want);
    let file = dir.join("a.toml");
    let (code, said) = alluvium_with(&["verify", "--config", file.to_str().unwrap()], &[]);
    assert!(code == 0 && said.contains("whole"), "{said}");
    println!("records={} lost=0 doubled=0", sent.records);
}
