//! The fields of one message as they stand in its bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::pure::protobuf::schema::{Field, Kind, Label, Message};

/// How a value is broken, in words.
pub type Broken = String;

/// Groups lie this deep in each other at most.
const DEEPEST: usize = 64;
const EARLY: &str = "the message ends too early";

/// The value of one field, as it is written.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Raw<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    /// What stands between the tags of a group.
    Group(&'a [u8]),
    Fixed32([u8; 4]),
}

/// Bytes that are not read yet.
#[derive(Clone, Copy)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(EARLY)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        self.take(N)?.try_into().map_err(|_| EARLY.to_string())
    }

    /// A number in seven bits a byte, the lowest first. Bits beyond 64 are cut, as readers do.
    pub fn varint(&mut self) -> Result<u64, Broken> {
        let mut number = 0_u64;
        for shift in (0_u32..70).step_by(7) {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or_default();
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number has more than ten bytes".into())
    }

    fn tag(&mut self) -> Result<(u32, u8), Broken> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|n| (1..1 << 29).contains(n));
        let number = number.ok_or_else(|| format!("a field has the number {}", tag >> 3))?;
        Ok((number, u8::try_from(tag & 7).unwrap_or_default()))
    }

    fn raw(&mut self, number: u32, wire: u8) -> Result<Raw<'a>, Broken> {
        Ok(match wire {
            0 => Raw::Varint(self.varint()?),
            1 => Raw::Fixed64(self.array()?),
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).map_err(|_| EARLY)?;
                Raw::Bytes(self.take(length)?)
            }
            3 => Raw::Group(self.group(number)?),
            4 => return Err(format!("group {number} ends and has not begun")),
            5 => Raw::Fixed32(self.array()?),
            other => return Err(format!("field {number} has the wire type {other}")),
        })
    }

    /// What stands before the end of a group whose beginning was read.
    fn group(&mut self, number: u32) -> Result<&'a [u8], Broken> {
        let all = self.0;
        let mut open = vec![number];
        loop {
            let before = self.0.len();
            let (number, wire) = self.tag()?;
            match wire {
                3 if DEEPEST <= open.len() => {
                    return Err(format!("groups lie more than {DEEPEST} deep in each other"));
                }
                3 => open.push(number),
                4 if open.last() != Some(&number) => {
                    return Err(format!("group {number} ends and has not begun"));
                }
                4 => {
                    let _ = open.pop();
                    if open.is_empty() {
                        let length = all.len().saturating_sub(before);
                        return Ok(all.get(..length).unwrap_or_default());
                    }
                }
                _ => drop(self.raw(number, wire)?),
            }
        }
    }
}

/// Where the values of a message's fields stand.
#[derive(Debug)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    /// A field's place among the message's, and where its tag stands; sorted.
    found: Vec<(u32, u32)>,
}

/// Whether a field may be written so; other values are of no field that is known.
fn suits(field: &Field, raw: &Raw<'_>) -> bool {
    let is_packed = matches!(raw, Raw::Bytes(_)) && field.label == Label::Repeated;
    match field.kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => {
            is_packed || matches!(raw, Raw::Fixed64(_))
        }
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => is_packed || matches!(raw, Raw::Fixed32(_)),
        Kind::Text | Kind::Bytes | Kind::Message(_) => matches!(raw, Raw::Bytes(_)),
        Kind::Group(_) => matches!(raw, Raw::Group(_)),
        _ => is_packed || matches!(raw, Raw::Varint(_)),
    }
}

impl<'a> Fields<'a> {
    /// Finds the values; fields that the message does not have are left out.
    ///
    /// # Errors
    /// The bytes are no message.
    pub fn of(message: &Message, bytes: &'a [u8]) -> Result<Fields<'a>, Broken> {
        let mut rest = Bytes(bytes);
        let mut found: Vec<(u32, u32)> = Vec::new();
        // Of each oneof, the field that was set last, and where it was set first after all others.
        let mut last: BTreeMap<usize, (u32, u32)> = BTreeMap::new();
        while !rest.0.is_empty() {
            let at = bytes.len().saturating_sub(rest.0.len());
            let at = u32::try_from(at).map_err(|_| "the message is too long")?;
            let (number, wire) = rest.tag()?;
            let raw = rest.raw(number, wire)?;
            let place = message.fields.binary_search_by_key(&number, |field| field.number);
            let field = place.ok().and_then(|place| message.fields.get(place).zip(Some(place)));
            let Some((field, place)) = field.filter(|(field, _)| suits(field, &raw)) else {
                continue;
            };
            let place = u32::try_from(place).map_err(|_| "the message has too many fields")?;
            found.push((place, at));
            if let Some(oneof) = field.oneof
                && last.get(&oneof).is_none_or(|(before, _)| *before != place)
            {
                let _ = last.insert(oneof, (place, at));
            }
        }
        found.retain(|(place, at)| {
            let field = usize::try_from(*place).ok().and_then(|p| message.fields.get(p));
            let last = field.and_then(|field| field.oneof).and_then(|one| last.get(&one).copied());
            last.is_none_or(|(set, since)| set == *place && since <= *at)
        });
        found.sort_unstable();
        Ok(Fields { bytes, found })
    }

    /// The places of the fields that are there, in their order.
    pub fn places(&self) -> impl Iterator<Item = usize> + '_ {
        let chunks = self.found.chunk_by(|(one, _), (other, _)| one == other);
        chunks.filter_map(|chunk| usize::try_from(chunk.first()?.0).ok())
    }

    /// The values of the field at this place, in their order.
    pub fn all(&self, place: usize) -> impl DoubleEndedIterator<Item = Raw<'a>> + '_ {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let begin = self.found.partition_point(|(other, _)| *other < place);
        let end = self.found.partition_point(|(other, _)| *other <= place);
        let found = self.found.get(begin..end).unwrap_or_default();
        found.iter().filter_map(|(_, at)| {
            let mut bytes = Bytes(self.bytes.get(usize::try_from(*at).ok()?..)?);
            let (number, wire) = bytes.tag().ok()?;
            bytes.raw(number, wire).ok()
        })
    }

    /// The value of a field that is there once: the last one.
    pub fn last(&self, place: usize) -> Option<Raw<'a>> {
        self.all(place).next_back()
    }

    /// The bytes of a message that is a field: pieces of one message are that message, one behind
    /// the other.
    pub fn merged(&self, place: usize) -> Option<Cow<'a, [u8]>> {
        let inner = |raw: Raw<'a>| match raw {
            Raw::Bytes(bytes) | Raw::Group(bytes) => bytes,
            _ => &[],
        };
        let mut all = self.all(place).map(inner);
        let first = all.next()?;
        match all.next() {
            None => Some(Cow::Borrowed(first)),
            Some(second) => {
                let mut bytes = [first, second].concat();
                all.for_each(|piece| bytes.extend_from_slice(piece));
                Some(Cow::Owned(bytes))
            }
        }
    }
}
