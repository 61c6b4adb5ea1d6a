//! Tickets that a job of the site renews, because the daemon has no keytab: one daemon's job goes
//! on, and the other's has a key that the KDC does not take any more.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::realm::{REALM, invented, keytab, krb5};
use crate::support::load::Load;
use crate::support::{Cluster, Daemon, assert_each_once, eventually, recording};

const LIMIT: Duration = Duration::from_secs(90);
/// How often a job asks for tickets; they are valid for five times as long.
const EVERY: Duration = Duration::from_secs(2);
/// Instances; each has a group, a topic, a root and a cache of its own.
const RENEWED: &str = "renewed";
const FORGOTTEN: &str = "forgotten";

/// What a timer does: kinit, again and again.
pub(super) struct Job {
    on: Arc<AtomicBool>,
    thread: JoinHandle<usize>,
    /// Whose key it logs in with.
    pub(super) keytab: PathBuf,
}

impl Job {
    /// The first tickets are there when this returns.
    pub(super) fn begin(cluster: &Cluster, dir: &Path) -> Job {
        let (file, krb5) = (dir.join("job.keytab"), krb5(cluster));
        put(&keytab(cluster), &file);
        let mut kinit = Command::new("kinit");
        let _ = kinit.args(["-k", "-t"]).arg(&file).arg("-c").arg(cache(dir));
        let _ = kinit.arg(format!("alluvium@{REALM}")).env("KRB5_CONFIG", krb5);
        let _ = kinit.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let first = kinit.status().expect("kinit (testbed/setup all installs it)");
        assert!(first.success(), "kinit: {first}");
        let on = Arc::new(AtomicBool::new(true));
        let going = Arc::clone(&on);
        let thread = std::thread::spawn(move || {
            let mut refused = 0;
            while going.load(Ordering::SeqCst) {
                std::thread::sleep(EVERY);
                refused += usize::from(!kinit.status().unwrap().success());
            }
            refused
        });
        Job { on, thread, keytab: file }
    }

    /// How often it was refused.
    pub(super) fn end(self) -> usize {
        self.on.store(false, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

pub(super) fn cache(dir: &Path) -> String {
    format!("FILE:{}", dir.join("tickets").display())
}

/// Puts a file in the place of another one, whole.
pub(super) fn put(from: &Path, to: &Path) {
    let new = to.with_extension("new");
    let _ = std::fs::copy(from, &new).unwrap();
    std::fs::rename(&new, to).unwrap();
}

fn topic(name: &str) -> String {
    format!("{name}-in")
}

fn start(cluster: &Cluster, name: &str) -> Daemon {
    let (dir, conf) = (cluster.home(name), cluster.state.join("hdfs/conf"));
    let config = format!(
        "{}hadoop_conf_dir = {conf:?}\nkerberos = {{ principal = \"alluvium@{REALM}\", cache = \
         {:?} }}\n[archive.roll]\nage = \"1s\"\n[daemon]\nworkers = 1\n[mapping.m]\ntopics = \
         [{:?}]\n",
        cluster.head(name, 10_000),
        cache(&dir),
        topic(name)
    );
    Daemon::start_with(&dir, name, &config, &[("KRB5_CONFIG", &*krb5(cluster))])
}

/// The alert of old tickets fires for one of the two, in the recording that begins here.
pub(super) fn tickets_that_a_job_renews(cluster: &Cluster) {
    recording::begin();
    let both = [RENEWED, FORGOTTEN].map(|name| {
        cluster.create_topic(&topic(name), 1);
        let dir = cluster.home(name);
        std::fs::create_dir_all(&dir).unwrap();
        let job = Job::begin(cluster, &dir);
        (name, job, start(cluster, name), Load::begin(cluster, &topic(name), 1, 50))
    });
    let archived =
        |daemon: &Daemon, name| daemon.of_topic("alluvium_archive_position", &topic(name));
    let age = |daemon: &Daemon| daemon.metric("alluvium_kerberos_ticket_age_seconds", &[]);
    // Tickets of the beginning have expired.
    for (name, _, daemon, _) in &both {
        eventually("archived by tickets of a job", LIMIT, || 600.0 <= archived(daemon, name));
        assert!(age(daemon) < 8.0, "{name}: {} s", age(daemon));
    }
    let [(_, _, renewed, _), (_, job, forgotten, _)] = &both;
    put(&invented(&cluster.home(FORGOTTEN), "alluvium"), &job.keytab);
    eventually("the tickets are old", LIMIT, || 20.0 <= age(forgotten));
    assert!(age(renewed) < 8.0, "{} s", age(renewed));
    // Open connections outlive a ticket; the next ones need another.
    let _ = cluster.run(&["kill", "nn"]);
    let _ = cluster.run(&["start", "nn"]);
    let before = archived(renewed, RENEWED);
    eventually("the other one goes on", LIMIT, || before + 200.0 <= archived(renewed, RENEWED));
    eventually("it says that its tickets have expired", LIMIT, || {
        let log = forgotten.log_text();
        log.contains("/forgotten is unavailable") && log.contains("Ticket expired")
    });
    put(&keytab(cluster), &job.keytab);
    let stood = archived(forgotten, FORGOTTEN);
    eventually("it goes on", LIMIT, || stood + 200.0 <= archived(forgotten, FORGOTTEN));
    for (name, job, daemon, load) in both {
        let sent = load.end();
        eventually("all archived", LIMIT, || sent.records as f64 <= archived(&daemon, name));
        assert_eq!(daemon.stop(), 0, "{name}");
        assert_eq!(0 < job.end(), name == FORGOTTEN, "{name}: kinit was refused, or not");
        let all = cluster.copied_archive(name, &topic(name)).offsets();
        assert_each_once(&all, (0..sent.records as i64).map(|offset| (0, offset)));
    }
}
