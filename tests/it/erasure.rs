//! Roots that are erasure coded: the client library writes the parity of one codec under every
//! codec, so that files under another one would be damaged when a DataNode is lost.

use std::time::Duration;

use crate::support::{Cluster, Daemon, alluvium, assert_line, check_live, eventually, flush, send};

/// Two data units and one of parity: three DataNodes are enough.
const POLICIES: &str = r#"<?xml version="1.0"?>
<configuration>
<layoutversion>1</layoutversion>
<schemas><schema id="RSk2m1"><codec>rs</codec><k>2</k><m>1</m></schema></schemas>
<policies><policy><schema>RSk2m1</schema><cellsize>65536</cellsize></policy></policies>
</configuration>
"#;
const RS: &str = "RS-2-1-64k";
const XOR: &str = "XOR-2-1-1024k";

pub(crate) fn only_a_codec_that_is_written_is_taken() {
    let cluster = Cluster::start("erasure", 1, 3);
    let policies = cluster.state.join("policies.xml");
    std::fs::write(&policies, POLICIES).unwrap();
    let _ = cluster.run(&["ec", "-addPolicies", "-policyFile", policies.to_str().unwrap()]);
    for (policy, root) in [(RS, "/rs"), (XOR, "/xor")] {
        let _ = cluster.run(&["ec", "-enablePolicy", "-policy", policy]);
        let _ = cluster.run(&["dfs", "-mkdir", root]);
        let _ = cluster.run(&["ec", "-setPolicy", "-path", root, "-policy", policy]);
    }
    cluster.create_topic("rs-in", 1);
    refused(&cluster);
    what_check_live_says(&cluster);
    a_policy_is_set_under_a_daemon(&cluster);
    one_datanode_is_lost(&cluster);
}

/// The configuration of a daemon whose root has this path; `policy`: what it says of the root.
fn configured(cluster: &Cluster, root: &str, policy: Option<&str>) -> String {
    let coded = policy.map_or(String::new(), |p| format!("erasure_coding = \"{p}\"\n"));
    cluster.head(root.trim_start_matches('/'), 10_000)
        + &coded
        + &format!(
            "[archive.roll]\nage = \"1s\"\n[daemon]\nworkers = 1\n[mapping.coded]\ntopics = \
             [\"{}-in\"]\n",
            root.trim_start_matches('/')
        )
}

/// Without the policy's name, with that of another codec, and with that of another policy.
fn refused(cluster: &Cluster) {
    cluster.create_topic("xor-in", 1);
    for (policy, code, wanted) in [
        (None, 78, ["is erasure coded", "archive.erasure_coding"]),
        (Some(XOR), 78, ["archive.erasure_coding", "no policy of the codec rs"]),
        (Some("RS-6-3-1024k"), 78, ["has 1 parity units", "\"RS-6-3-1024k\""]),
    ] {
        let config = configured(cluster, "/xor", policy);
        let daemon = Daemon::start(&cluster.home("xor"), "a", &config);
        let (got, log) = daemon.wait(Duration::from_secs(60));
        assert_eq!(got, code, "{policy:?}: {log}");
        for want in wanted {
            assert!(log.contains(want), "{policy:?}: no {want:?} in\n{log}");
        }
    }
    let left = cluster.files().walk("/xor");
    assert!(left.is_empty(), "files were written: {left:?}");
}

/// Before a daemon is started: each policy that does not suit, and those that do.
fn what_check_live_says(cluster: &Cluster) {
    let before = cluster.files().walk("/");
    for (root, policy, code, outcome, parts) in [
        ("/xor", None, 69, "WRONG", ["root ", "is erasure coded", "archive.erasure_coding"]),
        ("/xor", Some("RS-6-3-1024k"), 69, "WRONG", ["root ", "has 1 parity units", "RS-6-3"]),
        ("/rs", None, 69, "WRONG", ["root ", "is erasure coded", "archive.erasure_coding"]),
        ("/rs", Some(RS), 0, "ok", ["copies in ", "are erasure coded", RS]),
        // No directory has this policy: files are replicated, which is said.
        ("/rs-less", Some(RS), 0, "warning", ["copies in ", "files are replicated", RS]),
    ] {
        let config = configured(cluster, root, policy).replace("rs-less-in", "rs-in");
        let config = config.replace("xor-in", "rs-in");
        let (got, said) = check_live(&cluster.home("checked"), &config, &[]);
        assert_eq!(got, code, "{root} {policy:?}: {said}");
        let _ = assert_line(&said, outcome, &parts);
    }
    let (code, said) =
        check_live(&cluster.home("checked"), &configured(cluster, "/xor", Some(XOR)), &[]);
    assert!(code == 78 && said.contains("no policy of the codec rs"), "{code} {said}");
    assert_eq!(cluster.files().walk("/"), before, "files were left behind");
}

/// What was written under the right policy is read back whole without one of the DataNodes.
fn one_datanode_is_lost(cluster: &Cluster) {
    let topic = "rs-in";
    let producer = cluster.producer();
    // Several stripes.
    for n in 0..2_000 {
        let value: String = std::iter::repeat_with(fastrand::alphanumeric).take(200).collect();
        send(&producer, topic, 0, format!("{n} {value}").as_bytes(), None);
    }
    flush(&producer);
    let (config, dir) = (configured(cluster, "/rs", Some(RS)), cluster.home("rs"));
    let daemon = Daemon::start(&dir, "a", &config);
    eventually("archived", Duration::from_secs(60), || {
        2_000.0 <= daemon.of_topic("alluvium_archive_position", topic)
    });
    assert_eq!(daemon.stop(), 0);
    // A unit whose DataNode failed while it was written is added later.
    eventually("all files have all their units", Duration::from_secs(120), || {
        let said = cluster.pipe(&["fsck", "/rs"], "");
        let lacks =
            said.lines().find(|l| l.trim().starts_with("Under-erasure-coded block groups:"));
        lacks.is_some_and(|line| line.split_whitespace().nth(3) == Some("0"))
    });
    let _ = cluster.run(&["kill", "dn1"]);
    let file = dir.join("verify.toml");
    std::fs::write(&file, &config).unwrap();
    let (code, said) = alluvium(&["verify", "--config", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    let rows = cluster.archive(&format!("{}/rs", cluster.hdfs()), topic, topic).records();
    assert_eq!(rows.len(), 2_000);
    for (n, row) in rows.iter().enumerate() {
        let value = String::from_utf8(row.value.clone().unwrap()).unwrap();
        assert!(value.starts_with(&format!("{n} ")), "{n}: {value}");
    }
}

/// An operator sets a policy on a root that is in use: nothing more is written, and the log says
/// why.
fn a_policy_is_set_under_a_daemon(cluster: &Cluster) {
    let topic = "plain-in";
    cluster.create_topic(topic, 1);
    let producer = cluster.producer();
    let write = || {
        send(&producer, topic, 0, b"a word", None);
        flush(&producer);
    };
    let config = configured(cluster, "/plain", None);
    let daemon = Daemon::start(&cluster.home("plain"), "a", &config);
    write();
    let archived = |n: f64| n <= daemon.of_topic("alluvium_archive_position", topic);
    eventually("archived", Duration::from_secs(60), || archived(1.0));
    let _ = cluster.run(&["ec", "-setPolicy", "-path", "/plain", "-policy", XOR]);
    eventually("refused", Duration::from_secs(60), || {
        write();
        std::thread::sleep(Duration::from_secs(1));
        daemon.log_text().contains("is erasure coded")
    });
    let _ = cluster.run(&["ec", "-unsetPolicy", "-path", "/plain"]);
    let written = cluster.log_end((topic, 0)) as f64;
    eventually("it goes on", Duration::from_secs(90), || archived(written));
    assert_eq!(daemon.stop(), 0);
}
