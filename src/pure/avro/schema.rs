//! A schema of Avro, read from its JSON.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Where a type stands among those of its schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TypeId(usize);

/// A schema with all types that it is made of.
#[derive(Clone, PartialEq, Debug)]
pub struct Schema {
    types: Vec<Type>,
    root: TypeId,
}

/// A type, with what is said of its meaning.
#[derive(Clone, PartialEq, Debug)]
pub struct Type {
    pub kind: Kind,
    /// [`None`] also where the logical type does not suit the type below it: the specification
    /// has it ignored then.
    pub logical: Option<Logical>,
    /// The full name of a record, an enum or a fixed; empty for others.
    pub name: String,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    /// So many bytes.
    Fixed(usize),
    Enum(Vec<String>),
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    Record(Vec<Field>),
}

/// A meaning that a column has a type for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Logical {
    Date,
    TimestampMillis,
    TimestampMicros,
    Decimal { precision: u8, scale: u8 },
}

/// A field of a record.
#[derive(Clone, PartialEq, Debug)]
pub struct Field {
    pub name: String,
    /// Names that the field had before.
    pub aliases: Vec<String>,
    pub of: TypeId,
    /// What it is where a writer does not know the field.
    pub default: Option<Value>,
}

/// The most types in a schema: each one of a few bytes costs more than those as a [`Type`].
const MOST_TYPES: usize = 20_000;
/// The most digits of a decimal that has a type: what 128 bits hold.
const MOST_DIGITS: u64 = 38;

impl Schema {
    /// Reads a schema. `references`: the schemas whose types it names, each behind those that it
    /// needs itself.
    ///
    /// # Errors
    /// The text is no schema; the error says why.
    pub fn parse(text: &str, references: &[String]) -> Result<Schema, String> {
        let mut parser = Parser::default();
        for reference in references {
            let _ = parser.read(&json(reference)?, "")?;
        }
        let root = parser.read(&json(text)?, "")?;
        let types = parser.types.into_iter().collect::<Option<Vec<Type>>>();
        Ok(Schema { types: types.ok_or("a type contains itself and nothing else")?, root })
    }

    #[must_use]
    pub fn root(&self) -> TypeId {
        self.root
    }

    /// The type at this place.
    #[must_use]
    pub fn at(&self, id: TypeId) -> &Type {
        &self.types[id.0]
    }
}

fn json(text: &str) -> Result<Value, String> {
    // The library bounds the depth.
    serde_json::from_str(text).map_err(|e| format!("the schema is not JSON: {e}"))
}

#[derive(Default)]
struct Parser {
    /// [`None`] while the type is being read.
    types: Vec<Option<Type>>,
    /// By full name.
    named: HashMap<String, TypeId>,
}

fn simple(name: &str) -> Option<Kind> {
    Some(match name {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "int" => Kind::Int,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "string" => Kind::Text,
        _ => return None,
    })
}

/// The name as the specification completes it.
fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.trim_start_matches('.').into()
    } else {
        format!("{namespace}.{name}")
    }
}

fn namespace_of(full: &str) -> &str {
    full.rsplit_once('.').map_or("", |(namespace, _)| namespace)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

fn texts(object: &Map<String, Value>, key: &str) -> Vec<String> {
    let list = object.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(String::from).collect()
}

/// All symbols: a value names one by its place.
fn symbols(list: &Value) -> Result<Vec<String>, String> {
    let all = list.as_array().ok_or("the symbols of an enum are no list")?;
    let text = |symbol: &Value| symbol.as_str().map(String::from);
    let all = all.iter().map(text).collect::<Option<Vec<String>>>();
    all.ok_or_else(|| "a symbol of an enum is no text".into())
}

impl Parser {
    /// A place for a type, which is named if the name is not empty.
    fn reserve(&mut self, name: &str) -> Result<TypeId, String> {
        if MOST_TYPES <= self.types.len() {
            return Err(format!("the schema has more than {MOST_TYPES} types"));
        }
        let id = TypeId(self.types.len());
        self.types.push(None);
        if !name.is_empty() && self.named.insert(name.into(), id).is_some() {
            return Err(format!("the schema defines {name:?} twice"));
        }
        Ok(id)
    }

    fn set(&mut self, id: TypeId, kind: Kind, logical: Option<Logical>, name: String) -> TypeId {
        self.types[id.0] = Some(Type { kind, logical, name });
        id
    }

    fn read(&mut self, schema: &Value, namespace: &str) -> Result<TypeId, String> {
        match schema {
            Value::String(name) => self.by_name(name, namespace),
            Value::Array(branches) => {
                let id = self.reserve("")?;
                let read = branches.iter().map(|branch| self.read(branch, namespace));
                let read = read.collect::<Result<Vec<TypeId>, String>>()?;
                Ok(self.set(id, Kind::Union(read), None, String::new()))
            }
            Value::Object(object) => self.object(object, namespace),
            _ => Err("a type is neither a name, nor a list, nor an object".into()),
        }
    }

    fn by_name(&mut self, name: &str, namespace: &str) -> Result<TypeId, String> {
        if let Some(kind) = simple(name) {
            let id = self.reserve("")?;
            return Ok(self.set(id, kind, None, String::new()));
        }
        let known = self.named.get(&full_name(name, namespace)).or_else(|| self.named.get(name));
        known.copied().ok_or_else(|| format!("the schema has no type {name:?}"))
    }

    fn object(&mut self, object: &Map<String, Value>, space: &str) -> Result<TypeId, String> {
        let of = object.get("type").ok_or("a type has no \"type\"")?;
        let Value::String(of) = of else { return self.read(of, space) };
        if let Some(kind) = simple(of) {
            let logical = logical(object, &kind);
            let id = self.reserve("")?;
            return Ok(self.set(id, kind, logical, String::new()));
        }
        let inner = |name: &str| object.get(name).ok_or_else(|| format!("{of} has no {name:?}"));
        match of.as_str() {
            "array" | "map" => {
                let id = self.reserve("")?;
                let inner = inner(if of == "array" { "items" } else { "values" })?;
                let inner = self.read(inner, space)?;
                let kind = if of == "array" { Kind::Array(inner) } else { Kind::Map(inner) };
                Ok(self.set(id, kind, None, String::new()))
            }
            "record" | "error" | "enum" | "fixed" => {
                let name = text(object, "name").ok_or_else(|| format!("{of} has no name"))?;
                let full = full_name(name, text(object, "namespace").unwrap_or(space));
                if !full.split('.').all(is_name) {
                    return Err(format!("{full:?} is no name of a type"));
                }
                let id = self.reserve(&full)?;
                let kind = match of.as_str() {
                    "enum" => Kind::Enum(symbols(inner("symbols")?)?),
                    "fixed" => {
                        let size = inner("size")?.as_u64().and_then(|n| usize::try_from(n).ok());
                        Kind::Fixed(size.ok_or("the size of a fixed is no number")?)
                    }
                    _ => Kind::Record(self.fields(inner("fields")?, namespace_of(&full))?),
                };
                let logical = logical(object, &kind);
                Ok(self.set(id, kind, logical, full))
            }
            name => self.by_name(name, space),
        }
    }

    fn fields(&mut self, fields: &Value, namespace: &str) -> Result<Vec<Field>, String> {
        let fields = fields.as_array().ok_or("the fields of a record are no list")?;
        let mut read: Vec<Field> = Vec::new();
        for field in fields {
            let object = field.as_object().ok_or("a field is no object")?;
            let name = text(object, "name").filter(|name| is_name(name));
            let name = name.ok_or("a field has no name, or none that Avro allows")?;
            let of = object.get("type").ok_or_else(|| format!("field {name} has no type"))?;
            let of = self.read(of, namespace).map_err(|e| format!("field {name}: {e}"))?;
            let aliases = texts(object, "aliases");
            let default = object.get("default").cloned();
            read.push(Field { name: name.into(), aliases, of, default });
        }
        let mut names: Vec<&str> = read.iter().map(|field| field.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("a record has the field {:?} twice", twice[0]));
        }
        Ok(read)
    }
}

fn logical(object: &Map<String, Value>, kind: &Kind) -> Option<Logical> {
    match (text(object, "logicalType")?, kind) {
        ("date", Kind::Int) => Some(Logical::Date),
        ("timestamp-millis", Kind::Long) => Some(Logical::TimestampMillis),
        ("timestamp-micros", Kind::Long) => Some(Logical::TimestampMicros),
        ("decimal", Kind::Bytes | Kind::Fixed(_)) => {
            let number = |key| object.get(key).map_or(Some(0), Value::as_u64);
            let (precision, scale) = (number("precision")?, number("scale")?);
            let fits = (1..=MOST_DIGITS).contains(&precision) && scale <= precision;
            let digits = |n: u64| u8::try_from(n).ok();
            fits.then_some(())?;
            Some(Logical::Decimal { precision: digits(precision)?, scale: digits(scale)? })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Schema, String> {
        Schema::parse(text, &[])
    }

    #[test]
    fn names_are_completed_and_types_may_contain_themselves() {
        let schema = parse(
            r#"{"type":"record","name":"Node","namespace":"a.b","fields":[
                {"name":"next","type":["null","Node"]},
                {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["X","Y"]}},
                {"name":"other","type":"a.b.Kind"},
                {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
                {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":9,
                 "scale":2},"default":"\u00ff","aliases":["e"]}]}"#,
        )
        .unwrap();
        let root = schema.at(schema.root());
        assert_eq!(root.name, "a.b.Node");
        let Kind::Record(fields) = &root.kind else { panic!("{root:?}") };
        let Kind::Union(next) = &schema.at(fields[0].of).kind else { panic!("{fields:?}") };
        assert_eq!(next[1], schema.root());
        assert_eq!(fields[1].of, fields[2].of);
        assert_eq!(schema.at(fields[3].of).logical, Some(Logical::TimestampMillis));
        let decimal = Some(Logical::Decimal { precision: 9, scale: 2 });
        assert_eq!(schema.at(fields[4].of).logical, decimal);
        assert_eq!(fields[4].aliases, ["e"]);
    }

    #[test]
    fn types_of_other_schemas_are_known_by_name() {
        let money = r#"{"type":"record","name":"x.Money","fields":[]}"#.to_string();
        let text = r#"{"type":"record","name":"x.Sale","fields":[{"name":"m","type":"Money"}]}"#;
        assert!(Schema::parse(text, &[money]).is_ok());
        assert!(parse(text).unwrap_err().contains("no type \"Money\""));
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for (text, want) in [
            ("", "not JSON"),
            ("7", "neither"),
            ("{}", "no \"type\""),
            (r#"{"type":"array"}"#, "no \"items\""),
            (r#"{"type":"record","name":"1","fields":[]}"#, "no name of a type"),
            (r#"{"type":"record","name":"a"}"#, "no \"fields\""),
            (r#"{"type":"fixed","name":"a","size":-1}"#, "no number"),
            (r#"{"type":"enum","name":"a","symbols":["A",null,"B"]}"#, "symbol"),
            (r#"{"type":"enum","name":"a","symbols":"A"}"#, "no list"),
            (r#"{"type":"enum","name":"a"}"#, "no \"symbols\""),
            (
                r#"{"type":"record","name":"a","fields":[{"name":"x","type":"int"},
                 {"name":"x","type":"int"}]}"#,
                "twice",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
        assert!(parse(&"[".repeat(100_000)).is_err());
        let many = format!("[{}]", vec!["\"int\""; MOST_TYPES].join(","));
        assert!(parse(&many).unwrap_err().contains("types"));
    }
}
