//! The table of rooms.

/// A room: its path below `src`, what it is for, and the rooms that it may import. A room imports
/// only rooms that stand above it in this table, so there are no circles.
pub(crate) const ROOMS: &[(&str, &str, &[&str])] = &[
    ("pure/record", "the nouns: record, offset, partition", &[]),
    ("pure/fault", "faults that tests plant into the rules", &[]),
    ("pure/json", "pieces of JSON as text", &[]),
    ("pure/avro", "schemas and values of Avro, as messages have them", &["pure/json"]),
    ("pure/calendar", "times as text, and back", &[]),
    ("pure/duration", "lengths of time as people write them", &[]),
    ("pure/field_path", "where a field lies in a JSON value", &[]),
    ("pure/json_schema", "a JSON Schema as the properties of one object", &[]),
    (
        "pure/protobuf",
        "schemas and messages of Protobuf, as records have them",
        &["pure/calendar", "pure/json"],
    ),
    ("pure/field", "one field of a JSON value", &["pure/field_path", "pure/json"]),
    (
        "pure/record_time",
        "which time of a record counts",
        &["pure/calendar", "pure/field", "pure/field_path", "pure/record"],
    ),
    ("pure/formats", "what is written down and read again, one file a format", &["pure/record"]),
    (
        "pure/protocol",
        "the rules of exactly once, and the machine of one partition",
        &["pure/fault", "pure/formats", "pure/record"],
    ),
    (
        "pure/layout",
        "names, paths, rows, and rules for rolling",
        &[
            "pure/avro",
            "pure/calendar",
            "pure/duration",
            "pure/field",
            "pure/field_path",
            "pure/formats",
            "pure/json",
            "pure/json_schema",
            "pure/protobuf",
            "pure/record",
        ],
    ),
    (
        "pure/count",
        "words, windows and sums",
        &[
            "pure/calendar",
            "pure/fault",
            "pure/field",
            "pure/field_path",
            "pure/formats",
            "pure/record",
            "pure/record_time",
        ],
    ),
    ("common/clock", "the clocks, read in one place", &[]),
    ("common/crash", "the steps at which a variable lets a process die", &[]),
    ("common/deadlines", "timeouts that depend on each other", &[]),
    ("common/files", "files that somebody else has written", &[]),
    ("common/schemas", "the schemas that are known by now", &["pure/layout"]),
    (
        "common/config",
        "TOML into checked values",
        &[
            "common/deadlines",
            "common/files",
            "common/schemas",
            "pure/count",
            "pure/duration",
            "pure/field_path",
            "pure/layout",
            "pure/protocol",
            "pure/record_time",
        ],
    ),
    ("common/metrics", "the series that Prometheus reads", &["pure/layout", "pure/record"]),
    ("common/retry", "how a call is tried again", &[]),
    ("common/spawn", "tasks and jobs that do not die unheard", &[]),
    ("common/status", "what people are told: data", &[]),
    ("common/health", "what fails since when, and what is said of it", &[]),
    (
        "clients/encode",
        "records into the bytes of a file",
        &["pure/avro", "pure/calendar", "pure/count", "pure/layout", "pure/record"],
    ),
    ("clients/http", "the client of HTTP, and its TLS", &["common/config", "common/files"]),
    (
        "clients/registry",
        "the only room that asks a registry of schemas",
        &["clients/http", "common/config", "pure/formats"],
    ),
    (
        "clients/kerberos",
        "MIT's library of Kerberos: identity, tickets, and a silent KDC",
        &["common/config", "common/spawn", "pure/calendar"],
    ),
    (
        "clients/kafka",
        "the only room that knows librdkafka",
        &[
            "clients/kerberos",
            "common/config",
            "common/crash",
            "common/deadlines",
            "common/files",
            "common/retry",
            "common/spawn",
            "pure/calendar",
            "pure/formats",
            "pure/protocol",
            "pure/record",
        ],
    ),
    (
        "clients/store",
        "the only room that knows HDFS and local files",
        &["clients/kerberos", "common/config", "common/deadlines", "common/files", "common/spawn"],
    ),
    (
        "engine/topics",
        "what each topic is for",
        &["clients/kafka", "clients/store", "common/config", "pure/protocol", "pure/record"],
    ),
    (
        "engine/archive",
        "the ledger, its task, its files and its listing",
        &[
            "engine/topics",
            "clients/encode",
            "clients/store",
            "common/clock",
            "common/config",
            "common/crash",
            "common/retry",
            "common/spawn",
            "pure/fault",
            "pure/formats",
            "pure/layout",
            "pure/protocol",
            "pure/record",
        ],
    ),
    (
        "engine/results",
        "counts, merges, and what is published of them",
        &[
            "engine/topics",
            "clients/kafka",
            "common/clock",
            "common/config",
            "pure/count",
            "pure/formats",
            "pure/protocol",
            "pure/record",
        ],
    ),
    (
        "engine/schemas",
        "how the schema of an id comes to be known",
        &[
            "clients/registry",
            "clients/store",
            "common/clock",
            "common/health",
            "common/metrics",
            "common/schemas",
            "common/spawn",
            "pure/formats",
            "pure/layout",
        ],
    ),
    (
        "engine/worker",
        "threads that carry records",
        &[
            "engine/archive",
            "engine/results",
            "engine/schemas",
            "engine/topics",
            "clients/kafka",
            "clients/registry",
            "clients/store",
            "common/clock",
            "common/config",
            "common/crash",
            "common/deadlines",
            "common/health",
            "common/metrics",
            "common/retry",
            "common/spawn",
            "common/status",
            "pure/layout",
            "pure/protocol",
            "pure/record",
        ],
    ),
    (
        "outside/audit",
        "reads an archive back, changing nothing; tries what a daemon needs",
        &[
            "engine/archive",
            "engine/topics",
            "clients/kafka",
            "clients/kerberos",
            "clients/registry",
            "clients/store",
            "common/config",
            "common/spawn",
            "pure/avro",
            "pure/calendar",
            "pure/count",
            "pure/json",
            "pure/layout",
            "pure/protocol",
            "pure/record",
        ],
    ),
    (
        "outside/web",
        "TLS and passwords of the listener, at both ends",
        &["clients/http", "common/config", "common/files", "common/spawn"],
    ),
    (
        "outside/daemon",
        "the life of the process",
        &[
            "outside/web",
            "engine/archive",
            "engine/topics",
            "engine/worker",
            "clients/kafka",
            "clients/kerberos",
            "clients/registry",
            "clients/store",
            "common/clock",
            "common/config",
            "common/deadlines",
            "common/files",
            "common/health",
            "common/metrics",
            "common/retry",
            "common/spawn",
            "common/status",
            "pure/layout",
            "pure/record",
        ],
    ),
    (
        "outside/cli",
        "arguments, answers and exit codes",
        &[
            "outside/audit",
            "outside/daemon",
            "outside/web",
            "engine/archive",
            "clients/kafka",
            "clients/kerberos",
            "clients/registry",
            "clients/store",
            "common/config",
            "common/crash",
            "common/files",
            "common/health",
            "common/status",
            "pure/calendar",
            "pure/count",
            "pure/duration",
            "pure/formats",
            "pure/layout",
            "pure/protocol",
            "pure/record",
        ],
    ),
];

/// The rooms that ARCHITECTURE's table does not have, and those that it alone has.
fn unnamed(page: &str, rooms: &[(&str, &str, &[&str])]) -> Vec<String> {
    let mut floor = "";
    let mut named = Vec::new();
    for row in page.lines().filter(|line| line.starts_with('|')) {
        let mut cells = row.split('|').skip(1).map(str::trim);
        let (first, second) = (cells.next().unwrap_or(""), cells.next().unwrap_or(""));
        if first.ends_with("/`") {
            floor = first.trim_matches('`');
        }
        let files = second.split(',').map(|name| name.trim().trim_matches('`'));
        let files = files.filter(|name| name.ends_with(".rs") || name.ends_with('/'));
        let files = files.map(|name| name.trim_end_matches(".rs").trim_end_matches('/'));
        named.extend(files.map(|name| format!("{floor}{name}")));
    }
    let rooms: Vec<String> = rooms.iter().map(|(room, ..)| (*room).to_string()).collect();
    let missing = rooms.iter().filter(|room| !named.contains(room));
    missing.chain(named.iter().filter(|name| !rooms.contains(name))).cloned().collect()
}

#[test]
fn the_architecture_names_every_room() {
    let page = crate::source::read("ARCHITECTURE.md");
    assert_eq!(unnamed(&page, ROOMS), Vec::<String>::new());
    let small =
        "| floor | room |\n| `pure/` | `a/` |\n| | `b.rs`, `c.rs` |\n| `engine/` | `d/` |\n";
    let rooms: [(&str, &str, &[&str]); 4] =
        [("pure/a", "", &[]), ("pure/c", "", &[]), ("engine/d", "", &[]), ("pure/d", "", &[])];
    // `pure/b` is in the table alone.
    assert_eq!(unnamed(small, &rooms), ["pure/d", "pure/b"]);
}
