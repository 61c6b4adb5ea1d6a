//! `verify`, `where` and `explain`, on an archive that is whole and on one that was damaged by
//! hand.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::config;
use crate::support::{Cluster, Daemon, alluvium, eventually, flush, send};

fn data_files(top: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(top).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(data_files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Each damage is found and named; undone, the archive is whole again.
pub(crate) fn damage_is_found(cluster: &Cluster) {
    let (name, topic) = ("audit", "audit-in");
    cluster.create_topic(topic, 2);
    let (dir, root) = (cluster.home(name), cluster.home(name).join("archive"));
    let mapping = format!(
        r#"
[mapping.audit]
topics = ["{topic}"]
archive = {{ root = "file://{}", format = "jsonl", codec = "zstd", roll = {{ age = "1s" }} }}
"#,
        root.display()
    );
    let producer = cluster.producer();
    let write = |value: &str| {
        for i in 0..50 {
            send(&producer, topic, i % 2, value.as_bytes(), Some(1_700_000_000_000));
        }
        flush(&producer);
    };
    let daemon = Daemon::start(&dir, "a", &config(cluster, name, &mapping));
    for round in 1..=3 {
        write(&format!("round {round}"));
        eventually("a roll", Duration::from_secs(60), || {
            f64::from(round * 50) <= daemon.of_topic("alluvium_archive_position", topic)
        });
    }
    let file = dir.join("a.toml").display().to_string();
    let verify = || alluvium(&["verify", "--config", &file]);
    // Beside a running daemon, too.
    let (code, text) = verify();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("whole: 150 rows in 2 partitions"), "{text}");
    assert_eq!(daemon.stop(), 0);

    let data = data_files(&root.join(topic));
    let entries = data_files(&root.join("_alluvium/ledger").join(topic).join("0/1"));
    let (victim, entry) = (&data[1], &entries[1]);
    let damage = |case: &str, want: &str, hurt: &dyn Fn(), heal: &dyn Fn()| {
        hurt();
        let (code, text) = verify();
        assert_eq!(code, 65, "{case}: {text}");
        assert!(text.contains(want) && text.contains("1 finding in"), "{case}: {text}");
        heal();
        assert_eq!(verify().0, 0, "{case}: not whole again");
    };
    let (bytes, away) = (std::fs::read(victim).unwrap(), dir.join("away"));
    let put_back = || std::fs::write(victim, &bytes).unwrap();
    damage("deleted", "missing file", &|| std::fs::remove_file(victim).unwrap(), &put_back);
    let copy = victim.with_file_name("part-copy.jsonl.zst");
    damage(
        "duplicated",
        "foreign file",
        &|| assert!(0 < std::fs::copy(victim, &copy).unwrap()),
        &|| std::fs::remove_file(&copy).unwrap(),
    );
    damage(
        "truncated",
        "truncated file",
        &|| std::fs::write(victim, &bytes[..bytes.len() - 1]).unwrap(),
        &put_back,
    );
    let mut changed = bytes.clone();
    changed[10] ^= 1;
    damage("changed", "changed file", &|| std::fs::write(victim, &changed).unwrap(), &put_back);
    let made = root.join(topic).join("part-by-hand.jsonl");
    damage("made by hand", "foreign file", &|| std::fs::write(&made, "{}").unwrap(), &|| {
        std::fs::remove_file(&made).unwrap()
    });
    // Its files become foreign as well.
    std::fs::rename(entry, &away).unwrap();
    let (code, text) = verify();
    assert_eq!(code, 65);
    assert!(text.contains("missing entry") && text.contains("foreign file"), "{text}");
    std::fs::rename(&away, entry).unwrap();
    std::fs::copy(entry, &away).unwrap();
    std::fs::write(
        entry,
        std::fs::read_to_string(entry).unwrap().replace("\"version\": 1", "\"version\": 9"),
    )
    .unwrap();
    assert!(verify().1.contains("version 9"));
    std::fs::rename(&away, entry).unwrap();

    let (code, json) = alluvium(&["verify", "--json", "--config", &file]);
    assert_eq!(code, 0);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["roots"][0]["partitions"][1]["rows"], 75);

    let r#where = |offset: &str| alluvium(&["where", topic, "1", offset, "--config", &file]);
    let (code, text) = r#where("30");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("row      5 of 25") && text.contains("part-audit-in-0-1-"), "{text}");
    let json = |arguments: &[&str]| {
        let (code, text) = alluvium(&[arguments, &["--json", "--config", &file]].concat());
        (
            code,
            serde_json::from_str::<serde_json::Value>(&text)
                .unwrap_or_else(|e| panic!("{e}: {text}")),
        )
    };
    let (code, found) = json(&["where", topic, "1", "30"]);
    assert!(code == 0 && found["row"] == 5 && found["found"] == "file", "{found}");
    assert!(found["file"].as_str().unwrap().contains("part-audit-in-0-1-"), "{found}");
    assert_eq!((&found["from"], &found["partition"]), (&25.into(), &1.into()));
    let (code, found) = json(&["where", topic, "1", "75"]);
    assert!(
        code == 65 && found["findings"][0].as_str().unwrap().contains("ends before offset 75"),
        "{found}"
    );
    let (code, found) = json(&["explain", &victim.display().to_string()]);
    assert!(code == 0 && found["state"] == "unchanged" && found["rows"] == 25, "{found}");
    let (code, text) = r#where("75");
    assert!(code == 65 && text.contains("ends before offset 75"), "{text}");
    let shown = victim.display().to_string();
    let (code, text) = alluvium(&["explain", &shown, "--config", &file]);
    assert!(code == 0 && text.contains("unchanged"), "{text}");
    let (code, text) =
        alluvium(&["explain", &shown.replace("00000000", "00000001"), "--config", &file]);
    assert!(code == 65 && text.contains("missing"), "{text}");
    assert_eq!(alluvium(&["explain", "README.md", "--config", &file]).0, 64);
}
