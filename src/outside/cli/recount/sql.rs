//! A recount as SQL, for an archive of terabytes: `alluvium recount --sql ENGINE`.
//!
//! The statements make a view of each topic's records and of the counts, and compare them as
//! `recount` does: the words of the raw records against the sums of all counts, by window. What an
//! engine would read in another way than the daemon (the fields of JSON values, Unicode's word
//! boundaries, regexes of Rust's dialect) is refused, and `recount` itself has to be used.

use std::fmt::Write as _;
use std::ops::Range;

use clap::ValueEnum;

use crate::common::config::{ArchiveConfig, Config, Mapping, Topics, WordCount};
use crate::outside::cli::ddl::{Engine, Table, TableOf, literal};
use crate::outside::cli::recount::mappings::recountable;
use crate::pure::count::{By, Split, Time, Tokenizer};
use crate::pure::layout::format::{Format, Rows};
use crate::pure::layout::rules::OnBadRecord;

/// Who runs the statements.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum SqlEngine {
    Spark,
    Duckdb,
}

/// What is recounted of a mapping.
#[derive(Debug)]
pub(super) struct RecountOf<'a> {
    /// Empty: those that the mapping names.
    pub(super) topics: &'a [String],
    /// [`None`]: the root of the archive.
    pub(super) root: Option<&'a str>,
    /// Starts of windows, milliseconds.
    pub(super) range: Range<i64>,
}

/// White space as Unicode has it, for regexes of RE2 and of Java.
const SPACE: &str = concat!(
    r"[\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}",
    r"\x{205f}\x{3000}]+"
);

impl RecountOf<'_> {
    /// The statements for a mapping of this name.
    ///
    /// # Errors
    /// The mapping cannot be recounted by this engine; the text says why.
    pub(super) fn statements(
        &self,
        config: &Config,
        name: &str,
        engine: SqlEngine,
    ) -> Result<String, String> {
        let found = recountable(config).find(|(mapping, _)| mapping.name == name);
        let (mapping, count) = found.ok_or_else(|| {
            let all: Vec<&str> = recountable(config).map(|(m, _)| m.name.as_str()).collect();
            format!(
                "mapping {name:?} cannot be recounted; those that archive their records, with \
                 their values, and their counts are: {}",
                all.join(", ")
            )
        })?;
        let by_window = count.time != Time::Arrival;
        if !by_window && (i64::MIN..i64::MAX) != self.range {
            return Err(format!(
                "mapping.{name} counts by arrival time, which raw files do not contain: it can \
                 only be compared as a whole, without --from and --until"
            ));
        }
        if mapping.archive.as_ref().is_some_and(|a| matches!(a.rules.rows, Rows::Json { .. })) {
            return Err(format!(
                "mapping.{name} archives its values as JSON, which engines write in other ways \
                 than the records had it: use `alluvium recount` without --sql"
            ));
        }
        let is_avro = |a: &ArchiveConfig| matches!(a.format, Format::Avro(_));
        if engine == SqlEngine::Duckdb && mapping.archives().any(is_avro) {
            return Err(format!(
                "mapping.{name} archives Avro, which DuckDB itself does not read: use --sql spark, \
                 or `alluvium recount` without --sql"
            ));
        }
        let raw = self.tables(mapping)?;
        let counts =
            TableOf { counts: true, name: Some("counts"), root: self.root, ..TableOf::default() };
        let counts = counts.table(mapping)?;
        let dialect = Dialect { engine, by_window, range: self.range.clone() };
        let mut text = format!(
            "-- Recounts mapping.{name}: each row of the last statement's result is a word whose\n\
             -- counts do not add up to the words in the raw files. No row means that all do.\n\
             -- Records without a time and terms that were cut are left out. Windows from the\n\
             -- newest published one on may be open still, or not be archived whole: may_be_open\n\
             -- is true there.\n"
        );
        text.push_str(match engine {
            SqlEngine::Duckdb => {
                "-- DuckDB has no function for text that is no UTF-8: the words of such records \
                 differ.\n"
            }
            // Spark 4 would fail at the first record that is no UTF-8.
            SqlEngine::Spark => "SET spark.sql.legacy.codingErrorAction = true;\n",
        });
        for (table, quarantine) in &raw {
            dialect.view(&mut text, table, quarantine.as_ref());
        }
        dialect.view(&mut text, &counts, None);
        dialect.recount(&mut text, &raw, &counts, count)?;
        Ok(text)
    }

    /// A table for each topic, and one of its bad records, which are counted, too.
    fn tables(&self, mapping: &Mapping) -> Result<Vec<(Table, Option<Table>)>, String> {
        let topics = match (&mapping.topics, self.topics) {
            (_, [_, ..]) => self.topics,
            (Topics::Names(names), []) => names.as_slice(),
            (Topics::Regex(_), []) => {
                return Err(format!(
                    "mapping.{} reads the topics of a regex; name those to recount with --topic",
                    mapping.name
                ));
            }
        };
        let archive = mapping.archive.as_ref();
        let quarantines = archive.is_some_and(|a| a.rules.on_bad_record == OnBadRecord::Quarantine);
        let tables = |(at, topic): (usize, &String)| {
            let name = format!("records_{at}");
            let table = |quarantine| {
                let of = TableOf {
                    topic: Some(topic),
                    name: Some(&name),
                    root: self.root,
                    quarantine,
                    ..TableOf::default()
                };
                of.table(mapping)
            };
            Ok((table(false)?, quarantines.then(|| table(true)).transpose()?))
        };
        topics.iter().enumerate().map(tables).collect()
    }
}

/// How an engine says it.
struct Dialect {
    engine: SqlEngine,
    by_window: bool,
    range: Range<i64>,
}

impl Dialect {
    fn ddl(&self) -> Engine {
        match self.engine {
            SqlEngine::Spark => Engine::Spark,
            SqlEngine::Duckdb => Engine::Duckdb,
        }
    }

    fn is_spark(&self) -> bool {
        self.engine == SqlEngine::Spark
    }

    /// A view of a table's files, and of those with bad records, where there are any.
    fn view(&self, text: &mut String, table: &Table, quarantine: Option<&Table>) {
        let name = self.ddl().quoted(&table.name);
        let all = || [table].into_iter().chain(quarantine);
        if self.is_spark() {
            // A pattern has no trouble with a directory that is not there yet.
            let location = match quarantine {
                Some(bad) => {
                    let (good, bad) = (table.location(), bad.location());
                    let common = good.bytes().zip(bad.bytes()).take_while(|(a, b)| a == b).count();
                    let start = good[..good.floor_char_boundary(common)].rfind('/').unwrap_or(0);
                    format!(
                        "{}/{{{},{}}}",
                        &good[..start],
                        &good[start.saturating_add(1)..],
                        &bad[start.saturating_add(1)..]
                    )
                }
                None => table.location(),
            };
            let format = table.format_name();
            let columns = match table.format {
                Format::Parquet(_) => String::new(),
                _ => format!(" (\n{}\n)", table.own_columns(self.ddl())),
            };
            let _ = writeln!(
                text,
                "CREATE OR REPLACE TEMPORARY VIEW {name}{columns}\n\
                 USING {format} OPTIONS (path {}, \
                 recursiveFileLookup 'true', pathGlobFilter {}, mergeSchema 'true');",
                self.literal(&location),
                self.literal(&format!("*.{}", table.format.extension()))
            );
            return;
        }
        let files = all()
            .map(|t| format!("  SELECT file FROM glob({})", self.literal(&t.files_of_duckdb())));
        let files: Vec<String> = files.collect();
        let variable = self.literal(&table.name);
        let read =
            table.read_by_duckdb(&format!("getvariable({variable}), hive_partitioning = false"));
        let _ = writeln!(
            text,
            "SET VARIABLE {name} = (SELECT list(file) FROM (\n{}\n));\n\
             CREATE OR REPLACE VIEW {name} AS\nSELECT * FROM {read};",
            files.join("\n  UNION ALL\n")
        );
    }

    fn literal(&self, text: &str) -> String {
        literal(self.ddl(), text)
    }

    /// Milliseconds of a time of a table: a column of numbers in Parquet, a text in JSON lines.
    fn millis(&self, table: &Table, column: &str) -> String {
        if table.has_micros(column) {
            return format!("{column}_ms");
        }
        match (table.is_typed(), self.is_spark()) {
            // Files of version 1 have the time alone.
            (true, true) => format!("coalesce({column}_ms, unix_millis({column}))"),
            (true, false) => format!("coalesce({column}_ms, epoch_ms({column}))"),
            (false, true) => format!("unix_millis(to_timestamp({column}))"),
            (false, false) => format!("epoch_ms(CAST({column} AS TIMESTAMPTZ))"),
        }
    }

    /// A text column. Bytes have a column of their own; Spark reads those that are no UTF-8 with
    /// replacement characters, as the daemon does, and DuckDB has no function for them.
    fn text(&self, table: &Table, column: &str) -> String {
        match (table.is_typed(), self.is_spark()) {
            (true, true) => format!("coalesce({column}, decode({column}_bytes, 'UTF-8'))"),
            (false, true) => {
                format!("coalesce({column}, decode(unbase64({column}_bytes), 'UTF-8'))")
            }
            (true, false) => format!("coalesce({column}, try(decode({column}_bytes)))"),
            (false, false) => {
                format!("coalesce({column}, try(decode(from_base64({column}_bytes))))")
            }
        }
    }

    /// An array of the words of the text `text`.
    fn words(&self, split: &Split) -> Result<String, String> {
        let why = |what: &str| {
            Err(format!(
                "words are split by {what}, which engines do in other ways: use `alluvium recount` \
                 without --sql"
            ))
        };
        match (split, self.is_spark()) {
            (Split::Whitespace, true) => {
                Ok(format!("filter(split(text, {}), w -> w <> '')", self.literal(SPACE)))
            }
            (Split::Whitespace, false) => Ok(format!(
                "list_filter(regexp_split_to_array(text, {}), lambda w : w <> '')",
                self.literal(SPACE)
            )),
            // Java's split: trailing empty words are left out, and the empty text is one word.
            (Split::Space, true) => Ok("CASE WHEN text = '' THEN array('') WHEN rtrim(text) = '' \
                                        THEN array() ELSE split(rtrim(text), ' ', -1) END"
                .into()),
            (Split::Space, false) => {
                Ok("CASE WHEN text = '' THEN [''] WHEN rtrim(text, ' ') = '' \
                                         THEN [] ELSE string_split(rtrim(text, ' '), ' ') END"
                    .into())
            }
            (Split::Words, _) => why("Unicode's word boundaries"),
            (Split::Regex(_), _) => why("a regex"),
        }
    }

    /// The array of terms of a record, its text column, and the longest term in bytes.
    fn terms(&self, count: &WordCount) -> Result<(&'static str, String, usize), String> {
        Ok(match &count.by {
            By::Word(Tokenizer { split, lowercase, .. }) => {
                let words = self.words(split)?;
                let words = match (lowercase, self.is_spark()) {
                    (false, _) => words,
                    (true, true) => format!("transform({words}, w -> lower(w))"),
                    (true, false) => format!("list_transform({words}, lambda w : lower(w))"),
                };
                ("value", words, count.by.max_bytes())
            }
            By::Key { max_bytes } => {
                let one = if self.is_spark() { "array(text)" } else { "[text]" };
                ("key", one.into(), *max_bytes)
            }
            By::Field { .. } => {
                return Err("fields of JSON values are counted, whose numbers engines write in \
                            other ways: use `alluvium recount` without --sql"
                    .into());
            }
        })
    }

    /// Only what can be compared: the daemon cuts longer terms, and writes a checksum at their end.
    fn comparable(&self, max_bytes: usize) -> String {
        let bytes = if self.is_spark() { "octet_length(word)" } else { "strlen(word)" };
        let cut = self.literal("~[0-9a-f]{8}$");
        let cut = match self.is_spark() {
            true => format!("word RLIKE {cut}"),
            false => format!("regexp_matches(word, {cut})"),
        };
        let least = max_bytes.saturating_sub(12);
        format!("{bytes} <= {max_bytes} AND NOT ({least} < {bytes} AND {cut})")
    }

    /// A condition on words, behind others.
    fn without_stop_words(&self, by: &By) -> String {
        match by {
            By::Word(Tokenizer { stop_words, .. }) if !stop_words.is_empty() => {
                let mut all: Vec<String> = stop_words.iter().map(|w| self.literal(w)).collect();
                all.sort();
                format!(" AND word NOT IN ({})", all.join(", "))
            }
            _ => String::new(),
        }
    }

    /// A condition on windows, behind others.
    fn bounds(&self) -> String {
        let Range { start, end } = self.range;
        let from = (start != i64::MIN).then(|| format!(" AND {start} <= window_start_ms"));
        let until = (end != i64::MAX).then(|| format!(" AND window_start_ms < {end}"));
        from.into_iter().chain(until).collect()
    }

    /// The start of the window of a time; both in milliseconds, and negative before 1970.
    fn window(&self, millis: &str, width: i64) -> String {
        match self.by_window {
            true if self.is_spark() => format!("{millis} - pmod({millis}, {width})"),
            true => format!("{millis} - ((({millis} % {width}) + {width}) % {width})"),
            false => "0".into(),
        }
    }

    fn recount(
        &self,
        text: &mut String,
        raw: &[(Table, Option<Table>)],
        counts: &Table,
        count: &WordCount,
    ) -> Result<(), String> {
        if matches!(count.time, Time::Field { .. }) {
            return Err("windows are of a field's time, which engines read in other ways: use \
                        `alluvium recount` without --sql"
                .into());
        }
        let (column, terms, max_bytes) = self.terms(count)?;
        let comparable = self.comparable(max_bytes);
        let name = |name: &str| self.ddl().quoted(name);
        let create = match self.is_spark() {
            true => "CREATE OR REPLACE TEMPORARY VIEW",
            false => "CREATE OR REPLACE VIEW",
        };
        let mut sides = Vec::new();
        for (table, _) in raw {
            let millis = self.millis(table, "timestamp");
            let timed = match self.by_window {
                true => format!(" AND {millis} IS NOT NULL"),
                false => String::new(),
            };
            let topic = self.literal(&table.topic);
            sides.push(format!(
                "    SELECT {} AS window_start_ms, {} AS text FROM {} WHERE topic = {topic}{timed}",
                self.window(&millis, count.window.millis),
                self.text(table, column),
                name(&table.name)
            ));
        }
        let unnested = if self.is_spark() { "explode" } else { "unnest" };
        let (bounds, stop_words) = (self.bounds(), self.without_stop_words(&count.by));
        let start = match self.by_window {
            true => self.millis(counts, "window_start"),
            false => "0".into(),
        };
        let lower = |all: &[String]| all.join("\n    UNION ALL\n");
        let _ = write!(
            text,
            "{create} recounted AS\n\
             SELECT window_start_ms, word, count(*) AS words FROM (\n  \
               SELECT window_start_ms, {unnested}({terms}) AS word FROM (\n{}\n  ) AS records \
             WHERE \
             text IS NOT NULL\n) AS words\n\
             WHERE {comparable}{stop_words}{bounds}\nGROUP BY window_start_ms, word;\n\
             {create} published AS\n\
             SELECT window_start_ms, word, sum({count_column}) AS words FROM (\n  \
               SELECT {start} AS window_start_ms, word, {count_column} FROM {}\n  \
               WHERE topic = {}\n) AS counts\n\
             WHERE {comparable}{bounds}\nGROUP BY window_start_ms, word;\n\
             SELECT window_start_ms, word, coalesce(p.words, 0) AS published,\n  \
               coalesce(r.words, 0) AS recounted,\n  \
               window_start_ms >= (SELECT max(window_start_ms) FROM published) AS may_be_open\n\
             FROM published AS p FULL OUTER JOIN recounted AS r USING (window_start_ms, word)\n\
             WHERE coalesce(p.words, 0) <> coalesce(r.words, 0)\n\
             ORDER BY window_start_ms, word;\n",
            lower(&sides),
            name(&counts.name),
            self.literal(&counts.topic),
            count_column = name("count"),
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(mapping: &str, of: &RecountOf<'_>, engine: SqlEngine) -> Result<String, String> {
        let config = format!(
            "[kafka]\nbootstrap_servers = \"b:9092\"\ngroup_id = \"g\"\n[archive]\nroot = \
             \"hdfs://nn/data\"\n{mapping}"
        );
        of.statements(&Config::parse(&config, Some("i")).expect("a good one"), "m", engine)
    }

    const ALL: RecountOf<'_> = RecountOf { topics: &[], root: None, range: i64::MIN..i64::MAX };
    const ENGINES: [SqlEngine; 2] = [SqlEngine::Spark, SqlEngine::Duckdb];

    fn mapping(keys: &str) -> String {
        format!(
            "[mapping.m]\ntopics = [\"a\", \"b.c\"]\n[mapping.m.wordcount]\noutput_topic = \"n\"\n\
             {keys}\n"
        )
    }

    /// What an operator pastes into an engine; scenarios run those of DuckDB, `make prove` those
    /// of Spark.
    #[test]
    fn the_statements_are_the_golden_ones() {
        let mut all = String::new();
        for engine in ENGINES {
            for keys in [
                "",
                "window = \"1m\"\nsplit = \"space\"\nlowercase = true\n\
                 stop_words = [\"it's\", \"a\"]",
                "by = \"key\"\ntime = \"arrival\"\narchive = { format = \"jsonl\" }",
            ] {
                let text = sql(&mapping(keys), &ALL, engine).unwrap();
                let _ = write!(all, "-- {engine:?}: {}\n{text}\n", keys.replace('\n', ", "));
            }
        }
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/recount.sql");
        if std::env::var_os("ALLUVIUM_GOLDEN").is_some() {
            std::fs::write(golden, &all).unwrap();
        }
        assert_eq!(all, std::fs::read_to_string(golden).unwrap());
    }

    #[test]
    fn what_an_engine_counts_in_another_way_is_refused() {
        for engine in ENGINES {
            for (keys, want) in [
                ("by = { field = \"f\" }", "fields of JSON values"),
                ("time = { field = \"f\", unit = \"ms\" }", "a field's time"),
                ("split = \"words\"", "Unicode's word boundaries"),
                ("split = { regex = \",\" }", "a regex"),
            ] {
                let got = sql(&mapping(keys), &ALL, engine).unwrap_err();
                assert!(got.contains(want), "{keys}: {got}");
            }
            let range = RecountOf { range: 0..10, ..ALL };
            let got = sql(&mapping("time = \"arrival\""), &range, engine).unwrap_err();
            assert!(got.contains("arrival time"), "{got}");
            let regex =
                "[mapping.m]\ntopics_regex = \"a.*\"\nwordcount = { output_topic = \"n\" }\n";
            assert!(sql(regex, &ALL, engine).unwrap_err().contains("--topic"));
            let topics = ["abc".to_string()];
            let got = sql(regex, &RecountOf { topics: &topics, ..ALL }, engine).unwrap();
            assert!(got.contains("abc"), "{got}");
            let json = "[mapping.m]\ntopics = [\"a\"]\n\
                        archive = { format = \"jsonl\", value = \"json\" }\n\
                        wordcount = { output_topic = \"n\" }\n";
            assert!(sql(json, &ALL, engine).unwrap_err().contains("values as JSON"));
            let none = "[mapping.m]\ntopics = [\"a\"]\narchive = false\n\
                        wordcount = { output_topic = \"n\" }\n";
            assert!(sql(none, &ALL, engine).unwrap_err().contains("cannot be recounted"));
        }
        let range = RecountOf { range: 60_000..120_000, root: Some("file:///copy"), ..ALL };
        let got = sql(&mapping(""), &range, SqlEngine::Duckdb).unwrap();
        let bounds = "60000 <= window_start_ms AND window_start_ms < 120000";
        assert!(got.matches(bounds).count() == 2 && got.contains("'/copy/a/"), "{got}");
    }
}
