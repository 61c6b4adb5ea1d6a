//! An operator at work: what systemd is told, pause and resume, a configuration that changes under
//! a running daemon, series that Prometheus likes.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::config;
use crate::support::{Cluster, Daemon, alluvium, eventually, flush, promtool, send};

const LIMIT: Duration = Duration::from_secs(60);

/// Everything that the daemon tells its supervisor, in order. Read at once: a full socket would
/// block the daemon.
fn listen(path: &Path) -> Arc<Mutex<Vec<String>>> {
    let socket = UnixDatagram::bind(path).unwrap();
    let notified: Arc<Mutex<Vec<String>>> = Arc::default();
    let into = Arc::clone(&notified);
    let _ = std::thread::spawn(move || {
        let mut buffer = [0; 4_096];
        while let Ok(n) = socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
            into.lock().extend(text.lines().map(String::from));
        }
    });
    notified
}

pub(crate) fn an_operator_at_work(cluster: &Cluster) {
    let (name, first, second) = ("operate", "operate-in", "operate-late");
    cluster.create_topic(first, 2);
    cluster.create_topic(second, 1);
    let one = format!("[mapping.operate]\ntopics = [\"{first}\"]\n");
    let config = config(cluster, name, &one);
    let producer = cluster.producer();
    let write = |topic: &str, n: i64| {
        (0..n).for_each(|i| send(&producer, topic, 0, format!("line {i}").as_bytes(), None));
        flush(&producer);
    };
    write(first, 20);
    let sockets = tempfile::tempdir().unwrap();
    let path = sockets.path().join("notify");
    let notified = listen(&path);
    let socket = path.to_str().unwrap();
    let variables =
        [("NOTIFY_SOCKET", socket), ("WATCHDOG_USEC", "2000000"), ("JOURNAL_STREAM", "8:1")];
    let daemon = Daemon::start_with(&cluster.home(name), "a", &config, &variables);
    let archived = |topic: &str| daemon.of_topic("alluvium_archive_position", topic);
    eventually("archived", LIMIT, || 20.0 <= archived(first));
    for want in ["READY=1", "WATCHDOG=1", "STATUS="] {
        eventually(want, LIMIT, || notified.lock().iter().any(|l| l.starts_with(want)));
    }

    // A mapping stands still, and goes on.
    let url = format!("http://127.0.0.1:{}", daemon.port);
    let command = |verb: &str, mapping: &str| alluvium(&[verb, mapping, "--url", &url]);
    let (code, text) = command("pause", "operated");
    assert!(code == 64 && text.contains("the mappings are operate"), "{code} {text}");
    assert_eq!(command("pause", "operate").0, 0);
    let (code, text) = command("pause", "operate");
    assert!(code == 0 && text.contains("already"), "{code} {text}");
    eventually("paused", LIMIT, || daemon.metric("alluvium_partition_paused", &[]) == 2.0);
    write(first, 10);
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(archived(first), 20.0, "it is paused");
    let (code, text) = alluvium(&["status", "--url", &url]);
    assert!(code == 0 && text.contains("paused"), "{code} {text}");
    assert!(daemon.get("/").unwrap().contains("paused"));
    // A page in somebody's browser can't do that.
    for command in ["mappings/operate/resume", "repaired"] {
        let foreign = ureq::post(format!("{url}/{command}"));
        assert!(matches!(foreign.send_empty(), Err(ureq::Error::StatusCode(403))), "{command}");
    }
    assert_eq!(command("resume", "operate").0, 0);
    eventually("resumed", LIMIT, || 30.0 <= archived(first));

    // Another mapping, and another format and directory for what there was; a word that changes
    // nothing, and faults.
    let two = config.replace(
        &one,
        &format!(
            "{one}archive = {{ format = \"jsonl\", path = \"moved/{{topic}}\" \
             }}\n[mapping.late]\ntopics = [\"{second}\"]\n"
        ),
    );
    daemon.reconfigure(&two.replace("workers = 2", "workers = 3\nlog = \"debug\""));
    write(second, 7);
    eventually("the new topic", LIMIT, || 7.0 <= archived(second));
    write(first, 5);
    eventually("the old one", LIMIT, || 35.0 <= archived(first));
    let log = daemon.log_text();
    for want in ["daemon.workers can't change", "added operate-late; changed operate-in", "\n<7>"] {
        assert!(log.contains(want), "{want}");
    }
    daemon.reconfigure(&two.replace("topics =", "topicz ="));
    let fault = "not reloaded; the previous configuration stays in force";
    eventually("faults", LIMIT, || daemon.log_text().contains(fault));
    assert!(daemon.log_text().contains("mapping.late.topicz"));
    write(first, 5);
    eventually("it goes on", LIMIT, || 40.0 <= archived(first));
    daemon.reconfigure(&config);
    eventually("it is back", LIMIT, || {
        daemon.log_text().contains("left operate-late; changed operate-in")
    });
    write(first, 5);
    eventually("archived as before", LIMIT, || 45.0 <= archived(first));
    let reloads = || notified.lock().iter().filter(|l| *l == "RELOADING=1").count();
    eventually("RELOADING=1", LIMIT, || reloads() == 3);

    let mut check = Command::new(promtool())
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let metrics = daemon.get("/metrics").unwrap();
    std::io::Write::write_all(&mut check.stdin.take().unwrap(), metrics.as_bytes()).unwrap();
    let out = check.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    assert!(out.status.success() && said.trim().is_empty(), "{said}");

    assert_eq!(daemon.stop(), 0);
    let stopping = || notified.lock().last().is_some_and(|l| l == "STOPPING=1");
    eventually("STOPPING=1", LIMIT, stopping);
    let root = format!("{}/{name}", cluster.hdfs());
    let store = cluster.store(&root);
    let files = |directory: &str| {
        cluster.runtime.block_on(crate::support::tree(&*store, directory)).unwrap().len()
    };
    assert!(0 < files(first) && 0 < files(&format!("moved/{first}")) && 0 < files(second));
    let file = cluster.home(name).join("a.toml").display().to_string();
    let (code, text) = alluvium(&["verify", "--config", &file]);
    assert!(code == 0 && text.contains("whole"), "{text}");
}
