//! The JSON of values that are messages, lists or maps.
//!
//! It is that of [`crate::pure::avro`]: numbers are numbers, bytes are in Base64, and numbers that
//! JSON does not have are strings. A field has the name of its schema, and one that is not there is
//! left out.
//!
//! *Rule*: whatever the bytes are, the memory is bounded by their number, and the depth by
//! [`DEEPEST`].

use std::collections::HashMap;
use std::fmt::Write as _;

use jiff::civil::Date;

use crate::pure::calendar::iso_nanos;
use crate::pure::json::{push_bytes, push_double, push_text};
use crate::pure::protobuf::schema::{Field, Kind, Label, Message, MessageId, Schema, WellKnown};
use crate::pure::protobuf::value::{Value, is_packed, next_packed};
use crate::pure::protobuf::wire::{Broken, Bytes, Fields, Raw};

/// Values lie this deep in each other at most.
const DEEPEST: usize = 64;

/// A text that grows to a bound.
pub(super) struct Text<'s> {
    pub(super) schema: &'s Schema,
    pub(super) out: String,
    /// The most bytes that the text may have.
    pub(super) most: usize,
}

impl Text<'_> {
    /// Adds a field that is there, or that is a list or a map.
    pub(super) fn field(
        &mut self,
        fields: &Fields<'_>,
        (place, field): (usize, &Field),
        depth: usize,
    ) -> Result<(), Broken> {
        match (field.label, field.kind) {
            (Label::Map, Kind::Message(entry)) => self.map(fields, (place, entry), depth),
            (Label::Repeated, _) => self.list(fields, (place, field), depth),
            _ => self.single(fields, (place, field), depth),
        }
    }

    /// Adds a field that is there once, or the default of its type.
    fn single(
        &mut self,
        fields: &Fields<'_>,
        (place, field): (usize, &Field),
        depth: usize,
    ) -> Result<(), Broken> {
        match field.kind {
            Kind::Message(id) | Kind::Group(id) => {
                let bytes = fields.merged(place).unwrap_or_default();
                self.message(id, &bytes, depth.saturating_add(1))
            }
            kind => {
                let raw = fields.last(place);
                let value = raw.map(|raw| Value::of(self.schema, kind, raw)).transpose()?;
                let value = value.unwrap_or_else(|| Value::default(self.schema, kind));
                self.simple(&value)
            }
        }
    }

    fn list(
        &mut self,
        fields: &Fields<'_>,
        (place, field): (usize, &Field),
        depth: usize,
    ) -> Result<(), Broken> {
        self.out.push('[');
        for raw in fields.all(place) {
            match (field.kind, raw) {
                (Kind::Message(id) | Kind::Group(id), Raw::Bytes(bytes) | Raw::Group(bytes)) => {
                    self.separate('[');
                    self.message(id, bytes, depth.saturating_add(1))?;
                }
                (kind, Raw::Bytes(bytes)) if is_packed(kind, &raw) => {
                    let mut bytes = Bytes(bytes);
                    while !bytes.0.is_empty() {
                        let raw = next_packed(kind, &mut bytes)?;
                        self.separate('[');
                        self.simple(&Value::of(self.schema, kind, raw)?)?;
                    }
                }
                (kind, raw) => {
                    self.separate('[');
                    self.simple(&Value::of(self.schema, kind, raw)?)?;
                }
            }
        }
        self.out.push(']');
        Ok(())
    }

    /// A map is a list of messages with a key and a value. Of several with the same key the last
    /// one counts, in the place of the first one.
    fn map(
        &mut self,
        fields: &Fields<'_>,
        (place, entry): (usize, MessageId),
        depth: usize,
    ) -> Result<(), Broken> {
        let schema = self.schema;
        let [key_field, value_field] = schema.message(entry).fields.as_slice() else {
            return Err("an entry of a map has not two fields".into());
        };
        let mut entries: HashMap<String, (usize, &[u8])> = HashMap::new();
        for raw in fields.all(place) {
            let Raw::Bytes(bytes) = raw else { continue };
            let key = self.key(key_field.kind, &Fields::of(schema.message(entry), bytes)?)?;
            let at = entries.len();
            entries.entry(key).or_insert((at, bytes)).1 = bytes;
        }
        let mut entries: Vec<(String, (usize, &[u8]))> = entries.into_iter().collect();
        entries.sort_unstable_by_key(|(_, (at, _))| *at);
        self.out.push('{');
        for (key, (_, bytes)) in entries {
            self.separate('{');
            self.out.push_str(&key);
            self.out.push(':');
            let inner = Fields::of(schema.message(entry), bytes)?;
            self.single(&inner, (1, value_field), depth)?;
        }
        self.out.push('}');
        Ok(())
    }

    /// The key of a map's entry, as a name of JSON.
    fn key(&mut self, kind: Kind, entry: &Fields<'_>) -> Result<String, Broken> {
        let (schema, from) = (self.schema, self.out.len());
        let key = entry.last(0).map(|raw| Value::of(schema, kind, raw)).transpose()?;
        match key.unwrap_or_else(|| Value::default(schema, kind)) {
            Value::Text(text) => self.text(&text)?,
            other => {
                self.out.push('"');
                self.simple(&other)?;
                self.out.push('"');
            }
        }
        Ok(self.out.split_off(from))
    }

    /// Adds one message.
    pub(super) fn message(
        &mut self,
        id: MessageId,
        bytes: &[u8],
        depth: usize,
    ) -> Result<(), Broken> {
        if DEEPEST < depth {
            return Err(format!("values lie more than {DEEPEST} deep in each other"));
        }
        let schema = self.schema;
        let message = schema.message(id);
        let fields = Fields::of(message, bytes)?;
        if let Some(known) = message.known
            && self.well_known(known, message, &fields, depth)?
        {
            return Ok(());
        }
        if let Some(field) = message.required().find(|(place, _)| fields.last(*place).is_none()) {
            return Err(format!("the required field {} is missing", field.1.name));
        }
        self.out.push('{');
        // Those that are there: a stranger's schema may have a thousand others.
        for place in fields.places() {
            let Some(field) = message.fields.get(place) else { continue };
            self.separate('{');
            // Names have no character that JSON escapes.
            let _ = write!(self.out, "\"{}\":", field.name);
            self.check()?;
            let inner = self.field(&fields, (place, field), depth);
            inner.map_err(|e| format!("{}: {e}", field.name))?;
        }
        self.out.push('}');
        self.check()
    }

    /// Whether the message has a text of its own, which is added then.
    fn well_known(
        &mut self,
        known: WellKnown,
        message: &Message,
        fields: &Fields<'_>,
        depth: usize,
    ) -> Result<bool, Broken> {
        match known {
            WellKnown::Timestamp => {
                let (seconds, nanos) = pair(fields)?;
                let time = iso_nanos(seconds, nanos)
                    .ok_or_else(|| format!("{seconds} s and {nanos} ns are no time"))?;
                let _ = write!(self.out, "\"{time}\"");
            }
            WellKnown::Duration => {
                let (seconds, nanos) = pair(fields)?;
                let total = i128::from(seconds).saturating_mul(1_000_000_000);
                let total = total.saturating_add(nanos.into());
                let sign = if total < 0 { "-" } else { "" };
                let nanos = total.unsigned_abs();
                let (whole, part) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
                let text = format!("{whole}.{part:09}");
                let text = text.trim_end_matches('0').trim_end_matches('.');
                let _ = write!(self.out, "\"{sign}{text}s\"");
            }
            WellKnown::Date => {
                let Value::Date { year, month, day } = date(fields)? else { return Ok(false) };
                let Some(date) = civil(year, month, day) else { return Ok(false) };
                let _ = write!(self.out, "\"{date}\"");
            }
            WellKnown::Wrapper | WellKnown::Struct | WellKnown::List => {
                let Some(field) = message.fields.first() else { return Ok(false) };
                self.field(fields, (0, field), depth)?;
            }
            WellKnown::Value => {
                let mut all = message.fields.iter().enumerate();
                match all.find(|(place, _)| fields.last(*place).is_some()) {
                    Some((_, field)) if matches!(field.kind, Kind::Enum(_)) => {
                        self.out.push_str("null");
                    }
                    Some(field) => self.field(fields, field, depth)?,
                    None => self.out.push_str("null"),
                }
            }
        }
        self.check()?;
        Ok(true)
    }

    /// A comma, unless an object or a list has just begun.
    fn separate(&mut self, opened: char) {
        if !self.out.ends_with(opened) {
            self.out.push(',');
        }
    }

    fn text(&mut self, text: &str) -> Result<(), Broken> {
        push_text(text, &mut self.out);
        self.check()
    }

    fn check(&self) -> Result<(), Broken> {
        match self.most < self.out.len() {
            true => Err("the value would be too long as JSON for so few bytes".into()),
            false => Ok(()),
        }
    }

    fn simple(&mut self, value: &Value<'_>) -> Result<(), Broken> {
        let out = &mut self.out;
        match value {
            Value::Null | Value::Time { .. } | Value::Date { .. } => out.push_str("null"),
            Value::Boolean(value) => drop(write!(out, "{value}")),
            Value::Int(value) => drop(write!(out, "{value}")),
            Value::Long(value) => drop(write!(out, "{value}")),
            Value::Unsigned(value) => drop(write!(out, "{value}")),
            Value::Double(value) => push_double(*value, out),
            Value::Text(text) => push_text(text, out),
            Value::Bytes(bytes) => push_bytes(bytes, out),
            Value::Json(text) => out.push_str(text),
        }
        self.check()
    }
}

/// The number of a field of a well-known message, whose type is known, too.
fn number(fields: &Fields<'_>, place: usize) -> i64 {
    match fields.last(place) {
        Some(Raw::Varint(number)) => number.cast_signed(),
        _ => 0,
    }
}

fn small(fields: &Fields<'_>, place: usize) -> Result<i32, Broken> {
    let number = number(fields, place);
    i32::try_from(number).map_err(|_| format!("{number} has more than 32 bits"))
}

/// The seconds and the nanoseconds of a time.
pub(super) fn pair(fields: &Fields<'_>) -> Result<(i64, i32), Broken> {
    Ok((number(fields, 0), small(fields, 1)?))
}

pub(super) fn date<'a>(fields: &Fields<'_>) -> Result<Value<'a>, Broken> {
    let (year, month, day) = (small(fields, 0)?, small(fields, 1)?, small(fields, 2)?);
    Ok(Value::Date { year, month, day })
}

/// The date; [`None`] if there is none.
fn civil(year: i32, month: i32, day: i32) -> Option<Date> {
    let (year, month) = (i16::try_from(year).ok()?, i8::try_from(month).ok()?);
    Date::new(year, month, i8::try_from(day).ok()?).ok()
}
