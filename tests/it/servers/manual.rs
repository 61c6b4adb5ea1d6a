//! The examples of the manual, run as they stand there, on the files of a daemon: names of servers
//! and directories become those of the scenario, `systemctl` is a script that starts, stops and
//! signals the program, and `sudo` one that changes no user.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::hive::{Hive, hives};
use super::readers::python;
use super::trino::trinos;
use crate::support::manual::{Example, Mark, examples};
use crate::support::{Cluster, alluvium, eventually, flush, free_port, log, send, send_full};

const LIMIT: Duration = Duration::from_secs(120);

/// The topic of docs/tutorial.md in its scenario: another one has `Hello-Kafka` itself.
pub(super) const TOPIC_BY_HAND: &str = "By-Hand";

/// 2026-11-22T10:00:00Z.
const BEGIN: i64 = 1_795_341_600_000;

/// The pages, in the order in which somebody would follow them: operations moves the root.
const PAGES: [&str; 7] =
    ["install", "files", "reading", "jobs", "operations", "migration", "versions"];

/// The pages whose examples other scenarios run: by_hand.rs, and secure/kafka.rs.
const ELSEWHERE: [&str; 3] = ["tutorial", "crash-points", "security"];

/// Hadoop's and Kafka's tools, which add the brokers' address themselves.
const TOOL: &str = r#"#!/usr/bin/env bash
name=$(basename "$0"); args=()
while [ $# -gt 0 ]; do
  if [ "$1" = --bootstrap-server ]; then shift; else args+=("$1"); fi
  shift
done
case $name in
  hdfs) exec "$TESTBED" "${args[@]}" ;;
  *) exec "$TESTBED" kafka "${name#kafka-}" "${args[@]}" ;;
esac
"#;

/// What the examples need of systemd.
const SYSTEMCTL: &str = r#"#!/usr/bin/env bash
pid=$(cat "$PLACE/pid" 2> /dev/null)
runs() { [ -n "$pid" ] && kill -0 "$pid" 2> /dev/null; }
case "$1 ${!#}" in
  "start alluvium" | "enable alluvium")
    ! runs || exit 0
    setsid alluvium run >> "$PLACE/log" 2>&1 < /dev/null &
    echo $! > "$PLACE/pid"
    for _ in $(seq 300); do
      curl -sf -o /dev/null "http://$LISTEN/readyz" && exit 0
      sleep 0.2
    done
    exit 1 ;;
  "stop alluvium") runs && kill "$pid" || exit 0
    for _ in $(seq 900); do kill -0 "$pid" 2> /dev/null || exit 0; sleep 0.1; done
    exit 1 ;;
  "reload alluvium") runs && kill -HUP "$pid"; sleep 1 ;;
  *) echo "systemctl $*: unknown here" >&2; exit 1 ;;
esac
"#;

const JOURNALCTL: &str = "#!/bin/sh\ncat \"$PLACE/log\"\n";

/// The user `alluvium` is the one that runs the tests.
const SUDO: &str = "#!/bin/sh\n[ \"$1\" != -u ] || shift 2\nexec \"$@\"\n";

/// As a statement's result is shown by DuckDB's own shell.
const DUCKDB: &str = "import sys, duckdb; print(duckdb.sql(sys.argv[1]))";

/// Where examples run: their home, with programs, configuration and copies.
pub(super) struct Place<'a> {
    cluster: &'a Cluster,
    /// Of its group, of its root, and of its directory.
    name: &'static str,
    pub(super) home: PathBuf,
    pub(super) listen: String,
    /// What the last example of a shell has printed: statements for the next one, perhaps.
    printed: RefCell<String>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let _ = self.command("bash").args(["-c", "systemctl stop alluvium"]).status();
    }
}

impl<'a> Place<'a> {
    pub(super) fn new(cluster: &'a Cluster, name: &'static str) -> Place<'a> {
        let home = cluster.home(name);
        let _ = std::fs::remove_dir_all(&home);
        let bin = home.join("bin");
        for directory in ["bin", "copy", "tmp"] {
            std::fs::create_dir_all(home.join(directory)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_alluvium"), bin.join("alluvium")).unwrap();
        let script = |name: &str, text: &str| {
            std::fs::write(bin.join(name), text).unwrap();
            let may_run = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(bin.join(name), may_run).unwrap();
        };
        for tool in ["hdfs", "kafka-consumer-groups", "kafka-get-offsets"] {
            script(tool, TOOL);
        }
        script("systemctl", SYSTEMCTL);
        script("journalctl", JOURNALCTL);
        script("sudo", SUDO);
        let listen = format!("127.0.0.1:{}", free_port());
        Place { cluster, name, home, listen, printed: RefCell::default() }
    }

    /// The configuration of docs/reading.md, with the scenario's names.
    fn configure(&self, mappings: &str) {
        let head = self.cluster.head("manual", 10_000).replace("/manual\"", "/manual/data\"");
        let rest = format!(
            "[archive.roll]\nage = \"2s\"\n[daemon]\nlisten = \"{}\"\ninstance = \
             \"manual\"\ncommit_interval = \"500ms\"\n{mappings}\nidle_after = \"2s\"\n",
            self.listen
        );
        std::fs::write(self.config(), format!("{head}{rest}")).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.home.join("alluvium.toml")
    }

    pub(super) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var("PATH").unwrap();
        command
            .current_dir(&self.home)
            .env("PLACE", &self.home)
            .env("LISTEN", &self.listen)
            .env("PATH", format!("{}:{path}", self.home.join("bin").display()))
            .env("ALLUVIUM_CONFIG", self.config())
            .env("TESTBED", concat!(env!("CARGO_MANIFEST_DIR"), "/testbed/testbed"))
            .env("TESTBED_STATE", &self.cluster.state)
            .env_remove("TESTBED_OFFSET")
            .stdin(Stdio::null());
        command
    }

    /// An example with the scenario's names.
    pub(super) fn here(&self, text: &str) -> String {
        let home = self.home.display();
        let broker = self.cluster.bootstrap();
        let broker = broker.split(',').next().unwrap();
        text.replace("/tmp/", &format!("{home}/tmp/"))
            .replace("/etc/alluvium/alluvium.toml", &format!("{home}/alluvium.toml"))
            .replace("/srv/copy", &format!("{home}/copy"))
            .replace("hdfs://nameservice1", &format!("{}/{}", self.cluster.hdfs(), self.name))
            .replace("broker1:9092", broker)
            .replace("--group alluvium", &format!("--group {}", self.name))
            .replace("testbed/testbed ", "\"$TESTBED\" ")
            .replace("target/release/alluvium ", "alluvium ")
            .replace("config/tutorial.toml", "tutorial.toml")
            .replace("dfs -ls -R /data", &format!("dfs -ls -R /{}", self.name))
            .replace("Hello-Kafka", TOPIC_BY_HAND)
    }

    /// What an example reads from its standard input.
    fn typed(&self, line: Option<&str>) -> Stdio {
        let Some(line) = line else { return Stdio::null() };
        let file = self.home.join("typed");
        std::fs::write(&file, format!("{line}\n")).unwrap();
        File::open(file).unwrap().into()
    }

    /// Runs an example; what is wrong with it.
    pub(super) fn run(&self, example: &Example) -> Result<(), String> {
        let Mark::Run { by, types, prints } = &example.mark else { return Ok(()) };
        let text = self.here(&example.text);
        let mut commands = match by.as_str() {
            "trino" => return self.by_trino(example, &text, prints.as_deref()),
            "hive" => return self.by_hive(example, &text, prints.as_deref()),
            "terminal" => return Err(format!("{}: by_hand.rs has terminals", example.at)),
            "sh" => {
                let mut command = self.command("bash");
                let _ = command.args(["-e", "-o", "pipefail", "-c", &text]);
                let _ = command.stdin(self.typed(types.as_deref()));
                vec![command]
            }
            "duckdb" => {
                let mut command = self.command(python());
                let _ = command.args(["-c", DUCKDB, &text]);
                vec![command]
            }
            "python" => {
                let mut command = self.command(python());
                let _ = command.args(["-c", &text]);
                vec![command]
            }
            // Both versions, where `make prove` has set them up.
            _ => self.sparks(&text),
        };
        for command in &mut commands {
            let out = command.output().map_err(|e| format!("{}: {e}", example.at))?;
            let [said, error] =
                [&out.stdout, &out.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            let lacks = prints.as_ref().is_some_and(|text| !said.contains(text));
            if !out.status.success() || lacks {
                let code = out.status;
                return Err(format!("{}: {code}, {prints:?}\n{text}\n{said}{error}", example.at));
            }
            *self.printed.borrow_mut() = said;
        }
        Ok(())
    }

    /// Both versions, where `make prove` has set them up, by the table of the example before.
    fn by_trino(&self, example: &Example, text: &str, prints: Option<&str>) -> Result<(), String> {
        for trino in trinos(self.cluster) {
            let said = trino.ask(&self.printed.borrow(), text)?;
            if prints.is_some_and(|text| !said.contains(text)) {
                return Err(format!("{}: {prints:?}\n{text}\n{said}", example.at));
            }
        }
        Ok(())
    }

    /// The same by the version that runs jobs.
    fn by_hive(&self, example: &Example, text: &str, prints: Option<&str>) -> Result<(), String> {
        for hive in hives(self.cluster).filter(Hive::has_jobs) {
            let said = hive.ask(&self.printed.borrow(), text)?;
            if prints.is_some_and(|text| !said.contains(text)) {
                return Err(format!("{}: {prints:?}\n{text}\n{said}", example.at));
            }
        }
        Ok(())
    }

    fn sparks(&self, text: &str) -> Vec<Command> {
        if std::env::var_os("ALLUVIUM_SPARK").is_none() {
            return Vec::new();
        }
        let of_version = |version: &str| {
            let python = python().parent().unwrap().join("../..").join(version).join("bin/python");
            let mut command = self.command(python);
            let _ = command.args(["-c", text]).env("SPARK_LOCAL_IP", "127.0.0.1");
            // Spark 3.2 knows no Java 17.
            let packages = ["lang", "lang.invoke", "nio", "util", "util.concurrent", "net"];
            let mut opened =
                packages.map(|p| format!("--add-opens=java.base/java.{p}=ALL-UNNAMED"));
            opened[0] += " --add-opens=java.base/sun.nio.ch=ALL-UNNAMED";
            opened[1] += " --add-opens=java.base/sun.util.calendar=ALL-UNNAMED";
            let _ = command.env("JAVA_TOOL_OPTIONS", opened.join(" "));
            command
        };
        ["spark-3.2", "spark-4"].map(of_version).into()
    }
}

/// Orders of two users, and lines in windows of a minute: four partitions, 60 records each.
fn send_records(cluster: &Cluster) {
    let producer = cluster.producer();
    for i in 0..240_i32 {
        let time = BEGIN + i64::from(i) * 1_000;
        let user = ["ada", "grace"][(i as usize / 4) % 2];
        let status = ["new", "paid"][(i as usize / 8) % 2];
        let order = format!(r#"{{"user":"{user}","amount":{i}.5,"status":"{status}"}}"#);
        let (key, order) = (Some(user.as_bytes()), Some(order.as_bytes()));
        send_full(&producer, "orders", i % 4, key, order, &[], Some(time));
        send(&producer, "lines", i % 4, b"delta silt delta", Some(time));
    }
    flush(&producer);
}

/// Waits until everything of a partition is archived, and the counts are, too.
fn all_archived(place: &Place<'_>, lines: i64) {
    let config = place.config().display().to_string();
    let found = |topic: &str, partition: i32, offset: i64| {
        let (partition, offset) = (partition.to_string(), offset.to_string());
        alluvium(&["where", topic, &partition, &offset, "--config", &config]).0 == 0
    };
    eventually("archived", LIMIT, || {
        (0..4).all(|p| found("orders", p, 59) && found("lines", p, 59)) && found("lines", 0, lines)
    });
    eventually("counted and archived", LIMIT, || {
        let (code, said) = alluvium(&["recount", "--config", &config]);
        code == 0 && said.contains("equal: ")
    });
}

pub(crate) fn every_example_of_the_manual(cluster: &Cluster) {
    for topic in ["orders", "lines"] {
        cluster.create_topic(topic, 4);
    }
    send_records(cluster);
    let all = examples(Path::new(env!("CARGO_MANIFEST_DIR")));
    let of_page = |page: &str| {
        let begin = format!("docs/{page}.md:");
        all.iter().filter(move |example| example.at.starts_with(&begin))
    };
    let run = |e: &&Example| matches!(e.mark, Mark::Run { .. });
    let is_nowhere = |e: &&Example| {
        let mut pages = PAGES.iter().chain(&ELSEWHERE);
        !pages.any(|p| e.at.starts_with(&format!("docs/{p}.md:")))
    };
    let lost: Vec<&str> = all.iter().filter(run).filter(is_nowhere).map(|e| &*e.at).collect();
    assert!(lost.is_empty(), "pages of no scenario: {lost:?}");
    let place = Place::new(cluster, "manual");
    let mappings = of_page("reading").find(|e| e.language == "toml").unwrap();
    place.configure(&mappings.text);
    log::watch(&place.home.join("log"));
    for page in PAGES {
        for example in of_page(page) {
            place.run(example).unwrap_or_else(|fault| panic!("{fault}"));
        }
        if page == "install" {
            all_archived(&place, 59);
            // A record that is late.
            let producer = cluster.producer();
            send(&producer, "lines", 0, b"sediment", Some(BEGIN + 30_000));
            flush(&producer);
            all_archived(&place, 60);
        }
    }
}
