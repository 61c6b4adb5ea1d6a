//! Writes the value of a nested column, part by part.

use std::sync::Arc;

use crate::pure::layout::cells::Cell;
use crate::pure::layout::nested_reader::NestedReader;
use crate::pure::layout::nested_type::NestedType;
use crate::pure::layout::nested_value::{END, NULL, NestedBudget, NestedValue, VALUE};

/// A value that is being written.
#[derive(Debug)]
pub struct NestedWriter<'b> {
    budget: &'b mut NestedBudget,
    value: NestedValue,
    /// Where the entries of the maps that are open begin.
    entries: Vec<usize>,
}

/// Why a value cannot be written.
const TOO_LONG: &str = "the value would be too long in columns for so few bytes";

impl<'b> NestedWriter<'b> {
    #[must_use]
    pub fn new(budget: &'b mut NestedBudget) -> NestedWriter<'b> {
        let value = NestedValue { bytes: Vec::new(), places: 0 };
        NestedWriter { budget, value, entries: Vec::new() }
    }

    /// How many bytes a text may still have.
    #[must_use]
    pub fn bytes_left(&self) -> usize {
        self.budget.bytes.saturating_sub(self.value.bytes.len())
    }

    fn check(&self) -> Result<(), String> {
        match self.budget.bytes < self.value.bytes.len() || self.budget.places < self.value.places {
            true => Err(TOO_LONG.into()),
            false => Ok(()),
        }
    }

    fn take(&mut self, places: usize) -> Result<(), String> {
        self.value.places = self.value.places.saturating_add(places);
        self.check()
    }

    /// A null in the place of a value of this type.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn null(&mut self, of: &NestedType) -> Result<(), String> {
        self.value.bytes.push(NULL);
        self.take(of.leaves())
    }

    /// A part without others in it.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn cell(&mut self, cell: &Cell<'_>) -> Result<(), String> {
        let bytes = &mut self.value.bytes;
        bytes.push(if *cell == Cell::Null { NULL } else { VALUE });
        match cell {
            Cell::Null => {}
            Cell::Text(text) => sized(bytes, text.as_bytes()),
            Cell::Bytes(value) => sized(bytes, value),
            Cell::Boolean(value) => bytes.push(u8::from(*value)),
            Cell::Int32(value) | Cell::Date(value) => long(bytes, i128::from(*value)),
            Cell::Int64(value) | Cell::Micros(value) => long(bytes, i128::from(*value)),
            Cell::Float64(value) => bytes.extend_from_slice(&value.to_le_bytes()),
            Cell::Decimal(value) => long(bytes, *value),
            Cell::Nested(_) => return Err("a part has no column of its own".into()),
        }
        self.take(1)
    }

    /// A struct whose fields follow, in their order.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn structure(&mut self) -> Result<(), String> {
        self.value.bytes.push(VALUE);
        self.check()
    }

    /// A list whose elements follow: `next` writes one, and is called until it answers that there
    /// are no more.
    ///
    /// # Errors
    /// There is no room for it, or `next` fails.
    pub fn list(
        &mut self,
        of: &NestedType,
        mut next: impl FnMut(&mut Self) -> Result<bool, String>,
    ) -> Result<(), String> {
        self.value.bytes.push(VALUE);
        let begin = self.value.bytes.len();
        while next(self)? {}
        self.end(begin, of.leaves())
    }

    /// A map whose entries follow: `next` writes one, by [`NestedWriter::key`] and then its value,
    /// and is called until it answers that there are no more. Of several with the same key the last
    /// one counts, in the place of the first one, because readers make dictionaries of them.
    ///
    /// # Errors
    /// There is no room for it, or `next` fails.
    pub fn map(
        &mut self,
        of: &NestedType,
        mut next: impl FnMut(&mut Self) -> Result<bool, String>,
    ) -> Result<(), String> {
        self.value.bytes.push(VALUE);
        let (begin, open) = (self.value.bytes.len(), self.entries.len());
        while next(self)? {}
        let entries = self.entries.split_off(open);
        self.without_doubles(&entries);
        self.end(begin, of.leaves().saturating_add(1))
    }

    /// The key of an entry.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn key(&mut self, key: &str) -> Result<(), String> {
        self.entries.push(self.value.bytes.len());
        self.value.bytes.push(VALUE);
        sized(&mut self.value.bytes, key.as_bytes());
        self.take(1)
    }

    /// The end of a list or a map, which takes a place in each of its columns if it has none.
    fn end(&mut self, begin: usize, leaves: usize) -> Result<(), String> {
        let is_empty = begin == self.value.bytes.len();
        self.value.bytes.push(END);
        self.take(if is_empty { leaves } else { 0 })
    }

    /// Takes out entries whose keys are there again. `entries`: where each begins; the last one
    /// ends where the bytes do.
    fn without_doubles(&mut self, entries: &[usize]) {
        let bytes = &self.value.bytes;
        let key = |at: &usize| bytes.get(at.saturating_add(1)..).and_then(sized_at);
        let mut sorted: Vec<usize> = (0..entries.len()).collect();
        sorted.sort_by_key(|at| key(&entries[*at]));
        let same = |one: &usize, other: &usize| key(&entries[*one]) == key(&entries[*other]);
        if sorted.windows(2).all(|pair| !same(&pair[0], &pair[1])) {
            return;
        }
        // Where each entry's place is taken by another one, or by none.
        let mut taken: Vec<Option<usize>> = vec![None; entries.len()];
        for group in sorted.chunk_by(same) {
            if let (Some(first), Some(last)) = (group.first(), group.last()) {
                taken[*first] = Some(*last);
            }
        }
        let end_of = |at: usize| entries.get(at.saturating_add(1)).copied().unwrap_or(bytes.len());
        let kept: Vec<u8> = taken
            .iter()
            .flatten()
            .flat_map(|at| bytes.get(entries[*at]..end_of(*at)).unwrap_or_default())
            .copied()
            .collect();
        if let Some(begin) = entries.first() {
            self.value.bytes.truncate(*begin);
            self.value.bytes.extend_from_slice(&kept);
        }
    }

    /// The cell of the value, when all of it is written.
    #[must_use]
    pub fn cell_of_all<'a>(self) -> Cell<'a> {
        Cell::Nested(Arc::new(self.finish()))
    }

    /// The value, when all of it is written.
    #[must_use]
    pub fn finish(self) -> NestedValue {
        let NestedWriter { budget, mut value, .. } = self;
        budget.bytes = budget.bytes.saturating_sub(value.bytes.len());
        budget.places = budget.places.saturating_sub(value.places);
        value.bytes.shrink_to_fit();
        value
    }
}

fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    long(out, i128::try_from(bytes.len()).unwrap_or_default());
    out.extend_from_slice(bytes);
}

/// A number in seven bits a byte, the lowest first, its sign in the lowest one.
fn long(out: &mut Vec<u8>, number: i128) {
    let mut left = ((number << 1) ^ (number >> 127)).cast_unsigned();
    while 0x7f < left {
        out.push(u8::try_from(left & 0x7f).unwrap_or_default() | 0x80);
        left >>= 7;
    }
    out.push(u8::try_from(left).unwrap_or_default());
}

/// The text that bytes begin with, as [`sized`] has written it.
fn sized_at(bytes: &[u8]) -> Option<&[u8]> {
    NestedReader::of(bytes).sized()
}
