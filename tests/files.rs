//! The files that are shipped beside the program.
#![allow(clippy::unwrap_used, unreachable_pub)]

#[path = "support/manual.rs"]
mod manual;
#[path = "support/promtool.rs"]
mod promtool;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use manual::{Example, Mark};

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file that is written here (ALLUVIUM_DOCS=1), and compared in any other run.
fn is_as_generated(name: &str, text: &str) {
    let file = top().join(name);
    if std::env::var_os("ALLUVIUM_DOCS").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    assert!(
        std::fs::read_to_string(&file).unwrap_or_default() == text,
        "{name} is old: ALLUVIUM_DOCS=1 cargo test --release --test files"
    );
}

#[test]
fn the_reference_of_the_configuration_is_what_the_code_reads() {
    is_as_generated("docs/configuration.md", &alluvium::testing::reference());
    let schema = format!("{:#}\n", alluvium::testing::json_schema());
    is_as_generated("config/alluvium.schema.json", &schema);
}

/// An editor shows the place of each mistake.
#[test]
fn the_schema_takes_the_examples_and_finds_mistakes() {
    let mut compiler = boon::Compiler::new();
    let (mut schemas, name) = (boon::Schemas::new(), "alluvium.schema.json");
    compiler.add_resource(name, alluvium::testing::json_schema()).unwrap();
    let schema = compiler.compile(name, &mut schemas).unwrap();
    let read = |text: &str| -> serde_json::Value {
        serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap()
    };
    for file in ["config/alluvium.toml", "config/tutorial.toml"] {
        let text = std::fs::read_to_string(top().join(file)).unwrap();
        let value = read(&text);
        let found = schemas.validate(&value, schema);
        assert!(found.is_ok(), "{file}: {:#}", found.unwrap_err());
    }
    let whole = std::fs::read_to_string(top().join("config/alluvium.toml")).unwrap();
    for (right, wrong, place) in [
        ("group_id = \"alluvium\"", "", "at \'/kafka\'"),
        ("group_id = ", "grop_id = ", "at \'/kafka\'"),
        ("assignor = \"cooperative-sticky\"", "assignor = \"sticky\"", "at \'/kafka/assignor\'"),
        ("\"session.timeout.ms\"", "\"session.timeout\"", "invalid property 'session.timeout'"),
        ("workers = 2", "workers = 0", "at \'/daemon/workers\'"),
        ("commit_interval = \"2s\"", "commit_interval = 2", "at \'/daemon/commit_interval\'"),
        ("memory = \"1GiB\"", "memory = \"much\"", "at \'/daemon/memory\'"),
        ("memory = \"1GiB\"", "memory = \"1 GByte\"", "at \'/daemon/memory\'"),
        ("group_id = \"alluvium\"", "group_id = \"\"", "at \'/kafka/group_id\'"),
        ("root = \"hdfs://", "root = \"s3://", "at \'/archive/root\'"),
        ("tombstones = \"keep\"", "umask = \"999\"", "at \'/archive/umask\'"),
        ("tombstones = \"keep\"", "columns = { a = \"strin\" }", "at \'/archive/columns/a\'"),
        ("tombstones = \"keep\"", "tombstones = true", "at \'/archive/tombstones\'"),
        ("open_files = 64", "open_files = \"64\"", "at \'/archive/roll/open_files\'"),
        ("topics = [", "topics = \"Hello-Kafka\" # [", "at \'/mapping/hello/topics\'"),
        ("by = \"word\"", "by = \"words\"", "at \'/mapping/hello/wordcount/by\'"),
        ("window = \"2s\"", "window = \"2 parsecs\"", "at \'/mapping/hello/wordcount/window\'"),
        ("time = \"record\"", "time = { unit = \"ms\" }", "at \'/archive/time\'"),
        ("\ntime = \"record\"                     # Kafka's", "\ntime = 1 # ", "wordcount/time\'"),
        ("lowercase = false", "lowercase = \"no\"", "at \'/mapping/hello/wordcount/lowercase\'"),
    ] {
        assert!(whole.contains(right), "the example has no {right}");
        let value = read(&whole.replacen(right, wrong, 1));
        let found = schemas.validate(&value, schema).err().map(|e| format!("{e:#}"));
        let found = found.unwrap_or_default();
        assert!(found.contains(place), "{wrong}: no {place:?} in {found}");
    }
    let mut value = read(&whole);
    let _ = value.as_object_mut().unwrap().remove("mapping");
    assert!(schemas.validate(&value, schema).is_err(), "nothing would be read");
}

/// docs/metrics.md is written by this test (ALLUVIUM_DOCS=1), and compared in any other run.
#[test]
fn the_page_of_series_is_what_the_code_has() {
    use std::fmt::Write as _;
    let series = alluvium::testing::catalogue();
    let mut text = String::from(
        "# Series\n\nThis page lists every series of `/metrics`; `ALLUVIUM_DOCS=1 cargo test \
         --release --test files` writes it.\nLabels have few values: names of mappings, roles, \
         classes.\nThe labels topic and partition are on gauges of partitions that an instance \
         owns.\nPositions and lags are offsets.\n[alerts.md](alerts.md) describes the alerts on \
         these series.\nThe Prometheus library adds seven of the process: \
         `process_cpu_seconds_total`, `process_max_fds`, `process_open_fds`, \
         `process_resident_memory_bytes`, `process_start_time_seconds`, `process_threads` and \
         `process_virtual_memory_bytes`.\n\n| series | type | labels | |\n| --- | --- | --- | \
         --- |\n",
    );
    for s in &series {
        let labels = s.labels.join(", ");
        writeln!(text, "| `{}` | {} | {labels} | {} |", s.name, s.kind, s.help).unwrap();
    }
    is_as_generated("docs/metrics.md", &text);

    // Whatever rules and dashboard name is there.
    let known = |name: &str| {
        let plain = ["_bucket", "_sum", "_count"]
            .iter()
            .fold(name, |n, end| n.strip_suffix(end).unwrap_or(n));
        series.iter().any(|s| s.name == name || s.name == plain)
    };
    for file in ["config/prometheus/alluvium.rules.yml", "config/grafana/alluvium.json"] {
        let text = std::fs::read_to_string(top().join(file)).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named: Vec<&str> = words.filter(|w| w.starts_with("alluvium_")).collect();
        assert!(5 < named.len(), "{file} names no series");
        for name in named {
            assert!(known(name), "{file} names {name}, which is no series");
        }
    }
}

/// Each alert fires when it should, and only then; each has a section in the runbook, and a
/// scenario in which it fires on real servers.
#[test]
fn alerts_fire_and_are_explained() {
    let rules = top().join("config/prometheus/alluvium.rules.yml");
    let text = std::fs::read_to_string(&rules).unwrap();
    let runbook = std::fs::read_to_string(top().join("docs/alerts.md")).unwrap();
    let tests = top().join("config/prometheus/alluvium.rules.test.yml");
    let tested = std::fs::read_to_string(&tests).unwrap();
    let table = std::fs::read_to_string(top().join("tests/it/alerts.toml")).unwrap();
    let table: toml::Table = table.parse().unwrap();
    // A recording of real daemons lets each of them fire; what tests/it/alerts.toml names and does
    // not fire fails its scenario. The invented series below only show the limits.
    let listed: Vec<&str> = table["fires"].as_table().unwrap().keys().map(|k| &**k).collect();
    let mut alerts: Vec<&str> =
        text.lines().filter_map(|l| l.trim().strip_prefix("- alert: ")).collect();
    assert!(5 < alerts.len());
    assert!(
        table.keys().all(|kind| ["fires", "silent"].contains(&&**kind)),
        "tests/it/alerts.toml"
    );
    alerts.sort_unstable();
    let mut sorted = listed.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, alerts, "tests/it/alerts.toml has a scenario for each alert, and no other");
    for alert in alerts {
        assert!(
            runbook.contains(&format!("\n## {alert}\n")),
            "docs/alerts.md has no section for {alert}"
        );
        assert!(tested.contains(&format!("alertname: {alert}\n")), "no test lets {alert} fire");
    }
    let promtool = promtool::promtool();
    for what in [["check", "rules"], ["test", "rules"]] {
        let file = if what[0] == "test" { &tests } else { &rules };
        let out = Command::new(&promtool).args(what).arg(file).current_dir(top()).output();
        let out =
            out.unwrap_or_else(|e| panic!("{} (make test sets it up): {e}", promtool.display()));
        assert!(
            out.status.success(),
            "{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
    }
}

/// `check` on the shipped files: no faults, exit code 0; on a faulty one: 78, every fault named.
#[test]
fn check_reads_the_shipped_files() {
    let check = |file: &Path| {
        let program = env!("CARGO_BIN_EXE_alluvium");
        Command::new(program).args(["check", "--config"]).arg(file).output().unwrap()
    };
    for file in ["config/alluvium.toml", "config/tutorial.toml"] {
        let out = check(&top().join(file));
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(out.status.code(), Some(0), "{file}: {}", String::from_utf8_lossy(&out.stderr));
        assert!(
            text.contains("/Hello-Kafka/dt=") && text.contains("part-Hello-Kafka-0-0-"),
            "{text}"
        );
    }
    let faulty = std::env::temp_dir().join(format!("alluvium-faulty-{}.toml", std::process::id()));
    std::fs::write(
        &faulty,
        "[kafka]\ngroup_id = 1\n[mapping.a]\ntopics = [\"a\"]\nstart = \"x\"\n",
    )
    .unwrap();
    let out = check(&faulty);
    std::fs::remove_file(&faulty).unwrap();
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(78));
    for key in ["kafka.bootstrap_servers", "kafka.group_id", "mapping.a.start", "archive.root"] {
        assert!(text.contains(key), "{key} not in {text}");
    }
    let wrong = Command::new(env!("CARGO_BIN_EXE_alluvium")).arg("--nonsense").output().unwrap();
    assert_eq!(wrong.status.code(), Some(64));
}

/// The section EXIT STATUS of a manual page.
fn exit_status(page: &str) -> &str {
    let section = page.split(".SH \"EXIT STATUS\"").nth(1).expect("a section EXIT STATUS");
    section.split("\n.SH").next().unwrap_or_default()
}

/// What an operator looks for in a manual page, without a network.
#[test]
fn manual_pages_have_all_sections() {
    let dir = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_alluvium");
    let made = Command::new(program).args(["generate", "package"]).arg(dir.path()).status();
    assert!(made.unwrap().success());
    let main = std::fs::read_to_string(dir.path().join("man/alluvium.1")).unwrap();
    let (mut pages, all_codes) = (0, exit_status(&main));
    for page in std::fs::read_dir(dir.path().join("man")).unwrap() {
        let path = page.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let has = |section: &str| {
            let headings = text.lines().filter_map(|line| line.strip_prefix(".SH "));
            headings.map(|h| h.trim_matches('"')).any(|heading| heading == section)
        };
        if name == "alluvium.toml.5" {
            assert!(has("[archive.roll]") && text.contains("max_files_per_day"), "{name}");
            for section in ["FILES", "EXAMPLES", "SEE ALSO"] {
                assert!(has(section), "{name} has no section {section}");
            }
            for change in ["a change needs a restart", "a change needs a reload"] {
                assert!(text.contains(change), "{name}: {change}");
            }
            continue;
        }
        pages += 1;
        for section in ["EXIT STATUS", "FILES", "ENVIRONMENT", "SEE ALSO"] {
            assert!(has(section), "{name} has no section {section}");
        }
        let codes = exit_status(&text);
        let of_all = name != "alluvium.1" && codes == all_codes;
        assert!(!of_all, "{name} has the exit codes of all commands: add them to exit.rs");
        // A command of commands is shown by these.
        assert!(has("EXAMPLES") || name == "alluvium-generate.1", "{name} has no examples");
    }
    assert!(12 < pages, "{pages} pages");
}

/// Each mistake of a file is told once, at its line.
#[test]
fn every_mistake_is_told_at_its_place() {
    let program = env!("CARGO_BIN_EXE_alluvium");
    let file = top().join("tests/golden/mistakes.toml");
    let check = |more: &[&str]| {
        let out = Command::new(program).arg("check").args(more).arg("-c").arg(&file).output();
        let out = out.unwrap();
        assert_eq!(out.status.code(), Some(78));
        [out.stdout, out.stderr].map(|bytes| String::from_utf8(bytes).unwrap())
    };
    let [json, _] = check(&["--json"]);
    let told: serde_json::Value = serde_json::from_str(&json).unwrap();
    let faults = told["faults"].as_array().unwrap();
    let place = |f: &serde_json::Value| {
        format!("{} {} {}", f["line"], f["column"], f["key"].as_str().unwrap())
    };
    let places: Vec<String> = faults.iter().map(place).collect();
    let golden = std::fs::read_to_string(top().join("tests/golden/mistakes.txt")).unwrap();
    assert_eq!(places, golden.lines().collect::<Vec<_>>());
    assert!(12 <= places.len(), "a dozen at least");
    let page = std::fs::read_to_string(top().join("docs/configuration.md")).unwrap();
    for fault in faults {
        let section = fault["section"].as_str().unwrap();
        assert!(anchors("configuration.md", &page).contains(section), "{section}");
    }
    let [_, text] = check(&[]);
    assert!(text.contains("in configuration.md, [archive], [daemon], [kafka], [mapping"), "{text}");
    for place in &places {
        let mut parts = place.splitn(3, ' ');
        let [line, column, key] = std::array::from_fn(|_| parts.next().unwrap());
        let want = format!("line {line}, column {column}: {key}: ");
        assert_eq!(text.matches(&want).count(), 1, "{want}\n{text}");
    }
}

/// Each section of a page, as links name it.
fn anchors(name: &str, page: &str) -> BTreeSet<String> {
    let titles = page.lines().filter_map(|line| line.strip_prefix("## "));
    let anchor = |title: &str| -> String {
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    titles.map(|title| format!("{name}#{}", anchor(title))).collect()
}

/// Whatever `check --live` tries leads to a section of the manual.
#[test]
fn what_is_tried_leads_to_the_manual() {
    for (what, section) in alluvium::testing::SECTIONS {
        let (name, _) = section.split_once('#').unwrap();
        let page = std::fs::read_to_string(top().join("docs").join(name)).unwrap();
        assert!(anchors(name, &page).contains(section), "{what}: {section}");
    }
}

/// What a block of shell, Python or SQL lacks, if it is not run, or not without a reason.
fn unmarked(example: &Example) -> Option<String> {
    let by: &[&str] = match &*example.language {
        "sh" | "bash" => &["sh", "terminal"],
        "python" => &["python", "spark"],
        "sql" => &["duckdb", "spark", "trino", "hive"],
        _ => return None,
    };
    let is_right = match &example.mark {
        Mark::Run { by: who, types, prints } => {
            let is_text = |text: &Option<String>| text.as_ref().is_none_or(|t| !t.is_empty());
            by.contains(&&**who) && is_text(types) && is_text(prints)
        }
        Mark::NotRun(reason) => 20 < reason.len(),
        Mark::None => false,
    };
    (!is_right).then(|| format!("{}: {:?}", example.at, example.mark))
}

/// The scenarios in tests/it run them, which are named in tests/it/servers/manual.rs.
#[test]
fn every_example_is_run_or_says_why_not() {
    let all = manual::examples(top());
    let faults: Vec<String> = all.iter().filter_map(unmarked).collect();
    assert!(faults.is_empty(), "no comment `<!-- run: … -->` before\n  {}", faults.join("\n  "));
    let is_run = |example: &&Example| matches!(example.mark, Mark::Run { .. });
    assert!(20 < all.iter().filter(is_run).count());
    for (mark, faults) in [
        ("", 1),
        ("<!-- not run: no -->\n", 1),
        ("<!-- run: python -->\n", 1),
        ("<!-- run: sh prints '' -->\n", 1),
        ("<!-- run: sh prints 'x' -->\n", 0),
        ("<!-- run: sh types '' prints 'x' -->\n", 1),
        ("<!-- run: sh types 'y' prints 'x' -->\n", 0),
        ("<!-- run: sh prints 'x' types 'y' -->\n", 0),
        ("<!-- run: terminal -->\n", 0),
        ("<!-- not run: nobody has such a server here -->\n", 0),
    ] {
        let page = format!("{mark}```sh\ntrue\n```\n");
        let examples = manual::examples_of("page", &page);
        assert_eq!(examples.iter().filter_map(unmarked).count(), faults, "{page}");
    }
}

/// Adds what one table has to another one.
fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(more)) => merge(inner, more),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

/// What `check` finds in a piece of a configuration, beside what is not on this machine: the
/// files below /etc, and what systemd gives to the unit.
fn faults_of(example: &str) -> Vec<String> {
    const REST: &str = "[kafka]\nbootstrap_servers = \"localhost:9092\"\ngroup_id = \
                        \"a\"\n[archive]\nroot = \"file:///tmp/a\"\n[mapping.orders]\ntopics = \
                        [\"orders\"]\n";
    let mut whole: toml::Table = REST.parse().unwrap();
    match example.parse() {
        Ok(table) => merge(&mut whole, table),
        Err(e) => return vec![e.to_string()],
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), whole.to_string()).unwrap();
    let program = env!("CARGO_BIN_EXE_alluvium");
    let out = Command::new(program).args(["check", "--config"]).arg(file.path()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let elsewhere =
        |line: &&str| ["/etc/", "CREDENTIALS_DIRECTORY"].iter().any(|p| line.contains(p));
    let faults = said.lines().filter(|line| line.starts_with("  ") && !elsewhere(line));
    faults.map(String::from).collect()
}

#[test]
fn every_piece_of_configuration_is_read() {
    let all = manual::examples(top());
    let pieces: Vec<&Example> = all.iter().filter(|e| e.language == "toml").collect();
    assert!(8 < pieces.len());
    for piece in pieces {
        let faults = faults_of(&piece.text);
        assert!(faults.is_empty(), "{}:\n{}", piece.at, faults.join("\n"));
    }
    let faults = faults_of("[mapping.orders]\nstrat = \"earliest\"\n").join("\n");
    assert!(faults.contains("mapping.orders.strat"), "{faults}");
}

/// The unit is what operators rely on.
#[test]
fn the_unit_is_right() {
    let unit = top().join("systemd/alluvium.service");
    let text = std::fs::read_to_string(&unit).unwrap();
    for begin in [
        "Type=notify",
        "ExecStart=/usr/bin/alluvium run",
        "RestartPreventExitStatus=78",
        "WatchdogSec=",
        // Nobody else reads what it makes, and no core has secrets in it.
        "User=alluvium",
        "UMask=0077",
        "LimitCORE=0",
        // What it can't do, even if somebody else runs code in it.
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "AmbientCapabilities=",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "ProtectProc=invisible",
        "ProtectClock=yes",
        "ProtectHostname=yes",
        "ProtectKernelLogs=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelTunables=yes",
        "ProtectControlGroups=yes",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "PrivateUsers=yes",
        "RestrictNamespaces=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "LockPersonality=yes",
        "MemoryDenyWriteExecute=yes",
        "RemoveIPC=yes",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged @resources",
    ] {
        assert!(text.lines().any(|line| line.starts_with(begin)), "{begin}");
    }
    for set in ["CapabilityBoundingSet=", "AmbientCapabilities="] {
        assert!(text.lines().any(|line| line == set), "{set} has something");
    }
    // RestartPreventExitStatus= is about the main process alone (systemd.service(5)): a check
    // before it that fails would be restarted for ever.
    assert!(!text.contains("\nExecStartPre="), "a process before the main one");
    let analyze = |args: &[&str]| {
        let out = Command::new("systemd-analyze").args(args).arg(&unit).output();
        out.unwrap_or_else(|e| panic!("systemd-analyze (make test sets it up): {e}"))
    };
    let out = analyze(&["verify", "--man=no"]);
    let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
    let about_us = |l: &&str| l.contains("alluvium.service") && !l.contains("is not executable");
    let faults: Vec<&str> = stderr.lines().filter(about_us).collect();
    assert!(faults.is_empty(), "{faults:?}");

    let out = analyze(&["security", "--offline=true", "--no-pager", "--threshold=15"]);
    assert!(out.status.success(), "exposed: {}", String::from_utf8_lossy(&out.stdout));
}

/// A reason without an entry in the handbook leaves somebody alone at three in the morning.
#[test]
fn every_reason_to_stop_is_explained() {
    let rules = std::fs::read_to_string(top().join("src/pure/protocol/recovery.rs")).unwrap();
    let labels: Vec<&str> = rules
        .lines()
        .filter(|l| l.trim_start().starts_with("Stop::") && l.contains("=> \""))
        .map(|l| l.split('"').nth(1).unwrap())
        .collect();
    assert!(8 < labels.len(), "{labels:?}");
    let page = std::fs::read_to_string(top().join("docs/stopped.md")).unwrap();
    for label in labels.iter().chain(&["encode"]) {
        assert!(page.contains(&format!("| `{label}` |")), "{label}");
    }
}
