//! Trino reads the tables of `alluvium ddl`, where `testbed/setup trino` has set it up: an old
//! version and a newer one, each a server of one node that a scenario starts for itself.

use std::path::Path;
use std::process::Command;

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Map, Value};

use super::awkward::COMMON;
use super::readers::{OF_ENGINES, python};
use super::unfit::{RECORDS, of_good};
use crate::support::{Cluster, alluvium, free_port};

const VERSIONS: [&str; 2] = ["368", "476"];

/// A server takes more than one core while it starts.
static ONE: Mutex<()> = Mutex::new(());

/// A session, by the protocol of Trino's clients. The first two arguments are the server's URL and
/// its version.
const CLIENT: &str = r#"
import json, sys, time, urllib.parse, urllib.request
url, version = sys.argv[1:3]

class Trino:
    def __init__(self):
        self.session = {}
        self.run("create schema if not exists hive.default")

    def run(self, sql):
        for _ in range(150):
            rows, fault = self.rows(sql)
            if fault is None:
                return rows
            # So it says for some seconds after it has said that it has started.
            assert "No nodes available" in fault, f"{fault}: {sql}"
            time.sleep(0.2)
        raise AssertionError(f"{fault}: {sql}")

    def rows(self, sql):
        settings = (f"{name}={urllib.parse.quote(v)}" for name, v in self.session.items())
        headers = {"X-Trino-User": "alluvium", "X-Trino-Time-Zone": "UTC",
                   "X-Trino-Client-Capabilities": "PARAMETRIC_DATETIME",
                   "X-Trino-Session": ",".join(settings)}
        request, rows = urllib.request.Request(url + "/v1/statement", sql.encode(), headers), []
        while True:
            with urllib.request.urlopen(request) as answer:
                for setting in answer.headers.get_all("X-Trino-Set-Session") or []:
                    name, _, value = setting.partition("=")
                    self.session[name] = urllib.parse.unquote(value)
                page = json.load(answer)
            if "error" in page:
                return [], page["error"]["message"]
            rows += page.get("data", [])
            if "nextUri" not in page:
                return rows, None
            request = urllib.request.Request(page["nextUri"], headers=headers)

    def statements(self, text):
        """What `alluvium ddl` prints."""
        for statement in text.split(";\n"):
            lines = [l for l in statement.splitlines() if l and not l.startswith("--")]
            if lines:
                self.run("\n".join(lines).removesuffix(";"))

# What the statements say themselves of this version.
def is_denied(statements):
    remarks = ("which Trino 476 reads, and 368 does not", "Trino has this format since version 409",
               "Trino 476 has this format, and 368 does not")
    return version == "368" and any(remark in statements for remark in remarks)
"#;

/// Of each three arguments: the statements of a table `x`, the question, and the answer.
const ANSWERS: &str = r#"
for statements, select, want in zip(sys.argv[3::3], sys.argv[4::3], sys.argv[5::3]):
    trino = Trino()
    trino.run("drop table if exists hive.default.x")
    try:
        trino.statements(statements)
        got = "|".join(str(v) for v in trino.run(select)[0])
    except AssertionError as e:
        got = f"refused: {e}"
    if is_denied(statements):
        assert got.startswith("refused: "), f"{got}, by {statements}"
    else:
        assert got == want, f"{select}: {got}, and not {want}, by {statements}"
print("Trino", version, "has read all")
"#;

/// The rows of each table `x`, byte by byte. The arguments are files: what is expected, and the
/// statements, both by the name of the topic.
const BYTES: &str = r#"
expected, tables = json.load(open(sys.argv[3])), json.load(open(sys.argv[4]))

def typed(row):
    """A row of Parquet or Avro: bytes come in Base64, and times as text."""
    row = with_bytes(row)
    if isinstance(row["timestamp"], str):
        row["timestamp"] = datetime.datetime.fromisoformat(row["timestamp"])
    return row

def line(row):
    names = ("key", "key_bytes", "value", "value_bytes")
    row["headers"] = [dict(zip(names, header)) for header in row["headers"]]
    return row

read = 0
for topic, statements in tables.items():
    if is_denied(statements):
        continue
    trino = Trino()
    trino.run("drop table if exists hive.default.x")
    trino.statements(statements)
    columns = trino.run("show columns from hive.default.x")
    kinds = {column[0]: column[1] for column in columns}
    rows = [dict(zip(kinds, row)) for row in trino.run("select * from hive.default.x")]
    if "offset" not in kinds:
        same_lines(rows, expected[topic])
    elif kinds["timestamp"] == "varchar":
        same(f"trino {topic}", [of_line(line(row)) for row in rows], expected[topic])
    else:
        same(f"trino {topic}", [of_columns(typed(row)) for row in rows], expected[topic])
    read += 1
assert read == len(tables) - (version == "368"), read
print("Trino", version, "has read all bytes of", read, "topics")
"#;

/// The statements of the first argument, and then the question of the second one.
const QUESTION: &str = r#"
trino = Trino()
trino.run("drop table if exists hive.default.orders")
trino.statements(sys.argv[3])
for row in trino.run(sys.argv[4].strip().removesuffix(";")):
    print(*row)
"#;

/// A server that ends with it.
pub(super) struct Trino<'a> {
    cluster: &'a Cluster,
    version: &'static str,
    url: String,
    _alone: MutexGuard<'static, ()>,
}

impl Drop for Trino<'_> {
    fn drop(&mut self) {
        let _ = self.cluster.pipe(&["stop", "trino"], "");
    }
}

impl<'a> Trino<'a> {
    fn start(cluster: &'a Cluster, version: &'static str) -> Trino<'a> {
        let alone = ONE.lock();
        let port = free_port().to_string();
        let url = format!("http://127.0.0.1:{port}");
        let trino = Trino { cluster, version, url, _alone: alone };
        let _ = cluster.run(&["trino", version, &port]);
        trino
    }

    /// What a script prints; or what was wrong.
    fn run(&self, script: &str, arguments: &[&str]) -> Result<String, String> {
        let script = format!("{CLIENT}{script}");
        let ran = Command::new(python())
            .args(["-c", &script, &self.url, self.version])
            .args(arguments)
            .output()
            .unwrap_or_else(|e| panic!("{} (testbed/setup python): {e}", python().display()));
        let [said, error] =
            [&ran.stdout, &ran.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        if ran.status.success() { Ok(said) } else { Err(format!("{said}\n{error}")) }
    }

    /// A question about a table `orders`, by the statements that make it.
    pub(super) fn ask(&self, statements: &str, question: &str) -> Result<String, String> {
        self.run(QUESTION, &[statements, question])
    }
}

/// Each version in turn; none where nobody has asked for them (`make prove`).
pub(super) fn trinos(cluster: &Cluster) -> impl Iterator<Item = Trino<'_>> {
    let are_wanted = std::env::var_os("ALLUVIUM_TRINO").is_some();
    let versions = VERSIONS.into_iter().filter(move |_| are_wanted);
    versions.map(move |version| Trino::start(cluster, version))
}

/// The arguments of `alluvium ddl`, the question about the table `hive.default.x`, and the answer.
pub(super) type Asked<'a> = (&'a [&'a str], &'a str, String);

/// Each version makes these tables, and gives these answers.
pub(super) fn trino_answers(cluster: &Cluster, config: &str, all: &[Asked<'_>]) {
    for trino in trinos(cluster) {
        let mut arguments = Vec::new();
        for (of, select, want) in all {
            let more = ["--engine", "trino", "--table", "x", "--config", config];
            let (code, said) = alluvium(&[&["ddl"], *of, &more].concat());
            assert_eq!(code, 0, "{said}");
            arguments.extend([said, (*select).to_string(), want.clone()]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let said = trino.run(ANSWERS, &arguments).unwrap_or_else(|fault| panic!("{fault}"));
        println!("{}", said.trim_end());
    }
}

/// Every byte of the topics of [`super::awkward`]: files of what is expected, and the statements of
/// tables.
pub(super) fn trino_reads_bytes(
    cluster: &Cluster,
    home: &Path,
    expected: &Path,
    table: &dyn Fn(&str) -> Value,
) {
    for trino in trinos(cluster) {
        let mut tables = Map::new();
        for mapping in ["parquet", "appended", "hive", "avro", "jsonl", "text"] {
            let _ = tables.insert(format!("awkward-{mapping}"), table(mapping));
        }
        let file = home.join("tables-of-trino.json");
        std::fs::write(&file, Value::Object(tables).to_string()).unwrap();
        let arguments = [expected.to_str().unwrap(), file.to_str().unwrap()];
        let said = trino.run(&format!("{COMMON}{OF_ENGINES}{BYTES}"), &arguments);
        println!("{}", said.unwrap_or_else(|fault| panic!("{fault}")).trim_end());
    }
}

/// The tables of [`super::unfit`]: declared columns, bad records, counts, and values as JSON.
pub(super) fn trino_reads_columns(cluster: &Cluster, config: &str) {
    let (sum, price) = (of_good(|n| n), of_good(|n| n % 100 * 100 + 25));
    let price = format!("{}.{:02}", price / 100, price % 100);
    let good = 2 * RECORDS - 2 * RECORDS / 20;
    let all: [Asked<'_>; 6] = [
        (
            &["unfit"],
            "select count(n), sum(http_status), cast(max(day) as varchar), cast(max(at) as \
             varchar), sum(price), count(value), count(distinct dt || hr) from hive.default.x",
            format!("{good}|{}|2026-11-28|2026-11-22 17:03:03.998000|{price}|{good}|1", good * 200),
        ),
        (
            &["unfit", "--quarantine"],
            "select count(error), count(distinct error) > 5, min(dt) from hive.default.x",
            "200|True|2026-11-22".into(),
        ),
        (
            &["unfit", "--counts"],
            "select sum(\"count\") > 4000, count(dt) > 0, min(window_start) > timestamp \
             '2026-11-22 17:00:00' from hive.default.x",
            "True|True|True".into(),
        ),
        // The same in JSON lines.
        (
            &["typed"],
            "select count(*), count(distinct \"offset\" * 2 + \"partition\"), sum(n), sum(price), \
             max(http_status), cast(min(day) as varchar), max(at), \
             count(json_extract_scalar(tags, '$[0]')) from hive.default.x",
            format!(
                "{good}|{good}|{sum}|{price}|200|2026-11-01|2026-11-22T17:03:03.998000Z|{good}"
            ),
        ),
        (
            &["typed", "--quarantine"],
            "select count(error), min(dt) from hive.default.x",
            "200|2026-11-22".into(),
        ),
        (
            &["nested"],
            "select count(*), sum(cast(json_extract_scalar(value, '$.n') as integer)), \
             count(\"offset\") from hive.default.x",
            "1800|1800|1800".into(),
        ),
    ];
    trino_answers(cluster, config, &all);
}
