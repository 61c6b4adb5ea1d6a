//! The keys of an archive that decide what a record becomes: `key`, `value`, `columns`,
//! `raw_value`, `tombstones`, `on_bad_record` and `max_bad`.

use std::sync::Arc;

use toml::Value;

use crate::common::config::fields::{Faults, Fields};
use crate::common::schemas::Schemas;
use crate::pure::layout::bad::MaxBad;
use crate::pure::layout::cells::ColumnType;
use crate::pure::layout::columns::{Column, JsonColumns};
use crate::pure::layout::format::{
    ColumnRows, Evolution, Format, Nested, Registered, Rows, TextPolicy,
};
use crate::pure::layout::registered::RegisteredRows;
use crate::pure::layout::rules::{OnBadRecord, RecordRules, Tombstones};

/// The keys as far as they are given.
#[derive(Clone, Default, Debug)]
pub(super) struct RowKeys {
    key: Option<TextPolicy>,
    value: Option<ValueMode>,
    columns: Option<Vec<Column>>,
    raw_value: Option<bool>,
    evolution: Option<Evolution>,
    nested: Option<Nested>,
    tombstones: Option<Tombstones>,
    on_bad_record: Option<OnBadRecord>,
    /// [`None`] inside of it switches an inherited limit off.
    max_bad: Option<Option<MaxBad>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ValueMode {
    Text(TextPolicy),
    /// As JSON inside of JSON.
    Json,
    /// As the columns of a schema, whose id it begins with.
    Registry,
}

/// The most columns that a mapping may declare: each one costs memory in each open file.
const MOST_COLUMNS: usize = 1_000;

impl RowKeys {
    pub(super) fn read(f: &mut Fields, faults: &mut Faults) -> RowKeys {
        let (auto, bytes) = (TextPolicy::Auto, TextPolicy::Bytes);
        let values = [
            ("auto", ValueMode::Text(auto)),
            ("bytes", ValueMode::Text(bytes)),
            ("json", ValueMode::Json),
            ("registry", ValueMode::Registry),
        ];
        let evolutions = [("as-written", Evolution::AsWritten), ("latest", Evolution::Latest)];
        let nested = [("json", Nested::Json), ("columns", Nested::Columns)];
        let tombstones = [
            ("keep", Tombstones::Keep),
            ("drop", Tombstones::Drop),
            ("quarantine", Tombstones::Quarantine),
        ];
        let on_bad_record = [
            ("quarantine", OnBadRecord::Quarantine),
            ("skip", OnBadRecord::Skip),
            ("stop", OnBadRecord::Stop),
        ];
        RowKeys {
            key: f.choice("key", &[("auto", auto), ("bytes", bytes)], faults),
            value: f.choice("value", &values, faults),
            columns: columns(f, faults),
            raw_value: f.flag("raw_value", faults),
            evolution: f.choice("evolution", &evolutions, faults),
            nested: f.choice("nested", &nested, faults),
            tombstones: f.choice("tombstones", &tombstones, faults),
            on_bad_record: f.choice("on_bad_record", &on_bad_record, faults),
            max_bad: f.parsed("max_bad", faults, |text| match text {
                "off" => Ok(None),
                limit => MaxBad::parse(limit).map(Some),
            }),
        }
    }

    pub(super) fn or(self, d: &RowKeys) -> RowKeys {
        RowKeys {
            key: self.key.or(d.key),
            value: self.value.or(d.value),
            columns: self.columns.or_else(|| d.columns.clone()),
            raw_value: self.raw_value.or(d.raw_value),
            evolution: self.evolution.or(d.evolution),
            nested: self.nested.or(d.nested),
            tombstones: self.tombstones.or(d.tombstones),
            on_bad_record: self.on_bad_record.or(d.on_bad_record),
            max_bad: self.max_bad.or(d.max_bad),
        }
    }

    /// Whether one of the keys that [`RowKeys::valid`] finds faults in is given here.
    pub(super) fn gives(&self, name: &str) -> bool {
        match name {
            "value" => self.value.is_some(),
            "columns" => self.columns.is_some(),
            "raw_value" => self.raw_value.is_some(),
            "evolution" => self.evolution.is_some(),
            "nested" => self.nested.is_some(),
            _ => false,
        }
    }

    fn registered(&self, key: TextPolicy, value: Option<TextPolicy>) -> Registered {
        let evolution = self.evolution.unwrap_or(Evolution::AsWritten);
        let nested = self.nested.unwrap_or(Nested::Json);
        Registered { key, value, evolution, nested }
    }

    /// The rules of records, and the limit of bad ones. Published counts have rows of their own,
    /// and every record of them is kept.
    pub(super) fn valid(
        self,
        counts: bool,
        format: Option<Format>,
        key: &dyn Fn(&str) -> String,
        faults: &mut Faults,
    ) -> (RecordRules, Option<MaxBad>) {
        let tombstones = self.tombstones.unwrap_or(Tombstones::Keep);
        let on_bad_record = self.on_bad_record.unwrap_or(OnBadRecord::Quarantine);
        let max_bad = self.max_bad.flatten();
        let is_registered = self.value == Some(ValueMode::Registry);
        // An empty table has no columns, whatever the defaults have.
        let columns = self.columns.clone().filter(|columns| !columns.is_empty());
        let rules =
            |rows| (RecordRules { rows, tombstones, on_bad_record, registered: None }, max_bad);
        let is_text = matches!(format, Some(Format::Text(_)));
        if counts {
            if is_text {
                faults.add(
                    key("format"),
                    "counts have columns, and text has none: write archive = { format = \
                     \"parquet\" } for the counts",
                );
            }
            return rules(Rows::Counts);
        }
        let key_mode = self.key.unwrap_or(TextPolicy::Auto);
        let has_columns = !is_text;
        check_value((self.value, format, columns.is_some()), key, faults);
        let no_registry = |name: &&str| !is_registered && self.gives(name);
        for name in ["evolution", "nested"].into_iter().filter(no_registry) {
            faults.add(key(name), "is about value = \"registry\", which is not set here");
        }
        if self.raw_value.is_some() && columns.is_none() && !is_registered {
            faults.add(key("raw_value"), "is about mappings with columns, and there are none");
        }
        let beside = |mode| self.raw_value.unwrap_or(true).then_some(mode);
        let value = match self.value {
            Some(ValueMode::Json) => return rules(Rows::Json { key: key_mode }),
            Some(ValueMode::Registry) => {
                // An id before the value is not text.
                let of = self.registered(key_mode, beside(TextPolicy::Bytes));
                let (reserved, schemas) = (Vec::new(), Arc::new(Schemas::default()));
                let registered = Some(RegisteredRows { of, reserved, schemas });
                let (rules, max_bad) = rules(Rows::Registered(of));
                return (RecordRules { registered, ..rules }, max_bad);
            }
            Some(ValueMode::Text(value)) => value,
            None => TextPolicy::Auto,
        };
        let Some(columns) = columns else {
            return rules(if is_text { Rows::Values } else { Rows::Raw { key: key_mode, value } });
        };
        if !has_columns {
            faults.add(
                key("columns"),
                "need format = \"parquet\", \"avro\" or \"jsonl\"; write columns = {} where those \
                 of [archive] are not wanted",
            );
        }
        let (value, columns) = (beside(value), JsonColumns::new(columns));
        rules(Rows::Columns(Arc::new(ColumnRows { key: key_mode, value, columns })))
    }
}

/// Finds a value that no file of the format has, or that declared columns do not suit.
fn check_value(
    (value, format, is_declared): (Option<ValueMode>, Option<Format>, bool),
    key: &dyn Fn(&str) -> String,
    faults: &mut Faults,
) {
    let columns_too = |what: &str| {
        format!(
            "\"{what}\" and columns can't both be set; write columns = {{}} where the columns of \
             [archive] are not wanted"
        )
    };
    match (value, format) {
        (Some(ValueMode::Registry), Some(Format::JsonLines(_) | Format::Text(_))) => {
            faults.add(key("value"), "\"registry\" needs format = \"parquet\" or \"avro\"");
        }
        (Some(ValueMode::Registry), _) if is_declared => {
            faults.add(key("value"), columns_too("registry"));
        }
        (Some(ValueMode::Json), Some(Format::Parquet(_) | Format::Avro(_) | Format::Text(_))) => {
            faults.add(
                key("value"),
                "\"json\" needs format = \"jsonl\"; in Parquet and Avro write columns = { … }",
            );
        }
        (Some(ValueMode::Json), _) if is_declared => faults.add(key("value"), columns_too("json")),
        (Some(ValueMode::Text(TextPolicy::Bytes)), Some(Format::Text(_))) => faults.add(
            key("value"),
            "\"bytes\" can't be in text, whose lines are the values themselves: write value = \
             \"auto\"; a value that is no line of text is a bad record",
        ),
        _ => {}
    }
}

/// What names of columns are taken by the envelope, whichever of its columns a file has.
fn is_taken(name: &str) -> bool {
    let envelope = Rows::Quarantine;
    envelope.columns().iter().any(|taken| taken.eq_ignore_ascii_case(name))
}

fn columns(f: &mut Fields, faults: &mut Faults) -> Option<Vec<Column>> {
    let table = match f.take("columns")? {
        Value::Table(table) => table,
        other => return f.wrong_type("columns", "a table", &other, faults),
    };
    let mut columns: Vec<Column> = Vec::new();
    if MOST_COLUMNS < table.len() {
        let text = format!("has {} columns; {MOST_COLUMNS} are allowed", table.len());
        faults.add(f.key("columns"), text);
    }
    for (path, value) in table {
        let key = f.key(&format!("columns.{path:?}"));
        let Some(column) = column(&path, value, &key, faults) else { continue };
        let same = |known: &&Column| {
            known.name.eq_ignore_ascii_case(&column.name) || known.id() == column.id()
        };
        if is_taken(&column.name) {
            faults.add(
                key,
                format!(
                    "{:?} is a column of all files, or of the quarantine; write {{ type = \"{}\", \
                     name = \"…\" }} to give the field's column another name",
                    column.name, column.kind
                ),
            );
        } else if let Some(other) = columns.iter().find(same) {
            faults.add(
                key,
                format!(
                    "the column {:?} cannot be told from the column {:?} of field {}; write {{ \
                     type = \"{}\", name = \"…\" }} to give it another name",
                    column.name, other.name, other.path, column.kind
                ),
            );
        } else {
            columns.push(column);
        }
    }
    check_parents(f, &columns, faults);
    Some(columns)
}

/// A field with a column of its own is an object where another column lies in it.
fn check_parents(f: &Fields, columns: &[Column], faults: &mut Faults) {
    for column in columns.iter().filter(|column| column.kind != ColumnType::Json) {
        let is_below = |other: &&Column| other.path.lies_in(&column.path);
        if let Some(other) = columns.iter().find(is_below) {
            let path = column.path.to_string();
            faults.add(
                f.key(&format!("columns.{path:?}")),
                format!(
                    "no field is both a {} and an object, and {} lies in it; the type \"json\" \
                     takes the object",
                    column.kind, other.path
                ),
            );
        }
    }
}

/// A column is a type, or a table of a type and a name.
fn column(path: &str, value: Value, key: &str, faults: &mut Faults) -> Option<Column> {
    let (kind, name) = match value {
        Value::String(kind) => {
            (ColumnType::parse(&kind).map_err(|e| faults.add(key, e)).ok()?, None)
        }
        Value::Table(table) if !table.contains_key("type") && !table.contains_key("name") => {
            let inner = table.keys().next().map_or("", String::as_str);
            faults.add(
                key,
                format!(
                    "has no type; to name a field of an inner object, quote its path: \
                         \"{path}.{inner}\" = \"string\""
                ),
            );
            return None;
        }
        Value::Table(table) => {
            let mut f = Fields::new(key, table);
            let kind = f.parsed("type", faults, ColumnType::parse);
            let kind = f.require("type", kind, "write type = \"string\"", faults);
            let name = f.text("name", faults);
            f.finish(faults);
            (kind?, name)
        }
        other => {
            let got = other.type_str();
            faults.add(key, format!("must be the name of a type or a table, not {got}"));
            return None;
        }
    };
    Column::new(path, name.as_deref(), kind).map_err(|e| faults.add(key, e)).ok()
}

#[cfg(test)]
mod tests {
    use crate::common::config::{ArchiveConfig, Config};
    use crate::pure::layout::format::Rows;

    fn config(archive: &str) -> String {
        format!(
            r#"
[kafka]
bootstrap_servers = "b:9092"
group_id = "g"
[archive]
root = "file:///nowhere"
{archive}
[mapping.m]
topics = ["in"]
[mapping.m.wordcount]
output_topic = "out"
archive = true
"#
        )
    }

    fn parsed(archive: &str) -> std::sync::Arc<ArchiveConfig> {
        let config = Config::parse(&config(archive), Some("i")).expect("a good configuration");
        config.mappings[0].archive.clone().expect("it archives")
    }

    fn faults(archive: &str) -> String {
        Config::parse(&config(archive), Some("i")).expect_err(archive).to_string()
    }

    #[test]
    fn columns_stand_in_the_order_in_which_they_are_written() {
        let archive = parsed(
            "columns = { user = \"string\", \"http.status\" = \"int32\", \"a b\" = { type = \
             \"decimal(9,2)\", name = \"price\" } }",
        );
        let Rows::Columns(rows) = &archive.rules.rows else { panic!("{:?}", archive.rules) };
        let names: Vec<&str> = rows.columns.columns().iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["user", "http_status", "price"]);
        assert!(rows.value.is_some(), "nothing of a record is lost unless somebody asks for it");
        let without = parsed("columns = { user = \"string\" }\nraw_value = false");
        assert_ne!(archive.fingerprint, without.fingerprint);
        assert!(!without.rules.rows.columns().contains(&"value"));
    }

    #[test]
    fn a_mapping_leaves_what_the_defaults_have() {
        let defaults = "columns = { user = \"string\" }\nmax_bad = \"5% of 1m\"";
        let text = config(defaults).replace(
            "topics = [\"in\"]",
            "topics = [\"in\"]\narchive = { format = \"jsonl\", value = \"json\", columns = {}, \
             max_bad = \"off\" }",
        );
        let config = Config::parse(&text, Some("i")).expect("a good configuration");
        let archive = config.mappings[0].archive.clone().expect("it archives");
        assert!(matches!(archive.rules.rows, Rows::Json { .. }) && archive.max_bad.is_none());
    }

    /// Ledger entries of all archives carry it: it changes with the settings of files alone.
    #[test]
    fn the_fingerprint_of_an_archive_without_the_new_keys_is_the_old_one() {
        let fingerprint = |archive: &str| parsed(archive).fingerprint.clone();
        let plain = fingerprint("");
        assert_eq!(plain, "65543134");
        for same in
            ["tombstones = \"keep\"", "on_bad_record = \"quarantine\"", "max_bad = \"5% of 1m\""]
        {
            assert_eq!(fingerprint(same), plain, "{same}");
        }
        for other in ["tombstones = \"drop\"", "on_bad_record = \"skip\"", "value = \"bytes\""] {
            assert_ne!(fingerprint(other), plain, "{other}");
        }
    }

    #[test]
    fn what_cannot_be_read_back_is_refused() {
        for (archive, want) in [
            ("columns = { Value = \"string\" }", "is a column of all files"),
            ("columns = { timestamp = \"timestamp_ms\" }", "is a column of all files"),
            ("columns = { error = \"string\" }", "or of the quarantine"),
            ("columns = { a_b = \"string\", \"a.b\" = \"string\" }", "another name"),
            ("columns = { user = \"string\", User = \"string\" }", "another name"),
            ("columns = { user = \"text\" }", "archive.columns.\"user\""),
            ("columns = { user = 1 }", "must be the name of a type"),
            ("columns = { user = { name = \"u\" } }", "type"),
            ("columns = { user = { type = \"string\", nmae = \"u\" } }", "did you mean \"name\""),
            ("columns = { a = \"string\", \"a.b\" = \"int32\" }", "takes the object"),
            ("columns = { http.status = \"int32\" }", "quote its path: \"http.status\" = "),
            ("columns = [\"user\"]", "must be a table"),
            ("columns = { user = \"string\" }\nformat = \"text\"", "\"avro\" or \"jsonl\""),
            ("columns = { hr = \"string\" }", "is a column of the files"),
            ("columns = { HR = \"string\" }", "is a column of the files"),
            ("value = \"json\"", "format = \"jsonl\""),
            ("format = \"jsonl\"\nvalue = \"json\"\ncolumns = { u = \"string\" }", "both"),
            ("raw_value = false", "there are none"),
            ("max_bad = \"5%\"", "5% of 10m"),
            ("on_bad_record = \"ignore\"", "none of \"quarantine\", \"skip\", \"stop\""),
            ("tombstones = \"delete\"", "none of \"keep\", \"drop\", \"quarantine\""),
        ] {
            let faults = faults(archive);
            assert!(faults.contains(want), "{archive}: {faults}");
        }
    }
}
