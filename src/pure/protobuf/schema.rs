//! A schema of Protobuf, compiled from its source.

use std::collections::HashMap;
use std::fmt;

use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, MessageDescriptor};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use crate::pure::protobuf::built_in::FILES;
use crate::pure::protobuf::options;

/// Where a message stands among those of its schema.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MessageId(usize);

/// Where an enum stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EnumId(usize);

/// A file with all messages and enums that it is made of.
#[derive(Clone, PartialEq, Debug)]
pub struct Schema {
    messages: Vec<Message>,
    enums: Vec<HashMap<i32, String>>,
    /// The messages of the file itself, by their numbers from the outside in.
    places: HashMap<Vec<u32>, MessageId>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    /// The full name.
    pub name: String,
    pub known: Option<WellKnown>,
    /// In the order of their numbers.
    pub fields: Vec<Field>,
    /// The places of those that are required.
    required: Vec<usize>,
}

impl Message {
    /// The fields that are required, with their places.
    pub fn required(&self) -> impl Iterator<Item = (usize, &Field)> {
        self.required.iter().filter_map(|place| Some((*place, self.fields.get(*place)?)))
    }
}

/// A message with a meaning of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WellKnown {
    Timestamp,
    Duration,
    /// A message of one value, which may be missing.
    Wrapper,
    Date,
    /// JSON as messages.
    Struct,
    List,
    Value,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Field {
    pub name: String,
    pub number: u32,
    pub kind: Kind,
    pub label: Label,
    /// Of several fields with the same number here, one is set at most.
    pub oneof: Option<usize>,
}

/// How often a field is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Label {
    /// It may be missing, and that is known.
    Optional,
    /// A missing one is the default of its type.
    Implicit,
    Required,
    Repeated,
    Map,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    Text,
    Bytes,
    Enum(EnumId),
    Message(MessageId),
    Group(MessageId),
}

/// A file that the schema imports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Import<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

/// What the compiler calls the file itself: a name that no reference has.
const MAIN: &str = "_schema.proto";
/// The most messages and enums in a schema, those of all imports included.
const MOST_TYPES: usize = 20_000;
/// Brackets lie this deep in each other at most: the compiler goes as deep.
const DEEPEST: usize = 100;
/// The longest name of a field or of an enum's value, characters: JSON text repeats them.
const LONGEST_NAME: usize = 128;
/// How much of the compiler's message is repeated, characters.
const SHOWN: usize = 200;

impl Schema {
    /// Compiles a file. `imports`: the files that it and they import, but for those that are built
    /// in.
    ///
    /// # Errors
    /// The text is no schema; the error says why.
    pub fn parse(text: &str, imports: &[Import<'_>]) -> Result<Schema, String> {
        for text in imports.iter().map(|import| import.text).chain([text]) {
            if DEEPEST < depth(text) {
                return Err(format!("brackets lie more than {DEEPEST} deep in each other"));
            }
        }
        let own = imports.iter().map(|import| (import.name.to_string(), import.text.to_string()));
        let built_in = FILES.map(|(name, text)| (name.to_string(), text.to_string()));
        let mut resolver = ChainFileResolver::new();
        resolver.add(Texts(own.chain([(MAIN.to_string(), text.to_string())]).collect()));
        resolver.add(GoogleFileResolver::new());
        resolver.add(Texts(built_in.into_iter().collect()));
        let mut compiler = Compiler::with_file_resolver(resolver);
        let _ = compiler.open_file(MAIN).map_err(|e| said(&e))?;
        Builder::of(&compiler.descriptor_pool())
    }

    /// The message at this place.
    #[must_use]
    pub fn message(&self, id: MessageId) -> &Message {
        &self.messages[id.0]
    }

    /// The name of an enum's number; [`None`] if it has none.
    #[must_use]
    pub fn name_of(&self, id: EnumId, number: i32) -> Option<&str> {
        self.enums[id.0].get(&number).map(String::as_str)
    }

    /// The message that these indexes lead to: the first is that of a message of the file, and each
    /// further one that of a message in the message before.
    #[cfg(test)]
    fn at(&self, indexes: &[u32]) -> Option<MessageId> {
        self.places.get(indexes).copied()
    }

    /// The messages of the file itself, with their indexes.
    pub fn places(&self) -> impl Iterator<Item = (&[u32], MessageId)> {
        self.places.iter().map(|(indexes, id)| (indexes.as_slice(), *id))
    }
}

/// The compiler's message, which may repeat whole lines of the schema.
fn said(error: &protox::Error) -> String {
    let text = error.to_string();
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("the schema is no source of Protobuf: {shown}")
}

/// How deep brackets lie in each other, those in texts and in some comments included.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    // Texts end with their line; a comment of several lines may begin in one.
    let has_blocks = text.contains("/*");
    for line in text.lines() {
        let code = line.split_once("//").map_or(line, |(code, _)| code);
        let is_clear = !has_blocks && !code.contains(['"', '\'']);
        let counted = if is_clear { code } else { line };
        for byte in counted.bytes() {
            match byte {
                b'{' | b'[' | b'(' | b'<' => depth = depth.saturating_add(1),
                b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
                _ => continue,
            }
            deepest = deepest.max(depth);
        }
    }
    deepest
}

/// Files by their names.
struct Texts(HashMap<String, String>);

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.get(name) {
            Some(text) => {
                let mut file = FileDescriptorProto::from(File::from_source(name, text)?);
                options::leave_out(&mut file);
                Ok(File::from_file_descriptor_proto(file))
            }
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// Gathers what the descriptors say.
#[derive(Default)]
struct Builder {
    messages: HashMap<String, MessageId>,
    enums: HashMap<String, EnumId>,
    names: Vec<HashMap<i32, String>>,
}

impl Builder {
    fn of(pool: &DescriptorPool) -> Result<Schema, String> {
        let all: Vec<MessageDescriptor> = pool.all_messages().collect();
        let enums: Vec<EnumDescriptor> = pool.all_enums().collect();
        if MOST_TYPES < all.len().saturating_add(enums.len()) {
            return Err(format!("the schema has more than {MOST_TYPES} types"));
        }
        let mut builder = Builder::default();
        for (at, message) in all.iter().enumerate() {
            let _ = builder.messages.insert(message.full_name().into(), MessageId(at));
        }
        for (at, of) in enums.iter().enumerate() {
            let _ = builder.enums.insert(of.full_name().into(), EnumId(at));
            let mut names = HashMap::new();
            for value in &of.enum_descriptor_proto().value {
                bounded(value.name())?;
                // Of several names of a number the first one counts.
                let _ = names.entry(value.number()).or_insert_with(|| value.name().to_string());
            }
            builder.names.push(names);
        }
        let messages = all.iter().map(|message| builder.message(message));
        let messages = messages.collect::<Result<Vec<Message>, String>>()?;
        let file = pool.get_file_by_name(MAIN).ok_or("the compiler has lost the schema")?;
        let mut places = HashMap::new();
        builder.places(file.messages(), &[], &mut places);
        Ok(Schema { messages, enums: builder.names, places })
    }

    /// Entries of maps have no index: serializers count the messages of the source.
    fn places(
        &self,
        messages: impl Iterator<Item = MessageDescriptor>,
        outer: &[u32],
        places: &mut HashMap<Vec<u32>, MessageId>,
    ) {
        for (at, message) in (0..).zip(messages.filter(|message| !message.is_map_entry())) {
            let indexes = [outer, &[at]].concat();
            let inner: Vec<MessageDescriptor> = message.child_messages().collect();
            self.places(inner.into_iter(), &indexes, places);
            if let Some(id) = self.messages.get(message.full_name()) {
                let _ = places.insert(indexes, *id);
            }
        }
    }

    fn message(&self, message: &MessageDescriptor) -> Result<Message, String> {
        let name = message.full_name().to_string();
        let oneofs = message.oneofs().map(|one| one.full_name().to_string()).zip(0..);
        let oneofs: HashMap<String, usize> = oneofs.collect();
        let fields = message.fields().map(|field| self.field(&oneofs, &field));
        let fields = fields.collect::<Result<Vec<Field>, String>>()?;
        let is_required = |(_, field): &(usize, &Field)| field.label == Label::Required;
        let required = fields.iter().enumerate().filter(is_required).map(|(place, _)| place);
        Ok(Message { known: well_known(&name), required: required.collect(), fields, name })
    }

    /// `oneofs`: those of the message, with their numbers.
    fn field(
        &self,
        oneofs: &HashMap<String, usize>,
        field: &FieldDescriptor,
    ) -> Result<Field, String> {
        bounded(field.name())?;
        let lost = || format!("the compiler has lost the type of {}", field.full_name());
        let kind = match field.kind() {
            prost_reflect::Kind::Double => Kind::Double,
            prost_reflect::Kind::Float => Kind::Float,
            prost_reflect::Kind::Int32 => Kind::Int32,
            prost_reflect::Kind::Int64 => Kind::Int64,
            prost_reflect::Kind::Uint32 => Kind::Uint32,
            prost_reflect::Kind::Uint64 => Kind::Uint64,
            prost_reflect::Kind::Sint32 => Kind::Sint32,
            prost_reflect::Kind::Sint64 => Kind::Sint64,
            prost_reflect::Kind::Fixed32 => Kind::Fixed32,
            prost_reflect::Kind::Fixed64 => Kind::Fixed64,
            prost_reflect::Kind::Sfixed32 => Kind::Sfixed32,
            prost_reflect::Kind::Sfixed64 => Kind::Sfixed64,
            prost_reflect::Kind::Bool => Kind::Bool,
            prost_reflect::Kind::String => Kind::Text,
            prost_reflect::Kind::Bytes => Kind::Bytes,
            prost_reflect::Kind::Enum(of) => {
                Kind::Enum(*self.enums.get(of.full_name()).ok_or_else(lost)?)
            }
            prost_reflect::Kind::Message(of) => {
                let id = *self.messages.get(of.full_name()).ok_or_else(lost)?;
                if field.is_group() { Kind::Group(id) } else { Kind::Message(id) }
            }
        };
        let oneof = field.containing_oneof();
        let oneof = oneof.and_then(|one| oneofs.get(one.full_name()).copied());
        let label = match () {
            () if field.is_map() => Label::Map,
            () if field.is_list() => Label::Repeated,
            () if field.is_required() => Label::Required,
            () if field.supports_presence() => Label::Optional,
            () => Label::Implicit,
        };
        Ok(Field { name: field.name().into(), number: field.number(), kind, label, oneof })
    }
}

/// Names are of ASCII.
fn bounded(name: &str) -> Result<(), String> {
    match LONGEST_NAME < name.len() {
        true => Err(format!("the schema has a name of more than {LONGEST_NAME} characters")),
        false => Ok(()),
    }
}

fn well_known(name: &str) -> Option<WellKnown> {
    Some(match name.strip_prefix("google.")? {
        "protobuf.Timestamp" => WellKnown::Timestamp,
        "protobuf.Duration" => WellKnown::Duration,
        "protobuf.Struct" => WellKnown::Struct,
        "protobuf.ListValue" => WellKnown::List,
        "protobuf.Value" => WellKnown::Value,
        "protobuf.DoubleValue"
        | "protobuf.FloatValue"
        | "protobuf.Int64Value"
        | "protobuf.UInt64Value"
        | "protobuf.Int32Value"
        | "protobuf.UInt32Value"
        | "protobuf.BoolValue"
        | "protobuf.StringValue"
        | "protobuf.BytesValue" => WellKnown::Wrapper,
        "type.Date" => WellKnown::Date,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
syntax = "proto3";
package a.b;
import "other.proto";
import "google/protobuf/timestamp.proto";
import "confluent/meta.proto";
message First {
  map<string, int32> m = 3;
  message Inner { message Deep { bytes b = 1; } optional Deep d = 1; }
  message Second { }
  repeated Inner all = 2 [(confluent.field_meta).doc = "many"];
  Kind kind = 1;
  oneof one { string s = 4; google.protobuf.Timestamp t = 5; }
  other.Thing thing = 6;
}
enum Kind { option allow_alias = true; NONE = 0; SOME = 1; ALSO = 1; }
message Last { First next = 1; }
"#;
    const OTHER: Import<'_> = Import {
        name: "other.proto",
        text: "syntax = \"proto2\"; package other; message Thing { required sint64 n = 1; }",
    };

    #[test]
    fn messages_are_found_by_their_indexes() {
        let schema = Schema::parse(TEXT, &[OTHER]).unwrap();
        for (indexes, name) in [
            (&[0][..], "a.b.First"),
            (&[1], "a.b.Last"),
            (&[0, 0], "a.b.First.Inner"),
            (&[0, 1], "a.b.First.Second"),
            (&[0, 0, 0], "a.b.First.Inner.Deep"),
        ] {
            let id = schema.at(indexes).unwrap();
            assert_eq!(schema.message(id).name, name);
        }
        assert_eq!(schema.places().count(), 5, "neither imports nor entries of maps");
        assert_eq!(schema.at(&[2]), None);
        assert_eq!(schema.at(&[]), None);
    }

    #[test]
    fn fields_have_their_labels_and_kinds() {
        let schema = Schema::parse(TEXT, &[OTHER]).unwrap();
        let first = schema.message(schema.at(&[0]).unwrap());
        let labels: Vec<(&str, u32, Label, Option<usize>)> =
            first.fields.iter().map(|f| (f.name.as_str(), f.number, f.label, f.oneof)).collect();
        assert_eq!(
            labels,
            [
                ("kind", 1, Label::Implicit, None),
                ("all", 2, Label::Repeated, None),
                ("m", 3, Label::Map, None),
                ("s", 4, Label::Optional, Some(0)),
                ("t", 5, Label::Optional, Some(0)),
                ("thing", 6, Label::Optional, None),
            ]
        );
        let Kind::Enum(kind) = first.fields[0].kind else { panic!("{first:?}") };
        assert_eq!(schema.name_of(kind, 1), Some("SOME"));
        assert_eq!(schema.name_of(kind, 7), None);
        let Kind::Message(time) = first.fields[4].kind else { panic!("{first:?}") };
        assert_eq!(schema.message(time).known, Some(WellKnown::Timestamp));
        let Kind::Message(thing) = first.fields[5].kind else { panic!("{first:?}") };
        assert_eq!(schema.message(thing).fields[0].label, Label::Required);
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        let nested = |open: &str, close: &str, n| {
            format!("syntax = \"proto3\"; {} {}", open.repeat(n), close.repeat(n))
        };
        for (text, want) in [
            ("{".to_string(), "no source of Protobuf"),
            ("syntax = \"proto3\"; message A { B b = 1; }".into(), "no source of Protobuf"),
            ("syntax = \"proto3\"; import \"gone.proto\";".into(), "gone.proto"),
            ("syntax = \"proto3\"; import \"_schema.proto\";".into(), "no source of Protobuf"),
            (format!("enum E {{ {} = 0; }}", "A".repeat(129)), "more than 128 characters"),
            (
                format!("message M {{ optional M {} = 1; }}", "m".repeat(129)),
                "more than 128 characters",
            ),
            (nested("message A {", "}", 10_000), "deep in each other"),
            (nested("option (a) = {", "};", 10_000), "deep in each other"),
        ] {
            let error = Schema::parse(&text, &[]).unwrap_err();
            assert!(error.contains(want) && error.chars().count() < 300, "{text:.90}: {error}");
        }
        assert!(Schema::parse(&nested("message A {", "}", 30), &[]).is_ok());
    }

    /// Nothing reads them, and the compiler would go as deep as they do: the stack has an end.
    #[test]
    fn options_with_others_in_them_are_left_out() {
        let text_with = |options: &str| {
            format!(
                "syntax = \"proto3\"; import \"google/protobuf/descriptor.proto\";
                 message R {{ R r = 1; int32 n = 2; string s = 3; }}
                 extend google.protobuf.FileOptions {{ R x = 50000; }} {options}
                 message M {{ int32 a = 1; }}"
            )
        };
        let named = format!("option (x){}.n = 1;", ".r".repeat(100_000));
        let (open, close) = ("r{s:\"}\"".repeat(20_000), "}".repeat(20_000));
        for options in [named, format!("option (x) = {{{open}{close}}};")] {
            let schema = Schema::parse(&text_with(&options), &[]).unwrap();
            assert_eq!(schema.message(schema.at(&[1]).unwrap()).name, "M");
        }
        let fields = "[deprecated = true, (gone).a = 1, (gone) = { a: 1 }]";
        let text = format!(
            "syntax = \"proto3\"; message M {{ option (gone) = 1; int32 a = 1 {fields}; }}
             enum E {{ option allow_alias = true; option (gone).a = 1; A = 0 {fields}; B = 0; }}
             service S {{ option (gone).a = 1; }}"
        );
        assert!(Schema::parse(&text, &[]).is_ok());
    }

    /// Each field that may be missing has a oneof of its own, and would be looked for among all.
    #[test]
    fn a_message_of_very_many_fields_takes_no_longer_for_each() {
        let numbers = (1..60_000).filter(|n| !(19_000..20_000).contains(n)).take(40_000);
        let fields: String = numbers.map(|n| format!("optional int32 f{n} = {n};")).collect();
        let begun = std::time::Instant::now();
        let text = format!("syntax = \"proto3\"; message M {{ {fields} }}");
        let schema = Schema::parse(&text, &[]).unwrap();
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
        let all = &schema.message(schema.at(&[0]).unwrap()).fields;
        assert!(all.iter().zip(0..).all(|(field, at)| field.oneof == Some(at)));
    }
}
