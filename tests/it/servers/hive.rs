//! Hive runs the statements of `alluvium ddl` and reads their tables, where `testbed/setup hive`
//! has set it up: an old version and a newer one, each a process with a metastore of its own. The
//! old one runs no jobs on Java 17, so questions are such that need none.

use std::path::Path;
use std::process::Command;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::awkward::COMMON;
use super::readers::{OF_ENGINES, python};
use super::unfit::{RECORDS, of_good};
use crate::support::{Cluster, alluvium};

const VERSIONS: [&str; 2] = ["3.1.3", "4.0.1"];

/// A process takes more than one core while it starts.
static ONE: Mutex<()> = Mutex::new(());

/// The first argument of each script is the version, and the second one a file with what Hive has
/// answered.
const DENIED: &str = r#"
import json, sys
version, told = sys.argv[1], json.load(open(sys.argv[2]))

# What the statements say themselves of this version.
def is_denied(statements, select):
    statements = " ".join(statements.replace("\n--", " ").split())
    remarks = ["which Hive reads only where the native library"]
    if version == "3.1.3":
        remarks += ["which Hive 3 reads only where", "which Hive 4 reads, and Hive 3",
                    "Hive 3 finds no rows"]
        remarks += ["Hive 3 fails at decimals"] if "price" in select else []
    return any(remark in statements for remark in remarks)
"#;

/// Each answer is compared as text: what an expression makes of the rows.
const ANSWERS: &str = r#"
for one in told:
    answer = one["answer"]
    got = "refused: " + answer["why"] if "why" in answer else \
        "|".join(map(str, eval(f"[{one['expression']}]", {"rows": answer["rows"]})))
    if is_denied(one["statements"], one["select"]):
        assert got != one["want"], f"{got}, by {one['statements']}"
    else:
        assert got == one["want"], f"{got}, and not {one['want']}, by {one['statements']}"
print("Hive", version, "has read all")
"#;

/// The rows of each table byte by byte; the third argument is a file of what is expected.
const BYTES: &str = r#"
expected = json.load(open(sys.argv[3]))

def line(row):
    names = ("key", "key_bytes", "value", "value_bytes")
    row["headers"] = [dict(zip(names, header)) for header in row["headers"] or []]
    return row

read = 0
for one in told:
    topic, answer = one["topic"], one["answer"]
    if is_denied(one["statements"], "*"):
        assert "why" in answer, f"{topic} was read by {one['statements']}"
        continue
    assert "why" not in answer, answer
    rows = [dict(zip(answer["columns"], row)) for row in answer["rows"]]
    if "offset" not in answer["columns"]:
        same_lines(rows, expected[topic])
    elif "timestamp_ms" in answer["columns"]:
        same(f"hive {topic}", [of_columns(with_bytes(row)) for row in rows], expected[topic])
    else:
        same(f"hive {topic}", [of_line(line(row)) for row in rows], expected[topic])
    read += 1
assert 4 <= read, read
print("Hive", version, "has read all bytes of", read, "topics")
"#;

/// A version.
pub(super) struct Hive<'a> {
    cluster: &'a Cluster,
    version: &'static str,
}

impl Hive<'_> {
    /// What Hive answers to these statements: a line of JSON for each `SELECT`, and one for each
    /// statement that has failed.
    fn lines(&self, statements: &str) -> Vec<Value> {
        let _alone = ONE.lock();
        let place = self.cluster.home("hive").join(self.version);
        let _ = std::fs::remove_dir_all(&place);
        let run = ["run-by-hive", self.version, place.to_str().unwrap()];
        let said = self.cluster.pipe(&run, statements);
        let lines = said.lines().filter(|line| line.starts_with("{\""));
        lines.map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
    }

    /// The answers to these questions, each by the statements of a table `x`. Where a statement of
    /// them fails, that is the answer.
    fn answers(&self, asked: &[(String, &str)]) -> Vec<Value> {
        let all = asked.iter().map(|(statements, select)| {
            assert!(select.starts_with("SELECT "), "{select}");
            format!("DROP TABLE IF EXISTS x;\n{statements}\n{select};\n")
        });
        let (mut answers, mut fault) = (Vec::new(), None);
        for line in self.lines(&all.collect::<String>()) {
            let is_of_table = |failed: &str| !failed.starts_with("SELECT ");
            if line["failed"].as_str().is_some_and(is_of_table) {
                fault = fault.or(Some(line));
            } else {
                answers.push(fault.take().unwrap_or(line));
            }
        }
        assert_eq!(answers.len(), asked.len(), "Hive {}: {answers:?}", self.version);
        answers
    }

    /// Runs a script about what Hive has answered.
    fn judge(&self, home: &Path, script: &str, told: &[Value], more: &[&Path]) {
        let file = home.join(format!("told-by-hive-{}.json", self.version));
        std::fs::write(&file, Value::from(told).to_string()).unwrap();
        let ran = Command::new(python())
            .args(["-c", script, self.version])
            .arg(&file)
            .args(more)
            .output()
            .unwrap_or_else(|e| panic!("{} (testbed/setup python): {e}", python().display()));
        let [said, error] =
            [&ran.stdout, &ran.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert!(ran.status.success(), "Hive {}: {said}\n{error}", self.version);
        println!("{}", said.trim_end());
    }

    /// What a question of the manual prints, by the statements that make its table: the cells of a
    /// row on one line.
    pub(super) fn ask(&self, statements: &str, question: &str) -> Result<String, String> {
        let lines = self.lines(&format!("{statements}\n{question}\n"));
        match lines.as_slice() {
            [answer] if answer["rows"].is_array() => Ok(answer["rows"].to_string()),
            lines => Err(format!("Hive {}: {lines:?}", self.version)),
        }
    }

    /// Whether it runs jobs, which sums need.
    pub(super) fn has_jobs(&self) -> bool {
        self.version != "3.1.3"
    }
}

/// Each version in turn; none where nobody has asked for them (`make prove`).
pub(super) fn hives(cluster: &Cluster) -> impl Iterator<Item = Hive<'_>> {
    let are_wanted = std::env::var_os("ALLUVIUM_HIVE").is_some();
    let versions = VERSIONS.into_iter().filter(move |_| are_wanted);
    versions.map(move |version| Hive { cluster, version })
}

/// The arguments of `alluvium ddl`, the question about the table `x`, an expression of Python about
/// the `rows` of the answer, and what it is.
pub(super) type AskedOfHive<'a> = (&'a [&'a str], &'a str, &'a str, String);

/// Each version makes these tables, and gives these answers.
pub(super) fn hive_answers(cluster: &Cluster, home: &Path, all: &[AskedOfHive<'_>]) {
    let config = home.join("a.toml");
    for hive in hives(cluster) {
        let asked = all.iter().map(|(of, select, ..)| {
            let config = config.to_str().unwrap();
            let more = ["--engine", "hive", "--table", "x", "--config", config];
            let (code, said) = alluvium(&[&["ddl"], *of, &more].concat());
            assert_eq!(code, 0, "{said}");
            (said, *select)
        });
        let asked: Vec<(String, &str)> = asked.collect();
        let answers = hive.answers(&asked);
        let told = all.iter().zip(&asked).zip(answers).map(|((one, (statements, _)), answer)| {
            let (_, select, expression, want) = one;
            json!({
                "statements": statements, "select": select, "expression": expression,
                "want": want, "answer": answer,
            })
        });
        let told: Vec<Value> = told.collect();
        hive.judge(home, &format!("{DENIED}{ANSWERS}"), &told, &[]);
    }
}

/// Every byte of the topics of [`super::awkward`]: a file of what is expected, and the statements
/// of tables.
pub(super) fn hive_reads_bytes(
    cluster: &Cluster,
    home: &Path,
    expected: &Path,
    table: &dyn Fn(&str) -> Value,
) {
    for hive in hives(cluster) {
        let mappings = ["parquet", "appended", "hive", "avro", "jsonl", "text"];
        let asked = mappings.map(|m| (table(m).as_str().unwrap().to_string(), "SELECT * FROM x"));
        let answers = hive.answers(&asked);
        let told = mappings.iter().zip(&asked).zip(answers).map(|((name, (said, _)), answer)| {
            let mut one = Map::new();
            let _ = one.insert("topic".into(), format!("awkward-{name}").into());
            let _ = one.insert("statements".into(), said.as_str().into());
            let _ = one.insert("answer".into(), answer);
            Value::Object(one)
        });
        let told: Vec<Value> = told.collect();
        hive.judge(home, &format!("{COMMON}{OF_ENGINES}{DENIED}{BYTES}"), &told, &[expected]);
    }
}

/// The tables of [`super::unfit`]: declared columns, bad records, counts, and values as JSON.
pub(super) fn hive_reads_columns(cluster: &Cluster, home: &Path) {
    let (sum, price) = (of_good(|n| n), of_good(|n| n % 100 * 100 + 25));
    let price = format!("{}.{:02}", price / 100, price % 100);
    let good = 2 * RECORDS - 2 * RECORDS / 20;
    let last = (1_795_366_982_000 + RECORDS - 2) * 1_000;
    let all: [AskedOfHive<'_>; 6] = [
        (
            &["unfit"],
            "SELECT `offset`, `partition`, n, http_status, `day`, `at`, value, dt, hr, ratio \
             FROM x",
            "len(rows), len({tuple(r[:2]) for r in rows}), sum(r[2] for r in rows), \
             max(r[3] for r in rows), min(r[4] for r in rows), max(r[5] for r in rows), \
             sum(r[6] is not None for r in rows), len({(r[7], r[8]) for r in rows}), \
             max(r[9] for r in rows)",
            format!("{good}|{good}|{sum}|200|2026-11-01|{last}|{good}|1|0.5"),
        ),
        (
            &["unfit"],
            "SELECT price FROM x",
            "'%.2f' % (sum(round(float(r[0]) * 100) for r in rows) / 100)",
            price.clone(),
        ),
        (
            &["unfit", "--quarantine"],
            "SELECT error, dt FROM x",
            "len(rows), len({r[0] for r in rows}) > 5, min(r[1] for r in rows)",
            "200|True|2026-11-22".into(),
        ),
        (
            &["unfit", "--counts"],
            "SELECT `count`, dt, window_start FROM x",
            "sum(r[0] for r in rows) > 4000, len(rows) > 0, \
             min(r[2] for r in rows) >= 1795366800000000",
            "True|True|True".into(),
        ),
        (
            &["typed"],
            "SELECT `offset`, `partition`, n, price, http_status, `day`, `at`, tags FROM x",
            "len(rows), len({tuple(r[:2]) for r in rows}), sum(r[2] for r in rows), \
             '%.2f' % (sum(round(float(r[3]) * 100) for r in rows) / 100), \
             max(r[4] for r in rows), min(r[5] for r in rows), max(r[6] for r in rows), \
             {r[7] for r in rows}",
            format!(
                "{good}|{good}|{sum}|{price}|200|2026-11-01|2026-11-22T17:03:03.998000Z|\
                 {{'[\"a\"]'}}"
            ),
        ),
        (
            &["nested"],
            "SELECT get_json_object(line, '$.value.n'), get_json_object(line, '$.offset') FROM x",
            "len(rows), sum(int(r[0]) for r in rows), len({r[1] for r in rows})",
            "1800|1800|1800".into(),
        ),
    ];
    hive_answers(cluster, home, &all);
}
