//! What a mapping may say of its files, and what is refused.

use super::tests::{SMALL, check};
use super::*;

#[test]
fn what_only_some_formats_have_is_refused_where_it_is_written() {
    let of = |keys: &str| format!("archive = {{ {keys} }}");
    for (keys, wants) in [
        ("level = 10", ["mapping.hello.archive.level", "10 is not between 1 and 9"]),
        ("codec = \"snappy\", level = 3", ["archive.level", "the codec here has no levels"]),
        ("format = \"jsonl\", page_index = true", ["archive.page_index", "format = \"parquet\""]),
        ("format = \"jsonl\", bloom_filter = true", ["archive.bloom_filter", "needs format"]),
        ("compat = \"hive2\"", ["archive.compat", "none of \"none\", \"hive3\""]),
    ] {
        check(&of(keys), &wants);
    }
    // Of the defaults, a mapping has what its own format and codec have.
    let text = SMALL.replace(
        "[mapping.hello]",
        "level = 9\npage_index = true\nbloom_filter = true\ncompat = \"hive3\"\n[mapping.hello]",
    ) + "archive = { page_index = false }\n[mapping.b]\ntopics = [\"b\"]\n\
         archive = { format = \"jsonl\" }\n[mapping.c]\ntopics = [\"c\"]\n\
         archive = { codec = \"snappy\", compat = \"none\" }\n[mapping.d]\ntopics = [\"d\"]\n\
         archive = { format = \"parquet\", codec = \"zstd\" }\n[mapping.e]\ntopics = [\"e\"]\n\
         archive = { codec = \"gzip\" }\n[mapping.f]\ntopics = [\"f\"]\narchive = { format = \
         \"avro\", page_index = false, bloom_filter = false, compat = \"none\" }\n";
    let config = Config::parse(&text, Some("i")).unwrap_or_else(|f| panic!("{f}"));
    let of = |name: &str| {
        let mapping = config.mappings.iter().find(|m| m.name == name).unwrap();
        let archive = mapping.archive.as_ref().unwrap();
        archive.options.checksum_text()
    };
    assert_eq!(of("hello"), "|level: 9|bloom filter|plain times");
    assert_eq!(of("b"), "");
    assert_eq!(of("c"), "|page index|bloom filter");
    assert_eq!(of("d"), "|level: 9|page index|bloom filter|plain times");
    assert_eq!(of("e"), "|page index|bloom filter|plain times");
    assert_eq!(of("f"), "");
}

#[test]
fn a_mapping_says_what_hdfs_is_told_of_its_files() {
    let text = SMALL.replace(
        "[mapping.hello]",
        "replication = 2\ngroup = \"analysts\"\nblock_size = \"256MiB\"\n[mapping.hello]",
    ) + "archive = { replication = 1, owner = \"etl\" }\n[mapping.b]\ntopics = [\"b\"]\n\
         archive = { root = \"file:///b\" }\n[mapping.c]\ntopics = [\"c\"]\n\
         archive = { root = \"hdfs://n:1/c\", erasure_coding = \"RS-6-3-1024k\" }";
    let config = Config::parse(&text, Some("i")).unwrap_or_else(|f| panic!("{f}"));
    let files = config.mappings.iter().map(|m| m.archive.as_ref().unwrap().files.clone());
    let files: Vec<FileProperties> = files.collect();
    let hello = FileProperties {
        replication: Some(1),
        block_size: Some(256 << 20),
        owner: Some("etl".into()),
        group: Some("analysts".into()),
    };
    // What the defaults say of HDFS is not about a directory, and copies are not about coded files.
    let coded = FileProperties { replication: None, owner: None, ..hello.clone() };
    for wanted in [hello, FileProperties::default(), coded] {
        assert!(files.contains(&wanted), "{files:?}");
    }
}

#[test]
fn what_hdfs_cannot_be_told_is_refused() {
    let of = |keys: &str| format!("archive = {{ {keys} }}");
    for (keys, wants) in [
        ("replication = 0", ["mapping.hello.archive.replication", "is not between 1 and 512"]),
        ("block_size = \"64KiB\"", ["archive.block_size", "is too small; the least is"]),
        ("block_size = \"1048577B\"", ["archive.block_size", "no multiple of 512 bytes"]),
        ("owner = \"\"", ["archive.owner", "is no name"]),
        ("group = \" a\"", ["archive.group", "is no name"]),
        (
            "root = \"file:///x\", group = \"a\"",
            ["mapping.hello.archive.group: is about roots in HDFS", "this one is a directory"],
        ),
        (
            "erasure_coding = \"RS-6-3-1024k\", replication = 2",
            ["mapping.hello.archive.replication", "remove one of the two"],
        ),
        (
            "hadoop = { \"dfs.replication\" = \"2\" }",
            ["mapping.hello.archive.hadoop.\"dfs.replication\"", "write replication = 2"],
        ),
    ] {
        check(&of(keys), &wants);
    }
}

#[test]
fn text_and_avro_have_what_they_can_hold() {
    let of = |keys: &str| format!("archive = {{ {keys} }}");
    for (keys, wants) in [
        (
            "format = \"text\", codec = \"snappy\"",
            ["archive.codec", "\"none\", \"gzip\", \"zstd\""],
        ),
        ("format = \"avro\", codec = \"lz4\"", ["archive.codec", "\"null\", \"deflate\""]),
        ("format = \"avro\", codec = \"snappy\", level = 3", ["archive.level", "no levels"]),
        ("format = \"text\", value = \"bytes\"", ["archive.value", "is a bad record"]),
        ("format = \"text\", value = \"json\"", ["archive.value", "format = \"jsonl\""]),
        ("format = \"text\", columns = { u = \"string\" }", ["archive.columns", "\"jsonl\""]),
        ("format = \"avro\", page_index = true", ["archive.page_index", "format = \"parquet\""]),
    ] {
        check(&of(keys), &wants);
    }
    check(
        "[mapping.hello.wordcount]\noutput_topic = \"o\"\narchive = { format = \"text\" }",
        &["wordcount.archive.format", "counts have columns"],
    );
    let shape = |format: &str, codec: &str| {
        let keys = format!("archive = {{ format = {format:?}, codec = {codec:?} }}");
        let config = Config::parse(&format!("{SMALL}{keys}"), Some("i")).unwrap();
        let archive = config.mappings[0].archive.clone().unwrap();
        let texts = (archive.format.checksum_text(), archive.rules.rows.checksum_text());
        (archive.format(false).extension(), archive.format(true).extension(), texts)
    };
    assert_eq!(
        shape("text", "gzip"),
        ("txt.gz", "jsonl.gz", ("Text(Gzip)", "Values".to_string())),
        "bad records have more than a line"
    );
    let raw = "Raw { key: Auto, value: Auto }".to_string();
    assert_eq!(shape("avro", "zstandard"), ("avro", "avro", ("Avro(Zstandard)", raw)));
}
