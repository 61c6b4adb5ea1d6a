//! Clients of a daemon that lose all of their brokers for good, while the brokers answer others
//! (docs/decisions/0026-cut-off-clients.md). A broker that names no broker brings this about, so
//! this stands between a broker of its own and the daemon.

use std::time::{Duration, Instant};

use super::config_with_local_root;
use crate::support::broker_front::BrokerFront;
use crate::support::load::{Load, check_below, mapping};
use crate::support::{Cluster, Daemon, alluvium, check_live, eventually};

const NAME: &str = "cut";
const TOPIC: &str = "cut-in";

/// The clients are cut off for so long at least, although the brokers are there, before it is
/// believed that they do not find them by themselves.
const FOR_GOOD: Duration = Duration::from_secs(60);

/// From then on until the daemon starts anew: two minutes from the beginning of the outage, two
/// trials of a new client, and a busy machine.
const STARTS_ANEW: Duration = Duration::from_secs(180);

/// The line of AL110.
const CUT_OFF: &str = "code=\"AL110\"";

pub(crate) fn clients_that_lose_their_brokers() {
    let cluster = Cluster::start_with(NAME, 1, 0, &[("TESTBED_BEHIND", "yes")]);
    cluster.create_topic(TOPIC, 4);
    let front = BrokerFront::before(cluster.listener(9_021), cluster.listener(9_031), TOPIC);
    let dir = cluster.home(NAME);
    let archive = dir.join("archive");
    std::fs::create_dir_all(&archive).unwrap();
    let config = config_with_local_root(&cluster, NAME, &mapping(NAME), &archive)
        .replace(&cluster.bootstrap(), &front.address);
    let mut daemon = Daemon::start(&dir, "a", &config);
    eventually("ready", Duration::from_secs(60), || daemon.get("/readyz").is_some());
    let load = Load::begin(&cluster, TOPIC, 4, 100);
    let archived = || daemon.of_topic("alluvium_archive_position", TOPIC);
    eventually("under way", Duration::from_secs(60), || 500.0 <= archived());

    let before = daemon.log_text().len();
    names_no_broker(&front, &daemon);
    are_cut_off_for_good(&daemon, before, || {
        let (code, said) = check_live(&dir, &config, &[]);
        assert_eq!(code, 0, "a new client does not work either: {said}");
    });
    eventually("the daemon starts anew", STARTS_ANEW, || since(&daemon, before).contains(CUT_OFF));
    eventually("ready again", Duration::from_secs(60), || {
        since(&daemon, before).contains(" ready partitions=") && daemon.get("/readyz").is_some()
    });
    assert!(daemon.is_running(), "the process has ended");
    let log = daemon.log_text();
    assert_eq!(log.matches(CUT_OFF).count(), 1, "{log}");
    assert_eq!(log.matches("running instance=").count(), 2, "one start, and one anew: {log}");

    let sent = load.end();
    check_below(&cluster, daemon, NAME, &format!("file://{}", archive.display()), &sent);
    drop(front);
    afterwards(&cluster, &config);
    println!("cut off and started anew: records={} lost=0 doubled=0", sent.records);
}

/// What the daemon has logged from this byte on.
fn since(daemon: &Daemon, from: usize) -> String {
    daemon.log_text().get(from..).unwrap_or_default().to_string()
}

/// For how many seconds no broker has answered the daemon; [`None`] if it does not say so now.
fn unreachable_s(daemon: &Daemon) -> Option<f64> {
    let text = daemon.get("/metrics")?;
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix("alluvium_brokers_unreachable_seconds ")?.parse().ok())
}

/// The broker restarts, as it seems, and names no broker then, until the daemon says that none
/// answers it.
fn names_no_broker(front: &BrokerFront, daemon: &Daemon) {
    front.name_no_broker();
    eventually("no broker answers", Duration::from_secs(90), || {
        unreachable_s(daemon).is_some_and(|seconds| 2.0 <= seconds)
    });
    // Each of its clients has asked by then.
    std::thread::sleep(Duration::from_secs(5));
    assert!(0 < front.answered(), "no client has asked for metadata");
    front.pass_everything();
}

/// The state is real: the daemon's clients do not find the brokers by themselves, which answer a
/// new client meanwhile.
fn are_cut_off_for_good(daemon: &Daemon, before: usize, a_new_client_works: impl FnOnce()) {
    let back = Instant::now();
    let has_started_anew = || {
        let log = since(daemon, before);
        let has_started_anew = log.contains(CUT_OFF);
        assert!(
            has_started_anew || !log.contains("the brokers answer again"),
            "the daemon's clients have found the brokers again by themselves, {:?} after these \
             were back: an answer without brokers does not cut a client off any more, as it does \
             with librdkafka 2.12.1 (docs/decisions/0026-cut-off-clients.md)\n{log}",
            back.elapsed()
        );
        has_started_anew
    };
    a_new_client_works();
    while !has_started_anew() && back.elapsed() < FOR_GOOD {
        std::thread::sleep(Duration::from_secs(1));
    }
    eventually("the outage lasts", Duration::from_secs(30), || {
        has_started_anew()
            || unreachable_s(daemon).is_some_and(|seconds| FOR_GOOD.as_secs_f64() <= seconds)
    });
}

/// The program's own commands find each record once, archived and counted.
fn afterwards(cluster: &Cluster, config: &str) {
    let file = cluster.home(NAME).join("afterwards.toml");
    // By the brokers' other listener.
    let own = config.replace(&cluster.listener(9_031), &cluster.bootstrap());
    std::fs::write(&file, own).unwrap();
    let file = file.to_str().unwrap();
    for command in
        [&["verify", "--config", file][..], &["recount", "--config", file, "--mapping", NAME]]
    {
        let (code, said) = alluvium(command);
        assert_eq!(code, 0, "{command:?}: {said}");
    }
}
