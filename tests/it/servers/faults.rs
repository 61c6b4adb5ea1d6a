//! Servers that go away, and starts that can't work.

use std::time::Duration;

use serde_json::json;

use super::config;
use crate::support::load::{Load, check, mapping};
use crate::support::{Cluster, Daemon, alluvium, assert_line, eventually, flush, free_port, send};

/// A scenario that fails midway must not leave its servers down for those that follow.
struct StartAgain<'a>(&'a Cluster, &'static [&'static str]);

impl Drop for StartAgain<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in self.1 {
                let _ = self.0.pipe(&["resume", name], "");
                let _ = self.0.pipe(&["start", name], "");
            }
        }
    }
}

/// HDFS is stopped for a while (ALLUVIUM_OUTAGE_S, by default a minute: longer than a chunk of data
/// may take, and one retry) and comes back: counts go on meanwhile, the archive catches up by
/// itself.
pub(crate) fn hdfs_goes_away_and_comes_back(cluster: &Cluster) {
    let (name, topic) = ("outage", "outage-in");
    let outage: u64 =
        std::env::var("ALLUVIUM_OUTAGE_S").ok().and_then(|v| v.parse().ok()).unwrap_or(60);
    cluster.create_topic(topic, 4);
    // Twenty hours, where a second counts as a minute.
    cluster.configure_topic(topic, &[("retention.ms", "1200000")]);
    let daemon = Daemon::start(&cluster.home(name), "a", &config(cluster, name, &mapping(name)));
    eventually("ready", Duration::from_secs(60), || daemon.get("/readyz").is_some());
    let load = Load::begin(cluster, topic, 4, 1_000);
    let counted = || daemon.of_topic("alluvium_results_position", topic);
    eventually("under way", Duration::from_secs(30), || 2_000.0 <= counted());
    let _back = StartAgain(cluster, &["dn1", "nn"]);
    let _ = cluster.run(&["stop", "nn"]);
    let _ = cluster.run(&["stop", "dn1"]);
    let before = counted();
    std::thread::sleep(Duration::from_secs(outage));
    let during = counted();
    println!("results went on by {} records while HDFS was away", during - before);
    assert!((outage * 600) as f64 <= during - before, "counts stood still: {before} to {during}");
    // How many have noticed depends on what each was doing: closing a file may take 45 s to fail.
    assert!(1.0 <= daemon.of_topic("alluvium_archive_detached", topic));
    let url = format!("http://127.0.0.1:{}", daemon.port);
    let (unavailable, root) = ("is unavailable", format!("the root {}/{name}", cluster.hdfs()));
    let (_, said) = alluvium(&["status", "--url", &url]);
    for told in [said, daemon.get("/").unwrap(), daemon.get("/status.json").unwrap()] {
        assert!(told.contains(&format!("{root} {unavailable}")), "{told}");
    }
    // Nobody takes what waits for the root for nothing: the archive's lag is known and grows.
    let lag = daemon.of_topic("alluvium_archive_lag_records", topic);
    assert!((outage * 500) as f64 <= lag, "{lag} records wait");
    let _ = cluster.run(&["start", "dn1"]);
    let _ = cluster.run(&["start", "nn"]);
    let goes_on = || counted() <= daemon.of_topic("alluvium_archive_position", topic) + 20_000.0;
    eventually("the archive goes on", Duration::from_secs(90), goes_on);
    assert_told_once(&daemon, &format!("{root} {unavailable}"), &format!("{root} works again"));
    check(cluster, daemon, name, &load.end());
}

/// HDFS answers, but takes nothing: safe mode, then an exhausted quota, a full disk, a NameNode
/// that stands still. Counts go on, nothing is restarted, and the archive catches up each time.
pub(crate) fn hdfs_takes_nothing_for_a_while(cluster: &Cluster) {
    let (name, topic) = ("refused", "refused-in");
    cluster.create_topic(topic, 4);
    let daemon = Daemon::start(&cluster.home(name), "a", &config(cluster, name, &mapping(name)));
    eventually("ready", Duration::from_secs(60), || daemon.get("/readyz").is_some());
    let load = Load::begin(cluster, topic, 4, 1_000);
    let archived = || daemon.of_topic("alluvium_archive_position", topic);
    let counted = || daemon.of_topic("alluvium_results_position", topic);
    eventually("under way", Duration::from_secs(30), || 1_000.0 <= archived());
    let quota = format!("/{name}");
    let incident = |what: &str, begin: &[&str], end: &[&str]| {
        let _ = cluster.run(begin);
        // What was under way may still end well, also after a DataNode is back, and servers notice
        // a full disk with a later heartbeat.
        let mut seen = Vec::new();
        let refused = (0..9).any(|_| {
            let (a, p) = (archived(), counted());
            std::thread::sleep(Duration::from_secs(10));
            let (archived, counted) = (archived() - a, counted() - p);
            seen.push((counted, archived));
            5_000.0 <= counted && archived <= 3_300.0
        });
        let _ = cluster.run(end);
        println!("{what}: counted and archived in 10 s: {seen:?}");
        assert!(refused, "{what}: the archive never stood still while counts went on: {seen:?}");
        let target = counted();
        eventually("the archive goes on", Duration::from_secs(60), || target <= archived());
    };
    incident("safe mode", &["dfsadmin", "-safemode", "enter"], &["dfsadmin", "-safemode", "leave"]);
    // Less than a block: nothing can be written any more.
    let exhausted = ["dfsadmin", "-setSpaceQuota", "1m", &quota];
    incident("quota", &exhausted, &["dfsadmin", "-clrSpaceQuota", &quota]);
    incident("a full disk", &["fill", "dn1"], &["clear", "dn1"]);
    incident("a NameNode that stands still", &["pause", "nn"], &["resume", "nn"]);
    check(cluster, daemon, name, &load.end());
}

/// Each of three brokers is killed in turn under load, and started again (ALLUVIUM_ROUNDS=3 times
/// all of them): whichever of them coordinates the group and the transactions, counts go on in
/// time. Then all of them stand still.
pub(crate) fn every_broker_of_three_is_killed(cluster: &Cluster) {
    const BROKERS: [&str; 3] = ["kafka1", "kafka2", "kafka3"];
    let (name, topic) = ("broker", "broker-in");
    let rounds: usize =
        std::env::var("ALLUVIUM_ROUNDS").ok().and_then(|v| v.parse().ok()).unwrap_or(1);
    cluster.create_topic(topic, 4);
    let mut daemon =
        Daemon::start(&cluster.home(name), "a", &config(cluster, name, &mapping(name)));
    eventually("ready", Duration::from_secs(60), || daemon.get("/readyz").is_some());
    let load = Load::begin(cluster, topic, 4, 1_000);
    let counted = |partition: i32| {
        let labels = [("topic", topic), ("partition", &*partition.to_string())];
        daemon.metric("alluvium_results_position", &labels)
    };
    let goes_on = || {
        let before: Vec<f64> = (0..4).map(counted).collect();
        eventually("every partition goes on", Duration::from_secs(60), || {
            (0..4).zip(&before).all(|(p, before)| *before < counted(p))
        });
    };
    goes_on();
    let _back = StartAgain(cluster, &BROKERS);
    for broker in BROKERS.iter().cycle().take(3 * rounds) {
        let _ = cluster.run(&["kill", broker]);
        // Longer than the six seconds after which the others miss it.
        std::thread::sleep(Duration::from_secs(8));
        let _ = cluster.run(&["start", broker]);
        goes_on();
    }
    BROKERS.iter().for_each(|broker| drop(cluster.run(&["pause", broker])));
    let unreachable = || daemon.metric("alluvium_brokers_unreachable_seconds", &[]);
    eventually("no broker answers", Duration::from_secs(60), || 2.0 <= unreachable());
    // Until somebody who looks once a second has seen it.
    std::thread::sleep(Duration::from_secs(3));
    everybody_is_told_of_the_brokers(&daemon, topic);
    BROKERS.iter().for_each(|broker| drop(cluster.run(&["resume", broker])));
    goes_on();
    assert_told_once(&daemon, "the brokers are unreachable", "the brokers answer again after");
    let sent = load.end();
    assert!(daemon.is_running());
    check(cluster, daemon, name, &sent);
}

/// While no broker answers: at every place that an operator looks at, also when the membership has
/// ended with its session. What was read last remains visible.
fn everybody_is_told_of_the_brokers(daemon: &Daemon, topic: &str) {
    let url = format!("http://127.0.0.1:{}", daemon.port);
    let unreachable = "the brokers are unreachable";
    eventually("the session has ended", Duration::from_secs(60), || {
        daemon.metric("alluvium_assigned_partitions", &[]) == 0.0
    });
    assert!(daemon.get("/readyz").is_none());
    let (code, said) = alluvium(&["status", "--url", &url]);
    assert!(code == 69 && said.contains(unreachable) && said.contains(topic), "{code} {said}");
    assert!(said.contains("not owned"), "{said}");
    let page = daemon.get("/").unwrap();
    assert!(page.contains(unreachable) && page.contains("not owned any more"), "{page}");
    let reasons: serde_json::Value =
        serde_json::from_str(&daemon.get("/status.json").unwrap()).unwrap();
    let reasons = reasons["not_ready"].to_string();
    assert!(reasons.contains(unreachable), "{reasons}");
}

/// An outage has one line at its beginning, with what it means and the next try, and one line at
/// its end, with how long it was; a loaded server may have had others before.
fn assert_told_once(daemon: &Daemon, begins: &str, ends: &str) {
    let log = daemon.log_text();
    let lines = |part: &str| -> Vec<String> {
        log.lines().filter(|line| line.contains(part)).map(String::from).collect()
    };
    eventually("the end is told", Duration::from_secs(60), || daemon.log_text().contains(ends));
    let (began, ended) = (lines(begins), daemon.log_text().matches(ends).count());
    let told = 1..=ended;
    assert!(told.contains(&began.len()) && ended <= 3, "{ended} ends, and {began:#?}");
    for line in &began {
        assert!(line.contains(" (") && line.contains("nothing is lost; the next try"), "{line}");
    }
}

/// Each a clear error that names what is wrong and says what to do.
pub(crate) fn every_wrong_start_says_what_is_wrong(cluster: &Cluster) {
    let name = "wrong";
    let right = config(cluster, name, "[mapping.wrong]\ntopics = [\"wrong-in\"]");
    let check = |case: &str, config: &str, code: i32, wants: &[&str]| {
        let daemon = Daemon::start(&cluster.home(name), case, config);
        let (got, log) = daemon.wait(Duration::from_secs(60));
        assert_eq!(got, code, "{case}: {log}");
        for want in wants {
            assert!(log.contains(want), "{case}: no {want:?} in\n{log}");
        }
    };
    let typo = right.replace("topics =", "tpoics =");
    check(
        "key",
        &typo,
        78,
        &["mapping.wrong.tpoics", "did you mean \"topics\"", "mapping.wrong.topics"],
    );
    let template = format!("{right}archive = {{ path = \"x/%Q\" }}\n");
    check("template", &template, 78, &["mapping.wrong.archive.path", "%Q"]);
    let collision = format!("{right}\n[mapping.other]\ntopics = [\"wrong-in\"]\n");
    check("collision", &collision, 78, &["mapping.other.topics", "mapping.wrong"]);
    let refused = right.replace("[archive]\n", "\"fetch.min.bytes\" = \"abc\"\n[archive]\n");
    check("setting", &refused, 78, &["kafka.properties.\"fetch.min.bytes\"", "Invalid value"]);
    let secret = right.replace(
        "[archive]\n",
        "[kafka.secrets]\n\"sasl.password\" = { file = \"/nowhere/password\" }\n[archive]\n",
    );
    check("secret", &secret, 78, &["kafka.secrets.\"sasl.password\"", "/nowhere/password"]);
    let bare = right.replace("[archive]\n", "\"sasl.password\" = \"hunter2\"\n[archive]\n");
    check("bare", &bare, 78, &["sasl.password"]);
    let broker = right.replace(&cluster.bootstrap(), "127.0.0.1:1");
    check("broker", &broker, 69, &["127.0.0.1:1", "kafka.bootstrap_servers"]);
    let namenode = right.replace(&cluster.hdfs(), "hdfs://127.0.0.1:2");
    check("namenode", &namenode, 69, &["127.0.0.1:2", "archive.root", "Connection refused"]);
    let user = right.replace("[archive]", "[archive]\nuser = \"nobody\"");
    check(
        "permission",
        &user.replace("/wrong\"", "/forbidden\""),
        69,
        &["/forbidden", "Permission denied", "archive.user"],
    );
    each_line_is_an_object(&cluster.home(name).join("lines.toml"), &right);
    limits_of_the_brokers(cluster, name, &right, &check);
    let daemon = Daemon::start(&cluster.home(name), "topic", &right);
    eventually("it says that the topic is missing", Duration::from_secs(60), || {
        daemon.log_text().contains("kafka-topics --create --topic wrong-in")
    });
    eventually("it is alive", Duration::from_secs(30), || daemon.get("/livez").is_some());
    assert!(daemon.get("/readyz").is_none());
    assert_eq!(daemon.stop(), 0);
}

/// `--log-format json`: one object a line, and a code in each that a person may have to act on.
fn each_line_is_an_object(file: &std::path::Path, config: &str) {
    let listen = format!("[daemon]\nlisten = \"127.0.0.1:{}\"\n", free_port());
    std::fs::write(file, config.replace("[daemon]\n", &listen)).unwrap();
    let log = file.with_extension("log");
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_alluvium"));
    program.args(["run", "--log-format", "json", "--config"]).arg(file);
    let mut child = program.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
    let text = || std::fs::read_to_string(&log).unwrap();
    eventually("it says that the topic is missing", Duration::from_secs(60), || {
        text().contains("kafka-topics --create --topic wrong-in")
    });
    let pid = child.id().to_string();
    let ended = std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(ended.success() && child.wait().unwrap().success(), "{}", text());
    let (mut warnings, text) = (0, text());
    for line in text.lines() {
        let object: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let is_told = matches!(object["level"].as_str().unwrap(), "WARN" | "ERROR");
        let has_code = object["fields"]["code"].as_str().is_some_and(|c| c.starts_with("AL"));
        assert!(object["fields"]["message"].is_string() && object["timestamp"].is_string());
        assert!(has_code || !is_told, "{line}");
        warnings += u32::from(is_told);
    }
    assert!(1 <= warnings, "{text}");
}

/// What the NameNode has to bear with the partitions that there are, as JSON too; a limit refuses.
fn a_budget_is_told_and_kept(file: &std::path::Path, right: &str) {
    let tried = |config: &str| {
        std::fs::write(file, config).unwrap();
        let (code, json) = alluvium(&["check", "--live", "--json", "-c", file.to_str().unwrap()]);
        (
            code,
            serde_json::from_str::<serde_json::Value>(&json)
                .unwrap_or_else(|e| panic!("{e}: {json}")),
        )
    };
    let (code, told) = tried(right);
    assert_eq!(
        (code, &told["faults"], &told["mappings"][0]["topics"]),
        (0, &json!([]), &json!(["tried-in"]))
    );
    let all = told["live"].as_array().unwrap();
    let led = |tried: &&serde_json::Value| tried["section"].is_string();
    assert_eq!(all.iter().filter(led).count(), all.len(), "each leads to the manual: {all:?}");
    let total = all.iter().find(|l| l["what"] == "NameNode budget of all mappings").unwrap();
    let files = total["files_a_day"].as_u64().unwrap();
    assert!(4 <= files && total["inodes_a_day"] == 2 * files, "{total}");
    assert_eq!(total["outcome"], "ok");
    let limit = format!("[daemon]\nmax_files_per_day = {}", files - 1);
    let (code, told) = tried(&right.replace("[daemon]", &limit));
    let is_wrong = |l: &serde_json::Value| {
        l["outcome"] == "WRONG" && l["text"].as_str().unwrap().contains("daemon.max_files_per_day")
    };
    assert!(code == 69 && told["live"].as_array().unwrap().iter().any(is_wrong), "{told}");
    let (code, told) = tried(&right.replace("group_id", "groupid"));
    let fault = told["faults"].as_array().unwrap().iter().find(|f| f["key"] == "kafka.groupid");
    let fault = fault.unwrap_or_else(|| panic!("{told}"));
    assert!(code == 78 && fault["line"] == 4 && fault["column"] == 1, "{told}");
}

/// `check --live` names what a daemon would meet, before there is one.
pub(crate) fn what_a_start_would_meet_is_tried(cluster: &Cluster) {
    let name = "tried";
    let right = config(cluster, name, &mapping(name));
    let home = cluster.home(name);
    std::fs::create_dir_all(&home).unwrap();
    let file = home.join("tried.toml");
    let tried = |config: &str| {
        std::fs::write(&file, config).unwrap();
        alluvium(&["check", "--live", "--config", file.to_str().unwrap()])
    };
    let wrong = |what: &str, config: &str, wants: &[&str]| {
        let (code, said) = tried(config);
        assert_eq!(code, 69, "{what}: {said}");
        let line =
            said.lines().find(|l| l.contains("WRONG") && wants.iter().all(|w| l.contains(w)));
        assert!(line.is_some(), "{what}: no line with WRONG and {wants:?} in\n{said}");
    };
    wrong("no topic", &right, &["topic tried-in", "kafka-topics --create --topic tried-in"]);
    cluster.create_topic("tried-in", 4);
    let (code, said) = tried(&right);
    assert_eq!(code, 0, "{said}");
    for want in ["they answer", "partitions: 4", "the daemon creates it"] {
        assert!(said.contains(want), "no {want:?} in\n{said}");
    }
    for topic in ["tried-in", "tried-counts"] {
        let renamed = format!("renamed into {topic}/dt=");
        let _ = assert_line(&said, "ok", &["a file was created", &renamed, "and deleted"]);
    }
    let _ = assert_line(&said, "ok", &["room in", "neither the root nor a directory above it"]);
    let _ = assert_line(&said, "ok", &["clock of the NameNode", "agrees"]);
    let _ = assert_line(&said, "not known", &["clock of the brokers", "no answer of a broker"]);
    a_budget_is_told_and_kept(&file, &right);
    room_is_told(cluster, &right, &tried);
    cluster.configure_topic("tried-in", &[("message.timestamp.type", "LogAppendTime")]);
    let producer = cluster.producer();
    send(&producer, "tried-in", 2, b"a word", None);
    flush(&producer);
    let (_, said) = tried(&right);
    let _ = assert_line(&said, "not known", &["clock of the brokers", "s behind this host"]);
    assert!(!cluster.has_topic("tried-counts"), "no topic is made");
    cluster.create_topic("tried-counts", 1);
    cluster.configure_topic("tried-counts", &[("cleanup.policy", "compact")]);
    wrong("compaction", &right, &["topic tried-counts", "cleanup.policy=compact"]);
    cluster.configure_topic("tried-counts", &[("cleanup.policy", "delete")]);
    let slow =
        right.replace("\"transaction.timeout.ms\" = 10000", "\"transaction.timeout.ms\" = 3600000");
    wrong("timeout", &slow, &["transactional id tried-check", "transaction.max.timeout.ms"]);
    let user = right.replace("[archive]", "[archive]\nuser = \"nobody\"");
    wrong("root", &user.replace("/tried\"", "/forbidden\""), &["/forbidden", "Permission denied"]);
    let away = right.replace(&cluster.bootstrap(), "127.0.0.1:1");
    wrong("brokers", &away, &["brokers 127.0.0.1:1"]);
    // What was tried has left nothing that a daemon would meet.
    let daemon = Daemon::start(&home, "a", &right);
    eventually("ready", Duration::from_secs(60), || daemon.get("/readyz").is_some());
    assert_eq!(daemon.stop(), 0);
}

/// Quotas are known before a file meets them. Space is given in blocks of 128 MiB, and names for
/// the root, two directories of the daemon's, three of a path, and a file.
fn room_is_told(cluster: &Cluster, right: &str, tried: &dyn Fn(&str) -> (i32, String)) {
    let quota = |args: &[&str]| drop(cluster.run(&[&["dfsadmin"], args, &["/tried"]].concat()));
    let larger = right.replace("[archive.roll]\n", "[archive.roll]\nsize = \"200MiB\"\n");
    for (set, config, code, outcome, parts) in [
        (["-setSpaceQuota", "300m"], right, 0, "ok", ["room in", "300.0 MiB of 300.0 MiB"]),
        (["-setSpaceQuota", "150m"], &larger, 0, "warning", ["room in", "takes up to 256.0 MiB"]),
        (["-setQuota", "7"], right, 0, "ok", ["room in", "4 of 7 names"]),
        (["-setQuota", "6"], right, 69, "WRONG", ["root hdfs://", "quota"]),
    ] {
        quota(&set);
        let (got, said) = tried(config);
        assert_eq!(got, code, "{said}");
        let _ = assert_line(&said, outcome, &parts);
    }
    for clear in ["-clrQuota", "-clrSpaceQuota"] {
        quota(&[clear]);
    }
}

/// Starts a daemon with a configuration, by the name of the case, and expects its exit code and
/// texts in its log.
type Check<'a> = &'a dyn Fn(&str, &str, i32, &[&str]);

/// Timeouts that the brokers refuse end the daemon, with the key and the limits.
fn limits_of_the_brokers(cluster: &Cluster, name: &str, right: &str, check: Check<'_>) {
    cluster.create_topic("limits-in", 1);
    let producer = cluster.producer();
    send(&producer, "limits-in", 0, b"a word", None);
    flush(&producer);
    let joins = right
        .replace("wrong-in", "limits-in")
        .replace(&format!("group_id = \"{name}\""), "group_id = \"limits\"");
    let session = joins.replace(
        "\"session.timeout.ms\" = 6000",
        "\"session.timeout.ms\" = 2400000\n\"max.poll.interval.ms\" = 2400000",
    );
    let limits = ["session.timeout.ms", "group.max.session.timeout.ms=1800000"];
    check("session", &session, 78, &limits);
    let transaction =
        joins.replace("\"transaction.timeout.ms\" = 10000", "\"transaction.timeout.ms\" = 3600000");
    let limits = ["transaction.timeout.ms", "transaction.max.timeout.ms=900000"];
    check("transaction", &transaction, 78, &limits);
}
