//! Files of other programs that people hand to the commands, to the listener and to the stores.

use std::path::Path;

use crate::common::config::{Config, hadoop_properties};
use crate::outside::cli::Sink;
use crate::outside::web::WebFile;

pub(super) const WEB: &[u8] = b"tls_server_config:\n  cert_file: server.crt\n  key_file: \
    server.key\n  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: \"../ca.crt\"\n  \
    min_version: TLS12\n  cipher_suites: [TLS_AES_128_GCM_SHA256]\n  curve_preferences: \
    [X25519]\nhttp_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n\
    basic_auth_users:\n  me: $2y$10$6LmLJBzsh3MZo1rDXZ8vF.jZqvCTCeYpWJRbCWzrZ0LZT0dYKJ6oK\n";
/// An anchor that is used again and again: a few bytes that would be many values.
pub(super) const WEB_ANCHORS: &[u8] =
    b"basic_auth_users: &a {b: &c [x, x]}\nhttp_server_config: {headers: *a, http2: *c}\n";

pub(super) const SINK: &[u8] = b"name=orders-sink\nconnector.class=io.confluent.connect.hdfs3\
    .Hdfs3SinkConnector\ntopics=orders,\\\n  lines\nhdfs.url=hdfs://nn:8020\ntopics.dir=/t\n\
    flush.size=1000\nrotate.interval.ms=60000\nrotate.schedule.interval.ms=3600000\n\
    format.class=io.confluent.connect.hdfs3.parquet.ParquetFormat\npartitioner.class=\
    io.confluent.connect.storage.partitioner.TimeBasedPartitioner\npath.format='dt'=YYYY-MM-dd\n\
    partition.duration.ms=3600000\ntimezone=Europe/Berlin\nlocale=de\nerrors.tolerance=all\n\
    hdfs.authentication.kerberos=true\nconnect.hdfs.principal=a@B\nconnect.hdfs.keytab=/k\\u00e4\n\
    consumer.override.bootstrap.servers=b:9092\nx\\ny=1\n";
pub(super) const SINK_JSON: &[u8] =
    b"{\"name\":\"s\",\"config\":{\"topics.regex\":\"a-(.*)\",\"store.url\":\"hdfs://x\",\
      \"flush.size\":3,\"hive.integration\":\"true\",\"path.format\":\"'year'=YYYY/'m'=MM\"}}";

pub(super) const HADOOP: &[u8] =
    b"<?xml version=\"1.0\"?>\n<!DOCTYPE c [<!ENTITY a \"nn\">]>\n<configuration>\n\
    <property><name>dfs.nameservices</name><value>x</value></property>\n\
    <property><name>dfs.ha.namenodes.x</name><value>&a;1, &a;2\n</value></property>\n\
    <property name=\"a\" value=\"${b}${env.C:-d}\" final=\"true\"/>\n\
    <include href=\"b.xml\"><fallback><property name=\"b\" value=\"${a}\"/></fallback></include>\n\
    </configuration>\n";

pub(super) fn hadoop(text: &str) {
    let _ = hadoop_properties(text);
}

/// What it refuses, and what it takes, shows no line of the file: there are passwords in it.
pub(super) fn web(text: &str) {
    let here = Path::new("/etc/alluvium");
    let _ = WebFile::parse(text, here);
}

/// What becomes of a sink is a configuration, whatever its keys and values are: it may have faults,
/// and it is TOML.
pub(super) fn sink(bytes: &[u8]) {
    let Ok(sink) = Sink::parse(bytes) else { return };
    let Ok(draft) = sink.draft(None, None) else { return };
    let text = draft.text();
    let read = text.parse::<toml::Table>();
    assert!(read.is_ok(), "{read:?}\n{text}");
    let _ = Config::parse(&text, None);
}
