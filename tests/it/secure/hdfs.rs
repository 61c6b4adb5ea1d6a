//! HDFS that takes Kerberos alone: keytabs that do not suit, tickets that expire, and a KDC that
//! stands still. Daemons that log in to Kafka by Kerberos, too, run beside it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::realm::{REALM, invented, keytab, krb5};
use super::{canaries, gssapi, protections, refusals, renewals};
use crate::support::load::Load;
use crate::support::{Cluster, Daemon, alluvium, assert_each_once, eventually, flush, send};

const TICKET: Duration = Duration::from_secs(10);
const NAME: &str = "secured";

pub(crate) fn kerberos() {
    let environment = &[
        ("TESTBED_KERBEROS", "yes"),
        ("TESTBED_TICKET_MS", "10000"),
        ("TESTBED_SECURE", "yes"),
        ("TESTBED_KMS", "yes"),
        ("TESTBED_KAFKA_EXTRA", gssapi::SUPERUSERS),
    ];
    let cluster = Cluster::start_with("kerberos", 1, 1, environment);
    cluster.create_topic("secured-in", 4);
    cluster.create_topic("other-in", 1);
    keytabs_that_do_not_suit(&cluster);
    gssapi::keytabs_that_do_not_suit(&cluster);
    let of_hdfs = configured(&cluster, "alluvium", &keytab(&cluster), "");
    gssapi::a_silent_kdc_is_named(&cluster, &of_hdfs);
    refusals::clients_that_do_not_suit(&cluster);
    an_encryption_zone(&cluster);
    let variables = [("KRB5_CONFIG", &*krb5(&cluster))];
    canaries::keys_are_found_nowhere(&cluster, &of_hdfs, &keytab(&cluster), &variables);
    a_key_changes_under_a_daemon(&cluster);
    tickets_expire_and_the_kdc_stands_still(&cluster);
    renewals::tickets_that_a_job_renews(&cluster);
    let config = configured(&cluster, "alluvium", &keytab(&cluster), "");
    protections::every_level(&cluster, &config.replace(NAME, "protected"));
}

/// The configuration of a daemon that archives one topic; `more`: other mappings.
fn configured(cluster: &Cluster, principal: &str, keytab: &Path, more: &str) -> String {
    let conf = cluster.state.join("hdfs/conf");
    format!(
        "{}hadoop_conf_dir = {conf:?}\nkerberos = {{ principal = \"{principal}@{REALM}\", keytab = \
         {keytab:?} }}\n[archive.roll]\nage = \"1s\"\n[daemon]\nworkers = 1\n[mapping.{NAME}]\n\
         topics = [\"{NAME}-in\"]\n{more}",
        cluster.head(NAME, 10_000)
    )
}

/// Each ends with its cause, and names the key to look at.
fn keytabs_that_do_not_suit(cluster: &Cluster) {
    let dir = cluster.home("refused");
    std::fs::create_dir_all(&dir).unwrap();
    let wrong = invented(&dir, "alluvium");
    let nobody = invented(&dir, "nobody");
    let missing = dir.join("missing.keytab");
    for (what, principal, keytab, code, wanted) in [
        ("a wrong key", "alluvium", &wrong, 78, ["can't log in: ", "archive.kerberos.keytab"]),
        ("a principal", "nobody", &nobody, 78, ["can't log in: ", "archive.kerberos.principal"]),
        (
            "another's",
            "alluvium",
            &nobody,
            78,
            ["archive.kerberos.keytab: ", "no key of alluvium@"],
        ),
        ("no file", "alluvium", &missing, 78, ["archive.kerberos.keytab: can't read", "No such"]),
    ] {
        let config = configured(cluster, principal, keytab, "");
        let began = Instant::now();
        let variables = [("KRB5_CONFIG", &*krb5(cluster))];
        let daemon = Daemon::start_with(&dir, "a", &config, &variables);
        let (got, log) = daemon.wait(Duration::from_secs(30));
        println!("{what}, {:.1?}: {}", began.elapsed(), log.lines().last().unwrap_or_default());
        assert_eq!(got, code, "{what}: {log}");
        for want in wanted {
            assert!(log.contains(want), "{what}: no {want:?} in\n{log}");
        }
        assert!(!log.contains("GssMajorCodes"), "codes before the cause: {log}");
    }
    // A keytab that everybody can read works, and is warned of.
    let open = dir.join("open.keytab");
    let _ = std::fs::copy(keytab(cluster), &open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    let file = dir.join("open.toml");
    std::fs::write(&file, configured(cluster, "alluvium", &open, "")).unwrap();
    let (code, said) = alluvium(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("warning: archive.kerberos.keytab: every user"), "{said}");
}

/// The KMS, too, asks who the client is.
fn an_encryption_zone(cluster: &Cluster) {
    let _ = cluster.run(&["key", "create", "of-zone"]);
    let _ = cluster.run(&["dfs", "-mkdir", "/zoned"]);
    let _ = cluster.run(&["crypto", "-createZone", "-keyName", "of-zone", "-path", "/zoned"]);
    let _ = cluster.run(&["dfs", "-chown", "alluvium", "/zoned"]);
    cluster.create_topic("zoned-in", 1);
    let config = configured(cluster, "alluvium", &keytab(cluster), "").replace(NAME, "zoned");
    let variables = [("KRB5_CONFIG", &*krb5(cluster))];
    let daemon = Daemon::start_with(&cluster.home("zone"), "z", &config, &variables);
    eventually("ready", Duration::from_secs(60), || daemon.get("/readyz").is_some());
    // A KMS that was started anew knows none of the tokens that it has issued before.
    let _ = cluster.run(&["kill", "kms"]);
    let _ = cluster.run(&["start", "kms"]);
    let producer = cluster.producer();
    send(&producer, "zoned-in", 0, b"a line", None);
    flush(&producer);
    eventually("it is archived by another token", Duration::from_secs(60), || {
        1.0 <= daemon.of_topic("alluvium_archive_position", "zoned-in")
    });
    assert_eq!(daemon.stop(), 0);
    let identity = "/zoned/_alluvium/identity";
    let read = cluster.run(&["dfs", "-cat", identity]);
    assert!(read.contains("\"root\""), "Hadoop reads something else: {read}");
    let raw = cluster.run(&["dfs", "-cat", &format!("/.reserved/raw{identity}")]);
    assert!(!raw.contains("\"root\""), "it is not encrypted");
}

/// A wrong key is tried seldom, however many partitions wait, and the right one at once.
fn a_key_changes_under_a_daemon(cluster: &Cluster) {
    const MANY: u64 = 20;
    cluster.create_topic("rekeyed-in", MANY as u32);
    let dir = cluster.home("rekeyed");
    std::fs::create_dir_all(&dir).unwrap();
    let (file, another) = (dir.join("the.keytab"), invented(&dir, "alluvium"));
    let put = |from: &Path| {
        let new = dir.join("new.keytab");
        let _ = std::fs::copy(from, &new).unwrap();
        std::fs::rename(&new, &file).unwrap();
    };
    put(&keytab(cluster));
    let config = configured(cluster, "alluvium", &file, "").replace(NAME, "rekeyed");
    let trace = dir.join("krb5-trace");
    let variables = [("KRB5_CONFIG", &*krb5(cluster)), ("KRB5_TRACE", trace.to_str().unwrap())];
    let daemon = Daemon::start_with(&dir, "a", &config, &variables);
    let load = Load::begin(cluster, "rekeyed-in", MANY, 200);
    let archived = || daemon.of_topic("alluvium_archive_position", "rekeyed-in");
    eventually("archived", Duration::from_secs(60), || 400.0 <= archived());
    put(&another);
    let logins = || {
        let text = std::fs::read_to_string(&trace).unwrap();
        text.matches("Getting initial credentials for alluvium").count()
    };
    // The next connection needs another ticket.
    std::thread::sleep(TICKET + Duration::from_secs(1));
    let before = logins();
    let _ = cluster.run(&["kill", "nn"]);
    let _ = cluster.run(&["start", "nn"]);
    let paused = "A daemon that runs tries no other login before some minutes are over";
    let says = || {
        daemon.log_text().contains(paused)
            || daemon.get("/").is_some_and(|page| page.contains(paused))
    };
    eventually("the login is refused", Duration::from_secs(60), says);
    let at_first = logins();
    std::thread::sleep(Duration::from_secs(30));
    let (first, then) = (at_first - before, logins() - at_first);
    println!("{MANY} partitions asked the KDC {first} times at first, and {then} in 30 s");
    // One try makes the library ask eight times, and each partition may have a call under way that
    // the first refusal does not end. Without a pause, 635 were measured in 30 s.
    assert!(first <= 16 * MANY as usize, "{first} logins");
    assert!(then <= 8 * MANY as usize, "{first} logins, and {then} more");
    put(&keytab(cluster));
    let stood = archived();
    eventually("it goes on", Duration::from_secs(60), || stood + 400.0 <= archived());
    let sent = load.end();
    eventually("all archived", Duration::from_secs(60), || sent.records as f64 <= archived());
    assert_eq!(daemon.stop(), 0);
}

fn tickets_expire_and_the_kdc_stands_still(cluster: &Cluster) {
    let config = configured(cluster, "alluvium", &keytab(cluster), "");
    let variables = [("KRB5_CONFIG", &*krb5(cluster))];
    let daemon = Daemon::start_with(&cluster.home(NAME), "a", &config, &variables);
    let archived = || daemon.of_topic("alluvium_archive_position", "secured-in");
    let load = Load::begin(cluster, "secured-in", 4, 400);
    let by_gssapi = gssapi::LoggedIn::begin(cluster);
    eventually("archived", Duration::from_secs(60), || 400.0 <= archived());
    // An open connection outlives its ticket; the next one needs another ticket.
    for _ in 0..2 {
        std::thread::sleep(TICKET + Duration::from_secs(1));
        let _ = cluster.run(&["kill", "nn"]);
        let _ = cluster.run(&["start", "nn"]);
        let before = archived();
        eventually("it goes on", Duration::from_secs(60), || before + 800.0 <= archived());
    }
    by_gssapi.end(cluster);
    the_kdc_stands_still(cluster, &daemon, &config, &archived);
    let sent = load.end();
    eventually("all archived", Duration::from_secs(60), || sent.records as f64 <= archived());
    assert_eq!(daemon.stop(), 0);
    let raw = cluster.copied_archive(NAME, "secured-in");
    let want = (0..4).flat_map(|p| (0..sent.records as i64 / 4).map(move |o| (p, o)));
    assert_each_once(&raw.offsets(), want);
    println!("records={} lost=0 doubled=0", sent.records);
}

/// A root that is added needs a ticket. Nothing else waits for it.
fn the_kdc_stands_still(
    cluster: &Cluster,
    daemon: &Daemon,
    config: &str,
    archived: &dyn Fn() -> f64,
) {
    std::thread::sleep(TICKET);
    let _ = cluster.run(&["pause", "kdc"]);
    let other = format!(
        "[mapping.other]\ntopics = [\"other-in\"]\narchive = {{ root = \"{}/other\" }}\n",
        cluster.hdfs()
    );
    daemon.reconfigure(&(config.to_string() + &other));
    let (began, before) = (Instant::now(), archived());
    let mut longest = Duration::ZERO;
    while began.elapsed() < Duration::from_secs(20) {
        let asked = Instant::now();
        assert!(daemon.get("/livez").is_some(), "/livez does not answer");
        longest = longest.max(asked.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("/livez answered within {longest:?} while the KDC stood still");
    assert!(longest < Duration::from_secs(2), "/livez took {longest:?}");
    // Its connection outlives the ticket.
    eventually("the first root goes on", Duration::from_secs(60), || {
        before + 2_000.0 <= archived()
    });
    let _ = cluster.run(&["resume", "kdc"]);
    // The reload was refused as a whole. The login that was under way may take its time.
    let mut asked = Instant::now();
    daemon.signal("-HUP");
    eventually("the other root is opened", Duration::from_secs(90), || {
        if Duration::from_secs(20) < asked.elapsed() {
            asked = Instant::now();
            daemon.signal("-HUP");
        }
        let log = daemon.log_text();
        log.lines().any(|line| line.contains("root opened") && line.contains("/other"))
    });
}
