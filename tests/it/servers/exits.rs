//! The exit codes that the manual pages name: each is given by a command, and no command gives
//! another.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::config_with_local_root;
use crate::support::{Cluster, Daemon, alluvium, eventually, flush, send};

const LIMIT: Duration = Duration::from_secs(60);
const NAME: &str = "exits";

/// Where the cases run: a configuration that suits, and its file.
struct Site<'a> {
    cluster: &'a Cluster,
    right: String,
    file: String,
}

/// A code, what a person does, and how.
type Case = (i32, &'static str, fn(&Site<'_>) -> i32);

const CASES: [Case; 15] = [
    (0, "a configuration is checked", |site| site.command(&["check"])),
    (0, "help is asked for", |_| alluvium(&["verify", "--help"]).0),
    (0, "a daemon is stopped", |site| site.daemon(&site.right).stop()),
    (1, "the store takes nothing while a daemon is stopped", a_store_that_takes_nothing),
    (1, "man pages are written where nothing can be written", |_| {
        alluvium(&["generate", "package", "/proc/nowhere"]).0
    }),
    (64, "an argument is unknown", |site| site.command(&["verify", "--wholly"])),
    (64, "a mapping is unknown", |site| site.command(&["recount", "--mapping", "nobody"])),
    (65, "an archive is damaged", a_damaged_archive),
    (65, "a record is not there", |site| site.command(&["where", "exits-in", "0", "7000"])),
    (69, "no daemon answers", |_| alluvium(&["status", "--url", "http://127.0.0.1:1"]).0),
    (69, "no broker answers at the start", |site| {
        site.ends(&site.right.replace(&site.cluster.bootstrap(), "127.0.0.1:1"))
    }),
    (69, "a topic is missing for check --live", |site| {
        let other = site.right.replace("exits-in", "exits-nowhere");
        let file = Path::new(&site.file).with_file_name("live.toml");
        std::fs::write(&file, other).unwrap();
        alluvium(&["check", "--live", "--config", file.to_str().unwrap()]).0
    }),
    (69, "no registry answers ddl", |site| {
        let registered = "topics = [\"exits-in\"]\narchive = { value = \"registry\" }";
        let other = site.right.replace("topics = [\"exits-in\"]", registered);
        let file = Path::new(&site.file).with_file_name("registered.toml");
        std::fs::write(&file, other + "\n[registry]\nurl = \"http://127.0.0.1:1\"\n").unwrap();
        let file = file.to_str().unwrap();
        alluvium(&["ddl", NAME, "--engine", "hive", "--config", file]).0
    }),
    (78, "a key is unknown to check", |_| alluvium(&["check", "--config", "Cargo.toml"]).0),
    (78, "a key is unknown to run", |site| site.ends(&site.right.replace("topics =", "topic ="))),
];

impl Site<'_> {
    fn command(&self, arguments: &[&str]) -> i32 {
        let (code, said) = alluvium(&[arguments, &["--config", &self.file]].concat());
        println!("{arguments:?}: {code}: {}", said.lines().last().unwrap_or_default());
        code
    }

    /// A daemon that is ready.
    fn daemon(&self, config: &str) -> Daemon {
        let daemon = Daemon::start(&self.cluster.home(NAME), "a", config);
        eventually("ready", LIMIT, || daemon.get("/readyz").is_some());
        daemon
    }

    /// A daemon that ends by itself.
    fn ends(&self, config: &str) -> i32 {
        Daemon::start(&self.cluster.home(NAME).join("ends"), "a", config).wait(LIMIT).0
    }

    fn root(&self) -> std::path::PathBuf {
        self.cluster.home(NAME).join("archive")
    }
}

/// A file stands where the staging directory was, and so nothing can be sealed.
fn a_store_that_takes_nothing(site: &Site<'_>) -> i32 {
    let config = site.right.replace("[daemon]\n", "[daemon]\ndrain_timeout = \"2s\"\n");
    let daemon = site.daemon(&config.replace("age = \"3s\"", "age = \"1h\""));
    let staging = site.root().join("_alluvium/staging");
    let away = site.root().join("_alluvium/away");
    std::fs::rename(&staging, &away).unwrap();
    std::fs::write(&staging, "").unwrap();
    let producer = site.cluster.producer();
    send(&producer, "exits-in", 0, b"a word", None);
    flush(&producer);
    let read = || 1.0 <= daemon.metric("alluvium_records_total", &[("mapping", NAME)]);
    eventually("read", LIMIT, read);
    let code = daemon.stop();
    std::fs::remove_file(&staging).unwrap();
    std::fs::rename(&away, &staging).unwrap();
    // The next owner reads the record again, and nothing is lost.
    let next = site.daemon(&site.right);
    eventually("archived", LIMIT, || 2.0 <= next.of_topic("alluvium_archive_position", "exits-in"));
    assert_eq!(next.stop(), 0);
    code
}

fn a_damaged_archive(site: &Site<'_>) -> i32 {
    let foreign = site.root().join("exits-in/part-by-hand.parquet");
    std::fs::write(&foreign, "no Parquet").unwrap();
    let code = site.command(&["verify"]);
    std::fs::remove_file(&foreign).unwrap();
    assert_eq!(site.command(&["verify"]), 0, "it is whole again");
    code
}

/// The codes under EXIT STATUS of a manual page.
fn documented(page: &str) -> BTreeSet<i32> {
    let section = page.split(".SH \"EXIT STATUS\"").nth(1).unwrap_or_default();
    let section = section.split("\n.SH").next().unwrap_or_default();
    let bold = section.lines().filter_map(|line| line.strip_prefix("\\fB")?.strip_suffix("\\fR"));
    bold.filter_map(|code| code.parse().ok()).collect()
}

/// A code that the pages name and no case gives fails, and so does a case's code without a name.
pub(crate) fn every_exit_code_is_given(cluster: &Cluster) {
    let pages = cluster.home(NAME).join("pages");
    let (code, said) = alluvium(&["generate", "package", pages.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    let page = std::fs::read_to_string(pages.join("man/alluvium.1")).unwrap();
    let given: BTreeSet<i32> = CASES.iter().map(|(code, ..)| *code).collect();
    assert_eq!(documented(&page), given, "the pages' codes, and those of the cases");

    cluster.create_topic("exits-in", 1);
    let producer = cluster.producer();
    send(&producer, "exits-in", 0, b"a word", None);
    flush(&producer);
    let mapping = format!("[mapping.{NAME}]\ntopics = [\"exits-in\"]\n");
    let home = cluster.home(NAME);
    std::fs::create_dir_all(home.join("archive")).unwrap();
    let right = config_with_local_root(cluster, NAME, &mapping, &home.join("archive"));
    let file = home.join("right.toml");
    std::fs::write(&file, &right).unwrap();
    let site = Site { cluster, right, file: file.to_str().unwrap().into() };
    let first = site.daemon(&site.right);
    eventually("archived", LIMIT, || {
        1.0 <= first.of_topic("alluvium_archive_position", "exits-in")
    });
    assert_eq!(first.stop(), 0);
    for (code, what, run) in CASES {
        assert_eq!(run(&site), code, "{what}");
    }
}
