//! Secrets that stand nowhere else are given to daemons, and searched for wherever others look:
//! logs, pages, series, answers of commands, arguments, the environment, and files. A daemon that
//! is aborted leaves no core.

use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::kafka::{Beside, LIMIT, configured};
use super::logins::{
    BEARER, CA, CERTIFICATE, CLIENT, ENDPOINT, HTTPS_CA, Listener, Login, OIDC, SASL, SCRAM,
    Settings, TLS, USER, login,
};
use super::tokens::CANARY;
use crate::support::{Cluster, Daemon, alluvium, check_live, eventually, flush, not_tried, send};

const OF_BROKER: &str = "canary-of-the-broker-9Q2w";
const OF_KEY: &str = "canary-of-the-key-7Xn4";
const OF_STORE: &str = "canary-of-the-store-3Vb8";
const OF_WEB: &str = "canary-of-the-web-5Lk1";

const LOGINS: [Login; 4] = [
    login(
        "password-and-key",
        Listener::Sasl,
        &[SASL, SCRAM, USER, CA, CERTIFICATE, ("ssl.key.location", "$/canary.key"), DEBUG],
        &[("sasl.password", OF_BROKER), ("ssl.key.password", OF_KEY)],
    ),
    login(
        "store",
        Listener::Tls,
        &[TLS, CA, ("ssl.keystore.location", "$/canary.p12"), DEBUG],
        &[("ssl.keystore.password", OF_STORE)],
    ),
    login("by-token", Listener::Sasl, BY_TOKEN, &[("sasl.oauthbearer.client.secret", CANARY)]),
    login("refused", Listener::Sasl, &[SASL, SCRAM, ("sasl.username", "nobody"), CA, DEBUG], WRONG),
];
const BY_TOKEN: Settings = &[SASL, CA, BEARER, OIDC, CLIENT, ENDPOINT, HTTPS_CA, DEBUG];
/// The client library says all that it does.
const DEBUG: (&str, &str) = ("debug", "all");
const WRONG: Settings = &[("sasl.password", OF_BROKER)];

/// Those of all libraries, too.
const EVERY_LINE: [(&str, &str); 1] = [("RUST_LOG", "trace")];

/// Lines that stand in the files of private keys.
fn lines_of_keys(certificates: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for name in ["client.key", "canary.key", "server.key"] {
        let text = std::fs::read_to_string(certificates.join(name)).unwrap();
        let secret = text.lines().filter(|line| 30 < line.len() && !line.starts_with('-'));
        lines.extend(secret.map(String::from));
    }
    lines
}

fn openssl(certificates: &Path, arguments: &[&str]) -> Vec<u8> {
    let out = Command::new("openssl").current_dir(certificates).args(arguments).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

pub(super) fn are_found_nowhere(cluster: &Cluster, beside: &Beside) {
    let certificates = cluster.state.join("tls");
    let of_key = format!("pass:{OF_KEY}");
    let encrypt = ["pkcs8", "-topk8", "-in", "client.key", "-out", "canary.key"];
    let _ = openssl(&certificates, &[&encrypt[..], &["-passout", &of_key]].concat());
    let of_store = format!("pass:{OF_STORE}");
    let store = ["pkcs12", "-export", "-inkey", "client.key", "-in", "client.crt"];
    let files = ["-certfile", "ca.crt", "-out", "canary.p12", "-passout", &of_store];
    let _ = openssl(&certificates, &[&store[..], &files].concat());
    let scram = format!("SCRAM-SHA-512=[password={OF_BROKER}]");
    let change = ["kafka", "configs", "--alter", "--add-config", &scram];
    let user = ["--entity-type", "users", "--entity-name", "archiver"];
    let _ = cluster.run(&[&change[..], &user].concat());
    let mut secrets = lines_of_keys(&certificates);
    secrets.extend([OF_BROKER, OF_KEY, OF_STORE, OF_WEB, CANARY].map(String::from));
    // As it is sent to the token server.
    secrets.push(STANDARD.encode(format!("archiver:{CANARY}")));
    for login in &LOGINS {
        if login.what == "refused" {
            let config = traced(cluster, beside, login);
            let daemon = Daemon::start_with(&cluster.home(login.what), "a", &config, &EVERY_LINE);
            let (code, log) = daemon.wait(LIMIT);
            assert_eq!(code, 78, "{log}");
            nothing_in("the log of a refused login", log.as_bytes(), &secrets);
        } else {
            of_a_daemon(cluster, beside, login, &secrets);
        }
    }
}

/// The configuration of a login, and of a listener behind TLS and a password.
fn traced(cluster: &Cluster, beside: &Beside, login: &Login) -> String {
    let home = cluster.home(login.what);
    let group = format!("login-{}", login.what);
    let mapping = "topics = [\"logins\"]\n";
    let config = configured(cluster, login.what, login, &group, mapping, beside);
    let certificates = cluster.state.join("tls").display().to_string();
    let hash = bcrypt::hash(OF_WEB, 6).unwrap();
    let (web, password) = (home.join("web.yml"), home.join("web-password"));
    let text = format!(
        "tls_server_config:\n  cert_file: {certificates}/server.crt\n  key_file: \
         {certificates}/server.key\nbasic_auth_users:\n  ops: {hash}\n"
    );
    std::fs::write(&web, text).unwrap();
    std::fs::write(&password, OF_WEB).unwrap();
    let mut daemon = format!("[daemon]\nweb_config = {web:?}\n");
    let _ = writeln!(daemon, "login = {{ user = \"ops\", password = {{ file = {password:?} }} }}");
    config.replace("[daemon]\n", &daemon)
}

/// What a real client of HTTP gets, with these arguments more.
fn curl(cluster: &Cluster, daemon: &Daemon, path: &str, more: &[&str]) -> (String, Vec<u8>) {
    let mut command = Command::new("curl");
    let _ = command.args(["--silent", "--max-time", "10", "--write-out", "%{stderr}%{http_code}"]);
    let _ = command.arg("--cacert").arg(cluster.state.join("tls/ca.crt")).args(more);
    let out = command.arg(format!("https://127.0.0.1:{}{path}", daemon.port)).output().unwrap();
    (String::from_utf8(out.stderr).unwrap(), out.stdout)
}

fn of_a_daemon(cluster: &Cluster, beside: &Beside, login: &Login, secrets: &[String]) {
    let home = cluster.home(login.what);
    let config = traced(cluster, beside, login);
    let daemon = Daemon::start_with(&home, "a", &config, &EVERY_LINE);
    let with_password = ["--user", &format!("ops:{OF_WEB}")];
    let producer = cluster.producer();
    send(&producer, "logins", 0, b"a record", None);
    flush(&producer);
    let get = |path: &str| curl(cluster, &daemon, path, &with_password);
    eventually("it is ready", LIMIT, || get("/readyz").0 == "200");
    eventually("it archives", LIMIT, || {
        let text = String::from_utf8(get("/metrics").1).unwrap();
        let positions = text.lines().filter(|l| l.starts_with("alluvium_archive_position{"));
        positions.filter_map(|l| l.rsplit_once(' ')?.1.parse::<f64>().ok()).any(|n| 0.0 < n)
    });
    for path in ["/", "/status.json", "/metrics", "/livez", "/readyz"] {
        let (status, page) = get(path);
        assert_eq!(status, "200", "{path}");
        nothing_in(path, &page, secrets);
        for wrong in [&[][..], &["--user", "ops:wrong"]] {
            let (status, page) = curl(cluster, &daemon, path, wrong);
            assert_eq!(status, "401", "{path}");
            nothing_in(path, &page, secrets);
        }
    }
    let file = home.join("a.toml").display().to_string();
    for command in ["status", "status --json", "pause m", "resume m", "check"] {
        let words: Vec<&str> = command.split(' ').chain(["--config", &file]).collect();
        let (code, text) = alluvium(&words);
        assert_eq!(code, 0, "{command}: {text}");
        nothing_in(command, text.as_bytes(), secrets);
    }
    let (_, text) = alluvium(&["check", "--live", "--config", &file]);
    assert!(text.contains("brokers "), "it has tried nothing: {text}");
    nothing_in("check --live", text.as_bytes(), secrets);
    for name in ["cmdline", "environ"] {
        nothing_in(name, &of_process(&daemon, name), secrets);
    }
    let core = aborted(daemon, &home, secrets);
    assert!(!core, "the kernel wrote a core, with all that was in memory");
    nothing_below(&home.join("root"), secrets);
}

/// A file of /proc; only root reads those of a process that writes no core.
fn of_process(daemon: &Daemon, name: &str) -> Vec<u8> {
    let path = format!("/proc/{}/{name}", daemon.pid());
    std::fs::read(&path).unwrap_or_else(|_| {
        let out = Command::new("sudo").args(["-n", "cat", &path]).output().unwrap();
        assert!(out.status.success(), "{path} is read by root alone");
        out.stdout
    })
}

/// Aborts a daemon that may write a core of any size, as another program of this host does in the
/// same place; whether it wrote one. Its log is searched besides.
fn aborted(daemon: Daemon, home: &Path, secrets: &[String]) -> bool {
    let any_size = ["-c", "ulimit -c unlimited 2> /dev/null; kill -ABRT $$"];
    let other = Command::new("sh").args(any_size).current_dir(home).status().unwrap();
    let _ = std::fs::remove_file(home.join("core"));
    if !other.core_dumped() {
        not_tried("that a daemon writes no core", "no program writes a core on this host");
    }
    let limit = ["--core=unlimited", "--pid", &daemon.pid().to_string()];
    let set = Command::new("prlimit").args(limit).status();
    assert!(set.is_ok_and(|set| set.success()) || !other.core_dumped(), "prlimit");
    let log = daemon.log.clone();
    let status = daemon.abort();
    assert_eq!(status.signal(), Some(6), "{status}");
    let text = std::fs::read(&log).unwrap();
    for said in [" TRACE ", "[thrd:"] {
        assert!(String::from_utf8_lossy(&text).contains(said), "no {said:?} in {}", log.display());
    }
    nothing_in("the log", &text, secrets);
    status.core_dumped()
}

fn nothing_below(directory: &Path, secrets: &[String]) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => nothing_below(&path, secrets),
            false => {
                nothing_in(&path.display().to_string(), &std::fs::read(&path).unwrap(), secrets);
            }
        }
    }
}

/// The keys of a keytab stand in it alone. `config`: that of a daemon which logs in by them.
pub(super) fn keys_are_found_nowhere(
    cluster: &Cluster,
    config: &str,
    keytab: &Path,
    variables: &[(&str, &str)],
) {
    let keys = keys_of(&std::fs::read(keytab).unwrap());
    assert!(!keys.is_empty());
    let forms = |key: Vec<u8>| {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let capitals = hex.to_uppercase();
        [STANDARD.encode(&key).into_bytes(), hex.into_bytes(), capitals.into_bytes(), key]
    };
    let secrets: Vec<Vec<u8>> = keys.into_iter().flat_map(forms).collect();
    let home = cluster.home("keys");
    let all = [variables, &EVERY_LINE].concat();
    let daemon = Daemon::start_with(&home, "a", config, &all);
    eventually("it is ready", LIMIT, || daemon.get("/readyz").is_some());
    for path in ["/", "/status.json", "/metrics"] {
        nothing_in(path, daemon.get(path).unwrap().as_bytes(), &secrets);
    }
    for name in ["cmdline", "environ"] {
        nothing_in(name, &of_process(&daemon, name), &secrets);
    }
    let (code, said) = check_live(&home, config, variables);
    assert_eq!(code, 0, "{said}");
    nothing_in("check --live", said.as_bytes(), &secrets);
    let log = daemon.log.clone();
    assert_eq!(daemon.stop(), 0);
    nothing_in("the log", &std::fs::read(log).unwrap(), &secrets);
}

/// The keys of a keytab, version 2.
fn keys_of(keytab: &[u8]) -> Vec<Vec<u8>> {
    let number = |at: usize, of: usize| {
        keytab[at..at + of].iter().fold(0_usize, |n, byte| n << 8 | usize::from(*byte))
    };
    let (mut keys, mut at) = (Vec::new(), 2);
    while at < keytab.len() {
        let length = number(at, 4);
        let mut inside = at + 4;
        at += 4 + length;
        let parts = number(inside, 2);
        inside += 2;
        // The realm, and the parts of the name.
        for _ in 0..=parts {
            inside += 2 + number(inside, 2);
        }
        // The kind of the name, a time, a version, and the kind of the key.
        inside += 4 + 4 + 1 + 2;
        let length = number(inside, 2);
        keys.push(keytab[inside + 2..inside + 2 + length].to_vec());
    }
    keys
}

fn nothing_in<S: AsRef<[u8]>>(place: &str, bytes: &[u8], secrets: &[S]) {
    for secret in secrets {
        let found = memchr::memmem::find(bytes, secret.as_ref());
        let around = found.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(80)..at]));
        assert_eq!(around, None, "a secret follows this in {place}");
    }
}
