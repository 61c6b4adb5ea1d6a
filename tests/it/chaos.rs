//! Random incidents on real servers: instances are killed, stand still, join and leave; brokers,
//! NameNode and DataNodes are killed, stand still and come back; HDFS takes nothing for a while.
//! Seeded and printed; at the end everything is computed anew from the input.
//!
//! `make chaos MINUTES=10 SEED=7`; without, one minute and a half and a seed of the day. With
//! SECURE=1 the servers ask for logins and rights, tickets are valid for 20 s, the KDC stands still
//! now and then, and two NameNodes take each other's place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::scene::Scene;
use crate::support::{Daemon, eventually, secured};

const MOST: usize = 4;

fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

pub(crate) fn random_incidents() {
    let minutes: f64 = number("MINUTES").unwrap_or(1.5);
    let seed: u64 = number("SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("seed={seed} minutes={minutes}");
    let cluster = Arc::new(secured::start("chaos", 3, 3));
    let scene = Scene::new(&cluster, "chaos");
    let mut chaos = Chaos {
        scene: &scene,
        random: fastrand::Rng::with_seed(seed),
        started: Instant::now(),
        running: BTreeMap::new(),
        tally: BTreeMap::new(),
        active: "nn",
    };
    chaos.join();
    chaos.join();
    let running = scene.begin();
    scene.works(chaos.running.values().next().unwrap());
    chaos.started = Instant::now();
    chaos.a_datanode_stays_away("dn1 is dead", "kill", "start");
    chaos.a_datanode_stays_away("dn1 stands still", "pause", "resume");
    while chaos.started.elapsed().as_secs_f64() < minutes * 60.0 {
        chaos.incident();
    }
    for daemon in std::mem::take(&mut chaos.running).into_values() {
        let _ = daemon.stop();
    }
    chaos.every_file_has_its_replicas();
    let outcome = running.finish(&scene);
    let tally: Vec<String> = chaos.tally.iter().map(|(what, n)| format!("{what}={n}")).collect();
    println!(
        "seed={seed} {} records={} files_watched={} lost=0 doubled=0",
        tally.join(" "),
        outcome.records,
        outcome.files
    );
}

struct Chaos<'a> {
    scene: &'a Scene,
    random: fastrand::Rng,
    started: Instant,
    running: BTreeMap<String, Daemon>,
    tally: BTreeMap<&'static str, u32>,
    /// The NameNode that is the active one, where there are two.
    active: &'static str,
}

/// Files and their numbers of replicas, as `hdfs dfs -ls -R` lists them.
fn listed(text: &str) -> Vec<(String, u32)> {
    let file = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let replicas = fields.get(1)?.parse().ok()?;
        Some((fields.last()?.to_string(), replicas))
    };
    text.lines().filter(|line| line.starts_with('-')).filter_map(file).collect()
}

impl Chaos<'_> {
    fn note(&mut self, what: &'static str, detail: &str) {
        println!("{:6.1} s  {what} {detail}", self.started.elapsed().as_secs_f64());
        *self.tally.entry(what).or_default() += 1;
    }

    fn wait(&mut self, seconds: std::ops::Range<u64>) {
        std::thread::sleep(Duration::from_millis(
            self.random.u64(seconds.start * 1_000..seconds.end * 1_000),
        ));
    }

    fn any(&mut self) -> String {
        let names: Vec<&String> = self.running.keys().collect();
        self.random.choice(names).unwrap().clone()
    }

    /// Something is wrong for a while: two commands of the testbed.
    fn trouble(&mut self, what: &'static str, detail: &str, begin: &[&str], end: &[&str]) {
        self.note(what, detail);
        let _ = self.scene.cluster.run(begin);
        self.wait(3..15);
        let _ = self.scene.cluster.run(end);
    }

    /// A server goes and comes back.
    fn server(&mut self, what: &'static str, name: &str, go: &str, back: &str) {
        self.trouble(what, name, &[go, name], &[back, name]);
    }

    /// One of three, while the NameNode believes for ten minutes that it is there: all that is
    /// counted is archived within a minute, first what was under way, then what is begun without
    /// it.
    fn a_datanode_stays_away(&mut self, what: &'static str, go: &str, back: &str) {
        self.note("datanodes", what);
        let _ = self.scene.cluster.run(&[go, "dn1"]);
        let sum = |running: &BTreeMap<String, Daemon>, metric: &str| {
            running.values().map(|d| d.of_topic(metric, "chaos-in")).sum::<f64>()
        };
        for _ in 0..3 {
            let counted = sum(&self.running, "alluvium_results_position");
            eventually("writing goes on", Duration::from_secs(60), || {
                counted <= sum(&self.running, "alluvium_archive_position")
            });
            println!("{:6.1} s  archived all the same", self.started.elapsed().as_secs_f64());
        }
        let _ = self.scene.cluster.run(&[back, "dn1"]);
    }

    /// Files that were begun with fewer replicas are to have all of them in the end.
    fn every_file_has_its_replicas(&self) {
        // What a killed instance left in staging was never closed; the next owner deletes it.
        let mut files = if secured::is_wanted() {
            listed(&self.scene.cluster.run(&["dfs", "-ls", "-R", "/chaos"]))
        } else {
            self.scene.cluster.files().walk("/chaos")
        };
        files.retain(|(path, _)| !path.contains("/staging/"));
        assert!(!files.is_empty());
        for (file, replicas) in files {
            assert_eq!(replicas, 3, "{file}");
        }
    }

    /// The active NameNode dies, stands still, or becomes a standby; the other one is active then.
    fn fail_over(&mut self) {
        let old = self.active;
        let new = if old == "nn" { "nn2" } else { "nn" };
        let cluster = &self.scene.cluster;
        let testbed = |args: &[&str]| drop(cluster.run(args));
        let how = self.random.choice(["kill", "pause", "standby"]).unwrap();
        self.note("failovers", &format!("{how} {old}"));
        testbed(&[how, old]);
        testbed(&["active", new]);
        self.active = new;
        self.wait(3..15);
        if how == "pause" {
            // It has been fenced, and ends when it notices.
            testbed(&["resume", old]);
            std::thread::sleep(Duration::from_secs(3));
            let _ = cluster.pipe(&["kill", old], "");
        }
        if how != "standby" {
            testbed(&["start", old]);
        }
    }

    fn join(&mut self) {
        let free = (1..=MOST).map(|i| format!("i{i}")).find(|n| !self.running.contains_key(n));
        if let Some(name) = free {
            self.note("joins", &name);
            let daemon = self.scene.start(&name, &[]);
            let _ = self.running.insert(name, daemon);
        }
    }

    fn incident(&mut self) {
        for (name, daemon) in &mut self.running {
            assert!(daemon.is_running(), "{name} ended by itself; log: {}", daemon.log.display());
        }
        match self.random.u8(..12) {
            0..3 => {
                let name = self.any();
                self.note("kills", &name);
                self.running.remove(&name).unwrap().kill();
                self.wait(0..4);
                let daemon = self.scene.start(&name, &[]);
                let _ = self.running.insert(name, daemon);
            }
            3..5 => {
                let name = self.any();
                self.note("pauses", &name);
                self.running[&name].signal("-STOP");
                self.wait(1..15);
                self.running[&name].signal("-CONT");
            }
            5 => self.join(),
            6 if 1 < self.running.len() => {
                let name = self.any();
                self.note("leaves", &name);
                let _ = self.running.remove(&name).unwrap().stop();
            }
            6 | 7 => {
                let name = format!("kafka{}", self.random.u8(1..=3));
                self.server("brokers", &name, "kill", "start");
            }
            8 if secured::is_wanted() && self.random.u8(0..4) == 0 => {
                self.note("kdc", "stands still");
                let _ = self.scene.cluster.run(&["pause", "kdc"]);
                // Longer than any ticket is valid.
                self.wait(3..secured::TICKET_S + 10);
                let _ = self.scene.cluster.run(&["resume", "kdc"]);
            }
            8 | 10 if secured::is_wanted() => self.fail_over(),
            8 if self.random.bool() => self.server("namenodes", "nn", "stop", "start"),
            8 => self.server("namenodes", "nn", "pause", "resume"),
            9 | 10 => {
                // Each block has three replicas: a file that is being written loses one.
                let name = format!("dn{}", self.random.u8(1..=3));
                match self.random.u8(0..3) {
                    0 => self.server("datanodes", &name, "kill", "start"),
                    1 => self.server("datanodes", &name, "pause", "resume"),
                    _ => self.server("full_disks", &name, "fill", "clear"),
                }
            }
            _ if self.random.bool() => self.trouble(
                "safe_modes",
                "",
                &["dfsadmin", "-safemode", "enter"],
                &["dfsadmin", "-safemode", "leave"],
            ),
            _ => self.trouble(
                "quotas",
                "",
                &["dfsadmin", "-setSpaceQuota", "1m", "/chaos"],
                &["dfsadmin", "-clrSpaceQuota", "/chaos"],
            ),
        }
        self.wait(1..5);
    }
}
