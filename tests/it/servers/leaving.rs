//! Assignments that end for good, before what was read is rolled: nobody can read it again, or
//! nobody will.

use std::time::Duration;

use super::config;
use crate::support::{Cluster, Daemon, alluvium, eventually, flush, send, tree};

const LIMIT: Duration = Duration::from_secs(60);
/// In each topic.
const RECORDS: i64 = 500;
const PARTITIONS: i32 = 2;

/// Mappings by what becomes of them or of their topics.
const ENDS: [&str; 4] = ["deleted", "again", "removed", "pattern"];

fn topic(end: &str) -> String {
    format!("leaving-{end}")
}

fn counts(end: &str) -> String {
    format!("leaving-{end}-counts")
}

fn mapping(end: &str) -> String {
    let topic = match end {
        "pattern" => "topics_regex = \"leaving-patter[n]\"".to_string(),
        _ => format!("topics = [\"{}\"]", topic(end)),
    };
    format!(
        "[mapping.{end}]\n{topic}\n[mapping.{end}.wordcount]\noutput_topic = \"{}\"\nwindow = \
         \"1s\"\ntime = \"arrival\"\n",
        counts(end)
    )
}

/// The retention of a topic leaves less time than files may be open: they are rolled early.
pub(crate) fn files_end_before_retention_deletes_their_records(cluster: &Cluster) {
    let name = "short";
    let config = config(
        cluster,
        name,
        "[mapping.short]\ntopics = [\"short-in\"]\n[mapping.kept]\ntopics = [\"kept-in\"]\n",
    );
    let config = config.replace("age = \"3s\"", "age = \"1h\"");
    let topics = ["short-in", "kept-in"];
    topics.iter().for_each(|t| cluster.create_topic(t, 1));
    cluster.configure_topic("short-in", &[("retention.ms", "40000")]);
    let producer = cluster.producer();
    for topic in topics {
        (0..RECORDS).for_each(|_| send(&producer, topic, 0, b"word", None));
    }
    flush(&producer);
    let daemon = Daemon::start(&cluster.home(name), "a", &config);
    let archived = |topic| daemon.of_topic("alluvium_archive_position", topic);
    eventually("rolled early", LIMIT, || RECORDS as f64 <= archived("short-in"));
    assert_eq!(archived("kept-in"), 0.0, "its records are kept");
    let rolls = daemon.get("/metrics").unwrap_or_default();
    let early = rolls.lines().any(|l| l.contains("reason=\"retention\"") && !l.ends_with(" 0"));
    assert!(early, "no roll has this reason");
    assert_eq!(daemon.stop(), 0);
}

/// Topics that are deleted, or deleted and created again, a mapping that a reload removes, and a
/// pattern that no longer matches, while all that was read is in files that are open: it is in the
/// archive afterwards, and so are the counts that were published of it.
pub(crate) fn what_was_read_before_an_assignment_ends_for_good(cluster: &Cluster) {
    let name = "leaving";
    let mappings = ENDS.map(mapping);
    let config = config(cluster, name, &mappings.concat())
        .replace("age = \"3s\"", "age = \"1h\"")
        .replace("[daemon]\n", "[daemon]\ntopics_refresh = \"1s\"\n");
    let producer = cluster.producer();
    for end in ENDS {
        cluster.create_topic(&topic(end), PARTITIONS as u32);
        let to = |i: i64| i as i32 % PARTITIONS;
        (0..RECORDS).for_each(|i| send(&producer, &topic(end), to(i), b"word", None));
    }
    flush(&producer);
    let daemon = Daemon::start(&cluster.home(name), "a", &config);
    for end in ENDS {
        cluster.all_published(&counts(end), RECORDS as u64);
        let committed = || RECORDS as f64 <= cluster.position(name, &topic(end));
        eventually("counted and committed", LIMIT, committed);
        let archived = daemon.of_topic("alluvium_archive_position", &topic(end));
        assert_eq!(archived, 0.0, "{end}: it was rolled before");
    }
    let root = format!("{}/{name}", cluster.hdfs());
    let store = cluster.store(&root);
    let whole = |end: &str| {
        let what = format!("{end}: what was read is archived");
        eventually(&what, LIMIT, || {
            let files = cluster.runtime.block_on(tree(&*store, &topic(end)));
            files.is_ok_and(|files| PARTITIONS as usize <= files.len())
        });
        let read = cluster.archive(&root, &topic(end), &topic(end)).offsets();
        let each = RECORDS / i64::from(PARTITIONS);
        let want: Vec<_> = (0..PARTITIONS).flat_map(|p| (0..each).map(move |o| (p, o))).collect();
        assert_eq!(read, want, "{end}");
    };

    cluster.delete_topic(&topic("deleted"));
    whole("deleted");
    let [deleted, again, _, pattern] = &mappings;
    let narrower = pattern.replace("patter[n]", "patter[m]");
    let fewer = [deleted, again, &narrower].map(String::as_str).concat();
    let fewer = config.replace(&mappings.concat(), &fewer);
    assert_ne!(fewer, config);
    daemon.reconfigure(&fewer);
    whole("removed");
    whole("pattern");
    cluster.delete_topic(&topic("again"));
    cluster.create_topic(&topic("again"), PARTITIONS as u32);
    whole("again");

    assert_eq!(daemon.stop(), 0);
    // The counts of mappings that go on are still in their topics: what a stop has not read yet is
    // archived by the next instance. The removed mapping has none.
    let next = fewer.replace("age = \"1h\"", "age = \"3s\"");
    let next = Daemon::start(&cluster.home(name), "b", &next);
    for end in ENDS.into_iter().filter(|end| *end != "removed") {
        next.archived_all(&counts(end), &cluster.read_topic(&counts(end)));
    }
    assert_eq!(next.stop(), 0);
    for end in ENDS {
        whole(end);
        let published = cluster.read_topic(&counts(end));
        let archived = cluster.archive(&root, &counts(end), &counts(end));
        assert_eq!(archived.offsets().len(), published.len(), "{end}");
        assert_eq!(archived.words()["word"], RECORDS as u64, "{end}");
    }
}

/// An owner dies between the manifest of its files and their append, and then the topic is deleted:
/// nobody is assigned the partition any more. Commands name it, and the next daemon that has the
/// mapping appends what was sealed.
pub(crate) fn what_a_dead_owner_had_sealed_of_a_deleted_topic(cluster: &Cluster) {
    let (name, topic) = ("gone", "gone-in");
    for topic in [topic, "gone-other"] {
        cluster.create_topic(topic, 1);
    }
    let mapping = format!("[mapping.gone]\ntopics = [\"{topic}\"]\n");
    let alone = config(cluster, name, &mapping)
        .replace("[daemon]\n", "[daemon]\ntopics_refresh = \"1s\"\n");
    let producer = cluster.producer();
    (0..RECORDS).for_each(|_| send(&producer, topic, 0, b"word", None));
    flush(&producer);
    // The first manifest is that of the genesis entry.
    let crash = [("ALLUVIUM_CRASH", "manifest-closed:2:kill")];
    let mut dies = Daemon::start_with(&cluster.home(name), "a", &alone, &crash);
    dies.ended(LIMIT);
    cluster.delete_topic(topic);
    let both = format!("{alone}\n[mapping.other]\ntopics = [\"gone-other\"]\n");
    let file = cluster.home(name).join("look.toml");
    std::fs::write(&file, &both).unwrap();
    let on =
        |command: &[&str]| alluvium(&[command, &["--config", file.to_str().unwrap()]].concat());
    let (code, said) = on(&["verify"]);
    let named = |said: &str| said.contains("alluvium repair gone-in 0 --apply");
    assert!(code == 65 && named(&said), "{code} {said}");
    let (code, said) = on(&["repair", topic]);
    assert!(code == 0 && said.contains("would append what its last owner had sealed"), "{said}");
    let root = format!("{}/{name}", cluster.hdfs());
    let store = cluster.store(&root);
    let files = || cluster.runtime.block_on(tree(&*store, topic)).unwrap_or_default().len();
    assert_eq!(files(), 0, "nothing was changed");
    let daemon = Daemon::start(&cluster.home(name), "b", &both);
    eventually("it is appended", LIMIT, || {
        daemon.log_text().contains("appended what an earlier owner had sealed") && 0 < files()
    });
    assert_eq!(daemon.stop(), 0);
    let archived = cluster.archive(&root, topic, topic).offsets();
    assert_eq!(archived, (0..RECORDS).map(|offset| (0, offset)).collect::<Vec<_>>());
    let (code, said) = on(&["verify"]);
    assert_eq!(code, 0, "{said}");
}
