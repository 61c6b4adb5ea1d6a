//! The messages of one schema of Protobuf: a record says which of them it has.

use std::sync::{Arc, OnceLock};

use crate::pure::layout::format::Nested;
use crate::pure::layout::frame::Framed;
use crate::pure::layout::schema_fields::Wanted;
use crate::pure::layout::writer_schema::{SchemaKey, WriterSchema};
use crate::pure::protobuf::message::indexed;
use crate::pure::protobuf::schema::{Import, MessageId, Schema};

/// A schema, and the columns of those of its messages that were met.
#[derive(Debug)]
pub struct Messages {
    id: u32,
    schema: Arc<Schema>,
    reserved: Vec<String>,
    nested: Nested,
    /// In the order of their indexes.
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    indexes: Vec<u32>,
    message: MessageId,
    /// Made when it is met first.
    writer: OnceLock<Result<Arc<WriterSchema>, String>>,
}

/// A record's message, and its bytes.
type Found<'a> = (Arc<WriterSchema>, &'a [u8]);

impl Messages {
    /// Compiles a schema.
    ///
    /// # Errors
    /// It is no schema, or has no message; the text says why.
    pub fn parse(
        id: u32,
        text: &str,
        imports: &[Import<'_>],
        wanted: Wanted<'_>,
    ) -> Result<Messages, String> {
        let schema = Schema::parse(text, imports)?;
        let place = |(indexes, message): (&[u32], MessageId)| Place {
            indexes: indexes.to_vec(),
            message,
            writer: OnceLock::new(),
        };
        let mut places: Vec<Place> = schema.places().map(place).collect();
        if places.is_empty() {
            return Err("the schema has no message".into());
        }
        places.sort_by(|a, b| a.indexes.cmp(&b.indexes));
        let Wanted { reserved, nested } = wanted;
        let reserved = reserved.to_vec();
        Ok(Messages { id, schema: Arc::new(schema), reserved, nested, places })
    }

    /// The message of a record. Its indexes stand before it, or behind the id in a header.
    ///
    /// # Errors
    /// The record names no message of this schema, or one that cannot have columns.
    pub fn find<'a>(&self, framed: &Framed<'a>) -> Result<Found<'a>, String> {
        let (indexes, body) = match framed.behind {
            [] => indexed(framed.body)?,
            behind => match indexed(behind)? {
                (indexes, []) => (indexes, framed.body),
                (_, left) => {
                    let left = left.len();
                    return Err(format!("the header has {left} bytes behind the indexes"));
                }
            },
        };
        let at = self.places.binary_search_by(|place| place.indexes.cmp(&indexes));
        let at = at.map_err(|_| format!("schema {} has no message {indexes:?}", self.id))?;
        Ok((self.writer(at)?, body))
    }

    /// The message of this full name, or why it cannot have columns; [`None`] if there is none.
    pub fn by_name(&self, name: &str) -> Option<Result<Arc<WriterSchema>, String>> {
        let name_of = |place: &Place| self.schema.message(place.message).name.as_str();
        Some(self.writer(self.places.iter().position(|place| name_of(place) == name)?))
    }

    /// Whether both have the same messages.
    #[must_use]
    pub fn reads_alike(&self, other: &Messages) -> bool {
        self.schema == other.schema
    }

    /// The first message of the file.
    ///
    /// # Errors
    /// It cannot have columns.
    pub fn first(&self) -> Result<Arc<WriterSchema>, String> {
        self.writer(0)
    }

    fn writer(&self, at: usize) -> Result<Arc<WriterSchema>, String> {
        let place = self.places.get(at).ok_or("there is no such message")?;
        let make = || {
            let message = u32::try_from(at).map_err(|e| e.to_string())?;
            let key = SchemaKey { id: self.id, message };
            let wanted = Wanted { reserved: &self.reserved, nested: self.nested };
            let of = WriterSchema::protobuf(key, &self.schema, place.message, wanted);
            of.map(Arc::new).map_err(|e| {
                let name = &self.schema.message(place.message).name;
                format!("message {name} of schema {} cannot be used: {e}", self.id)
            })
        };
        place.writer.get_or_init(make).clone()
    }
}
