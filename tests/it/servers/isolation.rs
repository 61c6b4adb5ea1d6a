//! Two mappings in one instance: whatever is broken of one, the other goes on.

use std::time::{Duration, Instant};

use super::config;
use crate::support::load::{Load, check, mapping};
use crate::support::{Cluster, Daemon, eventually};

/// The mapping whose resources are broken, and the one that goes on.
const BROKEN: &str = "broken";
const STEADY: &str = "steady";
/// Counts what the steady one counts, in an instance of its own.
const CONTROL: &str = "control";
/// Records a second, for each of the two.
const RATE: u64 = 400;
/// The records of one window, which are counted at the same moment.
const WINDOW: f64 = 2.0 * RATE as f64;
/// The part of its rate without a broken mapping that the steady one keeps.
const KEPT: f64 = 0.95;
/// By how much longer its records may wait on average than without a broken mapping, seconds: a
/// window lasts two, and is committed after its end.
const LATER: f64 = 0.5;
/// How often a resource is broken before the other mapping counts as held up.
const TRIES: u32 = 3;

/// A resource of the broken mapping: for how long it is broken, what breaks it, and what mends it.
type Resource = (&'static str, Duration, fn(&Cluster), fn(&Cluster));

const LASTS: Duration = Duration::from_secs(15);
/// Commits count as failing after 20 s, at the next try, which comes within 15 s.
const LONG: Duration = Duration::from_secs(40);

/// Each is broken for a while. A limit of 100 bytes lets the markers of transactions through, which
/// the coordinator would otherwise try to write for ever.
const RESOURCES: &[Resource] = &[
    (
        "the output topic takes no message of this size",
        LONG,
        |c| c.configure_topic("broken-counts", &[("max.message.bytes", "100")]),
        |c| c.configure_topic("broken-counts", &[("max.message.bytes", "1000000")]),
    ),
    (
        "the partials topic takes no message of this size",
        LONG,
        |c| c.configure_topic(PARTIALS, &[("max.message.bytes", "100")]),
        |c| c.configure_topic(PARTIALS, &[("max.message.bytes", "1000000")]),
    ),
    (
        "the root has no space left",
        LASTS,
        |c| drop(c.run(&["dfsadmin", "-setSpaceQuota", "1m", "/broken"])),
        |c| drop(c.run(&["dfsadmin", "-clrSpaceQuota", "/broken"])),
    ),
    (
        "the root may not be written to",
        LASTS,
        |c| drop(c.run(&["dfs", "-chmod", "000", "/broken"])),
        |c| drop(c.run(&["dfs", "-chmod", "755", "/broken"])),
    ),
    (
        "the root is full of names",
        LASTS,
        |c| drop(c.run(&["dfsadmin", "-setQuota", "1", "/broken"])),
        |c| drop(c.run(&["dfsadmin", "-clrQuota", "/broken"])),
    ),
    (
        "the output topic is deleted",
        LASTS,
        |c| c.delete_topic("broken-counts"),
        |c| {
            if !c.has_topic("broken-counts") {
                c.create_topic("broken-counts", 4);
            }
        },
    ),
];

const PARTIALS: &str = "steady-broken-partials";

/// Records of a mapping that are counted.
fn counted(daemon: &Daemon, mapping: &str) -> f64 {
    daemon.of_topic("alluvium_results_position", &format!("{mapping}-in"))
}

/// What a daemon has counted of the steady mapping's topic, looked at again and again.
struct Progress {
    first: f64,
    counted: f64,
    /// The sum of the records that waited at each look.
    waited: f64,
    looks: f64,
}

impl Progress {
    fn begin(daemon: &Daemon) -> Progress {
        let counted = counted(daemon, STEADY);
        Progress { first: counted, counted, waited: 0.0, looks: 0.0 }
    }

    fn look(&mut self, daemon: &Daemon, sent: i64) {
        // A rebalance hides the positions for a moment; they never go back.
        self.counted = self.counted.max(counted(daemon, STEADY));
        self.waited += sent as f64 - self.counted;
        self.looks += 1.0;
    }

    fn records(&self) -> f64 {
        self.counted - self.first
    }

    /// For how long a record waits, on average; seconds.
    fn late(&self) -> f64 {
        self.waited / self.looks / RATE as f64
    }
}

/// Breaks the resource for a while, and mends it. Whether the records of the other mapping have
/// waited, and those of an instance that has no broken mapping have not: a machine that does other
/// work, too, makes both wait.
fn holds_up(cluster: &Cluster, daemon: &Daemon, control: &Daemon, resource: &Resource) -> bool {
    let (what, lasts, breaks, mends) = resource;
    let before = counted(daemon, BROKEN);
    breaks(cluster);
    let started = Instant::now();
    let [mut steady, mut alone] = [daemon, control].map(Progress::begin);
    while started.elapsed() < *lasts {
        std::thread::sleep(Duration::from_millis(500));
        let sent: i64 = (0..4).map(|p| cluster.log_end(("steady-in", p))).sum();
        steady.look(daemon, sent);
        alone.look(control, sent);
    }
    let rate = |of: &Progress| of.records() / started.elapsed().as_secs_f64();
    println!(
        "{what}: the other mapping counts {:.0} a second, {:.2} s late; {:.0} and {:.2} s without \
         the broken mapping",
        rate(&steady),
        steady.late(),
        rate(&alone),
        alone.late()
    );
    mends(cluster);
    eventually("the mapping goes on", Duration::from_secs(60), || {
        before + RATE as f64 * 20.0 <= counted(daemon, BROKEN)
    });
    let slow = steady.records() + WINDOW < KEPT * alone.records();
    slow || alone.late() + LATER < steady.late()
}

/// Breaks each resource of one mapping in turn; the other one's records are counted in time.
pub(crate) fn a_mapping_whose_resources_break(cluster: &Cluster) {
    for name in [BROKEN, STEADY] {
        cluster.create_topic(&format!("{name}-in"), 4);
        cluster.create_topic(&format!("{name}-counts"), 4);
    }
    cluster.files().make_dirs("/broken");
    // No superuser: nothing is forbidden to that one.
    let _ = cluster.run(&["dfs", "-chown", BROKEN, "/broken"]);
    let root =
        format!("archive = {{ root = \"{}/broken\", user = \"{BROKEN}\" }}\n", cluster.hdfs());
    let broken = mapping(BROKEN)
        .replace("[mapping.broken.wordcount]", &format!("{root}[mapping.broken.wordcount]"));
    let mappings = format!("{}\n{broken}", mapping(STEADY));
    let daemon = Daemon::start(&cluster.home(STEADY), "a", &config(cluster, STEADY, &mappings));
    let control = mapping(CONTROL).replace("\"control-in\"", "\"steady-in\"");
    let control =
        Daemon::start(&cluster.home(CONTROL), CONTROL, &config(cluster, CONTROL, &control));
    for daemon in [&daemon, &control] {
        eventually("ready", Duration::from_secs(60), || daemon.get("/readyz").is_some());
    }
    let loads = [BROKEN, STEADY].map(|m| Load::begin(cluster, &format!("{m}-in"), 4, RATE));
    eventually("both are under way", Duration::from_secs(30), || {
        [BROKEN, STEADY].iter().all(|m| RATE as f64 <= counted(&daemon, m))
    });
    for resource in RESOURCES {
        // A mapping that waits for the other one is late every time.
        let late = (0..TRIES).all(|_| holds_up(cluster, &daemon, &control, resource));
        assert!(!late, "{}: the other mapping was held up in all {TRIES} tries", resource.0);
    }
    let [broken, steady] = loads.map(Load::end);
    assert_eq!(control.stop(), 0);
    eventually("the broken mapping catches up", Duration::from_secs(90), || {
        broken.records as f64 <= counted(&daemon, BROKEN)
            && broken.records as f64 <= daemon.of_topic("alluvium_archive_position", "broken-in")
    });
    check(cluster, daemon, STEADY, &steady);
}
