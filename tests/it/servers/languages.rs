//! Values of Protobuf and JSON whose schemas are in a real registry, which dies before a new
//! version is read, and comes back. Messages are made by Protobuf's own library.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::config;
use super::readers::{python, read_by_python};
use crate::support::{
    Cluster, Daemon, alluvium, assert_line, check_live, eventually, flush, register, send_full,
};

const MONEY: &str = r#"syntax = "proto3";
package shop;
message Money { string currency = 1; int64 units = 2; }
"#;

/// One schema after the other; the second one has fields behind those of the first.
fn order(version: usize) -> String {
    let (n, more) = match version {
        1 => ("int32", ""),
        _ => (
            "int64",
            "google.protobuf.Timestamp at = 9; repeated string tags = 10;
                        google.protobuf.StringValue note = 11; optional float ratio = 12;",
        ),
    };
    format!(
        r#"syntax = "proto3";
package shop;
import "shop/money.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
message Order {{
  message Line {{ string sku = 1; sint32 change = 2; }}
  string user = 1;
  {n} n = 2;
  Money price = 3;
  map<string, int64> counts = 4;
  oneof how {{ string card = 5; bool cash = 6; }}
  uint64 big = 7;
  Kind kind = 8;
  repeated Line lines = 15;
  {more}
}}
message Refund {{ {n} n = 1; optional string why = 2; }}
enum Kind {{ NEW = 0; OLD = 1; }}
"#
    )
}

const PLACE: &str = r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"string"}"#;

fn object(version: usize) -> String {
    let more = match version {
        1 => "",
        _ => {
            r#","at":{"type":"string","format":"date-time"},
                "price":{"type":"number","title":"org.apache.kafka.connect.data.Decimal",
                 "connect.parameters":{"scale":"2","connect.decimal.precision":"12"}},
                "day":{"oneOf":[{"type":"null"},{"type":"integer",
                 "title":"org.apache.kafka.connect.data.Date"}]}"#
        }
    };
    format!(
        r##"{{"title":"Order","type":"object","definitions":{{"flag":{{"type":"boolean"}}}},
            "properties":{{"user":{{"type":"string"}},"n":{{"type":"integer"}},
            "http.status":{{"type":"integer","connect.type":"int32"}},
            "place":{{"$ref":"place.json"}},"flag":{{"$ref":"#/definitions/flag"}},
            "lines":{{"type":"array"}}{more}}}}}"##
    )
}

const MAPPINGS: &str = r#"
[mapping.messages]
topics = ["messages-in"]
archive = { value = "registry" }
[mapping.newest]
topics = ["newest-in"]
archive = { value = "registry", evolution = "latest", raw_value = false, format = "avro" }
[mapping.objects]
topics = ["objects-in"]
archive = { value = "registry" }
"#;

const TOPICS: [&str; 3] = ["messages-in", "newest-in", "objects-in"];

/// The ids of a version of the messages and of the objects.
fn register_version(url: &str, version: usize) -> [u32; 2] {
    let reference =
        |name: &str, subject: &str| json!([{ "name": name, "subject": subject, "version": 1 }]);
    let messages = json!({ "schema": order(version), "schemaType": "PROTOBUF",
        "references": reference("shop/money.proto", "money") });
    let objects = json!({ "schema": object(version), "schemaType": "JSON",
        "references": reference("place.json", "place") });
    [register(url, "messages-in-value", &messages), register(url, "objects-in-value", &objects)]
}

/// So many records are sent to a partition at a time.
const BATCH: i64 = 400;

/// The classes of a schema of Protobuf by their full names, by its own compiler. `imported`: the
/// texts of the files that the schema imports, by their paths.
pub(super) const COMPILED: &str = r#"
import os, tempfile, grpc_tools
from grpc_tools import protoc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
def compiled(text, imported={}):
    with tempfile.TemporaryDirectory() as d:
        for path, other in {**imported, "main.proto": text}.items():
            os.makedirs(os.path.dirname(f"{d}/{path}"), exist_ok=True)
            open(f"{d}/{path}", "w").write(other)
        own = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
        args = ["", f"-I{d}", f"-I{own}", "--include_imports", f"-o{d}/out", f"{d}/main.proto"]
        assert protoc.main(args) == 0
        files = descriptor_pb2.FileDescriptorSet.FromString(open(f"{d}/out", "rb").read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
"#;

/// Messages of both versions, by Protobuf's own library and compiler. A record is of the second
/// version if its number is odd and not in the first batch; one of ten is of the second message.
const ENCODE: &str = r#"
import sys, json
money, texts, first, last, batch = sys.argv[1], sys.argv[2:4], *map(int, sys.argv[4:7])
def classes(text):
    of = compiled(text, {"shop/money.proto": money})
    return of("shop.Order"), of("shop.Refund")
versions = [classes(text) for text in texts]
out = []
for n in range(first, last):
    second = n % 2 == 1 and batch <= n
    Order, Refund = versions[1 if second else 0]
    if n % 10 == 7:
        m = Refund(n=n, why="late") if n % 20 == 7 else Refund(n=n)
        out.append([2 if second else 1, "0202", m.SerializeToString().hex()])
        continue
    m = Order(user=f"u{n % 7}", n=n, big=2**64 - 1 - n, kind=n % 2)
    m.price.currency, m.price.units = "EUR", -n
    m.counts["a"], m.counts["b"] = n, -1
    if n % 3 == 0: m.card = "c"
    elif n % 3 == 1: m.cash = False
    m.lines.add(sku="x", change=-n)
    if second:
        m.at.FromMilliseconds(1795366982000 + n)
        m.tags.extend(["t", "ä\""])
        m.note.value = ""
        m.ratio = 0.5
    out.append([2 if second else 1, "00", m.SerializeToString().hex()])
print(json.dumps(out))
"#;

/// The bytes of hexadecimal digits.
pub(super) fn from_hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// The version of each message of a batch, its indexes, and its bytes.
fn messages(batch: i64) -> Vec<(usize, Vec<u8>, Vec<u8>)> {
    let [first, last] = [batch, batch + 1].map(|n| (n * BATCH).to_string());
    let (one, two) = (order(1), order(2));
    let arguments = [MONEY, &one, &two, &first, &last, &BATCH.to_string()];
    let all = read_by_python(&format!("{COMPILED}{ENCODE}"), &arguments);
    let message = |of: &Value| {
        let bytes = |at: usize| from_hex(of[at].as_str().unwrap());
        (of[0].as_u64().unwrap() as usize, bytes(1), bytes(2))
    };
    all.as_array().unwrap().iter().map(message).collect()
}

fn of_object(n: i64) -> (usize, String) {
    let version = if n % 2 == 1 && BATCH <= n { 2 } else { 1 };
    let mut value = json!({ "user": format!("u{}", n % 7), "n": n, "http.status": 200,
        "place": "here", "flag": n % 2 == 0, "lines": [{ "sku": "x" }, n], "beside": {} });
    if version == 2 {
        value["at"] = "2026-11-22T17:03:02.5+01:00".into();
        // 1.50 as a number, or as its bytes.
        value["price"] = if n % 4 == 1 { json!(1.5) } else { "AJY=".into() };
        value["day"] = if n % 3 == 0 { Value::Null } else { 1.into() };
    }
    (version, value.to_string())
}

/// A value with the id of its schema before it.
pub(super) fn framed(id: u32, rest: &[&[u8]]) -> Vec<u8> {
    [&[&[0][..], &id.to_be_bytes()], rest].concat().concat()
}

/// Sends a batch to each topic: one record in twenty is bad, in one of four ways, and one in a
/// hundred has no value.
fn produce(cluster: &Cluster, ids: &[[u32; 2]], batch: i64) {
    let producer = cluster.producer();
    let all = messages(batch);
    for (n, (version, indexes, message)) in (batch * BATCH..).zip(&all) {
        let id = ids[version - 1][0];
        let whole = framed(id, &[indexes, message]);
        let in_header = framed(id, &[indexes]);
        let header = [("__value_schema_id", Some(&in_header[..]))];
        let bad = match n / 20 % 4 {
            0 => whole[..whole.len() - 1].to_vec(),
            1 => framed(id, &[&[2, 8], message]),
            2 => framed(id, &[]),
            _ => message.clone(),
        };
        let (value, headers) = match n % 100 {
            19 | 39 | 59 | 79 | 99 => (Some(&bad[..]), &[][..]),
            50 => (None, &[][..]),
            51 => (Some(&message[..]), &header[..]),
            _ => (Some(&whole[..]), &[][..]),
        };
        for topic in ["messages-in", "newest-in"] {
            send_full(&producer, topic, 0, Some(b"k"), value, headers, Some(1_795_366_982_000 + n));
        }
        let (version, text) = of_object(n);
        let id = ids[version - 1][1];
        let good = framed(id, &[text.as_bytes()]);
        let bad = match n / 20 % 4 {
            0 => framed(id, &[&text.as_bytes()[1..]]),
            1 => framed(id, &[text.replace("200", "\"200\"").as_bytes()]),
            2 => framed(id, &[b"[1]"]),
            _ => text.clone().into_bytes(),
        };
        let value = match n % 100 {
            19 | 39 | 59 | 79 | 99 => Some(&bad[..]),
            50 => None,
            _ => Some(&good[..]),
        };
        send_full(&producer, "objects-in", 0, Some(b"k"), value, &[], Some(1_795_366_982_000 + n));
    }
    flush(&producer);
}

const SCRIPT: &str = r##"
import sys, json, duckdb, fastavro, glob
root = sys.argv[1]
out = {}
def read(topic):
    return f"read_parquet('{root}/{topic}/**/*.parquet', union_by_name=true)"
def errors(topic):
    rows = f"read_parquet('{root}/_quarantine/{topic}/**/*.*')"
    if topic == "newest-in":
        rows = None
        all = {}
        for f in glob.glob(f"{root}/_quarantine/{topic}/**/*.avro", recursive=True):
            for r in fastavro.reader(open(f, "rb")):
                all[r["error"]] = all.get(r["error"], 0) + 1
        return sum(all.values())
    import re
    found = {}
    for e, n in duckdb.sql(f"select error, count(*) from {rows} group by error").fetchall():
        e = re.sub("[0-9]+", "#", e)
        found[e] = found.get(e, 0) + n
    return found
out["messages"] = duckdb.sql(f"""select count(*), count(distinct "offset"), sum(n)::bigint,
    count("user"), count(card), count(cash), max(big)::varchar, count(distinct kind),
    count("at"), epoch_ms(max("at")), max(tags), count(note), max(ratio),
    count(why), sum((price->>'$.units')::bigint)::bigint,
    sum((counts->>'$.a')::bigint)::bigint, sum((lines->>'$[0].change')::bigint)::bigint,
    count(value_bytes) from {read('messages-in')}""").fetchone()
out["objects"] = duckdb.sql(f"""select count(*), count(distinct "offset"), sum(n)::bigint,
    count("user"), sum(http_status)::bigint, count(place), count(flag),
    sum((lines->>'$[1]')::bigint)::bigint, max(price)::varchar, min(price)::varchar,
    epoch_ms(max("at")), count("day"), max("day")::varchar from {read('objects-in')}""").fetchone()
out["errors"] = {t: errors(t) for t in ["messages-in", "objects-in", "newest-in"]}
rows = []
for f in glob.glob(f"{root}/newest-in/**/*.avro", recursive=True):
    rows += list(fastavro.reader(open(f, "rb")))
orders = [r for r in rows if r.get("user") is not None]
out["newest"] = [len(rows), len({r["offset"] for r in rows}), sum(r.get("n") or 0 for r in rows),
    str(max(r["big"] for r in orders)), len([r for r in orders if r.get("at") is not None])]
# An attempt has one file at most for each directory and each schema's columns.
import pyarrow.parquet as pq, collections, os
out["most"] = {}
for t in ["messages-in", "objects-in"]:
    by_columns, by_attempt = collections.Counter(), collections.Counter()
    for f in glob.glob(f"{root}/{t}/**/*.parquet", recursive=True):
        meta = pq.read_metadata(f)
        attempt = [v for k, v in meta.metadata.items() if k.endswith(b".attempt")][0]
        by_columns[(attempt, os.path.dirname(f), tuple(meta.schema.names))] += 1
        by_attempt[attempt] += 1
    out["most"][t] = [max(by_columns.values()), max(by_attempt.values())]
print(json.dumps(out))
"##;

pub(crate) fn a_registry_of_three_languages(cluster: &Cluster) {
    let name = "languages";
    let _ = cluster.run(&["up", "registry=1"]);
    let _ = cluster.run(&["start", "registry"]);
    let url = cluster.registry();
    TOPICS.iter().for_each(|topic| cluster.create_topic(topic, 1));
    let _ = register(&url, "money", &json!({ "schema": MONEY, "schemaType": "PROTOBUF" }));
    let _ = register(&url, "place", &json!({ "schema": PLACE, "schemaType": "JSON" }));
    let first = register_version(&url, 1);
    let table = format!("[registry]\nurl = \"{url}\"\ntimeout = \"2s\"\n");
    let text = format!("{table}{}", config(cluster, name, MAPPINGS));
    let (code, said) = check_live(&cluster.home(name), &text, &[]);
    assert_eq!(code, 0, "{said}");
    let _ = assert_line(&said, "ok", &["registry http://", "schemas of AVRO, JSON, PROTOBUF"]);

    produce(cluster, &[first, first], 0);
    let daemon = Daemon::start(&cluster.home(name), "a", &text);
    let archived = |daemon: &Daemon, records: i64| {
        let position =
            |topic: &&str| daemon.of_topic("alluvium_archive_position", topic) >= records as f64;
        TOPICS.iter().all(position)
    };
    eventually("a batch is archived", Duration::from_secs(60), || archived(&daemon, BATCH));

    // The registry dies before the second version is read, and the daemon while it waits.
    let second = register_version(&url, 2);
    let _ = cluster.run(&["kill", "registry"]);
    produce(cluster, &[first, second], 1);
    eventually("the outage is told", Duration::from_secs(60), || {
        let log = daemon.log_text();
        ["messages", "newest", "objects"].iter().all(|mapping| {
            log.contains(&format!("a schema of mapping.{mapping} can't be had (schema "))
        })
    });
    assert!(!archived(&daemon, 2 * BATCH));
    daemon.kill();
    let daemon = Daemon::start(&cluster.home(name), "a", &text);
    eventually("the outage is told again", Duration::from_secs(60), || {
        daemon.log_text().contains("a schema of mapping.messages can't be had (schema ")
    });
    let _ = cluster.run(&["start", "registry"]);
    eventually("all is archived", Duration::from_secs(90), || archived(&daemon, 2 * BATCH));
    produce(cluster, &[first, second], 2);
    eventually("the last batch is archived", Duration::from_secs(60), || {
        archived(&daemon, 3 * BATCH)
    });
    assert_eq!(daemon.stop(), 0);
    let root = assert_files(cluster, name);
    assert_tables(cluster, (name, &root), first);
    let _ = cluster.run(&["kill", "registry"]);
}

/// Every record is a row or in the quarantine, once, with the columns of its schema.
fn assert_files(cluster: &Cluster, name: &str) -> String {
    let root = cluster.copied_root(name);
    let got = read_by_python(SCRIPT, &[root.trim_start_matches("file://")]);
    let all = 3 * BATCH;
    let (wrong, tombstones) = (all / 20, all / 100);
    let good = all - wrong;
    let rows = || (0..all).filter(|n| n % 20 != 19 && n % 100 != 50);
    let orders = || rows().filter(|n| n % 10 != 7);
    let second = |n: &i64| n % 2 == 1 && BATCH <= *n;
    let count = |which: &dyn Fn(&i64) -> bool| orders().filter(|n| which(n)).count();
    let (sum, of_orders): (i64, i64) = (rows().sum(), orders().sum());
    let last = orders().filter(second).max().unwrap();
    assert_eq!(
        got["messages"],
        json!([
            good,
            good,
            sum,
            count(&|_| true),
            count(&|n| n % 3 == 0),
            count(&|n| n % 3 == 1),
            u64::MAX.to_string(),
            2,
            count(&second),
            1_795_366_982_000 + last,
            "[\"t\",\"ä\\\"\"]",
            count(&second),
            0.5,
            rows().filter(|n| n % 20 == 7).count(),
            -of_orders,
            of_orders,
            -of_orders,
            good - tombstones,
        ]),
        "{got}"
    );
    let newer = |n: &i64| second(n);
    assert_eq!(
        got["objects"],
        json!([
            good,
            good,
            sum,
            good - tombstones,
            200 * (good - tombstones),
            good - tombstones,
            good - tombstones,
            sum,
            "1.50",
            "1.50",
            1_795_363_382_500_i64,
            rows().filter(|n| newer(n) && n % 3 != 0).count(),
            "1970-01-02",
        ]),
        "{got}"
    );
    let of_each = wrong / 4;
    assert_eq!(got["errors"]["newest-in"], json!(wrong), "{got}");
    let sum_of = |topic: &str| -> i64 {
        got["errors"][topic].as_object().unwrap().values().filter_map(Value::as_i64).sum()
    };
    assert_eq!((sum_of("messages-in"), sum_of("objects-in")), (wrong, wrong), "{got}");
    for (topic, error) in [
        ("messages-in", "schema # has no message [#]"),
        ("messages-in", "the indexes of the message end too early"),
        ("objects-in", "schema #: field http.status: \"#\" is not a int#"),
    ] {
        assert_eq!(got["errors"][topic][error], json!(of_each), "{topic} {error}: {got}");
    }
    let newest = json!([good, good, sum, u64::MAX.to_string(), count(&second)]);
    assert_eq!(got["newest"], newest, "{got}");

    // Versions and messages alternate record by record: two of each, and perhaps a file of none.
    for (topic, most) in [("messages-in", 5), ("objects-in", 3)] {
        let of = |at: usize| got["most"][topic][at].as_u64().unwrap();
        assert!(of(0) == 1 && of(1) <= most, "{got}");
    }
    let file = cluster.home(name).join("a.toml");
    let (code, said) = alluvium(&["verify", "--config", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    root
}

/// The tables of `alluvium ddl`: a view of DuckDB, and columns of the newest and of a kept schema.
fn assert_tables(cluster: &Cluster, (name, root): (&str, &str), first: [u32; 2]) {
    let file = cluster.home(name).join("a.toml");
    let config = ["--config", file.to_str().unwrap()];
    let ddl = |arguments: &[&str]| {
        let (code, said) = alluvium(&[&["ddl"], arguments, &config[..]].concat());
        assert_eq!(code, 0, "{said}");
        said
    };
    let view = ddl(&["messages", "--engine", "duckdb", "--table", "x", "--root", root]);
    let script = "import sys, duckdb\nduckdb.sql(sys.argv[1])\n\
                  got = duckdb.sql('select count(n), count(why), max(big) from x').fetchone()\n\
                  assert got[2] == 2**64 - 1 and got[1] > 0, got";
    let ran = Command::new(python()).args(["-c", script, &view]).output().unwrap();
    assert!(ran.status.success(), "{view}\n{}", String::from_utf8_lossy(&ran.stderr));
    let newest = ddl(&["messages", "--engine", "spark"]);
    for column in ["`n` BIGINT", "`big` DECIMAL(20,0)", "`at` TIMESTAMP", "`lines` STRING"] {
        assert!(newest.contains(column), "{newest}");
    }
    assert!(newest.contains("(PROTOBUF, shop.Order)"), "{newest}");
    let id = first[0].to_string();
    let of_first = ddl(&["messages", "--engine", "hive", "--schema", &id]);
    assert!(of_first.contains("`n` INT") && !of_first.contains("`at` "), "{of_first}");
    let refund = ["messages", "--engine", "trino", "--schema", &id, "--message", "shop.Refund"];
    assert!(ddl(&refund).contains("\"why\" VARCHAR"));
    let objects = ddl(&["objects", "--engine", "spark"]);
    assert!(objects.contains("`http_status` INT") && objects.contains("`day` DATE"), "{objects}");
}
