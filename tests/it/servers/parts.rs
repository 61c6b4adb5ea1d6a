//! Nested columns of three languages: what Avro's, Protobuf's and JSON's own libraries have written
//! is what pyarrow, DuckDB and fastavro read, over a kill, with bad records and two versions of
//! each schema.

use std::time::Duration;

use serde_json::json;

use super::config;
use super::languages::{COMPILED, framed, from_hex};
use super::readers::read_by_python;
use crate::support::{Cluster, Daemon, alluvium, eventually, flush, register, send_full};

const MAPPINGS: &str = r#"
[mapping.parts]
topics_regex = "parts-(avro|messages|objects)"
[mapping.parts.archive]
path = "{topic}/dt=%F"
value = "registry"
nested = "columns"
evolution = "latest"
[mapping.containers]
topics = ["parts-containers"]
archive = { value = "registry", nested = "columns", format = "avro", raw_value = false }
"#;

/// Topics, and the language of their values.
const TOPICS: [(&str, &str); 4] = [
    ("parts-avro", "AVRO"),
    ("parts-containers", "AVRO"),
    ("parts-messages", "PROTOBUF"),
    ("parts-objects", "JSON"),
];

/// A schema of a language. The second version has a field more in a record that others lie in.
fn schema(language: &str, version: usize) -> String {
    let more = |text: &str| if version == 1 { String::new() } else { text.into() };
    match language {
        "AVRO" => format!(
            r#"{{"type":"record","name":"shop.Order","fields":[{{"name":"n","type":"long"}},
            {{"name":"p","type":["null",{{"type":"record","name":"P","fields":[
                {{"name":"x","type":"long"}},{{"name":"y","type":["null","string"]}},
                {{"name":"price","type":{{"type":"bytes","logicalType":"decimal","precision":20,
                 "scale":2}}}},
                {{"name":"at","type":{{"type":"long","logicalType":"timestamp-millis"}}}},
                {{"name":"raw","type":"bytes"}}{}]}}]}},
            {{"name":"l","type":{{"type":"array","items":{{"type":"record","name":"Line",
             "fields":[{{"name":"sku","type":"string"}},{{"name":"change","type":"int"}}]}}}}}},
            {{"name":"m","type":{{"type":"map","values":{{"type":"array","items":"long"}}}}}}]}}"#,
            more(
                r#",{"name":"z","type":["null",{"type":"array","items":"string"}],
                  "default":null}"#
            )
        ),
        "PROTOBUF" => format!(
            "syntax = \"proto3\"; package shop; import \"google/protobuf/timestamp.proto\";
             message Order {{ int64 n = 1; P p = 2; repeated Line l = 3; map<string, Many> m = 4; }}
             message P {{ int64 x = 1; optional string y = 2; uint64 big = 3;
               google.protobuf.Timestamp at = 4; bytes raw = 5; {} }}
             message Line {{ string sku = 1; sint32 change = 2; }}
             message Many {{ repeated int64 all = 1; }}",
            more("repeated string z = 6;")
        ),
        _ => format!(
            r#"{{"title":"Order","type":"object","properties":{{"n":{{"type":"integer"}},
            "p":{{"oneOf":[{{"type":"null"}},{{"type":"object","properties":{{
                "x":{{"type":"integer"}},"y":{{"type":["string","null"]}},
                "at":{{"type":"string","format":"date-time"}},
                "ratio":{{"type":"number"}}{}}}}}]}},
            "l":{{"type":"array","items":{{"type":"object","properties":{{
                "sku":{{"type":"string"}},"change":{{"type":"integer"}}}}}}}},
            "m":{{"type":"object","additionalProperties":{{"type":"array",
                "items":{{"type":"integer"}}}}}}}}}}"#,
            more(r#","z":{"type":"array","items":{"type":"string"}}"#)
        ),
    }
}

/// What each record is, for the program that makes them and the one that reads them.
const VALUES: &str = r#"
import sys, json, decimal, datetime
UTC = datetime.timezone.utc
def order(language, n, version):
    "The values of record n, as a reader of the files finds them."
    p = None
    if n % 7 != 0:
        p = {"x": n - 2**40, "y": None if n % 2 else f"ä{n}\n"}
        if language != "JSON":
            p["raw"] = bytes([n % 256, 255])
        p["at"] = datetime.datetime(2026, 11, 22, 17, 3, 2, 1000 * (n % 1000), UTC)
        if language == "AVRO": p["price"] = decimal.Decimal(-n).scaleb(-2)
        if language == "PROTOBUF": p["big"] = decimal.Decimal(2**64 - 1 - n)
        if language == "JSON": p["ratio"] = n / 4
        p["z"] = None
        if version == 2: p["z"] = ["", str(n)][: n % 3]
    l = [{"sku": f"s{i}", "change": i - n} for i in range(n % 4)]
    m = {f"k{i}": list(range(i)) for i in range(n % 3)}
    return {"n": n, "p": p, "l": l, "m": m}
def version(n, batch):
    return 2 if n % 2 == 1 and batch <= n else 1
"#;

/// The values of a batch in hexadecimal digits, by the language's own library. It stands behind
/// [`VALUES`] and [`COMPILED`].
const ENCODE: &str = r#"
language, first, last, batch, texts = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5:7]
def avro():
    import io, fastavro
    schemas = [fastavro.parse_schema(json.loads(text)) for text in texts]
    def one(o, v):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schemas[v - 1], o)
        return out.getvalue()
    return one
def messages():
    classes = [compiled(text)("shop.Order") for text in texts]
    def one(o, v):
        m = classes[v - 1](n=o["n"])
        if o["p"] is not None:
            p = o["p"]
            m.p.x, m.p.raw, m.p.big = p["x"], p["raw"], int(p["big"])
            if p["y"] is not None: m.p.y = p["y"]
            m.p.at.FromDatetime(p["at"])
            if v == 2: m.p.z.extend(p["z"])
        for line in o["l"]: m.l.add(**line)
        for k, all in o["m"].items(): m.m[k].all.extend(all)
        return b"\0" + m.SerializeToString(deterministic=True)
    return one
def objects():
    def one(o, v):
        if o["p"] is not None:
            p = o["p"]
            p["at"] = p["at"].isoformat()
            if v == 1: del p["z"]
        return json.dumps(o).encode()
    return one
one = {"AVRO": avro, "PROTOBUF": messages, "JSON": objects}[language]()
out = []
for n in range(first, last):
    v = version(n, batch)
    out.append([v, one(order(language, n, v), v).hex()])
print(json.dumps(out))
"#;

/// Compares the files with what was sent. Of a file whose schema is the first version, `z` is not
/// there.
const COMPARE: &str = r#"
import glob, duckdb, fastavro, pyarrow.parquet as pq
root, batch, view = sys.argv[1], int(sys.argv[2]), sys.argv[3]
languages = {"parts-avro": "AVRO", "parts-messages": "PROTOBUF", "parts-objects": "JSON",
    "parts-containers": "AVRO"}
duckdb.sql("set timezone = 'UTC'")
def same(language, row, who):
    if row["n"] is None:
        assert row["p"] is None and row["l"] is None and row["m"] is None, (who, row)
        return 0
    n = row["n"]
    want = order(language, n, version(n, batch))
    m = row["m"]
    if isinstance(m, list): m = dict(m)
    if language == "PROTOBUF":
        m = {k: of["all"] for k, of in m.items()}
        if want["p"] is not None and version(n, batch) == 2: want["p"]["z"] = want["p"]["z"] or []
    p = row["p"]
    if p is not None:
        p = {k: p[k] for k in p}
        p.setdefault("z", None)
    got = {"n": n, "p": p, "l": row["l"], "m": m}
    assert got == want, (who, got, want)
    return 1
out = {}
for topic, language in languages.items():
    if topic == "parts-containers":
        files = glob.glob(f"{root}/{topic}/**/*.avro", recursive=True)
        rows = [r for f in files for r in fastavro.reader(open(f, "rb"))]
        names = {"fastavro": [{k: r.get(k) for k in "nplm"} for r in rows]}
    else:
        files = glob.glob(f"{root}/{topic}/**/*.parquet", recursive=True)
        arrow, duck, wide = [], [], 0
        for f in files:
            table = pq.read_table(f, partitioning=None)
            if "n" not in table.schema.names: continue
            arrow += table.select(["n", "p", "l", "m"]).to_pylist()
            found = duckdb.sql(f"select n, p, l, m from read_parquet('{f}')")
            duck += [dict(zip("nplm", row)) for row in found.fetchall()]
            # Readers know them as groups, by ids of their own.
            text = str(pq.read_schema(f).field("l").type)
            # The properties of a JSON schema have no order.
            assert text.startswith("list<element: struct<") and "sku: string" in text, text
            ids = pq.ParquetFile(f).schema_arrow.field("p").type
            wide += any(ids.field(i).name == "z" for i in range(ids.num_fields))
            all = [ids.field(i).metadata[b"PARQUET:field_id"] for i in range(ids.num_fields)]
            assert len(set(all)) == len(all), all
        assert 0 < wide, topic
        names = {"pyarrow": arrow, "duckdb": duck}
    out[topic] = {who: [sum(same(language, r, (topic, who)) for r in rows),
        len({r["n"] for r in rows if r["n"] is not None}), len(rows)]
        for who, rows in names.items()}
    bad = glob.glob(f"{root}/_quarantine/{topic}/**/*.*", recursive=True)
    out[topic]["bad"] = sum(
        len(list(fastavro.reader(open(f, "rb")))) if f.endswith(".avro")
        else pq.read_metadata(f).num_rows for f in bad)
duckdb.sql(view)
out["view"] = duckdb.sql("select sum(p.x)::bigint, sum(len(l))::bigint, "
    "sum(cardinality(m))::bigint from x").fetchone()
print(json.dumps(out))
"#;

/// So many records are sent to each topic at a time.
const BATCH: i64 = 300;

/// Sends a batch to each topic; one record in twenty is cut, and one in a hundred has no value.
fn produce(cluster: &Cluster, ids: &[[u32; 2]], batch: i64) {
    let producer = cluster.producer();
    let [first, last] = [batch, batch + 1].map(|n| (n * BATCH).to_string());
    for ((topic, language), ids) in TOPICS.iter().zip(ids) {
        let texts = [schema(language, 1), schema(language, 2)];
        let arguments = [*language, &first, &last, &BATCH.to_string(), &texts[0], &texts[1]];
        let values = read_by_python(&format!("{VALUES}{COMPILED}{ENCODE}"), &arguments);
        for (n, of) in (batch * BATCH..).zip(values.as_array().unwrap()) {
            let id = ids[of[0].as_u64().unwrap() as usize - 1];
            let value = framed(id, &[&from_hex(of[1].as_str().unwrap())]);
            let value = match n % 100 {
                19 | 39 | 59 | 79 | 99 => Some(&value[..value.len() - 1]),
                50 => None,
                _ => Some(&value[..]),
            };
            let at = Some(1_795_366_982_000 + n);
            send_full(&producer, topic, 0, Some(b"k"), value, &[], at);
        }
    }
    flush(&producer);
}

pub(crate) fn nested_columns_of_three_languages(cluster: &Cluster) {
    let name = "parts";
    let _ = cluster.run(&["up", "registry=1"]);
    let _ = cluster.run(&["start", "registry"]);
    let url = cluster.registry();
    TOPICS.iter().for_each(|(topic, _)| cluster.create_topic(topic, 1));
    let id = |(topic, language): &(&str, &str), version| {
        let body = json!({ "schema": schema(language, version), "schemaType": language });
        register(&url, &format!("{topic}-value"), &body)
    };
    let first: Vec<[u32; 2]> = TOPICS.iter().map(|of| [id(of, 1); 2]).collect();
    let table = format!("[registry]\nurl = \"{url}\"\ntimeout = \"2s\"\n");
    let text = format!("{table}{}", config(cluster, name, MAPPINGS));
    produce(cluster, &first, 0);
    let daemon = Daemon::start(&cluster.home(name), "a", &text);
    let archived = |daemon: &Daemon, records: i64| {
        let position = |(topic, _): &(&str, &str)| {
            daemon.of_topic("alluvium_archive_position", topic) >= records as f64
        };
        TOPICS.iter().all(position)
    };
    eventually("a batch is archived", Duration::from_secs(60), || archived(&daemon, BATCH));

    // The second versions come in the middle of a batch, and the daemon dies there.
    let both: Vec<[u32; 2]> =
        TOPICS.iter().zip(&first).map(|(of, first)| [first[0], id(of, 2)]).collect();
    produce(cluster, &both, 1);
    eventually("a part is archived", Duration::from_secs(60), || {
        (BATCH as f64) < daemon.of_topic("alluvium_archive_position", "parts-messages")
    });
    daemon.kill();
    let daemon = Daemon::start(&cluster.home(name), "a", &text);
    produce(cluster, &both, 2);
    eventually("all is archived", Duration::from_secs(90), || archived(&daemon, 3 * BATCH));
    assert_eq!(daemon.stop(), 0);

    let file = cluster.home(name).join("a.toml");
    let config = ["--config", file.to_str().unwrap()];
    let (code, said) = alluvium(&[&["verify"], &config[..]].concat());
    assert_eq!(code, 0, "{said}");
    assert_files(cluster, name, &config);
    let _ = cluster.run(&["kill", "registry"]);
}

/// Every record is a row or in the quarantine, once, with the values that were sent.
fn assert_files(cluster: &Cluster, name: &str, config: &[&str]) {
    let root = cluster.copied_root(name);
    let of_topic = ["parts", "--topic", "parts-avro"];
    let ddl = |arguments: &[&str]| {
        let (code, said) = alluvium(&[&["ddl"], &of_topic[..], arguments, config].concat());
        assert_eq!(code, 0, "{said}");
        said
    };
    let view = ddl(&["--engine", "duckdb", "--table", "x", "--root", &root]);
    let path = root.trim_start_matches("file://");
    let compare = format!("{VALUES}{COMPARE}");
    let got = read_by_python(&compare, &[path, &BATCH.to_string(), &view]);
    let all = 3 * BATCH;
    let good = all - all / 20;
    let with_value = good - all / 100;
    for (topic, _) in TOPICS {
        let of = got[topic].as_object().unwrap();
        assert_eq!(of["bad"], json!(all / 20), "{topic}: {got}");
        for (who, counts) in of.iter().filter(|(who, _)| *who != "bad") {
            let [right, different] = [0, 1].map(|at| counts[at].as_i64());
            assert_eq!([right, different], [Some(with_value); 2], "{topic} {who}: {got}");
        }
    }
    let rows = || (0..all).filter(|n| n % 20 != 19 && n % 100 != 50);
    let sums = [
        rows().filter(|n| n % 7 != 0).map(|n| n - (1 << 40)).sum::<i64>(),
        rows().map(|n| n % 4).sum(),
        rows().map(|n| n % 3).sum(),
    ];
    assert_eq!(got["view"], json!(sums), "{got}");

    for (engine, column) in [
        ("hive", "`l` ARRAY<STRUCT<`sku`: STRING, `change`: INT>>"),
        ("spark", "`m` MAP<STRING, ARRAY<BIGINT>>"),
        ("trino", "\"l\" ARRAY(ROW(\"sku\" VARCHAR, \"change\" INTEGER))"),
    ] {
        let said = ddl(&["--engine", engine]);
        assert!(said.contains(column), "{engine}: {said}");
    }
}
