//! Brokers with TLS, SASL and access lists: logins that are refused say why and what to set, logins
//! that work archive, and each right that is missing is named with the command that gives it.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::changed_secrets::{certificates_that_are_renewed, passwords_that_change};
use super::logins::{Listener, Login, REFUSED, WORK};
use super::side_by_side;
use super::tokens::TokenServer;
use crate::support::manual::{Example, Mark, examples};
use crate::support::{
    Cluster, Daemon, alluvium, assert_line, check_live, eventually, flush, free_port, send,
};

pub(super) const LIMIT: Duration = Duration::from_secs(60);
const RECORDS: usize = 100;

/// What `archiver` needs for the mapping below, as arguments of kafka-acls; the operation and the
/// resource as the daemon names them; and whether it is taken away from a running daemon, too.
type Right = (&'static [&'static str], &'static str, bool);

const RIGHTS: [Right; 7] = [
    (&["--operation", "Read", "--topic", "in"], "Read on topic \"in\"", true),
    (&["--operation", "Write", "--topic", "out"], "Write on topic \"out\"", true),
    (&["--operation", "Read", "--topic", "out"], "Read on topic \"out\"", false),
    (&["--operation", "Write", "--topic", "g-m-partials"], "Write on topic \"g-m-partials\"", true),
    (&["--operation", "Read", "--topic", "g-m-partials"], "Read on topic \"g-m-partials\"", true),
    (&["--operation", "Read", "--group", "g"], "Read on group \"g\"", true),
    (
        &[
            "--operation",
            "Write",
            "--transactional-id",
            "g-",
            "--resource-pattern-type",
            "prefixed",
        ],
        "Write on the transactional ids that begin with \"g-\"",
        true,
    ),
];
/// Only the first start needs it.
const CREATE: Right = (
    &["--operation", "Create", "--topic", "g-m-partials"],
    "Create on topic \"g-m-partials\"",
    false,
);

pub(crate) fn logins_and_rights() {
    let cluster = Cluster::start_with("secure", 1, 0, &[("TESTBED_SECURE", "yes")]);
    for topic in ["in", "out", "logins"] {
        cluster.create_topic(topic, 1);
    }
    let beside = Beside::start(&cluster);
    refused_logins(&cluster, &beside);
    prepare_logins(&cluster);
    let both: [fn(&Cluster, &Beside); 2] = [logins_that_work, certificates_that_are_renewed];
    side_by_side(&both, |scenario| scenario(&cluster, &beside));
    let mapping = "topics = [\"in\"]\n[mapping.m.wordcount]\noutput_topic = \"out\"\n\
                   window = \"1s\"\narchive = {}\n";
    let config = configured(&cluster, "rights", &WORK[0], "g", mapping, &beside);
    for (right, ..) in RIGHTS {
        allow(&cluster, true, right);
    }
    a_first_configuration_is_written(&cluster, &config);
    rights_at_a_start(&cluster, &config);
    rights_are_checked(&cluster, &config);
    rights_under_a_daemon(&cluster, &config);
    the_rights_of_the_manual(&cluster, &beside);
    passwords_that_change(&cluster, &beside);
    super::canaries::are_found_nowhere(&cluster, &beside);
}

/// `init` asks brokers that want a login for their topics, and what it writes logs in, too.
fn a_first_configuration_is_written(cluster: &Cluster, config: &str) {
    let home = cluster.home("init");
    std::fs::create_dir_all(&home).unwrap();
    let [login, written] =
        ["login.toml", "written.toml"].map(|n| home.join(n).display().to_string());
    std::fs::write(&login, config).unwrap();
    let servers = cluster.listener(9_071);
    let (code, said) = alluvium(&["init", "--bootstrap", &servers, "-o", &written]);
    assert!(code == 69 && !Path::new(&written).exists(), "{code}: {said}");
    let (code, said) =
        alluvium(&["init", "--kafka", &login, "--root", "file:///tmp", "-o", &written]);
    assert_eq!(code, 0, "{said}");
    let text = std::fs::read_to_string(&written).unwrap();
    assert!(text.contains("\"in\", # "), "{text}");
    assert!(text.contains("[kafka.secrets"), "{text}");
    let (code, said) = alluvium(&["check", "--config", &written]);
    assert_eq!(code, 0, "{said}");
}

pub(super) fn allow(cluster: &Cluster, add: bool, right: &[&str]) {
    let change: &[&str] = if add { &["--add"] } else { &["--remove", "--force"] };
    let who = ["--allow-principal", "User:archiver"];
    let _ = cluster.run(&[&["kafka", "acls"], change, &who[..], right].concat());
}

/// A configuration that logs in so.
pub(super) fn configured(
    cluster: &Cluster,
    name: &str,
    login: &Login,
    group: &str,
    mapping: &str,
    beside: &Beside,
) -> String {
    let home = cluster.home(name);
    std::fs::create_dir_all(home.join("root")).unwrap();
    let certificates = cluster.state.join("tls").display().to_string();
    let servers = match login.listener {
        Listener::Sasl => cluster.listener(9_071),
        Listener::SaslByName => cluster.listener(9_071).replace("127.0.0.1", "localhost"),
        Listener::Tls => cluster.listener(9_061),
        Listener::Plain => cluster.listener(9_091),
        Listener::Expired => format!("127.0.0.1:{}", beside.expired.port),
    };
    let mut text = format!(
        "[kafka]\nbootstrap_servers = {servers:?}\ngroup_id = {group:?}\n[kafka.properties]\n\
         \"session.timeout.ms\" = 6000\n\"transaction.timeout.ms\" = 10000\n"
    );
    for (key, value) in login.properties {
        let tokens = beside.tokens.port.to_string();
        let silent = beside.silent.local_addr().unwrap().port().to_string();
        let value = value.replace('$', &certificates).replace('%', &tokens).replace('#', &silent);
        let _ = writeln!(text, "{key:?} = {value:?}");
    }
    text += "[kafka.secrets]\n";
    for (key, secret) in login.secrets {
        let file = home.join(key);
        std::fs::write(&file, secret).unwrap();
        let _ = writeln!(text, "{key:?} = {{ file = {:?} }}", file.display().to_string());
    }
    text + &format!(
        "[archive]\nroot = \"file://{}\"\n[archive.roll]\nage = \"1s\"\n[daemon]\nworkers = 1\n\
         commit_interval = \"500ms\"\ntopics_refresh = \"1s\"\n[mapping.m]\n{mapping}",
        home.join("root").display()
    )
}

/// Servers beside the brokers.
pub(super) struct Beside {
    expired: ExpiredServer,
    tokens: TokenServer,
    /// Connections to it are made, and nobody answers.
    silent: TcpListener,
}

impl Beside {
    fn start(cluster: &Cluster) -> Beside {
        let certificates = cluster.state.join("tls");
        let tokens = TokenServer::start(&certificates);
        let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        Beside { expired: ExpiredServer::start(&certificates), tokens, silent }
    }
}

/// A server that shows a certificate which has expired.
struct ExpiredServer {
    child: Child,
    port: u16,
}

impl ExpiredServer {
    fn start(certificates: &Path) -> ExpiredServer {
        let (port, pem) = (free_port(), certificates.join("expired.pem"));
        let child = Command::new("openssl")
            .args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}"), "-cert"])
            .arg(&pem)
            .arg("-key")
            .arg(&pem)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("it listens", LIMIT, || TcpListener::bind(("127.0.0.1", port)).is_err());
        ExpiredServer { child, port }
    }
}

impl Drop for ExpiredServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Each of them ends by itself, and its last line names the cause.
fn refused_logins(cluster: &Cluster, beside: &Beside) {
    let mapping = "topics = [\"logins\"]\n";
    side_by_side(&REFUSED, |(login, code, parts)| {
        let name = login.what.replace(' ', "-");
        let config = configured(cluster, &name, login, "g", mapping, beside);
        let daemon = Daemon::start(&cluster.home(&name), "a", &config);
        let (got, log) = daemon.wait(LIMIT);
        let last = log.lines().last().unwrap_or_default();
        assert_eq!(got, *code, "{}: {log}", login.what);
        for part in *parts {
            assert!(last.contains(part), "{}: no {part:?} in {last}", login.what);
        }
        assert!(!log.contains("archiver-secret") && !log.contains("changeit"), "{log}");
    });
}

/// Gives the rights that the logins below need, and writes what they archive.
fn prepare_logins(cluster: &Cluster) {
    allow(cluster, true, &["--operation", "Read", "--topic", "logins"]);
    let prefixed = ["--resource-pattern-type", "prefixed"];
    allow(cluster, true, &[&["--operation", "Read", "--group", "login-"], &prefixed[..]].concat());
    let ids = ["--operation", "Write", "--transactional-id", "login-"];
    allow(cluster, true, &[&ids[..], &prefixed].concat());
    let producer = cluster.producer();
    for n in 0..RECORDS {
        send(&producer, "logins", 0, format!("record {n}").as_bytes(), None);
    }
    flush(&producer);
}

fn logins_that_work(cluster: &Cluster, beside: &Beside) {
    side_by_side(&WORK, |login| {
        let name = format!("login-{}", login.what);
        let config = configured(cluster, &name, login, &name, "topics = [\"logins\"]\n", beside);
        let daemon = Daemon::start(&cluster.home(&name), "a", &config);
        eventually(login.what, LIMIT, || {
            RECORDS as f64 <= daemon.of_topic("alluvium_archive_position", "logins")
        });
        if login.what == "token" {
            let given = beside.tokens.given();
            eventually("tokens expire", LIMIT, || given + 2 <= beside.tokens.given());
            assert!(is_ready(&daemon), "{}", daemon.log_text());
            let (code, said) = check_live(&cluster.home(&name), &config, &[]);
            assert_eq!(code, 0, "{said}");
            let _ = assert_line(&said, "ok", &["clock of the token server", "agrees"]);
            let _ = assert_line(&said, "not known", &["clock of the brokers"]);
            // The disk of the test may be nearly full.
            let _ = assert_line(&said, "", &["room in", "the disk of", "with all copies"]);
        }
        assert_eq!(daemon.stop(), 0, "{}", login.what);
        let root = format!("file://{}", cluster.home(&name).join("root").display());
        let archived = cluster.archive(&root, "logins", "logins").records().len();
        assert_eq!(archived, RECORDS, "{}", login.what);
    });
}

/// The commands of docs/security.md give the rights that suffice for the mapping there.
fn the_rights_of_the_manual(cluster: &Cluster, beside: &Beside) {
    let all = examples(Path::new(env!("CARGO_MANIFEST_DIR")));
    let is_run =
        |e: &&Example| e.at.starts_with("docs/security.md:") && matches!(e.mark, Mark::Run { .. });
    let found: Vec<&Example> = all.iter().filter(is_run).collect();
    let [example] = found[..] else { panic!("one example, not {}", found.len()) };
    let tool = "kafka-acls --bootstrap-server broker1:9093 --command-config ADMIN.properties ";
    assert!(example.text.contains(tool), "{}", example.text);
    for (topic, partitions) in
        [("orders", 1), ("orders.wordcount", 1), ("alluvium-orders-partials", 4)]
    {
        cluster.create_topic(topic, partitions);
    }
    cluster.shell(&example.text.replace(tool, "\"$TESTBED\" kafka acls "));
    let mapping = "topics = [\"orders\"]\n[mapping.m.wordcount]\n\
                   output_topic = \"orders.wordcount\"\nwindow = \"1s\"\narchive = {}\n";
    let config = configured(cluster, "of-manual", &WORK[0], "alluvium", mapping, beside);
    let config = config.replace("[mapping.m", "[mapping.orders");
    let daemon = Daemon::start(&cluster.home("of-manual"), "a", &config);
    let producer = cluster.producer();
    send(&producer, "orders", 0, b"some words to count", None);
    flush(&producer);
    eventually("the rights of the manual suffice", LIMIT, || {
        let archived = daemon.of_topic("alluvium_archive_position", "orders.wordcount");
        is_ready(&daemon) && 1.0 <= archived
    });
    assert_eq!(daemon.stop(), 0);
}

fn write_words(cluster: &Cluster) {
    let producer = cluster.producer();
    send(&producer, "in", 0, b"some words to count", None);
    flush(&producer);
}

fn lacks(named: &str) -> String {
    format!("lacks the operation {named}")
}

pub(super) fn is_ready(daemon: &Daemon) -> bool {
    daemon.get("/readyz").is_some()
}

/// The right that is missing, and the command that gives it.
fn says(daemon: &Daemon, right: &[&str], named: &str) {
    let lacks = &lacks(named);
    eventually(lacks, LIMIT, || daemon.log_text().contains(lacks));
    let log = daemon.log_text();
    let line = log.lines().find(|line| line.contains(lacks)).unwrap();
    let command = format!("--add --allow-principal User:archiver {}", right.join(" "));
    assert!(line.contains("User:archiver lacks") && line.contains(&command), "{line}");
    assert!(!log.contains("does not exist"), "{log}");
}

/// Each right is missing once when a daemon starts. At first the topic of partial counts is not
/// there: only then Create is needed.
fn rights_at_a_start(cluster: &Cluster, config: &str) {
    let home: PathBuf = cluster.home("rights");
    let (right, named, _) = CREATE;
    let said = checked(cluster, config, 69);
    assert_line(&said, "WRONG", &["topic g-m-partials", &lacks(named)]);
    let (code, log) = Daemon::start(&home, "a", config).wait(LIMIT);
    assert_eq!(code, 69, "{log}");
    assert!(log.lines().last().unwrap().contains(&lacks(named)), "{log}");
    allow(cluster, true, right);
    let said = checked(cluster, config, 0);
    assert_line(&said, "warning", &["topic g-m-partials", "the daemon creates it"]);
    assert!(!cluster.has_topic("g-m-partials"), "no topic is made");
    let daemon = Daemon::start(&home, "a", config);
    write_words(cluster);
    eventually("the least privileges suffice", LIMIT, || {
        is_ready(&daemon) && 1.0 <= daemon.of_topic("alluvium_archive_position", "out")
    });
    assert_eq!(daemon.stop(), 0);
    allow(cluster, false, right);
    for (right, named, _) in RIGHTS {
        allow(cluster, false, right);
        let daemon = Daemon::start(&home, "a", config);
        write_words(cluster);
        says(&daemon, right, named);
        eventually("it is not ready", LIMIT, || !is_ready(&daemon));
        let _ = daemon.stop();
        allow(cluster, true, right);
    }
}

/// What `check --live` says.
fn checked(cluster: &Cluster, config: &str, expected: i32) -> String {
    let (code, said) = check_live(&cluster.home("rights"), config, &[]);
    assert_eq!(code, expected, "{said}");
    said
}

/// Each right is missing once, and `check --live` names it, and nothing else, as wrong.
fn rights_are_checked(cluster: &Cluster, config: &str) {
    let ends = || ["in", "out", "g-m-partials"].map(|topic| cluster.log_end((topic, 0)));
    let before = ends();
    let good = checked(cluster, config, 0);
    for part in ["topic in ", "topic out ", "topic g-m-partials ", "group g ", "id g-check "] {
        assert_line(&good, "ok", &[part]);
    }
    assert_line(&good, "warning", &["topic in ", &lacks("DescribeConfigs on topic \"in\"")]);
    let began = Instant::now();
    for (right, named, _) in RIGHTS {
        allow(cluster, false, right);
        let said = checked(cluster, config, 69);
        let command = format!("--add --allow-principal User:archiver {}", right.join(" "));
        let _ = assert_line(&said, "WRONG", &[&lacks(named), "User:archiver lacks", &command]);
        assert!(said.contains("1 of "), "{named}: {said}");
        allow(cluster, true, right);
    }
    println!("each right was missed after {:.1?}", began.elapsed());
    let _ = checked(cluster, config, 0);
    assert_eq!(ends(), before, "nothing is written");
}

/// Each right is taken away from a running daemon, and given back.
fn rights_under_a_daemon(cluster: &Cluster, config: &str) {
    let daemon = Daemon::start(&cluster.home("rights"), "a", config);
    eventually("it is ready", LIMIT, || is_ready(&daemon));
    let assigned = || daemon.log_text().matches(" assignment: ").count();
    let before = assigned();
    let _ = checked(cluster, config, 0);
    assert_eq!(assigned(), before, "a check joins no group: {}", daemon.log_text());
    for (right, named, _) in RIGHTS.into_iter().filter(|(.., under_a_daemon)| *under_a_daemon) {
        allow(cluster, false, right);
        write_words(cluster);
        says(&daemon, right, named);
        eventually("it is not ready", LIMIT, || !is_ready(&daemon));
        allow(cluster, true, right);
        eventually("it is ready again", LIMIT, || is_ready(&daemon));
    }
    write_words(cluster);
    let written = cluster.log_end(("in", 0)) as f64;
    eventually("it goes on", LIMIT, || {
        written <= daemon.of_topic("alluvium_archive_position", "in")
    });
    assert_eq!(daemon.stop(), 0);
}
