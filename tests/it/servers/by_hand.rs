//! The tutorial of the manual, each example in its shell, those of further terminals beside the
//! others; and a daemon that dies at a crash point, as the page about these shows it.

use std::fs::File;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use super::manual::{Place, TOPIC_BY_HAND};
use crate::support::manual::{Example, Mark, examples};
use crate::support::{Cluster, alluvium, eventually, flush, log, send};

const LIMIT: Duration = Duration::from_secs(60);

/// A shell that goes on to run beside the next examples.
struct Terminal {
    child: Child,
    /// What it has printed, standard error included.
    out: PathBuf,
}

impl Terminal {
    /// Runs an example until it has printed what its mark says.
    fn open(place: &Place<'_>, example: &Example) -> Terminal {
        let Mark::Run { prints: Some(text), .. } = &example.mark else {
            panic!("{}: a terminal that prints nothing shows nothing", example.at);
        };
        let out = place.home.join(example.at.replace(['/', ':'], "-"));
        let file = File::create(&out).unwrap();
        let child = place
            .command("bash")
            .args(["-e", "-c", &place.here(&example.text)])
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0)
            .spawn()
            .unwrap();
        let mut terminal = Terminal { child, out };
        eventually(&example.at, LIMIT, || {
            let printed = terminal.printed();
            let ended = terminal.ended();
            assert!(ended.is_none(), "{}: {ended:?}\n{printed}", example.at);
            printed.contains(text)
        });
        terminal
    }

    fn printed(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap()
    }

    /// How it has ended, if it has.
    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// To all programs of the terminal, as its keys do it.
    fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} -- -{}", self.child.id());
        assert!(Command::new("bash").args(["-c", &kill]).status().unwrap().success());
    }

    /// Ctrl-C; how it has ended.
    fn interrupt(&mut self) -> ExitStatus {
        self.signal("INT");
        eventually("Ctrl-C ends it", LIMIT, || self.ended().is_some());
        self.ended().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal("KILL");
            let _ = self.child.wait();
        }
    }
}

/// The file of the tutorial, with the scenario's names.
fn configure(cluster: &Cluster, place: &Place<'_>) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/tutorial.toml");
    let mut text = std::fs::read_to_string(file).unwrap();
    let root = format!("{}/by-hand", cluster.hdfs());
    for (theirs, ours) in [
        ("127.0.0.1:9092,127.0.0.1:9093,127.0.0.1:9094", &*cluster.bootstrap()),
        ("group_id = \"alluvium\"", "group_id = \"by-hand\""),
        ("hdfs://127.0.0.1:8020/data", &root),
        ("Hello-Kafka", TOPIC_BY_HAND),
    ] {
        assert!(text.contains(theirs), "{theirs}: {text}");
        text = text.replace(theirs, ours);
    }
    text += &format!("\n[daemon]\nlisten = \"{}\"\n", place.listen);
    std::fs::write(place.home.join("tutorial.toml"), text).unwrap();
}

pub(crate) fn the_tutorial_by_hand(cluster: &Cluster) {
    let place = Place::new(cluster, "by-hand");
    configure(cluster, &place);
    let all = examples(Path::new(env!("CARGO_MANIFEST_DIR")));
    let of_page = |page: &str| -> Vec<&Example> {
        let begin = format!("docs/{page}.md:");
        let is_run = |e: &&Example| matches!(e.mark, Mark::Run { .. });
        all.iter().filter(|e| e.at.starts_with(&begin)).filter(is_run).collect()
    };
    let run = |example: &Example| place.run(example).unwrap_or_else(|fault| panic!("{fault}"));
    let tutorial = of_page("tutorial");
    // The last one is for when the daemon has been stopped.
    let (last, before) = tutorial.split_last().unwrap();
    let mut terminals = Vec::new();
    for example in before {
        let Mark::Run { by, .. } = &example.mark else { continue };
        if by == "terminal" {
            terminals.push(Terminal::open(&place, example));
        } else {
            run(example);
        }
    }
    let [daemon, consumer] = &mut terminals[..] else { panic!("two terminals") };
    log::watch(&daemon.out);
    // The page says this of the line that is typed.
    eventually("the other word's count", LIMIT, || consumer.printed().contains("(Kafka!,1)"));
    let ended = daemon.interrupt();
    assert_eq!(ended.code(), Some(0), "{}", daemon.printed());
    run(last);
    let [crash] = of_page("crash-points")[..] else { panic!("one example") };
    a_daemon_dies_at_its_step(cluster, &place, crash);
}

/// It has to append something, and is killed when it has.
fn a_daemon_dies_at_its_step(cluster: &Cluster, place: &Place<'_>, example: &Example) {
    let mut daemon = Terminal::open(place, example);
    log::watch(&daemon.out);
    let producer = cluster.producer();
    send(&producer, TOPIC_BY_HAND, 0, b"one more line", None);
    flush(&producer);
    let url = format!("http://{}", place.listen);
    eventually("it dies", LIMIT, || {
        let _ = alluvium(&["roll", "hello", "--url", &url]);
        daemon.ended().is_some()
    });
    let ended = daemon.ended().unwrap();
    // By the signal, or by the exit code that a shell makes of it.
    assert!(ended.signal() == Some(9) || ended.code() == Some(137), "{ended:?}");
    let printed = daemon.printed();
    assert!(printed.contains("crash point reached"), "{printed}");
}
