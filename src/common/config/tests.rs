use std::time::Duration;

use super::*;

pub(super) const SMALL: &str = r#"
[kafka]
bootstrap_servers = "b:9092"
group_id = "g"
[archive]
root = "hdfs://nn:8020/data"
[mapping.hello]
topics = ["hello"]
"#;

#[test]
fn another_root_may_have_other_options() {
    let other = "archive = { root = \"hdfs://other:8020/data\", user = \"b\" }";
    assert_eq!(faults(&format!("[mapping.b]\ntopics = [\"b\"]\n{other}")), "");
}

/// Every fault of `SMALL` with `more` appended, as text.
fn faults(more: &str) -> String {
    let text = format!("{SMALL}{more}");
    Config::parse(&text, Some("i")).err().map(|f| f.to_string()).unwrap_or_default()
}

#[test]
fn a_small_configuration_gets_defaults() {
    let c = Config::parse(SMALL, Some("i")).unwrap();
    assert_eq!(c.mappings.len(), 1);
    let archive = c.mappings[0].archive.as_ref().unwrap();
    assert_eq!(archive.roll.size_bytes, 128 << 20);
    assert_eq!(c.daemon.commit_interval, Duration::from_secs(2));
}

#[test]
fn the_shipped_files_are_right() {
    for file in ["config/alluvium.toml", "config/tutorial.toml"] {
        let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        if let Err(f) = Config::parse(&text, Some("i")) {
            panic!("{file}:\n{f}");
        }
    }
}

/// What is added to a good configuration has faults that contain each of these texts.
pub(super) fn check(more: &str, wants: &[&str]) {
    let got = faults(more);
    for want in wants {
        assert!(got.contains(want), "{more}\ngave:\n{got}\nwithout {want:?}");
    }
}

#[test]
fn a_umask_is_one_of_a_root() {
    check(
        "archive = { umask = \"755\" }",
        &["mapping.hello.archive.umask", "takes rights from the owner"],
    );
    let of =
        |umask: &str| format!("archive = {{ root = \"file:///shared\", umask = \"{umask}\" }}\n");
    check(
        &(of("027") + "[mapping.b]\ntopics = [\"b\"]\n" + &of("022")),
        &["mapping.b.archive.umask: differs from mapping.hello.archive.umask"],
    );
    let one = of("027") + "[mapping.b]\ntopics = [\"b\"]\n" + &of("u=rwx,g=rx,o=");
    assert_eq!(faults(&one), "", "one umask may be written in two ways");
}

#[test]
fn a_policy_of_another_codec_is_refused() {
    check(
        "archive = { erasure_coding = \"XOR-2-1-1024k\" }",
        &["mapping.hello.archive.erasure_coding", "no policy of the codec rs"],
    );
}

#[test]
fn the_identity_of_a_root_is_one() {
    check(
        "archive = { kerberos = { keytab = \"k\" } }",
        &["mapping.hello.archive.kerberos.principal: is missing", "archive.kerberos.keytab"],
    );
    check(
        "[mapping.b]\ntopics = [\"b\"]\narchive = { kerberos = { principal = \"b@C\" } }",
        &["mapping.b.archive.kerberos: differs from mapping.hello.archive.kerberos"],
    );
}

/// Commands that look at an archive run with any budget.
#[test]
fn a_budget_that_cannot_hold_its_producers_is_refused_to_daemons() {
    let many: String = (0..100).map(|n| format!("[mapping.m{n}]\ntopics = [\"t{n}\"]\n")).collect();
    let fault = |memory: &str| {
        let text = format!("{SMALL}{many}[daemon]\nmemory = \"{memory}\"");
        Config::parse(&text, Some("i")).unwrap().memory_fault().map(|fault| fault.to_string())
    };
    let small = fault("256MiB").unwrap();
    for want in
        ["daemon.memory: is 256 MiB, and 101 mappings", "need 202 MiB", "need 310 MiB at least"]
    {
        assert!(small.contains(want), "{small}");
    }
    assert_eq!(fault("310MiB"), None);
}

#[test]
fn a_time_that_no_clock_reaches_is_refused() {
    check(
        "archive = { roll = { age = \"40000d\" } }",
        &["mapping.hello.archive.roll.age", "is too long; the most is 36500d"],
    );
}

#[test]
fn a_path_of_values_and_a_roll_by_time_are_checked() {
    check("archive = { path = \"{topic}/{key}\" }", &["write name={key}"]);
    check("archive = { path = \"{topic}/a={field:x}b\" }", &["write name={field:x}"]);
    check("archive = { path = \"{topic}/x={header:}\" }", &["{header:NAME}"]);
    check("archive = { path = \"{capture:team}/x\" }", &["have no pattern with (?<team>…)"]);
    check(
        "[mapping.b]\ntopics_regex = \"(?<a>x).*\"\narchive = { path = \"{topic}/{capture:b}\" }",
        &["mapping.b.archive.path", "(?<b>…)"],
    );
    check(
        "[mapping.b]\ntopics = [\"b\"]\narchive = { path = \"{topic}/c={key}\", columns = { c = \
         \"string\" } }",
        &["\"c\" is a column of the files"],
    );
    check("archive = { time = \"now\" }", &["mapping.hello.archive.time", "\"arrival\""]);
    check("archive = { time = { field = \"a..b\" } }", &["archive.time.field"]);
    check("archive = { max_values = 0 }", &["0 is not between 1 and 100000"]);
    check("archive = { roll = { schedule = \"7m\" } }", &["divide a day"]);
    check("archive = { roll = { lateness = \"soon\" } }", &["not a duration"]);
}

#[test]
fn each_fault_names_its_key_and_says_what_to_do() {
    check("tpoics = 1", &["mapping.hello.tpoics", "did you mean \"topics\""]);
    check("archive = { path = \"{tpoic}\" }", &["mapping.hello.archive.path", "{tpoic}"]);
    check("archive = { path = \"../x\" }", &["not the name of a directory"]);
    check("archive = { path = \"_x\" }", &["readers skip"]);
    check(
        "archive = { path = \"{topic}/timestamp=%Y\" }",
        &["mapping.hello.archive.path", "\"timestamp\" is a column of the files"],
    );
    check("archive = { format = \"xml\" }", &["mapping.hello.archive.format", "\"parquet\""]);
    check(
        "archive = { roll = { size = \"12\" } }",
        &["mapping.hello.archive.roll.size", "too small"],
    );
    check("archive = { roll = { age = \"soon\" } }", &["not a duration"]);
    check("archive = { root = \"s3://x\" }", &["mapping.hello.archive.root", "hdfs://"]);
    check("start = \"yesterday\"", &["mapping.hello.start", "earliest"]);
    check("[mapping.b]\ntopics = [\"hello\"]", &["mapping.b.topics", "already in mapping.hello"]);
    check("[mapping.b]\ntopics_regex = \"(\"", &["mapping.b.topics_regex"]);
    check("[mapping.b]", &["mapping.b.topics: is missing"]);
    check("[mapping.b]\ntopics = [\"a b\"]", &["not a topic name"]);
    check(
        "[mapping.b]\ntopics = [\"b\"]\narchive = { path = \"hello/dt=%Y-%m-%d/hr=%H\" }",
        &["mapping.b.archive.path", "same directories as those of mapping.hello.archive.path"],
    );
    check("[mapping.b]\ntopics = [\"b\", \"c\"]\narchive = { path = \"x\" }", &["put {topic}"]);
    check(
        "[mapping.b]\ntopics = [\"b\"]\narchive = { user = \"b\", \
         hadoop = { \"dfs.client.socket-timeout\" = \"1\" } }",
        &[
            "mapping.b.archive.user: differs from mapping.hello.archive.user",
            "mapping.b.archive.hadoop: differs from mapping.hello.archive.hadoop",
        ],
    );
    check(
        "[mapping.hello.wordcount]\noutput_topic = \"o\"\narchive = { hadoop_conf_dir = \"/x\" }",
        &["mapping.hello.wordcount.archive.hadoop_conf_dir: differs from mapping.hello.archive"],
    );
    check("[mapping.b]\ntopics = [\"b\"]\narchive = false", &["neither archives nor counts"]);
    check("[mapping.hello.wordcount]", &["wordcount.output_topic: is missing"]);
    check("[mapping.hello.wordcount]\noutput_topic = \"hello\"", &["also a source"]);
    check(
        "[mapping.hello.wordcount]\noutput_topic = \"o\"\nwindow = \"2\"\nsplit = 3",
        &["wordcount.window", "wordcount.split"],
    );
    let count = |more: &str| format!("[mapping.hello.wordcount]\noutput_topic = \"o\"\n{more}");
    check(&count("by = \"line\""), &["wordcount.by", "\"key\""]);
    check(&count("by = { field = \"a..b\" }"), &["wordcount.by.field"]);
    check(&count("time = { field = \"ts\", unit = \"h\" }"), &["wordcount.time.unit"]);
    check(&count("time = \"now\""), &["wordcount.time:"]);
    check(
        &count("scope = \"partition\"\npatience = \"1h\""),
        &["wordcount.patience: has no meaning"],
    );
    check(&count("time = \"arrival\"\nout_of_order = \"1s\""), &["wordcount.out_of_order"]);
    check(&count("partials = { topic = \"o\" }"), &["wordcount.partials.topic", "is already"]);
    check(
        &count("partials = { topic = \"a b\" }"),
        &["wordcount.partials.topic", "not a topic name"],
    );
    check("[kafka.properties]\n\"isolation.level\" = \"read_uncommitted\"", &["can't be set"]);
    check("[kafka.properties]\n\"sasl.password\" = \"x\"", &["is a secret"]);
    check("[kafka.properties]\n\"linger\" = 1", &["nearest is \"linger.ms\""]);
    check(
        "[daemon]\nworkers = 0\nlisten = \"x\"\nmemory = \"1KB\"",
        &["daemon.workers", "daemon.listen", "daemon.memory"],
    );
    check("[demon]\nworkers = 1", &["demon: unknown key; did you mean \"daemon\"?"]);
    check("x = ", &["(syntax)"]);
}

#[test]
fn what_is_written_elsewhere_or_otherwise_is_told_with_an_example() {
    let quotes = |key: &str| format!("put the key in quotes: {key:?} = ");
    check("[kafka.properties]\nsecurity.protocol = \"ssl\"", &[&quotes("security.protocol")]);
    check("[kafka.secrets]\nsasl.password = { file = \"/p\" }", &[&quotes("sasl.password")]);
    check("format = \"text\"", &["hello.format: unknown key here; it belongs in [mapping.hello."]);
    let count = |more: &str| format!("[mapping.hello.wordcount]\noutput_topic = \"o\"\n{more}");
    check(&count("by = \"key\"\nsplit = \"space\""), &["only for by = \"word\""]);
    check(&count("window = 2"), &["must be a string such as \"2s\", not integer"]);
    check("start = \"latest\"\nstart = \"latest\"", &["duplicate key: start"]);
    for (servers, is_right) in [
        ("\"b1:9092, b2:9092\"", true),
        ("\"SSL://b1:9092\"", true),
        ("\"kafka://b1:9092\"", false),
        ("\"b1:9092;b2:9092\"", false),
        ("[\"b1:9092\"]", false),
    ] {
        let text = SMALL.replace("\"b:9092\"", servers);
        let told = Config::parse(&text, Some("i")).err().map(|f| f.to_string()).unwrap_or_default();
        let has_example = told.contains("kafka.bootstrap_servers") && told.contains("broker1:9092");
        assert!(if is_right { told.is_empty() } else { has_example }, "{servers}: {told}");
    }
}

/// What loads code or runs a shell is refused, also under keys that librdkafka has later.
#[test]
fn no_property_loads_code_or_runs_a_shell() {
    let property = |key: &str, value: &str| format!("[kafka.properties]\n{key:?} = {value:?}");
    for key in ["ssl.engine.location", "ssl.providers", "ssl_engine_callback_data"] {
        check(&property(key, "/tmp/x.so"), &["kafka.properties", key]);
    }
    for key in ["sasl.kerberos.kinit.cmd", "ssl.new.thing", "sasl.new.thing", "enable.ssl.x"] {
        check(&property(key, "x"), &["kafka.properties", key]);
    }
    for key in ["keytab", "principal", "min.time.before.relogin", "kinit.cmd"] {
        let key = format!("sasl.kerberos.{key}");
        check(&property(&key, "x"), &["kafka.properties", "a shell", "kafka.kerberos = {"]);
    }
    for (key, value) in [
        ("sasl.kerberos.service.name", "kafka"),
        ("ssl.ca.location", "/etc/ssl/our certs.pem"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("ssl.endpoint.identification.algorithm", "https"),
    ] {
        assert_eq!(faults(&property(key, value)), "");
    }
}

#[test]
fn what_would_lose_counts_or_run_foreign_code_is_a_fault() {
    let count = |more: &str| format!("[mapping.hello.wordcount]\noutput_topic = \"o\"\n{more}");
    check(
        &count("partials = { retention = \"1h\" }\npatience = \"45m\""),
        &["wordcount.partials.retention: is 1h, and must be at least 4053s"],
    );
    let small = "[kafka.properties]\n\"message.max.bytes\" = 8000";
    check(&format!("{}\n{small}", count("")), &["message.max.bytes", "is 8000", "up to 8192"]);
    check(&count("window = \"30d\""), &["wordcount.partials.retention: is 7d"]);
    assert_eq!(faults(&count("window = \"30d\"\npartials = { retention = \"46d\" }")), "");
    check("[mapping.hello.wordcount]\noutput_topic = \"o o\"", &["output_topic: \"o o\" is not"]);
    for key in ["ssl.engine.location", "ssl.providers", "sasl.kerberos.kinit.cmd"] {
        check(&format!("[kafka.properties]\n{key:?} = \"x\""), &[key, "can't be set"]);
    }
}

/// What is written once is wrong once, under the key that is written, however many mappings use it.
#[test]
fn a_fault_of_all_mappings_defaults_is_named_once() {
    let text = "[kafka]\nbootstrap_servers = \"b:9092\"\ngroup_id = \"g\"\n[archive]\n\
                root = \"s3://x\"\npath = \"{tpoic}\"\nformat = \"xml\"\n\
                [mapping.a]\ntopics = [\"a\"]\n[mapping.b]\ntopics = [\"b\"]\n";
    let faults = Config::parse(text, Some("i")).unwrap_err();
    let shown: Vec<(&str, Option<usize>)> =
        faults.0.iter().map(|f| (&*f.key, f.place.map(|p| p.line))).collect();
    assert_eq!(
        shown,
        [("archive.root", Some(5)), ("archive.path", Some(6)), ("archive.format", Some(7))]
    );
    let text = text.replace("format = \"xml\"", "codec = \"snapy\"");
    let shown = Config::parse(&text, Some("i")).unwrap_err().to_string();
    assert!(shown.contains("line 7, column 1: archive.codec: \"snapy\" is none"), "{shown}");
}

#[test]
fn faults_of_the_syntax_hide_no_others_and_have_their_places() {
    let text = SMALL.replace("topics =", "tpoics =") + "x = \n[kafka]\ny = [1\n";
    let faults = Config::parse(&text, Some("i")).unwrap_err();
    let shown = faults.to_string();
    assert!(shown.contains("line 8, column 1: mapping.hello.tpoics: unknown key"), "{shown}");
    assert!(shown.contains("line 9, column 5: (syntax)"), "{shown}");
    assert!(shown.contains("line 10, column 2: (syntax): duplicate key"), "{shown}");
    assert!(!shown.contains("is missing"), "{shown}");
    let lines: Vec<_> = faults.0.iter().map(|f| f.place.map(|p| p.line)).collect();
    assert!(lines.is_sorted(), "{lines:?}");
}

#[test]
fn all_faults_come_at_once() {
    let got = Config::parse("[kafka]\ngroup = 1\n[mapping.a]\nx = 1\n", None).unwrap_err();
    let keys: Vec<&str> = got.0.iter().map(|f| f.key.as_str()).collect();
    for want in [
        "kafka.bootstrap_servers",
        "kafka.group_id",
        "kafka.group",
        "mapping.a.topics",
        "mapping.a.x",
        "archive.root",
    ] {
        assert!(keys.contains(&want), "{want} not in {keys:?}");
    }
}

/// Entries carry the checksum as their `config`: another text of a setting would change it.
#[test]
fn the_fingerprint_of_settings_is_the_same_in_every_version() {
    let of = |archive: &str| {
        let text = format!("{SMALL}[mapping.b]\ntopics = [\"b\"]\n{archive}");
        let config = Config::parse(&text, Some("i")).unwrap();
        let mapping = config.mappings.iter().find(|m| m.name == "b").unwrap();
        mapping.archive.as_ref().unwrap().fingerprint.clone()
    };
    assert_eq!(of(""), "65543134");
    let lines = "archive = { path = \"{topic}/hr=%H\", timezone = \"Europe/Berlin\", \
                 format = \"jsonl\", key = \"bytes\" }";
    assert_eq!(of(lines), "924eec45");
    for (key, value, sum) in [
        ("auto", "bytes", "1503ebf1"),
        ("bytes", "auto", "8d98241f"),
        ("bytes", "bytes", "acdf0201"),
    ] {
        assert_eq!(of(&format!("archive = {{ key = \"{key}\", value = \"{value}\" }}")), sum);
    }
    let counts = |archive: &str| {
        let text = format!(
            "{SMALL}[mapping.b]\ntopics = [\"b\"]\n[mapping.b.wordcount]\noutput_topic = \"o\"\n\
             archive = {archive}"
        );
        let config = Config::parse(&text, Some("i")).unwrap();
        let mapping = config.mappings.iter().find(|m| m.name == "b").unwrap();
        mapping.count.as_ref().unwrap().archive.as_ref().unwrap().fingerprint.clone()
    };
    for (format, codec, raw, of_counts) in [
        ("parquet", "none", "11100b4e", "e8c97ba9"),
        ("parquet", "snappy", "ed6feee8", "f085604a"),
        ("parquet", "gzip", "518c0ffe", "39162e9c"),
        ("parquet", "zstd", "65543134", "6bede2af"),
        ("parquet", "lz4", "4895e698", "478c949f"),
        ("jsonl", "none", "2575b3e9", "eb47c149"),
        ("jsonl", "gzip", "65e9b759", "3a98947c"),
        ("jsonl", "zstd", "51318993", "6863584f"),
    ] {
        let archive = format!("{{ format = \"{format}\", codec = \"{codec}\" }}");
        assert_eq!(of(&format!("archive = {archive}")), raw, "{archive}");
        assert_eq!(counts(&archive), of_counts, "counts: {archive}");
    }
}

#[test]
fn a_secret_that_cannot_be_read_is_a_fault_for_clients_alone() {
    let secrets = "[kafka.secrets]\n\"sasl.password\" = { file = \"/no/such/file\" }\n\
                   \"ssl.key.password\" = { credential = \"of-the-unit\" }\n";
    let text = format!(
        "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n{secrets}[archive]\n\
         root = \"file:///x\"\n[mapping.m]\ntopics = [\"t\"]\n"
    );
    let kafka = Config::parse(&text, Some("i")).unwrap_or_else(|e| panic!("{e}")).kafka;
    let unreadable: Vec<String> = kafka.unreadable.iter().map(ToString::to_string).collect();
    assert_eq!(unreadable.len(), 2, "{unreadable:?}");
    assert!(unreadable[0].contains("can't read /no/such/file"), "{unreadable:?}");
    assert!(unreadable[1].contains("LoadCredential=of-the-unit:FILE"), "{unreadable:?}");
}

#[test]
fn numbers_beyond_what_there_is_are_faults() {
    check(
        "archive = { roll = { size = \"99999999999999999999TiB\" } }",
        &["mapping.hello.archive.roll.size", "too large"],
    );
    check("[daemon]\nmemory = \"1e30GiB\"", &["daemon.memory"]);
    for root in ["hdfs://n:99999/x", "hdfs://n:/x", "hdfs://:8020/x", "hdfs://u@n/x"] {
        check(&format!("archive = {{ root = {root:?} }}"), &["mapping.hello.archive.root", root]);
    }
}

#[test]
fn a_login_that_could_never_work_is_a_fault() {
    let bearer = "[kafka.properties]\n\"security.protocol\" = \"sasl_ssl\"\n\"sasl.mechanism\" = \
                  \"OAUTHBEARER\"\n";
    let missing = ["method", "token.endpoint.url", "client.id", "client.secret"];
    let missing = missing.map(|key| format!("sasl.oauthbearer.{key}\": is missing"));
    check(bearer, &missing.each_ref().map(String::as_str));
    check(
        &format!(
            "{bearer}\"sasl.oauthbearer.method\" = \"default\"\n\
             \"sasl.oauthbearer.token.endpoint.url\" = \"idp\""
        ),
        &["write \"oidc\"", "not an address of https"],
    );
    let url = "\"sasl.oauthbearer.token.endpoint.url\" = \"https://me:hidden@idp/token\"";
    let said = faults(&format!("{bearer}{url}"));
    assert!(said.contains("has a user or a password before the @"), "{said}");
    assert!(!said.contains("hidden"), "{said}");
    check(
        "[kafka.secrets]\n\"sasl.password\" = { credential = \"../../x\" }",
        &["kafka.secrets.\"sasl.password\"", "no name of a systemd credential"],
    );
    let scram = "\"security.protocol\" = \"sasl_ssl\"\n\"sasl.mechanism\" = \"SCRAM-SHA-512\"\n";
    check(
        &format!("[kafka.properties]\n{scram}\"sasl.oauthbearer.client.id\" = \"a\""),
        &["sasl.oauthbearer.client.id", "= \"OAUTHBEARER\" alone"],
    );
    let kerberos = "[kafka.kerberos]\nprincipal = \"a@B\"\n";
    check(kerberos, &["kafka.kerberos: has a meaning with GSSAPI alone", "needs a keytab, or"]);
    check(&format!("{kerberos}keytab = \"/k\"\n[kafka.properties]\n{scram}"), &["GSSAPI alone"]);
    let cache = "cache = \"/run/c\"\n[kafka.properties]\n\"security.protocol\" = \"sasl_ssl\"\n";
    assert_eq!(faults(&format!("{kerberos}{cache}")), "");
    let root = "[mapping.b]\ntopics = [\"b\"]\narchive = { root = \"hdfs://n/b\", kerberos = { \
                principal = \"c@B\", cache = \"FILE:/run/c\" } }";
    check(
        &format!("{kerberos}{cache}{root}"),
        &["kafka.kerberos.cache: is also the cache of c@B", "another one for a@B"],
    );
}

#[test]
fn secrets_that_everybody_can_read_are_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "x").unwrap();
    let text = format!(
        "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[kafka.secrets]\n\
         \"sasl.password\" = {{ file = {file:?} }}\n[archive]\nroot = \"file:///x\"\n\
         [mapping.m]\ntopics = [\"t\"]\n"
    );
    let kafka = Config::parse(&text, Some("i")).unwrap().kafka;
    for (mode, exposed) in [(0o604, 1), (0o600, 0), (0o640, 0)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(kafka.exposed().len(), exposed, "{mode:o}");
    }
}

#[test]
fn a_login_at_the_listener_is_whole() {
    check("[daemon]\nweb_config = \"web.yml\"", &["daemon.web_config", "absolute path"]);
    check("[daemon]\nlogin = { user = \"a\" }", &["daemon.login.password: is missing"]);
    let password = "password = { file = \"/no/such/file\" }";
    check(&format!("[daemon]\nlogin = {{ {password} }}"), &["daemon.login.user: is missing"]);
    check(
        "[daemon]\nlogin = { user = \"a\", password = \"in the clear\" }",
        &["daemon.login.password: must be { file"],
    );
    check("[daemon]\nlogin = { certificate = \"/c\" }", &["daemon.login.key: is missing"]);
    check("[daemon]\nlogin = { certificat = \"/c\" }", &["did you mean \"certificate\"?"]);
    let text = format!(
        "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\nroot = \"file:///x\"\n\
         [mapping.m]\ntopics = [\"t\"]\n[daemon]\nweb_config = \"/etc/web.yml\"\nlogin = {{ user = \
         \"ops\", {password} }}\n"
    );
    let daemon = Config::parse(&text, Some("i")).unwrap_or_else(|e| panic!("{e}")).daemon;
    let login = daemon.login.unwrap();
    assert!(login.unreadable[0].to_string().contains("can't read /no/such/file"));
    assert_eq!((login.user.as_deref(), login.password), (Some("ops"), None));
}

#[test]
fn settings_that_switch_protection_off_are_warned_of() {
    for (properties, words) in [
        ("\"enable.ssl.certificate.verification\" = false", "not verified"),
        ("\"ssl.endpoint.identification.algorithm\" = \"none\"", "not compared"),
        ("\"sasl.mechanism\" = \"SCRAM-SHA-512\"", "nobody logs in"),
        (
            "\"security.protocol\" = \"SASL_PLAINTEXT\"\n\"sasl.mechanism\" = \"PLAIN\"",
            "in the clear",
        ),
        ("\"security.protocol\" = \"sasl_ssl\"\n\"sasl.mechanism\" = \"PLAIN\"", ""),
        ("\"security.protocol\" = \"ssl\"", ""),
    ] {
        let text = format!(
            "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[kafka.properties]\n\
             {properties}\n[archive]\nroot = \"file:///d\"\n[mapping.m]\ntopics = [\"t\"]\n"
        );
        let warnings = Config::parse(&text, None).expect("no faults").kafka.exposed().join("\n");
        let found = if words.is_empty() { warnings.is_empty() } else { warnings.contains(words) };
        assert!(found, "{properties}: {warnings}");
    }
}
