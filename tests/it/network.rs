//! The network is pulled out under a daemon, its brokers, NameNode and DataNodes, all at once:
//! nothing is refused, nothing is closed, nothing comes back. Then it is plugged in again.
//!
//! All of them run in a network namespace of their own, which needs root; without, this is ignored.

use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::support::load::{Load, check, mapping};
use crate::support::{Cluster, Daemon, eventually};

/// Set inside of the namespace.
const APART: &str = "ALLUVIUM_APART";
const OUTAGE_S: u64 = 45;

/// Why it is not run.
pub(crate) const NOT_APART: &str = "no network namespace can be made here (root, CAP_SYS_ADMIN)";

/// Whether this process runs in the namespace.
pub(crate) fn is_apart() -> bool {
    std::env::var_os(APART).is_some()
}

/// Whether a namespace can be made here; tried once.
pub(crate) fn can_be_apart() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        let try_it = "ip link set lo up && ip link set lo down && ip link set lo up";
        let can = succeeds(Command::new("unshare").args(["--net", "--", "sh", "-c", try_it]));
        if !can {
            println!("{NOT_APART}");
        }
        can
    })
}

fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|s| s.success())
}

/// This program once more, in a namespace of its own.
pub(crate) fn apart() {
    let me = std::env::current_exe().unwrap();
    let mut apart = Command::new("unshare");
    assert!(succeeds(apart.args(["--net", "--"]).arg(me).env(APART, "1")));
}

fn link(state: &str) {
    let done = Command::new("ip").args(["link", "set", "lo", state]).status().unwrap();
    assert!(done.success(), "ip link set lo {state}: {done}");
}

pub(crate) fn the_network_is_pulled() {
    link("up");
    let cluster = Cluster::start("network", 3, 1);
    let (name, topic) = ("pulled", "pulled-in");
    cluster.create_topic(topic, 4);
    let config = cluster.head(name, 10_000)
        + "[archive.roll]\nage = \"3s\"\n[daemon]\nworkers = 2\n"
        + &mapping(name);
    let dir = cluster.home(name);
    let daemon = Daemon::start(&dir, "a", &config);
    eventually("ready", Duration::from_secs(60), || daemon.get("/readyz").is_some());
    let load = Load::begin(&cluster, topic, 4, 1_000);
    let counted = || daemon.of_topic("alluvium_results_position", topic);
    eventually("under way", Duration::from_secs(30), || 5_000.0 <= counted());
    let (before, lines) = (counted(), daemon.log_text().lines().count());
    link("down");
    std::thread::sleep(Duration::from_secs(OUTAGE_S));
    let said = daemon.log_text().lines().count() - lines;
    link("up");
    println!(
        "{before} records were counted before; {said} lines were logged in {OUTAGE_S} s without"
    );
    assert!((1..=100).contains(&said), "silent, or a flood: {said} lines in {OUTAGE_S} s");
    let before = counted();
    eventually("it counts again", Duration::from_secs(60), || before + 1_000.0 <= counted());
    let sent = load.end();
    check(&cluster, daemon, name, &sent);
    println!("pulled for {OUTAGE_S} s: records={} lost=0 doubled=0", sent.records);
}
