//! Kafka by Kerberos: no kinit, no shell, and tickets that are renewed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::realm::{REALM, invented, keytab, krb5};
use super::side_by_side;
use crate::support::load::Load;
use crate::support::{
    Cluster, Daemon, alluvium_with, assert_each_once, assert_line, check_live, eventually,
};

/// `alluvium` is none of them: it needs rights of its own.
pub(super) const SUPERUSERS: &str = "super.users=User:ANONYMOUS;User:archiver";

const LIMIT: Duration = Duration::from_secs(60);
const TOPIC: &str = "gssapi-in";
/// The groups of two daemons: one has the same principal for HDFS and for Kafka, and its keytab is
/// a credential of systemd; one has two principals, and the path of a keytab.
const ONE: &str = "one-principal";
const TWO: &str = "two-principals";

/// A configuration that logs in to the brokers as `principal` by a keytab, and to HDFS as
/// `alluvium`.
fn configured(cluster: &Cluster, group: &str, principal: &str, of_kafka: &Path) -> String {
    let (conf, of_hdfs) = (cluster.state.join("hdfs/conf"), keytab(cluster));
    let head = cluster.head(group, 10_000).replace(&cluster.bootstrap(), &cluster.listener(9_071));
    let ca = cluster.state.join("tls/ca.crt");
    let login = format!(
        "[kafka.kerberos]\nprincipal = \"{principal}@{REALM}\"\nkeytab = {of_kafka:?}\n\
         [kafka.properties]\n\"security.protocol\" = \"sasl_ssl\"\n\"sasl.mechanism\" = \
         \"GSSAPI\"\n\"ssl.ca.location\" = {ca:?}\n"
    );
    format!(
        "{}hadoop_conf_dir = {conf:?}\nkerberos = {{ principal = \"alluvium@{REALM}\", keytab = \
         {of_hdfs:?} }}\n[archive.roll]\nage = \"1s\"\n[daemon]\nworkers = 1\n[mapping.m]\n\
         topics = [{TOPIC:?}]\n",
        head.replace("[kafka.properties]\n", &login)
    )
}

/// Each ends with its cause, and names the key to look at.
pub(super) fn keytabs_that_do_not_suit(cluster: &Cluster) {
    let dir = cluster.home("refused-by-kafka");
    std::fs::create_dir_all(&dir).unwrap();
    let (wrong, nobody) = (invented(&dir, "archiver"), invented(&dir, "nobody"));
    let missing = dir.join("missing.keytab");
    let rows: [(&str, &str, &Path, [&str; 2]); 4] = [
        ("wrong-key", "archiver", &wrong, ["integrity check failed; ", "kafka.kerberos.keytab"]),
        ("principal", "nobody", &nobody, ["not found in Kerberos", "kafka.kerberos.principal"]),
        ("anothers-key", "archiver", &nobody, ["kafka.kerberos.keytab: ", "no key of archiver@"]),
        ("no-file", "archiver", &missing, ["kafka.kerberos.keytab: can't read", "No such"]),
    ];
    side_by_side(&rows, |(what, principal, keytab, wanted)| {
        let config = configured(cluster, "refused", principal, keytab);
        let variables = [("KRB5_CONFIG", &*krb5(cluster))];
        let daemon = Daemon::start_with(&dir.join(what), "a", &config, &variables);
        let (code, log) = daemon.wait(LIMIT);
        let last = log.lines().last().unwrap_or_default();
        println!("{what}: {last}");
        assert_eq!(code, 78, "{what}: {log}");
        for want in wanted {
            assert!(last.contains(want), "{what}: no {want:?} in {last}");
        }
    });
}

/// No broker and no NameNode can be asked while the KDC stands still: the KDC is named, and nobody
/// else. `of_hdfs` logs in to HDFS alone.
pub(super) fn a_silent_kdc_is_named(cluster: &Cluster, of_hdfs: &str) {
    let dir = cluster.home("silent-kdc");
    let of_both = configured(cluster, "silent", "archiver", &keytab(cluster));
    let of_kafka = with_a_local_root(&of_both, &dir.join("root"));
    let wanted = "no KDC of the realm TESTBED.LOCAL answers (none within 5 s)";
    let _ = cluster.run(&["pause", "kdc"]);
    let rows = [("kafka", &*of_kafka), ("hdfs", of_hdfs), ("check", &*of_both)];
    side_by_side(&rows, |(what, config)| {
        let variables = [("KRB5_CONFIG", &*krb5(cluster))];
        let (began, home) = (Instant::now(), dir.join(what));
        if *what == "check" {
            let (code, said) = check_live(&home, config, &variables);
            println!("checked beside a silent KDC, {:.1?}", began.elapsed());
            assert_eq!(code, 69, "{said}");
            for part in ["Kerberos archiver@", "Kerberos alluvium@", "brokers "] {
                let _ = assert_line(&said, "WRONG", &[part, wanted]);
            }
            return;
        }
        let (code, log) = Daemon::start_with(&home, "a", config, &variables).wait(2 * LIMIT);
        let last = log.lines().last().unwrap_or_default();
        println!("{what} beside a silent KDC, {:.1?}: {last}", began.elapsed());
        assert_eq!(code, 69, "{what}: {log}");
        assert!(last.contains(wanted), "{what}: {log}");
    });
    let _ = cluster.run(&["resume", "kdc"]);
    let variables = [("KRB5_CONFIG", &*krb5(cluster))];
    let (_, said) = check_live(&dir.join("check"), &of_both, &variables);
    for part in ["archiver@", "alluvium@"] {
        let _ = assert_line(&said, "ok", &["Kerberos ", part, "valid for", "by the keytab"]);
        let _ = assert_line(&said, "ok", &["clock of the KDC of", part, "agrees"]);
    }
    let _ = assert_line(&said, "ok", &["clock of the NameNode of", "agrees"]);
    tickets_of_others(cluster, &dir.join("cache"), of_hdfs);
    caches_that_nobody_has_filled_yet(cluster, &dir, [of_hdfs, &of_kafka]);
}

/// The same configuration without HDFS.
fn with_a_local_root(config: &str, root: &Path) -> String {
    std::fs::create_dir_all(root).unwrap();
    let is_of_hdfs =
        |line: &str| line.starts_with("hadoop_conf_dir") || line.starts_with("kerberos");
    let lines = config.lines().filter(|line| !is_of_hdfs(line)).map(|line| match line {
        line if line.starts_with("root = ") => format!("root = \"file://{}\"\n", root.display()),
        line => format!("{line}\n"),
    });
    lines.collect()
}

/// A cache that the daemon does not fill: its ticket is valid for ten seconds, and then it is not.
fn tickets_of_others(cluster: &Cluster, dir: &Path, of_hdfs: &str) {
    let (cache, from) = (dir.join("tickets"), format!("keytab = {:?}", keytab(cluster)));
    let variables = [("KRB5_CONFIG", &*krb5(cluster))];
    let checked = |identity: &str| check_live(dir, &of_hdfs.replace(&from, identity), &variables);
    let named = format!("cache = {cache:?}");
    let (code, said) = checked(&format!("{from}, {named}"));
    assert_eq!(code, 0, "{said}");
    let (code, said) = checked(&named);
    assert_eq!(code, 0, "{said}");
    let parts = ["the daemon does not renew it", "archive.kerberos.keytab"];
    let _ = assert_line(&said, "warning", &parts);
    std::thread::sleep(Duration::from_secs(11));
    let (code, said) = checked(&named);
    assert_eq!(code, 69, "{said}");
    let _ = assert_line(&said, "WRONG", &["Kerberos alluvium@", "expired at"]);
    let (code, said) = alluvium_with(&["check", "--config", &checked_file(dir)], &variables);
    assert_eq!(code, 0, "{said}");
    let parts = ["archive.kerberos.cache", "expired at", "kinit -c"];
    let _ = assert_line(&said, "alluvium: warning", &parts);
    let of_cache = of_hdfs.replace(&from, &named);
    let (code, log) = Daemon::start_with(dir, "late", &of_cache, &variables).wait(LIMIT);
    let last = log.lines().last().unwrap_or_default();
    println!("an expired ticket: {last}");
    assert!(code == 69 && last.contains("expired"), "{code}: {log}");
}

/// Where `check_live` writes what it checks.
fn checked_file(dir: &Path) -> String {
    dir.join("checked.toml").to_str().unwrap().into()
}

/// Another unit fills a cache a moment after the daemon's start: the start is tried again.
fn caches_that_nobody_has_filled_yet(cluster: &Cluster, dir: &Path, configs: [&str; 2]) {
    let (cache, variables) = (dir.join("later"), [("KRB5_CONFIG", &*krb5(cluster))]);
    let from = format!("keytab = {:?}", keytab(cluster));
    let named = format!("cache = \"FILE:{}\"", cache.display());
    for (config, key) in configs.into_iter().zip(["archive", "kafka"]) {
        let (home, config) = (dir.join(format!("{key}-later")), config.replace(&from, &named));
        let (_, said) = check_live(&home, &config, &variables);
        let parts = [&*format!("{key}.kerberos.cache: "), "is not there"];
        let _ = assert_line(&said, "alluvium: warning", &parts);
        let (code, said) = alluvium_with(&["check", "--config", &checked_file(&home)], &variables);
        assert_eq!(code, 0, "{said}");
        let (code, log) = Daemon::start_with(&home, "a", &config, &variables).wait(LIMIT);
        let last = log.lines().last().unwrap_or_default();
        println!("{key}.kerberos.cache is not there: {last}");
        assert_eq!(code, 69, "systemd would not try again: {log}");
        for part in [&*format!("{key}.kerberos"), cache.to_str().unwrap()] {
            assert!(last.contains(part), "no {part:?} in {log}");
        }
    }
    // The same configuration works when the cache is there.
    let home = dir.join("kafka-later");
    let mut kinit = Command::new("kinit");
    let _ = kinit.args(["-k", "-t"]).arg(keytab(cluster)).arg("-c").arg(&cache);
    let _ = kinit.arg(format!("archiver@{REALM}")).env("KRB5_CONFIG", krb5(cluster));
    let done = kinit.output().expect("kinit (testbed/setup all installs it)");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let (_, said) = check_live(&home, &configs[1].replace(&from, &named), &variables);
    let _ = assert_line(&said, "ok", &["brokers "]);
}

/// Two daemons that have logged in to brokers and HDFS, while records arrive.
pub(super) struct LoggedIn {
    daemons: [(&'static str, Daemon); 2],
    load: Load,
    /// A program is there if somebody has run kinit.
    kinit: PathBuf,
}

impl LoggedIn {
    pub(super) fn begin(cluster: &Cluster) -> LoggedIn {
        cluster.create_topic(TOPIC, 1);
        let who = ["--allow-principal", "User:alluvium"];
        for right in [
            &["--operation", "Read", "--topic", TOPIC, "--group", ONE][..],
            &[
                "--operation",
                "Write",
                "--transactional-id",
                ONE,
                "--resource-pattern-type",
                "prefixed",
            ],
        ] {
            let _ = cluster.run(&[&["kafka", "acls", "--add"], &who[..], right].concat());
        }
        let kinit = cluster.home("kinit");
        let path = shadowed(&kinit);
        let credentials = credentials(cluster);
        let start = |group, principal| {
            let config = configured(cluster, group, principal, &keytab(cluster));
            let config = match group {
                ONE => from_credentials(&config, &keytab(cluster)),
                _ => config,
            };
            let variables = [
                ("KRB5_CONFIG", &*krb5(cluster)),
                ("PATH", &path),
                ("CREDENTIALS_DIRECTORY", &credentials),
            ];
            (group, Daemon::start_with(&cluster.home(group), "a", &config, &variables))
        };
        let daemons = [start(ONE, "alluvium"), start(TWO, "archiver")];
        LoggedIn { daemons, load: Load::begin(cluster, TOPIC, 1, 50), kinit }
    }

    /// To be called when tickets have expired twice. Meanwhile the brokers have asked for a ticket
    /// every four seconds.
    pub(super) fn end(self, cluster: &Cluster) {
        let sent = self.load.end();
        for (group, daemon) in self.daemons {
            eventually(group, LIMIT, || {
                sent.records as f64 <= daemon.of_topic("alluvium_archive_position", TOPIC)
            });
            assert_eq!(daemon.stop(), 0, "{group}");
            let archived = cluster.copied_archive(group, TOPIC).offsets();
            assert_each_once(&archived, (0..sent.records as i64).map(|offset| (0, offset)));
        }
        assert!(!self.kinit.join("ran").exists(), "somebody has run kinit");
    }
}

/// What systemd makes of `LoadCredential=hdfs.keytab:…`: a directory that nobody may write to, with
/// a copy that its user may read.
fn credentials(cluster: &Cluster) -> String {
    let directory = cluster.home("credentials");
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join(CREDENTIAL);
    let _ = std::fs::copy(keytab(cluster), &file).unwrap();
    for (path, mode) in [(&file, 0o400), (&directory, 0o500)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    directory.to_str().unwrap().into()
}

const CREDENTIAL: &str = "hdfs.keytab";

/// The same configuration with the credential wherever it names this keytab: for HDFS and Kafka.
fn from_credentials(config: &str, keytab: &Path) -> String {
    let by_path = format!("keytab = {keytab:?}");
    assert_eq!(config.matches(&by_path).count(), 2, "{config}");
    config.replace(&by_path, &format!("keytab = {{ credential = \"{CREDENTIAL}\" }}"))
}

/// A PATH whose first directory has a kinit that leaves a trace.
fn shadowed(directory: &Path) -> String {
    std::fs::create_dir_all(directory).unwrap();
    let program = directory.join("kinit");
    let trace = directory.join("ran");
    std::fs::write(&program, format!("#!/bin/sh\ntouch {}\n", trace.display())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", directory.display(), std::env::var("PATH").unwrap())
}
