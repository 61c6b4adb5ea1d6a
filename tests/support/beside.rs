//! A mapping beside a broken one of the same instance, and the same mapping in an instance that has
//! no broken one: whatever the first waits for, the second one shows without it.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::{Cluster, Daemon, eventually};

/// The mapping whose resources are broken, and the one that goes on; their topics begin with this.
pub const BROKEN: &str = "broken";
pub const STEADY: &str = "steady";
/// Records a second, for each of the two.
pub const RATE: u64 = 400;
/// The part of its rate without a broken mapping that the steady one keeps.
const KEPT: f64 = 0.95;
/// Of so many tries, one may be late: a machine that does other work makes one instance wait, too.
const TRIES: usize = 3;
const LATE_TRIES: usize = 1;
/// How long a resource is broken in most cases.
const LASTS: Duration = Duration::from_secs(15);
const LIMIT: Duration = Duration::from_secs(90);

/// A resource of the broken mapping. `T` is what there is to break it with.
pub struct Resource<T> {
    pub what: &'static str,
    pub lasts: Duration,
    pub breaks: fn(&T),
    pub mends: fn(&T),
    /// The mapping's partitions stop, and go on when they are repaired.
    pub repair: bool,
    /// Whether every run of the tests has it; with `ALLUVIUM_RESOURCES=all`, a run has all.
    pub always: bool,
}

impl<T> Resource<T> {
    /// What most of them have, of those that every run breaks.
    pub fn always() -> Resource<T> {
        let nothing = |_: &T| ();
        let (breaks, mends) = (nothing, nothing);
        Resource { what: "", lasts: LASTS, breaks, mends, repair: false, always: true }
    }

    /// Of those that take their time.
    pub fn seldom() -> Resource<T> {
        Resource { always: false, ..Resource::always() }
    }

    fn is_wanted(&self) -> bool {
        self.always || are_all_wanted()
    }
}

/// Whether the run has those that take their time, too.
pub fn are_all_wanted() -> bool {
    std::env::var("ALLUVIUM_RESOURCES").is_ok_and(|v| v == "all")
}

/// What the steady mapping's records are followed to.
struct Sink {
    name: &'static str,
    series: &'static str,
    /// Records move on in steps of so many seconds: a window, a file.
    step: f64,
    /// By how much longer they may wait on average than without a broken mapping, seconds.
    later: f64,
}

const SINKS: [Sink; 2] = [
    Sink { name: "counted", series: "alluvium_results_position", step: 2.0, later: 0.5 },
    Sink { name: "archived", series: "alluvium_archive_position", step: 3.0, later: 1.0 },
];

/// How far an instance is in one sink, looked at again and again.
struct Progress<'d> {
    daemon: &'d Daemon,
    sink: &'static Sink,
    first: f64,
    done: f64,
    moved: Instant,
    /// The longest time without a step, seconds.
    stood: f64,
    /// The sum of the records that waited at each look.
    waited: f64,
    looks: f64,
}

impl<'d> Progress<'d> {
    fn begin(daemon: &'d Daemon, sink: &'static Sink) -> Progress<'d> {
        let done = daemon.of_topic(sink.series, "steady-in");
        let (moved, stood) = (Instant::now(), 0.0);
        Progress { daemon, sink, first: done, done, moved, stood, waited: 0.0, looks: 0.0 }
    }

    fn look(&mut self, sent: f64) {
        // A rebalance hides the positions for a moment; they never go back.
        let now = self.daemon.of_topic(self.sink.series, "steady-in");
        self.stood = self.stood.max(self.moved.elapsed().as_secs_f64());
        if self.done < now {
            (self.done, self.moved) = (now, Instant::now());
        }
        self.waited += sent - self.done;
        self.looks += 1.0;
    }

    fn records(&self) -> f64 {
        self.done - self.first
    }

    /// For how long a record waits, on average; seconds.
    fn late(&self) -> f64 {
        self.waited / self.looks / RATE as f64
    }

    /// Whether its records have waited, and those of an instance without a broken mapping have not.
    fn is_held_up(&self, alone: &Progress<'_>, lasted: f64) -> bool {
        let Sink { name, step, later, .. } = self.sink;
        println!(
            "  {name} {:.0} a second, {:.2} s late, stood {:.1} s; {:.0}, {:.2} s and {:.1} s \
             without the broken mapping",
            self.records() / lasted,
            self.late(),
            self.stood,
            alone.records() / lasted,
            alone.late(),
            alone.stood
        );
        self.records() + step * (RATE as f64) < KEPT * alone.records()
            || alone.late() + later < self.late()
            || alone.stood + 2.0 * step < self.stood
    }
}

/// Both instances, and the configuration of the first for `repair`.
pub struct Beside<'a> {
    pub cluster: &'a Cluster,
    pub daemon: &'a Daemon,
    pub control: &'a Daemon,
    /// Sources of the broken mappings.
    pub sources: &'static [&'static str],
}

impl Beside<'_> {
    /// Breaks each resource in turn.
    ///
    /// # Panics
    /// The other mapping was held up, or the broken one does not go on.
    pub fn break_each<T>(&self, resources: &[Resource<T>], with: &T) {
        for resource in resources.iter().filter(|r| r.is_wanted()) {
            let (mut late, mut tries) = (0, 0);
            while late <= LATE_TRIES && tries < TRIES && (tries == 0 || 0 < late) {
                late += usize::from(self.holds_up(resource, with));
                tries += 1;
            }
            assert!(
                late <= LATE_TRIES,
                "{}: the other mapping was held up in {late} of {tries} tries",
                resource.what
            );
        }
    }

    /// Breaks the resource for a while, and mends it; whether the other mapping was held up.
    fn holds_up<T>(&self, resource: &Resource<T>, with: &T) -> bool {
        (resource.breaks)(with);
        let consumer = self.cluster.consumer("admin");
        let started = Instant::now();
        let mut all: Vec<[Progress<'_>; 2]> = SINKS
            .iter()
            .map(|sink| [self.daemon, self.control].map(|of| Progress::begin(of, sink)))
            .collect();
        while started.elapsed() < resource.lasts {
            std::thread::sleep(Duration::from_millis(500));
            let sent = log_ends(&consumer, "steady-in");
            all.iter_mut().flatten().for_each(|progress| progress.look(sent));
        }
        let lasted = started.elapsed().as_secs_f64();
        println!("{}:", resource.what);
        let held_up: Vec<bool> =
            all.iter().map(|[beside, alone]| beside.is_held_up(alone, lasted)).collect();
        (resource.mends)(with);
        self.goes_on(resource.repair, &consumer);
        held_up.contains(&true)
    }

    /// What the broken mappings' topics had when they were mended is carried out.
    fn goes_on(&self, repair: bool, consumer: &BaseConsumer) {
        let config = self.daemon.file.display().to_string();
        for source in self.sources {
            let sent = log_ends(consumer, source);
            eventually(&format!("{source} goes on"), LIMIT, || {
                if repair && 1.0 <= self.daemon.metric("alluvium_partition_stopped", &[]) {
                    let _ = super::alluvium(&["repair", "--apply", "--config", &config]);
                }
                sent <= self.daemon.of_topic("alluvium_archive_position", source)
                    && (*source != "broken-in"
                        || sent <= self.daemon.of_topic("alluvium_results_position", source))
            });
        }
    }
}

/// The sum of the ends of a topic's four partitions.
fn log_ends(consumer: &BaseConsumer, topic: &str) -> f64 {
    let end = |partition| consumer.fetch_watermarks(topic, partition, LIMIT).unwrap().1;
    (0..4).map(end).sum::<i64>() as f64
}
