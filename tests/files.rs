//! The files that are shipped beside the program, and the house's own rules.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// Arrows point inward: the pure rooms know no client, no clock, no randomness, no logging.
#[test]
fn the_pure_rooms_are_pure() {
    let forbidden = [
        "tokio",
        "rdkafka",
        "hdfs_native",
        "tracing::",
        "SystemTime",
        "Instant::now",
        "Timestamp::now",
        "std::env",
        "std::fs",
        "uuid",
        "crate::store",
        "crate::kafka",
        "crate::worker",
    ];
    for room in ["protocol", "count", "layout"] {
        let mut files = Vec::new();
        sources(&top().join("src").join(room), &mut files);
        assert!(!files.is_empty());
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let search = file.components().any(|c| c.as_os_str() == "search");
            for word in forbidden.iter().filter(|_| !search) {
                assert!(!code.contains(word), "{} names {word}", file.display());
            }
        }
    }
}

/// Only two rooms know a client library.
#[test]
fn clients_stay_in_their_rooms() {
    let mut files = Vec::new();
    sources(&top().join("src"), &mut files);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let room = |name: &str| file.starts_with(top().join("src").join(name));
        assert!(room("kafka") || !text.contains("use rdkafka"), "{}", file.display());
        assert!(room("store") || !text.contains("use hdfs_native"), "{}", file.display());
        // The client's calls, and one hint to the processor.
        let most = [("kafka/native.rs", usize::MAX), ("count/words.rs", 1)];
        let most = most.iter().find(|(name, _)| file.ends_with(name)).map_or(0, |(_, n)| *n);
        let may = text.matches("unsafe {").count() <= most;
        assert!(may, "{} has unsafe code", file.display());
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
    for key in
        ["kafka.bootstrap_servers", "kafka.group_id", "mapping.a.start", "mapping.a.archive.root"]
    {
        assert!(text.contains(key), "{key} not in {text}");
    }
    let wrong = Command::new(env!("CARGO_BIN_EXE_alluvium")).arg("--nonsense").output().unwrap();
    assert_eq!(wrong.status.code(), Some(64));
}

/// The unit says what the issue asks of it; systemd-analyze reads it where there is one.
#[test]
fn the_unit_is_right() {
    let unit = top().join("systemd/alluvium.service");
    let text = std::fs::read_to_string(&unit).unwrap();
    for line in
        ["Type=notify", "ExecStartPre=/usr/bin/alluvium check", "RestartPreventExitStatus=78"]
    {
        assert!(text.contains(line), "{line}");
    }
    let Ok(out) = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output()
    else {
        return;
    };
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    let about_us = |l: &&str| l.contains("alluvium.service") && !l.contains("is not executable");
    let faults: Vec<&str> = told.lines().filter(about_us).collect();
    assert!(faults.is_empty(), "{faults:?}");
}

/// A reason without an entry in the handbook leaves somebody alone at three in the morning.
#[test]
fn every_reason_to_stop_is_explained() {
    let rules = std::fs::read_to_string(top().join("src/protocol/recovery.rs")).unwrap();
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
