//! Certificates and passwords that change under a running daemon.

use std::process::Command;
use std::time::Duration;

use super::kafka::{Beside, LIMIT, configured, is_ready};
use super::logins::WORK;
use crate::support::{Cluster, Daemon, eventually, flush, send};

/// Under a running daemon the certificate changes: to one without its key, which is not taken; to a
/// renewed one; to one that has expired, which the brokers refuse, so that it is not taken; and
/// back.
pub(super) fn certificates_that_are_renewed(cluster: &Cluster, beside: &Beside) {
    let name = "login-renewed";
    let (certificates, home) = (cluster.state.join("tls"), cluster.home(name));
    std::fs::create_dir_all(&home).unwrap();
    let put = |from: &str, to: &str| {
        let _ = std::fs::copy(certificates.join(from), home.join(to)).unwrap();
    };
    put("client.crt", "own.crt");
    put("client.key", "own.key");
    let config = configured(cluster, name, &WORK[2], name, "topics = [\"logins\"]\n", beside)
        .replace(
            certificates.join("client.").to_str().unwrap(),
            home.join("own.").to_str().unwrap(),
        );
    let mut daemon = Daemon::start(&home, "a", &config);
    let begun = |n: usize| daemon.log_text().matches(" INFO running ").count() == n;
    eventually("it runs", LIMIT, || begun(1) && is_ready(&daemon));
    put("renewed.crt", "own.crt");
    daemon.signal("-HUP");
    let refused = "own.crt has changed and can't be used";
    eventually("it goes on", LIMIT, || daemon.log_text().contains(refused));
    assert!(daemon.log_text().contains("own.key is not the key of the certificate"));
    assert!(begun(1) && is_ready(&daemon));
    put("renewed.key", "own.key");
    daemon.signal("-HUP");
    eventually("it starts anew", LIMIT, || begun(2) && is_ready(&daemon));
    put("expired-client.crt", "own.crt");
    put("client.key", "own.key");
    daemon.signal("-HUP");
    // One client tries it, and the others go on with the certificate that they have.
    let kept = "before: the brokers refuse the login";
    eventually("it goes on again", LIMIT, || daemon.log_text().contains(kept));
    assert!(begun(2) && is_ready(&daemon));
    put("renewed.key", "own.key");
    put("renewed.crt", "own.crt");
    daemon.signal("-HUP");
    let reloaded = "configuration reloaded: nothing has changed";
    eventually("nothing is to be done", LIMIT, || daemon.log_text().contains(reloaded));
    assert!(begun(2) && is_ready(&daemon));
    assert!(daemon.is_running(), "it is the same process");
    assert_eq!(daemon.stop(), 0);
}

/// The most tries of a running daemon whose password is refused: directories lock an account after
/// five to ten. Each client that is at its login when the first refusal comes has one; without the
/// gate (`clients/kafka/gate.rs`) there were 14, and up to 20.
const REFUSED_TRIES: usize = 8;

/// Under a running daemon the password changes: before a reload, and without the daemon's being
/// told. It starts anew in its process, and no try is made meanwhile that could lock the account.
pub(super) fn passwords_that_change(cluster: &Cluster, beside: &Beside) {
    let name = "login-rotated";
    let config = configured(cluster, name, &WORK[0], name, "topics = [\"logins\"]\n", beside);
    let (home, password) = (cluster.home(name), cluster.home(name).join("sasl.password"));
    let mut daemon = Daemon::start(&home, "a", &config);
    let begun = |n: usize| daemon.log_text().matches(" INFO running ").count() == n;
    eventually("it runs", LIMIT, || begun(1) && is_ready(&daemon));
    let pipes_at_first = pipes(&daemon);
    let change = |to: &str| {
        let scram = format!("SCRAM-SHA-512=[password={to}]");
        let user = ["--entity-type", "users", "--entity-name", "archiver"];
        let _ = cluster
            .run(&[&["kafka", "configs", "--alter", "--add-config", &scram], &user[..]].concat());
    };
    // The file comes before the brokers know of it: one client tries it, and nobody takes it.
    let before = refused_by_password(cluster);
    std::fs::write(&password, "second").unwrap();
    daemon.signal("-HUP");
    let kept = "before: the brokers refuse the login";
    eventually("it goes on", LIMIT, || daemon.log_text().contains(kept));
    assert!(begun(1) && is_ready(&daemon));
    std::thread::sleep(Duration::from_secs(2));
    let tries = refused_by_password(cluster) - before;
    println!("a reload has tried a wrong password {tries} times");
    assert!((1..=2).contains(&tries), "{tries} tries");
    change("second");
    daemon.signal("-HUP");
    eventually("it starts anew", LIMIT, || begun(2) && is_ready(&daemon));

    let before = refused_by_password(cluster);
    change("third");
    for command in ["stop", "start"] {
        let _ = cluster.run(&[command, "kafka1"]);
    }
    let waits = "the login is refused: all clients are closed";
    eventually("it waits", LIMIT, || daemon.log_text().contains(waits));
    // The brokers write of a try when they have answered it.
    std::thread::sleep(Duration::from_secs(2));
    let tries = refused_by_password(cluster) - before;
    println!("a running daemon has tried the old password {tries} times");
    assert!((1..=REFUSED_TRIES).contains(&tries), "{tries} tries");
    std::fs::write(&password, "third").unwrap();
    eventually("it starts anew again", LIMIT, || begun(3) && is_ready(&daemon));
    let producer = cluster.producer();
    send(&producer, "logins", 0, b"after all", None);
    flush(&producer);
    let written = cluster.log_end(("logins", 0)) as f64;
    eventually("it goes on", LIMIT, || {
        written <= daemon.of_topic("alluvium_archive_position", "logins")
    });
    assert!(daemon.is_running(), "it is the same process");
    // A client that ends may have its pipe for a moment more. Each of the three new images of this
    // process would have kept all pipes of the one before.
    eventually("no pipe of an image before is open", LIMIT, || pipes(&daemon) <= pipes_at_first);
    assert_eq!(daemon.stop(), 0);
}

/// How many logins with a wrong password the broker has told of.
fn refused_by_password(cluster: &Cluster) -> usize {
    let log = std::fs::read_to_string(cluster.state.join("log/kafka1.log")).unwrap();
    let is_one = |line: &&str| {
        line.contains("Failed authentication with") && line.contains("invalid credentials")
    };
    log.lines().filter(is_one).count()
}

/// How many pipes the daemon has open: each thread of the client library is woken by one.
fn pipes(daemon: &Daemon) -> usize {
    let path = format!("/proc/{}/fd", daemon.pid());
    // Only root sees those of a process that writes no core.
    let list: &[&str] = match std::fs::read_dir(&path) {
        Ok(_) => &["ls", "-l"],
        Err(_) => &["sudo", "-n", "ls", "-l"],
    };
    let out = Command::new(list[0]).args(&list[1..]).arg(&path).output().unwrap();
    // It complains of what was closed while it looked.
    assert!(!out.stdout.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).matches("-> pipe:").count()
}
