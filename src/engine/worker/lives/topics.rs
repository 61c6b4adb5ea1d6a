//! The topics of the lives: partitions `in/0` and `in/1`, published to `out/0`.

use std::cell::Cell;

use crate::pure::layout::rules::OnBadRecord;
use crate::pure::record::TopicPartition;

thread_local! {
    /// Counts are merged over all partitions.
    pub(super) static MERGED: Cell<bool> = const { Cell::new(false) };
    /// The sources' archive takes JSON, some lines are none, and this becomes of them.
    pub(super) static UNFIT: Cell<Option<OnBadRecord>> = const { Cell::new(None) };
    /// What the files of the sources are.
    pub(super) static SHAPE: Cell<Shape> = const { Cell::new(Shape::Lines) };
}

/// Formats and paths that the sources' archive may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    Lines,
    /// The values alone; bad records are JSON lines.
    Text,
    Parquet,
    Avro,
    /// A declared column in Parquet, in Avro and in JSON lines.
    Columns,
    AvroColumns,
    LineColumns,
    /// Directories by a field of the record, of which there may be two.
    Values,
}

impl Shape {
    pub(super) const OTHERS: [Shape; 7] = [
        Shape::Text,
        Shape::Parquet,
        Shape::Avro,
        Shape::Columns,
        Shape::AvroColumns,
        Shape::LineColumns,
        Shape::Values,
    ];

    /// The keys of the archive.
    pub(super) fn keys(self) -> &'static str {
        match self {
            Shape::Lines => "",
            Shape::Text => "format = \"text\", level = 3",
            Shape::Parquet => "format = \"parquet\", level = 3",
            Shape::Avro => "format = \"avro\"",
            Shape::Columns => "format = \"parquet\", columns = { line = \"string\" }",
            Shape::AvroColumns => "format = \"avro\", columns = { line = \"string\" }",
            Shape::LineColumns => "format = \"jsonl\", columns = { line = \"string\" }",
            Shape::Values => {
                "path = \"{topic}/v={field:line}/%F\", max_values = 2, format = \"parquet\""
            }
        }
    }

    /// A record whose words are these, of which some do not fit.
    pub(super) fn value(self, words: &str, fits: bool) -> String {
        match (self, fits) {
            (Shape::Text, false) => format!("{words}\r"),
            (Shape::Lines | Shape::Text | Shape::Parquet | Shape::Avro, _) => words.into(),
            (_, true) => format!("{{\"line\":\"{words}\"}}"),
            (_, false) => words.into(),
        }
    }

    /// Whether a record becomes a row of the archive; else it is one of the quarantine.
    pub(super) fn fits(self, value: &str) -> bool {
        match self {
            Shape::Lines | Shape::Parquet | Shape::Avro | Shape::Values => true,
            Shape::Text => !value.ends_with('\r'),
            Shape::Columns | Shape::AvroColumns | Shape::LineColumns => value.starts_with('{'),
        }
    }
}

pub(super) fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}

/// Every partition that a process is assigned.
pub(super) fn all() -> Vec<TopicPartition> {
    let mut all = vec![tp("in", 0), tp("in", 1), tp("out", 0)];
    if MERGED.get() {
        all.push(tp("g-m-partials", 0));
    }
    all
}
