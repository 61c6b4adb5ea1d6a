//! The properties of a Kafka Connect HDFS sink (Confluent's HDFS 2 and HDFS 3 connectors), as far
//! as they have a counterpart here; what has none is said.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::outside::cli::init::draft::{Draft, quoted};
use crate::outside::cli::init::errors;
use crate::outside::cli::init::properties::properties;
use crate::pure::duration::written;
use crate::pure::layout::ends::Schedule;

/// A sink's properties.
#[derive(Debug)]
pub(crate) struct Sink(BTreeMap<String, String>);

impl Sink {
    /// A properties file, or JSON as Connect's REST interface has it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Sink, String> {
        if bytes.trim_ascii_start().starts_with(b"{") {
            let json: serde_json::Value =
                serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
            let table = json.get("config").unwrap_or(&json).as_object();
            let table = table.ok_or("\"config\" is no object")?;
            let text = |v: &serde_json::Value| v.as_str().map_or(v.to_string(), String::from);
            return Ok(Sink(table.iter().map(|(k, v)| (k.clone(), text(v))).collect()));
        }
        Ok(Sink(properties(bytes)?))
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|v| v.trim()).filter(|v| !v.is_empty())
    }

    /// The length of time that a key gives in milliseconds.
    fn millis(&self, key: &str) -> Option<Duration> {
        let millis = self.get(key)?.parse::<u64>().ok().filter(|n| 0 < *n)?;
        Some(Duration::from_millis(millis))
    }

    /// `bootstrap` and `root` override what the sink says.
    pub(crate) fn draft(
        &self,
        bootstrap: Option<String>,
        root: Option<String>,
    ) -> Result<Draft, String> {
        let mut remarks = Vec::new();
        let mut archive = Vec::new();
        let topics = self.topics(&mut remarks)?;
        let bootstrap = bootstrap
            .or_else(|| self.get("consumer.override.bootstrap.servers").map(String::from))
            .or_else(|| self.get("confluent.topic.bootstrap.servers").map(String::from))
            .unwrap_or_else(|| {
                remarks.push(
                    "set kafka.bootstrap_servers to the value in the Connect worker's properties"
                        .into(),
                );
                "localhost:9092".into()
            });
        let root = match (root, self.get("hdfs.url").or(self.get("store.url"))) {
            (Some(root), _) => root,
            (None, Some(url)) => {
                let top = self.get("topics.dir").unwrap_or("topics");
                remarks.push(format!(
                    "the root is not the sink's own {top}/, which remains Connect's: a root \
                     belongs to one writer"
                ));
                format!("{}/{}-alluvium", url.trim_end_matches('/'), top.trim_matches('/'))
            }
            (None, None) => {
                return Err("has neither hdfs.url nor store.url: give a root with --root".into());
            }
        };
        if let Some(directory) = self.get("hadoop.conf.dir") {
            archive.push(format!("hadoop_conf_dir = {}", quoted(directory)));
        }
        let path = self.path(&mut archive, &mut remarks);
        archive.push(format!("path = {}", quoted(&path)));
        if let Some(zone) = self.get("timezone") {
            archive.push(format!("timezone = {}", quoted(zone)));
        }
        self.format(&mut archive, &mut remarks);
        errors::on_bad_record(&|key| self.get(key), &mut archive, &mut remarks);
        self.roll(&mut archive, &mut remarks);
        if self.get("hdfs.authentication.kerberos") == Some("true") {
            self.kerberos(&mut archive, &mut remarks);
        }
        if self.get("hive.integration") == Some("true") {
            remarks.push(
                "the sink makes tables in Hive: `alluvium ddl MAPPING --engine hive` prints one; \
                 run MSCK REPAIR TABLE, or let the table discover its partitions"
                    .into(),
            );
        }
        self.left_out(&mut remarks);
        remarks.push(
            "records that the sink has written already are written again below the new \
             root with start = \"earliest\"; to leave them out, set start to the time at which the \
             sink was stopped"
                .into(),
        );
        let mapping = self.get("name").unwrap_or("records");
        let mapping: String =
            mapping.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        Ok(Draft { bootstrap, kafka: None, root, archive, mapping, topics, remarks })
    }

    /// The sink's login at HDFS. It stands before the tables of `[archive]`.
    fn kerberos(&self, archive: &mut Vec<String>, remarks: &mut Vec<String>) {
        let keys = ["connect.hdfs.principal", "connect.hdfs.keytab"].map(|key| self.get(key));
        let [Some(principal), Some(keytab)] = keys else {
            let how = "set archive.kerberos = { principal = …, keytab = … }";
            return remarks.push(format!("the sink logs in by Kerberos: {how}"));
        };
        let (principal, keytab) = (quoted(principal), quoted(keytab));
        archive.insert(0, format!("kerberos = {{ principal = {principal}, keytab = {keytab} }}"));
        remarks.push(format!(
            "the daemon logs in by Kerberos as the sink does: its user has to read {keytab}"
        ));
    }

    /// A remark for each key that is not taken over.
    fn left_out(&self, remarks: &mut Vec<String>) {
        for (key, value) in self.0.iter().filter(|(key, _)| !SEEN.contains(&key.as_str())) {
            let shown = match SECRET.iter().any(|part| key.contains(part)) {
                true => key.clone(),
                false => format!("{key} = {}", value.replace(['\r', '\n'], " ")),
            };
            let why = WITHOUT_COUNTERPART.iter().find(|(prefix, _)| key.starts_with(prefix));
            let why = why.map_or("it has no counterpart", |(_, why)| *why);
            remarks.push(format!("{shown} is not taken over: {why}"));
        }
    }

    /// The topics or their pattern, as a line of the configuration.
    fn topics(&self, remarks: &mut Vec<String>) -> Result<String, String> {
        match (self.get("topics"), self.get("topics.regex")) {
            (Some(names), _) => {
                let names: Vec<String> = names.split(',').map(|t| quoted(t.trim())).collect();
                Ok(format!("topics = [{}]", names.join(", ")))
            }
            (None, Some(regex)) => {
                remarks.push(
                    "topics_regex was written for Java: Rust's dialect has no look-around and no \
                     back-references"
                        .into(),
                );
                Ok(format!("topics_regex = {}", quoted(regex)))
            }
            (None, None) => {
                Err("has neither topics nor topics.regex: is this the configuration of a sink?"
                    .into())
            }
        }
    }

    fn path(&self, archive: &mut Vec<String>, remarks: &mut Vec<String>) -> String {
        let class = self.get("partitioner.class").unwrap_or("DefaultPartitioner");
        let name = class.rsplit('.').next().unwrap_or(class);
        let pattern = match name {
            "DefaultPartitioner" => {
                remarks.push(
                    "the sink's directories are partition=N, which is the name of a column here; \
                     they are kafka_partition=N"
                        .into(),
                );
                return "{topic}/kafka_partition={partition}".into();
            }
            "FieldPartitioner" => {
                let fields = self.get("partition.field.name").unwrap_or_default();
                let fields = fields.split(',').map(str::trim).filter(|field| !field.is_empty());
                let segments = fields.map(|field| format!("/{field}={{field:{field}}}"));
                remarks.push(
                    "where a field of the path is a column, too, give the directory another name; \
                     max_values bounds how many directories one roll makes (docs/files.md)"
                        .into(),
                );
                return format!("{{topic}}{}", segments.collect::<String>());
            }
            "HourlyPartitioner" => "'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH",
            "DailyPartitioner" => "'year'=YYYY/'month'=MM/'day'=dd",
            "TimeBasedPartitioner" => self.get("path.format").unwrap_or_default(),
            _ => {
                remarks.push(format!("{name} has no counterpart: records are partitioned by hour"));
                "'dt'=YYYY-MM-dd/'hr'=HH"
            }
        };
        match self.get("timestamp.extractor").unwrap_or("Wallclock") {
            "Record" => {}
            "Wallclock" => archive.push("time = \"arrival\"".into()),
            "RecordField" => {
                let field = quoted(self.get("timestamp.field").unwrap_or("timestamp"));
                archive.push(format!("time = {{ field = {field}, unit = \"ms\" }}"));
                remarks.push(
                    "records without a time in timestamp.field are in \
                     __HIVE_DEFAULT_PARTITION__, where the sink would have failed"
                        .into(),
                );
            }
            other => remarks.push(format!(
                "timestamp.extractor = {other} has no counterpart: \
                 files are partitioned by the record's timestamp"
            )),
        }
        match strftime(pattern) {
            Ok(path) => format!("{{topic}}/{path}"),
            Err(what) => {
                remarks.push(format!(
                    "path.format {pattern:?}: {what}; records are partitioned by hour"
                ));
                "{topic}/dt=%Y-%m-%d/hr=%H".into()
            }
        }
    }

    fn format(&self, archive: &mut Vec<String>, remarks: &mut Vec<String>) {
        let class = self.get("format.class").unwrap_or("AvroFormat");
        let name = class.rsplit('.').next().unwrap_or(class);
        match name {
            "ParquetFormat" => {
                let codec = self.get("parquet.codec").unwrap_or("snappy");
                let codec = if codec == "uncompressed" { "none" } else { codec };
                archive
                    .extend(["format = \"parquet\"".into(), format!("codec = {}", quoted(codec))]);
                remarks.push(
                    "the sink's columns are the value's fields; here they are key, \
                     value, headers, timestamp, partition and offset (docs/files.md)"
                        .into(),
                );
            }
            "StringFormat" => {
                archive.extend(["format = \"text\"".into(), "codec = \"none\"".into()]);
                remarks.push(
                    "a line is the value alone; a value with a line break, or that is not UTF-8, \
                     is a bad record (docs/files.md)"
                        .into(),
                );
            }
            "JsonFormat" => {
                archive.extend(["format = \"jsonl\"".into(), "codec = \"none\"".into()]);
                remarks.push(
                    "a line is the whole record, and the value is one of its fields (docs/files.md)"
                        .into(),
                );
            }
            other => {
                archive.push("format = \"parquet\"".into());
                remarks.push(format!(
                    "{other} is not supported; the value is archived unchanged in Parquet"
                ));
            }
        }
    }

    fn roll(&self, archive: &mut Vec<String>, remarks: &mut Vec<String>) {
        if let Some(n) = self.get("flush.size") {
            remarks.push(format!(
                "flush.size = {n} records is left out: files roll by bytes and age, and are \
                 larger; records = {n} in [archive.roll] would end them by their number"
            ));
        }
        let schedule = self.millis("rotate.schedule.interval.ms");
        let points = schedule.map(written).filter(|text| Schedule::parse(text).is_ok());
        let age = self.millis("rotate.interval.ms").or(schedule.filter(|_| points.is_none()));
        if points.is_some() || age.is_some() {
            archive.push("[archive.roll]".into());
        }
        archive.extend(points.map(|points| format!("schedule = \"{points}\"")));
        let least = Duration::from_secs(1);
        archive.extend(age.map(|age| format!("age = \"{}\"", written(age.max(least)))));
    }
}

/// Keys that [`Sink::draft`] looks at, or that say nothing about the files.
const SEEN: &[&str] = &[
    "name",
    "connector.class",
    "tasks.max",
    "topics",
    "topics.regex",
    "hdfs.url",
    "store.url",
    "topics.dir",
    "logs.dir",
    "hadoop.conf.dir",
    "hadoop.home",
    "flush.size",
    "rotate.interval.ms",
    "rotate.schedule.interval.ms",
    "format.class",
    "parquet.codec",
    "partitioner.class",
    "path.format",
    "partition.duration.ms",
    "locale",
    "timezone",
    "timestamp.extractor",
    "timestamp.field",
    "partition.field.name",
    "errors.tolerance",
    "errors.deadletterqueue.topic.name",
    "hive.integration",
    "hdfs.authentication.kerberos",
    "connect.hdfs.principal",
    "connect.hdfs.keytab",
    "consumer.override.bootstrap.servers",
    "confluent.topic.bootstrap.servers",
];

/// Keys by their beginnings, and what becomes of them.
const WITHOUT_COUNTERPART: &[(&str, &str)] = &[
    ("transforms", "records are archived as they are, without transformations"),
    ("predicates", "records are archived as they are, without transformations"),
    ("key.converter", "keys are archived as bytes, without a converter"),
    (
        "value.converter",
        "values are archived as bytes; for those of AvroConverter, value = \"registry\" and \
         [registry] make columns",
    ),
    ("header.converter", "headers are archived as bytes, without a converter"),
    ("errors.deadletterqueue.", "the quarantine is part of the archive, and no topic"),
    ("errors.log.", "the log names a bad record at most once a minute for each partition"),
    ("errors.retry.", "calls that fail are tried again for as long as it takes"),
    ("errors.", "bad records are in the quarantine (docs/files.md)"),
    ("consumer.override.auto.offset.reset", "set start in the mapping instead"),
    ("schema.", "values are archived as bytes, without a schema"),
    ("hive.", "`alluvium ddl MAPPING --engine hive` prints a table"),
    ("confluent.", "there is no license topic"),
];

/// Parts of keys whose values are not repeated.
const SECRET: &[&str] = &["password", "secret", "jaas", "credential", "token", "license"];

/// A Joda-Time pattern of fixed-width fields as strftime; an error names what has no counterpart.
fn strftime(pattern: &str) -> Result<String, String> {
    let (mut path, mut rest) = (String::new(), pattern);
    while let Some(c) = rest.chars().next() {
        if c == '\'' {
            let inner = &rest[1..];
            let end = inner.find('\'').ok_or("a quote has no end")?;
            path.push_str(&inner[..end]);
            rest = &inner[end.saturating_add(1)..];
            continue;
        }
        let run: String = rest.chars().take_while(|d| *d == c).collect();
        rest = &rest[run.len()..];
        match run.as_str() {
            "YYYY" | "yyyy" => path.push_str("%Y"),
            "MM" => path.push_str("%m"),
            "dd" => path.push_str("%d"),
            "HH" => path.push_str("%H"),
            "mm" => path.push_str("%M"),
            "ss" => path.push_str("%S"),
            "DDD" => path.push_str("%j"),
            field if c.is_ascii_alphabetic() => {
                return Err(format!("{field:?} has no counterpart"));
            }
            text => path.push_str(text),
        }
    }
    if path.is_empty() { Err("it is empty".into()) } else { Ok(path.trim_matches('/').into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::config::{Config, Root};
    use crate::engine::topics::mapping_of;
    use crate::pure::layout::format::Format;
    use crate::pure::record_time::Time;

    const SINK: &str = "name=orders sink
connector.class=io.confluent.connect.hdfs3.Hdfs3SinkConnector
tasks.max=4
topics=orders, payments
hdfs.url=hdfs://nameservice1
hadoop.conf.dir=/etc/hadoop/conf
topics.dir=/data/topics
flush.size=10000
rotate.interval.ms=600000
format.class=io.confluent.connect.hdfs3.parquet.ParquetFormat
partitioner.class=io.confluent.connect.storage.partitioner.TimeBasedPartitioner
path.format='dt'=YYYY-MM-dd/'hr'=HH
partition.duration.ms=3600000
locale=en_US
timezone=Europe/Berlin
timestamp.extractor=Record
hdfs.authentication.kerberos=true
connect.hdfs.principal=connect@EXAMPLE.COM
connect.hdfs.keytab=/etc/connect.keytab
";

    fn config_of(text: &str) -> (Config, Vec<String>) {
        let draft = Sink::parse(text.as_bytes()).unwrap().draft(None, None).unwrap();
        (Config::parse(&draft.text(), Some("i")).unwrap(), draft.remarks)
    }

    #[test]
    fn a_sink_becomes_a_mapping() {
        let (config, remarks) = config_of(SINK);
        let mapping = &config.mappings[0];
        assert_eq!(mapping.name, "orders-sink");
        let archive = mapping.archive.as_ref().unwrap();
        assert_eq!(archive.root.url(), "hdfs://nameservice1/data/topics-alluvium");
        let path = archive.template.render("orders", 3, Some(1_735_689_600_000));
        assert_eq!(path, "orders/dt=2025-01-01/hr=01", "one o'clock in Berlin");
        assert_eq!(archive.roll.age.as_secs(), 600);
        let draft = Sink::parse(SINK.as_bytes()).unwrap().draft(None, None).unwrap();
        assert!(draft.text().contains("age = \"10m\""), "{}", draft.text());
        assert!(matches!(archive.format, Format::Parquet(_)));
        assert_eq!(config.kafka.bootstrap_servers, "localhost:9092");
        let Root::Hdfs { options, .. } = &archive.root else { panic!("{:?}", archive.root) };
        let kerberos = options.kerberos.as_ref().unwrap();
        assert_eq!(kerberos.principal, "connect@EXAMPLE.COM");
        for word in ["bootstrap_servers", "flush.size", "Kerberos", "/etc/connect.keytab", "start"]
        {
            assert!(remarks.iter().any(|r| r.contains(word)), "{word}: {remarks:?}");
        }
    }

    #[test]
    fn each_key_that_is_not_taken_over_is_named_without_its_secrets() {
        let more = "transforms=mask\ntransforms.mask.type=x.MaskField$Value\n\
            value.converter=io.confluent.connect.avro.AvroConverter\nerrors.tolerance=all\n\
            consumer.override.auto.offset.reset=latest\nmax.retries=3\n\
            consumer.override.sasl.jaas.config=Login required password=\"hush\";\n";
        let (_, remarks) = config_of(&format!("{SINK}{more}"));
        for line in more.lines() {
            let key = line.split('=').next().unwrap();
            let named = |r: &&String| r.starts_with(&format!("{key} "));
            assert_eq!(remarks.iter().filter(named).count(), 1, "{key}: {remarks:?}");
        }
        assert!(remarks.iter().all(|r| !r.contains("hush")), "{remarks:?}");
        let (_, remarks) = config_of(SINK);
        assert!(remarks.iter().all(|r| !r.contains("not taken over")), "{remarks:?}");
    }

    #[test]
    fn what_partitions_and_rolls_is_taken_over() {
        let of = |more: &str| {
            let keys = |line: &&str| !more.contains(line.split('=').next().unwrap());
            let kept: String = SINK.lines().filter(keys).map(|l| format!("{l}\n")).collect();
            let (config, remarks) = config_of(&format!("{kept}{more}"));
            (config.mappings[0].archive.clone().unwrap(), remarks)
        };
        let (archive, _) = of("partitioner.class=x.FieldPartitioner\npartition.field.name=a,b.c\n");
        assert_eq!(archive.template.sample("t", 0), "t/a={field:a}/b.c={field:b.c}");
        let (archive, _) = of("timestamp.extractor=Wallclock\n");
        assert_eq!(archive.time, Time::Arrival);
        let (archive, _) = of("timestamp.extractor=RecordField\ntimestamp.field=at\n");
        assert!(matches!(&archive.time, Time::Field { path, .. } if path.to_string() == "at"));
        let (archive, _) = of("rotate.schedule.interval.ms=3600000\nrotate.interval.ms=1000\n");
        assert_eq!(archive.roll.schedule, Schedule::parse("1h").ok());
        assert_eq!(archive.roll.age.as_secs(), 1);
        let (archive, _) = of("rotate.schedule.interval.ms=420000\nrotate.interval.ms=\n");
        assert_eq!((archive.roll.schedule, archive.roll.age.as_secs()), (None, 420));
    }

    #[test]
    fn what_connect_answers_by_rest_is_read() {
        let json = r#"{"name":"x","config":{"topics.regex":"app-.*","hdfs.url":"hdfs://n:8020/",
            "consumer.override.bootstrap.servers":"b:9092","flush.size":3,
            "format.class":"io.confluent.connect.hdfs.json.JsonFormat"}}"#;
        let (config, _) = config_of(json);
        let archive = config.mappings[0].archive.as_ref().unwrap();
        assert_eq!(archive.root.url(), "hdfs://n:8020/topics-alluvium");
        assert_eq!(archive.template.render("a", 3, None), "a/kafka_partition=3");
        assert!(matches!(archive.format, Format::JsonLines(_)));
        assert_eq!(config.kafka.bootstrap_servers, "b:9092");
        assert!(mapping_of(&config, "app-1").is_some());
    }

    #[test]
    fn what_has_no_counterpart_is_named() {
        assert_eq!(
            strftime("'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH").unwrap(),
            "year=%Y/month=%m/day=%d/hour=%H"
        );
        for (pattern, what) in
            [("YYYY/ww", "\"ww\""), ("'dt", "quote"), ("", "empty"), ("M", "\"M\"")]
        {
            let e = strftime(pattern).unwrap_err();
            assert!(e.contains(what), "{e}");
        }
        let odd = SINK.replace("dd/'hr'=HH", "dd/'week'=ww");
        let (config, remarks) = config_of(&odd);
        assert!(remarks.iter().any(|r| r.contains("ww")));
        let archive = config.mappings[0].archive.as_ref().unwrap();
        assert!(archive.template.render("t", 0, Some(0)).starts_with("t/dt=1970-01-01/hr=01"));
        let none = Sink::parse(b"name=x").unwrap().draft(None, None).unwrap_err();
        assert!(none.contains("topics"));
    }
}
