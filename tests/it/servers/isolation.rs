//! Mappings in one instance: whatever is broken of one, the others go on.

use std::cell::RefCell;
use std::time::Duration;

use super::config;
use crate::support::beside::{BROKEN, Beside, RATE, Resource, STEADY};
use crate::support::load::{Load, check, mapping};
use crate::support::{Cluster, Daemon, eventually, flush, send};

/// Counts what the steady one counts, in an instance of its own.
const CONTROL: &str = "control";
/// Commits count as failing after 20 s, at the next try, which comes within 15 s.
const LONG: Duration = Duration::from_secs(40);
const PARTIALS: &str = "steady-broken-partials";
/// A third mapping, which has declared columns.
const TYPED: &str = "[mapping.typed]\ntopics = [\"typed-in\"]\n\
                     archive = { columns = { n = \"int64\" }, on_bad_record = \"quarantine\" }\n";

/// What there is to break.
struct Site<'a> {
    cluster: &'a Cluster,
    daemon: &'a Daemon,
    config: &'a str,
    load: RefCell<Option<Load>>,
}

impl Site<'_> {
    fn limit(&self, topic: &str, bytes: &str) {
        self.cluster.configure_topic(topic, &[("max.message.bytes", bytes)]);
    }

    fn run(&self, command: &[&str]) {
        let _ = self.cluster.run(command);
    }

    /// Unless the daemon has made it again.
    fn make_again(&self, topic: &str) {
        if !self.cluster.has_topic(topic) {
            self.cluster.create_topic(topic, 4);
        }
    }

    fn begin_load(&self) {
        *self.load.borrow_mut() = Some(Load::begin(self.cluster, "broken-in", 4, RATE));
    }

    fn end_load(&self) {
        drop(self.load.take().map(Load::end));
    }

    /// What the third mapping does with bad records.
    fn on_bad_record(&self, what: &str) {
        let what = format!("on_bad_record = \"{what}\"");
        self.daemon.reconfigure(&self.config.replace("on_bad_record = \"quarantine\"", &what));
    }

    fn send_typed(&self, value: &str) {
        let producer = self.cluster.producer();
        (0..4).for_each(|p| send(&producer, "typed-in", p, value.as_bytes(), None));
        flush(&producer);
    }
}

/// Each is broken for a while. A limit of 100 bytes lets the markers of transactions through, which
/// the coordinator would otherwise try to write for ever.
fn resources<'a>() -> Vec<Resource<Site<'a>>> {
    vec![
        Resource {
            what: "the output topic takes no message of this size",
            lasts: LONG,
            breaks: |site| site.limit("broken-counts", "100"),
            mends: |site| site.limit("broken-counts", "1000000"),
            ..Resource::always()
        },
        Resource {
            what: "the partials topic takes no message of this size",
            lasts: LONG,
            breaks: |site| site.limit(PARTIALS, "100"),
            mends: |site| site.limit(PARTIALS, "1000000"),
            ..Resource::always()
        },
        Resource {
            what: "the root has no space left",
            breaks: |site| site.run(&["dfsadmin", "-setSpaceQuota", "1m", "/broken"]),
            mends: |site| site.run(&["dfsadmin", "-clrSpaceQuota", "/broken"]),
            ..Resource::always()
        },
        Resource {
            what: "the root may not be written to",
            breaks: |site| site.run(&["dfs", "-chmod", "000", "/broken"]),
            mends: |site| site.run(&["dfs", "-chmod", "755", "/broken"]),
            ..Resource::always()
        },
        Resource {
            what: "the root is full of names",
            breaks: |site| site.run(&["dfsadmin", "-setQuota", "1", "/broken"]),
            mends: |site| site.run(&["dfsadmin", "-clrQuota", "/broken"]),
            ..Resource::seldom()
        },
        Resource {
            what: "a bad record stops its partition",
            breaks: |site| {
                site.on_bad_record("stop");
                site.send_typed("{\"n\":1}");
                site.send_typed("{\"n\":1.5}");
            },
            mends: |site| site.on_bad_record("quarantine"),
            ..Resource::always()
        },
        Resource {
            what: "the output topic is deleted",
            breaks: |site| site.cluster.begin_to_delete_topic("broken-counts"),
            mends: |site| site.make_again("broken-counts"),
            ..Resource::always()
        },
        Resource {
            what: "the partials topic is deleted",
            breaks: |site| site.cluster.begin_to_delete_topic(PARTIALS),
            mends: |site| site.make_again(PARTIALS),
            repair: true,
            ..Resource::seldom()
        },
        Resource {
            what: "the source topic is deleted",
            breaks: |site| {
                site.end_load();
                site.cluster.delete_topic("broken-in");
            },
            mends: |site| {
                site.cluster.create_topic("broken-in", 4);
                site.begin_load();
                let end = |p| site.cluster.log_end(("broken-in", p));
                let written = || (0..4).all(|p| 0 < end(p));
                eventually("records are written", Duration::from_secs(30), written);
            },
            repair: true,
            ..Resource::always()
        },
    ]
}

/// Breaks each resource of one mapping in turn; the other one's records are counted and archived
/// in time.
pub(crate) fn a_mapping_whose_resources_break(cluster: &Cluster) {
    for name in [BROKEN, STEADY] {
        cluster.create_topic(&format!("{name}-in"), 4);
        cluster.create_topic(&format!("{name}-counts"), 4);
    }
    cluster.create_topic("typed-in", 4);
    cluster.files().make_dirs("/broken");
    // No superuser: nothing is forbidden to that one.
    let _ = cluster.run(&["dfs", "-chown", BROKEN, "/broken"]);
    let root =
        format!("archive = {{ root = \"{}/broken\", user = \"{BROKEN}\" }}\n", cluster.hdfs());
    let broken = mapping(BROKEN)
        .replace("[mapping.broken.wordcount]", &format!("{root}[mapping.broken.wordcount]"));
    let mappings = format!("{}\n{broken}\n{TYPED}", mapping(STEADY));
    let soon = |config: String| config.replace("[daemon]\n", "[daemon]\ntopics_refresh = \"2s\"\n");
    let text = soon(config(cluster, STEADY, &mappings));
    let daemon = Daemon::start(&cluster.home(STEADY), "a", &text);
    let control = mapping(CONTROL).replace("\"control-in\"", "\"steady-in\"");
    let control =
        Daemon::start(&cluster.home(CONTROL), CONTROL, &soon(config(cluster, CONTROL, &control)));
    for daemon in [&daemon, &control] {
        eventually("ready", Duration::from_secs(60), || daemon.get("/readyz").is_some());
    }
    // Sources, partial counts and counts of two mappings, and the source of the third: what is not
    // assigned has no results that could be refused.
    eventually("every partition is assigned", Duration::from_secs(60), || {
        daemon.metric("alluvium_assigned_partitions", &[]) == 7.0 * 4.0
    });
    let steady = Load::begin(cluster, "steady-in", 4, RATE);
    let site = Site { cluster, daemon: &daemon, config: &text, load: RefCell::default() };
    site.begin_load();
    eventually("both are under way", Duration::from_secs(30), || {
        let counted = |name| daemon.of_topic("alluvium_results_position", name);
        ["broken-in", "steady-in"].iter().all(|name| RATE as f64 <= counted(name))
    });
    let sources = &["broken-in", "typed-in"];
    let beside = Beside { cluster, daemon: &daemon, control: &control, sources };
    beside.break_each(&resources(), &site);
    site.end_load();
    let steady = steady.end();
    assert_eq!(control.stop(), 0);
    let sent: i64 = (0..4).map(|p| cluster.log_end(("broken-in", p))).sum();
    eventually("the broken mapping catches up", Duration::from_secs(90), || {
        ["alluvium_results_position", "alluvium_archive_position"]
            .iter()
            .all(|series| sent as f64 <= daemon.of_topic(series, "broken-in"))
    });
    for topic in ["steady-in/", "steady-counts/", "steady-steady-partials/"] {
        assert_eq!(revoked(&daemon, topic), 0, "a fault of one mapping revokes {topic}");
    }
    assert!(0 < revoked(&daemon, "broken-in/"), "the log does not name what is revoked");
    check(cluster, daemon, STEADY, &steady);
}

/// How often partitions of a topic were taken away, by a rebalance or because they begin again.
fn revoked(daemon: &Daemon, topic: &str) -> usize {
    let taken = |line: &&str| {
        (line.contains(" revocation: ") || line.contains(" partitions begin again"))
            && line.contains(topic)
    };
    daemon.log_text().lines().filter(taken).count()
}
