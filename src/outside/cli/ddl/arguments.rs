//! Which table is asked for.

use clap::Args;

use crate::common::config::{ArchiveConfig, Config, Mapping, Topics};
use crate::outside::cli::arguments::ConfigArgs;
use crate::outside::cli::ddl::columns;
use crate::outside::cli::ddl::engines::{Engine, Table};
use crate::outside::cli::ddl::failure::Failure;
use crate::outside::cli::ddl::registered::{self, AskedFor};
use crate::outside::cli::output::{complain, say};
use crate::pure::layout::format::Rows;
use crate::pure::layout::table::Partitions;

/// Arguments of `ddl`.
#[derive(Args, Debug)]
pub(in crate::outside::cli) struct Ddl {
    /// The mapping's name.
    mapping: String,
    /// The engine for which the statements are.
    #[arg(long, value_enum)]
    engine: Engine,
    /// The topic of the table, where the mapping has several.
    #[arg(long)]
    topic: Option<String>,
    /// The table of the published counts, and not of the records.
    #[arg(long, conflicts_with_all = ["topic", "quarantine"])]
    counts: bool,
    /// The table of the bad records, and not of the others.
    #[arg(long)]
    quarantine: bool,
    /// The name of the table; without it, that of the topic.
    #[arg(long)]
    table: Option<String>,
    /// The URL under which the engine finds the root, if it is not archive.root.
    #[arg(long, value_name = "URL")]
    root: Option<String>,
    /// With value = "registry": the id of the schema whose columns the table has; without it, the
    /// newest of the subject TOPIC-value in the registry.
    #[arg(long, value_name = "ID", conflicts_with_all = ["counts", "quarantine"])]
    schema: Option<u32>,
    /// The full name of the message, where a schema of Protobuf has several; without it, the first.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["counts", "quarantine"])]
    message: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Ddl {
    pub(in crate::outside::cli) fn main(&self) -> u8 {
        let config = match self.config.load() {
            Ok(config) => config,
            Err(code) => return code,
        };
        match self.text(&config) {
            Ok(text) => {
                say(text.trim_end());
                0
            }
            Err(Failure { code, why }) => {
                if let Some(why) = why {
                    complain(&why);
                }
                code
            }
        }
    }

    fn text(&self, config: &Config) -> Result<String, Failure> {
        let mapping = self.mapping(config)?;
        let of = self.of();
        let archive = mapping.archive.as_deref();
        let registered =
            archive.and_then(|archive| Some((archive, archive.rules.registered.as_ref()?)));
        let Some((archive, rows)) = registered.filter(|_| !self.counts && !self.quarantine) else {
            if self.schema.is_some() || self.message.is_some() {
                return Err(Failure::from(format!(
                    "--schema and --message are about value = \"registry\", which mapping.{} does \
                     not have",
                    mapping.name
                )));
            }
            return Ok(self.engine.statements(&of.table(mapping)?)?);
        };
        if self.engine == Engine::Duckdb {
            // It reads the columns of all files, whatever they are.
            return Ok(self.engine.statements(&of.table_of(mapping, &archive.rules.rows)?)?);
        }
        let (_, topic) = of.archive(mapping)?;
        let asked = AskedFor { id: self.schema, message: self.message.as_deref() };
        let (rows, comment) = registered::rows(config, (archive, rows), &topic, asked)?;
        let statements = self.engine.statements(&of.table_of(mapping, &rows)?)?;
        Ok(comment + &statements)
    }

    fn mapping<'a>(&self, config: &'a Config) -> Result<&'a Mapping, String> {
        config.mappings.iter().find(|m| m.name == self.mapping).ok_or_else(|| {
            let names: Vec<&str> = config.mappings.iter().map(|m| m.name.as_str()).collect();
            format!("there is no mapping {:?}; the mappings are {}", self.mapping, names.join(", "))
        })
    }

    fn of(&self) -> TableOf<'_> {
        TableOf {
            topic: self.topic.as_deref(),
            counts: self.counts,
            quarantine: self.quarantine,
            name: self.table.as_deref(),
            root: self.root.as_deref(),
        }
    }
}

/// Which table of a mapping.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::outside::cli) struct TableOf<'a> {
    /// Needed where the mapping has several topics.
    pub(in crate::outside::cli) topic: Option<&'a str>,
    pub(in crate::outside::cli) counts: bool,
    pub(in crate::outside::cli) quarantine: bool,
    /// [`None`]: the topic's name.
    pub(in crate::outside::cli) name: Option<&'a str>,
    /// [`None`]: the root of the archive.
    pub(in crate::outside::cli) root: Option<&'a str>,
}

impl TableOf<'_> {
    /// The table.
    ///
    /// # Errors
    /// The mapping has no such files, or several topics; the text says which.
    pub(in crate::outside::cli) fn table(&self, mapping: &Mapping) -> Result<Table, String> {
        let (archive, _) = self.archive(mapping)?;
        if matches!(archive.rules.rows, Rows::Registered(_)) && !self.quarantine {
            return Err(format!(
                "mapping.{} has value = \"registry\": its files have the columns of their schemas; \
                 `alluvium ddl` prints the table of one",
                mapping.name
            ));
        }
        match self.quarantine {
            true => self.table_of(mapping, &Rows::Quarantine),
            false => self.table_of(mapping, &archive.rules.rows),
        }
    }

    /// The table of files with these rows.
    fn table_of(&self, mapping: &Mapping, rows: &Rows) -> Result<Table, String> {
        let (archive, topic) = self.archive(mapping)?;
        let template = archive.template(self.quarantine);
        let path = template.table(&topic);
        let format = archive.format(self.quarantine);
        let mut columns = columns::of(rows, format, archive.options);
        // No engine has two columns of one name.
        if let Partitions::Hive(names) = &path.partitions {
            columns.retain(|c| !names.iter().any(|name| name.eq_ignore_ascii_case(&c.name)));
        }
        let suffix = if self.quarantine { "_quarantine" } else { "" };
        let name = self.name.map_or_else(|| plain(&topic) + suffix, String::from);
        let root = self.root.map_or_else(|| archive.root.url(), String::from);
        let root = root.trim_end_matches('/').into();
        let has_values = !template.sources().is_empty();
        Ok(Table { name, topic, root, path, has_values, columns, format })
    }

    /// The archive of the table's files, and the topic.
    fn archive<'a>(&self, mapping: &'a Mapping) -> Result<(&'a ArchiveConfig, String), String> {
        let name = &mapping.name;
        if self.counts {
            let counts = mapping.count.as_ref();
            let counts = counts.and_then(|c| Some((c.archive.as_deref()?, c.output_topic.clone())));
            return counts.ok_or_else(|| format!("mapping.{name} archives no counts"));
        }
        let archive = mapping.archive.as_deref();
        let archive =
            archive.ok_or_else(|| format!("mapping.{name} archives no records; try --counts"))?;
        let topic = match (self.topic, &mapping.topics) {
            (Some(topic), Topics::Names(names)) if !names.iter().any(|name| name == topic) => {
                return Err(format!("mapping.{name} does not have the topic {topic:?}"));
            }
            (Some(topic), Topics::Regex(regex)) if !regex.is_match(topic) => {
                return Err(format!("{topic:?} does not match the topics_regex of mapping.{name}"));
            }
            (Some(topic), _) => topic.into(),
            (None, Topics::Names(names)) if names.len() == 1 => names[0].clone(),
            (None, _) => {
                return Err(format!(
                    "mapping.{name} has several topics, and each is a table; name one with --topic"
                ));
            }
        };
        Ok((archive, topic))
    }
}

/// A topic's name as one that needs no quotes in most places.
fn plain(topic: &str) -> String {
    topic.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outside::cli::exit::EX_USAGE;

    const CONFIG: &str = r#"
[registry]
url = "http://127.0.0.1:1"
[kafka]
bootstrap_servers = "b:9092"
group_id = "g"
[archive]
root = "hdfs://nn/data"
[mapping.orders]
topics = ["shop.orders"]
[mapping.orders.archive.columns]
user = "string"
price = "decimal(12,2)"
at = "timestamp_ms"
"a.b" = "boolean"
[mapping.orders.wordcount]
output_topic = "order-counts"
archive = { format = "jsonl", path = "{topic}/dt=%F" }
[mapping.all]
topics_regex = "log-.+"
archive = { path = "{topic}/%Y/%m", format = "jsonl", value = "json" }
[mapping.old]
topics = ["o"]
archive = { compat = "hive3", columns = { at = "timestamp" } }
[mapping.lines]
topics = ["l"]
archive = { format = "text", codec = "none" }
[mapping.rows]
topics = ["r"]
archive = { format = "avro", columns = { at = "timestamp" } }
[mapping.typed]
topics = ["t"]
[mapping.typed.archive]
format = "jsonl"
raw_value = false
columns = { at = "timestamp", raw = "bytes", n = "int64", price = "decimal(12,2)", day = "date" }
[mapping.registered]
topics = ["ty"]
archive = { value = "registry" }
[mapping.nested]
topics = ["ne"]
archive = { format = "jsonl", value = "json", path = "{topic}/Day=%F" }
[mapping.packed]
topics = ["p"]
archive = { codec = "lz4", path = "{topic}" }
[mapping.packed_rows]
topics = ["pr"]
archive = { format = "avro", codec = "zstandard", path = "{topic}" }
[mapping.values]
topics = ["v"]
[mapping.values.archive]
format = "avro"
codec = "deflate"
path = "{topic}/kind={field:kind}"
columns = { orderId = "int64", price = "decimal(9,2)", at = "timestamp", day = "date" }
[mapping.prices]
topics = ["pc"]
[mapping.prices.archive]
format = "jsonl"
codec = "zstd"
path = "{topic}"
raw_value = false
columns = { price = "decimal(20,2)" }
[mapping.none]
topics = ["n"]
archive = false
wordcount = { output_topic = "nc", archive = false }
"#;

    fn ddl(arguments: &str) -> Result<String, String> {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            ddl: Ddl,
        }
        let words = ["ddl"].into_iter().chain(arguments.split(' '));
        let cli = <Cli as clap::Parser>::try_parse_from(words).map_err(|e| e.to_string())?;
        let config = Config::parse(CONFIG, Some("i")).expect("a good configuration");
        cli.ddl.text(&config).map_err(|failure| {
            let why = failure.why.unwrap_or_default();
            if failure.code == EX_USAGE { why } else { format!("{}: {why}", failure.code) }
        })
    }

    /// What an operator pastes into an engine; the tests on real servers run those of DuckDB.
    #[test]
    fn the_statements_are_the_golden_ones() {
        let mut all = String::new();
        for arguments in [
            "orders --engine hive",
            "orders --engine spark",
            "orders --engine trino",
            "orders --engine duckdb --root file:///copy/",
            "orders --engine spark --quarantine",
            "orders --engine hive --counts --table counts",
            "orders --engine duckdb --counts",
            "all --engine duckdb --topic log-a",
            "old --engine hive",
            "old --engine trino",
            "lines --engine hive",
            "lines --engine spark",
            "lines --engine trino",
            "lines --engine duckdb",
            "lines --engine spark --quarantine",
            "rows --engine hive",
            "rows --engine spark",
            "rows --engine trino",
            "typed --engine hive",
            "typed --engine spark",
            "typed --engine trino",
            "typed --engine duckdb",
            "orders --engine hive --quarantine",
            "orders --engine trino --quarantine",
            "orders --engine trino --counts",
            "lines --engine hive --quarantine",
            "registered --engine duckdb",
            "nested --engine hive",
            "nested --engine spark",
            "nested --engine trino",
            "packed --engine hive",
            "packed --engine spark",
            "packed --engine trino",
            "packed_rows --engine hive",
            "packed_rows --engine trino",
            "values --engine hive",
            "prices --engine hive",
        ] {
            all.push_str(&format!("-- {arguments}\n{}\n", ddl(arguments).unwrap()));
        }
        let golden = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/ddl.sql"));
        assert_eq!(all, golden);
    }

    #[test]
    fn what_is_no_table_is_refused() {
        for (arguments, want) in [
            (
                "nobody --engine hive",
                "the mappings are orders, all, old, lines, rows, typed, registered,",
            ),
            ("orders --engine hive --topic other", "does not have the topic"),
            ("all --engine duckdb", "--topic"),
            ("all --engine duckdb --topic other", "does not match"),
            ("all --engine hive --topic log-a", "have no names"),
            ("rows --engine duckdb", "reads no Avro"),
            ("none --engine hive", "archives no records"),
            ("none --engine hive --counts", "archives no counts"),
            ("orders --engine oracle", "possible values: hive, spark, trino, duckdb"),
            ("orders --engine hive --counts --quarantine", "cannot be used with"),
            ("orders --engine hive --schema 7", "are about value = \"registry\""),
            ("registered --engine hive", "--schema ID prints the columns of a schema"),
            ("registered --engine hive --counts --schema 7", "cannot be used with"),
            // No registry answers there.
            ("registered --engine hive", "69: "),
        ] {
            let got = ddl(arguments).unwrap_err();
            assert!(got.contains(want), "{arguments}: {got}");
        }
    }
}
