//! The reference of the configuration, `docs/configuration.md`: types and bounds come from the code
//! that reads them, defaults from reading the example without them, and words from the example.

use std::fmt::Write as _;

use toml::{Table, Value};

use crate::common::config::example::Example;
use crate::common::config::facts::{Fact, Kind};
use crate::common::config::whole::{Config, RESTART};

/// The tables of the reference, each with what it is.
const TABLES: [(&str, &str); 10] = [
    ("kafka", "The brokers and the group."),
    ("kafka.kerberos", "Who the daemon is with the SASL mechanism GSSAPI."),
    ("daemon", "One instance on its host."),
    ("daemon.login", "How commands log in at the listener of a daemon that asks for it."),
    ("registry", "Where the schemas of `value = \"registry\"` are asked for."),
    (
        "archive",
        "Defaults of every archive. A mapping's `archive = { … }`, and that of its counts, has the \
         same keys and overrides them; `archive = false` is no archive.",
    ),
    ("archive.roll", "When open files are closed and published."),
    ("archive.kerberos", "Who the daemon is in HDFS."),
    ("mapping.NAME", "What becomes of some topics. A file has one table for each mapping."),
    ("mapping.NAME.wordcount", "The counts of a mapping; without this table it only archives."),
];

/// The same, of the internal topic.
const PARTIALS: (&str, &str) =
    ("mapping.NAME.wordcount.partials", "The internal topic of partial counts.");

/// A table of the reference.
#[derive(Clone, Debug)]
pub struct ReferenceTable {
    pub name: &'static str,
    pub about: &'static str,
    pub keys: Vec<ReferenceKey>,
}

/// A key of a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReferenceKey {
    pub name: String,
    pub kind: String,
    /// As TOML, or `required`.
    pub default: Option<String>,
    /// A value that is not the default, as TOML.
    pub example: Option<String>,
    /// What has to be done after a change: `restart`, `reload` or `nothing`.
    pub change: &'static str,
    pub words: String,
}

/// The section of docs/configuration.md that describes a key of a configuration, as the name of a
/// table: `mapping.NAME.wordcount` for `mapping.orders.wordcount.window`, and `archive.roll` for
/// `mapping.orders.archive.roll.age`. None for what is no key of a known table.
#[must_use]
pub fn table_of_key(key: &str) -> Option<&'static str> {
    let parts: Vec<&str> = key.split('.').collect();
    let own = match &*parts {
        ["mapping", _, "archive", ..] => parts[2..].join("."),
        ["mapping", _, "wordcount", "archive", ..] => parts[3..].join("."),
        ["mapping", _, rest @ ..] => [&["mapping", "NAME"], rest].concat().join("."),
        _ => key.to_string(),
    };
    let is_of =
        |table: &&str| own.strip_prefix(*table).is_some_and(|r| r.is_empty() || r.starts_with('.'));
    let tables = TABLES.into_iter().chain([PARTIALS]).map(|(table, _)| table);
    tables.filter(is_of).max_by_key(|table| table.len())
}

/// All tables with all keys.
#[must_use]
pub fn reference_tables() -> Vec<ReferenceTable> {
    let (facts, example) = (Config::facts(), Example::shipped());
    let tables = TABLES.into_iter().chain([PARTIALS]).map(|(table, about)| {
        let keys = facts.0.iter().filter_map(|(key, fact)| {
            let name = key.strip_prefix(table)?.strip_prefix('.')?;
            (!name.contains('.')).then(|| described(name, key, fact, &example))
        });
        ReferenceTable { name: table, about, keys: keys.collect() }
    });
    tables.collect()
}

/// The page, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Configuration\n\nThis page lists every key of the configuration file; \
         `ALLUVIUM_DOCS=1 cargo test --release --test files` writes it from the code.\n\
         [config/alluvium.toml](../config/alluvium.toml) is an example with all of them, and \
         [config/alluvium.schema.json](../config/alluvium.schema.json) lets editors complete and \
         check a file: packages have it in `/usr/share/alluvium`, and `alluvium generate schema` \
         prints it. An editor with the language server Taplo takes it from a first line `#:schema \
         /usr/share/alluvium/alluvium.schema.json`.\n\nDurations are written as `\"2s\"`, \
         `\"10m\"` or `\"1h 30m\"`, sizes as `\"128MiB\"` or `\"1GB\"`.\nA key whose change needs \
         a *reload* is taken at SIGHUP (`systemctl reload alluvium`); one that needs a *restart* \
         is named by the reload, and stays as it was; another `kafka.group_id` refuses the whole \
         reload.\n",
    );
    for table in reference_tables() {
        let _ = write!(page, "\n## `[{}]`\n\n{}\n\n", table.name, table.about);
        page.push_str(
            "| key | type | default | for example | a change needs | |\n\
             | --- | --- | --- | --- | --- | --- |\n",
        );
        for ReferenceKey { name, kind, default, example, change, words } in table.keys {
            let default = match default.as_deref() {
                Some("required") => "required".into(),
                Some(value) => format!("`{value}`"),
                None => String::new(),
            };
            let example = example.map(|value| format!("`{value}`")).unwrap_or_default();
            let words = words.replace('|', "\\|").replace('<', "&lt;");
            let cells = [&*format!("`{name}`"), &*kind, &*default, &*example, change, &*words];
            let _ = writeln!(page, "| {} |", cells.join(" | "));
        }
    }
    page
}

fn described(name: &str, key: &str, fact: &Fact, example: &Example) -> ReferenceKey {
    let default = match (fact.is_required, example.value(key)) {
        (true, _) => Some("required".into()),
        (false, value) => value.filter(|_| is_default(key)).map(general),
    };
    let shown = example.value(key).filter(|value| default.as_deref() != Some(&*general(value)));
    let shown = shown.filter(|value| !value.is_empty()).map(String::from);
    ReferenceKey {
        name: name.into(),
        kind: kind_in_words(&fact.kind),
        default,
        example: shown,
        change: change(key),
        words: words(key, example),
    }
}

/// A default of the example that has the names of its group and its mapping, with those of any.
fn general(value: &str) -> String {
    value.replace("alluvium-hello-", "GROUP-MAPPING-")
}

/// What the example says of a key, or what the table of this name is for.
fn words(key: &str, example: &Example) -> String {
    let said = example.description(key);
    let table = TABLES.iter().find(|(table, _)| said.is_empty() && *table == key);
    table.map_or(said, |(_, about)| (*about).to_string())
}

fn kind_in_words(kind: &Kind) -> String {
    match kind {
        Kind::Text => "string".into(),
        Kind::Flag => "true or false".into(),
        Kind::Number { least, most: i64::MAX } => format!("whole number, {least} or more"),
        Kind::Number { least, most } => format!("whole number, {least} to {most}"),
        Kind::Duration { least } if least.is_zero() => "duration".into(),
        Kind::Duration { least } => format!("duration, {least:?} or more"),
        Kind::Size { least } => format!("size, {} or more", bytesize::ByteSize(*least)),
        Kind::Choice(words) => {
            words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
        }
        Kind::Texts => "list of strings".into(),
        Kind::Table | Kind::Entries => "table".into(),
        Kind::Other => "several forms".into(),
    }
}

/// What has to be done after a change of this key.
fn change(key: &str) -> &'static str {
    let is_of = |table: &str| {
        key.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    match () {
        () if RESTART.iter().any(|(table, _)| is_of(table)) => "restart",
        () if is_of("daemon.login") => "nothing",
        () => "reload",
    }
}

/// Whether the example shows the default of this key: without it, the same is configured.
fn is_default(key: &str) -> bool {
    let config = |table: Table| {
        let mut config = Config::check(table, Some("i")).ok()?;
        // What is written differs, of course.
        config.defaults.clear();
        config.mappings.iter_mut().for_each(|mapping| mapping.written.clear());
        Some(format!("{config:?}"))
    };
    let whole = Example::table();
    let mut without = whole.clone();
    let path: Vec<&str> =
        key.split('.').map(|part| if part == "NAME" { "hello" } else { part }).collect();
    let Some((last, tables)) = path.split_last() else { return false };
    let inner = tables
        .iter()
        .try_fold(&mut without, |table, name| table.get_mut(*name).and_then(Value::as_table_mut));
    let was_there = inner.is_some_and(|table| table.remove(*last).is_some());
    was_there && config(whole) == config(without)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys that a user has to choose, or that stand in the example for what they look like.
    const CHOSEN: [&str; 8] = [
        "archive.hadoop",
        "archive.root",
        "kafka.bootstrap_servers",
        "kafka.group_id",
        "kafka.properties",
        "mapping.NAME.topics",
        "mapping.NAME.wordcount.archive",
        "mapping.NAME.wordcount.output_topic",
    ];

    #[test]
    fn each_key_leads_to_a_table() {
        for (key, table) in [
            ("kafka", Some("kafka")),
            ("kafka.groupid", Some("kafka")),
            ("kafka.properties.\"enable.auto.commit\"", Some("kafka")),
            ("kafka.kerberos.keytab", Some("kafka.kerberos")),
            ("archive.root", Some("archive")),
            ("archive.hadoop.\"dfs.replication\"", Some("archive")),
            ("mapping.orders.topics", Some("mapping.NAME")),
            ("mapping.orders", Some("mapping.NAME")),
            ("mapping.orders.archive.path", Some("archive")),
            ("mapping.orders.archive.roll.age", Some("archive.roll")),
            ("mapping.orders.wordcount.window", Some("mapping.NAME.wordcount")),
            ("mapping.orders.wordcount.archive.codec", Some("archive")),
            ("mapping.orders.wordcount.partials.topic", Some("mapping.NAME.wordcount.partials")),
            ("kafkas", None),
            ("(file)", None),
        ] {
            assert_eq!(table_of_key(key), table, "{key}");
        }
    }

    #[test]
    fn the_example_shows_true_defaults() {
        let example = Example::shipped();
        let shown = |key: &&String| example.value(key).is_some() && !example.is_commented_out(key);
        let is_chosen = |key: &String| CHOSEN.iter().any(|chosen| key.starts_with(chosen));
        let facts = Config::facts();
        let wrong: Vec<&String> = facts
            .0
            .keys()
            .filter(shown)
            .filter(|key| !is_chosen(key) && !is_default(key))
            .collect();
        assert!(wrong.is_empty(), "comment these out, or show their defaults: {wrong:?}");
        let all: Vec<_> = facts.0.keys().filter(shown).collect();
        assert!(40 < all.len(), "{all:?}");
    }

    #[test]
    fn each_key_is_in_the_example_and_in_a_table_of_the_reference() {
        let example = Example::shipped();
        let page = reference();
        let tables: Vec<&str> = TABLES.iter().chain([&PARTIALS]).map(|(table, _)| *table).collect();
        for key in Config::facts().0.keys() {
            let of_an_archive = key.contains("NAME.archive.") || key.contains("wordcount.archive.");
            if of_an_archive {
                continue;
            }
            let (table, _) = key.rsplit_once('.').unwrap_or(("", key));
            if table.is_empty() {
                continue;
            }
            assert!(tables.contains(&table), "{key}: no section for {table}");
            assert!(!words(key, &example).is_empty(), "config/alluvium.toml says nothing of {key}");
        }
        let roll = "| `records` | whole number, 1 or more |  | `1000000` | reload |";
        assert!(page.contains(roll), "{page}");
        let partials = "| `{ topic = \"GROUP-MAPPING-partials\", partitions = 4,";
        assert!(page.contains(partials) && !page.contains("hello-"), "{page}");
        assert!(
            page.contains("| `workers` | whole number, 1 to 256 | `2` |  | restart |"),
            "{page}"
        );
    }
}
