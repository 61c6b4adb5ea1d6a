//! Columns that a mapping declares of its JSON values: `columns = { user = "string" }`.
//!
//! A column has a *path* in the value (`http.status` is the field `status` of the object `http`), a
//! *name* in the files, and a type. A field that is not there, or that is null, is null in its
//! column. A field that its type cannot hold without loss makes the whole record a bad one
//! ([`crate::pure::layout::rules`]).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::pure::field_path::FieldPath;
use crate::pure::layout::cells::{Cell, ColumnType};
use crate::pure::layout::nested_type::NestedType;

/// One declared column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    /// The column's name in the files.
    pub name: String,
    pub path: FieldPath,
    pub kind: ColumnType,
    /// The type of the parts of a [`ColumnType::Nested`]; [`None`] for all others.
    pub nested: Option<Arc<NestedType>>,
}

/// The lowest field id of a declared column; all ids of columns that every file has lie below.
pub const FIRST_ID: i32 = 10_000;
/// How many ids there are: table formats reserve those near the end of the numbers.
const IDS: u32 = 2_000_000_000;
/// Fields lie this deep at most: a parser has to go there.
const DEEPEST: usize = 64;

impl Column {
    /// A column of the field at `path`, whose names are separated by dots. Without a name of its
    /// own it is named by the path, with `_` in the place of each dot.
    ///
    /// # Errors
    /// The path, or the name, cannot be used; the text says why.
    pub fn new(path: &str, name: Option<&str>, kind: ColumnType) -> Result<Column, String> {
        let path = FieldPath::parse(path).ok_or_else(|| {
            format!(
                "{path:?} is not a path; write a field's name, or names with dots between them, \
                 like \"http.status\""
            )
        })?;
        let names = path.names();
        if DEEPEST < names.len() {
            return Err(format!("has {} names; {DEEPEST} are allowed", names.len()));
        }
        let name = name.map_or_else(|| names.join("_"), String::from);
        let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !(first && plain && name.len() <= 128) {
            return Err(format!(
                "{name:?} cannot be the name of a column in every reader: use letters of ASCII, \
                 digits and '_', and begin with a letter; write {{ type = \"{kind}\", name = \
                 \"…\" }} to give it another name"
            ));
        }
        Ok(Column { name, path, kind, nested: None })
    }

    /// A column of the field with this name, dots and all.
    ///
    /// # Errors
    /// The name of the column cannot be used; the text says why.
    pub fn of_field(field: &str, name: &str, kind: ColumnType) -> Result<Column, String> {
        let column = Column::new("field", Some(name), kind)?;
        Ok(Column { path: FieldPath::of_field(field), ..column })
    }

    /// The column's field id in Parquet. It depends on the name alone, so that it stays when other
    /// columns come and go: tables with evolving schemas (Iceberg) know a column by its id.
    #[must_use]
    pub fn id(&self) -> i32 {
        field_id(&self.name)
    }
}

/// The field id of a column of this name, or of the part of a column that has this path.
#[must_use]
pub fn field_id(path: &str) -> i32 {
    let hash = crc32c::crc32c(path.as_bytes()).checked_rem(IDS).unwrap_or_default();
    FIRST_ID.saturating_add_unsigned(hash)
}

/// All declared columns of a mapping, in the order of the files' columns, and the tree of their
/// paths: a value is read once.
#[derive(Clone, Default, Debug)]
pub struct JsonColumns {
    columns: Vec<Column>,
    tree: Tree,
}

/// The fields of one object that columns come from.
#[derive(Clone, Default, Debug)]
struct Tree(Vec<(String, Branch)>);

#[derive(Clone, Default, Debug)]
struct Branch {
    /// The columns of the field itself, by their places.
    columns: Vec<usize>,
    /// The columns of fields in it.
    below: Tree,
}

impl Tree {
    fn insert(&mut self, path: &[String], column: usize) {
        let Some((name, rest)) = path.split_first() else { return };
        let at = self.0.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.0.push((name.clone(), Branch::default()));
            self.0.len().saturating_sub(1)
        });
        let branch = &mut self.0[at].1;
        match rest {
            [] => branch.columns.push(column),
            rest => branch.below.insert(rest, column),
        }
    }

    /// Forgets what was found in an object whose name is there once more.
    fn forget(&self, found: &mut [Option<&RawValue>]) {
        for (_, branch) in &self.0 {
            branch.columns.iter().for_each(|at| found[*at] = None);
            branch.below.forget(found);
        }
    }
}

impl JsonColumns {
    #[must_use]
    pub fn new(columns: Vec<Column>) -> JsonColumns {
        let mut tree = Tree::default();
        for (at, column) in columns.iter().enumerate() {
            tree.insert(column.path.names(), at);
        }
        JsonColumns { columns, tree }
    }

    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The cells of a record without a value.
    #[must_use]
    pub fn no_row<'a>(&self) -> Vec<Cell<'a>> {
        vec![Cell::Null; self.columns.len()]
    }

    /// The cells of one value, in the order of the columns.
    ///
    /// # Errors
    /// The value is not a JSON object, or a field does not fit its column; the text says why, and
    /// repeats a short part of the field at most.
    pub fn row<'a>(&self, json: &'a [u8]) -> Result<Vec<Cell<'a>>, String> {
        self.row_by(json, |_, column, raw, cells| column.kind.push_cell(raw, cells))
    }

    /// The cells of one value. `push` adds one cell, by its column's place, its column, and the
    /// text of the field, which is valid JSON.
    ///
    /// # Errors
    /// As those of [`JsonColumns::row`].
    pub fn row_by<'a>(
        &self,
        json: &'a [u8],
        mut push: impl FnMut(usize, &Column, &'a str, &mut Vec<Cell<'a>>) -> Result<(), String>,
    ) -> Result<Vec<Cell<'a>>, String> {
        let mut found = vec![None; self.columns.len()];
        let json = std::str::from_utf8(json).map_err(|e| format!("the value is not UTF-8: {e}"))?;
        let mut reader = serde_json::Deserializer::from_str(json);
        let object = Object { tree: &self.tree, found: &mut found, path: None };
        object
            .deserialize(&mut reader)
            .and_then(|()| reader.end())
            .map_err(|e| format!("the value is not a JSON object: {}", shown(&e.to_string())))?;
        let mut cells = Vec::with_capacity(self.columns.len());
        for (at, (column, raw)) in self.columns.iter().zip(found).enumerate() {
            let Some(raw) = raw else {
                cells.push(Cell::Null);
                continue;
            };
            push(at, column, raw.get(), &mut cells)
                .map_err(|why| format!("field {}: {why}", column.path))?;
        }
        Ok(cells)
    }
}

/// How many characters of the parser's message an error has: it may repeat a whole string.
const SHOWN: usize = 160;

/// The beginning and the end of a long message: the end says what was expected, and where.
fn shown(message: &str) -> Cow<'_, str> {
    let length = message.chars().count();
    if length <= SHOWN {
        return Cow::Borrowed(message);
    }
    let half = SHOWN / 2;
    let head: String = message.chars().take(half).collect();
    let tail: String = message.chars().skip(length.saturating_sub(half)).collect();
    Cow::Owned(format!("{head}…{tail}"))
}

/// Reads one object for the columns of its tree.
struct Object<'t, 'f, 'de> {
    tree: &'t Tree,
    found: &'f mut [Option<&'de RawValue>],
    /// The field that has the object, and those that it lies in; [`None`] for the whole value.
    path: Option<&'t Within<'t>>,
}

/// A field with objects in it.
struct Within<'t> {
    name: &'t str,
    outer: Option<&'t Within<'t>>,
}

impl fmt::Display for Within<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(outer) = self.outer {
            write!(f, "{outer}.")?;
        }
        f.write_str(self.name)
    }
}

impl<'de> DeserializeSeed<'de> for Object<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Object<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path {
            Some(path) => write!(f, "an object in field {path}"),
            None => f.write_str("an object"),
        }
    }

    /// A null in the place of an object has no fields. For the whole value that is not enough.
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        match self.path {
            Some(_) => Ok(()),
            None => Err(E::invalid_type(serde::de::Unexpected::Unit, &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Object { tree, found, path: outer } = self;
        while let Some(Name(at)) = map.next_key_seed(NameIn(tree))? {
            let Some((name, branch)) = at.and_then(|at| tree.0.get(at)) else {
                let _: IgnoredAny = map.next_value()?;
                continue;
            };
            // A name may be there twice: the last one counts, as most readers have it.
            branch.below.forget(found);
            let within = Within { name: name.as_str(), outer };
            let path = Some(&within);
            if branch.columns.is_empty() {
                map.next_value_seed(Object { tree: &branch.below, found, path })?;
                continue;
            }
            let raw: &'de RawValue = map.next_value()?;
            branch.columns.iter().for_each(|at| found[*at] = Some(raw));
            if !branch.below.0.is_empty() {
                let mut inner = serde_json::Deserializer::from_str(raw.get());
                let object = Object { tree: &branch.below, found, path };
                object.deserialize(&mut inner).map_err(serde::de::Error::custom)?;
            }
        }
        Ok(())
    }
}

/// Where in a tree a field's name stands, without a copy of the name.
struct NameIn<'t>(&'t Tree);
struct Name(Option<usize>);

impl<'de> DeserializeSeed<'de> for NameIn<'_> {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Name, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for NameIn<'_> {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(Name(self.0.0.iter().position(|(known, _)| known == name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(all: &[(&str, &str)]) -> JsonColumns {
        let column = |(path, kind): &(&str, &str)| {
            Column::new(path, None, ColumnType::parse(kind).unwrap()).unwrap()
        };
        JsonColumns::new(all.iter().map(column).collect())
    }

    #[test]
    fn fields_become_cells_wherever_they_stand() {
        let of = columns(&[
            ("user", "string"),
            ("http.status", "int32"),
            ("http.bytes", "int64"),
            ("http", "json"),
            ("a.b.c", "boolean"),
        ]);
        let json = br#"{"http":{"status":404, "x":[1]},"other":{"user":"no"},"user":"u\n"}"#;
        assert_eq!(
            of.row(json).unwrap(),
            [
                Cell::Text("u\n".into()),
                Cell::Int32(404),
                Cell::Null,
                Cell::Text("{\"status\":404,\"x\":[1]}".into()),
                Cell::Null,
            ]
        );
        let nulls = br#"{"http":null,"user":null,"a":{"b":null}}"#;
        assert_eq!(of.row(nulls).unwrap(), vec![Cell::Null; 5]);
        assert_eq!(of.row(b"{}").unwrap(), vec![Cell::Null; 5]);
    }

    #[test]
    fn the_last_of_two_equal_names_counts() {
        let of = columns(&[("a.b", "int64"), ("n", "int64")]);
        let cells = of.row(br#"{"a":{"b":1},"n":1,"a":{},"n":2}"#).unwrap();
        assert_eq!(cells, [Cell::Null, Cell::Int64(2)]);
        let cells = of.row(br#"{"a":{"b":1},"n":1,"a":null,"n":null}"#).unwrap();
        assert_eq!(cells, [Cell::Null, Cell::Null]);
        let of = columns(&[("a", "json"), ("a.b", "int64")]);
        let cells = of.row(br#"{"a":{"b":1},"a":{"c":1}}"#).unwrap();
        assert_eq!(cells, [Cell::Text("{\"c\":1}".into()), Cell::Null]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let of = columns(&[
            ("n", "int32"),
            ("http.status", "int32"),
            ("a", "json"),
            ("a.b", "json"),
            ("x.y.z.n", "int32"),
        ]);
        for (json, want) in [
            (&b""[..], "not a JSON object"),
            (b"null", "not a JSON object"),
            (b"7", "not a JSON object: invalid type: integer `7`, expected an object"),
            (b"[{}]", "not a JSON object"),
            (b"{\"n\":1", "not a JSON object"),
            (b"{\"n\":1} {}", "not a JSON object: trailing characters"),
            (b"{\"x\":\"\xff\"}", "the value is not UTF-8"),
            (b"{\"n\":\"1\"}", "field n: "),
            (b"{\"http\":[]}", "an object in field http"),
            (b"{\"http\":{\"status\":2147483648}}", "field http.status: "),
            (b"{\"a\":1}", "an object in field a at"),
            (b"{\"x\":{\"y\":{\"z\":[]}}}", "an object in field x.y.z at"),
            (b"{\"x\":{\"y\":\"\"}}", "an object in field x.y at"),
        ] {
            let got = of.row(json).unwrap_err();
            assert!(got.contains(want), "{}: {got}", String::from_utf8_lossy(json));
        }
    }

    /// The quarantine has the error of each record: it must not be as long as the record.
    #[test]
    fn an_error_is_short() {
        let of = columns(&[("a", "int32"), ("b.c", "int32")]);
        let long = "ä".repeat(100_000);
        for json in [
            format!("\"{long}\""),
            format!("{{\"a\":\"{long}\"}}"),
            format!("{{\"b\":\"{long}\"}}"),
            format!("{{\"{long}"),
            format!("{{\"a\":{}}}", "9".repeat(100_000)),
        ] {
            let error = of.row(json.as_bytes()).unwrap_err();
            assert!(error.chars().count() < 250, "{error}");
        }
        let error = of.row(format!("\"{long}\"").as_bytes()).unwrap_err();
        assert!(error.contains("expected an object at line 1"), "{error}");
    }

    /// A stranger may nest as deep as a message is long.
    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        let json = format!("{{\"x\": {deep}, \"a\": {deep}, \"n\": 1}}");
        let cells = columns(&[("a", "json"), ("n", "int64")]).row(json.as_bytes()).unwrap();
        assert_eq!(cells, [Cell::Text(deep.into()), Cell::Int64(1)]);
    }

    #[test]
    fn names_and_ids_are_those_that_readers_keep() {
        let name = |path, name| Column::new(path, name, ColumnType::Int64);
        assert_eq!(name("http.status", None).unwrap().name, "http_status");
        assert_eq!(name("Größe", Some("size")).unwrap().path.names(), ["Größe"]);
        for (path, given) in
            [("a..b", None), ("", None), ("a-b", None), ("1a", None), ("a", Some(""))]
        {
            assert!(name(path, given).is_err(), "{path} {given:?}");
        }
        // An id never changes: a table that has these files knows the column by it.
        assert_eq!(name("user", None).unwrap().id(), 321_365_966);
        assert_eq!(name("x", Some("user")).unwrap().id(), name("user", None).unwrap().id());
    }
}
